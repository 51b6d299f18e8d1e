/* SPDX-License-Identifier: Apache-2.0 */
/* The reader on messages that are valid though unusual, and on valid ones that are cut off anywhere. */
#include "random_batch.h"
#include "support.h"
#include "wirebus/v1/packet_batch.pb-c.h"

#define BUFFER_BYTES 8192

static const struct wbproto_interface interfaces[] = {
	{.index = 2, .link_type = 1, .name = {"eth0", 4}, .snap_length = 262144, .timestamp_source = 1},
	{.index = 900,
		.link_type = 113,
		.name = {"any", 3},
		.filter = {"udp", 3},
		.speed_bps = 1u << 30,
		.defragmented = true},
};

/* A message with every field. */
static size_t full_message(uint8_t *out)
{
	const struct wbproto_packet packets[] = {
		{.time_unix_ns = 1700000000000000001u,
			.data = "0123456789",
			.captured_length = 10,
			.original_length = 300,
			.interface_index = 2,
			.flags = 0x201,
			.rx_hash = 0xdeadbeef},
		{.time_unix_ns = 1700000000000000002u,
			.data = "abc",
			.captured_length = 3,
			.original_length = 3,
			.interface_index = 900,
			.flags = 2,
			.rx_hash = 1,
			.status = 7,
			.vlan_tci = 0xffff,
			.vlan_tpid = 0x88a8,
			.vnet_header = "0123456789ab",
			.vnet_header_length = 12},
	};
	struct wbproto_batch batch = {
		.session_id = {1, 144, 16, 32},
		.worker_id = 1,
		.stream_id = 300,
		.batch_seq = 70000,
		.first_packet_seq = UINT64_MAX - 1,
		.flow_bucket_plus_one = 16,
		.node = {"node-1", 6},
		.interfaces = interfaces,
		.interface_count = ARRAY_LENGTH(interfaces),
		.has_counters = true,
		.flags = WBPROTO_BATCH_END_OF_STREAM,
		.watermark_unix_ns = 1700000000000000000u,
	};
	struct wbproto_encoder *encoder;
	size_t size;

	memset(&batch.counters, 0x81, sizeof(batch.counters));
	assert_int_equal(wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &encoder), 0);
	assert_int_equal(wbproto_encoder_open(encoder, out, BUFFER_BYTES, &batch), 0);
	for (size_t i = 0; i < ARRAY_LENGTH(packets); i++)
		assert_int_equal(wbproto_encoder_append(encoder, &packets[i]), 0);
	assert_int_equal(wbproto_encoder_seal(encoder, &batch, &size), 0);
	wbproto_encoder_destroy(encoder);
	return size;
}

static uint8_t checksum(const void *data, size_t length)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)data)[i]);
	return sum;
}

static volatile uint8_t sink; /* so that the reads happen */

/* Touch every byte that the reader hands out. */
static int read_everything(const uint8_t *message, size_t size)
{
	struct wbproto_interface interface;
	struct wbproto_packet packet;
	struct wbproto_reader reader;
	int r;

	r = wbproto_reader_init(&reader, message, size);
	if (r < 0)
		return r;
	sink = (uint8_t)(sink + checksum(reader.batch.node.data, reader.batch.node.length));
	for (size_t i = 0; wbproto_reader_interface_at(&reader, i, &interface) == 0; i++) {
		sink = (uint8_t)(sink + checksum(interface.name.data, interface.name.length));
		sink = (uint8_t)(sink + checksum(interface.filter.data, interface.filter.length));
	}
	while (wbproto_reader_next(&reader, &packet) == 1) {
		sink = (uint8_t)(sink + checksum(packet.data, packet.captured_length));
		sink = (uint8_t)(sink + checksum(packet.vnet_header, packet.vnet_header_length));
	}
	return 0;
}

/* In memory of exactly its size, so that AddressSanitizer sees a read beyond it. Valid if and only if protobuf-c says
 * so. */
