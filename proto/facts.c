/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts of a batch through protobuf-c. The head is packed in parts, each a PacketBatch of its own: fields 1 to 6, each
 * interface, field 8. Messages that follow one another merge, so the parts are one message; and because the field
 * numbers ascend, its bytes are those of packing it at once. This way an array of interfaces is never needed.
 */
#include "facts.h"
#include "utf8.h"
#include "wirebus/v1/packet_batch.pb-c.h"

#include <errno.h>

static ProtobufCBinaryData bytes_of(const void *data, size_t length)
{
	/* protobuf-c takes a pointer to non-const data and does not write to it. */
	return (ProtobufCBinaryData){.len = length, .data = (uint8_t *)data};
}

static bool is_zero(const uint8_t *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (data[i] != 0)
			return false;
	return true;
}

int wbp_facts_check(const struct wbproto_batch *batch)
{
	if (!wbp_utf8_valid(batch->node))
		return -EINVAL;
	for (size_t i = 0; i < batch->interface_count; i++)
		if (!wbp_utf8_valid(batch->interfaces[i].name) || !wbp_utf8_valid(batch->interfaces[i].filter))
			return -EINVAL;
	return 0;
}

static void fill_identity(Wirebus__V1__PacketBatch *message, const struct wbproto_batch *batch)
{
	wirebus__v1__packet_batch__init(message);
	if (!is_zero(batch->session_id, sizeof(batch->session_id)))
		message->session_id = bytes_of(batch->session_id, sizeof(batch->session_id));
	message->worker_id = batch->worker_id;
	message->stream_id = batch->stream_id;
	message->batch_seq = batch->batch_seq;
	message->first_packet_seq = batch->first_packet_seq;
	message->node = bytes_of(batch->node.data, batch->node.length);
}

static void fill_interface(Wirebus__V1__Interface *message, const struct wbproto_interface *interface)
{
	wirebus__v1__interface__init(message);
	message->index = interface->index;
	message->name = bytes_of(interface->name.data, interface->name.length);
	message->link_type = interface->link_type;
	message->snap_length = interface->snap_length;
	message->filter = bytes_of(interface->filter.data, interface->filter.length);
	message->speed_bps = interface->speed_bps;
	message->timestamp_source = interface->timestamp_source;
	message->defragmented = interface->defragmented;
}

static void fill_counters(Wirebus__V1__Counters *message, const struct wbproto_counters *counters)
{
	wirebus__v1__counters__init(message);
	message->kernel_seen = counters->kernel_seen;
	message->kernel_dropped = counters->kernel_dropped;
	message->read = counters->read;
	message->filtered = counters->filtered;
	message->sampled_out = counters->sampled_out;
	message->accepted = counters->accepted;
	message->truncated = counters->truncated;
	message->recovered = counters->recovered;
	message->delivered = counters->delivered;
	message->handed_over = counters->handed_over;
	message->failed = counters->failed;
	message->unknown = counters->unknown;
	message->dropped = counters->dropped;
	message->open = counters->open;
	message->in_flight = counters->in_flight;
	message->spooled = counters->spooled;
	message->kernel_freezes = counters->kernel_freezes;
	message->dropped_too_large = counters->dropped_too_large;
	message->dropped_no_buffer = counters->dropped_no_buffer;
	message->dropped_bus_full = counters->dropped_bus_full;
	message->dropped_shutdown = counters->dropped_shutdown;
	message->dropped_spool_full = counters->dropped_spool_full;
	message->interface_gaps = counters->interface_gaps;
	message->interface_gap_nano = counters->interface_gap_ns;
}

/* Bytes of a part of the head; written to out unless that is NULL. */
static size_t emit(const Wirebus__V1__PacketBatch *message, uint8_t *out)
{
	if (!out)
		return wirebus__v1__packet_batch__get_packed_size(message);
	return wirebus__v1__packet_batch__pack(message, out);
}

static size_t emit_head(const struct wbproto_batch *batch, uint8_t *out)
{
	Wirebus__V1__PacketBatch message;
	Wirebus__V1__Interface interface;
	Wirebus__V1__Interface *interfaces[] = {&interface};
	size_t size;

	fill_identity(&message, batch);
	size = emit(&message, out);
	for (size_t i = 0; i < batch->interface_count; i++) {
		wirebus__v1__packet_batch__init(&message);
		fill_interface(&interface, &batch->interfaces[i]);
		message.n_interfaces = 1;
		message.interfaces = interfaces;
		size += emit(&message, out ? out + size : NULL);
	}
	wirebus__v1__packet_batch__init(&message);
	message.flow_bucket_plus_one = batch->flow_bucket_plus_one;
	return size + emit(&message, out ? out + size : NULL);
}

size_t wbp_head_bytes(const struct wbproto_batch *batch)
{
	return emit_head(batch, NULL);
}

size_t wbp_head_write(const struct wbproto_batch *batch, uint8_t *out)
{
	return emit_head(batch, out);
}

size_t wbp_tail_write(const struct wbproto_batch *batch, uint64_t min_time_ns, uint64_t max_time_ns, uint8_t *out)
{
	Wirebus__V1__PacketBatch message;
	Wirebus__V1__Counters counters;

	wirebus__v1__packet_batch__init(&message);
	message.min_time_unix_nano = min_time_ns;
	message.max_time_unix_nano = max_time_ns;
	if (batch->has_counters) {
		fill_counters(&counters, &batch->counters);
		message.counters = &counters;
	}
	message.flags = batch->flags;
	message.watermark_unix_nano = batch->watermark_unix_ns;
	return wirebus__v1__packet_batch__pack(&message, out);
}
