/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that sinks write to. What reaches it are whole packets: the buffer is written where one ends, so that a file
 * that could not be written further (a full disk) can be cut back to where it is in order.
 */
#ifndef WB_OUTPUT_H
#define WB_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/types.h>

#define WB_OUTPUT_FLUSH_BYTES ((size_t)1024 * 1024)

struct wb_output {
	FILE *stream;     /* fully buffered */
	const char *name; /* for messages */
	char *buffer;
	bool is_file; /* can be cut */
	off_t whole;  /* up to here everything was written, and ends with a packet */
};

/* path: NULL or "-" for standard output; must outlive the output. Errors: -errno, nothing is open then. */
int wb_output_open(const char *path, struct wb_output *ret_output);
/* Write what is buffered, which ends with a packet. Errors: -errno of the stream; -EPIPE
 * also when there is nothing to write, and the reader of a pipe has gone. */
int wb_output_flush(struct wb_output *output);
/* Asked after each packet: so much is buffered that it is to be flushed. */
static inline bool wb_output_is_due(const struct wb_output *output)
{
	return __fpending(output->stream) >= WB_OUTPUT_FLUSH_BYTES;
}
/* After an error: forget what is buffered, and cut the file to where it is in order; it can be written to again. */
void wb_output_cut(struct wb_output *output);
/* Whether both are names of one regular file, which is there. "-" as for wb_output_open(). */
bool wb_output_is_same(const char *path, const char *other);
/* Errors: -errno of the stream. An output that is not open is allowed. */
int wb_output_close(struct wb_output *output);

#endif
