/* SPDX-License-Identifier: Apache-2.0 */
/* One handle whose interface goes away and comes back: what is reported, what is counted, and that it never spins. */
#include "gone.h"

#include <linux/filter.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const enum tpacket_version versions[] = {TPACKET_VERSION_1, TPACKET_VERSION_2, TPACKET_VERSION_3};
#define VERSIONS (sizeof(versions) / sizeof(versions[0]))

static void test_deleted_and_recreated(void **state)
{
	for (size_t i = 0; i < VERSIONS; i++) {
		struct tpacket_options options;
		struct tpacket_counters counters;
		struct tpacket_lease lease;
		char name[16];

		gone_options(&options);
		options.version = versions[i];
		struct tpacket *handle = net_open(&options);
		int fd = tpacket_fd(handle);
		unsigned int index = tpacket_interface_index(handle);
		gone_pass(handle, 0, 10);
		gone_delete();
		assert_int_equal(gone_wait_gone(handle), 0);
		double gone = net_now_ms();
		/* Once, and then silence. */
		assert_int_equal(tpacket_acquire(handle, 300, &lease), 0);
		assert_int_equal(tpacket_interface_name(handle, name), -ENODEV);
		gone_counters(handle, &counters);
		assert_int_equal(counters.seen, 10);
		gone_recreate();
		gone_wait_back(handle);
		double gap = net_now_ms() - gone;
		assert_int_equal(tpacket_fd(handle), fd);
		assert_int_equal(tpacket_interface_index(handle), net_index(NET_LISTEN));
		assert_int_not_equal(tpacket_interface_index(handle), index);
		assert_int_equal(tpacket_interface_name(handle, name), 0);
		assert_string_equal(name, NET_LISTEN);
		gone_pass(handle, 10, 10);
		net_finish(handle, &counters);
		assert_int_equal(counters.seen, 20);
		assert_int_equal(counters.dropped, 0);
		assert_int_equal(counters.reopens, 1);
		/* It was last seen at most 1 s before it was found gone. */
		assert_in_range((int)(counters.gap_ns / 1000000), (int)gap - 100, (int)gap + 1500);
		tpacket_close(handle);
	}
}

/* What was in the ring when it happened is read before the news. */
static void test_rest_of_the_ring_comes_first(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	int sender = net_sender(NET_SEND);

	gone_options(&options);
	options.retire_ms = 200;
	struct tpacket *handle = net_open(&options);
	net_send_numbers(sender, 100, 0, 33);
	gone_delete();
	assert_int_equal(gone_wait_gone(handle), 33);
	gone_recreate();
	gone_wait_back(handle);
	net_finish(handle, &counters);
	assert_int_equal(counters.seen, 33);
	tpacket_close(handle);
	close(sender);
}

static void test_never_spins(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters before, after;
	struct tpacket_lease lease;

	gone_options(&options);
	struct tpacket *handle = net_open(&options);
	gone_delete();
	gone_wait_gone(handle);
	gone_counters(handle, &before);
	double begin = net_now_ms();
	assert_int_equal(tpacket_acquire(handle, 4000, &lease), 0);
	assert_true(net_now_ms() - begin >= 4000);
	/* After 100, 300, 700, 1500 and 3100 ms, and at the end. */
	gone_counters(handle, &after);
	assert_in_range(after.polls - before.polls, 5, 7);
	/* Without waiting: returns at once. */
	begin = net_now_ms();
	for (int i = 0; i < 100; i++)
		assert_int_equal(tpacket_acquire(handle, 0, &lease), 0);
	assert_true(net_now_ms() - begin < 500);
	tpacket_close(handle);
}

/* 20 times; the numbers add up over all of them, and nothing is left behind. */
static void test_many_times(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	int before = net_count_descriptors();

	gone_options(&options);
	options.promiscuous = true;
	struct tpacket *handle = net_open(&options);
	int open_descriptors = net_count_descriptors();
	uint32_t read = 0;
	for (uint32_t round = 0; round < 20; round++) {
		int sender = net_sender(NET_SEND);
		net_send_numbers(sender, 1000, 0, 700); /* more than fits */
		close(sender);
		gone_delete();
		read += gone_wait_gone(handle);
		gone_recreate();
		gone_wait_back(handle);
		assert_int_equal(net_count_descriptors(), open_descriptors);
	}
	net_finish(handle, &counters);
	assert_int_equal(counters.seen, 20 * 700);
	assert_true(counters.dropped > 0);
	assert_int_equal(counters.read, read);
	assert_int_equal(counters.reopens, 20);
	tpacket_close(handle);
	assert_int_equal(net_count_descriptors(), before);
}

