/* SPDX-License-Identifier: Apache-2.0 */
/* Frames larger than a wire's: jumbo frames, super-frames of GSO with their vnet header, frames larger than a block. */
#include "net.h"

#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUPER_BYTES 40000u
#define HEADERS_BYTES 54u
#define SEGMENT_BYTES 1448u

static struct net_copy copy;

/* Ethernet, IPv4, TCP. */
static void tcp_frame(uint8_t *frame, uint32_t bytes)
{
	const uint16_t ip_bytes = (uint16_t)(bytes - 14);
	const uint8_t ip[20] = {
		0x45, 0, ip_bytes >> 8, (uint8_t)ip_bytes, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1};
	const uint8_t tcp[20] = {0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0};

	net_frame(frame, bytes, 77);
	frame[12] = 0x08;
	frame[13] = 0x00;
	memcpy(frame + 14, ip, sizeof(ip));
	memcpy(frame + 34, tcp, sizeof(tcp));
}

static void send_super_frame(const uint8_t *frame, uint32_t bytes)
{
	struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = HEADERS_BYTES,
		.gso_size = SEGMENT_BYTES,
		.csum_start = 34,
		.csum_offset = 16,
	};
	static uint8_t buffer[sizeof(header) + SUPER_BYTES];
	int sender = net_sender(NET_SEND), on = 1;

	assert_int_equal(setsockopt(sender, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	memcpy(buffer, &header, sizeof(header));
	memcpy(buffer + sizeof(header), frame, bytes);
	net_send(sender, buffer, sizeof(header) + bytes);
	close(sender);
}

static void test_super_frame_arrives_whole(void **state)
{
	struct tpacket_options options;
	struct virtio_net_hdr header;
	static uint8_t frame[SUPER_BYTES];

	net_options(&options);
	options.vnet_header = true;
	struct tpacket *handle = net_open(&options);
	tcp_frame(frame, SUPER_BYTES);
	send_super_frame(frame, SUPER_BYTES);
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, SUPER_BYTES);
	assert_int_equal(copy.packet.original_length, SUPER_BYTES);
	assert_memory_equal(copy.data, frame, HEADERS_BYTES - 4); /* without checksum and urgent pointer */
	assert_memory_equal(copy.data + HEADERS_BYTES, frame + HEADERS_BYTES, SUPER_BYTES - HEADERS_BYTES);
	assert_true(copy.packet.status & TPACKET_STATUS_GSO_TCP);
	assert_true(copy.packet.status & TPACKET_STATUS_CHECKSUM_NOT_READY);
	assert_int_equal(copy.packet.vnet_header_length, sizeof(header));
	memcpy(&header, copy.vnet_header, sizeof(header));
	assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(header.gso_size, SEGMENT_BYTES);
	assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(header.csum_start, 34);
	assert_int_equal(header.csum_offset, 16);
	tpacket_close(handle);

	/* Without the vnet header the frame is the same, and the status still tells. */
	options.vnet_header = false;
	handle = net_open(&options);
	send_super_frame(frame, SUPER_BYTES);
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, SUPER_BYTES);
	assert_true(copy.packet.status & TPACKET_STATUS_GSO_TCP);
	assert_int_equal(copy.packet.vnet_header_length, 0);
	assert_null(copy.packet.vnet_header);
	tpacket_close(handle);
}

/* With the vnet header, an ordinary frame has one, too. */
static void test_vnet_header_of_an_ordinary_frame(void **state)
{
	struct tpacket_options options;
	const uint8_t nothing[10] = {0};
	uint8_t frame[100];
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.vnet_header = true;
	struct tpacket *handle = net_open(&options);
	net_frame(frame, sizeof(frame), 1);
	net_send(sender, frame, sizeof(frame));
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, sizeof(frame));
	assert_memory_equal(copy.data, frame, sizeof(frame));
	assert_memory_equal(copy.vnet_header + 1, nothing + 1, 9); /* flags may say that the checksum is valid */
	tpacket_close(handle);
	close(sender);
}

static void test_jumbo_frame(void **state)
{
	struct tpacket_options options;
	uint8_t frame[9014];
	int sender = net_sender(NET_SEND);

	net_run("ip link set " NET_LISTEN " mtu 9000 && ip link set " NET_SEND " mtu 9000");
	net_options(&options);
	struct tpacket *handle = net_open(&options);
	net_frame(frame, sizeof(frame), 5);
	net_send(sender, frame, sizeof(frame));
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, sizeof(frame));
	assert_memory_equal(copy.data, frame, sizeof(frame));
	assert_false(copy.packet.status & TPACKET_STATUS_TRUNCATED);
	tpacket_close(handle);
	close(sender);
}

/*
 * The kernel cuts a frame to what a block can hold, and before it hands over the block that it was filling, which may
 * hold no packet at all. The old packets that still lie there must not be seen again.
 */
static void test_frame_larger_than_a_block(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	uint8_t frame[9014];
	int sender = net_sender(NET_SEND);

	net_run("ip link set " NET_LISTEN " mtu 9000 && ip link set " NET_SEND " mtu 9000");
	net_options(&options);
	options.block_bytes = 4096;
	options.block_count = 8;
	struct tpacket *handle = net_open(&options);
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t bytes = i % 2 ? (uint32_t)sizeof(frame) : 100;
		net_frame(frame, bytes, i);
		net_send(sender, frame, bytes);
		net_take(handle, &copy);
		assert_int_equal(net_number(copy.data + NET_NUMBER_AT), i);
		assert_int_equal(copy.packet.original_length, bytes);
		assert_int_equal(!!(copy.packet.status & TPACKET_STATUS_TRUNCATED), i % 2);
		if (i % 2) {
			assert_in_range(copy.packet.captured_length, 3900, 4096 - 48);
			assert_memory_equal(copy.data, frame, copy.packet.captured_length);
		} else {
			assert_int_equal(copy.packet.captured_length, bytes);
		}
	}
	net_finish(handle, &counters);
	assert_int_equal(counters.read, 40);
	assert_int_equal(counters.truncated, 20);
	tpacket_close(handle);
	close(sender);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_super_frame_arrives_whole),
		NET_TEST(test_vnet_header_of_an_ordinary_frame),
		NET_TEST(test_jumbo_frame),
		NET_TEST(test_frame_larger_than_a_block),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
