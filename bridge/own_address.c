/* SPDX-License-Identifier: Apache-2.0 */
#include "own_address.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool wb_own_is_any(const union wb_own_address *address)
{
	if (address->any.sa_family == AF_INET)
		return address->v4.sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
}

void wb_own_set_port(union wb_own_address *address, in_port_t port)
{
	if (address->any.sa_family == AF_INET)
		address->v4.sin_port = port;
	else
		address->v6.sin6_port = port;
}

in_port_t wb_own_port(const union wb_own_address *address)
{
	return address->any.sa_family == AF_INET ? address->v4.sin_port : address->v6.sin6_port;
}

socklen_t wb_own_size(const struct sockaddr *address)
{
	return address->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

bool wb_own_same(const union wb_own_address *a, const union wb_own_address *b)
{
	if (a->any.sa_family != b->any.sa_family || wb_own_port(a) != wb_own_port(b))
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr);
}

int wb_own_local(int fd, union wb_own_address *ret_local)
{
	socklen_t size = sizeof ret_local->storage;

	if (getsockname(fd, &ret_local->any, &size) < 0)
		return -errno;
	return ret_local->any.sa_family == AF_INET || ret_local->any.sa_family == AF_INET6 ? 0 : -EAFNOSUPPORT;
}

/* The address that the kernel would send from: connecting a datagram socket asks the routes and sends nothing. */
static void find_source(const struct sockaddr *remote, union wb_own_address *ret_local)
{
	int fd = -1;

	if (!wb_own_is_any((const union wb_own_address *)remote))
		fd = socket(remote->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memset(ret_local, 0, sizeof *ret_local);
	if (fd < 0 || connect(fd, remote, wb_own_size(remote)) < 0 || wb_own_local(fd, ret_local) < 0) {
		memset(ret_local, 0, sizeof *ret_local);
		ret_local->any.sa_family = remote->sa_family;
	}
	if (fd >= 0)
		close(fd);
}

int wb_own_bind(int fd, const struct sockaddr *remote, union wb_own_address *ret_local)
{
	union wb_own_address bound = {.storage = {.ss_family = remote->sa_family}};
	int r;

	if (remote->sa_family != AF_INET && remote->sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	/* Bound by hand the port is this socket's alone; one that connect(2) chooses may serve several connections. */
	if (bind(fd, &bound.any, wb_own_size(remote)) < 0)
		return -errno;
	r = wb_own_local(fd, &bound);
	if (r < 0)
		return r;
	find_source(remote, ret_local);
	wb_own_set_port(ret_local, wb_own_port(&bound));
	return 0;
}
