/* SPDX-License-Identifier: Apache-2.0 */
/* A worker with many streams, or in record mode: what it spools, and what the next process says on its behalf. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "spool_rig.h"
#include "state.h"
#include "worker_rig.h"

#define BUCKETS 8u
#define STREAM_ID 3u /* of the first one, see rig_start() */
#define MIB ((uint64_t)1 << 20)

static struct wb_spool *spool;
static struct wb_state *made;
static unsigned int streams;

static void pause_ms(unsigned int ms)
{
	struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&pause, NULL);
}

static void init(struct rig *rig)
{
	rig_init(rig);
	rig->config.key = WB_KEY_FLOW;
	rig->config.flow_buckets = BUCKETS;
	rig->config.buffers = BUCKETS + 4;
	rig->config.batch_packets = 10;
	rig->config.batch_age_ms = 60000;
	streams = BUCKETS;
}

static void prepare_spool(struct rig *rig)
{
	struct wb_error error = {""};

	spool = spool_rig_open(64 * MIB, 65536, 1);
	assert_int_equal(wb_worker_spool_init(&rig->worker, wb_spool_queue(spool, 0), &error), 0);
}

/* Each stream is complete and in order by itself. */
static void judge_streams(struct rig *rig)
{
	uint64_t next_batch[BUCKETS] = {0}, next_packet[BUCKETS] = {0}, packets = 0;
	bool ended[BUCKETS] = {false};

	for (size_t i = 0; i < rig->bus.message_count; i++) {
		const struct fake_message *message = &rig->bus.messages[i];
		unsigned int bucket = message->batch.stream_id - STREAM_ID;
		char key[16];

		assert_in_range(bucket, 0, BUCKETS - 1);
		assert_false(ended[bucket]);
		assert_int_equal(message->batch.batch_seq, ++next_batch[bucket]);
		assert_int_equal(message->batch.first_packet_seq, next_packet[bucket] + 1);
		next_packet[bucket] += message->batch.packets;
		packets += message->batch.packets;
		ended[bucket] = message->batch.flags & WBPROTO_BATCH_END_OF_STREAM;
		snprintf(key, sizeof key, "flow/%u", bucket);
		assert_int_equal(message->key_size, strlen(key));
		assert_memory_equal(message->key, key, strlen(key));
	}
	assert_int_equal(packets, rig->pushed);
	for (unsigned int i = 0; i < BUCKETS; i++)
		assert_true(ended[i]);
}

static void streams_keep_their_order_in_the_spool(void **state)
{
	struct wb_ledger_totals totals;
	struct rig rig;

	init(&rig);
	rig.config.on_full = WB_ON_FULL_SPOOL;
	rig.prepare = prepare_spool;
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	rig_start(&rig);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 100; i++)
			rig_push(&rig, 10);
		assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
		wb_ledger_snapshot(&rig.worker.ledger, &totals);
		assert_true(wb_ledger_balanced(&totals, false));
		assert_int_equal(totals.counters.dropped, 0);
		assert_true(totals.counters.spooled > 0);
		/* The bus is there for a moment, and away again. */
		fake_bus_release(&rig.bus, SIZE_MAX);
		fake_bus_refuse(&rig.bus, -EAGAIN, 20);
	}
	fake_bus_refuse(&rig.bus, 0, 0);
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	rig_stop(&rig);
	wb_ledger_snapshot(&rig.worker.ledger, &totals);
	assert_int_equal(totals.counters.delivered, rig.pushed);
	judge_streams(&rig);
	rig_fini(&rig);
	wb_spool_close(spool);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

static void prepare_state(struct rig *rig)
{
	const struct wb_state_options options = {
		.directory = spool_rig_directory,
		.capture = "rig0",
		.bus = "null://",
		.node = "rig-node",
		.session_id = rig->session_id,
		.first_worker_id = 3,
		.workers = 1,
		.streams = streams,
	};
	struct wb_error error = {""};

	assert_int_equal(wb_state_create(&options, &made, &error), 0);
	wb_worker_state_init(&rig->worker, wb_state_slot(made, 0));
}

static struct wb_state_left left[BUCKETS];
static unsigned int left_count;

static int keep_left(void *context, const struct wb_state_left *found)
{
	assert_true(left_count < BUCKETS);
	left[left_count++] = *found;
	return 0;
}

static void find_left(void)
{
	struct wb_error error;

	left_count = 0;
	assert_int_equal(wb_state_find(spool_rig_directory, "rig0", "null://", keep_left, NULL, &error), 0);
}

static void prepare_previous(struct rig *rig)
{
	for (unsigned int i = 0; i < left_count; i++)
		assert_int_equal(wb_worker_previous_add(&rig->worker, &left[i]), 0);
	rig->worker.previous_retry_ns = 0;
}

