/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer between reading and sending: nothing is lost, changed or reordered, and it is bounded. */
#include "testing.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "read_ahead.h"

#define KIB 1024u

struct rig {
	struct wb_read_ahead *buffer;
	atomic_bool stop;
	uint64_t count; /* packets that the writer puts */
	int result;
};

/* Packet number n has these many bytes, from none to more than a page. */
static uint32_t length_of(uint64_t n)
{
	return (uint32_t)(n * 2654435761u % 5000);
}

static void fill(uint8_t *data, uint64_t n)
{
	for (uint32_t i = 0; i < length_of(n); i++)
		data[i] = (uint8_t)(n + i * 7);
}

static int put(struct wb_read_ahead *buffer, uint64_t n)
{
	uint8_t data[5000], vnet[10];
	char name[32], filter[64];
	struct wbproto_record record = {
		.packet_seq = n,
		.node = {"node", n % 3 ? 4 : 0},
		.interface = {.link_type = 1,
			.name = {name, (size_t)snprintf(name, sizeof(name), "eth%u", (unsigned int)(n % 100))},
			.filter = {filter, n % 50}},
		.packet = {.time_unix_ns = n * 1000,
			.data = data,
			.captured_length = length_of(n),
			.original_length = length_of(n),
			.vnet_header = vnet,
			.vnet_header_length = n % 2 ? 10 : 0},
	};

	fill(data, n);
	memset(vnet, (int)n, sizeof(vnet));
	memset(filter, 'f', sizeof(filter));
	return wb_read_ahead_put(buffer, &record);
}

static void assert_packet(const struct wbproto_record *record, uint64_t n)
{
	uint8_t data[5000], vnet[10];
	char name[32];

	fill(data, n);
	memset(vnet, (int)n, sizeof(vnet));
	assert_int_equal(record->packet_seq, n);
	assert_int_equal(record->packet.time_unix_ns, n * 1000);
	assert_int_equal(record->packet.captured_length, length_of(n));
	assert_memory_equal(record->packet.data, data, length_of(n));
	assert_int_equal(record->packet.vnet_header_length, n % 2 ? 10 : 0);
	assert_memory_equal(record->packet.vnet_header, vnet, record->packet.vnet_header_length);
	assert_int_equal(record->node.length, n % 3 ? 4 : 0);
	assert_memory_equal(record->node.data, "node", record->node.length);
	snprintf(name, sizeof(name), "eth%u", (unsigned int)(n % 100));
	assert_int_equal(record->interface.name.length, strlen(name));
	assert_memory_equal(record->interface.name.data, name, strlen(name));
	assert_int_equal(record->interface.filter.length, n % 50);
}

static void init(struct rig *rig, size_t bytes, bool keep)
{
	*rig = (struct rig){0};
	assert_int_equal(wb_read_ahead_create(bytes, keep, &rig->stop, &rig->buffer), 0);
}

static void *write_all(void *argument)
{
	struct rig *rig = argument;

	for (uint64_t n = 0; n < rig->count && rig->result == 0; n++)
		rig->result = put(rig->buffer, n);
	wb_read_ahead_end(rig->buffer);
	return NULL;
}

/* Take the next packet, waiting for it; the result of wb_read_ahead_next(). */
static int take(struct rig *rig, const struct wbproto_record **ret_record)
{
	int r = wb_read_ahead_next(rig->buffer, ret_record);

	if (r != 0)
		return r;
	wb_read_ahead_wait(rig->buffer, 1, 0);
	/* It does not return without a reason, or who waits would spin. */
	r = wb_read_ahead_next(rig->buffer, ret_record);
	assert_int_not_equal(r, 0);
	return r;
}

/* Two threads, a buffer that goes around many times, at different speeds. */
static void through(size_t bytes, bool keep, uint64_t count, bool waits)
{
	const struct wbproto_record *record;
	struct rig rig;
	pthread_t thread;

	init(&rig, bytes, keep);
	rig.count = count;
	assert_int_equal(pthread_create(&thread, NULL, write_all, &rig), 0);
	for (uint64_t n = 0; n < count; n++) {
		if (waits && n % 100 == 0)
			wb_read_ahead_wait(rig.buffer, bytes / 2, 0);
		assert_int_equal(take(&rig, &record), 1);
		assert_packet(record, n);
	}
	assert_int_equal(take(&rig, &record), -ENODATA);
	assert_int_equal(take(&rig, &record), -ENODATA);
	pthread_join(thread, NULL);
	assert_int_equal(rig.result, 0);
	assert_false(wb_read_ahead_rewind(rig.buffer));
	wb_read_ahead_destroy(rig.buffer);
}

