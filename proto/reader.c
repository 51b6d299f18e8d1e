/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a PacketBatch in place. wbproto_reader_init() walks over everything once; what comes later walks over the same
 * bytes with the same checks, so that even a message that changes meanwhile is never read beyond its end.
 */
#include "reader.h"
#include "fields.h"
#include "wire.h"

#include <errno.h>

_Static_assert(sizeof(struct wbproto_counters) == WBP_COUNTERS_FIELDS * sizeof(uint64_t), "one value for each field");

/* Fields that occur keep their last value, also when the message itself occurs several times. */
static bool read_counters(const uint8_t *p, const uint8_t *end, struct wbproto_counters *counters)
{
	uint64_t values[WBP_COUNTERS_FIELDS];

	memcpy(values, counters, sizeof(values));
	while (p && p < end) {
		uint32_t tag;

		p = wbp_get_tag(p, end, &tag);
		if (!p)
			break;
		if (tag >= WBP_TAG(1, WBP_VARINT) && tag <= WBP_TAG(WBP_COUNTERS_FIELDS, WBP_VARINT) &&
			(tag & 7) == WBP_VARINT)
			p = wbp_get_u64(p, end, &values[(tag >> 3) - 1]);
		else
			p = wbp_skip(p, end, tag, WBP_COUNTERS_KNOWN);
	}
	memcpy(counters, values, sizeof(values));
	return p != NULL;
}

static const uint8_t *interface_field(
	const uint8_t *p, const uint8_t *end, uint32_t tag, struct wbproto_interface *interface)
{
	switch (tag) {
	case WBP_INTERFACE_INDEX:
		return wbp_get_u32(p, end, &interface->index);
	case WBP_INTERFACE_NAME:
		return wbp_get_view(p, end, &interface->name);
	case WBP_INTERFACE_LINK_TYPE:
		return wbp_get_u32(p, end, &interface->link_type);
	case WBP_INTERFACE_SNAP_LENGTH:
		return wbp_get_u32(p, end, &interface->snap_length);
	case WBP_INTERFACE_FILTER:
		return wbp_get_view(p, end, &interface->filter);
	case WBP_INTERFACE_SPEED:
		return wbp_get_u64(p, end, &interface->speed_bps);
	case WBP_INTERFACE_TIMESTAMP_SOURCE:
		return wbp_get_u32(p, end, &interface->timestamp_source);
	case WBP_INTERFACE_DEFRAGMENTED:
		return wbp_get_bool(p, end, &interface->defragmented);
	default:
		return wbp_skip(p, end, tag, WBP_INTERFACE_KNOWN);
	}
}

static bool read_interface(const uint8_t *p, const uint8_t *end, struct wbproto_interface *ret_interface)
{
	*ret_interface = (struct wbproto_interface){0};
	while (p && p < end) {
		uint32_t tag;

		p = wbp_get_tag(p, end, &tag);
		if (p)
			p = interface_field(p, end, tag, ret_interface);
	}
	return p != NULL;
}

/* The packet is earlier than one before it. */
static void note_disorder(struct wbproto_reader *reader, uint64_t time_unix_ns)
{
	reader->in_time_order = false;
	if (time_unix_ns < reader->least_time_unix_ns)
		reader->least_time_unix_ns = time_unix_ns;
}

/* A packet, the only field that occurs often. tag_at: where the field begins. */
static const uint8_t *batch_packet(struct wbproto_reader *reader, const uint8_t *tag_at, const uint8_t *p)
{
	struct wbproto_packet packet;
	const uint8_t *data;
	uint32_t length;

	p = wbp_get_bytes(p, reader->end, &data, &length);
	if (!p || !wbp_read_packet(data, p, &packet))
		return NULL;
	if (reader->packet_count++ == 0) {
		reader->next = tag_at;
		reader->least_time_unix_ns = packet.time_unix_ns;
	}
	if (packet.time_unix_ns >= reader->greatest_time_unix_ns)
		reader->greatest_time_unix_ns = packet.time_unix_ns;
	else
		note_disorder(reader, packet.time_unix_ns);
	return p;
}

/* The other fields that hold messages. */
static const uint8_t *batch_message(
	struct wbproto_reader *reader, const uint8_t *tag_at, const uint8_t *p, uint32_t tag)
{
	struct wbproto_interface interface;
	const uint8_t *data;
	uint32_t length;

	p = wbp_get_bytes(p, reader->end, &data, &length);
	if (!p)
		return NULL;
	if (tag == WBP_BATCH_INTERFACES) {
		if (reader->batch.interface_count++ == 0)
			reader->first_interface = tag_at;
		else if (tag_at != reader->interfaces_end)
			reader->scattered = true;
		reader->interfaces_end = p;
		return read_interface(data, p, &interface) ? p : NULL;
	}
	reader->batch.has_counters = true;
	return read_counters(data, p, &reader->batch.counters) ? p : NULL;
}

