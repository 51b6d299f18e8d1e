/* SPDX-License-Identifier: Apache-2.0 */
/* A fanout group whose interface goes away and comes back: all members or none, and no packet twice. */
#include "gone.h"

#include <linux/filter.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define MEMBERS 4
#define FRAMES 2000u

struct member {
	struct tpacket *handle;
	pthread_t thread;
	int result;        /* what ended the reader */
	unsigned int gone; /* atomic */
	unsigned int back; /* atomic */
	uint32_t packets;  /* atomic */
	uint8_t seen[FRAMES];
};

static struct member members[MEMBERS];

static void add(unsigned int *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELEASE);
}

static unsigned int get(const unsigned int *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static void note(struct member *member, const struct tpacket_packet *packet)
{
	uint32_t number = net_number(packet->data + NET_UDP_NUMBER_AT);

	if (number < FRAMES)
		member->seen[number]++;
	add(&member->packets);
}

static bool goes_on(struct member *member, int r)
{
	if (r == -ENODEV)
		add(&member->gone);
	else if (r == -ENETRESET)
		add(&member->back);
	return r >= 0 || r == -ENODEV || r == -ENETRESET || r == -ENETDOWN;
}

static void *read_member(void *argument)
{
	struct member *member = argument;
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	int r;

	do {
		r = tpacket_acquire(member->handle, -1, &lease);
		while (r == 1 && tpacket_lease_next(&lease, &packet))
			note(member, &packet);
		tpacket_release(&lease);
	} while (goes_on(member, r));
	member->result = r;
	tpacket_close(member->handle);
	return NULL;
}

static void run(struct member *member)
{
	tpacket_get(member->handle);
	assert_int_equal(pthread_create(&member->thread, NULL, read_member, member), 0);
}

static void open_members(const struct tpacket_options *options)
{
	struct tpacket_error error = {""};
	struct tpacket *handles[MEMBERS];

	memset(members, 0, sizeof(members));
	int r = tpacket_open_group(options, MEMBERS, handles, &error);
	if (r < 0)
		print_error("%s\n", error.message);
	assert_int_equal(r, 0);
	for (int i = 0; i < MEMBERS; i++) {
		members[i].handle = handles[i];
		assert_int_equal(tpacket_start(handles[i]), 0);
	}
}

static void end(struct member *member)
{
	tpacket_close(member->handle);
	pthread_join(member->thread, NULL);
	assert_int_equal(member->result, -ESHUTDOWN);
}

/* Until so many members have counted so much. */
static void wait_for(size_t offset, int count, unsigned int want)
{
	double begin = net_now_ms();
	int reached = 0;

	while (reached < count) {
		reached = 0;
		for (int i = 0; i < MEMBERS; i++)
			reached += get((unsigned int *)((char *)&members[i] + offset)) == want;
		assert_true(net_now_ms() - begin < 8000);
		usleep(5000);
	}
}
#define wait_gone(count, want) wait_for(offsetof(struct member, gone), count, want)
#define wait_back(count, want) wait_for(offsetof(struct member, back), count, want)

static uint32_t sum_packets(void)
{
	uint32_t sum = 0;

	for (int i = 0; i < MEMBERS; i++)
		sum += get(&members[i].packets);
	return sum;
}

static void send_all(void)
{
	uint8_t frame[NET_UDP_BYTES];
	int sender = net_sender(NET_SEND);
	uint32_t want = sum_packets() + FRAMES;
	double begin = net_now_ms();

	for (uint32_t i = 0; i < FRAMES; i++) {
		net_udp_frame(frame, i);
		net_send(sender, frame, sizeof(frame));
	}
	close(sender);
	while (sum_packets() < want && net_now_ms() - begin < 3000)
		usleep(10000);
	assert_int_equal(sum_packets(), want);
}

static void group_options(struct tpacket_options *options)
{
	gone_options(options);
	options->block_count = 16;
	options->fanout = TPACKET_FANOUT_HASH;
	options->fanout_id = 4242;
}

static void assert_each_seen(uint8_t times)
{
	for (uint32_t i = 0; i < FRAMES; i++) {
		int seen = 0;
		for (int k = 0; k < MEMBERS; k++)
			seen += members[k].seen[i];
		assert_int_equal(seen, times);
	}
}

static void come_and_go(const struct tpacket_options *options)
{
	uint64_t seen = 0, dropped = 0;
	int before = net_count_descriptors();

	open_members(options);
	int open_descriptors = net_count_descriptors();
	for (int i = 0; i < MEMBERS; i++)
		run(&members[i]);
	send_all();
	for (unsigned int round = 1; round <= 3; round++) {
		gone_delete();
		wait_gone(MEMBERS, round);
		gone_recreate();
		wait_back(MEMBERS, round);
		assert_int_equal(net_count_descriptors(), open_descriptors);
		send_all();
	}
	assert_each_seen(4);
	for (int i = 0; i < MEMBERS; i++) {
		struct tpacket_counters counters;
		uint16_t id;
		assert_int_equal(tpacket_stats(members[i].handle, &counters), 0);
		assert_int_equal(counters.reopens, 3);
		assert_int_equal(counters.seen, counters.read + counters.dropped);
		assert_true(counters.gap_ns > 0);
		seen += counters.seen;
		dropped += counters.dropped;
		assert_int_equal(tpacket_fanout_group(members[i].handle, &id, NULL, NULL), 0);
		assert_int_equal(id, tpacket_fanout_id(members[0].handle));
		/* Each has its share. */
		assert_true(get(&members[i].packets) > 0);
	}
	assert_int_equal(seen, 4 * FRAMES);
	assert_int_equal(dropped, 0);
	for (int i = 0; i < MEMBERS; i++)
		end(&members[i]);
	assert_int_equal(net_count_descriptors(), before);
}

static void test_group(void **state)
{
	struct tpacket_options options;

	group_options(&options);
	come_and_go(&options);
}

static void test_group_with_unique_id(void **state)
{
	struct tpacket_options options;

	group_options(&options);
	options.fanout_id = 0;
	options.fanout_flags = TPACKET_FANOUT_UNIQUE_ID;
	come_and_go(&options);
}

/* Everything goes to one member. */
static void assert_all_go_to(int chosen)
{
	uint32_t before[MEMBERS];

	for (int i = 0; i < MEMBERS; i++)
		before[i] = get(&members[i].packets);
	send_all();
	for (int i = 0; i < MEMBERS; i++)
		assert_int_equal(get(&members[i].packets) - before[i], i == chosen ? FRAMES : 0);
}

/*
 * The group comes back with the program that it had last, whichever of its members was asked to set it; and the same
 * once more, after another change that another member was asked for.
 */
static void test_program_that_was_replaced(void **state)
{
	for (int asked = 0; asked < MEMBERS; asked++) {
		const struct sock_filter first[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
		struct tpacket_options options;
		group_options(&options);
		options.fanout = TPACKET_FANOUT_CBPF;
		options.fanout_program = first;
		options.fanout_program_length = 1;
		open_members(&options);
		for (int i = 0; i < MEMBERS; i++)
			run(&members[i]);
		assert_all_go_to(0);
		for (unsigned int round = 1; round <= 2; round++) {
			const uint32_t chosen = round + 1;
			const struct sock_filter program[] = {BPF_STMT(BPF_RET | BPF_K, chosen)};
			struct tpacket *handle = members[(asked + (int)round) % MEMBERS].handle;
			assert_int_equal(tpacket_set_fanout_program(handle, program, 1, -1), 0);
			assert_all_go_to((int)chosen);
			gone_delete();
			wait_gone(MEMBERS, round);
			gone_recreate();
			wait_back(MEMBERS, round);
			assert_all_go_to((int)chosen);
		}
		for (int i = 0; i < MEMBERS; i++)
			end(&members[i]);
	}
}

static bool is_over; /* atomic */

/* Through one member after the other. Returns how often that worked; 0: it failed as it may not. */
static void *change_always(void *argument)
{
	uintptr_t changes = 0;

	for (uint32_t i = 0; !__atomic_load_n(&is_over, __ATOMIC_RELAXED); i++) {
		const struct sock_filter program[] = {BPF_STMT(BPF_RET | BPF_K, i % 7 % MEMBERS)};
		int r = tpacket_set_fanout_program(members[i % MEMBERS].handle, program, 1, -1);
		/* There is no group to set it in while the interface is gone. */
		if (r != 0 && r != -EINVAL)
			return NULL;
		changes += r == 0;
	}
	return (void *)changes;
}

/* While the group goes and comes back: it comes back with one of them, and goes on to take new ones. */
static void test_program_changes_all_the_time(void **state)
{
	const struct sock_filter first[] = {BPF_STMT(BPF_RET | BPF_K, 0)}, last[] = {BPF_STMT(BPF_RET | BPF_K, 2)};
	struct tpacket_options options;
	pthread_t thread;
	void *changes;

	group_options(&options);
	options.fanout = TPACKET_FANOUT_CBPF;
	options.fanout_program = first;
	options.fanout_program_length = 1;
	open_members(&options);
	for (int i = 0; i < MEMBERS; i++)
		run(&members[i]);
	is_over = false;
	assert_int_equal(pthread_create(&thread, NULL, change_always, NULL), 0);
	for (unsigned int round = 1; round <= 5; round++) {
		gone_delete();
		wait_gone(MEMBERS, round);
		gone_recreate();
		wait_back(MEMBERS, round);
		send_all();
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	pthread_join(thread, &changes);
	assert_true((uintptr_t)changes > 10);
	assert_int_equal(tpacket_set_fanout_program(members[1].handle, last, 1, -1), 0);
	assert_all_go_to(2);
	for (int i = 0; i < MEMBERS; i++)
		end(&members[i]);
}

/* Packets come all the time while the members join again one after the other: each is seen by one of them at most. */
static void test_no_packet_twice(void **state)
{
	struct tpacket_options options;
	uint8_t frame[NET_UDP_BYTES];
	uint32_t number = 0, seen = 0;

	group_options(&options);
	open_members(&options);
	for (int i = 0; i < MEMBERS; i++)
		run(&members[i]);
	gone_delete();
	wait_gone(MEMBERS, 1);
	gone_recreate();
	int sender = net_sender(NET_SEND);
	for (unsigned int back = 0; number < FRAMES && back < MEMBERS; number++) {
		net_udp_frame(frame, number);
		net_send(sender, frame, sizeof(frame));
		usleep(500);
		back = 0;
		for (int i = 0; i < MEMBERS; i++)
			back += get(&members[i].back);
	}
	wait_back(MEMBERS, 1);
	for (uint32_t last = number + 200; number < last && number < FRAMES; number++) {
		net_udp_frame(frame, number);
		net_send(sender, frame, sizeof(frame));
	}
	close(sender);
	usleep(200000);
	for (int i = 0; i < MEMBERS; i++)
		end(&members[i]);
	for (uint32_t i = 0; i < FRAMES; i++) {
		int times = 0;
		for (int k = 0; k < MEMBERS; k++)
			times += members[k].seen[i];
		assert_in_range(times, 0, 1);
		seen += (uint32_t)times;
	}
	assert_true(seen > 0);
}

/* Nobody is back before all have parked. */
static void test_one_does_not_read(void **state)
{
	struct tpacket_options options;

	group_options(&options);
	open_members(&options);
	for (int i = 1; i < MEMBERS; i++)
		run(&members[i]);
	gone_delete();
	wait_gone(MEMBERS - 1, 1);
	gone_recreate();
	usleep(1500000);
	for (int i = 1; i < MEMBERS; i++)
		assert_int_equal(get(&members[i].back), 0);
	gone_wait_gone(members[0].handle);
	gone_wait_back(members[0].handle);
	wait_back(MEMBERS - 1, 1);
	run(&members[0]);
	send_all();
	assert_each_seen(1);
	for (int i = 0; i < MEMBERS; i++)
		end(&members[i]);
}

/* Who is closed is not waited for, whether it had parked or not. */
static void closed_member(bool parks_first)
{
	struct tpacket_options options;

	group_options(&options);
	open_members(&options);
	for (int i = 1; i < MEMBERS; i++)
		run(&members[i]);
	gone_delete();
	wait_gone(MEMBERS - 1, 1);
	if (parks_first)
		gone_wait_gone(members[0].handle);
	tpacket_close(members[0].handle);
	gone_recreate();
	wait_back(MEMBERS - 1, 1);
	send_all();
	assert_each_seen(1);
	for (int i = 1; i < MEMBERS; i++)
		end(&members[i]);
}

static void test_member_is_closed(void **state)
{
	closed_member(false);
	closed_member(true);
}

/* All or none: something is in the way of the whole group. Each reader learns it once, and all come back later. */
static void test_all_or_none(void **state)
{
	struct tpacket_options options, in_the_way;
	struct tpacket_counters counters;
	struct tpacket_lease lease;
	struct tpacket *other;
	struct tpacket *handles[2];

	group_options(&options);
	assert_int_equal(tpacket_open_group(&options, 2, handles, NULL), 0);
	gone_delete();
	gone_wait_gone(handles[0]);
	gone_wait_gone(handles[1]);
	int before = net_count_descriptors();
	group_options(&in_the_way);
	in_the_way.interface = "lo";
	in_the_way.fanout = TPACKET_FANOUT_CPU;
	in_the_way.reopen = false;
	assert_int_equal(tpacket_open(&in_the_way, &other, NULL), 0);
	gone_recreate();
	assert_int_equal(tpacket_acquire(handles[0], 3000, &lease), -EINVAL);
	assert_int_equal(tpacket_acquire(handles[1], 0, &lease), -EINVAL);
	assert_int_equal(tpacket_acquire(handles[0], 1000, &lease), 0);
	assert_int_equal(tpacket_acquire(handles[1], 1000, &lease), 0);
	assert_int_equal(tpacket_stats(handles[0], &counters), 0);
	assert_int_equal(counters.reopens, 0);
	tpacket_close(other);
	assert_int_equal(net_count_descriptors(), before);
	gone_wait_back(handles[1]);
	gone_wait_back(handles[0]);
	tpacket_close(handles[0]);
	tpacket_close(handles[1]);
}

static void assert_refused(const struct tpacket_options *options, unsigned int count, int want, const char *message)
{
	struct tpacket_error error = {""};
	struct tpacket *handles[300];
	int before = net_count_descriptors();

	assert_int_equal(tpacket_open_group(options, count, handles, &error), want);
	assert_string_equal(error.message, message);
	assert_int_equal(net_count_descriptors(), before);
}

static void test_refused(void **state)
{
	struct tpacket_options options;
	struct tpacket *other;

	group_options(&options);
	assert_refused(&options, 0, -EINVAL, "count: 0: a group has between 1 and 256 members");
	assert_refused(&options, 257, -EINVAL, "count: 257: a group has between 1 and 256 members");
	options.fanout = TPACKET_FANOUT_NONE;
	assert_refused(&options, 2, -EINVAL, "fanout: -1 (none): a group needs to know how packets are distributed");
	/* The kernel's own limit comes when most are open already. */
	group_options(&options);
	options.block_bytes = 4096;
	options.block_count = 1;
	assert_int_equal(tpacket_open(&options, &other, NULL), 0);
	struct tpacket_error error = {""};
	struct tpacket *handles[256];
	int before = net_count_descriptors();
	assert_int_equal(tpacket_open_group(&options, 256, handles, &error), -ENOSPC);
	assert_int_equal(net_count_descriptors(), before);
	tpacket_close(other);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_group),
		NET_TEST(test_group_with_unique_id),
		NET_TEST(test_program_that_was_replaced),
		NET_TEST(test_program_changes_all_the_time),
		NET_TEST(test_no_packet_twice),
		NET_TEST(test_one_does_not_read),
		NET_TEST(test_member_is_closed),
		NET_TEST(test_all_or_none),
		NET_TEST(test_refused),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
