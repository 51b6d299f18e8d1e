/* SPDX-License-Identifier: Apache-2.0 */
/* The interface goes down, comes back, is deleted or moves away; the reader learns it once and never spins. */
#include "net.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct net_copy copy;

static uint64_t polls_of(struct tpacket *handle)
{
	struct tpacket_counters counters;

	assert_int_equal(tpacket_stats(handle, &counters), 0);
	return counters.polls;
}

/* Nothing for so long, with few polls. */
static void assert_quiet(struct tpacket *handle, int ms)
{
	struct tpacket_lease lease;
	uint64_t polls = polls_of(handle);
	double begin = net_now_ms();

	assert_int_equal(tpacket_acquire(handle, ms, &lease), 0);
	assert_true(net_now_ms() - begin >= ms);
	assert_true(polls_of(handle) - polls <= (uint64_t)ms / 100 + 3);
}

static void test_down_and_up(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	struct tpacket_lease lease;
	int sender = net_sender(NET_SEND);

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	for (uint32_t round = 1; round <= 3; round++) {
		/* What came in before is delivered before the news. */
		net_send_numbers(sender, 100, round, 1);
		usleep(4000 * NET_RETIRE_MS);
		net_run("ip link set " NET_LISTEN " down");
		net_take(handle, &copy);
		assert_int_equal(net_number(copy.data + NET_NUMBER_AT), round);
		assert_int_equal(tpacket_acquire(handle, 2000, &lease), -ENETDOWN);
		assert_null(lease.handle);
		assert_quiet(handle, 500); /* once */
		net_run("ip link set " NET_LISTEN " up");
		usleep(50000);
		assert_quiet(handle, 500);
		net_send_numbers(sender, 100, 100 + round, 1);
		net_take(handle, &copy);
		assert_int_equal(net_number(copy.data + NET_NUMBER_AT), 100 + round);
		assert_int_equal(tpacket_stats(handle, &counters), 0);
		assert_int_equal(counters.link_down, round);
	}
	net_finish(handle, &counters);
	assert_int_equal(counters.seen, 6);
	tpacket_close(handle);
	close(sender);
}

static void test_down_during_a_wait(void **state)
{
	struct tpacket_options options;
	struct tpacket_lease lease;

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	double begin = net_now_ms();
	net_run("(sleep 0.2; ip link set " NET_LISTEN " down) &");
	assert_int_equal(tpacket_acquire(handle, -1, &lease), -ENETDOWN);
	assert_in_range((int)(net_now_ms() - begin), 150, 1500);
	tpacket_close(handle);
}

static void test_opened_while_down(void **state)
{
	struct tpacket_options options;
	struct tpacket_lease lease;
	int sender;

	net_run("ip link set " NET_LISTEN " down");
	net_options(&options);
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_acquire(handle, 0, &lease), -ENETDOWN);
	assert_quiet(handle, 300);
	net_run("ip link set " NET_LISTEN " up");
	usleep(50000);
	sender = net_sender(NET_SEND);
	net_send_numbers(sender, 100, 5, 1);
	net_take(handle, &copy);
	tpacket_close(handle);

	/* It came up before anybody asked: nothing to report. */
	net_run("ip link set " NET_LISTEN " down");
	handle = net_open(&options);
	net_run("ip link set " NET_LISTEN " up");
	usleep(50000);
	assert_quiet(handle, 200);
	net_send_numbers(sender, 100, 6, 1);
	net_take(handle, &copy);
	tpacket_close(handle);
	close(sender);
}

/* The end is -ENODEV, perhaps with -ENETDOWN before it, and stays so. Returns the packets that came before. */
static uint32_t assert_gone(struct tpacket *handle)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	uint32_t packets = 0;
	int downs = 0, r;

	while ((r = tpacket_acquire(handle, -1, &lease)) != -ENODEV) {
		if (r == 1)
			while (tpacket_lease_next(&lease, &packet))
				packets++;
		else
			assert_int_equal(r, -ENETDOWN);
		if (r == -ENETDOWN)
			assert_int_equal(++downs, 1);
		tpacket_release(&lease);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(tpacket_acquire(handle, -1, &lease), -ENODEV);
	assert_true(polls_of(handle) < 40);
	return packets;
}

