/* SPDX-License-Identifier: Apache-2.0 */
/* Both encoders write the golden vectors to the byte, and the reader takes them. The .json files say the same in words.
 */
#include "wbproto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define VECTOR_BYTES 4096
#define TEXT(text)                                                                                                     \
	{                                                                                                              \
		text, sizeof(text) - 1                                                                                 \
	}
#define PACKETS(array) array, sizeof(array) / sizeof((array)[0])

struct vector {
	const char *name;
	struct wbproto_batch batch;
	const struct wbproto_packet *packets;
	size_t packet_count;
};

/* The frames' bytes: 0, 1, 2, ...; set by main(). */
static uint8_t frame[64];
static const uint8_t vnet_header[] = {1, 1, 66, 0, 168, 5, 34, 0, 16, 0};

#define SESSION                                                                                                        \
	{                                                                                                              \
		0x01, 0x91, 0, 0, 0, 0, 0x70, 0x01, 0x80, 0, 0, 0, 0, 0, 0, 0x2a                                       \
	}

static const struct wbproto_interface eth0[] = {
	{.index = 2, .name = TEXT("eth0"), .link_type = 1, .snap_length = 262144, .timestamp_source = 1},
};

static const struct wbproto_interface eth0_short[] = {
	{.index = 2, .name = TEXT("eth0"), .link_type = 1, .snap_length = 64, .timestamp_source = 1},
};

static const struct wbproto_interface flow_interfaces[] = {
	{.index = 2,
		.name = TEXT("eth0"),
		.link_type = 1,
		.snap_length = 65535,
		.filter = TEXT("tcp port 443"),
		.speed_bps = 10000000000,
		.timestamp_source = WBPROTO_TIME_HARDWARE},
	{.index = 300,
		.name = TEXT("n\xc3\xbcrnberg0"),
		.link_type = 1,
		.snap_length = 65535,
		.filter = TEXT("tcp port 443"),
		.timestamp_source = WBPROTO_TIME_SOFTWARE,
		.defragmented = true},
};

static const struct wbproto_packet stream_packets[] = {
	{.time_unix_ns = 1700000000123456789,
		.interface_index = 2,
		.original_length = 60,
		.data = frame,
		.captured_length = 60,
		.flags = WBPROTO_PACKET_INBOUND | WBPROTO_PACKET_UNICAST,
		.rx_hash = 3735928559},
	{.time_unix_ns = 1700000000123456788,
		.interface_index = 2,
		.original_length = 1514,
		.data = frame,
		.captured_length = 14,
		.flags = WBPROTO_PACKET_OUTBOUND | WBPROTO_PACKET_UNICAST,
		.status = WBPROTO_PACKET_TRUNCATED | WBPROTO_PACKET_LOSING},
};

static const struct wbproto_packet flow_packets[] = {
	{.time_unix_ns = 1700000000000000001,
		.interface_index = 2,
		.original_length = 4,
		.data = frame,
		.captured_length = 4,
		.flags = 1,
		.status = WBPROTO_PACKET_HARDWARE_TIME},
	{.time_unix_ns = 1700000000000000002,
		.interface_index = 300,
		.original_length = 4,
		.data = frame,
		.captured_length = 4,
		.flags = 2},
};

static const struct wbproto_packet previous_packets[] = {
	{.time_unix_ns = 1699999999000000000,
		.interface_index = 2,
		.original_length = 14,
		.data = frame,
		.captured_length = 14,
		.flags = 1},
};

static const struct wbproto_packet gso_packets[] = {
	{.time_unix_ns = 1700000000500000000,
		.interface_index = 2,
		.original_length = 65226,
		.data = frame,
		.captured_length = 64,
		.flags = WBPROTO_PACKET_OUTBOUND | WBPROTO_PACKET_UNICAST | WBPROTO_PACKET_CHECKSUM_NOT_READY |
                         WBPROTO_PACKET_TSO,
		.rx_hash = 1,
		.vnet_header = vnet_header,
		.vnet_header_length = sizeof(vnet_header)},
};

