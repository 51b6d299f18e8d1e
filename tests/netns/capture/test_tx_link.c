/* SPDX-License-Identifier: Apache-2.0 */
/* The sending ring when its interface goes down, loses its carrier, or goes away; and the waiting. */
#include "gone.h"
#include "tx_rig.h"

#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static pid_t far; /* a process in another namespace; 0: none */

static int tear_down_far(void **state)
{
	net_tear_down(state);
	if (if_nametoindex(NET_LISTEN))
		net_run("ip link del " NET_LISTEN);
	if (far)
		gone_end_process(far);
	far = 0;
	return 0;
}

static double thread_cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static struct tpacket_tx *open_with_frames(uint32_t frames)
{
	struct tpacket_tx_options options;

	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	for (uint32_t i = 0; i < frames; i++)
		tx_commit(tx, 100, i);
	return tx;
}

/* The frames stay, and leave when it is up again; waiting for that takes next to no CPU, and ends then. */
static void wait_until_up(struct tpacket_tx *tx, const char *up_command)
{
	int receiver = tx_receiver(0);

	for (int i = 0; i < 3; i++)
		assert_int_equal(tpacket_tx_send(tx), -ENETDOWN);
	assert_int_equal(tpacket_tx_waiting(tx), 10);
	double begin = net_now_ms(), cpu = thread_cpu_ms();
	assert_int_equal(tpacket_tx_wait(tx, 300), 0);
	assert_true(net_now_ms() - begin >= 299);
	assert_true(thread_cpu_ms() - cpu < 30);
	tx_assert_no_result(tx);
	net_run("(sleep 0.2; %s) &", up_command);
	begin = net_now_ms();
	assert_int_equal(tpacket_tx_wait(tx, 10000), 1);
	assert_true(net_now_ms() - begin > 100);
	tx_send_all(tx);
	for (uint32_t i = 0; i < 10; i++) {
		tx_assert_result(tx, i, 0);
		tx_assert_arrives(receiver, 100, i, 0);
	}
	tx_assert_nothing(receiver);
	tx_finish(tx, 10, 0);
	close(receiver);
}

static void test_down(void **state)
{
	struct tpacket_tx *tx = open_with_frames(10);

	net_run("ip link set " NET_SEND " down");
	wait_until_up(tx, "ip link set " NET_SEND " up");
}

static void test_opened_while_down(void **state)
{
	net_run("ip link set " NET_SEND " down");
	wait_until_up(open_with_frames(10), "ip link set " NET_SEND " up");
}

/* The kernel would take them and throw them away. */
static void test_no_carrier(void **state)
{
	struct tpacket_tx *tx = open_with_frames(10);

	net_run("ip link set " NET_LISTEN " down");
	net_wait_no_carrier(NET_SEND);
	/* A change is seen after a tenth of a second. */
	usleep(120000);
	wait_until_up(tx, "ip link set " NET_LISTEN " up");
}

static void test_cancel_while_down(void **state)
{
	struct tpacket_tx_counters counters;
	struct tpacket_tx *tx = open_with_frames(10);

	net_run("ip link set " NET_SEND " down");
	assert_int_equal(tpacket_tx_send(tx), -ENETDOWN);
	assert_int_equal(tpacket_tx_cancel(tx, UINT32_MAX), 10);
	assert_int_equal(tpacket_tx_wait(tx, 0), 1);
	for (uint32_t i = 0; i < 10; i++)
		tx_assert_result(tx, i, -ENETDOWN);
	tpacket_tx_counters(tx, &counters);
	assert_int_equal(counters.failed_down, 10);
	/* A frame committed afterwards leaves when it can. */
	net_run("ip link set " NET_SEND " up");
	net_wait_running(NET_SEND);
	int receiver = tx_receiver(0);
	tx_commit(tx, 100, 10);
	assert_int_equal(tpacket_tx_wait(tx, 1000), 1);
	assert_int_equal(tpacket_tx_send(tx), 1);
	tx_assert_result(tx, 10, 0);
	tx_assert_arrives(receiver, 100, 10, 0);
	tx_finish(tx, 1, 10);
	close(receiver);
}

