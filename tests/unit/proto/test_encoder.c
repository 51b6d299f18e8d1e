/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On random input both encoders write what protobuf-c makes of the whole message at once, and the reader reads back
 * what was written.
 */
#include "encode.h"
#include "random_batch.h"
#include "wirebus/v1/packet_batch.pb-c.h"

#define RANDOM_BATCHES 10000
#define MAX_PACKETS 64

/* ---- the whole message packed by protobuf-c at once, independently of both encoders ---- */

static ProtobufCBinaryData bytes_of(const void *data, size_t length)
{
	return (ProtobufCBinaryData){.len = length, .data = (uint8_t *)data};
}

struct whole {
	Wirebus__V1__PacketBatch batch;
	Wirebus__V1__Counters counters;
	Wirebus__V1__Interface interfaces[RANDOM_MAX_INTERFACES];
	Wirebus__V1__Interface *interface_pointers[RANDOM_MAX_INTERFACES];
	Wirebus__V1__Packet packets[MAX_PACKETS];
	Wirebus__V1__Packet *packet_pointers[MAX_PACKETS];
};

static void whole_interfaces(struct whole *whole, const struct wbproto_batch *batch)
{
	for (size_t i = 0; i < batch->interface_count; i++) {
		const struct wbproto_interface *from = &batch->interfaces[i];
		Wirebus__V1__Interface *to = whole->interface_pointers[i] = &whole->interfaces[i];

		wirebus__v1__interface__init(to);
		to->index = from->index;
		to->name = bytes_of(from->name.data, from->name.length);
		to->link_type = from->link_type;
		to->snap_length = from->snap_length;
		to->filter = bytes_of(from->filter.data, from->filter.length);
		to->speed_bps = from->speed_bps;
		to->timestamp_source = from->timestamp_source;
		to->defragmented = from->defragmented;
	}
	whole->batch.n_interfaces = batch->interface_count;
	whole->batch.interfaces = whole->interface_pointers;
}

static void whole_packet(struct whole *whole, const struct wbproto_packet *from)
{
	Wirebus__V1__Packet *to = &whole->packets[whole->batch.n_packets];

	wirebus__v1__packet__init(to);
	to->time_unix_nano = from->time_unix_ns;
	to->interface_index = from->interface_index;
	to->original_length = from->original_length;
	to->data = bytes_of(from->data, from->captured_length);
	to->flags = from->flags;
	to->vlan_tci = from->vlan_tci;
	to->vlan_tpid = from->vlan_tpid;
	to->rx_hash = from->rx_hash;
	to->vnet_header = bytes_of(from->vnet_header, from->vnet_header_length);
	to->status = from->status;
	whole->packet_pointers[whole->batch.n_packets++] = to;
	if (whole->batch.n_packets == 1 || from->time_unix_ns < whole->batch.min_time_unix_nano)
		whole->batch.min_time_unix_nano = from->time_unix_ns;
	if (from->time_unix_ns > whole->batch.max_time_unix_nano)
		whole->batch.max_time_unix_nano = from->time_unix_ns;
}

static void whole_counters(struct whole *whole, const struct wbproto_counters *counters)
{
	static const ProtobufCMessageDescriptor *descriptor = &wirebus__v1__counters__descriptor;
	uint64_t values[sizeof(*counters) / sizeof(uint64_t)];

	/* By the descriptor and not by name: this also proves that the order of both is the same. */
	wirebus__v1__counters__init(&whole->counters);
	memcpy(values, counters, sizeof(values));
	assert_int_equal(descriptor->n_fields, ARRAY_LENGTH(values));
	for (size_t i = 0; i < ARRAY_LENGTH(values); i++)
		memcpy((uint8_t *)&whole->counters + descriptor->fields[i].offset, &values[i], sizeof(values[i]));
	whole->batch.counters = &whole->counters;
}

