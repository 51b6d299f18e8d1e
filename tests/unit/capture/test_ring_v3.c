/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over well-formed blocks: every packet once, every fact where the kernel put it, every block given back. */
#include "cmocka_all.h"
#include "block.h"
#include "death.h"
#include "poison.h"

#include <net/if_arp.h>
#include <string.h>

static uint8_t pattern[2000];

static int set_up(void **state)
{
	static struct test_ring ring;

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + i / 256);
	test_ring_init(&ring, 0);
	*state = &ring;
	return 0;
}

static int tear_down(void **state)
{
	test_ring_fini(*state);
	return 0;
}

static struct test_frame frame_of(uint32_t bytes, uint32_t number)
{
	return (struct test_frame){
		.data = pattern + number % 64,
		.captured = bytes,
		.original = bytes,
		.sec = 1700000000u + number,
		.nsec = 999999999u - number,
		.protocol = 0x0800,
		.hardware_type = ARPHRD_ETHER,
		.packet_type = TPACKET_TYPE_HOST,
		.interface_index = 3,
	};
}

static uint32_t block_status(struct test_ring *ring, uint32_t block)
{
	return test_ring_block(ring, block)->hdr.bh1.block_status;
}

static void test_every_packet_once(void **state)
{
	struct test_ring *ring = *state;
	const uint32_t lengths[] = {60, 61, 64, 1, 1514, 255, 60};
	const uint32_t count = sizeof(lengths) / sizeof(lengths[0]);
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	for (uint32_t i = 0; i < count; i++) {
		struct test_frame frame = frame_of(lengths[i], i);
		test_ring_add(ring, 0, &frame);
	}
	test_ring_retire(ring, 0, 0);
	assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 1);
	for (uint32_t i = 0; i < count; i++) {
		assert_true(tpacket_lease_next(&lease, &packet));
		assert_int_equal(packet.captured_length, lengths[i]);
		assert_int_equal(packet.original_length, lengths[i]);
		assert_memory_equal(packet.data, pattern + i % 64, lengths[i]);
		assert_int_equal(packet.time_ns, (1700000000ULL + i) * 1000000000ULL + 999999999ULL - i);
	}
	assert_false(tpacket_lease_next(&lease, &packet));
	assert_int_equal(block_status(ring, 0), TP_STATUS_USER);
	tpacket_release(&lease);
	assert_int_equal(block_status(ring, 0), TP_STATUS_KERNEL);
	assert_int_equal(ring->handle.counters.read, count);
	assert_int_equal(ring->handle.counters.bad_blocks, 0);
	assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 0);
	assert_null(lease.handle);
}

static void test_facts_of_a_packet(void **state)
{
	struct test_ring *ring = *state;
	struct test_frame frame = frame_of(100, 0);
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	frame.original = 100;
	frame.status = TP_STATUS_CSUMNOTREADY | TP_STATUS_GSO_TCP | TP_STATUS_TS_SOFTWARE;
	frame.rx_hash = 0xdeadbeef;
	frame.protocol = 0x86dd;
	frame.hardware_type = ARPHRD_LOOPBACK;
	frame.packet_type = TPACKET_TYPE_OUTGOING;
	frame.interface_index = 77;
	test_ring_add(ring, 0, &frame);
	frame.status = TP_STATUS_CSUM_VALID | TP_STATUS_TS_RAW_HARDWARE;
	test_ring_add(ring, 0, &frame);
	test_ring_retire(ring, 0, TP_STATUS_LOSING | TP_STATUS_BLK_TMO);
	assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 1);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(packet.status, TPACKET_STATUS_LOSING | TPACKET_STATUS_CHECKSUM_NOT_READY |
						TPACKET_STATUS_GSO_TCP | TPACKET_STATUS_TIME_SOFTWARE);
	assert_int_equal(packet.rx_hash, 0xdeadbeef);
	assert_int_equal(packet.protocol, 0x86dd);
	assert_int_equal(packet.hardware_type, ARPHRD_LOOPBACK);
	assert_int_equal(packet.packet_type, TPACKET_TYPE_OUTGOING);
	assert_int_equal(packet.interface_index, 77);
	assert_int_equal(packet.vnet_header_length, 0);
	assert_null(packet.vnet_header);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(
		packet.status, TPACKET_STATUS_LOSING | TPACKET_STATUS_CHECKSUM_VALID | TPACKET_STATUS_TIME_HARDWARE);
	tpacket_release(&lease);
}

