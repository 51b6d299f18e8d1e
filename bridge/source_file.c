/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches from container files: one file, or all *.wbs of a directory: what the file transport writes, or a spool. The
 * files of one worker are a channel, read in the order of their names, which is the order within each stream. Files are
 * read in passes: a pass takes what is in them when it begins. Without follow there is one pass; with follow, another
 * whenever a file has grown or a new one has come.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"
#include "registry.h"
#include "source_file_internal.h"

#define POLL_MS 100
/* With more channels files are closed and opened again in turn. */
#define MAX_OPEN_FILES 128u

static void free_source(struct wb_source *source)
{
	for (size_t i = 0; i < source->channel_count; i++)
		wb_container_close(source->channels[i].reader);
	wb_file_list_fini(source);
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
	r = wb_file_scan(source, ret_error);
	if (r < 0)
		goto fail;
	*ret_source = source;
	return 0;
fail:
	free_source(source);
	return r;
}

static struct wb_file_input *input_of(const struct wb_source *source, const struct wb_file_channel *channel)
{
	return &source->inputs[channel->at];
}

/* Close the file for now. */
static void suspend(struct wb_source *source, struct wb_file_channel *channel)
{
	if (!channel->reader)
		return;
	input_of(source, channel)->offset = wb_container_offset(channel->reader);
	wb_container_close(channel->reader);
	channel->reader = NULL;
}

/* Leave the file at hand, for this pass or for ever. */
static void leave(struct wb_source *source, struct wb_file_channel *channel, bool over)
{
	struct wb_file_input *input = input_of(source, channel);

	suspend(source, channel);
	input->over = input->over || over;
	input->time_ns = channel->time_ns;
	if (++channel->at == channel->end)
		source->open_channels--;
}

/* The file ends inside an entry. While it may still be written to this is no damage. */
static int leave_torn(struct wb_source *source, struct wb_file_channel *channel)
{
	struct wb_file_input *input = input_of(source, channel);
	bool over = !source->follow || input->superseded;
	struct stat status;

	input->torn_at = input->size;
	leave(source, channel, over);
	/* It has grown since it was looked at: an entry is just being written, by a wirebus that runs. */
	if (!input->superseded && stat(input->path, &status) == 0 && (uint64_t)status.st_size > input->size)
		return 0;
	return over ? -EBADMSG : 0;
}

static bool has_more(const struct wb_file_input *input)
{
	if (input->over)
		return false;
	/* Looked at already; what it lacks can only come by growing. */
	if (input->torn_at > 0 && input->torn_at == input->size && !input->superseded)
		return false;
	return input->offset == 0 || input->offset < input->size;
}

/* The file that was named has not even a container's header, so it may be anything. While it grows it is waited for. */
static bool is_nothing(const struct wb_source *source, const struct wb_file_input *input)
{
	struct stat status;

	return source->is_single && !source->follow && stat(input->path, &status) == 0 &&
	       status.st_size < WB_CONTAINER_HEADER_BYTES;
}

/* 0: the reader of the file at hand is open, or the file was left (reader NULL). */
static int open_file(struct wb_source *source, struct wb_file_channel *channel, struct wb_error *ret_error)
{
	struct wb_file_input *input = input_of(source, channel);
	int r;

	if (!has_more(input)) {
		leave(source, channel, input->superseded);
		return 0;
	}
	r = wb_container_open(input->path, source->max_message_bytes, &channel->reader, ret_error);
	if (r == 0) {
		if (input->offset > 0)
			wb_container_seek(channel->reader, input->offset);
		input->offset = wb_container_offset(channel->reader);
		return 0;
	}
	channel->reader = NULL;
	if (r == -EAGAIN && is_nothing(source, input))
		return wb_fail(ret_error, -EPROTO,
			"%s: %" PRIu64 " bytes are neither a capture nor a wirebus container", input->path,
			input->size);
	if (r == -EAGAIN)
		return leave_torn(source, channel);
	/* Of a folder's files one may be damaged; a file that was named is all that there is to read. */
	if ((r != -EPROTO && r != -ENOENT) || (source->is_single && !source->follow))
		return r;
	leave(source, channel, true);
	return -EBADMSG;
}

static void fill_message(const struct wb_source *source, const struct wb_file_channel *channel,
	const struct wb_container_item *item, struct wb_message *ret)
{
	ret->data = item->message;
	ret->size = item->message_length;
	ret->kind = (enum wb_message_kind)item->kind;
	ret->channel = (uint32_t)(channel - source->channels);
	snprintf(ret->origin, sizeof(ret->origin), "%.160s@%" PRIu64, input_of(source, channel)->name, item->offset);
}

