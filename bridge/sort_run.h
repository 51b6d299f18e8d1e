/* SPDX-License-Identifier: Apache-2.0 */
/* Of the sort: a file without a name that holds items in order, written once and read once. */
#ifndef WB_SORT_RUN_H
#define WB_SORT_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct wb_sort_run {
	int fd;
	unsigned int level; /* how often its items were merged */
	uint8_t *buffer;
	size_t room, used; /* of the buffer; reading: used is the end of what was read */
	size_t at;         /* reading: the next item */
	bool is_over;      /* reading: there are no more items */
	/* The item at hand. */
	uint64_t time_ns;
	uint64_t order;
	const uint8_t *data;
	size_t size;
};

/* Errors: -errno; nothing is open then. */
int wb_sort_run_create(const char *directory, size_t buffer_bytes, struct wb_sort_run *ret_run);
int wb_sort_run_write(struct wb_sort_run *run, uint64_t time_ns, uint64_t order, const void *data, size_t size);
/* Nothing more is written: free the buffer. */
int wb_sort_run_end(struct wb_sort_run *run);
/* Begin to read. */
int wb_sort_run_rewind(struct wb_sort_run *run, size_t buffer_bytes);
/* Take the next item, or set is_over. -EIO: the file is not what was written. */
int wb_sort_run_next(struct wb_sort_run *run);
void wb_sort_run_close(struct wb_sort_run *run);

#endif
