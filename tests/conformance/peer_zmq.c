/* SPDX-License-Identifier: Apache-2.0 */
/* Consumers of the ZeroMQ transport: libzmq and nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "conformance.h"

struct peer {
	void *context;
	void *socket;
	zmq_msg_t message;
};

/* Who binds is the server; without anybody to ask it lets in whoever has its public key. */
static void set_curve(void *socket, const struct conf_bus *bus)
{
	const int yes = 1;

	if (!bus->public_key[0])
		return;
	zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, bus->peer_secret_key, sizeof(bus->peer_secret_key));
	zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, bus->peer_public_key, sizeof(bus->peer_public_key));
	if (bus->peer_binds)
		zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof(yes));
	else
		zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, bus->public_key, sizeof(bus->public_key));
}

static void *open_peer(const struct conf_bus *bus, bool stalled, int type)
{
	const int none = 0, one = 1, small = 4096, v6 = strchr(bus->address, '[') != NULL;
	struct peer *peer;
	int r;

	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return NULL;
	peer->context = zmq_ctx_new();
	peer->socket = zmq_socket(peer->context, type);
	zmq_msg_init(&peer->message);
	zmq_setsockopt(peer->socket, ZMQ_LINGER, &none, sizeof(none));
	zmq_setsockopt(peer->socket, ZMQ_IPV6, &v6, sizeof(v6));
	set_curve(peer->socket, bus);
	zmq_setsockopt(peer->socket, ZMQ_RCVHWM, stalled ? &one : &none, sizeof(one));
	if (stalled)
		zmq_setsockopt(peer->socket, ZMQ_RCVBUF, &small, sizeof(small));
	if (type == ZMQ_SUB)
		zmq_setsockopt(peer->socket, ZMQ_SUBSCRIBE, "wb1/", 4);
	r = bus->peer_binds ? zmq_bind(peer->socket, bus->address) : zmq_connect(peer->socket, bus->address);
	if (r < 0) {
		conf_fail("peer at %s: %s", bus->address, zmq_strerror(zmq_errno()));
		zmq_close(peer->socket);
		zmq_ctx_term(peer->context);
		free(peer);
		return NULL;
	}
	return peer;
}

static void *open_sub(const struct conf_bus *bus, bool stalled)
{
	return open_peer(bus, stalled, ZMQ_SUB);
}

static void *open_pull(const struct conf_bus *bus, bool stalled)
{
	return open_peer(bus, stalled, ZMQ_PULL);
}

static void check_topic(const char *topic, size_t size, uint32_t lane)
{
	char wanted[128];

	snprintf(wanted, sizeof(wanted), "wb1/%s/%u/", CONF_NODE, lane == CONF_SYNC_LANE ? 0 : lane);
	CONF_CHECK(size == strlen(wanted) && memcmp(topic, wanted, size) == 0, "topic '%.*s' instead of '%s'",
		(int)size, topic, wanted);
}

static int receive(void *context, int timeout_ms, const void **ret_data, size_t *ret_size)
{
	struct peer *peer = context;
	char topic[256];
	uint64_t seq;
	uint32_t lane;
	int length;

	zmq_setsockopt(peer->socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
	length = zmq_recv(peer->socket, topic, sizeof(topic), 0);
	if (length < 0)
		return 0;
	if (zmq_msg_recv(&peer->message, peer->socket, 0) < 0 || zmq_msg_more(&peer->message)) {
		conf_fail("a message has not two frames");
		return 0;
	}
	*ret_data = zmq_msg_data(&peer->message);
	*ret_size = zmq_msg_size(&peer->message);
	if (length <= (int)sizeof(topic) && conf_verify(*ret_data, *ret_size, &lane, &seq))
		check_topic(topic, (size_t)length, lane);
	return 1;
}

static void close_peer(void *context)
{
	struct peer *peer = context;

	zmq_msg_close(&peer->message);
	zmq_close(peer->socket);
	zmq_ctx_term(peer->context);
	free(peer);
}

const struct conf_peer_ops conf_peer_zmq_sub = {.open = open_sub, .receive = receive, .close = close_peer};
const struct conf_peer_ops conf_peer_zmq_pull = {.open = open_pull, .receive = receive, .close = close_peer};
