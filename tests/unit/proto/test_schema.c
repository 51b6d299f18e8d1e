/* SPDX-License-Identifier: Apache-2.0 */
/* The tags that the library's own code uses are those of the schema, and the schema built in is the one in the tree. */
#include "facts.h"
#include "fields.h"
#include "support.h"
#include "wirebus/v1/packet_batch.pb-c.h"
#include "wirebus/v1/packet_record.pb-c.h"

#include <stdio.h>

struct named_tag {
	const char *field;
	uint32_t tag;
};

static uint32_t wire_type(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_FIXED64:
		return WBP_FIXED64;
	case PROTOBUF_C_TYPE_FIXED32:
		return WBP_FIXED32;
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WBP_BYTES;
	default:
		return WBP_VARINT;
	}
}

static void check_tags(
	const ProtobufCMessageDescriptor *message, const struct named_tag *tags, size_t count, uint32_t known)
{
	uint32_t bits = 0;

	assert_int_equal(message->n_fields, count);
	for (size_t i = 0; i < count; i++) {
		const ProtobufCFieldDescriptor *field =
			protobuf_c_message_descriptor_get_field_by_name(message, tags[i].field);

		assert_non_null(field);
		assert_int_equal(WBP_TAG(field->id, wire_type(field->type)), tags[i].tag);
		bits |= WBP_FIELD_BIT(field->id);
	}
	assert_int_equal(bits, known);
}

static void test_tags_of_batch(void **state)
{
	static const struct named_tag tags[] = {
		{"session_id", WBP_BATCH_SESSION_ID},
		{"worker_id", WBP_BATCH_WORKER_ID},
		{"stream_id", WBP_BATCH_STREAM_ID},
		{"batch_seq", WBP_BATCH_BATCH_SEQ},
		{"first_packet_seq", WBP_BATCH_FIRST_PACKET_SEQ},
		{"node", WBP_BATCH_NODE},
		{"interfaces", WBP_BATCH_INTERFACES},
		{"flow_bucket_plus_one", WBP_BATCH_FLOW_BUCKET},
		{"packets", WBP_BATCH_PACKETS},
		{"min_time_unix_nano", WBP_BATCH_MIN_TIME},
		{"max_time_unix_nano", WBP_BATCH_MAX_TIME},
		{"counters", WBP_BATCH_COUNTERS},
		{"flags", WBP_BATCH_FLAGS},
		{"watermark_unix_nano", WBP_BATCH_WATERMARK},
	};

	check_tags(&wirebus__v1__packet_batch__descriptor, tags, ARRAY_LENGTH(tags), WBP_BATCH_KNOWN);
}

static void test_tags_of_packet(void **state)
{
	static const struct named_tag tags[] = {
		{"time_unix_nano", WBP_PACKET_TIME},
		{"interface_index", WBP_PACKET_INTERFACE_INDEX},
		{"original_length", WBP_PACKET_ORIGINAL_LENGTH},
		{"data", WBP_PACKET_DATA},
		{"flags", WBP_PACKET_FLAGS},
		{"vlan_tci", WBP_PACKET_VLAN_TCI},
		{"vlan_tpid", WBP_PACKET_VLAN_TPID},
		{"rx_hash", WBP_PACKET_RX_HASH},
		{"vnet_header", WBP_PACKET_VNET_HEADER},
		{"status", WBP_PACKET_STATUS},
	};

	check_tags(&wirebus__v1__packet__descriptor, tags, ARRAY_LENGTH(tags), WBP_PACKET_KNOWN);
}

static void test_tags_of_interface(void **state)
{
	static const struct named_tag tags[] = {
		{"index", WBP_INTERFACE_INDEX},
		{"name", WBP_INTERFACE_NAME},
		{"link_type", WBP_INTERFACE_LINK_TYPE},
		{"snap_length", WBP_INTERFACE_SNAP_LENGTH},
		{"filter", WBP_INTERFACE_FILTER},
		{"speed_bps", WBP_INTERFACE_SPEED},
		{"timestamp_source", WBP_INTERFACE_TIMESTAMP_SOURCE},
		{"defragmented", WBP_INTERFACE_DEFRAGMENTED},
	};

	check_tags(&wirebus__v1__interface__descriptor, tags, ARRAY_LENGTH(tags), WBP_INTERFACE_KNOWN);
}

