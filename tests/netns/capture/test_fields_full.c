/* SPDX-License-Identifier: Apache-2.0 */
/* Small rings that overrun: exactly so many packets get in, the others are counted, whenever the counters are read. */
#include "fields.h"

#include <linux/if_packet.h>
#include <unistd.h>

#define FRAME_BYTES 900u
#define RING_FRAMES 4u
#define RING_BLOCKS 4u
#define BLOCK_BYTES 4096u
#define FLOOD 500u

/* Four frames, or four blocks that are handed over only when they are full. */
static void small_ring(const struct row *row, struct tpacket_options *options)
{
	row_options(row, options);
	options->block_bytes = BLOCK_BYTES;
	options->frame_bytes = BLOCK_BYTES / RING_FRAMES;
	options->block_count = row->version == TPACKET_VERSION_3 ? RING_BLOCKS : 1;
	options->retire_ms = 1000;
}

/* How many frames of FRAME_BYTES the ring holds; packet_mmap.rst and tpacket_rcv() in the kernel. */
static uint32_t capacity(const struct row *row)
{
	const uint32_t block_header = sizeof(struct tpacket_block_desc);

	if (row->version != TPACKET_VERSION_3)
		return RING_FRAMES;
	uint32_t bytes = (row_front(row, 0, 0) + FRAME_BYTES - row_skip(row) + 7) & ~7u;
	return RING_BLOCKS * ((BLOCK_BYTES - block_header) / bytes);
}

static void flood(const struct row *row, int sender, uint32_t first, uint32_t count)
{
	uint8_t frame[FRAME_BYTES];

	for (uint32_t i = 0; i < count; i++) {
		row_frame(row, frame, sizeof(frame), first + i);
		net_send(sender, frame, sizeof(frame));
	}
}

struct order {
	const struct row *row;
	uint32_t next;
	uint32_t losing;
	struct want want;
};

static void check_order(const struct tpacket_packet *packet, void *argument)
{
	struct order *order = argument;
	uint8_t frame[FRAME_BYTES];

	row_frame(order->row, frame, sizeof(frame), order->next++);
	order->want.frame = frame;
	order->want.status = packet->status & TPACKET_STATUS_LOSING;
	order->losing += !!order->want.status;
	row_compare(order->row, packet, &order->want);
}

static void expect(struct tpacket *handle, uint64_t seen, uint64_t dropped, uint64_t read)
{
	struct tpacket_counters counters;

	/* Twice: the kernel forgets its counters when they are read. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tpacket_stats(handle, &counters), 0);
		assert_int_equal(counters.seen, seen);
		assert_int_equal(counters.dropped, dropped);
		assert_int_equal(counters.delivered, seen - dropped);
		assert_int_equal(counters.read, read);
	}
}

/* Without waiting for a block to be retired: everything that is in the ring is in full blocks. */
static uint32_t drain_full(struct tpacket *handle, struct order *order)
{
	return net_drain(handle, 0, check_order, order);
}

static void test_overrun(void **state)
{
	const struct row *row = *state;
	struct order order = {.row = row, .want = row_want(row, NULL, FRAME_BYTES)};
	struct tpacket_options options;
	uint32_t room = capacity(row);
	int sender = net_sender(row_send(row));

	small_ring(row, &options);
	struct tpacket *handle = net_open(&options);
	flood(row, sender, 0, room);
	expect(handle, room, 0, 0);
	flood(row, sender, room, FLOOD - room);
	expect(handle, FLOOD, FLOOD - room, 0);
	assert_int_equal(drain_full(handle, &order), room);
	assert_int_equal(order.losing, 0);
	expect(handle, FLOOD, FLOOD - room, room);

	/* The ring works as before, and the loss was told with the counters. */
	order.next = FLOOD;
	flood(row, sender, FLOOD, 2 * room);
	assert_int_equal(drain_full(handle, &order), room);
	assert_int_equal(order.losing, 0);
	expect(handle, FLOOD + 2 * room, FLOOD, 2 * room);
	tpacket_close(handle);
	close(sender);
}

/* From a loss until the counters are read, packets say so: V1 and V2 those that got in after it, V3 whole blocks. */
static void test_losing(void **state)
{
	const struct row *row = *state;
	struct order order = {.row = row, .want = row_want(row, NULL, FRAME_BYTES)};
	struct tpacket_options options;
	struct tpacket_counters counters;
	uint32_t room = capacity(row);
	int sender = net_sender(row_send(row));

	small_ring(row, &options);
	struct tpacket *handle = net_open(&options);
	flood(row, sender, 0, room + 10);
	assert_int_equal(drain_full(handle, &order), room);
	assert_int_equal(order.losing, 0);
	order.next = room + 10;
	flood(row, sender, room + 10, room);
	if (row->version == TPACKET_VERSION_3)
		flood(row, sender, 0, 1); /* closes the last block; dropped itself */
	assert_int_equal(drain_full(handle, &order), room);
	assert_int_equal(order.losing, room);
	assert_int_equal(tpacket_stats(handle, &counters), 0);
	assert_int_equal(counters.freezes, row->version == TPACKET_VERSION_3 ? 2 : 0);
	assert_int_equal(counters.dropped, row->version == TPACKET_VERSION_3 ? 11 : 10);

	order.losing = 0;
	order.next = 1000;
	flood(row, sender, 1000, room);
	if (row->version == TPACKET_VERSION_3)
		flood(row, sender, 0, 1);
	assert_int_equal(drain_full(handle, &order), room);
	assert_int_equal(order.losing, 0);
	tpacket_close(handle);
	close(sender);
}

/* What is leased is not the kernel's: it stays as it is, and nothing new fits. */
static void test_overrun_behind_a_lease(void **state)
{
	const struct row *row = *state;
	struct order order = {.row = row, .want = row_want(row, NULL, FRAME_BYTES)};
	struct tpacket_options options;
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	uint32_t room = capacity(row);
	int sender = net_sender(row_send(row));

	small_ring(row, &options);
	struct tpacket *handle = net_open(&options);
	flood(row, sender, 0, room + 1);
	expect(handle, room + 1, 1, 0);
	assert_int_equal(tpacket_acquire(handle, 1000, &lease), 1);
	flood(row, sender, 1000, FLOOD);
	expect(handle, room + 1 + FLOOD, 1 + FLOOD, row->version == TPACKET_VERSION_3 ? room / RING_BLOCKS : room);
	while (tpacket_lease_next(&lease, &packet))
		check_order(&packet, &order);
	tpacket_release(&lease);
	drain_full(handle, &order);
	assert_int_equal(order.next, room);
	expect(handle, room + 1 + FLOOD, 1 + FLOOD, room);
	tpacket_close(handle);
	close(sender);
}

const struct row_test full_tests[] = {
	ROW_TEST(test_overrun, ON_ALL),
	ROW_TEST(test_losing, ON_ALL),
	ROW_TEST(test_overrun_behind_a_lease, ON_ALL),
	{0},
};
