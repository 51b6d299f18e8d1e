/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settling: what is taken over from a request and when, how a packet from before is judged and counted, and requests
 * that overtake each other.
 */
#include "cmocka_all.h"
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static uint32_t ready_blocks;

static uint32_t fake_ready(const struct tpacket *handle)
{
	return ready_blocks;
}

static const struct tpk_ring_ops fake_ops = {.has_blocks = true, .ready = fake_ready};

static int set_up(void **state)
{
	struct tpacket *handle = calloc(1, sizeof(*handle));

	assert_non_null(handle);
	handle->ops = &fake_ops;
	pthread_mutex_init(&handle->lock, NULL);
	ready_blocks = 5;
	*state = handle;
	return 0;
}

static int tear_down(void **state)
{
	struct tpacket *handle = *state;

	tpk_settle_free(handle);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
	return 0;
}

/* `keep` bytes of packets that begin with this one, nothing of others. */
static struct sock_filter *program_of(uint8_t first, uint32_t keep)
{
	const struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, keep),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_filter *copy = malloc(sizeof(program));

	assert_non_null(copy);
	return memcpy(copy, program, sizeof(program));
}

static void request(struct tpacket *handle, uint8_t first, uint32_t keep, bool has_markers)
{
	tpk_settle_request(handle, program_of(first, keep), 4, has_markers);
}

static struct tpacket_packet packet_of(const uint8_t *data, uint32_t captured, uint32_t original)
{
	return (struct tpacket_packet){.data = data, .captured_length = captured, .original_length = original};
}

static bool keeps(struct tpacket *handle, uint8_t first, uint32_t captured)
{
	const uint8_t data[64] = {first};
	struct tpacket_packet packet = packet_of(data, captured, 64);

	return tpk_settle_keeps(handle, &packet);
}

static void test_begin_counts_from_the_head(void **state)
{
	struct tpacket *handle = *state;

	tpk_settle_begin(handle); /* nobody asked */
	assert_int_equal(handle->settle.left, 0);
	request(handle, 'a', 100, false);
	assert_true(handle->settle.is_requested);
	tpk_settle_begin(handle);
	assert_false(handle->settle.is_requested);
	assert_int_equal(handle->settle.left, 6); /* and the one that the kernel fills */
	handle->settle.left = 2;
	tpk_settle_begin(handle);
	assert_int_equal(handle->settle.left, 2);
}

static void test_judging(void **state)
{
	struct tpacket *handle = *state;
	const uint8_t data[64] = {'a'};
	struct tpacket_packet packet = packet_of(data, 64, 64);

	request(handle, 'a', 20, false);
	tpk_settle_begin(handle);
	assert_true(tpk_settle_keeps(handle, &packet));
	assert_int_equal(packet.captured_length, 20); /* as the kernel would have cut it */
	assert_int_equal(packet.original_length, 64);
	assert_true(tpk_settle_keeps(handle, &packet));
	assert_int_equal(packet.captured_length, 20);
	packet.captured_length = 10;
	assert_true(tpk_settle_keeps(handle, &packet));
	assert_int_equal(packet.captured_length, 10); /* never grows */
	assert_false(keeps(handle, 'b', 64));
	assert_false(keeps(handle, 'a', 0)); /* too few bytes were kept to tell */
	assert_int_equal(handle->counters.refiltered, 2);
	assert_int_equal(handle->counters.join_gap, 0);
}

static void test_without_a_program_everything_passes(void **state)
{
	struct tpacket *handle = *state;

	tpk_settle_request(handle, NULL, 0, false);
	tpk_settle_begin(handle);
	assert_true(keeps(handle, 'a', 64));
	assert_true(keeps(handle, 'a', 1));
	assert_int_equal(handle->counters.refiltered, 0);
}

