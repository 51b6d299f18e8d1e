/* SPDX-License-Identifier: Apache-2.0 */
/* The flow hash: fixed values, computed by another program from the description in flow_hash.h; both directions alike.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow_hash.h"

enum { ETHERNET = 1, RAW = 101, RADIOTAP = 127 };
enum { TCP = 6, UDP = 17, FRAGMENT = 44, ESP = 50, ICMP = 1, ICMP6 = 58, SCTP = 132 };

struct frame {
	uint8_t bytes[256];
	size_t length;
};

static void add(struct frame *frame, const void *bytes, size_t length)
{
	assert_true(frame->length + length <= sizeof frame->bytes);
	memcpy(frame->bytes + frame->length, bytes, length);
	frame->length += length;
}

static void add16(struct frame *frame, unsigned int value)
{
	const uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};

	add(frame, bytes, 2);
}

static const uint8_t macs[12] = {2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 7};
static const uint8_t a4[] = {192, 0, 2, 1}, b4[] = {198, 51, 100, 7};
static const uint8_t a6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
static const uint8_t b6[16] = {0x20, 1, 0xd, 0xb8, [7] = 1, [14] = 0xab, [15] = 0xcd};

/* tags: as many VLAN tags as the text has letters; v: 0x8100, q: 0x88a8. */
static struct frame ethernet(const char *tags, unsigned int type)
{
	struct frame frame = {.length = 0};

	add(&frame, macs, sizeof macs);
	for (; *tags; tags++) {
		add16(&frame, *tags == 'v' ? 0x8100 : 0x88a8);
		add16(&frame, 0x2064);
	}
	add16(&frame, type);
	return frame;
}

/* options: words of them. */
static void add_ipv4(
	struct frame *frame, unsigned int protocol, unsigned int fragment, unsigned int options, bool reverse)
{
	const uint8_t rest[] = {64, (uint8_t)protocol, 0, 0}, option[40] = {0x94, 4};
	const uint8_t first[] = {(uint8_t)(0x45 + options), 0, 0, 60, 0x12, 0x34};

	add(frame, first, sizeof first);
	add16(frame, fragment);
	add(frame, rest, sizeof rest);
	add(frame, reverse ? b4 : a4, 4);
	add(frame, reverse ? a4 : b4, 4);
	add(frame, option, 4ul * options);
}

static void add_ipv6(struct frame *frame, unsigned int next, bool reverse)
{
	const uint8_t first[] = {0x60, 1, 2, 3, 0, 60, (uint8_t)next, 64};

	add(frame, first, sizeof first);
	add(frame, reverse ? b6 : a6, 16);
	add(frame, reverse ? a6 : b6, 16);
}

static void add_ports(struct frame *frame, unsigned int source, unsigned int destination, bool reverse)
{
	static const uint8_t rest[16] = {1, 2, 3};

	add16(frame, reverse ? destination : source);
	add16(frame, reverse ? source : destination);
	add(frame, rest, sizeof rest);
}

/* In memory of exactly its length, so that the sanitizer sees what is read beyond. */
static uint32_t hash_cut(uint32_t link_type, const struct frame *frame, size_t from, size_t length)
{
	uint8_t *exact = malloc(length + 1);
	uint32_t hash;

	assert_non_null(exact);
	memmove(exact + 1, frame->bytes + from, length);
	hash = wb_flow_hash(link_type, exact + 1, length);
	free(exact);
	return hash;
}

static uint32_t hash(const struct frame *frame)
{
	return hash_cut(ETHERNET, frame, 0, frame->length);
}

static struct frame ipv4(const char *tags, unsigned int protocol, unsigned int fragment, unsigned int options,
	unsigned int source, unsigned int destination, bool reverse)
{
	struct frame frame = ethernet(tags, 0x0800);

	add_ipv4(&frame, protocol, fragment, options, reverse);
	add_ports(&frame, source, destination, reverse);
	return frame;
}

