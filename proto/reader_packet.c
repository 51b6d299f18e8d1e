/* SPDX-License-Identifier: Apache-2.0 */
/* Reads single packets: the part of the reader whose speed counts. */
#include "reader.h"
#include "fields.h"
#include "wire.h"

const uint8_t *wbp_get_session_id(const uint8_t *p, const uint8_t *end, uint8_t ret_id[WBPROTO_SESSION_ID_BYTES])
{
	const uint8_t *data;
	uint32_t length;

	p = wbp_get_bytes(p, end, &data, &length);
	if (!p || (length != 0 && length != WBPROTO_SESSION_ID_BYTES))
		return NULL;
	memset(ret_id, 0, WBPROTO_SESSION_ID_BYTES);
	memcpy(ret_id, data, length);
	return p;
}

const uint8_t *wbp_get_vnet_header(const uint8_t *p, const uint8_t *end, struct wbproto_packet *packet)
{
	const uint8_t *data;
	uint32_t length;

	p = wbp_get_bytes(p, end, &data, &length);
	if (!p || length > WBPROTO_VNET_HEADER_BYTES)
		return NULL;
	packet->vnet_header = data;
	packet->vnet_header_length = (uint8_t)length;
	return p;
}

static inline const uint8_t *read_field(
	const uint8_t *p, const uint8_t *end, uint32_t tag, struct wbproto_packet *packet)
{
	switch (tag) {
	case WBP_PACKET_TIME:
		return wbp_get_fixed64(p, end, &packet->time_unix_ns);
	case WBP_PACKET_INTERFACE_INDEX:
		return wbp_get_u32(p, end, &packet->interface_index);
	case WBP_PACKET_ORIGINAL_LENGTH:
		return wbp_get_u32(p, end, &packet->original_length);
	case WBP_PACKET_DATA:
		return wbp_get_data(p, end, packet);
	case WBP_PACKET_FLAGS:
		return wbp_get_u32(p, end, &packet->flags);
	case WBP_PACKET_VLAN_TCI:
		return wbp_get_u16(p, end, &packet->vlan_tci);
	case WBP_PACKET_VLAN_TPID:
		return wbp_get_u16(p, end, &packet->vlan_tpid);
	case WBP_PACKET_RX_HASH:
		return wbp_get_fixed32(p, end, &packet->rx_hash);
	case WBP_PACKET_VNET_HEADER:
		return wbp_get_vnet_header(p, end, packet);
	case WBP_PACKET_STATUS:
		return wbp_get_u32(p, end, &packet->status);
	default:
		return wbp_skip(p, end, tag, WBP_PACKET_KNOWN);
	}
}

static inline bool begins(const uint8_t *p, const uint8_t *end, uint8_t tag)
{
	return p && p < end && *p == tag;
}

/*
 * The fields that nearly every packet has, in the order in which encoders write them: branches that a processor
 * foresees, where the general way jumps through a table for each field. Stops at anything else.
 */
static inline const uint8_t *read_usual(const uint8_t *p, const uint8_t *end, struct wbproto_packet *packet)
{
	if (begins(p, end, WBP_PACKET_TIME))
		p = wbp_get_fixed64(p + 1, end, &packet->time_unix_ns);
	if (begins(p, end, WBP_PACKET_INTERFACE_INDEX))
		p = wbp_get_u32(p + 1, end, &packet->interface_index);
	if (begins(p, end, WBP_PACKET_ORIGINAL_LENGTH))
		p = wbp_get_u32(p + 1, end, &packet->original_length);
	if (begins(p, end, WBP_PACKET_DATA))
		p = wbp_get_data(p + 1, end, packet);
	if (begins(p, end, WBP_PACKET_FLAGS))
		p = wbp_get_u32(p + 1, end, &packet->flags);
	if (begins(p, end, WBP_PACKET_RX_HASH))
		p = wbp_get_fixed32(p + 1, end, &packet->rx_hash);
	return p;
}

bool wbp_read_packet(const uint8_t *p, const uint8_t *end, struct wbproto_packet *ret_packet)
{
	*ret_packet = (struct wbproto_packet){0};
	p = read_usual(p, end, ret_packet);
	while (p && p < end) {
		uint32_t tag;

		p = wbp_get_tag(p, end, &tag);
		if (p)
			p = read_field(p, end, tag, ret_packet);
	}
	return p != NULL;
}
