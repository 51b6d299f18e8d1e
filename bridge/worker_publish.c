/* SPDX-License-Identifier: Apache-2.0 */
/* A worker and its bus: buffers, sealed batches, and what it does when the bus is slower than the wire. */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "worker.h"

/* With something to publish and a transport that is full, look again so often: not every bus says when it has room. */
#define RETRY_MS 5

/* Whether the worker may still wait for the bus: not once the time to flush is over, nor when the bus has failed. */
static bool may_wait(const struct wb_worker *worker)
{
	if (worker->transport_failed)
		return false;
	if (!atomic_load_explicit(&worker->stopping, memory_order_acquire))
		return true;
	return wb_monotonic_ns() < atomic_load_explicit(&worker->give_up_ns, memory_order_acquire);
}

enum wb_drop wb_worker_drop_cause(const struct wb_worker *worker, enum wb_drop usual)
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

/*
 * The pool has nothing left. Open batches of other streams may be a good part of it, and a bus that keeps the rest for
 * peers that have stalled would never give one back. So hand over the fullest.
 */
static void make_room(struct wb_worker *worker, const struct wb_pool *pool)
{
	struct wb_stream *fullest = pool == &worker->pool ? wb_worker_fullest(worker) : NULL;

	if (fullest)
		wb_worker_seal(worker, fullest);
}

struct wb_buffer *wb_worker_take_buffer(struct wb_worker *worker, struct wb_pool *pool)
{
	struct wb_buffer *buffer = wb_pool_take(pool);

	if (!buffer && worker->spool) {
		/* The transport may have given some back, which go to the spool. */
		wb_worker_spool_work(worker);
		buffer = wb_pool_take(pool);
	}
	if (buffer)
		return buffer;
	make_room(worker, pool);
	buffer = wb_pool_take(pool);
	/* One that counts as free is being given back, and the spool is there so that nothing is dropped. */
	while (!buffer && worker->spool && wb_pool_free_count(pool)) {
		sched_yield();
		buffer = wb_pool_take(pool);
	}
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

void wb_worker_drop_batch(struct wb_worker *worker, struct wb_buffer *buffer, enum wb_drop cause)
{
	wb_ledger_drop(&worker->ledger, buffer->batch.packets, cause);
	wb_buffer_put(buffer);
}

/* In record mode, a message that is no record. */
static bool is_of_ledger(const struct wb_worker *worker, const struct wb_buffer *buffer)
{
	return worker->records && !buffer->batch.record_count;
}

static struct wb_route route_of(
	const struct wb_worker *worker, const struct wb_stream *stream, const struct wb_buffer *buffer)
{
	return (struct wb_route){
		.topic_suffix = is_of_ledger(worker, buffer) ? WB_LEDGER_SUFFIX : NULL,
		.key = stream->key[0] ? stream->key : NULL,
		.key_size = strlen(stream->key),
		.partition = -1,
	};
}

/* Offer a sealed batch once. 0: the transport has it; otherwise as publish(), and the buffer is still the worker's. */
static int offer(struct wb_worker *worker, struct wb_stream *stream, struct wb_buffer *buffer)
{
	struct wb_route route = route_of(worker, stream, buffer);
	uint32_t packets = buffer->batch.packets;
	bool is_heartbeat = is_of_ledger(worker, buffer);
	int r;

	buffer->route = route;
	wb_ledger_publish(&worker->ledger, packets);
	r = worker->ops->publish(worker->lane, &buffer->batch, &route);
	if (r == 0) {
		if (!worker->records || is_heartbeat)
			stream->published_ns = wb_monotonic_ns();
		return 0;
	}
	wb_ledger_unpublish(&worker->ledger, packets);
	return r;
}

/* Publish a sealed batch, or write it to the spool. */
static void publish_or_spool(struct wb_worker *worker, struct wb_stream *stream, struct wb_buffer *buffer)
{
	struct wb_route route = route_of(worker, stream, buffer);
	int r = wb_worker_spool_first(worker, buffer) ? -EAGAIN : offer(worker, stream, buffer);

	if (r == 0)
		return;
	if (r == -EMSGSIZE) {
		wb_worker_drop_batch(worker, buffer, WB_DROP_TOO_LARGE);
		return;
	}
	if (r != -EAGAIN)
		worker->transport_failed = true;
	if (wb_worker_spool_store(worker, buffer, &route) < 0)
		wb_worker_drop_batch(worker, buffer, WB_DROP_SPOOL_FULL);
}

void wb_worker_publish(struct wb_worker *worker, struct wb_stream *stream, struct wb_buffer *buffer)
{
	int r;

	if (worker->spool) {
		publish_or_spool(worker, stream, buffer);
		return;
	}
	r = offer(worker, stream, buffer);
	if (r == -EAGAIN && waits(worker)) {
		wb_pool_wait_begin(&worker->wake);
		while ((r = offer(worker, stream, buffer)) == -EAGAIN && may_wait(worker))
			wait_for_bus(worker, RETRY_MS);
		wb_pool_wait_end(&worker->wake);
	}
	switch (r) {
	case 0:
		break;
	case -EAGAIN:
		wb_worker_drop_batch(worker, buffer, wb_worker_drop_cause(worker, WB_DROP_BUS_FULL));
		break;
	case -EMSGSIZE:
		wb_worker_drop_batch(worker, buffer, WB_DROP_TOO_LARGE);
		break;
	default:
		worker->transport_failed = true;
		wb_worker_drop_batch(worker, buffer, WB_DROP_SHUTDOWN);
	}
}

int wb_worker_offer_empty(struct wb_worker *worker, struct wb_stream *stream, struct wb_buffer *buffer, bool behind)
{
	struct wb_route route = route_of(worker, stream, buffer);
	int r = behind ? -EAGAIN : offer(worker, stream, buffer);

	if (r == 0 || r == -EMSGSIZE)
		return r;
	/* While nothing is captured, this is where a bus that has failed is noticed. */
	if (r != -EAGAIN)
		worker->transport_failed = true;
	if (worker->spool && buffer->batch.flags & WBPROTO_BATCH_END_OF_STREAM &&
		wb_worker_spool_store(worker, buffer, &route) == 0)
		return 0;
	return r;
}
