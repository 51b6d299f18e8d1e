/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The zero-copy contract, in each ring version: what shows in a debug build when a caller keeps a packet, or a lease,
 * for longer than it may. With AddressSanitizer each such access ends the program; without it the bytes of a packet
 * that is not valid any more are overwritten. A copied packet and the next life of the same memory do not suffer. What
 * is used after closing is in the tests against the kernel, as that takes a mapped ring.
 */
#include "cmocka_all.h"
#include "death.h"
#include "poison.h"
#include "read_ring.h"

#include <stdlib.h>
#include <string.h>

static uint8_t sink;

static void look_at(const uint8_t *byte)
{
	__atomic_store_n(&sink, *byte, __ATOMIC_RELAXED);
}

/* In a process of its own: what goes wrong otherwise must not look like being caught. */
static void must(bool condition)
{
	if (!condition)
		_exit(0);
}

static void keep_nothing(struct tpacket *handle)
{
	struct tpacket_packet packet;

	while (tpacket_read(handle, 0, &packet) == 1)
		look_at(packet.data + BYTES - 1);
}

/* Leases that were given back, and copies of them. */
static void use_released_lease(void *argument)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	must(tpacket_acquire(argument, 0, &lease) == 1);
	tpacket_release(&lease);
	tpacket_lease_next(&lease, &packet);
}

static void use_copy_of_released_lease(void *argument)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	must(tpacket_acquire(argument, 0, &lease) == 1);
	struct tpacket_lease copy = lease;
	tpacket_release(&lease);
	tpacket_lease_next(&copy, &packet);
}

static void release_copy_again(void *argument)
{
	struct tpacket_lease lease;

	must(tpacket_acquire(argument, 0, &lease) == 1);
	struct tpacket_lease copy = lease;
	tpacket_release(&lease);
	tpacket_release(&copy);
}

/* Another lease is held meanwhile, so that only its place tells them apart. */
static void use_lease_before_last(void *argument)
{
	struct tpacket_lease lease, next;
	struct tpacket_packet packet;
	struct read_ring *ring = argument;

	must(tpacket_acquire(ring->handle, 0, &lease) == 1);
	struct tpacket_lease copy = lease;
	tpacket_release(&lease);
	put(ring, 7, 1);
	must(tpacket_acquire(ring->handle, 0, &next) == 1 && tpacket_lease_next(&next, &packet));
	tpacket_lease_next(&copy, &packet);
}

static void test_lease_after_release(void **state)
{
	struct read_ring ring;
	struct tpacket_lease lease;

	open_ring(&ring, state, 0);
	put(&ring, 0, 3);
	assert_dies(use_released_lease, ring.handle);
	assert_dies(use_copy_of_released_lease, ring.handle);
	assert_dies(release_copy_again, ring.handle);
	assert_dies(use_lease_before_last, &ring);
	/* The lease itself holds nothing any more, which may be given back as often as one likes. */
	assert_int_equal(tpacket_acquire(ring.handle, 0, &lease), 1);
	tpacket_release(&lease);
	tpacket_release(&lease);
	assert_true(is_given_back(&ring, 0));
	close_ring(&ring);
}

#ifndef TPK_HAS_ASAN
static void assert_overwritten(const uint8_t *bytes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(bytes[i], TPK_INVALID_BYTE);
}

static uint32_t count_overwritten(struct read_ring *ring)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < TEST_BLOCK_BYTES * TEST_BLOCK_COUNT; i++)
		count += ring_memory(ring)[i] == TPK_INVALID_BYTE;
	return count;
}

/* With the next call; the bytes around them are what they were, as the rest of the run is still to be read. */
static void test_read_packets_are_overwritten(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet, last = {0};

	open_ring(&ring, state, 12);
	put(&ring, 0, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
		assert_packet(&packet, i);
		assert_int_equal(packet.vnet_header[0], 9);
		if (i > 0)
			assert_overwritten(last.data - 12, BYTES + 12);
		assert_int_equal(count_overwritten(&ring), i * (BYTES + 12));
		last = packet;
	}
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 0);
	assert_overwritten(last.data - 12, BYTES + 12);
	close_ring(&ring);
}

/* With the release, whether it was read or not; nothing but what the run had used. */
static void test_released_packets_are_overwritten(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packets[2];
	struct tpacket_lease lease;

	open_ring(&ring, state, 12);
	put(&ring, 0, 3);
	assert_int_equal(tpacket_acquire(ring.handle, 0, &lease), 1);
	for (uint32_t i = 0; i < 2; i++)
		assert_true(tpacket_lease_next(&lease, &packets[i]));
	assert_packet(&packets[0], 0);
	assert_int_equal(count_overwritten(&ring), 0);
	tpacket_release(&lease);
	for (uint32_t i = 0; i < 2; i++)
		assert_overwritten(packets[i].data - 12, BYTES + 12);
	uint32_t overwritten = count_overwritten(&ring);
	assert_true(overwritten >= 3 * (BYTES + 12) && overwritten < 3 * (BYTES + 150));
	assert_true(is_given_back(&ring, 0));
	close_ring(&ring);
}

