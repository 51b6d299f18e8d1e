/* SPDX-License-Identifier: Apache-2.0 */
/* Single packets as PacketRecord. */
#include "fields.h"
#include "reader.h"
#include "utf8.h"
#include "varint.h"
#include "wire.h"

#include <errno.h>

/*
 * Goes over the fields twice: with out NULL it only counts their bytes, then it writes them. Both ways are the same
 * code, so that they cannot disagree.
 */
struct writer {
	uint8_t *out;
	uint64_t bytes;
};

static void put_varint(struct writer *w, uint64_t value)
{
	w->bytes += wbp_varint_bytes(value);
	if (w->out)
		w->out = wbp_put_varint(w->out, value);
}

static void put_uint(struct writer *w, uint32_t tag, uint64_t value)
{
	if (value == 0)
		return;
	put_varint(w, tag);
	put_varint(w, value);
}

static void put_fixed64(struct writer *w, uint32_t tag, uint64_t value)
{
	if (value == 0)
		return;
	put_varint(w, tag);
	w->bytes += sizeof(value);
	if (w->out)
		w->out = wbp_put_le64(w->out, value);
}

static void put_fixed32(struct writer *w, uint32_t tag, uint32_t value)
{
	if (value == 0)
		return;
	put_varint(w, tag);
	w->bytes += sizeof(value);
	if (w->out)
		w->out = wbp_put_le32(w->out, value);
}

static void put_bytes(struct writer *w, uint32_t tag, const void *data, size_t length)
{
	if (length == 0)
		return;
	put_varint(w, tag);
	put_varint(w, length);
	w->bytes += length;
	if (!w->out)
		return;
	memcpy(w->out, data, length);
	w->out += length;
}

static void put_record(struct writer *w, const struct wbproto_record *record)
{
	static const uint8_t no_session[WBPROTO_SESSION_ID_BYTES];
	const struct wbproto_interface *interface = &record->interface;
	const struct wbproto_packet *packet = &record->packet;

	if (memcmp(record->session_id, no_session, sizeof(no_session)) != 0)
		put_bytes(w, WBP_RECORD_SESSION_ID, record->session_id, sizeof(record->session_id));
	put_uint(w, WBP_RECORD_WORKER_ID, record->worker_id);
	put_uint(w, WBP_RECORD_STREAM_ID, record->stream_id);
	put_uint(w, WBP_RECORD_BATCH_SEQ, record->batch_seq);
	put_uint(w, WBP_RECORD_PACKET_SEQ, record->packet_seq);
	put_bytes(w, WBP_RECORD_NODE, record->node.data, record->node.length);
	put_fixed64(w, WBP_RECORD_TIME, packet->time_unix_ns);
	put_uint(w, WBP_RECORD_INTERFACE_INDEX, packet->interface_index);
	put_bytes(w, WBP_RECORD_INTERFACE_NAME, interface->name.data, interface->name.length);
	put_uint(w, WBP_RECORD_LINK_TYPE, interface->link_type);
	put_uint(w, WBP_RECORD_ORIGINAL_LENGTH, packet->original_length);
	put_bytes(w, WBP_RECORD_DATA, packet->data, packet->captured_length);
	put_uint(w, WBP_RECORD_FLAGS, packet->flags);
	put_uint(w, WBP_RECORD_VLAN_TCI, packet->vlan_tci);
	put_uint(w, WBP_RECORD_VLAN_TPID, packet->vlan_tpid);
	put_fixed32(w, WBP_RECORD_RX_HASH, packet->rx_hash);
	put_bytes(w, WBP_RECORD_VNET_HEADER, packet->vnet_header, packet->vnet_header_length);
	put_uint(w, WBP_RECORD_STATUS, packet->status);
	put_uint(w, WBP_RECORD_SNAP_LENGTH, interface->snap_length);
	put_bytes(w, WBP_RECORD_FILTER, interface->filter.data, interface->filter.length);
	put_uint(w, WBP_RECORD_SPEED, interface->speed_bps);
	put_uint(w, WBP_RECORD_TIMESTAMP_SOURCE, interface->timestamp_source);
	put_uint(w, WBP_RECORD_DEFRAGMENTED, interface->defragmented);
	put_uint(w, WBP_RECORD_FLOW_BUCKET, record->flow_bucket_plus_one);
}

static uint64_t record_bytes(const struct wbproto_record *record)
{
	struct writer count = {0};

	put_record(&count, record);
	return count.bytes;
}

/* Tags, numbers and lengths of all fields: 24 tags of up to 2 bytes, and varints of up to 10. */
#define NUMBERS_MAX_BYTES 288

/* Upper bound that needs no look at the numbers. */
static uint64_t most_bytes(const struct wbproto_record *record)
{
	return (uint64_t)NUMBERS_MAX_BYTES + WBPROTO_VNET_HEADER_BYTES + record->packet.captured_length +
	       record->node.length + record->interface.name.length + record->interface.filter.length;
}

