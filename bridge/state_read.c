/* SPDX-License-Identifier: Apache-2.0 */
/* State files of sessions that did not end. What is in them is as untrusted as any file: everything is checked. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "state_internal.h"

#define SUFFIX ".state"
#define MAX_FILE_BYTES ((size_t)256 << 20)

struct wb_state_file {
	atomic_uint streams; /* not done, and one while it is read */
	atomic_bool keep;
	int directory;
	int fd; /* locked */
	char name[256];
};

struct find {
	const char *path;
	const char *capture;
	const char *bus;
	wb_state_found found;
	void *context;
	struct wb_state_file *file;
	uint8_t *bytes;
	size_t size;
};

static void put_file(struct wb_state_file *file)
{
	if (atomic_fetch_sub(&file->streams, 1) != 1)
		return;
	if (!atomic_load(&file->keep))
		unlinkat(file->directory, file->name, 0);
	close(file->fd);
	close(file->directory);
	free(file);
}

void wb_state_done(struct wb_state_file *file)
{
	put_file(file);
}

void wb_state_leave(struct wb_state_file *file)
{
	atomic_store(&file->keep, true);
	put_file(file);
}

/* Whether the file is left alone: its process lives (or it was that process that deleted it just now). */
static bool is_in_use(const struct wb_state_file *file)
{
	struct stat status;

	return flock(file->fd, LOCK_EX | LOCK_NB) < 0 || fstat(file->fd, &status) < 0 || status.st_nlink == 0;
}

