/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of statistics: what they show and leave out, rates from differences; and the tables that they are made from. */
#include "testing.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "stats.h"

static const struct wb_counter_row *const tables[] = {wb_ledger_rows, wb_sample_rows};

static char *printed(const struct wb_sample *before, const struct wb_sample *now, uint64_t elapsed_ns)
{
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	assert_non_null(stream);
	wb_sample_print(stream, "eth0", before, now, elapsed_ns);
	assert_int_equal(fclose(stream), 0);
	return text;
}

static void quiet_line_is_short(void **state)
{
	struct wb_sample sample = {.buffers = 128, .buffers_free = 128};
	char *text = printed(&sample, &sample, 1000000000);

	assert_string_equal(text,
		"stats eth0: kernel_seen=0.00/s read=0.00/s open=0 in_flight=0 ring_waiting=0 batches_in_flight=0 "
		"buffers_free=128 buffers=128 bus_bytes=0.000Mbit/s bus_connected=0");
	free(text);
}

static void rates_are_differences(void **state)
{
	struct wb_sample before = {
		.ledger.counters = {.kernel_seen = 1000, .read = 1000, .delivered = 900}, .bus_bytes = 1000000};
	struct wb_sample now = before;
	char *text;

	now.ledger.counters.kernel_seen += 500000;
	now.ledger.counters.kernel_dropped += 100;
	now.ledger.counters.read += 400000;
	now.ledger.counters.failed += 7;
	now.ledger.failed_by_cause[WB_CAUSE_TIMEOUT] += 7;
	now.ledger.counters.dropped += 1;
	now.ledger.counters.dropped_no_buffer += 1;
	now.ledger.counters.spooled = 12;
	now.ledger.batches_in_flight = 3;
	now.bus_bytes += 25000000;
	now.bus_connected = 1;
	now.bus_peers = 2;
	now.ring_waiting = 99900;
	/* Half a second. */
	text = printed(&before, &now, 500000000);
	assert_string_equal(text,
		"stats eth0: kernel_seen=1000000/s kernel_dropped=200/s read=800000/s delivered=0.00/s failed=14/s "
		"dropped=2.00/s open=0 in_flight=0 spooled=12 dropped_no_buffer=2.00/s failed_timeout=14/s "
		"ring_waiting=99900 batches_in_flight=3 buffers_free=0 buffers=0 bus_bytes=400.000Mbit/s "
		"bus_connected=1 "
		"bus_peers=2");
	free(text);
	/* What was dropped is not said again when nothing more was. */
	text = printed(&now, &now, 500000000);
	assert_null(strstr(text, "dropped"));
	assert_null(strstr(text, "failed"));
	assert_non_null(strstr(text, " delivered=0.00/s"));
	free(text);
}

/* Counters that went back, and no time at all: no nonsense. */
static void nothing_is_divided_by_zero(void **state)
{
	struct wb_sample before = {.ledger.counters.kernel_seen = 10};
	struct wb_sample now = {.ledger.counters.kernel_seen = 9};
	char *text = printed(&before, &now, 0);

	assert_non_null(strstr(text, " kernel_seen=0.00/s"));
	free(text);
}

static void rows_are_complete(void **state)
{
	for (size_t t = 0; t < 2; t++) {
		for (const struct wb_counter_row *row = tables[t]; row->name; row++) {
			assert_int_equal(strspn(row->name, "abcdefghijklmnopqrstuvwxyz_"), strlen(row->name));
			assert_non_null(row->help);
			assert_true(row->help[0]);
			assert_non_null(row->unit);
			assert_int_equal(row->offset % sizeof(uint64_t), 0);
			assert_true(row->offset < sizeof(struct wb_sample));
			for (size_t u = 0; u < 2; u++)
				for (const struct wb_counter_row *other = tables[u]; other->name; other++)
					assert_true(other == row || (strcmp(other->name, row->name) != 0 &&
									    other->offset != row->offset));
		}
	}
}

/* Every number of a sample is in one of the tables. */
static void every_number_has_a_row(void **state)
{
	size_t count = 0;

	for (size_t t = 0; t < 2; t++)
		for (const struct wb_counter_row *row = tables[t]; row->name; row++)
			count++;
	assert_int_equal(count * sizeof(uint64_t), sizeof(struct wb_sample));
}

/* What is there now may shrink, what was counted may not. */
static void kinds_are_right(void **state)
{
	static const char *const gauges[] = {"open", "in_flight", "spooled", "ring_waiting", "batches_in_flight",
		"buffers_free", "buffers", "bus_connected", "bus_peers", "spool_bytes", "spool_batches"};
	size_t count = 0;

	for (size_t t = 0; t < 2; t++) {
		for (const struct wb_counter_row *row = tables[t]; row->name; row++) {
			bool gauge = false;

			for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
				gauge = gauge || strcmp(gauges[i], row->name) == 0;
			assert_int_equal(row->kind == WB_GAUGE, gauge);
			count += gauge;
		}
	}
	assert_int_equal(count, sizeof gauges / sizeof gauges[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quiet_line_is_short),
		cmocka_unit_test(rates_are_differences),
		cmocka_unit_test(nothing_is_divided_by_zero),
		cmocka_unit_test(rows_are_complete),
		cmocka_unit_test(every_number_has_a_row),
		cmocka_unit_test(kinds_are_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
