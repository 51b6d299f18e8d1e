/* SPDX-License-Identifier: Apache-2.0 */
/* What each fanout mode, program and flag does with the packets of a group of two. */
#include "net.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FRAMES 600u
#define MEMBERS 2
/* A program of the group sees what comes in from the network header on, and this is the number's last byte. */
#define LOW_BYTE_AT (NET_UDP_NUMBER_AT - 14 + 3)

static struct group {
	struct tpacket *handles[MEMBERS];
	uint8_t seen[MEMBERS][FRAMES];
	uint32_t counts[MEMBERS];
	int sender;
} group;

static void open_group(const struct tpacket_options *options)
{
	memset(&group, 0, sizeof(group));
	group.sender = net_sender(NET_SEND);
	for (int i = 0; i < MEMBERS; i++) {
		struct tpacket_error error = {""};
		int r = tpacket_open(options, &group.handles[i], &error);
		if (r < 0)
			print_error("%s\n", error.message);
		assert_int_equal(r, 0);
	}
	for (int i = 0; i < MEMBERS; i++)
		assert_int_equal(tpacket_start(group.handles[i]), 0);
}

static void close_group(void)
{
	for (int i = 0; i < MEMBERS; i++)
		tpacket_close(group.handles[i]);
	close(group.sender);
}

static void group_options(struct tpacket_options *options, enum tpacket_version version, enum tpacket_fanout type)
{
	net_options(options);
	options->version = version;
	options->frame_bytes = 256;
	options->fanout = type;
	options->fanout_id = 1234;
}

static void send_frames(uint32_t count)
{
	uint8_t frame[NET_UDP_BYTES];

	for (uint32_t i = 0; i < count; i++) {
		net_udp_frame(frame, i);
		net_send(group.sender, frame, sizeof(frame));
	}
}

static void note(const struct tpacket_packet *packet, void *argument)
{
	uint8_t *seen = argument;
	uint32_t number = net_number(packet->data + NET_UDP_NUMBER_AT);

	assert_true(number < FRAMES);
	seen[number]++;
}

/* Each frame came once, to either of them. */
static void read_group(uint32_t count)
{
	memset(group.seen, 0, sizeof(group.seen));
	for (int i = 0; i < MEMBERS; i++)
		group.counts[i] = net_drain(group.handles[i], 10 * NET_RETIRE_MS, note, group.seen[i]);
	for (uint32_t n = 0; n < count; n++)
		assert_int_equal(group.seen[0][n] + group.seen[1][n], 1);
	assert_int_equal(group.counts[0] + group.counts[1], count);
}

static void distribute(enum tpacket_version version, enum tpacket_fanout type)
{
	struct tpacket_options options;

	group_options(&options, version, type);
	open_group(&options);
	send_frames(FRAMES);
	read_group(FRAMES);
}

#define EACH_VERSION(version)                                                                                          \
	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++)

static void test_hash(void **state)
{
	EACH_VERSION(version)
	{
		distribute(version, TPACKET_FANOUT_HASH);
		assert_true(group.counts[0] > 0 && group.counts[1] > 0);
		for (uint32_t n = 64; n < FRAMES; n++) /* 64 flows */
			assert_int_equal(group.seen[0][n], group.seen[0][n - 64]);
		close_group();
	}
}

static void test_load_balance(void **state)
{
	EACH_VERSION(version)
	{
		distribute(version, TPACKET_FANOUT_LOAD_BALANCE);
		for (uint32_t n = 2; n < FRAMES; n++)
			assert_int_equal(group.seen[0][n], group.seen[0][n - 2]);
		assert_int_equal(group.counts[0], FRAMES / 2);
		close_group();
	}
}

static void test_random(void **state)
{
	distribute(TPACKET_VERSION_3, TPACKET_FANOUT_RANDOM);
	assert_in_range(group.counts[0], FRAMES / 4, FRAMES / 4 * 3);
	close_group();
}

/* veth has one queue here. */
static void test_queue_mapping(void **state)
{
	distribute(TPACKET_VERSION_3, TPACKET_FANOUT_QUEUE_MAPPING);
	assert_int_equal(group.counts[0], FRAMES);
	close_group();
}

