/* SPDX-License-Identifier: Apache-2.0 */
/* The encoder at its limits: a batch never exceeds its capacity, boundaries of every field, misuse, text. */
#include "encode.h"

static const struct wbproto_interface two_interfaces[] = {
	{.index = 2, .link_type = 1, .name = {"eth0", 4}, .snap_length = 262144},
	{.index = 900, .link_type = 1, .name = {"veth-test", 9}, .filter = {"udp", 3}, .speed_bps = 10000000000u},
};

/* The greatest facts at sealing that there are. */
static struct wbproto_batch greatest_batch(void)
{
	struct wbproto_batch batch = {
		.session_id = {1, 2, 3},
		.worker_id = UINT32_MAX,
		.stream_id = 7,
		.batch_seq = UINT64_MAX,
		.first_packet_seq = 1,
		.node = {"node", 4},
		.interfaces = two_interfaces,
		.interface_count = ARRAY_LENGTH(two_interfaces),
		.has_counters = true,
		.flags = UINT32_MAX,
		.watermark_unix_ns = UINT64_MAX,
	};

	memset(&batch.counters, 0xff, sizeof(batch.counters));
	return batch;
}

/* Fill a batch of this capacity with one packet again and again; returns how many went in. */
static size_t fill_up(
	struct wbproto_encoder *encoder, size_t capacity, const struct wbproto_packet *packet, size_t *ret_size)
{
	struct wbproto_batch batch = greatest_batch();
	struct buffer buffer = make_buffer(capacity);
	size_t count = 0;

	assert_int_equal(wbproto_encoder_open(encoder, buffer.data, capacity, &batch), 0);
	while (append_checked(encoder, &buffer, packet) == 0)
		count++;
	assert_int_equal(wbproto_encoder_seal(encoder, &batch, ret_size), 0);
	assert_true(*ret_size <= capacity);
	free_buffer(&buffer);
	return count;
}

static void check_capacities(enum wbproto_encoder_kind kind, const struct wbproto_packet *packet)
{
	struct wbproto_encoder *encoder = make_encoder(kind);
	struct wbproto_batch batch = greatest_batch();
	size_t overhead = wbproto_batch_overhead_bytes(&batch);
	size_t each = wbproto_packet_encoded_bytes(packet), size;

	for (size_t capacity = 0; capacity < overhead; capacity++) {
		struct buffer buffer = make_buffer(capacity);

		assert_int_equal(wbproto_encoder_open(encoder, buffer.data, capacity, &batch), -EMSGSIZE);
		assert_int_equal(wbproto_encoder_append(encoder, packet), -EINVAL);
		assert_int_equal(wbproto_encoder_seal(encoder, &batch, &size), -EINVAL);
		free_buffer(&buffer);
	}
	for (size_t capacity = overhead; capacity <= overhead + 4 * each; capacity++) {
		size_t count = fill_up(encoder, capacity, packet, &size);

		assert_int_equal(count, (capacity - overhead) / each);
		/* Nothing is reserved in vain: with a packet, the greatest facts fill the reserve to the byte. */
		if (count > 0)
			assert_int_equal(size, overhead + count * each);
	}
	wbproto_encoder_destroy(encoder);
}

static void test_every_capacity_around_the_limit(void **state)
{
	static const uint8_t data[400] = {1, 2, 3};
	const struct wbproto_packet usual = {.time_unix_ns = 5,
		.data = data,
		.captured_length = 60,
		.original_length = 60,
		.interface_index = 2,
		.flags = 5,
		.rx_hash = 9};
	const struct wbproto_packet rare = {.time_unix_ns = 5,
		.data = data,
		.captured_length = 130,
		.original_length = 70000,
		.interface_index = 900,
		.vnet_header = data,
		.vnet_header_length = 10,
		.vlan_tpid = 0x8100};
	/* About 128 bytes of body, where the length takes a byte more. */
	struct wbproto_packet grows = usual;

	check_capacities(WBPROTO_ENCODER_DIRECT, &usual);
	check_capacities(WBPROTO_ENCODER_DIRECT, &rare);
	check_capacities(WBPROTO_ENCODER_PROTOBUF_C, &usual);
	check_capacities(WBPROTO_ENCODER_PROTOBUF_C, &rare);
	for (grows.captured_length = 90; grows.captured_length < 115; grows.captured_length++)
		check_capacities(WBPROTO_ENCODER_DIRECT, &grows);
}

