/* SPDX-License-Identifier: Apache-2.0 */
/* The sending ring on a veth pair: what is sent arrives bit-exact and in order, at every length, in each tx_variant. */
#include "gone.h"
#include "tx_rig.h"

#include <linux/if_ether.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static pid_t far;

/* Frames of all lengths, several times around the ring, in batches of all sizes. */
static void test_bit_exact_and_in_order(void **state)
{
	struct tpacket_tx_options options;
	int receiver = tx_receiver(0);
	uint32_t sent = 0, batch = 1;

	tx_options(&options);
	options.frame_count = 16;
	struct tpacket_tx *tx = tx_open(&options);
	for (uint32_t number = 0; number < 2 * TX_LONGEST; batch = batch % 16 + 1) {
		uint32_t first = number;
		for (uint32_t i = 0; i < batch; i++, number++)
			tx_commit(tx, 14 + number % (TX_LONGEST - 13), number);
		tx_send_all(tx);
		for (uint32_t i = first; i < number; i++) {
			tx_assert_result(tx, i, 0);
			tx_assert_arrives(receiver, 14 + i % (TX_LONGEST - 13), i, 0);
			sent++;
		}
	}
	tx_assert_nothing(receiver);
	tx_finish(tx, sent, 0);
	close(receiver);
}

/* The copying call, its results in one go, and what the counters say. */
static void test_put(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_counters counters;
	struct tpacket_tx_result results[8];
	int receiver = tx_receiver(0);
	uint8_t frame[200];

	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	for (uint32_t i = 0; i < 5; i++) {
		net_frame(frame, 100 + i, i);
		assert_int_equal(tpacket_tx_put(tx, frame, 100 + i, UINT64_MAX - i), 0);
	}
	assert_int_equal(tpacket_tx_waiting(tx), 5);
	assert_int_equal(tpacket_tx_complete(tx, results, 8), 0);
	tx_assert_nothing(receiver);
	assert_int_equal(tpacket_tx_send(tx), 5);
	assert_int_equal(tpacket_tx_send(tx), 0);
	assert_int_equal(tpacket_tx_wait(tx, 1000), 1);
	assert_int_equal(tpacket_tx_complete(tx, results, 3), 3);
	assert_int_equal(tpacket_tx_complete(tx, results + 3, 8), 2);
	for (uint32_t i = 0; i < 5; i++) {
		assert_true(results[i].cookie == UINT64_MAX - i);
		assert_int_equal(results[i].bytes, 100 + i);
		assert_int_equal(results[i].error, 0);
		tx_assert_arrives(receiver, 100 + i, i, 0);
	}
	tpacket_tx_counters(tx, &counters);
	assert_int_equal(counters.sent_bytes, 510);
	assert_int_equal(counters.kicks, 1);
	assert_int_equal(counters.refused, 0);
	assert_int_equal(counters.moved, 0);
	tx_finish(tx, 5, 0);
	close(receiver);
}

static void test_facts(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_geometry geometry;

	tx_options(&options);
	options.frame_count = 100;
	struct tpacket_tx *tx = tx_open(&options);
	tpacket_tx_geometry(tx, &geometry);
	assert_true(geometry.frame_count >= 100 && geometry.frame_count < 110);
	assert_true(geometry.frame_bytes >= TX_LONGEST + 4 && geometry.frame_bytes < TX_LONGEST + 4 + 16);
	assert_int_equal(tpacket_tx_mtu(tx), TX_MTU);
	assert_int_equal(tpacket_tx_interface_index(tx), net_index(NET_SEND));
	assert_int_equal(tpacket_tx_hardware_type(tx), ARPHRD_ETHER);
	assert_int_equal(tpacket_tx_version_in_use(tx), tx_variant.version ? tx_variant.version : TPACKET_VERSION_3);
	net_run("ip link set " NET_SEND " name renamed0 mtu 1400");
	assert_int_equal(tpacket_tx_mtu(tx), 1400);
	net_run("ip link set renamed0 name " NET_SEND);
	tpacket_tx_close(tx);
}

static int set_up_far(void **state)
{
	far = gone_other_namespace();
	return tx_set_up(state);
}

static int tear_down_far(void **state)
{
	if (if_nametoindex(NET_LISTEN))
		net_run("ip link del " NET_LISTEN);
	gone_end_process(far);
	return 0;
}

