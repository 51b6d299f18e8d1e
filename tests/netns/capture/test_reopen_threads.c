/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface goes away and comes back while other things go on: a lease is held, a run is half read, four threads
 * read a group each in its own way, others control it, and members are closed at any moment.
 */
#include "gone.h"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MEMBERS 4
#define NUMBERS (1u << 20)

/* The bytes stay as they are although socket and interface are gone; the lease is given back as always. */
static void test_held_lease(void **state)
{
	for (int version = 1; version <= 3; version++) {
		struct tpacket_options options;
		struct tpacket_lease lease, second;
		struct tpacket_packet packet;
		uint8_t want[1000];
		int sender = net_sender(NET_SEND);

		gone_options(&options);
		options.version = (enum tpacket_version)version;
		struct tpacket *handle = net_open(&options);
		net_send_numbers(sender, sizeof(want), 0, 5);
		assert_int_equal(tpacket_acquire(handle, 1000, &lease), 1);
		gone_delete();
		usleep(100000);
		assert_int_equal(tpacket_acquire(handle, 1000, &second), -EBUSY);
		gone_recreate();
		usleep(100000);
		uint32_t held = 0;
		for (; tpacket_lease_next(&lease, &packet); held++) {
			net_frame(want, sizeof(want), held);
			assert_memory_equal(packet.data, want, sizeof(want));
		}
		tpacket_release(&lease);
		/* Most often it holds all. */
		assert_in_range(held, 1, 5);
		assert_int_equal(gone_wait_gone(handle), 5 - held);
		gone_wait_back(handle);
		gone_pass(handle, 5, 5);
		tpacket_close(handle);
		close(sender);
	}
}

static int read_one(struct tpacket *handle, int way, int timeout_ms, struct tpacket_packet *ret_packet, void **memory)
{
	static _Thread_local uint8_t buffer[2048];

	*memory = NULL;
	if (way == 0)
		return tpacket_read(handle, timeout_ms, ret_packet);
	if (way == 1)
		return tpacket_read_copy(handle, timeout_ms, ret_packet, memory);
	return tpacket_read_into(handle, timeout_ms, buffer, sizeof(buffer), ret_packet);
}

/* What is left of the run comes before the news. */
static void test_half_read_run(void **state)
{
	for (int i = 0; i < 9; i++) {
		struct tpacket_options options;
		struct tpacket_packet packet;
		uint8_t want[500];
		void *memory;
		int r, sender = net_sender(NET_SEND);

		gone_options(&options);
		options.version = (enum tpacket_version)(1 + i % 3);
		struct tpacket *handle = net_open(&options);
		net_send_numbers(sender, sizeof(want), 0, 20);
		for (uint32_t number = 0; number < 20; number++) {
			if (number == 7)
				gone_delete();
			if (number == 13)
				gone_recreate();
			net_frame(want, sizeof(want), number);
			assert_int_equal(read_one(handle, i / 3, 1000, &packet, &memory), 1);
			assert_memory_equal(packet.data, want, sizeof(want));
			free(memory);
		}
		while ((r = read_one(handle, i / 3, 2000, &packet, &memory)) != -ENODEV)
			assert_true(r == 0 || r == -ENETDOWN);
		assert_int_equal(read_one(handle, i / 3, 2000, &packet, &memory), -ENETRESET);
		gone_pass(handle, 20, 5);
		tpacket_close(handle);
		close(sender);
	}
}

struct member {
	struct tpacket *handle;
	pthread_t thread;
	int way;
	int result;       /* what ended it */
	uint64_t packets; /* atomic */
	uint32_t back;    /* atomic */
};

static struct member members[MEMBERS];
static uint8_t times[NUMBERS]; /* atomic: how often each number was seen */
static bool is_over;           /* atomic */
static uint32_t wrong;         /* atomic */