/* Every length at which the way through the encoder changes, in all the ways it can be written. */
static void test_every_length(void **state)
{
	struct wbproto_encoder *direct = make_encoder(WBPROTO_ENCODER_DIRECT);
	struct wbproto_encoder *reference = make_encoder(WBPROTO_ENCODER_PROTOBUF_C);
	static uint8_t data[17000];
	struct wbproto_batch batch = {.worker_id = 1};
	struct buffer a = make_buffer(20000), b = make_buffer(20000);

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i + 1);
	for (uint32_t length = 0; length <= sizeof(data); length += length < 300 || length > 16200 ? 1 : 97) {
		struct wbproto_packet packet = {.time_unix_ns = 5,
			.data = data,
			.captured_length = length,
			.original_length = length,
			.interface_index = 2,
			.flags = 5,
			.rx_hash = 9};
		size_t a_size, b_size;
		bool taken;

		assert_int_equal(encode(direct, &a, &batch, &packet, 1, &taken, &a_size), 1);
		assert_int_equal(encode(reference, &b, &batch, &packet, 1, &taken, &b_size), 1);
		assert_same_bytes(a.data, a_size, b.data, b_size);
	}
	free_buffer(&a);
	free_buffer(&b);
	wbproto_encoder_destroy(direct);
	wbproto_encoder_destroy(reference);
}

/* Each field at each value where the way through the encoder or a varint's length changes, the others being usual. */
static void test_every_boundary_of_every_field(void **state)
{
	static const uint32_t values[] = {0, 1, 126, 127, 128, 129, 16319, 16320, 16382, 16383, 16384, 16385,
		UINT16_MAX, 0x1fffff, 0x200000, 0xfffffff, 0x10000000, UINT32_MAX};
	struct wbproto_encoder *direct = make_encoder(WBPROTO_ENCODER_DIRECT);
	struct wbproto_encoder *reference = make_encoder(WBPROTO_ENCODER_PROTOBUF_C);
	struct buffer a = make_buffer(4000), b = make_buffer(4000);
	struct wbproto_batch batch = {.worker_id = 1};

	for (size_t i = 0; i < 8 * ARRAY_LENGTH(values); i++) {
		struct wbproto_packet packet = {.time_unix_ns = 5,
			.data = "abc",
			.captured_length = 3,
			.original_length = 3,
			.interface_index = 2,
			.flags = 5,
			.rx_hash = 9};
		uint32_t value = values[i / 8];
		uint32_t *fields[] = {&packet.original_length, &packet.interface_index, &packet.flags, &packet.rx_hash,
			&packet.status};
		size_t a_size, b_size;
		bool taken;

		if (i % 8 < ARRAY_LENGTH(fields))
			*fields[i % 8] = value;
		else if (i % 8 == 5)
			packet.vlan_tci = (uint16_t)value;
		else if (i % 8 == 6)
			packet.vlan_tpid = (uint16_t)value;
		else
			packet.time_unix_ns = value;
		assert_int_equal(encode(direct, &a, &batch, &packet, 1, &taken, &a_size), 1);
		assert_int_equal(encode(reference, &b, &batch, &packet, 1, &taken, &b_size), 1);
		assert_same_bytes(a.data, a_size, b.data, b_size);
	}
	free_buffer(&a);
	free_buffer(&b);
	wbproto_encoder_destroy(direct);
	wbproto_encoder_destroy(reference);
}

/* A capacity that no memory has: a packet is refused before a byte of it is read. */
static void test_no_message_of_two_gibibytes(void **state)
{
	struct wbproto_encoder *encoder = make_encoder(WBPROTO_ENCODER_DIRECT);
	struct wbproto_packet packet = {.data = "x", .captured_length = INT32_MAX - 200};
	struct wbproto_batch batch = {.worker_id = 1};
	uint8_t buffer[1000];

	assert_int_equal(wbproto_encoder_open(encoder, buffer, SIZE_MAX, &batch), 0);
	assert_int_equal(wbproto_encoder_append(encoder, &packet), -ENOSPC);
	packet.captured_length = UINT32_MAX;
	assert_int_equal(wbproto_encoder_append(encoder, &packet), -ENOSPC);
	packet.captured_length = 1;
	assert_int_equal(wbproto_encoder_append(encoder, &packet), 0);
	wbproto_encoder_destroy(encoder);
}

