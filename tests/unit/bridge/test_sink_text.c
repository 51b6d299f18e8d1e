/* SPDX-License-Identifier: Apache-2.0 */
/* The text sink says what is in a packet, marks what is missing, and lets nothing through that steers a terminal. */
#include "sink_support.h"

#include <stdlib.h>
#include <string.h>

#define TIME "2026-11-24 02:07:45.123456789 "
#define MACS "0200000000020200000000 01"
#define IP_10 "0a000001 0a000002"

/* One record with this frame as one line without its newline. Ownership: free(). */
static char *line_of(struct wbproto_record *record, const char *hex)
{
	uint8_t *bytes = from_hex(hex, &record->packet.captured_length);
	size_t length;
	char *text;

	record->packet.data = bytes;
	if (!record->packet.original_length)
		record->packet.original_length = record->packet.captured_length;
	text = through_sink(&wb_sink_text, record, 1, &length);
	assert_true(length > 0 && text[length - 1] == '\n');
	text[length - 1] = '\0';
	free(bytes);
	return text;
}

static void expect_line(const char *hex, const char *expected)
{
	struct wbproto_record record;
	char *line;

	ordinary_record(&record);
	line = line_of(&record, hex);
	assert_string_equal(line, expected);
	free(line);
}

static void test_tcp(void **state)
{
	expect_line(MACS "0800 4500002c 00010000 40060000" IP_10
			 "04d20050 00000064 00000000 6002faf0 00000000 020405b4",
		TIME "veth0 In  IP 10.0.0.1.1234 > 10.0.0.2.80: TCP [S] seq 100, win 64240, length 0");
	/* Padding of a short frame is not payload. */
	expect_line(MACS "0800 45000029 00010000 40060000" IP_10
			 "04d20050 00000064 00000007 50180100 00000000 41 0000000000",
		TIME "veth0 In  IP 10.0.0.1.1234 > 10.0.0.2.80: TCP [P.] seq 100, ack 7, win 256, length 1");
	expect_line(MACS "86dd 60000000 00140640 20010db8000000000000000000000001 20010db8000000000000000000000002"
			 "04d20050 00000064 00000007 50100100 00000000",
		TIME "veth0 In  IP6 2001:db8::1.1234 > 2001:db8::2.80: TCP [.] seq 100, ack 7, win 256, length 0");
}

static void test_udp_icmp_arp(void **state)
{
	expect_line(MACS "0800 4500001e 00010000 40110000" IP_10 "04d20035 000a0000 4142",
		TIME "veth0 In  IP 10.0.0.1.1234 > 10.0.0.2.53: UDP, length 2");
	expect_line(MACS "0800 4500001c 00010000 40010000" IP_10 "0800 0000 0001 0002",
		TIME "veth0 In  IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 1, seq 2, length 8");
	expect_line(MACS "0800 4500001c 00010000 40010000" IP_10 "0303 0000 0000 0000",
		TIME "veth0 In  IP 10.0.0.1 > 10.0.0.2: ICMP destination unreachable, code 3, length 8");
	expect_line(MACS "86dd 60000000 00183aff fe800000000000000000000000000001 ff0200000000000000000001ff000002"
			 "8700 0000 00000000 fe800000000000000000000000000002",
		TIME
		"veth0 In  IP6 fe80::1 > ff02::1:ff00:2: ICMP6, neighbor solicitation, who has fe80::2, length 24");
	expect_line(MACS "0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002",
		TIME "veth0 In  ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28");
	expect_line(MACS "0806 0001 0800 06 04 0002 020000000001 0a000001 000000000000 0a000002",
		TIME "veth0 In  ARP, Reply 10.0.0.1 is-at 02:00:00:00:00:01, length 28");
}