static int take_entry(struct wb_source *source, struct wb_file_channel *channel, struct wb_message *ret_message,
	struct wb_error *ret_error)
{
	uint64_t before = wb_container_offset(channel->reader);
	struct wb_file_input *input = input_of(source, channel);
	struct wb_container_item item;
	int r;

	r = wb_container_next(channel->reader, &item, ret_error);
	source->bytes_read += wb_container_offset(channel->reader) - before;
	switch (r) {
	case 1:
		if (item.kind != WB_MESSAGE_BATCH && item.kind != WB_MESSAGE_RECORD)
			return wb_fail(ret_error, -EBADMSG,
				"%s@%" PRIu64 ": messages of kind %u are not known, skipped", input->path, item.offset,
				item.kind);
		fill_message(source, channel, &item, ret_message);
		return 1;
	case 0:
		leave(source, channel, !source->follow || input->superseded);
		return 0;
	case -EAGAIN:
		return leave_torn(source, channel);
	case -EPROTO:
		leave(source, channel, true);
		return -EBADMSG;
	default:
		return r;
	}
}

/* 1: a message; 0: the file at hand was left, or is another now; -EBADMSG: damage was skipped. */
static int read_channel(struct wb_source *source, struct wb_file_channel *channel, struct wb_message *ret_message,
	struct wb_error *ret_error)
{
	const struct wb_file_input *input = input_of(source, channel);
	int r;

	if (!channel->reader) {
		r = open_file(source, channel, ret_error);
		if (r < 0 || !channel->reader)
			return r;
	}
	if (wb_container_offset(channel->reader) >= input->size) {
		leave(source, channel, !source->follow || input->superseded);
		return 0;
	}
	return take_entry(source, channel, ret_message, ret_error);
}

/* The channel to go on with: the one that is furthest behind. NULL: the pass is over. */
static struct wb_file_channel *choose(struct wb_source *source)
{
	struct wb_file_channel *chosen = NULL;

	if (source->open_channels == 0)
		return NULL;
	for (size_t i = 0; i < source->channel_count; i++) {
		struct wb_file_channel *channel = &source->channels[i];

		if (channel->at < channel->end && (!chosen || channel->time_ns < chosen->time_ns))
			chosen = channel;
	}
	if (source->open_channels > MAX_OPEN_FILES && chosen != &source->channels[source->current])
		suspend(source, &source->channels[source->current]);
	source->current = (size_t)(chosen - source->channels);
	return chosen;
}

static int file_next(
	struct wb_source *source, int timeout_ms, struct wb_message *ret_message, struct wb_error *ret_error)
{
	struct wb_file_channel *channel;
	int r;

	for (bool again = true;; again = false) {
		while ((channel = choose(source))) {
			r = read_channel(source, channel, ret_message, ret_error);
			if (r != 0)
				return r;
		}
		if (!source->follow)
			return -ENODATA;
		if (!again)
			return 0;
		/* A signal ends the wait early, as it should. */
		poll(NULL, 0, timeout_ms < 0 || timeout_ms > POLL_MS ? POLL_MS : timeout_ms);
		r = wb_file_scan(source, ret_error);
		if (r < 0)
			return r;
	}
}

static void file_note_time(struct wb_source *source, uint32_t channel, uint64_t time_unix_ns)
{
	if (channel < source->channel_count && time_unix_ns > source->channels[channel].time_ns)
		source->channels[channel].time_ns = time_unix_ns;
}

static uint64_t file_behind(const struct wb_source *source)
{
	uint64_t least_ns = UINT64_MAX;

	for (size_t i = 0; i < source->channel_count; i++)
		if (source->channels[i].at < source->channels[i].end && source->channels[i].time_ns < least_ns)
			least_ns = source->channels[i].time_ns;
	/* At its end it ends, or waits for more, which is live. */
	return least_ns;
}

static void file_progress(const struct wb_source *source, uint64_t *ret_done, uint64_t *ret_total)
{
	*ret_done = source->bytes_read < source->bytes ? source->bytes_read : source->bytes;
	*ret_total = source->follow ? 0 : source->bytes;
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
	.note_time = file_note_time,
	.behind = file_behind,
	.progress = file_progress,
	.close = file_close,
};
