/* SPDX-License-Identifier: Apache-2.0 */
#include "worker_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FIRST_TIME_NS 1700000000123456789u
#define LONGEST_FRAME 400000u

static const char node[] = "rig-node";

static const struct wbproto_interface interface = {
	.index = 7,
	.link_type = 1,
	.snap_length = 262144,
	.timestamp_source = WBPROTO_TIME_SOFTWARE,
	.speed_bps = 10000000000u,
	.name = {"rig0", 4},
	.filter = {"tcp", 3},
};

static uint32_t mixed_length(uint64_t n)
{
	return 60 + (uint32_t)(n * 2654435761u % 1455);
}

void rig_init(struct rig *rig)
{
	memset(rig, 0, sizeof *rig);
	for (size_t i = 0; i < sizeof rig->session_id; i++)
		rig->session_id[i] = (uint8_t)(0xa0 + i);
	rig->config.interface = (char *)(uintptr_t) "rig0";
	rig->config.block_bytes = 512 * 1024;
	rig->config.retire_ms = 3;
	rig->config.batch_bytes = 16 * 1024;
	rig->config.batch_age_ms = 20;
	rig->config.heartbeat_ms = 60000;
	rig->config.buffers = 8;
	rig->config.on_full = WB_ON_FULL_BLOCK;
	rig->flush_ms = RIG_PATIENCE_MS;
	rig->max_batch_bytes = 128 * 1024;
	rig->length = mixed_length;
	fake_ring_init(&rig->ring);
	fake_bus_init(&rig->bus);
}

void rig_start(struct rig *rig)
{
	struct wb_worker *worker = &rig->worker;
	struct wb_error error = {""};

	worker->config = &rig->config;
	worker->session_id = rig->session_id;
	worker->node = node;
	worker->worker_id = 3;
	worker->first_stream_id = 3;
	worker->cpu = -1;
	worker->flush_ms = rig->flush_ms;
	worker->max_batch_bytes = rig->max_batch_bytes;
	worker->interface = interface;
	worker->ops = &fake_bus_ops;
	worker->lane = &rig->bus;
	worker->ring = &rig->ring;
	assert_int_equal(wb_worker_init(worker, &error), 0);
	if (rig->prepare)
		rig->prepare(rig);
	rig->started_ns = wb_monotonic_ns();
	assert_int_equal(wb_worker_start(worker, &error), 0);
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdu;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53u;
	return x ^ x >> 33;
}

void rig_packet(uint64_t n, uint32_t length, struct tpacket_packet *ret_packet)
{
	static uint8_t bytes[LONGEST_FRAME];

	assert_true(length <= sizeof bytes);
	for (uint32_t i = 0; i < length; i += 8) {
		uint64_t word = mix(n << 20 | i);

		memcpy(bytes + i, &word, length - i < 8 ? length - i : 8);
	}
	*ret_packet = (struct tpacket_packet){
		.time_ns = FIRST_TIME_NS + n * 1001,
		.data = bytes,
		.captured_length = length,
		.original_length = length + (uint32_t)(n % 5),
		.interface_index = 7,
		.rx_hash = (uint32_t)mix(n),
		.packet_type = TPACKET_TYPE_HOST,
	};
}

void rig_push(struct rig *rig, size_t count)
{
	struct tpacket_packet *packets = calloc(count, sizeof *packets);

	assert_non_null(packets);
	for (size_t i = 0; i < count; i++) {
		uint64_t n = rig->pushed + i + 1;
		uint8_t *copy = malloc(rig->length(n) + 1);

		assert_non_null(copy);
		rig_packet(n, rig->length(n), &packets[i]);
		memcpy(copy, packets[i].data, packets[i].captured_length);
		packets[i].data = copy;
	}
	assert_true(fake_ring_push(&rig->ring, packets, count));
	rig->pushed += count;
	for (size_t i = 0; i < count; i++)
		free((void *)(uintptr_t)packets[i].data);
	free(packets);
}

void rig_join(struct rig *rig)
{
	wb_worker_join(&rig->worker);
	rig->ended_ns = wb_monotonic_ns();
	assert_true(atomic_load(&rig->worker.ended));
}

/* A worker ends with the end of its stream, and does not wait for what becomes of that message. */
static void wait_settled(struct rig *rig)
{
	const uint64_t end_ns = wb_monotonic_ns() + RIG_PATIENCE_MS * UINT64_C(1000000);
	struct wb_ledger_totals totals;

	do {
		wb_ledger_snapshot(&rig->worker.ledger, &totals);
	} while (totals.batches_in_flight && wb_monotonic_ns() < end_ns && usleep(1000) == 0);
}

void rig_stop(struct rig *rig)
{
	wb_worker_stop(&rig->worker);
	rig_join(rig);
	if (rig->bus.settling == FAKE_SETTLE_LATER)
		wait_settled(rig);
}

static void judge_view(struct wbproto_view view, const char *expected)
{
	assert_int_equal(view.length, strlen(expected));
	assert_memory_equal(view.data, expected, view.length);
}

