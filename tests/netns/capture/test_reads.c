/* SPDX-License-Identifier: Apache-2.0 */
/* Packet by packet from rings that the kernel fills: zero copy, copy, copy into a buffer, in each version. */
#include "versions.h"
#include "../../unit/capture/death.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES 500u

static struct tpacket *open_version(void **state)
{
	struct tpacket_options options;

	net_options(&options);
	options.version = version_of(state);
	options.frame_bytes = 2048;
	options.block_bytes = 1u << 14;
	options.block_count = 16; /* two bursts of slots: the last run of one is held until the next read */
	return net_open(&options);
}

static void check(const struct tpacket_packet *packet, uint32_t number, uint32_t captured)
{
	uint8_t frame[BYTES];

	net_frame(frame, BYTES, number);
	assert_int_equal(packet->captured_length, captured);
	assert_int_equal(packet->original_length, BYTES);
	assert_memory_equal(packet->data, frame, captured);
	assert_int_equal(packet->protocol, NET_ETHERTYPE);
	assert_int_equal(packet->interface_index, net_index(NET_LISTEN));
}

/* In turn, so that one run is read in all ways; several times round the ring. */
static void test_three_reads(void **state)
{
	struct tpacket *handle = open_version(state);
	struct tpacket_counters counters;
	struct tpacket_packet packet;
	uint8_t buffer[BYTES];
	void *memory;
	int sender = net_sender(NET_SEND);

	for (uint32_t first = 0; first < 600; first += 40) {
		net_send_numbers(sender, BYTES, first, 40);
		for (uint32_t i = first; i < first + 40; i++) {
			size_t room = i % 2 ? BYTES : 99;
			switch (i % 3) {
			case 0:
				assert_int_equal(tpacket_read(handle, 1000, &packet), 1);
				check(&packet, i, BYTES);
				break;
			case 1:
				assert_int_equal(tpacket_read_copy(handle, 1000, &packet, &memory), 1);
				check(&packet, i, BYTES);
				free(memory);
				break;
			default:
				assert_int_equal(tpacket_read_into(handle, 1000, buffer, room, &packet), 1);
				check(&packet, i, (uint32_t)room);
				assert_int_equal(!!(packet.status & TPACKET_STATUS_SHORT_BUFFER), room < BYTES);
			}
		}
	}
	assert_int_equal(tpacket_read(handle, 0, &packet), 0);
	net_finish(handle, &counters);
	assert_int_equal(counters.read, 600);
	assert_int_equal(counters.dropped, 0);
	tpacket_close(handle);
	close(sender);
}

/* Copies outlive the ring's memory. */
static void test_copies_last(void **state)
{
	struct tpacket *handle = open_version(state);
	struct tpacket_packet packets[10], packet;
	void *memory[10];
	int sender = net_sender(NET_SEND);

	net_send_numbers(sender, BYTES, 0, 10);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(tpacket_read_copy(handle, 1000, &packets[i], &memory[i]), 1);
	for (uint32_t turn = 1; turn < 20; turn++) {
		net_send_numbers(sender, BYTES, 10 * turn, 10);
		for (uint32_t i = 0; i < 10; i++)
			assert_int_equal(tpacket_read(handle, 1000, &packet), 1);
	}
	tpacket_close(handle);
	for (uint32_t i = 0; i < 10; i++) {
		check(&packets[i], i, BYTES);
		free(memory[i]);
	}
	close(sender);
}

/* A socket is readable at once as long as something of its ring is held: waiting must not have become a loop. */
static void test_waiting_after_a_run(void **state)
{
	struct tpacket *handle = open_version(state);
	struct tpacket_counters before, after;
	struct tpacket_packet packet;
	int sender = net_sender(NET_SEND);

	for (uint32_t turn = 0; turn < 3; turn++) {
		net_send_numbers(sender, BYTES, 0, 3);
		for (uint32_t i = 0; i < 3; i++)
			assert_int_equal(tpacket_read(handle, 1000, &packet), 1);
		assert_int_equal(tpacket_stats(handle, &before), 0);
		double begin = net_now_ms();
		assert_int_equal(tpacket_read(handle, 300, &packet), 0);
		double took = net_now_ms() - begin;
		assert_true(took >= 300 && took < 2000);
		assert_int_equal(tpacket_stats(handle, &after), 0);
		/* V3 reports a block without packets when its time is over. */
		assert_true(after.polls - before.polls < 70);
	}
	tpacket_close(handle);
	close(sender);
}

