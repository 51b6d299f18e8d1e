/* SPDX-License-Identifier: Apache-2.0 */
/* A worker with a bus that takes everything: what is published is what was captured, in batches as configured. */
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

static void packets_are_bit_exact_and_in_order(void **state)
{
	static const enum wbproto_encoder_kind kinds[] = {WBPROTO_ENCODER_DIRECT, WBPROTO_ENCODER_PROTOBUF_C};

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		struct rig_seen seen;
		struct rig rig;

		rig_init(&rig);
		rig.config.encoder = kinds[i];
		rig_start(&rig);
		for (size_t lease = 0; lease < 200; lease++)
			rig_push(&rig, 1 + lease * 7 % 50);
		assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
		rig_end_complete(&rig, &seen);
		assert_int_equal(seen.heartbeats, 0);
		assert_true(seen.batches >= 200); /* 5000 packets of 790 bytes on average in batches of 16 KiB */
		rig_fini(&rig);
	}
}

/* Publish the same packets with an encoder of either kind. Nothing but the end of stream depends on the clock. */
static void run_script(struct rig *rig, enum wbproto_encoder_kind kind)
{
	struct rig_seen seen;

	rig_init(rig);
	rig->config.encoder = kind;
	rig->config.batch_age_ms = 60000;
	for (size_t lease = 0; lease < 40; lease++)
		rig_push(rig, 1 + lease * 11 % 60);
	rig_start(rig);
	assert_true(fake_ring_wait_empty(&rig->ring, RIG_PATIENCE_MS));
	rig_end_complete(rig, &seen);
	assert_true(seen.batches > 20);
}

static void both_encoders_publish_the_same_bytes(void **state)
{
	static struct rig direct;
	static struct rig reference;
	size_t count;

	run_script(&direct, WBPROTO_ENCODER_DIRECT);
	run_script(&reference, WBPROTO_ENCODER_PROTOBUF_C);
	count = direct.bus.message_count;
	assert_int_equal(reference.bus.message_count, count);
	for (size_t i = 0; i + 1 < count; i++) {
		const struct fake_message *a = &direct.bus.messages[i];
		const struct fake_message *b = &reference.bus.messages[i];

		assert_int_equal(a->batch.size, b->batch.size);
		assert_memory_equal(a->data, b->data, a->batch.size);
	}
	/* The end of stream differs in its watermark, a fixed64 at its very end. */
	assert_int_equal(direct.bus.messages[count - 1].batch.size, reference.bus.messages[count - 1].batch.size);
	assert_memory_equal(direct.bus.messages[count - 1].data, reference.bus.messages[count - 1].data,
		direct.bus.messages[count - 1].batch.size - sizeof(uint64_t));
	rig_fini(&direct);
	rig_fini(&reference);
}

static uint64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void an_idle_worker_sends_heartbeats(void **state)
{
	const uint64_t period_ns = 40 * 1000000u;
	uint64_t began_ns = realtime_ns();
	const struct fake_message *messages;
	struct rig_seen seen;
	struct rig rig;

	rig_init(&rig);
	rig.config.heartbeat_ms = 40;
	rig.config.batch_age_ms = 1;
	rig_push(&rig, 3);
	fake_ring_lose(&rig.ring, 5);
	rig_start(&rig);
	assert_true(fake_bus_wait_messages(&rig.bus, 6, RIG_PATIENCE_MS));
	rig_end_complete(&rig, &seen);
	assert_true(seen.heartbeats >= 5);
	messages = rig.bus.messages;
	assert_int_equal(messages[0].batch.packets, 3);
	assert_true(messages[1].published_ns - messages[0].published_ns >= period_ns);
	assert_true(messages[5].published_ns - rig.started_ns >= 5 * period_ns);
	/* Not busy either: no more of them than there was time for. */
	assert_true(seen.heartbeats <= (rig.ended_ns - rig.started_ns) / period_ns);
	for (size_t i = 1; i <= 5; i++) {
		struct wbproto_reader reader;

		assert_int_equal(wbproto_reader_init(&reader, messages[i].data, messages[i].batch.size), 0);
		assert_int_equal(reader.batch.flags, WBPROTO_BATCH_HEARTBEAT);
		assert_int_equal(reader.batch.batch_seq, i + 1);
		assert_int_equal(reader.batch.first_packet_seq, 4);
		assert_int_equal(reader.batch.counters.accepted, 3);
		assert_int_equal(reader.batch.counters.delivered, 3);
		assert_int_equal(reader.batch.counters.kernel_seen, 8);
		assert_int_equal(reader.batch.counters.kernel_dropped, 5);
		assert_int_equal(reader.batch.counters.kernel_freezes, 1);
		assert_true(reader.batch.watermark_unix_ns >= began_ns);
		assert_true(reader.batch.watermark_unix_ns + 2 * rig.config.retire_ms * 1000000u <= realtime_ns());
		assert_in_range(messages[i].batch.max_time_ms, began_ns / 1000000u, realtime_ns() / 1000000u);
	}
	rig_fini(&rig);
}

