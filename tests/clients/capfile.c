/* SPDX-License-Identifier: Apache-2.0 */
#include "capfile.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INTERFACES 64
#define MAX_BLOCK_BYTES (1u << 20)
#define NS_PER_SECOND 1000000000u

enum {
	BLOCK_INTERFACE = 1,
	BLOCK_STATISTICS = 5,
	BLOCK_PACKET = 6,
	OPTION_END = 0,
	OPTION_IF_NAME = 2,
	OPTION_IF_TSRESOL = 9,
	OPTION_EPB_FLAGS = 2,
};

#define BLOCK_SECTION 0x0a0d0d0au
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define PCAP_NS_MAGIC 0xa1b23c4du

struct interface {
	char name[64];
	uint32_t link_type;
	uint8_t resolution;
};

struct capfile {
	FILE *stream;
	bool classic;
	uint32_t link_type; /* classic */
	uint32_t count;
	struct interface interfaces[MAX_INTERFACES];
	uint8_t block[MAX_BLOCK_BYTES];
};

struct option {
	uint16_t code;
	uint16_t length;
	const uint8_t *value;
};

__attribute__((format(printf, 1, 2))) static int damaged(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("capfile: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	return -1;
}

static uint16_t get16(const uint8_t *in)
{
	uint16_t value;

	memcpy(&value, in, sizeof(value));
	return value;
}

static uint32_t get32(const uint8_t *in)
{
	uint32_t value;

	memcpy(&value, in, sizeof(value));
	return value;
}

/* Read length bytes. 1: all; 0: the stream ended before the first; -1: in between. */
static int read_all(struct capfile *file, uint8_t *out, size_t length)
{
	size_t got = fread(out, 1, length, file->stream);

	if (got == length)
		return 1;
	return got ? damaged("the file ends inside a block") : 0;
}

/* Body of the next block into file->block. */
static int next_block(struct capfile *file, uint32_t *ret_type, uint32_t *ret_length)
{
	uint8_t head[8];
	int rc = read_all(file, head, sizeof(head));
	uint32_t total;

	if (rc <= 0)
		return rc;
	*ret_type = get32(head);
	total = get32(head + 4);
	if (total < 12 || total % 4 || total - 8 > MAX_BLOCK_BYTES)
		return damaged("block of type %u with length %u", *ret_type, total);
	*ret_length = total - 12;
	if (read_all(file, file->block, total - 8) != 1)
		return damaged("the file ends inside a block");
	if (get32(file->block + *ret_length) != total)
		return damaged("the two lengths of a block differ: %u and %u", total, get32(file->block + *ret_length));
	return 1;
}

/* 1: an option; 0: no more; -1: damaged. Moves *at on. */
static int next_option(const struct capfile *file, uint32_t *at, uint32_t end, struct option *ret_option)
{
	uint32_t padded;

	if (*at == end)
		return 0;
	if (end - *at < 4)
		return damaged("rest of %u bytes after the options", end - *at);
	ret_option->code = get16(file->block + *at);
	ret_option->length = get16(file->block + *at + 2);
	ret_option->value = file->block + *at + 4;
	padded = ((uint32_t)ret_option->length + 3) / 4 * 4;
	if (end - *at - 4 < padded)
		return damaged("option %u is longer than its block", ret_option->code);
	*at += 4 + padded;
	return ret_option->code != OPTION_END;
}

static int read_interface(struct capfile *file, uint32_t length)
{
	struct interface *interface = &file->interfaces[file->count];
	struct option option;
	uint32_t at = 8;
	int rc;

	if (length < 8 || file->count == MAX_INTERFACES)
		return damaged("interface block of %u bytes, number %u", length, file->count);
	*interface = (struct interface){.link_type = get16(file->block), .resolution = 6};
	while ((rc = next_option(file, &at, length, &option)) > 0) {
		if (option.code == OPTION_IF_NAME && option.length < sizeof(interface->name))
			memcpy(interface->name, option.value, option.length);
		else if (option.code == OPTION_IF_TSRESOL && option.length == 1)
			interface->resolution = option.value[0];
	}
	file->count++;
	return rc < 0 ? rc : 1;
}

static int read_packet(struct capfile *file, uint32_t length, struct capfile_packet *packet)
{
	struct option option;
	uint32_t id, at;
	int rc;

	if (length < 20)
		return damaged("packet block of %u bytes", length);
	id = get32(file->block);
	if (id >= file->count)
		return damaged("packet of interface %u of %u", id, file->count);
	if (file->interfaces[id].resolution != 9)
		return damaged("interface %u has time resolution %u, not 9", id, file->interfaces[id].resolution);
	*packet = (struct capfile_packet){
		.time_ns = (uint64_t)get32(file->block + 4) << 32 | get32(file->block + 8),
		.captured = get32(file->block + 12),
		.original = get32(file->block + 16),
		.data = file->block + 20,
		.interface = file->interfaces[id].name,
		.link_type = file->interfaces[id].link_type,
	};
	if (packet->captured > length - 20)
		return damaged("packet of %u bytes in a block of %u", packet->captured, length);
	at = 20 + (packet->captured + 3) / 4 * 4;
	while ((rc = next_option(file, &at, length, &option)) > 0) {
		if (option.code != OPTION_EPB_FLAGS || option.length != 4)
			continue;
		packet->has_flags = true;
		packet->flags = get32(option.value);
	}
	return rc < 0 ? rc : 1;
}

static int next_classic(struct capfile *file, struct capfile_packet *packet)
{
	uint8_t head[16];
	int rc = read_all(file, head, sizeof(head));

	if (rc <= 0)
		return rc;
	*packet = (struct capfile_packet){
		.time_ns = (uint64_t)get32(head) * NS_PER_SECOND + get32(head + 4),
		.captured = get32(head + 8),
		.original = get32(head + 12),
		.data = file->block,
		.interface = "",
		.link_type = file->link_type,
	};
	if (packet->captured > MAX_BLOCK_BYTES)
		return damaged("packet of %u bytes", packet->captured);
	return packet->captured && read_all(file, file->block, packet->captured) != 1
	               ? damaged("the file ends inside a packet")
	               : 1;
}

int capfile_next(struct capfile *file, struct capfile_packet *ret_packet)
{
	uint32_t type = 0, length = 0;
	int rc;

	if (file->classic)
		return next_classic(file, ret_packet);
	while ((rc = next_block(file, &type, &length)) > 0) {
		if (type == BLOCK_PACKET)
			return read_packet(file, length, ret_packet);
		if (type == BLOCK_SECTION)
			return damaged("a second section");
		if (type == BLOCK_INTERFACE && read_interface(file, length) < 0)
			return -1;
	}
	return rc;
}

static int read_section(struct capfile *file)
{
	uint8_t rest[16];
	uint32_t total;

	if (read_all(file, rest, 8) != 1)
		return -1;
	total = get32(rest);
	if (get32(rest + 4) != BYTE_ORDER_MAGIC || total < 28 || total % 4 || total > MAX_BLOCK_BYTES)
		return damaged("section header of length %u", total);
	return read_all(file, file->block, total - 12);
}

struct capfile *capfile_open(FILE *stream)
{
	struct capfile *file = calloc(1, sizeof(*file));
	uint8_t head[24];

	if (!file)
		return NULL;
	file->stream = stream;
	if (read_all(file, head, 4) != 1)
		goto fail;
	if (get32(head) == PCAP_NS_MAGIC && read_all(file, head + 4, 20) == 1) {
		file->classic = true;
		file->link_type = get32(head + 20);
		return file;
	}
	if (get32(head) == BLOCK_SECTION && read_section(file) == 1)
		return file;

fail:
	damaged("this is neither pcapng nor pcap with nanoseconds");
	free(file);
	return NULL;
}

void capfile_close(struct capfile *file)
{
	free(file);
}
