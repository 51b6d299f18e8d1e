/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random and damaged records through every sink: nothing is read beyond its end (the sanitizers see to it; every piece
 * of memory is exactly as long as it says), and what comes out has the shape it must have.
 */
#include "sink_support.h"

#include <stdlib.h>
#include <string.h>

#include "utf8.h"

#define RECORDS 20000u

/* Beginnings that lead deep into the dissector; what follows is random. */
static const char *const beginnings[] = {
	"",
	"020000000002020000000001 0800 45",
	"020000000002020000000001 0800 4500 0030 0001 0000 4006 0000 0a000001 0a000002",
	"020000000002020000000001 0800 4500 0030 0001 0000 4011 0000 0a000001 0a000002",
	"020000000002020000000001 0800 4500 0030 0001 0000 4001 0000 0a000001 0a000002",
	"020000000002020000000001 86dd 60000000",
	"020000000002020000000001 86dd 60000000 0040 00ff 00000000000000000000000000000000 "
	"00000000000000000000000000000000 2b00",
	"020000000002020000000001 86dd 60000000 0040 3aff 00000000000000000000000000000000 "
	"00000000000000000000000000000000 87",
	"020000000002020000000001 86dd 60000000 0000 2cff 00000000000000000000000000000000 "
	"00000000000000000000000000000000 06",
	"020000000002020000000001 0806 0001 0800 0604",
	"020000000002020000000001 8100 0001 8100 0002 88a8 0003 8100 0004 8100 0005",
};

static uint32_t any(void)
{
	switch (rand() % 6) {
	case 0:
		return 0;
	case 1:
		return UINT32_MAX;
	case 2:
		return (uint32_t)rand() % 300;
	default:
		return (uint32_t)rand() << 1;
	}
}

static uint8_t *bytes_of(size_t length)
{
	uint8_t *bytes = malloc(length ? length : 1);

	assert_non_null(bytes);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(rand() >> 7);
	return bytes;
}

static struct wbproto_view random_text(void)
{
	size_t length = rand() % 4 ? (size_t)rand() % 12 : (size_t)rand() % 400;

	return (struct wbproto_view){bytes_of(length), length};
}

static void make(struct wbproto_record *record)
{
	uint32_t begin, more = (uint32_t)rand() % 100;
	uint8_t *start = from_hex(beginnings[(size_t)rand() % (sizeof(beginnings) / sizeof(beginnings[0]))], &begin);
	uint8_t *frame = bytes_of(begin + more);

	memcpy(frame, start, begin);
	free(start);
	*record = (struct wbproto_record){
		.worker_id = any() % 4,
		.stream_id = any(),
		.batch_seq = any(),
		.packet_seq = (uint64_t)any() << 32 | any(),
		.node = random_text(),
		.packet = {.time_unix_ns = (uint64_t)any() << 32 | any(),
			.data = frame,
			.captured_length = rand() % 3 ? begin + more : (uint32_t)rand() % (begin + more + 1),
			.original_length = any(),
			.interface_index = any() % 16,
			.flags = any(),
			.rx_hash = any(),
			.status = any(),
			.vlan_tci = (uint16_t)any(),
			.vlan_tpid = (uint16_t)any(),
			.vnet_header_length = (uint8_t)(rand() % 25)},
		.interface = {.link_type = rand() % 3   ? 1
	                                   : rand() % 2 ? 101
	                                                : any(),
			.snap_length = any(),
			.speed_bps = any(),
			.name = random_text(),
			.filter = random_text(),
			.defragmented = rand() % 2},
	};
	record->packet.vnet_header = bytes_of(record->packet.vnet_header_length);
	record->session_id[0] = (uint8_t)(rand() % 2);
}

static void drop(struct wbproto_record *record)
{
	free((void *)record->node.data);
	free((void *)record->packet.data);
	free((void *)record->packet.vnet_header);
	free((void *)record->interface.name.data);
	free((void *)record->interface.filter.data);
}

/* One line a record, of nothing but harmless UTF-8. */
static void check_lines(const char *text, size_t length, size_t lines)
{
	const uint8_t *at = (const uint8_t *)text;

	while (length > 0) {
		uint32_t character;
		size_t n = wb_utf8_decode(at, length, &character);

		assert_true(n > 0);
		if (character == '\n')
			lines--;
		else
			assert_true(wb_utf8_harmless(character));
		at += n;
		length -= n;
	}
	assert_int_equal(lines, 0);
}

static void test_random(void **state)
{
	static struct wbproto_record records[RECORDS];
	struct pcapng_facts facts;
	size_t length;
	char *text;

	srand(7);
	for (size_t i = 0; i < RECORDS; i++)
		make(&records[i]);
	text = through_sink(&wb_sink_text, records, RECORDS, &length);
	check_lines(text, length, RECORDS);
	free(text);
	text = through_sink(&wb_sink_json, records, RECORDS, &length);
	check_lines(text, length, RECORDS);
	free(text);
	text = through_sink(&wb_sink_pcapng, records, RECORDS, &length);
	check_pcapng(text, length, &facts);
	assert_int_equal(facts.packets, RECORDS);
	assert_int_equal(facts.statistics, facts.interfaces);
	free(text);
	for (size_t i = 0; i < RECORDS; i++)
		drop(&records[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
