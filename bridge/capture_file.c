/* SPDX-License-Identifier: Apache-2.0 */
/* Opening capture files, and the pcap format (draft-ietf-opsawg-pcap). pcapng is in capture_pcapng.c. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture_file_internal.h"
#include "log.h"

#define MAGIC_MICROSECONDS 0xa1b2c3d4u
#define MAGIC_NANOSECONDS 0xa1b23c4du
#define MAGIC_MODIFIED 0xa1b2cd34u /* Kuznetzov's: eight more bytes in front of each packet */
#define MAGIC_PCAPNG 0x0a0d0d0au   /* reads the same in either byte order */

#define FILE_HEADER_BYTES 24u
#define PACKET_HEADER_BYTES 16u
#define MODIFIED_HEADER_BYTES 24u

#define LINKTYPE_MASK 0xffffu
#define FCS_PRESENT 0x04000000u
#define EPB_FLAGS_FCS_SHIFT 5u

enum { LENGTHS_AS_THEY_ARE, LENGTHS_SWAPPED, LENGTHS_MAYBE_SWAPPED };

/* LINKTYPE_ values whose packets may be longer than others'. */
enum { LINK_USB_LINUX = 189, LINK_USB_LINUX_MMAPPED = 220, LINK_DBUS = 231, LINK_USBPCAP = 249, LINK_EBHSCR = 279 };

struct packing {
	const char *magic;
	size_t length;
	const char *name;
	const char *program;
};

static const struct packing packings[] = {
	{"\x1f\x8b", 2, "gzip", "zcat"},
	{"\x28\xb5\x2f\xfd", 4, "zstd", "zstdcat"},
	{"\xfd"
	 "7zXZ",
		5, "xz", "xzcat"},
	{"BZh", 3, "bzip2", "bzcat"},
	{"\x04\x22\x4d\x18", 4, "lz4", "lz4cat"},
};

static const struct packing *packing_of(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < sizeof packings / sizeof packings[0]; i++)
		if (length >= packings[i].length && memcmp(bytes, packings[i].magic, packings[i].length) == 0)
			return &packings[i];
	return NULL;
}

static bool is_magic(uint32_t magic)
{
	return magic == MAGIC_MICROSECONDS || magic == MAGIC_NANOSECONDS || magic == MAGIC_MODIFIED ||
	       magic == MAGIC_PCAPNG;
}

bool wb_capture_file_is(const char *path)
{
	struct stat status;
	uint8_t bytes[8] = {0};
	uint32_t magic;
	ssize_t n = 0;
	int fd;

	if (strcmp(path, "-") == 0)
		return true;
	if (stat(path, &status) < 0)
		return false;
	if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))
		return true;
	if (!S_ISREG(status.st_mode))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = pread(fd, bytes, sizeof bytes, 0);
		close(fd);
	}
	memcpy(&magic, bytes, sizeof magic);
	return n >= (ssize_t)sizeof magic &&
	       (is_magic(magic) || is_magic(__builtin_bswap32(magic)) || packing_of(bytes, (size_t)n));
}

int wb_capture_damage(
	const struct wb_capture_file *file, uint64_t inside, struct wb_error *ret_error, const char *format, ...)
{
	char text[384];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	return wb_fail(ret_error, -EBADMSG, "%s@%" PRIu64 ": %s", wb_capture_file_path(file),
		file->input.offset + inside, text);
}

int wb_capture_need(
	struct wb_capture_file *file, size_t bytes, int timeout_ms, const char *what, struct wb_error *ret_error)
{
	int r = wb_capture_input_need(&file->input, bytes, timeout_ms);
	size_t left = wb_capture_input_left(&file->input);

	if (r == -ENODATA && left > 0)
		return wb_capture_damage(
			file, 0, ret_error, "the file ends inside %s: %zu of %zu bytes are there", what, left, bytes);
	if (r < 0 && r != -ENODATA)
		wb_fail(ret_error, r, "%s: %s", wb_capture_file_path(file), strerror(-r));
	return r;
}

uint32_t wb_capture_limit(uint32_t link_type)
{
	switch (link_type) {
	case LINK_USB_LINUX:
	case LINK_USB_LINUX_MMAPPED:
	case LINK_DBUS:
	case LINK_USBPCAP:
	case LINK_EBHSCR:
		return WB_CAPTURE_MAX_LONG_PACKET_BYTES;
	default:
		return WB_CAPTURE_MAX_PACKET_BYTES;
	}
}

