/* SPDX-License-Identifier: Apache-2.0 */
/* The sending ring when not everything can be sent: each frame has its own error, and the others leave in order. */
#include "tx_rig.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static uint8_t frame[200000];

static void put(struct tpacket_tx *tx, size_t bytes, uint32_t number)
{
	net_frame(frame, bytes < 18 ? 18 : (uint32_t)bytes, number);
	assert_int_equal(tpacket_tx_put(tx, frame, bytes, number), 0);
}

/* Directly, in less time than the ring takes to look at the interface again. */
static void set_mtu(const char *interface, int mtu)
{
	struct ifreq request = {.ifr_mtu = mtu};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, SIOCSIFMTU, &request), 0);
	close(fd);
}

/* Too short, too long for the interface, too long for the slot; between good ones, at the begin and at the end. */
static void test_lengths(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_geometry geometry;
	struct tpacket_tx_counters counters;
	int receiver = tx_receiver(0);

	tx_options(&options);
	options.frame_bytes = 3000;
	struct tpacket_tx *tx = tx_open(&options);
	tpacket_tx_geometry(tx, &geometry);
	assert_true(geometry.frame_bytes >= 3000 && geometry.frame_bytes < 3016);
	put(tx, 0, 0);
	put(tx, 14, 1);
	put(tx, 13, 2);
	put(tx, TX_LONGEST, 3);
	put(tx, TX_LONGEST + 1, 4);
	put(tx, geometry.frame_bytes, 5);
	put(tx, geometry.frame_bytes + 1, 6);
	put(tx, 100, 7);
	put(tx, 100000, 8);
	assert_int_equal(tpacket_tx_put(tx, frame, (size_t)1 << 40, 9), 0);
	/* What is known before is a result at once, unless others are before it. */
	tx_assert_result(tx, 0, -EINVAL);
	tx_assert_no_result(tx);
	assert_int_equal(tpacket_tx_waiting(tx), 3);
	assert_int_equal(tpacket_tx_send(tx), 3);
	tx_assert_result(tx, 1, 0);
	tx_assert_result(tx, 2, -EINVAL);
	tx_assert_result(tx, 3, 0);
	for (uint32_t i = 4; i < 7; i++)
		tx_assert_result(tx, i, -EMSGSIZE);
	tx_assert_result(tx, 7, 0);
	tx_assert_result(tx, 8, -EMSGSIZE);
	tx_assert_result(tx, 9, -EMSGSIZE);
	tx_assert_arrives(receiver, 14, 1, 0);
	tx_assert_arrives(receiver, TX_LONGEST, 3, 0);
	tx_assert_arrives(receiver, 100, 7, 0);
	tx_assert_nothing(receiver);
	tpacket_tx_counters(tx, &counters);
	assert_int_equal(counters.sent_bytes, 14 + TX_LONGEST + 100);
	assert_int_equal(counters.failed_malformed, 2);
	assert_int_equal(counters.failed_too_large, 5);
	tx_finish(tx, 3, 7);
	close(receiver);
}

/* The interface takes less than when the frames were committed, and later takes more again. */
static void test_mtu_changes(void **state)
{
	struct tpacket_tx_options options;
	int receiver = tx_receiver(0);

	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	for (uint32_t i = 0; i < 12; i++)
		tx_commit(tx, i % 3 == 1 ? TX_LONGEST : 1000, i);
	assert_int_equal(tpacket_tx_mtu(tx), TX_MTU);
	set_mtu(NET_SEND, 1000);
	assert_int_equal(tpacket_tx_send(tx), 8);
	for (uint32_t i = 0; i < 12; i++) {
		tx_assert_result(tx, i, i % 3 == 1 ? -EMSGSIZE : 0);
		if (i % 3 != 1)
			tx_assert_arrives(receiver, 1000, i, 0);
	}
	tx_commit(tx, 1014, 12);
	tx_commit(tx, 1015, 13);
	set_mtu(NET_SEND, 1001);
	tx_commit(tx, 1015, 14);
	tx_commit(tx, 1016, 15);
	assert_int_equal(tpacket_tx_send(tx), 2);
	tx_assert_result(tx, 12, 0);
	tx_assert_result(tx, 13, -EMSGSIZE);
	tx_assert_result(tx, 14, 0);
	tx_assert_result(tx, 15, -EMSGSIZE);
	tx_assert_arrives(receiver, 1014, 12, 0);
	tx_assert_arrives(receiver, 1015, 14, 0);
	tx_assert_nothing(receiver);
	tx_finish(tx, 10, 6);
	close(receiver);
}

