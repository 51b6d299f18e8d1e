/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter of a handle that runs: what it means for packets that are in the ring already; kept while stopped; locked;
 * as an eBPF program; and what it keeps of each frame. Swapped under load: test_filter_swap.c.
 */
#include "net.h"
#include "kind.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
static void load_options(struct tpacket_options *options, enum tpacket_version version)
{
	net_options(options);
	options->version = version;
	options->block_count = 128;
	options->frame_bytes = 256;
}

static void cut_filter(struct sock_filter program[1], uint32_t keep)
{
	program[0] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, keep);
}

/* Fill the ring under one filter, change it, then read. */
static void test_what_is_in_the_ring_is_judged_anew(void **state)
{
	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++) {
		struct tpacket_options options;
		struct tpacket_counters counters;
		struct sock_filter program[KIND_INSTRUCTIONS], cut[1];
		int sender = net_sender(NET_SEND);
		load_options(&options, version);
		struct tpacket *handle = net_open(&options);

		net_send_numbers(sender, 100, 0, 2000);
		kind_filter(program, 1);
		assert_int_equal(tpacket_set_filter(handle, program, COUNT(program)), 0);
		assert_int_equal(net_drain(handle, 50, NULL, NULL), 1000);
		assert_int_equal(tpacket_stats(handle, &counters), 0);
		assert_int_equal(counters.refiltered, 1000);
		assert_int_equal(counters.read, 2000);
		assert_int_equal(counters.truncated, 0);

		/* Kept whole, then to be cut; kept short, then too short for what the filter looks at. */
		net_send_numbers(sender, 100, 1, 1);
		cut_filter(cut, 15);
		assert_int_equal(tpacket_set_filter(handle, cut, 1), 0);
		static struct net_copy copy;
		net_take(handle, &copy);
		assert_int_equal(copy.packet.captured_length, 15);
		assert_int_equal(copy.packet.original_length, 100);
		net_send_numbers(sender, 100, 1, 1);
		assert_int_equal(tpacket_set_filter(handle, program, COUNT(program)), 0);
		net_assert_nothing(handle);
		net_finish(handle, &counters);
		assert_int_equal(counters.refiltered, 1001);
		assert_int_equal(counters.seen, 2002);
		tpacket_close(handle);
		close(sender);
	}
}

/* Without a filter the snap length counts, also for what a filter let in before. */
static void test_detached_cuts_what_is_in_the_ring(void **state)
{
	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++) {
		static struct net_copy copy;
		struct tpacket_options options;
		struct sock_filter cut[1];
		int sender = net_sender(NET_SEND);
		load_options(&options, version);
		cut_filter(cut, 90);
		options.filter = cut;
		options.filter_length = 1;
		options.snap_length = 60;
		struct tpacket *handle = net_open(&options);
		net_send_numbers(sender, 100, 1, 1);
		assert_int_equal(tpacket_set_filter(handle, NULL, 0), 0);
		net_take(handle, &copy);
		assert_int_equal(copy.packet.captured_length, 60);
		assert_int_equal(copy.packet.original_length, 100);
		tpacket_close(handle);
		close(sender);
	}
}

/* What cannot be judged in user space. */
static const struct sock_filter random_filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
	BPF_STMT(BPF_RET | BPF_K, KIND_KEEP)};

