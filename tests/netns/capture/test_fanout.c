/* SPDX-License-Identifier: Apache-2.0 */
/* A fanout group: every packet reaches exactly one member, and a flow always the same one. */
#include "net.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define FRAMES 20000u
#define MEMBERS 2
#define FLOWS 64

struct member {
	struct tpacket *handle;
	pthread_t thread;
	int result;
	uint8_t seen[FRAMES]; /* how often */
	uint32_t count;
	uint32_t last[FLOWS]; /* number of the flow's last packet */
	bool is_out_of_order;
};

static struct member members[MEMBERS];

static void note(struct member *member, const struct tpacket_packet *packet)
{
	uint32_t number = net_number(packet->data + NET_UDP_NUMBER_AT);

	if (number >= FRAMES)
		return;
	if (member->count && member->last[number % FLOWS] > number)
		member->is_out_of_order = true;
	member->last[number % FLOWS] = number;
	member->seen[number]++;
	member->count++;
}

static void *read_member(void *argument)
{
	struct member *member = argument;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	while ((member->result = tpacket_acquire(member->handle, -1, &lease)) == 1) {
		while (tpacket_lease_next(&lease, &packet))
			note(member, &packet);
		tpacket_release(&lease);
	}
	return NULL;
}

static void assert_each_frame_once(void)
{
	for (uint32_t i = 0; i < FRAMES; i++)
		assert_int_equal(members[0].seen[i] + members[1].seen[i], 1);
	/* A flow stays with its member. */
	for (uint32_t i = FLOWS; i < FRAMES; i++)
		assert_int_equal(members[0].seen[i], members[0].seen[i - FLOWS]);
}

static void send_udp(int sender, uint32_t count)
{
	uint8_t frame[NET_UDP_BYTES];

	for (uint32_t i = 0; i < count; i++) {
		net_udp_frame(frame, i);
		net_send(sender, frame, sizeof(frame));
	}
}

static void test_two_members(void **state)
{
	struct tpacket_options options;
	uint64_t seen = 0;
	int sender = net_sender(NET_SEND);

	memset(members, 0, sizeof(members));
	net_options(&options);
	options.block_count = 32;
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_id = 4711;
	for (int i = 0; i < MEMBERS; i++) {
		assert_int_equal(tpacket_open(&options, &members[i].handle, NULL), 0);
		assert_int_equal(tpacket_fanout_id(members[i].handle), 4711);
		send_udp(sender, 100); /* before the start, while the group is being formed */
	}
	for (int i = 0; i < MEMBERS; i++) {
		assert_int_equal(tpacket_start(members[i].handle), 0);
		assert_int_equal(pthread_create(&members[i].thread, NULL, read_member, &members[i]), 0);
	}
	send_udp(sender, FRAMES);
	usleep(100000);
	for (int i = 0; i < MEMBERS; i++) {
		struct tpacket_counters counters;
		tpacket_wake(members[i].handle);
		pthread_join(members[i].thread, NULL);
		assert_int_equal(members[i].result, 0);
		net_finish(members[i].handle, &counters);
		assert_int_equal(counters.dropped, 0);
		assert_int_equal(counters.read, members[i].count);
		assert_true(members[i].count > 0);
		assert_false(members[i].is_out_of_order);
		seen += counters.seen;
	}
	assert_int_equal(seen, FRAMES);
	assert_each_frame_once();
	for (int i = 0; i < MEMBERS; i++)
		tpacket_close(members[i].handle);
	close(sender);
}

static void test_unique_id(void **state)
{
	struct tpacket_options options;
	struct tpacket *first, *second, *third;

	net_options(&options);
	first = net_open(&options);
	assert_int_equal(tpacket_fanout_id(first), -ENOENT);
	tpacket_close(first);
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_flags = TPACKET_FANOUT_UNIQUE_ID;
	first = net_open(&options);
	second = net_open(&options);
	int id = tpacket_fanout_id(first);
	assert_true(id >= 0);
	assert_int_not_equal(tpacket_fanout_id(second), id);
	options.fanout_flags = 0;
	options.fanout_id = (uint16_t)id;
	third = net_open(&options);
	assert_int_equal(tpacket_fanout_id(third), id);
	tpacket_close(first);
	tpacket_close(second);
	tpacket_close(third);
}

static void test_mismatch_is_refused(void **state)
{
	struct tpacket_options options;
	struct tpacket_error error = {""};
	struct tpacket *handle = NULL;

	net_options(&options);
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_id = 7;
	struct tpacket *first = net_open(&options);
	int before = net_count_descriptors();
	options.fanout = TPACKET_FANOUT_CPU;
	assert_int_equal(tpacket_open(&options, &handle, &error), -EINVAL);
	assert_string_equal(error.message, "fanout: type 2, flags 0x0, id 7: all members need the same type, flags and "
					   "protocol: Invalid argument");
	assert_null(handle);
	assert_int_equal(net_count_descriptors(), before);
	tpacket_close(first);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_two_members),
		NET_TEST(test_unique_id),
		NET_TEST(test_mismatch_is_refused),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
