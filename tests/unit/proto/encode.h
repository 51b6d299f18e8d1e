/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding with checks around it: the end of the buffer is guarded, and a refused packet leaves the batch as it was. */
#ifndef TEST_ENCODE_H
#define TEST_ENCODE_H

#include "facts.h"
#include "support.h"

#define GUARD_BYTES 32
#define GUARD 0xa5

struct buffer {
	uint8_t *data;
	size_t capacity;
};

static inline struct buffer make_buffer(size_t capacity)
{
	struct buffer buffer = {.data = malloc(capacity + GUARD_BYTES), .capacity = capacity};

	assert_non_null(buffer.data);
	memset(buffer.data, GUARD, capacity + GUARD_BYTES);
	return buffer;
}

static inline void free_buffer(struct buffer *buffer)
{
	for (size_t i = 0; i < GUARD_BYTES; i++)
		assert_int_equal(buffer->data[buffer->capacity + i], GUARD);
	free(buffer->data);
}

static inline struct wbproto_encoder *make_encoder(enum wbproto_encoder_kind kind)
{
	struct wbproto_encoder *encoder = NULL;

	assert_int_equal(wbproto_encoder_create(kind, &encoder), 0);
	assert_non_null(encoder);
	return encoder;
}

/* Append; when it is refused, nothing may have been written. */
static inline int append_checked(
	struct wbproto_encoder *encoder, const struct buffer *buffer, const struct wbproto_packet *packet)
{
	size_t before = wbproto_encoder_bytes(encoder);
	uint32_t packets = wbproto_encoder_packets(encoder);
	uint8_t *copy;
	int r;

	/* Only look when it could be refused: copying for each packet takes long. */
	if (before + wbproto_packet_encoded_bytes(packet) + WBP_TAIL_MAX_BYTES <= buffer->capacity) {
		r = wbproto_encoder_append(encoder, packet);
		assert_int_equal(r, 0);
		assert_int_equal(wbproto_encoder_bytes(encoder), before + wbproto_packet_encoded_bytes(packet));
		assert_int_equal(wbproto_encoder_packets(encoder), packets + 1);
		return r;
	}
	copy = malloc(buffer->capacity + 1);
	assert_non_null(copy);
	memcpy(copy, buffer->data, buffer->capacity);
	r = wbproto_encoder_append(encoder, packet);
	assert_int_equal(r, -ENOSPC);
	assert_memory_equal(copy, buffer->data, buffer->capacity);
	assert_int_equal(wbproto_encoder_bytes(encoder), before);
	assert_int_equal(wbproto_encoder_packets(encoder), packets);
	free(copy);
	return r;
}

/* Returns how many of the packets fitted; those that do not fit are passed over. taken: which. */
static inline size_t encode(struct wbproto_encoder *encoder, struct buffer *buffer, const struct wbproto_batch *batch,
	const struct wbproto_packet *packets, size_t count, bool *taken, size_t *ret_size)
{
	size_t fitted = 0;

	assert_int_equal(wbproto_encoder_open(encoder, buffer->data, buffer->capacity, batch), 0);
	for (size_t i = 0; i < count; i++) {
		taken[i] = append_checked(encoder, buffer, &packets[i]) == 0;
		fitted += taken[i];
	}
	assert_int_equal(wbproto_encoder_seal(encoder, batch, ret_size), 0);
	assert_true(*ret_size <= buffer->capacity);
	assert_int_equal(wbproto_encoder_bytes(encoder), *ret_size);
	assert_int_equal(wbproto_encoder_packets(encoder), fitted);
	return fitted;
}

#endif
