/* SPDX-License-Identifier: Apache-2.0 */
/* The encoder's state, and what its two implementations offer to encoder.c. */
#ifndef WBPROTO_ENCODER_H
#define WBPROTO_ENCODER_H

#include "wbproto.h"

struct wbp_reference;

struct wbproto_encoder {
	uint8_t *at;    /* where the next packet goes */
	uint8_t *limit; /* the room for the facts at sealing begins here; equal to `at` when no batch is open */
	uint64_t min_time_ns;
	uint64_t max_time_ns;
	uint32_t packets;
	bool open;
	uint8_t *buffer;
	uint8_t *packets_at;             /* where the first packet goes */
	struct wbp_reference *reference; /* NULL: direct encoder */
};

/* Contract: wbproto_encoder_append(). */
int wbp_direct_append(struct wbproto_encoder *encoder, const struct wbproto_packet *packet);
uint64_t wbp_direct_packet_bytes(const struct wbproto_packet *packet);

struct wbp_reference *wbp_reference_create(void);
void wbp_reference_destroy(struct wbp_reference *reference);
/* Forget the packets kept, and make room for the bytes of as many as fit between the encoder's `at` and `limit`. */
int wbp_reference_open(struct wbproto_encoder *encoder);
int wbp_reference_append(struct wbproto_encoder *encoder, const struct wbproto_packet *packet);
/* Write the packets kept to packets_at; they end exactly at `at`. */
void wbp_reference_seal(struct wbproto_encoder *encoder);

/* Book a packet that was appended and takes bytes. */
static inline void wbp_encoder_book(struct wbproto_encoder *encoder, uint8_t *at, uint64_t time_ns)
{
	encoder->at = at;
	encoder->packets++;
	if (time_ns < encoder->min_time_ns)
		encoder->min_time_ns = time_ns;
	if (time_ns > encoder->max_time_ns)
		encoder->max_time_ns = time_ns;
}

#endif