int wb_capture_add_interface(struct wb_capture_file *file, struct wb_capture_interface **ret_interface)
{
	struct wb_capture_interface *grown = file->interfaces;
	uint32_t capacity = file->interface_capacity;

	if (file->interface_count == WB_CAPTURE_MAX_INTERFACES)
		return -E2BIG;
	if (file->interface_count == capacity) {
		capacity = capacity ? 2 * capacity : 4;
		grown = realloc(file->interfaces, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		file->interfaces = grown;
		file->interface_capacity = capacity;
	}
	grown += file->interface_count++;
	*grown = (struct wb_capture_interface){.facts.index = (*file->options.next_index)++};
	if (file->options.interface)
		grown->facts.name = (struct wbproto_view){file->options.interface, strlen(file->options.interface)};
	*ret_interface = grown;
	return 0;
}

void wb_capture_forget_interfaces(struct wb_capture_file *file)
{
	for (uint32_t i = 0; i < file->interface_count; i++) {
		free(file->interfaces[i].name);
		free(file->interfaces[i].filter);
	}
	file->interface_count = 0;
}

void wb_capture_outgrow(struct wb_capture_file *file, struct wb_capture_interface *interface)
{
	interface->facts.snap_length = 0;
	interface->facts.index = (*file->options.next_index)++;
}

/* Old tcpdumps wrote the two lengths the other way around; those of version 2.3 sometimes. */
static bool lengths_are_swapped(const struct wb_capture_file *file, uint32_t captured, uint32_t original)
{
	return file->lengths == LENGTHS_SWAPPED || (file->lengths == LENGTHS_MAYBE_SWAPPED && captured > original);
}

static int pcap_read(
	struct wb_capture_file *file, int timeout_ms, struct wb_captured *ret_captured, struct wb_error *ret_error)
{
	struct wb_capture_interface *interface = &file->interfaces[0];
	uint32_t captured, original, limit;
	const uint8_t *at;
	int r = wb_capture_need(file, file->record_bytes, timeout_ms, "a packet's header", ret_error);

	if (r != 1)
		return r;
	at = wb_capture_input_at(&file->input);
	captured = wb_capture_32(file, at + 8);
	original = wb_capture_32(file, at + 12);
	if (lengths_are_swapped(file, captured, original)) {
		captured = wb_capture_32(file, at + 12);
		original = wb_capture_32(file, at + 8);
	}
	limit = wb_capture_limit(interface->facts.link_type);
	if (captured > limit)
		return wb_capture_damage(file, 0, ret_error,
			"a packet of %" PRIu32 " bytes; %" PRIu32 " is the most for link type %" PRIu32, captured,
			limit, interface->facts.link_type);
	r = wb_capture_need(file, file->record_bytes + captured, timeout_ms, "a packet", ret_error);
	if (r != 1)
		return r;
	at = wb_capture_input_at(&file->input);
	if (interface->facts.snap_length && captured > interface->facts.snap_length)
		wb_capture_outgrow(file, interface);
	*ret_captured = (struct wb_captured){
		.packet = {.time_unix_ns = (uint64_t)wb_capture_32(file, at) * 1000000000u +
	                                   (uint64_t)wb_capture_32(file, at + 4) * file->unit_ns,
			.data = at + file->record_bytes,
			.captured_length = captured,
			.original_length = original,
			.interface_index = interface->facts.index,
			.flags = interface->fcs_flags},
		.interface = &interface->facts,
	};
	file->pending = file->record_bytes + captured;
	return 1;
}

/* The version, as it is known what it means. */
static int pcap_version(struct wb_capture_file *file, const uint8_t *at, struct wb_error *ret_error)
{
	uint16_t major = wb_capture_16(file, at + 4), minor = wb_capture_16(file, at + 6);

	if (major == 543 || (major == 2 && minor < 3))
		file->lengths = LENGTHS_SWAPPED; /* 543: DG/UX */
	else if (major == 2 && minor == 3)
		file->lengths = LENGTHS_MAYBE_SWAPPED;
	else if (major != 2)
		return wb_capture_damage(
			file, 4, ret_error, "version %u.%u of the pcap format; 2.0 to 2.4 are known", major, minor);
	return 0;
}

static int pcap_begin(struct wb_capture_file *file, uint32_t magic, int timeout_ms, struct wb_error *ret_error)
{
	struct wb_capture_interface *interface;
	const uint8_t *at;
	uint32_t link;
	int r = wb_capture_need(file, FILE_HEADER_BYTES, timeout_ms, "the file's header", ret_error);

	if (r != 1)
		return r;
	at = wb_capture_input_at(&file->input);
	r = pcap_version(file, at, ret_error);
	if (r < 0)
		return r;
	r = wb_capture_add_interface(file, &interface);
	if (r < 0)
		return wb_fail(ret_error, r, "%s: %s", wb_capture_file_path(file), strerror(-r));
	link = wb_capture_32(file, at + 20);
	interface->facts.snap_length = wb_capture_32(file, at + 16);
	interface->facts.link_type = link & LINKTYPE_MASK;
	if (link & FCS_PRESENT) /* counted in 16 bits there, in bytes here */
		interface->fcs_flags = (link >> 28) * 2 << EPB_FLAGS_FCS_SHIFT & 0xfu << EPB_FLAGS_FCS_SHIFT;
	file->unit_ns = magic == MAGIC_NANOSECONDS ? 1 : 1000;
	file->record_bytes = magic == MAGIC_MODIFIED ? MODIFIED_HEADER_BYTES : PACKET_HEADER_BYTES;
	wb_capture_input_take(&file->input, FILE_HEADER_BYTES);
	file->read = pcap_read;
	return 1;
}

static int refuse(const struct wb_capture_file *file, const uint8_t *bytes, size_t length, struct wb_error *ret_error)
{
	const struct packing *packing = packing_of(bytes, length);

	if (packing)
		return wb_fail(ret_error, -EBADMSG,
			"%s: it is compressed with %s, which is not undone here: use '%s FILE | wirebus ... --from -'",
			wb_capture_file_path(file), packing->name, packing->program);
	if (length < 4)
		return wb_fail(ret_error, -EBADMSG, "%s: it is %s: neither a pcap nor a pcapng file",
			wb_capture_file_path(file), length ? "shorter than four bytes" : "empty");
	return wb_fail(ret_error, -EBADMSG, "%s: it begins with %02x %02x %02x %02x: neither a pcap nor a pcapng file",
		wb_capture_file_path(file), bytes[0], bytes[1], bytes[2], bytes[3]);
}

/* Signature of wb_capture_file.read, before the format is known. */
static int begin(struct wb_capture_file *file, int timeout_ms, struct wb_error *ret_error)
{
	const uint8_t *at;
	uint32_t magic = 0;
	size_t left;
	int r = wb_capture_input_need(&file->input, 4, timeout_ms);

	if (r == 0 || (r < 0 && r != -ENODATA))
		return r < 0 ? wb_fail(ret_error, r, "%s: %s", wb_capture_file_path(file), strerror(-r)) : 0;
	at = wb_capture_input_at(&file->input);
	left = wb_capture_input_left(&file->input);
	if (left >= 4)
		memcpy(&magic, at, sizeof magic);
	if (magic == MAGIC_PCAPNG) {
		file->read = wb_capture_pcapng_read;
		return 1;
	}
	file->swapped = !is_magic(magic);
	magic = wb_capture_32(file, (const uint8_t *)&magic);
	return is_magic(magic) ? pcap_begin(file, magic, timeout_ms, ret_error) : refuse(file, at, left, ret_error);
}

int wb_capture_file_next(
	struct wb_capture_file *file, int timeout_ms, struct wb_captured *ret_captured, struct wb_error *ret_error)
{
	int r = 1;

	wb_capture_input_begin(&file->input);
	wb_capture_input_take(&file->input, file->pending);
	file->pending = 0;
	if (!file->read)
		r = begin(file, timeout_ms, ret_error);
	if (r == 1)
		r = file->read(file, timeout_ms, ret_captured, ret_error);
	if (r == 1)
		file->last_time_ns = ret_captured->packet.time_unix_ns;
	return r;
}

int wb_capture_file_open(const char *path, const struct wb_capture_file_options *options,
	struct wb_capture_file **ret_file, struct wb_error *ret_error)
{
	struct wb_capture_file *file = calloc(1, sizeof *file);
	int r;

	if (file)
		file->path = strdup(strcmp(path, "-") == 0 ? "standard input" : path);
	if (!file || !file->path) {
		free(file);
		return wb_fail(ret_error, -ENOMEM, "%s: out of memory", path);
	}
	file->options = *options;
	r = wb_capture_input_open(&file->input, path, options->follow);
	if (r < 0) {
		wb_fail(ret_error, r, "%s: %s", file->path, strerror(-r));
		free(file->path);
		free(file);
		return r;
	}
	*ret_file = file;
	return 0;
}

void wb_capture_file_close(struct wb_capture_file *file)
{
	if (!file)
		return;
	wb_capture_forget_interfaces(file);
	free(file->interfaces);
	wb_capture_input_close(&file->input);
	free(file->path);
	free(file);
}

int wb_capture_file_fd(const struct wb_capture_file *file)
{
	return file->input.fd;
}

const char *wb_capture_file_path(const struct wb_capture_file *file)
{
	return file->path;
}