static void test_other(void **state)
{
	expect_line(MACS "88cc 0207",
		TIME "veth0 In  02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype 0x88cc (LLDP), length 16");
	expect_line(
		MACS "9999 00", TIME "veth0 In  02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype 0x9999, length 15");
	expect_line(MACS "0003 424203", TIME "veth0 In  02:00:00:00:00:01 > 02:00:00:00:00:02, 802.3, length 17");
	expect_line(MACS "0800 45000018 00010000 40840000" IP_10 "00000000",
		TIME "veth0 In  IP 10.0.0.1 > 10.0.0.2: sctp, length 4");
}

static void test_fragments(void **state)
{
	expect_line(MACS "0800 4500001c 000120b9 40110000" IP_10 "4142434445464748",
		TIME "veth0 In  IP 10.0.0.1 > 10.0.0.2: protocol 17, fragment at 1480 and more, length 8");
	expect_line(MACS "0800 4500001c 00012000 40110000" IP_10 "04d20035 00080000",
		TIME "veth0 In  IP 10.0.0.1.1234 > 10.0.0.2.53: UDP, length 0, first fragment");
	expect_line(MACS "86dd 60000000 00102c40 20010db8000000000000000000000001 20010db8000000000000000000000002"
			 "1100 05a8 00000001 4142434445464748",
		TIME "veth0 In  IP6 2001:db8::1 > 2001:db8::2: protocol 17, fragment at 1448, length 8");
}

static void test_tags(void **state)
{
	struct wbproto_record record;
	char *line;

	ordinary_record(&record);
	record.packet.vlan_tpid = 0x8100;
	record.packet.vlan_tci = 3 << 13 | 100;
	line = line_of(&record, MACS "0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002");
	assert_string_equal(
		line, TIME "veth0 In  vlan 100, p 3, ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28");
	free(line);
	expect_line(MACS "88a8 1007 8100 000a 9999",
		TIME "veth0 In  vlan 7, p 0, DEI, tpid 0x88a8, vlan 10, p 0, 02:00:00:00:00:01 > 02:00:00:00:00:02, "
		     "ethertype 0x9999, length 22");
}

static void test_raw_link(void **state)
{
	struct wbproto_record record;
	char *line;

	ordinary_record(&record);
	record.interface.link_type = 101;
	line = line_of(&record, "4500001e 00010000 40110000" IP_10 "04d20035 000a0000 4142");
	assert_string_equal(line, TIME "veth0 In  IP 10.0.0.1.1234 > 10.0.0.2.53: UDP, length 2");
	free(line);
	ordinary_record(&record);
	record.interface.link_type = 147;
	line = line_of(&record, "4500");
	assert_string_equal(line, TIME "veth0 In  link type 147, length 2");
	free(line);
}

static void test_directions(void **state)
{
	static const struct {
		uint32_t flags;
		const char *word;
	} rows[] = {
		{0, "?   "},
		{1, "In  "},
		{2, "Out "},
		{1 | 1 << 2, "In  "},
		{1 | 2 << 2, "M   "},
		{1 | 3 << 2, "B   "},
		{1 | 4 << 2, "P   "},
		{2 | 3 << 2, "Out "},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wbproto_record record;
		char expected[128], *line;

		ordinary_record(&record);
		record.packet.flags = rows[i].flags;
		line = line_of(&record, "00");
		snprintf(expected, sizeof(expected), TIME "veth0 %s[|ether], length 1", rows[i].word);
		assert_string_equal(line, expected);
		free(line);
	}
}

static void test_marks(void **state)
{
	static const uint8_t vnet_header[10] = {0, 1, 0, 0, 0xa8, 0x05};
	struct wbproto_record record;
	char *line;

	ordinary_record(&record);
	record.packet.original_length = 1514;
	record.packet.status = WBPROTO_PACKET_TRUNCATED | WBPROTO_PACKET_LOSING;
	record.packet.vnet_header = vnet_header;
	record.packet.vnet_header_length = sizeof(vnet_header);
	line = line_of(&record, MACS "0800 450005dc 00010000 40110000" IP_10 "04d20035 05c80000");
	assert_string_equal(line, TIME "veth0 In  IP 10.0.0.1.1234 > 10.0.0.2.53: UDP, length 1472 [42 of 1514 bytes] "
				       "[cut by the ring] [GSO TCP4 of 1448] [losing]");
	free(line);
	ordinary_record(&record);
	record.packet.flags |= WBPROTO_PACKET_TSO;
	line = line_of(&record, "00");
	assert_string_equal(line, TIME "veth0 In  [|ether], length 1 [GSO]");
	free(line);
}

