/* SPDX-License-Identifier: Apache-2.0 */
/* What comes out of the ring is what was sent, with every fact about it. */
#include "net.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SMALLEST 60u
#define LARGEST 1514u

static struct net_copy copy;

static uint64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct sizes {
	uint32_t next;
	uint64_t after_ns, before_ns;
	unsigned int index;
};

static void check_size(const struct tpacket_packet *packet, void *argument)
{
	struct sizes *sizes = argument;
	uint32_t bytes = SMALLEST + sizes->next;
	uint8_t want[LARGEST];

	net_frame(want, bytes, sizes->next);
	assert_int_equal(packet->captured_length, bytes);
	assert_int_equal(packet->original_length, bytes);
	assert_memory_equal(packet->data, want, bytes);
	assert_int_equal(packet->interface_index, sizes->index);
	assert_int_equal(packet->packet_type, TPACKET_TYPE_HOST);
	assert_int_equal(packet->protocol, NET_ETHERTYPE);
	assert_int_equal(packet->hardware_type, ARPHRD_ETHER);
	assert_int_equal(packet->status & ~TPACKET_STATUS_CHECKSUM_VALID, 0);
	assert_int_equal(packet->vnet_header_length, 0);
	assert_true(packet->time_ns >= sizes->after_ns && packet->time_ns <= sizes->before_ns);
	sizes->after_ns = packet->time_ns;
	sizes->next++;
}

static void test_every_size_bit_exact(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	struct sizes sizes = {.after_ns = realtime_ns(), .index = net_index(NET_LISTEN)};
	uint8_t frame[LARGEST];
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.block_count = 64;
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_interface_index(handle), sizes.index);
	assert_int_equal(tpacket_hardware_type(handle), ARPHRD_ETHER);
	for (uint32_t bytes = SMALLEST; bytes <= LARGEST; bytes++) {
		net_frame(frame, bytes, bytes - SMALLEST);
		net_send(sender, frame, bytes);
	}
	sizes.before_ns = realtime_ns();
	assert_int_equal(net_drain(handle, 100, check_size, &sizes), LARGEST - SMALLEST + 1);
	net_finish(handle, &counters);
	assert_int_equal(counters.seen, LARGEST - SMALLEST + 1);
	assert_int_equal(counters.dropped, 0);
	tpacket_close(handle);
	close(sender);
}

static void test_direction(void **state)
{
	struct tpacket_options options;
	uint8_t frame[100];
	int sender = net_sender(NET_SEND), own = net_sender(NET_LISTEN);

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	net_frame(frame, sizeof(frame), 1);
	net_send(own, frame, sizeof(frame));
	net_take(handle, &copy);
	assert_int_equal(copy.packet.packet_type, TPACKET_TYPE_OUTGOING);
	frame[5] = 0x99;
	net_send(sender, frame, sizeof(frame));
	net_take(handle, &copy);
	assert_int_equal(copy.packet.packet_type, TPACKET_TYPE_OTHER_HOST);
	frame[0] = 0x03;
	net_send(sender, frame, sizeof(frame));
	net_take(handle, &copy);
	assert_int_equal(copy.packet.packet_type, TPACKET_TYPE_MULTICAST);
	memset(frame, 0xff, 6);
	net_send(sender, frame, sizeof(frame));
	net_take(handle, &copy);
	assert_int_equal(copy.packet.packet_type, TPACKET_TYPE_BROADCAST);
	tpacket_close(handle);

	options.ignore_outgoing = true;
	handle = net_open(&options);
	net_send(own, frame, sizeof(frame));
	net_assert_nothing(handle);
	net_send(sender, frame, sizeof(frame));
	net_take(handle, &copy);
	assert_int_equal(copy.packet.packet_type, TPACKET_TYPE_BROADCAST);
	tpacket_close(handle);
	close(sender);
	close(own);
}

