/* SPDX-License-Identifier: Apache-2.0 */
/* A worker in record mode: each packet a message of its own, the ledger's messages between them, and every number used.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "worker_rig.h"

/* What a reader of both topics sees. */
struct seen {
	uint64_t next_batch; /* of both kinds, contiguous */
	uint64_t next_packet;
	uint64_t batch_holes;
	uint64_t holes;
	uint64_t packets;
	uint64_t buffers;
	uint64_t ledgers; /* messages without packets */
	uint64_t heartbeats;
	uint64_t ends;
	struct wbproto_counters end_counters;
};

static uint32_t length_100(uint64_t n)
{
	return 100;
}

static void init(struct rig *rig)
{
	rig_init(rig);
	rig->config.mode = WB_MODE_RECORD;
}

static void judge_record(struct rig *rig, const struct wbproto_record *record)
{
	struct tpacket_packet expected;

	rig_packet(record->packet_seq, rig->length(record->packet_seq), &expected);
	assert_int_equal(record->packet.time_unix_ns, expected.time_ns);
	assert_int_equal(record->packet.captured_length, expected.captured_length);
	assert_int_equal(record->packet.original_length, expected.original_length);
	assert_int_equal(record->packet.rx_hash, expected.rx_hash);
	assert_int_equal(record->packet.interface_index, 7);
	assert_memory_equal(record->packet.data, expected.data, expected.captured_length);
	assert_memory_equal(record->session_id, rig->session_id, 16);
	assert_int_equal(record->worker_id, 3);
	assert_int_equal(record->stream_id, 3);
	assert_int_equal(record->interface.link_type, 1);
	assert_int_equal(record->interface.name.length, 4);
	assert_memory_equal(record->interface.name.data, "rig0", 4);
	assert_int_equal(record->node.length, 8);
}

static void judge_number(struct seen *seen, uint64_t batch_seq, uint64_t packet_seq)
{
	assert_true(batch_seq > seen->next_batch);
	assert_true(packet_seq > seen->next_packet);
	seen->batch_holes += batch_seq - seen->next_batch - 1;
	seen->holes += packet_seq - seen->next_packet - 1;
	seen->next_batch = batch_seq;
	seen->next_packet = packet_seq - 1;
	/* The rule by which each topic can be checked without the other. */
	assert_int_equal(batch_seq - (packet_seq - 1), seen->ledgers + 1);
}

static void judge_records(struct rig *rig, const struct fake_message *message, struct seen *seen)
{
	const struct wb_batch *batch = &message->batch;
	uint32_t begin = 0;

	assert_int_equal(batch->packets, batch->record_count);
	assert_int_equal(message->topic_suffix[0], '\0');
	for (uint32_t i = 0; i < batch->record_count; i++) {
		const struct wb_record *note = &message->records[i];
		struct wbproto_record record;

		assert_true(note->end > begin);
		assert_int_equal(wbproto_record_read(message->data + begin, note->end - begin, &record), 0);
		begin = note->end;
		if (i == 0) {
			assert_int_equal(batch->batch_seq, record.batch_seq);
			assert_int_equal(batch->first_packet_seq, record.packet_seq);
		}
		judge_number(seen, record.batch_seq, record.packet_seq);
		judge_record(rig, &record);
		assert_int_equal(note->time_ms, record.packet.time_unix_ns / 1000000u);
		assert_true(batch->max_time_ms >= note->time_ms);
		seen->next_packet++;
		seen->packets++;
	}
	assert_int_equal(begin, batch->size);
	seen->buffers++;
}

static void judge_ledger_message(const struct fake_message *message, struct seen *seen)
{
	struct wb_ledger_totals totals = {0};
	struct wbproto_reader reader;

	assert_string_equal(message->topic_suffix, ".ledger");
	assert_int_equal(wbproto_reader_init(&reader, message->data, message->batch.size), 0);
	assert_int_equal(reader.packet_count, 0);
	assert_true(reader.batch.flags & WBPROTO_BATCH_RECORD_MODE);
	assert_true(reader.batch.has_counters);
	totals.counters = reader.batch.counters;
	assert_true(wb_ledger_balanced(&totals, false));
	judge_number(seen, reader.batch.batch_seq, reader.batch.first_packet_seq);
	seen->ledgers++;
	assert_int_equal(seen->ends, 0);
	if (reader.batch.flags & (WBPROTO_BATCH_HEARTBEAT | WBPROTO_BATCH_END_OF_STREAM))
		assert_true(reader.batch.watermark_unix_ns > 0);
	else
		assert_int_equal(reader.batch.watermark_unix_ns, 0);
	seen->heartbeats += !!(reader.batch.flags & WBPROTO_BATCH_HEARTBEAT);
	seen->ends += !!(reader.batch.flags & WBPROTO_BATCH_END_OF_STREAM);
	seen->end_counters = reader.batch.counters;
}