/* Every way to cut a frame short is read within its bounds (the sanitizer sees to it) and says that it is cut. */
static void test_cut(void **state)
{
	static const char *const frames[] = {
		MACS "0800 4500002c 00010000 40060000" IP_10 "04d20050 00000064 00000000 6002faf0 00000000 020405b4",
		MACS "86dd 60000000 00203c40 20010db8000000000000000000000001 20010db8000000000000000000000002"
		     "0600 0000 00000000 04d20050 00000064 00000007 50100100 00000000",
		MACS "8100 0005 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002",
		MACS "0800 4500001c 00010000 40010000" IP_10 "0800 0000 0001 0002",
	};

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		uint32_t whole;
		uint8_t *bytes = from_hex(frames[i], &whole);

		for (uint32_t length = 0; length <= whole; length++) {
			uint8_t *part = malloc(length ? length : 1);
			struct wbproto_record record;
			char mark[64], *text;
			size_t size;

			assert_non_null(part);
			memcpy(part, bytes, length);
			ordinary_record(&record);
			record.packet.data = part;
			record.packet.captured_length = length;
			record.packet.original_length = whole;
			text = through_sink(&wb_sink_text, &record, 1, &size);
			snprintf(mark, sizeof(mark), "[%u of %u bytes]\n", length, whole);
			if (length < whole)
				assert_non_null(strstr(text, mark));
			else
				assert_null(strstr(text, " of "));
			free(text);
			free(part);
		}
		free(bytes);
	}
}

static void test_terminal(void **state)
{
	struct wbproto_record record;
	char *line;

	ordinary_record(&record);
	record.interface.name = VIEW("e\x1b[2J\r\n\\\xff\xc2\x9b\xe2\x80\xae\xc3\xa9\x7f");
	line = line_of(&record, "00");
	assert_string_equal(
		line, TIME "e\\x1b[2J\\x0d\\x0a\\\\\\xff\\xc2\\x9b\\xe2\\x80\\xae\xc3\xa9\\x7f In  [|ether], length 1");
	free(line);
	ordinary_record(&record);
	record.interface = (struct wbproto_interface){.link_type = 1};
	line = line_of(&record, "00");
	assert_string_equal(line, TIME "if3 In  [|ether], length 1");
	free(line);
}

static void test_second_node(void **state)
{
	struct wbproto_record records[3];
	char *text;
	size_t length;

	for (size_t i = 0; i < 3; i++)
		ordinary_record(&records[i]);
	records[1].node = VIEW("lab\t2");
	text = through_sink(&wb_sink_text, records, 3, &length);
	assert_string_equal(text,
		TIME "veth0 In  [|ether], length 0\n" TIME "veth0@lab\\x092 In  [|ether], length 0\n" TIME
		     "veth0@lab1 In  [|ether], length 0\n");
	free(text);
}

/* The longest names in their longest form still leave a whole line. */
static void test_long_names(void **state)
{
	static char name[100000];
	struct wbproto_record records[2];
	char *text;
	size_t length;

	memset(name, 0x1b, sizeof(name));
	ordinary_record(&records[0]);
	ordinary_record(&records[1]);
	records[1].node = records[1].interface.name = (struct wbproto_view){name, sizeof(name)};
	text = through_sink(&wb_sink_text, records, 2, &length);
	assert_non_null(strstr(text, "\\x1b... In  [|ether], length 0\n"));
	assert_int_equal(text[length - 1], '\n');
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_udp_icmp_arp),
		cmocka_unit_test(test_other),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_raw_link),
		cmocka_unit_test(test_directions),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_second_node),
		cmocka_unit_test(test_long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