static void test_vlan(void **state)
{
	const uint16_t tags[][2] = {{0x8100, 0x6064}, {0x88a8, 0xe001}, {0x8100, 0x0000}, {0x8100, 0xffff}};
	struct tpacket_options options;
	uint8_t plain[300], tagged[304];
	int sender = net_sender(NET_SEND);

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	net_frame(plain, sizeof(plain), 9);
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		const uint8_t tag[4] = {tags[i][0] >> 8, (uint8_t)tags[i][0], tags[i][1] >> 8, (uint8_t)tags[i][1]};
		memcpy(tagged, plain, 12);
		memcpy(tagged + 12, tag, 4);
		memcpy(tagged + 16, plain + 12, sizeof(plain) - 12);
		net_send(sender, tagged, sizeof(tagged));
		net_take(handle, &copy);
		assert_true(copy.packet.status & TPACKET_STATUS_VLAN);
		assert_int_equal(copy.packet.vlan_tpid, tags[i][0]);
		assert_int_equal(copy.packet.vlan_tci, tags[i][1]);
		assert_int_equal(copy.packet.captured_length, sizeof(plain));
		assert_int_equal(copy.packet.original_length, sizeof(plain));
		assert_memory_equal(copy.data, plain, sizeof(plain));
	}
	net_send(sender, plain, sizeof(plain));
	net_take(handle, &copy);
	assert_false(copy.packet.status & TPACKET_STATUS_VLAN);
	assert_int_equal(copy.packet.vlan_tci | copy.packet.vlan_tpid, 0);
	tpacket_close(handle);
	close(sender);
}

/* Frames with an odd number, so many bytes of them. */
#define ODD_NUMBERS(bytes)                                                                                             \
	{                                                                                                              \
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NET_NUMBER_AT + 3), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1),  \
			BPF_STMT(BPF_RET | BPF_K, bytes), BPF_STMT(BPF_RET | BPF_K, 0),                                \
	}

struct odd {
	uint32_t next, captured;
};

static void check_odd(const struct tpacket_packet *packet, void *argument)
{
	struct odd *odd = argument;

	assert_int_equal(net_number(packet->data + NET_NUMBER_AT), odd->next);
	assert_int_equal(packet->captured_length, odd->captured);
	assert_int_equal(packet->original_length, 200);
	assert_false(packet->status & TPACKET_STATUS_TRUNCATED);
	odd->next += 2;
}

static void test_filter(void **state)
{
	struct sock_filter whole[] = ODD_NUMBERS(262144), cut[] = ODD_NUMBERS(40);
	struct tpacket_options options;
	struct tpacket_counters counters;
	struct odd odd = {.next = 1, .captured = 200};
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.filter = whole;
	options.filter_length = 4;
	struct tpacket *handle = net_open(&options);
	memset(whole, 0, sizeof(whole)); /* needed during the open only */
	net_send_numbers(sender, 200, 0, 100);
	assert_int_equal(net_drain(handle, 50, check_odd, &odd), 50);

	/* Stop and start bring the same program back. */
	assert_int_equal(tpacket_stop(handle), 0);
	net_send_numbers(sender, 200, 100, 100);
	net_assert_nothing(handle);
	assert_int_equal(tpacket_start(handle), 0);
	odd.next = 201;
	net_send_numbers(sender, 200, 200, 100);
	assert_int_equal(net_drain(handle, 50, check_odd, &odd), 50);

	/* Swapped while it runs; what a program cuts is not truncated. */
	assert_int_equal(tpacket_set_filter(handle, cut, 4), 0);
	odd = (struct odd){.next = 301, .captured = 40};
	net_send_numbers(sender, 200, 300, 100);
	assert_int_equal(net_drain(handle, 50, check_odd, &odd), 50);
	assert_int_equal(tpacket_set_filter(handle, NULL, 0), 0);
	net_send_numbers(sender, 200, 400, 10);
	assert_int_equal(net_drain(handle, 50, NULL, NULL), 10);
	net_finish(handle, &counters);
	assert_int_equal(counters.seen, 160); /* what the filter rejects is in no counter */
	assert_int_equal(counters.truncated, 0);
	tpacket_close(handle);
	close(sender);
}

static void test_snap_length(void **state)
{
	struct tpacket_options options;
	uint8_t frame[1514];
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.snap_length = 96;
	struct tpacket *handle = net_open(&options);
	net_frame(frame, sizeof(frame), 3);
	net_send(sender, frame, sizeof(frame));
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, 96);
	assert_int_equal(copy.packet.original_length, sizeof(frame));
	assert_memory_equal(copy.data, frame, 96);
	assert_false(copy.packet.status & TPACKET_STATUS_TRUNCATED);
	net_send(sender, frame, 60);
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, 60);
	tpacket_close(handle);
	close(sender);
}

