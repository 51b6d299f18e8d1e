/* SPDX-License-Identifier: Apache-2.0 */
/* Display filters: what matches, tags included, for each link type. */
#include <errno.h>
#include <string.h>

#include "display_filter.h"
#include "sink_support.h"

enum { BSD_LOOPBACK = 0, ETHERNET = 1, RAW = 101, SLL = 113, NO_INTERFACE = 99999 };

/* UDP from port 1000 to 53, IPv4. */
#define IP_HEX "4500001c0000000040110000 0a000001 0a000002 03e80035 00080000"
#define ETHERNET_HEX "020000000001020000000002"

static bool matches(const char *expression, uint32_t link_type, const char *hex, uint16_t tpid, uint16_t tci)
{
	struct wb_display_filter *filter;
	struct wbproto_record record;
	struct wb_error error = {""};
	uint32_t length;
	uint8_t *data = from_hex(hex, &length);
	bool result;

	ordinary_record(&record);
	record.interface.link_type = link_type;
	if (link_type == NO_INTERFACE)
		record.interface = (struct wbproto_interface){0};
	record.packet.data = data;
	record.packet.captured_length = record.packet.original_length = length;
	record.packet.vlan_tpid = tpid;
	record.packet.vlan_tci = tci;
	if (wb_display_filter_create(expression, &filter, &error) < 0)
		fail_msg("%s", error.message);
	result = wb_display_filter_match(filter, &record);
	assert_int_equal(wb_display_filter_match(filter, &record), result);
	wb_display_filter_destroy(filter);
	free(data);
	return result;
}

static void plain(void **state)
{
	const char *frame = ETHERNET_HEX "0800" IP_HEX;

	assert_true(matches("udp port 53", ETHERNET, frame, 0, 0));
	assert_false(matches("tcp port 53", ETHERNET, frame, 0, 0));
	assert_true(matches("src host 10.0.0.1 and ether dst 02:00:00:00:00:01", ETHERNET, frame, 0, 0));
	assert_true(matches("less 42", ETHERNET, frame, 0, 0));
	assert_false(matches("less 41", ETHERNET, frame, 0, 0));
	assert_false(matches("vlan", ETHERNET, frame, 0, 0));
	/* Without its interface a packet is taken for Ethernet. */
	assert_true(matches("udp port 53", NO_INTERFACE, frame, 0, 0));
}

/* The tag is put back: what follows `vlan` is sought behind it, and lengths have four bytes more. */
static void tagged(void **state)
{
	const char *frame = ETHERNET_HEX "0800" IP_HEX;

	assert_true(matches("vlan", ETHERNET, frame, 0x8100, 5));
	assert_true(matches("vlan 5 and udp port 53", ETHERNET, frame, 0x8100, 0x2005));
	assert_false(matches("vlan 6", ETHERNET, frame, 0x8100, 5));
	assert_false(matches("udp port 53", ETHERNET, frame, 0x8100, 5)); /* as tcpdump -r has it */
	assert_true(matches("less 46", ETHERNET, frame, 0x8100, 5));
	assert_false(matches("less 45", ETHERNET, frame, 0x8100, 5));
	/* An inner tag stays where it is. */
	assert_true(matches("vlan 5 and vlan 7 and udp", ETHERNET, ETHERNET_HEX "81000007 0800" IP_HEX, 0x88a8, 5));
	/* Too short for a tag: nothing is read beyond its end. */
	assert_false(matches("vlan", ETHERNET, "0200000000", 0x8100, 5));
	assert_true(matches("vlan 5", ETHERNET, ETHERNET_HEX, 0x8100, 5));
	assert_false(matches("vlan 5", ETHERNET, "", 0x8100, 5));
}

static void link_types(void **state)
{
	assert_true(matches("udp port 53", RAW, IP_HEX, 0, 0));
	assert_true(matches("udp port 53", BSD_LOOPBACK, "02000000" IP_HEX, 0, 0));
	assert_true(matches("udp port 53", SLL, "0000 0001 0006 0200000000020000 0800" IP_HEX, 0, 0));
	/* What makes no sense for a link type matches nothing there. */
	assert_false(matches("ether host 02:00:00:00:00:01", RAW, IP_HEX, 0, 0));
	assert_false(matches("udp", 70000, IP_HEX, 0, 0));
	assert_false(matches("udp", 147, IP_HEX, 0, 0));
}

/* Link types alternate, and there may be more of them than are kept. */
static void many_link_types(void **state)
{
	struct wb_display_filter *filter;
	struct wbproto_record record;
	uint32_t length;
	uint8_t *data = from_hex(IP_HEX, &length);

	ordinary_record(&record);
	record.packet.data = data;
	record.packet.captured_length = record.packet.original_length = length;
	assert_int_equal(wb_display_filter_create("udp", &filter, NULL), 0);
	for (uint32_t type = 102; type < 200; type++) {
		record.interface.link_type = type;
		wb_display_filter_match(filter, &record);
		record.interface.link_type = RAW; /* the second one that was met, so one of those kept */
		assert_true(wb_display_filter_match(filter, &record));
	}
	wb_display_filter_destroy(filter);
	free(data);
}

static void wrong_expressions(void **state)
{
	static const char *const cases[] = {"tcp port", "port 65536", "ether proto", "(udp", "vlan 4096"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wb_display_filter *filter;
		struct wb_error error = {""};

		assert_int_equal(wb_display_filter_create(cases[i], &filter, &error), -EINVAL);
		assert_non_null(strstr(error.message, cases[i]));
	}
	/* Not for Ethernet, but for what may come. */
	assert_int_equal(wb_display_filter_check("wlan type mgt", NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(tagged),
		cmocka_unit_test(link_types),
		cmocka_unit_test(many_link_types),
		cmocka_unit_test(wrong_expressions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
