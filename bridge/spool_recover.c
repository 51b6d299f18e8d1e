/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an earlier process left in the spool. Nothing is changed before every file is known to be of a version that this
 * program reads. An entry that is damaged is skipped, and the next one is found by the first bytes of its route and its
 * CRC; what ends inside an entry, because the process was killed while it wrote, is cut.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "source.h"
#include "spool_internal.h"

#define SEARCH_BYTES 65536
#define MAGIC_BYTES (sizeof WB_SPOOL_ROUTE_MAGIC - 1)

/* A file that is read. */
struct scan {
	struct wb_spool *spool;
	struct wb_spool_queue *queue;
	struct wb_spool_segment *segment;
	struct wb_container_reader *reader;
	const char *name;
	uint8_t session_id[16]; /* as in its name */
	unsigned int worker_id;
	int fd;
	uint64_t damaged;
};

static bool parse_name(const char *name, uint8_t ret_session_id[16], unsigned int *ret_worker_id)
{
	unsigned int segment;
	int end = 0;

	for (int i = 0; i < 16; i++) {
		unsigned int byte;

		if (sscanf(name + 2 * i, "%2x%n", &byte, &end) != 1 || end != 2)
			return false;
		ret_session_id[i] = (uint8_t)byte;
	}
	end = 0;
	return sscanf(name + 32, "-%u-%u.wbs%n", ret_worker_id, &segment, &end) == 2 && end > 0 && !name[32 + end] &&
	       strlen(name) < WB_SPOOL_NAME_BYTES;
}

static int is_segment(const struct dirent *entry)
{
	uint8_t session_id[16];
	unsigned int worker_id;

	return strlen(entry->d_name) > 32 && parse_name(entry->d_name, session_id, &worker_id);
}

