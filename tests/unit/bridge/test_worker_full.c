/* SPDX-License-Identifier: Apache-2.0 */
/* A worker with a bus that is slower than the wire, or full: what it waits for, what it drops, what it counts. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "worker_rig.h"

static uint32_t length_100(uint64_t n)
{
	return 100;
}

static void pause_ms(unsigned int ms)
{
	struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&pause, NULL);
}

/* Four buffers, ten packets in each. */
static void init_small(struct rig *rig, enum wb_on_full on_full)
{
	rig_init(rig);
	rig->config.buffers = 4;
	rig->config.batch_packets = 10;
	rig->config.batch_age_ms = 60000;
	rig->config.on_full = on_full;
	rig->length = length_100;
}

static void push_leases(struct rig *rig, size_t leases)
{
	for (size_t i = 0; i < leases; i++)
		rig_push(rig, 10);
}

/* The ring is not read while no buffer is free: it stays at the lease whose packets wait for one. */
static void assert_stands_still(struct rig *rig, uint64_t leases, size_t messages)
{
	assert_true(fake_bus_wait_messages(&rig->bus, messages, RIG_PATIENCE_MS));
	for (int i = 0; fake_ring_leases(&rig->ring) < leases && i < RIG_PATIENCE_MS; i++)
		pause_ms(1);
	pause_ms(60);
	assert_int_equal(fake_ring_leases(&rig->ring), leases);
	assert_int_equal(fake_bus_messages(&rig->bus), messages);
}

static void block_stops_reading_and_loses_nothing(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	push_leases(&rig, 20);
	rig_start(&rig);
	assert_stands_still(&rig, 5, 4);
	assert_int_equal(wb_pool_free_count(&rig.worker.pool), 0);
	wb_ledger_snapshot(&rig.worker.ledger, &totals);
	assert_true(wb_ledger_balanced(&totals, false));
	assert_int_equal(totals.counters.in_flight, 40);
	assert_int_equal(totals.batches_in_flight, 4);
	assert_int_equal(totals.counters.kernel_seen, 200);
	/* One buffer back: one batch more. */
	assert_int_equal(fake_bus_release(&rig.bus, 1), 1);
	assert_stands_still(&rig, 6, 5);
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	assert_true(fake_bus_wait_messages(&rig.bus, 20, RIG_PATIENCE_MS));
	rig_end_complete(&rig, &seen);
	assert_int_equal(seen.batches, 20);
	rig_fini(&rig);
}

/* A buffer that returns wakes the worker; it does not find it at the next look, which is up to 100 ms later. */
static void a_returning_buffer_wakes_the_worker(void **state)
{
	uint64_t least_ns = UINT64_MAX;
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	push_leases(&rig, 16);
	rig_start(&rig);
	assert_true(fake_bus_wait_messages(&rig.bus, 4, RIG_PATIENCE_MS));
	for (size_t i = 5; i <= 16; i++) {
		uint64_t began_ns;

		pause_ms(10);
		began_ns = wb_monotonic_ns();
		assert_int_equal(fake_bus_release(&rig.bus, 1), 1);
		assert_true(fake_bus_wait_messages(&rig.bus, i, RIG_PATIENCE_MS));
		if (wb_monotonic_ns() - began_ns < least_ns)
			least_ns = wb_monotonic_ns() - began_ns;
	}
	assert_true(least_ns < 50 * 1000000u);
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	rig_end_complete(&rig, &seen);
	rig_fini(&rig);
}

static void block_waits_for_a_full_bus(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	fake_bus_refuse(&rig.bus, -EAGAIN, FAKE_FOR_EVER);
	push_leases(&rig, 20);
	rig_start(&rig);
	assert_true(fake_bus_wait_refused(&rig.bus, 10, RIG_PATIENCE_MS));
	/* The first batch is offered again and again, and nothing is read meanwhile. */
	assert_int_equal(fake_ring_leases(&rig.ring), 1);
	wb_ledger_snapshot(&rig.worker.ledger, &totals);
	assert_true(wb_ledger_balanced(&totals, false));
	assert_int_equal(totals.counters.open + totals.counters.in_flight, 10);
	fake_bus_refuse(&rig.bus, 0, 0);
	assert_true(fake_bus_wait_messages(&rig.bus, 20, RIG_PATIENCE_MS));
	rig_end_complete(&rig, &seen);
	rig_fini(&rig);
}

