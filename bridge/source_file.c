/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches from container files: one file, or all *.wbs of a directory in the order of their names, which is the order
 * within each stream. Files are read in passes: a pass takes what is in them when it begins. Without follow there is
 * one pass; with follow, another whenever a file has grown or a new one has come.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container.h"
#include "log.h"
#include "registry.h"

#define POLL_MS 100

struct input {
	char *path;
	const char *name; /* its last component */
	uint64_t size;    /* when this pass began */
	uint64_t offset;  /* where to go on; 0: the header was not read yet */
	uint64_t torn_at; /* size of the file when it was seen to end inside an entry; 0: it did not */
	bool superseded;  /* the next segment of the same worker exists: this one grows no more */
	bool over;        /* never to be read again */
};

struct wb_source {
	char *url, *path;
	bool follow, is_single;
	bool told_missing;
	size_t max_message_bytes;
	struct input *inputs; /* sorted by name */
	size_t count, capacity;
	size_t current;                     /* in this pass; count: the pass is over */
	struct wb_container_reader *reader; /* of inputs[current], or NULL */
};

static int file_fail(const struct wb_source *source, int code, const char *path, struct wb_error *ret_error)
{
	return wb_fail(ret_error, code, "%s: %s: %s", source->url, path, strerror(-code));
}