/* veth hands a frame over on the CPU that sends it. */
static void test_cpu(void **state)
{
	cpu_set_t before, one;

	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &before))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
		distribute(TPACKET_VERSION_3, TPACKET_FANOUT_CPU);
		assert_int_equal(group.counts[cpu % MEMBERS], FRAMES);
		close_group();
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

/* By the frame's number: even to the first, odd to the second. */
static void assert_by_number(void)
{
	for (uint32_t n = 0; n < FRAMES; n++)
		assert_int_equal(group.seen[n % 2][n], 1);
}

static void test_classic_program(void **state)
{
	struct sock_filter by_number[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, LOW_BYTE_AT), BPF_STMT(BPF_RET | BPF_A, 0)};
	const struct sock_filter second[] = {BPF_STMT(BPF_RET | BPF_K, 1)};
	const struct sock_filter bad[] = {BPF_STMT(BPF_LD | BPF_IMM, 1)};

	EACH_VERSION(version)
	{
		struct tpacket_options options;
		group_options(&options, version, TPACKET_FANOUT_CBPF);
		options.fanout_program = by_number;
		options.fanout_program_length = COUNT(by_number);
		open_group(&options);
		send_frames(FRAMES);
		read_group(FRAMES);
		assert_by_number();
		/* One member changes it for all. */
		assert_int_equal(tpacket_set_fanout_program(group.handles[0], second, 1, -1), 0);
		send_frames(FRAMES);
		read_group(FRAMES);
		assert_int_equal(group.counts[1], FRAMES);
		/* A bad one changes nothing. */
		assert_int_equal(tpacket_set_fanout_program(group.handles[0], bad, 1, -1), -EINVAL);
		assert_int_equal(tpacket_set_fanout_program(group.handles[0], NULL, 0, -1), -EINVAL);
		assert_int_equal(tpacket_set_fanout_program(group.handles[0], NULL, 0, group.sender), -EINVAL);
		assert_int_equal(tpacket_set_fanout_program(group.handles[0], second, 0, -1), -EINVAL);
		assert_int_equal(tpacket_set_fanout_program(group.handles[0], second, 4097, -1), -EINVAL);
		send_frames(FRAMES);
		read_group(FRAMES);
		assert_int_equal(group.counts[1], FRAMES);
		assert_int_equal(tpacket_lock_filter(group.handles[1]), 0);
		assert_int_equal(tpacket_set_fanout_program(group.handles[1], by_number, 2, -1), -EPERM);
		close_group();
	}
}

static int load_program(const struct bpf_insn *code, uint32_t count)
{
	union bpf_attr attributes = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)code,
		.insn_cnt = count,
		.license = (uintptr_t) "",
	};

	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
}

static void test_ebpf_program(void **state)
{
	const struct bpf_insn by_number[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1},
		{.code = BPF_LD | BPF_ABS | BPF_B, .imm = LOW_BYTE_AT},
		{.code = BPF_JMP | BPF_EXIT},
	};
	const struct bpf_insn second[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	struct tpacket_options options;
	int before = net_count_descriptors();
	int program = load_program(by_number, COUNT(by_number));

	if (program < 0 && errno == ENOSYS)
		net_skip("a kernel without eBPF (CONFIG_BPF_SYSCALL)");
	assert_true(program >= 0);
	group_options(&options, TPACKET_VERSION_3, TPACKET_FANOUT_EBPF);
	options.fanout_program_fd = program;
	open_group(&options);
	assert_int_equal(close(program), 0);
	send_frames(FRAMES);
	read_group(FRAMES);
	assert_by_number();
	program = load_program(second, COUNT(second));
	assert_int_equal(tpacket_set_fanout_program(group.handles[1], NULL, 0, program), 0);
	assert_int_equal(close(program), 0);
	send_frames(FRAMES);
	read_group(FRAMES);
	assert_int_equal(group.counts[1], FRAMES);
	assert_int_equal(tpacket_set_fanout_program(group.handles[1], NULL, 0, group.sender), -EINVAL);
	assert_int_equal(tpacket_set_fanout_program(group.handles[1], NULL, 0, 9999), -EBADF);
	close_group();
	assert_int_equal(net_count_descriptors(), before);
}