static void test_message_cut_off_anywhere(void **state)
{
	uint8_t message[BUFFER_BYTES];
	size_t size = full_message(message), valid = 0;

	for (size_t length = 0; length <= size; length++) {
		uint8_t *exact = length > 0 ? malloc(length) : NULL;
		Wirebus__V1__PacketBatch *other;
		int r;

		if (length > 0)
			memcpy(exact, message, length);
		r = read_everything(exact, length);
		other = wirebus__v1__packet_batch__unpack(NULL, length, exact ? exact : message);
		assert_int_equal(r, other ? 0 : -EBADMSG);
		valid += other != NULL;
		if (other)
			wirebus__v1__packet_batch__free_unpacked(other, NULL);
		free(exact);
	}
	assert_int_equal(valid, 17); /* nothing, and after each of the 16 fields */
}

/* Every byte changed to every value: no report of a sanitizer, and what is accepted protobuf-c accepts too. */
static void test_message_with_one_byte_changed(void **state)
{
	uint8_t message[BUFFER_BYTES];
	size_t size = full_message(message), accepted = 0, rejected = 0;
	uint8_t *exact = malloc(size);

	assert_non_null(exact);
	for (size_t at = 0; at < size; at++) {
		for (unsigned int value = 0; value < 256; value++) {
			Wirebus__V1__PacketBatch *other;

			memcpy(exact, message, size);
			exact[at] = (uint8_t)value;
			if (read_everything(exact, size) < 0) {
				rejected++;
				continue;
			}
			accepted++;
			other = wirebus__v1__packet_batch__unpack(NULL, size, exact);
			assert_non_null(other);
			wirebus__v1__packet_batch__free_unpacked(other, NULL);
		}
	}
	free(exact);
	assert_true(accepted > 1000 && rejected > 1000);
}

static void test_empty_message(void **state)
{
	struct wbproto_batch zero = {0};
	struct wbproto_interface interface;
	struct wbproto_packet packet;
	struct wbproto_reader reader;

	assert_int_equal(wbproto_reader_init(&reader, NULL, 0), 0);
	assert_same_facts(&reader.batch, &zero);
	assert_int_equal(wbproto_reader_next(&reader, &packet), 0);
	assert_int_equal(wbproto_reader_interface(&reader, 0, &interface), -ENOENT);
	assert_int_equal(wbproto_reader_interface_at(&reader, 0, &interface), -ENOENT);
}

static void test_rejected_message_gives_nothing(void **state)
{
	static const char message[] = "\x5a\x02\x10\x05\x3a\x02\x08\x05\x00";
	struct wbproto_interface interface;
	struct wbproto_packet packet;
	struct wbproto_reader reader;

	assert_int_equal(wbproto_reader_init(&reader, message, sizeof(message) - 1), -EBADMSG);
	assert_int_equal(wbproto_reader_next(&reader, &packet), 0);
	assert_int_equal(wbproto_reader_interface(&reader, 5, &interface), -ENOENT);
	assert_int_equal(wbproto_reader_interface_at(&reader, 0, &interface), -ENOENT);
	assert_int_equal(reader.batch.interface_count, 0);
	assert_int_equal(reader.packet_count, 0);
}

static void test_interfaces(void **state)
{
	uint8_t message[BUFFER_BYTES];
	size_t size = full_message(message);
	struct wbproto_interface interface;
	struct wbproto_reader reader;

	assert_int_equal(wbproto_reader_init(&reader, message, size), 0);
	assert_null(reader.batch.interfaces);
	assert_int_equal(reader.batch.interface_count, 2);
	for (size_t i = 0; i < ARRAY_LENGTH(interfaces); i++) {
		assert_int_equal(wbproto_reader_interface(&reader, interfaces[i].index, &interface), 0);
		assert_same_interface(&interface, &interfaces[i]);
		assert_int_equal(wbproto_reader_interface_at(&reader, i, &interface), 0);
		assert_same_interface(&interface, &interfaces[i]);
	}
	assert_int_equal(wbproto_reader_interface(&reader, 3, &interface), -ENOENT);
	assert_int_equal(wbproto_reader_interface_at(&reader, 2, &interface), -ENOENT);
}

