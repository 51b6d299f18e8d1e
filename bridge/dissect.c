/* SPDX-License-Identifier: Apache-2.0 */
#include "dissect.h"

#include <arpa/inet.h>
#include <string.h>

enum { LINK_ETHERNET = 1, LINK_RAW = 101, LINK_IPV4 = 228, LINK_IPV6 = 229 };
enum { TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806, TYPE_VLAN = 0x8100, TYPE_IPV6 = 0x86dd, TYPE_QINQ = 0x88a8 };
enum { MAC_BYTES = 6, MAX_TAGS = 4, MAX_EXTENSIONS = 8 };

bool wb_bytes_skip(struct wb_bytes *bytes, size_t length)
{
	if (length > bytes->length)
		return false;
	bytes->data += length;
	bytes->length -= length;
	bytes->wire_length -= length;
	return true;
}

void wb_bytes_limit(struct wb_bytes *bytes, size_t length)
{
	if (bytes->wire_length > length)
		bytes->wire_length = length;
	if (bytes->length > length)
		bytes->length = length;
}

void wb_line_add_ip(struct wb_line *line, const struct wb_ip_address *address)
{
	char text[INET6_ADDRSTRLEN];

	if (inet_ntop(address->v6 ? AF_INET6 : AF_INET, address->bytes, text, sizeof(text)))
		wb_line_add(line, "%s", text);
}

