/* SPDX-License-Identifier: Apache-2.0 */
/* Several capture files as one: the order of their times, whatever the files are like. */
#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture_merge.h"

#define MAX_FILES 40u
#define MAX_PACKETS 2000u

/* pcap files in memory. A packet's data is its number among all. */
struct files {
	int fds[MAX_FILES];
	char names[MAX_FILES][32];
	const char *paths[MAX_FILES];
	size_t count;
};

static size_t add_file(struct files *files)
{
	static const uint32_t header[] = {0xa1b23c4d, 4u << 16 | 2, 0, 0, 262144, 1};
	size_t i = files->count++;

	files->fds[i] = memfd_create("capture", MFD_CLOEXEC);
	assert_int_equal(write(files->fds[i], header, sizeof header), sizeof header);
	snprintf(files->names[i], sizeof files->names[i], "/proc/self/fd/%d", files->fds[i]);
	files->paths[i] = files->names[i];
	return i;
}

static void add_packet(struct files *files, size_t file, uint32_t time_ns, uint32_t number)
{
	const uint32_t packet[] = {0, time_ns, sizeof number, sizeof number, number};

	assert_int_equal(write(files->fds[file], packet, sizeof packet), sizeof packet);
}

static struct wb_capture_merge *open_files(const struct files *files)
{
	const struct wb_capture_merge_options options = {.interface = "merged"};
	struct wb_capture_merge *merge;
	struct wb_error error = {""};

	assert_int_equal(wb_capture_merge_open(files->paths, files->count, &options, &merge, &error), 0);
	return merge;
}

static void close_files(struct files *files)
{
	for (size_t i = 0; i < files->count; i++)
		close(files->fds[i]);
	files->count = 0;
}

static int next(struct wb_capture_merge *merge, struct wb_captured *captured, uint32_t *ret_number)
{
	struct wb_error error = {""};
	int r = wb_capture_merge_next(merge, 0, captured, &error);

	if (r == 1)
		memcpy(ret_number, captured->packet.data, sizeof *ret_number);
	return r;
}

/* Packets dealt out to files at random come back in their order; of equal times the first file's first. */
static void test_order(void **state)
{
	for (unsigned int seed = 1; seed <= 20; seed++) {
		struct files files = {.count = 0};
		struct wb_capture_merge *merge;
		struct wb_captured captured;
		unsigned int random = seed;
		uint32_t number, seen = 0;
		size_t count = 1 + (size_t)seed * 7 % MAX_FILES;

		for (size_t i = 0; i < count; i++)
			add_file(&files);
		for (uint32_t i = 0; i < MAX_PACKETS; i++)
			add_packet(&files, (size_t)rand_r(&random) % count, i, i);
		merge = open_files(&files);
		while (next(merge, &captured, &number) == 1)
			assert_int_equal(number, seen++);
		assert_int_equal(seen, MAX_PACKETS);
		assert_int_equal(wb_capture_merge_backwards(merge), 0);
		wb_capture_merge_close(merge);
		close_files(&files);
	}
}

static void test_equal_times(void **state)
{
	struct files files = {.count = 0};
	struct wb_capture_merge *merge;
	struct wb_captured captured;
	uint32_t number, seen = 0;

	for (uint32_t i = 0; i < 5; i++)
		add_packet(&files, add_file(&files), 7, i);
	merge = open_files(&files);
	while (next(merge, &captured, &number) == 1) {
		assert_int_equal(number, seen++);
		assert_int_equal(captured.interface->name.length, 6);
	}
	assert_int_equal(seen, 5);
	wb_capture_merge_close(merge);
	close_files(&files);
}

/* A file that goes back keeps its order, others do not wait behind what is late in it. */
static void test_backwards(void **state)
{
	static const uint32_t wanted[] = {0, 10, 1, 2, 11, 3};
	struct files files = {.count = 0};
	struct wb_capture_merge *merge;
	struct wb_captured captured;
	size_t first = add_file(&files), second = add_file(&files);
	uint32_t number;

	add_packet(&files, first, 100, 0);
	add_packet(&files, first, 300, 1);
	add_packet(&files, first, 200, 2); /* goes as if it were of 300 */
	add_packet(&files, first, 400, 3);
	add_packet(&files, second, 250, 10);
	add_packet(&files, second, 350, 11);
	merge = open_files(&files);
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
		assert_int_equal(next(merge, &captured, &number), 1);
		assert_int_equal(number, wanted[i]);
	}
	assert_int_equal(next(merge, &captured, &number), -ENODATA);
	assert_int_equal(wb_capture_merge_backwards(merge), 1);
	wb_capture_merge_close(merge);
	close_files(&files);
}

/* One that is damaged is told once, and the others go on. */
static void test_damaged(void **state)
{
	struct files files = {.count = 0};
	struct wb_capture_merge *merge;
	struct wb_captured captured;
	size_t first = add_file(&files), second = add_file(&files);
	uint32_t number;

	add_packet(&files, first, 1, 0);
	assert_int_equal(write(files.fds[first], "torn", 4), 4);
	add_packet(&files, second, 2, 1);
	add_packet(&files, second, 3, 2);
	merge = open_files(&files);
	assert_int_equal(next(merge, &captured, &number), 1);
	assert_int_equal(number, 0);
	assert_int_equal(next(merge, &captured, &number), -EBADMSG);
	assert_int_equal(next(merge, &captured, &number), 1);
	assert_int_equal(number, 1);
	assert_int_equal(next(merge, &captured, &number), 1);
	assert_int_equal(next(merge, &captured, &number), -ENODATA);
	assert_int_equal(next(merge, &captured, &number), -ENODATA);
	wb_capture_merge_close(merge);
	close_files(&files);
}

/* A pipe that has not said what comes next holds the others up. */
static void test_waits_for_all(void **state)
{
	static const uint32_t bytes[] = {0xa1b23c4d, 4u << 16 | 2, 0, 0, 262144, 1, 0, 5, 4, 4, 99};
	struct files files = {.count = 0};
	struct wb_capture_merge *merge;
	struct wb_captured captured;
	uint32_t number;
	char path[32];
	int ends[2];

	add_packet(&files, add_file(&files), 10, 1);
	assert_int_equal(pipe(ends), 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
	files.paths[files.count++] = path;
	files.fds[1] = ends[0];
	merge = open_files(&files);
	assert_int_equal(next(merge, &captured, &number), 0);
	assert_true(wb_capture_merge_fd(merge) >= 0);
	assert_int_equal(write(ends[1], bytes, sizeof bytes), sizeof bytes);
	assert_int_equal(next(merge, &captured, &number), 1);
	assert_int_equal(number, 99);
	assert_int_equal(next(merge, &captured, &number), 0);
	close(ends[1]);
	assert_int_equal(next(merge, &captured, &number), 1);
	assert_int_equal(number, 1);
	assert_int_equal(next(merge, &captured, &number), -ENODATA);
	wb_capture_merge_close(merge);
	close_files(&files);
}

static void test_missing(void **state)
{
	const struct wb_capture_merge_options options = {.follow = false};
	struct files files = {.count = 0};
	struct wb_capture_merge *merge = NULL;
	struct wb_error error = {""};

	add_file(&files);
	files.paths[files.count] = "/nonexistent/day.pcap";
	assert_int_equal(wb_capture_merge_open(files.paths, 2, &options, &merge, &error), -ENOENT);
	assert_non_null(strstr(error.message, "/nonexistent/day.pcap"));
	assert_null(merge);
	close_files(&files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_equal_times),
		cmocka_unit_test(test_backwards),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_waits_for_all),
		cmocka_unit_test(test_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
