/* SPDX-License-Identifier: Apache-2.0 */
#include "capture_merge.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* A file, and its next packet. */
struct head {
	struct wb_capture_file *file;
	size_t position;  /* in the command line: of equal times the first goes first */
	uint64_t time_ns; /* of the packet, or of one before it that is later */
	struct wb_captured captured;
};

struct wb_capture_merge {
	struct head *heads;
	size_t opened;  /* heads in use; those behind `count` have ended */
	size_t count;   /* files that have not ended: a heap, the earliest on top, but for those without a packet */
	size_t without; /* of these, files whose next packet is not known: the last ones of `count` */
	bool taken;     /* the packet on top was returned */
	uint32_t next_index;
	uint64_t backwards;
};

static bool is_before(const struct head *a, const struct head *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->position < b->position;
}

static void swap(struct wb_capture_merge *merge, size_t a, size_t b)
{
	struct head head = merge->heads[a];

	merge->heads[a] = merge->heads[b];
	merge->heads[b] = head;
}

/* Files with a packet. */
static size_t heap_size(const struct wb_capture_merge *merge)
{
	return merge->count - merge->without;
}

static void sift_up(struct wb_capture_merge *merge, size_t i)
{
	while (i > 0 && is_before(&merge->heads[i], &merge->heads[(i - 1) / 2])) {
		swap(merge, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
}

static void sift_down(struct wb_capture_merge *merge)
{
	size_t size = heap_size(merge), i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < size && is_before(&merge->heads[child + 1], &merge->heads[child]))
			child++;
		if (child >= size || !is_before(&merge->heads[child], &merge->heads[i]))
			return;
		swap(merge, i, child);
		i = child;
	}
}

static int read_head(struct wb_capture_merge *merge, struct head *head, int timeout_ms, struct wb_error *ret_error)
{
	int r = wb_capture_file_next(head->file, timeout_ms, &head->captured, ret_error);

	if (r == 1 && head->captured.packet.time_unix_ns < head->time_ns)
		merge->backwards++;
	else if (r == 1)
		head->time_ns = head->captured.packet.time_unix_ns;
	return r;
}

/* Read on in the file on top, whose packet was returned: seldom it is not the earliest any more. */
static int advance(struct wb_capture_merge *merge, int timeout_ms, struct wb_error *ret_error)
{
	int r = read_head(merge, &merge->heads[0], timeout_ms, ret_error);

	merge->taken = false;
	if (r == 1) {
		sift_down(merge);
		return 1;
	}
	/* Out of the heap, to its end. */
	swap(merge, 0, heap_size(merge) - 1);
	merge->without++;
	sift_down(merge);
	return r;
}

/* Read on in a file whose next packet is not known. */
static int catch_up(struct wb_capture_merge *merge, int timeout_ms, struct wb_error *ret_error)
{
	size_t i = heap_size(merge);
	int r = read_head(merge, &merge->heads[i], timeout_ms, ret_error);

	if (r == 1) {
		merge->without--;
		sift_up(merge, i);
	}
	return r;
}

/* The file behind the heap has ended, or is damaged. */
static void drop(struct wb_capture_merge *merge)
{
	swap(merge, heap_size(merge), merge->count - 1);
	merge->without--;
	merge->count--;
	wb_capture_file_close(merge->heads[merge->count].file);
	merge->heads[merge->count].file = NULL;
}

int wb_capture_merge_next(
	struct wb_capture_merge *merge, int timeout_ms, struct wb_captured *ret_captured, struct wb_error *ret_error)
{
	while (merge->taken || merge->without > 0) {
		int r = merge->taken ? advance(merge, timeout_ms, ret_error) : catch_up(merge, timeout_ms, ret_error);

		if (r == 0)
			return 0;
		if (r < 0)
			drop(merge);
		if (r < 0 && r != -ENODATA)
			return r;
	}
	if (merge->count == 0)
		return -ENODATA;
	merge->taken = true;
	*ret_captured = merge->heads[0].captured;
	return 1;
}

int wb_capture_merge_open(const char *const *paths, size_t count, const struct wb_capture_merge_options *options,
	struct wb_capture_merge **ret_merge, struct wb_error *ret_error)
{
	struct wb_capture_merge *merge = calloc(1, sizeof *merge);
	struct wb_capture_file_options file_options = {.follow = options->follow, .interface = options->interface};
	int r = 0;

	assert(count > 0);
	if (merge)
		merge->heads = calloc(count, sizeof *merge->heads);
	if (!merge || !merge->heads) {
		wb_capture_merge_close(merge);
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	}
	merge->next_index = 1;
	file_options.next_index = &merge->next_index;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct head *head = &merge->heads[i];

		head->position = i;
		r = wb_capture_file_open(paths[i], &file_options, &head->file, ret_error);
		merge->opened = i + 1;
	}
	if (r < 0) {
		wb_capture_merge_close(merge);
		return r;
	}
	merge->count = count;
	merge->without = count;
	*ret_merge = merge;
	return 0;
}

void wb_capture_merge_close(struct wb_capture_merge *merge)
{
	if (!merge)
		return;
	for (size_t i = 0; i < merge->opened; i++)
		wb_capture_file_close(merge->heads[i].file);
	free(merge->heads);
	free(merge);
}

int wb_capture_merge_fd(const struct wb_capture_merge *merge)
{
	return merge->without > 0 ? wb_capture_file_fd(merge->heads[heap_size(merge)].file) : -1;
}

uint64_t wb_capture_merge_backwards(const struct wb_capture_merge *merge)
{
	return merge->backwards;
}