static void check_misuse(enum wbproto_encoder_kind kind)
{
	struct wbproto_encoder *encoder = make_encoder(kind);
	struct wbproto_packet packet = {.time_unix_ns = 1, .vnet_header = "x", .vnet_header_length = 25};
	struct wbproto_packet empty = {0};
	struct wbproto_batch batch = {0};
	uint8_t buffer[1000];
	size_t size = 77;

	assert_int_equal(wbproto_encoder_append(encoder, &empty), -EINVAL);
	assert_int_equal(wbproto_encoder_seal(encoder, &batch, &size), -EINVAL);
	assert_int_equal(wbproto_encoder_open(encoder, buffer, sizeof(buffer), &batch), 0);
	assert_int_equal(wbproto_encoder_append(encoder, &packet), -EINVAL);
	assert_int_equal(wbproto_encoder_packets(encoder), 0);
	assert_int_equal(wbproto_encoder_min_time_ns(encoder), 0);
	assert_int_equal(wbproto_encoder_max_time_ns(encoder), 0);
	assert_int_equal(wbproto_encoder_seal(encoder, &batch, &size), 0);
	assert_int_equal(size, 0); /* nothing but defaults */
	assert_int_equal(wbproto_encoder_append(encoder, &empty), -EINVAL);
	assert_int_equal(wbproto_encoder_seal(encoder, &batch, &size), -EINVAL);
	/* A packet of defaults only is there all the same. */
	assert_int_equal(wbproto_encoder_open(encoder, buffer, sizeof(buffer), &batch), 0);
	assert_int_equal(wbproto_encoder_append(encoder, &empty), 0);
	assert_int_equal(wbproto_encoder_seal(encoder, &batch, &size), 0);
	assert_same_bytes(buffer, size, "\x5a\x00", 2);
	/* A batch left open is forgotten. */
	assert_int_equal(wbproto_encoder_open(encoder, buffer, sizeof(buffer), &batch), 0);
	assert_int_equal(wbproto_encoder_append(encoder, &empty), 0);
	assert_int_equal(wbproto_encoder_open(encoder, buffer, sizeof(buffer), &batch), 0);
	assert_int_equal(wbproto_encoder_packets(encoder), 0);
	wbproto_encoder_destroy(encoder);
}

static void test_misuse(void **state)
{
	struct wbproto_encoder *encoder = NULL;

	check_misuse(WBPROTO_ENCODER_DIRECT);
	check_misuse(WBPROTO_ENCODER_PROTOBUF_C);
	assert_int_equal(wbproto_encoder_create((enum wbproto_encoder_kind)2, &encoder), -EINVAL);
	assert_null(encoder);
	wbproto_encoder_destroy(NULL);
}

static void test_text_must_be_utf8(void **state)
{
	/* Lone and missing continuation bytes, overlong forms, surrogates, beyond U+10FFFF, bytes that never occur. */
	static const char *const bad[] = {"\x80", "a\xff", "\xc3", "\xc3(", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf",
		"\xe2\x82", "\xe2\x82(", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xf0\x9f\x90", "\xf0\x9f\x90(", "\xf8\x88\x80\x80\x80"};
	struct wbproto_encoder *encoder = make_encoder(WBPROTO_ENCODER_DIRECT);
	uint8_t buffer[1000];

	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		struct wbproto_view text = {.data = bad[i], .length = strlen(bad[i])};
		struct wbproto_interface name = {.name = text}, filter = {.filter = text};
		struct wbproto_batch in_node = {.node = text};
		struct wbproto_batch in_name = {.interfaces = &name, .interface_count = 1};
		struct wbproto_batch in_filter = {.interfaces = &filter, .interface_count = 1};

		assert_int_equal(wbproto_encoder_open(encoder, buffer, sizeof(buffer), &in_node), -EINVAL);
		assert_int_equal(wbproto_encoder_open(encoder, buffer, sizeof(buffer), &in_name), -EINVAL);
		assert_int_equal(wbproto_encoder_open(encoder, buffer, sizeof(buffer), &in_filter), -EINVAL);
	}
	wbproto_encoder_destroy(encoder);
}

static void test_times_are_least_and_greatest(void **state)
{
	static const uint64_t times[] = {50, 20, 90, 60};
	struct wbproto_encoder *encoder = make_encoder(WBPROTO_ENCODER_DIRECT);
	struct wbproto_batch batch = {.min_time_unix_ns = 1, .max_time_unix_ns = 1000};
	struct wbproto_reader reader;
	uint8_t buffer[1000];
	size_t size;

	assert_int_equal(wbproto_encoder_open(encoder, buffer, sizeof(buffer), &batch), 0);
	for (size_t i = 0; i < ARRAY_LENGTH(times); i++) {
		struct wbproto_packet packet = {.time_unix_ns = times[i]};

		assert_int_equal(wbproto_encoder_append(encoder, &packet), 0);
	}
	assert_int_equal(wbproto_encoder_min_time_ns(encoder), 20);
	assert_int_equal(wbproto_encoder_max_time_ns(encoder), 90);
	assert_int_equal(wbproto_encoder_seal(encoder, &batch, &size), 0);
	assert_int_equal(wbproto_encoder_max_time_ns(encoder), 90);
	assert_int_equal(wbproto_reader_init(&reader, buffer, size), 0);
	assert_int_equal(reader.batch.min_time_unix_ns, 20);
	assert_int_equal(reader.batch.max_time_unix_ns, 90);
	wbproto_encoder_destroy(encoder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_capacity_around_the_limit),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_every_boundary_of_every_field),
		cmocka_unit_test(test_no_message_of_two_gibibytes),
		cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_text_must_be_utf8),
		cmocka_unit_test(test_times_are_least_and_greatest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
