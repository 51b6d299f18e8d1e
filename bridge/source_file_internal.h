/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the file source share: source_file_list.c finds files, source_file.c reads them. */
#ifndef WB_SOURCE_FILE_INTERNAL_H
#define WB_SOURCE_FILE_INTERNAL_H

#include "container.h"
#include "source.h"

struct wb_file_input {
	char *path;
	const char *name; /* its last component */
	uint64_t size;    /* when this pass began */
	uint64_t offset;  /* where to go on; 0: the header was not read yet */
	uint64_t torn_at; /* size of the file when it was seen to end inside an entry; 0: it did not */
	uint64_t time_ns; /* what was read of its channel is known up to this time; 0: nothing was noted */
	bool superseded;  /* the next segment of the same worker exists: this one grows no more */
	bool over;        /* never to be read again */
};

/* The files of one worker, which follow one another. */
struct wb_file_channel {
	size_t at, end; /* inputs, in this pass; at == end: there are no more */
	uint64_t time_ns;
	struct wb_container_reader *reader; /* of inputs[at], or NULL */
};

struct wb_source {
	char *url, *path;
	bool follow, is_single;
	bool told_missing;
	size_t max_message_bytes;
	struct wb_file_input *inputs; /* sorted by name */
	size_t count, capacity;
	struct wb_file_channel *channels; /* of this pass */
	size_t channel_count, channel_capacity;
	size_t open_channels;       /* those with more in this pass */
	size_t current;             /* channel that was read last */
	uint64_t bytes, bytes_read; /* of the first pass */
};

/* Look for files, and begin a pass. 1: a pass has begun; 0: there is nothing there (yet). Errors: with a message. */
int wb_file_scan(struct wb_source *source, struct wb_error *ret_error);
void wb_file_list_fini(struct wb_source *source);

#endif