/* The session ends as if killed once its packets have been numbered. */
static void run_killed(struct rig *rig, size_t packets)
{
	rig->prepare = prepare_state;
	rig_start(rig);
	rig_push(rig, packets);
	assert_true(fake_ring_wait_empty(&rig->ring, RIG_PATIENCE_MS));
	wb_state_close(made);
	find_left();
	rig->worker.state = NULL;
	rig_stop(rig);
	rig_fini(rig);
}

static void run_next(struct rig *rig)
{
	memset(rig->session_id, 0x77, sizeof rig->session_id);
	rig->prepare = prepare_previous;
	rig_start(rig);
	assert_true(fake_bus_wait_messages(&rig->bus, left_count, RIG_PATIENCE_MS));
	while (spool_rig_files(".state", NULL))
		pause_ms(1);
}

/* Each stream of a killed session is ended, with its own numbers and key. */
static void every_stream_is_ended_by_the_next(void **state)
{
	uint64_t accepted = 0;
	struct rig rig;

	init(&rig);
	run_killed(&rig, 1000);
	assert_int_equal(left_count, BUCKETS);
	for (unsigned int i = 0; i < BUCKETS; i++) {
		assert_int_equal(left[i].stream_id, STREAM_ID + i);
		assert_int_equal(left[i].counters.accepted, 1000);
		accepted += left[i].packet_seq - 1;
	}
	assert_int_equal(accepted, 1000);
	init(&rig);
	run_next(&rig);
	for (unsigned int i = 0; i < BUCKETS; i++) {
		const struct fake_message *message = &rig.bus.messages[i];
		char key[16];

		assert_int_equal(message->batch.stream_id, STREAM_ID + i);
		assert_int_equal(message->batch.flags, WBPROTO_BATCH_END_OF_STREAM | WBPROTO_BATCH_PREVIOUS_SESSION);
		assert_int_equal(message->batch.batch_seq, left[i].batch_seq);
		assert_int_equal(message->batch.first_packet_seq, left[i].packet_seq);
		assert_string_equal(message->topic_suffix, "");
		snprintf(key, sizeof key, "flow/%u", i);
		assert_int_equal(message->key_size, strlen(key));
		assert_memory_equal(message->key, key, strlen(key));
	}
	rig_stop(&rig);
	rig_fini(&rig);
}

/* A stream whose end the bus has is not ended once more; the file stays for the others. */
static void only_streams_without_their_end_are_left(void **state)
{
	struct rig rig;

	init(&rig);
	rig.flush_ms = 50;
	rig.prepare = prepare_state;
	fake_bus_refuse(&rig.bus, -EAGAIN, FAKE_FOR_EVER);
	rig_start(&rig);
	rig_push(&rig, 1000);
	rig_stop(&rig);
	atomic_store(&rig.worker.streams[2].has_end, true);
	wb_worker_state_finish(&rig.worker);
	wb_state_close(made);
	find_left();
	assert_int_equal(left_count, BUCKETS - 1);
	for (unsigned int i = 0; i < left_count; i++)
		assert_int_not_equal(left[i].stream_id, STREAM_ID + 2);
	rig_fini(&rig);
	/* And with all of them there is nothing to be said. */
	for (unsigned int i = 0; i < left_count; i++)
		wb_state_done(left[i].file);
	init(&rig);
	rig.prepare = prepare_state;
	rig_start(&rig);
	rig_push(&rig, 100);
	rig_stop(&rig);
	wb_worker_state_finish(&rig.worker);
	wb_state_close(made);
	rig_fini(&rig);
	assert_int_equal(spool_rig_files(".state", NULL), 0);
}

/* In record mode what is said on behalf of a session is of the ledger, and goes where the ledger is. */
static void the_end_of_records_is_in_the_ledger(void **state)
{
	const struct fake_message *message;
	struct rig rig;

	rig_init(&rig);
	streams = 1;
	rig.config.mode = WB_MODE_RECORD;
	run_killed(&rig, 20);
	assert_int_equal(left_count, 1);
	assert_true(left[0].records);
	assert_int_equal(left[0].packet_seq, 21);
	assert_int_equal(left[0].batch_seq, 21);
	rig_init(&rig);
	rig.config.mode = WB_MODE_RECORD;
	run_next(&rig);
	message = &rig.bus.messages[0];
	assert_int_equal(message->batch.flags,
		WBPROTO_BATCH_END_OF_STREAM | WBPROTO_BATCH_PREVIOUS_SESSION | WBPROTO_BATCH_RECORD_MODE);
	assert_int_equal(message->batch.record_count, 0);
	assert_string_equal(message->topic_suffix, ".ledger");
	rig_stop(&rig);
	rig_fini(&rig);
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, spool_rig_setup, spool_rig_teardown)
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(streams_keep_their_order_in_the_spool),
		SPOOL_TEST(every_stream_is_ended_by_the_next),
		SPOOL_TEST(only_streams_without_their_end_are_left),
		SPOOL_TEST(the_end_of_records_is_in_the_ledger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