static void test_markers(void **state)
{
	struct tpacket *handle = *state;
	const uint8_t data[4] = {0};
	struct tpacket_packet whole = packet_of(data, 1, 1);

	handle->counters.read = 10;
	tpk_settle_mark(handle);
	tpk_settle_begin(handle);
	assert_int_equal(handle->settle.left, UINT32_MAX); /* until the next request */
	assert_false(keeps(handle, 'a', 1));
	assert_true(keeps(handle, 'a', 2));
	assert_true(tpk_settle_keeps(handle, &whole)); /* was not cut, so it is no marker */
	assert_int_equal(handle->counters.join_gap, 1);
	assert_int_equal(handle->counters.read, 9);
	tpk_settle_request(handle, NULL, 0, true);
	tpk_settle_begin(handle);
	assert_int_equal(handle->settle.left, 6);
	assert_false(keeps(handle, 'a', 0));
	assert_int_equal(handle->counters.join_gap, 2);
	assert_int_equal(handle->counters.read, 8);
	assert_int_equal(handle->counters.refiltered, 0);
}

static void test_the_last_of_two_requests_counts(void **state)
{
	struct tpacket *handle = *state;

	request(handle, 'a', 100, false);
	request(handle, 'b', 100, false);
	tpk_settle_begin(handle);
	assert_false(keeps(handle, 'a', 64));
	assert_true(keeps(handle, 'b', 64));
	/* And one while settling. */
	ready_blocks = 3;
	request(handle, 'c', 100, false);
	assert_true(keeps(handle, 'b', 64)); /* the reader has not looked yet */
	tpk_settle_begin(handle);
	assert_int_equal(handle->settle.left, 4);
	assert_false(keeps(handle, 'b', 64));
	assert_true(keeps(handle, 'c', 64));
}

static void test_markers_outlive_another_filter(void **state)
{
	struct tpacket *handle = *state;

	/* Before the reader has seen the first request ... */
	tpk_settle_request(handle, NULL, 0, true);
	request(handle, 'a', 100, false);
	tpk_settle_begin(handle);
	assert_false(keeps(handle, 'a', 1));
	assert_int_equal(handle->counters.join_gap, 1);
	/* ... and after it, while blocks with markers are left. */
	request(handle, 'b', 100, false);
	tpk_settle_begin(handle);
	assert_false(keeps(handle, 'b', 1));
	assert_int_equal(handle->counters.join_gap, 2);
	/* But not when they have been read. */
	handle->settle.left = 0;
	request(handle, 'b', 100, false);
	tpk_settle_begin(handle);
	assert_true(keeps(handle, 'b', 1));
	assert_int_equal(handle->counters.join_gap, 2);
}

#define REQUESTS 20000

static void *request_often(void *argument)
{
	struct tpacket *handle = argument;

	for (int i = 0; i < REQUESTS; i++) {
		pthread_mutex_lock(&handle->lock);
		request(handle, (uint8_t)(i % 2), 100, false);
		pthread_mutex_unlock(&handle->lock);
	}
	return NULL;
}

static void test_another_thread_requests(void **state)
{
	struct tpacket *handle = *state;
	pthread_t thread;
	uint64_t judged = 0;

	request(handle, 0, 100, false);
	tpk_settle_begin(handle);
	assert_int_equal(pthread_create(&thread, NULL, request_often, handle), 0);
	while (judged < REQUESTS) {
		if (__atomic_load_n(&handle->settle.is_requested, __ATOMIC_RELAXED))
			tpk_settle_begin(handle);
		/* Exactly one of the two, whichever program it is. */
		bool keeps_0 = keeps(handle, 0, 64);
		assert_int_not_equal(keeps_0, keeps(handle, 1, 64));
		judged++;
	}
	pthread_join(thread, NULL);
	tpk_settle_begin(handle);
	assert_true(keeps(handle, (REQUESTS - 1) % 2, 64));
	assert_false(keeps(handle, REQUESTS % 2, 64));
	assert_int_equal(handle->counters.refiltered, judged + 1);
}

static void test_barrier_returns(void **state)
{
	tpk_settle_barrier(*state);
}

#define SETTLE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SETTLE_TEST(test_begin_counts_from_the_head),
		SETTLE_TEST(test_judging),
		SETTLE_TEST(test_without_a_program_everything_passes),
		SETTLE_TEST(test_markers),
		SETTLE_TEST(test_the_last_of_two_requests_counts),
		SETTLE_TEST(test_markers_outlive_another_filter),
		SETTLE_TEST(test_another_thread_requests),
		SETTLE_TEST(test_barrier_returns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
