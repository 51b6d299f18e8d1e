/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members that join a running fanout group one by one, under load, each with a thread that is reading already: no frame
 * comes twice, and no more are missing than were counted as dropped or as the gap of joining.
 */
#include "net.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define MEMBERS 8
#define MAX_FRAMES (1u << 20)
#define SECONDS 3
#define FRAMES_PER_SECOND 150000u
#define BURST 64u
#define ON_THE_WAY 2048u /* frames at most between sender and ring: net.core.netdev_max_backlog and a burst */

static struct member {
	struct tpacket *handle;
	pthread_t thread;
	bool stop; /* atomic */
	uint32_t count;
	uint32_t strange;            /* packets that are not the sender's */
	uint32_t join_from, join_to; /* frames that can have come while it joined */
} members[MEMBERS];

static uint8_t seen[MAX_FRAMES]; /* atomic: how often each frame came, to anyone */
static uint32_t sent;            /* atomic */
static bool stop_send;           /* atomic */

static void *send_frames(void *argument)
{
	uint8_t frame[NET_UDP_BYTES];
	int sender = net_sender(NET_SEND);
	double start_ms = net_now_ms();

	while (!__atomic_load_n(&stop_send, __ATOMIC_RELAXED) && sent + BURST <= MAX_FRAMES) {
		for (uint32_t i = 0; i < BURST; i++) {
			net_udp_frame(frame, sent);
			net_send(sender, frame, sizeof(frame));
			__atomic_store_n(&sent, sent + 1, __ATOMIC_RELAXED);
		}
		double ahead_ms = sent * 1e3 / FRAMES_PER_SECOND - (net_now_ms() - start_ms);
		if (ahead_ms > 0)
			usleep((useconds_t)(ahead_ms * 1e3));
	}
	close(sender);
	return NULL;
}

static void *read_member(void *argument)
{
	struct member *member = argument;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	while (!__atomic_load_n(&member->stop, __ATOMIC_RELAXED)) {
		if (tpacket_acquire(member->handle, 20, &lease) != 1)
			continue;
		while (tpacket_lease_next(&lease, &packet)) {
			uint32_t number = MAX_FRAMES;
			if (packet.captured_length == NET_UDP_BYTES)
				number = net_number(packet.data + NET_UDP_NUMBER_AT);
			if (number < MAX_FRAMES)
				__atomic_fetch_add(&seen[number], 1, __ATOMIC_RELAXED);
			else
				member->strange++;
			member->count++;
		}
		tpacket_release(&lease);
	}
	return NULL;
}

static void join_member(struct member *member, const struct tpacket_options *options)
{
	struct tpacket_error error = {""};

	if (tpacket_open(options, &member->handle, &error) < 0)
		print_error("%s\n", error.message);
	assert_non_null(member->handle);
	assert_int_equal(tpacket_fanout_id(member->handle), -ENOENT); /* takes no share yet */
	assert_int_equal(tpacket_fanout_group(member->handle, NULL, NULL, NULL), -ENOENT);
	assert_int_equal(pthread_create(&member->thread, NULL, read_member, member), 0);
	uint32_t from = __atomic_load_n(&sent, __ATOMIC_RELAXED);
	assert_int_equal(tpacket_start(member->handle), 0);
	member->join_from = from > ON_THE_WAY ? from - ON_THE_WAY : 0;
	member->join_to = __atomic_load_n(&sent, __ATOMIC_RELAXED) + ON_THE_WAY;
	assert_int_equal(tpacket_fanout_id(member->handle), options->fanout_id);
}

/* Until as much was sent after a member joined as while it did, however slow the sender and the joining are. */
static void wait_for_sender(const struct member *joined)
{
	uint32_t enough = joined->join_to + ON_THE_WAY + (joined->join_to - joined->join_from);
	double start_ms = net_now_ms();

	if (enough > MAX_FRAMES - BURST)
		enough = MAX_FRAMES - BURST;
	while (__atomic_load_n(&sent, __ATOMIC_RELAXED) < enough && net_now_ms() - start_ms < 20000)
		usleep(1000);
}

static void end_member(struct member *member, struct tpacket_counters *sum)
{
	struct tpacket_counters counters;

	__atomic_store_n(&member->stop, true, __ATOMIC_RELAXED);
	pthread_join(member->thread, NULL);
	net_finish(member->handle, &counters);
	assert_int_equal(counters.read, member->count);
	assert_int_equal(member->strange, 0);
	assert_true(member->count > 0);
	sum->read += counters.read;
	sum->dropped += counters.dropped;
	sum->join_gap += counters.join_gap;
	sum->refiltered += counters.refiltered;
	tpacket_close(member->handle);
}

