/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's way from packets to sealed batches. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "log.h"
#include "record_batch.h"
#include "worker.h"

static bool book(struct wb_worker *worker)
{
	if (!worker->unbooked_packets && !worker->unbooked_lost)
		return false;
	/* Given and lost first: no snapshot has more packets read than there were. */
	if (!worker->ring)
		wb_ledger_give(&worker->ledger, worker->unbooked_packets, worker->unbooked_lost);
	wb_ledger_accept(&worker->ledger, worker->unbooked_packets, worker->unbooked_truncated);
	worker->unbooked_packets = 0;
	worker->unbooked_truncated = 0;
	worker->unbooked_lost = 0;
	return true;
}

void wb_worker_book(struct wb_worker *worker)
{
	if (book(worker))
		wb_worker_state_store(worker, NULL);
}

void wb_worker_read_kernel(struct wb_worker *worker)
{
	struct tpacket_counters stats;

	if (worker->ring && tpacket_stats(worker->ring, &stats) == 0)
		wb_ledger_kernel(&worker->ledger, &stats);
}

void wb_worker_totals(struct wb_worker *worker, struct wb_ledger_totals *ret_totals)
{
	struct wbproto_counters *c = &ret_totals->counters;
	struct tpacket_counters stats;

	wb_ledger_snapshot(&worker->ledger, ret_totals);
	if (!worker->ring || tpacket_stats(worker->ring, &stats) < 0)
		return;
	wb_ledger_kernel(&worker->ledger, &stats);
	/* The worker may have read the ring's counters meanwhile; both only rise. */
	if (stats.seen > c->kernel_seen)
		c->kernel_seen = stats.seen;
	if (stats.dropped > c->kernel_dropped)
		c->kernel_dropped = stats.dropped;
	if (stats.freezes > c->kernel_freezes)
		c->kernel_freezes = stats.freezes;
}

static void describe(const struct wb_worker *worker, const struct wb_stream *stream, struct wbproto_batch *ret_batch)
{
	memset(ret_batch, 0, sizeof *ret_batch);
	memcpy(ret_batch->session_id, worker->session_id, sizeof ret_batch->session_id);
	ret_batch->worker_id = worker->worker_id;
	ret_batch->stream_id = stream->stream_id;
	ret_batch->batch_seq = stream->batch_seq;
	ret_batch->first_packet_seq = stream->next_packet_seq;
	ret_batch->flow_bucket_plus_one = stream->flow_bucket_plus_one;
	ret_batch->node.data = worker->node;
	ret_batch->node.length = strlen(worker->node);
	ret_batch->interfaces = worker->interfaces ? worker->interfaces : &worker->interface;
	ret_batch->interface_count = worker->interfaces ? worker->interface_count : 1;
}

static void describe_record(const struct wb_worker *worker, const struct wb_stream *stream,
	const struct wbproto_packet *packet, struct wbproto_record *ret_record)
{
	memcpy(ret_record->session_id, worker->session_id, sizeof ret_record->session_id);
	ret_record->worker_id = worker->worker_id;
	ret_record->stream_id = stream->stream_id;
	ret_record->batch_seq = stream->batch_seq;
	ret_record->packet_seq = stream->next_packet_seq;
	ret_record->flow_bucket_plus_one = stream->flow_bucket_plus_one;
	ret_record->node.data = worker->node;
	ret_record->node.length = strlen(worker->node);
	ret_record->packet = *packet;
	ret_record->interface = worker->interface;
}

static void identify(const struct wb_worker *worker, const struct wb_stream *stream, struct wb_buffer *buffer)
{
	buffer->batch.session_id = worker->session_id;
	buffer->batch.worker_id = worker->worker_id;
	buffer->batch.stream_id = stream->stream_id;
	buffer->batch.batch_seq = stream->batch_seq;
	buffer->batch.first_packet_seq = stream->next_packet_seq;
}

/* Begin a PacketBatch in the buffer. Its number is used up from here on, whatever becomes of it. */
static int begin_batch(struct wb_worker *worker, struct wb_stream *stream, struct wb_buffer *buffer)
{
	struct wbproto_batch batch;
	int r;

	describe(worker, stream, &batch);
	r = wbproto_encoder_open(stream->encoder, buffer->memory, buffer->pool->buffer_bytes, &batch);
	if (r < 0)
		return r;
	wb_buffer_expect_records(buffer, NULL, 0);
	buffer->batch.data = buffer->memory;
	identify(worker, stream, buffer);
	stream->batch_seq++;
	return 0;
}

