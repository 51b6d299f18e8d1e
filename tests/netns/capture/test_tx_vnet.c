/* SPDX-License-Identifier: Apache-2.0 */
/* The sending ring with a virtio_net_hdr before each frame: super-frames, and headers that the kernel refuses. */
#include "tx_rig.h"

#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IFLA_GSO_IPV4_MAX_SIZE
#define IFLA_GSO_IPV4_MAX_SIZE 63
#endif

#define SUPER_BYTES (65535u + 14)
#define HEADERS_BYTES 54u
#define SEGMENT_BYTES 1448u

static struct tx_arrival arrival;

/*
 * By default the kernel cuts what has more than 65,535 bytes with its link header. There is one limit for each version
 * of IP since Linux 6.3, which ip(8) may be too old to know.
 */
static void allow_super_frames(void)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
		struct rtattr attribute;
		uint32_t bytes;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_NEWLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.link = {.ifi_family = AF_UNSPEC, .ifi_index = (int)net_index(NET_SEND)},
		.attribute = {.rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = IFLA_GSO_IPV4_MAX_SIZE},
		.bytes = 70000,
	};
	char answer[256];

	net_run("ip link set " NET_SEND " gso_max_size 70000");
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	assert_true(fd >= 0);
	assert_int_equal(send(fd, &request, sizeof(request), 0), sizeof(request));
	assert_true(recv(fd, answer, sizeof(answer), 0) > 0);
	close(fd);
}

/* Ethernet, IPv4, TCP of 64 KiB, with the vnet header that says how to cut it. */
static void super_frame(uint8_t *frame, struct virtio_net_hdr *ret_header)
{
	const uint16_t ip_bytes = SUPER_BYTES - 14;
	const uint8_t ip[20] = {
		0x45, 0, ip_bytes >> 8, ip_bytes & 0xff, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1};
	const uint8_t tcp[20] = {0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0};

	net_frame(frame, SUPER_BYTES, 77);
	frame[12] = 0x08;
	frame[13] = 0x00;
	memcpy(frame + 14, ip, sizeof(ip));
	memcpy(frame + 34, tcp, sizeof(tcp));
	*ret_header = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = HEADERS_BYTES,
		.gso_size = SEGMENT_BYTES,
		.csum_start = 34,
		.csum_offset = 16,
	};
}

static void commit_super_frame(struct tpacket_tx *tx, uint64_t cookie)
{
	struct virtio_net_hdr header;
	uint8_t *data;
	uint32_t room;

	assert_int_equal(tpacket_tx_reserve(tx, (void **)&data, &room), 0);
	assert_true(room >= tx_variant.vnet_header_bytes + SUPER_BYTES);
	super_frame(data + tx_variant.vnet_header_bytes, &header);
	memset(data, 0, tx_variant.vnet_header_bytes);
	memcpy(data, &header, sizeof(header));
	assert_int_equal(tpacket_tx_commit(tx, tx_variant.vnet_header_bytes + SUPER_BYTES, cookie), 0);
}

static void assert_super_frame_arrives(int receiver)
{
	static uint8_t want[SUPER_BYTES];
	struct virtio_net_hdr header, got;

	super_frame(want, &header);
	assert_true(tx_receive(receiver, 3000, &arrival));
	assert_int_equal(arrival.bytes, SUPER_BYTES);
	assert_memory_equal(arrival.data, want, SUPER_BYTES);
	memcpy(&got, arrival.vnet_header, sizeof(got));
	assert_int_equal(got.gso_type, header.gso_type);
	assert_int_equal(got.gso_size, header.gso_size);
	assert_int_equal(got.flags, header.flags);
	assert_int_equal(got.csum_start, header.csum_start);
	assert_int_equal(got.csum_offset, header.csum_offset);
}

