/* SPDX-License-Identifier: Apache-2.0 */
#include "sort.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "sort_run.h"

/* Runs of one level that become one of the next. */
#define FAN_IN 64u
#define WRITE_BUFFER_BYTES ((size_t)1 << 20)
#define LEAST_READ_BUFFER_BYTES ((size_t)64 << 10)
#define LEAST_MEMORY_BYTES ((size_t)64 << 10)

/* One item in memory. */
struct entry {
	uint64_t time_ns;
	uint64_t order;
	size_t at; /* in the arena */
	size_t size;
};

struct wb_sort {
	char *directory;
	size_t memory_bytes;
	uint64_t order;
	uint64_t items;
	uint8_t *arena;
	size_t arena_used, arena_room;
	struct entry *entries;
	size_t count, room;
	size_t next; /* without runs: the entry to give next */
	struct wb_sort_run *runs;
	size_t run_count, run_room;
	unsigned int written; /* runs, ever */
	struct wb_sort_run **heap;
	size_t heap_count;
	bool taken; /* the item of heap[0] was given */
	int error;  /* what has failed: not all that was added is here */
};

static int sort_fail(struct wb_sort *sort, int code, struct wb_error *ret_error)
{
	sort->error = code;
	if (code == -ENOMEM)
		return wb_fail(ret_error, code, "cannot sort: out of memory");
	return wb_fail(ret_error, code,
		"cannot sort in %s: %s (after %llu packets): a folder with more room can be given", sort->directory,
		strerror(-code), (unsigned long long)sort->items);
}

int wb_sort_create(const char *directory, size_t memory_bytes, struct wb_sort **ret_sort)
{
	struct wb_sort *sort = calloc(1, sizeof(*sort));

	if (!directory)
		directory = getenv("TMPDIR");
	if (sort)
		sort->directory = strdup(directory && *directory ? directory : "/tmp");
	if (!sort || !sort->directory) {
		free(sort);
		return -ENOMEM;
	}
	sort->memory_bytes = memory_bytes > LEAST_MEMORY_BYTES ? memory_bytes : LEAST_MEMORY_BYTES;
	*ret_sort = sort;
	return 0;
}

void wb_sort_destroy(struct wb_sort *sort)
{
	if (!sort)
		return;
	for (size_t i = 0; i < sort->run_count; i++)
		wb_sort_run_close(&sort->runs[i]);
	free(sort->runs);
	free(sort->heap);
	free(sort->entries);
	free(sort->arena);
	free(sort->directory);
	free(sort);
}

