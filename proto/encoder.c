/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and sealing batches: what both encoders have in common. */
#include "encoder.h"
#include "facts.h"
#include "varint.h"

#include <errno.h>
#include <stdlib.h>

/* protobuf allows no larger message. */
#define MESSAGE_MAX_BYTES ((size_t)INT32_MAX)

int wbproto_encoder_create(enum wbproto_encoder_kind kind, struct wbproto_encoder **ret_encoder)
{
	struct wbproto_encoder *encoder;

	if (kind != WBPROTO_ENCODER_DIRECT && kind != WBPROTO_ENCODER_PROTOBUF_C)
		return -EINVAL;
	encoder = calloc(1, sizeof(*encoder));
	if (!encoder)
		return -ENOMEM;
	if (kind == WBPROTO_ENCODER_PROTOBUF_C) {
		encoder->reference = wbp_reference_create();
		if (!encoder->reference)
			goto free_encoder;
	}
	*ret_encoder = encoder;
	return 0;

free_encoder:
	free(encoder);
	return -ENOMEM;
}

void wbproto_encoder_destroy(struct wbproto_encoder *encoder)
{
	if (!encoder)
		return;
	wbp_reference_destroy(encoder->reference);
	free(encoder);
}

/* Forget the open batch: no room, so that append needs no check of its own for this state. */
static void forget(struct wbproto_encoder *encoder, uint8_t *buffer)
{
	encoder->open = false;
	encoder->buffer = buffer;
	encoder->packets_at = buffer;
	encoder->at = buffer;
	encoder->limit = buffer;
	encoder->packets = 0;
	encoder->min_time_ns = UINT64_MAX;
	encoder->max_time_ns = 0;
}

int wbproto_encoder_open(
	struct wbproto_encoder *encoder, void *buffer, size_t capacity, const struct wbproto_batch *batch)
{
	size_t head_bytes;
	int r;

	forget(encoder, buffer);
	r = wbp_facts_check(batch);
	if (r < 0)
		return r;
	if (capacity > MESSAGE_MAX_BYTES)
		capacity = MESSAGE_MAX_BYTES;
	head_bytes = wbp_head_bytes(batch);
	if (capacity < WBP_TAIL_MAX_BYTES || head_bytes > capacity - WBP_TAIL_MAX_BYTES)
		return -EMSGSIZE;
	wbp_head_write(batch, encoder->buffer);
	encoder->packets_at = encoder->buffer + head_bytes;
	encoder->at = encoder->packets_at;
	encoder->limit = encoder->buffer + (capacity - WBP_TAIL_MAX_BYTES);
	if (encoder->reference) {
		r = wbp_reference_open(encoder);
		if (r < 0) {
			forget(encoder, buffer);
			return r;
		}
	}
	encoder->open = true;
	return 0;
}

int wbproto_encoder_append(struct wbproto_encoder *encoder, const struct wbproto_packet *packet)
{
	if (__builtin_expect(encoder->reference != NULL, 0))
		return wbp_reference_append(encoder, packet);
	return wbp_direct_append(encoder, packet);
}

int wbproto_encoder_seal(struct wbproto_encoder *encoder, const struct wbproto_batch *batch, size_t *ret_size)
{
	if (!encoder->open)
		return -EINVAL;
	if (encoder->reference)
		wbp_reference_seal(encoder);
	encoder->at += wbp_tail_write(
		batch, wbproto_encoder_min_time_ns(encoder), wbproto_encoder_max_time_ns(encoder), encoder->at);
	encoder->limit = encoder->at;
	encoder->open = false;
	*ret_size = wbproto_encoder_bytes(encoder);
	return 0;
}

size_t wbproto_packet_encoded_bytes(const struct wbproto_packet *packet)
{
	return (size_t)wbp_direct_packet_bytes(packet);
}

size_t wbproto_batch_overhead_bytes(const struct wbproto_batch *batch)
{
	return wbp_head_bytes(batch) + WBP_TAIL_MAX_BYTES;
}

uint32_t wbproto_encoder_packets(const struct wbproto_encoder *encoder)
{
	return encoder->packets;
}

size_t wbproto_encoder_bytes(const struct wbproto_encoder *encoder)
{
	return (size_t)(encoder->at - encoder->buffer);
}

uint64_t wbproto_encoder_min_time_ns(const struct wbproto_encoder *encoder)
{
	return encoder->packets > 0 ? encoder->min_time_ns : 0;
}

uint64_t wbproto_encoder_max_time_ns(const struct wbproto_encoder *encoder)
{
	return encoder->max_time_ns;
}