/* Fields in descending order, packets and interfaces mixed, an unknown field of each type between all of them. */
/* What is told of the packets' times is theirs, not the batch's. */
static void test_times(void **state)
{
	static const struct {
		const char *message;
		size_t size;
		uint64_t least, greatest;
		bool in_order;
	} cases[] = {
		{"", 0, 0, 0, true},
		{"\x5a\x00", 2, 0, 0, true},
		/* 5, 5, 7 */
		{"\x5a\x09\x09\x05\0\0\0\0\0\0\0\x5a\x09\x09\x05\0\0\0\0\0\0\0\x5a\x09\x09\x07\0\0\0\0\0\0\0", 33, 5, 7,
			true},
		/* 5, 7, 3 */
		{"\x5a\x09\x09\x05\0\0\0\0\0\0\0\x5a\x09\x09\x07\0\0\0\0\0\0\0\x5a\x09\x09\x03\0\0\0\0\0\0\0", 33, 3, 7,
			false},
		/* 5, none */
		{"\x5a\x09\x09\x05\0\0\0\0\0\0\0\x5a\x00", 13, 0, 5, false},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct wbproto_reader reader;

		assert_int_equal(wbproto_reader_init(&reader, cases[i].message, cases[i].size), 0);
		assert_int_equal(reader.least_time_unix_ns, cases[i].least);
		assert_int_equal(reader.greatest_time_unix_ns, cases[i].greatest);
		assert_int_equal(reader.in_time_order, cases[i].in_order);
	}
}

/* A copy is read on from where the reader was, and nothing of the first place is looked at any more. */
static void test_move(void **state)
{
	uint8_t message[BUFFER_BYTES];
	size_t size = full_message(message);
	uint8_t *copy = malloc(size);
	struct wbproto_interface interface;
	struct wbproto_packet packet;
	struct wbproto_reader reader;

	assert_non_null(copy);
	memcpy(copy, message, size);
	assert_int_equal(wbproto_reader_init(&reader, message, size), 0);
	assert_int_equal(wbproto_reader_next(&reader, &packet), 1);
	wbproto_reader_move(&reader, copy);
	memset(message, 0xff, size);
	assert_int_equal(reader.batch.node.length, 6);
	assert_memory_equal(reader.batch.node.data, "node-1", 6);
	assert_int_equal(wbproto_reader_next(&reader, &packet), 1);
	assert_memory_equal(packet.data, "abc", 3);
	assert_int_equal(wbproto_reader_next(&reader, &packet), 0);
	assert_int_equal(wbproto_reader_interface(&reader, 900, &interface), 0);
	assert_same_interface(&interface, &interfaces[1]);
	free(copy);
}

static void test_any_order_and_unknown_fields(void **state)
{
	static const char unknown[] = "\x48\x85\x01"               /* 9, varint */
				      "\x61\1\2\3\4\5\6\7\x08"     /* 12, fixed64 */
				      "\x6a\x03zzz"                /* 13, bytes */
				      "\x75\1\2\3\4"               /* 14, fixed32 */
				      "\xfa\xff\xff\xff\x0f\x01z"; /* 536870911, the last there is */
	static const char *const parts[] = {"\x98\x01\x04", "\x5a\x04\x10\x05\x18\x01", "\x3a\x02\x08\x05", "\x32\x01n",
		"\x5a\x04\x10\x06\x18\x02", "\x3a\x02\x08\x06", "\x18\x09"};
	struct wbproto_interface interface;
	struct wbproto_packet packet;
	struct wbproto_reader reader;
	uint8_t message[500];
	size_t size = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
		memcpy(message + size, unknown, sizeof(unknown) - 1);
		size += sizeof(unknown) - 1;
		memcpy(message + size, parts[i], strlen(parts[i]));
		size += strlen(parts[i]);
	}
	assert_int_equal(wbproto_reader_init(&reader, message, size), 0);
	assert_int_equal(reader.batch.flags, 4);
	assert_int_equal(reader.batch.stream_id, 9);
	assert_same_bytes(reader.batch.node.data, reader.batch.node.length, "n", 1);
	assert_int_equal(reader.packet_count, 2);
	for (uint32_t i = 1; i <= 2; i++) {
		assert_int_equal(wbproto_reader_next(&reader, &packet), 1);
		assert_int_equal(packet.interface_index, 4 + i);
		assert_int_equal(packet.original_length, i);
		assert_int_equal(wbproto_reader_interface(&reader, packet.interface_index, &interface), 0);
		assert_int_equal(interface.index, 4 + i);
	}
	assert_int_equal(wbproto_reader_next(&reader, &packet), 0);
	assert_int_equal(wbproto_reader_interface_at(&reader, 1, &interface), 0);
	assert_int_equal(interface.index, 6);
}

