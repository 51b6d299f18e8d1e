/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's way from packets to published batches, and what it does when the bus is slower than the wire. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "worker.h"

/* With something to publish and a transport that is full, look again so often: not every bus says when it has room. */
#define RETRY_MS 5

static uint64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void wb_worker_book(struct wb_worker *worker)
{
	if (!worker->unbooked_packets)
		return;
	wb_ledger_accept(&worker->ledger, worker->unbooked_packets, worker->unbooked_truncated);
	worker->unbooked_packets = 0;
	worker->unbooked_truncated = 0;
}

void wb_worker_read_kernel(struct wb_worker *worker)
{
	struct tpacket_counters stats;

	if (tpacket_stats(worker->ring, &stats) == 0)
		wb_ledger_kernel(&worker->ledger, &stats);
}

/* Whether the worker may still wait for the bus: not once the time to flush is over, nor when the bus has failed. */
static bool may_wait(const struct wb_worker *worker)
{
	if (worker->transport_failed)
		return false;
	if (!atomic_load_explicit(&worker->stopping, memory_order_acquire))
		return true;
	return wb_monotonic_ns() < atomic_load_explicit(&worker->give_up_ns, memory_order_acquire);
}

/* Why packets are dropped now. */
static enum wb_drop drop_cause(const struct wb_worker *worker, enum wb_drop usual)
{
	if (worker->transport_failed || atomic_load_explicit(&worker->stopping, memory_order_acquire))
		return WB_DROP_SHUTDOWN;
	return usual;
}

/*
 * Sleep until a buffer came back, or a while. The stop wakes as well, once: from then on its descriptor stays readable,
 * so it must not be waited on any more.
 */
static void wait_for_bus(struct wb_worker *worker, int timeout_ms)
{
	bool stopping = atomic_load_explicit(&worker->stopping, memory_order_acquire);

	wb_pool_wait(&worker->wake, stopping ? -1 : worker->stop_fd, timeout_ms);
}

/*
 * Whether the policy is to wait for the bus. After the stop it always is, for the time to flush: `drop` is there so
 * that what follows is read in time, and nothing follows any more.
 */
static bool waits(const struct wb_worker *worker)
{
	return worker->config->on_full == WB_ON_FULL_BLOCK ||
	       atomic_load_explicit(&worker->stopping, memory_order_acquire);
}

/* A buffer of the pool; wait for one if that is the policy. NULL: the packets must be dropped. */
static struct wb_buffer *take_buffer(struct wb_worker *worker, struct wb_pool *pool)
{
	struct wb_buffer *buffer = wb_pool_take(pool);

	if (buffer || !waits(worker))
		return buffer;
	wb_worker_book(worker);
	wb_worker_read_kernel(worker);
	wb_pool_wait_begin(&worker->wake);
	while (!(buffer = wb_pool_take(pool)) && may_wait(worker))
		wait_for_bus(worker, 100);
	wb_pool_wait_end(&worker->wake);
	return buffer;
}

static void describe(const struct wb_worker *worker, struct wbproto_batch *ret_batch)
{
	memset(ret_batch, 0, sizeof *ret_batch);
	memcpy(ret_batch->session_id, worker->session_id, sizeof ret_batch->session_id);
	ret_batch->worker_id = worker->worker_id;
	ret_batch->stream_id = worker->stream.stream_id;
	ret_batch->batch_seq = worker->stream.batch_seq;
	ret_batch->first_packet_seq = worker->stream.next_packet_seq;
	ret_batch->node.data = worker->node;
	ret_batch->node.length = strlen(worker->node);
	ret_batch->interfaces = &worker->interface;
	ret_batch->interface_count = 1;
}

