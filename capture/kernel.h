/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's interface, with what the headers of Debian 12 do not know yet. A value that the running kernel does not
 * know either is refused by it (socket options) or simply never set (status bits).
 */
#ifndef TPACKET_KERNEL_H
#define TPACKET_KERNEL_H

#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>

#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24
#endif
#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif
#ifndef TP_STATUS_GSO_TCP
#define TP_STATUS_GSO_TCP (1 << 8)
#endif

/* sizeof(struct virtio_net_hdr) as PACKET_VNET_HDR switches it on. */
#define VNET_HEADER_BYTES 10u

#endif
