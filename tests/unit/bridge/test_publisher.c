/* SPDX-License-Identifier: Apache-2.0 */
/* A publisher with a scripted bus: numbers, interfaces, what it waits for, and a ledger that is exact however it ends.
 */
#include "testing.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "fake_bus.h"
#include "publisher.h"
#include "publisher_config.h"
#include "registry.h"

#define PATIENCE_MS 30000

/* ---- the bus as a transport ---- */

static struct wb_lane bus;

static int scripted_check(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	*ret_max_batch_bytes = 64u << 20;
	return 0;
}

static int scripted_open(
	const struct wb_transport_args *args, struct wb_transport **ret_transport, struct wb_error *ret_error)
{
	*ret_transport = (struct wb_transport *)&bus;
	return 0;
}

static int scripted_lane(struct wb_transport *transport, unsigned int (*free_buffers)(void *context), void *context,
	unsigned int total_buffers, struct wb_lane **ret_lane)
{
	*ret_lane = (struct wb_lane *)transport;
	return 0;
}

static int scripted_flush(struct wb_transport *transport, int timeout_ms)
{
	struct wb_lane *lane = (struct wb_lane *)transport;
	size_t held;

	pthread_mutex_lock(&lane->lock);
	held = lane->held_count;
	pthread_mutex_unlock(&lane->lock);
	if (held)
		poll(NULL, 0, timeout_ms);
	return held ? -ETIMEDOUT : 0;
}

static void scripted_stats(struct wb_transport *transport, struct wb_transport_stats *ret_stats)
{
	ret_stats->connected = true;
}

/* What it still holds has failed. */
static void scripted_close(struct wb_transport *transport)
{
	bus.result = WB_RESULT_FAILED;
	bus.cause = WB_CAUSE_SHUTDOWN;
	fake_bus_release(&bus, SIZE_MAX);
}

static const char *const schemes[] = {"scripted", NULL};
static struct wb_transport_ops scripted = {
	.abi = WB_TRANSPORT_ABI,
	.name = "scripted",
	.schemes = schemes,
	.capabilities = WB_TRANSPORT_ACKNOWLEDGES,
	.check = scripted_check,
	.open = scripted_open,
	.lane = scripted_lane,
	.flush = scripted_flush,
	.stats = scripted_stats,
	.close = scripted_close,
};

/* ---- rig ---- */

static const uint8_t session_id[16] = "publisher-tests";

struct rig {
	struct wb_config config;
	struct wb_capture_config *capture;
	struct wb_publisher *publisher;
	uint64_t given;
};

static void init(struct rig *rig)
{
	memset(rig, 0, sizeof *rig);
	fake_bus_init(&bus);
	assert_int_equal(wb_publisher_config_init(&rig->config, "unit", &rig->capture), 0);
	rig->capture->to = strdup("scripted:");
	rig->capture->buffers = 4;
	rig->capture->batch_packets = 10;
	rig->capture->batch_age_ms = 60000;
	rig->config.flush_ms = PATIENCE_MS;
}

static void open_rig(struct rig *rig)
{
	struct wb_error error = {""};

	assert_int_equal(wb_config_check(&rig->config, &error), 0);
	assert_int_equal(wb_publisher_open(&rig->config, session_id, &rig->publisher, &error), 0);
}

/* A packet whose content says who it is and where it came from. */
static int give(struct rig *rig, uint32_t index)
{
	char name[16], data[64];
	struct wbproto_interface interface = {.index = index, .link_type = index, .name = {name, 0}};
	struct wbproto_packet packet = {.time_unix_ns = 1000 + rig->given, .interface_index = index, .data = data};

	interface.name.length = (size_t)snprintf(name, sizeof name, "if%u", index);
	packet.captured_length =
		(uint32_t)snprintf(data, sizeof data, "%llu %u", (unsigned long long)rig->given, index);
	packet.original_length = packet.captured_length;
	rig->given++;
	return wb_publisher_packet(rig->publisher, &interface, &packet);
}

static struct wb_ledger_totals totals_of(struct rig *rig)
{
	struct wb_ledger_totals totals;

	wb_publisher_totals(rig->publisher, &totals);
	return totals;
}

/* The end of a test: the sums hold, and nothing is open. */
static struct wb_ledger_totals finish(struct rig *rig)
{
	struct wb_ledger_totals totals;

	wb_publisher_finish(rig->publisher);
	totals = totals_of(rig);
	assert_true(wb_ledger_balanced(&totals, true));
	assert_int_equal(totals.counters.accepted, rig->given);
	assert_int_equal(totals.counters.open + totals.counters.in_flight, 0);
	return totals;
}

static void fini(struct rig *rig)
{
	wb_publisher_close(rig->publisher);
	wb_config_fini(&rig->config);
	fake_bus_fini(&bus);
}