static void block_takes_a_refusal_for_a_delay(void **state)
{
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	fake_bus_refuse(&rig.bus, -EAGAIN, 3);
	push_leases(&rig, 10);
	rig_start(&rig);
	assert_true(fake_bus_wait_messages(&rig.bus, 10, RIG_PATIENCE_MS));
	assert_int_equal(fake_bus_refused(&rig.bus), 3);
	rig_end_complete(&rig, &seen);
	assert_int_equal(seen.batches, 10);
	rig_fini(&rig);
}

static void drop_goes_on_reading_without_a_buffer(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_DROP);
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	push_leases(&rig, 20);
	rig_start(&rig);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	assert_int_equal(fake_bus_messages(&rig.bus), 4);
	wb_ledger_snapshot(&rig.worker.ledger, &totals);
	assert_int_equal(totals.counters.dropped_no_buffer, 160);
	assert_int_equal(totals.counters.in_flight, 40);
	fake_bus_release(&rig.bus, 4);
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_NOW);
	push_leases(&rig, 3);
	assert_true(fake_bus_wait_messages(&rig.bus, 7, RIG_PATIENCE_MS));
	rig_stop(&rig);
	rig_judge(&rig, &seen);
	rig_judge_ledger(&rig, &seen, &totals);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(seen.packets, 70);
	assert_int_equal(seen.holes, 160);
	assert_int_equal(seen.batch_holes, 0); /* they never were in a batch */
	assert_true(rig.present[40] && !rig.present[41] && !rig.present[200] && rig.present[201]);
	assert_int_equal(totals.counters.dropped, 160);
	assert_int_equal(totals.counters.dropped_no_buffer, 160);
	assert_int_equal(totals.counters.delivered, 70);
	rig_fini(&rig);
}

static void drop_does_not_wait_for_a_full_bus(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_DROP);
	push_leases(&rig, 3);
	rig_start(&rig);
	assert_true(fake_bus_wait_messages(&rig.bus, 3, RIG_PATIENCE_MS));
	fake_bus_refuse(&rig.bus, -EAGAIN, 5);
	push_leases(&rig, 10);
	assert_true(fake_bus_wait_messages(&rig.bus, 8, RIG_PATIENCE_MS));
	rig_stop(&rig);
	rig_judge(&rig, &seen);
	rig_judge_ledger(&rig, &seen, &totals);
	assert_int_equal(fake_bus_refused(&rig.bus), 5); /* each offered once */
	assert_int_equal(seen.packets, 80);
	assert_int_equal(seen.holes, 50);
	assert_int_equal(seen.batch_holes, 5);
	assert_true(rig.present[30] && !rig.present[31] && !rig.present[80] && rig.present[81]);
	assert_int_equal(totals.counters.dropped_bus_full, 50);
	assert_int_equal(totals.counters.dropped, 50);
	rig_fini(&rig);
}

static void what_the_bus_never_takes_is_dropped(void **state)
{
	static const enum wb_on_full policies[] = {WB_ON_FULL_BLOCK, WB_ON_FULL_DROP};

	for (size_t i = 0; i < 2; i++) {
		struct wb_ledger_totals totals;
		struct rig_seen seen;
		struct rig rig;

		init_small(&rig, policies[i]);
		fake_bus_refuse(&rig.bus, -EMSGSIZE, 2);
		push_leases(&rig, 6);
		rig_start(&rig);
		assert_true(fake_bus_wait_messages(&rig.bus, 4, RIG_PATIENCE_MS));
		rig_stop(&rig);
		rig_judge(&rig, &seen);
		rig_judge_ledger(&rig, &seen, &totals);
		assert_int_equal(seen.packets, 40);
		assert_int_equal(seen.holes, 20);
		assert_int_equal(seen.batch_holes, 2);
		assert_int_equal(totals.counters.dropped_too_large, 20);
		assert_int_equal(atomic_load(&rig.worker.exit_code), 0);
		rig_fini(&rig);
	}
}

