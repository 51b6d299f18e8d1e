/* SPDX-License-Identifier: Apache-2.0 */
#include "sink_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

uint8_t *from_hex(const char *hex, uint32_t *ret_length)
{
	uint8_t *bytes;
	size_t n = 0;

	for (const char *c = hex; *c; c++)
		n += digit(*c) >= 0;
	assert_int_equal(n % 2, 0);
	bytes = malloc(n / 2 + (n == 0));
	assert_non_null(bytes);
	n = 0;
	for (const char *c = hex; *c; c++) {
		if (digit(*c) < 0)
			continue;
		bytes[n / 2] = (uint8_t)(n % 2 ? bytes[n / 2] << 4 | digit(*c) : digit(*c));
		n++;
	}
	*ret_length = (uint32_t)(n / 2);
	return bytes;
}

void ordinary_record(struct wbproto_record *ret_record)
{
	/* UUIDv7 of 2026-11-24 02:00:00 UTC */
	static const uint8_t session[WBPROTO_SESSION_ID_BYTES] = {
		0x01, 0x9a, 0xb3, 0x3c, 0x04, 0x00, 0x70, 0x01, 0x80, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08};

	*ret_record = (struct wbproto_record){
		.worker_id = 1,
		.stream_id = 1,
		.batch_seq = 1,
		.packet_seq = 1,
		.node = VIEW("lab1"),
		.packet = {.time_unix_ns = 1795486065123456789u, .interface_index = 3, .flags = WBPROTO_PACKET_INBOUND},
		.interface = {.index = 3, .link_type = 1, .snap_length = 65535, .name = VIEW("veth0")},
	};
	memcpy(ret_record->session_id, session, sizeof(session));
}

char *through_sink(
	const struct wb_sink_ops *ops, const struct wbproto_record *records, size_t count, size_t *ret_length)
{
	struct wb_error error = {""};
	struct wb_sink *sink;
	char *text = NULL;
	FILE *stream = open_memstream(&text, ret_length);

	assert_non_null(stream);
	assert_int_equal(ops->open(stream, &sink, &error), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(ops->packet(sink, &records[i], 0), 0);
	assert_int_equal(ops->finish(sink), 0);
	ops->close(sink);
	assert_int_equal(fclose(stream), 0);
	return text;
}

void to_file(const void *data, size_t length, char ret_path[64])
{
	int fd;

	strcpy(ret_path, "/tmp/wirebus-test-XXXXXX");
	fd = mkstemp(ret_path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, length), length);
	assert_int_equal(close(fd), 0);
}

void need_program(const char *path)
{
	if (access(path, X_OK) == 0)
		return;
	if (getenv("CI"))
		fail_msg("%s is not installed", path);
	skip();
}

char *output_of(const char *command)
{
	size_t length, room = 1u << 20;
	char *text = malloc(room);
	FILE *pipe = popen(command, "r");

	assert_non_null(text);
	assert_non_null(pipe);
	length = fread(text, 1, room - 1, pipe);
	text[length] = '\0';
	if (pclose(pipe) != 0)
		fail_msg("this failed: %s", command);
	return text;
}

static uint32_t get_u32(const char *at)
{
	const uint8_t *bytes = (const uint8_t *)at;

	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Options up to the end of the block; returns the value of the drop count. */
static uint64_t check_options(const char *at, const char *end)
{
	uint64_t drops = 0;

	while (at < end) {
		uint32_t head, length;

		assert_true(end - at >= 4);
		head = get_u32(at);
		length = head >> 16;
		if ((head & 0xffff) == 0) {
			assert_int_equal(length, 0);
			assert_ptr_equal(at + 4, end);
			return drops;
		}
		assert_true(end - at >= 4 + ((length + 3) & ~3u));
		if ((head & 0xffff) == 4 && length == 8)
			drops = get_u32(at + 4) | (uint64_t)get_u32(at + 8) << 32;
		at += 4 + ((length + 3) & ~3u);
	}
	return drops;
}

void check_pcapng(const char *file, size_t length, struct pcapng_facts *ret_facts)
{
	struct pcapng_facts facts = {0};
	static uint32_t snap_lengths[70000];
	const char *at = file, *end = file + length;

	assert_true(length >= 28);
	assert_int_equal(get_u32(file), 0x0a0d0d0a);
	assert_int_equal(get_u32(file + 8), 0x1a2b3c4d);
	while (at < end) {
		uint32_t type, total;

		assert_true(end - at >= 12);
		type = get_u32(at);
		total = get_u32(at + 4);
		assert_true(total >= 12 && total % 4 == 0 && total <= (size_t)(end - at));
		assert_int_equal(get_u32(at + total - 4), total);
		if (type == 1) {
			assert_true(facts.interfaces < 70000);
			snap_lengths[facts.interfaces++] = get_u32(at + 12);
			check_options(at + 16, at + total - 4);
		} else if (type == 6) {
			uint32_t id = get_u32(at + 8), captured = get_u32(at + 20);

			assert_true(id < facts.interfaces);
			assert_true(captured <= 262144 && captured <= get_u32(at + 24));
			if (snap_lengths[id])
				assert_true(captured <= snap_lengths[id]);
			assert_true(28 + (size_t)captured + 4 <= total);
			facts.packets++;
			facts.drop_counts += check_options(at + 28 + ((captured + 3) & ~3u), at + total - 4);
		} else if (type == 5) {
			assert_true(get_u32(at + 8) < facts.interfaces);
			check_options(at + 20, at + total - 4);
			facts.statistics++;
		} else {
			assert_int_equal(type, 0x0a0d0d0a);
			assert_ptr_equal(at, file);
		}
		at += total;
	}
	*ret_facts = facts;
}