static void test_datagram_socket(void **state)
{
	struct tpacket_options options;
	uint8_t frame[200];
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.socket_type = TPACKET_SOCKET_DGRAM;
	options.protocol = NET_ETHERTYPE;
	struct tpacket *handle = net_open(&options);
	net_frame(frame, sizeof(frame), 4);
	net_send(sender, frame, sizeof(frame));
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, sizeof(frame) - ETH_HLEN);
	assert_memory_equal(copy.data, frame + ETH_HLEN, sizeof(frame) - ETH_HLEN);
	frame[13]++; /* another protocol */
	net_send(sender, frame, sizeof(frame));
	net_assert_nothing(handle);
	tpacket_close(handle);
	close(sender);
}

static void test_all_interfaces(void **state)
{
	struct tpacket_options options;
	uint8_t frame[100];
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.interface = NULL;
	options.ignore_outgoing = true;
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_interface_index(handle), 0);
	assert_int_equal(tpacket_hardware_type(handle), ARPHRD_VOID);
	net_frame(frame, sizeof(frame), 4);
	net_send(sender, frame, sizeof(frame));
	net_take(handle, &copy);
	assert_int_equal(copy.packet.interface_index, net_index(NET_LISTEN));
	tpacket_close(handle);
	close(sender);
}

/* How many have switched it on at the interface: "promiscuity" or "allmulti". */
static void assert_mode(const char *what, int want)
{
	net_run("ip -d link show dev " NET_LISTEN " | grep -q '%s %d '", what, want);
}

/* Each of the two, both, and neither; and none is left behind. */
static void test_promiscuous(void **state)
{
	for (int both = 0; both < 4; both++) {
		struct tpacket_options options;
		net_options(&options);
		options.promiscuous = both & 1;
		options.all_multicast = both & 2;
		struct tpacket *handle = net_open(&options);
		assert_mode("promiscuity", options.promiscuous);
		assert_mode("allmulti", options.all_multicast);
		tpacket_close(handle);
		assert_mode("promiscuity", 0);
		assert_mode("allmulti", 0);
	}
}

/* Asked of the kernel, as a veth has no clock of its own that a packet could bring along. */
static void test_timestamp_source(void **state)
{
	const struct {
		enum tpacket_timestamp asked;
		int want;
	} cases[] = {
		{TPACKET_TIMESTAMP_SOFTWARE, 0},
		{TPACKET_TIMESTAMP_HARDWARE, SOF_TIMESTAMPING_RAW_HARDWARE},
	};

	for (size_t i = 0; i < 2 * 3; i++) {
		struct tpacket_options options;
		int source = -1;
		socklen_t length = sizeof(source);
		net_options(&options);
		options.version = (enum tpacket_version)(1 + i / 2);
		options.timestamp = cases[i % 2].asked;
		struct tpacket *handle = net_open(&options);
		assert_int_equal(getsockopt(tpacket_fd(handle), SOL_PACKET, PACKET_TIMESTAMP, &source, &length), 0);
		assert_int_equal(source, cases[i % 2].want);
		tpacket_close(handle);
	}
}

static void test_flow_hash(void **state)
{
	struct tpacket_options options;
	uint8_t frame[NET_UDP_BYTES];
	int sender = net_sender(NET_SEND);

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	net_udp_frame(frame, 1);
	net_send(sender, frame, sizeof(frame));
	net_take(handle, &copy);
	assert_int_not_equal(copy.packet.rx_hash, 0);
	tpacket_close(handle);
	options.flow_hash = false;
	handle = net_open(&options);
	net_send(sender, frame, sizeof(frame));
	net_take(handle, &copy);
	assert_int_equal(copy.packet.rx_hash, 0);
	tpacket_close(handle);
	close(sender);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_every_size_bit_exact),
		NET_TEST(test_direction),
		NET_TEST(test_vlan),
		NET_TEST(test_filter),
		NET_TEST(test_snap_length),
		NET_TEST(test_datagram_socket),
		NET_TEST(test_all_interfaces),
		NET_TEST(test_promiscuous),
		NET_TEST(test_timestamp_source),
		NET_TEST(test_flow_hash),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