static void test_two_threads(void **state)
{
	through(16 * KIB, false, 30000, false);
	through(16 * KIB + 8, true, 30000, false);
	through(64 * KIB, false, 30000, true);
	through(1024 * KIB, true, 5000, true);
}

static void test_kept(void **state)
{
	const struct wbproto_record *record;
	struct rig rig;

	init(&rig, 1024 * KIB, true);
	for (uint64_t n = 0; n < 300; n++)
		assert_int_equal(put(rig.buffer, n), 0);
	assert_true(wb_read_ahead_keeps_all(rig.buffer));
	wb_read_ahead_end(rig.buffer);
	for (int pass = 0; pass < 3; pass++) {
		for (uint64_t n = 0; n < 300; n++) {
			assert_int_equal(wb_read_ahead_next(rig.buffer, &record), 1);
			assert_packet(record, n);
		}
		assert_int_equal(wb_read_ahead_next(rig.buffer, &record), -ENODATA);
		assert_true(wb_read_ahead_rewind(rig.buffer));
	}
	wb_read_ahead_destroy(rig.buffer);
}

static void test_mark(void **state)
{
	const struct wbproto_record *record;
	struct rig rig;

	init(&rig, 64 * KIB, true);
	assert_int_equal(wb_read_ahead_next(rig.buffer, &record), 0);
	assert_int_equal(put(rig.buffer, 1), 0);
	assert_int_equal(wb_read_ahead_mark(rig.buffer), 0);
	assert_int_equal(put(rig.buffer, 2), 0);
	assert_int_equal(wb_read_ahead_next(rig.buffer, &record), 1);
	assert_packet(record, 1);
	assert_int_equal(wb_read_ahead_next(rig.buffer, &record), 2);
	assert_int_equal(wb_read_ahead_next(rig.buffer, &record), 1);
	assert_packet(record, 2);
	assert_int_equal(wb_read_ahead_next(rig.buffer, &record), 0);
	wb_read_ahead_destroy(rig.buffer);
}

static void test_too_large(void **state)
{
	struct rig rig;

	init(&rig, 4 * KIB, false);
	for (uint64_t n = 0; n < 10; n++) {
		int r = put(rig.buffer, n);
		const struct wbproto_record *record;
		/* The facts take some hundred bytes. */
		assert_int_equal(r, length_of(n) > 2 * KIB - 100 ? -EMSGSIZE : r);
		assert_int_equal(r, length_of(n) < KIB ? 0 : r);
		while (wb_read_ahead_next(rig.buffer, &record) == 1)
			assert_packet(record, n);
	}
	wb_read_ahead_destroy(rig.buffer);
}

static void *write_until_refused(void *argument)
{
	struct rig *rig = argument;

	for (uint64_t n = 0; rig->result == 0; n++)
		rig->result = put(rig->buffer, n);
	return NULL;
}

/* Whoever waits in it is let go. */
static void test_stop_and_cancel(void **state)
{
	for (int way = 0; way < 2; way++) {
		struct rig rig;
		pthread_t thread;

		init(&rig, 64 * KIB, false);
		assert_int_equal(pthread_create(&thread, NULL, write_until_refused, &rig), 0);
		/* It is full: the waiting ends though there never can be so much. */
		wb_read_ahead_wait(rig.buffer, SIZE_MAX, 0);
		if (way)
			atomic_store(&rig.stop, true);
		else
			wb_read_ahead_cancel(rig.buffer);
		pthread_join(thread, NULL);
		assert_int_equal(rig.result, -ECANCELED);
		wb_read_ahead_wait(rig.buffer, 64 * KIB, way ? 0 : wb_monotonic_ns() + 1000000);
		wb_read_ahead_destroy(rig.buffer);
	}
}

static void test_wait_time(void **state)
{
	uint64_t until = wb_monotonic_ns() + 150000000;
	struct rig rig;

	init(&rig, 64 * KIB, false);
	wb_read_ahead_wait(rig.buffer, 1, until);
	assert_true(wb_monotonic_ns() >= until);
	wb_read_ahead_destroy(rig.buffer);
	wb_read_ahead_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_threads),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_mark),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_stop_and_cancel),
		cmocka_unit_test(test_wait_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
