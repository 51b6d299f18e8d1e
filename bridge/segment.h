/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container files (container.h) that one worker writes, one after the other: <session id>-<worker
 * id>-<segment>.wbs, with 32 hex digits, at least 4 and 6 decimal ones. No file is opened again after it was closed.
 *
 *   wb_segments_init(&segments, directory_fd, 256 << 20, false);
 *   r = wb_segments_append(&segments, batch);
 *   wb_segments_close(&segments);
 */
#ifndef WB_SEGMENT_H
#define WB_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "container.h"
#include "wirebus/transport.h"

#define WB_SEGMENT_MAX_BATCH_BYTES (UINT32_MAX - WB_CONTAINER_ENTRY_BYTES)

struct wb_segments {
	int directory; /* the caller's */
	uint64_t segment_bytes;
	bool fsync;
	int fd;           /* of the file that is being written; -1: none */
	uint64_t offset;  /* end of its last whole entry */
	uint32_t segment; /* number of the next file */
	uint32_t worker_id;
	uint8_t session_id[16];
	char name[64];  /* of the last file */
	int sync_error; /* set when fsync() of a file or of the directory fails; the caller resets it */
};

/* segment_bytes: begin another file when one would grow beyond it. fsync: wait for the disk when a file is complete. */
void wb_segments_init(struct wb_segments *segments, int directory, uint64_t segment_bytes, bool fsync);
/*
 * Write a batch. Blocks on the disk. Errors: -errno; then nothing of the batch remains in a file, and the next call
 * tries again. The caller blocks or ignores SIGXFSZ, or a limit on the size of files ends the process.
 */
int wb_segments_append(struct wb_segments *segments, const struct wb_batch *batch);

/* What an entry has beside the batch's data (container.h). */
struct wb_segment_entry {
	uint16_t kind;
	uint16_t route_length;
	const void *route;
	const void *tail; /* behind the data; NULL: nothing */
	size_t tail_length;
};

/* The same, and the batch is one entry, whatever it consists of. */
int wb_segments_append_entry(
	struct wb_segments *segments, const struct wb_batch *batch, const struct wb_segment_entry *entry);
/* Forget what is in the file that is being written: it is as if just begun. Errors: -errno, -EBADF: there is none. */
int wb_segments_rewind(struct wb_segments *segments);
void wb_segments_close(struct wb_segments *segments);

#endif