static uint32_t max_fragments(void)
{
	FILE *file = fopen("/proc/sys/net/core/max_skb_frags", "r");
	unsigned int fragments = 17;

	if (!file)
		return fragments; /* what nearly every kernel has */
	assert_int_equal(fscanf(file, "%u", &fragments), 1);
	fclose(file);
	return fragments;
}

/* The kernel makes a frame of pages, and has room for so many: only it knows. */
static void test_too_many_pages(void **state)
{
	const uint32_t bytes[] = {100, 30000, 150000, 200, 150000, 150000, 300};
	const uint32_t count = sizeof(bytes) / sizeof(bytes[0]);
	int error = 150000 / 4096 > max_fragments() ? -EMSGSIZE : 0;
	struct tpacket_tx_options options;
	uint32_t sent = 0;

	net_run("ip link set lo up mtu 150000");
	tx_options(&options);
	options.interface = "lo";
	options.frame_bytes = 150014;
	options.frame_count = 10;
	struct tpacket_tx *tx = tx_open(&options);
	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < count; i++)
			put(tx, bytes[i], i);
		tx_send_all(tx);
		for (uint32_t i = 0; i < count; i++) {
			tx_assert_result(tx, i, bytes[i] == 150000 ? error : 0);
			sent += bytes[i] != 150000 || !error;
		}
	}
	tx_finish(tx, sent, 5 * count - sent);
	net_run("ip link set lo down mtu 65536");
}

