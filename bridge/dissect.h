/* SPDX-License-Identifier: Apache-2.0 */
/* Packets in words: one line each, in the spirit of tcpdump. Packet bytes are untrusted; every read is bounded. */
#ifndef WB_DISSECT_H
#define WB_DISSECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "line.h"
#include "wbproto.h"

/* Bytes that are there, and how many there were on the wire (at least as many). */
struct wb_bytes {
	const uint8_t *data;
	size_t length;
	size_t wire_length;
};

/* An address of IPv4 or IPv6. */
struct wb_ip_address {
	bool v6;
	uint8_t bytes[16];
};

/* What the network layer says about its payload. */
struct wb_ip_payload {
	struct wb_ip_address source;
	struct wb_ip_address destination;
	uint8_t protocol;
	struct wb_bytes bytes;
};

/* Describe the frame of a packet from its link layer on. */
void wb_dissect(struct wb_line *line, const struct wbproto_record *record);

/* Describe what is in an IP packet, the addresses included. */
void wb_dissect_ip_payload(struct wb_line *line, const struct wb_ip_payload *ip);

/* Step over length bytes. false: they are not all there; nothing was changed. */
bool wb_bytes_skip(struct wb_bytes *bytes, size_t length);
/* Forget what lies beyond length bytes (padding of short frames). */
void wb_bytes_limit(struct wb_bytes *bytes, size_t length);

static inline uint16_t wb_get_be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t wb_get_be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void wb_line_add_ip(struct wb_line *line, const struct wb_ip_address *address);

#endif
