/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interface that goes away under hard conditions: what waiting costs in each state, no free descriptor, a namespace
 * whose path vanishes, another kind of interface under the same name, and many times over.
 */
#include "gone.h"

#include <linux/filter.h>
#include <linux/if_arp.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#define CYCLES 20 /* the sanitizer tells what is left behind, however little that is */
#else
#define IS_SANITIZED 0
#define CYCLES 100
#endif

static double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* A caller that takes no notice of errors gets no packet for so long, and pays next to nothing. */
static void assert_idle(struct tpacket *handle, int ms, const char *state)
{
	struct tpacket_lease lease;
	double cpu = cpu_ms(), end = net_now_ms() + ms;
	unsigned int calls = 0;
	int left_ms;

	for (; (left_ms = (int)(end - net_now_ms())) > 0; calls++) {
		assert_int_not_equal(tpacket_acquire(handle, left_ms, &lease), 1);
		assert_null(lease.handle);
	}
	cpu = cpu_ms() - cpu;
	if (calls > 5 || cpu >= 0.05 * ms)
		print_error("%s: %u calls, %.1f of %d ms\n", state, calls, cpu, ms);
	assert_true(calls <= 5);
	assert_true(cpu < 0.05 * ms);
}

#if !IS_SANITIZED
static void test_waiting_costs_nothing(void **state)
{
	struct tpacket_options options;
	struct tpacket_lease lease;

	for (int version = 1; version <= 3; version++) {
		gone_options(&options);
		options.version = (enum tpacket_version)version;
		struct tpacket *handle = net_open(&options);
		assert_idle(handle, 1200, "up");
		net_run("ip link set " NET_LISTEN " down");
		assert_int_equal(tpacket_acquire(handle, 2000, &lease), -ENETDOWN);
		assert_idle(handle, 1200, "down");
		gone_delete();
		gone_wait_gone(handle);
		assert_idle(handle, 1200, "gone");
		gone_recreate();
		assert_true(gone_take_descriptors() > 0);
		assert_idle(handle, 3000, "no descriptors");
		gone_give_descriptors();
		gone_wait_back(handle);
		gone_pass(handle, 0, 5);
		assert_idle(handle, 1200, "back");
		tpacket_close(handle);
	}
}

#endif

/* Told once. What needs no descriptor works meanwhile, and it comes back when there are some. */
static void test_no_descriptors(void **state)
{
	struct sock_filter from_700[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NET_NUMBER_AT),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 700, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 200),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct tpacket_options options;
	struct tpacket_counters counters;
	struct tpacket_lease lease;
	char name[16];

	gone_options(&options);
	struct tpacket *handle = net_open(&options);
	int before = net_count_descriptors();
	gone_delete();
	/* Already when it is found to be gone. */
	assert_true(gone_take_descriptors() > 0);
	gone_wait_gone(handle);
	assert_int_equal(tpacket_stop(handle), 0);
	assert_int_equal(tpacket_start(handle), 0);
	assert_int_equal(tpacket_set_filter(handle, from_700, 4), 0);
	assert_int_equal(tpacket_stats(handle, &counters), 0);
	assert_int_equal(tpacket_interface_name(handle, name), -ENODEV);
	assert_int_equal(tpacket_acquire(handle, 1000, &lease), -EMFILE);
	assert_int_equal(tpacket_acquire(handle, 1000, &lease), 0);
	gone_give_descriptors();
	gone_recreate();
	gone_wait_back(handle);
	assert_int_equal(net_count_descriptors(), before);
	int sender = net_sender(NET_SEND);
	net_send_numbers(sender, 100, 600, 100);
	gone_pass(handle, 700, 20);
	close(sender);
	tpacket_close(handle);
}