static void test_vlan(void **state)
{
	struct test_ring *ring = *state;
	const struct {
		uint32_t status;
		uint16_t tci, tpid, want_tci, want_tpid;
		bool want_flag;
	} cases[] = {
		{TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID, 0xefff, 0x88a8, 0xefff, 0x88a8, true},
		{TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID, 0, 0x8100, 0, 0x8100, true}, /* priority tag 0 */
		{TP_STATUS_VLAN_VALID, 42, 0x9999, 42, 0x8100, true}, /* a kernel that does not tell the type */
		{0, 42, 0x8100, 0, 0, false},                         /* left over, not valid */
	};
	const size_t count = sizeof(cases) / sizeof(cases[0]);
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	for (size_t i = 0; i < count; i++) {
		struct test_frame frame = frame_of(60, 0);
		frame.status = cases[i].status;
		frame.tci = cases[i].tci;
		frame.tpid = cases[i].tpid;
		test_ring_add(ring, 0, &frame);
	}
	test_ring_retire(ring, 0, 0);
	assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 1);
	for (size_t i = 0; i < count; i++) {
		assert_true(tpacket_lease_next(&lease, &packet));
		assert_int_equal(packet.vlan_tci, cases[i].want_tci);
		assert_int_equal(packet.vlan_tpid, cases[i].want_tpid);
		assert_int_equal(packet.status, cases[i].want_flag ? TPACKET_STATUS_VLAN : 0);
	}
	tpacket_release(&lease);
}

static void test_vnet_header_lies_before_the_frame(void **state)
{
	struct test_ring ring;
	const uint8_t header[VNET_HEADER_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
	struct test_frame frame = frame_of(200, 5);
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	test_ring_init(&ring, VNET_HEADER_BYTES);
	frame.vnet_header = header;
	test_ring_add(&ring, 0, &frame);
	test_ring_retire(&ring, 0, 0);
	assert_int_equal(tpacket_acquire(&ring.handle, 0, &lease), 1);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(packet.vnet_header_length, VNET_HEADER_BYTES);
	assert_memory_equal(packet.vnet_header, header, sizeof(header));
	assert_ptr_equal(packet.vnet_header + VNET_HEADER_BYTES, packet.data);
	assert_memory_equal(packet.data, pattern + 5, 200);
	tpacket_release(&lease);
	test_ring_fini(&ring);
}

static void test_truncated_is_cut_by_the_ring_only(void **state)
{
	struct test_ring *ring = *state;
	static uint8_t large[TEST_BLOCK_BYTES];
	const uint32_t mac = (uint32_t)TPACKET_ALIGN(TPACKET3_HDRLEN + 16) - 14;
	struct test_frame by_filter = frame_of(96, 0);
	struct test_frame by_ring = frame_of(0, 0);
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	by_filter.original = 1514;
	test_ring_add(ring, 0, &by_filter);
	test_ring_retire(ring, 0, 0);
	by_ring.data = large;
	by_ring.captured = TEST_BLOCK_BYTES - (uint32_t)sizeof(struct tpacket_block_desc) - mac;
	by_ring.original = 9000;
	test_ring_add(ring, 1, &by_ring);
	test_ring_retire(ring, 1, 0);
	assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 1);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(packet.status & TPACKET_STATUS_TRUNCATED, 0);
	assert_int_equal(packet.original_length, 1514);
	tpacket_release(&lease);
	assert_int_equal(ring->handle.counters.truncated, 0);
	assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 1);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(packet.status, TPACKET_STATUS_TRUNCATED);
	assert_int_equal(packet.captured_length, by_ring.captured);
	assert_int_equal(packet.original_length, 9000);
	tpacket_release(&lease);
	assert_int_equal(ring->handle.counters.truncated, 1);
}

