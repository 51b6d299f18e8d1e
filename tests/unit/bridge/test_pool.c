/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of batch buffers: taken by one thread, returned by any, and no return is overlooked by one who waits. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ledger.h"
#include "pool.h"

#define BUFFERS 8
#define BUFFER_BYTES 5000
#define RETURNERS 3
#define ROUNDS 200000
/* A wait that is longer than this, with a buffer under way all the time, is a wake-up that was missed. */
#define WAIT_MS 5000

struct fixture {
	struct wb_pool_wake wake;
	struct wb_ledger ledger;
	struct wb_pool pool;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	if (!f || wb_pool_wake_init(&f->wake) < 0 || wb_ledger_init(&f->ledger) < 0 ||
		wb_pool_init(&f->pool, BUFFERS, BUFFER_BYTES, &f->wake, &f->ledger) < 0)
		return -1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	wb_pool_fini(&f->pool);
	wb_ledger_fini(&f->ledger);
	wb_pool_wake_fini(&f->wake);
	free(f);
	return 0;
}

static uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void buffers_run_out_and_come_back(void **state)
{
	struct fixture *f = *state;
	struct wb_buffer *taken[BUFFERS];

	for (int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < BUFFERS; i++) {
			assert_int_equal(wb_pool_free_count(&f->pool), BUFFERS - i);
			taken[i] = wb_pool_take(&f->pool);
			assert_non_null(taken[i]);
			assert_ptr_equal(taken[i]->pool, &f->pool);
			memset(taken[i]->memory, (int)(i + 1), BUFFER_BYTES);
		}
		assert_null(wb_pool_take(&f->pool));
		assert_int_equal(wb_pool_free_count(&f->pool), 0);
		/* Each has memory of its own, all of it. */
		for (unsigned int i = 0; i < BUFFERS; i++)
			for (size_t at = 0; at < BUFFER_BYTES; at++)
				assert_int_equal(taken[i]->memory[at], i + 1);
		wb_buffer_put(taken[3]);
		assert_int_equal(wb_pool_free_count(&f->pool), 1);
		assert_ptr_equal(wb_pool_take(&f->pool), taken[3]);
		assert_null(wb_pool_take(&f->pool));
		for (unsigned int i = 0; i < BUFFERS; i++)
			wb_buffer_put(taken[i]);
		assert_int_equal(wb_pool_free_count(&f->pool), BUFFERS);
	}
}

/* What a transport writes in front of a batch is in no other batch, also where the buffers fill their pages. */
static void the_headroom_is_the_buffers_own(void **state)
{
	struct fixture *f = *state;
	struct wb_buffer *taken[BUFFERS];
	struct wb_pool pool;

	assert_int_equal(wb_pool_init(&pool, BUFFERS, (size_t)sysconf(_SC_PAGESIZE), &f->wake, &f->ledger), 0);
	for (unsigned int i = 0; i < BUFFERS; i++) {
		taken[i] = wb_pool_take(&pool);
		memset(taken[i]->memory - WB_BATCH_HEADROOM_BYTES, (int)(i + 1),
			WB_BATCH_HEADROOM_BYTES + pool.buffer_bytes);
	}
	for (unsigned int i = 0; i < BUFFERS; i++) {
		const uint8_t *first = taken[i]->memory - WB_BATCH_HEADROOM_BYTES;

		for (size_t b = 0; b < WB_BATCH_HEADROOM_BYTES + pool.buffer_bytes; b++)
			assert_int_equal(first[b], i + 1);
		wb_buffer_put(taken[i]);
	}
	wb_pool_fini(&pool);
}