/* A whole ring of them, twice, so that they lie at every place that a slot can have. */
static void test_super_frames(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_geometry geometry;
	int receiver = tx_receiver(tx_variant.vnet_header_bytes);

	allow_super_frames();
	tx_options(&options);
	options.frame_count = 20;
	struct tpacket_tx *tx = tx_open(&options);
	tpacket_tx_geometry(tx, &geometry);
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < geometry.frame_count; i++)
			commit_super_frame(tx, i);
		tx_send_all(tx);
		for (uint32_t i = 0; i < geometry.frame_count; i++) {
			tx_assert_result(tx, i, 0);
			assert_super_frame_arrives(receiver);
		}
	}
	tx_assert_nothing(receiver);
	tx_finish(tx, 2 * geometry.frame_count, 0);
	close(receiver);
}

/*
 * The sender's interface cannot cut by itself: the kernel cuts, if the queueing discipline is not left out. If it is,
 * such a frame never leaves, and the error says why.
 */
static void test_super_frame_without_offload(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_counters counters;
	int receiver = tx_receiver(tx_variant.vnet_header_bytes);
	uint32_t bytes = 0;

	net_run("ethtool -K " NET_SEND " tso off tx off >/dev/null");
	tx_options(&options);
	options.frame_count = 4;
	struct tpacket_tx *tx = tx_open(&options);
	commit_super_frame(tx, 1);
	tx_send_all(tx);
	tx_assert_result(tx, 1, 0);
	while (tx_receive(receiver, 100, &arrival)) {
		assert_true(arrival.bytes <= TX_LONGEST);
		bytes += arrival.bytes - HEADERS_BYTES;
	}
	assert_int_equal(bytes, SUPER_BYTES - HEADERS_BYTES);
	tx_finish(tx, 1, 0);

	options.qdisc_bypass = true;
	tx = tx_open(&options);
	commit_super_frame(tx, 2);
	tx_commit(tx, 100, 3);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(tpacket_tx_send(tx), -ENOBUFS);
		assert_int_equal(tpacket_tx_wait(tx, 1000), 1);
	}
	assert_int_equal(tpacket_tx_cancel(tx, 1), 1);
	tx_assert_result(tx, 2, -ENOBUFS);
	tpacket_tx_counters(tx, &counters);
	assert_int_equal(counters.failed_no_buffer, 1);
	assert_int_equal(counters.refused, 5);
	assert_int_equal(tpacket_tx_send(tx), 1);
	tx_assert_result(tx, 3, 0);
	tx_assert_arrives(receiver, 100, 3, 0);
	tx_finish(tx, 1, 1);
	close(receiver);
}

/* A header that only the kernel looks at, and that it does not accept: more bytes of headers than there are. */
static void commit_malformed(struct tpacket_tx *tx, uint32_t number)
{
	const struct virtio_net_hdr header = {.hdr_len = 200};
	uint8_t *data;

	assert_int_equal(tpacket_tx_reserve(tx, (void **)&data, NULL), 0);
	memset(data, 0, tx_variant.vnet_header_bytes);
	memcpy(data, &header, sizeof(header));
	net_frame(data + tx_variant.vnet_header_bytes, 100, number);
	assert_int_equal(tpacket_tx_commit(tx, tx_variant.vnet_header_bytes + 100u, number), 0);
}

/*
 * The kernel stops at such a frame. Each pattern of good and bad ones, the ring full of them: each has its own result,
 * the good ones leave in order, and those behind a bad one are copied about once, not once for each bad one.
 */
static void test_kernel_refuses(void **state)
{
	static const uint32_t patterns[] = {
		0x0000, 0x0001, 0x8000, 0xffff, 0x5555, 0xaaaa, 0x00ff, 0xff00, 0x0180, 0x6db6};
	struct tpacket_tx_options options;
	struct tpacket_tx_geometry geometry;
	struct tpacket_tx_counters counters;
	int receiver = tx_receiver(0);
	uint32_t number = 0, sent = 0;

	tx_options(&options);
	options.frame_count = 16;
	options.frame_bytes = 200;
	struct tpacket_tx *tx = tx_open(&options);
	tpacket_tx_geometry(tx, &geometry);
	for (uint32_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		uint32_t first = number, good = 0;
		for (; number < first + geometry.frame_count; number++) {
			bool is_bad = patterns[i] >> (number - first) % 16 & 1;
			if (is_bad)
				commit_malformed(tx, number);
			else
				tx_commit(tx, 60 + number % 100, number);
			good += !is_bad;
		}
		assert_int_equal(tpacket_tx_send(tx), good);
		assert_int_equal(tpacket_tx_waiting(tx), 0);
		for (uint32_t j = first; j < number; j++) {
			bool is_bad = patterns[i] >> (j - first) % 16 & 1;
			tx_assert_result(tx, j, is_bad ? -EINVAL : 0);
			if (!is_bad)
				tx_assert_arrives(receiver, 60 + j % 100, j, 0);
		}
		sent += good;
	}
	tx_assert_nothing(receiver);
	tpacket_tx_counters(tx, &counters);
	assert_int_equal(counters.failed_malformed, number - sent);
	assert_true(counters.moved > 0);
	assert_true(counters.moved <= number);
	tx_finish(tx, sent, number - sent);
	close(receiver);
}

