/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One batch onto the socket of the ZeroMQ transport: two frames, the topic and the batch.
 *
 * The batch's memory goes to libzmq by reference, and libzmq says when it needs it no more by calling released(): from
 * its I/O thread when the message was sent; from the socket's thread inside zmq_msg_send() when nobody wants it, or
 * inside any call on the socket when a peer left with messages waiting for it; from the thread of zmq_ctx_term() at the
 * end. It is the same call for a message that was sent and for one that was thrown away with its peer.
 *
 * A subscriber of PUB that stops reading keeps up to sndhwm messages, and with them the buffers of a worker. If several
 * did, the worker would have no buffer left and the capture would stop. So when less than a quarter of a worker's
 * buffers is free, PUB sends copies and settles the batch at once: the last quarter never leaves this process and keeps
 * the capture going. Copies are memory too. libzmq holds at most sndhwm messages for a peer, and one that it is
 * writing; (sndhwm + 1) x subscribers copies are therefore enough for as many peers as the option `subscribers` allows,
 * however they behave. libzmq cannot be told to take no more peers than that, so with more of them stalled the limit on
 * copies is reached: then batches fail (cause io), counted, until peers read on or leave.
 *
 * PUB with slow=wait never copies and never drops: a full subscriber holds the next message up, the buffers run out,
 * and the capture does what its policy for a full bus says.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zmq_internal.h"

#define LOG_INTERVAL_NS INT64_C(60000000000)

/* The ticket whose message this thread is giving to libzmq just now. */
static _Thread_local struct wb_zmq_ticket *sending;

void wb_zmq_settle(struct wb_transport *transport, struct wb_batch *batch, enum wb_result result, enum wb_cause cause)
{
	const size_t size = batch->size;

	batch->settle(batch, result, cause);
	if (result == WB_RESULT_HANDED_OVER)
		atomic_fetch_add_explicit(&transport->bytes, size, memory_order_relaxed);
	atomic_fetch_add(&transport->settled, 1);
	if (atomic_load(&transport->flushing)) {
		pthread_mutex_lock(&transport->flush_lock);
		pthread_cond_signal(&transport->flush_done);
		pthread_mutex_unlock(&transport->flush_lock);
	}
}

/*
 * After the socket was closed libzmq keeps sending for the linger time, then throws away what is left. What comes back
 * before that time was written to a connection, or lost with it, as at any other time; what comes back later was most
 * likely never sent, but the last ones written and the first ones thrown away cannot be told apart.
 */
static enum wb_result result_now(const struct wb_transport *transport, enum wb_result result)
{
	const int64_t end = atomic_load_explicit(&transport->linger_end_ns, memory_order_relaxed);

	if (result == WB_RESULT_HANDED_OVER && end != WB_ZMQ_NEVER && (int64_t)wb_monotonic_ns() >= end)
		return WB_RESULT_UNKNOWN;
	return result;
}

/* libzmq needs the memory of a message no more. Any thread. */
static void released(void *data, void *hint)
{
	struct wb_zmq_ticket *ticket = hint;
	struct wb_transport *transport;

	(void)data;
	if (!atomic_load_explicit(&ticket->given, memory_order_acquire))
		abort(); /* libzmq gives back only what it was given */
	transport = ticket->transport;
	/*
	 * PUSH gives a message back unsent, and reports success, when its peer goes between the topic and the batch. It
	 * is known to be on nobody's way, so it is sent again.
	 */
	if (ticket == sending && !transport->pub) {
		transport->bounced = true;
		return;
	}
	if (ticket->batch)
		wb_zmq_settle(transport, ticket->batch, result_now(transport, ticket->result), ticket->cause);
	else
		atomic_fetch_sub_explicit(&transport->copies, 1, memory_order_relaxed);
	free(ticket);
}

