/* SPDX-License-Identifier: Apache-2.0 */
/* Packets straight into the batch's buffer, as wire format: the path that every captured byte takes. */
#include "encoder.h"
#include "facts.h"
#include "fields.h"
#include "varint.h"

#include <errno.h>

/* Bytes of a varint field with one byte of tag; absent when the value is 0. */
static inline uint32_t field_bytes(uint32_t value)
{
	return value ? 1 + wbp_varint_bytes(value) : 0;
}

static inline uint64_t body_bytes(const struct wbproto_packet *packet)
{
	uint64_t bytes = packet->captured_length;

	bytes += packet->time_unix_ns ? 1 + sizeof(uint64_t) : 0;
	bytes += field_bytes(packet->interface_index);
	bytes += field_bytes(packet->original_length);
	bytes += field_bytes(packet->captured_length);
	bytes += field_bytes(packet->flags);
	bytes += field_bytes(packet->vlan_tci);
	bytes += field_bytes(packet->vlan_tpid);
	bytes += packet->rx_hash ? 1 + sizeof(uint32_t) : 0;
	bytes += packet->vnet_header_length ? 2u + packet->vnet_header_length : 0;
	bytes += field_bytes(packet->status);
	return bytes;
}

static inline uint8_t *put_field(uint8_t *out, uint8_t tag, uint32_t value)
{
	if (value == 0)
		return out;
	*out++ = tag;
	return wbp_put_varint(out, value);
}

static inline uint8_t *put_bytes(uint8_t *out, uint8_t tag, const void *data, uint32_t length)
{
	if (length == 0)
		return out;
	*out++ = tag;
	out = wbp_put_varint(out, length);
	memcpy(out, data, length);
	return out + length;
}

uint64_t wbp_direct_packet_bytes(const struct wbproto_packet *packet)
{
	uint64_t body = body_bytes(packet);

	return 1 + wbp_varint_bytes(body) + body;
}

/* Any packet. */
static __attribute__((noinline)) int append_any(struct wbproto_encoder *encoder, const struct wbproto_packet *packet)
{
	uint64_t body = body_bytes(packet);
	uint8_t *out = encoder->at;

	if (!encoder->open || packet->vnet_header_length > WBPROTO_VNET_HEADER_BYTES)
		return -EINVAL;
	if (1 + wbp_varint_bytes(body) + body > (uint64_t)(encoder->limit - out))
		return -ENOSPC;
	*out++ = WBP_BATCH_PACKETS;
	out = wbp_put_varint(out, body);
	if (packet->time_unix_ns) {
		*out++ = WBP_PACKET_TIME;
		out = wbp_put_le64(out, packet->time_unix_ns);
	}
	out = put_field(out, WBP_PACKET_INTERFACE_INDEX, packet->interface_index);
	out = put_field(out, WBP_PACKET_ORIGINAL_LENGTH, packet->original_length);
	out = put_bytes(out, WBP_PACKET_DATA, packet->data, packet->captured_length);
	out = put_field(out, WBP_PACKET_FLAGS, packet->flags);
	out = put_field(out, WBP_PACKET_VLAN_TCI, packet->vlan_tci);
	out = put_field(out, WBP_PACKET_VLAN_TPID, packet->vlan_tpid);
	if (packet->rx_hash) {
		*out++ = WBP_PACKET_RX_HASH;
		out = wbp_put_le32(out, packet->rx_hash);
	}
	out = put_bytes(out, WBP_PACKET_VNET_HEADER, packet->vnet_header, packet->vnet_header_length);
	out = put_field(out, WBP_PACKET_STATUS, packet->status);
	wbp_encoder_book(encoder, out, packet->time_unix_ns);
	return 0;
}

/*
 * The usual packet, without a loop or a branch that depends on its lengths: every varint has one or two bytes, so the
 * fields before the data and those after it each fit into one 64-bit word, whose store may run over into what is
 * written next, or into the room reserved for the facts at sealing.
 */
#define SHORT_MAX 0x3fffu /* the greatest varint of two bytes */
#define USUAL_LENGTH_MAX (SHORT_MAX - 64)

