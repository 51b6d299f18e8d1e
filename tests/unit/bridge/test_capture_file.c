/* SPDX-License-Identifier: Apache-2.0 */
/* Capture files: every byte may be the last that is there yet, and no length makes memory grow. */
#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture_file.h"
#include "capture_input.h"

#define LARGE_BYTES 5000000u
#define LINK_USB_LINUX 189u

/* A file that grows; little-endian, as the tests' hosts are. */
struct made {
	uint8_t *bytes;
	size_t length;
};

static void put(struct made *made, const void *bytes, size_t length)
{
	made->bytes = realloc(made->bytes, made->length + length);
	assert_non_null(made->bytes);
	memcpy(made->bytes + made->length, bytes, length);
	made->length += length;
}

static void put_16(struct made *made, uint16_t value)
{
	put(made, &value, sizeof value);
}

static void put_32(struct made *made, uint32_t value)
{
	put(made, &value, sizeof value);
}

static void put_header(struct made *made, uint32_t magic, uint16_t minor, uint32_t snap_length, uint32_t link)
{
	put_32(made, magic);
	put_16(made, 2);
	put_16(made, minor);
	put_32(made, 0);
	put_32(made, 0);
	put_32(made, snap_length);
	put_32(made, link);
}

static void put_packet(struct made *made, uint32_t seconds, uint32_t captured, uint32_t original, const void *data)
{
	put_32(made, seconds);
	put_32(made, 7);
	put_32(made, captured);
	put_32(made, original);
	put(made, data, captured);
}

/* The lengths the other way around. */
static void put_swapped(struct made *made, uint32_t captured, uint32_t original, const void *data)
{
	put_32(made, 1);
	put_32(made, 7);
	put_32(made, original);
	put_32(made, captured);
	put(made, data, captured);
}

static void put_block(struct made *made, uint32_t type, const void *body, uint32_t length)
{
	put_32(made, type);
	put_32(made, length + 12);
	put(made, body, length);
	put_32(made, length + 12);
}

/* A section with an interface, a block to be skipped, and packets of both kinds. */
static void put_pcapng(struct made *made)
{
	static const uint32_t section[] = {0x1a2b3c4d, 1, UINT32_MAX, UINT32_MAX};
	static const uint32_t interface[] = {1, 96, 4u << 16 | 2, 0x30687465, 8u << 16 | 8, 1000, 0};
	static const uint32_t packet[] = {0, 0, 5, 4, 60, 0x64636261, 4u << 16 | 2, 2, 8u << 16 | 4, 33, 0};
	static const uint32_t simple[] = {4, 0x68676665};

	put_block(made, 0x0a0d0d0a, section, sizeof section);
	put_block(made, 1, interface, sizeof interface);
	put_block(made, 0x0bad, section, sizeof section);
	put_block(made, 6, packet, sizeof packet);
	put_block(made, 3, simple, sizeof simple);
}

/* A file of the bytes; its path. */
static int open_made(const struct made *made, char path[32])
{
	int fd = memfd_create("capture", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, made->bytes, made->length), made->length);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static struct wb_capture_file *open_path(const char *path, bool follow, uint32_t *next_index)
{
	const struct wb_capture_file_options options = {.follow = follow, .next_index = next_index};
	struct wb_capture_file *file;
	struct wb_error error = {""};

	*next_index = 1;
	assert_int_equal(wb_capture_file_open(path, &options, &file, &error), 0);
	return file;
}

static int next(struct wb_capture_file *file, struct wb_captured *captured)
{
	struct wb_error error = {""};

	return wb_capture_file_next(file, 0, captured, &error);
}

static void check_pcapng_packet(const struct wb_captured *captured, unsigned int number)
{
	const struct wbproto_packet *packet = &captured->packet;

	assert_int_equal(packet->time_unix_ns, 5000);
	assert_int_equal(packet->captured_length, 4);
	assert_memory_equal(packet->data, number ? "efgh" : "abcd", 4);
	assert_int_equal(packet->original_length, number ? 4 : 60);
	assert_int_equal(packet->flags, number ? 0 : WBPROTO_PACKET_OUTBOUND);
	assert_int_equal(captured->lost, number ? 0 : 33);
	assert_int_equal(captured->interface->index, 1);
	assert_int_equal(captured->interface->speed_bps, 1000);
	assert_int_equal(captured->interface->snap_length, 96);
	assert_int_equal(captured->interface->name.length, 4);
	assert_memory_equal(captured->interface->name.data, "eth0", 4);
}