static void judge_packet(struct rig *rig, uint64_t n, const struct wbproto_packet *packet)
{
	struct tpacket_packet expected;

	assert_in_range(n, 1, rig->pushed);
	rig_packet(n, rig->length(n), &expected);
	assert_int_equal(packet->time_unix_ns, expected.time_ns);
	assert_int_equal(packet->captured_length, expected.captured_length);
	assert_int_equal(packet->original_length, expected.original_length);
	assert_int_equal(packet->interface_index, expected.interface_index);
	assert_int_equal(packet->rx_hash, expected.rx_hash);
	assert_int_equal(packet->flags, WBPROTO_PACKET_INBOUND | WBPROTO_PACKET_UNICAST);
	assert_int_equal(packet->status, 0);
	assert_int_equal(packet->vlan_tpid, 0);
	assert_int_equal(packet->vlan_tci, 0);
	assert_int_equal(packet->vnet_header_length, 0);
	assert_memory_equal(packet->data, expected.data, expected.captured_length);
	assert_false(rig->present[n]);
	rig->present[n] = true;
}

/* What the transport is told beside the bytes says the same as the bytes. */
static void judge_envelope(struct rig *rig, const struct fake_message *message, const struct wbproto_reader *reader)
{
	const struct wbproto_batch *batch = &reader->batch;
	struct wbproto_interface found;
	char key[32];

	assert_memory_equal(batch->session_id, rig->session_id, 16);
	assert_memory_equal(message->session_id, rig->session_id, 16);
	assert_int_equal(batch->worker_id, 3);
	assert_int_equal(message->batch.worker_id, 3);
	assert_int_equal(batch->stream_id, 3);
	assert_int_equal(message->batch.stream_id, 3);
	assert_int_equal(message->batch.batch_seq, batch->batch_seq);
	assert_int_equal(message->batch.first_packet_seq, batch->first_packet_seq);
	assert_int_equal(message->batch.packets, reader->packet_count);
	assert_int_equal(message->batch.flags, batch->flags);
	judge_view(batch->node, node);
	assert_int_equal(batch->interface_count, 1);
	assert_int_equal(wbproto_reader_interface(reader, 7, &found), 0);
	judge_view(found.name, "rig0");
	judge_view(found.filter, "tcp");
	assert_int_equal(found.speed_bps, interface.speed_bps);
	snprintf(key, sizeof key, "%s/%u", node, batch->stream_id);
	assert_int_equal(message->key_size, strlen(key));
	assert_memory_equal(message->key, key, strlen(key));
	assert_true(message->default_topic);
	assert_int_equal(message->partition, -1);
}

static void judge_size(const struct rig *rig, const struct fake_message *message)
{
	if (message->batch.size <= rig->config.batch_bytes)
		return;
	assert_int_equal(message->batch.packets, 1);
	assert_true(message->batch.size <= rig->max_batch_bytes);
}

static void judge_counters(const struct wbproto_batch *batch, struct wbproto_counters *previous)
{
	struct wb_ledger_totals totals = {.counters = batch->counters};

	assert_true(batch->has_counters);
	assert_true(wb_ledger_balanced(&totals, false));
	assert_true(batch->counters.accepted >= previous->accepted);
	assert_true(batch->counters.delivered >= previous->delivered);
	assert_true(batch->counters.dropped >= previous->dropped);
	assert_true(batch->counters.kernel_seen >= batch->counters.read + batch->counters.kernel_dropped);
	*previous = batch->counters;
}

static void judge_empty(
	const struct fake_message *message, const struct wbproto_reader *reader, uint64_t next, struct rig_seen *seen)
{
	const struct wbproto_batch *batch = &reader->batch;

	assert_int_equal(batch->first_packet_seq, next);
	assert_true(batch->watermark_unix_ns > 0);
	assert_int_equal(batch->min_time_unix_ns, 0);
	assert_int_equal(batch->max_time_unix_ns, 0);
	if (batch->flags == WBPROTO_BATCH_HEARTBEAT) {
		seen->heartbeats++;
		return;
	}
	assert_int_equal(batch->flags, WBPROTO_BATCH_END_OF_STREAM);
	seen->ends++;
	seen->end_counters = batch->counters;
	seen->end_watermark_ns = batch->watermark_unix_ns;
}

static void judge_batch(struct rig *rig, const struct fake_message *message, struct wbproto_reader *reader)
{
	uint64_t n = reader->batch.first_packet_seq;
	uint64_t least_ns = UINT64_MAX;
	uint64_t greatest_ns = 0;
	struct wbproto_packet packet;

	assert_int_equal(reader->batch.flags, 0);
	assert_int_equal(reader->batch.watermark_unix_ns, 0);
	for (; wbproto_reader_next(reader, &packet) == 1; n++) {
		judge_packet(rig, n, &packet);
		if (packet.time_unix_ns < least_ns)
			least_ns = packet.time_unix_ns;
		if (packet.time_unix_ns > greatest_ns)
			greatest_ns = packet.time_unix_ns;
	}
	assert_int_equal(n - reader->batch.first_packet_seq, message->batch.packets);
	assert_int_equal(reader->batch.min_time_unix_ns, least_ns);
	assert_int_equal(reader->batch.max_time_unix_ns, greatest_ns);
	assert_int_equal(message->batch.max_time_ms, greatest_ns / 1000000u);
}

