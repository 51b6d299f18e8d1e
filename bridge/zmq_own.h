/* SPDX-License-Identifier: Apache-2.0 */
/* ZeroMQ: the host is told of the socket's connections before their first packet. */
#ifndef WB_ZMQ_OWN_H
#define WB_ZMQ_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "own_address.h"
#include "wirebus/transport.h"

#define WB_ZMQ_OWN_TOLD 64

struct wb_zmq_told {
	union wb_own_address local;
	union wb_own_address remote;
	bool listens; /* no remote */
};

struct wb_zmq_own {
	void (*report)(void *context, bool open, const struct sockaddr *local, const struct sockaddr *remote);
	void *context;
	struct wb_zmq_told told[WB_ZMQ_OWN_TOLD];
	size_t told_count;
	in_port_t port;              /* ours, network byte order; 0: none is known */
	int reserve_fd;              /* keeps the port of a socket that connects; -1: none */
	union wb_own_address remote; /* where it connects to; address 0: a name */
	char endpoint[400];          /* as libzmq was told to connect */
	int64_t gone_since_ns;       /* the connection has ended, monotonic; 0: not, or it was seen to already */
};

void wb_zmq_own_init(struct wb_zmq_own *own, const struct wb_transport_args *args);
/* When no connection is left. */
void wb_zmq_own_fini(struct wb_zmq_own *own);

/*
 * The endpoint to give to zmq_connect(3): with a source port of its own, when the host wants to know it. endpoint: of
 * the address, must live as long.
 */
const char *wb_zmq_own_endpoint(struct wb_zmq_own *own, const char *endpoint);
/* The socket was bound. last: its ZMQ_LAST_ENDPOINT. */
void wb_zmq_own_bound(struct wb_zmq_own *own, const char *last);

/* One event of the monitor. value: of most of these a descriptor, which may be closed already. */
void wb_zmq_own_event(struct wb_zmq_own *own, unsigned int event, int value);
/* Whether to connect again from another port, as the connection has ended and did not come back. Clears it. */
bool wb_zmq_own_wants_port(struct wb_zmq_own *own, int64_t now_ns);

#endif
