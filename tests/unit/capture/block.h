/* SPDX-License-Identifier: Apache-2.0 */
/* TPACKET_V3 blocks, and slots of TPACKET_V1 and V2, as the kernel lays them out, in memory of the test. */
#ifndef TEST_BLOCK_H
#define TEST_BLOCK_H

#include "internal.h"

#define TEST_BLOCK_BYTES 8192u
#define TEST_BLOCK_COUNT 4u

struct test_frame {
	const void *data;
	uint32_t captured;
	uint32_t original;
	uint32_t sec, nsec;
	uint32_t status;
	uint32_t rx_hash;
	uint16_t tci, tpid;
	uint16_t protocol; /* host byte order */
	uint16_t hardware_type;
	uint8_t packet_type;
	int interface_index;
	const void *vnet_header; /* as many bytes as the handle has; NULL: none */
	uint32_t reserve;        /* PACKET_RESERVE */
};

struct test_ring {
	uint8_t *memory;
	uint32_t used[TEST_BLOCK_COUNT]; /* bytes of each block that are filled */
	struct tpacket3_hdr *last[TEST_BLOCK_COUNT];
	struct tpacket handle;
};

/* A handle over TEST_BLOCK_COUNT empty blocks, all the kernel's. */
void test_ring_init(struct test_ring *ring, uint32_t vnet_header_bytes);
void test_ring_fini(struct test_ring *ring);

/* Put a frame into a block, where the kernel would put it. Returns its header. */
struct tpacket3_hdr *test_ring_add(struct test_ring *ring, uint32_t block, const struct test_frame *frame);
/* Hand the block over with the packets it has. */
void test_ring_retire(struct test_ring *ring, uint32_t block, uint32_t status);
struct tpacket_block_desc *test_ring_block(struct test_ring *ring, uint32_t block);
/* Make the block empty again, as the kernel does when it begins to fill it. */
void test_ring_open_block(struct test_ring *ring, uint32_t block);

/* TEST_BLOCK_COUNT blocks of slots. */
struct test_slots {
	uint8_t *memory;
	uint32_t count; /* of slots */
	struct tpacket handle;
};

/* A handle over empty slots, all the kernel's. version: 1 or 2. */
void test_slots_init(
	struct test_slots *slots, enum tpacket_version version, uint32_t frame_bytes, uint32_t vnet_header_bytes);
void test_slots_fini(struct test_slots *slots);
uint8_t *test_slot(struct test_slots *slots, uint32_t index);
/* Put a frame into a slot, where the kernel would put it, and hand it over. */
void test_slots_put(struct test_slots *slots, uint32_t index, const struct test_frame *frame);
uint32_t test_slot_status(struct test_slots *slots, uint32_t index);

#endif
