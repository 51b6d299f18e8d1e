/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger: each booking moves what it says and nothing else, and the sums hold in every snapshot. */
#include <ctype.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger.h"

#define COUNTERS (sizeof(struct wbproto_counters) / sizeof(uint64_t))
#define SETTLERS 3
#define BATCHES 20000

static uint64_t *counter(struct wb_ledger_totals *totals, size_t i)
{
	return (uint64_t *)&totals->counters + i;
}

/* The ledger is exactly this. */
static void assert_totals(struct wb_ledger *ledger, struct wb_ledger_totals expected)
{
	struct wb_ledger_totals totals;

	wb_ledger_snapshot(ledger, &totals);
	assert_memory_equal(&totals, &expected, sizeof totals);
	assert_true(wb_ledger_balanced(&totals, false));
}

static void each_booking_moves_what_it_says(void **state)
{
	struct wb_ledger_totals t = {0};
	struct wbproto_counters *c = &t.counters;
	struct wb_ledger ledger;

	assert_int_equal(wb_ledger_init(&ledger), 0);
	assert_totals(&ledger, t);
	wb_ledger_accept(&ledger, 100, 7);
	c->read = c->accepted = c->open = 100;
	c->truncated = 7;
	assert_totals(&ledger, t);
	wb_ledger_publish(&ledger, 60);
	c->open = 40;
	c->in_flight = 60;
	t.batches_in_flight = 1;
	assert_totals(&ledger, t);
	wb_ledger_publish(&ledger, 30);
	c->open = 10;
	c->in_flight = 90;
	t.batches_in_flight = 2;
	assert_totals(&ledger, t);
	wb_ledger_unpublish(&ledger, 60);
	c->open = 70;
	c->in_flight = 30;
	t.batches_in_flight = 1;
	assert_totals(&ledger, t);
	wb_ledger_settle(&ledger, 30, WB_RESULT_DELIVERED, WB_CAUSE_NONE);
	c->in_flight = 0;
	c->delivered = 30;
	t.batches_in_flight = 0;
	assert_totals(&ledger, t);
	wb_ledger_kernel(&ledger,
		&(struct tpacket_counters){.seen = 111, .dropped = 11, .freezes = 2, .delivered = 100, .read = 9});
	c->kernel_seen = 111;
	c->kernel_dropped = 11;
	c->kernel_freezes = 2;
	assert_totals(&ledger, t);
	assert_true(wb_ledger_balanced(&t, true));
	/* What was read and did not pass a filter that was changed meanwhile. */
	wb_ledger_kernel(
		&ledger, &(struct tpacket_counters){.seen = 114, .dropped = 11, .freezes = 2, .refiltered = 3});
	c->kernel_seen = 114;
	c->filtered = 3;
	c->read = 103;
	assert_totals(&ledger, t);
	assert_true(wb_ledger_balanced(&t, true));
	/* Figures that another thread had read before come later: nothing goes back. */
	wb_ledger_kernel(
		&ledger, &(struct tpacket_counters){.seen = 112, .dropped = 10, .freezes = 1, .refiltered = 1});
	assert_totals(&ledger, t);
	wb_ledger_fini(&ledger);
}

static void each_drop_has_its_counter(void **state)
{
	static const struct {
		enum wb_drop cause;
		size_t offset;
	} rows[] = {
		{WB_DROP_TOO_LARGE, offsetof(struct wbproto_counters, dropped_too_large)},
		{WB_DROP_NO_BUFFER, offsetof(struct wbproto_counters, dropped_no_buffer)},
		{WB_DROP_BUS_FULL, offsetof(struct wbproto_counters, dropped_bus_full)},
		{WB_DROP_SHUTDOWN, offsetof(struct wbproto_counters, dropped_shutdown)},
		{WB_DROP_SPOOL_FULL, offsetof(struct wbproto_counters, dropped_spool_full)},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct wb_ledger_totals t = {.counters = {.read = 9, .accepted = 9, .open = 4, .dropped = 5}};
		struct wb_ledger ledger;

		assert_int_equal(wb_ledger_init(&ledger), 0);
		wb_ledger_accept(&ledger, 9, 0);
		wb_ledger_drop(&ledger, 5, rows[i].cause);
		*counter(&t, rows[i].offset / sizeof(uint64_t)) = 5;
		assert_totals(&ledger, t);
		wb_ledger_fini(&ledger);
	}
}

