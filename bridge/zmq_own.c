/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket that listens has connections from its port only, so its address and port say it all. One that connects gets
 * a source port, which libzmq uses for each attempt: it is known before the first. After a connection has ended, the
 * same pair of ports cannot connect for a minute if this end was the first to close (TIME_WAIT); so when the connection
 * does not come back by itself another port is taken.
 */
#include "zmq_own.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "clock.h"

#define TCP "tcp://"
#define PATIENCE_NS INT64_C(2000000000)

void wb_zmq_own_init(struct wb_zmq_own *own, const struct wb_transport_args *args)
{
	memset(own, 0, sizeof(*own));
	own->report = args->own_connection;
	own->context = args->own_context;
	own->reserve_fd = -1;
}

static void tell(struct wb_zmq_own *own, const union wb_own_address *local, const union wb_own_address *remote)
{
	struct wb_zmq_told *told;
	size_t i;

	for (i = 0; i < own->told_count; i++)
		if (wb_own_same(&own->told[i].local, local) && own->told[i].listens == !remote &&
			(!remote || wb_own_same(&own->told[i].remote, remote)))
			return;
	if (own->told_count == WB_ZMQ_OWN_TOLD)
		return;
	told = &own->told[own->told_count++];
	told->local = *local;
	told->listens = !remote;
	if (remote)
		told->remote = *remote;
	own->report(own->context, true, &local->any, remote ? &remote->any : NULL);
}

static void untell(struct wb_zmq_own *own)
{
	while (own->told_count > 0) {
		const struct wb_zmq_told *told = &own->told[--own->told_count];

		own->report(own->context, false, &told->local.any, told->listens ? NULL : &told->remote.any);
	}
	if (own->reserve_fd >= 0)
		close(own->reserve_fd);
	own->reserve_fd = -1;
	own->port = 0;
}

void wb_zmq_own_fini(struct wb_zmq_own *own)
{
	untell(own);
}

/* "tcp://HOST:PORT" or "tcp://[HOST]:PORT". A name becomes the address 0, of IPv4. False: it is something else. */
static bool parse(const char *endpoint, union wb_own_address *ret_address)
{
	const char *colon = strrchr(endpoint, ':');
	char host[256];
	int length;

	memset(ret_address, 0, sizeof(*ret_address));
	if (strncmp(endpoint, TCP, strlen(TCP)) != 0 || !colon || colon < endpoint + strlen(TCP))
		return false;
	endpoint += strlen(TCP);
	length = (int)(colon - endpoint);
	if (*endpoint == '[')
		snprintf(host, sizeof(host), "%.*s", length - 2, endpoint + 1);
	else
		snprintf(host, sizeof(host), "%.*s", length, endpoint);
	ret_address->any.sa_family = strchr(host, ':') ? AF_INET6 : AF_INET;
	if (ret_address->any.sa_family == AF_INET6)
		inet_pton(AF_INET6, host, &ret_address->v6.sin6_addr);
	else if (inet_pton(AF_INET, host, &ret_address->v4.sin_addr) != 1)
		ret_address->v4.sin_addr.s_addr = htonl(INADDR_ANY);
	wb_own_set_port(ret_address, htons((uint16_t)atoi(colon + 1)));
	return wb_own_port(ret_address) != 0;
}

/* Take a port and keep it: with SO_REUSEADDR libzmq can bind its sockets to it too, and nobody gets it by chance. */
static bool reserve(struct wb_zmq_own *own, union wb_own_address *ret_local)
{
	const int one = 1;
	int fd;

	fd = socket(own->remote.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		wb_own_bind(fd, &own->remote.any, ret_local) < 0) {
		close(fd);
		return false;
	}
	own->reserve_fd = fd;
	own->port = wb_own_port(ret_local);
	return true;
}

const char *wb_zmq_own_endpoint(struct wb_zmq_own *own, const char *endpoint)
{
	union wb_own_address local;

	snprintf(own->endpoint, sizeof(own->endpoint), "%s", endpoint);
	own->gone_since_ns = 0;
	if (!own->report || !parse(endpoint, &own->remote))
		return own->endpoint;
	untell(own);
	if (!reserve(own, &local))
		return own->endpoint;
	tell(own, &local, &own->remote);
	snprintf(own->endpoint, sizeof(own->endpoint), TCP "%s:%u;%s",
		own->remote.any.sa_family == AF_INET ? "0.0.0.0" : "[::]", ntohs(own->port), endpoint + strlen(TCP));
	return own->endpoint;
}

/* A listener at every address: at each that this host has now. Those that come later are told when somebody connects.
 */
static void tell_all(struct wb_zmq_own *own, int family)
{
	struct ifaddrs *list;
	const struct ifaddrs *at;

	if (getifaddrs(&list) < 0)
		return;
	for (at = list; at; at = at->ifa_next) {
		union wb_own_address local = {0};

		if (!at->ifa_addr || (at->ifa_addr->sa_family != AF_INET && at->ifa_addr->sa_family != family))
			continue;
		memcpy(&local, at->ifa_addr, wb_own_size(at->ifa_addr));
		wb_own_set_port(&local, own->port);
		tell(own, &local, NULL);
	}
	freeifaddrs(list);
}

void wb_zmq_own_bound(struct wb_zmq_own *own, const char *last)
{
	union wb_own_address local;

	if (!own->report || !parse(last, &local))
		return;
	own->port = wb_own_port(&local);
	if (wb_own_is_any(&local))
		tell_all(own, local.any.sa_family);
	else
		tell(own, &local, NULL);
}

void wb_zmq_own_event(struct wb_zmq_own *own, unsigned int event, int value)
{
	union wb_own_address local;

	if (!own->port)
		return;
	if (event == ZMQ_EVENT_DISCONNECTED && own->reserve_fd >= 0)
		own->gone_since_ns = (int64_t)wb_monotonic_ns();
	if (event == ZMQ_EVENT_CONNECTED)
		own->gone_since_ns = 0;
	if (event != ZMQ_EVENT_CONNECTED && event != ZMQ_EVENT_ACCEPTED)
		return;
	/* Closed, and its number another socket's: then the port is not ours. */
	if (wb_own_local(value, &local) < 0 || wb_own_port(&local) != own->port)
		return;
	if (event == ZMQ_EVENT_ACCEPTED)
		tell(own, &local, NULL);
	else if (!wb_own_is_any(&own->remote))
		tell(own, &local, &own->remote);
}

bool wb_zmq_own_wants_port(struct wb_zmq_own *own, int64_t now_ns)
{
	if (!own->gone_since_ns || now_ns - own->gone_since_ns < PATIENCE_NS)
		return false;
	own->gone_since_ns = 0;
	return true;
}