static const uint8_t *batch_field(struct wbproto_reader *reader, const uint8_t *tag_at)
{
	struct wbproto_batch *batch = &reader->batch;
	const uint8_t *end = reader->end;
	const uint8_t *p;
	uint32_t tag;

	p = wbp_get_tag(tag_at, end, &tag);
	if (!p)
		return NULL;
	if (__builtin_expect(tag == WBP_BATCH_PACKETS, 1))
		return batch_packet(reader, tag_at, p);
	switch (tag) {
	case WBP_BATCH_INTERFACES:
	case WBP_BATCH_COUNTERS:
		return batch_message(reader, tag_at, p, tag);
	case WBP_BATCH_SESSION_ID:
		return wbp_get_session_id(p, end, batch->session_id);
	case WBP_BATCH_WORKER_ID:
		return wbp_get_u32(p, end, &batch->worker_id);
	case WBP_BATCH_STREAM_ID:
		return wbp_get_u32(p, end, &batch->stream_id);
	case WBP_BATCH_BATCH_SEQ:
		return wbp_get_u64(p, end, &batch->batch_seq);
	case WBP_BATCH_FIRST_PACKET_SEQ:
		return wbp_get_u64(p, end, &batch->first_packet_seq);
	case WBP_BATCH_NODE:
		return wbp_get_view(p, end, &batch->node);
	case WBP_BATCH_FLOW_BUCKET:
		return wbp_get_u32(p, end, &batch->flow_bucket_plus_one);
	case WBP_BATCH_MIN_TIME:
		return wbp_get_fixed64(p, end, &batch->min_time_unix_ns);
	case WBP_BATCH_MAX_TIME:
		return wbp_get_fixed64(p, end, &batch->max_time_unix_ns);
	case WBP_BATCH_FLAGS:
		return wbp_get_u32(p, end, &batch->flags);
	case WBP_BATCH_WATERMARK:
		return wbp_get_fixed64(p, end, &batch->watermark_unix_ns);
	default:
		return wbp_skip(p, end, tag, WBP_BATCH_KNOWN);
	}
}

int wbproto_reader_init(struct wbproto_reader *reader, const void *message, size_t length)
{
	static const uint8_t nothing[1];
	const uint8_t *p = length > 0 ? message : nothing;

	*reader = (struct wbproto_reader){.message = p, .end = p + length, .in_time_order = true};
	reader->next = reader->end;
	reader->first_interface = reader->end;
	if (length > INT32_MAX)
		return -EBADMSG;
	while (p && p < reader->end)
		p = batch_field(reader, p);
	if (p)
		return 0;
	*reader = (struct wbproto_reader){
		.message = nothing, .end = nothing, .next = nothing, .first_interface = nothing};
	return -EBADMSG;
}

/* Find the next field `wanted` from p on, its value in ret_data; NULL at the end. */
static inline const uint8_t *find(const uint8_t *p, const uint8_t *end, uint32_t wanted, const uint8_t **ret_data)
{
	uint32_t tag, length;

	while (p && p < end) {
		p = wbp_get_tag(p, end, &tag);
		if (p && tag == wanted)
			return wbp_get_bytes(p, end, ret_data, &length);
		if (p)
			p = wbp_skip(p, end, tag, 0);
	}
	return NULL;
}

void wbproto_reader_move(struct wbproto_reader *reader, const void *copy)
{
	const uint8_t *from = reader->message, *to = copy;

	if (reader->batch.node.length)
		reader->batch.node.data = to + ((const uint8_t *)reader->batch.node.data - from);
	reader->end = to + (reader->end - from);
	reader->next = to + (reader->next - from);
	reader->first_interface = to + (reader->first_interface - from);
	reader->interfaces_end = NULL; /* of no use after init */
	reader->message = to;
}

int wbproto_reader_next(struct wbproto_reader *reader, struct wbproto_packet *ret_packet)
{
	const uint8_t *data, *p;

	p = find(reader->next, reader->end, WBP_BATCH_PACKETS, &data);
	if (!p || !wbp_read_packet(data, p, ret_packet)) {
		reader->next = reader->end;
		return 0;
	}
	reader->next = p;
	return 1;
}

int wbproto_reader_interface_at(
	const struct wbproto_reader *reader, size_t position, struct wbproto_interface *ret_interface)
{
	const uint8_t *data, *p = reader->first_interface;

	if (position >= reader->batch.interface_count)
		return -ENOENT;
	for (size_t i = 0; i <= position; i++) {
		p = find(p, reader->end, WBP_BATCH_INTERFACES, &data);
		if (!p)
			return -ENOENT;
	}
	return read_interface(data, p, ret_interface) ? 0 : -ENOENT;
}

int wbproto_reader_interface(
	const struct wbproto_reader *reader, uint32_t index, struct wbproto_interface *ret_interface)
{
	const uint8_t *data, *p = reader->first_interface;

	for (size_t i = 0; i < reader->batch.interface_count; i++) {
		p = find(p, reader->end, WBP_BATCH_INTERFACES, &data);
		if (!p || !read_interface(data, p, ret_interface))
			break;
		if (ret_interface->index == index)
			return 0;
	}
	return -ENOENT;
}
