/* SPDX-License-Identifier: Apache-2.0 */
/* Promiscuous mode and all multicast frames, switched while the handle is open, and what sending finds out. */
#include "gone.h"

#include <unistd.h>

static void assert_mode(int promiscuous, int all_multicast)
{
	net_run("ip -d link show dev " NET_LISTEN " | grep -q 'promiscuity %d *allmulti %d '", promiscuous,
		all_multicast);
}

static void test_switched(void **state)
{
	struct tpacket_options options;

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	assert_mode(0, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tpacket_set_promiscuous(handle, true), 0);
		assert_mode(1, 0);
		/* What is so already is not counted twice. */
		assert_int_equal(tpacket_set_promiscuous(handle, true), 0);
		assert_mode(1, 0);
		assert_int_equal(tpacket_set_all_multicast(handle, true), 0);
		assert_mode(1, 1);
		assert_int_equal(tpacket_set_promiscuous(handle, false), 0);
		assert_mode(0, 1);
		assert_int_equal(tpacket_set_all_multicast(handle, false), 0);
		assert_int_equal(tpacket_set_all_multicast(handle, false), 0);
		assert_mode(0, 0);
	}
	tpacket_close(handle);
}

/* Another handle's is its own. */
static void test_two_handles(void **state)
{
	struct tpacket_options options;

	net_options(&options);
	options.promiscuous = true;
	struct tpacket *one = net_open(&options);
	struct tpacket *two = net_open(&options);
	assert_mode(2, 0);
	assert_int_equal(tpacket_set_promiscuous(one, false), 0);
	assert_mode(1, 0);
	tpacket_close(one);
	assert_mode(1, 0);
	tpacket_close(two);
	assert_mode(0, 0);
}

static void test_refused(void **state)
{
	struct tpacket_options options;

	net_options(&options);
	options.interface = NULL;
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_set_promiscuous(handle, true), -EINVAL);
	assert_int_equal(tpacket_set_all_multicast(handle, true), -EINVAL);
	tpacket_get(handle);
	tpacket_close(handle);
	assert_int_equal(tpacket_set_promiscuous(handle, true), -EINVAL);
	tpacket_close(handle);

	net_options(&options);
	handle = tpacket_get(net_open(&options));
	tpacket_close(handle);
	assert_int_equal(tpacket_set_promiscuous(handle, true), -ESHUTDOWN);
	tpacket_close(handle);
}

/* What was switched holds for the interface that comes back; also what is switched while there is none. */
static void test_comes_back(void **state)
{
	struct tpacket_options options;

	gone_options(&options);
	options.all_multicast = true;
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_set_promiscuous(handle, true), 0);
	assert_mode(1, 1);
	gone_delete();
	/* Before the reader has noticed, and after. */
	assert_int_equal(tpacket_set_promiscuous(handle, false), 0);
	assert_int_equal(tpacket_set_promiscuous(handle, true), 0);
	gone_wait_gone(handle);
	assert_int_equal(tpacket_set_all_multicast(handle, false), 0);
	gone_recreate();
	gone_wait_back(handle);
	assert_mode(1, 0);
	gone_pass(handle, 0, 10);
	tpacket_close(handle);
	assert_mode(0, 0);
}

/* Without reopen there is nothing that it could hold for. */
static void test_gone_for_ever(void **state)
{
	struct tpacket_options options;

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	gone_delete();
	assert_int_equal(tpacket_set_promiscuous(handle, true), -ENODEV);
	assert_int_equal(tpacket_set_promiscuous(handle, false), 0);
	tpacket_close(handle);
	gone_recreate();
}

/* Whoever asks the socket first gets the error that the link went down; the reader learns it all the same, once. */
static void test_sender_takes_the_error(void **state)
{
	struct tpacket_options options;
	struct tpacket_packet packet;
	uint8_t frame[60] = {0};

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	net_run("ip link set dev " NET_LISTEN " down");
	net_run("ip link set dev " NET_LISTEN " up");
	int r = tpacket_send(handle, frame, sizeof(frame));
	assert_true(r == -ENETDOWN || r == 0);
	assert_int_equal(tpacket_read(handle, 2000, &packet), -ENETDOWN);
	r = tpacket_read(handle, 300, &packet);
	assert_true(r == 0 || r == 1); /* the own frame */
	struct tpacket_counters counters;
	assert_int_equal(tpacket_stats(handle, &counters), 0);
	assert_int_equal(counters.link_down, 1);
	tpacket_close(handle);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_switched),
		NET_TEST(test_two_handles),
		NET_TEST(test_refused),
		NET_TEST(test_comes_back),
		NET_TEST(test_gone_for_ever),
		NET_TEST(test_sender_takes_the_error),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
