/* SPDX-License-Identifier: Apache-2.0 */
/* A worker with a spool between itself and a bus that is full, stands still, gives batches back, or ends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "log.h"
#include "spool_rig.h"
#include "worker_rig.h"

#define MIB ((uint64_t)1 << 20)

static struct wb_spool *spool;
static uint64_t spool_bytes;

static uint32_t length_100(uint64_t n)
{
	return 100;
}

static void pause_ms(unsigned int ms)
{
	struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&pause, NULL);
}

static void prepare(struct rig *rig)
{
	struct wb_error error = {""};

	spool = spool_rig_open(spool_bytes, 65536, 1);
	assert_int_equal(wb_worker_spool_init(&rig->worker, wb_spool_queue(spool, 0), &error), 0);
}

/* Four buffers, ten packets in each. */
static void init(struct rig *rig, uint64_t bytes)
{
	rig_init(rig);
	rig->config.buffers = 4;
	rig->config.batch_packets = 10;
	rig->config.batch_age_ms = 60000;
	rig->config.on_full = WB_ON_FULL_SPOOL;
	rig->length = length_100;
	rig->prepare = prepare;
	spool_bytes = bytes;
}

static void fini(struct rig *rig)
{
	rig_fini(rig);
	wb_spool_close(spool);
}

static void push_leases(struct rig *rig, size_t leases)
{
	for (size_t i = 0; i < leases; i++)
		rig_push(rig, 10);
}

static void snapshot(struct rig *rig, struct wb_ledger_totals *ret_totals)
{
	wb_ledger_snapshot(&rig->worker.ledger, ret_totals);
	assert_true(wb_ledger_balanced(ret_totals, false));
}

static void wait_for(struct rig *rig, uint64_t delivered)
{
	struct wb_ledger_totals totals;

	for (int i = 0; i < RIG_PATIENCE_MS; i++) {
		snapshot(rig, &totals);
		if (totals.counters.delivered == delivered)
			return;
		pause_ms(1);
	}
	fail_msg("%llu packets delivered, not %llu", (unsigned long long)totals.counters.delivered,
		(unsigned long long)delivered);
}

/* The ring is read to its end although the bus stands still; when it goes on, everything comes, in order, once. */
static void capture_goes_on_while_the_bus_stands_still(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;

	init(&rig, 16 * MIB);
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	rig_start(&rig);
	push_leases(&rig, 200);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.accepted, 2000);
	assert_int_equal(totals.counters.dropped, 0);
	assert_true(totals.counters.spooled >= 2000 - 10 * (4 + 16));
	assert_int_equal(totals.counters.spooled + totals.counters.in_flight + totals.counters.open, 2000);
	/* There is a buffer for what comes next. */
	assert_true(wb_pool_free_count(&rig.worker.pool) >= 1);
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	wait_for(&rig, 2000);
	push_leases(&rig, 50);
	rig_end_complete(&rig, &seen);
	assert_int_equal(seen.batches, 250);
	fini(&rig);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

static void a_full_bus_is_no_loss(void **state)
{
	struct rig_seen seen;
	struct rig rig;

	init(&rig, 16 * MIB);
	rig_start(&rig);
	for (int round = 0; round < 5; round++) {
		push_leases(&rig, 10);
		fake_bus_refuse(&rig.bus, -EAGAIN, FAKE_FOR_EVER);
		push_leases(&rig, 30);
		assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
		fake_bus_refuse(&rig.bus, 0, 0);
		wait_for(&rig, 400 * ((uint64_t)round + 1));
	}
	rig_end_complete(&rig, &seen);
	assert_int_equal(seen.batches, 200);
	fini(&rig);
}

/* What does not fit is counted to the packet, and is the hole that a consumer sees. */
static void what_the_spool_cannot_hold_is_counted(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;

	init(&rig, 20 * WB_SPOOL_LEAST_CHARGE);
	fake_bus_refuse(&rig.bus, -EAGAIN, FAKE_FOR_EVER);
	rig_start(&rig);
	push_leases(&rig, 50);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.spooled, 200);
	assert_int_equal(totals.counters.dropped_spool_full, 300);
	fake_bus_refuse(&rig.bus, 0, 0);
	wait_for(&rig, 200);
	push_leases(&rig, 5);
	rig_stop(&rig);
	rig_judge(&rig, &seen);
	rig_judge_ledger(&rig, &seen, &totals);
	assert_int_equal(seen.packets, 250);
	assert_int_equal(seen.holes, 300);
	assert_int_equal(seen.batch_holes, 30);
	assert_int_equal(totals.counters.dropped_spool_full, 300);
	assert_int_equal(totals.counters.dropped, 300);
	assert_int_equal(totals.counters.delivered, 250);
	fini(&rig);
}

