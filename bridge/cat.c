/* SPDX-License-Identifier: Apache-2.0 */
#include "cat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define WAIT_MS 100   /* how long a stop may go unnoticed */
#define QUIET_WAITS 5 /* after the last end of stream: a stream that was not seen yet may still come */
#define MAX_DAMAGE_LINES 100

/* Interfaces of the batch at hand, found once each: a lookup walks over the message. */
#define CACHED_INTERFACES 1024u
#define MAX_LOOKUPS 2048u /* in a batch; beyond, which no honest one needs, interfaces are taken as not named */

struct cached_interface {
	uint64_t batch; /* the entry is of this one */
	uint32_t index;
	struct wbproto_interface interface;
};

/* The reading while it goes on. */
struct run {
	struct wb_cat *cat;
	const struct wb_cat_args *args;
	int quiet;            /* waits in a row that brought nothing */
	bool done;            /* cat->end is set */
	uint64_t batch;       /* number of the one at hand, from 1 */
	unsigned int lookups; /* in it */
	struct cached_interface cache[CACHED_INTERFACES];
};

void wb_cat_init(struct wb_cat *cat)
{
	*cat = (struct wb_cat){0};
	wb_streams_init(&cat->streams);
}

void wb_cat_fini(struct wb_cat *cat)
{
	wb_streams_fini(&cat->streams);
}

static void end(struct run *run, enum wb_cat_end reason)
{
	run->cat->end = reason;
	run->done = true;
}

static void note_damage(struct run *run, const char *text)
{
	run->cat->damaged++;
	if (run->cat->damaged <= MAX_DAMAGE_LINES)
		wb_log(WB_LOG_WARNING, "%s%s", text,
			run->cat->damaged == MAX_DAMAGE_LINES ? " (further damage is counted only)" : "");
}

static void note_unreadable(struct run *run, const struct wb_message *message)
{
	struct wb_error error;

	wb_fail(&error, -EBADMSG, "%s: skipped %zu bytes that are not a %s", message->origin, message->size,
		message->kind == WB_MESSAGE_RECORD ? "PacketRecord" : "PacketBatch");
	note_damage(run, error.message);
}

/* What the sink answered. A reader that has gone is an end like any other. */
static int check_sink(struct run *run, int r)
{
	if (r == -EPIPE) {
		end(run, WB_CAT_END_READER_GONE);
		return 0;
	}
	if (r < 0)
		return wb_fail(&run->cat->error, r, "cannot write the packets: %s", strerror(-r));
	return 0;
}

static int emit(struct run *run, const struct wbproto_record *record)
{
	int r = check_sink(run, run->args->sink_ops->packet(run->args->sink, record));

	if (r < 0 || run->done)
		return r;
	run->cat->packets++;
	if (run->args->count && run->cat->packets >= run->args->count)
		end(run, WB_CAT_END_COUNT);
	return 0;
}

static int book(struct run *run, const struct wb_arrival *arrival)
{
	int r = wb_streams_book(&run->cat->streams, arrival);

	return r < 0 ? wb_fail(&run->cat->error, r, "cannot keep track of streams: %s", strerror(-r)) : r;
}

static int book_batch(struct run *run, const struct wbproto_reader *reader)
{
	const struct wbproto_batch *batch = &reader->batch;
	const struct wb_arrival arrival = {
		.session_id = batch->session_id,
		.worker_id = batch->worker_id,
		.stream_id = batch->stream_id,
		.batch_seq = batch->batch_seq,
		.first_packet_seq = batch->first_packet_seq,
		.packets = reader->packet_count,
		.node = batch->node,
		.counters = batch->has_counters ? &batch->counters : NULL,
		.end_of_stream = batch->flags & WBPROTO_BATCH_END_OF_STREAM,
	};

	return book(run, &arrival);
}

static const struct wbproto_interface *interface_of(
	struct run *run, const struct wbproto_reader *reader, uint32_t index)
{
	static const struct wbproto_interface none;
	struct cached_interface *entry = &run->cache[index % CACHED_INTERFACES];

	if (entry->batch == run->batch && entry->index == index)
		return &entry->interface;
	if (run->lookups >= MAX_LOOKUPS)
		return &none;
	run->lookups++;
	entry->batch = run->batch;
	entry->index = index;
	if (wbproto_reader_interface(reader, index, &entry->interface) < 0)
		entry->interface = none;
	return &entry->interface;
}