static int open_file(struct find *find, int directory, const char *name)
{
	struct wb_state_file *file = calloc(1, sizeof *file);

	if (!file)
		return -ENOMEM;
	snprintf(file->name, sizeof file->name, "%s", name);
	file->directory = fcntl(directory, F_DUPFD_CLOEXEC, 0);
	file->fd = openat(directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	atomic_init(&file->streams, 1);
	/* Until it is known to have nothing more to say. */
	atomic_init(&file->keep, true);
	if (file->directory < 0 || file->fd < 0) {
		int r = -errno;

		if (file->directory >= 0)
			close(file->directory);
		free(file);
		return r < 0 ? r : -EIO;
	}
	find->file = file;
	return 0;
}

static bool is_blank(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

/* 0: it is in memory. 1: there is nothing in it. */
static int read_file(struct find *find)
{
	struct stat status;
	ssize_t n;

	if (fstat(find->file->fd, &status) < 0)
		return -errno;
	/* Its process was killed before it wrote anything. */
	if (S_ISREG(status.st_mode) && status.st_size == 0)
		return 1;
	if (!S_ISREG(status.st_mode) || (size_t)status.st_size > MAX_FILE_BYTES ||
		(size_t)status.st_size < wb_state_header_bytes(1))
		return -EBADMSG;
	find->size = (size_t)status.st_size;
	find->bytes = malloc(find->size);
	if (!find->bytes)
		return -ENOMEM;
	n = pread(find->file->fd, find->bytes, find->size, 0);
	if (n < 0)
		return -errno;
	if ((size_t)n != find->size)
		return -EBADMSG;
	return is_blank(find->bytes, wb_state_header_bytes(1)) ? 1 : 0;
}

/* Another configuration, with a capture of the same name, wrote it. */
static bool is_of_other_bus(const struct find *find, const struct wb_state_header *header)
{
	if (header->version == 1 || wb_bus_is_same(header->bus, find->bus))
		return false;
	wb_log(WB_LOG_WARNING,
		"state_dir '%s': '%s' is of a capture '%s' to %s, and this one goes to %s: left to a start with that "
		"bus, which will say how far it came; delete the file if there is to be none",
		find->path, find->file->name, find->capture, header->bus, find->bus);
	return true;
}

/* 0: it is ours. 2: another capture's. */
static int check_header(const struct find *find, const struct wb_state_header *header, struct wb_error *ret_error)
{
	if (memcmp(header->magic, WB_STATE_MAGIC, sizeof header->magic) != 0 ||
		header->byte_order != WB_STATE_BYTE_ORDER)
		return -EBADMSG;
	if (header->version > WB_STATE_VERSION)
		return wb_fail(ret_error, -EPROTO,
			"state_dir '%s': '%s' has version %u; this program reads version %d; move it away", find->path,
			find->file->name, header->version, WB_STATE_VERSION);
	if (header->version == 0 || find->size < wb_state_header_bytes(header->version) ||
		wb_state_header_crc(header) != header->crc || header->workers > WB_STATE_MAX_WORKERS ||
		header->streams > WB_STATE_MAX_STREAMS || header->counters != WB_STATE_COUNTERS ||
		find->size != wb_state_file_bytes(header->version, header->workers, header->streams) ||
		!memchr(header->node, 0, sizeof header->node) || !memchr(header->capture, 0, sizeof header->capture) ||
		(header->version > 1 && !memchr(header->bus, 0, sizeof header->bus)))
		return -EBADMSG;
	return strcmp(header->capture, find->capture) != 0 || is_of_other_bus(find, header) ? 2 : 0;
}

/* The newer of two copies that is whole. NULL: neither is. ret_blank: neither was ever written. */
static const struct wb_state_copy *newest(const uint8_t *at, size_t copy_bytes, bool *ret_blank)
{
	const struct wb_state_copy *best = NULL;

	*ret_blank = is_blank(at, 2 * copy_bytes);
	for (int i = 0; i < 2; i++) {
		const struct wb_state_copy *copy = (const struct wb_state_copy *)(at + (size_t)i * copy_bytes);

		if (copy->generation && copy->crc == wb_state_crc(copy, copy_bytes) &&
			(!best || copy->generation > best->generation))
			best = copy;
	}
	return best;
}

static int report(struct find *find, const struct wb_state_header *header, const struct wb_state_description *d,
	const struct wb_state_copy *copy, const struct wb_state_numbers *numbers)
{
	struct wb_state_left left = {.file = find->file};
	int r;

	if (numbers->batch_seq <= 1)
		return 0; /* nobody has heard of it */
	if (d->crc != wb_state_crc(d, sizeof *d) || d->key_size > sizeof left.key ||
		!memchr(d->topic, 0, sizeof d->topic))
		return -EBADMSG;
	memcpy(left.session_id, header->session_id, sizeof left.session_id);
	left.worker_id = d->worker_id;
	left.stream_id = d->stream_id;
	left.batch_seq = numbers->batch_seq;
	left.packet_seq = numbers->packet_seq;
	left.counters = copy->counters;
	left.time_unix_ns = copy->time_unix_ns;
	left.key_size = d->key_size;
	memcpy(left.key, d->key, d->key_size);
	left.has_topic = d->has_topic != 0;
	left.records = d->records != 0;
	memcpy(left.topic, d->topic, sizeof left.topic);
	memcpy(left.node, header->node, sizeof left.node);
	atomic_fetch_add(&find->file->streams, 1);
	r = find->found(find->context, &left);
	if (r < 0)
		atomic_fetch_sub(&find->file->streams, 1);
	return r;
}

static int read_slots(struct find *find, const struct wb_state_header *header)
{
	const uint8_t *at = find->bytes + wb_state_header_bytes(header->version);
	int damaged = 0;

	for (uint32_t i = 0; i < header->workers; i++, at += wb_state_slot_bytes(header->streams)) {
		const struct wb_state_description *d = (const struct wb_state_description *)at;
		const uint8_t *copies = at + header->streams * sizeof *d;
		bool blank;
		const struct wb_state_copy *copy = newest(copies, wb_state_copy_bytes(header->streams), &blank);

		if (!copy) {
			damaged = blank ? damaged : -EBADMSG;
			continue;
		}
		for (uint32_t s = 0; s < header->streams && !copy->ended; s++) {
			int r = report(find, header, &d[s], copy, &copy->streams[s]);

			if (r == -EBADMSG)
				damaged = r;
			else if (r < 0)
				return r;
		}
	}
	return damaged;
}

static void set_aside(const struct find *find)
{
	char name[300];

	snprintf(name, sizeof name, "%s.damaged", find->file->name);
	wb_log(WB_LOG_ERROR,
		"state_dir '%s': '%s' is damaged: how its session ended is not known; it is now called '%s'",
		find->path, find->file->name, name);
	renameat(find->file->directory, find->file->name, find->file->directory, name);
}

static int look_at(struct find *find, int directory, const char *name, struct wb_error *ret_error)
{
	int r = open_file(find, directory, name);

	if (r == -ENOENT)
		return 0; /* its process has just ended */
	if (r < 0)
		return wb_fail(ret_error, r, "state_dir '%s': cannot open '%s': %s", find->path, name, strerror(-r));
	find->bytes = NULL;
	if (is_in_use(find->file)) {
		put_file(find->file);
		return 0;
	}
	ret_error->message[0] = 0;
	r = read_file(find);
	if (r == 1)
		atomic_store(&find->file->keep, false);
	if (r == 0 && !find->bytes)
		r = -EIO;
	if (r == 0)
		r = check_header(find, (const struct wb_state_header *)find->bytes, ret_error);
	if (r == 0) {
		/* Unless what follows sets it aside. */
		atomic_store(&find->file->keep, false);
		r = read_slots(find, (const struct wb_state_header *)find->bytes);
	}
	if (r == -EBADMSG) {
		atomic_store(&find->file->keep, true);
		set_aside(find);
		r = 0;
	} else if (r < 0) {
		atomic_store(&find->file->keep, true);
		if (!ret_error->message[0])
			wb_fail(ret_error, r, "state_dir '%s': cannot read '%s': %s", find->path, name, strerror(-r));
	}
	free(find->bytes);
	put_file(find->file);
	return r < 0 ? r : 0;
}

static int is_state(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name), suffix = strlen(SUFFIX);

	return length > suffix && length < 250 && strcmp(entry->d_name + length - suffix, SUFFIX) == 0;
}

int wb_state_find(const char *directory, const char *capture, const char *bus, wb_state_found found, void *context,
	struct wb_error *ret_error)
{
	struct find find = {.path = directory, .capture = capture, .bus = bus, .found = found, .context = context};
	struct wb_error own;
	struct dirent **names = NULL;
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int count = fd < 0 ? -1 : scandirat(fd, ".", &names, is_state, alphasort);
	int r = 0;

	if (count < 0) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		/* There will be one. */
		return r == -ENOENT ? 0 : wb_fail(ret_error, r, "state_dir '%s': %s", directory, strerror(-r));
	}
	for (int i = 0; i < count; i++) {
		if (r == 0)
			r = look_at(&find, fd, names[i]->d_name, ret_error ? ret_error : &own);
		free(names[i]);
	}
	free(names);
	close(fd);
	return r;
}
