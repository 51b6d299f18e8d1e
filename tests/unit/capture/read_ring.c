/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"
#include "read_ring.h"

#include <net/if_arp.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum tpacket_version ring_versions[3] = {TPACKET_VERSION_1, TPACKET_VERSION_2, TPACKET_VERSION_3};

void open_ring(struct read_ring *ring, void **state, uint32_t vnet_bytes)
{
	enum tpacket_version version = *(const enum tpacket_version *)*state;

	memset(ring, 0, sizeof(*ring));
	ring->is_v3 = version == TPACKET_VERSION_3;
	if (ring->is_v3)
		test_ring_init(&ring->v3, vnet_bytes);
	else
		test_slots_init(&ring->slots, version, 1024, vnet_bytes);
	ring->handle = ring->is_v3 ? &ring->v3.handle : &ring->slots.handle;
	ring->handle->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(ring->handle->wake_fd >= 0);
}

void close_ring(struct read_ring *ring)
{
	tpk_read_finish(ring->handle);
	tpk_settle_free(ring->handle);
	close(ring->handle->wake_fd);
	if (ring->is_v3)
		test_ring_fini(&ring->v3);
	else
		test_slots_fini(&ring->slots);
}

void make_bytes(uint8_t *bytes, uint32_t number)
{
	for (uint32_t i = 0; i < BYTES; i++)
		bytes[i] = (uint8_t)(number * 31 + i);
}

void put_changed(
	struct read_ring *ring, uint32_t first, uint32_t count, void (*change)(struct test_frame *, uint32_t number))
{
	static const uint8_t vnet_header[12] = {9, 0, 7, 6, 5, 4, 3, 2, 1};

	if (ring->is_v3)
		test_ring_open_block(&ring->v3, ring->next);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t bytes[BYTES];
		struct test_frame frame = {.data = bytes,
			.captured = BYTES,
			.original = BYTES,
			.protocol = 0x0800,
			.reserve = 4,
			.hardware_type = ARPHRD_ETHER,
			.sec = first + i,
			.vnet_header = ring->handle->vnet_header_bytes ? vnet_header : NULL};
		make_bytes(bytes, first + i);
		if (change)
			change(&frame, first + i);
		if (ring->is_v3)
			test_ring_add(&ring->v3, ring->next, &frame);
		else
			test_slots_put(&ring->slots, (ring->next + i) % ring->slots.count, &frame);
	}
	if (ring->is_v3)
		test_ring_retire(&ring->v3, ring->next, 0);
	ring->next = ring->is_v3 ? (ring->next + 1) % TEST_BLOCK_COUNT : (ring->next + count) % ring->slots.count;
}

void put(struct read_ring *ring, uint32_t first, uint32_t count)
{
	put_changed(ring, first, count, NULL);
}

bool is_given_back(struct read_ring *ring, uint32_t index)
{
	uint32_t status = ring->is_v3 ? test_ring_block(&ring->v3, index)->hdr.bh1.block_status
	                              : test_slot_status(&ring->slots, index);

	return status == TP_STATUS_KERNEL;
}

void assert_packet(const struct tpacket_packet *packet, uint32_t number)
{
	uint8_t bytes[BYTES];

	make_bytes(bytes, number);
	assert_int_equal(packet->captured_length, BYTES);
	assert_int_equal(packet->original_length, BYTES);
	assert_memory_equal(packet->data, bytes, BYTES);
	assert_int_equal(packet->time_ns, (uint64_t)number * 1000000000u);
}

uint8_t *ring_memory(struct read_ring *ring)
{
	return ring->is_v3 ? ring->v3.memory : ring->slots.memory;
}

void request_filter(struct read_ring *ring, struct sock_filter *filter, uint16_t length)
{
	pthread_mutex_lock(&ring->handle->lock);
	tpk_settle_request(ring->handle, filter, length, false);
	pthread_mutex_unlock(&ring->handle->lock);
}