/* 100 frames of which some are on their way, the rest queued. Returns how many are on their way, or finished. */
static uint32_t begin_slowly(struct tpacket_tx *tx)
{
	uint32_t taken = 0;
	int r;

	net_run("tc qdisc add dev " NET_SEND " root tbf rate 80kbit burst 2000 limit 5000");
	for (uint32_t i = 0; i < 100; i++)
		tx_commit(tx, 1000, i);
	while ((r = tpacket_tx_send(tx)) >= 0)
		taken += (uint32_t)r;
	assert_int_equal(r, -ENOBUFS);
	assert_true(taken > 0 && taken < 50);
	assert_int_equal(tpacket_tx_waiting(tx), 100 - taken);
	return taken;
}

/* Down and up while frames are on their way: these are finished, dropped by the kernel or not; the rest stays. */
static void test_down_on_their_way(void **state)
{
	struct tpacket_tx *tx = open_with_frames(0);
	uint32_t taken = begin_slowly(tx);

	net_run("ip link set " NET_SEND " down");
	for (uint32_t i = 0; i < taken; i++)
		tx_assert_result(tx, i, 0);
	tx_assert_no_result(tx);
	assert_int_equal(tpacket_tx_send(tx), -ENETDOWN);
	net_run("tc qdisc del dev " NET_SEND " root; ip link set " NET_SEND " up");
	net_wait_running(NET_SEND);
	int receiver = tx_receiver(0);
	assert_int_equal(tpacket_tx_wait(tx, 3000), 1);
	tx_send_all(tx);
	for (uint32_t i = taken; i < 100; i++) {
		tx_assert_result(tx, i, 0);
		tx_assert_arrives(receiver, 1000, i, 0);
	}
	tx_assert_nothing(receiver);
	tx_finish(tx, 100, 0);
	close(receiver);
}

static void assert_gone(struct tpacket_tx *tx, uint32_t taken)
{
	struct tpacket_tx_counters counters;

	for (uint32_t i = 0; i < taken; i++)
		tx_assert_result(tx, i, 0);
	tx_assert_no_result(tx);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tpacket_tx_send(tx), -ENODEV);
		assert_int_equal(tpacket_tx_wait(tx, 1000), -ENODEV);
		assert_int_equal(tpacket_tx_mtu(tx), -ENODEV);
	}
	assert_int_equal(tpacket_tx_waiting(tx), 100 - taken);
	assert_int_equal(tpacket_tx_cancel(tx, UINT32_MAX), 100 - taken);
	assert_int_equal(tpacket_tx_wait(tx, 1000), 1);
	for (uint32_t i = taken; i < 100; i++)
		tx_assert_result(tx, i, -ENODEV);
	assert_int_equal(tpacket_tx_send(tx), 0);
	assert_int_equal(tpacket_tx_wait(tx, 10), 0);
	tpacket_tx_counters(tx, &counters);
	assert_int_equal(counters.failed_down, 100 - taken);
	tx_finish(tx, taken, 100 - taken);
}

/* For ever, even if a new one has its name and its index. */
static void test_deleted(void **state)
{
	struct tpacket_tx *tx = open_with_frames(0);
	unsigned int index = tpacket_tx_interface_index(tx);
	uint32_t taken = begin_slowly(tx);

	net_run("ip link del " NET_SEND);
	net_run("ip link add " NET_SEND " index %u type veth peer name " NET_LISTEN, index);
	net_run("ip link set " NET_SEND " up && ip link set " NET_LISTEN " up");
	int receiver = tx_receiver(0);
	assert_gone(tx, taken);
	tx_assert_nothing(receiver);
	close(receiver);
}

static void test_moved_away(void **state)
{
	struct tpacket_tx *tx = open_with_frames(0);
	uint32_t taken = begin_slowly(tx);

	far = gone_other_namespace();
	net_run("ip link set " NET_SEND " netns %d", (int)far);
	assert_gone(tx, taken);
}