static void check_packet(const struct wbproto_reader *reader, const struct wbproto_packet *packet)
{
	struct wbproto_interface interface;
	char wanted[64];

	assert_int_equal(wbproto_reader_interface(reader, packet->interface_index, &interface), 0);
	assert_int_equal(interface.link_type, packet->interface_index);
	snprintf(wanted, sizeof wanted, "if%u", packet->interface_index);
	assert_int_equal(interface.name.length, strlen(wanted));
	assert_memory_equal(interface.name.data, wanted, interface.name.length);
	snprintf(wanted, sizeof wanted, "%llu %u", (unsigned long long)packet->time_unix_ns - 1000,
		packet->interface_index);
	assert_int_equal(packet->captured_length, strlen(wanted));
	assert_memory_equal(packet->data, wanted, packet->captured_length);
}

/* All messages in order, and that they are one whole stream. Returns the packets in them. */
static uint64_t read_messages(void)
{
	uint64_t packets = 0;

	for (size_t i = 0; i < bus.message_count; i++) {
		const struct fake_message *message = &bus.messages[i];
		struct wbproto_packet packet;
		struct wbproto_reader reader;

		assert_int_equal(wbproto_reader_init(&reader, message->data, message->batch.size), 0);
		assert_int_equal(reader.batch.batch_seq, i + 1);
		assert_int_equal(reader.batch.first_packet_seq, packets + 1);
		while (wbproto_reader_next(&reader, &packet) == 1) {
			assert_int_equal(packet.time_unix_ns - 1000, packets);
			check_packet(&reader, &packet);
			packets++;
		}
		assert_int_equal(!!(reader.batch.flags & WBPROTO_BATCH_END_OF_STREAM), i + 1 == bus.message_count);
	}
	return packets;
}

static void test_stream(void **state)
{
	struct wb_ledger_totals totals;
	struct rig rig;

	init(&rig);
	open_rig(&rig);
	for (int i = 0; i < 305; i++) {
		if (i == 100)
			wb_publisher_lost(rig.publisher, 17);
		assert_int_equal(give(&rig, 1 + (uint32_t)(i / 7 % 3)), 0);
	}
	totals = finish(&rig);
	assert_int_equal(read_messages(), 305);
	assert_int_equal(totals.counters.delivered, 305);
	assert_int_equal(totals.counters.kernel_seen, 322);
	assert_int_equal(totals.counters.kernel_dropped, 17);
	/* Interfaces that are known begin no batch: 31 for the packets, 2 more as the second and third one came. */
	assert_true(bus.message_count <= 34);
	fini(&rig);
}

