/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that what a container gives out is what was written into it, whatever happened to the file in between. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "container.h"

#define MAX_BYTES ((size_t)8 << 20)

static char directory[] = "/tmp/wirebus-container-XXXXXX";
static char path[64];

struct sample {
	uint16_t kind;
	const char *route;
	size_t size;
	uint64_t offset; /* filled in when it is written */
};

/* Small on purpose: each bit of the file is damaged in turn. */
static struct sample samples[] = {{1, "", 5, 0}, {2, "topic\x01key", 40, 0}, {1, "", 1, 0}, {1, "", 17, 0}};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

static uint8_t byte_of(size_t sample, size_t i)
{
	return (uint8_t)(sample * 31 + i * 7 + (i >> 8));
}

static uint8_t *message_of(size_t sample, size_t size)
{
	uint8_t *message = malloc(size);

	assert_non_null(message);
	for (size_t i = 0; i < size; i++)
		message[i] = byte_of(sample, i);
	return message;
}

static void write_at(uint64_t offset, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, size, (off_t)offset), size);
	close(fd);
}

static void write_file(const void *data, size_t size)
{
	unlink(path);
	write_at(0, data, size);
}

static size_t put_entry(uint8_t *to, uint16_t kind, const char *route, size_t sample, size_t size)
{
	uint8_t *message = message_of(sample, size);
	uint16_t route_length = (uint16_t)strlen(route);

	wb_container_entry(to, kind, route, route_length, message, size);
	memcpy(to + WB_CONTAINER_ENTRY_BYTES, route, route_length);
	memcpy(to + WB_CONTAINER_ENTRY_BYTES + route_length, message, size);
	free(message);
	return WB_CONTAINER_ENTRY_BYTES + route_length + size;
}

/* A file with the samples in it; returns its length. */
static size_t make_file(uint8_t *to)
{
	size_t length = WB_CONTAINER_HEADER_BYTES;

	wb_container_header(to);
	for (size_t i = 0; i < SAMPLES; i++) {
		samples[i].offset = length;
		length += put_entry(to + length, samples[i].kind, samples[i].route, i, samples[i].size);
	}
	return length;
}

static void assert_is_sample(const struct wb_container_item *item, size_t i)
{
	assert_int_equal(item->offset, samples[i].offset);
	assert_int_equal(item->kind, samples[i].kind);
	assert_int_equal(item->route_length, strlen(samples[i].route));
	assert_memory_equal(item->route, samples[i].route, item->route_length);
	assert_int_equal(item->message_length, samples[i].size);
	for (size_t k = 0; k < samples[i].size; k++)
		assert_int_equal(item->message[k], byte_of(i, k));
}

static size_t sample_at(uint64_t offset)
{
	for (size_t i = 0; i < SAMPLES; i++)
		if (samples[i].offset == offset)
			return i;
	fail_msg("an item at %llu, where none was written", (unsigned long long)offset);
	return 0;
}

static struct wb_container_reader *open_file(void)
{
	struct wb_container_reader *reader = NULL;
	struct wb_error error = {""};
	int r = wb_container_open(path, MAX_BYTES, &reader, &error);

	if (r < 0)
		fail_msg("%s", error.message);
	return reader;
}

static void assert_open_fails(int code, const char *text)
{
	struct wb_container_reader *reader;
	struct wb_error error = {""};

	assert_int_equal(wb_container_open(path, MAX_BYTES, &reader, &error), code);
	assert_non_null(strstr(error.message, path));
	if (!strstr(error.message, text))
		fail_msg("\"%s\" does not say \"%s\"", error.message, text);
}

static void items_come_back_as_written(void **state)
{
	struct wb_container_item item;
	struct wb_container_reader *reader;
	struct wb_error error;
	uint8_t file[512];

	write_file(file, make_file(file));
	reader = open_file();
	for (size_t i = 0; i < SAMPLES; i++) {
		assert_int_equal(wb_container_offset(reader), samples[i].offset);
		assert_int_equal(wb_container_next(reader, &item, &error), 1);
		assert_is_sample(&item, i);
	}
	assert_int_equal(wb_container_next(reader, &item, &error), 0);
	assert_int_equal(wb_container_next(reader, &item, &error), 0);
	/* Back to the third, on to the last, and beyond. */
	wb_container_seek(reader, samples[2].offset);
	assert_int_equal(wb_container_next(reader, &item, &error), 1);
	assert_is_sample(&item, 2);
	wb_container_close(reader);
	reader = open_file();
	wb_container_seek(reader, samples[3].offset);
	assert_int_equal(wb_container_next(reader, &item, &error), 1);
	assert_is_sample(&item, 3);
	assert_int_equal(wb_container_next(reader, &item, &error), 0);
	wb_container_close(reader);
}