static void judge(struct rig *rig, struct seen *ret_seen, struct wb_ledger_totals *ret_totals)
{
	memset(ret_seen, 0, sizeof *ret_seen);
	for (size_t i = 0; i < rig->bus.message_count; i++) {
		if (rig->bus.messages[i].batch.record_count)
			judge_records(rig, &rig->bus.messages[i], ret_seen);
		else
			judge_ledger_message(&rig->bus.messages[i], ret_seen);
	}
	assert_int_equal(ret_seen->ends, 1);
	wb_ledger_snapshot(&rig->worker.ledger, ret_totals);
	assert_true(wb_ledger_balanced(ret_totals, true));
	assert_int_equal(ret_totals->counters.accepted, rig->pushed);
	assert_int_equal(ret_totals->counters.dropped, ret_seen->holes);
	assert_int_equal(ret_totals->counters.in_flight, 0);
	assert_int_equal(ret_seen->end_counters.accepted, rig->pushed);
	/* What was given up used up a message's number as well. */
	assert_int_equal(ret_seen->batch_holes, ret_seen->holes);
}

static void each_packet_is_a_message(void **state)
{
	struct wb_ledger_totals totals;
	struct seen seen;
	struct rig rig;

	init(&rig);
	rig.config.batch_age_ms = 60000;
	rig_start(&rig);
	for (size_t lease = 0; lease < 100; lease++)
		rig_push(&rig, 30);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	rig_stop(&rig);
	judge(&rig, &seen, &totals);
	assert_int_equal(seen.packets, 3000);
	assert_int_equal(seen.holes, 0);
	assert_int_equal(totals.counters.delivered, 3000);
	/* 790 bytes of packet on average, up to 130 beside them, in buffers of 16 KiB. */
	assert_in_range(seen.buffers, 3000 * 790 / 16384, 3000 * 960 / 16384);
	rig_fini(&rig);
}

/* The counters are in no other message, so they come under load as well, and then nothing is said of the ring. */
static void counters_come_under_load(void **state)
{
	struct wb_ledger_totals totals;
	bool under_load = false;
	struct seen seen;
	struct rig rig;

	init(&rig);
	rig.config.heartbeat_ms = 20;
	rig.config.batch_age_ms = 5;
	rig_start(&rig);
	for (int i = 0; i < 100000 && !under_load; i++) {
		rig_push(&rig, 5);
		for (size_t m = 0; m < fake_bus_messages(&rig.bus); m++) {
			pthread_mutex_lock(&rig.bus.lock);
			under_load = under_load || rig.bus.messages[m].batch.flags == WBPROTO_BATCH_RECORD_MODE;
			pthread_mutex_unlock(&rig.bus.lock);
		}
	}
	assert_true(under_load);
	/* And with the watermark when the ring is empty. */
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	assert_true(fake_bus_wait_messages(&rig.bus, fake_bus_messages(&rig.bus) + 5, RIG_PATIENCE_MS));
	rig_stop(&rig);
	judge(&rig, &seen, &totals);
	assert_true(seen.ledgers > seen.heartbeats + 1);
	assert_true(seen.heartbeats >= 3);
	rig_fini(&rig);
}

/* Outcomes of single records: the buffer comes back with the last, and each is booked as what it is. */
static void records_may_end_differently(void **state)
{
	static const enum fake_settling settlings[] = {FAKE_SETTLE_NOW, FAKE_SETTLE_LATER};

	for (size_t i = 0; i < 2; i++) {
		struct wb_ledger_totals totals;
		uint64_t failed = 0;
		struct seen seen;
		struct rig rig;

		init(&rig);
		rig.config.buffers = 4;
		rig.bus.fail_every = 3;
		rig.bus.result = i ? WB_RESULT_UNKNOWN : WB_RESULT_DELIVERED;
		fake_bus_set_settling(&rig.bus, settlings[i]);
		rig_start(&rig);
		for (size_t lease = 0; lease < 50; lease++)
			rig_push(&rig, 20);
		rig_stop(&rig);
		judge(&rig, &seen, &totals);
		for (size_t m = 0; m < rig.bus.message_count; m++)
			failed += rig.bus.messages[m].batch.record_count / 3;
		assert_int_equal(totals.counters.failed, failed);
		assert_int_equal(totals.failed_by_cause[WB_CAUSE_REFUSED], failed);
		assert_int_equal(i ? totals.counters.unknown : totals.counters.delivered, 1000 - failed);
		assert_int_equal(totals.batches_in_flight, 0);
		rig_fini(&rig);
	}
}

/* Two sizes that no buffer of the target size holds: one that the bus takes, one that it does not. */
static uint32_t length_large(uint64_t n)
{
	return n % 10 == 0 ? 100000 : n % 10 == 5 ? 130000 : 100;
}