/* Open a batch for packets in the buffer. In record mode each record uses up a number of its own. */
static int open_batch(struct wb_worker *worker, struct wb_stream *stream, struct wb_buffer *buffer)
{
	if (worker->records) {
		wb_record_batch_open(buffer);
		identify(worker, stream, buffer);
	} else {
		int r = begin_batch(worker, stream, buffer);

		if (r < 0)
			return r;
	}
	stream->open = buffer;
	stream->opened_ns = wb_monotonic_ns();
	return 0;
}

/* Take back a batch without packets, which nobody else has seen: its number is not used up. */
static void unopen_batch(struct wb_worker *worker, struct wb_stream *stream, struct wb_buffer *buffer)
{
	stream->open = NULL;
	if (!worker->records)
		stream->batch_seq--;
	wb_buffer_put(buffer);
}

/*
 * The packet's number is used up; in record mode that of its message too, even if it is dropped before it has one. It
 * is accepted with it: what is booked and what is stored agree at any time.
 */
static void use_number(struct wb_worker *worker, struct wb_stream *stream)
{
	stream->next_packet_seq++;
	worker->unbooked_packets++;
	if (worker->records)
		stream->batch_seq++;
}

/* Append to the open batch. Errors: -ENOSPC and others; the number is not used up then. */
static int append_open(struct wb_worker *worker, struct wb_stream *stream, const struct wbproto_packet *packet)
{
	struct wbproto_record record;
	int r;

	if (!worker->records) {
		r = wbproto_encoder_append(stream->encoder, packet);
		if (r == 0)
			use_number(worker, stream);
		return r;
	}
	describe_record(worker, stream, packet, &record);
	r = wb_record_batch_append(stream->open, &record);
	if (r == 0)
		use_number(worker, stream);
	return r;
}

static uint32_t open_packets(const struct wb_worker *worker, const struct wb_stream *stream)
{
	return worker->records ? stream->open->batch.packets : wbproto_encoder_packets(stream->encoder);
}

size_t wb_worker_open_bytes(const struct wb_worker *worker, const struct wb_stream *stream)
{
	return worker->records ? stream->open->batch.size : wbproto_encoder_bytes(stream->encoder);
}

/* No older packet will follow. A publisher's may have any time: only the end says that. 0: not known. */
static uint64_t watermark_ns(const struct wb_worker *worker, uint32_t flags, uint64_t now_ns)
{
	if (worker->ring && flags & (WBPROTO_BATCH_HEARTBEAT | WBPROTO_BATCH_END_OF_STREAM))
		return now_ns - 2 * worker->config->retire_ms * 1000000u;
	return flags & WBPROTO_BATCH_END_OF_STREAM ? now_ns : 0;
}

/* Seal the encoder's batch into its buffer. 0, or -ENOMEM: the reference encoder allocates, and may fail. */
static int seal_batch(struct wb_worker *worker, struct wb_stream *stream, struct wb_buffer *buffer, uint32_t flags)
{
	struct wb_ledger_totals totals;
	struct wbproto_batch batch;
	uint64_t now_ns = wb_realtime_ns();
	int r;

	book(worker);
	wb_worker_read_kernel(worker);
	wb_ledger_snapshot(&worker->ledger, &totals);
	wb_worker_state_store(worker, &totals.counters);
	describe(worker, stream, &batch);
	batch.counters = totals.counters;
	batch.has_counters = true;
	batch.flags = flags;
	buffer->batch.packets = wbproto_encoder_packets(stream->encoder);
	buffer->batch.flags = flags;
	if (buffer->batch.packets)
		buffer->batch.max_time_ms = (int64_t)(wbproto_encoder_max_time_ns(stream->encoder) / 1000000u);
	else
		buffer->batch.max_time_ms = (int64_t)(now_ns / 1000000u);
	batch.watermark_unix_ns = watermark_ns(worker, flags, now_ns);
	r = wbproto_encoder_seal(stream->encoder, &batch, &buffer->batch.size);
	assert(r == 0 || r == -ENOMEM);
	return r;
}

void wb_worker_seal(struct wb_worker *worker, struct wb_stream *stream)
{
	struct wb_buffer *buffer = stream->open;
	int r = 0;

	if (!buffer)
		return;
	if (worker->records) {
		wb_worker_book(worker);
		wb_record_batch_seal(buffer);
	} else {
		r = seal_batch(worker, stream, buffer, 0);
	}
	stream->open = NULL;
	if (r == 0)
		wb_worker_publish(worker, stream, buffer);
	else
		wb_worker_drop_batch(worker, buffer, WB_DROP_NO_BUFFER); /* what was open is lost, and counted */
}

