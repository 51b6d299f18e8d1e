/* SPDX-License-Identifier: Apache-2.0 */
#include "zmq_connections.h"

#include <stdbool.h>
#include <stdlib.h>

/* ZMQ_HANDSHAKE_IVL, and a second for the event to be read. Who lasts longer is a peer. */
#define HANDSHAKE_NS INT64_C(31000000000)

static void add(struct wb_zmq_connections *connections, uint32_t fd, int64_t now_ns)
{
	if (connections->count == connections->room) {
		const size_t room = connections->room ? connections->room * 2 : 16;
		struct wb_zmq_connection *grown = realloc(connections->open, room * sizeof(*grown));

		if (!grown)
			return; /* its end is taken for that of a peer, unless a handshake has failed */
		connections->open = grown;
		connections->room = room;
	}
	connections->open[connections->count++] =
		(struct wb_zmq_connection){.fd = fd, .succeeded = connections->succeeded, .began_ns = now_ns};
}

/* False: it is not known. */
static bool take(struct wb_zmq_connections *connections, uint32_t fd, struct wb_zmq_connection *ret_connection)
{
	for (size_t i = 0; i < connections->count; i++) {
		if (connections->open[i].fd != fd)
			continue;
		*ret_connection = connections->open[i];
		connections->open[i] = connections->open[--connections->count];
		return true;
	}
	return false;
}

/* What was concluded wrongly is put right as soon as it is certain. */
static void correct(struct wb_zmq_connections *connections, int64_t now_ns)
{
	size_t certain = 0;

	for (size_t i = 0; i < connections->count; i++)
		certain += now_ns - connections->open[i].began_ns > HANDSHAKE_NS;
	if (connections->peers < certain)
		connections->peers = certain;
	if (connections->peers > connections->count)
		connections->peers = connections->count;
	if (connections->failed > connections->count - connections->peers)
		connections->failed = connections->count - connections->peers;
}

static enum wb_zmq_change note_end(struct wb_zmq_connections *connections, uint32_t fd, int64_t now_ns)
{
	enum wb_zmq_change change = WB_ZMQ_PEER_WENT;
	struct wb_zmq_connection ended;
	bool known = take(connections, fd, &ended);

	if (connections->failed > 0) {
		connections->failed--;
		change = WB_ZMQ_FAILED_WENT;
	} else if ((known && ended.succeeded == connections->succeeded) || connections->peers == 0) {
		change = WB_ZMQ_STRANGER_WENT;
	} else {
		connections->peers--;
	}
	correct(connections, now_ns);
	return change;
}

enum wb_zmq_change wb_zmq_connections_note(
	struct wb_zmq_connections *connections, const struct wb_zmq_event *event, int64_t now_ns)
{
	switch (event->number) {
	case ZMQ_EVENT_ACCEPTED:
	case ZMQ_EVENT_CONNECTED:
		add(connections, event->value, now_ns);
		return WB_ZMQ_NO_CHANGE;
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
		connections->succeeded++;
		connections->peers++;
		return WB_ZMQ_PEER_CAME;
	case ZMQ_EVENT_DISCONNECTED:
		return note_end(connections, event->value, now_ns);
	default:
		if (event->number & WB_ZMQ_HANDSHAKE_FAILED)
			connections->failed++;
		return WB_ZMQ_NO_CHANGE;
	}
}

void wb_zmq_connections_fini(struct wb_zmq_connections *connections)
{
	free(connections->open);
	*connections = (struct wb_zmq_connections){0};
}