static int emit_packets(struct run *run, struct wbproto_reader *reader)
{
	const struct wbproto_batch *batch = &reader->batch;
	struct wbproto_record record = {
		.worker_id = batch->worker_id,
		.stream_id = batch->stream_id,
		.batch_seq = batch->batch_seq,
		.packet_seq = batch->first_packet_seq,
		.flow_bucket_plus_one = batch->flow_bucket_plus_one,
		.node = batch->node,
	};

	run->batch++;
	run->lookups = 0;
	memcpy(record.session_id, batch->session_id, sizeof(record.session_id));
	while (!run->done && wbproto_reader_next(reader, &record.packet) == 1) {
		int r;

		record.interface = *interface_of(run, reader, record.packet.interface_index);
		r = emit(run, &record);
		if (r < 0)
			return r;
		record.packet_seq++;
	}
	return 0;
}

static int take_batch(struct run *run, const struct wb_message *message)
{
	struct wbproto_reader reader;
	int r;

	if (wbproto_reader_init(&reader, message->data, message->size) < 0) {
		note_unreadable(run, message);
		return 0;
	}
	run->cat->messages++;
	r = book_batch(run, &reader);
	if (r <= 0)
		return r;
	if (run->args->sink_ops->batch) {
		r = check_sink(run, run->args->sink_ops->batch(run->args->sink, &reader));
		if (r < 0)
			return r;
	}
	return emit_packets(run, &reader);
}

static int take_record(struct run *run, const struct wb_message *message)
{
	struct wbproto_record record;
	struct wb_arrival arrival;
	int r;

	if (wbproto_record_read(message->data, message->size, &record) < 0) {
		note_unreadable(run, message);
		return 0;
	}
	run->cat->messages++;
	arrival = (struct wb_arrival){
		.session_id = record.session_id,
		.worker_id = record.worker_id,
		.stream_id = record.stream_id,
		.batch_seq = record.batch_seq,
		.first_packet_seq = record.packet_seq,
		.packets = 1,
		.node = record.node,
	};
	r = book(run, &arrival);
	return r <= 0 ? r : emit(run, &record);
}

/* Nothing to read at the moment: show what there is, then wait. */
static int wait_for_message(struct run *run, struct wb_message *message)
{
	int r = check_sink(run, wb_sink_flush(run->args->out));

	if (r < 0 || run->done)
		return r;
	r = run->args->source_ops->next(run->args->source, WAIT_MS, message, &run->cat->error);
	run->quiet = r == 0 ? run->quiet + 1 : 0;
	if (r == 0 && run->args->until_ended && run->quiet >= QUIET_WAITS && wb_streams_all_ended(&run->cat->streams))
		end(run, WB_CAT_END_OF_STREAMS);
	return r;
}

static int step(struct run *run)
{
	struct wb_message message = {0};
	int r;

	run->cat->error.message[0] = '\0';
	r = run->args->source_ops->next(run->args->source, 0, &message, &run->cat->error);
	if (r == 0)
		r = wait_for_message(run, &message);
	if (r == -ENODATA) {
		end(run, WB_CAT_END_OF_DATA);
		return 0;
	}
	if (r == -EBADMSG) {
		note_damage(run, run->cat->error.message);
		return 0;
	}
	if (r <= 0)
		return r;
	run->quiet = 0;
	return message.kind == WB_MESSAGE_RECORD ? take_record(run, &message) : take_batch(run, &message);
}

static int read_all(struct run *run)
{
	const struct wb_cat_args *args = run->args;
	int r = 0, finished;

	while (r >= 0 && !run->done) {
		if (atomic_load_explicit(args->stop, memory_order_relaxed))
			end(run, WB_CAT_END_STOPPED);
		else
			r = step(run);
	}
	if (run->done && run->cat->end == WB_CAT_END_READER_GONE)
		return 0;
	/* Also after a failure of the source: what came until then is to be readable. */
	finished = args->sink_ops->finish(args->sink);
	return r < 0 ? r : check_sink(run, finished);
}

int wb_cat_run(struct wb_cat *cat, const struct wb_cat_args *args)
{
	struct run *run = calloc(1, sizeof(*run));
	int r = -ENOMEM;

	if (run) {
		run->cat = cat;
		run->args = args;
		r = read_all(run);
	}
	free(run);
	if (r < 0) {
		cat->end = WB_CAT_END_FAILED;
		if (!cat->error.message[0])
			wb_fail(&cat->error, r, "cannot read: %s", strerror(-r));
	}
	return r;
}