/* The lengths that say how much was used may lie. */
static void test_overwriting_stays_inside(void **state)
{
	struct read_ring ring;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	open_ring(&ring, state, 0);
	put(&ring, 0, 1);
	put(&ring, 1, 1);
	if (ring.is_v3)
		test_ring_block(&ring.v3, 0)->hdr.bh1.blk_len = UINT32_MAX;
	else if (ring.handle->ops == &tpk_ring_v1)
		((struct tpacket_hdr *)test_slot(&ring.slots, 1))->tp_snaplen = UINT32_MAX;
	else
		((struct tpacket2_hdr *)test_slot(&ring.slots, 1))->tp_snaplen = UINT32_MAX;
	assert_int_equal(tpacket_acquire(ring.handle, 0, &lease), 1);
	tpacket_release(&lease);
	if (ring.is_v3) {
		assert_int_equal(count_overwritten(&ring), TEST_BLOCK_BYTES - sizeof(struct tpacket_block_desc));
		assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
		assert_packet(&packet, 1);
	} else {
		assert_true(count_overwritten(&ring) <= 2 * ring.handle->geometry.frame_bytes);
		assert_int_equal(test_slot(&ring.slots, 2)[0], 0);
	}
	close_ring(&ring);
}
#else
static void keep_a_packet(void *argument)
{
	struct tpacket_packet packet, kept;

	must(tpacket_read(argument, 0, &kept) == 1);
	must(tpacket_read(argument, 0, &packet) == 1);
	look_at(kept.data + 50);
}

static void keep_a_vnet_header(void *argument)
{
	struct tpacket_packet packet, kept;

	must(tpacket_read(argument, 0, &kept) == 1);
	must(tpacket_read(argument, 0, &packet) == 1);
	look_at(kept.vnet_header + 11);
}

static void keep_over_a_copy(void *argument)
{
	struct tpacket_packet packet, kept;
	void *memory;

	must(tpacket_read(argument, 0, &kept) == 1);
	must(tpacket_read_copy(argument, 0, &packet, &memory) == 1);
	look_at(kept.data + BYTES / 2);
}

static void keep_over_the_end(void *argument)
{
	struct tpacket_packet packet, kept = {0};

	while (tpacket_read(argument, 0, &packet) == 1)
		kept = packet;
	must(kept.data != NULL);
	look_at(kept.data);
}

static void write_a_kept_packet(void *argument)
{
	struct tpacket_packet packet, kept;

	must(tpacket_read(argument, 0, &kept) == 1);
	must(tpacket_read(argument, 0, &packet) == 1);
	memset((uint8_t *)kept.data, 0, 1);
}

static void read_released_packet(void *argument)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	must(tpacket_acquire(argument, 0, &lease) == 1 && tpacket_lease_next(&lease, &packet));
	tpacket_release(&lease);
	look_at(packet.data);
}

static void write_released_packet(void *argument)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	must(tpacket_acquire(argument, 0, &lease) == 1 && tpacket_lease_next(&lease, &packet));
	tpacket_release(&lease);
	memset((uint8_t *)packet.data, 0, packet.captured_length);
}

static void read_behind_the_run(void *argument)
{
	struct read_ring *ring = argument;
	struct tpacket_lease lease;
	uint32_t run_bytes = ring->is_v3 ? TEST_BLOCK_BYTES : 3 * ring->handle->geometry.frame_bytes;

	must(tpacket_acquire(ring->handle, 0, &lease) == 1 && lease.block == ring_memory(ring));
	look_at(lease.block + run_bytes + (ring->is_v3 ? sizeof(struct tpacket_block_desc) : 8));
}

static void test_kept_packet_is_caught(void **state)
{
	struct read_ring ring;

	open_ring(&ring, state, 12);
	put(&ring, 0, 3);
	assert_dies(keep_a_packet, ring.handle);
	assert_dies(keep_a_vnet_header, ring.handle);
	assert_dies(keep_over_a_copy, ring.handle);
	assert_dies(keep_over_the_end, ring.handle);
	assert_dies(write_a_kept_packet, ring.handle);
	assert_dies(read_released_packet, ring.handle);
	assert_dies(write_released_packet, ring.handle);
	close_ring(&ring);
}

/* After one round: what was never handed over is not poisoned. */
static void test_behind_a_run_is_caught(void **state)
{
	struct read_ring ring;

	open_ring(&ring, state, 0);
	for (uint32_t given = 0; given < (ring.is_v3 ? TEST_BLOCK_COUNT : ring.slots.count); given++) {
		put(&ring, given, 1);
		keep_nothing(ring.handle);
	}
	assert_int_equal(ring.next, 0);
	put(&ring, 0, 3);
	assert_dies(read_behind_the_run, &ring);
	close_ring(&ring);
}
#endif

/* The same memory again and again, and copies, by a caller that keeps to the contract. */
static void test_contract_kept(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet, copied;
	void *copy;

	open_ring(&ring, state, 12);
	for (uint32_t i = 0; i < 20; i++) {
		put(&ring, 3 * i, 3);
		assert_int_equal(tpacket_read_copy(ring.handle, 0, &copied, &copy), 1);
		assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
		assert_packet(&packet, 3 * i + 1);
		keep_nothing(ring.handle);
		assert_packet(&copied, 3 * i);
		assert_int_equal(copied.vnet_header[0], 9);
		free(copy);
	}
	close_ring(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FOR_EACH_VERSION(test_lease_after_release),
#ifndef TPK_HAS_ASAN
		FOR_EACH_VERSION(test_read_packets_are_overwritten),
		FOR_EACH_VERSION(test_released_packets_are_overwritten),
		FOR_EACH_VERSION(test_overwriting_stays_inside),
#else
		FOR_EACH_VERSION(test_kept_packet_is_caught),
		FOR_EACH_VERSION(test_behind_a_run_is_caught),
#endif
		FOR_EACH_VERSION(test_contract_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