static void test_tags_of_record(void **state)
{
	static const struct named_tag tags[] = {
		{"session_id", WBP_RECORD_SESSION_ID},
		{"worker_id", WBP_RECORD_WORKER_ID},
		{"stream_id", WBP_RECORD_STREAM_ID},
		{"batch_seq", WBP_RECORD_BATCH_SEQ},
		{"packet_seq", WBP_RECORD_PACKET_SEQ},
		{"node", WBP_RECORD_NODE},
		{"time_unix_nano", WBP_RECORD_TIME},
		{"interface_index", WBP_RECORD_INTERFACE_INDEX},
		{"interface_name", WBP_RECORD_INTERFACE_NAME},
		{"link_type", WBP_RECORD_LINK_TYPE},
		{"original_length", WBP_RECORD_ORIGINAL_LENGTH},
		{"data", WBP_RECORD_DATA},
		{"flags", WBP_RECORD_FLAGS},
		{"vlan_tci", WBP_RECORD_VLAN_TCI},
		{"vlan_tpid", WBP_RECORD_VLAN_TPID},
		{"rx_hash", WBP_RECORD_RX_HASH},
		{"vnet_header", WBP_RECORD_VNET_HEADER},
		{"status", WBP_RECORD_STATUS},
		{"snap_length", WBP_RECORD_SNAP_LENGTH},
		{"filter", WBP_RECORD_FILTER},
		{"speed_bps", WBP_RECORD_SPEED},
		{"timestamp_source", WBP_RECORD_TIMESTAMP_SOURCE},
		{"defragmented", WBP_RECORD_DEFRAGMENTED},
		{"flow_bucket_plus_one", WBP_RECORD_FLOW_BUCKET},
	};

	check_tags(&wirebus__v1__packet_record__descriptor, tags, ARRAY_LENGTH(tags), WBP_RECORD_KNOWN);
}

static void test_counters_are_numbered_as_in_the_struct(void **state)
{
	const ProtobufCMessageDescriptor *counters = &wirebus__v1__counters__descriptor;
	/* The struct's members in their order. */
	static const char *const names[] = {"kernel_seen", "kernel_dropped", "read", "filtered", "sampled_out",
		"accepted", "truncated", "recovered", "delivered", "handed_over", "failed", "unknown", "dropped",
		"open", "in_flight", "spooled", "kernel_freezes", "dropped_too_large", "dropped_no_buffer",
		"dropped_bus_full", "dropped_shutdown", "dropped_spool_full", "interface_gaps", "interface_gap_nano"};

	assert_int_equal(counters->n_fields, WBP_COUNTERS_FIELDS);
	assert_int_equal(ARRAY_LENGTH(names), WBP_COUNTERS_FIELDS);
	for (uint32_t i = 0; i < WBP_COUNTERS_FIELDS; i++) {
		assert_int_equal(counters->fields[i].id, i + 1);
		assert_int_equal(counters->fields[i].type, PROTOBUF_C_TYPE_UINT64);
		assert_string_equal(counters->fields[i].name, names[i]);
	}
}

static void test_reserve_for_the_tail(void **state)
{
	Wirebus__V1__PacketBatch batch = WIREBUS__V1__PACKET_BATCH__INIT;
	Wirebus__V1__Counters counters = WIREBUS__V1__COUNTERS__INIT;
	const ProtobufCMessageDescriptor *descriptor = counters.base.descriptor;

	for (unsigned int i = 0; i < descriptor->n_fields; i++)
		memset((uint8_t *)&counters + descriptor->fields[i].offset, 0xff, sizeof(uint64_t));
	batch.counters = &counters;
	batch.flags = UINT32_MAX;
	batch.min_time_unix_nano = batch.max_time_unix_nano = batch.watermark_unix_nano = UINT64_MAX;
	assert_int_equal(wirebus__v1__packet_batch__get_packed_size(&batch), WBP_TAIL_MAX_BYTES);
}

static void check_text(const char *name)
{
	const char *text = wbproto_schema_text(name);
	char path[4096], *content;
	FILE *file;
	size_t size;

	assert_non_null(text);
	snprintf(path, sizeof(path), "%s/%s", SCHEMA_FOLDER, name);
	file = fopen(path, "r");
	assert_non_null(file);
	content = calloc(1, 1 << 20);
	assert_non_null(content);
	size = fread(content, 1, (1 << 20) - 1, file);
	fclose(file);
	assert_true(size > 100);
	assert_string_equal(text, content);
	free(content);
}

static void test_schema_text(void **state)
{
	check_text("packet_batch.proto");
	check_text("packet_record.proto");
	assert_null(wbproto_schema_text("packet.proto"));
	assert_null(wbproto_schema_text(""));
}

static void test_descriptor_set(void **state)
{
	size_t size = 0;
	const void *set = wbproto_schema_descriptor_set(&size);

	assert_non_null(set);
	/* Its own names are in it; golden.py parses it. */
	assert_non_null(memmem(set, size, "wirebus/v1/packet_batch.proto", 29));
	assert_non_null(memmem(set, size, "wirebus/v1/packet_record.proto", 30));
	assert_non_null(memmem(set, size, "watermark_unix_nano", 19));
	assert_null(memmem(set, size, "RFC 9562", 8)); /* comments are source information */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tags_of_batch),
		cmocka_unit_test(test_tags_of_packet),
		cmocka_unit_test(test_tags_of_interface),
		cmocka_unit_test(test_tags_of_record),
		cmocka_unit_test(test_counters_are_numbered_as_in_the_struct),
		cmocka_unit_test(test_reserve_for_the_tail),
		cmocka_unit_test(test_schema_text),
		cmocka_unit_test(test_descriptor_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