/* Open a batch in the buffer. The batch's number is used up from here on, whatever becomes of it. */
static int open_batch(struct wb_worker *worker, struct wb_buffer *buffer)
{
	struct wb_stream *stream = &worker->stream;
	struct wbproto_batch batch;
	int r;

	describe(worker, &batch);
	r = wbproto_encoder_open(worker->encoder, buffer->memory, buffer->pool->buffer_bytes, &batch);
	if (r < 0)
		return r;
	buffer->batch.data = buffer->memory;
	buffer->batch.session_id = worker->session_id;
	buffer->batch.worker_id = worker->worker_id;
	buffer->batch.stream_id = stream->stream_id;
	buffer->batch.batch_seq = stream->batch_seq++;
	buffer->batch.first_packet_seq = stream->next_packet_seq;
	stream->open = buffer;
	stream->opened_ns = wb_monotonic_ns();
	return 0;
}

/* Give a sealed batch up. */
static void drop_batch(struct wb_worker *worker, struct wb_buffer *buffer, enum wb_drop cause)
{
	wb_ledger_drop(&worker->ledger, buffer->batch.packets, cause);
	wb_buffer_put(buffer);
}

/* Offer a sealed batch once. 0: the transport has it; otherwise as publish(), and the buffer is still the worker's. */
static int offer(struct wb_worker *worker, struct wb_buffer *buffer)
{
	struct wb_route route = {.key = worker->stream.key, .key_size = strlen(worker->stream.key), .partition = -1};
	uint32_t packets = buffer->batch.packets;
	int r;

	wb_ledger_publish(&worker->ledger, packets);
	r = worker->ops->publish(worker->lane, &buffer->batch, &route);
	if (r == 0) {
		worker->stream.published_ns = wb_monotonic_ns();
		return 0;
	}
	wb_ledger_unpublish(&worker->ledger, packets);
	return r;
}

/* Publish a sealed batch, waiting as the policy says; drop it when it cannot be published. */
static void publish(struct wb_worker *worker, struct wb_buffer *buffer)
{
	int r = offer(worker, buffer);

	if (r == -EAGAIN && waits(worker)) {
		wb_pool_wait_begin(&worker->wake);
		while ((r = offer(worker, buffer)) == -EAGAIN && may_wait(worker))
			wait_for_bus(worker, RETRY_MS);
		wb_pool_wait_end(&worker->wake);
	}
	switch (r) {
	case 0:
		break;
	case -EAGAIN:
		drop_batch(worker, buffer, drop_cause(worker, WB_DROP_BUS_FULL));
		break;
	case -EMSGSIZE:
		drop_batch(worker, buffer, WB_DROP_TOO_LARGE);
		break;
	default:
		worker->transport_failed = true;
		drop_batch(worker, buffer, WB_DROP_SHUTDOWN);
	}
}

/* Seal the encoder's batch into its buffer. The buffer is the caller's from here on. */
static struct wb_buffer *seal(struct wb_worker *worker, uint32_t flags)
{
	struct wb_stream *stream = &worker->stream;
	struct wb_buffer *buffer = stream->open;
	struct wb_ledger_totals totals;
	struct wbproto_batch batch;
	uint64_t now_ns = realtime_ns();
	int r;

	wb_worker_book(worker);
	wb_worker_read_kernel(worker);
	wb_ledger_snapshot(&worker->ledger, &totals);
	describe(worker, &batch);
	batch.counters = totals.counters;
	batch.has_counters = true;
	batch.flags = flags;
	buffer->batch.packets = wbproto_encoder_packets(worker->encoder);
	buffer->batch.flags = flags;
	if (buffer->batch.packets)
		buffer->batch.max_time_ms = (int64_t)(wbproto_encoder_max_time_ns(worker->encoder) / 1000000u);
	else
		buffer->batch.max_time_ms = (int64_t)(now_ns / 1000000u);
	if (flags & (WBPROTO_BATCH_HEARTBEAT | WBPROTO_BATCH_END_OF_STREAM))
		batch.watermark_unix_ns = now_ns - 2 * worker->config->retire_ms * 1000000u;
	r = wbproto_encoder_seal(worker->encoder, &batch, &buffer->batch.size);
	assert(r == 0 || r == -ENOMEM);
	stream->open = NULL;
	if (r == 0)
		return buffer;
	/* The reference encoder allocates, and may fail: what was open is lost, and counted. */
	drop_batch(worker, buffer, WB_DROP_NO_BUFFER);
	return NULL;
}

