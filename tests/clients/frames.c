/* SPDX-License-Identifier: Apache-2.0 */
#include "frames.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ETHERNET_BYTES = 14,
	VLAN_BYTES = 4,
	IPV4_BYTES = 20,
	UDP_BYTES = 8,
	TCP_BYTES = 20,
	MARK_BYTES = 18,
	MAGIC = 0x7762,
};

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static void put16(uint8_t *out, uint16_t value)
{
	out[0] = (uint8_t)(value >> 8);
	out[1] = (uint8_t)value;
}

static void put32(uint8_t *out, uint32_t value)
{
	put16(out, (uint16_t)(value >> 16));
	put16(out + 2, (uint16_t)value);
}

static uint32_t get32(const uint8_t *in)
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static int parse_number(const char *text, uint64_t max, uint64_t *ret_value)
{
	char *end;

	errno = 0;
	*ret_value = strtoull(text, &end, 0);
	return errno || end == text || *end || *ret_value > max ? -EINVAL : 0;
}

static int set_sizes(struct frame_plan *plan, const char *value)
{
	uint64_t number = 0;

	plan->tcp = strncmp(value, "gso:", 4) == 0;
	if (strcmp(value, "mixed") && parse_number(plan->tcp ? value + 4 : value, FRAME_MAX_BYTES, &number))
		return -EINVAL;
	plan->size = (uint32_t)number;
	return number && number < (plan->tcp ? 80 : FRAME_MIN_BYTES) ? -EINVAL : 0;
}

static int set_vlan(struct frame_plan *plan, const char *value)
{
	const char *colon = strchr(value, ':');
	char tpid_text[16] = "0x8100";
	uint64_t tpid, tci;

	if (colon && (size_t)(colon - value) < sizeof(tpid_text)) {
		memcpy(tpid_text, value, (size_t)(colon - value));
		tpid_text[colon - value] = '\0';
	}
	if (parse_number(tpid_text, UINT16_MAX, &tpid) || parse_number(colon ? colon + 1 : value, UINT16_MAX, &tci))
		return -EINVAL;
	plan->vlan_tpid = (uint16_t)tpid;
	plan->vlan_tci = (uint16_t)tci;
	return 0;
}

void frame_plan_init(struct frame_plan *plan)
{
	*plan = (struct frame_plan){.seed = 1, .count = 1000, .flows = 64};
}

int frame_plan_set(struct frame_plan *plan, const char *name, const char *value)
{
	uint64_t number = 0;
	int rc = 0;

	if (strcmp(name, "sizes") == 0)
		return set_sizes(plan, value);
	if (strcmp(name, "vlan") == 0)
		return set_vlan(plan, value);
	if (strcmp(name, "seed") == 0) {
		rc = parse_number(value, UINT64_MAX, &plan->seed);
	} else if (strcmp(name, "count") == 0) {
		rc = parse_number(value, UINT32_MAX, &plan->count);
	} else if (strcmp(name, "flows") == 0) {
		rc = parse_number(value, 65536, &number);
		plan->flows = (uint32_t)number;
		rc = number ? rc : -EINVAL;
	} else if (strcmp(name, "reverse") == 0) {
		rc = parse_number(value, 1, &number);
		plan->reverse = number;
	} else {
		rc = -EINVAL;
	}
	return rc;
}

uint32_t frame_size(const struct frame_plan *plan, uint64_t seq)
{
	uint32_t size = plan->size;

	if (!size)
		size = FRAME_MIN_BYTES + (uint32_t)(mix(plan->seed ^ mix(seq)) % (1514 - FRAME_MIN_BYTES + 1));
	return size + (plan->vlan_tpid ? VLAN_BYTES : 0);
}

static uint8_t *make_ethernet(const struct frame_plan *plan, uint8_t *out)
{
	/* Locally administered addresses; nobody has the destination, so no host answers. */
	memcpy(out, "\x02\x77\x62\x00\x00\x02\x02\x77\x62\x00\x00\x01", 12);
	if (plan->reverse)
		memcpy(out, "\x02\x77\x62\x00\x00\x01\x02\x77\x62\x00\x00\x02", 12);
	out += 12;
	if (plan->vlan_tpid) {
		put16(out, plan->vlan_tpid);
		put16(out + 2, plan->vlan_tci);
		out += VLAN_BYTES;
	}
	put16(out, 0x0800);
	return out + 2;
}