/* A full bus refuses heartbeats too: no number is used up, and they are not tried in a loop. */
static void refused_heartbeats_leave_no_hole(void **state)
{
	struct rig_seen seen;
	struct rig rig;
	uint64_t refused;

	init_small(&rig, WB_ON_FULL_BLOCK);
	rig.config.heartbeat_ms = 20;
	fake_bus_refuse(&rig.bus, -EAGAIN, FAKE_FOR_EVER);
	rig_start(&rig);
	assert_true(fake_bus_wait_refused(&rig.bus, 4, RIG_PATIENCE_MS));
	refused = fake_bus_refused(&rig.bus);
	assert_true(refused <= 1 + (wb_monotonic_ns() - rig.started_ns) / (20 * 1000000u));
	fake_bus_refuse(&rig.bus, 0, 0);
	assert_true(fake_bus_wait_messages(&rig.bus, 2, RIG_PATIENCE_MS));
	rig_end_complete(&rig, &seen);
	assert_true(seen.heartbeats >= 2);
	rig_fini(&rig);
}

/* Heartbeats have buffers of their own: packets that are held do not keep them back, as long as nothing is waiting. */
static void heartbeats_go_on_without_free_buffers(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	rig.config.heartbeat_ms = 20;
	rig.flush_ms = 50;
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	push_leases(&rig, 4);
	rig_start(&rig);
	/* 4 control buffers, and all of them are held. */
	assert_true(fake_bus_wait_messages(&rig.bus, 8, RIG_PATIENCE_MS));
	pause_ms(100);
	assert_int_equal(fake_bus_messages(&rig.bus), 8);
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	assert_true(fake_bus_wait_messages(&rig.bus, 10, RIG_PATIENCE_MS));
	rig_stop(&rig);
	rig_judge(&rig, &seen);
	rig_judge_ledger(&rig, &seen, &totals);
	assert_int_equal(seen.packets, 40);
	assert_int_equal(seen.batch_holes, 0);
	assert_true(seen.heartbeats >= 6);
	rig_fini(&rig);
}

/*
 * A transport that keeps what it can is told that nothing is free before frames that travel alone, heartbeats or the
 * end of stream have no buffer left, however many the large pool has.
 */
static void small_pools_are_not_used_up(void **state)
{
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	rig_stop(&rig);
	assert_int_equal(wb_worker_free_buffers(&rig.worker), rig.config.buffers);
	for (int i = 0; i < 2; i++) {
		struct wb_pool *pool = i ? &rig.worker.control : &rig.worker.oversize;
		struct wb_buffer *taken[3];

		for (int n = 0; n < 3; n++) {
			taken[n] = wb_pool_take(pool);
			assert_non_null(taken[n]);
			assert_int_equal(wb_worker_free_buffers(&rig.worker), n < 2 ? rig.config.buffers : 0);
		}
		for (int n = 0; n < 3; n++)
			wb_buffer_put(taken[n]);
		assert_int_equal(wb_worker_free_buffers(&rig.worker), rig.config.buffers);
	}
	rig_fini(&rig);
}

/* While the bus takes nothing, a packet now and then does not use a whole buffer up: batches wait and fill up. */
static void few_packets_do_not_use_up_the_buffers(void **state)
{
	struct rig_seen seen;
	struct rig rig;

	rig_init(&rig);
	rig.config.buffers = 8;
	rig.config.batch_age_ms = 1;
	rig.length = length_100;
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	rig_start(&rig);
	for (int i = 0; i < 60; i++) {
		rig_push(&rig, 1);
		pause_ms(5);
	}
	/* All of them were read. With a batch for each, the worker would wait for a buffer at the ninth. */
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	assert_true(fake_bus_messages(&rig.bus) < 8);
	/* Once the bus goes on, so does the batch that was held back, without a further packet. */
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	assert_true(fake_bus_wait_messages(&rig.bus, 8, RIG_PATIENCE_MS));
	rig_end_complete(&rig, &seen);
	assert_int_equal(seen.packets, 60);
	rig_fini(&rig);
}

/* Pushes while the worker runs and looks at its ledger all the time. */
static void *watch(void *context)
{
	struct rig *rig = context;

	for (;;) {
		struct wb_ledger_totals totals;
		const struct wbproto_counters *c = &totals.counters;

		wb_worker_totals(&rig->worker, &totals);
		if (!wb_ledger_balanced(&totals, false) || c->in_flight > 40)
			return context;
		if (c->kernel_seen < c->read + c->kernel_dropped)
			return context;
		if (atomic_load(&rig->worker.ended))
			return NULL;
	}
}