static void test_unknown_fields_in_messages(void **state)
{
	/* In a packet, an interface and the counters: number 31 as varint and 40 as bytes, around a known field. */
	static const char message[] = "\x5a\x0a\xf8\x01\x01\x10\x05\xc2\x02\x02xy"
				      "\x3a\x0a\xf8\x01\x01\x08\x05\xc2\x02\x02xy"
				      "\x92\x01\x0a\xf8\x01\x01\x08\x05\xc2\x02\x02xy";
	struct wbproto_interface interface;
	struct wbproto_packet packet;
	struct wbproto_reader reader;

	assert_int_equal(wbproto_reader_init(&reader, message, sizeof(message) - 1), 0);
	assert_int_equal(wbproto_reader_next(&reader, &packet), 1);
	assert_int_equal(packet.interface_index, 5);
	assert_int_equal(wbproto_reader_interface_at(&reader, 0, &interface), 0);
	assert_int_equal(interface.index, 5);
	assert_int_equal(reader.batch.counters.kernel_seen, 5);
}

static void test_last_value_wins_and_counters_merge(void **state)
{
	static const char message[] = "\x10\x01\x10\x02" /* worker_id 1, then 2 */
				      "\x32\x01"
				      "a"
				      "\x32\x02"
				      "bc" /* node */
				      "\x0a\x10"
				      "0123456789abcdef"
				      "\x0a\x00"                     /* session_id, then none */
				      "\x92\x01\x04\x08\x01\x10\x02" /* kernel_seen 1, kernel_dropped 2 */
				      "\x92\x01\x04\x10\x00\x18\x03" /* kernel_dropped 0, read 3 */
				      "\x5a\x09\x22\x01x\x10\x07\x22\x02yz";
	static const uint8_t no_session[WBPROTO_SESSION_ID_BYTES];
	struct wbproto_packet packet;
	struct wbproto_reader reader;

	assert_int_equal(wbproto_reader_init(&reader, message, sizeof(message) - 1), 0);
	assert_int_equal(reader.batch.worker_id, 2);
	assert_same_bytes(reader.batch.node.data, reader.batch.node.length, "bc", 2);
	assert_memory_equal(reader.batch.session_id, no_session, sizeof(no_session));
	assert_true(reader.batch.has_counters);
	assert_int_equal(reader.batch.counters.kernel_seen, 1);
	assert_int_equal(reader.batch.counters.kernel_dropped, 0);
	assert_int_equal(reader.batch.counters.read, 3);
	assert_int_equal(wbproto_reader_next(&reader, &packet), 1);
	assert_same_bytes(packet.data, packet.captured_length, "yz", 2);
	assert_int_equal(packet.interface_index, 7);
}

static void test_long_forms_of_varints(void **state)
{
	static const char message[] = "\x90\x80\x00\x85\x80\x80\x80\x80\x80\x80\x80\x80\x00" /* worker_id 5 */
				      "\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"         /* batch_seq, greatest */
				      "\xda\x00\x82\x80\x80\x80\x00\x10\x05"                 /* a packet */
				      "\x3a\x05\x40\x80\x80\x80\x01"; /* defragmented: 2 to the 21st */
	struct wbproto_interface interface;
	struct wbproto_packet packet;
	struct wbproto_reader reader;

	assert_int_equal(wbproto_reader_init(&reader, message, sizeof(message) - 1), 0);
	assert_int_equal(reader.batch.worker_id, 5);
	assert_int_equal(reader.batch.batch_seq, UINT64_MAX);
	assert_int_equal(wbproto_reader_next(&reader, &packet), 1);
	assert_int_equal(packet.interface_index, 5);
	assert_int_equal(wbproto_reader_interface_at(&reader, 0, &interface), 0);
	assert_true(interface.defragmented);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message_cut_off_anywhere),
		cmocka_unit_test(test_message_with_one_byte_changed),
		cmocka_unit_test(test_empty_message),
		cmocka_unit_test(test_rejected_message_gives_nothing),
		cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_any_order_and_unknown_fields),
		cmocka_unit_test(test_unknown_fields_in_messages),
		cmocka_unit_test(test_last_value_wins_and_counters_merge),
		cmocka_unit_test(test_long_forms_of_varints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