static void test_down_and_up_is_no_reopening(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	struct tpacket_lease lease;

	gone_options(&options);
	struct tpacket *handle = net_open(&options);
	net_run("ip link set " NET_LISTEN " down");
	assert_int_equal(tpacket_acquire(handle, 2000, &lease), -ENETDOWN);
	assert_int_equal(tpacket_acquire(handle, 300, &lease), 0);
	net_run("ip link set " NET_LISTEN " up");
	usleep(100000);
	gone_pass(handle, 0, 5);
	net_finish(handle, &counters);
	assert_int_equal(counters.link_down, 1);
	assert_int_equal(counters.reopens, 0);
	assert_int_equal(counters.gap_ns, 0);
	tpacket_close(handle);
}

/* It keeps its index, so the capture goes on, also while packets are coming. */
static void test_renamed(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	struct tpacket_lease lease;
	char name[16];

	gone_options(&options);
	struct tpacket *handle = net_open(&options);
	gone_pass(handle, 0, 5);
	net_run("ip link set " NET_LISTEN " down && ip link set " NET_LISTEN " name wbx0 && ip link set wbx0 up");
	usleep(100000);
	assert_int_equal(tpacket_acquire(handle, 2000, &lease), -ENETDOWN);
	assert_int_equal(tpacket_interface_name(handle, name), 0);
	assert_string_equal(name, "wbx0");
	double begin = net_now_ms();
	for (uint32_t i = 5; net_now_ms() - begin < 1300; i++)
		gone_pass(handle, i, 1);
	gone_counters(handle, &counters);
	assert_int_equal(counters.renames, 1);
	assert_int_equal(counters.reopens, 0);
	/* Deleted then: the name that it was opened by is looked for. */
	net_run("ip link del wbx0");
	gone_wait_gone(handle);
	gone_recreate();
	gone_wait_back(handle);
	gone_pass(handle, 0, 5);
	net_finish(handle, &counters);
	assert_int_equal(counters.renames, 1);
	assert_int_equal(counters.reopens, 1);
	tpacket_close(handle);
}

static void test_moved_away_and_back(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	pid_t child = gone_other_namespace();

	gone_options(&options);
	struct tpacket *handle = net_open(&options);
	gone_pass(handle, 0, 5);
	net_run("ip link set " NET_LISTEN " netns %d", (int)child);
	gone_wait_gone(handle);
	net_run("nsenter -t %d -n ip link set " NET_LISTEN " netns %d", (int)child, (int)getpid());
	net_run("ip link set " NET_LISTEN " up");
	gone_wait_back(handle);
	usleep(100000);
	gone_pass(handle, 5, 5);
	net_finish(handle, &counters);
	assert_int_equal(counters.seen, 10);
	assert_int_equal(counters.reopens, 1);
	tpacket_close(handle);
	gone_end_process(child);
}

/* Comes back without being up: it is open, and down. */
static void test_comes_back_down(void **state)
{
	struct tpacket_options options;
	struct tpacket_lease lease;

	gone_options(&options);
	struct tpacket *handle = net_open(&options);
	gone_delete();
	gone_wait_gone(handle);
	net_run("ip link add " NET_LISTEN " address 02:00:00:00:00:01 type veth peer name " NET_SEND);
	gone_wait_back(handle);
	assert_int_equal(tpacket_acquire(handle, 2000, &lease), -ENETDOWN);
	net_run("ip link set " NET_LISTEN " up && ip link set " NET_SEND " up");
	usleep(200000);
	gone_pass(handle, 0, 5);
	tpacket_close(handle);
}

static int open_in_the_way(uint16_t id, struct tpacket **ret_handle)
{
	struct tpacket_options options;

	net_options(&options);
	options.interface = "lo";
	options.fanout = TPACKET_FANOUT_CPU;
	options.fanout_id = id;
	return tpacket_open(&options, ret_handle, NULL);
}

/* Something else than its absence prevents it: reported once, and tried on. */
static void test_other_errors(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	struct tpacket_lease lease;
	struct tpacket *other;

	gone_options(&options);
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_id = 77;
	struct tpacket *handle = net_open(&options);
	gone_delete();
	gone_wait_gone(handle);
	int before = net_count_descriptors();
	assert_int_equal(open_in_the_way(77, &other), 0);
	gone_recreate();
	assert_int_equal(tpacket_acquire(handle, 3000, &lease), -EINVAL);
	assert_int_equal(tpacket_acquire(handle, 2500, &lease), 0);
	tpacket_close(other);
	assert_int_equal(net_count_descriptors(), before);
	gone_wait_back(handle);
	gone_pass(handle, 0, 10);
	net_finish(handle, &counters);
	tpacket_close(handle);
}