/* 100 bad ones, and then a full ring of good ones: a system call for each bad one, and few for the good ones. */
static void test_calls_after_refusals(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_geometry geometry;
	struct tpacket_tx_counters counters;
	int receiver = tx_receiver(0), large = 1 << 28;
	const uint32_t bad = 100;

	tx_options(&options);
	options.frame_count = 1000;
	options.frame_bytes = 200;
	struct tpacket_tx *tx = tx_open(&options);
	assert_int_equal(setsockopt(tpacket_tx_fd(tx), SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large)), 0);
	tpacket_tx_geometry(tx, &geometry);
	for (uint32_t i = 0; i < geometry.frame_count; i++)
		if (i < bad)
			commit_malformed(tx, i);
		else
			tx_commit(tx, 100, i);
	assert_int_equal(tpacket_tx_send(tx), geometry.frame_count - bad);
	for (uint32_t i = 0; i < geometry.frame_count; i++) {
		tx_assert_result(tx, i, i < bad ? -EINVAL : 0);
		if (i >= bad)
			tx_assert_arrives(receiver, 100, i, 0);
	}
	tpacket_tx_counters(tx, &counters);
	assert_true(counters.kicks <= bad + 12);
	assert_true(counters.moved <= geometry.frame_count);
	tx_finish(tx, geometry.frame_count - bad, bad);
	close(receiver);
}

/* What is too short for its headers, or too long for the interface without being a super-frame. */
static void test_lengths(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_geometry geometry;
	int receiver = tx_receiver(0);
	uint32_t header = tx_variant.vnet_header_bytes;
	static uint8_t frame[80000];

	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	tpacket_tx_geometry(tx, &geometry);
	assert_true(geometry.frame_bytes >= header + 65535 + 14 + 4);
	net_frame(frame + header, TX_LONGEST + 1, 1);
	for (uint32_t bytes = 0; bytes < header + 14; bytes++)
		assert_int_equal(tpacket_tx_put(tx, frame, bytes, bytes), 0);
	assert_int_equal(tpacket_tx_put(tx, frame, header + 14, 50), 0);
	assert_int_equal(tpacket_tx_put(tx, frame, header + TX_LONGEST, 51), 0);
	assert_int_equal(tpacket_tx_put(tx, frame, header + TX_LONGEST + 1, 52), 0);
	assert_int_equal(tpacket_tx_put(tx, frame, geometry.frame_bytes + 1, 53), 0);
	assert_int_equal(tpacket_tx_send(tx), 2);
	for (uint32_t bytes = 0; bytes < header + 14; bytes++)
		tx_assert_result(tx, bytes, -EINVAL);
	tx_assert_result(tx, 50, 0);
	tx_assert_result(tx, 51, 0);
	tx_assert_result(tx, 52, -EMSGSIZE);
	tx_assert_result(tx, 53, -EMSGSIZE);
	tx_assert_arrives(receiver, 14, 1, 0);
	tx_assert_arrives(receiver, TX_LONGEST, 1, 0);
	tx_assert_nothing(receiver);
	tx_finish(tx, 2, header + 14 + 2);
	close(receiver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TX_VNET(test_super_frames),
		TX_VNET(test_super_frame_without_offload),
		TX_VNET(test_kernel_refuses),
		TX_VNET(test_calls_after_refusals),
		TX_VNET(test_lengths),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
