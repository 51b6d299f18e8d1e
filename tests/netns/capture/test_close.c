/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader is stopped by tpacket_close() from another thread at random moments, 10,000 times, while packets are coming
 * and while none are: no crash, no hang, nothing left behind. Several pairs of threads at a time, as closing a packet
 * socket waits for the kernel.
 */
#include "net.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STOPS 10000
#define PAIRS 20
#define MAX_DELAY_US 3000

enum way { WAY_ACQUIRE, WAY_READ, WAY_READ_COPY, WAY_READ_INTO, WAYS };

struct reader {
	struct tpacket *handle;
	enum way way;
	bool keeps_reference; /* has one of its own */
	int last;             /* what ended it */
	uint64_t packets;
	uint32_t sum; /* of the bytes, so that they are read */
};

struct pair {
	pthread_t thread;
	unsigned int seed;
	int stops;
	const char *failure;
	uint64_t packets;
};

static bool is_over; /* atomic */

static void use(struct reader *reader, const struct tpacket_packet *packet)
{
	for (uint32_t i = 0; i < packet->captured_length; i++)
		reader->sum += packet->data[i];
	reader->packets++;
}

static int read_once(struct reader *reader)
{
	uint8_t buffer[256];
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	void *memory = NULL;
	int r;

	switch (reader->way) {
	case WAY_READ:
		r = tpacket_read(reader->handle, -1, &packet);
		break;
	case WAY_READ_COPY:
		r = tpacket_read_copy(reader->handle, -1, &packet, &memory);
		break;
	case WAY_READ_INTO:
		r = tpacket_read_into(reader->handle, -1, buffer, sizeof(buffer), &packet);
		break;
	default:
		r = tpacket_acquire(reader->handle, -1, &lease);
		while (r == 1 && tpacket_lease_next(&lease, &packet))
			use(reader, &packet);
		tpacket_release(&lease);
		return r;
	}
	if (r == 1)
		use(reader, &packet);
	free(memory);
	return r;
}

static void *read_until_closed(void *argument)
{
	struct reader *reader = argument;

	while ((reader->last = read_once(reader)) >= 0)
		;
	if (reader->keeps_reference)
		tpacket_close(reader->handle);
	return NULL;
}

static void close_options(struct tpacket_options *options, enum tpacket_version version)
{
	net_options(options);
	options->version = version;
	options->block_bytes = 4096;
	options->frame_bytes = 512;
	options->block_count = 4;
	options->retire_ms = 1;
}

/* Each third reader gets no packet at all: it is stopped in poll(2), or on the way there. */
static const char *stop_once(struct pair *pair, int number)
{
	const bool is_idle = number % 3 == 1;
	struct tpacket_options options;
	struct tpacket_counters counters;
	struct reader reader = {.keeps_reference = true, .way = (enum way)(number % WAYS)};
	pthread_t thread;
	struct tpacket *handle;

	close_options(&options, (enum tpacket_version)(1 + number / WAYS % 3));
	if (is_idle)
		options.interface = "lo";
	if (tpacket_open(&options, &handle, NULL) < 0 || tpacket_start(handle) < 0)
		return "open";
	reader.handle = tpacket_get(handle);
	if (pthread_create(&thread, NULL, read_until_closed, &reader))
		return "thread";
	usleep((useconds_t)(rand_r(&pair->seed) % MAX_DELAY_US));
	if (number % 5 == 0 && tpacket_stats(handle, &counters) < 0)
		return "stats";
	if (number % 7 == 0)
		tpacket_wake(handle);
	tpacket_close(handle);
	pthread_join(thread, NULL);
	if (is_idle && reader.packets)
		return "packets came from nowhere";
	pair->packets += reader.packets;
	return reader.last == -ESHUTDOWN ? NULL : strerror(-reader.last);
}

static void *stop_often(void *argument)
{
	struct pair *pair = argument;

	for (int i = 0; i < pair->stops && !pair->failure; i++)
		pair->failure = stop_once(pair, i);
	return NULL;
}

static void *send_always(void *argument)
{
	int fd = net_sender(NET_SEND);
	uint8_t frame[128];

	for (uint32_t i = 0; !__atomic_load_n(&is_over, __ATOMIC_RELAXED); i++) {
		net_frame(frame, sizeof(frame), i);
		if (send(fd, frame, sizeof(frame), 0) < 0 && errno != ENOBUFS)
			break;
		if (i % 16 == 0)
			usleep(200);
	}
	close(fd);
	return NULL;
}