/* While stopped nothing passes, and the next filter judges what was left. */
static void test_changed_while_stopped(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	struct sock_filter program[KIND_INSTRUCTIONS];
	int sender = net_sender(NET_SEND);

	load_options(&options, TPACKET_VERSION_3);
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_start(handle), 0); /* once more: nothing changes */
	net_send_numbers(sender, 100, 0, 10);
	assert_int_equal(tpacket_stop(handle), 0);
	net_send_numbers(sender, 100, 10, 10);
	kind_filter(program, 0);
	assert_int_equal(tpacket_set_filter(handle, program, COUNT(program)), 0);
	assert_int_equal(tpacket_start(handle), 0);
	net_send_numbers(sender, 100, 20, 10);
	assert_int_equal(net_drain(handle, 50, NULL, NULL), 10);
	/* What user space cannot judge is refused, and nothing is changed; stopped, it is taken. */
	assert_int_equal(tpacket_set_filter(handle, random_filter, COUNT(random_filter)), -EOPNOTSUPP);
	net_send_numbers(sender, 100, 0, 2);
	assert_int_equal(net_drain(handle, 50, NULL, NULL), 1);
	assert_int_equal(tpacket_stop(handle), 0);
	assert_int_equal(tpacket_set_filter(handle, random_filter, COUNT(random_filter)), 0);
	assert_int_equal(tpacket_start(handle), 0);
	net_send_numbers(sender, 100, 0, 2);
	assert_int_equal(net_drain(handle, 50, NULL, NULL), 2);
	net_finish(handle, &counters);
	assert_int_equal(counters.refiltered, 5);
	tpacket_close(handle);
	close(sender);
}

static int load_program(uint32_t keep)
{
	struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = (int32_t)keep},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attributes = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)code,
		.insn_cnt = COUNT(code),
		.license = (uintptr_t) "",
	};

	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
}

static void test_ebpf(void **state)
{
	static struct net_copy copy;
	struct tpacket_options options;
	struct sock_filter cut[1];
	int sender = net_sender(NET_SEND);
	int before = net_count_descriptors();
	int program = load_program(33);

	if (program < 0 && errno == ENOSYS)
		net_skip("a kernel without eBPF (CONFIG_BPF_SYSCALL)");
	assert_true(program >= 0);
	/* At the open ... */
	net_options(&options);
	options.filter_fd = program;
	struct tpacket *handle = net_open(&options);
	assert_int_equal(close(program), 0); /* the handle has its own */
	net_send_numbers(sender, 100, 0, 1);
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, 33);
	/* ... kept over stop and start, swapped for classic BPF and back ... */
	assert_int_equal(tpacket_stop(handle), 0);
	assert_int_equal(tpacket_start(handle), 0);
	net_send_numbers(sender, 100, 0, 1);
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, 33);
	cut_filter(cut, 44);
	assert_int_equal(tpacket_set_filter(handle, cut, 1), 0);
	net_send_numbers(sender, 100, 0, 1);
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, 44);
	program = load_program(55);
	assert_int_equal(tpacket_set_filter_fd(handle, program), 0);
	assert_int_equal(close(program), 0);
	net_send_numbers(sender, 100, 0, 1);
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, 55);
	assert_int_equal(tpacket_stop(handle), 0);
	assert_int_equal(tpacket_start(handle), 0);
	net_send_numbers(sender, 100, 0, 1);
	net_take(handle, &copy);
	assert_int_equal(copy.packet.captured_length, 55);
	/* ... and what is none is refused, running or stopped. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tpacket_set_filter_fd(handle, -1), -EBADF);
		assert_int_equal(tpacket_set_filter_fd(handle, sender), -EINVAL);
		assert_int_equal(tpacket_stop(handle), 0);
	}
	tpacket_close(handle);
	assert_int_equal(net_count_descriptors(), before);
	close(sender);
}

static void test_lock(void **state)
{
	struct tpacket_options options;
	struct tpacket *handle;
	struct sock_filter cut[1];
	int sender = net_sender(NET_SEND);

	cut_filter(cut, 20);
	net_options(&options);
	assert_int_equal(tpacket_open(&options, &handle, NULL), 0);
	assert_int_equal(tpacket_lock_filter(handle), -EINVAL); /* would reject everything for ever */
	assert_int_equal(tpacket_start(handle), 0);
	assert_int_equal(tpacket_lock_filter(handle), 0);
	assert_int_equal(tpacket_lock_filter(handle), 0);
	assert_int_equal(tpacket_set_filter(handle, cut, 1), -EPERM);
	assert_int_equal(tpacket_set_filter(handle, NULL, 0), -EPERM);
	assert_int_equal(tpacket_set_filter(handle, random_filter, COUNT(random_filter)), -EPERM);
	int program = load_program(33);
	assert_int_equal(tpacket_set_filter_fd(handle, program >= 0 ? program : sender), -EPERM);
	assert_int_equal(tpacket_stop(handle), -EPERM);
	assert_int_equal(tpacket_start(handle), 0);
	/* Not behind the library's back either. */
	int nothing = 0;
	assert_int_equal(setsockopt(tpacket_fd(handle), SOL_SOCKET, SO_DETACH_FILTER, &nothing, sizeof(nothing)), -1);
	assert_int_equal(errno, EPERM);
	net_send_numbers(sender, 100, 0, 3);
	assert_int_equal(net_drain(handle, 50, NULL, NULL), 3);
	tpacket_close(handle);
	if (program >= 0)
		close(program);
	options.reopen = true;
	handle = net_open(&options);
	assert_int_equal(tpacket_lock_filter(handle), -EOPNOTSUPP);
	tpacket_close(handle);
	close(sender);
}

