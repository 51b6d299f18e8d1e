/* SPDX-License-Identifier: Apache-2.0 */
#include "block.h"
#include "poison.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES ((uint32_t)sizeof(struct tpacket_block_desc))

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

struct tpacket3_hdr *test_ring_add(struct test_ring *ring, uint32_t block, const struct test_frame *frame)
{
	struct tpacket_block_desc *header = test_ring_block(ring, block);
	uint32_t vnet_bytes = frame->vnet_header ? VNET_HEADER_BYTES : 0;
	uint32_t net = (uint32_t)TPACKET_ALIGN(TPACKET3_HDRLEN + 16) + vnet_bytes;
	uint32_t mac = net - 14;
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
	*address = (struct sockaddr_ll){
		.sll_family = AF_PACKET,
		.sll_protocol = htons(frame->protocol),
		.sll_ifindex = frame->interface_index,
		.sll_hatype = frame->hardware_type,
		.sll_pkttype = frame->packet_type,
	};
	if (vnet_bytes)
		memcpy(memory + mac - vnet_bytes, frame->vnet_header, vnet_bytes);
	if (frame->captured)
		memcpy(memory + mac, frame->data, frame->captured);
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