static void heartbeats_do_not_overtake(void **state)
{
	struct rig_seen seen;
	struct rig rig;

	init(&rig, 16 * MIB);
	rig.config.heartbeat_ms = 10;
	fake_bus_refuse(&rig.bus, -EAGAIN, FAKE_FOR_EVER);
	rig_start(&rig);
	push_leases(&rig, 20);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	pause_ms(50);
	fake_bus_refuse(&rig.bus, 0, 0);
	wait_for(&rig, 200);
	assert_true(fake_bus_wait_messages(&rig.bus, 22, RIG_PATIENCE_MS));
	rig_end_complete(&rig, &seen); /* in order, no number missing */
	assert_true(seen.heartbeats >= 2);
	fini(&rig);
}

/* At the stop what the bus did not take stays in the spool, with the end of stream, for the next process. */
static void the_rest_stays_for_the_next_process(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig first, second;

	init(&first, 16 * MIB);
	first.flush_ms = 50;
	fake_bus_refuse(&first.bus, -EAGAIN, FAKE_FOR_EVER);
	rig_start(&first);
	push_leases(&first, 20);
	rig_stop(&first);
	snapshot(&first, &totals);
	assert_int_equal(fake_bus_messages(&first.bus), 0);
	assert_int_equal(totals.counters.spooled, 200);
	assert_int_equal(totals.counters.open + totals.counters.in_flight + totals.counters.dropped, 0);
	assert_true(atomic_load(&first.worker.streams[0].has_end));
	assert_int_equal(atomic_load(&first.worker.exit_code), 0);

	wb_spool_close(spool);
	init(&second, 16 * MIB);
	second.config.heartbeat_ms = 60000;
	rig_start(&second);
	snapshot(&second, &totals);
	assert_int_equal(totals.counters.recovered, 200);
	assert_true(fake_bus_wait_messages(&second.bus, 21, RIG_PATIENCE_MS));
	wait_for(&second, 200);
	/* The same judgement as if the first bus had taken it all. */
	second.pushed = 200;
	rig_judge(&second, &seen);
	assert_int_equal(seen.packets, 200);
	assert_int_equal(seen.holes + seen.batch_holes, 0);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(seen.end_counters.spooled, 200);
	rig_stop(&second);
	snapshot(&second, &totals);
	assert_int_equal(totals.counters.delivered, 200);
	assert_int_equal(totals.counters.accepted, 0);
	rig_fini(&first);
	fini(&second);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

/* Sequence numbers of the messages in the order in which the bus got them. */
static void assert_sequence(struct rig *rig, const uint64_t *expected, size_t count)
{
	assert_true(fake_bus_wait_messages(&rig->bus, count, RIG_PATIENCE_MS));
	for (size_t i = 0; i < count; i++)
		assert_int_equal(rig->bus.messages[i].batch.batch_seq, expected[i]);
}

/* Batches in flight that come back are sent again, as they were, before anything newer. */
static void what_comes_back_is_sent_again(void **state)
{
	static const struct {
		enum wb_result result;
		enum wb_cause cause;
	} outcomes[] = {{WB_RESULT_FAILED, WB_CAUSE_TIMEOUT}, {WB_RESULT_FAILED, WB_CAUSE_DENIED},
		{WB_RESULT_FAILED, WB_CAUSE_IO}, {WB_RESULT_FAILED, WB_CAUSE_SHUTDOWN},
		{WB_RESULT_UNKNOWN, WB_CAUSE_NONE}};
	static const uint64_t sequence[] = {1, 2, 1, 2, 3, 4, 5, 6};

	for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
		struct wb_ledger_totals totals;
		struct rig rig;

		init(&rig, 16 * MIB);
		fake_bus_set_settling(&rig.bus, FAKE_HOLD);
		rig.bus.result = outcomes[i].result;
		rig.bus.cause = outcomes[i].cause;
		rig_start(&rig);
		push_leases(&rig, 2);
		assert_true(fake_bus_wait_messages(&rig.bus, 2, RIG_PATIENCE_MS));
		assert_int_equal(fake_bus_release(&rig.bus, 2), 2);
		rig.bus.result = WB_RESULT_DELIVERED;
		rig.bus.cause = WB_CAUSE_NONE;
		fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
		push_leases(&rig, 3);
		wait_for(&rig, 50);
		rig_stop(&rig);
		assert_sequence(&rig, sequence, 8);
		snapshot(&rig, &totals);
		assert_int_equal(totals.counters.failed + totals.counters.unknown + totals.counters.dropped, 0);
		assert_int_equal(totals.counters.delivered, 50);
		assert_int_equal(totals.counters.spooled, 0);
		assert_int_equal(rig.bus.messages[0].batch.size, rig.bus.messages[2].batch.size);
		assert_memory_equal(rig.bus.messages[0].data, rig.bus.messages[2].data, rig.bus.messages[0].batch.size);
		fini(&rig);
	}
}

