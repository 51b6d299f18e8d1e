/* SPDX-License-Identifier: Apache-2.0 */
/* A spool in record mode: buffers of records go to disk whole, and of those that come back only what is open is sent.
 */
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
/* Of 10 records, with fail_every 3. */
#define FAIL_EVERY 3
#define FAILED 3

static struct wb_spool *spool;

static uint32_t length_100(uint64_t n)
{
	return 100;
}

static void prepare(struct rig *rig)
{
	struct wb_error error = {""};

	spool = spool_rig_open(16 * MIB, 65536, 1);
	assert_int_equal(wb_worker_spool_init(&rig->worker, wb_spool_queue(spool, 0), &error), 0);
}

/* Four buffers, ten packets in each. */
static void init(struct rig *rig)
{
	rig_init(rig);
	rig->config.mode = WB_MODE_RECORD;
	rig->config.buffers = 4;
	rig->config.batch_packets = 10;
	rig->config.batch_age_ms = 60000;
	rig->config.on_full = WB_ON_FULL_SPOOL;
	rig->length = length_100;
	rig->prepare = prepare;
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
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	fail_msg("%llu packets delivered, not %llu", (unsigned long long)totals.counters.delivered,
		(unsigned long long)delivered);
}

/* The number of record i of a message, all of which is what was captured. */
static uint64_t judge_record(struct rig *rig, const uint8_t *data, const struct wb_record *notes, uint32_t i)
{
	uint32_t begin = i ? notes[i - 1].end : 0;
	struct tpacket_packet expected;
	struct wbproto_record record;

	assert_true(notes[i].end > begin);
	assert_int_equal(wbproto_record_read(data + begin, notes[i].end - begin, &record), 0);
	rig_packet(record.packet_seq, rig->length(record.packet_seq), &expected);
	assert_int_equal(record.packet.time_unix_ns, expected.time_ns);
	assert_int_equal(notes[i].time_ms, expected.time_ns / 1000000u);
	assert_int_equal(record.packet.captured_length, expected.captured_length);
	assert_memory_equal(record.packet.data, expected.data, expected.captured_length);
	assert_memory_equal(record.session_id, rig->session_id, 16);
	return record.packet_seq;
}

/* Message number m of the bus consists of these packets. */
static void assert_packets(struct rig *rig, size_t m, const uint64_t *numbers, uint32_t count)
{
	const struct fake_message *message = &rig->bus.messages[m];

	assert_int_equal(message->batch.record_count, count);
	assert_int_equal(message->batch.packets, count);
	assert_int_equal(message->batch.stream_id, 3);
	assert_int_equal(message->batch.size, message->records[count - 1].end);
	assert_string_equal(message->topic_suffix, "");
	assert_string_equal(message->key, "rig-node/3");
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(judge_record(rig, message->data, message->records, i), numbers[i]);
}

/* Ten packets from this one on. */
static void assert_ten(struct rig *rig, size_t m, uint64_t first)
{
	uint64_t numbers[10];

	for (uint64_t i = 0; i < 10; i++)
		numbers[i] = first + i;
	assert_packets(rig, m, numbers, 10);
}

/* The end of stream, for the topic beside the records. */
static void assert_end(struct rig *rig, size_t m)
{
	const struct fake_message *message = &rig->bus.messages[m];

	assert_int_equal(message->batch.record_count, 0);
	assert_string_equal(message->topic_suffix, WB_LEDGER_SUFFIX);
	assert_int_equal(message->batch.flags, WBPROTO_BATCH_RECORD_MODE | WBPROTO_BATCH_END_OF_STREAM);
}

static void a_full_bus_is_no_loss(void **state)
{
	struct wb_ledger_totals totals;
	struct rig rig;

	init(&rig);
	fake_bus_refuse(&rig.bus, -EAGAIN, FAKE_FOR_EVER);
	rig_start(&rig);
	push_leases(&rig, 50);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.spooled, 500);
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	fake_bus_refuse(&rig.bus, 0, 0);
	wait_for(&rig, 500);
	push_leases(&rig, 2);
	rig_stop(&rig);
	assert_int_equal(fake_bus_messages(&rig.bus), 53);
	for (size_t m = 0; m < 52; m++)
		assert_ten(&rig, m, m * 10 + 1);
	assert_end(&rig, 52);
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.delivered, 520);
	assert_int_equal(totals.counters.accepted, 520);
	fini(&rig);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

/*
 * Let go of what the bus holds, and wait until so many messages have been published in all. What comes back is seen
 * with the next packet, which stays in the open batch.
 */
