/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librdkafka lets its sockets be connected and closed by callbacks, on the threads of its brokers. Before a socket is
 * connected it is bound to a port, so that both ends are known, and told, before the first packet.
 */
#include "kafka_own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "own_address.h"

struct wb_kafka_connection {
	int fd;
	union wb_own_address local;
	union wb_own_address remote;
	struct wb_kafka_connection *next;
};

void wb_kafka_own_init(struct wb_kafka_own *own, const struct wb_transport_args *args)
{
	own->report = args->own_connection;
	own->context = args->own_context;
	own->first = NULL;
	pthread_mutex_init(&own->lock, NULL);
}

/* Take a connection of the socket out of the list. NULL: there is none. */
static struct wb_kafka_connection *take(struct wb_kafka_own *own, int fd)
{
	struct wb_kafka_connection *connection;
	struct wb_kafka_connection **at;

	pthread_mutex_lock(&own->lock);
	for (at = &own->first; *at && (*at)->fd != fd;)
		at = &(*at)->next;
	connection = *at;
	if (connection)
		*at = connection->next;
	pthread_mutex_unlock(&own->lock);
	return connection;
}

static void forget(struct wb_kafka_own *own, int fd)
{
	struct wb_kafka_connection *connection;

	while ((connection = take(own, fd))) {
		own->report(own->context, false, &connection->local.any, &connection->remote.any);
		free(connection);
	}
}

void wb_kafka_own_fini(struct wb_kafka_own *own)
{
	while (own->first)
		forget(own, own->first->fd);
	pthread_mutex_destroy(&own->lock);
}

/* Without memory for it the connection is made, and captured. */
static void tell(struct wb_kafka_own *own, int fd, const union wb_own_address *local, const struct sockaddr *remote)
{
	struct wb_kafka_connection *connection = calloc(1, sizeof *connection);

	if (!connection)
		return;
	connection->fd = fd;
	connection->local = *local;
	memcpy(&connection->remote, remote, wb_own_size(remote));
	pthread_mutex_lock(&own->lock);
	connection->next = own->first;
	own->first = connection;
	pthread_mutex_unlock(&own->lock);
	own->report(own->context, true, &connection->local.any, &connection->remote.any);
}

static int on_connect(int fd, const struct sockaddr *remote, int size, const char *id, void *opaque)
{
	struct wb_kafka_own *own = wb_kafka_own_of(opaque);
	union wb_own_address local;
	union wb_own_address actual;
	bool known = wb_own_bind(fd, remote, &local) == 0;

	if (known)
		tell(own, fd, &local, remote);
	if (connect(fd, remote, (socklen_t)size) < 0 && errno != EINPROGRESS)
		return errno;
	/* Another address than foreseen: the routes have changed, or know more than the destination. */
	if (wb_own_local(fd, &actual) == 0 && !wb_own_is_any(&actual) && (!known || !wb_own_same(&local, &actual)))
		tell(own, fd, &actual, remote);
	return 0;
}

static int on_close(int fd, void *opaque)
{
	/* First: once it is closed, another socket may get the number. */
	forget(wb_kafka_own_of(opaque), fd);
	return close(fd);
}

void wb_kafka_own_attach(rd_kafka_conf_t *conf, const struct wb_kafka_own *own)
{
	if (!own->report)
		return;
	rd_kafka_conf_set_connect_cb(conf, on_connect);
	rd_kafka_conf_set_closesocket_cb(conf, on_close);
}
