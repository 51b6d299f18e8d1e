/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container.h"
#include "log.h"

/* Read at least so much at a time. */
#define CHUNK_BYTES ((size_t)1 << 20)

static const uint8_t magic[8] = {'W', 'I', 'R', 'E', 'B', 'U', 'S', '1'};

struct wb_container_reader {
	int fd;
	char *path;
	size_t max_message_bytes;
	uint64_t offset; /* of the next entry; buffer[start] is the byte there */
	uint8_t *buffer;
	size_t capacity;
	size_t start, end; /* what the buffer holds */
};

static void put_le16(uint8_t *to, uint16_t value)
{
	to[0] = (uint8_t)value;
	to[1] = (uint8_t)(value >> 8);
}

static void put_le32(uint8_t *to, uint32_t value)
{
	put_le16(to, (uint16_t)value);
	put_le16(to + 2, (uint16_t)(value >> 16));
}

static uint16_t get_le16(const uint8_t *from)
{
	return (uint16_t)(from[0] | from[1] << 8);
}

static uint32_t get_le32(const uint8_t *from)
{
	return get_le16(from) | (uint32_t)get_le16(from + 2) << 16;
}

void wb_container_header(uint8_t ret_header[WB_CONTAINER_HEADER_BYTES])
{
	memcpy(ret_header, magic, sizeof(magic));
	put_le32(ret_header + 8, WB_CONTAINER_VERSION);
	put_le32(ret_header + 12, WB_CONTAINER_HEADER_BYTES);
}

void wb_container_entry_tail(uint8_t ret_entry[WB_CONTAINER_ENTRY_BYTES], uint16_t kind, const void *route,
	uint16_t route_length, const void *message, size_t message_length, const void *tail, size_t tail_length)
{
	uint32_t crc;

	put_le32(ret_entry, (uint32_t)(route_length + message_length + tail_length));
	put_le16(ret_entry + 8, kind);
	put_le16(ret_entry + 10, route_length);
	put_le32(ret_entry + 12, 0);
	crc = wb_crc32c(0, ret_entry + 8, WB_CONTAINER_ENTRY_BYTES - 8);
	crc = wb_crc32c(crc, route, route_length);
	crc = wb_crc32c(crc, message, message_length);
	put_le32(ret_entry + 4, wb_crc32c(crc, tail, tail_length));
}

void wb_container_entry(uint8_t ret_entry[WB_CONTAINER_ENTRY_BYTES], uint16_t kind, const void *route,
	uint16_t route_length, const void *message, size_t message_length)
{
	wb_container_entry_tail(ret_entry, kind, route, route_length, message, message_length, NULL, 0);
}

/* Forget what was read: the writer may have taken an incomplete entry back and written another one there. */
static void discard(struct wb_container_reader *reader)
{
	reader->start = reader->end = 0;
}

static int grow(struct wb_container_reader *reader, size_t need)
{
	size_t capacity = need > CHUNK_BYTES ? need : CHUNK_BYTES;
	uint8_t *buffer;

	if (reader->start > 0)
		memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
	reader->end -= reader->start;
	reader->start = 0;
	if (capacity <= reader->capacity)
		return 0;
	buffer = realloc(reader->buffer, capacity);
	if (!buffer)
		return -ENOMEM;
	reader->buffer = buffer;
	reader->capacity = capacity;
	return 0;
}

/* Have `need` bytes from the next entry on in the buffer. -ENODATA: the file ends at the entry; -EAGAIN: inside. */
static int fill(struct wb_container_reader *reader, size_t need)
{
	int r;

	if (reader->end - reader->start >= need)
		return 0;
	if (reader->capacity - reader->start < need) {
		r = grow(reader, need);
		if (r < 0)
			return r;
	}
	while (reader->end - reader->start < need) {
		ssize_t n = pread(reader->fd, reader->buffer + reader->end, reader->capacity - reader->end,
			(off_t)(reader->offset + (reader->end - reader->start)));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return reader->end == reader->start ? -ENODATA : -EAGAIN;
		reader->end += (size_t)n;
	}
	return 0;
}

static int check_header(struct wb_container_reader *reader, struct wb_error *ret_error)
{
	const uint8_t *header;
	uint32_t version, length;
	int r;

	r = fill(reader, WB_CONTAINER_HEADER_BYTES);
	if (r == -EAGAIN || r == -ENODATA)
		return wb_fail(ret_error, -EAGAIN, "%s: the file ends inside its header (%zu of %d bytes)",
			reader->path, reader->end - reader->start, WB_CONTAINER_HEADER_BYTES);
	if (r < 0)
		return wb_fail(ret_error, r, "%s: %s", reader->path, strerror(-r));
	header = reader->buffer + reader->start;
	if (memcmp(header, magic, sizeof(magic)) != 0)
		return wb_fail(ret_error, -EPROTO, "%s: not a wirebus container: it does not begin with \"WIREBUS1\"",
			reader->path);
	version = get_le32(header + 8);
	if (version != WB_CONTAINER_VERSION)
		return wb_fail(ret_error, -EPROTO, "%s: container version %" PRIu32 "; this program reads version %d",
			reader->path, version, WB_CONTAINER_VERSION);
	length = get_le32(header + 12);
	if (length != WB_CONTAINER_HEADER_BYTES)
		return wb_fail(ret_error, -EPROTO, "%s: header length %" PRIu32 "; version %d has %d", reader->path,
			length, WB_CONTAINER_VERSION, WB_CONTAINER_HEADER_BYTES);
	return 0;
}

