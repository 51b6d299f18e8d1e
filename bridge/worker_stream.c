/* SPDX-License-Identifier: Apache-2.0 */
/* The streams of a worker: which packet is whose, and when something of them is due. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_hash.h"
#include "worker.h"

#define HELD_BACK_MS 20
/* While the spool is being emptied, look again so often whether the bus takes more. */
#define BACKLOG_MS 2
/* While ends of earlier sessions are to be published. */
#define PREVIOUS_MS 20
#define NS_PER_MS 1000000u

/*
 * The key decides on the partition, with a hash of the client's. One for each bucket, without the node: the same flow
 * is captured on several nodes, and meets there.
 */
static void make_key(const struct wb_worker *worker, struct wb_stream *stream, unsigned int i)
{
	switch ((enum wb_key)worker->config->key) {
	case WB_KEY_STREAM:
		snprintf(stream->key, sizeof stream->key, "%.80s/%u", worker->node, stream->stream_id);
		break;
	case WB_KEY_FLOW:
		snprintf(stream->key, sizeof stream->key, "flow/%u", i);
		break;
	case WB_KEY_INTERFACE:
		snprintf(stream->key, sizeof stream->key, "%.75s/%.15s", worker->node, worker->config->interface);
		break;
	case WB_KEY_NONE:
		break;
	}
}

int wb_worker_init_streams(struct wb_worker *worker)
{
	unsigned int count = wb_capture_streams(worker->config);
	int r = 0;

	worker->records = worker->config->mode == WB_MODE_RECORD;
	worker->streams = calloc(count, sizeof *worker->streams);
	if (!worker->streams)
		return -ENOMEM;
	worker->stream_count = count;
	for (unsigned int i = 0; r == 0 && i < count; i++) {
		struct wb_stream *stream = &worker->streams[i];

		stream->stream_id = worker->first_stream_id + i;
		stream->flow_bucket_plus_one = worker->config->key == WB_KEY_FLOW ? i + 1 : 0;
		stream->batch_seq = 1;
		stream->next_packet_seq = 1;
		make_key(worker, stream, i);
		r = wbproto_encoder_create((enum wbproto_encoder_kind)worker->config->encoder, &stream->encoder);
	}
	return r;
}

void wb_worker_fini_streams(struct wb_worker *worker)
{
	for (unsigned int i = 0; i < worker->stream_count; i++)
		wbproto_encoder_destroy(worker->streams[i].encoder);
	free(worker->streams);
	worker->streams = NULL;
	worker->stream_count = 0;
}

struct wb_stream *wb_worker_stream_of(struct wb_worker *worker, const struct wbproto_packet *packet)
{
	uint32_t hash;

	if (worker->stream_count == 1)
		return worker->streams;
	hash = wb_flow_hash(worker->interface.link_type, packet->data, packet->captured_length);
	return &worker->streams[hash % worker->stream_count];
}

struct wb_stream *wb_worker_fullest(struct wb_worker *worker)
{
	struct wb_stream *fullest = NULL;
	size_t most = 0;

	for (unsigned int i = 0; i < worker->stream_count; i++) {
		struct wb_stream *stream = &worker->streams[i];
		size_t bytes = stream->open ? wb_worker_open_bytes(worker, stream) : 0;

		if (!stream->open || bytes < most)
			continue;
		fullest = stream;
		most = bytes;
	}
	return fullest;
}

void wb_worker_start_heartbeats(struct wb_worker *worker)
{
	uint64_t now_ns = wb_monotonic_ns();

	for (unsigned int i = 0; i < worker->stream_count; i++)
		worker->streams[i].published_ns = now_ns;
}

/*
 * How old an open batch may become. While the bus takes nothing, a batch that is sealed at its age uses a whole buffer
 * up for a few packets, and at low rates the pool would be empty after seconds. So buffers are spent the more slowly
 * the fewer are left. A bus that does not acknowledge may keep up to three quarters of them for peers that have
 * stalled, and the others shall not wait for their packets: there only the last quarter is spared. Without any other
 * buffer nothing would be gained: the batch stays open until it is full or one comes back.
 */