/* The kernel hands over blocks without packets; what lies in them is from their previous life. */
static void test_empty_blocks_are_skipped(void **state)
{
	struct test_ring *ring = *state;
	struct test_frame frame = frame_of(60, 1);
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	test_ring_add(ring, 0, &frame);
	test_ring_block(ring, 0)->hdr.bh1.num_pkts = 0;
	test_ring_retire(ring, 0, TP_STATUS_BLK_TMO);
	test_ring_retire(ring, 1, 0);
	frame = frame_of(60, 2);
	test_ring_add(ring, 2, &frame);
	test_ring_retire(ring, 2, 0);
	assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 1);
	assert_int_equal(block_status(ring, 0), TP_STATUS_KERNEL);
	assert_int_equal(block_status(ring, 1), TP_STATUS_KERNEL);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_memory_equal(packet.data, pattern + 2, 60);
	assert_false(tpacket_lease_next(&lease, &packet));
	tpacket_release(&lease);
	assert_int_equal(ring->handle.counters.read, 1);
	assert_int_equal(ring->handle.counters.bad_blocks, 0);
}

static void test_ring_of_empty_blocks_ends(void **state)
{
	struct test_ring *ring = *state;
	struct tpacket_lease lease;

	for (uint32_t i = 0; i < TEST_BLOCK_COUNT; i++)
		test_ring_retire(ring, i, 0);
	assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 0);
	for (uint32_t i = 0; i < TEST_BLOCK_COUNT; i++)
		assert_int_equal(block_status(ring, i), TP_STATUS_KERNEL);
}

static void test_blocks_come_in_ring_order(void **state)
{
	struct test_ring *ring = *state;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	for (uint32_t turn = 0; turn < 3 * TEST_BLOCK_COUNT; turn++) {
		uint32_t block = turn % TEST_BLOCK_COUNT;
		struct test_frame frame = frame_of(60, turn);

		test_ring_open_block(ring, block);
		test_ring_add(ring, block, &frame);
		test_ring_retire(ring, block, 0);
		assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 1);
		assert_true(tpacket_lease_next(&lease, &packet));
		assert_memory_equal(packet.data, pattern + turn % 64, 60);
		tpacket_release(&lease);
	}
	assert_int_equal(ring->handle.counters.read, 3 * TEST_BLOCK_COUNT);
}

static void test_ready_counts_to_the_first_of_the_kernel(void **state)
{
	struct test_ring *ring = *state;
	struct tpacket_lease lease;
	struct test_frame frame = frame_of(60, 0);

	assert_int_equal(ring->handle.ops->ready(&ring->handle), 0);
	for (uint32_t i = 0; i < TEST_BLOCK_COUNT; i++) {
		test_ring_add(ring, i, &frame);
		test_ring_retire(ring, i, 0);
		assert_int_equal(ring->handle.ops->ready(&ring->handle), i + 1);
	}
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 1);
		tpacket_release(&lease);
		assert_int_equal(ring->handle.ops->ready(&ring->handle), TEST_BLOCK_COUNT - 1 - i);
	}
	test_ring_retire(ring, 0, 0); /* round the ring's end */
	assert_int_equal(ring->handle.ops->ready(&ring->handle), 3);
	assert_true(ring->handle.ops->has_blocks);
}