struct waker {
	struct tpacket *handle;
	double at_ms;
};

static void *wake_later(void *argument)
{
	struct waker *waker = argument;

	usleep(100000);
	waker->at_ms = net_now_ms();
	tpacket_wake(waker->handle);
	return NULL;
}

static void test_wake_ends_each_read(void **state)
{
	struct tpacket *handle = open_version(state);
	struct tpacket_packet packet;
	uint8_t buffer[BYTES];
	void *memory;

	for (int i = 0; i < 3; i++) {
		struct waker waker = {.handle = handle};
		pthread_t thread;
		assert_int_equal(pthread_create(&thread, NULL, wake_later, &waker), 0);
		int r = i == 0   ? tpacket_read(handle, -1, &packet)
		        : i == 1 ? tpacket_read_copy(handle, -1, &packet, &memory)
		                 : tpacket_read_into(handle, -1, buffer, sizeof(buffer), &packet);
		double now = net_now_ms();
		pthread_join(thread, NULL);
		assert_int_equal(r, 0);
		assert_true(now >= waker.at_ms && now - waker.at_ms < 1000);
	}
	tpacket_close(handle);
}

/* Runs of the caller's own and of tpacket_read() do not mix. */
static void test_busy(void **state)
{
	struct tpacket *handle = open_version(state);
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	struct tpacket_counters counters;
	int sender = net_sender(NET_SEND);

	net_send_numbers(sender, BYTES, 0, 2);
	do
		assert_int_equal(tpacket_stats(handle, &counters), 0);
	while (counters.seen < 2);
	assert_int_equal(tpacket_read(handle, 1000, &packet), 1);
	assert_int_equal(tpacket_acquire(handle, -1, &lease), -EBUSY);
	check(&packet, 0, BYTES);
	assert_int_equal(tpacket_read(handle, 1000, &packet), 1);
	check(&packet, 1, BYTES);
	assert_int_equal(tpacket_acquire(handle, 20, &lease), 0);
	net_send_numbers(sender, BYTES, 2, 1);
	assert_int_equal(tpacket_acquire(handle, 1000, &lease), 1);
	assert_int_equal(tpacket_read(handle, -1, &packet), -EBUSY);
	tpacket_release(&lease);
	tpacket_close(handle);
	close(sender);
}

/* What is used after closing, in each build: the ring is not mapped any more. */
struct closed {
	struct tpacket *handle;
	struct tpacket_lease lease;
	struct tpacket_packet packet;
};

static void read_after_close(void *argument)
{
	static uint8_t sink;
	struct closed *closed = argument;

	tpacket_close(closed->handle);
	__atomic_store_n(&sink, closed->packet.data[0], __ATOMIC_RELAXED);
}

static void write_after_close(void *argument)
{
	struct closed *closed = argument;

	tpacket_close(closed->handle);
	memset((uint8_t *)closed->packet.data, 0, 1);
}

static void close_only(struct closed *closed)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		tpacket_close(closed->handle);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_use_after_close_is_caught(void **state)
{
	int sender = net_sender(NET_SEND);

	for (int has_lease = 0; has_lease <= 1; has_lease++) {
		struct closed closed = {.handle = open_version(state)};
		net_send_numbers(sender, BYTES, 0, 1);
		if (has_lease) {
			assert_int_equal(tpacket_acquire(closed.handle, 1000, &closed.lease), 1);
			assert_true(tpacket_lease_next(&closed.lease, &closed.packet));
		} else {
			assert_int_equal(tpacket_read(closed.handle, 1000, &closed.packet), 1);
		}
		check(&closed.packet, 0, BYTES);
		assert_dies(read_after_close, &closed);
		assert_dies(write_after_close, &closed);
		close_only(&closed);
		tpacket_release(&closed.lease);
		tpacket_close(closed.handle);
	}
	close(sender);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH(test_three_reads),
		ON_EACH(test_copies_last),
		ON_EACH(test_waiting_after_a_run),
		ON_EACH(test_wake_ends_each_read),
		ON_EACH(test_busy),
		ON_EACH(test_use_after_close_is_caught),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
