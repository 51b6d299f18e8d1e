/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capture files of arbitrary bytes: what is returned lies within bounds and is as much as the file has room for, and a
 * file that comes through a pipe in pieces gives the same packets and the same end as one that is there at once.
 */
#include "capture_file.h"
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIPE_BYTES 65536u /* of a pipe, so that writing never blocks */

struct result {
	uint64_t digest; /* of packets and interfaces */
	uint64_t packets;
	int end;
};

static void mix(struct result *result, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < length; i++)
		result->digest = (result->digest ^ bytes[i]) * 1099511628211u;
}

static void take(struct result *result, const struct wb_captured *captured)
{
	const struct wbproto_packet *packet = &captured->packet;
	const struct wbproto_interface *interface = captured->interface;

	FUZZ_CHECK(interface && interface->index == packet->interface_index);
	FUZZ_CHECK(packet->captured_length <= WB_CAPTURE_MAX_LONG_PACKET_BYTES);
	FUZZ_CHECK(!interface->snap_length || packet->captured_length <= interface->snap_length);
	FUZZ_CHECK(interface->name.length <= 255 && interface->filter.length <= 4096);
	mix(result, packet->data, packet->captured_length);
	mix(result, &packet->time_unix_ns, sizeof packet->time_unix_ns);
	mix(result, &packet->original_length, sizeof packet->original_length);
	mix(result, &packet->flags, sizeof packet->flags);
	mix(result, &captured->lost, sizeof captured->lost);
	mix(result, &interface->link_type, sizeof interface->link_type);
	mix(result, interface->name.data, interface->name.length);
	mix(result, interface->filter.data, interface->filter.length);
	result->packets++;
}

/* Read until nothing more is there. */
static void read_on(struct wb_capture_file *file, struct result *result)
{
	struct wb_captured captured;
	struct wb_error error = {""};

	while ((result->end = wb_capture_file_next(file, 0, &captured, &error)) == 1)
		take(result, &captured);
	FUZZ_CHECK(result->end == 0 || result->end == -ENODATA || error.message[0]);
}

static struct wb_capture_file *open_fd(int fd, uint32_t *next_index)
{
	const struct wb_capture_file_options options = {.next_index = next_index};
	struct wb_capture_file *file;
	struct wb_error error;
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	FUZZ_CHECK(wb_capture_file_open(path, &options, &file, &error) == 0);
	return file;
}

static struct result read_whole(const uint8_t *data, size_t size)
{
	struct result result = {.digest = 14695981039346656037u};
	int fd = memfd_create("capture", MFD_CLOEXEC);
	struct wb_capture_file *file;
	uint32_t next_index = 1;

	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	file = open_fd(fd, &next_index);
	read_on(file, &result);
	FUZZ_CHECK(result.end != 0);
	wb_capture_file_close(file);
	close(fd);
	return result;
}

static struct result read_pieces(const uint8_t *data, size_t size, size_t first)
{
	struct result result = {.digest = 14695981039346656037u};
	struct wb_capture_file *file;
	uint32_t next_index = 1;
	int ends[2];

	FUZZ_CHECK(pipe2(ends, O_CLOEXEC) == 0);
	FUZZ_CHECK(write(ends[1], data, first) == (ssize_t)first);
	file = open_fd(ends[0], &next_index);
	read_on(file, &result);
	if (result.end == 0) {
		FUZZ_CHECK(write(ends[1], data + first, size - first) == (ssize_t)(size - first));
		close(ends[1]);
		read_on(file, &result);
	} else {
		close(ends[1]);
	}
	wb_capture_file_close(file);
	close(ends[0]);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole, pieces;

	if (size > PIPE_BYTES)
		return 0;
	whole = read_whole(data, size);
	/* A packet takes 16 bytes of a file at least. */
	FUZZ_CHECK(whole.packets <= size / 16);
	pieces = read_pieces(data, size, size ? data[size / 2] * size / 256 : 0);
	FUZZ_CHECK(whole.end == pieces.end && whole.packets == pieces.packets && whole.digest == pieces.digest);
	return 0;
}
