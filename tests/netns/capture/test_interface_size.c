/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes for interfaces of several MTUs and offloads, here and in another namespace: the ring opens as it was sized, and
 * a frame of the interface's full length is not cut.
 */
#include "net.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE 4096u

static void size_ok(struct tpacket_options *options, uint64_t memory_bytes)
{
	struct tpacket_error error = {""};

	int r = tpacket_options_size(options, memory_bytes, &error);
	if (r < 0)
		print_error("tpacket_options_size: %s\n", error.message);
	assert_int_equal(r, 0);
}

/* As many bytes as a frame takes in V2, where each has its own slot. */
static uint32_t slot_bytes(const char *interface)
{
	struct tpacket_options options;

	tpacket_options_init(&options);
	options.interface = interface;
	options.version = TPACKET_VERSION_2;
	options.snap_length = UINT32_MAX;
	size_ok(&options, 64u << 20);
	return options.frame_bytes;
}

/* On or off: what makes frames longer than the MTU. */
static void set_offloads(const char *interface, uint32_t on)
{
	static const uint32_t commands[] = {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct ethtool_value value = {.cmd = commands[i], .data = on};
		struct ifreq request = {.ifr_data = (char *)&value};
		strcpy(request.ifr_name, interface);
		assert_int_equal(ioctl(fd, SIOCETHTOOL, &request), 0);
	}
	close(fd);
}

static void test_mtu_and_offloads(void **state)
{
	net_run("ip link set lo up mtu 1500");
	set_offloads("lo", 0);
	assert_in_range(slot_bytes("lo"), 1500 + 14 + 8, 1700);
	net_run("ip link set lo mtu 9000");
	assert_in_range(slot_bytes("lo"), 9000 + 14 + 8, 9500);
	set_offloads("lo", 1);
	assert_in_range(slot_bytes("lo"), 65536 + 14 + 8, 70000);
	net_run("ip link set lo mtu 1500");
	assert_in_range(slot_bytes("lo"), 65536 + 14 + 8, 70000);
	/* BIG TCP. */
	net_run("ip link set lo gso_max_size 200000");
	assert_in_range(slot_bytes("lo"), 200000 + 14 + 8, 220000);
	net_run("ip link set lo gso_max_size 65536 gro_max_size 300000");
	assert_in_range(slot_bytes("lo"), 300000 + 14 + 8, 350000);
	net_run("ip link set lo gro_max_size 65536");
	/* All interfaces: the longest of all. */
	set_offloads("lo", 0);
	assert_in_range(slot_bytes(""), 65536 + 14 + 8, 70000); /* the veth pair's */
	net_run("ip link set " NET_LISTEN " mtu 1500");
	assert_in_range(slot_bytes(NET_LISTEN), 65536 + 14 + 8, 70000); /* the other end decides */
	set_offloads("lo", 1);
	net_run("ip link set lo mtu 65536");
}

/* Every way of making the header longer, and a frame that is as long as can be. */
static void send_longest(const struct tpacket_options *options, uint32_t frame_bytes)
{
	static struct net_copy copy;
	static uint8_t frame[NET_MAX_FRAME];
	struct tpacket_geometry geometry;
	int sender = net_sender(NET_SEND);
	struct tpacket *handle = net_open(options);

	tpacket_geometry(handle, &geometry);
	assert_int_equal(geometry.block_count, options->block_count);
	assert_int_equal(geometry.block_bytes, options->block_bytes);
	net_frame(frame, frame_bytes, 1);
	net_send(sender, frame, frame_bytes);
	net_take(handle, &copy);
	uint32_t link_bytes = options->socket_type == TPACKET_SOCKET_DGRAM ? 14 : 0;
	assert_int_equal(copy.packet.original_length, frame_bytes - link_bytes);
	assert_int_equal(copy.packet.captured_length, frame_bytes - link_bytes);
	assert_false(copy.packet.status & TPACKET_STATUS_TRUNCATED);
	tpacket_close(handle);
	close(sender);
}

