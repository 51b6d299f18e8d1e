/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of own connections: when the rings' filters change and when not, closed connections that stay for a while,
 * and what happens when there are too many. The filters go to a stand-in for tpacket_set_filter().
 */
#include "testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "own.h"
#include "own_address.h"

#define RINGS 4
#define SECOND_NS UINT64_C(1000000000)

static struct {
	unsigned int calls;
	uint16_t length;
} rings[RINGS];
static uint64_t handles[RINGS];         /* addresses for the handles */
static uint16_t longest = BPF_MAXINSNS; /* longer programs are refused with -ENOMEM */
static int refusal;                     /* every program is */

int tpacket_set_filter(struct tpacket *handle, const struct sock_filter *filter, uint16_t length)
{
	size_t i = (size_t)((uint64_t *)handle - handles);

	assert_true(i < RINGS);
	assert_non_null(filter);
	rings[i].calls++;
	if (refusal || length > longest)
		return refusal ? refusal : -ENOMEM;
	rings[i].length = length;
	return 0;
}

static struct wb_own *own;
static struct wb_own_rings a;
static struct wb_own_rings b;

static int setup(void **state)
{
	memset(rings, 0, sizeof rings);
	longest = BPF_MAXINSNS;
	refusal = 0;
	a = (struct wb_own_rings){.name = "a", .link = WB_OWN_LINK_ETHERNET, .keep_bytes = 1000, .count = 3};
	b = (struct wb_own_rings){.name = "b", .link = WB_OWN_LINK_IP, .keep_bytes = 1000, .count = 1};
	for (size_t i = 0; i < 3; i++)
		a.rings[i] = (struct tpacket *)&handles[i];
	b.rings[0] = (struct tpacket *)&handles[3];
	assert_int_equal(wb_own_create(&own), 0);
	wb_own_join(own, &a);
	wb_own_join(own, &b);
	return 0;
}

static int teardown(void **state)
{
	wb_own_leave(own, &a);
	wb_own_leave(own, &b);
	wb_own_destroy(own);
	return 0;
}

static void expect_calls(unsigned int of_a, unsigned int of_b)
{
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(rings[i].calls, of_a);
	assert_int_equal(rings[3].calls, of_b);
}

static union wb_own_address end(const char *text, unsigned int port)
{
	union wb_own_address address = {0};

	if (strchr(text, ':')) {
		address.any.sa_family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, text, &address.v6.sin6_addr), 1);
	} else {
		address.any.sa_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, text, &address.v4.sin_addr), 1);
	}
	wb_own_set_port(&address, htons((uint16_t)port));
	return address;
}

static void report(bool open, unsigned int local_port)
{
	union wb_own_address local = end("10.0.0.1", local_port);
	union wb_own_address remote = end("10.0.0.2", 9092);

	wb_own_report(own, open, &local.any, &remote.any);
}

static void nothing_is_set_without_connections(void **state)
{
	wb_own_tick(own, wb_monotonic_ns());
	expect_calls(0, 0);
}

static void every_ring_of_every_capture_follows(void **state)
{
	report(true, 1001);
	expect_calls(1, 1);
	report(true, 1002);
	expect_calls(2, 2);
	/* The same ones once more, by another client: counted. */
	report(true, 1002);
	report(false, 1002);
	wb_own_tick(own, wb_monotonic_ns() + 1000 * SECOND_NS);
	expect_calls(2, 2);
}

static void a_late_capture_gets_what_there_is(void **state)
{
	wb_own_leave(own, &b);
	report(true, 1001);
	expect_calls(1, 0);
	b.count = 1;
	wb_own_join(own, &b);
	expect_calls(1, 1);
	wb_own_leave(own, &b);
	report(true, 1002);
	expect_calls(2, 1);
}

/* An interface that is back with its IP headers elsewhere, as each of the capture's workers says. */
static void another_link_type_makes_new_programs(void **state)
{
	struct wb_filter user = {0};
	uint16_t ethernet, ip;

	report(true, 1001);
	expect_calls(1, 1);
	ethernet = rings[0].length;
	ip = rings[3].length;
	assert_true(ethernet > ip);
	for (int worker = 0; worker < 3; worker++)
		assert_int_equal(wb_own_relink(own, &a, WB_OWN_LINK_IP, &user), 0);
	expect_calls(2, 1);
	assert_int_equal(rings[0].length, ip);
	report(true, 1002);
	expect_calls(3, 2);
	assert_int_equal(rings[0].length, rings[3].length);
	assert_int_equal(wb_own_relink(own, &a, WB_OWN_LINK_ETHERNET, &user), 0);
	expect_calls(4, 2);
	refusal = -EPERM;
	assert_int_equal(wb_own_relink(own, &a, WB_OWN_LINK_IP, &user), -EIO);
}

static void closed_ones_stay_for_a_while(void **state)
{
	uint64_t now_ns = wb_monotonic_ns();
	uint16_t with;

	report(true, 1001);
	report(true, 1002);
	with = rings[0].length;
	report(false, 1001);
	wb_own_tick(own, now_ns + 100 * SECOND_NS);
	expect_calls(2, 2);
	wb_own_tick(own, now_ns + 125 * SECOND_NS);
	expect_calls(3, 3);
	assert_true(rings[0].length < with);
	/* Nobody is left: the filter is the user's alone. */
	report(false, 1002);
	wb_own_tick(own, wb_monotonic_ns() + 125 * SECOND_NS);
	expect_calls(4, 4);
	assert_int_equal(rings[0].length, 1);
}

