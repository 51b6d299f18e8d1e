/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs for the kernel that leave wirebus's own connections out of a capture: (the user's filter) and not (one of
 * ours), in classic BPF, for both directions.
 *
 * A packet is recognized when it is TCP over IPv4 or IPv6, behind up to two VLAN tags that are in the frame (the kernel
 * has taken out the outer one mostly). Not recognized, and so captured: fragments after the first one, and IPv6 with
 * extension headers. TCP sends neither. A packet that is too short to say whose it is goes to the user's filter.
 */
#ifndef WB_OWN_FILTER_H
#define WB_OWN_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "filter.h"

/* One connection, or all that a listener has. */
struct wb_own_connection {
	int family;      /* AF_INET, AF_INET6 */
	bool any_local;  /* the address is not looked at */
	bool any_remote; /* the same */
	uint16_t local_port;
	uint16_t remote_port; /* 0: a listener's, the peer is not looked at */
	uint8_t local[16];    /* network byte order; 4 bytes of IPv4, the rest 0 */
	uint8_t remote[16];
};

/* By what connections are recognized. */
enum wb_own_form {
	WB_OWN_EXACT,     /* both ends */
	WB_OWN_LOCAL,     /* our end: shorter, for many of them */
	WB_OWN_ENDPOINTS, /* the bus's end, whoever talks to it */
};

/* Where frames have their IP header. */
enum wb_own_link {
	WB_OWN_LINK_NONE, /* somewhere else: the user's filter is all there is */
	WB_OWN_LINK_ETHERNET,
	WB_OWN_LINK_IP, /* at the front */
};

/*
 * Compose a program. user: nullable for everything. keep_bytes: what is kept of accepted packets at least; the user's
 * program may say more. ret_filter: wb_filter_fini() it. Errors: -E2BIG: longer than the kernel takes; -ENOMEM.
 */
int wb_own_compose(const struct wb_own_connection *connections, size_t count, enum wb_own_form form,
	enum wb_own_link link, const struct wb_filter *user, uint32_t keep_bytes, struct wb_filter *ret_filter);

/*
 * How many bytes of a packet composed programs look at, at most. When packets that are in the ring are judged anew, so
 * many of each must be there. user: nullable.
 */
uint32_t wb_own_reach(const struct wb_filter *user);

#endif