static void test_no_descriptors_for_a_group(void **state)
{
	struct tpacket_options options;
	struct tpacket_lease lease;
	struct tpacket *handles[4];

	gone_options(&options);
	options.fanout = TPACKET_FANOUT_LOAD_BALANCE;
	options.fanout_flags = TPACKET_FANOUT_UNIQUE_ID;
	assert_int_equal(tpacket_open_group(&options, 4, handles, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(tpacket_start(handles[i]), 0);
	int before = net_count_descriptors();
	gone_delete();
	for (int i = 0; i < 4; i++)
		gone_wait_gone(handles[i]);
	gone_recreate();
	assert_true(gone_take_descriptors() > 0);
	assert_int_equal(tpacket_acquire(handles[2], 1000, &lease), -EMFILE);
	for (int i = 0; i < 4; i++)
		assert_int_equal(tpacket_acquire(handles[i], 0, &lease), i == 2 ? 0 : -EMFILE);
	for (int i = 0; i < 4; i++)
		assert_int_equal(tpacket_acquire(handles[i], 0, &lease), 0);
	gone_give_descriptors();
	for (int i = 0; i < 4; i++)
		gone_wait_back(handles[i]);
	assert_int_equal(net_count_descriptors(), before);
	for (int i = 0; i < 4; i++)
		tpacket_close(handles[i]);
}

/* Told once; the same path leads there again later. */
static void test_path_of_the_namespace_vanishes(void **state)
{
	struct tpacket_options options;
	struct tpacket_lease lease;
	char path[64], target[64];

	snprintf(path, sizeof(path), "/tmp/test_reopen_%d", (int)getpid());
	snprintf(target, sizeof(target), "/proc/%d/ns/net", (int)getpid());
	assert_int_equal(symlink(target, path), 0);
	gone_options(&options);
	options.netns = path;
	struct tpacket *handle = net_open(&options);
	int before = net_count_descriptors();
	gone_pass(handle, 0, 5);
	gone_delete();
	gone_wait_gone(handle);
	assert_int_equal(unlink(path), 0);
	gone_recreate();
	assert_int_equal(tpacket_acquire(handle, 1000, &lease), -ENOENT);
	assert_idle(handle, 2000, "no path");
	assert_int_equal(symlink(target, path), 0);
	gone_wait_back(handle);
	gone_pass(handle, 5, 5);
	assert_int_equal(net_count_descriptors(), before);
	tpacket_close(handle);
	unlink(path);
}

/* Another kind of interface under the same name, and a larger frame size than before. */
static void test_comes_back_as_another(void **state)
{
	struct tpacket_options options;
	struct tpacket_lease lease;
	uint8_t buffer[4096];

	gone_options(&options);
	options.vlan = TPACKET_VLAN_INSERT;
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_hardware_type(handle), ARPHRD_ETHER);
	gone_delete();
	gone_wait_gone(handle);
	/* Without link header there is no place for a tag. */
	net_run("ip tuntap add dev " NET_LISTEN " mode tun && ip link set " NET_LISTEN " up");
	assert_int_equal(tpacket_acquire(handle, 2000, &lease), -EINVAL);
	assert_int_equal(tpacket_acquire(handle, 1000, &lease), 0);
	net_run("ip tuntap del dev " NET_LISTEN " mode tun");
	gone_recreate();
	net_run("ip link set " NET_LISTEN " mtu 9000 && ip link set " NET_SEND " mtu 9000");
	gone_wait_back(handle);
	assert_int_equal(tpacket_hardware_type(handle), ARPHRD_ETHER);
	int sender = net_sender(NET_SEND);
	struct tpacket_packet packet;
	net_send_numbers(sender, 9000, 7, 1);
	assert_int_equal(tpacket_read_into(handle, 2000, buffer, sizeof(buffer), &packet), 1);
	assert_int_equal(packet.original_length, 9000);
	assert_int_equal(net_number(packet.data + NET_NUMBER_AT), 7);
	close(sender);
	tpacket_close(handle);

	/* Nothing speaks against it without tags. */
	options.vlan = TPACKET_VLAN_METADATA;
	handle = net_open(&options);
	gone_delete();
	gone_wait_gone(handle);
	net_run("ip tuntap add dev " NET_LISTEN " mode tun");
	gone_wait_back(handle);
	assert_int_equal(tpacket_hardware_type(handle), ARPHRD_NONE);
	net_run("ip tuntap del dev " NET_LISTEN " mode tun");
	tpacket_close(handle);
}

/* What this process has; not with a sanitizer, whose own memory is all over the place. */
static size_t count_memory(void)
{
#if IS_SANITIZED
	return 0;
#else
	return mallinfo2().uordblks;
#endif
}

static int count_lines(const char *path)
{
	FILE *file = fopen(path, "re");
	int count = 0, c;

	assert_non_null(file);
	while ((c = getc(file)) != EOF)
		count += c == '\n';
	fclose(file);
	return count;
}

/* Nothing grows: descriptors, memory, mappings, packet sockets in the kernel, memberships. */
static void test_many_times(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	struct tpacket *handles[2];
	double begin = net_now_ms();

	gone_options(&options);
	options.promiscuous = true;
	options.fanout = TPACKET_FANOUT_HASH;
	options.reserve_sockets = 1;
	assert_int_equal(tpacket_open_group(&options, 2, handles, NULL), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(tpacket_start(handles[i]), 0);
	int descriptors = 0, mappings = 0, sockets = 0;
	size_t memory = 0;
	for (int cycle = 0; cycle < CYCLES; cycle++) {
		gone_delete();
		for (int i = 0; i < 2; i++)
			gone_wait_gone(handles[i]);
		gone_recreate();
		for (int i = 0; i < 2; i++)
			gone_wait_back(handles[i]);
		if (cycle == 9) {
			descriptors = net_count_descriptors();
			mappings = count_lines("/proc/self/maps");
			sockets = count_lines("/proc/net/packet");
			memory = count_memory();
		}
	}
	assert_int_equal(net_count_descriptors(), descriptors);
	assert_in_range(count_lines("/proc/self/maps"), 1, mappings + 2);
	assert_int_equal(count_lines("/proc/net/packet"), sockets);
	assert_true(count_memory() <= memory + 1024);
	double all = net_now_ms() - begin;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tpacket_stats(handles[i], &counters), 0);
		assert_int_equal(counters.reopens, CYCLES);
		/* Gaps follow each other, and at least the first try of each is waited for. */
		assert_in_range(counters.gap_ns / 1000000, CYCLES * 100, (uint64_t)all);
		tpacket_close(handles[i]);
	}
	assert_int_equal(count_lines("/proc/net/packet"), 1); /* the heading */
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
#if !IS_SANITIZED /* there it is not the library's time that is measured */
		NET_TEST(test_waiting_costs_nothing),
#endif
		NET_TEST(test_no_descriptors),
		NET_TEST(test_no_descriptors_for_a_group),
		NET_TEST(test_path_of_the_namespace_vanishes),
		NET_TEST(test_comes_back_as_another),
		NET_TEST(test_many_times),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
