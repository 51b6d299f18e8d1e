/* SPDX-License-Identifier: Apache-2.0 */
/* A worker with key `flow`: a stream for each bucket, each complete by itself, and no more buffers than there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "flow_hash.h"
#include "worker_rig.h"

#define BUCKETS 8u
#define STREAM_ID 3u /* of the first one, see rig_start() */

struct stream_seen {
	uint64_t next_batch;
	uint64_t next_packet;
	uint64_t batches;
	uint64_t packets;
	uint64_t holes;
	uint64_t heartbeats;
	uint64_t last_n; /* of the packet before */
	bool ended;
};

static void init(struct rig *rig)
{
	rig_init(rig);
	rig->config.key = WB_KEY_FLOW;
	rig->config.flow_buckets = BUCKETS;
	rig->config.buffers = BUCKETS + 4;
	rig->config.batch_age_ms = 60000;
}

/* Packets are in the bucket of their hash, in the order in which they were pushed, bit by bit. */
static void judge_packets(struct rig *rig, struct wbproto_reader *reader, unsigned int bucket, struct stream_seen *seen)
{
	struct tpacket_packet first, expected;
	struct wbproto_packet packet;

	rig_packet(0, 0, &first);
	while (wbproto_reader_next(reader, &packet) == 1) {
		uint64_t n = (packet.time_unix_ns - first.time_ns) / 1001;

		assert_in_range(n, 1, rig->pushed);
		assert_true(n > seen->last_n);
		seen->last_n = n;
		rig_packet(n, rig->length(n), &expected);
		assert_int_equal(packet.time_unix_ns, expected.time_ns);
		assert_int_equal(packet.captured_length, expected.captured_length);
		assert_memory_equal(packet.data, expected.data, expected.captured_length);
		assert_int_equal(wb_flow_hash(1, expected.data, expected.captured_length) % BUCKETS, bucket);
		seen->packets++;
	}
}

static void judge_message(struct rig *rig, const struct fake_message *message, struct stream_seen *streams)
{
	struct wbproto_reader reader;
	struct stream_seen *seen;
	unsigned int bucket;
	char key[32];

	assert_int_equal(wbproto_reader_init(&reader, message->data, message->batch.size), 0);
	assert_in_range(reader.batch.stream_id, STREAM_ID, STREAM_ID + BUCKETS - 1);
	bucket = reader.batch.stream_id - STREAM_ID;
	seen = &streams[bucket];
	assert_int_equal(reader.batch.flow_bucket_plus_one, bucket + 1);
	assert_int_equal(message->batch.stream_id, reader.batch.stream_id);
	snprintf(key, sizeof key, "flow/%u", bucket);
	assert_int_equal(message->key_size, strlen(key));
	assert_memory_equal(message->key, key, strlen(key));
	assert_false(seen->ended);
	assert_int_equal(reader.batch.batch_seq, ++seen->next_batch);
	assert_true(reader.batch.first_packet_seq > seen->next_packet);
	seen->holes += reader.batch.first_packet_seq - 1 - seen->next_packet;
	seen->next_packet = reader.batch.first_packet_seq - 1 + reader.packet_count;
	seen->batches += reader.packet_count > 0;
	seen->heartbeats += reader.batch.flags == WBPROTO_BATCH_HEARTBEAT;
	seen->ended = reader.batch.flags == WBPROTO_BATCH_END_OF_STREAM;
	judge_packets(rig, &reader, bucket, seen);
}

/* What a reader of all streams finds: every one has ended, and they add up to what the worker accepted. */
static void judge(struct rig *rig, struct stream_seen *streams, struct stream_seen *ret_sum)
{
	struct wb_ledger_totals totals;

	memset(streams, 0, BUCKETS * sizeof *streams);
	memset(ret_sum, 0, sizeof *ret_sum);
	for (size_t i = 0; i < rig->bus.message_count; i++)
		judge_message(rig, &rig->bus.messages[i], streams);
	for (unsigned int i = 0; i < BUCKETS; i++) {
		assert_true(streams[i].ended);
		ret_sum->next_packet += streams[i].next_packet;
		ret_sum->batches += streams[i].batches;
		ret_sum->packets += streams[i].packets;
		ret_sum->holes += streams[i].holes;
		ret_sum->heartbeats += streams[i].heartbeats;
	}
	wb_ledger_snapshot(&rig->worker.ledger, &totals);
	assert_true(wb_ledger_balanced(&totals, true));
	assert_int_equal(ret_sum->next_packet, totals.counters.accepted);
	assert_int_equal(ret_sum->holes, totals.counters.dropped);
	assert_int_equal(ret_sum->packets, totals.counters.delivered);
}

