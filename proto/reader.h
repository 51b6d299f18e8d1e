/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WBPROTO_READER_H
#define WBPROTO_READER_H

#include "wbproto.h"
#include "wire.h"

/* Read the body of a Packet. False when it is not valid. */
bool wbp_read_packet(const uint8_t *p, const uint8_t *end, struct wbproto_packet *ret_packet);

/* Read a session_id: 16 bytes, or none, which gives all zero. */
const uint8_t *wbp_get_session_id(const uint8_t *p, const uint8_t *end, uint8_t ret_id[WBPROTO_SESSION_ID_BYTES]);

/* Read a vnet_header of at most WBPROTO_VNET_HEADER_BYTES. */
const uint8_t *wbp_get_vnet_header(const uint8_t *p, const uint8_t *end, struct wbproto_packet *packet);

/* Read captured data. */
static inline const uint8_t *wbp_get_data(const uint8_t *p, const uint8_t *end, struct wbproto_packet *packet)
{
	const uint8_t *data = NULL;

	p = wbp_get_bytes(p, end, &data, &packet->captured_length);
	packet->data = data;
	return p;
}

#endif
