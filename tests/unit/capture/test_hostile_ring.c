/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that lie. Whatever is written in a block, the walk stays inside it, ends, and counts the block as bad. Under
 * AddressSanitizer the test also reads every byte that a packet points at.
 */
#include "cmocka_all.h"
#include "block.h"

#include <string.h>

static uint8_t bytes[1600];
static uint8_t sink;

static void read_all(const uint8_t *data, size_t length)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + data[i]);
	__atomic_store_n(&sink, sum, __ATOMIC_RELAXED);
}

static void assert_inside(const struct tpacket_lease *lease, const uint8_t *data, size_t length)
{
	assert_true(data >= lease->block);
	assert_true(data + length <= lease->block + TEST_BLOCK_BYTES);
	read_all(data, length);
}

/* Walk one lease to its end. Returns the number of packets. */
static uint32_t walk(struct tpacket_lease *lease)
{
	struct tpacket_packet packet;
	uint32_t count = 0;

	while (tpacket_lease_next(lease, &packet)) {
		assert_inside(lease, packet.data, packet.captured_length);
		assert_inside(lease, packet.vnet_header ? packet.vnet_header : packet.data, packet.vnet_header_length);
		assert_true(++count <= TEST_BLOCK_BYTES / TPACKET3_HDRLEN);
	}
	assert_false(tpacket_lease_next(lease, &packet));
	return count;
}

/* Three packets in block 0, then one in block 1. */
static void fill(struct test_ring *ring)
{
	struct test_frame frame = {.data = bytes, .captured = 100, .original = 100, .protocol = 0x0800};

	for (int i = 0; i < 3; i++)
		test_ring_add(ring, 0, &frame);
	test_ring_retire(ring, 0, 0);
	test_ring_add(ring, 1, &frame);
	test_ring_retire(ring, 1, 0);
}

static struct tpacket3_hdr *packet_at(struct test_ring *ring, uint32_t number)
{
	uint8_t *at = (uint8_t *)test_ring_block(ring, 0) + sizeof(struct tpacket_block_desc);

	while (number--)
		at += ((struct tpacket3_hdr *)at)->tp_next_offset;
	return (struct tpacket3_hdr *)at;
}

/* After the bad block the ring goes on with the next one, and the bad one is the kernel's again. */
static void assert_bad_after(struct test_ring *ring, uint32_t want_packets)
{
	struct tpacket_lease lease;

	assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 1);
	assert_int_equal(walk(&lease), want_packets);
	assert_int_equal(ring->handle.counters.bad_blocks, 1);
	assert_int_equal(ring->handle.counters.read, want_packets);
	tpacket_release(&lease);
	assert_int_equal(test_ring_block(ring, 0)->hdr.bh1.block_status, TP_STATUS_KERNEL);
	assert_int_equal(tpacket_acquire(&ring->handle, 0, &lease), 1);
	assert_int_equal(walk(&lease), 1);
	assert_int_equal(ring->handle.counters.bad_blocks, 1);
	tpacket_release(&lease);
}

static void test_next_offset(void **state)
{
	const uint32_t values[] = {0, 1, 8, 64, 67, 69, 1u << 31, UINT32_MAX, UINT32_MAX - 7, TEST_BLOCK_BYTES,
		TEST_BLOCK_BYTES - 48, TEST_BLOCK_BYTES - 48 - 64, TEST_BLOCK_BYTES * 2, 72 /* inside its own data */};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct test_ring ring;
		test_ring_init(&ring, 0);
		fill(&ring);
		packet_at(&ring, 1)->tp_next_offset = values[i];
		assert_bad_after(&ring, 1);
		test_ring_fini(&ring);
	}
}

static void test_lengths(void **state)
{
	const struct {
		uint16_t mac;
		uint32_t captured, original;
	} cases[] = {
		{82, UINT32_MAX, UINT32_MAX}, {82, TEST_BLOCK_BYTES, TEST_BLOCK_BYTES}, {82, 0x80000000u, UINT32_MAX},
		{UINT16_MAX, 100, 100}, {UINT16_MAX, 0, 0}, {TEST_BLOCK_BYTES - 1, 100, 100},
		{0, 100, 100},                 /* the header as packet bytes */
		{67, 100, 100}, {82, 100, 99}, /* more kept than there was */
		{82, 4000, 4000}               /* into the packets behind */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct test_ring ring;
		test_ring_init(&ring, 0);
		fill(&ring);
		packet_at(&ring, 0)->tp_mac = cases[i].mac;
		packet_at(&ring, 0)->tp_snaplen = cases[i].captured;
		packet_at(&ring, 0)->tp_len = cases[i].original;
		assert_bad_after(&ring, 0);
		test_ring_fini(&ring);
	}
}