/* Make the message of a ticket; it is held until libzmq takes it. */
static int hold(struct wb_transport *transport, struct wb_zmq_ticket *ticket, const void *data, size_t size)
{
	atomic_store_explicit(&ticket->given, true, memory_order_release);
	/* libzmq does not write to the data, its interface only lacks the const. */
	if (zmq_msg_init_data(&transport->message, (void *)data, size, released, ticket) < 0)
		return -errno;
	transport->held = ticket;
	return 0;
}

static struct wb_zmq_ticket *new_ticket(struct wb_transport *transport, struct wb_batch *batch, size_t copy_bytes)
{
	struct wb_zmq_ticket *ticket;

	ticket = malloc(sizeof(*ticket) + copy_bytes);
	if (!ticket)
		return NULL;
	ticket->transport = transport;
	ticket->batch = batch;
	ticket->result = WB_RESULT_HANDED_OVER;
	ticket->cause = WB_CAUSE_NONE;
	return ticket;
}

/* Give a frame to libzmq. 0 or -errno. */
static int give_frame(struct wb_transport *transport, bool topic)
{
	int r;

	do {
		if (topic)
			r = zmq_send(transport->socket, transport->topic, strlen(transport->topic),
				ZMQ_DONTWAIT | ZMQ_SNDMORE);
		else
			r = zmq_msg_send(&transport->message, transport->socket, ZMQ_DONTWAIT);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static void set_nodrop(struct wb_transport *transport, int value)
{
	zmq_setsockopt(transport->socket, ZMQ_XPUB_NODROP, &value, sizeof(value));
}

static void count_peer_drop(struct wb_transport *transport)
{
	const int64_t now = (int64_t)wb_monotonic_ns();

	atomic_fetch_add_explicit(&transport->peer_drops, 1, memory_order_relaxed);
	if (now < transport->next_drop_log_ns)
		return;
	transport->next_drop_log_ns = now + LOG_INTERVAL_NS;
	transport->log(transport->log_context, WB_LOG_WARNING,
		"%s: a subscriber does not keep up and loses messages: %" PRIu64 " wait for it (sndhwm)",
		transport->address.endpoint, transport->options.sndhwm);
}

static void tell_waiting(struct wb_transport *transport)
{
	const int64_t now = (int64_t)wb_monotonic_ns();

	if (now < transport->next_wait_log_ns)
		return;
	transport->next_wait_log_ns = now + LOG_INTERVAL_NS;
	transport->log(transport->log_context, WB_LOG_WARNING,
		"%s: a subscriber does not keep up and holds up all others: %" PRIu64
		" messages wait for it (slow=wait,"
		" sndhwm)",
		transport->address.endpoint, transport->options.sndhwm);
}

/*
 * A frame, for PUB in spite of full subscribers. PUB is asked not to drop: so it says when a subscriber is full, once
 * each time one becomes full. Then it is told to drop for this frame, because one subscriber must not hold up the
 * others. While a subscriber stays full libzmq drops more for it and says nothing: peer_drops is a lower bound.
 *
 * PUB that waits takes no topic while a subscriber is full, and the message stays held. A batch can always follow its
 * topic, as libzmq counts whole messages; were it otherwise, the message must not begin again with another topic.
 */
static int give_frame_to_all(struct wb_transport *transport, bool topic)
{
	int r;

	r = give_frame(transport, topic);
	if (r != -EAGAIN || !transport->pub)
		return r;
	if (transport->wait && topic) {
		tell_waiting(transport);
		return r;
	}
	count_peer_drop(transport);
	set_nodrop(transport, 0);
	r = give_frame(transport, topic);
	set_nodrop(transport, 1);
	return r;
}

/* libzmq gave a message back with its peer: hold it again. */
static int hold_again(struct wb_transport *transport, struct wb_zmq_ticket *ticket)
{
	transport->bounced = false;
	if (hold(transport, ticket, ticket->batch->data, ticket->batch->size) == 0)
		return -EAGAIN;
	wb_zmq_settle(transport, ticket->batch, WB_RESULT_FAILED, WB_CAUSE_IO);
	free(ticket);
	return 0;
}

/*
 * Both frames of the held message. 0: libzmq has it. -EAGAIN: it is still held, and the topic is to be sent again too,
 * because libzmq takes it back when the batch cannot follow.
 */
static int give(struct wb_transport *transport)
{
	struct wb_zmq_ticket *ticket = transport->held;
	int r;

	r = give_frame_to_all(transport, true);
	if (r < 0)
		return r;
	sending = ticket;
	r = give_frame_to_all(transport, false);
	sending = NULL;
	if (r < 0)
		return r;
	transport->held = NULL;
	return transport->bounced ? hold_again(transport, ticket) : 0;
}

void wb_zmq_send_abandon(struct wb_transport *transport, enum wb_cause cause)
{
	if (!transport->held)
		return;
	transport->held->result = WB_RESULT_FAILED;
	transport->held->cause = cause;
	transport->held = NULL;
	zmq_msg_close(&transport->message); /* runs released() */
}

static int refuse(struct wb_transport *transport, struct wb_batch *batch)
{
	const int64_t now = (int64_t)wb_monotonic_ns();

	wb_zmq_settle(transport, batch, WB_RESULT_FAILED, WB_CAUSE_IO);
	transport->refused++;
	if (now < transport->next_refused_log_ns)
		return 0;
	transport->log(transport->log_context, WB_LOG_WARNING,
		"%s: %" PRIu64 " batch(es) dropped: subscribers that do not read hold as much memory as is allowed for"
		" %" PRIu64 " of them: raise subscribers, or lower sndhwm",
		transport->address.endpoint, transport->refused, transport->options.subscribers);
	transport->refused = 0;
	transport->next_refused_log_ns = now + LOG_INTERVAL_NS;
	return 0;
}

static int send_copy(struct wb_transport *transport, struct wb_batch *batch)
{
	struct wb_zmq_ticket *ticket;
	int r;

	if (atomic_load_explicit(&transport->copies, memory_order_relaxed) >= transport->max_copies)
		return refuse(transport, batch);
	ticket = new_ticket(transport, NULL, batch->size);
	if (!ticket)
		return refuse(transport, batch);
	memcpy(ticket->copy, batch->data, batch->size);
	atomic_fetch_add_explicit(&transport->copies, 1, memory_order_relaxed);
	r = hold(transport, ticket, ticket->copy, batch->size);
	if (r < 0) {
		atomic_fetch_sub_explicit(&transport->copies, 1, memory_order_relaxed);
		free(ticket);
		return refuse(transport, batch);
	}
	r = give(transport);
	if (r < 0) {
		wb_zmq_send_abandon(transport, WB_CAUSE_IO);
		wb_zmq_settle(transport, batch, WB_RESULT_FAILED, WB_CAUSE_IO);
		return r;
	}
	atomic_fetch_add_explicit(&transport->copied, 1, memory_order_relaxed);
	wb_zmq_settle(transport, batch, WB_RESULT_HANDED_OVER, WB_CAUSE_NONE);
	return 0;
}

static int send_reference(struct wb_transport *transport, struct wb_batch *batch)
{
	struct wb_zmq_ticket *ticket;

	ticket = new_ticket(transport, batch, 0);
	if (!ticket)
		return refuse(transport, batch);
	if (hold(transport, ticket, batch->data, batch->size) < 0) {
		free(ticket);
		return refuse(transport, batch);
	}
	return give(transport);
}

int wb_zmq_send(struct wb_transport *transport, struct wb_lane *lane, struct wb_batch *batch)
{
	int r;

	if (!batch) {
		r = transport->held ? give(transport) : 0;
	} else {
		snprintf(transport->topic, sizeof(transport->topic), "%s%" PRIu32 "/", transport->topic_head,
			batch->stream_id);
		if (transport->pub && !transport->wait &&
			lane->free_buffers(lane->context) < (lane->total_buffers + 3) / 4)
			r = send_copy(transport, batch);
		else
			r = send_reference(transport, batch);
	}
	if (r < 0 && r != -EAGAIN)
		wb_zmq_send_abandon(transport, WB_CAUSE_IO);
	return r;
}