static void add_mac(struct wb_line *line, const uint8_t *mac)
{
	wb_line_add(line, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static void add_ipv4(struct wb_line *line, const uint8_t *bytes)
{
	wb_line_add(line, "%u.%u.%u.%u", bytes[0], bytes[1], bytes[2], bytes[3]);
}

static void dissect_arp(struct wb_line *line, struct wb_bytes bytes)
{
	const uint8_t *at = bytes.data;
	uint16_t operation;

	wb_line_add(line, "ARP, ");
	/* Ethernet and IPv4 addresses are the only ones to be met. */
	if (bytes.length < 28) {
		wb_line_add(line, "[|arp], length %zu", bytes.wire_length);
		return;
	}
	operation = wb_get_be16(at + 6);
	if (wb_get_be16(at) != 1 || wb_get_be16(at + 2) != TYPE_IPV4 || at[4] != MAC_BYTES || at[5] != 4) {
		wb_line_add(line, "hardware %u, protocol 0x%04x, operation %u", wb_get_be16(at), wb_get_be16(at + 2),
			operation);
	} else if (operation == 1) {
		wb_line_add(line, "Request who-has ");
		add_ipv4(line, at + 24);
		wb_line_add(line, " tell ");
		add_ipv4(line, at + 14);
	} else if (operation == 2) {
		wb_line_add(line, "Reply ");
		add_ipv4(line, at + 14);
		wb_line_add(line, " is-at ");
		add_mac(line, at + 8);
	} else {
		wb_line_add(line, "operation %u", operation);
	}
	wb_line_add(line, ", length %zu", bytes.wire_length);
}

static void dissect_ipv4(struct wb_line *line, struct wb_bytes bytes)
{
	struct wb_ip_payload ip = {0};
	const uint8_t *at = bytes.data;
	size_t header, total;
	uint16_t fragment;

	wb_line_add(line, "IP ");
	if (bytes.length < 20 || at[0] >> 4 != 4) {
		wb_line_add(line, "%s, length %zu", bytes.length < 20 ? "[|ip]" : "not version 4", bytes.wire_length);
		return;
	}
	header = (at[0] & 15u) * 4;
	total = wb_get_be16(at + 2);
	memcpy(ip.source.bytes, at + 12, 4);
	memcpy(ip.destination.bytes, at + 16, 4);
	ip.protocol = at[9];
	fragment = wb_get_be16(at + 6);
	/* A total length of 0 is a segment of more than 64 KiB that the card is still to cut. */
	if (total)
		wb_bytes_limit(&bytes, total);
	if (header < 20 || (total && total < header) || !wb_bytes_skip(&bytes, header)) {
		wb_line_add_ip(line, &ip.source);
		wb_line_add(line, " > ");
		wb_line_add_ip(line, &ip.destination);
		wb_line_add(line, ": bad or cut header of %zu bytes, total length %zu", header, total);
		return;
	}
	ip.bytes = bytes;
	if (fragment & 0x1fff) {
		wb_line_add_ip(line, &ip.source);
		wb_line_add(line, " > ");
		wb_line_add_ip(line, &ip.destination);
		wb_line_add(line, ": protocol %u, fragment at %u%s, length %zu", ip.protocol, (fragment & 0x1fffu) * 8,
			fragment & 0x2000 ? " and more" : "", bytes.wire_length);
		return;
	}
	wb_dissect_ip_payload(line, &ip);
	if (fragment & 0x2000)
		wb_line_add(line, ", first fragment");
}

/* Step over the extension headers. ret_fragment: offset in bytes, or -1. false: they are cut. */
static bool skip_extensions(struct wb_ip_payload *ip, long *ret_fragment)
{
	*ret_fragment = -1;
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		const uint8_t *at = ip->bytes.data;
		size_t length;

		if (ip->protocol != 0 && ip->protocol != 43 && ip->protocol != 44 && ip->protocol != 60)
			return true;
		if (ip->bytes.length < 8)
			return false;
		length = 8;
		if (ip->protocol == 44)
			*ret_fragment = wb_get_be16(at + 2) & 0xfff8;
		else
			length += at[1] * 8u;
		ip->protocol = at[0];
		if (!wb_bytes_skip(&ip->bytes, length))
			return false;
		if (*ret_fragment > 0)
			return true;
	}
	return true;
}

static void dissect_ipv6(struct wb_line *line, struct wb_bytes bytes)
{
	struct wb_ip_payload ip = {.source.v6 = true, .destination.v6 = true};
	const uint8_t *at = bytes.data;
	size_t payload;
	long fragment;
	bool whole;

	wb_line_add(line, "IP6 ");
	if (bytes.length < 40 || at[0] >> 4 != 6) {
		wb_line_add(line, "%s, length %zu", bytes.length < 40 ? "[|ip6]" : "not version 6", bytes.wire_length);
		return;
	}
	payload = wb_get_be16(at + 4);
	memcpy(ip.source.bytes, at + 8, 16);
	memcpy(ip.destination.bytes, at + 24, 16);
	ip.protocol = at[6];
	wb_bytes_skip(&bytes, 40);
	if (payload) /* 0: a jumbogram, or a segment that the card is still to cut */
		wb_bytes_limit(&bytes, payload);
	ip.bytes = bytes;
	whole = skip_extensions(&ip, &fragment);
	if (whole && fragment <= 0) {
		wb_dissect_ip_payload(line, &ip);
		if (fragment == 0)
			wb_line_add(line, ", first fragment");
		return;
	}
	wb_line_add_ip(line, &ip.source);
	wb_line_add(line, " > ");
	wb_line_add_ip(line, &ip.destination);
	if (whole)
		wb_line_add(line, ": protocol %u, fragment at %ld, length %zu", ip.protocol, fragment,
			ip.bytes.wire_length);
	else
		wb_line_add(line, ": [|ip6 extension header %u]", ip.protocol);
}

static void add_vlan(struct wb_line *line, uint16_t tci, uint16_t tpid)
{
	wb_line_add(line, "vlan %u, p %u%s", tci & 0xfffu, tci >> 13, tci & 0x1000 ? ", DEI" : "");
	if (tpid != TYPE_VLAN)
		wb_line_add(line, ", tpid 0x%04x", tpid);
	wb_line_add(line, ", ");
}

static const char *type_name(uint16_t type)
{
	static const struct {
		uint16_t type;
		const char *name;
	} names[] = {
		{0x8035, "RARP"},
		{0x8847, "MPLS"},
		{0x8863, "PPPoE discovery"},
		{0x8864, "PPPoE"},
		{0x888e, "EAPOL"},
		{0x88cc, "LLDP"},
		{0x88f7, "PTP"},
		{0x88e5, "MACsec"},
		{0x9000, "loopback"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].type == type)
			return names[i].name;
	return NULL;
}

static void dissect_type(struct wb_line *line, uint16_t type, struct wb_bytes bytes, const uint8_t *macs, size_t wire)
{
	const char *name = type_name(type);

	if (type == TYPE_IPV4) {
		dissect_ipv4(line, bytes);
	} else if (type == TYPE_IPV6) {
		dissect_ipv6(line, bytes);
	} else if (type == TYPE_ARP) {
		dissect_arp(line, bytes);
	} else {
		add_mac(line, macs + MAC_BYTES);
		wb_line_add(line, " > ");
		add_mac(line, macs);
		if (type < 0x600)
			wb_line_add(line, ", 802.3, length %zu", wire);
		else
			wb_line_add(line, ", ethertype 0x%04x%s%s%s, length %zu", type, name ? " (" : "",
				name ? name : "", name ? ")" : "", wire);
	}
}

static void dissect_ethernet(struct wb_line *line, struct wb_bytes bytes, const struct wbproto_packet *packet)
{
	const uint8_t *macs = bytes.data;
	size_t wire = bytes.wire_length;
	uint16_t type;

	if (packet->vlan_tpid)
		add_vlan(line, packet->vlan_tci, packet->vlan_tpid);
	if (bytes.length < 14) {
		wb_line_add(line, "[|ether], length %zu", wire);
		return;
	}
	type = wb_get_be16(macs + 12);
	wb_bytes_skip(&bytes, 14);
	for (int i = 0; i < MAX_TAGS && (type == TYPE_VLAN || type == TYPE_QINQ) && bytes.length >= 4; i++) {
		add_vlan(line, wb_get_be16(bytes.data), type);
		type = wb_get_be16(bytes.data + 2);
		wb_bytes_skip(&bytes, 4);
	}
	dissect_type(line, type, bytes, macs, wire);
}

void wb_dissect(struct wb_line *line, const struct wbproto_record *record)
{
	const struct wbproto_packet *packet = &record->packet;
	struct wb_bytes bytes = {packet->data, packet->captured_length, packet->original_length};
	uint32_t link = record->interface.link_type;

	if (bytes.wire_length < bytes.length)
		bytes.wire_length = bytes.length;
	if (link == LINK_ETHERNET)
		dissect_ethernet(line, bytes, packet);
	else if ((link == LINK_RAW || link == LINK_IPV4) && bytes.length > 0 && bytes.data[0] >> 4 == 4)
		dissect_ipv4(line, bytes);
	else if ((link == LINK_RAW || link == LINK_IPV6) && bytes.length > 0 && bytes.data[0] >> 4 == 6)
		dissect_ipv6(line, bytes);
	else
		wb_line_add(line, "link type %u, length %zu", link, bytes.wire_length);
}