/* A heartbeat is due a period after the last message of any kind. */
static void packets_put_heartbeats_off(void **state)
{
	const uint64_t period_ns = 100 * 1000000u;
	struct rig_seen seen;
	struct rig rig;

	rig_init(&rig);
	rig.config.heartbeat_ms = 100;
	rig.config.batch_age_ms = 1;
	rig_start(&rig);
	for (size_t i = 1; i <= 40; i++) {
		struct timespec pause = {.tv_nsec = 10 * 1000000};

		rig_push(&rig, 2);
		nanosleep(&pause, NULL);
	}
	rig_end_complete(&rig, &seen);
	assert_true(seen.batches > 1);
	for (size_t i = 1; i < rig.bus.message_count; i++)
		if (rig.bus.messages[i].batch.flags == WBPROTO_BATCH_HEARTBEAT)
			assert_true(
				rig.bus.messages[i].published_ns - rig.bus.messages[i - 1].published_ns >= period_ns);
	rig_fini(&rig);
}

static void a_batch_is_published_at_its_age(void **state)
{
	struct rig_seen seen;
	struct rig rig;
	uint64_t pushed_ns;

	rig_init(&rig);
	rig.config.batch_age_ms = 50;
	rig_start(&rig);
	for (size_t i = 1; i <= 3; i++) {
		pushed_ns = wb_monotonic_ns();
		rig_push(&rig, 1);
		assert_true(fake_bus_wait_messages(&rig.bus, i, RIG_PATIENCE_MS));
		assert_in_range((wb_monotonic_ns() - pushed_ns) / 1000000u, 50, 50 + 3000);
	}
	rig_end_complete(&rig, &seen);
	assert_int_equal(seen.batches, 3);
	assert_int_equal(seen.heartbeats, 0);
	rig_fini(&rig);
}

static void a_batch_holds_no_more_than_batch_packets(void **state)
{
	struct rig_seen seen;
	struct rig rig;

	rig_init(&rig);
	rig.config.batch_packets = 10;
	rig.config.batch_age_ms = 60000;
	rig.length = length_100;
	rig_start(&rig);
	rig_push(&rig, 33);
	rig_push(&rig, 62);
	/* Full batches do not wait for their age. */
	assert_true(fake_bus_wait_messages(&rig.bus, 9, RIG_PATIENCE_MS));
	rig_end_complete(&rig, &seen);
	assert_int_equal(seen.batches, 10);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(rig.bus.messages[i].batch.packets, i < 9 ? 10 : 5);
	rig_fini(&rig);
}

/* Bytes of a batch at most when it was open: what decides whether one more packet fits. */
static size_t bound_bytes(struct rig *rig, const struct fake_message *message, uint64_t *ret_next)
{
	struct wbproto_interface found;
	struct wbproto_packet packet;
	struct wbproto_reader reader;
	size_t bytes;

	assert_int_equal(wbproto_reader_init(&reader, message->data, message->batch.size), 0);
	assert_int_equal(wbproto_reader_interface_at(&reader, 0, &found), 0);
	reader.batch.interfaces = &found;
	bytes = wbproto_batch_overhead_bytes(&reader.batch);
	*ret_next = reader.batch.first_packet_seq + reader.packet_count;
	while (wbproto_reader_next(&reader, &packet) == 1)
		bytes += wbproto_packet_encoded_bytes(&packet);
	return bytes;
}

/* Bytes that the n-th packet adds to a batch. */
static size_t encoded_bytes(uint64_t n, uint32_t length)
{
	struct wbproto_packet packet = {0};
	struct tpacket_packet from;

	rig_packet(n, length, &from);
	packet.time_unix_ns = from.time_ns;
	packet.interface_index = from.interface_index;
	packet.original_length = from.original_length;
	packet.captured_length = from.captured_length;
	packet.data = from.data;
	packet.flags = WBPROTO_PACKET_INBOUND | WBPROTO_PACKET_UNICAST;
	packet.rx_hash = from.rx_hash;
	return wbproto_packet_encoded_bytes(&packet);
}

static void a_batch_is_filled_up_to_batch_bytes(void **state)
{
	struct rig_seen seen;
	struct rig rig;

	rig_init(&rig);
	rig.config.batch_bytes = 5000;
	rig.config.batch_age_ms = 60000;
	rig_push(&rig, 500);
	rig_start(&rig);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	rig_end_complete(&rig, &seen);
	assert_true(seen.batches > 50);
	for (size_t i = 0; i + 2 < rig.bus.message_count; i++) {
		uint64_t next;
		size_t bytes = bound_bytes(&rig, &rig.bus.messages[i], &next);

		assert_true(bytes <= 5000);
		assert_true(rig.bus.messages[i].batch.size <= bytes);
		assert_true(bytes + encoded_bytes(next, rig.length(next)) > 5000);
	}
	rig_fini(&rig);
}

/* 1: nothing before it; 5, 6: two in a row; 20: nothing after it. */
static uint32_t some_large(uint64_t n)
{
	return n == 1 || n == 5 || n == 6 || n == 20 ? 60000 + (uint32_t)n : 200;
}