static void each_bucket_is_a_stream(void **state)
{
	static const enum wbproto_encoder_kind kinds[] = {WBPROTO_ENCODER_DIRECT, WBPROTO_ENCODER_PROTOBUF_C};

	for (size_t i = 0; i < 2; i++) {
		struct stream_seen streams[BUCKETS], sum;
		struct rig rig;

		init(&rig);
		rig.config.encoder = kinds[i];
		rig_start(&rig);
		for (size_t lease = 0; lease < 100; lease++)
			rig_push(&rig, 40);
		rig_stop(&rig);
		judge(&rig, streams, &sum);
		assert_int_equal(sum.packets, 4000);
		assert_int_equal(sum.holes, 0);
		/* 4000 packets of 790 bytes on average in batches of 16 KiB: none is cut short by another stream. */
		assert_in_range(sum.batches, 190, 230 + BUCKETS);
		for (unsigned int b = 0; b < BUCKETS; b++)
			assert_true(streams[b].packets > 300);
		rig_fini(&rig);
	}
}

/* Also those that never had a packet. */
static void all_streams_end(void **state)
{
	struct stream_seen streams[BUCKETS], sum;
	struct rig rig;

	init(&rig);
	rig_start(&rig);
	rig_push(&rig, 1);
	rig_stop(&rig);
	judge(&rig, streams, &sum);
	assert_int_equal(sum.packets, 1);
	assert_int_equal(rig.bus.message_count, 1 + BUCKETS);
	rig_fini(&rig);
}

static void each_stream_has_heartbeats(void **state)
{
	struct stream_seen streams[BUCKETS], sum;
	struct rig rig;

	init(&rig);
	rig.config.heartbeat_ms = 20;
	rig_start(&rig);
	assert_true(fake_bus_wait_messages(&rig.bus, 4ul * BUCKETS, RIG_PATIENCE_MS));
	rig_stop(&rig);
	judge(&rig, streams, &sum);
	for (unsigned int b = 0; b < BUCKETS; b++)
		assert_true(streams[b].heartbeats >= 3);
	assert_true(sum.heartbeats <= BUCKETS * ((rig.ended_ns - rig.started_ns) / 20000000u + 1));
	rig_fini(&rig);
}

/* The age is the batch's own: a later one of another stream neither hurries nor delays it. */
static void each_stream_has_its_age(void **state)
{
	struct stream_seen streams[BUCKETS], sum;
	struct rig rig;

	init(&rig);
	rig.config.batch_age_ms = 200;
	rig_start(&rig);
	for (size_t i = 0; i < 30; i++) {
		struct timespec pause = {.tv_nsec = 20 * 1000000};

		rig_push(&rig, 1);
		nanosleep(&pause, NULL);
	}
	assert_true(fake_bus_wait_messages(&rig.bus, BUCKETS, RIG_PATIENCE_MS));
	/* Each held what came within its age. */
	for (size_t i = 0; i < BUCKETS; i++)
		assert_true(rig.bus.messages[i].published_ns >= rig.started_ns + 200 * 1000000u);
	rig_stop(&rig);
	judge(&rig, streams, &sum);
	assert_int_equal(sum.packets, 30);
	assert_true(sum.batches > BUCKETS / 2);
	rig_fini(&rig);
}

/* A packet whose MAC addresses put it into the bucket. */
static void push_into(struct rig *rig, unsigned int bucket, uint32_t length)
{
	static uint8_t frame[2000];
	struct tpacket_packet packet = {.time_ns = 1,
		.data = frame,
		.captured_length = length,
		.original_length = length,
		.interface_index = 7};

	while (wb_flow_hash(1, frame, length) % BUCKETS != bucket)
		frame[0]++;
	assert_true(fake_ring_push(&rig->ring, &packet, 1));
}