static void each_outcome_has_its_counter(void **state)
{
	static const struct {
		enum wb_result result;
		size_t offset;
	} rows[] = {
		{WB_RESULT_DELIVERED, offsetof(struct wbproto_counters, delivered)},
		{WB_RESULT_HANDED_OVER, offsetof(struct wbproto_counters, handed_over)},
		{WB_RESULT_FAILED, offsetof(struct wbproto_counters, failed)},
		{WB_RESULT_UNKNOWN, offsetof(struct wbproto_counters, unknown)},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		for (unsigned int cause = 0; cause <= WB_CAUSE_COUNT; cause++) {
			struct wb_ledger_totals t = {.counters = {.read = 9, .accepted = 9, .open = 4}};
			struct wb_ledger ledger;

			assert_int_equal(wb_ledger_init(&ledger), 0);
			wb_ledger_accept(&ledger, 9, 0);
			wb_ledger_publish(&ledger, 5);
			wb_ledger_settle(&ledger, 5, rows[i].result, (enum wb_cause)cause);
			*counter(&t, rows[i].offset / sizeof(uint64_t)) = 5;
			/* A cause that is not known, from a plugin, is booked as another one. */
			if (rows[i].result == WB_RESULT_FAILED)
				t.failed_by_cause[cause < WB_CAUSE_COUNT ? cause : WB_CAUSE_NONE] = 5;
			assert_totals(&ledger, t);
			wb_ledger_fini(&ledger);
		}
	}
}

/* Different numbers everywhere, and every sum holds. */
static void make_balanced(struct wb_ledger_totals *ret_totals)
{
	struct wbproto_counters *c = &ret_totals->counters;

	memset(ret_totals, 0, sizeof *ret_totals);
	for (size_t i = 0; i < COUNTERS; i++)
		*counter(ret_totals, i) = 1000u << (i % 11);
	c->dropped = c->dropped_too_large + c->dropped_no_buffer + c->dropped_bus_full + c->dropped_shutdown +
	             c->dropped_spool_full;
	c->accepted = c->open + c->in_flight + c->spooled + c->delivered + c->handed_over + c->failed + c->unknown +
	              c->dropped - c->recovered;
	c->read = c->filtered + c->sampled_out + c->accepted;
	c->kernel_seen = c->read + c->kernel_dropped;
}

static void each_term_counts(void **state)
{
	struct wb_ledger_totals totals;

	make_balanced(&totals);
	assert_true(wb_ledger_balanced(&totals, false));
	assert_true(wb_ledger_balanced(&totals, true));
	for (size_t i = 0; i < COUNTERS; i++) {
		size_t offset = i * sizeof(uint64_t);
		bool kernel = offset == offsetof(struct wbproto_counters, kernel_seen) ||
		              offset == offsetof(struct wbproto_counters, kernel_dropped);
		/* These are in no sum. */
		bool free_term = offset == offsetof(struct wbproto_counters, truncated) ||
		                 offset == offsetof(struct wbproto_counters, kernel_freezes) ||
		                 offset == offsetof(struct wbproto_counters, interface_gaps) ||
		                 offset == offsetof(struct wbproto_counters, interface_gap_ns);

		for (int step = -1; step <= 1; step += 2) {
			*counter(&totals, i) += (uint64_t)step;
			assert_int_equal(wb_ledger_balanced(&totals, false), kernel || free_term);
			assert_int_equal(wb_ledger_balanced(&totals, true), free_term);
			*counter(&totals, i) -= (uint64_t)step;
		}
	}
	assert_true(wb_ledger_balanced(&totals, true));
}

