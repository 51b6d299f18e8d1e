/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread plays the kernel: it fills blocks (V3) or slots (V1, V2) that are its own and hands them over, while the
 * reader waits for each without a pause. What a block's header says changes from one life of the block to the next, so
 * whatever is read of it before the status is seen to be wrong. ThreadSanitizer sees it too when the status word is not
 * what orders the two sides, which on x86-64 no other test can.
 */
#include "block.h"
#include "cmocka_all.h"
#include "poison.h"

#include <linux/if_packet.h>
#include <sched.h>
#include <string.h>

#define HANDOVERS 100000u
#define MAX_PACKETS 3u
#define OFFSETS 5u
#define FRAME_BYTES 2048u
#define USED_BYTES 256u /* of a frame: headers, and a number */

struct kernel {
	pthread_t thread;
	struct test_ring ring;
	struct test_slots slots;
	struct test_slots scratch; /* where a slot is made before it is copied to its place */
	bool is_v1;
};

static void pause_at(uint32_t *spins)
{
	if (++*spins % 256 == 0)
		sched_yield(); /* there may be one CPU only */
}

/* Of each block in turn: so many packets, beginning so far into the block. */
static uint32_t packets_of(uint32_t number)
{
	return 1 + number % MAX_PACKETS;
}

static struct test_frame frame_of(const uint32_t *number)
{
	return (struct test_frame){.data = number, .captured = sizeof(*number), .original = sizeof(*number)};
}

static void *hand_over_blocks(void *argument)
{
	struct kernel *kernel = argument;
	uint32_t spins = 0;

	for (uint32_t number = 0; number < HANDOVERS; number++) {
		uint32_t index = number % TEST_BLOCK_COUNT;
		struct tpacket_block_desc *block = test_ring_block(&kernel->ring, index);
		struct test_frame frame = frame_of(&number);
		while (__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)
			pause_at(&spins);
		test_ring_open_block(&kernel->ring, index);
		kernel->ring.used[index] += number % OFFSETS * 16;
		block->hdr.bh1.offset_to_first_pkt = kernel->ring.used[index];
		for (uint32_t i = 0; i < packets_of(number); i++)
			test_ring_add(&kernel->ring, index, &frame);
		__atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_USER, __ATOMIC_RELEASE);
	}
	return NULL;
}

static bool slot_is_users(const struct kernel *kernel, const uint8_t *slot)
{
	if (kernel->is_v1)
		return __atomic_load_n(&((const struct tpacket_hdr *)slot)->tp_status, __ATOMIC_ACQUIRE);
	return __atomic_load_n(&((const struct tpacket2_hdr *)slot)->tp_status, __ATOMIC_ACQUIRE);
}

static void give_slot(const struct kernel *kernel, uint8_t *slot)
{
	if (kernel->is_v1)
		__atomic_store_n(&((struct tpacket_hdr *)slot)->tp_status, TP_STATUS_USER, __ATOMIC_RELEASE);
	else
		__atomic_store_n(&((struct tpacket2_hdr *)slot)->tp_status, TP_STATUS_USER, __ATOMIC_RELEASE);
}

/* Not memcpy(3), which the compiler may put here without what ThreadSanitizer has to see. */
static void copy_behind_status(uint8_t *slot, const uint8_t *from, size_t status_bytes)
{
	for (size_t i = status_bytes; i < USED_BYTES; i++)
		slot[i] = from[i];
}

static void *hand_over_slots(void *argument)
{
	struct kernel *kernel = argument;
	size_t status_bytes = kernel->is_v1 ? sizeof(unsigned long) : sizeof(uint32_t);
	uint32_t spins = 0;

	for (uint32_t number = 0; number < HANDOVERS; number++) {
		uint8_t *slot = test_slot(&kernel->slots, number % kernel->slots.count);
		struct test_frame frame = frame_of(&number);
		while (slot_is_users(kernel, slot))
			pause_at(&spins);
		test_slots_put(&kernel->scratch, 0, &frame);
		tpk_unpoison(slot, FRAME_BYTES);
		copy_behind_status(slot, test_slot(&kernel->scratch, 0), status_bytes);
		give_slot(kernel, slot);
	}
	return NULL;
}

static uint32_t number_in(const struct tpacket_packet *packet)
{
	uint32_t number;

	assert_int_equal(packet->captured_length, sizeof(number));
	memcpy(&number, packet->data, sizeof(number));
	return number;
}

static void take(struct tpacket *handle, struct tpacket_lease *ret_lease)
{
	uint32_t spins = 0;

	while (!tpk_ring_acquire(handle, ret_lease))
		pause_at(&spins);
}

static void test_blocks(void **state)
{
	static struct kernel kernel;
	struct tpacket *handle = &kernel.ring.handle;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	test_ring_init(&kernel.ring, 0);
	assert_int_equal(pthread_create(&kernel.thread, NULL, hand_over_blocks, &kernel), 0);
	for (uint32_t number = 0; number < HANDOVERS; number++) {
		take(handle, &lease);
		assert_int_equal(lease.remaining_packets, packets_of(number));
		for (uint32_t i = 0; i < packets_of(number); i++) {
			assert_true(tpacket_lease_next(&lease, &packet));
			assert_int_equal(number_in(&packet), number);
		}
		assert_false(tpacket_lease_next(&lease, &packet));
		tpacket_release(&lease);
	}
	pthread_join(kernel.thread, NULL);
	assert_int_equal(handle->counters.bad_blocks, 0);
	test_ring_fini(&kernel.ring);
}

static void read_slots(enum tpacket_version version)
{
	static struct kernel kernel;
	struct tpacket *handle = &kernel.slots.handle;
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	uint32_t number = 0;

	kernel.is_v1 = version == TPACKET_VERSION_1;
	test_slots_init(&kernel.slots, version, FRAME_BYTES, 0);
	test_slots_init(&kernel.scratch, version, FRAME_BYTES, 0);
	assert_int_equal(pthread_create(&kernel.thread, NULL, hand_over_slots, &kernel), 0);
	while (number < HANDOVERS) {
		take(handle, &lease);
		while (tpacket_lease_next(&lease, &packet))
			assert_int_equal(number_in(&packet), number++);
		tpacket_release(&lease);
	}
	pthread_join(kernel.thread, NULL);
	assert_int_equal(handle->counters.read, HANDOVERS);
	assert_int_equal(handle->counters.bad_blocks, 0);
	test_slots_fini(&kernel.slots);
	test_slots_fini(&kernel.scratch);
}

static void test_slots_v1(void **state)
{
	read_slots(TPACKET_VERSION_1);
}

static void test_slots_v2(void **state)
{
	read_slots(TPACKET_VERSION_2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_slots_v1),
		cmocka_unit_test(test_slots_v2),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