/* pread(2) as far as the file goes. Returns how much that was. */
static ssize_t read_at(int fd, void *to, size_t size, uint64_t offset)
{
	ssize_t n;

	do
		n = pread(fd, to, size, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/*
 * Where the next route's magic is at or after offset. UINT64_MAX: there is none. Errors: -errno: the file cannot be
 * read; what follows is not known, and must not be taken for nothing.
 */
static int find_magic(int fd, uint64_t offset, uint64_t *ret_at)
{
	static _Thread_local uint8_t bytes[SEARCH_BYTES];
	ssize_t n;

	while ((n = read_at(fd, bytes, sizeof bytes, offset)) >= (ssize_t)MAGIC_BYTES) {
		const uint8_t *at = memmem(bytes, (size_t)n, WB_SPOOL_ROUTE_MAGIC, MAGIC_BYTES);

		*ret_at = offset + (uint64_t)(at ? at - bytes : 0);
		if (at)
			return 0;
		offset += (uint64_t)n - (MAGIC_BYTES - 1);
	}
	*ret_at = UINT64_MAX;
	return n < 0 ? (int)n : 0;
}

/* Whether it is what its route says: so many records, or 0: one message. */
static bool has_records(const struct wb_container_item *item, uint32_t records)
{
	size_t bytes = wb_spool_records_bytes(item->message_length, records);

	if (item->kind != WB_SPOOL_KIND_RECORDS)
		return records == 0;
	return records && bytes && wb_spool_notes_check(item->message + bytes, records, bytes);
}

/* Whether the item is a batch of this file's worker, as everything that was written to it. */
static int read_item(const struct scan *scan, const struct wb_container_item *item, struct wb_spool_item *ret_read)
{
	int r = item->kind == WB_MESSAGE_BATCH || item->kind == WB_SPOOL_KIND_RECORDS
	                ? wb_spool_route_read(item->route, item->route_length, ret_read)
	                : -EBADMSG;

	if (r == 0 && !has_records(item, ret_read->batch.record_count))
		r = -EBADMSG;
	if (r == 0 && (memcmp(ret_read->session_id, scan->session_id, 16) != 0 ||
			      ret_read->batch.worker_id != scan->worker_id || ret_read->batch.batch_seq == 0))
		r = -EBADMSG;
	return r;
}

/* What wb_container_next() says of an entry that is not whole; anything else is about the reading. */
static bool is_damage(int code)
{
	return code == -EBADMSG || code == -EPROTO || code == -EAGAIN;
}

/* Packets may have the magic as well; that they have this file's session and worker is unlikely, and cheap to see. */
static int is_likely(const struct scan *scan, uint64_t magic)
{
	uint8_t bytes[28];
	ssize_t n = read_at(scan->fd, bytes, sizeof bytes, magic);

	if (n < 0)
		return (int)n;
	return n == sizeof bytes && bytes[3] > 0 && bytes[3] <= WB_SPOOL_ROUTE_VERSION &&
	       memcmp(bytes + 8, scan->session_id, 16) == 0;
}

/* Whether a whole entry of this file is there. Errors: -errno: it cannot be read now. */
static int is_entry(const struct scan *scan, uint64_t offset, struct wb_error *ret_error)
{
	struct wb_container_item item;
	struct wb_spool_item read;
	int r;

	wb_container_seek(scan->reader, offset);
	r = wb_container_next(scan->reader, &item, ret_error);
	if (r < 0)
		return is_damage(r) ? 0 : r;
	return r == 1 && read_item(scan, &item, &read) == 0;
}

/* After damage at offset: go to the next entry that is whole. 0: there is none. Errors: -errno. */
static int resync(struct scan *scan, uint64_t offset, struct wb_error *ret_error)
{
	uint64_t magic, from = offset + WB_CONTAINER_ENTRY_BYTES + 1;

	for (;; from = magic + 1) {
		int r = find_magic(scan->fd, from, &magic);

		if (r == 0 && magic == UINT64_MAX)
			return 0;
		if (r == 0)
			r = is_likely(scan, magic);
		if (r < 0)
			return wb_fail(ret_error, r, "%s/%s: %s", scan->spool->path, scan->name, strerror(-r));
		if (r == 0)
			continue;
		r = is_entry(scan, magic - WB_CONTAINER_ENTRY_BYTES, ret_error);
		if (r == 1)
			wb_container_seek(scan->reader, magic - WB_CONTAINER_ENTRY_BYTES);
		if (r)
			return r;
	}
}

static int keep(struct scan *scan, const struct wb_container_item *item, const struct wb_spool_item *read)
{
	struct wb_spool_stream *stream =
		wb_spool_stream_get(scan->queue, read->session_id, read->batch.stream_id, true);
	struct wb_spool_entry *entry = calloc(1, sizeof *entry);
	uint64_t charge = wb_spool_charge(item->route_length + item->message_length);

	if (!stream || !entry) {
		free(entry);
		return -ENOMEM;
	}
	entry->segment = scan->segment;
	entry->batch_seq = read->batch.batch_seq;
	entry->packets = read->batch.packets;
	entry->records = read->batch.record_count;
	entry->offset = item->offset;
	entry->length = (uint32_t)(item->route_length + item->message_length);
	entry->route_length = (uint16_t)item->route_length;
	if (wb_spool_insert(stream, entry) < 0) {
		/* It was written twice, which is once too often. */
		free(entry);
		return 0;
	}
	scan->segment->live++;
	scan->segment->charged += charge;
	scan->queue->recovered_packets += entry->packets;
	atomic_fetch_add(&scan->spool->used, charge);
	atomic_fetch_add(&scan->spool->entries, 1);
	atomic_fetch_add(&scan->spool->recovered, 1);
	if (wb_spool_entry_size(entry) > scan->spool->longest)
		scan->spool->longest = wb_spool_entry_size(entry);
	return 0;
}

/* The file ends inside an entry, or in what is none, at offset. */
static void cut_tail(struct scan *scan, uint64_t offset)
{
	struct stat status;

	if (fstat(scan->fd, &status) < 0 || (uint64_t)status.st_size <= offset)
		return;
	atomic_fetch_add(&scan->spool->torn, 1);
	atomic_fetch_add(&scan->spool->torn_bytes, (uint64_t)status.st_size - offset);
	wb_log(WB_LOG_WARNING, "spool: %s/%s: its last %" PRIu64 " bytes are no whole batch and were cut off",
		scan->spool->path, scan->name, (uint64_t)status.st_size - offset);
	if (ftruncate(scan->fd, (off_t)offset) < 0)
		wb_log(WB_LOG_WARNING, "spool: %s/%s: cannot cut it: %s", scan->spool->path, scan->name,
			strerror(errno));
}

static void note_damage(struct scan *scan, const char *message)
{
	atomic_fetch_add(&scan->spool->damaged, 1);
	/* The first of a file says enough. */
	if (scan->damaged++ == 0)
		wb_log(WB_LOG_ERROR, "spool: %s; the batch is lost, those after it are used", message);
}

/* What is said of the damage is in error. Whether to go on; errors: -errno. */
static int pass_damage(struct scan *scan, uint64_t offset, int code, struct wb_error *error)
{
	struct wb_error reading = {""};
	int r = resync(scan, offset, &reading);

	if (r < 0) {
		*error = reading;
		return r;
	}
	/* A whole entry with a wrong CRC at the very end is damage, anything else was never written to its end. */
	if (r == 1 || code == -EBADMSG)
		note_damage(scan, error->message);
	else
		cut_tail(scan, offset);
	return r;
}

static int scan_entries(struct scan *scan, struct wb_error *ret_error)
{
	struct wb_container_item item;
	struct wb_spool_item read;

	for (;;) {
		uint64_t offset = wb_container_offset(scan->reader);
		int r = wb_container_next(scan->reader, &item, ret_error);

		if (r == 0 || (r < 0 && !is_damage(r)))
			return r;
		if (r == 1) {
			r = read_item(scan, &item, &read);
			if (r == 0) {
				r = keep(scan, &item, &read);
				if (r < 0)
					return wb_fail(ret_error, r, "%s", strerror(-r));
				continue;
			}
			if (r == -EPROTO)
				return wb_fail(ret_error, r,
					"the route at %" PRIu64 " has version %u; this program reads versions up to %d",
					offset, item.route[3], WB_SPOOL_ROUTE_VERSION);
			wb_fail(ret_error, r, "%s/%s@%" PRIu64 ": not a batch of this file", scan->spool->path,
				scan->name, offset);
		}
		r = pass_damage(scan, offset, r, ret_error);
		if (r <= 0)
			return r;
	}
}

static void end_scan(struct scan *scan)
{
	wb_container_close(scan->reader);
	scan->reader = NULL;
	if (scan->fd >= 0)
		close(scan->fd);
	scan->fd = -1;
}

static void path_of(const struct wb_spool *spool, const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", spool->path, name);
}

/* Of the first entry, provided that it is whole: otherwise the version may be the damage. */
static int check_route_version(struct wb_spool *spool, const char *name, struct wb_error *ret_error)
{
	struct wb_container_reader *reader;
	struct wb_container_item item;
	struct wb_spool_item read;
	char path[4096];
	int r = 0;

	path_of(spool, name, path, sizeof path);
	if (wb_container_open(path, WB_SPOOL_MAX_MESSAGE_BYTES, &reader, NULL) < 0)
		return 0;
	if (wb_container_next(reader, &item, NULL) == 1 &&
		wb_spool_route_read(item.route, item.route_length, &read) == -EPROTO)
		r = wb_fail(ret_error, -EPROTO,
			"spool_dir '%s': '%s' has routes of version %u; this program reads versions up to %d; let the "
			"version that wrote it publish it, or move it away",
			spool->path, name, item.route[3], WB_SPOOL_ROUTE_VERSION);
	wb_container_close(reader);
	return r;
}

/* Errors: -EPROTO: another version. Whatever else is wrong with the file is found when it is read. */
static int check_version(struct wb_spool *spool, const char *name, struct wb_error *ret_error)
{
	uint8_t bytes[WB_CONTAINER_HEADER_BYTES] = {0}, header[WB_CONTAINER_HEADER_BYTES];
	int fd = openat(spool->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : pread(fd, bytes, sizeof bytes, 0);
	int r = n < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	if (r < 0)
		return wb_fail(ret_error, r, "spool_dir '%s': cannot read '%s': %s", spool->path, name, strerror(-r));
	wb_container_header(header);
	if ((size_t)n >= sizeof header && memcmp(bytes, header, 8) == 0 && memcmp(bytes + 8, header + 8, 8) != 0)
		return wb_fail(ret_error, -EPROTO,
			"spool_dir '%s': '%s' was written in container version %u; this program reads version %d; "
			"let the version that wrote it publish it, or move it away",
			spool->path, name, bytes[8] | bytes[9] << 8 | bytes[10] << 16 | (unsigned int)bytes[11] << 24,
			WB_CONTAINER_VERSION);
	return check_route_version(spool, name, ret_error);
}

/* A file whose header is damaged: its entries are as good as others. */
static int repair_header(struct scan *scan)
{
	uint8_t header[WB_CONTAINER_HEADER_BYTES], found[WB_CONTAINER_HEADER_BYTES];

	wb_container_header(header);
	if (pread(scan->fd, found, sizeof found, 0) != sizeof found || memcmp(found, header, sizeof header) == 0)
		return 0;
	wb_log(WB_LOG_ERROR, "spool: %s/%s: its header is damaged; it is written anew, and the batches are used",
		scan->spool->path, scan->name);
	return pwrite(scan->fd, header, sizeof header, 0) == sizeof header ? 0 : -EIO;
}

static int scan_file(struct wb_spool *spool, const char *name, struct wb_error *ret_error)
{
	struct scan scan = {.spool = spool, .name = name, .fd = -1};
	struct wb_error error = {""};
	char path[4096];
	int r = 0;

	parse_name(name, scan.session_id, &scan.worker_id);
	path_of(spool, name, path, sizeof path);
	scan.queue = &spool->queues[scan.worker_id % spool->queue_count];
	scan.segment = wb_spool_segment_add(scan.queue, name);
	if (!scan.segment)
		return wb_fail(ret_error, -ENOMEM, "spool_dir '%s': out of memory", spool->path);
	scan.fd = openat(spool->directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (scan.fd < 0)
		r = wb_fail(
			ret_error, -errno, "spool_dir '%s': cannot open '%s': %s", spool->path, name, strerror(errno));
	if (r == 0 && repair_header(&scan) < 0)
		r = wb_fail(ret_error, -EIO, "spool_dir '%s': cannot write to '%s'", spool->path, name);
	if (r == 0) {
		r = wb_container_open(path, WB_SPOOL_MAX_MESSAGE_BYTES, &scan.reader, &error);
		/* It was begun and nothing written. */
		if (r == 0)
			r = scan_entries(&scan, &error);
		else if (r == -EAGAIN)
			r = 0;
		if (r < 0)
			wb_fail(ret_error, r, "spool_dir '%s': cannot read '%s': %s", spool->path, name,
				error.message[0] ? error.message : strerror(-r));
	}
	end_scan(&scan);
	if (r == 0)
		wb_spool_segment_check(scan.queue, scan.segment);
	return r;
}

bool wb_spool_has_files(const struct wb_spool *spool)
{
	struct dirent **names = NULL;
	int count = scandirat(spool->directory, ".", &names, is_segment, NULL);

	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
	/* What cannot be listed is told by who reads it; until then it may be for another bus. */
	return count != 0;
}

int wb_spool_recover(struct wb_spool *spool, struct wb_error *ret_error)
{
	struct dirent **names = NULL;
	/* By name, and so by session, worker and number. */
	int count = scandirat(spool->directory, ".", &names, is_segment, alphasort);
	int r = 0;

	if (count < 0)
		return wb_fail(ret_error, -errno, "spool_dir '%s': cannot list it: %s", spool->path, strerror(errno));
	for (int i = 0; r == 0 && i < count; i++)
		r = check_version(spool, names[i]->d_name, ret_error);
	for (int i = 0; r == 0 && i < count; i++)
		r = scan_file(spool, names[i]->d_name, ret_error);
	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
	return r;
}
