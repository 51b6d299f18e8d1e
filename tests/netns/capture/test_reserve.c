/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coming back after privileges were given up. A child process opens the handle, drops its rights, and reads; it asks
 * this process, which keeps them, to delete and recreate the interface.
 */
#include "gone.h"

#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534
#define FANOUT_ID 99

/* In the child: cmocka's assertions would go on with the next test there. */
#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

enum request { REQUEST_DELETE = 'd', REQUEST_RECREATE = 'r', REQUEST_BLOCK = 'b', REQUEST_UNBLOCK = 'u' };

struct child {
	pid_t process;
	int requests[2];
	int answers[2];
};

static struct child child;

static void ask(enum request request)
{
	char byte = (char)request;

	CHECK(write(child.requests[1], &byte, 1) == 1);
	CHECK(read(child.answers[0], &byte, 1) == 1);
}

static void child_run(void (*run)(void))
{
	assert_int_equal(pipe(child.requests), 0);
	assert_int_equal(pipe(child.answers), 0);
	child.process = fork();
	assert_true(child.process >= 0);
	if (child.process)
		return;
	close(child.requests[0]);
	close(child.answers[1]);
	run();
	_exit(0);
}

/* A member of the group that the child wants to join, of another type: joining fails. */
static void block(struct tpacket **other)
{
	struct tpacket_options options;

	net_options(&options);
	options.interface = "lo";
	options.fanout = TPACKET_FANOUT_CPU;
	options.fanout_id = FANOUT_ID;
	assert_int_equal(tpacket_open(&options, other, NULL), 0);
}

/* Do what the child asks for until it ends, which must be well. */
static void child_serve(void)
{
	struct tpacket *other = NULL;
	char request;
	int status;

	close(child.requests[1]);
	close(child.answers[0]);
	while (read(child.requests[0], &request, 1) == 1) {
		if (request == REQUEST_DELETE)
			gone_delete();
		else if (request == REQUEST_RECREATE)
			gone_recreate();
		else if (request == REQUEST_BLOCK)
			block(&other);
		else
			tpacket_close(other);
		assert_int_equal(write(child.answers[1], &request, 1), 1);
	}
	close(child.requests[0]);
	close(child.answers[1]);
	assert_int_equal(waitpid(child.process, &status, 0), child.process);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void child_test(void (*run)(void))
{
	child_run(run);
	child_serve();
}

static void drop_all_rights(void)
{
	CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0);
	CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
}

static void keep_net_raw_only(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	data[0].effective = data[0].permitted = 1u << CAP_NET_RAW;
	CHECK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
	drop_all_rights();
	CHECK(syscall(SYS_capset, &header, data) == 0);
}

static struct tpacket *open_with_reserve(uint32_t sockets, bool is_member)
{
	struct tpacket_options options;
	struct tpacket *handle;

	gone_options(&options);
	options.promiscuous = true;
	options.reserve_sockets = sockets;
	if (is_member) {
		options.fanout = TPACKET_FANOUT_HASH;
		options.fanout_id = FANOUT_ID;
	}
	CHECK(tpacket_open(&options, &handle, NULL) == 0);
	CHECK(tpacket_start(handle) == 0);
	return handle;
}

/* Call until it gives this; before that only what may come. */
static void expect(struct tpacket *handle, int want)
{
	struct tpacket_lease lease;

	for (int i = 0; i < 20; i++) {
		int r = tpacket_acquire(handle, 500, &lease);
		tpacket_release(&lease);
		if (r == want)
			return;
		if (r && r != 1 && r != -ENETDOWN)
			fprintf(stderr, "%d instead of %d\n", r, want);
		CHECK(r == 0 || r == 1 || r == -ENETDOWN);
	}
	CHECK(!"came");
}

static void go(struct tpacket *handle)
{
	ask(REQUEST_DELETE);
	expect(handle, -ENODEV);
}

static void come_and_go(struct tpacket *handle)
{
	go(handle);
	ask(REQUEST_RECREATE);
	expect(handle, -ENETRESET);
}

static void as_often_as_there_are_sockets(void)
{
	struct tpacket *handle = open_with_reserve(2, true);
	struct tpacket_counters counters;
	struct tpacket_lease lease;

	drop_all_rights();
	come_and_go(handle);
	come_and_go(handle);
	go(handle);
	ask(REQUEST_RECREATE);
	expect(handle, -EPERM);
	/* Each call waits for the next try, so that a reader that goes on does not spin. */
	double begin = net_now_ms();
	for (int i = 0; i < 3; i++)
		CHECK(tpacket_acquire(handle, -1, &lease) == -EPERM);
	CHECK(net_now_ms() - begin >= 1000);
	begin = net_now_ms();
	CHECK(tpacket_acquire(handle, 100, &lease) == -EPERM);
	CHECK(tpacket_acquire(handle, 0, &lease) == -EPERM);
	CHECK(net_now_ms() - begin < 1000);
	CHECK(tpacket_stats(handle, &counters) == 0);
	CHECK(counters.reopens == 2);
	tpacket_close(handle);
}