static void ipv4_by_addresses_and_ports(void **state)
{
	static const struct {
		unsigned int protocol, fragment, options, source, destination;
		uint32_t hash;
	} rows[] = {
		{TCP, 0, 0, 443, 51234, 0x778acbd1},
		{TCP, 0x4000, 0, 443, 51234, 0x778acbd1}, /* "do not fragment" is no fragment */
		{TCP, 0, 3, 443, 51234, 0x778acbd1},
		{TCP, 0, 10, 443, 51234, 0x778acbd1},
		{SCTP, 0, 0, 36412, 36412, 0x720e843b},
		{ICMP, 0, 0, 0x0800, 0x1234, 0x6fd566a7},
		{ICMP, 0, 0, 0x0000, 0x4321, 0x6fd566a7},
		{ESP, 0, 0, 1, 2, 0x4f136b75},
		/* First, middle and last fragment. */
		{UDP, 0x2000, 0, 53, 5353, 0x3b96172a},
		{UDP, 0x20b9, 0, 0xaaaa, 0xbbbb, 0x3b96172a},
		{UDP, 0x0172, 0, 0xcccc, 0xdddd, 0x3b96172a},
	};
	static const char *const tags[] = {"", "v", "q", "qv", "vvvv"};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		for (size_t t = 0; t < 2 * sizeof tags / sizeof tags[0]; t++) {
			struct frame frame = ipv4(tags[t / 2], rows[i].protocol, rows[i].fragment, rows[i].options,
				rows[i].source, rows[i].destination, t % 2);

			assert_int_equal(hash(&frame), rows[i].hash);
			/* The same without its link layer. */
			assert_int_equal(hash_cut(RAW, &frame, 14 + 4 * strlen(tags[t / 2]),
						 frame.length - 14 - 4 * strlen(tags[t / 2])),
				rows[i].hash);
		}
	}
}

/* A fifth tag is not looked behind: still one flow, by MAC addresses. */
static void too_many_tags(void **state)
{
	struct frame one = ipv4("vvvvv", TCP, 0, 0, 1, 2, false), other = ipv4("vvvvv", UDP, 0, 0, 3, 4, true);

	assert_int_equal(hash(&one), hash(&other));
	assert_int_equal(hash(&one), hash_cut(ETHERNET, &one, 0, 12));
}

struct extension {
	uint8_t type;
	uint8_t bytes[24];
	size_t length;
};

static struct frame ipv6(
	const struct extension *extensions, size_t count, unsigned int protocol, unsigned int port, bool reverse)
{
	struct frame frame = ethernet("", 0x86dd);

	add_ipv6(&frame, count ? extensions[0].type : protocol, reverse);
	for (size_t i = 0; i < count; i++) {
		uint8_t next = (uint8_t)(i + 1 < count ? extensions[i + 1].type : protocol);

		add(&frame, &next, 1);
		add(&frame, extensions[i].bytes, extensions[i].length - 1);
	}
	add_ports(&frame, port, 51234, reverse);
	return frame;
}

static void ipv6_behind_extension_headers(void **state)
{
	static const struct extension hop = {0, {0}, 8}, routing = {43, {1}, 16}, destination = {60, {0}, 8},
				      authentication = {51, {4}, 24}, atomic = {FRAGMENT, {0}, 8};
	const struct extension chains[][4] = {
		{{0}}, {hop}, {hop, routing}, {hop, routing, destination}, {authentication}, {atomic, destination}};

	for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
		size_t count = 0;

		while (count < 4 && chains[i][count].length)
			count++;
		for (unsigned int reverse = 0; reverse < 2; reverse++) {
			struct frame frame = ipv6(chains[i], count, TCP, 443, reverse);

			assert_int_equal(hash(&frame), 0xe369fb9d);
			frame = ipv6(chains[i], count, ICMP6, 0x8000, reverse);
			assert_int_equal(hash(&frame), 0x2d2cbc32);
		}
	}
}

/* Also when their next header is another: RFC 8200 section 4.5 allows that. */
static void ipv6_fragments_stay_together(void **state)
{
	static const struct extension fragments[] = {{FRAGMENT, {0, 0, 1, 9, 9, 9, 9}, 8},
		{FRAGMENT, {0, 5, 0xa9, 9, 9, 9, 9}, 8}, {FRAGMENT, {0, 0xb, 0x50}, 8}};

	for (size_t i = 0; i < sizeof fragments / sizeof fragments[0]; i++) {
		struct frame frame = ipv6(&fragments[i], 1, i == 1 ? UDP : TCP, 443 + (unsigned int)i, i == 2);

		assert_int_equal(hash(&frame), 0x9e5b4a32);
	}
}

