/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every fact about a packet is compared with what was sent, in each ring version, on raw and datagram sockets, on a
 * veth pair and on the loopback.
 */
#include "fields.h"

#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_CASES 512u

static const struct row rows[] = {
	{TPACKET_VERSION_3, TPACKET_SOCKET_RAW, false},
	{TPACKET_VERSION_3, TPACKET_SOCKET_DGRAM, false},
	{TPACKET_VERSION_3, TPACKET_SOCKET_RAW, true},
	{TPACKET_VERSION_3, TPACKET_SOCKET_DGRAM, true},
	{TPACKET_VERSION_2, TPACKET_SOCKET_RAW, false},
	{TPACKET_VERSION_2, TPACKET_SOCKET_DGRAM, false},
	{TPACKET_VERSION_2, TPACKET_SOCKET_RAW, true},
	{TPACKET_VERSION_2, TPACKET_SOCKET_DGRAM, true},
	{TPACKET_VERSION_1, TPACKET_SOCKET_RAW, false},
	{TPACKET_VERSION_1, TPACKET_SOCKET_DGRAM, false},
	{TPACKET_VERSION_1, TPACKET_SOCKET_RAW, true},
	{TPACKET_VERSION_1, TPACKET_SOCKET_DGRAM, true},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct row_test *const parts[] = {
	basic_tests, vlan_tests, insert_tests, offload_tests, socket_tests, size_tests, full_tests};

static unsigned int row_bits(const struct row *row)
{
	return (ON_V1 << (row->version - TPACKET_VERSION_1)) |
	       (row->socket == TPACKET_SOCKET_DGRAM ? ON_DGRAM : ON_RAW) | (row->is_loopback ? ON_LOOPBACK : ON_VETH);
}

/* The loopback is always there. cmocka hands the set-up's state to the test: nothing of it is changed. */
static int set_up(void **state)
{
	const struct row *row = *state;

	/* In case the test before this one failed. */
	if (if_nametoindex(NET_LISTEN))
		net_run("ip link del " NET_LISTEN);
	return row->is_loopback ? 0 : net_set_up(state);
}

static struct CMUnitTest cases[MAX_CASES];
static char names[MAX_CASES][80];

static size_t add_cases(const struct row *row)
{
	static size_t count;
	unsigned int bits = row_bits(row);

	for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
		for (const struct row_test *test = parts[p]; test->name; test++) {
			if ((test->rows & bits) != bits)
				continue;
			assert_true(count < MAX_CASES);
			snprintf(names[count], sizeof(names[count]), "%s V%d %s %s", test->name, (int)row->version,
				row->socket == TPACKET_SOCKET_DGRAM ? "dgram" : "raw",
				row->is_loopback ? "loopback" : "veth");
			cases[count] = (struct CMUnitTest){
				.name = names[count],
				.test_func = test->function,
				.setup_func = set_up,
				.teardown_func = net_tear_down,
				.initial_state = (void *)(uintptr_t)row,
			};
			count++;
		}
	}
	return count;
}

/* On one CPU frames are seen in the order in which they were sent, whatever else runs on the machine. */
static void stay_on_one_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)sched_getcpu(), &cpus);
	assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

int main(int argc, char **argv)
{
	size_t count = 0;

	stay_on_one_cpu();
	net_enter();
	net_run("ip link set " LOOPBACK " up");
	for (size_t i = 0; i < ROWS; i++)
		count = add_cases(&rows[i]);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]); /* test_lengths*V2* for one */
	return _cmocka_run_group_tests("fields", cases, count, NULL, NULL);
}