static void the_last_reference_returns_the_buffer(void **state)
{
	struct fixture *f = *state;
	struct wb_buffer *taken[BUFFERS];

	for (unsigned int i = 0; i < BUFFERS; i++)
		taken[i] = wb_pool_take(&f->pool);
	wb_buffer_get(taken[0]);
	wb_buffer_get(taken[0]);
	wb_buffer_put(taken[0]);
	assert_null(wb_pool_take(&f->pool));
	wb_buffer_put(taken[0]);
	assert_null(wb_pool_take(&f->pool));
	assert_int_equal(wb_pool_free_count(&f->pool), 0);
	wb_buffer_put(taken[0]);
	assert_ptr_equal(wb_pool_take(&f->pool), taken[0]);
	for (unsigned int i = 0; i < BUFFERS; i++)
		wb_buffer_put(taken[i]);
}

static void settling_books_and_returns(void **state)
{
	struct fixture *f = *state;
	struct wb_buffer *buffer = wb_pool_take(&f->pool);
	struct wb_ledger_totals totals;

	assert_ptr_equal(&buffer->batch, buffer);
	buffer->batch.packets = 7;
	wb_ledger_accept(&f->ledger, 7, 0);
	wb_ledger_publish(&f->ledger, 7);
	buffer->batch.settle(&buffer->batch, WB_RESULT_FAILED, WB_CAUSE_IO);
	wb_ledger_snapshot(&f->ledger, &totals);
	assert_int_equal(totals.counters.failed, 7);
	assert_int_equal(totals.failed_by_cause[WB_CAUSE_IO], 7);
	assert_int_equal(totals.batches_in_flight, 0);
	assert_int_equal(wb_pool_free_count(&f->pool), BUFFERS);
}

/* The buffer comes back with the last outcome, which books all of them. */
static void records_are_booked_with_the_last(void **state)
{
	struct fixture *f = *state;
	struct wb_buffer *buffer = wb_pool_take(&f->pool);
	struct wb_batch *batch = &buffer->batch;
	struct wb_ledger_totals totals;
	struct wb_record records[10];

	for (int round = 0; round < 2; round++) {
		batch->packets = 10;
		wb_buffer_expect_records(buffer, records, 10);
		wb_ledger_accept(&f->ledger, 10, 0);
		wb_ledger_publish(&f->ledger, 10);
		assert_false(batch->settle_records(batch, 9, 1, WB_RESULT_DELIVERED, WB_CAUSE_NONE));
		assert_false(batch->settle_records(batch, 0, 4, WB_RESULT_FAILED, WB_CAUSE_TIMEOUT));
		assert_false(batch->settle_records(batch, 6, 2, WB_RESULT_UNKNOWN, WB_CAUSE_NONE));
		assert_false(batch->settle_records(batch, 8, 1, WB_RESULT_FAILED, WB_CAUSE_COUNT));
		wb_ledger_snapshot(&f->ledger, &totals);
		assert_int_equal(totals.counters.in_flight, 10);
		assert_int_equal(wb_pool_free_count(&f->pool), BUFFERS - 1);
		assert_true(batch->settle_records(batch, 4, 2, WB_RESULT_HANDED_OVER, WB_CAUSE_NONE));
		assert_int_equal(wb_pool_free_count(&f->pool), BUFFERS);
		assert_ptr_equal(wb_pool_take(&f->pool), buffer);
	}
	/* All alike, at once. */
	wb_buffer_expect_records(buffer, records, 10);
	wb_ledger_accept(&f->ledger, 10, 0);
	wb_ledger_publish(&f->ledger, 10);
	batch->settle(batch, WB_RESULT_FAILED, WB_CAUSE_SHUTDOWN);
	wb_ledger_snapshot(&f->ledger, &totals);
	assert_true(wb_ledger_balanced(&totals, false));
	assert_int_equal(totals.batches_in_flight, 0);
	assert_int_equal(totals.counters.delivered, 2);
	assert_int_equal(totals.counters.handed_over, 4);
	assert_int_equal(totals.counters.unknown, 4);
	assert_int_equal(totals.counters.failed, 20);
	assert_int_equal(totals.failed_by_cause[WB_CAUSE_TIMEOUT], 8);
	assert_int_equal(totals.failed_by_cause[WB_CAUSE_NONE], 2);
	assert_int_equal(totals.failed_by_cause[WB_CAUSE_SHUTDOWN], 10);
}

