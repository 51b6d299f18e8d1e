/* SPDX-License-Identifier: Apache-2.0 */
/* How a worker ends: asked to, for lack of time, because its interface or its bus is gone. */
#include <errno.h>
#include <net/if_arp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "log.h"
#include "worker_rig.h"

/* What a loaded machine may need beyond the time that is set. */
#define SLACK_MS 1500

static uint32_t length_100(uint64_t n)
{
	return 100;
}

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

static uint64_t elapsed_ms(const struct rig *rig, uint64_t since_ns)
{
	return (rig->ended_ns - since_ns) / 1000000u;
}

static void stop_drains_the_ring(void **state)
{
	static const enum fake_settling settlings[] = {FAKE_SETTLE_NOW, FAKE_SETTLE_LATER};
	static const enum wb_on_full policies[] = {WB_ON_FULL_BLOCK, WB_ON_FULL_DROP};

	for (size_t i = 0; i < 4; i++) {
		struct tpacket_packet late;
		struct rig_seen seen;
		struct rig rig;

		init_small(&rig, policies[i / 2]);
		rig.config.batch_packets = 0;
		rig.config.buffers = 64;
		fake_bus_set_settling(&rig.bus, settlings[i % 2]);
		for (size_t lease = 0; lease < 300; lease++)
			rig_push(&rig, 3 + lease % 9);
		fake_ring_lose(&rig.ring, 17);
		rig_start(&rig);
		rig_end_complete(&rig, &seen);
		assert_int_equal(fake_ring_pending(&rig.ring), 0);
		assert_int_equal(seen.end_counters.kernel_dropped, 17);
		assert_int_equal(seen.end_counters.kernel_seen, rig.pushed + 17);
		/* The capture was stopped first, so nothing could come after the last look. */
		rig_packet(1, 60, &late);
		assert_false(fake_ring_push(&rig.ring, &late, 1));
		rig_fini(&rig);
	}
}

