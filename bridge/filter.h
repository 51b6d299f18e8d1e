/* SPDX-License-Identifier: Apache-2.0 */
/* Capture filters: tcpdump expressions (pcap-filter(7)) made into programs for the kernel. */
#ifndef WB_FILTER_H
#define WB_FILTER_H

#include <stdint.h>

#include "wirebus/option.h"

struct sock_filter;

struct wb_filter {
	struct sock_filter *code; /* owned */
	uint16_t length;          /* instructions */
};

/*
 * Compile expression for an interface, on a live handle: only so does libpcap know that the kernel keeps VLAN tags
 * beside the frame, without which `vlan` matches nothing. Accepted packets are cut to snap_length bytes. Errors:
 * -EINVAL (syntax, too long: quotes the expression), -EPERM, -ENODEV, -ENOMEM. Needs CAP_NET_RAW.
 */
int wb_filter_compile(const char *interface, const char *expression, uint32_t snap_length, struct wb_filter *ret_filter,
	struct wb_error *ret_error);
/*
 * The same without an interface and without privileges, for frames of a LINKTYPE_; `vlan` matches only tags that are in
 * the frame. Errors: -EINVAL (also: what the expression asks for is not in such frames), -ENOMEM.
 */
int wb_filter_compile_for(uint32_t link_type, const char *expression, uint32_t snap_length,
	struct wb_filter *ret_filter, struct wb_error *ret_error);
/* Errors: -ENOMEM. */
int wb_filter_copy(const struct wb_filter *filter, struct wb_filter *ret_filter);
void wb_filter_fini(struct wb_filter *filter);

#endif