static void make_ipv4(const struct frame_plan *plan, uint32_t flow, uint64_t seq, uint32_t length, uint8_t *out)
{
	uint32_t sum = 0;
	int i;

	memset(out, 0, IPV4_BYTES);
	out[0] = 0x45;
	put16(out + 2, (uint16_t)length);
	put16(out + 4, (uint16_t)seq);
	out[8] = 64;
	out[9] = plan->tcp ? 6 : 17;
	put32(out + (plan->reverse ? 16 : 12), 0x0a000000u | flow);
	put32(out + (plan->reverse ? 12 : 16), 0x0a800000u | (flow * 7 % 65536));
	for (i = 0; i < IPV4_BYTES; i += 2)
		sum += (uint32_t)out[i] << 8 | out[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(out + 10, (uint16_t)~sum);
}

static uint8_t *make_transport(
	const struct frame_plan *plan, uint32_t flow, uint64_t seq, uint32_t length, uint8_t *out)
{
	size_t header = plan->tcp ? TCP_BYTES : UDP_BYTES;

	memset(out, 0, header);
	put16(out + (plan->reverse ? 2 : 0), (uint16_t)(1024 + flow % 60000));
	put16(out + (plan->reverse ? 0 : 2), 9);
	if (plan->tcp) {
		put32(out + 4, (uint32_t)seq);
		out[12] = TCP_BYTES / 4 << 4;
		out[13] = 0x10; /* ACK */
		put16(out + 14, 65535);
	} else {
		put16(out + 4, (uint16_t)length);
	}
	return out + header;
}

static void fill(uint64_t state, uint8_t *out, size_t length)
{
	uint64_t word;

	for (; length >= sizeof(word); out += sizeof(word), length -= sizeof(word)) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		word = htonl((uint32_t)(state >> 32)) | (uint64_t)htonl((uint32_t)state) << 32;
		memcpy(out, &word, sizeof(word));
	}
	for (; length; length--)
		*out++ = (uint8_t)(state >> (8 * length));
}

uint32_t frame_make(const struct frame_plan *plan, uint64_t seq, uint8_t *out)
{
	uint32_t size = frame_size(plan, seq);
	uint32_t flow = (uint32_t)(seq % plan->flows);
	uint8_t *ip = make_ethernet(plan, out);
	uint32_t ip_bytes = size - (uint32_t)(ip - out);
	uint8_t *mark = make_transport(plan, flow, seq, ip_bytes - IPV4_BYTES, ip + IPV4_BYTES);

	make_ipv4(plan, flow, seq, ip_bytes, ip);
	put16(mark, MAGIC);
	put32(mark + 2, (uint32_t)(seq >> 32));
	put32(mark + 6, (uint32_t)seq);
	put32(mark + 10, flow);
	put32(mark + 14, (uint32_t)(seq / plan->flows));
	fill(mix(plan->seed + seq), mark + MARK_BYTES, size - (size_t)(mark + MARK_BYTES - out));
	return size;
}

bool frame_identify(const struct frame_plan *plan, const uint8_t *data, size_t length, struct frame_id *ret_id)
{
	size_t offset =
		ETHERNET_BYTES + (plan->vlan_tpid ? VLAN_BYTES : 0) + IPV4_BYTES + (plan->tcp ? TCP_BYTES : UDP_BYTES);

	if (length < offset + MARK_BYTES)
		return false;
	data += offset;
	if (data[0] != MAGIC >> 8 || data[1] != (MAGIC & 0xff))
		return false;
	ret_id->seq = (uint64_t)get32(data + 2) << 32 | get32(data + 6);
	ret_id->flow = get32(data + 10);
	ret_id->flow_seq = get32(data + 14);
	return ret_id->seq < plan->count && ret_id->flow == ret_id->seq % plan->flows &&
	       ret_id->flow_seq == (uint32_t)(ret_id->seq / plan->flows);
}