/* The same with batches that were read back from disk: they are there still. */
static void what_was_read_back_and_failed_is_sent_again(void **state)
{
	static const uint64_t sequence[] = {1, 2, 3, 1, 2, 3, 4, 5, 6};
	struct wb_ledger_totals totals;
	struct rig rig;

	init(&rig, 16 * MIB);
	fake_bus_refuse(&rig.bus, -EAGAIN, FAKE_FOR_EVER);
	rig_start(&rig);
	push_leases(&rig, 3);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	rig.bus.result = WB_RESULT_UNKNOWN;
	fake_bus_refuse(&rig.bus, 0, 0);
	assert_true(fake_bus_wait_messages(&rig.bus, 3, RIG_PATIENCE_MS));
	assert_int_equal(fake_bus_release(&rig.bus, 3), 3);
	rig.bus.result = WB_RESULT_DELIVERED;
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	push_leases(&rig, 2);
	wait_for(&rig, 50);
	rig_stop(&rig);
	assert_sequence(&rig, sequence, 9);
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.unknown, 0);
	fini(&rig);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

/* What another try cannot help is over. */
static void what_is_refused_for_good_is_counted(void **state)
{
	static const enum wb_cause causes[] = {WB_CAUSE_TOO_LARGE, WB_CAUSE_REFUSED, WB_CAUSE_NONE};

	for (size_t i = 0; i < 3; i++) {
		for (int spooled = 0; spooled < 2; spooled++) {
			struct wb_ledger_totals totals;
			struct rig rig;

			init(&rig, 16 * MIB);
			rig.bus.result = WB_RESULT_FAILED;
			rig.bus.cause = causes[i];
			if (spooled)
				fake_bus_refuse(&rig.bus, -EAGAIN, 1);
			rig_start(&rig);
			push_leases(&rig, 3);
			rig_stop(&rig);
			snapshot(&rig, &totals);
			assert_int_equal(totals.counters.failed, 30);
			assert_int_equal(totals.failed_by_cause[causes[i]], 30);
			assert_int_equal(totals.counters.spooled, 0);
			assert_int_equal(fake_bus_messages(&rig.bus), 4);
			fini(&rig);
		}
	}
}

static void what_the_bus_never_takes_is_dropped(void **state)
{
	struct wb_ledger_totals totals;
	struct rig rig;

	init(&rig, 16 * MIB);
	fake_bus_refuse(&rig.bus, -EAGAIN, FAKE_FOR_EVER);
	rig_start(&rig);
	push_leases(&rig, 3);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	fake_bus_refuse(&rig.bus, -EMSGSIZE, 1);
	wait_for(&rig, 20);
	rig_stop(&rig);
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.failed, 10);
	assert_int_equal(totals.failed_by_cause[WB_CAUSE_TOO_LARGE], 10);
	fini(&rig);
}

/* What the transport gives up when it is closed goes to disk, not away; the end of stream as well. */
static void what_a_closed_bus_gives_up_goes_to_disk(void **state)
{
	struct wb_ledger_totals totals;
	struct wb_spool_queue *queue;
	struct rig rig;

	init(&rig, 16 * MIB);
	rig.flush_ms = 50;
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	rig_start(&rig);
	push_leases(&rig, 10);
	rig_stop(&rig);
	rig.bus.result = WB_RESULT_FAILED;
	rig.bus.cause = WB_CAUSE_SHUTDOWN;
	assert_true(fake_bus_release(&rig.bus, SIZE_MAX) > 3);
	wb_worker_spool_finish(&rig.worker);
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.spooled, 100);
	assert_int_equal(totals.counters.accepted, 100);
	assert_int_equal(totals.batches_in_flight, 0);
	assert_true(atomic_load(&rig.worker.streams[0].has_end));
	fini(&rig);
	/* In the order of their numbers, however they were written. */
	spool = spool_rig_open(16 * MIB, 65536, 1);
	queue = wb_spool_queue(spool, 0);
	for (uint64_t seq = 1; seq <= 11; seq++) {
		struct wb_spool_entry *entry = wb_spool_next(queue);
		uint8_t memory[16384];
		struct wb_spool_item item;

		assert_non_null(entry);
		assert_int_equal(wb_spool_read(queue, entry, memory, &item), 0);
		assert_int_equal(item.batch.batch_seq, seq);
		assert_int_equal(item.batch.packets, seq <= 10 ? 10 : 0);
		wb_spool_settled(queue, entry);
	}
	assert_null(wb_spool_next(queue));
	wb_spool_close(spool);
}