static void test_no_program_to_set(void **state)
{
	const struct sock_filter second[] = {BPF_STMT(BPF_RET | BPF_K, 1)};
	struct tpacket_options options;

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_set_fanout_program(handle, second, 1, -1), -EINVAL);
	tpacket_close(handle);
	group_options(&options, TPACKET_VERSION_3, TPACKET_FANOUT_HASH);
	handle = net_open(&options);
	assert_int_equal(tpacket_set_fanout_program(handle, second, 1, -1), -EINVAL);
	tpacket_close(handle);
}

/* 64 frames fit into each ring, and 3 of 4 are filled before the kernel looks for another member. */
static void small_rings(struct tpacket_options *options, enum tpacket_fanout type, unsigned int flags)
{
	group_options(options, TPACKET_VERSION_2, type);
	options->block_bytes = 4096;
	options->block_count = 4;
	options->fanout_flags = flags;
}

/*
 * The kernel counts on the first member for the whole group, and what it keeps itself as well: in `rollover` if a
 * member with room was found, in `rollover_failed` if not.
 */
static void assert_rolled(uint64_t found, uint64_t failed)
{
	struct tpacket_counters first, second;

	assert_int_equal(tpacket_stats(group.handles[0], &first), 0);
	assert_int_equal(tpacket_stats(group.handles[1], &second), 0);
	assert_int_equal(first.rollover, found);
	assert_int_equal(first.rollover_failed, failed);
	assert_int_equal(first.rollover_huge + second.rollover + second.rollover_failed + second.rollover_huge, 0);
}

static void test_rollover(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters first, second;

	small_rings(&options, TPACKET_FANOUT_ROLLOVER, 0);
	open_group(&options);
	send_frames(90);
	read_group(90);
	assert_in_range(group.counts[0], 40, 64);
	assert_rolled(90, 0);
	/* And when nobody has room: dropped, and counted as that. */
	send_frames(200);
	assert_int_equal(tpacket_stats(group.handles[0], &first), 0);
	assert_int_equal(tpacket_stats(group.handles[1], &second), 0);
	assert_int_equal(first.seen + second.seen, 290);
	assert_int_equal(
		first.dropped, 200 - 64 - 48); /* the first is asked in the end, the second is left at 3 of 4 */
	assert_int_equal(second.dropped, 0);
	/* What filled the last quarter of the first failed, too, but was not dropped. */
	assert_rolled(90 + 2 * 48, 200 - 2 * 48);
	close_group();
}

/* What no filter lets through is counted, too: the member is chosen before its filter is asked. */
static void test_rollover_is_before_the_filter(void **state)
{
	const struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct tpacket_options options;
	struct tpacket_counters first;

	small_rings(&options, TPACKET_FANOUT_ROLLOVER, 0);
	options.filter = nothing;
	options.filter_length = COUNT(nothing);
	open_group(&options);
	send_frames(90);
	assert_rolled(90, 0);
	assert_int_equal(tpacket_stats(group.handles[0], &first), 0);
	assert_int_equal(first.seen, 0);
	close_group();
}

/* One flow, whose member gets full. That member counts what it gave away, and the other nothing. */
static void test_roll_flag(void **state)
{
	struct tpacket_counters counters[MEMBERS];
	struct tpacket_options options;
	uint8_t frame[NET_UDP_BYTES];

	for (int with_flag = 0; with_flag < 2; with_flag++) {
		small_rings(&options, TPACKET_FANOUT_HASH, with_flag ? TPACKET_FANOUT_ROLL : 0);
		open_group(&options);
		for (uint32_t i = 0; i < 80; i++) {
			net_udp_frame(frame, 64 * (i % 4));
			net_send(group.sender, frame, sizeof(frame));
		}
		uint32_t counts[MEMBERS];
		for (int i = 0; i < MEMBERS; i++) {
			counts[i] = net_drain(group.handles[i], 10 * NET_RETIRE_MS, NULL, NULL);
			assert_int_equal(tpacket_stats(group.handles[i], &counters[i]), 0);
			assert_int_equal(counters[i].rollover_failed, 0);
			assert_in_range(counters[i].rollover_huge, 0, counters[i].rollover);
		}
		uint64_t dropped = counters[0].dropped + counters[1].dropped;
		assert_int_equal(counts[0] + counts[1] + dropped, 80);
		assert_int_equal(dropped, with_flag ? 0 : 16);
		assert_int_equal(counts[0] && counts[1], with_flag);
		int full = counts[1] > counts[0];
		assert_int_equal(counters[!full].rollover, 0);
		assert_int_equal(counters[full].rollover, with_flag ? counts[!full] : 0);
		if (with_flag)
			assert_in_range(counters[full].rollover, 16, 40);
		close_group();
	}
}

