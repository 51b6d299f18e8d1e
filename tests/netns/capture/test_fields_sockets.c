/* SPDX-License-Identifier: Apache-2.0 */
/* What the sockets of this host and of another one send, seen by a ring beside them. */
#include "fields.h"
#include "far.h"
#include "ip_frame.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_DATAGRAM 9000u

static struct net_copy copies[2];
static uint8_t frame[UDP4_HEADERS + MAX_DATAGRAM];

struct datagram {
	bool has_no_sum;
	int segment_bytes; /* 0: one piece */
	uint32_t bytes;
	uint32_t status;
};

/* A pair of sockets of this host; what is sent has no other receiver. */
static int udp_pair(const struct datagram *datagram, int *ret_receiver, struct sockaddr_in *addresses)
{
	int fds[2];

	for (int i = 0; i < 2; i++) {
		socklen_t length = sizeof(addresses[i]);
		addresses[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(fds[i], (struct sockaddr *)&addresses[i], length), 0);
		assert_int_equal(getsockname(fds[i], (struct sockaddr *)&addresses[i], &length), 0);
	}
	int on = datagram->has_no_sum;
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	on = datagram->segment_bytes;
	assert_int_equal(setsockopt(fds[0], SOL_UDP, UDP_SEGMENT, &on, sizeof(on)), 0);
	*ret_receiver = fds[1];
	return fds[0];
}

/* The frame that the kernel makes of it, but for the identification, which is its own choice. */
static void udp_frame(const struct datagram *datagram, const struct sockaddr_in *addresses, const uint8_t *seen_ip)
{
	uint32_t bytes = UDP4_HEADERS + datagram->bytes;

	memset(frame, 0, ETHERNET_BYTES);
	ip_frame_fill(frame, bytes, &ip_udp4);
	memcpy(frame + 26, &addresses[0].sin_addr, 4);
	memcpy(frame + 30, &addresses[1].sin_addr, 4);
	memcpy(frame + 34, &addresses[0].sin_port, 2);
	memcpy(frame + 36, &addresses[1].sin_port, 2);
	memcpy(frame + 18, seen_ip + 4, 2);
	ip_frame_sums(frame, bytes, &ip_udp4);
	if (datagram->has_no_sum)
		memset(frame + 40, 0, 2);
}

static void compare_udp(const struct row *row, const struct datagram *datagram, const struct sockaddr_in *addresses,
	const struct net_copy *copy, uint8_t type)
{
	struct want want = row_want(row, frame, UDP4_HEADERS + datagram->bytes);

	want.protocol = 0x0800;
	want.status = datagram->status;
	want.type = type;
	assert_true(copy->packet.captured_length >= 20);
	udp_frame(datagram, addresses, copy->data + ETHERNET_BYTES - want.skip);
	row_compare(row, &copy->packet, &want);
}

static void send_udp(const struct row *row, const struct datagram *datagram, bool ignores_outgoing)
{
	struct sockaddr_in addresses[2];
	struct tpacket_options options;
	uint8_t payload[MAX_DATAGRAM];
	int receiver, sender = udp_pair(datagram, &receiver, addresses);

	row_big_options(row, &options);
	options.ignore_outgoing = ignores_outgoing;
	struct tpacket *handle = net_open(&options);
	net_frame(frame, UDP4_HEADERS + datagram->bytes, datagram->bytes);
	memcpy(payload, frame + UDP4_HEADERS, datagram->bytes);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sendto(sender, payload, datagram->bytes, 0, (struct sockaddr *)&addresses[1],
					 sizeof(addresses[1])),
			datagram->bytes);
		row_take(handle, copies, ignores_outgoing ? 1 : 2);
		if (!ignores_outgoing)
			compare_udp(row, datagram, addresses, &copies[0], TPACKET_TYPE_OUTGOING);
		compare_udp(row, datagram, addresses, &copies[!ignores_outgoing], TPACKET_TYPE_HOST);
	}
	row_end(handle);
	close(sender);
	close(receiver);
}