static void one_that_comes_back_is_open_again(void **state)
{
	report(true, 1001);
	report(false, 1001);
	report(true, 1001);
	expect_calls(1, 1);
	wb_own_tick(own, wb_monotonic_ns() + 1000 * SECOND_NS);
	expect_calls(1, 1);
}

/* A broker that is away for a day: the set does not grow. */
static void attempts_do_not_add_up(void **state)
{
	uint16_t some;

	for (unsigned int i = 0; i < 70; i++) {
		report(true, 20000 + i);
		report(false, 20000 + i);
	}
	some = rings[0].length;
	for (unsigned int i = 70; i < 2000; i++) {
		report(true, 20000 + i);
		report(false, 20000 + i);
	}
	assert_true(rings[0].length < some + 20);
}

static void too_many_are_left_out_by_their_local_ends(void **state)
{
	unsigned int port = 20000;

	for (uint16_t before = 0; rings[0].length >= before; port++) {
		before = rings[0].length;
		report(true, port);
		assert_true(port < 21000);
	}
	assert_true(a.told_merged);
	assert_true(port > 20200);
	for (; port < 21024; port++)
		report(true, port);
	assert_false(a.told_failed);
	/* The set is full: no more, and closing an unknown one does nothing. */
	rings[0].calls = 0;
	report(true, 30000);
	report(false, 30000);
	assert_int_equal(rings[0].calls, 0);
}

static void a_kernel_without_memory_gets_the_short_form(void **state)
{
	for (unsigned int i = 0; i < 100; i++)
		report(true, 20000 + i);
	assert_false(a.told_merged);
	longest = 600;
	report(true, 20100);
	assert_true(a.told_merged);
	assert_in_range(rings[0].length, 1, 600);
	assert_false(a.told_failed);
}

static void a_refusal_is_told_and_tried_again(void **state)
{
	refusal = -EOPNOTSUPP;
	report(true, 1001);
	assert_true(a.told_failed);
	refusal = 0;
	report(true, 1002);
	assert_false(a.told_failed);
	expect_calls(2, 2);
}

static void one_endpoint_is_set_once(void **state)
{
	a.form = WB_OWN_ENDPOINTS;
	report(true, 1001);
	report(true, 1002);
	report(true, 1003);
	expect_calls(1, 3);
}

/* Dual-stack sockets tell IPv4 in IPv6. */
static void mapped_addresses_are_ipv4(void **state)
{
	union wb_own_address local = end("::ffff:10.0.0.1", 1001);
	union wb_own_address remote = end("::ffff:10.0.0.2", 9092);

	report(true, 1001);
	wb_own_report(own, true, &local.any, &remote.any);
	expect_calls(1, 1);
}

static void what_cannot_be_told_apart_is_ignored(void **state)
{
	struct sockaddr unix_end = {.sa_family = AF_UNIX};
	union wb_own_address v4 = end("10.0.0.1", 1001);
	union wb_own_address v6 = end("fd00::1", 9092);
	union wb_own_address no_port = end("10.0.0.1", 0);

	wb_own_report(own, true, &unix_end, &v4.any);
	wb_own_report(own, true, &v4.any, &v6.any);
	wb_own_report(own, true, &no_port.any, &v4.any);
	wb_own_report(own, true, &v4.any, &no_port.any);
	expect_calls(0, 0);
	/* A listener has no remote end. */
	wb_own_report(own, true, &v4.any, NULL);
	expect_calls(1, 1);
}

/* Bound by hand: the port is there before the connection, and so is the address. */
static void the_local_end_is_known_before_the_connection(void **state)
{
	union wb_own_address listener = end("127.0.0.1", 0);
	socklen_t size = sizeof listener.v4;
	union wb_own_address foreseen;
	union wb_own_address actual;
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(server, &listener.any, size), 0);
	assert_int_equal(listen(server, 1), 0);
	assert_int_equal(getsockname(server, &listener.any, &size), 0);
	assert_int_equal(wb_own_bind(client, &listener.any, &foreseen), 0);
	assert_int_equal(connect(client, &listener.any, size), 0);
	assert_int_equal(wb_own_local(client, &actual), 0);
	assert_true(wb_own_same(&foreseen, &actual));
	assert_int_equal(foreseen.v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	close(client);
	close(server);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_set_without_connections),
		TEST(every_ring_of_every_capture_follows),
		TEST(a_late_capture_gets_what_there_is),
		TEST(another_link_type_makes_new_programs),
		TEST(closed_ones_stay_for_a_while),
		TEST(one_that_comes_back_is_open_again),
		TEST(attempts_do_not_add_up),
		TEST(too_many_are_left_out_by_their_local_ends),
		TEST(a_kernel_without_memory_gets_the_short_form),
		TEST(a_refusal_is_told_and_tried_again),
		TEST(one_endpoint_is_set_once),
		TEST(mapped_addresses_are_ipv4),
		TEST(what_cannot_be_told_apart_is_ignored),
		TEST(the_local_end_is_known_before_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
