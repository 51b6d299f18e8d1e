/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that keeps its state, and one that says what a session that was killed had to say. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "spool_rig.h"
#include "state.h"
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

static void push_leases(struct rig *rig, size_t leases)
{
	for (size_t i = 0; i < leases; i++)
		rig_push(rig, 10);
}

static struct wb_state *made;

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
		.streams = 1,
	};
	struct wb_error error = {""};

	assert_int_equal(wb_state_create(&options, &made, &error), 0);
	wb_worker_state_init(&rig->worker, wb_state_slot(made, 0));
}

static int keep_left(void *context, const struct wb_state_left *left)
{
	struct wb_state_left *kept = context;

	assert_null(kept->file);
	*kept = *left;
	return 0;
}

static struct wb_state_left left;

static void prepare_previous(struct rig *rig)
{
	assert_int_equal(wb_worker_previous_add(&rig->worker, &left), 0);
	rig->worker.previous_retry_ns = 0;
}

/* A session ends as if killed: its state, read by the next, makes the message that the consumer waits for. */
static void an_earlier_session_is_ended_by_the_next(void **state)
{
	struct wbproto_reader reader;
	struct wb_error error;
	struct rig first, second;
	const struct fake_message *message;

	rig_init(&first);
	first.config.batch_packets = 10;
	first.config.batch_age_ms = 60000;
	first.length = length_100;
	first.prepare = prepare_state;
	rig_start(&first);
	rig_push(&first, 37);
	assert_true(fake_bus_wait_messages(&first.bus, 3, RIG_PATIENCE_MS));
	assert_true(fake_ring_wait_empty(&first.ring, RIG_PATIENCE_MS));
	/* As if killed here: the file as it is, unlocked. */
	wb_state_close(made);
	memset(&left, 0, sizeof left);
	assert_int_equal(wb_state_find(spool_rig_directory, "rig0", "null://", keep_left, &left, &error), 0);
	assert_non_null(left.file);
	first.worker.state = NULL;
	rig_stop(&first);
	rig_fini(&first);

	rig_init(&second);
	memset(second.session_id, 0x77, sizeof second.session_id);
	second.prepare = prepare_previous;
	rig_start(&second);
	assert_true(fake_bus_wait_messages(&second.bus, 1, RIG_PATIENCE_MS));
	message = &second.bus.messages[0];
	assert_int_equal(wbproto_reader_init(&reader, message->data, message->batch.size), 0);
	assert_int_equal(reader.packet_count, 0);
	assert_int_equal(reader.batch.flags, 6);
	assert_int_equal(message->batch.flags, 6);
	assert_int_equal(reader.batch.session_id[0], 0xa0);
	assert_int_equal(message->session_id[0], 0xa0);
	assert_int_equal(reader.batch.worker_id, 3);
	assert_int_equal(reader.batch.stream_id, 3);
	assert_int_equal(reader.batch.batch_seq, 5); /* 1 to 3 published, 4 open */
	assert_int_equal(message->batch.batch_seq, 5);
	assert_int_equal(reader.batch.first_packet_seq, 38);
	assert_int_equal(reader.batch.counters.accepted, 37);
	assert_in_range(reader.batch.watermark_unix_ns, 1, wb_realtime_ns());
	assert_int_equal(message->key_size, strlen("rig-node/3"));
	assert_memory_equal(message->key, "rig-node/3", message->key_size);
	rig_stop(&second);
	rig_fini(&second);
	assert_int_equal(spool_rig_files(".state", NULL), 0);
}

