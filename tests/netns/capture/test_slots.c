/* SPDX-License-Identifier: Apache-2.0 */
/* Rings of slots, TPACKET_V1 and V2, filled by the kernel; beside them V3 where it has to do the same. */
#include "versions.h"

#include <string.h>
#include <unistd.h>

#define SLOTS 4u

static struct tpacket *open_version(void **state, uint32_t frame_bytes, uint32_t block_bytes, uint32_t block_count)
{
	struct tpacket_options options;

	net_options(&options);
	options.version = version_of(state);
	options.frame_bytes = frame_bytes;
	options.block_bytes = block_bytes;
	options.block_count = block_count;
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_version_in_use(handle), version_of(state));
	return handle;
}

static void wait_until_seen(struct tpacket *handle, uint64_t packets, struct tpacket_counters *ret_counters)
{
	double end = net_now_ms() + 2000;

	do {
		assert_int_equal(tpacket_stats(handle, ret_counters), 0);
	} while (ret_counters->seen < packets && net_now_ms() < end);
	assert_int_equal(ret_counters->seen, packets);
}

struct expected {
	uint32_t number, bytes, status;
};

static void check_frame(const struct tpacket_packet *packet, void *argument)
{
	struct expected *expected = argument;
	uint8_t frame[2000];

	net_frame(frame, expected->bytes, expected->number++);
	assert_int_equal(packet->captured_length, expected->bytes);
	assert_int_equal(packet->original_length, expected->bytes);
	assert_memory_equal(packet->data, frame, expected->bytes);
	assert_int_equal(packet->status & TPACKET_STATUS_LOSING, expected->status);
	assert_false(packet->status & TPACKET_STATUS_TRUNCATED);
}

/* Each frame once, in order, bit for bit, many times round the ring, in bursts that leave it at every position. */
static void test_order_and_content(void **state)
{
	const uint32_t lengths[] = {60, 1514, 61, 800, 1513};
	struct tpacket *handle = open_version(state, 2048, 1u << 14, 8);
	struct tpacket_counters counters;
	struct expected expected = {0};
	int sender = net_sender(NET_SEND);

	for (uint32_t turn = 0; turn < 60; turn++) {
		uint32_t count = 1 + turn % 47;
		expected.bytes = lengths[turn % 5];
		net_send_numbers(sender, expected.bytes, expected.number, count);
		uint32_t want = expected.number + count;
		while (expected.number < want)
			assert_true(net_drain(handle, 5 * NET_RETIRE_MS, check_frame, &expected) > 0);
	}
	net_finish(handle, &counters);
	assert_int_equal(counters.read, expected.number);
	assert_int_equal(counters.dropped, 0);
	assert_int_equal(counters.truncated, 0);
	tpacket_close(handle);
	close(sender);
}

/* Four slots, ten frames: the first four are kept, six dropped; and the ring goes on where it was. */
static void fill_four_slots(struct tpacket *handle)
{
	struct tpacket_counters counters;
	int sender = net_sender(NET_SEND);

	for (uint32_t turn = 0; turn < 5; turn++) {
		struct expected expected = {.number = 11 * turn, .bytes = 300};
		net_send_numbers(sender, 300, 11 * turn, 10);
		wait_until_seen(handle, 11 * turn + 10, &counters);
		assert_int_equal(counters.dropped, 6 * (turn + 1));
		assert_int_equal(counters.delivered, 5 * turn + SLOTS);
		assert_int_equal(net_drain(handle, 20, check_frame, &expected), SLOTS);
		assert_int_equal(tpacket_stats(handle, &counters), 0);
		assert_int_equal(counters.read, 5 * turn + SLOTS);
		/* One more, so that each turn begins at another slot. */
		expected.number = 11 * turn + 10;
		net_send_numbers(sender, 300, expected.number, 1);
		assert_int_equal(net_drain(handle, 20, check_frame, &expected), 1);
	}
	close(sender);
}

