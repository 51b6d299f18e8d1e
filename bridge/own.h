/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What wirebus itself sends to its buses, left out of its captures by the kernel.
 *
 * The transports tell each connection before its first packet; each change of the set makes new filters for the rings
 * of every capture that leaves own traffic out, whichever capture's bus it is. A closed connection stays in the set for
 * a while, because its last packets are still to come.
 */
#ifndef WB_OWN_H
#define WB_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "filter.h"
#include "own_filter.h"
#include "tpacket.h"

struct sockaddr;

/* The option own_traffic. */
enum wb_own_traffic { WB_OWN_TRAFFIC_EXCLUDE, WB_OWN_TRAFFIC_ENDPOINTS, WB_OWN_TRAFFIC_CAPTURE };

/* The rings of one capture. Given before wb_own_join(), constant until wb_own_leave(). */
struct wb_own_rings {
	const char *name;      /* for messages */
	enum wb_own_form form; /* EXACT or ENDPOINTS */
	enum wb_own_link link; /* until wb_own_relink(), as the next one */
	struct wb_filter user; /* the capture's filter; empty: everything. Owned */
	uint32_t keep_bytes;   /* of accepted packets: at least wb_own_reach() */
	struct tpacket *rings[256];
	unsigned int count;

	/* wb_own's */
	struct wb_filter current; /* empty: the user's, as the rings were opened */
	bool told_merged;
	bool told_failed;
	struct wb_own_rings *next;
};

struct wb_own;

int wb_own_create(struct wb_own **ret_own);
/* No transport and no rings are left. NULL is allowed. */
void wb_own_destroy(struct wb_own *own);

/* Rings take part from here on. Threads: any. */
void wb_own_join(struct wb_own *own, struct wb_own_rings *rings);
/*
 * The interface is back and its frames have their IP header elsewhere: make the filters anew. Each worker of a capture
 * may say so; only the first one's changes anything. user: the capture's filter for such frames; owned by own from here
 * on. Errors: as tpacket_set_filter(), with rings that have the old program still. Threads: any.
 */
int wb_own_relink(struct wb_own *own, struct wb_own_rings *rings, enum wb_own_link link, struct wb_filter *user);
/* Before the rings are closed; frees what the structure owns. One that never joined is allowed. own: nullable. */
void wb_own_leave(struct wb_own *own, struct wb_own_rings *rings);

/* Signature of wb_transport_args.own_connection; the context is the struct wb_own. */
void wb_own_report(void *own, bool open, const struct sockaddr *local, const struct sockaddr *remote);

/* Forget connections that were closed long enough ago. Call now and then. Blocks: as wb_own_report(), seldom. */
void wb_own_tick(struct wb_own *own, uint64_t now_ns);

#endif
