/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker stores for the next start, and what it says of sessions that were killed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spool.h"
#include "state.h"
#include "worker.h"

/* After an end of stream was published: should it come back. */
#define RETRY_MS 500
/* Subscribers of a bus that does not acknowledge find the new process within this time. */
#define SUBSCRIBE_MS 1000
/* Buffers for frames that travel alone, which are borrowed, are left for those. */
#define RESERVE_BUFFERS 2

enum phase { PENDING, IN_FLIGHT, DONE };

struct wb_previous {
	struct wb_previous *next;
	struct wb_state_left left;
	atomic_int phase;  /* enum phase */
	uint64_t retry_ns; /* monotonic: not before */
};

void wb_worker_state_store(struct wb_worker *worker, const struct wbproto_counters *counters)
{
	struct wb_ledger_totals totals;

	if (!worker->state)
		return;
	if (!counters) {
		wb_ledger_snapshot(&worker->ledger, &totals);
		counters = &totals.counters;
	}
	for (unsigned int i = 0; i < worker->stream_count; i++) {
		struct wb_stream *stream = &worker->streams[i];

		/* Of a stream that has its end nothing is left to be said. */
		if (atomic_load_explicit(&stream->has_end, memory_order_relaxed))
			wb_state_set(worker->state, i, 1, 1);
		else
			wb_state_set(worker->state, i, stream->batch_seq, stream->next_packet_seq);
	}
	wb_state_commit(worker->state, counters, wb_realtime_ns());
}

void wb_worker_state_init(struct wb_worker *worker, struct wb_state_slot *slot)
{
	worker->state = slot;
	for (unsigned int i = 0; i < worker->stream_count; i++) {
		const struct wb_stream *stream = &worker->streams[i];

		wb_state_describe(slot, i,
			&(struct wb_state_stream){
				.stream_id = stream->stream_id,
				.records = worker->records,
				.key = stream->key,
				.key_size = strlen(stream->key),
			});
	}
	wb_worker_state_store(worker, NULL);
	wb_worker_follow(worker);
}

void wb_worker_state_finish(struct wb_worker *worker)
{
	bool left = false;

	if (!worker->state)
		return;
	wb_worker_state_store(worker, NULL);
	/* A worker that never ran has used no number up. */
	for (unsigned int i = 0; i < worker->stream_count; i++)
		left = left || (!atomic_load(&worker->streams[i].has_end) && worker->streams[i].batch_seq > 1);
	if (!left)
		wb_state_end(worker->state);
	worker->state = NULL;
}

int wb_worker_previous_add(struct wb_worker *worker, const struct wb_state_left *left)
{
	struct wb_previous **at = &worker->previous;
	struct wb_previous *previous = calloc(1, sizeof *previous);

	if (!previous)
		return -ENOMEM;
	previous->left = *left;
	atomic_init(&previous->phase, PENDING);
	while (*at)
		at = &(*at)->next;
	*at = previous;
	if (!(worker->ops->capabilities & WB_TRANSPORT_ACKNOWLEDGES))
		worker->previous_retry_ns = wb_monotonic_ns() + SUBSCRIBE_MS * 1000000u;
	wb_worker_follow(worker);
	return 0;
}

void wb_worker_previous_settled(struct wb_buffer *buffer, bool done)
{
	atomic_store(&buffer->previous->phase, done ? DONE : PENDING);
}