/* The frames were never tried when it went: the wait tells all the same. */
static void test_deleted_unseen(void **state)
{
	struct tpacket_tx *tx = open_with_frames(100);

	net_run("ip link del " NET_SEND);
	/* Worth trying, as far as is known; trying tells. */
	assert_int_equal(tpacket_tx_wait(tx, 1000), 1);
	assert_gone(tx, 0);
}

/* Frames on their way for half a second: the wait ends soon after the first one has left, and does not spin. */
static void test_wait_for_frames_on_their_way(void **state)
{
	struct tpacket_tx *tx = open_with_frames(0);
	struct tpacket_tx_result results[100];
	uint32_t finished = 0;

	net_run("tc qdisc add dev " NET_SEND " root tbf rate 800kbit burst 2000 limit 100000");
	for (uint32_t i = 0; i < 50; i++)
		tx_commit(tx, 1000, i);
	double begin = net_now_ms(), cpu = thread_cpu_ms();
	assert_int_equal(tpacket_tx_send(tx), 50);
	while (finished < 50) {
		double before = net_now_ms();
		assert_int_equal(tpacket_tx_wait(tx, 5000), 1);
		assert_true(net_now_ms() - before < 2000);
		int n = tpacket_tx_complete(tx, results, 100);
		assert_true(n > 0);
		finished += (uint32_t)n;
	}
	/* 50 kB at 100 kB a second, less the burst. */
	assert_true(net_now_ms() - begin > 300);
	assert_true(thread_cpu_ms() - cpu < 100);
	tx_finish(tx, 50, 0);
}

static void *wake_later(void *argument)
{
	usleep(200000);
	tpacket_tx_wake(argument);
	return NULL;
}

static void test_wait_and_wake(void **state)
{
	struct tpacket_tx *tx = open_with_frames(0);
	pthread_t thread;

	/* Nothing is outstanding. */
	assert_int_equal(tpacket_tx_wait(tx, 0), 0);
	double begin = net_now_ms(), cpu = thread_cpu_ms();
	assert_int_equal(tpacket_tx_wait(tx, 100), 0);
	assert_true(net_now_ms() - begin >= 99);
	/* Before the wait, twice: that counts once. */
	tpacket_tx_wake(tx);
	tpacket_tx_wake(tx);
	begin = net_now_ms();
	assert_int_equal(tpacket_tx_wait(tx, 10000), 0);
	assert_true(net_now_ms() - begin < 5000);
	begin = net_now_ms();
	assert_int_equal(tpacket_tx_wait(tx, 100), 0);
	assert_true(net_now_ms() - begin >= 99);
	/* Meanwhile, with no limit. */
	assert_int_equal(pthread_create(&thread, NULL, wake_later, tx), 0);
	begin = net_now_ms();
	assert_int_equal(tpacket_tx_wait(tx, -1), 0);
	assert_true(net_now_ms() - begin > 100);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(thread_cpu_ms() - cpu < 50);
	/* A wake comes before what there is to do. */
	tx_commit(tx, 100, 0);
	tpacket_tx_wake(tx);
	assert_int_equal(tpacket_tx_wait(tx, 1000), 0);
	assert_int_equal(tpacket_tx_wait(tx, 1000), 1);
	tx_send_all(tx);
	tx_assert_result(tx, 0, 0);
	tx_finish(tx, 1, 0);
}

#define FAR_TEST(f, variant)                                                                                           \
	{                                                                                                              \
#f " " #variant, f, tx_set_up, tear_down_far, (void *)&variant                                         \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TX_PLAIN(test_down),
		TX_TEST(test_down, tx_v3_bypass),
		TX_BARE(test_opened_while_down),
		TX_PLAIN(test_no_carrier),
		TX_TEST(test_no_carrier, tx_v3_bypass),
		TX_PLAIN(test_cancel_while_down),
		TX_PLAIN(test_down_on_their_way),
		TX_PLAIN(test_deleted),
		FAR_TEST(test_moved_away, tx_v2),
		FAR_TEST(test_moved_away, tx_v3),
		TX_PLAIN(test_deleted_unseen),
		TX_PLAIN(test_wait_for_frames_on_their_way),
		TX_BARE(test_wait_and_wake),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
