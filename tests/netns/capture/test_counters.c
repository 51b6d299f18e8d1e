/* SPDX-License-Identifier: Apache-2.0 */
/* The counters are equal to what was sent, also when the ring overruns. */
#include "net.h"

#include <pthread.h>
#include <unistd.h>

static struct net_copy copy;
static struct tpacket *asked;

static void test_seen_is_sent(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	int sender = net_sender(NET_SEND);
	uint32_t read = 0;

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	for (uint32_t round = 0; round < 20; round++) {
		net_send_numbers(sender, 300, round * 200, 200);
		if (round % 3 == 0)
			read += net_drain(handle, 0, NULL, NULL);
		/* Reading the counters on the way does not lose any of them. */
		assert_int_equal(tpacket_stats(handle, &counters), 0);
		assert_int_equal(counters.seen, (round + 1) * 200);
		assert_int_equal(counters.read, read);
		assert_int_equal(counters.delivered, counters.seen);
	}
	net_finish(handle, &counters);
	assert_int_equal(counters.seen, 4000);
	assert_int_equal(counters.dropped, 0);
	assert_int_equal(counters.read, 4000);
	assert_true(counters.polls > 0);
	net_send_numbers(sender, 300, 0, 50); /* after the stop */
	net_finish(handle, &counters);
	assert_int_equal(counters.seen, 4000);
	tpacket_close(handle);
	close(sender);
}

static void test_nothing_before_the_start(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	struct tpacket *handle;
	int sender = net_sender(NET_SEND);

	net_options(&options);
	assert_int_equal(tpacket_open(&options, &handle, NULL), 0);
	net_send_numbers(sender, 100, 0, 50);
	net_assert_nothing(handle);
	assert_int_equal(tpacket_start(handle), 0);
	net_send_numbers(sender, 100, 50, 1);
	net_take(handle, &copy);
	assert_int_equal(net_number(copy.data + NET_NUMBER_AT), 50);
	net_finish(handle, &counters);
	assert_int_equal(counters.seen, 1);
	tpacket_close(handle);
	close(sender);
}

static void check_order(const struct tpacket_packet *packet, void *argument)
{
	uint32_t *next = argument;

	assert_int_equal(net_number(packet->data + NET_NUMBER_AT), *next);
	(*next)++;
}

static void test_overrun(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	int sender = net_sender(NET_SEND);
	uint32_t next = 0;

	net_options(&options);
	options.block_bytes = 4096;
	options.block_count = 4;
	struct tpacket *handle = net_open(&options);
	net_send_numbers(sender, 1000, 0, 500);
	uint32_t read = net_drain(handle, 10 * NET_RETIRE_MS, check_order, &next);
	assert_in_range(read, 3, 16);

	/* The loss is told with the first block after it, until the counters are read. */
	net_send_numbers(sender, 100, 500, 1);
	net_take(handle, &copy);
	assert_true(copy.packet.status & TPACKET_STATUS_LOSING);
	assert_int_equal(net_number(copy.data + NET_NUMBER_AT), 500);
	assert_int_equal(tpacket_stats(handle, &counters), 0);
	assert_int_equal(counters.seen, 501);
	assert_int_equal(counters.read, read + 1);
	assert_int_equal(counters.dropped, 500 - read);
	assert_true(counters.freezes >= 1);
	net_send_numbers(sender, 100, 501, 1);
	net_take(handle, &copy);
	assert_false(copy.packet.status & TPACKET_STATUS_LOSING);

	net_finish(handle, &counters);
	assert_int_equal(counters.seen, 502);
	assert_int_equal(counters.dropped, 500 - read);
	tpacket_close(handle);
	close(sender);
}

/* A lease that is held keeps the ring from being reused: its bytes stay as they are while the ring overruns. */
static void test_lease_is_not_overwritten(void **state)
{
	struct tpacket_options options;
	struct tpacket_lease lease, second;
	struct tpacket_packet packet;
	uint8_t want[1000];
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.block_bytes = 4096;
	options.block_count = 4;
	struct tpacket *handle = net_open(&options);
	net_frame(want, sizeof(want), 0);
	net_send_numbers(sender, sizeof(want), 0, 1);
	assert_int_equal(tpacket_acquire(handle, 1000, &lease), 1);
	assert_true(tpacket_lease_next(&lease, &packet));
	net_send_numbers(sender, sizeof(want), 1, 300);
	assert_int_equal(tpacket_acquire(handle, 1000, &second), -EBUSY);
	assert_memory_equal(packet.data, want, sizeof(want));
	tpacket_release(&lease);
	tpacket_close(handle);
	close(sender);
}

/* Absolute in the kernel, since the socket was opened: reading twice adds nothing, and nobody else is asked for them.
 */
static void test_rollover(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters, again;
	struct tpacket *handles[2];
	uint64_t seen = 0, rolled = 0;
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.block_bytes = 4096;
	options.block_count = 4;
	options.fanout = TPACKET_FANOUT_ROLLOVER;
	options.fanout_id = 31;
	assert_int_equal(tpacket_open_group(&options, 2, handles, NULL), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(tpacket_start(handles[i]), 0);
	/* More than one ring holds, less than two. */
	net_send_numbers(sender, 1000, 0, 18);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tpacket_stats(handles[i], &counters), 0);
		assert_int_equal(tpacket_stats(handles[i], &again), 0);
		assert_int_equal(again.rollover, counters.rollover);
		assert_int_equal(again.seen, counters.seen);
		seen += counters.seen;
		rolled += counters.rollover;
	}
	assert_int_equal(seen, 18);
	assert_in_range(rolled, 1, 18);
	for (int i = 0; i < 2; i++)
		tpacket_close(handles[i]);
	close(sender);
}

static bool is_over; /* atomic */

static void *ask_always(void *argument)
{
	struct tpacket_counters counters, last = {0};
	uint64_t *wrong = argument;

	for (; !__atomic_load_n(&is_over, __ATOMIC_RELAXED); last = counters) {
		if (tpacket_stats(asked, &counters) < 0)
			++*wrong;
		*wrong += counters.seen < last.seen || counters.read < last.read || counters.dropped < last.dropped;
		*wrong += counters.read + counters.dropped > counters.seen;
	}
	return NULL;
}

/* From two other threads, all the time, while a third one reads: none is lost and none is counted twice. */
static void test_asked_from_other_threads(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	pthread_t threads[2];
	uint64_t wrong[2] = {0};
	int sender = net_sender(NET_SEND);
	uint32_t read = 0;

	net_options(&options);
	options.block_bytes = 8192;
	asked = net_open(&options);
	is_over = false;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_always, &wrong[i]), 0);
	for (uint32_t round = 0; round < 200; round++) {
		net_send_numbers(sender, 300, 0, round % 2 ? 100 : 1000); /* the ring holds some 400 */
		read += net_drain(asked, 0, NULL, NULL);
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(wrong[i], 0);
	}
	net_finish(asked, &counters);
	assert_int_equal(counters.seen, 110000);
	assert_true(counters.dropped > 0);
	assert_true(counters.read >= read);
	tpacket_close(asked);
	close(sender);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_seen_is_sent),
		NET_TEST(test_nothing_before_the_start),
		NET_TEST(test_overrun),
		NET_TEST(test_lease_is_not_overwritten),
		NET_TEST(test_rollover),
		NET_TEST(test_asked_from_other_threads),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