int wb_worker_publish_empty(struct wb_worker *worker, struct wb_stream *stream, uint32_t flags)
{
	struct wb_buffer *buffer;
	bool behind;
	int r;

	assert(!stream->open);
	buffer = wb_pool_take(&worker->control);
	if (!buffer && worker->spool) {
		/* Here, too, the transport may have given some back. */
		wb_worker_spool_work(worker);
		buffer = wb_pool_take(&worker->control);
	}
	if (!buffer)
		return -EAGAIN;
	behind = worker->spool && wb_worker_spool_first(worker, buffer);
	if (behind && !(flags & WBPROTO_BATCH_END_OF_STREAM)) {
		/* It would overtake packets. */
		wb_buffer_put(buffer);
		return -EAGAIN;
	}
	r = begin_batch(worker, stream, buffer);
	if (r < 0) {
		wb_buffer_put(buffer);
		return r;
	}
	r = seal_batch(worker, stream, buffer, flags | (worker->records ? WBPROTO_BATCH_RECORD_MODE : 0));
	if (r == 0)
		r = wb_worker_offer_empty(worker, stream, buffer, behind);
	if (r < 0) {
		/*
		 * Nobody else has seen the number: it is not used up, so a full bus makes no holes out of heartbeats.
		 */
		stream->batch_seq--;
		wb_worker_state_store(worker, NULL);
		wb_buffer_put(buffer);
	}
	return r;
}

/* A packet that gets its sequence number and nothing else. */
static void drop_packet(struct wb_worker *worker, struct wb_stream *stream, enum wb_drop cause)
{
	use_number(worker, stream);
	wb_worker_book(worker);
	wb_ledger_drop(&worker->ledger, 1, cause);
}

/* Bytes of a message with this packet alone. */
static size_t bytes_alone(
	const struct wb_worker *worker, const struct wb_stream *stream, const struct wbproto_packet *packet)
{
	struct wbproto_record record;
	struct wbproto_batch batch;

	if (worker->records) {
		describe_record(worker, stream, packet, &record);
		return wbproto_record_encoded_bytes(&record);
	}
	describe(worker, stream, &batch);
	return wbproto_batch_overhead_bytes(&batch) + wbproto_packet_encoded_bytes(packet);
}

/* A frame that does not fit into a batch of the target size: a batch of its own, up to what the bus takes. */
static void append_alone(struct wb_worker *worker, struct wb_stream *stream, const struct wbproto_packet *packet)
{
	struct wb_buffer *buffer;

	if (bytes_alone(worker, stream, packet) > worker->max_batch_bytes) {
		drop_packet(worker, stream, WB_DROP_TOO_LARGE);
		return;
	}
	buffer = wb_worker_take_buffer(worker, &worker->oversize);
	if (!buffer || open_batch(worker, stream, buffer) < 0) {
		if (buffer)
			wb_buffer_put(buffer);
		drop_packet(worker, stream, wb_worker_drop_cause(worker, WB_DROP_NO_BUFFER));
		return;
	}
	if (append_open(worker, stream, packet) == 0) {
		wb_worker_seal(worker, stream);
		return;
	}
	unopen_batch(worker, stream, buffer);
	drop_packet(worker, stream, WB_DROP_TOO_LARGE);
}

/* The open batch is full, or there is none. */
static void append_to_new(struct wb_worker *worker, struct wb_stream *stream, const struct wbproto_packet *packet)
{
	struct wb_buffer *buffer;

	wb_worker_seal(worker, stream);
	buffer = wb_worker_take_buffer(worker, &worker->pool);
	if (!buffer || open_batch(worker, stream, buffer) < 0) {
		if (buffer)
			wb_buffer_put(buffer);
		drop_packet(worker, stream, wb_worker_drop_cause(worker, WB_DROP_NO_BUFFER));
		return;
	}
	if (append_open(worker, stream, packet) == 0)
		return;
	/* Not even into an empty one. */
	unopen_batch(worker, stream, buffer);
	append_alone(worker, stream, packet);
}

void wb_worker_append(struct wb_worker *worker, struct wb_stream *stream, const struct wbproto_packet *packet)
{
	if (!stream->open || append_open(worker, stream, packet) < 0)
		append_to_new(worker, stream, packet);
	if (worker->config->batch_packets && stream->open &&
		open_packets(worker, stream) >= worker->config->batch_packets)
		wb_worker_seal(worker, stream);
}
