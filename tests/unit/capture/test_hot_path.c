/* SPDX-License-Identifier: Apache-2.0 */
/* Reading goes on without memory of its own for each packet, and counts on where 32 bits end. */
#include "block.h"
#include "cmocka_all.h"

#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PACKETS 32u
#define BYTES 100u

void *__wrap_malloc(size_t bytes);
void *__real_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);

static uint32_t allocations;

void *__wrap_malloc(size_t bytes)
{
	allocations++;
	return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	allocations++;
	return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
	allocations++;
	return __real_realloc(memory, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
	allocations++;
	return __real_aligned_alloc(alignment, bytes);
}

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	allocations++;
	return __real_mmap(address, length, protection, flags, fd, offset);
}

static const uint8_t pattern[BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x08, 0x00};

static struct test_frame tagged(void)
{
	return (struct test_frame){
		.data = pattern,
		.captured = BYTES,
		.original = BYTES,
		.status = TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID,
		.tpid = 0x88a8,
		.tci = 0x6064,
		.reserve = TPK_VLAN_BYTES,
		.hardware_type = ARPHRD_ETHER,
	};
}

static bool lies_in_ring(const struct tpacket *handle, const struct tpacket_packet *packet)
{
	const uint8_t *end = handle->ring + (size_t)handle->geometry.block_bytes * handle->geometry.block_count;

	return packet->data >= handle->ring && packet->data + packet->captured_length <= end;
}

/* All packets of the ring, by either way of reading, with the tag in them: nothing is allocated, nothing is elsewhere.
 */
static void read_tagged(struct tpacket *handle, bool by_lease)
{
	struct tpacket_lease lease = {0};
	struct tpacket_packet packet;
	uint32_t count = 0, before = allocations;

	handle->inserts_vlan = true;
	if (by_lease)
		assert_int_equal(tpacket_acquire(handle, 0, &lease), 1);
	while (by_lease ? tpacket_lease_next(&lease, &packet) : tpacket_read(handle, 0, &packet) == 1) {
		assert_true(packet.status & TPACKET_STATUS_VLAN_INSERTED);
		assert_int_equal(packet.captured_length, BYTES + TPK_VLAN_BYTES);
		assert_true(lies_in_ring(handle, &packet));
		count++;
	}
	tpacket_release(&lease);
	assert_int_equal(count, PACKETS);
	assert_int_equal(allocations, before);
}

static void test_insertion_allocates_nothing_v3(void **state)
{
	for (int by_lease = 0; by_lease < 2; by_lease++) {
		struct test_ring ring;
		struct test_frame frame = tagged();
		test_ring_init(&ring, 0);
		for (uint32_t i = 0; i < PACKETS; i++)
			test_ring_add(&ring, 0, &frame);
		test_ring_retire(&ring, 0, 0);
		read_tagged(&ring.handle, by_lease);
		test_ring_fini(&ring);
	}
}

static void test_insertion_allocates_nothing_v2(void **state)
{
	for (int by_lease = 0; by_lease < 2; by_lease++) {
		struct test_slots slots;
		struct test_frame frame = tagged();
		test_slots_init(&slots, TPACKET_VERSION_2, 256, 0);
		for (uint32_t i = 0; i < PACKETS; i++)
			test_slots_put(&slots, i, &frame);
		read_tagged(&slots.handle, by_lease);
		test_slots_fini(&slots);
	}
}

/* The reader's own counters go on where 32 bits end. */
static void test_counters_pass_32_bits(void **state)
{
	struct test_ring ring;
	struct test_frame frame = tagged();
	struct tpacket_lease lease;
	struct tpacket_counters counters;

	test_ring_init(&ring, 0);
	ring.handle.counters.read = UINT32_MAX;
	ring.handle.counters.polls = UINT32_MAX;
	test_ring_add(&ring, 0, &frame);
	test_ring_retire(&ring, 0, 0);
	assert_int_equal(tpacket_acquire(&ring.handle, 0, &lease), 1);
	tpacket_release(&lease);
	assert_int_equal(tpacket_acquire(&ring.handle, 0, &lease), 0);
	assert_int_equal(tpacket_stats(&ring.handle, &counters), 0);
	assert_int_equal(counters.read, UINT32_MAX + 1ULL);
	assert_true(counters.polls > UINT32_MAX);
	test_ring_fini(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_insertion_allocates_nothing_v3),
		cmocka_unit_test(test_insertion_allocates_nothing_v2),
		cmocka_unit_test(test_counters_pass_32_bits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