/* A bus that fails for good ends the capture; its packets are on disk. */
static void a_failed_bus_leaves_everything_on_disk(void **state)
{
	struct wb_ledger_totals totals;
	struct rig rig;

	init(&rig, 16 * MIB);
	fake_bus_refuse(&rig.bus, -ESHUTDOWN, FAKE_FOR_EVER);
	push_leases(&rig, 10);
	rig_start(&rig);
	rig_join(&rig);
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.spooled, totals.counters.accepted);
	assert_true(totals.counters.spooled > 0);
	assert_int_equal(totals.counters.dropped, 0);
	assert_int_equal(atomic_load(&rig.worker.exit_code), -ESHUTDOWN);
	fini(&rig);
}

/* Oversize frames have few buffers, which a bus that stands still would keep. */
static uint32_t now_and_then_large(uint64_t n)
{
	return n % 4 ? 100 : 30000;
}

static void large_frames_are_spooled_as_well(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;

	init(&rig, 64 * MIB);
	rig.length = now_and_then_large;
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	rig_start(&rig);
	push_leases(&rig, 20);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.accepted, 200);
	assert_int_equal(totals.counters.dropped, 0);
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	rig_end_complete(&rig, &seen);
	fini(&rig);
}

/* With a long spool and a bus that takes everything at once: called as the worker does between blocks of the ring. */
static void prepare_long(struct rig *rig)
{
	struct wb_error error = {""};
	size_t before = 0;
	bool more = true;

	spool = spool_rig_open(spool_bytes, 65536, 1);
	for (uint64_t seq = 1; seq <= 100; seq++)
		assert_int_equal(spool_rig_append(wb_spool_queue(spool, 0), 1, 1, seq, 3000), 0);
	wb_spool_close(spool);
	spool = spool_rig_open(spool_bytes, 65536, 1);
	assert_int_equal(wb_worker_spool_init(&rig->worker, wb_spool_queue(spool, 0), &error), 0);
	while (more) {
		size_t after;

		wb_worker_publish_rest(&rig->worker);
		more = rig->worker.backlog;
		after = fake_bus_messages(&rig->bus);
		assert_in_range(after - before, 1, 20);
		before = after;
		/* The bus would take more, so the ring is looked at and not waited for. */
		assert_true(!more || wb_worker_until_due_ms(&rig->worker) == 0);
	}
	assert_int_equal(before, 100);
}

static void the_ring_is_read_between(void **state)
{
	struct wb_ledger_totals totals;
	struct rig rig;

	init(&rig, 16 * MIB);
	rig.prepare = prepare_long;
	rig_start(&rig);
	rig_stop(&rig);
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.recovered, 100 * SPOOL_RIG_PACKETS);
	assert_int_equal(totals.counters.delivered, 100 * SPOOL_RIG_PACKETS);
	fini(&rig);
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, spool_rig_setup, spool_rig_teardown)
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(capture_goes_on_while_the_bus_stands_still),
		SPOOL_TEST(a_full_bus_is_no_loss),
		SPOOL_TEST(what_the_spool_cannot_hold_is_counted),
		SPOOL_TEST(heartbeats_do_not_overtake),
		SPOOL_TEST(the_rest_stays_for_the_next_process),
		SPOOL_TEST(what_comes_back_is_sent_again),
		SPOOL_TEST(what_was_read_back_and_failed_is_sent_again),
		SPOOL_TEST(what_is_refused_for_good_is_counted),
		SPOOL_TEST(what_the_bus_never_takes_is_dropped),
		SPOOL_TEST(what_a_closed_bus_gives_up_goes_to_disk),
		SPOOL_TEST(a_failed_bus_leaves_everything_on_disk),
		SPOOL_TEST(large_frames_are_spooled_as_well),
		SPOOL_TEST(the_ring_is_read_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
