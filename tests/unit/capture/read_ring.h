/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of any version that packets with a number each are put into in ring order: for what holds in every version. */
#ifndef TEST_READ_RING_H
#define TEST_READ_RING_H

#include "block.h"

#define BYTES 100u /* of each packet */

struct read_ring {
	bool is_v3;
	uint32_t next; /* block or slot */
	struct test_ring v3;
	struct test_slots slots;
	struct tpacket *handle;
};

/* state: leads to a pointer to the version, see FOR_EACH_VERSION(). */
void open_ring(struct read_ring *ring, void **state, uint32_t vnet_bytes);
void close_ring(struct read_ring *ring);

/* Hand over a run of packets with the numbers from first on. change may be NULL. */
void put_changed(
	struct read_ring *ring, uint32_t first, uint32_t count, void (*change)(struct test_frame *, uint32_t number));
void put(struct read_ring *ring, uint32_t first, uint32_t count);

/* The block, or the slot, is the kernel's. */
bool is_given_back(struct read_ring *ring, uint32_t index);
uint8_t *ring_memory(struct read_ring *ring);

void make_bytes(uint8_t *bytes, uint32_t number);
void assert_packet(const struct tpacket_packet *packet, uint32_t number);

/* Replace the filter, under the same lock as the library does. Takes filter over. */
void request_filter(struct read_ring *ring, struct sock_filter *filter, uint16_t length);

extern enum tpacket_version ring_versions[3];

#define FOR_EACH_VERSION(f)                                                                                            \
	{#f " V1", f, NULL, NULL, &ring_versions[0]}, {#f " V2", f, NULL, NULL, &ring_versions[1]},                    \
	{                                                                                                              \
#f " V3", f, NULL, NULL, &ring_versions[2]                                                             \
	}

#endif