/* The open batch does not wait for its age, and the end of stream says that no older packet follows. */
static void stop_publishes_the_open_batch(void **state)
{
	struct rig_seen seen;
	struct rig rig;
	struct timespec now;

	init_small(&rig, WB_ON_FULL_BLOCK);
	rig_push(&rig, 3);
	rig_start(&rig);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	assert_int_equal(fake_bus_messages(&rig.bus), 0);
	rig_end_complete(&rig, &seen);
	clock_gettime(CLOCK_REALTIME, &now);
	assert_int_equal(seen.batches, 1);
	assert_true(seen.end_watermark_ns <= (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	assert_true(seen.end_watermark_ns + 20000000000u > (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	rig_fini(&rig);
}

/* The end of stream waits for the reports, so that it carries the outcome. */
static void the_end_of_stream_has_the_final_figures(void **state)
{
	struct timespec pause = {.tv_nsec = 50 * 1000000};
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	push_leases(&rig, 3);
	rig_start(&rig);
	wb_worker_stop(&rig.worker);
	assert_true(fake_bus_wait_messages(&rig.bus, 3, RIG_PATIENCE_MS));
	nanosleep(&pause, NULL);
	assert_int_equal(fake_bus_messages(&rig.bus), 3);
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	rig_end_complete(&rig, &seen);
	assert_int_equal(seen.end_counters.in_flight, 0);
	rig_fini(&rig);
}

/* on_full `drop` is about packets that follow; at the end none do, so what is left may wait as long as it is allowed.
 */
static void stop_waits_for_buffers_with_drop_too(void **state)
{
	struct timespec pause = {.tv_nsec = 100 * 1000000};
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_DROP);
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	rig.ring.late = true;
	push_leases(&rig, 20);
	rig_start(&rig);
	wb_worker_stop(&rig.worker);
	assert_true(fake_bus_wait_messages(&rig.bus, 4, RIG_PATIENCE_MS));
	nanosleep(&pause, NULL);
	assert_int_equal(fake_bus_messages(&rig.bus), 4);
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	rig_end_complete(&rig, &seen);
	rig_fini(&rig);
}

/* 4 batches are held for ever, the 5th has no buffer. */
static void a_dead_bus_takes_no_longer_than_the_flush_time(void **state)
{
	static const enum wb_on_full policies[] = {WB_ON_FULL_BLOCK, WB_ON_FULL_DROP};

	for (size_t i = 0; i < 2; i++) {
		struct wb_ledger_totals totals;
		struct rig_seen seen;
		struct rig rig;
		uint64_t stopped_ns;

		init_small(&rig, policies[i]);
		rig.flush_ms = 300;
		fake_bus_set_settling(&rig.bus, FAKE_HOLD);
		push_leases(&rig, policies[i] == WB_ON_FULL_BLOCK ? 20 : 4);
		rig_start(&rig);
		assert_true(fake_bus_wait_messages(&rig.bus, 4, RIG_PATIENCE_MS));
		stopped_ns = wb_monotonic_ns();
		rig_stop(&rig);
		rig_judge(&rig, &seen);
		rig_judge_ledger(&rig, &seen, &totals);
		/* Block: the packets wait for all of the time; drop: the end of stream for half of it. */
		assert_in_range(
			elapsed_ms(&rig, stopped_ns), policies[i] == WB_ON_FULL_BLOCK ? 300 : 100, 300 + SLACK_MS);
		assert_int_equal(seen.ends, 1);
		assert_int_equal(seen.packets, 40);
		assert_int_equal(seen.holes, rig.pushed - 40);
		assert_int_equal(totals.counters.dropped_shutdown, rig.pushed - 40);
		assert_int_equal(totals.counters.dropped, rig.pushed - 40);
		assert_int_equal(seen.end_counters.in_flight, 40);
		assert_int_equal(fake_ring_pending(&rig.ring), 0);
		/* The transport gives up what it holds when it is closed. */
		rig.bus.result = WB_RESULT_FAILED;
		rig.bus.cause = WB_CAUSE_SHUTDOWN;
		assert_int_equal(fake_bus_release(&rig.bus, SIZE_MAX), 5);
		wb_ledger_snapshot(&rig.worker.ledger, &totals);
		assert_true(wb_ledger_balanced(&totals, true));
		assert_int_equal(totals.failed_by_cause[WB_CAUSE_SHUTDOWN], 40);
		rig_fini(&rig);
	}
}

/* The bus is full and stays so: even the end of stream is not taken. */
static void a_full_bus_takes_no_longer_than_the_flush_time(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;
	uint64_t stopped_ns;

	init_small(&rig, WB_ON_FULL_BLOCK);
	rig.flush_ms = 200;
	fake_bus_refuse(&rig.bus, -EAGAIN, FAKE_FOR_EVER);
	push_leases(&rig, 20);
	rig_start(&rig);
	assert_true(fake_bus_wait_refused(&rig.bus, 3, RIG_PATIENCE_MS));
	stopped_ns = wb_monotonic_ns();
	rig_stop(&rig);
	rig_judge(&rig, &seen);
	rig_judge_ledger(&rig, &seen, &totals);
	assert_in_range(elapsed_ms(&rig, stopped_ns), 200, 200 + SLACK_MS);
	assert_int_equal(fake_bus_messages(&rig.bus), 0);
	assert_int_equal(totals.counters.dropped_shutdown, 200);
	assert_int_equal(totals.counters.accepted, 200);
	rig_fini(&rig);
}

/* Before the stop and after it. */
static void give_up_ends_at_once(void **state)
{
	for (int stop_first = 0; stop_first < 2; stop_first++) {
		struct wb_ledger_totals totals;
		struct rig_seen seen;
		struct rig rig;
		uint64_t given_up_ns;

		init_small(&rig, WB_ON_FULL_BLOCK);
		rig.flush_ms = 600000;
		fake_bus_set_settling(&rig.bus, FAKE_HOLD);
		push_leases(&rig, 20);
		rig_start(&rig);
		assert_true(fake_bus_wait_messages(&rig.bus, 4, RIG_PATIENCE_MS));
		if (stop_first) {
			struct timespec pause = {.tv_nsec = 50 * 1000000};

			wb_worker_stop(&rig.worker);
			nanosleep(&pause, NULL);
			assert_false(atomic_load(&rig.worker.ended));
		}
		given_up_ns = wb_monotonic_ns();
		wb_worker_give_up(&rig.worker);
		rig_join(&rig);
		assert_true(elapsed_ms(&rig, given_up_ns) < SLACK_MS);
		rig_judge(&rig, &seen);
		rig_judge_ledger(&rig, &seen, &totals);
		assert_int_equal(totals.counters.in_flight, 40);
		assert_int_equal(totals.counters.dropped_shutdown, 160);
		/* A later stop does not bring the time back. */
		wb_worker_stop(&rig.worker);
		assert_true(atomic_load(&rig.worker.give_up_ns) == 0);
		rig_fini(&rig);
	}
}

static void a_bus_that_shuts_down_ends_the_worker(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	rig.ring.lost_at_stop = 3;
	push_leases(&rig, 2);
	rig_start(&rig);
	assert_true(fake_bus_wait_messages(&rig.bus, 2, RIG_PATIENCE_MS));
	fake_bus_refuse(&rig.bus, -ESHUTDOWN, FAKE_FOR_EVER);
	push_leases(&rig, 1);
	assert_true(fake_bus_wait_refused(&rig.bus, 1, RIG_PATIENCE_MS));
	rig_join(&rig);
	rig_judge(&rig, &seen);
	rig_judge_ledger(&rig, &seen, &totals);
	assert_int_equal(atomic_load(&rig.worker.exit_code), -ESHUTDOWN);
	assert_int_equal(seen.packets, 20);
	assert_int_equal(seen.ends, 0);
	assert_int_equal(totals.counters.dropped_shutdown, 10);
	assert_int_equal(totals.counters.delivered, 20);
	/* Without an end of stream too, the last look at the kernel's counters comes after the capture's stop. */
	assert_int_equal(totals.counters.kernel_dropped, 3);
	rig_fini(&rig);
}

/* Nothing is captured: it is the heartbeat that finds out. */
static void an_idle_worker_notices_that_the_bus_has_shut_down(void **state)
{
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	rig.config.heartbeat_ms = 20;
	fake_bus_refuse(&rig.bus, -ESHUTDOWN, FAKE_FOR_EVER);
	rig_start(&rig);
	for (int i = 0; !atomic_load(&rig.worker.ended) && i < RIG_PATIENCE_MS / 10; i++) {
		struct timespec pause = {.tv_nsec = 10 * 1000000};

		nanosleep(&pause, NULL);
	}
	assert_true(atomic_load(&rig.worker.ended));
	rig_join(&rig);
	rig_judge(&rig, &seen);
	assert_int_equal(atomic_load(&rig.worker.exit_code), -ESHUTDOWN);
	assert_int_equal(seen.ends, 0);
	rig_fini(&rig);
}

static void an_interface_that_is_down_is_waited_for(void **state)
{
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	push_leases(&rig, 2);
	fake_ring_push_error(&rig.ring, -ENETDOWN);
	push_leases(&rig, 3);
	rig_start(&rig);
	assert_true(fake_bus_wait_messages(&rig.bus, 5, RIG_PATIENCE_MS));
	fake_ring_push_error(&rig.ring, -ENETDOWN);
	push_leases(&rig, 1);
	rig_end_complete(&rig, &seen);
	assert_int_equal(seen.packets, 60);
	rig_fini(&rig);
}

/* The interface is gone, or the ring cannot be read: what was captured is published, and the worker says why it ended.
 */
static void a_lost_interface_ends_the_worker(void **state)
{
	static const int errors[] = {-ENODEV, -EIO};

	for (size_t i = 0; i < 2; i++) {
		struct wb_ledger_totals totals;
		struct rig_seen seen;
		struct rig rig;

		init_small(&rig, WB_ON_FULL_BLOCK);
		push_leases(&rig, 2);
		rig_push(&rig, 5);
		fake_ring_push_error(&rig.ring, errors[i]);
		rig_start(&rig);
		rig_join(&rig);
		rig_judge(&rig, &seen);
		rig_judge_ledger(&rig, &seen, &totals);
		assert_int_equal(atomic_load(&rig.worker.exit_code), errors[i]);
		assert_int_equal(seen.ends, 1);
		assert_int_equal(seen.packets, 25);
		assert_int_equal(seen.batches, 3);
		assert_int_equal(totals.counters.delivered, 25);
		rig_fini(&rig);
	}
}

/*
 * The interface goes and comes back with another index: the worker goes on in the same stream; what came before is
 * published with the old facts, what comes after with the new.
 */
static void an_interface_that_comes_back_is_captured_from_again(void **state)
{
	static const uint32_t expected[] = {7, 9, 9};
	uint64_t packets = 0;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	rig.config.reopen = true;
	rig.config.batch_age_ms = 3600000; /* what seals the first batch is the interface */
	rig.ring.reopens = true;
	rig.ring.interface_index = 9;
	rig.ring.hardware_type = ARPHRD_ETHER;
	rig.ring.counters.reopens = 1;
	rig.ring.counters.gap_ns = 123456789;
	rig_push(&rig, 5);
	fake_ring_push_error(&rig.ring, -ENODEV);
	fake_ring_push_error(&rig.ring, -ENETRESET);
	rig_push(&rig, 7);
	rig_start(&rig);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	rig_stop(&rig);
	assert_int_equal(atomic_load(&rig.worker.exit_code), 0);
	assert_int_equal(fake_bus_messages(&rig.bus), 3);
	for (size_t i = 0; i < 3; i++) {
		const struct fake_message *message = &rig.bus.messages[i];
		struct wbproto_interface interface;
		struct wbproto_reader reader;

		assert_int_equal(wbproto_reader_init(&reader, message->data, message->batch.size), 0);
		assert_int_equal(reader.batch.batch_seq, i + 1);
		assert_int_equal(reader.batch.first_packet_seq, packets + 1);
		assert_int_equal(wbproto_reader_interface_at(&reader, 0, &interface), 0);
		assert_int_equal(interface.index, expected[i]);
		assert_int_equal(interface.name.length, 4);
		assert_int_equal(reader.batch.counters.interface_gaps, 1);
		assert_int_equal(reader.batch.counters.interface_gap_ns, 123456789);
		packets += message->batch.packets;
	}
	assert_int_equal(packets, 12);
	rig_fini(&rig);
}

static struct tpacket *relinked;

static int relink(void *context, struct tpacket *ring, uint32_t link_type, struct wb_error *ret_error)
{
	assert_int_equal(link_type, 101);
	relinked = ring;
	return context ? wb_fail(ret_error, -EINVAL, "no such filter") : 0;
}

static bool relink_fails;

static void prepare_relink(struct rig *rig)
{
	rig->worker.relink = relink;
	rig->worker.relink_context = relink_fails ? rig : NULL;
}

/* With frames that are laid out otherwise the filter has to be another one; without it nothing is captured. */
static void an_interface_that_comes_back_as_a_tunnel_gets_another_filter(void **state)
{
	for (int fails = 0; fails < 2; fails++) {
		struct rig rig;

		init_small(&rig, WB_ON_FULL_BLOCK);
		relink_fails = fails;
		relinked = NULL;
		rig.prepare = prepare_relink;
		rig.config.reopen = true;
		rig.ring.reopens = true;
		rig.ring.hardware_type = ARPHRD_NONE;
		rig_push(&rig, 5);
		fake_ring_push_error(&rig.ring, -ENETRESET);
		fake_ring_push_error(&rig.ring, -ENETRESET); /* as the same: nothing to be done */
		rig_start(&rig);
		if (fails)
			rig_join(&rig);
		else
			assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
		rig_stop(&rig);
		assert_ptr_equal(relinked, &rig.ring);
		assert_int_equal(atomic_load(&rig.worker.exit_code), fails ? -EINVAL : 0);
		rig_fini(&rig);
	}
}

/* A kind of interface that no link type is known for cannot be captured from: the worker ends, and loses nothing. */
static void an_interface_that_comes_back_as_another_kind_ends_the_worker(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	rig.config.reopen = true;
	rig.ring.reopens = true;
	rig.ring.hardware_type = ARPHRD_CAN;
	rig_push(&rig, 5);
	fake_ring_push_error(&rig.ring, -ENETRESET);
	rig_start(&rig);
	rig_join(&rig);
	rig_judge(&rig, &seen);
	rig_judge_ledger(&rig, &seen, &totals);
	assert_int_equal(atomic_load(&rig.worker.exit_code), -EOPNOTSUPP);
	assert_int_equal(seen.packets, 5);
	assert_int_equal(seen.ends, 1);
	rig_fini(&rig);
}

/* Without a single packet there still is an end of stream. */
static void an_empty_stream_has_an_end(void **state)
{
	struct rig_seen seen;
	struct rig rig;

	init_small(&rig, WB_ON_FULL_BLOCK);
	rig_start(&rig);
	rig_end_complete(&rig, &seen);
	assert_int_equal(fake_bus_messages(&rig.bus), 1);
	assert_int_equal(seen.end_counters.kernel_seen, 0);
	rig_fini(&rig);
}

static int quiet(void **state)
{
	wb_log_set_level(-1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stop_drains_the_ring),
		cmocka_unit_test(stop_publishes_the_open_batch),
		cmocka_unit_test(the_end_of_stream_has_the_final_figures),
		cmocka_unit_test(stop_waits_for_buffers_with_drop_too),
		cmocka_unit_test(a_dead_bus_takes_no_longer_than_the_flush_time),
		cmocka_unit_test(a_full_bus_takes_no_longer_than_the_flush_time),
		cmocka_unit_test(give_up_ends_at_once),
		cmocka_unit_test(a_bus_that_shuts_down_ends_the_worker),
		cmocka_unit_test(an_idle_worker_notices_that_the_bus_has_shut_down),
		cmocka_unit_test(an_interface_that_is_down_is_waited_for),
		cmocka_unit_test(a_lost_interface_ends_the_worker),
		cmocka_unit_test(an_interface_that_comes_back_is_captured_from_again),
		cmocka_unit_test(an_interface_that_comes_back_as_a_tunnel_gets_another_filter),
		cmocka_unit_test(an_interface_that_comes_back_as_another_kind_ends_the_worker),
		cmocka_unit_test(an_empty_stream_has_an_end),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