/* Was a member joining when this frame came? */
static bool came_with_a_join(uint32_t number)
{
	for (int i = 0; i < MEMBERS; i++)
		if (number >= members[i].join_from && number < members[i].join_to)
			return true;
	return false;
}

static void join_under_load(enum tpacket_version version, enum tpacket_fanout type)
{
	struct tpacket_counters sum = {0};
	struct tpacket_options options;
	pthread_t sender;

	memset(members, 0, sizeof(members));
	memset(seen, 0, sizeof(seen));
	sent = 0;
	stop_send = false;
	net_options(&options);
	options.version = version;
	options.frame_bytes = 256;
	options.block_count = 64;
	options.fanout = type;
	options.fanout_id = 815;
	options.fanout_join_running = true;
	join_member(&members[0], &options);
	double start_ms = net_now_ms();
	assert_int_equal(pthread_create(&sender, NULL, send_frames, NULL), 0);
	for (int i = 1; i < MEMBERS; i++) {
		usleep(SECONDS * 1000000 / MEMBERS);
		wait_for_sender(&members[i - 1]);
		join_member(&members[i], &options);
	}
	usleep(SECONDS * 1000000 / MEMBERS);
	__atomic_store_n(&stop_send, true, __ATOMIC_RELAXED);
	pthread_join(sender, NULL);
	double took_ms = net_now_ms() - start_ms;
	usleep(20 * NET_RETIRE_MS * 1000);
	for (int i = 0; i < MEMBERS; i++)
		end_member(&members[i], &sum);

	uint32_t missing = 0, missing_in_between = 0, in_between = 0, twice = 0;
	for (uint32_t i = 0; i < sent; i++) {
		bool is_in_between = !came_with_a_join(i);
		missing += seen[i] == 0;
		missing_in_between += is_in_between && seen[i] == 0;
		in_between += is_in_between;
		twice += seen[i] > 1;
	}
	print_message("V%d, fanout %d: %u frames, %.0f a second, %u while nobody joined; missing %u, of those %u while "
		      "nobody joined; dropped %llu, join_gap %llu\n",
		(int)version, (int)type, sent, sent / took_ms * 1e3, in_between, missing, missing_in_between,
		(unsigned long long)sum.dropped, (unsigned long long)sum.join_gap);
	assert_int_equal(twice, 0);
	assert_int_equal(sum.read, sent - missing);
	assert_int_equal(sum.refiltered, 0);
	assert_true(missing <= sum.dropped + sum.join_gap);
	/* The gap explains only what was missed while joining. */
	assert_true(missing_in_between <= sum.dropped);
	assert_true(in_between > sent / 3);
	assert_true(sum.join_gap > 0); /* else nothing was shown */
}

static void test_by_hash(void **state)
{
	join_under_load(TPACKET_VERSION_3, TPACKET_FANOUT_HASH);
	join_under_load(TPACKET_VERSION_2, TPACKET_FANOUT_HASH);
	join_under_load(TPACKET_VERSION_1, TPACKET_FANOUT_HASH);
}

static void test_by_load_balance(void **state)
{
	join_under_load(TPACKET_VERSION_3, TPACKET_FANOUT_LOAD_BALANCE);
}

/* The other way, where the members are known before: opened first, then started, there is no gap. */
static void test_open_first_has_no_gap(void **state)
{
	struct tpacket_counters sum = {0};
	struct tpacket_options options;
	pthread_t sender;

	memset(members, 0, sizeof(members));
	memset(seen, 0, sizeof(seen));
	sent = 0;
	stop_send = false;
	net_options(&options);
	options.block_count = 64;
	options.fanout = TPACKET_FANOUT_LOAD_BALANCE;
	options.fanout_id = 816;
	for (int i = 0; i < MEMBERS; i++)
		assert_int_equal(tpacket_open(&options, &members[i].handle, NULL), 0);
	for (int i = 0; i < MEMBERS; i++) {
		assert_int_equal(pthread_create(&members[i].thread, NULL, read_member, &members[i]), 0);
		assert_int_equal(tpacket_start(members[i].handle), 0);
	}
	assert_int_equal(pthread_create(&sender, NULL, send_frames, NULL), 0);
	usleep(500000);
	__atomic_store_n(&stop_send, true, __ATOMIC_RELAXED);
	pthread_join(sender, NULL);
	usleep(20 * NET_RETIRE_MS * 1000);
	for (int i = 0; i < MEMBERS; i++)
		end_member(&members[i], &sum);
	assert_int_equal(sum.join_gap, 0);
	assert_int_equal(sum.read + sum.dropped, sent);
	for (uint32_t i = 0; i < sent; i++)
		assert_true(seen[i] <= 1);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_by_hash),
		NET_TEST(test_by_load_balance),
		NET_TEST(test_open_first_has_no_gap),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