static void large_ones_travel_alone(void **state)
{
	struct wb_ledger_totals totals;
	struct seen seen;
	struct rig rig;

	init(&rig);
	rig.length = length_large;
	rig.max_batch_bytes = 120000;
	rig.config.block_bytes = 200000;
	rig_start(&rig);
	rig_push(&rig, 100);
	rig_stop(&rig);
	judge(&rig, &seen, &totals);
	assert_int_equal(seen.packets, 90);
	assert_int_equal(totals.counters.dropped_too_large, 10);
	for (size_t m = 0; m < rig.bus.message_count; m++)
		if (rig.bus.messages[m].batch.size > rig.config.batch_bytes)
			assert_int_equal(rig.bus.messages[m].batch.record_count, 1);
	rig_fini(&rig);
}

/* A record of exactly the bus's limit passes, though the buffer must hold more than it. */
static void the_largest_that_the_bus_takes(void **state)
{
	for (size_t over = 0; over < 2; over++) {
		struct wb_ledger_totals totals;
		size_t overhead;
		struct rig rig;

		init(&rig);
		rig_start(&rig);
		rig_push(&rig, 1);
		rig_stop(&rig);
		overhead = rig.bus.messages[0].batch.size - rig.length(1);
		rig_fini(&rig);
		init(&rig);
		rig.length = length_large;
		rig.pushed = 9;
		/* Three more bytes of lengths than a small one has. */
		rig.max_batch_bytes = 100000 + overhead + 2 - over;
		rig.config.block_bytes = 200000;
		rig_start(&rig);
		rig_push(&rig, 1);
		rig_stop(&rig);
		wb_ledger_snapshot(&rig.worker.ledger, &totals);
		assert_int_equal(totals.counters.delivered, 1 - over);
		assert_int_equal(totals.counters.dropped_too_large, over);
		if (!over)
			assert_int_equal(rig.bus.messages[0].batch.size, rig.max_batch_bytes);
		rig_fini(&rig);
	}
}

static void dropped_packets_use_numbers_up(void **state)
{
	struct wb_ledger_totals totals;
	struct seen seen;
	struct rig rig;

	init(&rig);
	rig.length = length_100;
	rig.config.buffers = 4;
	rig.config.batch_packets = 10;
	rig.config.batch_age_ms = 60000;
	rig.config.on_full = WB_ON_FULL_DROP;
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	for (size_t i = 0; i < 10; i++)
		rig_push(&rig, 10);
	rig_start(&rig);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	assert_int_equal(fake_bus_release(&rig.bus, 4), 4);
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_NOW);
	/* Batches that a full bus refuses are holes as well. */
	fake_bus_refuse(&rig.bus, -EAGAIN, 1);
	rig_push(&rig, 10);
	rig_push(&rig, 10);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	rig_stop(&rig);
	judge(&rig, &seen, &totals);
	assert_int_equal(seen.packets, 50);
	assert_int_equal(totals.counters.dropped_no_buffer, 60);
	assert_int_equal(totals.counters.dropped_bus_full, 10);
	rig_fini(&rig);
}

/* With a stream for each bucket both hold. */
static void in_flow_mode(void **state)
{
	struct wb_ledger_totals totals;
	uint64_t next[4] = {0};
	unsigned int ends = 0;
	struct rig rig;

	init(&rig);
	rig.config.key = WB_KEY_FLOW;
	rig.config.flow_buckets = 4;
	rig_start(&rig);
	for (size_t lease = 0; lease < 50; lease++)
		rig_push(&rig, 20);
	rig_stop(&rig);
	for (size_t m = 0; m < rig.bus.message_count; m++) {
		const struct fake_message *message = &rig.bus.messages[m];
		uint32_t begin = 0;

		ends += message->batch.flags == (WBPROTO_BATCH_RECORD_MODE | WBPROTO_BATCH_END_OF_STREAM);
		for (uint32_t i = 0; i < message->batch.record_count; i++) {
			struct wbproto_record record;

			assert_int_equal(
				wbproto_record_read(message->data + begin, message->records[i].end - begin, &record),
				0);
			begin = message->records[i].end;
			assert_int_equal(record.stream_id, 3 + record.flow_bucket_plus_one - 1);
			assert_int_equal(record.packet_seq, ++next[record.flow_bucket_plus_one - 1]);
		}
	}
	assert_int_equal(ends, 4);
	assert_int_equal(next[0] + next[1] + next[2] + next[3], 1000);
	wb_ledger_snapshot(&rig.worker.ledger, &totals);
	assert_int_equal(totals.counters.delivered, 1000);
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_packet_is_a_message),
		cmocka_unit_test(counters_come_under_load),
		cmocka_unit_test(records_may_end_differently),
		cmocka_unit_test(large_ones_travel_alone),
		cmocka_unit_test(the_largest_that_the_bus_takes),
		cmocka_unit_test(dropped_packets_use_numbers_up),
		cmocka_unit_test(in_flow_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