/* Nothing is returned before it is whole, and nothing is lost: the file comes through a pipe, one byte at a time. */
static void test_byte_by_byte(void **state)
{
	struct wb_captured captured;
	struct wb_capture_file *file;
	struct made made = {0};
	unsigned int packets = 0;
	uint32_t next_index;
	char path[32];
	int ends[2];
	int r;

	put_pcapng(&made);
	put_pcapng(&made);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
	file = open_path(path, false, &next_index);
	for (size_t i = 0; i < made.length; i++) {
		assert_int_equal(write(ends[1], made.bytes + i, 1), 1);
		r = next(file, &captured);
		assert_true(r == 0 || r == 1);
		if (r == 0)
			continue;
		if (packets < 2)
			check_pcapng_packet(&captured, packets);
		packets++;
		assert_int_equal(captured.interface->index, packets > 2 ? 2 : 1);
	}
	assert_int_equal(packets, 4);
	close(ends[1]);
	assert_int_equal(next(file, &captured), -ENODATA);
	wb_capture_file_close(file);
	close(ends[0]);
	free(made.bytes);
}

/* Blocks that are skipped come without end: the call returns all the same, again and again. */
static void test_endless(void **state)
{
	enum { SKIPPED_BLOCKS = 4 * WB_CAPTURE_INPUT_MAX_BYTES / 12 };
	struct wb_captured captured;
	struct wb_capture_file *file;
	struct wb_error error = {""};
	struct made made = {0}, skipped = {0};
	unsigned int calls = 0;
	uint32_t next_index;
	char path[32];
	int fd, r;

	put_pcapng(&made);
	put_block(&skipped, 0x0bad, "", 0);
	fd = open_made(&made, path);
	for (size_t i = 0; i < 4096 - skipped.length; i += 12)
		put_block(&skipped, 0x0bad, "", 0);
	for (size_t i = 0; i < SKIPPED_BLOCKS; i += skipped.length / 12)
		assert_int_equal(write(fd, skipped.bytes, skipped.length), skipped.length);
	file = open_path(path, false, &next_index);
	assert_int_equal(next(file, &captured), 1);
	assert_int_equal(next(file, &captured), 1);
	while ((r = wb_capture_file_next(file, 1000, &captured, &error)) == 0)
		calls++;
	assert_int_equal(r, -ENODATA);
	assert_true(calls > 0 && calls < 10);
	wb_capture_file_close(file);
	close(fd);
	free(made.bytes);
	free(skipped.bytes);
}

/* A file that is followed has no end; what is cut is waited for. */
static void test_follow(void **state)
{
	struct wb_captured captured;
	struct wb_capture_file *file;
	struct made made = {0};
	uint32_t next_index;
	size_t first;
	char path[32];
	int fd;

	put_header(&made, 0xa1b2c3d4, 4, 65535, 1);
	put_packet(&made, 1, 4, 4, "abcd");
	first = made.length;
	put_packet(&made, 2, 4, 4, "efgh");
	made.length = first + 5;
	fd = open_made(&made, path);
	file = open_path(path, true, &next_index);
	assert_int_equal(next(file, &captured), 1);
	assert_int_equal(next(file, &captured), 0);
	assert_int_equal(write(fd, made.bytes + first + 5, 15), 15);
	assert_int_equal(next(file, &captured), 1);
	assert_memory_equal(captured.packet.data, "efgh", 4);
	assert_int_equal(next(file, &captured), 0);
	wb_capture_file_close(file);
	close(fd);
	free(made.bytes);
}

/* What a length promises takes no memory before it is there. */
static void test_memory(void **state)
{
	struct wb_capture_input input;
	struct made made = {0};
	char path[32];
	size_t before;
	int fd;

	put(&made, "0123456789", 10);
	fd = open_made(&made, path);
	assert_int_equal(wb_capture_input_open(&input, path, false), 0);
	before = input.capacity;
	assert_int_equal(wb_capture_input_need(&input, WB_CAPTURE_INPUT_MAX_BYTES, -1), -ENODATA);
	assert_int_equal(input.capacity, before);
	assert_int_equal(wb_capture_input_left(&input), 10);
	wb_capture_input_close(&input);
	close(fd);
	free(made.bytes);
}

