/* SPDX-License-Identifier: Apache-2.0 */
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "source.h"
#include "spool_internal.h"

/* After a failure the disk is taken to work again when so much time passed without another. */
#define QUIET_MS 10000
/* Between messages of a worker that the disk does not take what is to be safe. */
#define SYNC_LOG_MS 10000

static void tell_not_synced(const struct wb_spool *spool, int code)
{
	wb_log(WB_LOG_ERROR, "spool '%s': fsync: %s; what was written may not survive a power loss", spool->path,
		strerror(-code));
}

void wb_spool_tell_sync(struct wb_spool_queue *queue)
{
	uint64_t now_ms = wb_monotonic_ms();
	int code = queue->writer.sync_error;

	queue->writer.sync_error = 0;
	if (!code || (queue->told_sync_ms && now_ms - queue->told_sync_ms < SYNC_LOG_MS))
		return;
	queue->told_sync_ms = now_ms;
	tell_not_synced(queue->spool, code);
}

/* A directory that is new has an entry in another one, without which no power loss leaves anything of it. */
static void sync_parent(const struct wb_spool *spool)
{
	int fd = openat(spool->directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		tell_not_synced(spool, -errno);
	if (fd >= 0)
		close(fd);
}

/* Errors of the directory come to light now rather than with the first batch. */
static int open_directory(struct wb_spool *spool, struct wb_error *ret_error)
{
	const char *path = spool->path;

	bool made = mkdir(path, 0750) == 0;

	if (!made && errno != EEXIST)
		return wb_fail(ret_error, -errno, "spool_dir '%s': cannot create it: %s", path, strerror(errno));
	spool->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (spool->directory < 0)
		return wb_fail(ret_error, -errno, "spool_dir '%s': cannot open it: %s", path, strerror(errno));
	if (faccessat(spool->directory, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return wb_fail(ret_error, -errno, "spool_dir '%s': cannot write to it: %s", path, strerror(errno));
	if (made && spool->fsync)
		sync_parent(spool);
	return 0;
}

static int lock_directory(struct wb_spool *spool, struct wb_error *ret_error)
{
	char pid[24] = "";
	int length;

	spool->lock = openat(spool->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (spool->lock < 0)
		return wb_fail(
			ret_error, -errno, "spool_dir '%s': cannot open its lock: %s", spool->path, strerror(errno));
	if (flock(spool->lock, LOCK_EX | LOCK_NB) < 0) {
		int r = -errno;

		if (r != -EWOULDBLOCK)
			return wb_fail(ret_error, r, "spool_dir '%s': cannot lock it: %s", spool->path, strerror(-r));
		if (pread(spool->lock, pid, sizeof pid - 1, 0) < 0)
			pid[0] = 0;
		pid[strspn(pid, "0123456789")] = 0;
		return wb_fail(ret_error, r,
			"spool_dir '%s': another process uses it (pid %s); each capture needs a directory of its own",
			spool->path, pid[0] ? pid : "not known");
	}
	/* For people only: a lock that cannot be written to is as good. */
	length = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
	if (ftruncate(spool->lock, 0) == 0 && pwrite(spool->lock, pid, (size_t)length, 0) < 0)
		errno = 0;
	return 0;
}

static int init_queues(struct wb_spool *spool, const struct wb_spool_options *options, struct wb_error *ret_error)
{
	uint64_t segment_bytes = options->segment_bytes;

	/* Room comes back by whole files: some of them must fit. */
	if (segment_bytes > options->bytes / 4)
		segment_bytes = options->bytes / 4;
	spool->queues = calloc(spool->queue_count, sizeof *spool->queues);
	if (!spool->queues) {
		spool->queue_count = 0;
		return wb_fail(ret_error, -ENOMEM, "spool_dir '%s': out of memory", spool->path);
	}
	for (unsigned int i = 0; i < spool->queue_count; i++) {
		spool->queues[i].spool = spool;
		spool->queues[i].read_fd = -1;
		wb_segments_init(&spool->queues[i].writer, spool->directory, segment_bytes, options->fsync);
	}
	return 0;
}

int wb_spool_open(const struct wb_spool_options *options, unsigned int queues, struct wb_spool **ret_spool,
	struct wb_error *ret_error)
{
	struct wb_spool *spool = calloc(1, sizeof *spool);
	int r;

	if (!spool)
		return wb_fail(ret_error, -ENOMEM, "spool_dir '%s': out of memory", options->directory);
	pthread_mutex_init(&spool->told, NULL);
	spool->directory = spool->lock = -1;
	spool->bytes = options->bytes;
	spool->fsync = options->fsync;
	spool->queue_count = queues;
	spool->path = strdup(options->directory);
	if (!spool->path) {
		wb_spool_close(spool);
		return wb_fail(ret_error, -ENOMEM, "spool_dir '%s': out of memory", options->directory);
	}
	r = open_directory(spool, ret_error);
	if (r == 0)
		r = lock_directory(spool, ret_error);
	if (r == 0)
		r = init_queues(spool, options, ret_error);
	if (r == 0 && options->bus)
		r = wb_spool_check_bus(spool, options->bus, ret_error);
	if (r == 0)
		r = wb_spool_recover(spool, ret_error);
	if (r < 0) {
		wb_spool_close(spool);
		return r;
	}
	*ret_spool = spool;
	return 0;
}

void wb_spool_close(struct wb_spool *spool)
{
	if (!spool)
		return;
	for (unsigned int i = 0; spool->queues && i < spool->queue_count; i++)
		wb_spool_queue_fini(&spool->queues[i]);
	free(spool->queues);
	if (spool->lock >= 0)
		close(spool->lock);
	if (spool->directory >= 0)
		close(spool->directory);
	pthread_mutex_destroy(&spool->told);
	free(spool->path);
	free(spool);
}

struct wb_spool_queue *wb_spool_queue(struct wb_spool *spool, unsigned int queue)
{
	return &spool->queues[queue];
}

const char *wb_spool_directory(const struct wb_spool_queue *queue)
{
	return queue->spool->path;
}

size_t wb_spool_longest(const struct wb_spool_queue *queue)
{
	return queue->spool->longest;
}

void wb_spool_stats(struct wb_spool *spool, struct wb_spool_stats *ret_stats)
{
	*ret_stats = (struct wb_spool_stats){
		.bytes = atomic_load(&spool->used),
		.entries = atomic_load(&spool->entries),
		.recovered = atomic_load(&spool->recovered),
		.damaged = atomic_load(&spool->damaged),
		.torn = atomic_load(&spool->torn),
		.torn_bytes = atomic_load(&spool->torn_bytes),
		.refused = atomic_load(&spool->refused),
		.failed = atomic_load(&spool->failed),
	};
}

/* The bound is reached. It is told once, and again only after half of the spool was free. */
static void note_full(struct wb_spool *spool)
{
	bool first;

	atomic_fetch_add(&spool->refused, 1);
	pthread_mutex_lock(&spool->told);
	first = !spool->told_full;
	spool->told_full = true;
	pthread_mutex_unlock(&spool->told);
	if (first)
		wb_log(WB_LOG_ERROR,
			"spool '%s' is full (spool_bytes: %" PRIu64
			"); batches are lost and counted until the bus has taken some",
			spool->path, spool->bytes);
}

static void note_failure(struct wb_spool *spool, const struct wb_batch *batch, int code)
{
	bool first;

	/* The end of stream is tried again and again. */
	if (batch->packets)
		atomic_fetch_add(&spool->failed, 1);
	pthread_mutex_lock(&spool->told);
	first = !spool->told_failing;
	spool->told_failing = true;
	spool->failed_size = batch->size;
	spool->failed_ms = wb_monotonic_ms();
	spool->lost_batches += batch->packets ? 1 : 0;
	pthread_mutex_unlock(&spool->told);
	if (first)
		wb_log(WB_LOG_ERROR, "spool '%s': cannot write: %s; batches are lost and counted until it works again",
			spool->path, strerror(-code));
}

/* On a disk that is almost full small batches still fit between large ones that do not: this is not "works again". */
static void note_success(struct wb_spool *spool, size_t size)
{
	uint64_t lost = 0;
	bool works = false;

	pthread_mutex_lock(&spool->told);
	if (spool->told_full && atomic_load(&spool->used) <= spool->bytes / 2)
		spool->told_full = false;
	if (spool->told_failing && (size >= spool->failed_size || wb_monotonic_ms() - spool->failed_ms >= QUIET_MS)) {
		works = true;
		spool->told_failing = false;
		lost = spool->lost_batches;
		spool->lost_batches = 0;
	}
	pthread_mutex_unlock(&spool->told);
	if (works)
		wb_log(WB_LOG_WARNING, "spool '%s': writing works again; %" PRIu64 " batches were lost", spool->path,
			lost);
}

/* Take so much of the bound, which all workers share. */
static bool reserve(struct wb_spool *spool, uint64_t charge, bool always)
{
	if (atomic_fetch_add(&spool->used, charge) + charge <= spool->bytes || always)
		return true;
	atomic_fetch_sub(&spool->used, charge);
	return false;
}

/*
 * Write, and know the file that was written to. A file that was only begun, because its first entry failed, is known as
 * well, so that it is deleted.
 */
static int write_entry(struct wb_spool_queue *queue, const struct wb_batch *batch, const struct wb_segment_entry *entry,
	struct wb_spool_segment **ret_segment)
{
	struct wb_segments *writer = &queue->writer;
	struct wb_spool_segment *active = queue->active;
	int r = wb_segments_append_entry(writer, batch, entry);

	if (r == -EEXIST) {
		/* The numbers have run out; those of files that were deleted are free again. */
		writer->segment = 0;
		r = wb_segments_append_entry(writer, batch, entry);
	}
	wb_spool_tell_sync(queue);
	if (active && writer->fd >= 0 && strcmp(active->name, writer->name) == 0) {
		*ret_segment = active;
		return r;
	}
	queue->active = NULL;
	if (active)
		wb_spool_segment_check(queue, active);
	if (writer->fd < 0)
		return r < 0 ? r : -EIO;
	queue->active = wb_spool_segment_add(queue, writer->name);
	if (!queue->active) {
		/* Nobody would ever delete it. */
		unlinkat(queue->spool->directory, writer->name, 0);
		wb_segments_close(writer);
		return -ENOMEM;
	}
	*ret_segment = queue->active;
	return r;
}

/* With a route, and where each record ends. */
static int write_batch(struct wb_spool_queue *queue, const struct wb_batch *batch, const uint8_t *route,
	uint16_t route_length, struct wb_spool_segment **ret_segment)
{
	uint8_t *notes = batch->record_count ? wb_spool_notes_write(batch) : NULL;
	int r = batch->record_count && !notes ? -ENOMEM : 0;
	const struct wb_segment_entry entry = {
		.kind = wb_spool_kind(batch),
		.route = route,
		.route_length = route_length,
		.tail = notes,
		.tail_length = wb_spool_notes_bytes(batch),
	};

	if (r == 0)
		r = write_entry(queue, batch, &entry, ret_segment);
	free(notes);
	return r;
}

static int append(struct wb_spool_queue *queue, const struct wb_batch *batch, const struct wb_route *route,
	struct wb_spool_entry *entry, uint64_t charge)
{
	struct wb_spool_stream *stream = wb_spool_stream_get(queue, batch->session_id, batch->stream_id, false);
	uint8_t bytes[WB_SPOOL_ROUTE_MAX];
	struct wb_spool_segment *segment = NULL;
	int length = wb_spool_route_write(bytes, batch, route);
	int r = length < 0 ? length : 0;

	if (!stream)
		return -ENOMEM;
	/* Before anything is written and counted: of what is there already nothing more is owed. */
	if (r == 0 && wb_spool_has(stream, batch->batch_seq))
		return -EEXIST;
	if (r == 0)
		r = write_batch(queue, batch, bytes, (uint16_t)length, &segment);
	if (r < 0) {
		if (segment)
			wb_spool_segment_check(queue, segment);
		return r;
	}
	entry->batch_seq = batch->batch_seq;
	entry->packets = batch->packets;
	entry->records = batch->record_count;
	entry->length = (uint32_t)((size_t)length + batch->size + wb_spool_notes_bytes(batch));
	entry->route_length = (uint16_t)length;
	entry->offset = queue->writer.offset - WB_CONTAINER_ENTRY_BYTES - entry->length;
	entry->segment = segment;
	segment->charged += charge;
	segment->live++;
	atomic_fetch_add(&queue->spool->entries, 1);
	return wb_spool_insert(stream, entry);
}

static uint64_t charge_of(const struct wb_batch *batch, const struct wb_route *route)
{
	size_t topic_size = route->topic ? strlen(route->topic) : 0;

	return wb_spool_charge(
		WB_SPOOL_ROUTE_BYTES + route->key_size + topic_size + batch->size + wb_spool_notes_bytes(batch));
}

int wb_spool_append(struct wb_spool_queue *queue, const struct wb_batch *batch, const struct wb_route *route)
{
	struct wb_spool *spool = queue->spool;
	uint64_t charge = charge_of(batch, route);
	struct wb_spool_entry *entry;
	int r;

	if (batch->size + wb_spool_notes_bytes(batch) > WB_SPOOL_MAX_MESSAGE_BYTES) {
		note_failure(spool, batch, -EMSGSIZE);
		return -EMSGSIZE;
	}
	if (!reserve(spool, charge, batch->packets == 0)) {
		note_full(spool);
		return -ENOBUFS;
	}
	entry = calloc(1, sizeof *entry);
	r = entry ? append(queue, batch, route, entry, charge) : -ENOMEM;
	if (r < 0) {
		free(entry);
		atomic_fetch_sub(&spool->used, charge);
		note_failure(spool, batch, r);
		return r;
	}
	note_success(spool, batch->size);
	return 0;
}

/* The file's descriptor is kept: the next entry is most often in the same one. */
static int open_segment(struct wb_spool_queue *queue, const char *name)
{
	if (queue->read_fd >= 0 && strcmp(queue->read_name, name) == 0)
		return 0;
	if (queue->read_fd >= 0)
		close(queue->read_fd);
	queue->read_name[0] = 0;
	queue->read_fd = openat(queue->spool->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (queue->read_fd < 0)
		return -errno;
	memcpy(queue->read_name, name, strlen(name) + 1);
	return 0;
}

static int read_all(int fd, void *to, size_t size, uint64_t offset)
{
	uint8_t *at = to;

	while (size > 0) {
		ssize_t n = pread(fd, at, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		at += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Read the entry, the notes of records behind them in memory. -EBADMSG: it is not what was written. */
static int read_entry(struct wb_spool_queue *queue, const struct wb_spool_entry *entry, uint8_t *memory,
	struct wb_spool_item *ret_item)
{
	uint8_t header[WB_CONTAINER_ENTRY_BYTES + WB_SPOOL_ROUTE_MAX];
	uint8_t expected[WB_CONTAINER_ENTRY_BYTES];
	const uint8_t *route = header + WB_CONTAINER_ENTRY_BYTES;
	size_t front = WB_CONTAINER_ENTRY_BYTES + (size_t)entry->route_length;
	size_t length = (size_t)entry->length - entry->route_length;
	size_t size = wb_spool_records_bytes(length, entry->records);
	uint8_t *notes = memory + wb_spool_notes_offset(length, entry->records);
	int r = open_segment(queue, entry->segment->name);

	if (r == 0)
		r = read_all(queue->read_fd, header, front, entry->offset);
	if (r == 0)
		r = read_all(queue->read_fd, memory, size, entry->offset + front);
	if (r == 0)
		r = read_all(queue->read_fd, notes, length - size, entry->offset + front + size);
	if (r < 0)
		return r;
	wb_container_entry_tail(expected, entry->records ? WB_SPOOL_KIND_RECORDS : WB_MESSAGE_BATCH, route,
		entry->route_length, memory, size, notes, length - size);
	if (memcmp(expected, header, sizeof expected) != 0 ||
		wb_spool_route_read(route, entry->route_length, ret_item) < 0 ||
		ret_item->batch.record_count != entry->records ||
		(entry->records && !wb_spool_notes_check(notes, entry->records, size)))
		return -EBADMSG;
	ret_item->batch.data = memory;
	ret_item->batch.size = size;
	ret_item->records = entry->records ? wb_spool_notes_read(notes, entry->records) : NULL;
	return 0;
}

static void tell_lost(const struct wb_spool *spool, const struct wb_spool_entry *entry, int code)
{
	wb_log(WB_LOG_ERROR,
		"spool: %s/%s@%" PRIu64 ": batch %" PRIu64 " of stream %" PRIu32 " with %" PRIu32
		" packets is lost: it %s%s",
		spool->path, entry->segment->name, entry->offset, entry->batch_seq, entry->stream->stream_id,
		entry->packets,
		code == -EBADMSG ? "is damaged" : "cannot be read: ", code == -EBADMSG ? "" : strerror(-code));
}

int wb_spool_read(
	struct wb_spool_queue *queue, struct wb_spool_entry *entry, void *memory, struct wb_spool_item *ret_item)
{
	int r = read_entry(queue, entry, memory, ret_item);

	if (r == 0 && entry->records)
		r = wb_spool_leave_out(entry, memory, ret_item);
	/* The process's own want, not the file's. */
	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
		return -EAGAIN;
	if (r == -EBADMSG)
		atomic_fetch_add(&queue->spool->damaged, 1);
	if (r < 0)
		tell_lost(queue->spool, entry, r);
	return r;
}