static void a_frame_above_the_target_travels_alone(void **state)
{
	static const uint32_t packets[] = {1, 3, 1, 1, 13, 1};

	for (unsigned int kind = 0; kind < 2; kind++) {
		struct rig_seen seen;
		struct rig rig;

		rig_init(&rig);
		rig.config.encoder = kind;
		rig.config.batch_age_ms = 60000;
		rig.length = some_large;
		rig_push(&rig, 20);
		rig_start(&rig);
		assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
		rig_end_complete(&rig, &seen);
		assert_int_equal(seen.batches, 6);
		for (size_t i = 0; i < 6; i++) {
			assert_int_equal(rig.bus.messages[i].batch.packets, packets[i]);
			assert_int_equal(rig.bus.messages[i].batch.size > rig.config.batch_bytes, packets[i] == 1);
		}
		rig_fini(&rig);
	}
}

static uint32_t largest_fitting; /* of the boundary test */

static uint32_t around_the_limit(uint64_t n)
{
	switch (n) {
	case 1:
	case 4:
	case 8:
		return largest_fitting + 1;
	case 3:
		return largest_fitting;
	case 5:
		return 200000;
	default:
		return 200;
	}
}

/* The largest data with which packet 3 makes a batch of exactly the limit, by the documented sizes. */
static uint32_t find_largest_fitting(const struct rig *rig)
{
	const struct wbproto_interface *interface = &rig->worker.interface;
	struct wbproto_batch facts = {.worker_id = 3, .stream_id = 3, .batch_seq = 2, .first_packet_seq = 3};
	uint32_t length;

	memcpy(facts.session_id, rig->session_id, sizeof facts.session_id);
	facts.node.data = rig->worker.node;
	facts.node.length = strlen(rig->worker.node);
	facts.interfaces = interface;
	facts.interface_count = 1;
	length = (uint32_t)rig->max_batch_bytes;
	while (wbproto_batch_overhead_bytes(&facts) + encoded_bytes(3, length) > rig->max_batch_bytes)
		length--;
	return length;
}

static void a_frame_above_the_limit_is_dropped_and_counted(void **state)
{
	struct wb_ledger_totals totals;
	struct rig_seen seen;
	struct rig rig;

	rig_init(&rig);
	rig.config.batch_age_ms = 60000;
	rig.length = around_the_limit;
	rig_start(&rig);
	largest_fitting = find_largest_fitting(&rig);
	assert_in_range(largest_fitting, rig.max_batch_bytes - 1000, rig.max_batch_bytes);
	rig_push(&rig, 8);
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	rig_stop(&rig);
	rig_judge(&rig, &seen);
	rig_judge_ledger(&rig, &seen, &totals);
	assert_int_equal(seen.packets, 4); /* 2, 3, 6, 7 */
	assert_true(rig.present[2] && rig.present[3] && rig.present[6] && rig.present[7]);
	assert_int_equal(seen.holes, 4); /* one each: 1, 4, 5, 8 */
	assert_int_equal(seen.batch_holes, 0);
	assert_int_equal(totals.counters.dropped_too_large, 4);
	assert_int_equal(totals.counters.dropped, 4);
	assert_int_equal(seen.end_counters.dropped_too_large, 4);
	assert_int_equal(atomic_load(&rig.worker.exit_code), 0);
	rig_fini(&rig);
}

static void what_cannot_be_had_is_told(void **state)
{
	struct wb_error error = {""};
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	rig_stop(&rig);
	rig_fini(&rig);
	rig_init(&rig);
	rig.config.batch_bytes = (uint64_t)1 << 40;
	rig.config.buffers = 4096;
	rig.worker.config = &rig.config;
	rig.worker.session_id = rig.session_id;
	rig.worker.node = "n";
	rig.worker.max_batch_bytes = rig.max_batch_bytes;
	assert_int_equal(wb_worker_init(&rig.worker, &error), -12);
	assert_string_equal(error.message, "rig0: Cannot allocate memory; buffers: 4096 of 1099511627776 bytes");
	assert_int_equal(rig.worker.stop_fd, -1);
	assert_int_equal(rig.worker.wake.fd, -1);
	fake_bus_fini(&rig.bus);
	fake_ring_fini(&rig.ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_are_bit_exact_and_in_order),
		cmocka_unit_test(both_encoders_publish_the_same_bytes),
		cmocka_unit_test(an_idle_worker_sends_heartbeats),
		cmocka_unit_test(packets_put_heartbeats_off),
		cmocka_unit_test(a_batch_is_published_at_its_age),
		cmocka_unit_test(a_batch_holds_no_more_than_batch_packets),
		cmocka_unit_test(a_batch_is_filled_up_to_batch_bytes),
		cmocka_unit_test(a_frame_above_the_target_travels_alone),
		cmocka_unit_test(a_frame_above_the_limit_is_dropped_and_counted),
		cmocka_unit_test(what_cannot_be_had_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
