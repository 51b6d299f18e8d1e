/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A capture file as a source: its packets as the batches of one stream, so that all that reads a bus reads files, too.
 * Chosen by what is in a file, not by a scheme, see source_setup.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture_file.h"
#include "interface_set.h"
#include "log.h"
#include "registry.h"
#include "uuid.h"

/* A batch, unless a packet alone is longer. */
#define BATCH_BYTES (256u << 10)
#define INTERFACES_BYTES (32u << 10)

struct wb_source {
	char *url;
	struct wb_capture_file *file;
	uint32_t next_index;
	size_t max_message_bytes;
	struct wb_interface_set interfaces;
	struct wbproto_encoder *encoder;
	uint8_t *buffer;
	size_t capacity;
	struct wbproto_batch batch; /* the facts of the batch at hand */
	bool open;                  /* it is begun */
	struct wb_captured held;    /* read, and not in a batch yet */
	bool has_held;
	bool idle;        /* nothing more is there now */
	uint64_t read_ns; /* the latest time in the batches */
	int end;          /* why nothing can be read any more; 0: not the end */
	struct wb_error error;
	bool ended; /* the end of stream was given */
};

/* Begin a batch with room for the packet. */
static int begin_batch(struct wb_source *source, size_t packet_bytes)
{
	struct wbproto_batch *batch = &source->batch;
	size_t needed;
	int r;

	batch->batch_seq++;
	batch->interfaces = source->interfaces.items;
	batch->interface_count = source->interfaces.count;
	needed = wbproto_batch_overhead_bytes(batch) + packet_bytes;
	if (needed > source->capacity) {
		uint8_t *grown = realloc(source->buffer, needed);

		if (!grown)
			return -ENOMEM;
		source->buffer = grown;
		source->capacity = needed;
	}
	r = wbproto_encoder_open(source->encoder, source->buffer, source->capacity, batch);
	source->open = r == 0;
	return r;
}

/* Give the batch at hand to the reader. The packets in it are with nobody yet, those before it are. */
static int end_batch(struct wb_source *source, uint32_t flags, struct wb_message *ret_message)
{
	struct wbproto_batch *batch = &source->batch;
	struct wbproto_counters *c = &batch->counters;
	int r;

	c->open = wbproto_encoder_packets(source->encoder);
	c->handed_over = c->accepted - c->open;
	batch->has_counters = true;
	batch->flags = flags;
	r = wbproto_encoder_seal(source->encoder, batch, &ret_message->size);
	batch->first_packet_seq += c->open;
	source->open = false;
	if (r < 0)
		return r;
	ret_message->data = source->buffer;
	ret_message->kind = WB_MESSAGE_BATCH;
	snprintf(ret_message->origin, sizeof ret_message->origin, "%.180s", wb_capture_file_path(source->file));
	return 1;
}

/* The packet's interface is one of those that the batch names. 1: not possible before the batch has ended. */
static int name_interface(struct wb_source *source)
{
	if (wb_interface_set_find(&source->interfaces, source->held.interface->index))
		return 0;
	if (source->open)
		return 1;
	if (wb_interface_set_add(&source->interfaces, source->held.interface) < 0) {
		wb_interface_set_clear(&source->interfaces);
		wb_interface_set_add(&source->interfaces, source->held.interface);
	}
	return 0;
}

/* Put the held packet into the batch. 1: the batch is to be ended first; 0: it is in. */
static int append_held(struct wb_source *source)
{
	struct wbproto_counters *c = &source->batch.counters;
	int r = name_interface(source);

	if (r == 0 && !source->open)
		r = begin_batch(source, wbproto_packet_encoded_bytes(&source->held.packet));
	if (r != 0)
		return r;
	r = wbproto_encoder_append(source->encoder, &source->held.packet);
	if (r == -ENOSPC)
		return 1;
	if (r < 0)
		return r;
	source->has_held = false;
	if (source->held.packet.time_unix_ns > source->read_ns)
		source->read_ns = source->held.packet.time_unix_ns;
	c->kernel_seen += 1 + source->held.lost;
	c->kernel_dropped += source->held.lost;
	c->read++;
	c->accepted++;
	return 0;
}

