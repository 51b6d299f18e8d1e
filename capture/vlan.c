/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting a tag back into the frame that it was taken out of, in place: what lies in front of it moves 4 bytes towards
 * the frame's header, where PACKET_RESERVE made room (socket.c) and the walk made sure of it (ring_*.c).
 */
#include "internal.h"

#include <linux/virtio_net.h>
#include <net/if_arp.h>
#include <string.h>

#define ADDRESS_BYTES 12u /* destination and source; the tag follows */

/* The vnet header counts from the beginning of the frame. */
static void shift_vnet_header(uint8_t *bytes)
{
	struct virtio_net_hdr header;

	_Static_assert(sizeof(header) == VNET_HEADER_BYTES, "struct virtio_net_hdr");
	memcpy(&header, bytes, sizeof(header));
	if (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		header.csum_start = (uint16_t)(header.csum_start + TPK_VLAN_BYTES);
	if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		header.hdr_len = (uint16_t)(header.hdr_len + TPK_VLAN_BYTES);
	memcpy(bytes, &header, sizeof(header));
}

void tpk_vlan_insert(struct tpacket_packet *packet)
{
	/* Other links have no such header; a handle of all interfaces sees those, too. */
	if (packet->hardware_type != ARPHRD_ETHER || packet->captured_length < ADDRESS_BYTES)
		return;

	uint32_t front = packet->vnet_header_length;
	uint8_t *data = (uint8_t *)packet->data - TPK_VLAN_BYTES;
	uint8_t *tag = data + ADDRESS_BYTES;
	memmove(data - front, packet->data - front, front + ADDRESS_BYTES);
	tag[0] = (uint8_t)(packet->vlan_tpid >> 8);
	tag[1] = (uint8_t)packet->vlan_tpid;
	tag[2] = (uint8_t)(packet->vlan_tci >> 8);
	tag[3] = (uint8_t)packet->vlan_tci;

	packet->data = data;
	packet->captured_length += TPK_VLAN_BYTES;
	packet->original_length += TPK_VLAN_BYTES;
	if (front) {
		packet->vnet_header = data - front;
		shift_vnet_header(data - front);
	}
	packet->vlan_tci = 0;
	packet->vlan_tpid = 0;
	packet->status = (packet->status & ~TPACKET_STATUS_VLAN) | TPACKET_STATUS_VLAN_INSERTED;
}
