/* SPDX-License-Identifier: Apache-2.0 */
#include "verify.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "log.h"

#define WAIT_MS 100   /* how long a stop may go unnoticed */
#define QUIET_WAITS 5 /* after the last end of stream: a stream that was not seen yet may still come */
#define MAX_DAMAGE_LINES 100
/* Holes that are kept: of one stream, and of all beyond the first WB_SEQUENCE_MAX_HOLES of each (32 MiB). */
#define MAX_HOLES 65536u
#define SPARE_HOLES (2u << 20)

void wb_verify_init(struct wb_verify *verify)
{
	*verify = (struct wb_verify){.from_start = true, .limits = {.holes = MAX_HOLES, .spare = SPARE_HOLES}};
	wb_streams_init(&verify->streams);
	verify->streams.hole_limits = &verify->limits;
}

void wb_verify_fini(struct wb_verify *verify)
{
	wb_streams_fini(&verify->streams);
}

const char *wb_verify_end_name(enum wb_verify_end end)
{
	static const char *const names[] = {
		[WB_VERIFY_FAILED] = "failed",
		[WB_VERIFY_END_OF_DATA] = "end of data",
		[WB_VERIFY_END_OF_STREAMS] = "end of streams",
		[WB_VERIFY_TIME_OVER] = "time over",
		[WB_VERIFY_STOPPED] = "stopped",
	};

	return names[end];
}

static void note_damage(struct wb_verify *verify, const char *text)
{
	verify->damaged++;
	if (verify->damaged <= MAX_DAMAGE_LINES)
		wb_log(WB_LOG_WARNING, "%s%s", text,
			verify->damaged == MAX_DAMAGE_LINES ? " (further damage is counted only)" : "");
}

static void note_unreadable(struct wb_verify *verify, const struct wb_message *message, const char *why)
{
	struct wb_error error;

	wb_fail(&error, -EBADMSG, "%s: skipped %zu bytes that %s %s", message->origin, message->size, why,
		message->kind == WB_MESSAGE_RECORD ? "PacketRecord" : "PacketBatch");
	note_damage(verify, error.message);
}

static int book(struct wb_verify *verify, const struct wb_message *message, const struct wb_arrival *arrival)
{
	int r;

	if (!wb_arrival_possible(arrival)) {
		note_unreadable(verify, message, "have numbers that cannot be in a");
		return 0;
	}
	verify->messages++;
	r = wb_streams_book(&verify->streams, arrival);
	return r < 0 ? wb_fail(&verify->error, r, "cannot keep track of streams: %s", strerror(-r)) : 0;
}

static int take_batch(struct wb_verify *verify, const struct wb_message *message, unsigned int channel)
{
	struct wbproto_reader reader;
	const struct wbproto_batch *batch = &reader.batch;

	if (wbproto_reader_init(&reader, message->data, message->size) < 0) {
		note_unreadable(verify, message, "are not a");
		return 0;
	}
	return book(verify, message,
		&(struct wb_arrival){
			.session_id = batch->session_id,
			.worker_id = batch->worker_id,
			.stream_id = batch->stream_id,
			.batch_seq = batch->batch_seq,
			.first_packet_seq = batch->first_packet_seq,
			.packets = reader.packet_count,
			.node = batch->node,
			.counters = batch->has_counters ? &batch->counters : NULL,
			.end_of_stream = batch->flags & WBPROTO_BATCH_END_OF_STREAM,
			.previous_session = batch->flags & WBPROTO_BATCH_PREVIOUS_SESSION,
			.watermark_unix_ns = batch->watermark_unix_ns,
			.is_of_records = batch->flags & WBPROTO_BATCH_RECORD_MODE,
			.channel = channel,
		});
}

static int take_record(struct wb_verify *verify, const struct wb_message *message, unsigned int channel)
{
	struct wbproto_record record;

	if (wbproto_record_read(message->data, message->size, &record) < 0) {
		note_unreadable(verify, message, "are not a");
		return 0;
	}
	verify->records++;
	return book(verify, message,
		&(struct wb_arrival){
			.session_id = record.session_id,
			.worker_id = record.worker_id,
			.stream_id = record.stream_id,
			.batch_seq = record.batch_seq,
			.first_packet_seq = record.packet_seq,
			.packets = 1,
			.node = record.node,
			.is_record = true,
			.channel = channel,
		});
}

/* What next() answered but for a message and for nothing at all. 1: that was the end. */
static int take_answer(struct wb_verify *verify, int answer)
{
	if (answer == -ENODATA) {
		verify->end = WB_VERIFY_END_OF_DATA;
		return 1;
	}
	if (answer != -EBADMSG)
		return answer;
	note_damage(verify, verify->error.message);
	return 0;
}

/* Whether to read no more, although there may be more. */
static bool is_over(struct wb_verify *verify, const struct wb_verify_args *args, int quiet)
{
	if (atomic_load_explicit(args->stop, memory_order_relaxed))
		verify->end = WB_VERIFY_STOPPED;
	else if (args->until_ms && wb_monotonic_ms() >= args->until_ms)
		verify->end = WB_VERIFY_TIME_OVER;
	else if (args->until_ended && quiet >= QUIET_WAITS && wb_streams_all_ended(&verify->streams))
		verify->end = WB_VERIFY_END_OF_STREAMS;
	else
		return false;
	return true;
}

static int read_all(struct wb_verify *verify, const struct wb_verify_args *args)
{
	int quiet = 0; /* waits in a row that brought nothing */
	int r = 0;

	while (r == 0 && !is_over(verify, args, quiet)) {
		struct wb_message message = {0};

		verify->error.message[0] = '\0';
		r = args->source_ops->next(args->source, WAIT_MS, &message, &verify->error);
		quiet = r == 0 ? quiet + 1 : 0;
		if (r < 0)
			r = take_answer(verify, r);
		else if (r > 0)
			r = message.kind == WB_MESSAGE_RECORD ? take_record(verify, &message, args->channel)
			                                      : take_batch(verify, &message, args->channel);
	}
	return r < 0 ? r : 0;
}

int wb_verify_read(struct wb_verify *verify, const struct wb_verify_args *args)
{
	int r = read_all(verify, args);

	if (!args->source_ops->from_start || !args->source_ops->from_start(args->source))
		verify->from_start = false;
	if (r == 0)
		return 0;
	verify->end = WB_VERIFY_FAILED;
	if (!verify->error.message[0])
		wb_fail(&verify->error, r, "cannot read: %s", strerror(-r));
	return r;
}