static void test_longest_frame_fits(void **state)
{
	const uint32_t mtu = 65535 - 14;

	net_run("ip link set " NET_LISTEN " mtu %u && ip link set " NET_SEND " mtu %u", mtu, mtu);
	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++) {
		for (int how = 0; how < 4; how++) {
			struct tpacket_options options;
			net_options(&options);
			options.version = version;
			options.vnet_header = how == 1;
			options.vlan = how == 2 && version > 1 ? TPACKET_VLAN_INSERT : TPACKET_VLAN_METADATA;
			options.socket_type = how == 3 ? TPACKET_SOCKET_DGRAM : TPACKET_SOCKET_RAW;
			size_ok(&options, 4u << 20);
			assert_true(options.block_count >= 4);
			send_longest(&options, mtu + 14);
		}
	}
}

/* With a snap length one knows exactly how much is kept: it fits in the smallest ring that is offered. */
static void test_snap_length_fits(void **state)
{
	static const uint32_t snap_lengths[] = {1, 15, 16, 60, 100, 1000, 1900, 3900, 4000, 4096};
	static uint8_t frame[9014];
	static struct net_copy copy;

	net_run("ip link set " NET_LISTEN " mtu 9000 && ip link set " NET_SEND " mtu 9000");
	int sender = net_sender(NET_SEND);
	net_frame(frame, sizeof(frame), 1);
	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++) {
		for (size_t i = 0; i < sizeof(snap_lengths) / sizeof(snap_lengths[0]); i++) {
			struct tpacket_options options;
			net_options(&options);
			options.version = version;
			options.snap_length = snap_lengths[i];
			if (tpacket_options_size(&options, 4 * PAGE, NULL) < 0)
				size_ok(&options, 8 * PAGE);
			struct tpacket *handle = net_open(&options);
			net_send(sender, frame, sizeof(frame));
			net_take(handle, &copy);
			assert_int_equal(copy.packet.captured_length, snap_lengths[i]);
			assert_int_equal(copy.packet.original_length, sizeof(frame));
			assert_false(copy.packet.status & TPACKET_STATUS_TRUNCATED);
			tpacket_close(handle);
		}
	}
	close(sender);
}

static void test_defrag_is_longer(void **state)
{
	struct tpacket_options options;

	net_run("ip link set lo up mtu 1500");
	set_offloads("lo", 0);
	tpacket_options_init(&options);
	options.interface = "lo";
	options.version = TPACKET_VERSION_2;
	options.fanout = TPACKET_FANOUT_HASH;
	size_ok(&options, 64u << 20);
	assert_in_range(options.frame_bytes, 1522, 1700);
	options.fanout_flags = TPACKET_FANOUT_DEFRAG;
	size_ok(&options, 64u << 20);
	assert_in_range(options.frame_bytes, 65535 + 18, 70000);
	set_offloads("lo", 1);
	net_run("ip link set lo mtu 65536");
}

/* The interface of the other namespace, not the one of the same name here. */
static void test_another_namespace(void **state)
{
	struct tpacket_options options;
	char path[64];
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(here >= 0);
	net_run("ip link set lo up mtu 9000");
	set_offloads("lo", 0);
	int before = net_count_descriptors();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", here);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	net_run("ip link set lo mtu 1500");
	set_offloads("lo", 0);
	assert_in_range(slot_bytes("lo"), 1522, 1700);
	tpacket_options_init(&options);
	options.interface = "lo";
	options.version = TPACKET_VERSION_2;
	options.netns = path;
	size_ok(&options, 64u << 20);
	assert_in_range(options.frame_bytes, 9022, 9500);
	options.interface = NET_LISTEN;
	size_ok(&options, 64u << 20);
	options.netns = NULL;
	assert_int_equal(tpacket_options_size(&options, 64u << 20, NULL), -ENODEV);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);
	assert_int_equal(net_count_descriptors(), before);
	close(here);
	set_offloads("lo", 1);
	net_run("ip link set lo mtu 65536");
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_mtu_and_offloads),
		NET_TEST(test_longest_frame_fits),
		NET_TEST(test_snap_length_fits),
		NET_TEST(test_defrag_is_longer),
		NET_TEST(test_another_namespace),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