static void totals_add_up(void **state)
{
	struct wb_ledger_totals sum = {0};
	struct wb_ledger_totals one;
	struct wb_ledger_totals two;

	make_balanced(&one);
	one.batches_in_flight = 3;
	for (size_t i = 0; i < WB_CAUSE_COUNT; i++)
		one.failed_by_cause[i] = 10 + i;
	two = one;
	wb_ledger_add(&sum, &one);
	assert_memory_equal(&sum, &one, sizeof sum);
	wb_ledger_add(&sum, &two);
	for (size_t i = 0; i < COUNTERS; i++)
		assert_int_equal(*counter(&sum, i), 2 * *counter(&one, i));
	for (size_t i = 0; i < WB_CAUSE_COUNT; i++)
		assert_int_equal(sum.failed_by_cause[i], 2 * (10 + i));
	assert_int_equal(sum.batches_in_flight, 6);
	assert_true(wb_ledger_balanced(&sum, true));
}

/* A worker that books, threads that settle, one that looks. */
struct scene {
	struct wb_ledger ledger;
	atomic_uint to_settle;
	atomic_uint settled;
	atomic_bool seen; /* a snapshot with packets in flight; until then the last batch stays there */
};

static void *settle_main(void *context)
{
	struct scene *scene = context;

	while (atomic_load(&scene->settled) < BATCHES) {
		unsigned int left = atomic_load(&scene->to_settle);

		if (left <= !atomic_load(&scene->seen) ||
			!atomic_compare_exchange_strong(&scene->to_settle, &left, left - 1)) {
			sched_yield();
			continue;
		}
		wb_ledger_settle(&scene->ledger, 5, (enum wb_result)(left % 4), WB_CAUSE_IO);
		atomic_fetch_add(&scene->settled, 1);
	}
	return NULL;
}

static void *work_main(void *context)
{
	struct scene *scene = context;

	for (unsigned int i = 0; i < BATCHES; i++) {
		wb_ledger_accept(&scene->ledger, 6, 1);
		wb_ledger_publish(&scene->ledger, 5);
		if (i % 3 == 0) {
			wb_ledger_unpublish(&scene->ledger, 5);
			wb_ledger_publish(&scene->ledger, 5);
		}
		atomic_fetch_add(&scene->to_settle, 1);
		wb_ledger_drop(&scene->ledger, 1, (enum wb_drop)(i % 5));
	}
	return NULL;
}

static void every_snapshot_is_exact(void **state)
{
	static struct scene scene;
	struct wb_ledger_totals totals;
	pthread_t threads[SETTLERS + 1];

	assert_int_equal(wb_ledger_init(&scene.ledger), 0);
	for (size_t i = 0; i < SETTLERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, settle_main, &scene), 0);
	assert_int_equal(pthread_create(&threads[SETTLERS], NULL, work_main, &scene), 0);
	while (atomic_load(&scene.settled) < BATCHES) {
		wb_ledger_snapshot(&scene.ledger, &totals);
		assert_true(wb_ledger_balanced(&totals, false));
		assert_int_equal(totals.counters.in_flight, 5 * totals.batches_in_flight);
		assert_int_equal(totals.counters.truncated * 6, totals.counters.accepted);
		if (totals.counters.in_flight)
			atomic_store(&scene.seen, true);
	}
	for (size_t i = 0; i <= SETTLERS; i++)
		pthread_join(threads[i], NULL);
	wb_ledger_snapshot(&scene.ledger, &totals);
	assert_true(wb_ledger_balanced(&totals, false));
	assert_int_equal(totals.counters.open, 0);
	assert_int_equal(totals.counters.in_flight, 0);
	assert_int_equal(totals.counters.dropped, BATCHES);
	assert_int_equal(totals.counters.dropped_spool_full, BATCHES / 5);
	assert_int_equal(totals.counters.delivered + totals.counters.handed_over + totals.counters.failed +
				 totals.counters.unknown,
		5 * BATCHES);
	assert_int_equal(totals.failed_by_cause[WB_CAUSE_IO], totals.counters.failed);
	wb_ledger_fini(&scene.ledger);
}