static void test_one_lease_at_a_time(void **state)
{
	struct test_ring *ring = *state;
	struct test_frame frame = frame_of(60, 0);
	struct tpacket_lease lease, second;

	test_ring_add(ring, 0, &frame);
	test_ring_retire(ring, 0, 0);
	test_ring_add(ring, 1, &frame);
	test_ring_retire(ring, 1, 0);
	assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 1);
	assert_int_equal(tpacket_acquire(&ring->handle, 0, &second), -EBUSY);
	assert_null(second.handle);
	tpacket_release(&lease);
	tpacket_release(&lease); /* holds nothing any more: does nothing */
	assert_int_equal(tpacket_acquire(&ring->handle, 0, &second), 1);
	tpacket_release(&second);
}

static void test_empty_lease_gives_nothing(void **state)
{
	struct test_ring *ring = *state;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 0);
	assert_false(tpacket_lease_next(&lease, &packet));
	tpacket_release(&lease);
}

static void use_released_lease(void *argument)
{
	struct test_ring *ring = argument;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	tpacket_acquire(&ring->handle, 0, &lease);
	tpacket_release(&lease);
	tpacket_lease_next(&lease, &packet);
}

static void use_copy_of_released_lease(void *argument)
{
	struct test_ring *ring = argument;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	tpacket_acquire(&ring->handle, 0, &lease);
	struct tpacket_lease copy = lease;
	tpacket_release(&lease);
	tpacket_lease_next(&copy, &packet);
}

static void release_copy_again(void *argument)
{
	struct test_ring *ring = argument;
	struct tpacket_lease lease;

	tpacket_acquire(&ring->handle, 0, &lease);
	struct tpacket_lease copy = lease;
	tpacket_release(&lease);
	tpacket_release(&copy);
}

static void test_use_after_release_is_caught(void **state)
{
	struct test_ring *ring = *state;
	struct test_frame frame = frame_of(60, 0);

	test_ring_add(ring, 0, &frame);
	test_ring_retire(ring, 0, 0);
	assert_dies(use_released_lease, ring);
	assert_dies(use_copy_of_released_lease, ring);
	assert_dies(release_copy_again, ring);
}

#ifdef TPK_HAS_ASAN
static uint8_t sink;

static void read_released_packet(void *argument)
{
	struct test_ring *ring = argument;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	tpacket_acquire(&ring->handle, 0, &lease);
	tpacket_lease_next(&lease, &packet);
	tpacket_release(&lease);
	__atomic_store_n(&sink, packet.data[0], __ATOMIC_RELAXED);
}

static void test_released_bytes_are_poisoned(void **state)
{
	struct test_ring *ring = *state;
	struct test_frame frame = frame_of(60, 0);

	test_ring_add(ring, 0, &frame);
	test_ring_retire(ring, 0, 0);
	assert_dies(read_released_packet, ring);
}
#endif

static void test_statistics_add_up_in_64_bit(void **state)
{
	struct tpacket_counters counters = {0};

	for (int i = 0; i < 5; i++)
		tpk_stats_add(&counters, UINT32_MAX, UINT32_MAX / 2, 7);
	assert_int_equal(counters.seen, 5ULL * UINT32_MAX);
	assert_int_equal(counters.dropped, 5ULL * (UINT32_MAX / 2));
	assert_int_equal(counters.delivered, counters.seen - counters.dropped);
	assert_int_equal(counters.freezes, 35);
}

#define RING_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(test_every_packet_once),
		RING_TEST(test_facts_of_a_packet),
		RING_TEST(test_vlan),
		RING_TEST(test_vnet_header_lies_before_the_frame),
		RING_TEST(test_truncated_is_cut_by_the_ring_only),
		RING_TEST(test_empty_blocks_are_skipped),
		RING_TEST(test_ring_of_empty_blocks_ends),
		RING_TEST(test_blocks_come_in_ring_order),
		RING_TEST(test_ready_counts_to_the_first_of_the_kernel),
		RING_TEST(test_one_lease_at_a_time),
		RING_TEST(test_empty_lease_gives_nothing),
		RING_TEST(test_use_after_release_is_caught),
#ifdef TPK_HAS_ASAN
		RING_TEST(test_released_bytes_are_poisoned),
#endif
		cmocka_unit_test(test_statistics_add_up_in_64_bit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
