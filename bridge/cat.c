/* SPDX-License-Identifier: Apache-2.0 */
#include "cat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cat_internal.h"
#include "clock.h"
#include "log.h"

#define WAIT_MS 100   /* how long a stop may go unnoticed */
#define QUIET_WAITS 5 /* after the last end of stream: a stream that was not seen yet may still come */
#define MAX_DAMAGE_LINES 100

void wb_cat_init(struct wb_cat *cat)
{
	*cat = (struct wb_cat){0};
	wb_streams_init(&cat->streams);
}

void wb_cat_fini(struct wb_cat *cat)
{
	wb_streams_fini(&cat->streams);
}

static void note_damage(struct wb_cat_run *run, const char *text)
{
	wb_cat_progress_clear(run);
	run->cat->damaged++;
	if (run->cat->damaged <= MAX_DAMAGE_LINES)
		wb_log(WB_LOG_WARNING, "%s%s", text,
			run->cat->damaged == MAX_DAMAGE_LINES ? " (further damage is counted only)" : "");
}

static void note_unreadable(struct wb_cat_run *run, const struct wb_message *message)
{
	struct wb_error error;

	wb_fail(&error, -EBADMSG, "%s: skipped %zu bytes that are not a %s", message->origin, message->size,
		message->kind == WB_MESSAGE_RECORD ? "PacketRecord" : "PacketBatch");
	note_damage(run, error.message);
}

static int book(struct wb_cat_run *run, const struct wb_arrival *arrival)
{
	int r = wb_streams_book(&run->cat->streams, arrival);

	return r < 0 ? wb_fail(&run->cat->error, r, "cannot keep track of streams: %s", strerror(-r)) : r;
}

static int book_batch(struct wb_cat_run *run, const struct wb_packets *packets)
{
	const struct wbproto_batch *batch = &packets->reader.batch;
	const struct wb_arrival arrival = {
		.session_id = batch->session_id,
		.worker_id = batch->worker_id,
		.stream_id = batch->stream_id,
		.batch_seq = batch->batch_seq,
		.first_packet_seq = batch->first_packet_seq,
		.packets = packets->count,
		.node = batch->node,
		.counters = batch->has_counters ? &batch->counters : NULL,
		.end_of_stream = batch->flags & WBPROTO_BATCH_END_OF_STREAM,
		.previous_session = batch->flags & WBPROTO_BATCH_PREVIOUS_SESSION,
		.watermark_unix_ns = batch->watermark_unix_ns,
		.is_of_records = batch->flags & WBPROTO_BATCH_RECORD_MODE,
	};

	return book(run, &arrival);
}

static int book_record(struct wb_cat_run *run, const struct wb_packets *packets)
{
	const struct wbproto_record *record = &packets->record;
	const struct wb_arrival arrival = {
		.session_id = record->session_id,
		.worker_id = record->worker_id,
		.stream_id = record->stream_id,
		.batch_seq = record->batch_seq,
		.first_packet_seq = record->packet_seq,
		.packets = 1,
		.node = record->node,
		.is_record = true,
	};

	return book(run, &arrival);
}

/* Tell the source up to when it was read. */
static void note_time(struct wb_cat_run *run, const struct wb_packets *packets, const struct wb_message *message)
{
	uint64_t time_ns = packets->greatest_ns;

	if (!run->args->source_ops->note_time)
		return;
	if (packets->is_batch && packets->reader.batch.watermark_unix_ns > time_ns)
		time_ns = packets->reader.batch.watermark_unix_ns;
	run->args->source_ops->note_time(run->args->source, message->channel, time_ns);
}

static int take_message(struct wb_cat_run *run, const struct wb_message *message)
{
	struct wb_packets packets;
	int r;

	run->last_message_ms = wb_monotonic_ms();
	if (wb_packets_init(&packets, message) < 0) {
		note_unreadable(run, message);
		return 0;
	}
	run->cat->messages++;
	r = packets.is_batch ? book_batch(run, &packets) : book_record(run, &packets);
	note_time(run, &packets, message);
	if (r > 0)
		r = wb_cat_order_take(run, &packets, message);
	if (r == 0)
		wb_cat_order_check_range(run, run->newest_ns);
	return r < 0 ? r : 0;
}

