/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route of an entry, all integers little-endian:
 *   0 "WBR", u8 version        4 u16 length of the key    6 u16 length of the topic, 0xffff: none
 *   8 session id (16)    24 u32 worker    28 u32 stream    32 u64 batch_seq    40 u64 first_packet_seq
 *  48 i64 max_time_ms    56 u32 packets   60 u32 flags     64 i32 partition    68 u32 about  72 key, topic
 * about: 0, and then the version is 1; of version 2, bits: 1: records, 2: for the topic of the ledger
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "spool_internal.h"

#define NO_TOPIC 0xffffu
#define VERSION_BATCHES 1
#define ABOUT_RECORDS 1u
#define ABOUT_LEDGER 2u

static const uint8_t magic[3] = {'W', 'B', 'R'};

static void put(uint8_t *to, size_t bytes, uint64_t value)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *from, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)from[i] << 8 * i;
	return value;
}

int wb_spool_route_write(uint8_t *to, const struct wb_batch *batch, const struct wb_route *route)
{
	size_t topic_size = route->topic ? strlen(route->topic) : 0;
	uint32_t about = (batch->record_count ? ABOUT_RECORDS : 0) | (route->topic_suffix ? ABOUT_LEDGER : 0);

	assert(!route->topic_suffix || strcmp(route->topic_suffix, WB_LEDGER_SUFFIX) == 0);
	/* The topic is read back with its zero byte. */
	if (route->key_size + topic_size + 1 > WB_SPOOL_ROUTE_MAX - WB_SPOOL_ROUTE_BYTES)
		return -EMSGSIZE;
	memset(to, 0, WB_SPOOL_ROUTE_BYTES);
	memcpy(to, magic, sizeof magic);
	put(to + 3, 1, about ? WB_SPOOL_ROUTE_VERSION : VERSION_BATCHES);
	put(to + 4, 2, route->key_size);
	put(to + 6, 2, route->topic ? topic_size : NO_TOPIC);
	memcpy(to + 8, batch->session_id, 16);
	put(to + 24, 4, batch->worker_id);
	put(to + 28, 4, batch->stream_id);
	put(to + 32, 8, batch->batch_seq);
	put(to + 40, 8, batch->first_packet_seq);
	put(to + 48, 8, (uint64_t)batch->max_time_ms);
	put(to + 56, 4, batch->packets);
	put(to + 60, 4, batch->flags);
	put(to + 64, 4, (uint32_t)route->partition);
	put(to + 68, 4, about);
	if (route->key_size)
		memcpy(to + WB_SPOOL_ROUTE_BYTES, route->key, route->key_size);
	if (topic_size)
		memcpy(to + WB_SPOOL_ROUTE_BYTES + route->key_size, route->topic, topic_size);
	return (int)(WB_SPOOL_ROUTE_BYTES + route->key_size + topic_size);
}

int wb_spool_route_read(const uint8_t *from, size_t length, struct wb_spool_item *ret_item)
{
	struct wb_batch *batch = &ret_item->batch;
	size_t key_size, topic_size;
	uint32_t about;
	bool has_topic;

	if (length < WB_SPOOL_ROUTE_BYTES || memcmp(from, magic, sizeof magic) != 0 || from[3] == 0)
		return -EBADMSG;
	if (from[3] > WB_SPOOL_ROUTE_VERSION)
		return -EPROTO;
	about = from[3] == VERSION_BATCHES ? 0 : (uint32_t)get(from + 68, 4);
	if (about & ~(ABOUT_RECORDS | ABOUT_LEDGER))
		return -EBADMSG;
	key_size = get(from + 4, 2);
	has_topic = get(from + 6, 2) != NO_TOPIC;
	topic_size = has_topic ? get(from + 6, 2) : 0;
	if (length != WB_SPOOL_ROUTE_BYTES + key_size + topic_size || length >= WB_SPOOL_ROUTE_MAX)
		return -EBADMSG;
	memset(batch, 0, sizeof *batch);
	memcpy(ret_item->session_id, from + 8, 16);
	batch->session_id = ret_item->session_id;
	batch->worker_id = (uint32_t)get(from + 24, 4);
	batch->stream_id = (uint32_t)get(from + 28, 4);
	batch->batch_seq = get(from + 32, 8);
	batch->first_packet_seq = get(from + 40, 8);
	batch->max_time_ms = (int64_t)get(from + 48, 8);
	batch->packets = (uint32_t)get(from + 56, 4);
	batch->flags = (uint32_t)get(from + 60, 4);
	batch->record_count = about & ABOUT_RECORDS ? batch->packets : 0;
	if (about & ABOUT_RECORDS && batch->packets == 0)
		return -EBADMSG;
	memcpy(ret_item->text, from + WB_SPOOL_ROUTE_BYTES, key_size + topic_size);
	ret_item->text[key_size + topic_size] = 0;
	ret_item->route = (struct wb_route){
		.topic = has_topic ? (const char *)ret_item->text + key_size : NULL,
		.topic_suffix = about & ABOUT_LEDGER ? WB_LEDGER_SUFFIX : NULL,
		.key = key_size ? ret_item->text : NULL,
		.key_size = key_size,
		.partition = (int32_t)get(from + 64, 4),
	};
	return 0;
}
