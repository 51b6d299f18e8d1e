/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of several capture files in the order of their times. A file's own packets stay in their order: those that
 * are earlier than one before them in the same file come right after it, and are counted.
 */
#ifndef WB_CAPTURE_MERGE_H
#define WB_CAPTURE_MERGE_H

#include <stddef.h>

#include "capture_file.h"

struct wb_capture_merge;

struct wb_capture_merge_options {
	bool follow;
	const char *interface; /* as in struct wb_capture_file_options */
};

/*
 * Open all files; paths are read during the call. Errors: negative errno with a message; nothing is left open then.
 */
int wb_capture_merge_open(const char *const *paths, size_t count, const struct wb_capture_merge_options *options,
	struct wb_capture_merge **ret_merge, struct wb_error *ret_error);
/* NULL is allowed. */
void wb_capture_merge_close(struct wb_capture_merge *merge);

/*
 * The next packet, valid until the next call. Waits for each file that has not said what comes next.
 * 1; 0: not within timeout_ms; -ENODATA: all files have ended. Other: a file is damaged or cannot be read, as
 * wb_capture_file_next() says: call again, the others go on without it.
 */
int wb_capture_merge_next(
	struct wb_capture_merge *merge, int timeout_ms, struct wb_captured *ret_captured, struct wb_error *ret_error);

/* After a 0: readable when there may be more. */
int wb_capture_merge_fd(const struct wb_capture_merge *merge);
/* Packets so far that were earlier than one before them in their file. */
uint64_t wb_capture_merge_backwards(const struct wb_capture_merge *merge);

#endif