static void test_stopped_often(void **state)
{
	struct pair pairs[PAIRS];
	pthread_t sender;
	uint64_t packets = 0;
	int before = net_count_descriptors();

	/* A reader that is late finds out that a link is down, and ends for that reason. */
	net_run("ip link set lo up");
	memset(pairs, 0, sizeof(pairs));
	is_over = false;
	assert_int_equal(pthread_create(&sender, NULL, send_always, NULL), 0);
	for (unsigned int i = 0; i < PAIRS; i++) {
		pairs[i].seed = i + 1;
		pairs[i].stops = STOPS / PAIRS;
		assert_int_equal(pthread_create(&pairs[i].thread, NULL, stop_often, &pairs[i]), 0);
	}
	for (int i = 0; i < PAIRS; i++)
		pthread_join(pairs[i].thread, NULL);
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	pthread_join(sender, NULL);
	for (int i = 0; i < PAIRS; i++) {
		if (pairs[i].failure)
			print_error("%s\n", pairs[i].failure);
		assert_null(pairs[i].failure);
		packets += pairs[i].packets;
	}
	assert_true(packets > STOPS); /* there was something to read */
	assert_int_equal(net_count_descriptors(), before);
}

/* Nothing comes and nobody else has a reference: it is waited for, and told. */
static void test_closed_while_blocked(void **state)
{
	int before = net_count_descriptors();

	for (int version = 1; version <= 3; version++) {
		for (int way = 0; way < WAYS; way++) {
			struct tpacket_options options;
			struct reader reader = {.way = (enum way)way};
			pthread_t thread;
			close_options(&options, (enum tpacket_version)version);
			reader.handle = net_open(&options);
			assert_int_equal(pthread_create(&thread, NULL, read_until_closed, &reader), 0);
			usleep(20000);
			double begin = net_now_ms();
			tpacket_close(reader.handle);
			assert_true(net_now_ms() - begin < 1000);
			pthread_join(thread, NULL);
			assert_int_equal(reader.last, -ESHUTDOWN);
		}
	}
	assert_int_equal(net_count_descriptors(), before);
}

/* Who still has a reference can call, but gets no more; what it has leased stays until it gives its reference back. */
static void test_calls_after_the_close(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	struct tpacket_lease lease, second;
	struct tpacket_packet packet;
	uint8_t want[100], buffer[100];
	void *memory;
	char name[16];
	int sender = net_sender(NET_SEND);

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	net_send_numbers(sender, sizeof(want), 3, 1);
	assert_int_equal(tpacket_acquire(handle, 1000, &lease), 1);
	assert_ptr_equal(tpacket_get(handle), handle);
	tpacket_close(handle);
	net_frame(want, sizeof(want), 3);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_memory_equal(packet.data, want, sizeof(want));
	tpacket_release(&lease);
	assert_int_equal(tpacket_acquire(handle, -1, &second), -ESHUTDOWN);
	assert_null(second.handle);
	assert_int_equal(tpacket_read(handle, -1, &packet), -ESHUTDOWN);
	assert_int_equal(tpacket_read_copy(handle, -1, &packet, &memory), -ESHUTDOWN);
	assert_int_equal(tpacket_read_into(handle, -1, buffer, sizeof(buffer), &packet), -ESHUTDOWN);
	assert_int_equal(tpacket_start(handle), -ESHUTDOWN);
	assert_int_equal(tpacket_stop(handle), -ESHUTDOWN);
	assert_int_equal(tpacket_set_filter(handle, NULL, 0), -ESHUTDOWN);
	assert_int_equal(tpacket_set_filter_fd(handle, sender), -ESHUTDOWN);
	assert_int_equal(tpacket_lock_filter(handle), -ESHUTDOWN);
	assert_int_equal(tpacket_set_promiscuous(handle, true), -ESHUTDOWN);
	assert_int_equal(tpacket_set_all_multicast(handle, true), -ESHUTDOWN);
	assert_int_equal(tpacket_set_fanout_program(handle, NULL, 0, sender), -ESHUTDOWN);
	assert_int_equal(tpacket_send(handle, want, sizeof(want)), -ESHUTDOWN);
	assert_int_equal(tpacket_stats(handle, &counters), -ESHUTDOWN);
	assert_int_equal(tpacket_interface_name(handle, name), -ESHUTDOWN);
	/* Facts stay. */
	assert_int_equal(tpacket_version_in_use(handle), TPACKET_VERSION_3);
	assert_int_equal(tpacket_interface_index(handle), net_index(NET_LISTEN));
	assert_int_equal(tpacket_fanout_id(handle), -ENOENT);
	assert_int_equal(tpacket_fanout_group(handle, NULL, NULL, NULL), -ENOENT);
	tpacket_wake(handle);
	tpacket_close(handle);
	close(sender);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_closed_while_blocked),
		NET_TEST(test_calls_after_the_close),
		NET_TEST(test_stopped_often),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