void rig_judge(struct rig *rig, struct rig_seen *ret_seen)
{
	struct wbproto_counters counters = {0};
	uint64_t next_packet = 1;
	uint64_t next_batch = 1;

	memset(ret_seen, 0, sizeof *ret_seen);
	free(rig->present);
	rig->present = calloc(rig->pushed + 1, sizeof *rig->present);
	assert_non_null(rig->present);
	for (size_t i = 0; i < rig->bus.message_count; i++) {
		const struct fake_message *message = &rig->bus.messages[i];
		struct wbproto_reader reader;

		assert_int_equal(ret_seen->ends, 0); /* it is the last message */
		assert_int_equal(wbproto_reader_init(&reader, message->data, message->batch.size), 0);
		judge_envelope(rig, message, &reader);
		judge_size(rig, message);
		judge_counters(&reader.batch, &counters);
		assert_true(reader.batch.batch_seq >= next_batch);
		assert_true(reader.batch.first_packet_seq >= next_packet);
		ret_seen->batch_holes += reader.batch.batch_seq - next_batch;
		ret_seen->holes += reader.batch.first_packet_seq - next_packet;
		next_batch = reader.batch.batch_seq + 1;
		next_packet = reader.batch.first_packet_seq;
		if (reader.packet_count) {
			judge_batch(rig, message, &reader);
			ret_seen->batches++;
			ret_seen->packets += reader.packet_count;
			next_packet += reader.packet_count;
		} else {
			judge_empty(message, &reader, next_packet, ret_seen);
		}
	}
	assert_false(rig->ring.misused);
}

void rig_judge_ledger(struct rig *rig, const struct rig_seen *seen, struct wb_ledger_totals *ret_totals)
{
	struct wbproto_counters *c = &ret_totals->counters;

	wb_ledger_snapshot(&rig->worker.ledger, ret_totals);
	assert_true(wb_ledger_balanced(ret_totals, fake_ring_pending(&rig->ring) == 0));
	assert_int_equal(c->open, 0);
	assert_int_equal(c->in_flight + c->delivered + c->handed_over + c->failed + c->unknown, seen->packets);
	assert_int_equal(ret_totals->batches_in_flight, rig->bus.held_count);
	if (seen->ends) {
		assert_int_equal(c->dropped, seen->holes);
		assert_int_equal(seen->end_counters.accepted, c->accepted);
		assert_int_equal(seen->end_counters.dropped, c->dropped);
		assert_int_equal(seen->end_counters.truncated, c->truncated);
		assert_int_equal(seen->end_counters.kernel_seen, c->kernel_seen);
		assert_int_equal(seen->end_counters.kernel_seen, c->read + c->kernel_dropped);
	}
}

void rig_end_complete(struct rig *rig, struct rig_seen *ret_seen)
{
	struct wb_ledger_totals totals;

	rig_stop(rig);
	rig_judge(rig, ret_seen);
	rig_judge_ledger(rig, ret_seen, &totals);
	assert_int_equal(ret_seen->ends, 1);
	assert_int_equal(ret_seen->packets, rig->pushed);
	assert_int_equal(ret_seen->holes, 0);
	assert_int_equal(ret_seen->batch_holes, 0);
	assert_int_equal(totals.counters.accepted, rig->pushed);
	assert_int_equal(totals.counters.delivered, rig->pushed);
	assert_int_equal(ret_seen->end_counters.delivered, rig->pushed);
	assert_int_equal(atomic_load(&rig->worker.exit_code), 0);
}

void rig_fini(struct rig *rig)
{
	struct wb_ledger_totals totals;

	fake_bus_set_settling(&rig->bus, FAKE_HOLD);
	fake_bus_release(&rig->bus, SIZE_MAX);
	fake_bus_fini(&rig->bus);
	wb_worker_spool_finish(&rig->worker);
	wb_ledger_snapshot(&rig->worker.ledger, &totals);
	assert_true(wb_ledger_balanced(&totals, false));
	assert_int_equal(totals.counters.in_flight, 0);
	assert_int_equal(totals.batches_in_flight, 0);
	assert_int_equal(wb_pool_free_count(&rig->worker.pool), rig->worker.pool.count);
	assert_int_equal(wb_pool_free_count(&rig->worker.oversize), rig->worker.oversize.count);
	assert_int_equal(wb_pool_free_count(&rig->worker.control), rig->worker.control.count);
	assert_false(rig->bus.damaged);
	wb_worker_fini(&rig->worker);
	fake_ring_fini(&rig->ring);
	free(rig->present);
}