/* What comes behind the last packet: nothing after damage, else the end of stream. */
static int give_end(struct wb_source *source, struct wb_message *ret_message, struct wb_error *ret_error)
{
	int r;

	if (source->end != -ENODATA) {
		*ret_error = source->error;
		return source->end;
	}
	if (source->ended)
		return -ENODATA;
	source->ended = true;
	r = begin_batch(source, 0);
	return r < 0 ? r : end_batch(source, WBPROTO_BATCH_END_OF_STREAM, ret_message);
}

static int fill_batch(struct wb_source *source, int timeout_ms)
{
	int r = 0;

	while (r == 0) {
		if (!source->has_held) {
			/* What is there already does not wait for more. */
			r = wb_capture_file_next(
				source->file, source->open ? 0 : timeout_ms, &source->held, &source->error);
			if (r <= 0) {
				/* Damage is told once, for good: another -EBADMSG would be skipped. */
				source->end = r == -EBADMSG ? -EPROTO : r;
				source->idle = r == 0 && !source->open;
				return 0;
			}
			source->has_held = true;
			source->idle = false;
		}
		r = append_held(source);
	}
	return r < 0 ? r : 0;
}

static int capture_next(
	struct wb_source *source, int timeout_ms, struct wb_message *ret_message, struct wb_error *ret_error)
{
	int r = 0;

	if (!source->end)
		r = fill_batch(source, timeout_ms);
	if (r == 0 && source->open)
		r = end_batch(source, 0, ret_message);
	else if (r == 0 && source->end)
		return give_end(source, ret_message, ret_error);
	if (r == 1 && ret_message->size > source->max_message_bytes)
		return wb_fail(ret_error, -EMSGSIZE, "%s: a packet that needs a message of %zu bytes", source->url,
			ret_message->size);
	return r < 0 ? wb_fail(ret_error, r, "%s: %s", source->url, strerror(-r)) : r;
}

/* What a pipe or a file that grows will bring comes live. */
static uint64_t capture_behind(const struct wb_source *source)
{
	return source->idle || source->end ? UINT64_MAX : source->read_ns;
}

static bool capture_from_start(const struct wb_source *source)
{
	return source->ended;
}

static void capture_close(struct wb_source *source)
{
	if (!source)
		return;
	wb_capture_file_close(source->file);
	wbproto_encoder_destroy(source->encoder);
	wb_interface_set_fini(&source->interfaces);
	free(source->buffer);
	free(source->url);
	free(source);
}

static int make(struct wb_source *source, const struct wb_source_args *args)
{
	int r = wb_uuid7(source->batch.session_id);

	source->url = strdup(args->url);
	source->max_message_bytes = args->max_message_bytes;
	source->next_index = 1;
	source->batch.worker_id = 1;
	source->batch.stream_id = 1;
	source->batch.first_packet_seq = 1;
	source->capacity = BATCH_BYTES;
	source->buffer = malloc(source->capacity);
	if (r == 0 && (!source->url || !source->buffer))
		r = -ENOMEM;
	if (r == 0)
		r = wb_interface_set_init(&source->interfaces, INTERFACES_BYTES);
	return r < 0 ? r : wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &source->encoder);
}

static int capture_open(const struct wb_source_args *args, struct wb_source **ret_source, struct wb_error *ret_error)
{
	struct wb_source *source = calloc(1, sizeof *source);
	struct wb_capture_file_options options = {.follow = args->follow};
	int r = source ? make(source, args) : -ENOMEM;

	if (r < 0) {
		capture_close(source);
		return wb_fail(ret_error, r, "%s: %s", args->url, strerror(-r));
	}
	options.next_index = &source->next_index;
	r = wb_capture_file_open(args->address, &options, &source->file, ret_error);
	if (r < 0) {
		capture_close(source);
		return r;
	}
	*ret_source = source;
	return 0;
}

static const char *const capture_schemes[] = {NULL};
static const struct wb_option_row capture_rows[] = {{.key = NULL}};

const struct wb_source_ops wb_source_capture = {
	.name = "capture file",
	.schemes = capture_schemes,
	.rows = capture_rows,
	.options_size = 0,
	.finite = true,
	.any_time = true,
	.open = capture_open,
	.next = capture_next,
	.behind = capture_behind,
	.from_start = capture_from_start,
	.close = capture_close,
};