static void add(uint32_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static bool over(void)
{
	return __atomic_load_n(&is_over, __ATOMIC_RELAXED);
}

static void note(struct member *member, const struct tpacket_packet *packet)
{
	if (packet->captured_length >= NET_UDP_BYTES && packet->protocol == ETH_P_IP) {
		uint32_t number = net_number(packet->data + NET_UDP_NUMBER_AT);
		__atomic_fetch_add(&times[number % NUMBERS], 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&member->packets, member->packets + 1, __ATOMIC_RELAXED);
}

static int take(struct member *member)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	void *memory;
	int r;

	if (member->way < 3) {
		r = read_one(member->handle, member->way, -1, &packet, &memory);
		if (r == 1)
			note(member, &packet);
		free(memory);
		return r;
	}
	r = tpacket_acquire(member->handle, -1, &lease);
	while (r == 1 && tpacket_lease_next(&lease, &packet))
		note(member, &packet);
	tpacket_release(&lease);
	return r;
}

static void *read_member(void *argument)
{
	struct member *member = argument;
	int r;

	do {
		r = take(member);
		if (r == -ENETRESET)
			add(&member->back);
	} while (r >= 0 || r == -ENODEV || r == -ENETRESET || r == -ENETDOWN);
	member->result = r;
	tpacket_close(member->handle);
	return NULL;
}

static void open_members(void)
{
	struct tpacket_options options;
	struct tpacket *handles[MEMBERS];

	gone_options(&options);
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_flags = TPACKET_FANOUT_UNIQUE_ID;
	options.reserve_sockets = 1;
	memset(members, 0, sizeof(members));
	assert_int_equal(tpacket_open_group(&options, MEMBERS, handles, NULL), 0);
	for (int i = 0; i < MEMBERS; i++) {
		members[i].handle = tpacket_get(handles[i]);
		members[i].way = i;
		assert_int_equal(tpacket_start(handles[i]), 0);
		assert_int_equal(pthread_create(&members[i].thread, NULL, read_member, &members[i]), 0);
	}
}

static void end_member(struct member *member)
{
	pthread_join(member->thread, NULL);
	if (member->result != -ESHUTDOWN)
		print_error("ended by %d\n", member->result);
	assert_int_equal(member->result, -ESHUTDOWN);
}

static void close_members(void)
{
	for (int i = 0; i < MEMBERS; i++)
		tpacket_close(members[i].handle);
	for (int i = 0; i < MEMBERS; i++)
		end_member(&members[i]);
}

/* To whatever interface of that name there is. */
static void *send_always(void *argument)
{
	uint32_t *number = argument;
	uint8_t frame[NET_UDP_BYTES];
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	for (; !over() && *number < NUMBERS; ++*number) {
		struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(NET_SEND)};
		net_udp_frame(frame, *number);
		sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to));
		if (*number % 8 == 0)
			usleep(500);
	}
	close(fd);
	return NULL;
}

/* What it may answer at any time. */
static void check_answer(int r)
{
	if (r != 0 && r != -ENODEV && r != -ENOENT && r != -ENETDOWN && r != -ENOBUFS && r != -ESHUTDOWN)
		add(&wrong);
}

static void check_counters(struct tpacket *handle, struct tpacket_counters *last)
{
	struct tpacket_counters now;

	if (tpacket_stats(handle, &now) < 0)
		return;
	if (now.seen < last->seen || now.read < last->read || now.gap_ns < last->gap_ns ||
		now.read + now.dropped > now.seen || now.delivered != now.seen - now.dropped)
		add(&wrong);
	*last = now;
}

static void *control_always(void *argument)
{
	static const struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, 2000)};
	struct tpacket_counters last[MEMBERS] = {{0}};
	struct tpacket_geometry geometry;
	struct tpacket **handles = argument;
	char name[16];

	for (unsigned int i = 0; !over(); i++) {
		struct tpacket *handle = handles[i % MEMBERS];
		check_counters(handle, &last[i % MEMBERS]);
		check_answer(tpacket_interface_name(handle, name));
		check_answer(tpacket_fanout_group(handle, NULL, NULL, NULL));
		tpacket_geometry(handle, &geometry);
		tpacket_interface_index(handle);
		tpacket_hardware_type(handle);
		tpacket_fanout_id(handle);
		check_answer(tpacket_send(handle, "0123456789ab\x88\xb5xx", 16));
		check_answer(tpacket_set_filter(handle, i % 8 < 4 ? all : NULL, i % 8 < 4 ? 1 : 0));
		tpacket_wake(handle);
		if (i % MEMBERS == 0)
			usleep(2000);
	}
	return NULL;
}

static pid_t elsewhere;

/* One thing that may happen to an interface. */
static void disturb(unsigned int what)
{
	switch (what) {
	case 0:
		gone_delete();
		gone_recreate();
		break;
	case 1:
		net_run("ip link set " NET_LISTEN " down && ip link set " NET_LISTEN " up");
		break;
	case 2:
		net_run("ip link set " NET_LISTEN " down && ip link set " NET_LISTEN " name wbx0 && "
			"ip link set wbx0 name " NET_LISTEN " && ip link set " NET_LISTEN " up");
		break;
	case 3:
		net_run("ip link set " NET_LISTEN " netns %d", (int)elsewhere);
		net_run("nsenter -t %d -n ip link set " NET_LISTEN " netns %d", (int)elsewhere, (int)getpid());
		net_run("ip link set " NET_LISTEN " up");
		break;
	default:
		gone_delete();
		usleep(400000);
		gone_recreate();
	}
}

static uint64_t sum_packets(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < MEMBERS; i++)
		sum += __atomic_load_n(&members[i].packets, __ATOMIC_RELAXED);
	return sum;
}

/* The threads cannot be stopped any more, so no other test can follow. */
static void give_up(void)
{
	for (int i = 0; i < MEMBERS; i++)
		print_error("member %d: result %d, back %u times, %u packets\n", i, members[i].result, members[i].back,
			(unsigned int)members[i].packets);
	exit(1);
}

/* Until packets have come once more to somebody. */
static void wait_for_packets(void)
{
	double begin = net_now_ms();
	uint64_t before = sum_packets();

	while (sum_packets() < before + 50) {
		if (net_now_ms() - begin > 8000)
			give_up();
		usleep(5000);
	}
}