/* In the namespace of a process; the calling thread stays where it is. */
static void test_netns(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_error error;
	struct tpacket_tx *tx;
	char path[64];

	tx_options(&options);
	options.netns = "/proc/self/ns/net";
	tx = tx_open(&options);
	tpacket_tx_close(tx);
	/* The other end goes to another namespace, and is opened there. */
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)far);
	options.netns = path;
	assert_int_equal(tpacket_tx_open(&options, &tx, &error), -ENODEV);
	assert_string_equal(error.message, "interface: '" NET_SEND "': No such device");
	int receiver = tx_receiver(0);
	net_run("ip link set " NET_SEND " netns %d && nsenter -t %d -n ip link set " NET_SEND " up", (int)far,
		(int)far);
	tx = tx_open(&options);
	tx_commit(tx, 100, 1);
	while (tpacket_tx_send(tx) == -ENETDOWN) /* until the carrier is back */
		tpacket_tx_wait(tx, 1000);
	tx_assert_result(tx, 1, 0);
	tx_assert_arrives(receiver, 100, 1, 0);
	tx_finish(tx, 1, 0);
	close(receiver);
	options.netns = "/dev/null";
	assert_int_equal(tpacket_tx_open(&options, &tx, &error), -EINVAL);
	assert_non_null(strstr(error.message, "netns: '/dev/null'"));
}

/* A ring in which nothing is received: not even what arrives at its interface. */
static void test_receives_nothing(void **state)
{
	struct tpacket_tx_options options;
	uint8_t frame[100];
	int sender = net_sender(NET_LISTEN);

	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	net_send_numbers(sender, 100, 0, 10);
	assert_int_equal(recv(tpacket_tx_fd(tx), frame, sizeof(frame), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	tpacket_tx_close(tx);
	close(sender);
}

/* Everything that was committed is used up: -EAGAIN until results are collected, and not before. */
static void test_full_ring(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_geometry geometry;
	int receiver = tx_receiver(0);
	uint32_t number = 0;
	void *data;

	tx_options(&options);
	options.frame_count = 1;
	struct tpacket_tx *tx = tx_open(&options);
	tpacket_tx_geometry(tx, &geometry);
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < geometry.frame_count; i++)
			tx_commit(tx, 60, number + i);
		assert_int_equal(tpacket_tx_reserve(tx, &data, NULL), -EAGAIN);
		assert_int_equal(tpacket_tx_put(tx, data, 0, 0), -EAGAIN);
		assert_int_equal(tpacket_tx_send(tx), (int)geometry.frame_count);
		assert_int_equal(tpacket_tx_reserve(tx, &data, NULL), -EAGAIN);
		for (uint32_t i = 0; i < geometry.frame_count; i++) {
			tx_assert_result(tx, number, 0);
			tx_assert_arrives(receiver, 60, number++, 0);
			assert_int_equal(tpacket_tx_reserve(tx, &data, NULL), 0);
		}
	}
	tx_finish(tx, number, 0);
	close(receiver);
}

static void commit_tagged(struct tpacket_tx *tx, uint32_t bytes, uint32_t number, uint16_t type)
{
	uint8_t *data;

	assert_int_equal(tpacket_tx_reserve(tx, (void **)&data, NULL), 0);
	memset(data, 0, tx_variant.vnet_header_bytes);
	data += tx_variant.vnet_header_bytes;
	net_frame(data, bytes, number);
	tx_tag(data, type);
	assert_int_equal(tpacket_tx_commit(tx, tx_variant.vnet_header_bytes + bytes, number), 0);
}

/* A tag makes a frame 4 bytes longer. The kernel grants that to 0x8100; with a vnet header it does not look. */
static void test_tagged_frames(void **state)
{
	struct tpacket_tx_options options;
	int receiver = tx_receiver(0);
	bool has_vnet = tx_variant.vnet_header_bytes;

	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	commit_tagged(tx, TX_LONGEST + 4, 0, ETH_P_8021Q);
	commit_tagged(tx, TX_LONGEST + 5, 1, ETH_P_8021Q);
	commit_tagged(tx, TX_LONGEST, 2, ETH_P_8021AD);
	commit_tagged(tx, TX_LONGEST + 4, 3, ETH_P_8021AD);
	commit_tagged(tx, 64, 4, ETH_P_8021Q);
	tx_commit(tx, TX_LONGEST + 1, 5);
	tx_send_all(tx);
	tx_assert_result(tx, 0, 0);
	tx_assert_result(tx, 1, -EMSGSIZE);
	tx_assert_result(tx, 2, 0);
	tx_assert_result(tx, 3, has_vnet ? 0 : -EMSGSIZE);
	tx_assert_result(tx, 4, 0);
	tx_assert_result(tx, 5, -EMSGSIZE);
	tx_assert_arrives(receiver, TX_LONGEST + 4, 0, ETH_P_8021Q);
	tx_assert_arrives(receiver, TX_LONGEST, 2, ETH_P_8021AD);
	if (has_vnet)
		tx_assert_arrives(receiver, TX_LONGEST + 4, 3, ETH_P_8021AD);
	tx_assert_arrives(receiver, 64, 4, ETH_P_8021Q);
	tx_assert_nothing(receiver);
	tx_finish(tx, has_vnet ? 4 : 3, has_vnet ? 2 : 3);
	close(receiver);
}

