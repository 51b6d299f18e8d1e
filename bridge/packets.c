/* SPDX-License-Identifier: Apache-2.0 */
#include "packets.h"

#include <string.h>

/*
 * How many interfaces all lookups in a message may pass, as each walks over them; where other fields are between them,
 * a whole message at each lookup. Beyond, which no honest one needs, interfaces are taken as not named.
 */
#define MAX_WALKED (UINT64_C(1) << 24)
#define SCATTERED_COST (UINT64_C(1) << 13)

static int init_batch(struct wb_packets *packets, const struct wb_message *message)
{
	const struct wbproto_batch *batch = &packets->reader.batch;
	struct wbproto_record *record = &packets->record;
	int r = wbproto_reader_init(&packets->reader, message->data, message->size);

	if (r < 0)
		return r;
	packets->is_batch = true;
	packets->count = packets->reader.packet_count;
	packets->least_ns = packets->reader.least_time_unix_ns;
	packets->greatest_ns = packets->reader.greatest_time_unix_ns;
	packets->in_order = packets->reader.in_time_order;
	memcpy(record->session_id, batch->session_id, sizeof(record->session_id));
	record->worker_id = batch->worker_id;
	record->stream_id = batch->stream_id;
	record->batch_seq = batch->batch_seq;
	record->packet_seq = batch->first_packet_seq;
	record->flow_bucket_plus_one = batch->flow_bucket_plus_one;
	record->node = batch->node;
	return 0;
}

static int init_record(struct wb_packets *packets, const struct wb_message *message)
{
	int r = wbproto_record_read(message->data, message->size, &packets->record);

	packets->count = 1;
	packets->least_ns = packets->greatest_ns = packets->record.packet.time_unix_ns;
	packets->in_order = true;
	return r;
}

int wb_packets_init(struct wb_packets *packets, const struct wb_message *message)
{
	packets->is_batch = false;
	packets->id = packets->taken = 0;
	packets->walked = 0;
	packets->has_interface = false;
	packets->record = (struct wbproto_record){0};
	return message->kind == WB_MESSAGE_RECORD ? init_record(packets, message) : init_batch(packets, message);
}

void wb_packets_move(struct wb_packets *packets, const void *copy, size_t size)
{
	if (packets->is_batch) {
		wbproto_reader_move(&packets->reader, copy);
		packets->has_interface = false; /* its texts are where the message was */
		packets->record.node = packets->reader.batch.node;
	} else {
		wbproto_record_read(copy, size, &packets->record);
	}
}

bool wb_packets_next(struct wb_packets *packets)
{
	if (!packets->is_batch)
		return packets->taken++ == 0;
	if (!wbproto_reader_next(&packets->reader, &packets->record.packet))
		return false;
	packets->record.packet_seq = packets->reader.batch.first_packet_seq + packets->taken++;
	return true;
}

/* Of a batch. */
static void find_interface(struct wb_packets *packets, struct wb_packets_cache *cache, uint32_t index)
{
	static const struct wbproto_interface none;
	struct wbproto_interface *interface;
	size_t slot;

	/* That of the packet before, whatever other messages have done to the cache. */
	if (packets->has_interface && packets->interface_index == index)
		return;
	packets->has_interface = true;
	packets->interface_index = index;
	if (packets->id == 0)
		packets->id = ++cache->last_id;
	slot = (size_t)((packets->id * 31 + index) % WB_PACKETS_INTERFACES);
	interface = &cache->entries[slot].interface;
	if (cache->entries[slot].id != packets->id || cache->entries[slot].index != index) {
		if (packets->walked >= MAX_WALKED) {
			packets->record.interface = none;
			return;
		}
		packets->walked += packets->reader.batch.interface_count;
		packets->walked += packets->reader.scattered ? SCATTERED_COST : 0;
		cache->entries[slot].id = packets->id;
		cache->entries[slot].index = index;
		if (wbproto_reader_interface(&packets->reader, index, interface) < 0)
			*interface = none;
	}
	packets->record.interface = *interface;
}

const struct wbproto_record *wb_packets_record(struct wb_packets *packets, struct wb_packets_cache *cache)
{
	if (packets->is_batch)
		find_interface(packets, cache, packets->record.packet.interface_index);
	return &packets->record;
}
