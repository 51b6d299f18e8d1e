/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "segment.h"
#include "source.h"

/* After that the digits of the name, and so the order of names, run out: the last file just grows. */
#define LAST_SEGMENT 999999u
/* Of the pieces that writev(2) takes each record needs two. */
#define RECORDS_AT_ONCE 128

void wb_segments_init(struct wb_segments *segments, int directory, uint64_t segment_bytes, bool fsync)
{
	*segments =
		(struct wb_segments){.directory = directory, .segment_bytes = segment_bytes, .fsync = fsync, .fd = -1};
}

static int write_all(int fd, struct iovec *pieces, int count)
{
	while (count > 0) {
		ssize_t n = writev(fd, pieces, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		for (; count > 0 && (size_t)n >= pieces->iov_len; pieces++, count--)
			n -= (ssize_t)pieces->iov_len;
		if (count > 0) {
			pieces->iov_base = (uint8_t *)pieces->iov_base + n;
			pieces->iov_len -= (size_t)n;
		}
	}
	return 0;
}

void wb_segments_close(struct wb_segments *segments)
{
	if (segments->fd < 0)
		return;
	if (segments->fsync && fdatasync(segments->fd) < 0)
		segments->sync_error = -errno;
	close(segments->fd);
	segments->fd = -1;
}

int wb_segments_rewind(struct wb_segments *segments)
{
	if (ftruncate(segments->fd, WB_CONTAINER_HEADER_BYTES) < 0 ||
		lseek(segments->fd, WB_CONTAINER_HEADER_BYTES, SEEK_SET) < 0)
		return -errno;
	segments->offset = WB_CONTAINER_HEADER_BYTES;
	return 0;
}

static int create(struct wb_segments *segments)
{
	int n = 0;

	for (int i = 0; i < 16; i++)
		n += snprintf(segments->name + n, sizeof(segments->name) - (size_t)n, "%02x", segments->session_id[i]);
	for (; segments->segment <= LAST_SEGMENT; segments->segment++) {
		snprintf(segments->name + n, sizeof(segments->name) - (size_t)n, "-%04" PRIu32 "-%06" PRIu32 ".wbs",
			segments->worker_id, segments->segment);
		segments->fd =
			openat(segments->directory, segments->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
		if (segments->fd >= 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int begin(struct wb_segments *segments, const struct wb_batch *batch)
{
	uint8_t header[WB_CONTAINER_HEADER_BYTES];
	struct iovec piece = {header, sizeof(header)};
	int r;

	memcpy(segments->session_id, batch->session_id, sizeof(segments->session_id));
	segments->worker_id = batch->worker_id;
	r = create(segments);
	if (r < 0)
		return r;
	wb_container_header(header);
	r = write_all(segments->fd, &piece, 1);
	/* The file is as good without: not to be lost by a power loss that may never come. */
	if (r == 0 && segments->fsync && fsync(segments->directory) < 0)
		segments->sync_error = -errno;
	if (r < 0) {
		/* Nothing but a piece of the header is in it: the number is free again. */
		unlinkat(segments->directory, segments->name, 0);
		close(segments->fd);
		segments->fd = -1;
		return r;
	}
	segments->offset = WB_CONTAINER_HEADER_BYTES;
	segments->segment++;
	return 0;
}

static bool is_same_worker(const struct wb_segments *segments, const struct wb_batch *batch)
{
	return memcmp(segments->session_id, batch->session_id, sizeof(segments->session_id)) == 0 &&
	       segments->worker_id == batch->worker_id;
}

/* What a batch takes in a file. */
static uint64_t bytes_of(const struct wb_batch *batch, const struct wb_segment_entry *entry)
{
	if (entry)
		return WB_CONTAINER_ENTRY_BYTES + (uint64_t)entry->route_length + batch->size + entry->tail_length;
	return batch->size + (batch->record_count ? batch->record_count : 1) * (uint64_t)WB_CONTAINER_ENTRY_BYTES;
}

static bool is_full(const struct wb_segments *segments, uint64_t bytes)
{
	return segments->offset > WB_CONTAINER_HEADER_BYTES && segments->segment <= LAST_SEGMENT &&
	       segments->offset + bytes > segments->segment_bytes;
}

static int write_entry(int fd, const struct wb_batch *batch, const struct wb_segment_entry *entry)
{
	uint8_t header[WB_CONTAINER_ENTRY_BYTES];
	struct iovec pieces[4] = {{header, sizeof(header)}, {(void *)entry->route, entry->route_length},
		{(void *)batch->data, batch->size}, {(void *)entry->tail, entry->tail_length}};

	wb_container_entry_tail(header, entry->kind, entry->route, entry->route_length, batch->data, batch->size,
		entry->tail, entry->tail_length);
	return write_all(fd, pieces, 4);
}

/* Each record is an entry. */
static int write_records(int fd, const struct wb_batch *batch)
{
	uint8_t entries[RECORDS_AT_ONCE][WB_CONTAINER_ENTRY_BYTES];
	struct iovec pieces[2 * RECORDS_AT_ONCE];
	int r = 0;

	for (uint32_t done = 0; r == 0 && done < batch->record_count;) {
		int count = 0;

		for (; count < 2 * RECORDS_AT_ONCE && done < batch->record_count; done++) {
			uint8_t *entry = entries[count / 2];
			size_t size;
			const uint8_t *record = wb_batch_record(batch, done, &size);

			wb_container_entry(entry, WB_MESSAGE_RECORD, NULL, 0, record, size);
			pieces[count++] = (struct iovec){entry, WB_CONTAINER_ENTRY_BYTES};
			pieces[count++] = (struct iovec){(void *)record, size};
		}
		r = write_all(fd, pieces, count);
	}
	return r;
}

static int write_batch(int fd, const struct wb_batch *batch, const struct wb_segment_entry *entry)
{
	static const struct wb_segment_entry plain = {.kind = WB_MESSAGE_BATCH};

	if (!entry && batch->record_count)
		return write_records(fd, batch);
	return write_entry(fd, batch, entry ? entry : &plain);
}

static int append(struct wb_segments *segments, const struct wb_batch *batch, const struct wb_segment_entry *entry)
{
	uint64_t bytes = bytes_of(batch, entry);
	off_t end;
	int r;

	if (!is_same_worker(segments, batch)) {
		wb_segments_close(segments);
		segments->segment = 0;
	}
	if (segments->fd >= 0 && is_full(segments, bytes))
		wb_segments_close(segments);
	if (segments->fd < 0) {
		r = begin(segments, batch);
		if (r < 0)
			return r;
	}
	r = write_batch(segments->fd, batch, entry);
	if (r == 0) {
		segments->offset += bytes;
		return 0;
	}
	/* Take back what was written of the batch; if that fails too, give the file up for another. */
	end = (off_t)segments->offset;
	if (ftruncate(segments->fd, end) < 0 || lseek(segments->fd, end, SEEK_SET) < 0)
		wb_segments_close(segments);
	return r;
}

int wb_segments_append_entry(
	struct wb_segments *segments, const struct wb_batch *batch, const struct wb_segment_entry *entry)
{
	int r;

	r = append(segments, batch, entry);
	if (r == -EFBIG && segments->fd >= 0 && segments->offset > WB_CONTAINER_HEADER_BYTES) {
		/* The file system or the process's limit allows no longer file; another may still be begun. */
		wb_segments_close(segments);
		r = append(segments, batch, entry);
	}
	return r;
}

int wb_segments_append(struct wb_segments *segments, const struct wb_batch *batch)
{
	return wb_segments_append_entry(segments, batch, NULL);
}