/* A slow interface and a small buffer of the socket: nothing is lost, nothing is sent twice. */
static void test_full_buffer(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_counters counters;
	int receiver = tx_receiver(0), small = 4096;
	uint32_t taken = 0;
	int r;

	net_run("tc qdisc add dev " NET_SEND " root tbf rate 16mbit burst 3000 limit 1000000");
	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	assert_int_equal(setsockopt(tpacket_tx_fd(tx), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	for (uint32_t i = 0; i < 200; i++)
		tx_commit(tx, 1000, i);
	double begin = net_now_ms();
	while ((r = tpacket_tx_send(tx)) >= 0)
		taken += (uint32_t)r;
	assert_int_equal(r, -EAGAIN);
	assert_true(taken > 0 && taken < 200);
	assert_int_equal(tpacket_tx_waiting(tx), 200 - taken);
	tx_send_all(tx);
	for (uint32_t i = 0; i < 200; i++) {
		tx_assert_result(tx, i, 0);
		tx_assert_arrives(receiver, 1000, i, 0);
	}
	/* 197 kB at 2 MB a second; it must be the interface that it waited for. */
	assert_true(net_now_ms() - begin > 80);
	assert_true(net_now_ms() - begin < 8000);
	tx_assert_nothing(receiver);
	tpacket_tx_counters(tx, &counters);
	assert_true(counters.refused > 0);
	tx_finish(tx, 200, 0);
	close(receiver);
}

/* The interface's queue holds three frames, and says so: the fourth one stays, and leaves when there is room. */
static void test_full_queue(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_counters counters;
	int receiver = tx_receiver(0);
	uint32_t taken = 0;
	int r;

	net_run("tc qdisc add dev " NET_SEND " root tbf rate 8mbit burst 2000 limit 3100");
	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	for (uint32_t i = 0; i < 60; i++)
		tx_commit(tx, 1000, i);
	while ((r = tpacket_tx_send(tx)) >= 0)
		taken += (uint32_t)r;
	assert_int_equal(r, -ENOBUFS);
	assert_true(taken > 0 && taken < 60);
	assert_int_equal(tpacket_tx_waiting(tx), 60 - taken);
	tx_send_all(tx);
	for (uint32_t i = 0; i < 60; i++) {
		tx_assert_result(tx, i, 0);
		tx_assert_arrives(receiver, 1000, i, 0);
	}
	tx_assert_nothing(receiver);
	tpacket_tx_counters(tx, &counters);
	assert_true(counters.refused > 0);
	tx_finish(tx, 60, 0);
	close(receiver);
}

/* Give up some, while others are on their way and one is reserved. */
static void test_cancel(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_counters counters;
	int receiver = tx_receiver(0);
	void *data, *again;

	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	assert_int_equal(tpacket_tx_cancel(tx, 10), 0);
	for (uint32_t i = 0; i < 6; i++)
		tx_commit(tx, 100, i);
	assert_int_equal(tpacket_tx_reserve(tx, &data, NULL), 0);
	net_frame(data, 100, 6);
	assert_int_equal(tpacket_tx_cancel(tx, 0), 0);
	assert_int_equal(tpacket_tx_cancel(tx, 2), 2);
	assert_int_equal(tpacket_tx_waiting(tx), 4);
	assert_int_equal(tpacket_tx_reserve(tx, &again, NULL), 0);
	assert_ptr_equal(again, data);
	assert_int_equal(tpacket_tx_commit(tx, 100, 6), 0);
	tx_assert_result(tx, 0, -ECANCELED);
	tx_assert_result(tx, 1, -ECANCELED);
	tx_assert_no_result(tx);
	assert_int_equal(tpacket_tx_send(tx), 5);
	for (uint32_t i = 2; i < 7; i++) {
		tx_assert_result(tx, i, 0);
		tx_assert_arrives(receiver, 100, i, 0);
	}
	tx_commit(tx, 100, 7);
	assert_int_equal(tpacket_tx_cancel(tx, UINT32_MAX), 1);
	assert_int_equal(tpacket_tx_cancel(tx, UINT32_MAX), 0);
	assert_int_equal(tpacket_tx_send(tx), 0);
	tx_assert_result(tx, 7, -ECANCELED);
	tx_assert_nothing(receiver);
	tpacket_tx_counters(tx, &counters);
	assert_int_equal(counters.failed_other, 3);
	tx_finish(tx, 5, 3);
	close(receiver);
}

/* The ring stays full while its oldest frames are given up, a few each time: new ones take their room. */
static void test_cancel_in_a_full_ring(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_geometry geometry;
	int receiver = tx_receiver(0);
	uint32_t first = 0, end = 0;
	void *data;

	tx_options(&options);
	options.frame_count = 10;
	struct tpacket_tx *tx = tx_open(&options);
	tpacket_tx_geometry(tx, &geometry);
	for (uint32_t round = 0; round < 100; round++) {
		uint32_t give_up = 1 + round % geometry.frame_count;
		while (end < first + geometry.frame_count) {
			tx_commit(tx, 60 + end % 1000, end);
			end++;
		}
		assert_int_equal(tpacket_tx_reserve(tx, &data, NULL), -EAGAIN);
		assert_int_equal(tpacket_tx_cancel(tx, give_up), give_up);
		for (uint32_t i = 0; i < give_up; i++)
			tx_assert_result(tx, first++, -ECANCELED);
		tx_assert_no_result(tx);
		if (round % 7)
			continue;
		assert_int_equal(tpacket_tx_send(tx), end - first);
		for (; first < end; first++) {
			tx_assert_result(tx, first, 0);
			tx_assert_arrives(receiver, 60 + first % 1000, first, 0);
		}
	}
	tx_assert_nothing(receiver);
	assert_int_equal(tpacket_tx_waiting(tx), end - first);
	tpacket_tx_close(tx);
	close(receiver);
}

/* What the buffer has no room for is given up: what is on its way leaves all the same, and later frames do. */
static void test_cancel_behind_frames_on_their_way(void **state)
{
	struct tpacket_tx_options options;
	int receiver = tx_receiver(0), small = 4096;
	uint32_t taken = 0;
	int r;

	net_run("tc qdisc add dev " NET_SEND " root tbf rate 4mbit burst 3000 limit 1000000");
	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	assert_int_equal(setsockopt(tpacket_tx_fd(tx), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	for (uint32_t i = 0; i < 100; i++)
		tx_commit(tx, 1000, i);
	while ((r = tpacket_tx_send(tx)) >= 0)
		taken += (uint32_t)r;
	assert_int_equal(r, -EAGAIN);
	assert_true(taken < 90);
	assert_int_equal(tpacket_tx_cancel(tx, 90 - taken), 90 - taken);
	tx_send_all(tx);
	for (uint32_t i = 0; i < 100; i++) {
		bool is_sent = i < taken || i >= 90;
		tx_assert_result(tx, i, is_sent ? 0 : -ECANCELED);
		if (is_sent)
			tx_assert_arrives(receiver, 1000, i, 0);
	}
	tx_assert_nothing(receiver);
	tx_finish(tx, taken + 10, 90 - taken);
	close(receiver);
}

static void test_misuse(void **state)
{
	struct tpacket_tx_options options;
	int receiver = tx_receiver(0);
	uint32_t room;
	void *data, *again;

	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	assert_int_equal(tpacket_tx_commit(tx, 100, 1), -EINVAL);
	assert_int_equal(tpacket_tx_reserve(tx, &data, &room), 0);
	assert_true((uintptr_t)data % 16 == 0);
	assert_int_equal(tpacket_tx_commit(tx, room + 1, 1), -EINVAL);
	assert_int_equal(tpacket_tx_reserve(tx, &again, NULL), 0);
	assert_ptr_equal(data, again);
	assert_int_equal(tpacket_tx_waiting(tx), 0);
	tx_assert_no_result(tx);
	tx_commit(tx, 100, 1);
	assert_int_equal(tpacket_tx_commit(tx, 100, 1), -EINVAL);
	assert_int_equal(tpacket_tx_send(tx), 1);
	tx_assert_result(tx, 1, 0);
	tx_assert_arrives(receiver, 100, 1, 0);
	tx_assert_nothing(receiver);
	tx_finish(tx, 1, 0);
	close(receiver);
}

/* With timestamps, which the kernel writes into the same word, frames are finished all the same. */
static void test_timestamps(void **state)
{
	struct tpacket_tx_options options;
	const int flags = 1 << 1 | 1 << 4; /* SOF_TIMESTAMPING_TX_SOFTWARE, SOF_TIMESTAMPING_SOFTWARE */
	int receiver = tx_receiver(0), clock = net_sender(NET_LISTEN), on = 1;

	/* Has the kernel take the time of each frame that arrives on a veth, whoever receives it. */
	assert_int_equal(setsockopt(clock, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)), 0);
	tx_options(&options);
	options.frame_count = 8;
	struct tpacket_tx *tx = tx_open(&options);
	assert_int_equal(setsockopt(tpacket_tx_fd(tx), SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)), 0);
	assert_int_equal(setsockopt(tpacket_tx_fd(tx), SOL_PACKET, PACKET_TIMESTAMP, &flags, sizeof(flags)), 0);
	for (uint32_t i = 0; i < 100; i++) {
		tx_commit(tx, 100, i);
		tx_send_all(tx);
		tx_assert_result(tx, i, 0);
		tx_assert_arrives(receiver, 100, i, 0);
	}
	tx_finish(tx, 100, 0);
	close(clock);
	close(receiver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TX_PLAIN(test_lengths),
		TX_TEST(test_lengths, tx_v3_bypass),
		TX_PLAIN(test_mtu_changes),
		TX_TEST(test_mtu_changes, tx_v3_bypass),
		TX_PLAIN(test_too_many_pages),
		TX_PLAIN(test_full_buffer),
		TX_PLAIN(test_full_queue),
		TX_PLAIN(test_cancel),
		TX_PLAIN(test_cancel_in_a_full_ring),
		TX_PLAIN(test_cancel_behind_frames_on_their_way),
		TX_PLAIN(test_misuse),
		TX_PLAIN(test_timestamps),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
