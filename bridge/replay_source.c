/* SPDX-License-Identifier: Apache-2.0 */
#include "replay_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define MAX_MESSAGE_BYTES ((size_t)256 * 1024 * 1024)

/* The sink of the reading. */
struct wb_sink {
	struct wb_read_ahead *buffer;
	uint64_t too_large;
};

static int buffer_packet(struct wb_sink *sink, const struct wbproto_record *record, unsigned int marks)
{
	int r = wb_read_ahead_put(sink->buffer, record);

	if (r == -EMSGSIZE) {
		sink->too_large++;
		return 0;
	}
	return r == -ECANCELED ? -EPIPE : r; /* an end like any other */
}

static int buffer_finish(struct wb_sink *sink)
{
	return 0;
}

static const struct wb_sink_ops buffer_sink = {
	.name = "buffer",
	.packet = buffer_packet,
	.finish = buffer_finish,
};

static int open_source(struct wb_replay_source *source, struct wb_error *ret_error)
{
	const struct wb_source_args args = {
		.follow = source->args.follow,
		.wait_ms = source->args.wait_ms,
		.max_message_bytes = MAX_MESSAGE_BYTES,
		.since_ns = source->args.since_ns,
	};

	return wb_source_setup_open(&source->setup, &args, &source->source, ret_error);
}

int wb_replay_source_open(
	struct wb_replay_source *source, const struct wb_replay_source_args *args, struct wb_error *ret_error)
{
	int r;

	*source = (struct wb_replay_source){.args = *args};
	r = wb_source_setup_init(args->url, &source->setup, ret_error);
	return r < 0 ? r : open_source(source, ret_error);
}

static void close_source(struct wb_replay_source *source)
{
	if (source->source)
		source->setup.ops->close(source->source);
	source->source = NULL;
}

static bool is_pipe(const char *address)
{
	struct stat facts;
	int r = strcmp(address, "-") == 0 ? fstat(STDIN_FILENO, &facts) : stat(address, &facts);

	return r == 0 && !S_ISREG(facts.st_mode) && !S_ISDIR(facts.st_mode);
}

/* For another pass. What came through standard input has been read, whatever it is. */
static bool can_be_read_again(const struct wb_replay_source *source)
{
	const struct wb_url *url = &source->setup.url;

	return source->setup.ops->finite &&
	       (strcmp(url->scheme, "file") != 0 || (strcmp(url->address, "-") != 0 && !is_pipe(url->address)));
}

bool wb_replay_source_is_live(const struct wb_replay_source *source)
{
	return source->args.follow || !source->setup.ops->finite ||
	       (strcmp(source->setup.url.scheme, "file") == 0 && is_pipe(source->setup.url.address));
}

void wb_replay_source_close(struct wb_replay_source *source)
{
	close_source(source);
	wb_source_setup_fini(&source->setup);
}

static void add_streams(const struct wb_cat *cat, struct wb_replay_read *read)
{
	struct wb_stream **sorted = wb_streams_sorted(&cat->streams);
	struct wb_streams_total total;

	wb_streams_sum(sorted, sorted ? cat->streams.count : 0, &total);
	free(sorted);
	read->missing += total.missing_packets;
	read->duplicates += total.duplicates + total.stale;
}

static int read_pass(
	struct wb_replay_source *source, struct wb_sink *sink, struct wb_replay_read *read, struct wb_error *ret_error)
{
	const struct wb_cat_args args = {
		.source_ops = source->setup.ops,
		.source = source->source,
		.sink_ops = &buffer_sink,
		.sink = sink,
		.until_ended = !source->setup.ops->finite && !source->args.follow,
		.stop = source->args.stop,
		.unwanted = wb_read_ahead_cancelled(sink->buffer),
		.since_ns = source->args.since_ns,
		.until_ns = source->args.until_ns,
		.order = source->args.order,
		.window_ns = source->args.window_ns,
		.filter = source->args.filter,
	};
	struct wb_cat cat;
	int r;

	wb_cat_init(&cat);
	r = wb_cat_run(&cat, &args);
	read->packets += cat.packets - sink->too_large;
	read->too_large += sink->too_large;
	read->filtered += cat.filtered;
	read->outside += cat.outside;
	read->messages += cat.messages;
	read->damaged += cat.damaged;
	add_streams(&cat, read);
	if (r < 0)
		*ret_error = cat.error;
	wb_cat_fini(&cat);
	return r;
}

int wb_replay_source_read(void *context, unsigned int pass, struct wb_read_ahead *buffer,
	struct wb_replay_read *ret_read, struct wb_error *ret_error)
{
	struct wb_replay_source *source = context;
	struct wb_sink sink = {.buffer = buffer};
	int r = 0;

	if (pass > 0 && !can_be_read_again(source))
		return wb_fail(ret_error, -ESPIPE,
			"%s: cannot be read again for the next loop, and did not fit into --buffer",
			source->setup.url.text);
	if (!source->source)
		r = open_source(source, ret_error);
	if (r == 0)
		r = read_pass(source, &sink, ret_read, ret_error);
	close_source(source);
	return r;
}
