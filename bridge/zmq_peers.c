/* SPDX-License-Identifier: Apache-2.0 */
/* Who is connected to the socket of the ZeroMQ transport, as its monitor tells. */
#include <errno.h>

#include "zmq_internal.h"

/* Events of one call: a peer that connects and disconnects all the time must not keep the thread from sending. */
#define EVENTS_PER_CALL 64
/* How long nobody may be there before it is worth a message: consumers come and go. */
#define ALONE_NS INT64_C(3000000000)
#define RETRY_NS INT64_C(1000000000)

static void peer_came(struct wb_transport *transport)
{
	if (transport->had_peer && !transport->address.bind)
		atomic_fetch_add_explicit(&transport->reconnects, 1, memory_order_relaxed);
	transport->had_peer = true;
	if (transport->told_alone)
		transport->log(transport->log_context, WB_LOG_WARNING, "%s: a consumer is connected now",
			transport->address.endpoint);
	transport->told_alone = false;
	transport->retry_due_ns = 0;
	transport->log(transport->log_context, WB_LOG_DEBUG, "%s: a peer connected", transport->address.endpoint);
}

static void peer_went(struct wb_transport *transport)
{
	atomic_fetch_add_explicit(&transport->disconnects, 1, memory_order_relaxed);
	if (transport->connections.peers == 0)
		transport->alone_since_ns = (int64_t)wb_monotonic_ns();
	transport->log(transport->log_context, WB_LOG_DEBUG, "%s: a peer disconnected", transport->address.endpoint);
}

static void handshake_failed(struct wb_transport *transport, const struct wb_zmq_event *event)
{
	const enum wb_zmq_problem problem = wb_zmq_handshakes_note(&transport->handshakes, event);
	atomic_uint_fast64_t *counter =
		wb_zmq_problem_is_authentication(problem) ? &transport->auth_failures : &transport->protocol_failures;

	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void note_event(struct wb_transport *transport, const struct wb_zmq_event *event)
{
	const int64_t now = (int64_t)wb_monotonic_ns();
	const enum wb_zmq_change change = wb_zmq_connections_note(&transport->connections, event, now);

	wb_zmq_own_event(&transport->own, event->number, (int)event->value);
	atomic_store_explicit(&transport->peers, transport->connections.peers, memory_order_relaxed);
	if (change == WB_ZMQ_PEER_CAME)
		peer_came(transport);
	else if (change == WB_ZMQ_PEER_WENT)
		peer_went(transport);
	if (change == WB_ZMQ_STRANGER_WENT || event->number & WB_ZMQ_HANDSHAKE_FAILED)
		handshake_failed(transport, event);
	if (event->number == ZMQ_EVENT_DISCONNECTED && !transport->address.bind)
		transport->retry_due_ns = now + RETRY_NS;
	else if (event->number == ZMQ_EVENT_CONNECT_RETRIED)
		transport->retry_due_ns = 0;
}

void wb_zmq_peers_read(struct wb_transport *transport)
{
	struct wb_zmq_event event;
	int i;

	for (i = 0; i < EVENTS_PER_CALL && wb_zmq_monitor_next(transport->monitor, &event); i++)
		note_event(transport, &event);
}

/*
 * After a key that was refused, and after what it takes for a violation of the protocol, libzmq gives a connection up
 * for good. The key may be allowed by now, or the right service be there.
 */
int wb_zmq_peers_retry(struct wb_transport *transport)
{
	if (!transport->retry_due_ns || (int64_t)wb_monotonic_ns() < transport->retry_due_ns)
		return 0;
	transport->retry_due_ns = 0;
	return wb_zmq_socket_reconnect(transport);
}

void wb_zmq_peers_missing(struct wb_transport *transport)
{
	const int64_t now = (int64_t)wb_monotonic_ns();

	if (transport->told_alone || atomic_load_explicit(&transport->peers, memory_order_relaxed) > 0 ||
		(transport->pub && transport->address.bind))
		return;
	if (!transport->alone_since_ns)
		transport->alone_since_ns = now;
	if (now - transport->alone_since_ns < ALONE_NS)
		return;
	transport->told_alone = true;
	transport->log(transport->log_context, WB_LOG_WARNING, "%s: no consumer is connected; the capture goes on, %s",
		transport->address.endpoint,
		transport->pub ? "and nobody receives its batches" : "and batches are kept in memory until one comes");
}
