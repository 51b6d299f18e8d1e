/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a file or a pipe, in a buffer of bounded size. Memory grows with what has been read, never with what a
 * length in the file promises.
 */
#ifndef WB_CAPTURE_INPUT_H
#define WB_CAPTURE_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No more than this can be asked for at once. */
#define WB_CAPTURE_INPUT_MAX_BYTES (17u << 20)

struct wb_capture_input {
	int fd;
	bool owned;  /* fd is closed with it */
	bool follow; /* where a file ends now, more may come */
	bool ended;
	uint8_t *buffer;
	size_t begin, end, capacity;
	uint64_t offset; /* in the file, of what is at begin */
	/* Since wb_capture_input_begin(): */
	uint64_t until_ms;  /* when waiting ends; 0: nothing was waited for yet */
	size_t taken_bytes; /* what was read */
};

/* path: "-" is standard input. Errors: negative errno; there is nothing to close then. */
int wb_capture_input_open(struct wb_capture_input *input, const char *path, bool follow);
void wb_capture_input_close(struct wb_capture_input *input);

/* The time limit of wb_capture_input_need() begins anew, and so does what it may read without returning. */
void wb_capture_input_begin(struct wb_capture_input *input);
/*
 * Have at least `bytes` at wb_capture_input_at(), waiting for up to timeout_ms (-1: without end), counted from the
 * first wait since wb_capture_input_begin(): whoever skips what comes still returns in time. What was there before may
 * have moved. 1: they are there; 0: not yet, or much was read, call again; -ENODATA: the file ends before; other:
 * -errno of the read.
 */
int wb_capture_input_need(struct wb_capture_input *input, size_t bytes, int timeout_ms);
/* Go on behind the next bytes, which are there. */
void wb_capture_input_take(struct wb_capture_input *input, size_t bytes);

static inline const uint8_t *wb_capture_input_at(const struct wb_capture_input *input)
{
	return input->buffer + input->begin;
}

/* How many bytes are there now. */
static inline size_t wb_capture_input_left(const struct wb_capture_input *input)
{
	return input->end - input->begin;
}

#endif