/* Of a link type that may have such; others' packets end at 256 KiB. */
static void test_large_packet(void **state)
{
	struct wb_captured captured;
	struct wb_capture_file *file;
	struct made made = {0};
	uint8_t *data = malloc(LARGE_BYTES);
	uint32_t next_index;
	char path[32];
	int fd;

	assert_non_null(data);
	for (size_t i = 0; i < LARGE_BYTES; i++)
		data[i] = (uint8_t)(i >> 8 ^ i);
	put_header(&made, 0xa1b2c3d4, 4, 0, LINK_USB_LINUX);
	put_packet(&made, 1, LARGE_BYTES, LARGE_BYTES, data);
	put_packet(&made, 2, 3, 3, "end");
	fd = open_made(&made, path);
	file = open_path(path, false, &next_index);
	assert_int_equal(next(file, &captured), 1);
	assert_int_equal(captured.packet.captured_length, LARGE_BYTES);
	assert_memory_equal(captured.packet.data, data, LARGE_BYTES);
	assert_int_equal(next(file, &captured), 1);
	assert_memory_equal(captured.packet.data, "end", 3);
	assert_int_equal(next(file, &captured), -ENODATA);
	wb_capture_file_close(file);
	made.bytes[20] = 1;
	close(fd);
	fd = open_made(&made, path);
	file = open_path(path, false, &next_index);
	assert_int_equal(next(file, &captured), -EBADMSG);
	wb_capture_file_close(file);
	close(fd);
	free(data);
	free(made.bytes);
}

/* Forms of pcap that are seldom seen. */
static void test_old_forms(void **state)
{
	static const uint8_t extra[12] = "\1\0\0\0\0\0\0\0data";
	struct wb_captured captured;
	struct wb_capture_file *file;
	uint32_t next_index;
	char path[32];

	for (int form = 0; form < 4; form++) {
		struct made made = {0};
		int fd;

		if (form == 0) { /* the lengths are the other way around */
			put_header(&made, 0xa1b2c3d4, 2, 96, 1);
			put_swapped(&made, 4, 60, "data");
		} else if (form == 1) { /* they are if only so they make sense */
			put_header(&made, 0xa1b2c3d4, 3, 96, 1);
			put_swapped(&made, 4, 60, "data");
		} else if (form == 2) { /* Kuznetzov's */
			put_header(&made, 0xa1b2cd34, 4, 96, 1);
			put_packet(&made, 1, 12, 60, extra);
			made.bytes[24 + 8] = 4;
		} else { /* a frame check sequence of 2 x 16 bits */
			put_header(&made, 0xa1b2c3d4, 4, 96, 0x24000001);
			put_packet(&made, 1, 4, 60, "data");
		}
		fd = open_made(&made, path);
		file = open_path(path, false, &next_index);
		assert_int_equal(next(file, &captured), 1);
		assert_int_equal(captured.packet.captured_length, 4);
		assert_int_equal(captured.packet.original_length, 60);
		assert_memory_equal(captured.packet.data, "data", 4);
		assert_int_equal(captured.interface->link_type, 1);
		assert_int_equal(captured.packet.flags, form == 3 ? 4 << 5 : 0);
		assert_int_equal(next(file, &captured), -ENODATA);
		wb_capture_file_close(file);
		close(fd);
		free(made.bytes);
	}
}

/* A packet beyond the snap length is kept whole, and its interface has another number from there on. */
static void test_outgrown(void **state)
{
	struct wb_captured captured;
	struct wb_capture_file *file;
	struct made made = {0};
	uint32_t next_index;
	char path[32];
	int fd;

	put_header(&made, 0xa1b2c3d4, 4, 3, 1);
	put_packet(&made, 1, 3, 9, "abc");
	put_packet(&made, 1, 4, 9, "abcd");
	fd = open_made(&made, path);
	file = open_path(path, false, &next_index);
	assert_int_equal(next(file, &captured), 1);
	assert_int_equal(captured.interface->snap_length, 3);
	assert_int_equal(captured.packet.interface_index, 1);
	assert_int_equal(next(file, &captured), 1);
	assert_int_equal(captured.interface->snap_length, 0);
	assert_int_equal(captured.packet.interface_index, 2);
	assert_int_equal(captured.packet.captured_length, 4);
	wb_capture_file_close(file);
	close(fd);
	free(made.bytes);
}

static void test_is(void **state)
{
	struct made made = {0};
	char path[32];
	int fd;

	put_pcapng(&made);
	fd = open_made(&made, path);
	assert_true(wb_capture_file_is(path));
	close(fd);
	assert_true(wb_capture_file_is("-"));
	assert_false(wb_capture_file_is("/"));
	assert_false(wb_capture_file_is("/nonexistent"));
	made.bytes[0] = 'W';
	fd = open_made(&made, path);
	assert_false(wb_capture_file_is(path));
	close(fd);
	free(made.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_follow),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_large_packet),
		cmocka_unit_test(test_old_forms),
		cmocka_unit_test(test_outgrown),
		cmocka_unit_test(test_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
