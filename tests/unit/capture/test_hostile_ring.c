/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that lie. Whatever is written in a block, the walk stays inside it, ends, and counts the block as bad. Under
 * AddressSanitizer the test also reads every byte that a packet points at.
 */
#include "cmocka_all.h"
#include "block.h"

#include <pthread.h>
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
		TEST_BLOCK_BYTES - 48, TEST_BLOCK_BYTES - 48 - 64, TEST_BLOCK_BYTES * 2, 72 /* inside its own data */,
		/* From the second frame: where the third one's header would end behind the block, or begin there. */
		TEST_BLOCK_BYTES - 48 - 184 - 64, TEST_BLOCK_BYTES - 48 - 184 - 8, TEST_BLOCK_BYTES - 48 - 184};

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

struct writer {
	uint8_t *memory;
	bool stop;
	pthread_t thread;
};

/* Lengths and offsets of the first frame, between what is right and what is not. */
static void *write_all_the_time(void *argument)
{
	struct writer *writer = argument;
	struct tpacket_block_desc *block = (struct tpacket_block_desc *)writer->memory;
	struct tpacket3_hdr *frame = (struct tpacket3_hdr *)(writer->memory + sizeof(*block));
	static const uint32_t steps[] = {184, UINT32_MAX - 7, 184, TEST_BLOCK_BYTES};
	static const uint16_t macs[] = {82, UINT16_MAX, 82, 0};
	static const uint32_t lengths[] = {100, UINT32_MAX, 100, TEST_BLOCK_BYTES};

	for (uint32_t i = 0; !__atomic_load_n(&writer->stop, __ATOMIC_RELAXED); i++) {
		__atomic_store_n(&frame->tp_next_offset, steps[i % 4], __ATOMIC_RELAXED);
		__atomic_store_n(&frame->tp_mac, macs[i / 2 % 4], __ATOMIC_RELAXED);
		__atomic_store_n(&frame->tp_snaplen, lengths[i / 3 % 4], __ATOMIC_RELAXED);
		__atomic_store_n(&frame->tp_len, lengths[i / 3 % 4], __ATOMIC_RELAXED);
		__atomic_store_n(&block->hdr.bh1.num_pkts, 1 + i % 4, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* What was checked is what is used, also when it is another value a moment later. */
static void test_memory_that_changes(void **state)
{
	struct test_ring ring;
	struct tpacket_lease lease;
	uint64_t packets = 0;

	test_ring_init(&ring, 0);
	fill(&ring);
	struct writer writer = {.memory = ring.memory};
	assert_int_equal(pthread_create(&writer.thread, NULL, write_all_the_time, &writer), 0);
	int64_t end_ns = tpk_now_ns() + 10 * NS_PER_S;
	while ((packets < 100000 || ring.handle.counters.bad_blocks < 100000) && tpk_now_ns() < end_ns) {
		test_ring_retire(&ring, 0, 0);
		ring.handle.head = 0;
		assert_int_equal(tpacket_acquire(&ring.handle, 0, &lease), 1);
		packets += walk(&lease);
		/* Giving it back would take the packets away. */
		ring.handle.held = NULL;
	}
	__atomic_store_n(&writer.stop, true, __ATOMIC_RELAXED);
	pthread_join(writer.thread, NULL);
	assert_true(packets >= 100000 && ring.handle.counters.bad_blocks >= 100000);
	test_ring_fini(&ring);
}

#define CHANGES 20000u
#define SLOT_BYTES 1024u
#define SLOT_MAC 66u /* the frame's first byte, in both versions */

/* Stores that the kernel could make, too; the two headers differ in where the members lie. */
#define WRITE_SLOT(header, status, i)                                                                                  \
	do {                                                                                                           \
		static const uint16_t macs[] = {SLOT_MAC, UINT16_MAX, SLOT_MAC, 0};                                    \
		static const uint32_t lengths[] = {100, UINT32_MAX, 100, SLOT_BYTES - SLOT_MAC + 1};                   \
		__atomic_store_n(&(header)->tp_mac, macs[(i) % 4], __ATOMIC_RELAXED);                                  \
		__atomic_store_n(&(header)->tp_snaplen, lengths[(i) / 2 % 4], __ATOMIC_RELAXED);                       \
		__atomic_store_n(&(header)->tp_len, lengths[(i) / 3 % 4], __ATOMIC_RELAXED);                           \
		__atomic_store_n(&(header)->tp_status, (status), __ATOMIC_RELAXED);                                    \
	} while (0)

static void *write_v1_all_the_time(void *argument)
{
	struct writer *writer = argument;

	for (uint32_t i = 0; !__atomic_load_n(&writer->stop, __ATOMIC_RELAXED); i++)
		WRITE_SLOT((struct tpacket_hdr *)writer->memory, TP_STATUS_USER | (i % 2 ? TP_STATUS_LOSING : 0), i);
	return NULL;
}

static void *write_v2_all_the_time(void *argument)
{
	struct writer *writer = argument;

	for (uint32_t i = 0; !__atomic_load_n(&writer->stop, __ATOMIC_RELAXED); i++)
		WRITE_SLOT(
			(struct tpacket2_hdr *)writer->memory, TP_STATUS_USER | (i % 2 ? TP_STATUS_VLAN_VALID : 0), i);
	return NULL;
}

/* Every packet lies inside the slot, whatever the writer has made of it meanwhile. */
static uint32_t walk_slot(struct tpacket_lease *lease)
{
	struct tpacket_packet packet;
	uint32_t count = 0;

	for (; tpacket_lease_next(lease, &packet); count++) {
		assert_true(packet.data >= lease->block);
		assert_true(packet.data + packet.captured_length <= lease->block + SLOT_BYTES);
		assert_true(packet.captured_length <= packet.original_length);
		read_all(packet.data, packet.captured_length);
	}
	assert_true(count <= 1);
	return count;
}

static void change_slots(enum tpacket_version version)
{
	struct test_frame frame = {.data = bytes, .captured = 100, .original = 100, .protocol = 0x0800};
	struct test_slots slots;
	struct tpacket_lease lease;
	uint64_t packets = 0;

	test_slots_init(&slots, version, SLOT_BYTES, 0);
	test_slots_put(&slots, 0, &frame);
	struct writer writer = {.memory = slots.memory};
	assert_int_equal(pthread_create(&writer.thread, NULL,
				 version == TPACKET_VERSION_1 ? write_v1_all_the_time : write_v2_all_the_time, &writer),
		0);
	int64_t end_ns = tpk_now_ns() + 10 * NS_PER_S;
	while ((packets < CHANGES || slots.handle.counters.bad_blocks < CHANGES) && tpk_now_ns() < end_ns) {
		slots.handle.head = 0;
		assert_int_equal(tpacket_acquire(&slots.handle, 0, &lease), 1);
		packets += walk_slot(&lease);
		/* Not given back: in a debug build that is to overwrite the slot, which is the writer's, too. */
		slots.handle.held = NULL;
	}
	__atomic_store_n(&writer.stop, true, __ATOMIC_RELAXED);
	pthread_join(writer.thread, NULL);
	assert_true(packets >= CHANGES && slots.handle.counters.bad_blocks >= CHANGES);
	test_slots_fini(&slots);
}

static void test_slots_that_change(void **state)
{
	change_slots(TPACKET_VERSION_1);
	change_slots(TPACKET_VERSION_2);
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
		cmocka_unit_test(test_memory_that_changes),
		cmocka_unit_test(test_slots_that_change),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
