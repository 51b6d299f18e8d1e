/* SPDX-License-Identifier: Apache-2.0 */
/* One message for each reason to reject one; each is one step away from a message that is accepted. */
#include "support.h"

struct message {
	const char *why;
	const char *bytes;
	size_t length;
};

#define MESSAGE(why, bytes)                                                                                            \
	{                                                                                                              \
		why, bytes, sizeof(bytes) - 1                                                                          \
	}

static const struct message batches[] = {
	MESSAGE("field number 0, varint", "\x00\x01"),
	MESSAGE("field number 0, bytes", "\x02\x00"),
	MESSAGE("field number 0, in two bytes", "\x80\x00\x01"),
	MESSAGE("start of a group", "\x4b\x4c"),
	MESSAGE("end of a group", "\x4c"),
	MESSAGE("wire type 6", "\x4e\x01"),
	MESSAGE("wire type 7", "\x4f\x01"),
	MESSAGE("tag that does not end", "\xca"),
	MESSAGE("tag of 6 bytes", "\x88\x80\x80\x80\x80\x00\x01"),
	MESSAGE("tag beyond 32 bits", "\xf8\xff\xff\xff\x1f\x01"),
	MESSAGE("no value, varint", "\x10"),
	MESSAGE("varint that does not end", "\x20\x80\x80"),
	MESSAGE("varint of 11 bytes", "\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
	MESSAGE("varint of 10 bytes beyond 64 bits", "\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
	MESSAGE("unknown field with a varint of 11 bytes", "\x48\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
	MESSAGE("fixed64 of 7 bytes", "\x81\x01\1\2\3\4\5\6\7"),
	MESSAGE("unknown fixed64 of 7 bytes", "\x61\1\2\3\4\5\6\7"),
	MESSAGE("unknown fixed32 of 3 bytes", "\x65\1\2\3"),
	MESSAGE("length beyond the end", "\x32\x03xy"),
	MESSAGE("length beyond the end, unknown field", "\x6a\x03xy"),
	MESSAGE("length missing", "\x32"),
	MESSAGE("length that does not end", "\x32\x80"),
	MESSAGE("length of 6 bytes", "\x32\x81\x80\x80\x80\x80\x00x"),
	MESSAGE("length of 2 GiB", "\x32\x80\x80\x80\x80\x08x"),
	MESSAGE("length that would wrap", "\x32\xff\xff\xff\xff\x0fx"),
	MESSAGE("worker_id beyond 32 bits", "\x10\x80\x80\x80\x80\x10"),
	MESSAGE("stream_id beyond 32 bits", "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
	MESSAGE("flow_bucket_plus_one beyond 32 bits", "\x40\x80\x80\x80\x80\x10"),
	MESSAGE("flags beyond 32 bits", "\x98\x01\x80\x80\x80\x80\x10"),
	MESSAGE("session_id of 15 bytes", "\x0a\x0f"
					  "0123456789abcde"),
	MESSAGE("session_id of 17 bytes", "\x0a\x11"
					  "0123456789abcdefg"),
	MESSAGE("session_id of 1 byte", "\x0a\x01x"),
	MESSAGE("session_id as varint", "\x08\x01"),
	MESSAGE("worker_id as bytes", "\x12\x01x"),
	MESSAGE("worker_id as fixed32", "\x15\1\2\3\4"),
	MESSAGE("node as varint", "\x30\x01"),
	MESSAGE("packets as varint", "\x58\x01"),
	MESSAGE("min_time as varint", "\x80\x01\x01"),
	MESSAGE("counters as varint", "\x90\x01\x01"),
	MESSAGE("watermark as fixed32", "\xa5\x01\1\2\3\4"),
	/* Inside a packet. */
	MESSAGE("field number 0 in a packet", "\x5a\x02\x00\x01"),
	MESSAGE("group in a packet", "\x5a\x02\x5b\x5c"),
	MESSAGE("packet longer than the message", "\x5a\x03\x10\x05"),
	MESSAGE("data longer than the packet, not than the message", "\x5a\x03\x22\x03x\x10\x05"),
	MESSAGE("time longer than the packet", "\x5a\x05\x09\1\2\3\4\x32\x04"
					       "abcd"),
	MESSAGE("rx_hash longer than the packet", "\x5a\x04\x45\1\2\3\x10\x05"),
	MESSAGE("varint over the packet's end", "\x5a\x02\x10\x80\x10\x05"),
	MESSAGE("interface_index beyond 32 bits", "\x5a\x06\x10\x80\x80\x80\x80\x10"),
	MESSAGE("original_length beyond 32 bits", "\x5a\x06\x18\x80\x80\x80\x80\x10"),
	MESSAGE("packet flags beyond 32 bits", "\x5a\x06\x28\x80\x80\x80\x80\x10"),
	MESSAGE("status beyond 32 bits", "\x5a\x06\x50\x80\x80\x80\x80\x10"),
	MESSAGE("vlan_tci beyond 16 bits", "\x5a\x04\x30\x80\x80\x04"),
	MESSAGE("vlan_tpid beyond 16 bits", "\x5a\x04\x38\x80\x80\x04"),
	MESSAGE("vnet_header of 25 bytes", "\x5a\x1b\x4a\x19"
					   "0123456789012345678901234"),
	MESSAGE("time as varint", "\x5a\x02\x08\x01"),
	MESSAGE("rx_hash as varint", "\x5a\x02\x40\x01"),
	MESSAGE("data as varint", "\x5a\x02\x20\x01"),
	MESSAGE("second packet broken", "\x5a\x02\x10\x05\x5a\x02\x00\x01"),
	/* Inside an interface and the counters. */
	MESSAGE("field number 0 in an interface", "\x3a\x02\x00\x01"),
	MESSAGE("interface longer than the message", "\x3a\x03\x08\x05"),
	MESSAGE("name longer than the interface", "\x3a\x03\x12\x05xabcdef"),
	MESSAGE("index beyond 32 bits", "\x3a\x06\x08\x80\x80\x80\x80\x10"),
	MESSAGE("link_type beyond 32 bits", "\x3a\x06\x18\x80\x80\x80\x80\x10"),
	MESSAGE("snap_length beyond 32 bits", "\x3a\x06\x20\x80\x80\x80\x80\x10"),
	MESSAGE("timestamp_source beyond 32 bits", "\x3a\x06\x38\x80\x80\x80\x80\x10"),
	MESSAGE("name as varint", "\x3a\x02\x10\x01"),
	MESSAGE("defragmented as bytes", "\x3a\x02\x42\x00"),
	MESSAGE("field number 0 in the counters", "\x92\x01\x02\x00\x01"),
	MESSAGE("counter as bytes", "\x92\x01\x02\x0a\x00"),
	MESSAGE("last counter as fixed32", "\x92\x01\x06\xb5\x01\1\2\3\4"),
	MESSAGE("counter of 11 bytes", "\x92\x01\x0c\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
	MESSAGE("counters longer than the message", "\x92\x01\x03\x08\x05"),
};

/* The neighbours: without them a reader that rejects everything would pass. */
static const struct message good_batches[] = {
	MESSAGE("field number 9", "\x48\x01"),
	MESSAGE("tag of 5 bytes", "\xc8\x80\x80\x80\x00\x01"),
	MESSAGE("greatest tag", "\xf8\xff\xff\xff\x0f\x01"),
	MESSAGE("varint of 10 bytes", "\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
	MESSAGE("unknown varint of 10 bytes", "\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
	MESSAGE("fixed64", "\x81\x01\1\2\3\4\5\6\7\x08"),
	MESSAGE("unknown fixed64", "\x61\1\2\3\4\5\6\7\x08"),
	MESSAGE("unknown fixed32", "\x65\1\2\3\4"),
	MESSAGE("length of 5 bytes", "\x32\x81\x80\x80\x80\x00x"),
	MESSAGE("greatest worker_id", "\x10\xff\xff\xff\xff\x0f"),
	MESSAGE("session_id of 16 bytes", "\x0a\x10"
					  "0123456789abcdef"),
	MESSAGE("session_id of no bytes", "\x0a\x00"),
	MESSAGE("data as long as the packet", "\x5a\x03\x22\x01x\x10\x05"),
	MESSAGE("greatest vlan_tci", "\x5a\x04\x30\xff\xff\x03"),
	MESSAGE("greatest vlan_tpid", "\x5a\x04\x38\xff\xff\x03"),
	MESSAGE("vnet_header of 24 bytes", "\x5a\x1a\x4a\x18"
					   "012345678901234567890123"),
	MESSAGE("greatest original_length", "\x5a\x06\x18\xff\xff\xff\xff\x0f"),
	MESSAGE("last counter", "\x92\x01\x03\xb0\x01\x05"),
	MESSAGE("node that is not UTF-8", "\x32\x01\xff"),
};

static const struct message records[] = {
	MESSAGE("field number 0", "\x00\x01"),
	MESSAGE("group", "\xcb\x01\xcc\x01"),
	MESSAGE("session_id of 15 bytes", "\x0a\x0f"
					  "0123456789abcde"),
	MESSAGE("worker_id beyond 32 bits", "\x10\x80\x80\x80\x80\x10"),
	MESSAGE("stream_id beyond 32 bits", "\x18\x80\x80\x80\x80\x10"),
	MESSAGE("interface_index beyond 32 bits", "\x40\x80\x80\x80\x80\x10"),
	MESSAGE("link_type beyond 32 bits", "\x50\x80\x80\x80\x80\x10"),
	MESSAGE("original_length beyond 32 bits", "\x58\x80\x80\x80\x80\x10"),
	MESSAGE("vlan_tci beyond 16 bits", "\x70\x80\x80\x04"),
	MESSAGE("vlan_tpid beyond 16 bits", "\x78\x80\x80\x04"),
	MESSAGE("vnet_header of 25 bytes", "\x8a\x01\x19"
					   "0123456789012345678901234"),
	MESSAGE("status beyond 32 bits", "\x90\x01\x80\x80\x80\x80\x10"),
	MESSAGE("flow_bucket_plus_one beyond 32 bits", "\xc0\x01\x80\x80\x80\x80\x10"),
	MESSAGE("data beyond the end", "\x62\x03xy"),
	MESSAGE("time of 7 bytes", "\x39\1\2\3\4\5\6\7"),
	MESSAGE("rx_hash of 3 bytes", "\x85\x01\1\2\3"),
	MESSAGE("rx_hash as varint", "\x80\x01\x01"),
	MESSAGE("filter as varint", "\xa0\x01\x01"),
	MESSAGE("last field as bytes", "\xc2\x01\x00"),
	MESSAGE("varint of 11 bytes", "\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
};

static const struct message good_records[] = {
	MESSAGE("unknown field 25", "\xc8\x01\x01"),
	MESSAGE("session_id of 16 bytes", "\x0a\x10"
					  "0123456789abcdef"),
	MESSAGE("greatest vlan_tci", "\x70\xff\xff\x03"),
	MESSAGE("vnet_header of 24 bytes", "\x8a\x01\x18"
					   "012345678901234567890123"),
	MESSAGE("rx_hash", "\x85\x01\1\2\3\4"),
	MESSAGE("greatest status", "\x90\x01\xff\xff\xff\xff\x0f"),
};

static int read_batch(const void *bytes, size_t length)
{
	struct wbproto_reader reader;

	return wbproto_reader_init(&reader, bytes, length);
}

static int read_record(const void *bytes, size_t length)
{
	struct wbproto_record record;

	return wbproto_record_read(bytes, length, &record);
}

static void check(
	int (*read)(const void *bytes, size_t length), const struct message *messages, size_t count, int wanted)
{
	for (size_t i = 0; i < count; i++) {
		/* Exactly its size, so that AddressSanitizer sees a read beyond it. */
		uint8_t *exact = malloc(messages[i].length);
		int r;

		assert_non_null(exact);
		memcpy(exact, messages[i].bytes, messages[i].length);
		r = read(exact, messages[i].length);
		free(exact);
		if (r != wanted)
			fail_msg("%s: %d, not %d", messages[i].why, r, wanted);
	}
}

static void test_batches(void **state)
{
	check(read_batch, batches, ARRAY_LENGTH(batches), -EBADMSG);
	check(read_batch, good_batches, ARRAY_LENGTH(good_batches), 0);
}

static void test_records(void **state)
{
	check(read_record, records, ARRAY_LENGTH(records), -EBADMSG);
	check(read_record, good_records, ARRAY_LENGTH(good_records), 0);
}

static void test_two_gibibytes(void **state)
{
	/* Rejected for its length alone: nothing is read. */
	assert_int_equal(read_batch("", (size_t)INT32_MAX + 1), -EBADMSG);
	assert_int_equal(read_record("", (size_t)INT32_MAX + 1), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_two_gibibytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