/* Not taken, or given back: it is tried again; and without success the file stays. */
static void an_end_that_was_not_taken_is_tried_again(void **state)
{
	struct wb_error error;
	struct rig first;

	for (int round = 0; round < 2; round++) {
		rig_init(&first);
		first.prepare = prepare_state;
		rig_start(&first);
		rig_push(&first, 5);
		assert_true(fake_bus_wait_messages(&first.bus, 1, RIG_PATIENCE_MS));
		wb_state_close(made);
		first.worker.state = NULL;
		rig_stop(&first);
		rig_fini(&first);
		memset(&left, 0, sizeof left);
		assert_int_equal(wb_state_find(spool_rig_directory, "rig0", "null://", keep_left, &left, &error), 0);
		assert_non_null(left.file);
		rig_init(&first);
		first.prepare = prepare_previous;
		first.flush_ms = 20;
		first.config.heartbeat_ms = 20;
		fake_bus_refuse(&first.bus, -EAGAIN, round ? FAKE_FOR_EVER : 5);
		rig_start(&first);
		if (round == 0)
			while (spool_rig_files(".state", NULL))
				pause_ms(1);
		else
			assert_true(fake_bus_wait_refused(&first.bus, 3, RIG_PATIENCE_MS));
		rig_stop(&first);
		rig_fini(&first);
		assert_int_equal(spool_rig_files(".state", NULL), round);
	}
}

static uint32_t length_20000(uint64_t n)
{
	return 20000;
}

/* Its buffer may have been that of a batch of records: it is a message all the same. */
static void an_end_is_one_message_whatever_its_buffer_was(void **state)
{
	const struct fake_message *end;
	struct wb_error error;
	struct rig rig;

	rig_init(&rig);
	rig.prepare = prepare_state;
	rig_start(&rig);
	rig_push(&rig, 5);
	assert_true(fake_bus_wait_messages(&rig.bus, 1, RIG_PATIENCE_MS));
	wb_state_close(made);
	rig.worker.state = NULL;
	rig_stop(&rig);
	rig_fini(&rig);
	memset(&left, 0, sizeof left);
	assert_int_equal(wb_state_find(spool_rig_directory, "rig0", "null://", keep_left, &left, &error), 0);
	assert_non_null(left.file);

	rig_init(&rig);
	rig.config.mode = WB_MODE_RECORD;
	rig.config.heartbeat_ms = 20;
	rig.length = length_20000; /* into a buffer of its own, of the pool that the end is taken from */
	rig.prepare = prepare_previous;
	fake_bus_refuse(&rig.bus, -EAGAIN, 1); /* the end, so that the record goes first */
	rig_push(&rig, 1);
	rig_start(&rig);
	while (spool_rig_files(".state", NULL))
		pause_ms(1);
	rig_stop(&rig);
	assert_int_equal(rig.bus.messages[0].batch.record_count, 1);
	end = &rig.bus.messages[1];
	for (size_t i = 1; i < rig.bus.message_count && !(end->batch.flags & WBPROTO_BATCH_PREVIOUS_SESSION); i++)
		end = &rig.bus.messages[i];
	assert_int_equal(end->batch.flags & 6, 6);
	assert_int_equal(end->batch.record_count, 0);
	assert_null(end->records);
	rig_fini(&rig);
}

/* Each message's number is in the state before the bus can have it; the numbers and the counters agree. */
static void the_state_is_never_behind_the_bus(void **state)
{
	struct wb_state_left now;
	struct wb_error error;
	struct rig rig;

	rig_init(&rig);
	rig.config.batch_packets = 7;
	rig.config.on_full = WB_ON_FULL_DROP;
	rig.config.buffers = 4;
	rig.length = length_100;
	rig.prepare = prepare_state;
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	rig_start(&rig);
	push_leases(&rig, 20);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	wb_state_close(made);
	memset(&now, 0, sizeof now);
	assert_int_equal(wb_state_find(spool_rig_directory, "rig0", "null://", keep_left, &now, &error), 0);
	assert_int_equal(now.packet_seq, 201);
	assert_int_equal(now.counters.accepted, 200);
	assert_true(now.batch_seq > rig.bus.messages[rig.bus.message_count - 1].batch.batch_seq);
	wb_state_done(now.file);
	rig.worker.state = NULL;
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	rig_stop(&rig);
	rig_fini(&rig);
}

int main(void)
{
#define STATE_TEST(name) cmocka_unit_test_setup_teardown(name, spool_rig_setup, spool_rig_teardown)
	const struct CMUnitTest tests[] = {
		STATE_TEST(an_earlier_session_is_ended_by_the_next),
		STATE_TEST(an_end_that_was_not_taken_is_tried_again),
		STATE_TEST(an_end_is_one_message_whatever_its_buffer_was),
		STATE_TEST(the_state_is_never_behind_the_bus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