/* Longer than what the reader reads at a time, and some that lie across its end. */
static void large_items_come_back(void **state)
{
	const size_t sizes[] = {3 << 20, 1, 700000, 700000, MAX_BYTES, 100};
	struct wb_container_reader *reader;
	struct wb_container_item item;
	struct wb_error error;
	uint64_t offset = WB_CONTAINER_HEADER_BYTES;
	uint8_t *file = malloc(MAX_BYTES + WB_CONTAINER_ENTRY_BYTES);

	assert_non_null(file);
	wb_container_header(file);
	write_file(file, WB_CONTAINER_HEADER_BYTES);
	for (size_t i = 0; i < 6; i++) {
		size_t length = put_entry(file, 1, "", i, sizes[i]);

		write_at(offset, file, length);
		offset += length;
	}
	reader = open_file();
	for (size_t i = 0; i < 6; i++) {
		uint8_t *expected = message_of(i, sizes[i]);

		assert_int_equal(wb_container_next(reader, &item, &error), 1);
		assert_int_equal(item.message_length, sizes[i]);
		assert_memory_equal(item.message, expected, sizes[i]);
		free(expected);
	}
	assert_int_equal(wb_container_next(reader, &item, &error), 0);
	wb_container_close(reader);
	free(file);
}

/* Read all there is. Whatever is given out must be a sample, unchanged. Returns the number of errors. */
static int read_damaged(bool *seen, int *ret_last)
{
	struct wb_container_reader *reader;
	struct wb_container_item item;
	struct wb_error error;
	int errors = 0, r;

	memset(seen, 0, SAMPLES * sizeof(*seen));
	r = wb_container_open(path, MAX_BYTES, &reader, &error);
	*ret_last = r;
	if (r < 0) {
		assert_true(r == -EPROTO || r == -EAGAIN);
		return 1;
	}
	while ((r = wb_container_next(reader, &item, &error)) == 1 || r == -EBADMSG) {
		if (r == -EBADMSG) {
			errors++;
			assert_non_null(strstr(error.message, "@"));
			continue;
		}
		assert_is_sample(&item, sample_at(item.offset));
		seen[sample_at(item.offset)] = true;
	}
	*ret_last = r;
	wb_container_close(reader);
	assert_true(r == 0 || r == -EAGAIN || r == -EPROTO);
	return errors + (r < 0);
}

static void every_flipped_bit_is_noticed(void **state)
{
	uint8_t file[512];
	size_t length = make_file(file);
	bool seen[SAMPLES];
	int last;

	for (size_t byte = 0; byte < length; byte++)
		for (int bit = 0; bit < 8; bit++) {
			file[byte] ^= (uint8_t)(1 << bit);
			write_file(file, length);
			file[byte] ^= (uint8_t)(1 << bit);
			assert_true(read_damaged(seen, &last) > 0);
			for (size_t i = 0; i < SAMPLES; i++) {
				uint64_t end = i + 1 < SAMPLES ? samples[i + 1].offset : length;

				if (byte < WB_CONTAINER_HEADER_BYTES)
					assert_false(seen[i]);
				else if (end <= byte)
					assert_true(seen[i]);
				else if (samples[i].offset <= byte)
					assert_false(seen[i]);
			}
		}
}

/* When the length of an entry is intact, damage costs that entry alone. */
static void damage_costs_one_entry(void **state)
{
	uint8_t file[512];
	size_t length = make_file(file);
	bool seen[SAMPLES];
	int last;

	for (size_t hit = 0; hit < SAMPLES; hit++) {
		uint64_t end = hit + 1 < SAMPLES ? samples[hit + 1].offset : length;

		for (uint64_t byte = samples[hit].offset + 4; byte < end; byte++) {
			/* The length of the route takes part in what lengths can be. */
			if (byte - samples[hit].offset == 10 || byte - samples[hit].offset == 11)
				continue;
			file[byte] ^= 0x40;
			write_file(file, length);
			file[byte] ^= 0x40;
			assert_int_equal(read_damaged(seen, &last), 1);
			assert_int_equal(last, 0);
			for (size_t i = 0; i < SAMPLES; i++)
				assert_int_equal(seen[i], i != hit);
		}
	}
}

static void every_truncation_is_noticed(void **state)
{
	uint8_t file[512];
	size_t length = make_file(file);
	bool seen[SAMPLES];
	int last;

	for (size_t cut = 0; cut < length; cut++) {
		bool between = cut == WB_CONTAINER_HEADER_BYTES;

		write_file(file, cut);
		read_damaged(seen, &last);
		for (size_t i = 0; i < SAMPLES; i++) {
			uint64_t end = i + 1 < SAMPLES ? samples[i + 1].offset : length;

			between = between || cut == samples[i].offset;
			assert_int_equal(seen[i], end <= cut);
		}
		assert_int_equal(last, between ? 0 : -EAGAIN);
	}
}