static void a_wait_ends_for_each_of_its_reasons(void **state)
{
	struct fixture *f = *state;
	struct wb_buffer *buffer = wb_pool_take(&f->pool);
	int stop_fd = eventfd(0, EFD_NONBLOCK);
	uint64_t began_ms = monotonic_ms();

	/* time */
	wb_pool_wait_begin(&f->wake);
	wb_pool_wait(&f->wake, stop_fd, 30);
	assert_in_range(monotonic_ms() - began_ms, 29, WAIT_MS);
	/* a buffer, returned before the wait itself */
	wb_buffer_put(buffer);
	began_ms = monotonic_ms();
	wb_pool_wait(&f->wake, stop_fd, 2 * WAIT_MS);
	assert_true(monotonic_ms() - began_ms < WAIT_MS);
	/* the stop */
	assert_int_equal(eventfd_write(stop_fd, 1), 0);
	began_ms = monotonic_ms();
	wb_pool_wait(&f->wake, stop_fd, 2 * WAIT_MS);
	assert_true(monotonic_ms() - began_ms < WAIT_MS);
	/* which is not waited for any more with -1 */
	wb_pool_wait(&f->wake, -1, 30);
	assert_in_range(monotonic_ms() - began_ms, 29, WAIT_MS);
	wb_pool_wait_end(&f->wake);
	close(stop_fd);
}

/* Returning to somebody who does not wait costs no system call, and leaves no wake-up behind. */
static void nobody_is_woken_who_does_not_wait(void **state)
{
	struct fixture *f = *state;
	struct pollfd fd = {.fd = f->wake.fd, .events = POLLIN};

	wb_buffer_put(wb_pool_take(&f->pool));
	assert_int_equal(poll(&fd, 1, 0), 0);
	wb_pool_wait_begin(&f->wake);
	wb_buffer_put(wb_pool_take(&f->pool));
	assert_int_equal(poll(&fd, 1, 0), 1);
	wb_pool_wait_end(&f->wake);
}

/* Ring of buffers from the owner to a returner; it holds all there are. */
struct returner {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct wb_buffer *queue[BUFFERS];
	unsigned int count;
	bool stop;
	bool mixed_up; /* a buffer did not hold what its owner wrote */
};

static void *return_main(void *context)
{
	struct returner *returner = context;

	pthread_mutex_lock(&returner->lock);
	for (;;) {
		struct wb_buffer *buffer;
		uint64_t written;

		while (!returner->count && !returner->stop)
			pthread_cond_wait(&returner->changed, &returner->lock);
		if (!returner->count)
			break;
		buffer = returner->queue[--returner->count];
		pthread_mutex_unlock(&returner->lock);
		memcpy(&written, buffer->memory, sizeof written);
		if (written != buffer->batch.batch_seq)
			returner->mixed_up = true;
		wb_buffer_put(buffer);
		pthread_mutex_lock(&returner->lock);
	}
	pthread_mutex_unlock(&returner->lock);
	return NULL;
}

static void give(struct returner *returner, struct wb_buffer *buffer)
{
	pthread_mutex_lock(&returner->lock);
	returner->queue[returner->count++] = buffer;
	pthread_cond_signal(&returner->changed);
	pthread_mutex_unlock(&returner->lock);
}

/* As a worker does it: begin, look once more, wait. Returns NULL when the time was over. */
static struct wb_buffer *take_waiting(struct fixture *f, uint64_t *waits)
{
	struct wb_buffer *buffer = wb_pool_take(&f->pool);
	uint64_t began_ms;