/* Encode the end of stream as the earlier session would have, had it known. */
static int encode(const struct wb_state_left *left, struct wb_buffer *buffer)
{
	struct wbproto_batch batch = {
		.worker_id = left->worker_id,
		.stream_id = left->stream_id,
		.batch_seq = left->batch_seq,
		.first_packet_seq = left->packet_seq,
		.node = {left->node, strlen(left->node)},
		.counters = left->counters,
		.has_counters = true,
		.flags = WBPROTO_BATCH_END_OF_STREAM | WBPROTO_BATCH_PREVIOUS_SESSION |
	                 (left->records ? WBPROTO_BATCH_RECORD_MODE : 0),
		.watermark_unix_ns = left->time_unix_ns,
	};
	struct wbproto_encoder *encoder;
	int r = wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &encoder);

	if (r < 0)
		return r;
	memcpy(batch.session_id, left->session_id, sizeof batch.session_id);
	memcpy(buffer->session_id, left->session_id, sizeof buffer->session_id);
	r = wbproto_encoder_open(encoder, buffer->memory, buffer->pool->buffer_bytes, &batch);
	if (r == 0)
		r = wbproto_encoder_seal(encoder, &batch, &buffer->batch.size);
	wbproto_encoder_destroy(encoder);
	/* The buffer may have been a batch of records before. */
	wb_buffer_expect_records(buffer, NULL, 0);
	buffer->batch.data = buffer->memory;
	buffer->batch.packets = 0;
	buffer->batch.flags = batch.flags;
	buffer->batch.session_id = buffer->session_id;
	buffer->batch.worker_id = batch.worker_id;
	buffer->batch.stream_id = batch.stream_id;
	buffer->batch.batch_seq = batch.batch_seq;
	buffer->batch.first_packet_seq = batch.first_packet_seq;
	buffer->batch.max_time_ms = (int64_t)(wb_realtime_ns() / 1000000u);
	return r;
}

static int publish(struct wb_worker *worker, struct wb_previous *previous)
{
	const struct wb_state_left *left = &previous->left;
	struct wb_route route = {
		.topic = left->has_topic ? left->topic : NULL,
		.topic_suffix = left->records ? WB_LEDGER_SUFFIX : NULL,
		.key = left->key_size ? left->key : NULL,
		.key_size = left->key_size,
		.partition = -1,
	};
	struct wb_buffer *buffer;
	int r;

	if (wb_pool_free_count(&worker->oversize) <= RESERVE_BUFFERS)
		return -EAGAIN;
	buffer = wb_pool_take(&worker->oversize);
	if (!buffer)
		return -EAGAIN;
	r = encode(left, buffer);
	if (r == 0) {
		buffer->previous = previous;
		atomic_store(&previous->phase, IN_FLIGHT);
		wb_ledger_publish(&worker->ledger, 0);
		r = worker->ops->publish(worker->lane, &buffer->batch, &route);
		if (r == 0)
			return 0;
		wb_ledger_unpublish(&worker->ledger, 0);
		atomic_store(&previous->phase, PENDING);
	}
	wb_buffer_put(buffer);
	return r;
}

void wb_worker_previous_work(struct wb_worker *worker)
{
	struct wb_previous **at = &worker->previous;
	uint64_t now_ns = wb_monotonic_ns();
	bool due = now_ns >= worker->previous_retry_ns && !worker->transport_failed;

	while (*at) {
		struct wb_previous *previous = *at;
		int phase = atomic_load(&previous->phase);

		if (phase == DONE) {
			wb_state_done(previous->left.file);
			*at = previous->next;
			free(previous);
			continue;
		}
		if (phase == PENDING && due && now_ns >= previous->retry_ns &&
			!wb_worker_spool_holds(worker, previous->left.session_id, previous->left.stream_id)) {
			/* Without room for this one there is none for the others either; it is tried again soon. */
			due = publish(worker, previous) == 0;
			previous->retry_ns = due ? now_ns + RETRY_MS * 1000000u : 0;
		}
		at = &previous->next;
	}
}

void wb_worker_previous_fini(struct wb_worker *worker)
{
	struct wb_previous *next;

	for (struct wb_previous *previous = worker->previous; previous; previous = next) {
		next = previous->next;
		if (atomic_load(&previous->phase) == DONE)
			wb_state_done(previous->left.file);
		else
			wb_state_leave(previous->left.file);
		free(previous);
	}
	worker->previous = NULL;
}
