/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packets of one message from a bus, whether it is a batch or a record, one after the other with all facts.
 *
 *	if (wb_packets_init(&packets, &message) == 0)
 *		while (wb_packets_next(&packets))
 *			use(wb_packets_record(&packets, cache));
 */
#ifndef WB_PACKETS_H
#define WB_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source.h"
#include "wbproto.h"

/* Public so that it can live on the stack and be copied. Its pointers lead into the message. */
struct wb_packets {
	uint64_t count; /* in the message */
	uint64_t least_ns;
	uint64_t greatest_ns; /* of the packets; both 0 without any */
	bool in_order;        /* by time */
	bool is_batch;
	struct wbproto_reader reader; /* of a batch */
	struct wbproto_record record; /* the packet at hand; of a batch without its interface */
	uint64_t id;                  /* of the message: set by wb_packets_record() at first */
	uint64_t taken;               /* packets that wb_packets_next() gave */
	uint64_t walked;              /* interfaces that lookups in this message may have passed */
	uint32_t interface_index;     /* of the interface in the record */
	bool has_interface;           /* it is there */
};

/* Interfaces that were looked up. Zeros are an empty one. */
#define WB_PACKETS_INTERFACES 1024u
struct wb_packets_cache {
	uint64_t last_id;
	struct {
		uint64_t id; /* of the message that the entry is of; 0: empty */
		uint32_t index;
		struct wbproto_interface interface;
	} entries[WB_PACKETS_INTERFACES];
};

/* Errors: -EBADMSG: it is not what it says it is. */
int wb_packets_init(struct wb_packets *packets, const struct wb_message *message);
/* The message was copied to another place, where the packets from the next one on are taken from. */
void wb_packets_move(struct wb_packets *packets, const void *copy, size_t size);
/* Take the next packet, in the order of the message. false: there are no more. */
bool wb_packets_next(struct wb_packets *packets);
/* The packet that was taken last, with its interface. Valid until the next call on either. */
const struct wbproto_record *wb_packets_record(struct wb_packets *packets, struct wb_packets_cache *cache);

#endif
