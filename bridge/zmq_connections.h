/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which connections of a ZeroMQ socket are peers, as far as its monitor's events tell. They name a connection when it
 * begins and when it ends, but not when its handshake succeeds or fails; and some end in the handshake without a word.
 * So whose end it was is concluded: from failures that have no end yet, from whether any handshake succeeded while the
 * connection lasted, and from the time that a handshake may take.
 */
#ifndef WB_ZMQ_CONNECTIONS_H
#define WB_ZMQ_CONNECTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "zmq_monitor.h"

struct wb_zmq_connection {
	uint32_t fd;
	uint64_t succeeded; /* handshakes when it began */
	int64_t began_ns;
};

/* Zeroed to begin with. */
struct wb_zmq_connections {
	struct wb_zmq_connection *open;
	size_t count, room;
	uint64_t succeeded; /* handshakes */
	uint64_t failed;    /* handshakes, of connections that have not ended */
	uint64_t peers;     /* now */
};

enum wb_zmq_change {
	WB_ZMQ_NO_CHANGE,
	WB_ZMQ_PEER_CAME,
	WB_ZMQ_PEER_WENT,
	WB_ZMQ_FAILED_WENT,   /* one whose handshake had failed */
	WB_ZMQ_STRANGER_WENT, /* one that ended in the handshake, and no event had said so */
};

enum wb_zmq_change wb_zmq_connections_note(
	struct wb_zmq_connections *connections, const struct wb_zmq_event *event, int64_t now_ns);
void wb_zmq_connections_fini(struct wb_zmq_connections *connections);

#endif