/* Position of the first input whose name is not less. */
static size_t position_of(const struct wb_source *source, const char *name)
{
	size_t low = 0, high = source->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(source->inputs[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add_input(struct wb_source *source, const char *path, const char *name)
{
	size_t at = position_of(source, name);
	struct input *input, *inputs;

	if (at < source->count && strcmp(source->inputs[at].name, name) == 0)
		return 0;
	if (source->count == source->capacity) {
		size_t capacity = source->capacity ? 2 * source->capacity : 64;

		inputs = realloc(source->inputs, capacity * sizeof(*inputs));
		if (!inputs)
			return -ENOMEM;
		source->inputs = inputs;
		source->capacity = capacity;
	}
	input = &source->inputs[at];
	memmove(input + 1, input, (source->count - at) * sizeof(*input));
	*input = (struct input){.path = strdup(path)};
	if (!input->path) {
		memmove(input, input + 1, (source->count - at) * sizeof(*input));
		return -ENOMEM;
	}
	input->name = input->path + (strlen(path) - strlen(name));
	source->count++;
	return 0;
}

static bool is_container_name(const char *name)
{
	size_t length = strlen(name);

	return length > 4 && strcmp(name + length - 4, ".wbs") == 0;
}

static int add_directory(struct wb_source *source, struct wb_error *ret_error)
{
	struct dirent *entry;
	char *path;
	DIR *directory;
	int r = 0;

	directory = opendir(source->path);
	if (!directory)
		return file_fail(source, -errno, source->path, ret_error);
	while (r == 0 && (errno = 0, entry = readdir(directory))) {
		if (!is_container_name(entry->d_name))
			continue;
		r = -ENOMEM;
		if (asprintf(&path, "%s/%s", source->path, entry->d_name) >= 0) {
			r = add_input(source, path, entry->d_name);
			free(path);
		}
	}
	if (r == 0 && errno != 0)
		r = -errno;
	closedir(directory);
	return r < 0 ? file_fail(source, r, source->path, ret_error) : 0;
}

/* Whether b comes from the same worker as a, by the names that the file transport gives: session-worker-segment. */
static bool is_related(const char *a, const char *b)
{
	const char *end = strrchr(a, '-');

	return strspn(a, "0123456789abcdef") == 32 && a[32] == '-' && end > a + 32 &&
	       strncmp(a, b, (size_t)(end - a) + 1) == 0;
}

/* Begin a pass. Names were collected before: a file with a successor is not written to after its size is read here. */
static void measure(struct wb_source *source)
{
	struct stat status;

	for (size_t i = 0; i < source->count; i++) {
		struct input *input = &source->inputs[i];

		if (input->over)
			continue;
		input->superseded = i + 1 < source->count && is_related(input->name, source->inputs[i + 1].name);
		/* A file that has gone is reported when it is opened. */
		input->size = stat(input->path, &status) == 0 ? (uint64_t)status.st_size : UINT64_MAX;
	}
	source->current = 0;
}

/* 1: a pass can begin; 0: there is nothing there (yet). */
static int scan(struct wb_source *source, struct wb_error *ret_error)
{
	const char *slash = strrchr(source->path, '/');
	struct stat status;
	int r;

	if (stat(source->path, &status) < 0) {
		if (!source->follow || errno != ENOENT)
			return file_fail(source, -errno, source->path, ret_error);
		if (!source->told_missing)
			wb_log(WB_LOG_WARNING, "%s: there is no %s yet; waiting for it", source->url, source->path);
		source->told_missing = true;
		return 0;
	}
	source->is_single = !S_ISDIR(status.st_mode);
	if (source->is_single)
		r = add_input(source, source->path, slash ? slash + 1 : source->path);
	else
		r = add_directory(source, ret_error);
	if (r == -ENOMEM)
		wb_fail(ret_error, r, "%s: out of memory", source->url);
	if (r < 0)
		return r;
	if (source->count == 0 && !source->told_missing) {
		wb_log(WB_LOG_WARNING, "%s: there are no .wbs files in %s%s", source->url, source->path,
			source->follow ? " yet; waiting for them" : "");
		source->told_missing = true;
	}
	measure(source);
	return 1;
}

static void free_source(struct wb_source *source)
{
	wb_container_close(source->reader);
	for (size_t i = 0; i < source->count; i++)
		free(source->inputs[i].path);
	free(source->inputs);
	free(source->path);
	free(source->url);
	free(source);
}

static int file_open(const struct wb_source_args *args, struct wb_source **ret_source, struct wb_error *ret_error)
{
	const char *path = args->address;
	struct wb_source *source;
	size_t length = strlen(path);
	int r;

	if (path[0] != '/' && strncmp(path, "./", 2) != 0 && strncmp(path, "../", 3) != 0)
		return wb_fail(ret_error, -EINVAL,
			"%s: \"%s\" is not a path: write file:///path (three slashes), or ./path", args->url, path);
	source = calloc(1, sizeof(*source));
	if (!source)
		return wb_fail(ret_error, -ENOMEM, "%s: out of memory", args->url);
	while (length > 1 && path[length - 1] == '/')
		length--;
	source->url = strdup(args->url);
	source->path = strndup(path, length);
	source->follow = args->follow;
	source->max_message_bytes = args->max_message_bytes;
	if (!source->url || !source->path) {
		r = wb_fail(ret_error, -ENOMEM, "%s: out of memory", args->url);
		goto fail;
	}
	r = scan(source, ret_error);
	if (r < 0)
		goto fail;
	*ret_source = source;
	return 0;
fail:
	free_source(source);
	return r;
}

/* Leave the current file, for this pass or for ever. */
static void leave(struct wb_source *source, bool over)
{
	struct input *input = &source->inputs[source->current];

	if (source->reader)
		input->offset = wb_container_offset(source->reader);
	wb_container_close(source->reader);
	source->reader = NULL;
	input->over = input->over || over;
	source->current++;
}

/* The file ends inside an entry. While it may still be written to this is no damage. */
static int leave_torn(struct wb_source *source)
{
	struct input *input = &source->inputs[source->current];
	bool over = !source->follow || input->superseded;

	input->torn_at = input->size;
	leave(source, over);
	return over ? -EBADMSG : 0;
}

static bool has_more(const struct wb_source *source, const struct input *input)
{
	if (input->over)
		return false;
	/* Looked at already; what it lacks can only come by growing. */
	if (input->torn_at > 0 && input->torn_at == input->size && !input->superseded)
		return false;
	return input->offset == 0 || input->offset < input->size;
}

/* 0: the reader of the current file is open, or the file was left (reader NULL). */
static int open_current(struct wb_source *source, struct wb_error *ret_error)
{
	struct input *input = &source->inputs[source->current];
	int r;

	if (!has_more(source, input)) {
		leave(source, input->superseded);
		return 0;
	}
	r = wb_container_open(input->path, source->max_message_bytes, &source->reader, ret_error);
	if (r == 0) {
		if (input->offset > 0)
			wb_container_seek(source->reader, input->offset);
		input->offset = wb_container_offset(source->reader);
		return 0;
	}
	source->reader = NULL;
	if (r == -EAGAIN)
		return leave_torn(source);
	/* Of a folder's files one may be damaged; a file that was named is all that there is to read. */
	if ((r != -EPROTO && r != -ENOENT) || (source->is_single && !source->follow))
		return r;
	leave(source, true);
	return -EBADMSG;
}

static void fill_message(const struct wb_source *source, const struct wb_container_item *item, struct wb_message *ret)
{
	ret->data = item->message;
	ret->size = item->message_length;
	ret->kind = (enum wb_message_kind)item->kind;
	snprintf(ret->origin, sizeof(ret->origin), "%.160s@%" PRIu64, source->inputs[source->current].name,
		item->offset);
}

/* 1: a message; 0: the current file was left, or is another now; -EBADMSG: damage was skipped. */
static int read_current(struct wb_source *source, struct wb_message *ret_message, struct wb_error *ret_error)
{
	struct wb_container_item item;
	int r;

	if (!source->reader) {
		r = open_current(source, ret_error);
		if (r < 0 || !source->reader)
			return r;
	}
	if (wb_container_offset(source->reader) >= source->inputs[source->current].size) {
		leave(source, !source->follow || source->inputs[source->current].superseded);
		return 0;
	}
	r = wb_container_next(source->reader, &item, ret_error);
	switch (r) {
	case 1:
		if (item.kind != WB_MESSAGE_BATCH && item.kind != WB_MESSAGE_RECORD)
			return wb_fail(ret_error, -EBADMSG,
				"%s@%" PRIu64 ": messages of kind %u are not known, skipped",
				source->inputs[source->current].path, item.offset, item.kind);
		fill_message(source, &item, ret_message);
		return 1;
	case 0:
		leave(source, !source->follow || source->inputs[source->current].superseded);
		return 0;
	case -EAGAIN:
		return leave_torn(source);
	case -EPROTO:
		leave(source, true);
		return -EBADMSG;
	default:
		return r;
	}
}

static int file_next(
	struct wb_source *source, int timeout_ms, struct wb_message *ret_message, struct wb_error *ret_error)
{
	int r;

	for (bool again = true;; again = false) {
		while (source->current < source->count) {
			r = read_current(source, ret_message, ret_error);
			if (r != 0)
				return r;
		}
		if (!source->follow)
			return -ENODATA;
		if (!again)
			return 0;
		/* A signal ends the wait early, as it should. */
		poll(NULL, 0, timeout_ms < 0 || timeout_ms > POLL_MS ? POLL_MS : timeout_ms);
		r = scan(source, ret_error);
		if (r < 0)
			return r;
	}
}

static void file_close(struct wb_source *source)
{
	if (source)
		free_source(source);
}

static const char *const file_schemes[] = {"file", NULL};
static const struct wb_option_row file_rows[] = {{.key = NULL}};

const struct wb_source_ops wb_source_file = {
	.name = "file",
	.schemes = file_schemes,
	.rows = file_rows,
	.options_size = 0,
	.finite = true,
	.open = file_open,
	.next = file_next,
	.close = file_close,
};