static size_t pack_whole(const struct wbproto_batch *batch, const struct wbproto_packet *packets, size_t count,
	const bool *taken, uint8_t *out, size_t capacity)
{
	static const uint8_t zero[WBPROTO_SESSION_ID_BYTES];
	static struct whole whole;

	wirebus__v1__packet_batch__init(&whole.batch);
	if (memcmp(batch->session_id, zero, sizeof(zero)) != 0)
		whole.batch.session_id = bytes_of(batch->session_id, sizeof(batch->session_id));
	whole.batch.worker_id = batch->worker_id;
	whole.batch.stream_id = batch->stream_id;
	whole.batch.batch_seq = batch->batch_seq;
	whole.batch.first_packet_seq = batch->first_packet_seq;
	whole.batch.node = bytes_of(batch->node.data, batch->node.length);
	whole.batch.flow_bucket_plus_one = batch->flow_bucket_plus_one;
	whole.batch.flags = batch->flags;
	whole.batch.watermark_unix_nano = batch->watermark_unix_ns;
	whole.batch.packets = whole.packet_pointers;
	whole_interfaces(&whole, batch);
	if (batch->has_counters)
		whole_counters(&whole, &batch->counters);
	for (size_t i = 0; i < count; i++)
		if (taken[i])
			whole_packet(&whole, &packets[i]);
	assert_true(wirebus__v1__packet_batch__get_packed_size(&whole.batch) <= capacity);
	return wirebus__v1__packet_batch__pack(&whole.batch, out);
}

static void check_reading(const uint8_t *message, size_t size, const struct wbproto_batch *batch,
	const struct wbproto_packet *packets, size_t count, const bool *taken, size_t fitted)
{
	struct wbproto_interface interface;
	struct wbproto_packet packet;
	struct wbproto_reader reader;

	assert_int_equal(wbproto_reader_init(&reader, message, size), 0);
	assert_same_facts(&reader.batch, batch);
	assert_int_equal(reader.packet_count, fitted);
	for (size_t i = 0; i < batch->interface_count; i++) {
		assert_int_equal(wbproto_reader_interface_at(&reader, i, &interface), 0);
		assert_same_interface(&interface, &batch->interfaces[i]);
	}
	for (size_t i = 0; i < count; i++) {
		if (!taken[i])
			continue;
		assert_int_equal(wbproto_reader_next(&reader, &packet), 1);
		assert_same_packet(&packet, &packets[i]);
		assert_true(packet.time_unix_ns >= reader.batch.min_time_unix_ns);
		assert_true(packet.time_unix_ns <= reader.batch.max_time_unix_ns);
	}
	assert_int_equal(wbproto_reader_next(&reader, &packet), 0);
}

static void test_random_batches_are_the_same_by_all_ways(void **state)
{
	struct wbproto_encoder *direct = make_encoder(WBPROTO_ENCODER_DIRECT);
	struct wbproto_encoder *reference = make_encoder(WBPROTO_ENCODER_PROTOBUF_C);
	struct wbproto_packet packets[MAX_PACKETS];
	size_t with_packets = 0, with_refusal = 0;
	bool taken[MAX_PACKETS], also_taken[MAX_PACKETS];
	struct random_batch batch;

	for (uint64_t seed = 0; seed < RANDOM_BATCHES; seed++) {
		struct random_source source;
		struct buffer a, b, c;
		size_t count, fitted, a_size, b_size, c_size;

		random_seed(&source, seed);
		random_fill_batch(&source, &batch);
		count = random_below(&source, random_below(&source, 10) ? 12 : MAX_PACKETS + 1);
		for (size_t i = 0; i < count; i++)
			random_fill_packet(&source, &packets[i]);
		a = make_buffer(wbproto_batch_overhead_bytes(&batch.batch) +
				random_below(&source, random_below(&source, 2) ? 3000 : 200000));
		b = make_buffer(a.capacity);
		c = make_buffer(a.capacity);
		fitted = encode(direct, &a, &batch.batch, packets, count, taken, &a_size);
		assert_int_equal(encode(reference, &b, &batch.batch, packets, count, also_taken, &b_size), fitted);
		assert_memory_equal(taken, also_taken, count * sizeof(taken[0]) + !count);
		assert_same_bytes(a.data, a_size, b.data, b_size);
		c_size = pack_whole(&batch.batch, packets, count, taken, c.data, c.capacity);
		assert_same_bytes(a.data, a_size, c.data, c_size);
		check_reading(a.data, a_size, &batch.batch, packets, count, taken, fitted);
		with_packets += fitted > 0;
		with_refusal += fitted < count;
		free_buffer(&a);
		free_buffer(&b);
		free_buffer(&c);
	}
	/* The random input is worth its name. */
	assert_true(with_packets > RANDOM_BATCHES / 2 && with_refusal > RANDOM_BATCHES / 4);
	wbproto_encoder_destroy(direct);
	wbproto_encoder_destroy(reference);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_batches_are_the_same_by_all_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
