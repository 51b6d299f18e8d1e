/* SPDX-License-Identifier: Apache-2.0 */
/* What may happen while packets are read one by one, in each ring version: a wake-up, closing, a change of the filter.
 */
#include "barrier.h"
#include "cmocka_all.h"
#include "read_ring.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Inside a run and at its end; once; and the packets come afterwards. */
static void test_wake(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet;

	open_ring(&ring, state, 0);
	put(&ring, 0, 2);
	for (uint32_t i = 0; i < 2; i++) {
		tpacket_wake(ring.handle);
		assert_int_equal(tpacket_read(ring.handle, -1, &packet), 0);
		assert_int_equal(tpacket_read(ring.handle, -1, &packet), 1);
		assert_packet(&packet, i);
	}
	tpacket_wake(ring.handle);
	assert_int_equal(tpacket_read(ring.handle, -1, &packet), 0);
	close_ring(&ring);
}

static void *wake_soon(void *argument)
{
	usleep(50000);
	tpacket_wake(argument);
	return NULL;
}

static void test_wake_from_another_thread(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet;
	pthread_t thread;

	open_ring(&ring, state, 0);
	put(&ring, 0, 1);
	assert_int_equal(tpacket_read(ring.handle, -1, &packet), 1);
	assert_int_equal(pthread_create(&thread, NULL, wake_soon, ring.handle), 0);
	assert_int_equal(tpacket_read(ring.handle, -1, &packet), 0);
	pthread_join(thread, NULL);
	assert_true(is_given_back(&ring, 0));
	close_ring(&ring);
}

static void test_closing_ends_a_run(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet;
	struct tpacket_lease lease;
	void *memory;

	open_ring(&ring, state, 0);
	put(&ring, 0, 3);
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
	tpk_bits_set(&ring.handle->life.state, TPK_CLOSING);
	assert_int_equal(tpacket_read(ring.handle, -1, &packet), -ESHUTDOWN);
	assert_int_equal(tpacket_read_copy(ring.handle, -1, &packet, &memory), -ESHUTDOWN);
	assert_int_equal(tpacket_read_into(ring.handle, -1, NULL, 0, &packet), -ESHUTDOWN);
	assert_int_equal(tpacket_acquire(ring.handle, -1, &lease), -ESHUTDOWN);
	assert_null(lease.handle);
	close_ring(&ring);
}

/* Keeps 50 bytes of packets whose first byte is not 31, which number 1 has. */
static struct sock_filter *copy_of_filter(uint16_t *ret_length)
{
	const struct sock_filter program[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 31, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 50)};
	struct sock_filter *copy = malloc(sizeof(program));

	assert_non_null(copy);
	*ret_length = sizeof(program) / sizeof(program[0]);
	return memcpy(copy, program, sizeof(program));
}

static void request(struct read_ring *ring)
{
	uint16_t length;
	struct sock_filter *filter = copy_of_filter(&length);

	request_filter(ring, filter, length);
}

/* The filter changes inside a run: what is left of it, and what is in the ring, is judged; later runs are not. */
static void test_filter_changes(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet;

	open_ring(&ring, state, 0);
	put(&ring, 0, 1);
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 0);
	put(&ring, 0, 4);
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
	assert_packet(&packet, 0);
	request(&ring);
	put(&ring, 1, 2); /* still from before, for all that is known */
	const uint32_t want[] = {2, 3, 2};
	for (uint32_t i = 0; i < 3; i++) {
		uint8_t bytes[BYTES];
		assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
		make_bytes(bytes, want[i]);
		assert_int_equal(packet.captured_length, 50);
		assert_memory_equal(packet.data, bytes, 50);
	}
	assert_int_equal(ring.handle->counters.refiltered, 2);
	/* One more block or frame could have been under way; after that the kernel has filtered. */
	put(&ring, 2, 1);
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
	put(&ring, 1, 1);
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
	assert_packet(&packet, 1);
	assert_int_equal(ring.handle->settle.left, 0);
	assert_int_equal(ring.handle->counters.refiltered, 2);
	assert_int_equal(ring.handle->counters.read, 9);
	close_ring(&ring);
}

/* A lease that is taken after the request is judged, too, though the request came before anything was in the ring. */
static void test_filter_changes_between_leases(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet;
	struct tpacket_lease lease;

	open_ring(&ring, state, 0);
	put(&ring, 0, 3);
	request(&ring);
	assert_int_equal(tpacket_acquire(ring.handle, 0, &lease), 1);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(packet.captured_length, 50);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(packet.time_ns, 2000000000u); /* number 1 is left out */
	assert_false(tpacket_lease_next(&lease, &packet));
	tpacket_release(&lease);
	assert_int_equal(ring.handle->counters.refiltered, 1);
	close_ring(&ring);
}

/* Nothing of a run is handed out: then the next one, within the time. */
static void test_run_of_nothing(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet;

	open_ring(&ring, state, 0);
	put(&ring, 1, 1);
	request(&ring);
	int64_t begin_ns = tpk_now_ns();
	assert_int_equal(tpacket_read(ring.handle, 100, &packet), 0);
	int64_t took_ns = tpk_now_ns() - begin_ns;
	assert_true(took_ns >= 100 * NS_PER_MS && took_ns < 5 * NS_PER_S);
	assert_true(is_given_back(&ring, 0));
	assert_int_equal(ring.handle->counters.refiltered, 1);
	put(&ring, 1, 1);
	put(&ring, 3, 1);
	request(&ring);
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
	assert_int_equal(packet.time_ns, 3000000000u);
	close_ring(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FOR_EACH_VERSION(test_wake),
		FOR_EACH_VERSION(test_wake_from_another_thread),
		FOR_EACH_VERSION(test_closing_ends_a_run),
		FOR_EACH_VERSION(test_filter_changes),
		FOR_EACH_VERSION(test_filter_changes_between_leases),
		FOR_EACH_VERSION(test_run_of_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