static void test_too_long_or_bad(void **state)
{
	static struct sock_filter program[BPF_MAXINSNS + 1];
	const struct sock_filter bad[] = {BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_JMP | BPF_JA, 100)};
	struct tpacket_options options;
	struct tpacket_error error = {""};
	struct tpacket *handle;

	for (uint32_t i = 0; i < COUNT(program); i++)
		cut_filter(&program[i], 50);
	net_options(&options);
	options.filter = program;
	options.filter_length = BPF_MAXINSNS + 1;
	assert_int_equal(tpacket_open(&options, &handle, &error), -EINVAL);
	assert_string_equal(error.message, "filter_length: 4097: a filter has between 1 and 4096 instructions");
	options.filter_length = BPF_MAXINSNS;
	tpacket_close(net_open(&options));
	options.filter = NULL;
	options.filter_length = 0;
	handle = net_open(&options);
	for (int i = 0; i < 2; i++) { /* running and stopped */
		assert_int_equal(tpacket_set_filter(handle, program, BPF_MAXINSNS + 1), -EINVAL);
		assert_int_equal(tpacket_set_filter(handle, program, 0), -EINVAL);
		assert_int_equal(tpacket_set_filter(handle, bad, 2), -EINVAL);
		assert_int_equal(tpacket_set_filter(handle, program, BPF_MAXINSNS), 0);
		assert_int_equal(tpacket_stop(handle), 0);
	}
	tpacket_close(handle);
}

static void test_snap_lengths(void **state)
{
	static const uint32_t lengths[] = {14, 60, 99, 100, 101, 65535};
	static struct net_copy copy;
	int sender = net_sender(NET_SEND);

	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++) {
		for (size_t i = 0; i < COUNT(lengths); i++) {
			struct tpacket_options options;
			load_options(&options, version);
			options.snap_length = lengths[i];
			struct tpacket *handle = net_open(&options);
			for (int j = 0; j < 2; j++) {
				net_send_numbers(sender, 100, 7, 1);
				net_take(handle, &copy);
				assert_int_equal(copy.packet.captured_length, lengths[i] < 100 ? lengths[i] : 100);
				assert_int_equal(copy.packet.original_length, 100);
				assert_false(copy.packet.status & TPACKET_STATUS_TRUNCATED);
				/* Detaching the filter is not keeping more. */
				assert_int_equal(tpacket_set_filter(handle, NULL, 0), 0);
			}
			tpacket_close(handle);
		}
	}
	close(sender);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_what_is_in_the_ring_is_judged_anew),
		NET_TEST(test_detached_cuts_what_is_in_the_ring),
		NET_TEST(test_changed_while_stopped),
		NET_TEST(test_ebpf),
		NET_TEST(test_lock),
		NET_TEST(test_too_long_or_bad),
		NET_TEST(test_snap_lengths),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
