/* SPDX-License-Identifier: Apache-2.0 */
/* The pcap sink: its bytes, a tag in its place, lengths that make sense, one link type. */
#include <errno.h>
#include <string.h>

#include "log.h"
#include "sink_support.h"

static uint32_t u32_at(const char *file, size_t at)
{
	const uint8_t *bytes = (const uint8_t *)file + at;

	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void empty(void **state)
{
	size_t length;
	char *file = through_sink(&wb_sink_pcap, NULL, 0, &length);

	assert_int_equal(length, 24);
	assert_int_equal(u32_at(file, 0), 0xa1b23c4d); /* nanoseconds */
	assert_int_equal(u32_at(file, 4), 2 | 4 << 16);
	assert_int_equal(u32_at(file, 16), 262144);
	assert_int_equal(u32_at(file, 20), 1);
	free(file);
}

static void packets(void **state)
{
	struct wbproto_record records[3];
	uint32_t data_length;
	uint8_t *data = from_hex("020000000001 020000000002 0800 4500", &data_length);
	size_t length;
	char *file;

	for (size_t i = 0; i < 3; i++) {
		ordinary_record(&records[i]);
		records[i].packet.data = data;
		records[i].packet.captured_length = data_length;
		records[i].packet.original_length = 1500;
	}
	records[1].packet.vlan_tpid = 0x8100;
	records[1].packet.vlan_tci = 0x6005;
	records[2].packet.original_length = 1;  /* less than was captured: cannot be */
	records[2].packet.captured_length = 11; /* no room for the tag */
	records[2].packet.vlan_tpid = 0x8100;
	file = through_sink(&wb_sink_pcap, records, 3, &length);
	assert_int_equal(length, 24 + 16 + 16 + 16 + 20 + 16 + 11);
	assert_int_equal(u32_at(file, 24), 1795486065);
	assert_int_equal(u32_at(file, 28), 123456789);
	assert_int_equal(u32_at(file, 32), 16);
	assert_int_equal(u32_at(file, 36), 1500);
	assert_memory_equal(file + 40, data, 16);
	assert_int_equal(u32_at(file, 64), 20);
	assert_int_equal(u32_at(file, 68), 1504);
	assert_memory_equal(file + 72, data, 12);
	assert_memory_equal(file + 84, "\x81\x00\x60\x05\x08\x00", 6);
	assert_int_equal(u32_at(file, 100), 11);
	assert_int_equal(u32_at(file, 104), 11);
	free(file);
	free(data);
}

static void link_types(void **state)
{
	struct wbproto_record record;
	struct wb_sink *sink;
	FILE *stream = tmpfile();
	char head[24];

	assert_non_null(stream);
	wb_log_set_level(WB_LOG_ERROR - 1);
	assert_int_equal(wb_sink_pcap.open(stream, &sink, NULL), 0);
	ordinary_record(&record);
	record.interface.link_type = 101;
	assert_int_equal(wb_sink_pcap.packet(sink, &record, 0), 0);
	assert_int_equal(wb_sink_pcap.packet(sink, &record, WB_SINK_LATE), 0);
	record.interface.link_type = 1;
	assert_int_equal(wb_sink_pcap.packet(sink, &record, 0), -EPROTOTYPE);
	assert_int_equal(wb_sink_pcap.finish(sink), 0);
	assert_int_equal(ftell(stream), 24 + 2 * 16);
	rewind(stream);
	assert_int_equal(fread(head, 1, sizeof(head), stream), sizeof(head));
	assert_int_equal(u32_at(head, 20), 101);
	wb_sink_pcap.close(sink);
	fclose(stream);
	wb_log_set_level(WB_LOG_INFO);
}

/* Cut back to nothing, or to a packet that was kept: the head is there once. */
static void cut_back(void **state)
{
	for (int kept = 0; kept < 2; kept++) {
		struct wbproto_record record;
		struct wb_sink *sink;
		FILE *stream = tmpfile();
		off_t length = 0;

		assert_non_null(stream);
		assert_int_equal(wb_sink_pcap.open(stream, &sink, NULL), 0);
		ordinary_record(&record);
		assert_int_equal(wb_sink_pcap.packet(sink, &record, 0), 0);
		if (kept) {
			wb_sink_pcap.keep(sink);
			length = ftello(stream);
		}
		assert_int_equal(wb_sink_pcap.packet(sink, &record, 0), 0);
		assert_int_equal(fseeko(stream, length, SEEK_SET), 0);
		wb_sink_pcap.cut(sink);
		assert_int_equal(wb_sink_pcap.finish(sink), 0);
		assert_int_equal(ftello(stream), 24 + 16 * kept);
		wb_sink_pcap.close(sink);
		fclose(stream);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(packets),
		cmocka_unit_test(link_types),
		cmocka_unit_test(cut_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