static void impossible_lengths_end_the_file(void **state)
{
	const uint32_t lengths[] = {0, 0xffffffff, 0x80000000, (uint32_t)MAX_BYTES + 1};
	struct wb_container_reader *reader;
	struct wb_container_item item;
	struct wb_error error;
	uint8_t file[512];
	size_t length = make_file(file);
	char where[96];

	snprintf(where, sizeof(where), "%s@%d:", path, WB_CONTAINER_HEADER_BYTES);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (int k = 0; k < 4; k++)
			file[WB_CONTAINER_HEADER_BYTES + k] = (uint8_t)(lengths[i] >> 8 * k);
		write_file(file, length);
		reader = open_file();
		assert_int_equal(wb_container_next(reader, &item, &error), -EPROTO);
		assert_non_null(strstr(error.message, where));
		assert_int_equal(wb_container_next(reader, &item, &error), -EPROTO);
		wb_container_close(reader);
	}
	/* No longer than its route. */
	make_file(file);
	file[samples[1].offset] = (uint8_t)strlen(samples[1].route);
	write_file(file, length);
	reader = open_file();
	assert_int_equal(wb_container_next(reader, &item, &error), 1);
	assert_int_equal(wb_container_next(reader, &item, &error), -EPROTO);
	wb_container_close(reader);
}

/* A length that is allowed, but not there: nothing is allocated or read for it, the file may yet grow. */
static void long_entry_beyond_the_end_waits(void **state)
{
	struct wb_container_reader *reader;
	struct wb_container_item item;
	struct wb_error error;
	uint8_t file[512];
	size_t length = make_file(file);

	file[samples[3].offset + 2] = 0x70;
	write_file(file, length);
	reader = open_file();
	for (int i = 0; i < 3; i++)
		assert_int_equal(wb_container_next(reader, &item, &error), 1);
	assert_int_equal(wb_container_next(reader, &item, &error), -EAGAIN);
	assert_non_null(strstr(error.message, "ends inside an entry"));
	wb_container_close(reader);
}

static void other_files_are_refused(void **state)
{
	uint8_t file[512];
	size_t length = make_file(file);

	unlink(path);
	assert_open_fails(-ENOENT, "No such file");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_open_fails(-EISDIR, "not a regular file");
	rmdir(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_open_fails(-EINVAL, "not a regular file");
	write_file("", 0);
	assert_open_fails(-EAGAIN, "ends inside its header (0 of 16 bytes)");
	write_file("\xd4\xc3\xb2\xa1 a capture file, not a container", 36);
	assert_open_fails(-EPROTO, "not a wirebus container");
	file[8] = 2;
	write_file(file, length);
	assert_open_fails(-EPROTO, "version 2");
	make_file(file);
	file[12] = 24;
	write_file(file, length);
	assert_open_fails(-EPROTO, "header length 24");
}

/* The file at every stage of being written: nothing comes early, nothing is lost. */
static void growing_file_is_followed(void **state)
{
	struct wb_container_reader *reader;
	struct wb_container_item item;
	struct wb_error error;
	uint8_t file[512];
	size_t length = make_file(file), next = 0;

	write_file(file, WB_CONTAINER_HEADER_BYTES);
	reader = open_file();
	for (size_t i = WB_CONTAINER_HEADER_BYTES; i < length; i++) {
		uint64_t end = next + 1 < SAMPLES ? samples[next + 1].offset : length;

		assert_int_equal(wb_container_next(reader, &item, &error), i == samples[next].offset ? 0 : -EAGAIN);
		write_at(i, &file[i], 1);
		if (i + 1 < end)
			continue;
		assert_int_equal(wb_container_next(reader, &item, &error), 1);
		assert_is_sample(&item, next++);
	}
	assert_int_equal(next, SAMPLES);
	assert_int_equal(wb_container_next(reader, &item, &error), 0);
	wb_container_close(reader);
}

/* The disk was full: the writer took a piece of an entry back, and later wrote another entry there. */
static void replaced_piece_is_not_mixed_up(void **state)
{
	struct wb_container_reader *reader;
	struct wb_container_item item;
	struct wb_error error;
	uint8_t file[512], other[256];
	size_t length;

	make_file(file);
	for (size_t cut = samples[1].offset + 1; cut < samples[2].offset; cut++) {
		write_file(file, cut);
		reader = open_file();
		assert_int_equal(wb_container_next(reader, &item, &error), 1);
		assert_int_equal(wb_container_next(reader, &item, &error), -EAGAIN);
		assert_int_equal(truncate(path, (off_t)samples[1].offset), 0);
		length = put_entry(other, 1, "", 9, 100);
		write_at(samples[1].offset, other, length);
		assert_int_equal(wb_container_next(reader, &item, &error), 1);
		assert_int_equal(item.message_length, 100);
		for (size_t i = 0; i < 100; i++)
			assert_int_equal(item.message[i], byte_of(9, i));
		wb_container_close(reader);
	}
}

static int set_up(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/a.wbs", directory);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_come_back_as_written),
		cmocka_unit_test(large_items_come_back),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(damage_costs_one_entry),
		cmocka_unit_test(every_truncation_is_noticed),
		cmocka_unit_test(impossible_lengths_end_the_file),
		cmocka_unit_test(long_entry_beyond_the_end_waits),
		cmocka_unit_test(other_files_are_refused),
		cmocka_unit_test(growing_file_is_followed),
		cmocka_unit_test(replaced_piece_is_not_mixed_up),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