static uint64_t allowed_age_ns(const struct wb_worker *worker)
{
	const uint64_t max_ms = UINT64_MAX / NS_PER_MS;
	bool acknowledges = worker->ops->capabilities & WB_TRANSPORT_ACKNOWLEDGES;
	/* The other streams' open batches are not the bus's. */
	unsigned int others = worker->stream_count - 1;
	uint64_t usable = worker->pool.count > others ? worker->pool.count - others : 1;
	uint64_t plenty = usable * (acknowledges ? 3 : 1) / 4;
	uint64_t free_buffers = atomic_load_explicit(&worker->pool.free_count, memory_order_relaxed);
	uint64_t age_ms = worker->config->batch_age_ms;

	/* Buffers do not run short: what they hold goes to disk, and the sooner the safer. */
	if (worker->spool)
		return age_ms * NS_PER_MS;
	if (free_buffers == 0)
		age_ms = max_ms;
	else if (free_buffers < plenty)
		age_ms = age_ms * plenty * plenty / (free_buffers * free_buffers);
	return (age_ms < max_ms ? age_ms : max_ms) * NS_PER_MS;
}

static bool is_held_back(const struct wb_worker *worker, uint64_t age_ns)
{
	return age_ns > worker->config->batch_age_ms * NS_PER_MS;
}

/* When something of the stream is due, monotonic. */
static uint64_t due_ns(const struct wb_worker *worker, const struct wb_stream *stream, uint64_t now_ns, uint64_t age_ns)
{
	uint64_t heartbeat_ns = stream->published_ns + worker->config->heartbeat_ms * NS_PER_MS;
	uint64_t due_ns;

	if (!stream->open)
		return heartbeat_ns;
	due_ns = stream->opened_ns + worker->config->batch_age_ms * NS_PER_MS;
	if (worker->records && heartbeat_ns < due_ns)
		due_ns = heartbeat_ns;
	/* It is held back: look again in a while whether the bus takes batches now. */
	if (due_ns <= now_ns && is_held_back(worker, age_ns) && now_ns - stream->opened_ns < age_ns)
		due_ns = now_ns + (uint64_t)HELD_BACK_MS * NS_PER_MS;
	return due_ns;
}

int wb_worker_until_due_ms(const struct wb_worker *worker)
{
	uint64_t age_ns = allowed_age_ns(worker), now_ns = wb_monotonic_ns(), first_ns = UINT64_MAX;

	if (worker->backlog)
		return worker->backlog_ready ? 0 : BACKLOG_MS;
	if (worker->previous)
		first_ns = now_ns + PREVIOUS_MS * NS_PER_MS;
	for (unsigned int i = 0; i < worker->stream_count; i++) {
		uint64_t at_ns = due_ns(worker, &worker->streams[i], now_ns, age_ns);

		if (at_ns < first_ns)
			first_ns = at_ns;
	}
	return first_ns <= now_ns ? 0 : (int)((first_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

/* In record mode no other message has the counters, so they go out under load too. */
static bool heartbeat_is_due(
	const struct wb_worker *worker, const struct wb_stream *stream, uint64_t now_ns, bool quiet)
{
	if (now_ns - stream->published_ns < worker->config->heartbeat_ms * NS_PER_MS)
		return false;
	return worker->records || (quiet && !stream->open);
}

static void publish_due_of(
	struct wb_worker *worker, struct wb_stream *stream, uint64_t now_ns, uint64_t age_ns, bool quiet)
{
	bool heartbeat = heartbeat_is_due(worker, stream, now_ns, quiet);

	/* Records that a heartbeat finds open go before it, unless buffers are short: then it waits for them. */
	if (stream->open && (now_ns - stream->opened_ns >= age_ns || (heartbeat && !is_held_back(worker, age_ns))))
		wb_worker_seal(worker, stream);
	if (!heartbeat || stream->open)
		return;
	/* The watermark of a heartbeat is only known when the ring is empty. */
	wb_worker_publish_empty(worker, stream, quiet ? WBPROTO_BATCH_HEARTBEAT : 0);
	/* Without room for it the next one is due a whole period later, not at once. */
	stream->published_ns = now_ns;
}

void wb_worker_publish_due(struct wb_worker *worker, bool quiet)
{
	uint64_t age_ns = allowed_age_ns(worker), now_ns = wb_monotonic_ns();

	for (unsigned int i = 0; i < worker->stream_count; i++)
		publish_due_of(worker, &worker->streams[i], now_ns, age_ns, quiet);
}

void wb_worker_seal_all(struct wb_worker *worker)
{
	for (unsigned int i = 0; i < worker->stream_count; i++)
		wb_worker_seal(worker, &worker->streams[i]);
}