static void release(struct rig *rig, size_t batches, size_t messages)
{
	assert_int_equal(fake_bus_release(&rig->bus, batches), batches);
	rig_push(rig, 1);
	assert_true(fake_bus_wait_messages(&rig->bus, messages, RIG_PATIENCE_MS));
}

/* Of buffers in memory that were delivered in part, the rest goes to disk, and out again. */
static void only_what_is_open_is_sent_again(void **state)
{
	static const uint64_t open[] = {3, 6, 9, 13, 16, 19};
	struct wb_ledger_totals totals;
	struct rig rig;

	init(&rig);
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	rig.bus.fail_every = FAIL_EVERY;
	rig.bus.fail_cause = WB_CAUSE_TIMEOUT;
	rig_start(&rig);
	push_leases(&rig, 2);
	assert_true(fake_bus_wait_messages(&rig.bus, 2, RIG_PATIENCE_MS));
	release(&rig, 2, 4);
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.delivered, 14);
	assert_int_equal(totals.counters.in_flight, 6);
	rig.bus.fail_every = 0;
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	wait_for(&rig, 20);
	rig_stop(&rig);
	assert_int_equal(fake_bus_messages(&rig.bus), 6);
	assert_packets(&rig, 2, open, FAILED);
	assert_packets(&rig, 3, open + FAILED, FAILED);
	assert_int_equal(rig.bus.messages[4].batch.packets, 1);
	assert_end(&rig, 5);
	fini(&rig);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

/* Spool ten packets three times, and give them to a bus that holds them. */
static void spool_three(struct rig *rig)
{
	init(rig);
	fake_bus_refuse(&rig->bus, -EAGAIN, FAKE_FOR_EVER);
	rig_start(rig);
	push_leases(rig, 3);
	assert_true(fake_ring_wait_empty(&rig->ring, RIG_PATIENCE_MS));
	fake_bus_set_settling(&rig->bus, FAKE_HOLD);
	fake_bus_refuse(&rig->bus, 0, 0);
	assert_true(fake_bus_wait_messages(&rig->bus, 3, RIG_PATIENCE_MS));
}

/* The same with buffers that were read back, once and once more: on disk they are as they were. */
static void the_same_from_disk(void **state)
{
	static const uint64_t open[] = {3, 6, 9, 13, 16, 19, 23, 26, 29};
	struct wb_ledger_totals totals;
	struct rig rig;

	spool_three(&rig);
	rig.bus.fail_every = FAIL_EVERY;
	rig.bus.fail_cause = WB_CAUSE_IO;
	release(&rig, 3, 6);
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.delivered, 21);
	assert_int_equal(totals.counters.in_flight, 9);
	rig.bus.fail_every = 2;
	release(&rig, 3, 9);
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.delivered, 27);
	assert_int_equal(totals.counters.in_flight, 3);
	rig.bus.fail_every = 0;
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	wait_for(&rig, 30);
	rig_stop(&rig);
	for (size_t m = 0; m < 3; m++) {
		assert_ten(&rig, m, m * 10 + 1);
		assert_packets(&rig, 3 + m, open + m * FAILED, FAILED);
		assert_packets(&rig, 6 + m, open + m * FAILED + 1, 1);
	}
	assert_int_equal(fake_bus_messages(&rig.bus), 11);
	assert_int_equal(rig.bus.messages[9].batch.packets, 2);
	assert_end(&rig, 10);
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.failed + totals.counters.unknown + totals.counters.dropped, 0);
	fini(&rig);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

/* What another try cannot help is over for those alone that it was said of. */
static void what_is_refused_for_good_is_counted(void **state)
{
	for (int spooled = 0; spooled < 2; spooled++) {
		struct wb_ledger_totals totals;
		struct rig rig;

		init(&rig);
		rig.bus.fail_every = FAIL_EVERY;
		rig.bus.fail_cause = WB_CAUSE_REFUSED;
		if (spooled)
			fake_bus_refuse(&rig.bus, -EAGAIN, 1);
		rig_start(&rig);
		push_leases(&rig, 3);
		rig_stop(&rig);
		snapshot(&rig, &totals);
		assert_int_equal(totals.counters.delivered, 21);
		assert_int_equal(totals.counters.failed, 9);
		assert_int_equal(totals.failed_by_cause[WB_CAUSE_REFUSED], 9);
		assert_int_equal(totals.counters.spooled, 0);
		assert_int_equal(fake_bus_messages(&rig.bus), 4);
		fini(&rig);
	}
}