static void test_100000_frames(void **state)
{
	const uint32_t count = 100000;
	struct tpacket_tx_options options;
	struct tpacket_tx_result results[64];
	int receiver = tx_receiver(0);
	uint32_t committed = 0, completed = 0;

	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	while (completed < count) {
		void *data;
		while (committed < count && tpacket_tx_reserve(tx, &data, NULL) == 0) {
			memset(data, 0, tx_variant.vnet_header_bytes);
			net_frame((uint8_t *)data + tx_variant.vnet_header_bytes, 100, committed);
			assert_int_equal(tpacket_tx_commit(tx, tx_variant.vnet_header_bytes + 100u, committed), 0);
			committed++;
		}
		int r = tpacket_tx_send(tx);
		assert_true(r >= 0 || r == -EAGAIN || r == -ENOBUFS);
		assert_int_equal(tpacket_tx_wait(tx, 5000), 1);
		int n = tpacket_tx_complete(tx, results, 64);
		for (int i = 0; i < n; i++, completed++) {
			assert_int_equal(results[i].cookie, completed);
			assert_int_equal(results[i].error, 0);
		}
	}
	for (uint32_t i = 0; i < count; i++)
		tx_assert_arrives(receiver, 100, i, 0);
	tx_assert_nothing(receiver);
	tx_finish(tx, count, 0);
	close(receiver);
}

/*
 * To send at a rate, a caller fills as many frames as are due and hands them over at once: a ring that is full of
 * frames, none of them sent before, goes with one system call.
 */
static void test_one_kick(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_counters counters;
	struct tpacket_tx_geometry geometry;
	int receiver = tx_receiver(0), large = 1 << 28;

	tx_options(&options);
	options.frame_count = 512;
	options.frame_bytes = 1600;
	struct tpacket_tx *tx = tx_open(&options);
	/* The other end takes frames as fast as they come, but not always at once. */
	assert_int_equal(setsockopt(tpacket_tx_fd(tx), SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large)), 0);
	tpacket_tx_geometry(tx, &geometry);
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < geometry.frame_count; i++)
			tx_commit(tx, TX_LONGEST, round << 16 | i);
		tx_assert_nothing(receiver);
		assert_int_equal(tpacket_tx_waiting(tx), geometry.frame_count);
		assert_int_equal(tpacket_tx_send(tx), geometry.frame_count);
		tpacket_tx_counters(tx, &counters);
		assert_int_equal(counters.kicks, round + 1);
		for (uint32_t i = 0; i < geometry.frame_count; i++) {
			tx_assert_result(tx, round << 16 | i, 0);
			tx_assert_arrives(receiver, TX_LONGEST, round << 16 | i, 0);
		}
	}
	tx_assert_nothing(receiver);
	tx_finish(tx, 4 * geometry.frame_count, 0);
	close(receiver);
}

/* What was taken before the close still leaves. */
static void test_close_with_frames_on_their_way(void **state)
{
	struct tpacket_tx_options options;
	int receiver = tx_receiver(0);
	int before = net_count_descriptors();

	net_run("tc qdisc add dev " NET_SEND " root tbf rate 4mbit burst 2000 limit 100000");
	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	for (uint32_t i = 0; i < 20; i++)
		tx_commit(tx, 1000, i);
	assert_int_equal(tpacket_tx_send(tx), 20);
	tpacket_tx_close(tx);
	for (uint32_t i = 0; i < 20; i++)
		tx_assert_arrives(receiver, 1000, i, 0);
	assert_int_equal(net_count_descriptors(), before);
	close(receiver);
}

/* What was not handed over does not. */
static void test_close_with_frames_queued(void **state)
{
	struct tpacket_tx_options options;
	int receiver = tx_receiver(0);
	void *data;

	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	tx_commit(tx, 1000, 0);
	assert_int_equal(tpacket_tx_send(tx), 1);
	for (uint32_t i = 1; i < 20; i++)
		tx_commit(tx, 1000, i);
	assert_int_equal(tpacket_tx_reserve(tx, &data, NULL), 0);
	assert_int_equal(tpacket_tx_waiting(tx), 19);
	tpacket_tx_close(tx);
	tx_assert_arrives(receiver, 1000, 0, 0);
	tx_assert_nothing(receiver);
	close(receiver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TX_EACH(test_bit_exact_and_in_order),
		TX_PLAIN(test_put),
		TX_BARE(test_facts),
		TX_PLAIN(test_facts),
		{"test_netns", test_netns, set_up_far, tear_down_far, (void *)&tx_auto},
		TX_PLAIN(test_receives_nothing),
		TX_EACH(test_full_ring),
		TX_EACH(test_one_kick),
		TX_EACH(test_tagged_frames),
		TX_EACH(test_100000_frames),
		TX_PLAIN(test_close_with_frames_on_their_way),
		TX_PLAIN(test_close_with_frames_queued),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