	if (buffer)
		return buffer;
	began_ms = monotonic_ms();
	wb_pool_wait_begin(&f->wake);
	while (!(buffer = wb_pool_take(&f->pool)) && monotonic_ms() - began_ms < WAIT_MS) {
		wb_pool_wait(&f->wake, -1, 2 * WAIT_MS);
		++*waits;
	}
	wb_pool_wait_end(&f->wake);
	return monotonic_ms() - began_ms < WAIT_MS ? buffer : NULL;
}

static void no_wake_up_is_missed(void **state)
{
	static struct returner returners[RETURNERS];
	struct fixture *f = *state;
	uint64_t waits = 0;

	for (size_t i = 0; i < RETURNERS; i++) {
		pthread_mutex_init(&returners[i].lock, NULL);
		pthread_cond_init(&returners[i].changed, NULL);
		assert_int_equal(pthread_create(&returners[i].thread, NULL, return_main, &returners[i]), 0);
	}
	for (uint64_t round = 0; round < ROUNDS; round++) {
		struct wb_buffer *buffer = take_waiting(f, &waits);

		assert_non_null(buffer);
		buffer->batch.batch_seq = round;
		memcpy(buffer->memory, &round, sizeof round);
		give(&returners[round % RETURNERS], buffer);
	}
	for (size_t i = 0; i < RETURNERS; i++) {
		pthread_mutex_lock(&returners[i].lock);
		returners[i].stop = true;
		pthread_cond_signal(&returners[i].changed);
		pthread_mutex_unlock(&returners[i].lock);
		pthread_join(returners[i].thread, NULL);
		assert_false(returners[i].mixed_up);
		pthread_cond_destroy(&returners[i].changed);
		pthread_mutex_destroy(&returners[i].lock);
	}
	assert_int_equal(wb_pool_free_count(&f->pool), BUFFERS);
	/* Otherwise nothing was proved. */
	assert_true(waits > 100);
}

/* One buffer between two threads: every take of the second kind has to wait. */
static void no_wake_up_is_missed_with_one_buffer(void **state)
{
	static struct returner returner;
	struct fixture *f = *state;
	struct wb_buffer *kept[BUFFERS - 1];
	uint64_t waits = 0;

	for (size_t i = 0; i < BUFFERS - 1; i++)
		kept[i] = wb_pool_take(&f->pool);
	pthread_mutex_init(&returner.lock, NULL);
	pthread_cond_init(&returner.changed, NULL);
	assert_int_equal(pthread_create(&returner.thread, NULL, return_main, &returner), 0);
	for (uint64_t round = 0; round < ROUNDS / 4; round++) {
		struct wb_buffer *buffer = take_waiting(f, &waits);

		assert_non_null(buffer);
		buffer->batch.batch_seq = round;
		memcpy(buffer->memory, &round, sizeof round);
		give(&returner, buffer);
	}
	pthread_mutex_lock(&returner.lock);
	returner.stop = true;
	pthread_cond_signal(&returner.changed);
	pthread_mutex_unlock(&returner.lock);
	pthread_join(returner.thread, NULL);
	pthread_cond_destroy(&returner.changed);
	pthread_mutex_destroy(&returner.lock);
	assert_false(returner.mixed_up);
	assert_true(waits > 100);
	for (size_t i = 0; i < BUFFERS - 1; i++)
		wb_buffer_put(kept[i]);
}

static void a_pool_too_large_fails(void **state)
{
	struct fixture *f = *state;
	struct wb_pool pool;

	assert_int_equal(wb_pool_init(&pool, 4096, (size_t)1 << 40, &f->wake, &f->ledger), -12);
	wb_pool_fini(&pool); /* zeroed: allowed */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(buffers_run_out_and_come_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_headroom_is_the_buffers_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_last_reference_returns_the_buffer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(settling_books_and_returns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(records_are_booked_with_the_last, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_wait_ends_for_each_of_its_reasons, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody_is_woken_who_does_not_wait, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_wake_up_is_missed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_wake_up_is_missed_with_one_buffer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_pool_too_large_fails, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