_Static_assert(WBP_TAIL_MAX_BYTES >= sizeof(uint64_t), "stores that run over stay in the buffer");

static inline uint32_t short_bytes(uint32_t value)
{
	return 1 + (value > 0x7f);
}

/* The varint of a value of at most SHORT_MAX, first byte lowest. */
static inline uint64_t short_varint(uint32_t value)
{
	return (value & 0x7f) | (uint32_t)(value > 0x7f) << 7 | (value & 0x3f80) << 1;
}

/* Zeros of status and VLAN mean absence; the subtractions turn 0, which would be absent too, into a huge number. */
static inline bool is_usual(const struct wbproto_packet *p)
{
	return p->time_unix_ns != 0 && p->interface_index - 1 < 0x7f && p->original_length - 1 < USUAL_LENGTH_MAX &&
	       p->captured_length - 1 < USUAL_LENGTH_MAX && p->flags - 1 < SHORT_MAX &&
	       (p->status | p->vlan_tci | p->vlan_tpid | p->vnet_header_length) == 0;
}

/* interface_index, original_length, and tag and length of data: at most 8 bytes. */
static inline uint64_t fields_before_data(const struct wbproto_packet *p, uint32_t *ret_bytes)
{
	uint32_t at = 3 + short_bytes(p->original_length);
	uint64_t word = WBP_PACKET_INTERFACE_INDEX | p->interface_index << 8 | WBP_PACKET_ORIGINAL_LENGTH << 16;

	word |= short_varint(p->original_length) << 24;
	word |= (WBP_PACKET_DATA | short_varint(p->captured_length) << 8) << (8 * at);
	*ret_bytes = at + 1 + short_bytes(p->captured_length);
	return word;
}

/* flags and rx_hash: at most 8 bytes. */
static inline uint64_t fields_after_data(const struct wbproto_packet *p, uint32_t *ret_bytes)
{
	uint32_t at = 1 + short_bytes(p->flags);
	uint64_t word = WBP_PACKET_FLAGS | short_varint(p->flags) << 8;

	word |= (WBP_PACKET_RX_HASH | (uint64_t)p->rx_hash << 8) << (8 * at);
	*ret_bytes = at + (p->rx_hash ? 5 : 0);
	return word;
}

/*
 * In a ring the next frames lie behind this one. A copy of a small frame is over before the processor's own prefetching
 * sets in, so ask for the memory some packets ahead; a hint only, which costs nothing when nothing is there.
 */
#define PREFETCH_BYTES 4096

static inline void prefetch_behind(const void *data)
{
	/* As a number: the address may lie outside of the object that data points into. */
	uintptr_t ahead = (uintptr_t)data + PREFETCH_BYTES;

	__builtin_prefetch((const void *)ahead); /* NOLINT(performance-no-int-to-ptr) */
}

int wbp_direct_append(struct wbproto_encoder *encoder, const struct wbproto_packet *packet)
{
	uint32_t before_bytes, after_bytes, body, need;
	uint32_t length = packet->captured_length;
	uint64_t before, after, time_ns = packet->time_unix_ns;
	uint8_t *out = encoder->at;

	if (__builtin_expect(!is_usual(packet), 0))
		return append_any(encoder, packet);
	prefetch_behind(packet->data);
	before = fields_before_data(packet, &before_bytes);
	after = fields_after_data(packet, &after_bytes);
	body = 1 + (uint32_t)sizeof(uint64_t) + before_bytes + length + after_bytes;
	need = 1 + short_bytes(body) + body;
	if (__builtin_expect(need > (size_t)(encoder->limit - out), 0))
		return encoder->open ? -ENOSPC : -EINVAL;
	wbp_put_le32(out, (uint32_t)(WBP_BATCH_PACKETS | short_varint(body) << 8));
	out += 1 + short_bytes(body);
	*out = WBP_PACKET_TIME;
	out = wbp_put_le64(out + 1, time_ns);
	wbp_put_le64(out, before);
	out += before_bytes;
	memcpy(out, packet->data, length);
	out += length;
	wbp_put_le64(out, after);
	wbp_encoder_book(encoder, out + after_bytes, time_ns);
	return 0;
}
