/* SPDX-License-Identifier: Apache-2.0 */
#include "capture_input.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

#define FIRST_BYTES (256u << 10)
/* While the end of a file is followed, look again so often. */
#define FOLLOW_MS 100
/* Read within one call, unless it has no time limit: more than the longest packet. */
#define CALL_BYTES (2u * WB_CAPTURE_INPUT_MAX_BYTES)

int wb_capture_input_open(struct wb_capture_input *input, const char *path, bool follow)
{
	struct stat status;
	int r;

	*input = (struct wb_capture_input){.fd = STDIN_FILENO, .follow = follow};
	if (strcmp(path, "-") != 0) {
		/* Not blocking: opening a FIFO waits for its writer otherwise, whatever signal comes. */
		input->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		input->owned = true;
	}
	if (input->fd < 0)
		return -errno;
	r = fstat(input->fd, &status) < 0 ? -errno : S_ISDIR(status.st_mode) ? -EISDIR : 0;
	/* A pipe's end is its end. */
	if (r == 0 && !S_ISREG(status.st_mode))
		input->follow = false;
	input->capacity = FIRST_BYTES;
	input->buffer = r < 0 ? NULL : malloc(input->capacity);
	if (r == 0 && !input->buffer)
		r = -ENOMEM;
	if (r < 0)
		wb_capture_input_close(input);
	return r;
}

void wb_capture_input_close(struct wb_capture_input *input)
{
	if (input->owned && input->fd >= 0)
		close(input->fd);
	free(input->buffer);
	*input = (struct wb_capture_input){.fd = -1};
}

/* Make room behind what is there. bytes: more of them are wanted than there are. */
static int make_room(struct wb_capture_input *input, size_t bytes)
{
	uint8_t *grown;

	if (input->begin > 0) {
		memmove(input->buffer, input->buffer + input->begin, input->end - input->begin);
		input->end -= input->begin;
		input->begin = 0;
	}
	assert(bytes <= WB_CAPTURE_INPUT_MAX_BYTES);
	if (input->end < input->capacity)
		return 0;
	grown = realloc(input->buffer, 2 * input->capacity);
	if (!grown)
		return -ENOMEM;
	input->buffer = grown;
	input->capacity *= 2;
	return 0;
}

/* 1: it can be read from; 0: not within the time, or a signal came. */
static int wait_readable(const struct wb_capture_input *input, int timeout_ms)
{
	struct pollfd fd = {.fd = input->fd, .events = POLLIN};
	int r = poll(&fd, 1, timeout_ms);

	return r < 0 ? (errno == EINTR ? 0 : -errno) : r;
}

/* Read once. 1: something came; 0: nothing yet; -ENODATA: the end. */
static int fill(struct wb_capture_input *input, size_t bytes, int timeout_ms)
{
	ssize_t n;
	int r = make_room(input, bytes);

	if (r == 0)
		r = wait_readable(input, timeout_ms);
	if (r <= 0)
		return r;
	n = read(input->fd, input->buffer + input->end, input->capacity - input->end);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (n > 0) {
		input->end += (size_t)n;
		input->taken_bytes += (size_t)n;
		return 1;
	}
	if (input->follow) {
		poll(NULL, 0, timeout_ms < 0 || timeout_ms > FOLLOW_MS ? FOLLOW_MS : timeout_ms);
		return 0;
	}
	input->ended = true;
	return -ENODATA;
}

void wb_capture_input_begin(struct wb_capture_input *input)
{
	input->until_ms = 0;
	input->taken_bytes = 0;
}

/* What is left of the time limit. */
static int time_left(struct wb_capture_input *input, int timeout_ms)
{
	uint64_t now_ms;

	if (timeout_ms <= 0)
		return timeout_ms;
	now_ms = wb_monotonic_ms();
	if (input->until_ms == 0)
		input->until_ms = now_ms + (uint64_t)timeout_ms;
	return input->until_ms > now_ms ? (int)(input->until_ms - now_ms) : 0;
}

int wb_capture_input_need(struct wb_capture_input *input, size_t bytes, int timeout_ms)
{
	while (input->end - input->begin < bytes) {
		int r;

		if (timeout_ms >= 0 && input->taken_bytes >= CALL_BYTES)
			return 0;
		r = input->ended ? -ENODATA : fill(input, bytes, time_left(input, timeout_ms));
		if (r < 0 || (r == 0 && timeout_ms >= 0))
			return r;
	}
	return 1;
}

void wb_capture_input_take(struct wb_capture_input *input, size_t bytes)
{
	assert(bytes <= input->end - input->begin);
	input->begin += bytes;
	input->offset += bytes;
}