static void a_chain_of_extensions_ends(void **state)
{
	const struct extension hop = {0, {0}, 8};
	struct extension chain[12];
	struct frame one, other;

	for (size_t i = 0; i < 12; i++)
		chain[i] = hop;
	one = ipv6(chain, 12, TCP, 443, false);
	other = ipv6(chain, 12, TCP, 444, true);
	assert_int_equal(hash(&one), hash(&other));
	one = ipv6(chain, 7, TCP, 443, false);
	assert_int_equal(hash(&one), 0xe369fb9d);
}

static void everything_else_by_mac_addresses(void **state)
{
	static const uint8_t arp[12] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1};
	static const uint8_t reply[12] = {2, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t radiotap[] = {0, 0, 9, 0, 1, 2, 3, 4, 5, 8, 1, 0, 0};
	struct frame frame = {.length = 0};

	add(&frame, arp, sizeof arp);
	add16(&frame, 0x0806);
	assert_int_equal(hash(&frame), 0x157c37f3);
	memcpy(frame.bytes, reply, sizeof reply);
	assert_int_equal(hash(&frame), 0x157c37f3);
	/* A frame that says it is IPv4 and is not. */
	frame.bytes[12] = 8;
	frame.bytes[13] = 0;
	add_ports(&frame, 1, 2, false);
	assert_int_equal(hash(&frame), 0x157c37f3);
	frame.length = 0;
	add(&frame, radiotap, sizeof radiotap);
	add(&frame, arp, sizeof arp);
	add(&frame, macs, sizeof macs);
	assert_int_equal(hash_cut(RADIOTAP, &frame, 0, frame.length), 0x157c37f3);
}

/* Every length of every kind of frame: within the frame, and a number that does not depend on what is beyond it. */
static void cut_frames(void **state)
{
	static const struct extension chain[] = {{0, {0}, 8}, {43, {1}, 16}, {51, {4}, 24}, {FRAGMENT, {0}, 8}};
	const struct frame frames[] = {
		ipv4("qv", TCP, 0, 5, 1, 2, false), ipv6(chain, 4, SCTP, 7, false), ethernet("vvvv", 0x0806)};
	static const uint32_t links[] = {ETHERNET, RAW, RADIOTAP, 0, UINT32_MAX};

	for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
		for (size_t l = 0; l < sizeof links / sizeof links[0]; l++)
			for (size_t length = 0; length <= frames[i].length; length++) {
				struct frame cut = frames[i];

				memset(cut.bytes + length, 0xee, sizeof cut.bytes - length);
				assert_int_equal(hash_cut(links[l], &frames[i], 0, length),
					wb_flow_hash(links[l], cut.bytes, length));
			}
	assert_int_equal(wb_flow_hash(ETHERNET, frames[0].bytes, 0), 0);
	assert_int_equal(wb_flow_hash(ETHERNET, frames[0].bytes, 11), 0);
}

/* Flows that differ in one port or address by one spread evenly. */
static void neighbours_spread(void **state)
{
	unsigned int counts[16] = {0};

	for (unsigned int port = 0; port < 16000; port++) {
		struct frame frame = ipv4("", TCP, 0, 0, 1024 + port, 443, false);

		frame.bytes[29] = (uint8_t)(port % 8);
		counts[hash(&frame) % 16]++;
	}
	for (unsigned int i = 0; i < 16; i++)
		assert_in_range(counts[i], 850, 1150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_by_addresses_and_ports),
		cmocka_unit_test(too_many_tags),
		cmocka_unit_test(ipv6_behind_extension_headers),
		cmocka_unit_test(ipv6_fragments_stay_together),
		cmocka_unit_test(a_chain_of_extensions_ends),
		cmocka_unit_test(everything_else_by_mac_addresses),
		cmocka_unit_test(cut_frames),
		cmocka_unit_test(neighbours_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
