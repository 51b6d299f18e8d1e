/* SPDX-License-Identifier: Apache-2.0 */
/* Single packets: the same bytes as protobuf-c's, and what is written is read back. */
#include "random_batch.h"
#include "support.h"
#include "wirebus/v1/packet_record.pb-c.h"

#define RANDOM_RECORDS 20000

static void random_record(struct random_source *source, struct wbproto_record *ret_record)
{
	struct random_batch batch;

	random_fill_batch(source, &batch);
	*ret_record = (struct wbproto_record){
		.worker_id = batch.batch.worker_id,
		.stream_id = batch.batch.stream_id,
		.batch_seq = batch.batch.batch_seq,
		.packet_seq = batch.batch.first_packet_seq,
		.flow_bucket_plus_one = batch.batch.flow_bucket_plus_one,
		.node = random_text(source),
	};
	memcpy(ret_record->session_id, batch.batch.session_id, sizeof(ret_record->session_id));
	random_fill_packet(source, &ret_record->packet);
	random_fill_interface(source, &ret_record->interface);
}

static ProtobufCBinaryData bytes_of(const void *data, size_t length)
{
	return (ProtobufCBinaryData){.len = length, .data = (uint8_t *)data};
}

static void to_protobuf_c(const struct wbproto_record *record, Wirebus__V1__PacketRecord *to)
{
	static const uint8_t zero[WBPROTO_SESSION_ID_BYTES];
	const struct wbproto_interface *interface = &record->interface;
	const struct wbproto_packet *packet = &record->packet;

	wirebus__v1__packet_record__init(to);
	if (memcmp(record->session_id, zero, sizeof(zero)) != 0)
		to->session_id = bytes_of(record->session_id, sizeof(record->session_id));
	to->worker_id = record->worker_id;
	to->stream_id = record->stream_id;
	to->batch_seq = record->batch_seq;
	to->packet_seq = record->packet_seq;
	to->node = bytes_of(record->node.data, record->node.length);
	to->time_unix_nano = packet->time_unix_ns;
	to->interface_index = packet->interface_index;
	to->interface_name = bytes_of(interface->name.data, interface->name.length);
	to->link_type = interface->link_type;
	to->original_length = packet->original_length;
	to->data = bytes_of(packet->data, packet->captured_length);
	to->flags = packet->flags;
	to->vlan_tci = packet->vlan_tci;
	to->vlan_tpid = packet->vlan_tpid;
	to->rx_hash = packet->rx_hash;
	to->vnet_header = bytes_of(packet->vnet_header, packet->vnet_header_length);
	to->status = packet->status;
	to->snap_length = interface->snap_length;
	to->filter = bytes_of(interface->filter.data, interface->filter.length);
	to->speed_bps = interface->speed_bps;
	to->timestamp_source = interface->timestamp_source;
	to->defragmented = interface->defragmented;
	to->flow_bucket_plus_one = record->flow_bucket_plus_one;
}

static void check_reading(const uint8_t *message, size_t size, const struct wbproto_record *record)
{
	struct wbproto_interface interface = record->interface;
	struct wbproto_record back;

	assert_int_equal(wbproto_record_read(message, size, &back), 0);
	assert_memory_equal(back.session_id, record->session_id, sizeof(back.session_id));
	assert_int_equal(back.worker_id, record->worker_id);
	assert_int_equal(back.stream_id, record->stream_id);
	assert_int_equal(back.batch_seq, record->batch_seq);
	assert_int_equal(back.packet_seq, record->packet_seq);
	assert_int_equal(back.flow_bucket_plus_one, record->flow_bucket_plus_one);
	assert_same_view(back.node, record->node);
	assert_same_packet(&back.packet, &record->packet);
	interface.index = record->packet.interface_index;
	assert_same_interface(&back.interface, &interface);
}

static void test_random_records(void **state)
{
	struct random_source source;

	random_seed(&source, 1);
	for (size_t i = 0; i < RANDOM_RECORDS; i++) {
		Wirebus__V1__PacketRecord other;
		struct wbproto_record record;
		uint8_t *message, *expected;
		size_t size, wanted;

		random_record(&source, &record);
		to_protobuf_c(&record, &other);
		wanted = wirebus__v1__packet_record__get_packed_size(&other);
		assert_int_equal(wbproto_record_encoded_bytes(&record), wanted);
		message = malloc(wanted);
		expected = malloc(wanted);
		if (wanted > 0) {
			assert_non_null(message);
			assert_non_null(expected);
			assert_int_equal(wbproto_record_write(&record, message, wanted - 1, &size), -ENOSPC);
		}
		wirebus__v1__packet_record__pack(&other, expected);
		assert_int_equal(wbproto_record_write(&record, message, wanted, &size), 0);
		assert_same_bytes(message, size, expected, wanted);
		check_reading(message, size, &record);
		free(message);
		free(expected);
	}
}

static void test_record_of_defaults(void **state)
{
	struct wbproto_record record = {0};
	size_t size = 77;

	assert_int_equal(wbproto_record_encoded_bytes(&record), 0);
	assert_int_equal(wbproto_record_write(&record, NULL, 0, &size), 0);
	assert_int_equal(size, 0);
	check_reading(NULL, 0, &record);
}

static void test_invalid_records(void **state)
{
	struct wbproto_view bad = {.data = "\xff", .length = 1};
	struct wbproto_record node = {.node = bad}, name = {.interface.name = bad}, filter = {.interface.filter = bad};
	struct wbproto_record vnet = {.packet = {.vnet_header = bad.data, .vnet_header_length = 25}};
	uint8_t buffer[100];
	size_t size;

	assert_int_equal(wbproto_record_write(&node, buffer, sizeof(buffer), &size), -EINVAL);
	assert_int_equal(wbproto_record_write(&name, buffer, sizeof(buffer), &size), -EINVAL);
	assert_int_equal(wbproto_record_write(&filter, buffer, sizeof(buffer), &size), -EINVAL);
	assert_int_equal(wbproto_record_write(&vnet, buffer, sizeof(buffer), &size), -EINVAL);
}

/* Valid if and only if protobuf-c says so; in memory of exactly its size. */
static void test_record_cut_off_anywhere(void **state)
{
	struct random_source source;
	struct wbproto_record record;
	uint8_t message[4096];
	size_t size, valid = 0;

	random_seed(&source, 3);
	do
		random_record(&source, &record);
	while (record.packet.vnet_header_length == 0 || wbproto_record_encoded_bytes(&record) > sizeof(message));
	assert_int_equal(wbproto_record_write(&record, message, sizeof(message), &size), 0);
	for (size_t length = 1; length <= size; length++) {
		uint8_t *exact = malloc(length);
		Wirebus__V1__PacketRecord *other;

		assert_non_null(exact);
		memcpy(exact, message, length);
		other = wirebus__v1__packet_record__unpack(NULL, length, exact);
		assert_int_equal(wbproto_record_read(exact, length, &record), other ? 0 : -EBADMSG);
		if (other)
			wirebus__v1__packet_record__free_unpacked(other, NULL);
		valid += other != NULL;
		free(exact);
	}
	assert_true(valid > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_records),
		cmocka_unit_test(test_record_of_defaults),
		cmocka_unit_test(test_invalid_records),
		cmocka_unit_test(test_record_cut_off_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