static void test_deleted(void **state)
{
	struct tpacket_options options;
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.retire_ms = 300;
	struct tpacket *handle = net_open(&options);
	net_send_numbers(sender, 100, 0, 7); /* still in a block that is being filled */
	net_run("ip link del " NET_LISTEN);
	double begin = net_now_ms();
	assert_int_equal(assert_gone(handle), 7);
	assert_true(net_now_ms() - begin < 3000);
	tpacket_close(handle);
	close(sender);
}

static void test_deleted_during_a_wait(void **state)
{
	struct tpacket_options options;

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	double begin = net_now_ms();
	net_run("(sleep 0.3; ip link del " NET_LISTEN ") &");
	assert_int_equal(assert_gone(handle), 0);
	assert_in_range((int)(net_now_ms() - begin), 250, 3000);
	tpacket_close(handle);
}

/* Without a wait: the caller has a loop of its own. */
static void test_deleted_without_waiting(void **state)
{
	struct tpacket_options options;
	struct tpacket_lease lease;
	int r;

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_acquire(handle, 0, &lease), 0);
	net_run("ip link del " NET_LISTEN);
	double begin = net_now_ms();
	while ((r = tpacket_acquire(handle, 0, &lease)) != -ENODEV) {
		assert_true(r == 0 || r == -ENETDOWN);
		assert_true(net_now_ms() - begin < 3000);
		usleep(10000);
	}
	tpacket_close(handle);
}

/* A process in a namespace of its own, to move the interface to. */
static pid_t other_namespace(void)
{
	int pipe_fds[2];
	char ready;

	assert_int_equal(pipe(pipe_fds), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (unshare(CLONE_NEWNET) < 0 || write(pipe_fds[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], &ready, 1), 1);
	close(pipe_fds[0]);
	return child;
}

static void test_moved_to_another_namespace(void **state)
{
	struct tpacket_options options;
	pid_t child = other_namespace();

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	net_run("ip link set " NET_LISTEN " netns %d", (int)child);
	double begin = net_now_ms();
	assert_int_equal(assert_gone(handle), 0);
	assert_true(net_now_ms() - begin < 3000);
	tpacket_close(handle);
	/* Now, as the namespace's end would delete it at some later time. */
	net_run("ip link del " NET_SEND);
	kill(child, SIGTERM);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void *wake_later(void *argument)
{
	usleep(150000);
	tpacket_wake(argument);
	return NULL;
}

static void test_wake(void **state)
{
	struct tpacket_options options;
	struct tpacket_lease lease;
	pthread_t thread;
	int sender = net_sender(NET_SEND);

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	double begin = net_now_ms();
	assert_int_equal(pthread_create(&thread, NULL, wake_later, handle), 0);
	assert_int_equal(tpacket_acquire(handle, -1, &lease), 0);
	assert_in_range((int)(net_now_ms() - begin), 140, 900);
	pthread_join(thread, NULL);
	/* Also while the interface is down, and the next packet is not lost by it. */
	net_run("ip link set " NET_LISTEN " down");
	assert_int_equal(tpacket_acquire(handle, -1, &lease), -ENETDOWN);
	assert_int_equal(pthread_create(&thread, NULL, wake_later, handle), 0);
	assert_int_equal(tpacket_acquire(handle, -1, &lease), 0);
	pthread_join(thread, NULL);
	net_run("ip link set " NET_LISTEN " up");
	usleep(50000);
	tpacket_wake(handle);
	net_send_numbers(sender, 100, 1, 1);
	assert_int_equal(tpacket_acquire(handle, -1, &lease), 0);
	net_take(handle, &copy);
	tpacket_close(handle);
	close(sender);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_down_and_up),
		NET_TEST(test_down_during_a_wait),
		NET_TEST(test_opened_while_down),
		NET_TEST(test_deleted),
		NET_TEST(test_deleted_during_a_wait),
		NET_TEST(test_deleted_without_waiting),
		NET_TEST(test_moved_to_another_namespace),
		NET_TEST(test_wake),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
