/* SPDX-License-Identifier: Apache-2.0 */
/* What IP carries: TCP, UDP, ICMP. */
#include <string.h>

#include "dissect.h"

enum { PROTOCOL_ICMP = 1, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, PROTOCOL_ICMP6 = 58 };

static void add_addresses(struct wb_line *line, const struct wb_ip_payload *ip)
{
	wb_line_add_ip(line, &ip->source);
	wb_line_add(line, " > ");
	wb_line_add_ip(line, &ip->destination);
	wb_line_add(line, ": ");
}

static void add_endpoints(struct wb_line *line, const struct wb_ip_payload *ip)
{
	wb_line_add_ip(line, &ip->source);
	wb_line_add(line, ".%u > ", wb_get_be16(ip->bytes.data));
	wb_line_add_ip(line, &ip->destination);
	wb_line_add(line, ".%u: ", wb_get_be16(ip->bytes.data + 2));
}

static void dissect_tcp(struct wb_line *line, const struct wb_ip_payload *ip)
{
	static const char letters[] = "FSRP.UEW"; /* tcpdump's, from bit 0 */
	const uint8_t *at = ip->bytes.data;
	size_t header, wire = ip->bytes.wire_length;
	char flags[9];
	size_t n = 0;

	if (ip->bytes.length < 20) {
		if (ip->bytes.length >= 4)
			add_endpoints(line, ip);
		else
			add_addresses(line, ip);
		wb_line_add(line, "[|tcp], length %zu", wire);
		return;
	}
	for (size_t i = 0; i < 8; i++)
		if (at[13] & 1u << i)
			flags[n++] = letters[i];
	flags[n] = '\0';
	header = (at[12] >> 4) * 4u;
	add_endpoints(line, ip);
	wb_line_add(line, "TCP [%s] seq %u, ", n ? flags : "none", wb_get_be32(at + 4));
	if (at[13] & 0x10)
		wb_line_add(line, "ack %u, ", wb_get_be32(at + 8));
	wb_line_add(line, "win %u, ", wb_get_be16(at + 14));
	if (header < 20 || header > wire)
		wb_line_add(line, "bad header length %zu", header);
	else
		wb_line_add(line, "length %zu", wire - header);
}

static void dissect_udp(struct wb_line *line, const struct wb_ip_payload *ip)
{
	size_t length;

	if (ip->bytes.length < 8) {
		if (ip->bytes.length >= 4)
			add_endpoints(line, ip);
		else
			add_addresses(line, ip);
		wb_line_add(line, "[|udp], length %zu", ip->bytes.wire_length);
		return;
	}
	add_endpoints(line, ip);
	length = wb_get_be16(ip->bytes.data + 4);
	/* The length may be 0 in a segment of more than 64 KiB, and is of one datagram in one that is still to be cut.
	 */
	if (length == 0 || length < ip->bytes.wire_length)
		length = ip->bytes.wire_length;
	if (length < 8)
		wb_line_add(line, "UDP, bad length %zu", length);
	else
		wb_line_add(line, "UDP, length %zu", length - 8);
}

static const char *icmp_name(uint8_t type)
{
	switch (type) {
	case 0:
		return "echo reply";
	case 3:
		return "destination unreachable";
	case 5:
		return "redirect";
	case 8:
		return "echo request";
	case 11:
		return "time exceeded";
	case 12:
		return "parameter problem";
	default:
		return NULL;
	}
}

static const char *icmp6_name(uint8_t type)
{
	static const char *const errors[] = {
		"destination unreachable", "packet too big", "time exceeded", "parameter problem"};
	static const char *const others[] = {"echo request", "echo reply", "multicast listener query",
		"multicast listener report", "multicast listener done", "router solicitation", "router advertisement",
		"neighbor solicitation", "neighbor advertisement", "redirect"};

	if (type >= 1 && type <= 4)
		return errors[type - 1];
	if (type >= 128 && type <= 137)
		return others[type - 128];
	return type == 143 ? "multicast listener report v2" : NULL;
}

static void dissect_icmp(struct wb_line *line, const struct wb_ip_payload *ip)
{
	const uint8_t *at = ip->bytes.data;
	bool v6 = ip->protocol == PROTOCOL_ICMP6;
	const char *name;

	add_addresses(line, ip);
	wb_line_add(line, v6 ? "ICMP6, " : "ICMP ");
	if (ip->bytes.length < 8) {
		wb_line_add(line, "[|icmp], length %zu", ip->bytes.wire_length);
		return;
	}
	name = v6 ? icmp6_name(at[0]) : icmp_name(at[0]);
	if (name)
		wb_line_add(line, "%s", name);
	else
		wb_line_add(line, "type %u", at[0]);
	if (v6 ? at[0] == 128 || at[0] == 129 : at[0] == 0 || at[0] == 8)
		wb_line_add(line, ", id %u, seq %u", wb_get_be16(at + 4), wb_get_be16(at + 6));
	else if (at[1])
		wb_line_add(line, ", code %u", at[1]);
	if (v6 && (at[0] == 135 || at[0] == 136) && ip->bytes.length >= 24) {
		struct wb_ip_address target = {.v6 = true};

		memcpy(target.bytes, at + 8, 16);
		wb_line_add(line, at[0] == 135 ? ", who has " : ", tgt is ");
		wb_line_add_ip(line, &target);
	}
	wb_line_add(line, ", length %zu", ip->bytes.wire_length);
}

static const char *protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case 2:
		return "igmp";
	case 4:
		return "ipip";
	case 41:
		return "ipv6";
	case 47:
		return "gre";
	case 50:
		return "esp";
	case 51:
		return "ah";
	case 89:
		return "ospf";
	case 112:
		return "vrrp";
	case 132:
		return "sctp";
	default:
		return NULL;
	}
}

void wb_dissect_ip_payload(struct wb_line *line, const struct wb_ip_payload *ip)
{
	const char *name;

	switch (ip->protocol) {
	case PROTOCOL_TCP:
		dissect_tcp(line, ip);
		break;
	case PROTOCOL_UDP:
		dissect_udp(line, ip);
		break;
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMP6:
		dissect_icmp(line, ip);
		break;
	default:
		name = protocol_name(ip->protocol);
		add_addresses(line, ip);
		if (name)
			wb_line_add(line, "%s, length %zu", name, ip->bytes.wire_length);
		else
			wb_line_add(line, "protocol %u, length %zu", ip->protocol, ip->bytes.wire_length);
		break;
	}
}
