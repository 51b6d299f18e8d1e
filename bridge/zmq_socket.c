/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the socket of the ZeroMQ transport. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "zmq_internal.h"

#define MONITOR_ENDPOINT "inproc://monitor"

/*
 * What a peer may send: subscriptions and commands of the protocol, which are short. More is garbage, and libzmq closes
 * the connection before it allocates the memory.
 */
#define PEER_MESSAGE_BYTES 512

static int set_int(void *socket, int option, int value)
{
	return zmq_setsockopt(socket, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

struct setting {
	int option, value;
};

static int set_all(void *socket, const struct setting *settings, size_t count)
{
	size_t i;
	int r;

	for (i = 0; i < count; i++) {
		r = set_int(socket, settings[i].option, settings[i].value);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * How to find out that a peer has gone without a word. Heartbeats need the peer's program to answer, and one that stops
 * reading does not: it is disconnected after 20 s, and what waits for it is thrown away. PUB that drops wants that, the
 * buffers come back. PUSH, and PUB that waits, do not, each message is for that consumer: with heartbeats 40 of 64
 * messages were lost when a consumer paused for 45 s (libzmq 4.3.4), with the keepalive of TCP, which the peer's kernel
 * answers, none.
 */
static const struct setting dropping_settings[] = {
	{ZMQ_HEARTBEAT_IVL, 5000},
	{ZMQ_HEARTBEAT_TIMEOUT, 15000},
};
static const struct setting waiting_settings[] = {
	{ZMQ_TCP_KEEPALIVE, 1},
	{ZMQ_TCP_KEEPALIVE_IDLE, 10},
	{ZMQ_TCP_KEEPALIVE_INTVL, 5},
	{ZMQ_TCP_KEEPALIVE_CNT, 3},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int set_options(struct wb_transport *transport)
{
	const struct setting common[] = {
		{ZMQ_SNDHWM, (int)transport->options.sndhwm},
		{ZMQ_LINGER, (int)transport->options.linger_ms},
		{ZMQ_RECONNECT_IVL, 100},
		{ZMQ_RECONNECT_IVL_MAX, 5000},
		{ZMQ_IPV6, transport->address.ipv6},
		/* Nothing is queued for a peer that is not there: it stays ours, and can be counted. */
		{ZMQ_IMMEDIATE, 1},
	};
	const int64_t maximum = PEER_MESSAGE_BYTES;
	int r;

	r = set_all(transport->socket, common, COUNT(common));
	if (r == 0 && transport->pub && !transport->wait)
		r = set_all(transport->socket, dropping_settings, COUNT(dropping_settings));
	else if (r == 0)
		r = set_all(transport->socket, waiting_settings, COUNT(waiting_settings));
	/* A full subscriber is reported before its message is dropped, see zmq_send.c. */
	if (r == 0 && transport->pub)
		r = set_int(transport->socket, ZMQ_XPUB_NODROP, 1);
	if (r < 0)
		return r;
	return zmq_setsockopt(transport->socket, ZMQ_MAXMSGSIZE, &maximum, sizeof(maximum)) < 0 ? -errno : 0;
}

static void tell_bound(struct wb_transport *transport)
{
	char last[sizeof(transport->address.endpoint)] = "";
	size_t size = sizeof(last);

	if (zmq_getsockopt(transport->socket, ZMQ_LAST_ENDPOINT, last, &size) == 0)
		wb_zmq_own_bound(&transport->own, last);
}

static int bind_socket(struct wb_transport *transport, struct wb_error *ret_error)
{
	const char *endpoint = transport->address.endpoint;
	mode_t mask = 0;
	int r = 0;

	if (transport->address.path) {
		r = wb_zmq_check_path(transport->address.path, ret_error);
		if (r < 0)
			return r;
		/* Mode 0660 from the first moment; a chmod() afterwards would leave a gap. */
		mask = umask(0117);
	}
	if (zmq_bind(transport->socket, endpoint) < 0)
		r = -errno;
	if (transport->address.path)
		umask(mask);
	transport->bound = r == 0;
	if (transport->bound)
		tell_bound(transport);
	if (r < 0)
		return wb_fail(ret_error, r, "cannot bind to '%s': %s", endpoint, zmq_strerror(-r));
	return 0;
}

static int attach(struct wb_transport *transport, struct wb_error *ret_error)
{
	const char *endpoint;
	int r;

	if (transport->address.bind)
		return bind_socket(transport, ret_error);
	endpoint = wb_zmq_own_endpoint(&transport->own, transport->address.endpoint);
	if (zmq_connect(transport->socket, endpoint) < 0) {
		r = -errno;
		return wb_fail(
			ret_error, r, "cannot connect to '%s': %s", transport->address.endpoint, zmq_strerror(-r));
	}
	return 0;
}

int wb_zmq_socket_reconnect(struct wb_transport *transport)
{
	struct wb_error error;

	/* Fails when nothing is left of the old connection. */
	zmq_disconnect(transport->socket, transport->own.endpoint);
	return attach(transport, &error);
}

void wb_zmq_socket_renew(struct wb_transport *transport)
{
	int r;

	if (!wb_zmq_own_wants_port(&transport->own, (int64_t)wb_monotonic_ns()))
		return;
	r = wb_zmq_socket_reconnect(transport);
	if (r < 0)
		transport->log(transport->log_context, WB_LOG_ERROR, "%s: cannot connect again: %s",
			transport->address.endpoint, zmq_strerror(-r));
}

static int open_monitor(struct wb_transport *transport)
{
	if (zmq_socket_monitor(transport->socket, MONITOR_ENDPOINT, WB_ZMQ_EVENTS) < 0)
		return -errno;
	transport->monitor = zmq_socket(transport->zmq, ZMQ_PAIR);
	if (!transport->monitor || zmq_connect(transport->monitor, MONITOR_ENDPOINT) < 0)
		return -errno;
	return 0;
}

int wb_zmq_socket_open(struct wb_transport *transport, struct wb_error *ret_error)
{
	int r;

	/*
	 * PUB rather than XPUB: what peers send up is dropped by libzmq and need not be read. Subscribers are counted
	 * by the monitor; XPUB would only tell of topics that nobody had subscribed to before.
	 */
	transport->socket = zmq_socket(transport->zmq, transport->pub ? ZMQ_PUB : ZMQ_PUSH);
	if (!transport->socket) {
		r = -errno;
		return wb_fail(ret_error, r, "cannot make a ZeroMQ socket: %s", zmq_strerror(-r));
	}
	r = set_options(transport);
	if (r == 0)
		r = open_monitor(transport);
	if (r < 0)
		wb_fail(ret_error, r, "cannot set up a ZeroMQ socket: %s", zmq_strerror(-r));
	else
		r = wb_zmq_curve_apply(
			&transport->options.curve, transport->address.bind, transport->socket, ret_error);
	if (r == 0)
		r = attach(transport, ret_error);
	if (r < 0)
		wb_zmq_socket_close(transport);
	return r;
}

void wb_zmq_socket_close(struct wb_transport *transport)
{
	/* The monitor ends first: libzmq's own thread waits for ever to report to a reader that has gone. */
	zmq_socket_monitor(transport->socket, NULL, 0);
	if (transport->monitor)
		zmq_close(transport->monitor);
	/* libzmq leaves it behind. While it is served nobody else takes the name. */
	if (transport->bound && transport->address.path)
		unlink(transport->address.path);
	zmq_close(transport->socket);
	transport->monitor = NULL;
	transport->socket = NULL;
}