/* What one of the print functions writes. Free it. */
static char *printed(const struct wb_ledger_totals *totals, const char *title)
{
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	assert_non_null(stream);
	if (title)
		wb_ledger_print_text(stream, title, totals);
	else
		wb_ledger_print_json(stream, totals);
	assert_int_equal(fclose(stream), 0);
	return text;
}

/* Take literal text off the front. */
static void expect(const char **at, const char *text)
{
	if (strncmp(*at, text, strlen(text)) != 0)
		fail_msg("expected '%s', found '%.40s'", text, *at);
	*at += strlen(text);
}

/* Names of the fields of message Counters, in its order, from the schema that is built in. */
static size_t counters_of_schema(char names[][32], size_t room)
{
	const char *text = wbproto_schema_text("packet_batch.proto");
	const char *end;
	size_t count = 0;

	assert_non_null(text);
	text = strstr(text, "message Counters {");
	assert_non_null(text);
	end = strchr(text, '}');
	assert_non_null(end);
	while ((text = strstr(text, "\n  uint64 ")) && text < end) {
		assert_true(count < room);
		assert_int_equal(sscanf(text, "\n  uint64 %31[a-z0-9_] =", names[count]), 1);
		count++;
		text++;
	}
	return count;
}

/* The whole output is asserted, so it is JSON because this is: {"name":number,...,"failed_by_cause":{...}} */
static void json_has_the_names_of_the_schema(void **state)
{
	static const char *const causes[] = {"other", "timeout", "too_large", "denied", "refused", "io", "shutdown"};
	struct wb_ledger_totals totals = {0};
	char names[COUNTERS + 8][32];
	char expected[64];
	const char *at;
	char *text;

	assert_int_equal(counters_of_schema(names, COUNTERS + 8), COUNTERS);
	assert_int_equal(sizeof causes / sizeof causes[0], WB_CAUSE_COUNT);
	for (size_t i = 0; i < COUNTERS; i++)
		*counter(&totals, i) = UINT64_MAX - i;
	for (size_t i = 0; i < WB_CAUSE_COUNT; i++)
		totals.failed_by_cause[i] = 900 + i;
	at = text = printed(&totals, NULL);
	expect(&at, "{");
	for (size_t i = 0; i < COUNTERS; i++) {
		/* Members in the order of the fields: value i belongs to name i. */
		snprintf(expected, sizeof expected, "\"%.31s\":%llu,", names[i], (unsigned long long)(UINT64_MAX - i));
		expect(&at, expected);
	}
	expect(&at, "\"failed_by_cause\":{");
	for (size_t i = 0; i < WB_CAUSE_COUNT; i++) {
		snprintf(expected, sizeof expected, "%s\"%s\":%zu", i ? "," : "", causes[i], 900 + i);
		expect(&at, expected);
	}
	expect(&at, "}}");
	assert_string_equal(at, "");
	free(text);
}

static void text_leaves_out_what_says_nothing(void **state)
{
	struct wb_ledger_totals totals = {
		.counters = {.kernel_seen = 12, .read = 12, .accepted = 12, .delivered = 9, .failed = 3}};
	char *text;

	totals.failed_by_cause[WB_CAUSE_TIMEOUT] = 3;
	text = printed(&totals, "eth0");
	assert_string_equal(text, "ledger of eth0, in packets\n"
				  "  kernel_seen                  12  passed the kernel's filter\n"
				  "  kernel_dropped                0  of these: the ring was full\n"
				  "  read                         12  taken from the ring\n"
				  "  accepted                     12  given a sequence number\n"
				  "  delivered                     9  acknowledged by the bus\n"
				  "  failed                        3  refused by the bus\n"
				  "  failed: timeout               3\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_booking_moves_what_it_says),
		cmocka_unit_test(each_drop_has_its_counter),
		cmocka_unit_test(each_outcome_has_its_counter),
		cmocka_unit_test(each_term_counts),
		cmocka_unit_test(totals_add_up),
		cmocka_unit_test(every_snapshot_is_exact),
		cmocka_unit_test(json_has_the_names_of_the_schema),
		cmocka_unit_test(text_leaves_out_what_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