static void test_four_frames(void **state)
{
	const uint32_t geometries[][3] = {{1024, 4096, 1}, {2048, 4096, 2}, {4096, 4096, 4}};

	for (size_t i = 0; i < sizeof(geometries) / sizeof(geometries[0]); i++) {
		struct tpacket *handle = open_version(state, geometries[i][0], geometries[i][1], geometries[i][2]);
		struct tpacket_geometry geometry;

		tpacket_geometry(handle, &geometry);
		assert_int_equal(geometry.block_bytes / geometry.frame_bytes * geometry.block_count, SLOTS);
		fill_four_slots(handle);
		tpacket_close(handle);
	}
}

/* Told by frame: from the first one that follows a drop, until the statistics are read. */
static void test_losing(void **state)
{
	struct tpacket *handle = open_version(state, 1024, 4096, 1);
	struct tpacket_counters counters;
	struct expected expected = {.bytes = 100};
	int sender = net_sender(NET_SEND);

	net_send_numbers(sender, 100, 0, 10);
	usleep(50000);
	assert_int_equal(net_drain(handle, 20, check_frame, &expected), SLOTS);
	net_send_numbers(sender, 100, 4, 2);
	expected.status = TPACKET_STATUS_LOSING;
	assert_int_equal(net_drain(handle, 50, check_frame, &expected), 2);
	assert_int_equal(tpacket_stats(handle, &counters), 0);
	assert_int_equal(counters.dropped, 6);
	net_send_numbers(sender, 100, 6, 2);
	expected.status = 0;
	assert_int_equal(net_drain(handle, 50, check_frame, &expected), 2);
	tpacket_close(handle);
	close(sender);
}

/* No retire time: a frame can be read as soon as it is there. */
static void test_frames_come_at_once(void **state)
{
	struct tpacket_options options;
	struct tpacket_lease lease;
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.version = version_of(state);
	options.retire_ms = 60000;
	struct tpacket *handle = net_open(&options);
	for (uint32_t i = 0; i < 20; i++) {
		double begin = net_now_ms();
		net_send_numbers(sender, 100, i, 1);
		assert_int_equal(tpacket_acquire(handle, 5000, &lease), 1);
		assert_true(net_now_ms() - begin < 1000);
		tpacket_release(&lease);
	}
	tpacket_close(handle);
	close(sender);
}

/* A run that is held keeps its slots, and only those. */
static void test_held_slots(void **state)
{
	struct tpacket *handle = open_version(state, 1024, 4096, 1);
	struct tpacket_counters counters;
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	int sender = net_sender(NET_SEND);

	net_send_numbers(sender, 200, 0, 2);
	wait_until_seen(handle, 2, &counters);
	assert_int_equal(tpacket_acquire(handle, 1000, &lease), 1);
	net_send_numbers(sender, 200, 2, 5);
	wait_until_seen(handle, 7, &counters);
	assert_int_equal(counters.dropped, 3);
	struct expected expected = {.bytes = 200};
	while (tpacket_lease_next(&lease, &packet))
		check_frame(&packet, &expected);
	tpacket_release(&lease);
	net_drain(handle, 20, check_frame, &expected);
	assert_int_equal(expected.number, 4);
	tpacket_close(handle);
	close(sender);
}

static void test_automatic_is_3(void **state)
{
	struct tpacket_options options;

	net_options(&options);
	assert_int_equal(options.version, TPACKET_VERSION_AUTO);
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_version_in_use(handle), TPACKET_VERSION_3);
	tpacket_close(handle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH(test_order_and_content),
		ON_SLOTS(test_four_frames),
		ON_SLOTS(test_losing),
		ON_SLOTS(test_frames_come_at_once),
		ON_SLOTS(test_held_slots),
		cmocka_unit_test_setup_teardown(test_automatic_is_3, net_set_up, net_tear_down),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