int wb_container_open(
	const char *path, size_t max_message_bytes, struct wb_container_reader **ret_reader, struct wb_error *ret_error)
{
	struct wb_container_reader *reader;
	struct stat status;
	int r;

	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return wb_fail(ret_error, -ENOMEM, "%s: out of memory", path);
	reader->max_message_bytes = max_message_bytes;
	reader->path = strdup(path);
	/* Not blocking: opening a FIFO waits for its writer otherwise. */
	reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (!reader->path || reader->fd < 0 || fstat(reader->fd, &status) < 0) {
		r = reader->path ? -errno : -ENOMEM;
		wb_fail(ret_error, r, "%s: %s", path, strerror(-r));
		goto fail;
	}
	if (!S_ISREG(status.st_mode)) {
		r = wb_fail(ret_error, S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL, "%s: not a regular file", path);
		goto fail;
	}
	r = check_header(reader, ret_error);
	if (r < 0)
		goto fail;
	wb_container_seek(reader, WB_CONTAINER_HEADER_BYTES);
	*ret_reader = reader;
	return 0;
fail:
	wb_container_close(reader);
	return r;
}

/* What to say when the file has no more, or less than the entry needs. */
static int incomplete(struct wb_container_reader *reader, int code, struct wb_error *ret_error)
{
	discard(reader);
	if (code == -EAGAIN)
		return wb_fail(
			ret_error, code, "%s@%" PRIu64 ": the file ends inside an entry", reader->path, reader->offset);
	return wb_fail(ret_error, code, "%s@%" PRIu64 ": %s", reader->path, reader->offset, strerror(-code));
}

static int check_length(struct wb_container_reader *reader, uint32_t length, struct wb_error *ret_error)
{
	uint16_t route_length = get_le16(reader->buffer + reader->start + 10);
	struct stat status;

	if (length <= route_length || length - route_length > reader->max_message_bytes)
		return wb_fail(ret_error, -EPROTO,
			"%s@%" PRIu64 ": the length of the entry, %" PRIu32
			", cannot be (route %u, message at most %zu): "
			"the rest of the file cannot be read",
			reader->path, reader->offset, length, route_length, reader->max_message_bytes);
	if (reader->end - reader->start >= WB_CONTAINER_ENTRY_BYTES + (size_t)length)
		return 0;
	/* The length may be damage: see that the file has so much before memory is spent on it. */
	if (fstat(reader->fd, &status) < 0)
		return incomplete(reader, -errno, ret_error);
	if ((uint64_t)status.st_size < reader->offset + WB_CONTAINER_ENTRY_BYTES + length)
		return incomplete(reader, -EAGAIN, ret_error);
	return 0;
}

/* 1: a whole entry, ret_length bytes beyond its header, is in the buffer. 0: the file ends before it. */
static int load(struct wb_container_reader *reader, uint32_t *ret_length, struct wb_error *ret_error)
{
	int r;

	r = fill(reader, WB_CONTAINER_ENTRY_BYTES);
	if (r == -ENODATA) {
		discard(reader);
		return 0;
	}
	if (r < 0)
		return incomplete(reader, r, ret_error);
	*ret_length = get_le32(reader->buffer + reader->start);
	r = check_length(reader, *ret_length, ret_error);
	if (r < 0)
		return r;
	r = fill(reader, WB_CONTAINER_ENTRY_BYTES + (size_t)*ret_length);
	return r < 0 ? incomplete(reader, r == -ENODATA ? -EAGAIN : r, ret_error) : 1;
}

static void describe(const uint8_t *entry, uint32_t length, uint64_t offset, struct wb_container_item *ret_item)
{
	ret_item->offset = offset;
	ret_item->kind = get_le16(entry + 8);
	ret_item->route = entry + WB_CONTAINER_ENTRY_BYTES;
	ret_item->route_length = get_le16(entry + 10);
	ret_item->message = ret_item->route + ret_item->route_length;
	ret_item->message_length = length - ret_item->route_length;
}

int wb_container_next(
	struct wb_container_reader *reader, struct wb_container_item *ret_item, struct wb_error *ret_error)
{
	uint64_t at = reader->offset;
	uint32_t length = 0;
	int r;

	/* Twice: the first time, it may have been read while the writer replaced an incomplete entry. */
	for (int i = 0; i < 2; i++) {
		const uint8_t *entry;

		r = load(reader, &length, ret_error);
		if (r <= 0)
			return r;
		entry = reader->buffer + reader->start;
		if (wb_crc32c(0, entry + 8, WB_CONTAINER_ENTRY_BYTES - 8 + (size_t)length) == get_le32(entry + 4)) {
			describe(entry, length, at, ret_item);
			reader->start += WB_CONTAINER_ENTRY_BYTES + (size_t)length;
			reader->offset += WB_CONTAINER_ENTRY_BYTES + (uint64_t)length;
			return 1;
		}
		discard(reader);
	}
	reader->offset += WB_CONTAINER_ENTRY_BYTES + (uint64_t)length;
	return wb_fail(ret_error, -EBADMSG, "%s@%" PRIu64 ": wrong CRC, entry of %" PRIu32 " bytes skipped",
		reader->path, at, length);
}

uint64_t wb_container_offset(const struct wb_container_reader *reader)
{
	return reader->offset;
}

void wb_container_seek(struct wb_container_reader *reader, uint64_t offset)
{
	if (offset >= reader->offset && offset - reader->offset <= reader->end - reader->start)
		reader->start += (size_t)(offset - reader->offset);
	else
		discard(reader);
	reader->offset = offset;
}

void wb_container_close(struct wb_container_reader *reader)
{
	if (!reader)
		return;
	if (reader->fd >= 0)
		close(reader->fd);
	free(reader->buffer);
	free(reader->path);
	free(reader);
}
