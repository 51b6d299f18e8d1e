/* SPDX-License-Identifier: Apache-2.0 */
#include "block.h"
#include "poison.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES ((uint32_t)sizeof(struct tpacket_block_desc))
#define ETHERNET_BYTES 14u

struct tpacket_block_desc *test_ring_block(struct test_ring *ring, uint32_t block)
{
	return (struct tpacket_block_desc *)(ring->memory + (size_t)block * TEST_BLOCK_BYTES);
}

void test_ring_open_block(struct test_ring *ring, uint32_t block)
{
	struct tpacket_block_desc *header = test_ring_block(ring, block);

	/* The test plays the kernel here, which may write where the library's user may not. */
	tpk_unpoison(header, TEST_BLOCK_BYTES);
	header->version = TPACKET_V3;
	header->offset_to_priv = HEADER_BYTES;
	header->hdr.bh1.num_pkts = 0;
	header->hdr.bh1.offset_to_first_pkt = HEADER_BYTES;
	header->hdr.bh1.blk_len = HEADER_BYTES;
	ring->used[block] = HEADER_BYTES;
	ring->last[block] = NULL;
}

void test_ring_init(struct test_ring *ring, uint32_t vnet_header_bytes)
{
	struct tpacket_geometry geometry = {
		.block_bytes = TEST_BLOCK_BYTES, .block_count = TEST_BLOCK_COUNT, .frame_bytes = 2048};

	memset(ring, 0, sizeof(*ring));
	/* A separate allocation of exactly the ring's size, so that AddressSanitizer sees what lies outside. */
	ring->memory = aligned_alloc(4096, (size_t)TEST_BLOCK_BYTES * TEST_BLOCK_COUNT);
	assert(ring->memory);
	memset(ring->memory, 0, (size_t)TEST_BLOCK_BYTES * TEST_BLOCK_COUNT);
	for (uint32_t i = 0; i < TEST_BLOCK_COUNT; i++)
		test_ring_open_block(ring, i);
	tpk_handle_over_memory(&ring->handle, &tpk_ring_v3, ring->memory, &geometry, vnet_header_bytes);
}

void test_ring_fini(struct test_ring *ring)
{
	free(ring->memory);
}

/* tpacket_rcv(): with room for a link header of 16 bytes at least. */
static uint32_t net_offset(size_t header_bytes, const struct test_frame *frame, uint32_t vnet_bytes)
{
	return (uint32_t)TPACKET_ALIGN(header_bytes + 16) + frame->reserve + vnet_bytes;
}

static void fill_address(struct sockaddr_ll *address, const struct test_frame *frame)
{
	*address = (struct sockaddr_ll){
		.sll_family = AF_PACKET,
		.sll_protocol = htons(frame->protocol),
		.sll_ifindex = frame->interface_index,
		.sll_hatype = frame->hardware_type,
		.sll_pkttype = frame->packet_type,
	};
}

static void fill_bytes(uint8_t *at, const struct test_frame *frame, uint32_t vnet_bytes)
{
	if (vnet_bytes)
		memcpy(at - vnet_bytes, frame->vnet_header, vnet_bytes);
	if (frame->captured)
		memcpy(at, frame->data, frame->captured);
}

struct tpacket3_hdr *test_ring_add(struct test_ring *ring, uint32_t block, const struct test_frame *frame)
{
	struct tpacket_block_desc *header = test_ring_block(ring, block);
	uint32_t vnet_bytes = frame->vnet_header ? ring->handle.vnet_header_bytes : 0;
	uint32_t net = net_offset(TPACKET3_HDRLEN, frame, vnet_bytes);
	uint32_t mac = net - ETHERNET_BYTES;
	uint32_t bytes = (mac + frame->captured + 7) & ~7u;
	uint8_t *memory = (uint8_t *)header + ring->used[block];
	struct tpacket3_hdr *packet = (struct tpacket3_hdr *)memory;
	struct sockaddr_ll *address = (struct sockaddr_ll *)(memory + TPACKET_ALIGN(sizeof(*packet)));

	assert(ring->used[block] + mac + frame->captured <= TEST_BLOCK_BYTES);
	*packet = (struct tpacket3_hdr){
		.tp_sec = frame->sec,
		.tp_nsec = frame->nsec,
		.tp_snaplen = frame->captured,
		.tp_len = frame->original,
		.tp_status = TP_STATUS_USER | frame->status,
		.tp_mac = (uint16_t)mac,
		.tp_net = (uint16_t)net,
		.hv1 = {.tp_rxhash = frame->rx_hash, .tp_vlan_tci = frame->tci, .tp_vlan_tpid = frame->tpid},
	};
	fill_address(address, frame);
	fill_bytes(memory + mac, frame, vnet_bytes);
	if (ring->last[block])
		ring->last[block]->tp_next_offset = (uint32_t)(memory - (uint8_t *)ring->last[block]);
	ring->last[block] = packet;
	ring->used[block] += bytes;
	header->hdr.bh1.num_pkts++;
	header->hdr.bh1.blk_len = ring->used[block];
	return packet;
}

