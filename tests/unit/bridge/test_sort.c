/* SPDX-License-Identifier: Apache-2.0 */
/* The sort on disk against qsort(), with so little memory that there are runs, and runs of runs; and without room. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include "sort.h"
#include "testing.h"

#define MEMORY ((size_t)64 << 10) /* the least */

struct item {
	uint64_t time_ns;
	uint64_t order;
	uint64_t seed; /* of what is in it */
	size_t size;
};

static int compare(const void *left, const void *right)
{
	const struct item *a = left, *b = right;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static void fill(uint8_t *data, const struct item *item)
{
	uint64_t value = item->seed | 1;

	for (size_t i = 0; i < item->size; i++, value *= 6364136223846793005u)
		data[i] = (uint8_t)(value >> 56);
}

static void check_item(struct wb_sort *sort, const struct item *wanted, uint8_t *scratch)
{
	struct wb_sort_item item;
	struct wb_error error = {""};

	if (wb_sort_next(sort, &item, &error) != 1)
		fail_msg("%s", error.message);
	assert_int_equal(item.time_ns, wanted->time_ns);
	assert_int_equal(item.size, wanted->size);
	fill(scratch, wanted);
	if (item.size)
		assert_memory_equal(item.data, scratch, item.size);
}

/* Returns how many files were written. */
static unsigned int check_sort(size_t count, size_t max_size, uint64_t times, size_t memory)
{
	struct item *items = calloc(count + 1, sizeof(*items));
	uint8_t *scratch = malloc(max_size + 1);
	struct wb_sort_item none;
	struct wb_error error = {""};
	struct wb_sort *sort;
	unsigned int runs;

	assert_true(items && scratch);
	assert_int_equal(wb_sort_create(NULL, memory, &sort), 0);
	for (size_t i = 0; i < count; i++) {
		items[i] = (struct item){
			(uint64_t)random() % times, i, (uint64_t)random(), (size_t)random() % (max_size + 1)};
		fill(scratch, &items[i]);
		assert_int_equal(wb_sort_add(sort, items[i].time_ns, scratch, items[i].size, &error), 0);
	}
	assert_int_equal(wb_sort_finish(sort, &error), 0);
	qsort(items, count, sizeof(*items), compare);
	for (size_t i = 0; i < count; i++)
		check_item(sort, &items[i], scratch);
	assert_int_equal(wb_sort_next(sort, &none, &error), 0);
	assert_int_equal(wb_sort_next(sort, &none, &error), 0);
	runs = wb_sort_runs(sort);
	wb_sort_destroy(sort);
	free(scratch);
	free(items);
	return runs;
}

static void in_memory(void **state)
{
	assert_int_equal(check_sort(0, 10, 10, MEMORY), 0);
	assert_int_equal(check_sort(1, 10, 10, MEMORY), 0);
	assert_int_equal(check_sort(1000, 100, 100, (size_t)1 << 20), 0);
}

static void on_disk(void **state)
{
	assert_true(check_sort(5000, 200, UINT32_MAX, MEMORY) > 2);
	assert_true(check_sort(5000, 200, 3, MEMORY) > 2);      /* mostly equal: the order of coming decides */
	assert_true(check_sort(100, 200000, 1000, MEMORY) > 2); /* items larger than the memory */
}

/* More runs than are merged at once, twice over: 64 make one, and there is a rest. */
static void runs_of_runs(void **state)
{
	unsigned int runs = check_sort(140 * 600, 160, UINT32_MAX, MEMORY);

	assert_true(runs > 140);
}

static size_t files_in(const char *path)
{
	DIR *directory = opendir(path);
	size_t count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* The files have no names, and a folder that is not there is told. */
static void folder(void **state)
{
	char path[] = "/tmp/wirebus-test-XXXXXX";
	struct wb_error error = {""};
	uint8_t data[1000] = {0};
	struct wb_sort *sort;
	int r = 0;

	assert_non_null(mkdtemp(path));
	assert_int_equal(wb_sort_create(path, MEMORY, &sort), 0);
	for (int i = 0; i < 500; i++)
		assert_int_equal(wb_sort_add(sort, 1, data, sizeof(data), &error), 0);
	assert_true(wb_sort_runs(sort) > 2);
	assert_int_equal(files_in(path), 2); /* . and .. */
	wb_sort_destroy(sort);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(wb_sort_create("/no/such/folder", MEMORY, &sort), 0);
	for (int i = 0; r == 0 && i < 500; i++)
		r = wb_sort_add(sort, 1, data, sizeof(data), &error);
	assert_int_equal(r, -ENOENT);
	assert_non_null(strstr(error.message, "cannot sort in /no/such/folder: No such file or directory"));
	wb_sort_destroy(sort);
}

/* No room on the disk, in the first run or in a later one: an error with the folder's name, no more. */
static void no_room(void **state)
{
	const rlim_t limits[] = {10000, 70000, 2000000};
	struct rlimit before, limit;
	uint8_t data[1000] = {0};

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct wb_error error = {""};
		struct wb_sort *sort;
		int r = 0;

		limit = (struct rlimit){limits[i], before.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		assert_int_equal(wb_sort_create("/tmp", i == 2 ? 4 * MEMORY : 2 * MEMORY, &sort), 0);
		for (int j = 0; r == 0 && j < 30000; j++)
			r = wb_sort_add(sort, (uint64_t)j, data, sizeof(data), &error);
		if (r == 0)
			r = wb_sort_finish(sort, &error);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
		assert_int_equal(r, -EFBIG);
		assert_non_null(strstr(error.message, "cannot sort in /tmp: File too large"));
		wb_sort_destroy(sort);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_memory),
		cmocka_unit_test(on_disk),
		cmocka_unit_test(runs_of_runs),
		cmocka_unit_test(folder),
		cmocka_unit_test(no_room),
	};

	srandom(11);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