static int compare_entries(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static bool run_is_before(const struct wb_sort_run *a, const struct wb_sort_run *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->order < b->order;
}

static void sift_down(struct wb_sort *sort, size_t at)
{
	struct wb_sort_run *run = sort->heap[at];
	size_t child;

	while ((child = 2 * at + 1) < sort->heap_count) {
		if (child + 1 < sort->heap_count && run_is_before(sort->heap[child + 1], sort->heap[child]))
			child++;
		if (!run_is_before(sort->heap[child], run))
			break;
		sort->heap[at] = sort->heap[child];
		at = child;
	}
	sort->heap[at] = run;
}

/* Begin to read runs[first] and all after it together. */
static int begin_merge(struct wb_sort *sort, size_t first)
{
	size_t count = sort->run_count - first, buffer = sort->memory_bytes / (count ? count : 1);
	struct wb_sort_run **heap = realloc(sort->heap, (count ? count : 1) * sizeof(struct wb_sort_run *));

	if (!heap)
		return -ENOMEM;
	sort->heap = heap;
	sort->heap_count = 0;
	sort->taken = false;
	if (buffer < LEAST_READ_BUFFER_BYTES)
		buffer = LEAST_READ_BUFFER_BYTES;
	for (size_t i = first; i < sort->run_count; i++) {
		int r = wb_sort_run_rewind(&sort->runs[i], buffer);

		if (r == 0)
			r = wb_sort_run_next(&sort->runs[i]);
		if (r < 0)
			return r;
		if (!sort->runs[i].is_over)
			sort->heap[sort->heap_count++] = &sort->runs[i];
	}
	for (size_t i = sort->heap_count / 2; i-- > 0;)
		sift_down(sort, i);
	return 0;
}

/* 1: heap[0] has the next item. */
static int next_of_runs(struct wb_sort *sort)
{
	int r;

	if (sort->taken) {
		r = wb_sort_run_next(sort->heap[0]);
		if (r < 0)
			return r;
		if (sort->heap[0]->is_over)
			sort->heap[0] = sort->heap[--sort->heap_count];
		if (sort->heap_count > 0)
			sift_down(sort, 0);
	}
	sort->taken = sort->heap_count > 0;
	return sort->taken;
}

static int add_run(struct wb_sort *sort, const struct wb_sort_run *run)
{
	struct wb_sort_run *runs;

	if (sort->run_count == sort->run_room) {
		size_t room = sort->run_room ? 2 * sort->run_room : FAN_IN;

		runs = realloc(sort->runs, room * sizeof(*runs));
		if (!runs)
			return -ENOMEM;
		sort->runs = runs;
		sort->run_room = room;
	}
	sort->runs[sort->run_count++] = *run;
	sort->written++;
	return 0;
}

static int copy_items(struct wb_sort *sort, struct wb_sort_run *merged)
{
	int r;

	while ((r = next_of_runs(sort)) > 0) {
		const struct wb_sort_run *from = sort->heap[0];

		r = wb_sort_run_write(merged, from->time_ns, from->order, from->data, from->size);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : wb_sort_run_end(merged);
}

/* Make one run of runs[first] and all after it. */
static int merge_runs(struct wb_sort *sort, size_t first)
{
	struct wb_sort_run merged;
	int r = begin_merge(sort, first);

	if (r == 0)
		r = wb_sort_run_create(sort->directory, WRITE_BUFFER_BYTES, &merged);
	if (r < 0)
		return r;
	merged.level = sort->runs[first].level + 1;
	r = copy_items(sort, &merged);
	if (r < 0) {
		wb_sort_run_close(&merged);
		return r;
	}
	while (sort->run_count > first)
		wb_sort_run_close(&sort->runs[--sort->run_count]);
	return add_run(sort, &merged); /* there is room: it takes the place of others */
}

/* Levels fall from the first run to the last, like the digits of a number of base FAN_IN. */
static int merge_full_levels(struct wb_sort *sort)
{
	int r = 0;

	while (r == 0 && sort->run_count >= FAN_IN &&
		sort->runs[sort->run_count - FAN_IN].level == sort->runs[sort->run_count - 1].level)
		r = merge_runs(sort, sort->run_count - FAN_IN);
	return r;
}

static int write_entries(struct wb_sort *sort)
{
	struct wb_sort_run run;
	int r = wb_sort_run_create(sort->directory, WRITE_BUFFER_BYTES, &run);

	if (r < 0)
		return r;
	qsort(sort->entries, sort->count, sizeof(*sort->entries), compare_entries);
	for (size_t i = 0; r == 0 && i < sort->count; i++) {
		const struct entry *entry = &sort->entries[i];

		r = wb_sort_run_write(&run, entry->time_ns, entry->order, sort->arena + entry->at, entry->size);
	}
	if (r == 0)
		r = wb_sort_run_end(&run);
	if (r == 0)
		r = add_run(sort, &run);
	if (r < 0) {
		wb_sort_run_close(&run);
		return r;
	}
	sort->count = sort->arena_used = 0;
	return 0;
}

static int reserve(struct wb_sort *sort, size_t size)
{
	if (size > sort->arena_room - sort->arena_used) {
		size_t room =
			2 * sort->arena_room > sort->arena_used + size ? 2 * sort->arena_room : sort->arena_used + size;
		uint8_t *arena = realloc(sort->arena, room);

		if (!arena)
			return -ENOMEM;
		sort->arena = arena;
		sort->arena_room = room;
	}
	if (sort->count == sort->room) {
		size_t room = sort->room ? 2 * sort->room : 1024;
		struct entry *entries = realloc(sort->entries, room * sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		sort->entries = entries;
		sort->room = room;
	}
	return 0;
}

int wb_sort_add(struct wb_sort *sort, uint64_t time_ns, const void *data, size_t size, struct wb_error *ret_error)
{
	size_t used = sort->arena_used + sort->count * sizeof(struct entry);
	int r = size > WB_SORT_MAX_ITEM_BYTES ? -EMSGSIZE : 0;

	if (r == 0 && sort->count > 0 && used + size + sizeof(struct entry) > sort->memory_bytes) {
		r = write_entries(sort);
		if (r == 0)
			r = merge_full_levels(sort);
	}
	if (r == 0)
		r = reserve(sort, size);
	if (r < 0)
		return sort_fail(sort, r, ret_error);
	if (size)
		memcpy(sort->arena + sort->arena_used, data, size);
	sort->entries[sort->count++] = (struct entry){time_ns, ++sort->order, sort->arena_used, size};
	sort->arena_used += size;
	sort->items++;
	return 0;
}

int wb_sort_finish(struct wb_sort *sort, struct wb_error *ret_error)
{
	int r = 0;

	if (sort->error)
		return sort_fail(sort, sort->error, ret_error);
	if (sort->run_count == 0) {
		if (sort->count)
			qsort(sort->entries, sort->count, sizeof(*sort->entries), compare_entries);
		return 0;
	}
	if (sort->count > 0)
		r = write_entries(sort);
	free(sort->arena);
	free(sort->entries);
	sort->arena = NULL;
	sort->entries = NULL;
	sort->arena_room = sort->room = sort->count = 0;
	/* Until they can be read together; the last ones are the smallest. */
	while (r == 0 && sort->run_count > FAN_IN)
		r = merge_runs(sort, sort->run_count - FAN_IN);
	if (r == 0)
		r = begin_merge(sort, 0);
	return r < 0 ? sort_fail(sort, r, ret_error) : 0;
}

int wb_sort_next(struct wb_sort *sort, struct wb_sort_item *ret_item, struct wb_error *ret_error)
{
	int r;

	if (sort->run_count == 0) {
		const struct entry *entry;

		if (sort->next == sort->count)
			return 0;
		entry = &sort->entries[sort->next++];
		*ret_item = (struct wb_sort_item){entry->time_ns, sort->arena + entry->at, entry->size};
		return 1;
	}
	r = next_of_runs(sort);
	if (r < 0)
		return sort_fail(sort, r, ret_error);
	if (r > 0)
		*ret_item = (struct wb_sort_item){sort->heap[0]->time_ns, sort->heap[0]->data, sort->heap[0]->size};
	return r;
}

unsigned int wb_sort_runs(const struct wb_sort *sort)
{
	return sort->written;
}