void wb_worker_seal(struct wb_worker *worker, uint32_t flags)
{
	struct wb_buffer *buffer;

	if (!worker->stream.open)
		return;
	buffer = seal(worker, flags);
	if (buffer)
		publish(worker, buffer);
}

int wb_worker_publish_empty(struct wb_worker *worker, uint32_t flags)
{
	struct wb_buffer *buffer;
	int r;

	assert(!worker->stream.open);
	buffer = wb_pool_take(&worker->control);
	if (!buffer)
		return -EAGAIN;
	r = open_batch(worker, buffer);
	if (r < 0) {
		wb_buffer_put(buffer);
		return r;
	}
	buffer = seal(worker, flags);
	if (!buffer)
		return -ENOMEM;
	r = offer(worker, buffer);
	if (r < 0) {
		/* While nothing is captured, this is where a bus that has failed is noticed. */
		if (r != -EAGAIN && r != -EMSGSIZE)
			worker->transport_failed = true;
		/*
		 * Nobody else has seen the number: it is not used up, so a full bus makes no holes out of heartbeats.
		 */
		worker->stream.batch_seq--;
		wb_buffer_put(buffer);
	}
	return r;
}

/* Packets that got their sequence number and nothing else. */
static void drop_packet(struct wb_worker *worker, enum wb_drop cause)
{
	wb_worker_book(worker);
	wb_ledger_drop(&worker->ledger, 1, cause);
}

/* A frame that does not fit into a batch of the target size: a batch of its own, up to what the bus takes. */
static void append_alone(struct wb_worker *worker, const struct wbproto_packet *packet)
{
	struct wbproto_batch facts;
	struct wb_buffer *buffer;

	describe(worker, &facts);
	if (wbproto_batch_overhead_bytes(&facts) + wbproto_packet_encoded_bytes(packet) > worker->max_batch_bytes) {
		worker->stream.next_packet_seq++;
		drop_packet(worker, WB_DROP_TOO_LARGE);
		return;
	}
	buffer = take_buffer(worker, &worker->oversize);
	if (!buffer || open_batch(worker, buffer) < 0) {
		if (buffer)
			wb_buffer_put(buffer);
		worker->stream.next_packet_seq++;
		drop_packet(worker, drop_cause(worker, WB_DROP_NO_BUFFER));
		return;
	}
	worker->stream.next_packet_seq++;
	if (wbproto_encoder_append(worker->encoder, packet) < 0)
		drop_packet(worker, WB_DROP_TOO_LARGE);
	wb_worker_seal(worker, 0);
}

/* The open batch is full, or there is none. */
static void append_to_new(struct wb_worker *worker, const struct wbproto_packet *packet)
{
	struct wb_buffer *buffer;

	wb_worker_seal(worker, 0);
	buffer = take_buffer(worker, &worker->pool);
	if (!buffer || open_batch(worker, buffer) < 0) {
		if (buffer)
			wb_buffer_put(buffer);
		worker->stream.next_packet_seq++;
		drop_packet(worker, drop_cause(worker, WB_DROP_NO_BUFFER));
		return;
	}
	if (wbproto_encoder_append(worker->encoder, packet) == 0) {
		worker->stream.next_packet_seq++;
		return;
	}
	/* Not even into an empty one: its number was not shown to anyone yet. */
	worker->stream.open = NULL;
	worker->stream.batch_seq--;
	wb_buffer_put(buffer);
	append_alone(worker, packet);
}

void wb_worker_append(struct wb_worker *worker, const struct wbproto_packet *packet)
{
	struct wb_stream *stream = &worker->stream;

	worker->unbooked_packets++;
	if (stream->open && wbproto_encoder_append(worker->encoder, packet) == 0)
		stream->next_packet_seq++;
	else
		append_to_new(worker, packet);
	if (worker->config->batch_packets && stream->open &&
		wbproto_encoder_packets(worker->encoder) >= worker->config->batch_packets)
		wb_worker_seal(worker, 0);
}
