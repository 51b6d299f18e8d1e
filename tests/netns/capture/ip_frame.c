/* SPDX-License-Identifier: Apache-2.0 */
#include "ip_frame.h"
#include "tpacket.h"

#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <string.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define ETHERNET_BYTES 14u
#define IPV4_BYTES 20u
#define IPV6_BYTES 40u
#define TCP_BYTES 20u
#define UDP_BYTES 8u

const struct ip_kind ip_tcp4 = {
	0x0800, IPPROTO_TCP, IPV4_BYTES, TCP_BYTES, 16, VIRTIO_NET_HDR_GSO_TCPV4, TPACKET_STATUS_GSO_TCP};
const struct ip_kind ip_tcp6 = {
	0x86dd, IPPROTO_TCP, IPV6_BYTES, TCP_BYTES, 16, VIRTIO_NET_HDR_GSO_TCPV6, TPACKET_STATUS_GSO_TCP};
const struct ip_kind ip_udp4 = {0x0800, IPPROTO_UDP, IPV4_BYTES, UDP_BYTES, 6, VIRTIO_NET_HDR_GSO_UDP_L4, 0};

uint32_t ip_headers(const struct ip_kind *kind)
{
	return ETHERNET_BYTES + kind->network_bytes + kind->transport_bytes;
}

static void put_16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t add_up(uint32_t sum, const uint8_t *bytes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint32_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

void ip_frame_fill(uint8_t *frame, uint32_t bytes, const struct ip_kind *kind)
{
	const uint8_t ipv4[IPV4_BYTES] = {
		0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, kind->ip_protocol, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1};
	const uint8_t ipv6[IPV6_BYTES] = {
		[0] = 0x60, [6] = kind->ip_protocol, [7] = 64, [8] = 0xfd, [23] = 2, [24] = 0xfd, [39] = 1};
	/* Ports; number and acknowledged number; length, ACK, window. */
	const uint8_t tcp[TCP_BYTES] = {0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff};
	uint8_t *ip = frame + ETHERNET_BYTES, *transport = ip + kind->network_bytes;

	put_16(frame + 12, kind->protocol);
	memcpy(ip, kind->network_bytes == IPV4_BYTES ? ipv4 : ipv6, kind->network_bytes);
	memcpy(transport, tcp, kind->transport_bytes);
	if (kind->network_bytes == IPV4_BYTES)
		put_16(ip + 2, bytes - ETHERNET_BYTES);
	else
		put_16(ip + 4, bytes - ETHERNET_BYTES - IPV6_BYTES);
	if (kind->ip_protocol == IPPROTO_UDP)
		put_16(transport + 4, bytes - ETHERNET_BYTES - kind->network_bytes);
}

void ip_frame_sums(uint8_t *frame, uint32_t bytes, const struct ip_kind *kind)
{
	uint8_t *ip = frame + ETHERNET_BYTES;
	uint32_t addresses = kind->network_bytes == IPV4_BYTES ? 12 : 8; /* they are what the header ends with */
	uint32_t sum = kind->ip_protocol + bytes - ETHERNET_BYTES - kind->network_bytes;

	sum = add_up(sum, ip + addresses, kind->network_bytes - addresses);
	put_16(ip + kind->network_bytes + kind->sum_offset, fold(sum));
	if (kind->network_bytes == IPV4_BYTES) {
		put_16(ip + 10, 0);
		put_16(ip + 10, ~fold(add_up(0, ip, IPV4_BYTES)));
	}
}

void ip_frame_finish(uint8_t *frame, uint32_t bytes, const struct ip_kind *kind)
{
	uint32_t start = ETHERNET_BYTES + kind->network_bytes;

	put_16(frame + start + kind->sum_offset, ~fold(add_up(0, frame + start, bytes - start)));
}