size_t wbproto_record_encoded_bytes(const struct wbproto_record *record)
{
	return (size_t)record_bytes(record);
}

int wbproto_record_write(const struct wbproto_record *record, void *buffer, size_t capacity, size_t *ret_size)
{
	struct writer writer = {.out = buffer};
	uint64_t bytes;

	if (record->packet.vnet_header_length > WBPROTO_VNET_HEADER_BYTES || !wbp_utf8_valid(record->node) ||
		!wbp_utf8_valid(record->interface.name) || !wbp_utf8_valid(record->interface.filter))
		return -EINVAL;
	/* Usually there is room for whatever the numbers are: counting first would take as long as writing. */
	if (capacity < most_bytes(record) || most_bytes(record) > INT32_MAX) {
		bytes = record_bytes(record);
		if (bytes > capacity || bytes > INT32_MAX) /* protobuf has no larger messages */
			return -ENOSPC;
	}
	put_record(&writer, record);
	*ret_size = (size_t)writer.bytes;
	return 0;
}

static const uint8_t *packet_field(const uint8_t *p, const uint8_t *end, uint32_t tag, struct wbproto_packet *packet)
{
	switch (tag) {
	case WBP_RECORD_TIME:
		return wbp_get_fixed64(p, end, &packet->time_unix_ns);
	case WBP_RECORD_INTERFACE_INDEX:
		return wbp_get_u32(p, end, &packet->interface_index);
	case WBP_RECORD_ORIGINAL_LENGTH:
		return wbp_get_u32(p, end, &packet->original_length);
	case WBP_RECORD_DATA:
		return wbp_get_data(p, end, packet);
	case WBP_RECORD_FLAGS:
		return wbp_get_u32(p, end, &packet->flags);
	case WBP_RECORD_VLAN_TCI:
		return wbp_get_u16(p, end, &packet->vlan_tci);
	case WBP_RECORD_VLAN_TPID:
		return wbp_get_u16(p, end, &packet->vlan_tpid);
	case WBP_RECORD_RX_HASH:
		return wbp_get_fixed32(p, end, &packet->rx_hash);
	case WBP_RECORD_VNET_HEADER:
		return wbp_get_vnet_header(p, end, packet);
	case WBP_RECORD_STATUS:
		return wbp_get_u32(p, end, &packet->status);
	default:
		return wbp_skip(p, end, tag, WBP_RECORD_KNOWN);
	}
}

static const uint8_t *record_field(const uint8_t *p, const uint8_t *end, uint32_t tag, struct wbproto_record *record)
{
	switch (tag) {
	case WBP_RECORD_SESSION_ID:
		return wbp_get_session_id(p, end, record->session_id);
	case WBP_RECORD_WORKER_ID:
		return wbp_get_u32(p, end, &record->worker_id);
	case WBP_RECORD_STREAM_ID:
		return wbp_get_u32(p, end, &record->stream_id);
	case WBP_RECORD_BATCH_SEQ:
		return wbp_get_u64(p, end, &record->batch_seq);
	case WBP_RECORD_PACKET_SEQ:
		return wbp_get_u64(p, end, &record->packet_seq);
	case WBP_RECORD_NODE:
		return wbp_get_view(p, end, &record->node);
	case WBP_RECORD_INTERFACE_NAME:
		return wbp_get_view(p, end, &record->interface.name);
	case WBP_RECORD_LINK_TYPE:
		return wbp_get_u32(p, end, &record->interface.link_type);
	case WBP_RECORD_SNAP_LENGTH:
		return wbp_get_u32(p, end, &record->interface.snap_length);
	case WBP_RECORD_FILTER:
		return wbp_get_view(p, end, &record->interface.filter);
	case WBP_RECORD_SPEED:
		return wbp_get_u64(p, end, &record->interface.speed_bps);
	case WBP_RECORD_TIMESTAMP_SOURCE:
		return wbp_get_u32(p, end, &record->interface.timestamp_source);
	case WBP_RECORD_DEFRAGMENTED:
		return wbp_get_bool(p, end, &record->interface.defragmented);
	case WBP_RECORD_FLOW_BUCKET:
		return wbp_get_u32(p, end, &record->flow_bucket_plus_one);
	default:
		return packet_field(p, end, tag, &record->packet);
	}
}

int wbproto_record_read(const void *message, size_t length, struct wbproto_record *ret_record)
{
	static const uint8_t nothing[1];
	const uint8_t *p = length > 0 ? message : nothing;
	const uint8_t *end = p + length;

	*ret_record = (struct wbproto_record){0};
	if (length > INT32_MAX)
		return -EBADMSG;
	while (p && p < end) {
		uint32_t tag;

		p = wbp_get_tag(p, end, &tag);
		if (p)
			p = record_field(p, end, tag, ret_record);
	}
	if (!p)
		return -EBADMSG;
	ret_record->interface.index = ret_record->packet.interface_index;
	return 0;
}