void test_ring_retire(struct test_ring *ring, uint32_t block, uint32_t status)
{
	test_ring_block(ring, block)->hdr.bh1.block_status = TP_STATUS_USER | status;
}

void test_slots_init(
	struct test_slots *slots, enum tpacket_version version, uint32_t frame_bytes, uint32_t vnet_header_bytes)
{
	const size_t bytes = (size_t)TEST_BLOCK_BYTES * TEST_BLOCK_COUNT;
	struct tpacket_geometry geometry = {
		.block_bytes = TEST_BLOCK_BYTES, .block_count = TEST_BLOCK_COUNT, .frame_bytes = frame_bytes};

	memset(slots, 0, sizeof(*slots));
	slots->memory = aligned_alloc(4096, bytes);
	assert(slots->memory);
	memset(slots->memory, 0, bytes);
	slots->count = TEST_BLOCK_BYTES / frame_bytes * TEST_BLOCK_COUNT;
	tpk_handle_over_memory(&slots->handle, version == TPACKET_VERSION_1 ? &tpk_ring_v1 : &tpk_ring_v2,
		slots->memory, &geometry, vnet_header_bytes);
}

void test_slots_fini(struct test_slots *slots)
{
	free(slots->memory);
}

uint8_t *test_slot(struct test_slots *slots, uint32_t index)
{
	return slots->memory + (size_t)index * slots->handle.geometry.frame_bytes;
}

static uint32_t put_v1(uint8_t *slot, const struct test_frame *frame, uint32_t vnet_bytes)
{
	uint32_t net = net_offset(TPACKET_HDRLEN, frame, vnet_bytes);

	*(struct tpacket_hdr *)slot = (struct tpacket_hdr){
		.tp_status = TP_STATUS_USER | frame->status,
		.tp_len = frame->original,
		.tp_snaplen = frame->captured,
		.tp_mac = (uint16_t)(net - ETHERNET_BYTES),
		.tp_net = (uint16_t)net,
		.tp_sec = frame->sec,
		.tp_usec = frame->nsec / 1000,
	};
	fill_address((struct sockaddr_ll *)(slot + TPACKET_ALIGN(sizeof(struct tpacket_hdr))), frame);
	return net - ETHERNET_BYTES;
}

static uint32_t put_v2(uint8_t *slot, const struct test_frame *frame, uint32_t vnet_bytes)
{
	uint32_t net = net_offset(TPACKET2_HDRLEN, frame, vnet_bytes);

	*(struct tpacket2_hdr *)slot = (struct tpacket2_hdr){
		.tp_status = TP_STATUS_USER | frame->status,
		.tp_len = frame->original,
		.tp_snaplen = frame->captured,
		.tp_mac = (uint16_t)(net - ETHERNET_BYTES),
		.tp_net = (uint16_t)net,
		.tp_sec = frame->sec,
		.tp_nsec = frame->nsec,
		.tp_vlan_tci = frame->tci,
		.tp_vlan_tpid = frame->tpid,
	};
	fill_address((struct sockaddr_ll *)(slot + TPACKET_ALIGN(sizeof(struct tpacket2_hdr))), frame);
	return net - ETHERNET_BYTES;
}

void test_slots_put(struct test_slots *slots, uint32_t index, const struct test_frame *frame)
{
	uint8_t *slot = test_slot(slots, index);
	uint32_t bytes = slots->handle.geometry.frame_bytes;
	uint32_t vnet_bytes = frame->vnet_header ? slots->handle.vnet_header_bytes : 0;

	tpk_unpoison(slot, bytes);
	uint32_t mac =
		slots->handle.ops == &tpk_ring_v1 ? put_v1(slot, frame, vnet_bytes) : put_v2(slot, frame, vnet_bytes);
	assert(frame->captured == 0 || mac + frame->captured <= bytes);
	if (mac <= bytes)
		fill_bytes(slot + mac, frame, vnet_bytes);
}

uint32_t test_slot_status(struct test_slots *slots, uint32_t index)
{
	const uint8_t *slot = test_slot(slots, index);

	if (slots->handle.ops == &tpk_ring_v1)
		return (uint32_t)((const struct tpacket_hdr *)slot)->tp_status;
	return ((const struct tpacket2_hdr *)slot)->tp_status;
}
