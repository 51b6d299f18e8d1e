/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorts any number of items by time in bounded memory. What does not fit is written as sorted runs to files in a folder
 * and merged at the end. The files have no names: nothing is left over, however the process ends.
 *
 *	wb_sort_create(NULL, 64 << 20, &sort);
 *	while (more())
 *		wb_sort_add(sort, time_ns, data, size, &error);
 *	wb_sort_finish(sort, &error);
 *	while (wb_sort_next(sort, &item, &error) == 1)
 *		use(&item);
 */
#ifndef WB_SORT_H
#define WB_SORT_H

#include <stddef.h>
#include <stdint.h>

#include "wirebus/option.h"

/* Larger items are refused. */
#define WB_SORT_MAX_ITEM_BYTES ((size_t)1 << 30)

struct wb_sort;

struct wb_sort_item {
	uint64_t time_ns;
	const uint8_t *data; /* valid until the next call */
	size_t size;
};

/*
 * directory: for the files; NULL: $TMPDIR, or /tmp. memory_bytes: a little more is used while runs are merged, and by
 * an item that is larger.
 * Errors: -ENOMEM.
 */
int wb_sort_create(const char *directory, size_t memory_bytes, struct wb_sort **ret_sort);
void wb_sort_destroy(struct wb_sort *sort); /* NULL is allowed */
/* Items of the same time keep the order in which they are added. Errors: -errno with a message (-ENOSPC, -ENOMEM). */
int wb_sort_add(struct wb_sort *sort, uint64_t time_ns, const void *data, size_t size, struct wb_error *ret_error);
/* No more are added. Errors: as wb_sort_add(). */
int wb_sort_finish(struct wb_sort *sort, struct wb_error *ret_error);
/* 1: ret_item is set; 0: there are no more. Errors: -errno with a message. */
int wb_sort_next(struct wb_sort *sort, struct wb_sort_item *ret_item, struct wb_error *ret_error);

/* Files written in all, for tests. */
unsigned int wb_sort_runs(const struct wb_sort *sort);

#endif
