/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that owns the socket of the ZeroMQ transport: takes from the lanes, sends, and keeps libzmq going. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "zmq_internal.h"

/*
 * libzmq frees what waited for a peer that left only inside a call on the socket. With all buffers waiting there nobody
 * would publish and so nobody call: the thread does, this often.
 */
#define TICK_MS 100
/* Batches of one lane before the others, the monitor and the stop flag are looked at. */
#define BURST 16

struct wb_batch *wb_zmq_lane_take(struct wb_lane *lane)
{
	const size_t head = atomic_load_explicit(&lane->head, memory_order_relaxed);
	struct wb_batch *batch;

	if (head == atomic_load_explicit(&lane->tail, memory_order_acquire))
		return NULL;
	batch = lane->slots[head & lane->mask];
	atomic_store_explicit(&lane->head, head + 1, memory_order_release);
	return batch;
}

bool wb_zmq_lane_empty(struct wb_lane *lane)
{
	/* Sequentially consistent: see wait_for_work(). */
	return atomic_load_explicit(&lane->head, memory_order_relaxed) == atomic_load(&lane->tail);
}

static bool all_empty(struct wb_transport *transport)
{
	const unsigned int count = atomic_load(&transport->lane_count);
	unsigned int i;

	for (i = 0; i < count; i++)
		if (!wb_zmq_lane_empty(transport->lanes[i]))
			return false;
	return true;
}

static void fail(struct wb_transport *transport, int error)
{
	if (atomic_exchange(&transport->failed, true))
		return;
	transport->log(transport->log_context, WB_LOG_ERROR, "%s: the ZeroMQ socket failed: %s",
		transport->address.endpoint, zmq_strerror(-error));
}

/* Send up to a burst of one lane. Returns false when libzmq takes no more for now. */
static bool drain_lane(struct wb_transport *transport, struct wb_lane *lane)
{
	struct wb_batch *batch;
	int i, r;

	for (i = 0; i < BURST; i++) {
		batch = wb_zmq_lane_take(lane);
		if (!batch)
			return true;
		if (atomic_load_explicit(&transport->failed, memory_order_relaxed)) {
			wb_zmq_settle(transport, batch, WB_RESULT_FAILED, WB_CAUSE_IO);
			continue;
		}
		r = wb_zmq_send(transport, lane, batch);
		if (r == -EAGAIN)
			return false;
		if (r < 0)
			fail(transport, r);
	}
	return true;
}

/* Send a burst of each lane. Returns false when libzmq takes no more for now. */
static bool drain(struct wb_transport *transport)
{
	const unsigned int count = atomic_load_explicit(&transport->lane_count, memory_order_acquire);
	unsigned int i;
	int r;

	r = wb_zmq_send(transport, NULL, NULL);
	if (r == -EAGAIN)
		return false;
	if (r < 0)
		fail(transport, r);
	for (i = 0; i < count; i++)
		if (!drain_lane(transport, transport->lanes[i]))
			return false;
	return true;
}

/*
 * What to poll of the socket. POLLIN never comes; it makes libzmq look after new and leaving peers as soon as they do
 * something. POLLOUT of PUB is always there, even while it takes nothing, so PUB that waits looks at the descriptor
 * beneath, which says that a peer has read, come or gone. It may say so without end until the socket is asked for its
 * events, and that is done after every wait.
 */
static zmq_pollitem_t socket_item(struct wb_transport *transport, bool blocked)
{
	zmq_pollitem_t item = {.socket = transport->socket, .events = ZMQ_POLLIN};
	size_t size = sizeof(item.fd);

	if (!blocked)
		return item;
	if (!transport->pub)
		item.events |= ZMQ_POLLOUT;
	else if (zmq_getsockopt(transport->socket, ZMQ_FD, &item.fd, &size) == 0)
		item.socket = NULL;
	return item;
}

/*
 * Sleep until there is something to do, or for a tick. publish() stores the lane's tail and then loads `sleeping`; here
 * `sleeping` is stored and then the tails are loaded. All four are sequentially consistent, so at least one side sees
 * the other's store: either publish() writes the eventfd or nothing is slept on. While libzmq takes nothing more,
 * publish() need not wake anybody.
 */
static void wait_for_work(struct wb_transport *transport, bool blocked)
{
	zmq_pollitem_t items[] = {
		{.fd = transport->wakeup, .events = ZMQ_POLLIN},
		{.socket = transport->monitor, .events = ZMQ_POLLIN},
		socket_item(transport, blocked),
	};
	size_t size = sizeof(int);
	uint64_t count;
	long timeout = TICK_MS;
	int events, r;

	if (!blocked) {
		atomic_store(&transport->sleeping, true);
		if (!all_empty(transport))
			timeout = 0;
	}
	if (atomic_load(&transport->stop))
		timeout = 0;
	zmq_poll(items, sizeof(items) / sizeof(items[0]), timeout);
	atomic_store(&transport->sleeping, false);
	if (items[0].revents && read(transport->wakeup, &count, sizeof(count)) < 0 && errno != EAGAIN)
		fail(transport, -errno);
	if (items[1].revents)
		wb_zmq_peers_read(transport);
	r = wb_zmq_peers_retry(transport);
	if (r < 0)
		fail(transport, r);
	wb_zmq_peers_missing(transport);
	wb_zmq_socket_renew(transport);
	zmq_getsockopt(transport->socket, ZMQ_EVENTS, &events, &size);
}

/* What was not given to libzmq is certainly not on the bus. */
static void give_up(struct wb_transport *transport)
{
	const unsigned int count = atomic_load(&transport->lane_count);
	struct wb_batch *batch;
	unsigned int i;

	wb_zmq_send_abandon(transport, WB_CAUSE_SHUTDOWN);
	for (i = 0; i < count; i++)
		while ((batch = wb_zmq_lane_take(transport->lanes[i])))
			wb_zmq_settle(transport, batch, WB_RESULT_FAILED, WB_CAUSE_SHUTDOWN);
}

static void *run(void *argument)
{
	/* libzmq rounds to milliseconds and may be early by one. */
	const int64_t early_ns = 2000000;
	struct wb_transport *transport = argument;
	bool blocked;

	while (!atomic_load(&transport->stop)) {
		blocked = !drain(transport);
		wait_for_work(transport, blocked);
	}
	give_up(transport);
	wb_zmq_peers_read(transport);
	wb_zmq_handshakes_end(&transport->handshakes);
	atomic_store(&transport->linger_end_ns,
		(int64_t)wb_monotonic_ns() + (int64_t)transport->options.linger_ms * 1000000 - early_ns);
	wb_zmq_socket_close(transport);
	return NULL;
}

int wb_zmq_thread_start(struct wb_transport *transport)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&transport->thread, NULL, run, transport);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		pthread_setname_np(transport->thread, "wb-zmq");
	return -r;
}

void wb_zmq_thread_wake(struct wb_transport *transport)
{
	const uint64_t one = 1;
	ssize_t r;

	/* Fails only when the counter is full, and then the thread wakes up anyway. */
	r = write(transport->wakeup, &one, sizeof(one));
	(void)r;
}

void wb_zmq_thread_stop(struct wb_transport *transport)
{
	atomic_store(&transport->stop, true);
	wb_zmq_thread_wake(transport);
	pthread_join(transport->thread, NULL);
}
