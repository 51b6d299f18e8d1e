/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only the kernel can know, refused by a real one: the code and the whole message. And the rules for which the
 * steps of opening are in the order in which they are: broken on a handle's own socket, the kernel refuses them.
 */
#include "net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MANY_BLOCKS (1u << 20) /* more than the kernel has pointers for */

/* A limit on the address space says nothing where the sanitizers have terabytes of it. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SHADOW_MEMORY 1
#else
#define HAS_SHADOW_MEMORY 0
#endif

static void assert_refused(const struct tpacket_options *options, int want, const char *message)
{
	struct tpacket_error error = {""};
	struct tpacket *handle = NULL;
	int before = net_count_descriptors();

	assert_int_equal(tpacket_open(options, &handle, &error), want);
	assert_string_equal(error.message, message);
	assert_null(handle);
	assert_int_equal(net_count_descriptors(), before);
}

static void test_programs(void **state)
{
	const struct sock_filter no_return[] = {BPF_STMT(BPF_LD | BPF_IMM, 1), BPF_STMT(BPF_ST, 0)};
	struct tpacket_options options;
	int no_program = net_sender(NET_SEND);

	net_options(&options);
	options.filter = no_return;
	options.filter_length = COUNT(no_return);
	assert_refused(
		&options, -EINVAL, "filter: the kernel refuses this program of 2 instructions: Invalid argument");
	net_options(&options);
	options.filter_fd = no_program;
	assert_refused(&options, -EINVAL, "filter_fd: the kernel refuses this program: Invalid argument");
	net_options(&options);
	options.fanout = TPACKET_FANOUT_CBPF;
	options.fanout_program = no_return;
	options.fanout_program_length = COUNT(no_return);
	assert_refused(&options, -EINVAL,
		"fanout_program: the kernel refuses this program of 2 instructions: Invalid argument");
	net_options(&options);
	options.fanout = TPACKET_FANOUT_EBPF;
	options.fanout_program_fd = no_program;
	assert_refused(&options, -EINVAL, "fanout_program_fd: the kernel refuses this program: Invalid argument");
	close(no_program);
}

/* Older kernels have one value for all namespaces, which is not here. */
static bool set_option_memory(unsigned int bytes)
{
	char text[16];
	int fd = open("/proc/sys/net/core/optmem_max", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	int length = snprintf(text, sizeof(text), "%u", bytes);
	assert_int_equal(write(fd, text, (size_t)length), length);
	close(fd);
	return true;
}

/* A filter takes of the memory that a socket may have for its options. */
static void test_no_memory_for_a_filter(void **state)
{
	static struct sock_filter program[BPF_MAXINSNS];
	struct tpacket_options options;
	int sender = net_sender(NET_SEND);

	if (!set_option_memory(8192))
		net_skip("a kernel with one net.core.optmem_max for all namespaces");
	for (size_t i = 0; i < COUNT(program); i++)
		program[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 20);
	net_options(&options);
	options.filter = program;
	options.filter_length = BPF_MAXINSNS;
	assert_refused(&options, -ENOMEM,
		"filter: the kernel refuses this program of 4096 instructions: Cannot allocate memory");
	/* The one that is there stays. */
	options.filter_length = 1;
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_set_filter(handle, program, BPF_MAXINSNS), -ENOMEM);
	net_send_numbers(sender, 100, 0, 1);
	static struct net_copy copy;
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, 20);
	tpacket_close(handle);
	set_option_memory(131072);
	close(sender);
}

static void test_tags_need_ethernet(void **state)
{
	struct tpacket_options options;

	net_run("ip link set lo up");
	net_options(&options);
	options.interface = "lo";
	options.vlan = TPACKET_VLAN_INSERT;
	assert_refused(&options, -EINVAL,
		"vlan: insert: interface 'lo' is of hardware type 772, but tags are put into Ethernet (1) only");
}

static void test_no_memory_for_a_ring(void **state)
{
	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++) {
		struct tpacket_options options;
		net_options(&options);
		options.version = version;
		options.block_bytes = 4096;
		options.block_count = MANY_BLOCKS;
		options.shrink = false;
		assert_refused(&options, -ENOMEM, "ring: 1048576 blocks of 4096 bytes: Cannot allocate memory");
	}
}