static void test_last_packet_beyond_the_block(void **state)
{
	struct test_ring ring;

	test_ring_init(&ring, 0);
	fill(&ring);
	packet_at(&ring, 2)->tp_snaplen = TEST_BLOCK_BYTES - 48 - 2 * 184 - 82 + 1;
	packet_at(&ring, 2)->tp_len = TEST_BLOCK_BYTES;
	assert_bad_after(&ring, 2);
	test_ring_fini(&ring);
}

static void test_packet_count(void **state)
{
	const uint32_t values[] = {4, 5, 1000, UINT32_MAX};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct test_ring ring;
		test_ring_init(&ring, 0);
		fill(&ring);
		test_ring_block(&ring, 0)->hdr.bh1.num_pkts = values[i];
		/* The third says that none follows, against the count. */
		assert_bad_after(&ring, 2);
		test_ring_fini(&ring);
	}
}

/* Fewer packets than lie there: exactly the count is delivered, as the bytes behind may be older. */
static void test_count_is_what_counts(void **state)
{
	struct test_ring ring;
	struct tpacket_lease lease;

	test_ring_init(&ring, 0);
	fill(&ring);
	test_ring_block(&ring, 0)->hdr.bh1.num_pkts = 2;
	assert_int_equal(tpacket_acquire(&ring.handle, 0, &lease), 1);
	assert_int_equal(walk(&lease), 2);
	assert_int_equal(ring.handle.counters.bad_blocks, 0);
	tpacket_release(&lease);
	test_ring_fini(&ring);
}

/* A block whose first packet cannot be found is never leased. */
static void test_first_offset(void **state)
{
	const uint32_t values[] = {0, 8, 47, 49, TEST_BLOCK_BYTES - 64, TEST_BLOCK_BYTES, UINT32_MAX, 1u << 31};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct test_ring ring;
		struct tpacket_lease lease;
		test_ring_init(&ring, 0);
		fill(&ring);
		test_ring_block(&ring, 0)->hdr.bh1.offset_to_first_pkt = values[i];
		assert_int_equal(tpacket_acquire(&ring.handle, 0, &lease), 1);
		assert_ptr_equal(lease.block, test_ring_block(&ring, 1));
		assert_int_equal(walk(&lease), 1);
		assert_int_equal(ring.handle.counters.bad_blocks, 1);
		assert_int_equal(ring.handle.counters.read, 1);
		assert_int_equal(test_ring_block(&ring, 0)->hdr.bh1.block_status, TP_STATUS_KERNEL);
		tpacket_release(&lease);
		test_ring_fini(&ring);
	}
}

static void test_vnet_header_needs_room(void **state)
{
	struct test_ring ring;
	struct test_frame frame = {.data = bytes, .captured = 100, .original = 100};
	struct tpacket_lease lease;

	test_ring_init(&ring, VNET_HEADER_BYTES);
	struct tpacket3_hdr *header = test_ring_add(&ring, 0, &frame);
	header->tp_mac = TPACKET3_HDRLEN + VNET_HEADER_BYTES - 1; /* the vnet header would begin in sockaddr_ll */
	test_ring_retire(&ring, 0, 0);
	assert_int_equal(tpacket_acquire(&ring.handle, 0, &lease), 1);
	assert_int_equal(walk(&lease), 0);
	assert_int_equal(ring.handle.counters.bad_blocks, 1);
	tpacket_release(&lease);
	test_ring_fini(&ring);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Many small lies at once. walk() asserts the bounds. */
static void test_random_damage(void **state)
{
	uint32_t seed = 2463534242u;
	uint64_t packets = 0, bad = 0;

	for (int round = 0; round < 3000; round++) {
		struct test_ring ring;
		struct tpacket_lease lease;
		test_ring_init(&ring, round % 2 ? VNET_HEADER_BYTES : 0);
		fill(&ring);
		for (uint32_t i = next_random(&seed) % 6; i; i--) {
			uint32_t at = next_random(&seed) % 600 & ~3u;
			uint32_t value = next_random(&seed) >> (next_random(&seed) % 32);
			memcpy(ring.memory + at, &value, sizeof(value));
		}
		test_ring_retire(&ring, 0, 0);
		while (tpacket_acquire(&ring.handle, 0, &lease) == 1) {
			packets += walk(&lease);
			tpacket_release(&lease);
		}
		bad += ring.handle.counters.bad_blocks;
		test_ring_fini(&ring);
	}
	assert_true(packets > 3000);
	assert_true(bad > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next_offset),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_last_packet_beyond_the_block),
		cmocka_unit_test(test_packet_count),
		cmocka_unit_test(test_count_is_what_counts),
		cmocka_unit_test(test_first_offset),
		cmocka_unit_test(test_vnet_header_needs_room),
		cmocka_unit_test(test_random_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