/* Nothing to read at the moment: show what there is, then wait. */
static int wait_for_message(struct wb_cat_run *run, struct wb_message *message)
{
	struct wb_output *out = run->args->out;
	int r = wb_cat_order_wait(run);

	if (r == 0 && out && !run->is_full)
		r = wb_cat_check_sink(run, wb_output_flush(out));
	if (r < 0 || run->done)
		return r;
	if (out)
		wb_cat_keep(run, run->cat->packets);
	r = run->args->source_ops->next(run->args->source, WAIT_MS, message, &run->cat->error);
	run->quiet = r == 0 ? run->quiet + 1 : 0;
	if (r == 0 && run->args->until_ended && run->quiet >= QUIET_WAITS && wb_streams_all_ended(&run->cat->streams))
		wb_cat_end(run, WB_CAT_END_OF_STREAMS);
	wb_cat_order_check_range(run, wb_realtime_ns());
	return r;
}

static int step(struct wb_cat_run *run)
{
	struct wb_message message = {0};
	int r;

	run->cat->error.message[0] = '\0';
	wb_cat_progress(run);
	r = run->args->source_ops->next(run->args->source, 0, &message, &run->cat->error);
	if (r == 0)
		r = wait_for_message(run, &message);
	if (r == -ENODATA) {
		wb_cat_end(run, WB_CAT_END_OF_DATA);
		return 0;
	}
	if (r == -EBADMSG) {
		note_damage(run, run->cat->error.message);
		return 0;
	}
	if (r <= 0 || run->is_full)
		return r < 0 ? r : 0;
	run->quiet = 0;
	return take_message(run, &message);
}

/* Cut what was not written whole, and write again what belongs at the end: there is room now. */
static void repair(struct wb_cat_run *run)
{
	struct wb_output *out = run->args->out;

	wb_output_cut(out);
	if (!out->is_file)
		return;
	wb_sink_cut(run->args->sink_ops, run->args->sink);
	run->cat->packets = run->whole_packets;
	if (run->args->sink_ops->finish(run->args->sink) < 0)
		wb_output_cut(out);
}

/* What came until now is to be readable, also after a failure of the source. Returns how the whole went. */
static int finish(struct wb_cat_run *run, int r)
{
	const struct wb_cat_args *args = run->args;
	struct wb_error error = run->cat->error;
	int finished;

	if (!run->is_broken && !run->is_full) {
		finished = wb_cat_order_finish(run);
		r = r < 0 ? r : finished;
	}
	wb_cat_progress_clear(run);
	if (run->done && run->cat->end == WB_CAT_END_READER_GONE)
		return 0;
	if (!run->is_broken) {
		finished = args->sink_ops->finish(args->sink);
		/* The first error is the one to tell. */
		if (r == 0)
			r = wb_cat_check_sink(run, finished);
		run->is_broken = run->is_broken || finished < 0;
	} else if (!args->out) {
		args->sink_ops->finish(args->sink);
	}
	if (run->is_broken && args->out && run->cat->end != WB_CAT_END_READER_GONE)
		repair(run);
	if (r < 0 && error.message[0])
		run->cat->error = error;
	return r;
}

static int read_all(struct wb_cat_run *run)
{
	int r = 0;

	while (r >= 0 && !run->done) {
		if (!wb_cat_check_stop(run))
			r = step(run);
	}
	return finish(run, r);
}

static int open_order(struct wb_cat_run *run)
{
	const struct wb_cat_args *args = run->args;
	size_t hold_bytes = args->hold_bytes ? (size_t)args->hold_bytes : WB_MERGE_HOLD_BYTES;
	int r = 0;

	run->window_ns = args->window_ns ? args->window_ns : WB_MERGE_WINDOW_NS;
	if (args->order == WB_CAT_MERGED)
		return wb_merge_create(run->window_ns, hold_bytes, &run->merge);
	if (args->order == WB_CAT_SORTED) {
		r = wb_packet_store_create(&run->store);
		if (r == 0)
			r = wb_sort_create(args->sort_dir, hold_bytes, &run->sort);
	}
	return r;
}

static void close_run(struct wb_cat_run *run)
{
	wb_merge_destroy(run->merge);
	wb_sort_destroy(run->sort);
	wb_packet_store_destroy(run->store);
	wb_display_filter_destroy(run->filter);
	free(run);
}

int wb_cat_run(struct wb_cat *cat, const struct wb_cat_args *args)
{
	struct wb_cat_run *run = calloc(1, sizeof(*run));
	int r = -ENOMEM;

	if (run) {
		run->cat = cat;
		run->args = args;
		run->began_ms = run->last_message_ms = wb_monotonic_ms();
		r = args->filter ? wb_display_filter_create(args->filter, &run->filter, &cat->error) : 0;
		if (r == 0)
			r = open_order(run);
		if (r == 0)
			r = read_all(run);
		close_run(run);
	}
	if (r < 0) {
		cat->end = WB_CAT_END_FAILED;
		if (!cat->error.message[0])
			wb_fail(&cat->error, r, "cannot read: %s", strerror(-r));
	}
	return r;
}