#if !HAS_SHADOW_MEMORY
static uint64_t address_space_bytes(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return 0;
	int r = fscanf(file, "%llu", &pages);
	fclose(file);
	return r == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* In a process of its own, whose address space has room for 8 blocks, not for 9. 0: as it should be. */
static int open_in_little_room(void)
{
	struct tpacket_options options;
	struct tpacket_geometry geometry;
	struct tpacket_error error = {""};
	struct tpacket *handle;
	struct rlimit room = {.rlim_max = RLIM_INFINITY};

	net_options(&options);
	options.block_bytes = 1u << 20;
	options.block_count = 16;
	room.rlim_cur = address_space_bytes() + 8u * options.block_bytes + options.block_bytes / 2;
	if (setrlimit(RLIMIT_AS, &room) < 0)
		return 1;
	options.shrink = false;
	if (tpacket_open(&options, &handle, &error) != -ENOMEM)
		return 2;
	if (strcmp(error.message, "ring: 16 blocks of 1048576 bytes: Cannot allocate memory") != 0)
		return 3;
	options.shrink = true;
	if (tpacket_open(&options, &handle, &error) < 0 || tpacket_start(handle) < 0)
		return 4;
	tpacket_geometry(handle, &geometry);
	if (geometry.block_bytes != options.block_bytes || geometry.block_count != 7) /* 16, 12, 9, 7 */
		return 5;
	int sender = net_sender(NET_SEND);
	net_send_numbers(sender, 1000, 0, 100);
	uint32_t count = net_drain(handle, 50, NULL, NULL);
	close(sender);
	tpacket_close(handle);
	return count == 100 ? 0 : 6;
}

static void test_ring_shrinks(void **state)
{
	int status;

	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(open_in_little_room());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}
#endif

static void assert_kernel_refuses(struct tpacket *handle, int option, int value, int want)
{
	int r = setsockopt(tpacket_fd(handle), SOL_PACKET, option, &value, sizeof(value));

	assert_int_equal(r, -1);
	assert_int_equal(errno, want);
}

/* What has to be said before the ring exists, and was: version, room for a tag, vnet header. */
static void test_after_the_ring(void **state)
{
	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++) {
		struct tpacket_options options;
		net_options(&options);
		options.version = version;
		struct tpacket *handle = net_open(&options);
		assert_kernel_refuses(handle, PACKET_VERSION, TPACKET_V2, EBUSY);
		assert_kernel_refuses(handle, PACKET_RESERVE, 4, EBUSY);
		assert_kernel_refuses(handle, PACKET_VNET_HDR, 1, EBUSY);
		assert_kernel_refuses(handle, PACKET_LOSS, 1, EBUSY);
		tpacket_close(handle);
	}
}

/* Joined after it was bound, as it could not be bound any more; and with a protocol. */
static void test_after_the_join(void **state)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)net_index(NET_SEND)};
	struct tpacket_options options;
	uint32_t argument = 77;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	net_options(&options);
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_id = 77;
	struct tpacket *handle = net_open(&options);
	assert_int_equal(bind(tpacket_fd(handle), (struct sockaddr *)&address, sizeof(address)), -1);
	assert_int_equal(errno, EINVAL);
	assert_kernel_refuses(handle, PACKET_FANOUT, 77, EALREADY);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &argument, sizeof(argument)), -1);
	assert_int_equal(errno, EINVAL);
	close(fd);
	tpacket_close(handle);
}

/* A group that somebody else has made differently. */
static void test_group_of_another_kind(void **state)
{
	static const char rule[] = "all members need the same type, flags, protocol and interface: Invalid argument";
	struct tpacket_options options;
	char message[256];

	net_options(&options);
	options.fanout = TPACKET_FANOUT_CPU;
	options.fanout_flags = TPACKET_FANOUT_DEFRAG;
	options.fanout_id = 78;
	struct tpacket *first = net_open(&options);
	/* The option of the handle is a flag of the group. */
	options.ignore_outgoing = true;
	snprintf(message, sizeof(message), "fanout: type 2, flags 0x5, id 78: %s", rule);
	assert_refused(&options, -EINVAL, message);
	options.ignore_outgoing = false;
	options.interface = "";
	snprintf(message, sizeof(message), "fanout: type 2, flags 0x1, id 78: %s", rule);
	assert_refused(&options, -EINVAL, message);
	/* Joining later there is no message, but nothing passes either. */
	options.interface = NET_LISTEN;
	options.fanout_flags = 0;
	options.fanout_join_running = true;
	struct tpacket *late;
	assert_int_equal(tpacket_open(&options, &late, NULL), 0);
	assert_int_equal(tpacket_start(late), -EINVAL);
	assert_int_equal(tpacket_fanout_id(late), -ENOENT);
	int sender = net_sender(NET_SEND);
	net_send_numbers(sender, 100, 0, 10);
	net_assert_nothing(late);
	assert_int_equal(net_drain(first, 50, NULL, NULL), 10);
	close(sender);
	tpacket_close(late);
	tpacket_close(first);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_programs),
		NET_TEST(test_no_memory_for_a_filter),
		NET_TEST(test_tags_need_ethernet),
		NET_TEST(test_no_memory_for_a_ring),
#if !HAS_SHADOW_MEMORY
		NET_TEST(test_ring_shrinks),
#endif
		NET_TEST(test_after_the_ring),
		NET_TEST(test_after_the_join),
		NET_TEST(test_group_of_another_kind),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
