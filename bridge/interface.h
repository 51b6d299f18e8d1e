/* SPDX-License-Identifier: Apache-2.0 */
/* What consumers are told about an interface. */
#ifndef WB_INTERFACE_H
#define WB_INTERFACE_H

#include "config.h"
#include "own_filter.h"
#include "tpacket.h"
#include "wbproto.h"

/*
 * The facts of the interface that the ring is bound to. Texts are the configuration's, which must live as long.
 * Errors: -EOPNOTSUPP for a kind of interface that no link type is known for.
 */
int wb_interface_describe(const struct wb_capture_config *config, const struct tpacket *ring,
	struct wbproto_interface *ret_interface, struct wb_error *ret_error);

/* The LINKTYPE_ of frames of a raw socket on an interface of that ARPHRD_*; -1: none that we know. */
int wb_interface_link_type(uint16_t hardware_type);

/* Where frames of a link type have their IP header. */
enum wb_own_link wb_interface_own_link(uint32_t link_type);

#endif
