/* SPDX-License-Identifier: Apache-2.0 */
/* What the ring versions have in common: the facts about one frame. */
#ifndef TPACKET_FRAME_H
#define TPACKET_FRAME_H

#include "internal.h"

#include <arpa/inet.h>

/* Kernels before 3.14 did not tell the tag's type; then they knew only this one. */
#define TPK_DEFAULT_TPID 0x8100u

/* In front of the captured bytes, behind the header and sockaddr_ll: the vnet header, and room for a tag. */
static inline uint32_t tpk_frame_front_bytes(const struct tpacket *handle)
{
	return handle->vnet_header_bytes + (handle->inserts_vlan ? TPK_VLAN_BYTES : 0);
}

static inline uint32_t tpk_frame_status(uint32_t status)
{
	uint32_t r = status & TP_STATUS_CSUMNOTREADY ? TPACKET_STATUS_CHECKSUM_NOT_READY : 0;

	r |= status & TP_STATUS_CSUM_VALID ? TPACKET_STATUS_CHECKSUM_VALID : 0;
	r |= status & TP_STATUS_GSO_TCP ? TPACKET_STATUS_GSO_TCP : 0;
	r |= status & TP_STATUS_TS_RAW_HARDWARE ? TPACKET_STATUS_TIME_HARDWARE : 0;
	r |= status & TP_STATUS_TS_SOFTWARE ? TPACKET_STATUS_TIME_SOFTWARE : 0;
	return r;
}

static inline void tpk_frame_fill_address(const struct sockaddr_ll *address, struct tpacket_packet *ret_packet)
{
	ret_packet->interface_index = (uint32_t)address->sll_ifindex;
	ret_packet->protocol = ntohs(address->sll_protocol);
	ret_packet->hardware_type = address->sll_hatype;
	ret_packet->packet_type = address->sll_pkttype;
}

/* After the packet's status was set. tci and tpid may be left over from an earlier frame. */
static inline void tpk_frame_fill_vlan(uint32_t status, uint32_t tci, uint16_t tpid, struct tpacket_packet *ret_packet)
{
	ret_packet->vlan_tci = 0;
	ret_packet->vlan_tpid = 0;
	if (unlikely(status & TP_STATUS_VLAN_VALID)) {
		ret_packet->status |= TPACKET_STATUS_VLAN;
		ret_packet->vlan_tci = (uint16_t)tci;
		ret_packet->vlan_tpid = status & TP_STATUS_VLAN_TPID_VALID ? tpid : TPK_DEFAULT_TPID;
	}
}

/*
 * After lengths and status were set. Cut by the ring, not by the filter: the bytes kept reach exactly to the end of
 * what a frame may occupy.
 */
static inline void tpk_frame_note_cut(struct tpacket *handle, uint32_t mac, struct tpacket_packet *packet)
{
	uint32_t captured = packet->captured_length;

	if (unlikely(captured < packet->original_length && captured < handle->snap_length &&
		     mac + captured >= handle->frame_limit)) {
		packet->status |= TPACKET_STATUS_TRUNCATED;
		tpk_count(&handle->counters.truncated, 1);
	}
}

#endif