/* Who controls the handle need not know that it is waiting for its interface. */
static void test_control_while_gone(void **state)
{
	struct sock_filter from_700[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NET_NUMBER_AT),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 700, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 200),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct tpacket_options options;
	struct tpacket_counters counters;

	gone_options(&options);
	struct tpacket *handle = net_open(&options);
	gone_delete();
	gone_wait_gone(handle);
	assert_int_equal(tpacket_stop(handle), 0);
	assert_int_equal(tpacket_set_filter(handle, from_700, 4), 0);
	assert_int_equal(tpacket_send(handle, "0123456789abcdef", 16), -ENODEV);
	gone_recreate();
	gone_wait_back(handle);
	int sender = net_sender(NET_SEND);
	net_send_numbers(sender, 100, 0, 5);
	net_assert_nothing(handle); /* stopped */
	gone_delete();
	gone_wait_gone(handle);
	assert_int_equal(tpacket_start(handle), 0);
	gone_recreate();
	gone_wait_back(handle);
	close(sender);
	sender = net_sender(NET_SEND);
	net_send_numbers(sender, 100, 600, 100);
	gone_pass(handle, 700, 20);
	net_finish(handle, &counters);
	assert_int_equal(counters.seen, 20);
	tpacket_close(handle);
	close(sender);
}

static void *wake_then_close(void *argument)
{
	usleep(150000);
	tpacket_wake(argument);
	usleep(150000);
	tpacket_close(argument);
	return NULL;
}

static void test_wake_and_close_while_gone(void **state)
{
	struct tpacket_options options;
	struct tpacket_lease lease;
	pthread_t thread;
	int before = net_count_descriptors();

	gone_options(&options);
	struct tpacket *handle = net_open(&options);
	gone_delete();
	gone_wait_gone(handle);
	assert_int_equal(pthread_create(&thread, NULL, wake_then_close, tpacket_get(handle)), 0);
	double begin = net_now_ms();
	assert_int_equal(tpacket_acquire(handle, -1, &lease), 0);
	assert_in_range((int)(net_now_ms() - begin), 140, 900);
	assert_int_equal(tpacket_acquire(handle, -1, &lease), -ESHUTDOWN);
	assert_in_range((int)(net_now_ms() - begin), 280, 1200);
	assert_int_equal(tpacket_acquire(handle, -1, &lease), -ESHUTDOWN);
	pthread_join(thread, NULL);
	tpacket_close(handle);
	assert_int_equal(net_count_descriptors(), before);
}

struct stray {
	struct tpacket *handle;
	int r;
};

/* A reader in another namespace, where there is an interface of the same name, too. */
static void *read_elsewhere(void *argument)
{
	struct stray *stray = argument;
	struct tpacket_lease lease;

	stray->r = unshare(CLONE_NEWNET);
	if (stray->r == 0 && system("ip link add " NET_LISTEN " type veth peer name " NET_SEND))
		stray->r = -EXDEV;
	while (stray->r >= 0 || stray->r == -ENODEV || stray->r == -ENETDOWN)
		stray->r = tpacket_acquire(stray->handle, 1000, &lease);
	return NULL;
}

static void test_reader_in_another_namespace(void **state)
{
	struct tpacket_options options;
	pthread_t thread;

	gone_options(&options);
	struct stray stray = {.handle = net_open(&options)};
	gone_delete();
	assert_int_equal(pthread_create(&thread, NULL, read_elsewhere, &stray), 0);
	usleep(1000000);
	gone_recreate();
	pthread_join(thread, NULL);
	assert_int_equal(stray.r, -ENETRESET);
	gone_pass(stray.handle, 0, 10);
	tpacket_close(stray.handle);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_deleted_and_recreated),
		NET_TEST(test_rest_of_the_ring_comes_first),
		NET_TEST(test_never_spins),
		NET_TEST(test_many_times),
		NET_TEST(test_down_and_up_is_no_reopening),
		NET_TEST(test_renamed),
		NET_TEST(test_moved_away_and_back),
		NET_TEST(test_comes_back_down),
		NET_TEST(test_other_errors),
		NET_TEST(test_control_while_gone),
		NET_TEST(test_wake_and_close_while_gone),
		NET_TEST(test_reader_in_another_namespace),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
