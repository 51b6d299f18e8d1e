/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The batch reader on arbitrary bytes, with protobuf-c's unpack beside it: what the reader accepts protobuf-c accepts,
 * and both see the same.
 */
#include "fuzz.h"
#include "wbproto.h"
#include "wirebus/v1/packet_batch.pb-c.h"

#include <errno.h>

/* Looking up is linear, so only the first ones are: the fuzzer would love to find the square. */
#define INTERFACES_LOOKED_UP 64

static void check_packet(const struct wbproto_packet *packet, const Wirebus__V1__Packet *other)
{
	FUZZ_CHECK(packet->time_unix_ns == other->time_unix_nano);
	FUZZ_CHECK(packet->interface_index == other->interface_index);
	FUZZ_CHECK(packet->original_length == other->original_length);
	FUZZ_CHECK(packet->flags == other->flags);
	FUZZ_CHECK(packet->vlan_tci == other->vlan_tci);
	FUZZ_CHECK(packet->vlan_tpid == other->vlan_tpid);
	FUZZ_CHECK(packet->rx_hash == other->rx_hash);
	FUZZ_CHECK(packet->status == other->status);
	FUZZ_CHECK(fuzz_same_bytes(packet->data, packet->captured_length, other->data.data, other->data.len));
	FUZZ_CHECK(fuzz_same_bytes(
		packet->vnet_header, packet->vnet_header_length, other->vnet_header.data, other->vnet_header.len));
}

static void check_interface(const struct wbproto_interface *interface, const Wirebus__V1__Interface *other)
{
	FUZZ_CHECK(interface->index == other->index);
	FUZZ_CHECK(interface->link_type == other->link_type);
	FUZZ_CHECK(interface->snap_length == other->snap_length);
	FUZZ_CHECK(interface->timestamp_source == other->timestamp_source);
	FUZZ_CHECK(interface->speed_bps == other->speed_bps);
	FUZZ_CHECK(interface->defragmented == !!other->defragmented);
	FUZZ_CHECK(fuzz_same_bytes(interface->name.data, interface->name.length, other->name.data, other->name.len));
	FUZZ_CHECK(fuzz_same_bytes(
		interface->filter.data, interface->filter.length, other->filter.data, other->filter.len));
}

static void check_interfaces(const struct wbproto_reader *reader, const Wirebus__V1__PacketBatch *other)
{
	struct wbproto_interface interface;

	FUZZ_CHECK(reader->batch.interface_count == other->n_interfaces);
	for (size_t i = 0; i < other->n_interfaces && i < INTERFACES_LOOKED_UP; i++) {
		size_t first = 0;

		FUZZ_CHECK(wbproto_reader_interface_at(reader, i, &interface) == 0);
		check_interface(&interface, other->interfaces[i]);
		while (other->interfaces[first]->index != other->interfaces[i]->index)
			first++;
		FUZZ_CHECK(wbproto_reader_interface(reader, other->interfaces[i]->index, &interface) == 0);
		check_interface(&interface, other->interfaces[first]);
	}
	FUZZ_CHECK(wbproto_reader_interface_at(reader, other->n_interfaces, &interface) == -ENOENT);
}

static uint64_t take_varint(const uint8_t **p)
{
	uint64_t value = 0;
	unsigned int shift = 0;

	do
		value |= (uint64_t)(**p & 0x7f) << shift;
	while (shift += 7, *(*p)++ & 0x80);
	return value;
}

static const uint8_t *skip_bytes(const uint8_t *p)
{
	uint64_t length = take_varint(&p);

	return p + length;
}

/* How often the counters occur in a message that was accepted. */
static size_t count_counters(const uint8_t *p, size_t size)
{
	const uint8_t *end = p + size;
	size_t count = 0;

	while (p < end) {
		uint64_t tag = take_varint(&p);

		count += tag >> 3 == 18;
		if ((tag & 7) == 0)
			take_varint(&p);
		else if ((tag & 7) == 1)
			p += 8;
		else if ((tag & 7) == 5)
			p += 4;
		else
			p = skip_bytes(p);
	}
	return count;
}

static void check_counters(const struct wbproto_batch *batch, const Wirebus__V1__Counters *other)
{
	const ProtobufCMessageDescriptor *descriptor = &wirebus__v1__counters__descriptor;
	uint64_t values[sizeof(batch->counters) / sizeof(uint64_t)];

	memcpy(values, &batch->counters, sizeof(values));
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		uint64_t value;

		memcpy(&value, (const uint8_t *)other + descriptor->fields[i].offset, sizeof(value));
		FUZZ_CHECK(values[i] == value);
	}
}

static void check_facts(const struct wbproto_batch *batch, const Wirebus__V1__PacketBatch *other)
{
	static const uint8_t no_session[WBPROTO_SESSION_ID_BYTES];

	if (other->session_id.len > 0)
		FUZZ_CHECK(fuzz_same_bytes(
			batch->session_id, WBPROTO_SESSION_ID_BYTES, other->session_id.data, other->session_id.len));
	else
		FUZZ_CHECK(memcmp(batch->session_id, no_session, sizeof(no_session)) == 0);
	FUZZ_CHECK(batch->worker_id == other->worker_id);
	FUZZ_CHECK(batch->stream_id == other->stream_id);
	FUZZ_CHECK(batch->batch_seq == other->batch_seq);
	FUZZ_CHECK(batch->first_packet_seq == other->first_packet_seq);
	FUZZ_CHECK(batch->flow_bucket_plus_one == other->flow_bucket_plus_one);
	FUZZ_CHECK(batch->min_time_unix_ns == other->min_time_unix_nano);
	FUZZ_CHECK(batch->max_time_unix_ns == other->max_time_unix_nano);
	FUZZ_CHECK(batch->flags == other->flags);
	FUZZ_CHECK(batch->watermark_unix_ns == other->watermark_unix_nano);
	FUZZ_CHECK(fuzz_same_bytes(batch->node.data, batch->node.length, other->node.data, other->node.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Wirebus__V1__PacketBatch *other;
	struct wbproto_packet packet;
	struct wbproto_reader reader;

	if (wbproto_reader_init(&reader, data, size) < 0) {
		FUZZ_CHECK(wbproto_reader_next(&reader, &packet) == 0);
		return 0;
	}
	other = wirebus__v1__packet_batch__unpack(NULL, size, data);
	FUZZ_CHECK(other != NULL);
	check_facts(&reader.batch, other);
	FUZZ_CHECK(reader.batch.has_counters == (other->counters != NULL));
	/* protobuf-c 1.4 loses values when it merges several occurrences; protobuf's own parsers and the reader do not.
	 */
	if (other->counters && count_counters(data, size) == 1)
		check_counters(&reader.batch, other->counters);
	check_interfaces(&reader, other);
	FUZZ_CHECK(reader.packet_count == other->n_packets);
	for (size_t i = 0; i < other->n_packets; i++) {
		FUZZ_CHECK(wbproto_reader_next(&reader, &packet) == 1);
		check_packet(&packet, other->packets[i]);
	}
	FUZZ_CHECK(wbproto_reader_next(&reader, &packet) == 0);
	wirebus__v1__packet_batch__free_unpacked(other, NULL);
	return 0;
}