/* A datagram in two fragments. */
static void send_fragments(void)
{
	uint8_t frame[NET_UDP_BYTES];

	for (int last = 0; last < 2; last++) {
		net_udp_frame(frame, 1);
		uint32_t sum = 0;
		frame[17] = 20 + 24;           /* total length */
		frame[19] = 77;                /* identification */
		frame[20] = last ? 0 : 0x20;   /* more fragments */
		frame[21] = last ? 24 / 8 : 0; /* offset */
		frame[24] = frame[25] = 0;
		for (int i = 14; i < 34; i += 2)
			sum += (uint32_t)frame[i] << 8 | frame[i + 1];
		sum = (sum & 0xffff) + (sum >> 16);
		sum = ~((sum & 0xffff) + (sum >> 16));
		frame[24] = (uint8_t)(sum >> 8);
		frame[25] = (uint8_t)sum;
		net_send(group.sender, frame, 14 + 20 + 24);
	}
}

static void note_length(const struct tpacket_packet *packet, void *argument)
{
	*(uint32_t *)argument += packet->original_length;
}

static void test_defrag(void **state)
{
	for (int with_flag = 0; with_flag < 2; with_flag++) {
		struct tpacket_options options;
		uint32_t count = 0, length = 0;
		group_options(&options, TPACKET_VERSION_3, TPACKET_FANOUT_HASH);
		options.fanout_flags = with_flag ? TPACKET_FANOUT_DEFRAG : 0;
		open_group(&options);
		send_fragments();
		for (int i = 0; i < MEMBERS; i++)
			count += net_drain(group.handles[i], 10 * NET_RETIRE_MS, note_length, &length);
		assert_int_equal(count, with_flag ? 1 : 2);
		assert_int_equal(length, with_flag ? 14 + 20 + 48 : 2 * (14 + 20 + 24));
		close_group();
	}
}

/* The group's flag; and the handle's option, which the kernel does not look at for members of a group. */
static void test_ignore_outgoing(void **state)
{
	for (int how = 0; how < 3; how++) {
		struct tpacket_options options;
		uint32_t count = 0;
		uint8_t frame[NET_UDP_BYTES];
		group_options(&options, TPACKET_VERSION_3, TPACKET_FANOUT_HASH);
		options.fanout_flags = how == 1 ? TPACKET_FANOUT_IGNORE_OUTGOING : 0;
		options.ignore_outgoing = how == 2;
		open_group(&options);
		int out = net_sender(NET_LISTEN);
		net_udp_frame(frame, 5);
		net_send(out, frame, sizeof(frame));
		net_send(group.sender, frame, sizeof(frame));
		for (int i = 0; i < MEMBERS; i++)
			count += net_drain(group.handles[i], 10 * NET_RETIRE_MS, NULL, NULL);
		assert_int_equal(count, how == 0 ? 2 : 1);
		close(out);
		close_group();
	}
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_hash),
		NET_TEST(test_load_balance),
		NET_TEST(test_random),
		NET_TEST(test_queue_mapping),
		NET_TEST(test_cpu),
		NET_TEST(test_classic_program),
		NET_TEST(test_ebpf_program),
		NET_TEST(test_no_program_to_set),
		NET_TEST(test_rollover),
		NET_TEST(test_rollover_is_before_the_filter),
		NET_TEST(test_roll_flag),
		NET_TEST(test_defrag),
		NET_TEST(test_ignore_outgoing),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
