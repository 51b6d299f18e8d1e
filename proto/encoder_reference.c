/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets through protobuf-c's generated code: the encoder that the direct one is compared with. protobuf-c needs all
 * packets at once, so their bytes are kept in an arena until the batch is sealed.
 */
#include "encoder.h"
#include "wirebus/v1/packet_batch.pb-c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PACKETS 64

struct wbp_reference {
	uint8_t *arena; /* never moves while a batch is open: packets point into it */
	size_t arena_bytes;
	size_t arena_used;
	Wirebus__V1__Packet *packets;
	Wirebus__V1__Packet **pointers; /* what protobuf-c takes; set at sealing, when packets has stopped moving */
	size_t packets_allocated;
};

struct wbp_reference *wbp_reference_create(void)
{
	return calloc(1, sizeof(struct wbp_reference));
}

void wbp_reference_destroy(struct wbp_reference *reference)
{
	if (!reference)
		return;
	free(reference->pointers);
	free(reference->packets);
	free(reference->arena);
	free(reference);
}

int wbp_reference_open(struct wbproto_encoder *encoder)
{
	struct wbp_reference *reference = encoder->reference;
	/* A packet's bytes are fewer than its encoding's, so what fits into the batch fits in here. */
	size_t need = (size_t)(encoder->limit - encoder->at);

	reference->arena_used = 0;
	if (need <= reference->arena_bytes)
		return 0;
	free(reference->arena);
	reference->arena_bytes = 0;
	reference->arena = malloc(need);
	if (!reference->arena)
		return -ENOMEM;
	reference->arena_bytes = need;
	return 0;
}

static int reserve_packet(struct wbp_reference *reference, size_t used)
{
	size_t count = reference->packets_allocated ? reference->packets_allocated * 2 : FIRST_PACKETS;
	Wirebus__V1__Packet **pointers;
	Wirebus__V1__Packet *packets;

	if (used < reference->packets_allocated)
		return 0;
	packets = reallocarray(reference->packets, count, sizeof(*packets));
	if (!packets)
		return -ENOMEM;
	reference->packets = packets;
	pointers = reallocarray(reference->pointers, count, sizeof(Wirebus__V1__Packet *));
	if (!pointers)
		return -ENOMEM;
	reference->pointers = pointers;
	reference->packets_allocated = count;
	return 0;
}

static void fill_packet(Wirebus__V1__Packet *message, const struct wbproto_packet *packet)
{
	wirebus__v1__packet__init(message);
	message->time_unix_nano = packet->time_unix_ns;
	message->interface_index = packet->interface_index;
	message->original_length = packet->original_length;
	message->data.data = (uint8_t *)packet->data;
	message->data.len = packet->captured_length;
	message->flags = packet->flags;
	message->vlan_tci = packet->vlan_tci;
	message->vlan_tpid = packet->vlan_tpid;
	message->rx_hash = packet->rx_hash;
	message->vnet_header.data = (uint8_t *)packet->vnet_header;
	message->vnet_header.len = packet->vnet_header_length;
	message->status = packet->status;
}

/* Move the bytes to the arena; they fit, see wbp_reference_open(). */
static void keep_bytes(struct wbp_reference *reference, ProtobufCBinaryData *bytes)
{
	if (bytes->len == 0)
		return;
	bytes->data = memcpy(reference->arena + reference->arena_used, bytes->data, bytes->len);
	reference->arena_used += bytes->len;
}

int wbp_reference_append(struct wbproto_encoder *encoder, const struct wbproto_packet *packet)
{
	Wirebus__V1__PacketBatch single = WIREBUS__V1__PACKET_BATCH__INIT;
	struct wbp_reference *reference = encoder->reference;
	Wirebus__V1__Packet message;
	Wirebus__V1__Packet *messages[] = {&message};
	size_t need;
	int r;

	if (!encoder->open || packet->vnet_header_length > WBPROTO_VNET_HEADER_BYTES)
		return -EINVAL;
	fill_packet(&message, packet);
	single.n_packets = 1;
	single.packets = messages;
	need = wirebus__v1__packet_batch__get_packed_size(&single);
	if (need > (size_t)(encoder->limit - encoder->at))
		return -ENOSPC;
	r = reserve_packet(reference, encoder->packets);
	if (r < 0)
		return r;
	keep_bytes(reference, &message.data);
	keep_bytes(reference, &message.vnet_header);
	reference->packets[encoder->packets] = message;
	wbp_encoder_book(encoder, encoder->at + need, packet->time_unix_ns);
	return 0;
}

void wbp_reference_seal(struct wbproto_encoder *encoder)
{
	Wirebus__V1__PacketBatch batch = WIREBUS__V1__PACKET_BATCH__INIT;
	struct wbp_reference *reference = encoder->reference;

	for (size_t i = 0; i < encoder->packets; i++)
		reference->pointers[i] = &reference->packets[i];
	batch.n_packets = encoder->packets;
	batch.packets = reference->pointers;
	wirebus__v1__packet_batch__pack(&batch, encoder->packets_at);
}