static const struct wbproto_packet vlan_packets[] = {
	{.time_unix_ns = 1700000000600000000,
		.interface_index = 2,
		.original_length = 14,
		.data = frame,
		.captured_length = 14,
		.flags = WBPROTO_PACKET_INBOUND | WBPROTO_PACKET_MULTICAST,
		.vlan_tci = 24676,
		.vlan_tpid = 0x8100},
	{.time_unix_ns = 1700000000600000001,
		.interface_index = 2,
		.original_length = 14,
		.data = frame,
		.captured_length = 14,
		.flags = WBPROTO_PACKET_INBOUND | WBPROTO_PACKET_BROADCAST,
		.vlan_tpid = 0x88a8},
};

#define FACTS(seq, first, all_interfaces)                                                                              \
	.session_id = SESSION, .worker_id = 1, .stream_id = 1, .batch_seq = (seq), .first_packet_seq = (first),        \
	.node = TEXT("sensor-1"), .interfaces = (all_interfaces), .interface_count = 1

static const struct vector vectors[] = {
	{"batch_stream",
		{FACTS(1, 1, eth0), .has_counters = true,
			.counters = {.kernel_seen = 5,
				.kernel_dropped = 3,
				.read = 2,
				.accepted = 2,
				.truncated = 1,
				.open = 2,
				.kernel_freezes = 1}},
		PACKETS(stream_packets)},
	{"batch_flow",
		{.session_id = SESSION,
			.worker_id = 2,
			.stream_id = 18,
			.batch_seq = 300,
			.first_packet_seq = 4294967296,
			.node = TEXT("sensor-1"),
			.interfaces = flow_interfaces,
			.interface_count = 2,
			.flow_bucket_plus_one = 16,
			.has_counters = true,
			.counters = {.kernel_seen = 1000,
				.read = 1000,
				.filtered = 10,
				.sampled_out = 90,
				.accepted = 900,
				.delivered = 800,
				.in_flight = 98,
				.open = 2}},
		PACKETS(flow_packets)},
	{"batch_heartbeat",
		{FACTS(2, 3, eth0), .has_counters = true, .flags = WBPROTO_BATCH_HEARTBEAT,
			.watermark_unix_ns = 1700000000980000000},
		NULL, 0},
	{"batch_end_of_stream",
		{FACTS(UINT64_MAX, 1000001, eth0), .has_counters = true, .flags = WBPROTO_BATCH_END_OF_STREAM,
			.watermark_unix_ns = 1700000001000000000,
			.counters = {.kernel_seen = 1,
				.kernel_dropped = 2,
				.read = 3,
				.filtered = 4,
				.sampled_out = 5,
				.accepted = 6,
				.truncated = 7,
				.recovered = 8,
				.delivered = 9,
				.handed_over = 10,
				.failed = 11,
				.unknown = 12,
				.dropped = 13,
				.open = 14,
				.in_flight = 15,
				.spooled = 16,
				.kernel_freezes = 17,
				.dropped_too_large = 18,
				.dropped_no_buffer = 19,
				.dropped_bus_full = 20,
				.dropped_shutdown = 21,
				.dropped_spool_full = UINT64_MAX}},
		NULL, 0},
	{"batch_previous_session",
		{.session_id = {0x01, 0x90, 0xff, 0xff, 0xff, 0xff, 0x70, 0x01, 0x80, 0, 0, 0, 0, 0, 0, 0x07},
			.worker_id = 1,
			.stream_id = 1,
			.batch_seq = 78,
			.first_packet_seq = 4001,
			.node = TEXT("sensor-1"),
			.interfaces = eth0,
			.interface_count = 1,
			.has_counters = true,
			.flags = WBPROTO_BATCH_PREVIOUS_SESSION,
			.counters = {.kernel_seen = 4100,
				.read = 4100,
				.accepted = 4001,
				.filtered = 99,
				.delivered = 4000,
				.spooled = 1}},
		PACKETS(previous_packets)},
	{"batch_interface_back",
		{FACTS(4, 20, eth0), .has_counters = true, .flags = WBPROTO_BATCH_HEARTBEAT,
			.watermark_unix_ns = 1700000002000000000,
			.counters = {.kernel_seen = 19,
				.read = 19,
				.accepted = 19,
				.delivered = 19,
				.interface_gaps = 1,
				.interface_gap_ns = UINT64_MAX}},
		NULL, 0},
	{"batch_gso", {FACTS(9, 77, eth0_short)}, PACKETS(gso_packets)},
	{"batch_vlan", {FACTS(10, 78, eth0)}, PACKETS(vlan_packets)},
};

