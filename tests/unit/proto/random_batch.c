/* SPDX-License-Identifier: Apache-2.0 */
#include "random_batch.h"

#include <string.h>

#define POOL_BYTES (128u << 10)

static const uint32_t lengths[] = {
	0, 1, 14, 60, 64, 126, 127, 128, 1500, 9000, 16318, 16319, 16320, 16383, 16384, 70000};

void random_seed(struct random_source *source, uint64_t seed)
{
	source->state = seed * 0x9e3779b97f4a7c15u + 1;
}

/* splitmix64 */
uint64_t random_u64(struct random_source *source)
{
	uint64_t z = source->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint32_t random_below(struct random_source *source, uint32_t bound)
{
	return (uint32_t)(random_u64(source) % bound);
}

/* Zero, the greatest, beside a power of 128 (where a varint grows), or of a random magnitude. */
static uint64_t any_value(struct random_source *source, uint32_t bits)
{
	uint64_t max = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;

	switch (random_below(source, 6)) {
	case 0:
		return 0;
	case 1:
		return max;
	case 2:
		return ((UINT64_C(1) << (7 * random_below(source, (bits + 6) / 7))) - random_below(source, 2)) & max;
	default:
		return random_u64(source) >> random_below(source, 64) & max;
	}
}

static uint32_t any_u32(struct random_source *source)
{
	return (uint32_t)any_value(source, 32);
}

static const void *pool_bytes(struct random_source *source, uint32_t length)
{
	static uint64_t pool[POOL_BYTES / sizeof(uint64_t)];

	if (pool[0] == 0) {
		struct random_source filler;

		random_seed(&filler, 7);
		for (size_t i = 0; i < sizeof(pool) / sizeof(pool[0]); i++)
			pool[i] = random_u64(&filler) | 1;
	}
	return (const uint8_t *)pool + random_below(source, POOL_BYTES - length + 1);
}

struct wbproto_view random_text(struct random_source *source)
{
	static const char *const texts[] = {"", "a", "eth0", "tcp port 443 and not net 192.0.2.0/24", "n\xc3\xbcrnberg",
		"\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x90\x8d", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"};
	static char longest[300];
	uint32_t choice = random_below(source, 10);

	if (choice < 8)
		return (struct wbproto_view){.data = texts[choice], .length = strlen(texts[choice])};
	if (choice == 8) /* a zero is a character like any other */
		return (struct wbproto_view){.data = "x\0y", .length = 3};
	memset(longest, 'f', sizeof(longest));
	return (struct wbproto_view){.data = longest, .length = random_below(source, sizeof(longest) + 1)};
}

void random_fill_interface(struct random_source *source, struct wbproto_interface *ret_interface)
{
	*ret_interface = (struct wbproto_interface){
		.index = any_u32(source),
		.link_type = any_u32(source),
		.snap_length = any_u32(source),
		.timestamp_source = any_u32(source),
		.speed_bps = any_value(source, 64),
		.name = random_text(source),
		.filter = random_text(source),
		.defragmented = random_below(source, 2),
	};
}

static void fill_counters(struct random_source *source, struct wbproto_counters *counters)
{
	uint64_t values[sizeof(*counters) / sizeof(uint64_t)];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		values[i] = any_value(source, 64);
	memcpy(counters, values, sizeof(values));
}

void random_fill_batch(struct random_source *source, struct random_batch *ret_batch)
{
	struct wbproto_batch *batch = &ret_batch->batch;

	*batch = (struct wbproto_batch){
		.worker_id = any_u32(source),
		.stream_id = any_u32(source),
		.batch_seq = any_value(source, 64),
		.first_packet_seq = any_value(source, 64),
		.flow_bucket_plus_one = any_u32(source),
		.node = random_text(source),
		.interfaces = ret_batch->interfaces,
		.interface_count = random_below(source, random_below(source, 8) ? 4 : RANDOM_MAX_INTERFACES + 1),
		.has_counters = random_below(source, 2),
		.flags = any_u32(source),
		.watermark_unix_ns = any_value(source, 64),
	};
	if (random_below(source, 4))
		memcpy(batch->session_id, pool_bytes(source, 16), sizeof(batch->session_id));
	for (size_t i = 0; i < batch->interface_count; i++)
		random_fill_interface(source, &ret_batch->interfaces[i]);
	/* All zero once in a while: a message that is there and empty. */
	if (random_below(source, 4))
		fill_counters(source, &batch->counters);
}

/* What a ring gives, which takes the encoder's short way. */
static void fill_usual(struct random_source *source, struct wbproto_packet *packet)
{
	uint32_t length = 60 + random_below(source, 1455);

	*packet = (struct wbproto_packet){
		.time_unix_ns = 1700000000000000000u + random_below(source, 1000000000),
		.data = pool_bytes(source, length),
		.captured_length = length,
		.original_length = length,
		.interface_index = 1 + random_below(source, 130),
		.flags = 1 + random_below(source, 4000),
		.rx_hash = random_below(source, 4) ? (uint32_t)random_u64(source) : 0,
	};
}

void random_fill_packet(struct random_source *source, struct wbproto_packet *ret_packet)
{
	uint32_t length = lengths[random_below(source, sizeof(lengths) / sizeof(lengths[0]))];

	if (random_below(source, 2)) {
		fill_usual(source, ret_packet);
		return;
	}
	if (random_below(source, 2))
		length = random_below(source, 300);
	*ret_packet = (struct wbproto_packet){
		.time_unix_ns = any_value(source, 64),
		.data = length ? pool_bytes(source, length) : NULL,
		.captured_length = length,
		.original_length = random_below(source, 2) ? length : any_u32(source),
		.interface_index = any_u32(source),
		.flags = any_u32(source),
		.rx_hash = any_u32(source),
		.status = random_below(source, 2) ? any_u32(source) : 0,
		.vlan_tci = random_below(source, 2) ? (uint16_t)any_value(source, 16) : 0,
		.vlan_tpid = random_below(source, 2) ? (uint16_t)any_value(source, 16) : 0,
	};
	if (random_below(source, 2)) {
		ret_packet->vnet_header_length = (uint8_t)random_below(source, WBPROTO_VNET_HEADER_BYTES + 1);
		ret_packet->vnet_header = pool_bytes(source, WBPROTO_VNET_HEADER_BYTES);
	}
}