/* Sockets of this host: the checksum of what stays here is never made, nor is it cut up. */
static void test_udp(void **state)
{
	const struct row *row = *state;
	const struct datagram datagrams[] = {
		{.bytes = 100, .status = TPACKET_STATUS_CHECKSUM_NOT_READY},
		{.bytes = 1, .status = TPACKET_STATUS_CHECKSUM_NOT_READY},
		{.bytes = 100, .has_no_sum = true},
		{.bytes = 9000, .segment_bytes = 1000, .status = TPACKET_STATUS_CHECKSUM_NOT_READY},
	};

	for (size_t i = 0; i < sizeof(datagrams) / sizeof(datagrams[0]); i++) {
		send_udp(row, &datagrams[i], false);
		send_udp(row, &datagrams[i], true);
	}
}

#define STREAM_BYTES (1u << 18)
#define MAX_WIRE_BYTES 1514u

/* What was seen of a connection. */
struct stream {
	const struct row *row;
	uint32_t status; /* of a super-frame; others differ with how the sender cut the stream */
	bool has_begun;
	uint32_t first; /* number of the first byte */
	uint8_t seen[STREAM_BYTES];
	uint32_t super_frames;
};

static uint32_t number_of(const uint8_t *tcp)
{
	return net_number(tcp + 4);
}

static void follow(const struct tpacket_packet *packet, void *argument)
{
	struct stream *stream = argument;
	const uint8_t *ip = packet->data + ETHERNET_BYTES - row_skip(stream->row), *tcp = ip + 20;
	uint32_t link = ETHERNET_BYTES - row_skip(stream->row);

	assert_int_equal(packet->captured_length, packet->original_length);
	assert_int_equal(packet->packet_type, TPACKET_TYPE_HOST);
	if (packet->protocol != 0x0800)
		return;
	assert_int_equal(packet->captured_length, link + (uint32_t)(ip[2] << 8 | ip[3]));
	if (tcp[13] & 2) { /* SYN counts as a byte */
		stream->has_begun = true;
		stream->first = number_of(tcp) + 1;
		return;
	}
	assert_true(stream->has_begun);
	uint32_t at = number_of(tcp) - stream->first;
	const uint8_t *bytes = tcp + (tcp[12] >> 4) * 4, *end = packet->data + packet->captured_length;
	bool is_super = packet->status & TPACKET_STATUS_GSO_TCP;
	assert_int_equal(is_super, packet->captured_length > link + MAX_WIRE_BYTES - ETHERNET_BYTES);
	if (is_super)
		assert_int_equal(packet->status & stream->status, stream->status);
	stream->super_frames += is_super;
	for (; bytes < end; bytes++, at++) {
		assert_true(at < STREAM_BYTES);
		assert_int_equal(*bytes, far_tcp_byte(at));
		stream->seen[at] = 1;
	}
}

static void follow_a_connection(const struct row *row, struct far *far)
{
	static struct stream stream;
	struct tpacket_options options;
	struct tpacket_counters counters;

	stream = (struct stream){.row = row, .status = TPACKET_STATUS_CHECKSUM_NOT_READY};
	row_options(row, &options);
	options.frame_bytes = options.block_bytes = 17 * 4096;
	options.block_count = 256; /* also where each holds a single segment */
	options.ignore_outgoing = true;
	struct tpacket *handle = net_open(&options);
	far_tcp(far, STREAM_BYTES);
	while (net_drain(handle, 50, follow, &stream) > 0)
		;
	net_finish(handle, &counters);
	assert_int_equal(counters.dropped, 0);
	assert_true(stream.super_frames > 0);
	for (uint32_t i = 0; i < STREAM_BYTES; i++)
		assert_int_equal(stream.seen[i], 1);
	tpacket_close(handle);
}

/* A connection with another host: each of its bytes is seen, in super-frames that the sender, or this host, made. */
static void test_tcp(void **state)
{
	const struct row *row = *state;
	struct far far;

	far_begin(&far);
	follow_a_connection(row, &far);
	far_run(&far, "ethtool -K " NET_SEND " tx off >/dev/null");
	net_run("ethtool -K " NET_LISTEN " gro on");
	follow_a_connection(row, &far);
	far_end(&far);
}

const struct row_test socket_tests[] = {
	ROW_TEST(test_udp, ON_ALL & ~ON_VETH),
	ROW_TEST(test_tcp, ON_ALL & ~ON_LOOPBACK),
	{0},
};
