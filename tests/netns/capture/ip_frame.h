/* SPDX-License-Identifier: Apache-2.0 */
/* TCP and UDP in IPv4 and IPv6 in Ethernet, with checksums finished or left to the receiver. */
#ifndef TEST_IP_FRAME_H
#define TEST_IP_FRAME_H

#include <stdint.h>

struct ip_kind {
	uint16_t protocol; /* ethertype */
	uint8_t ip_protocol;
	uint8_t network_bytes, transport_bytes; /* headers */
	uint8_t sum_offset;                     /* in the transport header */
	uint8_t gso_type;                       /* VIRTIO_NET_HDR_GSO_* of a super-frame */
	uint32_t super_status;                  /* TPACKET_STATUS_* of one */
};
extern const struct ip_kind ip_tcp4, ip_tcp6, ip_udp4;
#define UDP4_HEADERS 42u

uint32_t ip_headers(const struct ip_kind *kind); /* Ethernet's included */
/* Ethertype and headers; addresses and payload stay. 10.9.0.2 to 10.9.0.1, port 12345 to 80. */
void ip_frame_fill(uint8_t *frame, uint32_t bytes, const struct ip_kind *kind);
/* The IPv4 header's checksum, and in the transport header's place the sum of the pseudo header. */
void ip_frame_sums(uint8_t *frame, uint32_t bytes, const struct ip_kind *kind);
/* After that: the transport header's checksum. */
void ip_frame_finish(uint8_t *frame, uint32_t bytes, const struct ip_kind *kind);

#endif
