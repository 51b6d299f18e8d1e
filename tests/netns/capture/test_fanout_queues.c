/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fanout by the queue that a packet came in by, on a veth pair of two queues. A veth hands a frame over in the queue of
 * the number of the one that it was sent through, and XPS says which that is: here for the one CPU that sends all, now
 * the one queue and now the other. All frames are of one flow, so that nothing but the queue tells them apart.
 */
#include "net.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMBERS 2
#define QUEUES 2
#define ROUNDS 2
#define STRETCH 200u /* frames that are sent through a queue before it is the other's turn */
#define FRAME_BYTES 64u

static int set_up(void **state)
{
	net_run("ip link add " NET_LISTEN " address 02:00:00:00:00:01 numtxqueues 2 numrxqueues 2 type veth "
		"peer name " NET_SEND " address 02:00:00:00:00:02 numtxqueues 2 numrxqueues 2");
	net_run("ip link set " NET_LISTEN " up && ip link set " NET_SEND " up");
	net_wait_running(NET_LISTEN);
	net_wait_running(NET_SEND);
	return 0;
}

/* Stay on one CPU. Returns its number. */
static int stay(void)
{
	cpu_set_t one;
	int cpu = sched_getcpu();

	assert_true(cpu >= 0);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	return cpu;
}

/* /sys shows the interfaces of the network namespace in which it was mounted, so it is mounted once more. */
static bool set_cpus(int queue, const char *mask)
{
	char command[512];

	snprintf(command, sizeof(command),
		"unshare --mount sh -c 'mount -t sysfs none /sys && "
		"echo %s >/sys/class/net/" NET_SEND "/queues/tx-%d/xps_cpus'",
		mask, queue);
	return system(command) == 0;
}

static bool send_through(int queue, int cpu)
{
	char mask[256];
	int length = snprintf(mask, sizeof(mask), "%x", 1u << cpu % 32);

	for (; cpu >= 32; cpu -= 32)
		length += snprintf(mask + length, sizeof(mask) - (size_t)length, ",00000000");
	return set_cpus(1 - queue, "0") && set_cpus(queue, mask);
}

/* How many frames of each stretch a member has. */
struct tally {
	uint32_t frames[QUEUES * ROUNDS];
};

static void note(const struct tpacket_packet *packet, void *argument)
{
	struct tally *tally = argument;
	uint32_t stretch = net_number(packet->data + NET_NUMBER_AT) / STRETCH;

	assert_int_equal(packet->captured_length, FRAME_BYTES);
	assert_true(stretch < QUEUES * ROUNDS);
	tally->frames[stretch]++;
}

static void open_members(enum tpacket_version version, struct tpacket **handles)
{
	struct tpacket_options options;

	net_options(&options);
	options.version = version;
	options.frame_bytes = 256;
	options.fanout = TPACKET_FANOUT_QUEUE_MAPPING;
	options.fanout_id = 1235;
	assert_int_equal(tpacket_open_group(&options, MEMBERS, handles, NULL), 0);
	for (int i = 0; i < MEMBERS; i++)
		assert_int_equal(tpacket_start(handles[i]), 0);
}

/* Each queue has a member of its own, which gets everything from that queue and nothing from the other. */
static void test_queues(void **state)
{
	int cpu = stay();

	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++) {
		struct tpacket *handles[MEMBERS];
		struct tally tallies[MEMBERS] = {{{0}}};
		int sender = net_sender(NET_SEND);
		open_members(version, handles);
		for (uint32_t stretch = 0; stretch < QUEUES * ROUNDS; stretch++) {
			if (!send_through(stretch % QUEUES, cpu))
				net_skip("a kernel without XPS, or /sys cannot be mounted");
			net_send_numbers(sender, FRAME_BYTES, stretch * STRETCH, STRETCH);
		}
		for (int i = 0; i < MEMBERS; i++)
			net_drain(handles[i], 10 * NET_RETIRE_MS, note, &tallies[i]);
		for (uint32_t stretch = 0; stretch < QUEUES * ROUNDS; stretch++)
			for (uint32_t i = 0; i < MEMBERS; i++)
				assert_int_equal(tallies[i].frames[stretch], i == stretch % QUEUES ? STRETCH : 0);
		for (int i = 0; i < MEMBERS; i++)
			tpacket_close(handles[i]);
		close(sender);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_queues, set_up, net_tear_down),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
