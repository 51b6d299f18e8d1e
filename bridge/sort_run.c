/* SPDX-License-Identifier: Apache-2.0 */
#include "sort_run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sort.h"

/* Before each item: time, order, size. */
struct item_head {
	uint64_t time_ns;
	uint64_t order;
	uint64_t size;
};

/* Where the file system has no files without a name, one is given and taken away at once. */
static int open_unnamed(const char *directory)
{
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *path;

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd < 0 ? -errno : fd;
	if (asprintf(&path, "%s/wirebus-sort-XXXXXX", directory) < 0)
		return -ENOMEM;
	fd = mkostemp(path, O_CLOEXEC);
	fd = fd < 0 ? -errno : fd;
	if (fd >= 0)
		unlink(path);
	free(path);
	return fd;
}

int wb_sort_run_create(const char *directory, size_t buffer_bytes, struct wb_sort_run *ret_run)
{
	struct wb_sort_run run = {.fd = -1, .room = buffer_bytes};

	run.buffer = malloc(buffer_bytes);
	if (!run.buffer)
		return -ENOMEM;
	run.fd = open_unnamed(directory);
	if (run.fd < 0) {
		free(run.buffer);
		return run.fd;
	}
	*ret_run = run;
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			length -= (size_t)n;
		}
	}
	return 0;
}

static int put(struct wb_sort_run *run, const void *data, size_t length)
{
	int r;

	if (length > run->room - run->used) {
		r = write_all(run->fd, run->buffer, run->used);
		run->used = 0;
		if (r < 0)
			return r;
	}
	if (length > run->room)
		return write_all(run->fd, data, length);
	if (length)
		memcpy(run->buffer + run->used, data, length);
	run->used += length;
	return 0;
}

int wb_sort_run_write(struct wb_sort_run *run, uint64_t time_ns, uint64_t order, const void *data, size_t size)
{
	const struct item_head head = {time_ns, order, size};
	int r = put(run, &head, sizeof(head));

	return r < 0 ? r : put(run, data, size);
}

int wb_sort_run_end(struct wb_sort_run *run)
{
	int r = write_all(run->fd, run->buffer, run->used);

	free(run->buffer);
	run->buffer = NULL;
	run->room = run->used = 0;
	return r;
}

int wb_sort_run_rewind(struct wb_sort_run *run, size_t buffer_bytes)
{
	if (lseek(run->fd, 0, SEEK_SET) < 0)
		return -errno;
	run->buffer = malloc(buffer_bytes);
	if (!run->buffer)
		return -ENOMEM;
	run->room = buffer_bytes;
	run->used = run->at = 0;
	return 0;
}

static int grow(struct wb_sort_run *run, size_t wanted)
{
	uint8_t *buffer;

	if (wanted <= run->room)
		return 0;
	buffer = realloc(run->buffer, wanted);
	if (!buffer)
		return -ENOMEM;
	run->buffer = buffer;
	run->room = wanted;
	return 0;
}

/* Have so many bytes from `at` on. 1: they are there; 0: the file ends exactly before them. */
static int fill(struct wb_sort_run *run, size_t wanted)
{
	int r;

	if (run->used - run->at >= wanted)
		return 1;
	r = grow(run, wanted);
	if (r < 0)
		return r;
	memmove(run->buffer, run->buffer + run->at, run->used - run->at);
	run->used -= run->at;
	run->at = 0;
	while (run->used < wanted) {
		ssize_t n = read(run->fd, run->buffer + run->used, run->room - run->used);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return run->used == 0 ? 0 : -EIO;
		run->used += n > 0 ? (size_t)n : 0;
	}
	return 1;
}

int wb_sort_run_next(struct wb_sort_run *run)
{
	struct item_head head;
	int r = fill(run, sizeof(head));

	run->is_over = r == 0;
	if (r <= 0)
		return r;
	memcpy(&head, run->buffer + run->at, sizeof(head));
	if (head.size > WB_SORT_MAX_ITEM_BYTES)
		return -EIO;
	r = fill(run, sizeof(head) + (size_t)head.size);
	if (r <= 0)
		return r < 0 ? r : -EIO;
	run->time_ns = head.time_ns;
	run->order = head.order;
	run->data = run->buffer + run->at + sizeof(head);
	run->size = (size_t)head.size;
	run->at += sizeof(head) + run->size;
	return 0;
}

void wb_sort_run_close(struct wb_sort_run *run)
{
	free(run->buffer);
	if (run->fd >= 0)
		close(run->fd);
	*run = (struct wb_sort_run){.fd = -1};
}
