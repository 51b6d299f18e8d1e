/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Display filters: tcpdump expressions (pcap-filter(7)) on the consumer's side, run on frames as they were on the wire,
 * with their VLAN tag put back. `vlan` and what follows it in an expression mean the same as for tcpdump -r.
 */
#ifndef WB_DISPLAY_FILTER_H
#define WB_DISPLAY_FILTER_H

#include <stdbool.h>

#include "wbproto.h"
#include "wirebus/option.h"

struct wb_display_filter;

/* Whether it is an expression at all. Errors: -EINVAL: not for any usual link type, the message quotes it; -ENOMEM. */
int wb_display_filter_check(const char *expression, struct wb_error *ret_error);
/*
 * expression is compiled once for each link type, when it is met first. An expression that makes no sense for a link
 * type, as `ether host` for one without Ethernet addresses, matches none of its packets, and that is logged.
 * Errors: as wb_display_filter_check().
 */
int wb_display_filter_create(const char *expression, struct wb_display_filter **ret_filter, struct wb_error *ret_error);
void wb_display_filter_destroy(struct wb_display_filter *filter); /* NULL is allowed */

/* Whether the packet matches. record: with its interface; without it, link type 0 is taken for Ethernet. */
bool wb_display_filter_match(struct wb_display_filter *filter, const struct wbproto_record *record);

#endif