/* All alike, at once, as a file or a client that is given up may do. */
static void all_of_a_buffer_may_come_back(void **state)
{
	struct rig rig;

	spool_three(&rig);
	rig.bus.result = WB_RESULT_UNKNOWN;
	release(&rig, 3, 6);
	rig.bus.result = WB_RESULT_DELIVERED;
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	wait_for(&rig, 30);
	rig_stop(&rig);
	for (size_t m = 0; m < 6; m++)
		assert_ten(&rig, m, m % 3 * 10 + 1);
	fini(&rig);
}

/* The next process knows nothing of what was delivered of a buffer: all of it is sent, and counted, again. */
static void the_rest_stays_for_the_next_process(void **state)
{
	struct wb_ledger_totals totals;
	struct rig first, second;

	spool_three(&first);
	fake_bus_refuse(&first.bus, -EAGAIN, FAKE_FOR_EVER);
	first.bus.fail_every = FAIL_EVERY;
	first.bus.fail_cause = WB_CAUSE_TIMEOUT;
	assert_int_equal(fake_bus_release(&first.bus, 3), 3);
	wb_worker_give_up(&first.worker);
	rig_stop(&first);
	snapshot(&first, &totals);
	assert_int_equal(totals.counters.delivered, 21);
	assert_int_equal(totals.counters.spooled, 9);
	assert_int_equal(totals.counters.open + totals.counters.in_flight + totals.counters.dropped, 0);
	assert_true(atomic_load(&first.worker.streams[0].has_end));
	wb_spool_close(spool);

	init(&second);
	rig_start(&second);
	snapshot(&second, &totals);
	assert_int_equal(totals.counters.recovered, 30);
	assert_true(fake_bus_wait_messages(&second.bus, 4, RIG_PATIENCE_MS));
	wait_for(&second, 30);
	for (size_t m = 0; m < 3; m++)
		assert_ten(&second, m, m * 10 + 1);
	assert_end(&second, 3);
	rig_stop(&second);
	snapshot(&second, &totals);
	assert_int_equal(totals.counters.delivered, 30);
	rig_fini(&first);
	fini(&second);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

/* What the transport gives up when it is closed goes to disk without what it had delivered. */
static void what_a_closed_bus_gives_up_goes_to_disk(void **state)
{
	struct wb_ledger_totals totals;
	struct wb_spool_queue *queue;
	struct rig rig;

	init(&rig);
	rig.flush_ms = 50;
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	rig_start(&rig);
	push_leases(&rig, 3);
	rig_stop(&rig);
	rig.bus.fail_every = 4;
	rig.bus.fail_cause = WB_CAUSE_SHUTDOWN;
	assert_true(fake_bus_release(&rig.bus, SIZE_MAX) >= 3);
	wb_worker_spool_finish(&rig.worker);
	snapshot(&rig, &totals);
	assert_int_equal(totals.counters.spooled, 6);
	assert_int_equal(totals.counters.delivered, 24);
	assert_int_equal(totals.batches_in_flight, 0);
	wb_spool_close(spool);
	spool = spool_rig_open(16 * MIB, 65536, 1);
	queue = wb_spool_queue(spool, 0);
	assert_int_equal(wb_spool_recovered_packets(queue), 6);
	for (uint64_t seq = 0; seq < 3; seq++) {
		struct wb_spool_entry *entry = wb_spool_next(queue);
		struct wb_spool_item item;
		uint8_t *memory;

		assert_non_null(entry);
		memory = malloc(wb_spool_entry_size(entry));
		assert_non_null(memory);
		assert_int_equal(wb_spool_read(queue, entry, memory, &item), 0);
		assert_int_equal(item.batch.record_count, 2);
		assert_int_equal(judge_record(&rig, memory, item.records, 0), seq * 10 + 4);
		assert_int_equal(judge_record(&rig, memory, item.records, 1), seq * 10 + 8);
		wb_spool_settled(queue, entry);
		free(memory);
	}
	fini(&rig);
}

/* Each byte of an entry: its header, its route, records, notes. */
static void damage_costs_its_buffer(void **state)
{
	static const int places[] = {20, 16 + 3, 60, 16 + 72 + 50, -1, -8, -12, -16, -100};

	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		for (int restarted = 0; restarted < 2; restarted++) {
			struct wb_ledger_totals totals;
			struct rig rig, next;
			char name[256];
			uint64_t bytes, entry;

			init(&rig);
			fake_bus_refuse(&rig.bus, -EAGAIN, FAKE_FOR_EVER);
			rig_start(&rig);
			push_leases(&rig, 3);
			assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
			assert_int_equal(spool_rig_files(".wbs", name), 1);
			/* Three entries of one size: all numbers in them are below 128. */
			bytes = spool_rig_file_bytes(name);
			entry = (bytes - 16) / 3;
			assert_int_equal(entry * 3 + 16, bytes);
			spool_rig_flip(
				name, 16 + entry + (uint64_t)((int)(places[i] < 0 ? entry : 0) + places[i]), 0x40);
			if (!restarted) {
				fake_bus_refuse(&rig.bus, 0, 0);
				wait_for(&rig, 20);
				rig_stop(&rig);
				snapshot(&rig, &totals);
				assert_int_equal(totals.counters.failed, 10);
				assert_int_equal(totals.failed_by_cause[WB_CAUSE_IO], 10);
				assert_ten(&rig, 0, 1);
				assert_ten(&rig, 1, 21);
				fini(&rig);
				continue;
			}
			wb_worker_give_up(&rig.worker);
			rig_stop(&rig);
			wb_spool_close(spool);
			init(&next);
			rig_start(&next);
			snapshot(&next, &totals);
			assert_int_equal(totals.counters.recovered, 20);
			wait_for(&next, 20);
			rig_stop(&next);
			assert_ten(&next, 0, 1);
			assert_ten(&next, 1, 21);
			rig_fini(&rig);
			fini(&next);
		}
	}
}