static void check_members(uint32_t reopens)
{
	for (int i = 0; i < MEMBERS; i++) {
		struct tpacket_counters counters;
		double begin = net_now_ms();
		assert_int_equal(tpacket_stop(members[i].handle), 0);
		do {
			usleep(20000);
			assert_int_equal(tpacket_stats(members[i].handle, &counters), 0);
		} while (counters.seen != counters.read + counters.dropped && net_now_ms() - begin < 3000);
		assert_int_equal(counters.seen, counters.read + counters.dropped);
		assert_int_equal(counters.read - counters.refiltered, members[i].packets);
		assert_int_equal(counters.bad_blocks, 0);
		assert_in_range(counters.reopens, reopens, 1000);
		assert_int_equal(counters.reopens, members[i].back);
	}
}

/* All at the same time. No packet twice, no counter that goes back, and in the end the numbers add up. */
static void test_everything_at_once(void **state)
{
	struct tpacket *handles[MEMBERS];
	pthread_t sender, control;
	uint32_t number = 0;
	int before = net_count_descriptors();

	elsewhere = gone_other_namespace();
	memset(times, 0, sizeof(times));
	is_over = false;
	wrong = 0;
	open_members();
	for (int i = 0; i < MEMBERS; i++)
		handles[i] = members[i].handle;
	assert_int_equal(pthread_create(&sender, NULL, send_always, &number), 0);
	assert_int_equal(pthread_create(&control, NULL, control_always, handles), 0);
	for (unsigned int round = 0; round < 20; round++) {
		disturb(round % 5);
		wait_for_packets();
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	pthread_join(sender, NULL);
	pthread_join(control, NULL);
	assert_int_equal(wrong, 0);
	check_members(12); /* of 20; the other 8 were no loss */
	for (uint32_t i = 0; i < number; i++)
		assert_in_range(times[i], 0, 1);
	close_members();
	gone_end_process(elsewhere);
	assert_int_equal(net_count_descriptors(), before);
}

/* Its reader leaves, whichever it is, and the others come back without it. */
static void test_member_is_closed_while_all_wait(void **state)
{
	int before = net_count_descriptors();

	for (int closed = 0; closed < MEMBERS; closed++) {
		open_members();
		gone_delete();
		usleep(1500000); /* all wait, and some tries were made */
		tpacket_close(members[closed].handle);
		end_member(&members[closed]);
		gone_recreate();
		double begin = net_now_ms();
		for (int i = 0; i < MEMBERS; i++)
			while (i != closed && !__atomic_load_n(&members[i].back, __ATOMIC_RELAXED)) {
				assert_true(net_now_ms() - begin < 5000);
				usleep(5000);
			}
		for (int i = 0; i < MEMBERS; i++) {
			if (i == closed)
				continue;
			tpacket_close(members[i].handle);
			end_member(&members[i]);
		}
		assert_int_equal(net_count_descriptors(), before);
	}
}

static void *disturb_always(void *argument)
{
	unsigned int seed = 2;

	while (!over()) {
		net_run("ip link del " NET_LISTEN);
		net_run("ip link add " NET_LISTEN " type veth peer name " NET_SEND " && ip link set " NET_LISTEN " up");
		usleep((useconds_t)(rand_r(&seed) % 150000));
	}
	return NULL;
}

/* At any moment of going and coming back: nobody hangs, nothing is left. */
static void test_closed_at_any_moment(void **state)
{
	pthread_t thread;
	unsigned int seed = 1;

	is_over = false;
	net_run("ip link add wbkeep0 type veth peer name wbkeep1"); /* loads nothing new later */
	int before = net_count_descriptors();
	assert_int_equal(pthread_create(&thread, NULL, disturb_always, NULL), 0);
	const char *full = getenv("WIREBUS_TEST_FULL");
	int rounds = full && !strcmp(full, "1") ? 150 : 50;
	for (int round = 0; round < rounds;) {
		struct tpacket_options options;
		struct tpacket *handles[MEMBERS];
		gone_options(&options);
		options.block_bytes = 4096;
		options.fanout = TPACKET_FANOUT_HASH;
		options.fanout_flags = TPACKET_FANOUT_UNIQUE_ID;
		int r = tpacket_open_group(&options, MEMBERS, handles, NULL);
		if (r < 0) {
			assert_true(r == -ENODEV || r == -EINVAL); /* gone between two members */
			continue;
		}
		round++;
		for (int i = 0; i < MEMBERS; i++) {
			members[i] = (struct member){.handle = tpacket_get(handles[i]), .way = i};
			assert_int_equal(tpacket_start(handles[i]), 0);
			assert_int_equal(pthread_create(&members[i].thread, NULL, read_member, &members[i]), 0);
		}
		for (int i = 0; i < MEMBERS; i++) {
			usleep((useconds_t)(rand_r(&seed) % 100000));
			tpacket_close(handles[i]);
		}
		for (int i = 0; i < MEMBERS; i++)
			end_member(&members[i]);
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(net_count_descriptors(), before);
	net_run("ip link del wbkeep0");
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_held_lease),
		NET_TEST(test_half_read_run),
		NET_TEST(test_everything_at_once),
		NET_TEST(test_member_is_closed_while_all_wait),
		NET_TEST(test_closed_at_any_moment),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