static size_t load(const char *name, uint8_t *out)
{
	char path[4096];
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.bin", GOLDEN_FOLDER, name);
	file = fopen(path, "rb");
	if (!file)
		fail_msg("cannot open %s", path);
	size = fread(out, 1, VECTOR_BYTES, file);
	fclose(file);
	assert_in_range(size, 1, VECTOR_BYTES - 1);
	return size;
}

static void check_vector(const struct vector *vector, enum wbproto_encoder_kind kind)
{
	uint8_t expected[VECTOR_BYTES], written[VECTOR_BYTES];
	size_t expected_size = load(vector->name, expected), size;
	struct wbproto_encoder *encoder;
	struct wbproto_reader reader;
	struct wbproto_packet packet;

	assert_int_equal(wbproto_encoder_create(kind, &encoder), 0);
	assert_int_equal(wbproto_encoder_open(encoder, written, sizeof(written), &vector->batch), 0);
	for (size_t i = 0; i < vector->packet_count; i++)
		assert_int_equal(wbproto_encoder_append(encoder, &vector->packets[i]), 0);
	assert_int_equal(wbproto_encoder_seal(encoder, &vector->batch, &size), 0);
	wbproto_encoder_destroy(encoder);
	if (size != expected_size || memcmp(written, expected, size) != 0)
		fail_msg("%s: other bytes than in the vector", vector->name);

	assert_int_equal(wbproto_reader_init(&reader, expected, expected_size), 0);
	assert_int_equal(reader.packet_count, vector->packet_count);
	for (size_t i = 0; i < vector->packet_count; i++) {
		assert_int_equal(wbproto_reader_next(&reader, &packet), 1);
		assert_int_equal(packet.time_unix_ns, vector->packets[i].time_unix_ns);
		assert_int_equal(packet.captured_length, vector->packets[i].captured_length);
		assert_memory_equal(packet.data, vector->packets[i].data, packet.captured_length);
	}
}

static void test_batches(void **state)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		check_vector(&vectors[i], WBPROTO_ENCODER_DIRECT);
		check_vector(&vectors[i], WBPROTO_ENCODER_PROTOBUF_C);
	}
}

static void test_record(void **state)
{
	const struct wbproto_record record = {
		.session_id = SESSION,
		.worker_id = 2,
		.stream_id = 18,
		.batch_seq = 300,
		.packet_seq = 4294967296,
		.flow_bucket_plus_one = 16,
		.node = TEXT("sensor-1"),
		.packet = {.time_unix_ns = 1700000000000000001,
			.interface_index = 2,
			.original_length = 1514,
			.data = frame,
			.captured_length = 14,
			.flags = 5,
			.vlan_tci = 100,
			.vlan_tpid = 0x8100,
			.rx_hash = 3735928559,
			.vnet_header = vnet_header,
			.vnet_header_length = sizeof(vnet_header),
			.status = 1},
		.interface = {.name = TEXT("eth0"),
			.link_type = 1,
			.snap_length = 14,
			.filter = TEXT("tcp port 443"),
			.speed_bps = 10000000000,
			.timestamp_source = 2,
			.defragmented = true},
	};
	uint8_t expected[VECTOR_BYTES], written[VECTOR_BYTES];
	size_t expected_size = load("record_packet", expected), size;
	struct wbproto_record back;

	assert_int_equal(wbproto_record_write(&record, written, sizeof(written), &size), 0);
	assert_int_equal(size, expected_size);
	assert_memory_equal(written, expected, size);
	assert_int_equal(wbproto_record_read(expected, expected_size, &back), 0);
	assert_int_equal(back.packet_seq, record.packet_seq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_record),
	};

	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)i;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
