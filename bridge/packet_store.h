/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets and the heads of batches as bytes, for the sort. What many packets have in common (where they came from,
 * their interface) is kept in memory once; beyond a bound, which no honest bus reaches, packets lose it.
 */
#ifndef WB_PACKET_STORE_H
#define WB_PACKET_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "sink.h"
#include "wbproto.h"

struct wb_packet_store;

/* One of the two. */
struct wb_stored {
	bool is_head;
	struct wb_sink_batch head;
	struct wbproto_record record; /* its pointers lead into the bytes, and into the store */
};

/* Errors: -ENOMEM. */
int wb_packet_store_create(struct wb_packet_store **ret_store);
void wb_packet_store_destroy(struct wb_packet_store *store); /* NULL is allowed */
/* ret_data: valid until the next call on the store. Errors: -ENOMEM. */
int wb_packet_store_record(
	struct wb_packet_store *store, const struct wbproto_record *record, const void **ret_data, size_t *ret_size);
void wb_packet_store_head(
	struct wb_packet_store *store, const struct wb_sink_batch *head, const void **ret_data, size_t *ret_size);
/* Errors: -EIO: these are not bytes of this store. */
int wb_packet_store_read(
	const struct wb_packet_store *store, const void *data, size_t size, struct wb_stored *ret_stored);

#endif
