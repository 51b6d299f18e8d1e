/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What readers of the ring are known to get wrong, with the kernel's rings: closing while another thread waits, asking
 * the kernel for more while something is held, the loopback's two copies of each frame, packets from before the filter.
 */
#include "versions.h"

#include <linux/filter.h>
#include <pthread.h>
#include <unistd.h>

#define BYTES 200u
#define FRAMES 20u

static struct tpacket *open_version(void **state)
{
	struct tpacket_options options;

	net_options(&options);
	options.version = version_of(state);
	return net_open(&options);
}

struct blocked {
	struct tpacket *handle;
	int result;
};

static void *wait_for_ever(void *argument)
{
	struct blocked *blocked = argument;
	struct tpacket_packet packet;

	blocked->result = tpacket_read(blocked->handle, -1, &packet);
	tpacket_close(blocked->handle);
	return NULL;
}

/* It is woken, and does not find out some time later. */
static void test_close_ends_a_wait_at_once(void **state)
{
	int before = net_count_descriptors();

	for (int i = 0; i < 5; i++) {
		struct tpacket *handle = open_version(state);
		struct blocked blocked = {.handle = tpacket_get(handle)};
		pthread_t thread;
		assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, &blocked), 0);
		usleep(30000);
		double begin = net_now_ms();
		tpacket_close(handle);
		pthread_join(thread, NULL);
		assert_true(net_now_ms() - begin < 400);
		assert_int_equal(blocked.result, -ESHUTDOWN);
	}
	assert_int_equal(net_count_descriptors(), before);
}

/* The socket is readable all the time while something is held, so there it is not asked. */
static void test_no_poll_while_holding(void **state)
{
	struct tpacket *handle = open_version(state);
	struct tpacket_counters before, after;
	struct tpacket_lease lease, second;
	int sender = net_sender(NET_SEND);

	net_send_numbers(sender, BYTES, 0, 1);
	assert_int_equal(tpacket_acquire(handle, 2000, &lease), 1);
	assert_int_equal(tpacket_stats(handle, &before), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(tpacket_acquire(handle, 100, &second), -EBUSY);
	assert_int_equal(tpacket_stats(handle, &after), 0);
	assert_int_equal(after.polls, before.polls);
	tpacket_release(&lease);
	assert_int_equal(tpacket_acquire(handle, 50, &second), 0);
	tpacket_close(handle);
	close(sender);
}

struct kinds {
	uint32_t outgoing, incoming;
};

static void count_kind(const struct tpacket_packet *packet, void *argument)
{
	struct kinds *kinds = argument;

	if (packet->packet_type == TPACKET_TYPE_OUTGOING)
		kinds->outgoing++;
	else
		kinds->incoming++;
}

static struct kinds seen_on_loopback(void **state, bool ignore_outgoing)
{
	struct tpacket_options options;
	struct kinds kinds = {0};

	net_options(&options);
	options.interface = "lo";
	options.version = version_of(state);
	options.ignore_outgoing = ignore_outgoing;
	struct tpacket *handle = net_open(&options);
	int sender = net_sender("lo");
	net_send_numbers(sender, BYTES, 0, FRAMES);
	net_drain(handle, 10 * NET_RETIRE_MS, count_kind, &kinds);
	tpacket_close(handle);
	close(sender);
	return kinds;
}

/* Each frame passes there once on its way out and once on its way in: both are told apart, and one can be left out. */
static void test_loopback(void **state)
{
	net_run("ip link set lo up");
	struct kinds kinds = seen_on_loopback(state, false);
	assert_int_equal(kinds.outgoing, FRAMES);
	assert_int_equal(kinds.incoming, FRAMES);
	kinds = seen_on_loopback(state, true);
	assert_int_equal(kinds.outgoing, 0);
	assert_int_equal(kinds.incoming, FRAMES);
}

static void assert_odd(const struct tpacket_packet *packet, void *argument)
{
	assert_int_equal(net_number(packet->data + NET_NUMBER_AT) & 1, 1);
}

/* Under load from before the open on: nothing in the ring that the program would not have let pass. */
static void test_filter_comes_before_the_packets(void **state)
{
	struct sock_filter odd[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NET_NUMBER_AT + 3),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 262144),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct tpacket_options options;
	struct tpacket *handle;
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.version = version_of(state);
	options.filter = odd;
	options.filter_length = 4;
	assert_int_equal(tpacket_open(&options, &handle, NULL), 0);
	/* Odd ones, too: only the start lets them pass. */
	net_send_numbers(sender, BYTES, 0, FRAMES);
	assert_int_equal(net_drain(handle, 10 * NET_RETIRE_MS, NULL, NULL), 0);
	assert_int_equal(tpacket_start(handle), 0);
	net_send_numbers(sender, BYTES, FRAMES, FRAMES);
	assert_int_equal(net_drain(handle, 10 * NET_RETIRE_MS, assert_odd, NULL), FRAMES / 2);
	tpacket_close(handle);
	close(sender);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH(test_close_ends_a_wait_at_once),
		ON_EACH(test_no_poll_while_holding),
		ON_EACH(test_loopback),
		ON_EACH(test_filter_comes_before_the_packets),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
