/* SPDX-License-Identifier: Apache-2.0 */
/* For transports: the local end of a connection before it is made. */
#ifndef WB_OWN_ADDRESS_H
#define WB_OWN_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

/* An IPv4 or IPv6 end. */
union wb_own_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage storage;
};

/*
 * Give a TCP socket a local port, which nobody else can have while it is open, and tell what its local end will be once
 * it is connected to remote. With the address 0 when there is no route to remote now. Errors: as bind(2).
 */
int wb_own_bind(int fd, const struct sockaddr *remote, union wb_own_address *ret_local);

/* The local end of a socket. Errors: -EAFNOSUPPORT for one that is not IPv4 or IPv6; as getsockname(2). */
int wb_own_local(int fd, union wb_own_address *ret_local);

bool wb_own_is_any(const union wb_own_address *address);
void wb_own_set_port(union wb_own_address *address, in_port_t port); /* network byte order */
in_port_t wb_own_port(const union wb_own_address *address);          /* the same */
socklen_t wb_own_size(const struct sockaddr *address);
/* Same address and port. */
bool wb_own_same(const union wb_own_address *a, const union wb_own_address *b);

#endif