/* More interfaces than a batch can name: each batch names those of its packets. */
static void test_many_interfaces(void **state)
{
	struct rig rig;

	init(&rig);
	rig.capture->batch_bytes = 4096;
	rig.capture->batch_packets = 0;
	open_rig(&rig);
	for (uint32_t i = 0; i < 2000; i++)
		assert_int_equal(give(&rig, 1 + i * 7 % 300), 0);
	assert_int_equal(finish(&rig).counters.delivered, 2000);
	assert_int_equal(read_messages(), 2000);
	fini(&rig);
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Let the publisher stand still for a while, then take everything. */
static void *release_later(void *context)
{
	assert_true(fake_bus_wait_messages(&bus, 4, PATIENCE_MS));
	poll(NULL, 0, 500);
	fake_bus_set_settling(&bus, FAKE_SETTLE_LATER);
	while (fake_bus_release(&bus, 1))
		;
	return NULL;
}

static void test_block(void **state)
{
	struct wb_ledger_totals totals;
	uint64_t used_ns;
	struct rig rig;
	pthread_t thread;

	init(&rig);
	open_rig(&rig);
	fake_bus_set_settling(&bus, FAKE_HOLD);
	assert_int_equal(pthread_create(&thread, NULL, release_later, NULL), 0);
	used_ns = cpu_ns();
	for (int i = 0; i < 200; i++)
		assert_int_equal(give(&rig, 1), 0);
	used_ns = cpu_ns() - used_ns;
	pthread_join(thread, NULL);
	totals = finish(&rig);
	assert_int_equal(totals.counters.delivered, 200);
	assert_int_equal(read_messages(), 200);
	/* It slept: half a second of looking again and again would be that of CPU. */
	assert_true(used_ns < 250000000u);
	fini(&rig);
}

static void test_drop(void **state)
{
	struct wb_ledger_totals totals;
	struct rig rig;

	init(&rig);
	rig.capture->on_full = WB_ON_FULL_DROP;
	open_rig(&rig);
	fake_bus_set_settling(&bus, FAKE_HOLD);
	for (int i = 0; i < 200; i++)
		assert_int_equal(give(&rig, 1), 0);
	assert_int_equal(totals_of(&rig).counters.dropped_no_buffer, 160);
	fake_bus_set_settling(&bus, FAKE_SETTLE_NOW);
	fake_bus_release(&bus, SIZE_MAX);
	totals = finish(&rig);
	assert_int_equal(totals.counters.delivered, 40);
	assert_int_equal(totals.counters.dropped, 160);
	fini(&rig);
}

static void *stop_later(void *context)
{
	struct rig *rig = context;

	assert_true(fake_bus_wait_messages(&bus, 4, PATIENCE_MS));
	poll(NULL, 0, 100);
	wb_publisher_stop(rig->publisher);
	poll(NULL, 0, 100);
	wb_publisher_give_up(rig->publisher);
	return NULL;
}

/* Stopped while the bus is full: it ends, and what did not go out is counted. */
static void test_stop_while_blocked(void **state)
{
	struct wb_ledger_totals totals;
	struct rig rig;
	pthread_t thread;
	int r = 0;

	init(&rig);
	open_rig(&rig);
	fake_bus_set_settling(&bus, FAKE_HOLD);
	assert_int_equal(pthread_create(&thread, NULL, stop_later, &rig), 0);
	while (r == 0)
		r = give(&rig, 1);
	assert_int_equal(r, -ECANCELED);
	pthread_join(thread, NULL);
	totals = finish(&rig);
	assert_int_equal(rig.given, 41);
	assert_int_equal(totals.counters.dropped_shutdown, 1);
	assert_int_equal(totals.failed_by_cause[WB_CAUSE_SHUTDOWN], 40);
	fini(&rig);
}

static void test_bus_failed(void **state)
{
	struct wb_ledger_totals totals;
	struct rig rig;
	int r = 0;

	init(&rig);
	open_rig(&rig);
	fake_bus_refuse(&bus, -ESHUTDOWN, FAKE_FOR_EVER);
	while (r == 0)
		r = give(&rig, 1);
	assert_int_equal(r, -ESHUTDOWN);
	assert_int_equal(wb_publisher_wait(rig.publisher, UINT64_MAX, -1), -ESHUTDOWN);
	totals = finish(&rig);
	assert_int_equal(totals.counters.dropped_shutdown, rig.given);
	fini(&rig);
}

/* A bus that settles nothing any more is given up, one that is slow is not. */
static void test_flush_limit(void **state)
{
	struct rig rig;

	init(&rig);
	rig.config.flush_ms = 200;
	open_rig(&rig);
	fake_bus_set_settling(&bus, FAKE_HOLD);
	for (int i = 0; i < 25; i++)
		assert_int_equal(give(&rig, 1), 0);
	assert_int_equal(finish(&rig).failed_by_cause[WB_CAUSE_SHUTDOWN], 25);
	fini(&rig);
}

static void *release_slowly(void *context)
{
	assert_true(fake_bus_wait_messages(&bus, 4, PATIENCE_MS));
	for (int i = 0; i < 3; i++) {
		poll(NULL, 0, 1500);
		fake_bus_release(&bus, 1);
	}
	fake_bus_set_settling(&bus, FAKE_SETTLE_NOW);
	fake_bus_release(&bus, SIZE_MAX);
	return NULL;
}

static void test_slow_bus(void **state)
{
	struct rig rig;
	pthread_t thread;

	init(&rig);
	rig.config.flush_ms = 4000; /* less than all of it takes, more than each */
	open_rig(&rig);
	fake_bus_set_settling(&bus, FAKE_HOLD);
	assert_int_equal(pthread_create(&thread, NULL, release_slowly, NULL), 0);
	for (int i = 0; i < 40; i++)
		assert_int_equal(give(&rig, 1), 0);
	assert_int_equal(finish(&rig).counters.delivered, 40);
	pthread_join(thread, NULL);
	assert_int_equal(read_messages(), 40);
	fini(&rig);
}

/* While nothing comes, what is open goes out at its age, and heartbeats follow. */
static void test_wait(void **state)
{
	struct rig rig;

	init(&rig);
	rig.capture->batch_age_ms = 30;
	rig.capture->heartbeat_ms = 50;
	open_rig(&rig);
	assert_int_equal(give(&rig, 1), 0);
	assert_int_equal(fake_bus_messages(&bus), 0);
	for (int i = 0; fake_bus_messages(&bus) < 3 && i < PATIENCE_MS / 10; i++)
		assert_int_equal(wb_publisher_wait(rig.publisher, wb_monotonic_ns() + 10000000u, -1), 0);
	assert_true(fake_bus_messages(&bus) >= 3);
	assert_int_equal(bus.messages[0].batch.packets, 1);
	assert_int_equal(bus.messages[1].batch.flags, WBPROTO_BATCH_HEARTBEAT);
	finish(&rig);
	assert_int_equal(read_messages(), 1);
	fini(&rig);
}

/* Without an end: nothing is kept, and nothing hangs. */
static void test_close_only(void **state)
{
	struct rig rig;

	init(&rig);
	open_rig(&rig);
	fake_bus_set_settling(&bus, FAKE_HOLD);
	for (int i = 0; i < 15; i++)
		assert_int_equal(give(&rig, 1), 0);
	fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_many_interfaces),
		cmocka_unit_test(test_block),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_stop_while_blocked),
		cmocka_unit_test(test_bus_failed),
		cmocka_unit_test(test_flush_limit),
		cmocka_unit_test(test_slow_bus),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_close_only),
	};

	scripted.publish = fake_bus_ops.publish;
	if (wb_transport_register(&scripted) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
