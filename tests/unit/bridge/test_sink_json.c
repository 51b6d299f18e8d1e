/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON sink writes protobuf's JSON mapping of PacketRecord: compared with Python's protobuf package, and literally.
 */
#include "sink_support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECKED_RECORDS 400

static void test_literal(void **state)
{
	static const uint8_t data[] = {0xfb, 0xff, 0x00, 0x01};
	struct wbproto_record record;
	size_t length;
	char *text;

	ordinary_record(&record);
	record.packet.data = data;
	record.packet.captured_length = sizeof(data);
	record.packet.original_length = 60;
	text = through_sink(&wb_sink_json, &record, 1, &length);
	assert_string_equal(text,
		"{\"session_id\":\"AZqzPAQAcAGAAgMEBQYHCA==\",\"worker_id\":1,\"stream_id\":1,\"batch_seq\":\"1\","
		"\"packet_seq\":\"1\",\"node\":\"lab1\",\"time_unix_nano\":\"1795486065123456789\",\"interface_index\":"
		"3,"
		"\"interface_name\":\"veth0\",\"link_type\":1,\"original_length\":60,\"data\":\"+/8AAQ==\",\"flags\":1,"
		"\"snap_length\":65535}\n");
	free(text);
	record = (struct wbproto_record){0};
	text = through_sink(&wb_sink_json, &record, 1, &length);
	assert_string_equal(text, "{}\n");
	free(text);
}

static void test_strings(void **state)
{
	struct wbproto_record record = {0};
	size_t length;
	char *text;

	record.node = VIEW("a\"\\\n\x1b\xc2\x9b\xff\xe2\x82|\xed\xa0\x80\xc3\xa9\xf0\x9f\x98\x80");
	text = through_sink(&wb_sink_json, &record, 1, &length);
	assert_string_equal(text, "{\"node\":\"a\\\"\\\\\\u000a\\u001b\\u009b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|"
				  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9\xf0\x9f\x98\x80\"}\n");
	free(text);
	record.node = (struct wbproto_view){"x\0y", 3};
	text = through_sink(&wb_sink_json, &record, 1, &length);
	assert_string_equal(text, "{\"node\":\"x\\u0000y\"}\n");
	free(text);
}

/* Every field at its greatest value or at random, data of every length modulo 3 and longer than any buffer. */
static void vary(struct wbproto_record *record, uint8_t *data, unsigned int number)
{
	bool most = number == 0;

	ordinary_record(record);
	for (size_t i = 0; i < 70000; i++)
		data[i] = (uint8_t)rand();
	for (size_t i = 0; i < sizeof(record->session_id); i++)
		record->session_id[i] = (uint8_t)rand();
	record->worker_id = most ? UINT32_MAX : (uint32_t)rand() % 3;
	record->stream_id = most ? UINT32_MAX : (uint32_t)rand() % 3;
	record->batch_seq = most ? UINT64_MAX : (uint64_t)rand() << (rand() % 33);
	record->packet_seq = most ? UINT64_MAX : (uint64_t)rand() << (rand() % 33);
	record->flow_bucket_plus_one = most ? UINT32_MAX : (uint32_t)rand() % 3;
	record->node = rand() % 3 ? VIEW("\xc3\xbc \"\\/\b\f\n\r\t\x01\x7f\xe2\x80\xa8\xf0\x9f\x98\x80") : VIEW("");
	record->packet.time_unix_ns = most ? UINT64_MAX : (uint64_t)rand() << 30;
	record->packet.interface_index = most ? UINT32_MAX : (uint32_t)rand() % 4;
	record->packet.original_length = most ? UINT32_MAX : (uint32_t)rand() % 2000;
	record->packet.data = data;
	record->packet.captured_length = most ? 70000 : (uint32_t)rand() % 200;
	record->packet.flags = most ? UINT32_MAX : (uint32_t)rand() % 4;
	record->packet.vlan_tci = most ? UINT16_MAX : (uint16_t)(rand() % 3);
	record->packet.vlan_tpid = most ? UINT16_MAX : (uint16_t)(rand() % 3);
	record->packet.rx_hash = most ? UINT32_MAX : (uint32_t)rand();
	record->packet.vnet_header = data + 100;
	record->packet.vnet_header_length = most ? 24 : (uint8_t)(rand() % 13);
	record->packet.status = most ? UINT32_MAX : (uint32_t)rand() % 3;
	record->interface.snap_length = most ? UINT32_MAX : (uint32_t)rand() % 3;
	record->interface.filter = rand() % 2 ? VIEW("tcp port 443 or \xe2\x82\xac") : VIEW("");
	record->interface.speed_bps = most ? UINT64_MAX : (uint64_t)rand() % 2 << 40;
	record->interface.timestamp_source = most ? UINT32_MAX : (uint32_t)rand() % 3;
	record->interface.defragmented = most || rand() % 2;
}

static void put_record(FILE *file, const struct wbproto_record *record)
{
	uint8_t message[80000], head[4];
	size_t size;

	assert_int_equal(wbproto_record_write(record, message, sizeof(message), &size), 0);
	for (size_t i = 0; i < 4; i++)
		head[i] = (uint8_t)(size >> 8 * i);
	assert_int_equal(fwrite(head, 1, 4, file), 4);
	assert_int_equal(fwrite(message, 1, size, file), size);
}

static void test_python(void **state)
{
	static struct wbproto_record records[CHECKED_RECORDS];
	static uint8_t data[CHECKED_RECORDS][70000];
	char schema_path[64], record_path[64], line_path[64], command[512], *lines, *messages = NULL, *output;
	size_t length, messages_length, schema_length;
	const void *schema = wbproto_schema_descriptor_set(&schema_length);
	FILE *file = open_memstream(&messages, &messages_length);

	need_program("/usr/bin/python3");
	assert_non_null(file);
	srand(1);
	for (unsigned int i = 0; i < CHECKED_RECORDS; i++) {
		vary(&records[i], data[i], i);
		put_record(file, &records[i]);
	}
	fclose(file);
	lines = through_sink(&wb_sink_json, records, CHECKED_RECORDS, &length);
	to_file(schema, schema_length, schema_path);
	to_file(messages, messages_length, record_path);
	to_file(lines, length, line_path);
	snprintf(command, sizeof(command), "/usr/bin/python3 %s/check_json.py %s %s %s", TEST_SOURCE_DIR, schema_path,
		record_path, line_path);
	output = output_of(command);
	assert_int_equal(atoi(output), CHECKED_RECORDS);
	unlink(schema_path);
	unlink(record_path);
	unlink(line_path);
	free(output);
	free(lines);
	free(messages);
}

static void test_full_disk(void **state)
{
	static uint8_t data[100000];
	struct wb_error error = {""};
	struct wbproto_record record;
	struct wb_sink *sink;
	FILE *full = fopen("/dev/full", "w");

	assert_non_null(full);
	ordinary_record(&record);
	record.packet.data = data;
	record.packet.captured_length = sizeof(data);
	assert_int_equal(wb_sink_json.open(full, &sink, &error), 0);
	assert_int_equal(wb_sink_json.packet(sink, &record, 0), -ENOSPC);
	wb_sink_json.close(sink);
	wb_sink_json.close(NULL);
	fclose(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_literal),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_python),
		cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