static void test_reserve_is_spent(void **state)
{
	child_test(as_often_as_there_are_sockets);
}

static void without_a_reserve(void)
{
	struct tpacket *handle = open_with_reserve(0, false);

	drop_all_rights();
	go(handle);
	expect(handle, -EPERM);
	tpacket_close(handle);
}

static void test_no_reserve(void **state)
{
	child_test(without_a_reserve);
}

/* A socket that is in no group can be bound again. */
static void one_for_ever(void)
{
	struct tpacket *handle = open_with_reserve(1, false);

	drop_all_rights();
	come_and_go(handle);
	int before = net_count_descriptors();
	for (int i = 0; i < 3; i++) {
		come_and_go(handle);
		CHECK(net_count_descriptors() == before);
	}
	tpacket_close(handle);
}

static void test_one_is_enough_without_a_group(void **state)
{
	child_test(one_for_ever);
}

/* A process that has no descriptor left keeps the reserve's socket, also while that is the one in use. */
static void without_descriptors(void)
{
	struct tpacket *handle = open_with_reserve(1, false);

	drop_all_rights();
	for (int i = 0; i < 3; i++) {
		/* The one that a socket in use left behind as well. */
		CHECK(gone_take_descriptors() > 0);
		come_and_go(handle);
	}
	gone_give_descriptors();
	tpacket_close(handle);
}

static void test_no_descriptors(void **state)
{
	child_test(without_descriptors);
}

/* Tries that fail use no socket up: one is there, and there are many tries. */
static void many_tries(void)
{
	struct tpacket *handle = open_with_reserve(1, true);
	struct tpacket_lease lease;

	drop_all_rights();
	go(handle);
	CHECK(tpacket_acquire(handle, 1600, &lease) == 0); /* no interface: four tries */
	ask(REQUEST_BLOCK);
	ask(REQUEST_RECREATE);
	expect(handle, -EINVAL);
	CHECK(tpacket_acquire(handle, 4500, &lease) == 0); /* two more at least */
	ask(REQUEST_UNBLOCK);
	expect(handle, -ENETRESET);
	tpacket_close(handle);
}

static void test_failed_tries_cost_nothing(void **state)
{
	child_test(many_tries);
}

static void with_net_raw(void)
{
	struct tpacket *handle = open_with_reserve(0, true);

	keep_net_raw_only();
	come_and_go(handle);
	come_and_go(handle);
	tpacket_close(handle);
}

static void test_net_raw_needs_no_reserve(void **state)
{
	child_test(with_net_raw);
}

/* All members of a group, from one reader each in turn. */
static void whole_group(void)
{
	struct tpacket_options options;
	struct tpacket *handles[3];
	struct tpacket_lease lease;

	gone_options(&options);
	options.reserve_sockets = 1;
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_flags = TPACKET_FANOUT_UNIQUE_ID;
	CHECK(tpacket_open_group(&options, 3, handles, NULL) == 0);
	drop_all_rights();
	for (int round = 0; round < 2; round++) {
		int want = round ? -EPERM : -ENETRESET;
		ask(REQUEST_DELETE);
		for (int i = 0; i < 3; i++)
			expect(handles[i], -ENODEV);
		ask(REQUEST_RECREATE);
		expect(handles[0], want);
		CHECK(tpacket_acquire(handles[1], 0, &lease) == want);
		CHECK(tpacket_acquire(handles[2], 0, &lease) == want);
	}
	for (int i = 0; i < 3; i++)
		tpacket_close(handles[i]);
}

static void test_group(void **state)
{
	child_test(whole_group);
}

static void test_too_many(void **state)
{
	struct tpacket_options options;
	struct tpacket_error error;
	struct tpacket *handle;
	int before = net_count_descriptors();

	gone_options(&options);
	options.reserve_sockets = 65;
	assert_int_equal(tpacket_open(&options, &handle, &error), -EINVAL);
	assert_string_equal(error.message, "reserve_sockets: 65: must be at most 64");
	options.reserve_sockets = 64;
	assert_int_equal(tpacket_open(&options, &handle, &error), 0);
	assert_int_equal(net_count_descriptors(), before + 64 + 4);
	tpacket_close(handle);
	assert_int_equal(net_count_descriptors(), before);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_reserve_is_spent),
		NET_TEST(test_no_reserve),
		NET_TEST(test_one_is_enough_without_a_group),
		NET_TEST(test_no_descriptors),
		NET_TEST(test_failed_tries_cost_nothing),
		NET_TEST(test_net_raw_needs_no_reserve),
		NET_TEST(test_group),
		NET_TEST(test_too_many),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