static void nothing_is_lost_with_a_slow_bus(void **state)
{
	struct rig_seen seen;
	pthread_t watcher;
	void *failed;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	rig.config.batch_age_ms = 1;
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	rig_start(&rig);
	assert_int_equal(pthread_create(&watcher, NULL, watch, &rig), 0);
	for (size_t i = 0; i < 1500; i++) {
		if (i % 10 == 0)
			fake_bus_refuse(&rig.bus, -EAGAIN, 1);
		rig_push(&rig, 1 + i % 17);
	}
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	rig_end_complete(&rig, &seen);
	pthread_join(watcher, &failed);
	assert_null(failed);
	assert_true(rig.bus.most_held <= 4 + 1); /* all buffers, and the end of stream */
	rig_fini(&rig);
}

static void seven_more_are_seen_and_read(void *context)
{
	struct rig *rig = context;

	rig->ring.counters.seen += 7;
	wb_ledger_accept(&rig->worker.ledger, 7, 0);
}

/* Whoever looks on is told of no packet that the kernel has not seen, though the worker goes on meanwhile. */
static void no_more_is_read_than_seen(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	push_leases(&rig, 3);
	rig_start(&rig);
	rig_end_complete(&rig, &seen);
	rig.ring.after_stats = seven_more_are_seen_and_read;
	rig.ring.after_stats_context = &rig;
	wb_worker_totals(&rig.worker, &totals);
	assert_int_equal(totals.counters.kernel_seen, 30);
	assert_int_equal(totals.counters.read, 30);
	wb_worker_totals(&rig.worker, &totals);
	assert_int_equal(totals.counters.kernel_seen, 37);
	assert_int_equal(totals.counters.read, 37);
	rig.ring.after_stats = NULL;
	rig_fini(&rig);
}

static void outcomes_are_booked(void **state)
{
	static const enum wb_result results[] = {
		WB_RESULT_DELIVERED, WB_RESULT_HANDED_OVER, WB_RESULT_FAILED, WB_RESULT_UNKNOWN};

	for (size_t i = 0; i < 4; i++) {
		struct wb_ledger_totals totals;
		const struct wbproto_counters *c = &totals.counters;
		struct rig_seen seen;
		struct rig rig;

		init_small(&rig, WB_ON_FULL_BLOCK);
		rig.bus.result = results[i];
		rig.bus.cause = WB_CAUSE_DENIED;
		push_leases(&rig, 3);
		rig_start(&rig);
		rig_stop(&rig);
		rig_judge(&rig, &seen);
		rig_judge_ledger(&rig, &seen, &totals);
		assert_int_equal(c->delivered, results[i] == WB_RESULT_DELIVERED ? 30 : 0);
		assert_int_equal(c->handed_over, results[i] == WB_RESULT_HANDED_OVER ? 30 : 0);
		assert_int_equal(c->failed, results[i] == WB_RESULT_FAILED ? 30 : 0);
		assert_int_equal(c->unknown, results[i] == WB_RESULT_UNKNOWN ? 30 : 0);
		assert_int_equal(totals.failed_by_cause[WB_CAUSE_DENIED], c->failed);
		rig_fini(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(block_stops_reading_and_loses_nothing),
		cmocka_unit_test(a_returning_buffer_wakes_the_worker),
		cmocka_unit_test(block_waits_for_a_full_bus),
		cmocka_unit_test(block_takes_a_refusal_for_a_delay),
		cmocka_unit_test(drop_goes_on_reading_without_a_buffer),
		cmocka_unit_test(drop_does_not_wait_for_a_full_bus),
		cmocka_unit_test(what_the_bus_never_takes_is_dropped),
		cmocka_unit_test(refused_heartbeats_leave_no_hole),
		cmocka_unit_test(heartbeats_go_on_without_free_buffers),
		cmocka_unit_test(small_pools_are_not_used_up),
		cmocka_unit_test(few_packets_do_not_use_up_the_buffers),
		cmocka_unit_test(nothing_is_lost_with_a_slow_bus),
		cmocka_unit_test(no_more_is_read_than_seen),
		cmocka_unit_test(outcomes_are_booked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
