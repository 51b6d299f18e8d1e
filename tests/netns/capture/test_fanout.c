/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fanout group: every packet reaches exactly one member, and a flow always the same one. What each mode and flag does
 * is in test_fanout_modes.c, joining a running group in test_join.c.
 */
#include "net.h"

#include <linux/if_packet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
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

static void assert_group(
	const struct tpacket *handle, uint16_t want_id, enum tpacket_fanout want_type, unsigned int want_flags)
{
	enum tpacket_fanout type;
	unsigned int flags;
	uint16_t id;

	assert_int_equal(tpacket_fanout_group(handle, &id, &type, &flags), 0);
	assert_int_equal(id, want_id);
	assert_int_equal(type, want_type);
	assert_int_equal(flags, want_flags);
	assert_int_equal(tpacket_fanout_group(handle, NULL, NULL, NULL), 0);
}

static void test_reading_the_group_back(void **state)
{
	static const unsigned int flags[] = {0, TPACKET_FANOUT_DEFRAG, TPACKET_FANOUT_ROLL,
		TPACKET_FANOUT_IGNORE_OUTGOING,
		TPACKET_FANOUT_DEFRAG | TPACKET_FANOUT_ROLL | TPACKET_FANOUT_IGNORE_OUTGOING};
	struct tpacket_options options;

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_fanout_group(handle, NULL, NULL, NULL), -ENOENT);
	tpacket_close(handle);
	for (int type = TPACKET_FANOUT_HASH; type <= TPACKET_FANOUT_QUEUE_MAPPING; type++) {
		for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
			bool is_roll = type == TPACKET_FANOUT_ROLLOVER && (flags[i] & TPACKET_FANOUT_ROLL);
			options.fanout = (enum tpacket_fanout)type;
			options.fanout_flags = is_roll ? 0 : flags[i];
			options.fanout_id = (uint16_t)(i ? 65535 : 0); /* id 0, by hash, without flags reads as 0 */
			handle = net_open(&options);
			assert_group(handle, options.fanout_id, options.fanout, options.fanout_flags);
			tpacket_close(handle);
		}
	}
}

static void assert_refused(const struct tpacket_options *options, const char *message)
{
	struct tpacket_error error = {""};
	struct tpacket *handle = NULL;
	int before = net_count_descriptors();

	assert_int_equal(tpacket_open(options, &handle, &error), -EINVAL);
	assert_string_equal(error.message, message);
	assert_null(handle);
	assert_int_equal(net_count_descriptors(), before);
}

static void test_mismatch_is_refused(void **state)
{
	struct tpacket_options options, other;

	net_options(&options);
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_id = 7;
	struct tpacket *first = net_open(&options);
	other = options;
	other.fanout = TPACKET_FANOUT_CPU;
	assert_refused(&other, "fanout: type 2, flags 0x0, id 7: all members need the same type, flags, protocol and "
			       "interface: Invalid argument");
	other = options;
	other.fanout_flags = TPACKET_FANOUT_DEFRAG;
	assert_refused(&other, "fanout: type 0, flags 0x1, id 7: all members need the same type, flags, protocol and "
			       "interface: Invalid argument");
	other = options;
	other.protocol = 0x0800;
	assert_refused(&other, "fanout: type 0, flags 0x0, id 7: all members need the same type, flags, protocol and "
			       "interface: Invalid argument");
	other = options;
	other.interface = NET_SEND;
	assert_refused(&other, "fanout: type 0, flags 0x0, id 7: all members need the same type, flags, protocol and "
			       "interface: Invalid argument");
	tpacket_close(first);
}

/* Somebody else made the socket a member. The start fails, and lets nothing pass. */
static void test_member_already(void **state)
{
	struct tpacket_options options;
	struct tpacket *handle;
	uint32_t argument = 99;
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_id = 8;
	options.fanout_join_running = true;
	assert_int_equal(tpacket_open(&options, &handle, NULL), 0);
	assert_int_equal(setsockopt(tpacket_fd(handle), SOL_PACKET, PACKET_FANOUT, &argument, sizeof(argument)), 0);
	assert_int_equal(tpacket_start(handle), -EALREADY);
	send_udp(sender, 10);
	net_assert_nothing(handle);
	tpacket_close(handle);
	close(sender);
}

static void test_full_group(void **state)
{
	struct tpacket *handles[257] = {NULL};
	struct tpacket_options options;
	struct tpacket_error error = {""};
	int r = 0, count = 0;

	net_options(&options);
	options.version = TPACKET_VERSION_2;
	options.block_bytes = 4096;
	options.block_count = 1;
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_id = 9;
	while (count < 257 && (r = tpacket_open(&options, &handles[count], &error)) == 0)
		count++;
	assert_int_equal(count, 256);
	assert_int_equal(r, -ENOSPC);
	assert_string_equal(error.message, "fanout: type 0, flags 0x0, id 9: the group has as many members as it was "
					   "made for, which is 256 if nothing else was said: No space left on device");
	while (count > 0)
		tpacket_close(handles[--count]);
}

/* A member in another process: the number of packets it got comes through the pipe. */
static void run_child(int report, int go)
{
	struct tpacket_options options;
	struct tpacket *handle;
	uint32_t count;
	char byte = 0;

	net_options(&options);
	options.fanout = TPACKET_FANOUT_LOAD_BALANCE;
	options.fanout_id = 4242;
	if (tpacket_open(&options, &handle, NULL) < 0 || tpacket_start(handle) < 0)
		_exit(1);
	if (write(report, &byte, 1) != 1 || read(go, &byte, 1) != 1)
		_exit(2);
	count = net_drain(handle, 100, NULL, NULL);
	tpacket_close(handle);
	_exit(write(report, &count, sizeof(count)) == sizeof(count) ? 0 : 3);
}

static void test_group_of_two_processes(void **state)
{
	struct tpacket_options options;
	struct tpacket *handle;
	int report[2], go[2], status;
	uint32_t childs = 0;
	char byte = 0;
	int sender = net_sender(NET_SEND);

	net_options(&options);
	options.fanout = TPACKET_FANOUT_LOAD_BALANCE;
	options.fanout_id = 4242;
	assert_int_equal(tpacket_open(&options, &handle, NULL), 0);
	assert_int_equal(pipe(report), 0);
	assert_int_equal(pipe(go), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		run_child(report[1], go[0]);
	assert_int_equal(read(report[0], &byte, 1), 1);
	assert_int_equal(tpacket_start(handle), 0);
	send_udp(sender, 1000);
	assert_int_equal(write(go[1], &byte, 1), 1);
	uint32_t ours = net_drain(handle, 100, NULL, NULL);
	assert_int_equal(read(report[0], &childs, sizeof(childs)), sizeof(childs));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(ours, 500);
	assert_int_equal(childs, 500);
	tpacket_close(handle);
	for (int i = 0; i < 2; i++) {
		close(report[i]);
		close(go[i]);
	}
	close(sender);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_two_members),
		NET_TEST(test_unique_id),
		NET_TEST(test_reading_the_group_back),
		NET_TEST(test_mismatch_is_refused),
		NET_TEST(test_member_already),
		NET_TEST(test_full_group),
		NET_TEST(test_group_of_two_processes),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