/*
 * All buffers are open batches of other streams, and none is with the bus that could come back: the fullest is handed
 * over. (The configuration does not allow that few buffers; a bus that keeps the others comes to the same.)
 */
static void open_batches_do_not_lock_the_others_out(void **state)
{
	static const enum wb_on_full policies[] = {WB_ON_FULL_BLOCK, WB_ON_FULL_DROP};

	for (size_t p = 0; p < 2; p++) {
		struct wb_ledger_totals totals;
		struct rig rig;

		init(&rig);
		rig.config.buffers = 4;
		rig.config.on_full = policies[p];
		rig_start(&rig);
		for (unsigned int i = 0; i < 4; i++)
			push_into(&rig, i, i == 2 ? 1500 : 100 + i);
		assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
		assert_int_equal(fake_bus_messages(&rig.bus), 0);
		push_into(&rig, 7, 100);
		assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
		assert_int_equal(fake_bus_messages(&rig.bus), 1);
		assert_int_equal(rig.bus.messages[0].batch.stream_id, STREAM_ID + 2);
		for (unsigned int i = 0; i < 200; i++)
			push_into(&rig, i % BUCKETS, 60 + i);
		assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
		rig_stop(&rig);
		wb_ledger_snapshot(&rig.worker.ledger, &totals);
		assert_true(wb_ledger_balanced(&totals, true));
		assert_int_equal(totals.counters.delivered, 205);
		rig_fini(&rig);
	}
}

/* What is given up leaves a hole in its own stream, and the holes are what the ledger says. */
static void drop_counts_by_stream(void **state)
{
	struct stream_seen streams[BUCKETS], sum;
	struct rig rig;

	init(&rig);
	rig.config.on_full = WB_ON_FULL_DROP;
	fake_bus_set_settling(&rig.bus, FAKE_HOLD);
	rig_start(&rig);
	for (size_t lease = 0; lease < 60; lease++)
		rig_push(&rig, 40);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	assert_int_equal(fake_bus_messages(&rig.bus), BUCKETS + 4);
	fake_bus_set_settling(&rig.bus, FAKE_SETTLE_LATER);
	while (wb_pool_free_count(&rig.worker.pool) < rig.config.buffers)
		;
	rig_push(&rig, 100);
	rig_stop(&rig);
	judge(&rig, streams, &sum);
	assert_true(sum.holes > 1000);
	assert_int_equal(sum.holes + sum.packets, rig.pushed);
	rig_fini(&rig);
}

/* One bucket is flow mode still. */
static void one_bucket(void **state)
{
	struct wbproto_reader reader;
	struct rig rig;

	init(&rig);
	rig.config.flow_buckets = 1;
	rig_start(&rig);
	rig_push(&rig, 10);
	rig_stop(&rig);
	assert_int_equal(rig.bus.message_count, 2);
	assert_int_equal(wbproto_reader_init(&reader, rig.bus.messages[0].data, rig.bus.messages[0].batch.size), 0);
	assert_int_equal(reader.batch.flow_bucket_plus_one, 1);
	assert_memory_equal(rig.bus.messages[0].key, "flow/0", 6);
	rig_fini(&rig);
}

static void other_keys(void **state)
{
	static const struct {
		enum wb_key key;
		const char *text;
	} rows[] = {{WB_KEY_STREAM, "rig-node/3"}, {WB_KEY_INTERFACE, "rig-node/rig0"}, {WB_KEY_NONE, ""}};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct rig rig;

		rig_init(&rig);
		rig.config.key = rows[i].key;
		rig_start(&rig);
		rig_push(&rig, 10);
		rig_stop(&rig);
		for (size_t m = 0; m < rig.bus.message_count; m++) {
			assert_int_equal(rig.bus.messages[m].key_size, strlen(rows[i].text));
			assert_memory_equal(rig.bus.messages[m].key, rows[i].text, strlen(rows[i].text));
		}
		rig_fini(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_bucket_is_a_stream),
		cmocka_unit_test(all_streams_end),
		cmocka_unit_test(each_stream_has_heartbeats),
		cmocka_unit_test(each_stream_has_its_age),
		cmocka_unit_test(open_batches_do_not_lock_the_others_out),
		cmocka_unit_test(drop_counts_by_stream),
		cmocka_unit_test(one_bucket),
		cmocka_unit_test(other_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
