/* SPDX-License-Identifier: Apache-2.0 */
/* Who is connected to the socket of the ZeroMQ transport, as its monitor tells. */
#include <inttypes.h>
#include <string.h>

#include "zmq_internal.h"

/* Events of one call: a peer that connects and disconnects all the time must not keep the thread from sending. */
#define EVENTS_PER_CALL 64
#define LOG_INTERVAL_NS INT64_C(60000000000)
/* How long nobody may be there before it is worth a message: consumers come and go. */
#define ALONE_NS INT64_C(3000000000)

/* Returns the event, or 0 when there is none. Ref: zmq_socket_monitor(3): event (16 bits) and value (32 bits); address.
 */
static unsigned int next_event(void *monitor)
{
	zmq_msg_t frame;
	uint16_t event = 0;
	bool more;

	zmq_msg_init(&frame);
	if (zmq_msg_recv(&frame, monitor, ZMQ_DONTWAIT) >= (int)sizeof(event))
		memcpy(&event, zmq_msg_data(&frame), sizeof(event));
	more = zmq_msg_more(&frame);
	while (more && zmq_msg_recv(&frame, monitor, ZMQ_DONTWAIT) >= 0)
		more = zmq_msg_more(&frame);
	zmq_msg_close(&frame);
	return event;
}

static void count_bad_handshake(struct wb_transport *transport)
{
	const int64_t now = (int64_t)wb_monotonic_ns();

	transport->bad_handshakes++;
	if (now < transport->next_handshake_log_ns)
		return;
	transport->log(transport->log_context, WB_LOG_WARNING,
		"%s: %" PRIu64 " connection(s) ended before the ZeroMQ handshake was complete: the peer does not speak"
		" ZeroMQ, or its socket is not %s",
		transport->address.endpoint, transport->bad_handshakes, transport->pub ? "SUB" : "PULL");
	transport->bad_handshakes = 0;
	transport->next_handshake_log_ns = now + LOG_INTERVAL_NS;
}

static void peer_came(struct wb_transport *transport)
{
	if (transport->had_peer && !transport->address.bind)
		atomic_fetch_add_explicit(&transport->reconnects, 1, memory_order_relaxed);
	transport->had_peer = true;
	if (transport->told_alone)
		transport->log(transport->log_context, WB_LOG_WARNING, "%s: a consumer is connected now",
			transport->address.endpoint);
	transport->told_alone = false;
	atomic_fetch_add_explicit(&transport->peers, 1, memory_order_relaxed);
	transport->log(transport->log_context, WB_LOG_DEBUG, "%s: a peer connected", transport->address.endpoint);
}

/* libzmq reports the end of connections that failed in the handshake too, directly after the failure. */
static void peer_went(struct wb_transport *transport)
{
	const bool failed = transport->handshake_failed;

	transport->handshake_failed = false;
	if (failed || atomic_load_explicit(&transport->peers, memory_order_relaxed) == 0)
		return;
	if (atomic_fetch_sub_explicit(&transport->peers, 1, memory_order_relaxed) == 1)
		transport->alone_since_ns = (int64_t)wb_monotonic_ns();
	transport->log(transport->log_context, WB_LOG_DEBUG, "%s: a peer disconnected", transport->address.endpoint);
}

void wb_zmq_peers_read(struct wb_transport *transport)
{
	unsigned int event;
	int i;

	for (i = 0; i < EVENTS_PER_CALL; i++) {
		event = next_event(transport->monitor);
		if (event == 0)
			return;
		if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
			peer_came(transport);
		} else if (event == ZMQ_EVENT_DISCONNECTED) {
			peer_went(transport);
		} else {
			transport->handshake_failed = true;
			count_bad_handshake(transport);
		}
	}
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