/* A sum that is right does not make an entry good: notes that lead out of it, or nowhere. */
static void hostile_notes_are_damage(void **state)
{
	static const struct {
		uint32_t ends[3];
		uint32_t count;
	} cases[] = {{{10, 20, 31}, 3}, {{10, 20, 29}, 3}, {{10, 10, 30}, 3}, {{20, 10, 30}, 3}, {{0, 10, 30}, 3},
		{{10, UINT32_MAX, 30}, 3}, {{10, 20, UINT32_MAX}, 3}, {{29}, 1}, {{10, 20, 30}, 3}};
	const size_t good = sizeof cases / sizeof cases[0] - 1;

	for (size_t i = 0; i <= good; i++) {
		static const uint8_t data[30] = {1}, session_id[16] = {7};
		const struct wb_route route = {.partition = -1};
		struct wb_record records[3];
		struct wb_batch batch = {.data = data,
			.size = sizeof data,
			.packets = cases[i].count,
			.batch_seq = 1,
			.session_id = session_id,
			.records = records,
			.record_count = cases[i].count};
		struct wb_spool_item item;
		struct wb_spool_stats stats;
		uint64_t memory[64];

		for (uint32_t j = 0; j < cases[i].count; j++)
			records[j] = (struct wb_record){.time_ms = j, .end = cases[i].ends[j]};
		spool = spool_rig_open(MIB, 65536, 1);
		assert_int_equal(wb_spool_append(wb_spool_queue(spool, 0), &batch, &route), 0);
		assert_true(wb_spool_entry_size(wb_spool_next(wb_spool_queue(spool, 0))) <= sizeof memory);
		assert_int_equal(
			wb_spool_read(wb_spool_queue(spool, 0), wb_spool_next(wb_spool_queue(spool, 0)), memory, &item),
			i == good ? 0 : -EBADMSG);
		wb_spool_close(spool);
		spool = spool_rig_open(MIB, 65536, 1);
		wb_spool_stats(spool, &stats);
		assert_int_equal(stats.recovered, i == good);
		assert_int_equal(stats.recovered + stats.damaged + stats.torn, 1);
		if (i == good)
			wb_spool_settled(wb_spool_queue(spool, 0), wb_spool_next(wb_spool_queue(spool, 0)));
		wb_spool_close(spool);
		assert_int_equal(spool_rig_files(".wbs", NULL), 0);
	}
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, spool_rig_setup, spool_rig_teardown)
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(a_full_bus_is_no_loss),
		SPOOL_TEST(only_what_is_open_is_sent_again),
		SPOOL_TEST(the_same_from_disk),
		SPOOL_TEST(what_is_refused_for_good_is_counted),
		SPOOL_TEST(all_of_a_buffer_may_come_back),
		SPOOL_TEST(the_rest_stays_for_the_next_process),
		SPOOL_TEST(what_a_closed_bus_gives_up_goes_to_disk),
		SPOOL_TEST(damage_costs_its_buffer),
		SPOOL_TEST(hostile_notes_are_damage),
	};

	wb_log_set_level(WB_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
