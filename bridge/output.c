/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sink.h"

/* A packet is written after the buffer was found to be below WB_OUTPUT_FLUSH_BYTES; all but giant ones fit. */
#define BUFFER_BYTES (2 * WB_OUTPUT_FLUSH_BYTES)

static bool find_file(const char *path, struct stat *ret)
{
	bool is_standard = !path || strcmp(path, "-") == 0;

	return (is_standard ? fstat(STDOUT_FILENO, ret) : stat(path, ret)) == 0 && S_ISREG(ret->st_mode);
}

bool wb_output_is_same(const char *path, const char *other)
{
	struct stat a, b;

	return find_file(path, &a) && find_file(other, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* A stream of its own even for standard output, so that its buffer can be freed before the process ends. */
static FILE *open_stream(const char *path)
{
	FILE *stream;
	int fd;

	if (path)
		return fopen(path, "we");
	fd = dup(STDOUT_FILENO);
	stream = fd < 0 ? NULL : fdopen(fd, "w");
	if (!stream && fd >= 0)
		close(fd);
	return stream;
}

int wb_output_open(const char *path, struct wb_output *ret_output)
{
	struct wb_output output = {.name = "standard output"};
	struct stat status;

	if (path && strcmp(path, "-") != 0)
		output.name = path;
	else
		path = NULL;
	output.stream = open_stream(path);
	if (!output.stream)
		return -errno;
	output.buffer = malloc(BUFFER_BYTES);
	if (!output.buffer) {
		fclose(output.stream);
		return -ENOMEM;
	}
	setvbuf(output.stream, output.buffer, _IOFBF, BUFFER_BYTES);
	/* What is appended goes to the end, wherever that is: it is not ours to cut. */
	if (fstat(fileno(output.stream), &status) == 0 && S_ISREG(status.st_mode) &&
		!(fcntl(fileno(output.stream), F_GETFL) & O_APPEND)) {
		output.whole = lseek(fileno(output.stream), 0, SEEK_CUR);
		output.is_file = output.whole >= 0;
	}
	*ret_output = output;
	return 0;
}

/* Who waits for packets writes nothing, and would not learn by that that nobody reads any more. */
static bool is_reader_gone(const struct wb_output *output)
{
	struct pollfd fd = {.fd = fileno(output->stream)};

	return poll(&fd, 1, 0) == 1 && (fd.revents & POLLERR);
}

int wb_output_flush(struct wb_output *output)
{
	off_t pending = (off_t)__fpending(output->stream);
	int r = wb_sink_flush(output->stream);

	if (r < 0)
		return r;
	output->whole += pending;
	return !output->is_file && is_reader_gone(output) ? -EPIPE : 0;
}

void wb_output_cut(struct wb_output *output)
{
	int fd = fileno(output->stream);

	if (!output->is_file)
		return;
	__fpurge(output->stream);
	clearerr(output->stream);
	/* If this fails the file stays as it is: the error before it is told in any case. */
	if (ftruncate(fd, output->whole) == 0)
		lseek(fd, output->whole, SEEK_SET);
}

int wb_output_close(struct wb_output *output)
{
	int r = 0;

	if (output->stream && fclose(output->stream) != 0)
		r = -errno;
	free(output->buffer);
	output->stream = NULL;
	output->buffer = NULL;
	return r;
}
