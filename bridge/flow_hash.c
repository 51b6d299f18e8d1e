/* SPDX-License-Identifier: Apache-2.0 */
#include "flow_hash.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

enum { LINK_ETHERNET = 1, LINK_RAW = 101, LINK_RADIOTAP = 127 };
enum { TYPE_IPV4 = 0x0800, TYPE_VLAN = 0x8100, TYPE_IPV6 = 0x86dd, TYPE_QINQ = 0x88a8 };
enum {
	PROTOCOL_HOP_BY_HOP = 0,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_DCCP = 33,
	PROTOCOL_ROUTING = 43,
	PROTOCOL_FRAGMENT = 44,
	PROTOCOL_AUTHENTICATION = 51,
	PROTOCOL_DESTINATION = 60,
	PROTOCOL_SCTP = 132,
	PROTOCOL_MOBILITY = 135,
	PROTOCOL_UDP_LITE = 136,
	PROTOCOL_HIP = 139,
	PROTOCOL_SHIM6 = 140,
};
enum { MAC_BYTES = 6, ETHERNET_BYTES = 14, IPV4_BYTES = 20, IPV6_BYTES = 40, EXTENSION_BYTES = 8 };
enum { MAX_TAGS = 4, MAX_EXTENSIONS = 8 };
#define IPV4_FRAGMENT 0x3fffu /* more fragments, or an offset */
#define IPV6_FRAGMENT 0xfff9u

static inline uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof value);
	return be32toh(value);
}

static inline uint64_t get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof value);
	return be64toh(value);
}

static inline uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

/* Adding does not care which end is which. */
static inline uint32_t combine(uint64_t source, uint64_t destination, uint32_t protocol)
{
	return (uint32_t)mix(source + destination + protocol);
}

static bool has_ports(uint8_t protocol)
{
	switch (protocol) {
	case PROTOCOL_TCP:
	case PROTOCOL_UDP:
	case PROTOCOL_DCCP:
	case PROTOCOL_SCTP:
	case PROTOCOL_UDP_LITE:
		return true;
	default:
		return false;
	}
}

static uint64_t end2(const uint8_t *mac)
{
	return mix((uint64_t)get16(mac) << 32 | get32(mac + 2));
}

static uint32_t hash_macs(const uint8_t *at, size_t length)
{
	return length < 2 * MAC_BYTES ? 0 : combine(end2(at), end2(at + MAC_BYTES), 0);
}

/* length: at least IPV4_BYTES. */
static uint32_t hash_ipv4(const uint8_t *at, size_t length)
{
	size_t header = (at[0] & 15u) * 4u;
	uint64_t ports = 0; /* source << 16 | destination */

	if (has_ports(at[9]) && !(get16(at + 6) & IPV4_FRAGMENT) && header >= IPV4_BYTES && length >= header + 4)
		ports = get32(at + header);
	return combine(mix((uint64_t)get32(at + 12) << 16 | ports >> 16),
		mix((uint64_t)get32(at + 16) << 16 | (ports & 0xffff)), at[9]);
}

/*
 * Walk over extension headers; header: where the first is. Returns the offset of what lies behind them, or 0 when it is
 * not to be looked at.
 */
static size_t skip_extensions(const uint8_t *at, size_t length, uint8_t *protocol)
{
	size_t header = IPV6_BYTES;

	for (unsigned int i = 0; i < MAX_EXTENSIONS; i++) {
		size_t bytes;

		if (has_ports(*protocol))
			return header;
		if (length < header + EXTENSION_BYTES)
			return 0;
		switch (*protocol) {
		case PROTOCOL_HOP_BY_HOP:
		case PROTOCOL_ROUTING:
		case PROTOCOL_DESTINATION:
		case PROTOCOL_MOBILITY:
		case PROTOCOL_HIP:
		case PROTOCOL_SHIM6:
			bytes = (at[header + 1] + 1u) * 8u;
			break;
		case PROTOCOL_AUTHENTICATION:
			bytes = (at[header + 1] + 2u) * 4u;
			break;
		case PROTOCOL_FRAGMENT:
			if (get16(at + header + 2) & IPV6_FRAGMENT)
				return 0;
			bytes = EXTENSION_BYTES;
			break;
		default:
			return 0;
		}
		*protocol = at[header];
		header += bytes;
	}
	return 0;
}

static inline uint64_t end6(const uint8_t *address, uint32_t port)
{
	return mix((mix(get64(address)) ^ get64(address + 8)) + port);
}

/* length: at least IPV6_BYTES. */
static uint32_t hash_ipv6(const uint8_t *at, size_t length)
{
	uint8_t protocol = at[6];
	size_t header = skip_extensions(at, length, &protocol);
	uint32_t ports = 0;

	if (header && length >= header + 4)
		ports = get32(at + header);
	return combine(end6(at + 8, ports >> 16), end6(at + 24, ports & 0xffff), protocol);
}

/* Returns whether it is IP: then *ret_hash is set. */
static inline bool hash_ip(const uint8_t *at, size_t length, uint32_t *ret_hash)
{
	if (length >= IPV4_BYTES && at[0] >> 4 == 4)
		*ret_hash = hash_ipv4(at, length);
	else if (length >= IPV6_BYTES && at[0] >> 4 == 6)
		*ret_hash = hash_ipv6(at, length);
	else
		return false;
	return true;
}

static uint32_t hash_ethernet(const uint8_t *at, size_t length)
{
	size_t header = ETHERNET_BYTES;
	uint32_t hash;
	uint16_t type;

	if (length < ETHERNET_BYTES)
		return hash_macs(at, length);
	type = get16(at + 12);
	for (unsigned int i = 0; (type == TYPE_VLAN || type == TYPE_QINQ) && i < MAX_TAGS; i++) {
		if (length < header + 4)
			break;
		type = get16(at + header + 2);
		header += 4;
	}
	if ((type == TYPE_IPV4 || type == TYPE_IPV6) && hash_ip(at + header, length - header, &hash))
		return hash;
	return hash_macs(at, length);
}

/* A radiotap header, whose length is at offset 2, little-endian; then 802.11: the addresses begin at offset 4. */
static uint32_t hash_radiotap(const uint8_t *at, size_t length)
{
	size_t header;

	if (length < 4)
		return 0;
	header = at[2] | (size_t)at[3] << 8;
	return length < header + 4 ? 0 : hash_macs(at + header + 4, length - header - 4);
}

uint32_t wb_flow_hash(uint32_t link_type, const void *frame, size_t length)
{
	uint32_t hash = 0;

	switch (link_type) {
	case LINK_ETHERNET:
		return hash_ethernet(frame, length);
	case LINK_RADIOTAP:
		return hash_radiotap(frame, length);
	case LINK_RAW:
		hash_ip(frame, length, &hash);
		return hash;
	default:
		return 0;
	}
}
