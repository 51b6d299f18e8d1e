/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interfaces that a batch names, copied, in bounded memory: what publishes packets of many interfaces keeps those
 * that it met lately, and begins a new batch when there is another.
 */
#ifndef WB_INTERFACE_SET_H
#define WB_INTERFACE_SET_H

#include <stddef.h>
#include <stdint.h>

#include "wbproto.h"

#define WB_INTERFACE_SET_COUNT 64u
/* Longer names are cut. */
#define WB_INTERFACE_NAME_BYTES 255u

struct wb_interface_set {
	struct wbproto_interface items[WB_INTERFACE_SET_COUNT];
	size_t count;
	char *texts; /* what the items' views point into */
	size_t used, max_bytes;
	size_t last; /* found by the last call */
};

/* Least max_bytes: room for one interface with the longest name. */
#define WB_INTERFACE_SET_MIN_BYTES 512u

/* max_bytes: that all interfaces together may take in a message. Errors: -ENOMEM. */
int wb_interface_set_init(struct wb_interface_set *set, size_t max_bytes);
/* Zeroed ones are allowed. */
void wb_interface_set_fini(struct wb_interface_set *set);

/* By index. NULL: it is not there. Valid until the set is cleared. */
const struct wbproto_interface *wb_interface_set_find(struct wb_interface_set *set, uint32_t index);
/*
 * Add a copy, whose index is not there. Texts that are not UTF-8, as messages demand it, are made so. An interface that
 * would need the set to itself goes without its filter. Errors: -ENOSPC: clear it first.
 */
int wb_interface_set_add(struct wb_interface_set *set, const struct wbproto_interface *interface);
void wb_interface_set_clear(struct wb_interface_set *set);

#endif
