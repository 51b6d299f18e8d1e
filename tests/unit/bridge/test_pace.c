/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines of packets: from their times and from rates, exactly; waiting for them; how late things were. */
#include "testing.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "clock.h"
#include "pace.h"

#define MS 1000000u
#define S 1000000000ull

static void init(struct wb_pace *pace, enum wb_pace_mode mode, double value, uint64_t max_gap_ns)
{
	struct wb_error error;

	assert_int_equal(
		wb_pace_init(
			pace, &(struct wb_pace_args){.mode = mode, .value = value, .max_gap_ns = max_gap_ns}, &error),
		0);
}

static void test_values(void **state)
{
	const double bad[] = {0, -1, INFINITY, NAN};
	struct wb_pace pace;
	struct wb_error error;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			wb_pace_init(&pace, &(struct wb_pace_args){.mode = WB_PACE_PPS, .value = bad[i]}, &error),
			-EINVAL);
	assert_int_equal(
		wb_pace_init(&pace, &(struct wb_pace_args){.mode = WB_PACE_TIMES, .value = -2.5}, &error), -EINVAL);
	assert_string_equal(error.message, "a speed of -2.5: must be above 0");
	init(&pace, WB_PACE_TOPSPEED, 0, 0);
}

/* Each is counted from the first, so an hour of packets is an hour, whatever happened between. */
static void test_times(void **state)
{
	const uint64_t begin = 1700000000 * S;
	struct wb_pace pace;

	init(&pace, WB_PACE_TIMES, 1, 0);
	uint64_t before = wb_monotonic_ns(), first = wb_pace_due(&pace, begin, 60);
	assert_in_range(first, before, wb_monotonic_ns());
	assert_int_equal(wb_pace_due(&pace, begin + 1, 60), first + 1);
	for (uint64_t i = 1; i <= 3600 * 1000; i++)
		assert_int_equal(wb_pace_due(&pace, begin + i * MS + 7, 60), first + i * MS + 7);
}

static void test_times_faster(void **state)
{
	struct wb_pace pace;

	init(&pace, WB_PACE_TIMES, 2.5, 0);
	uint64_t first = wb_pace_due(&pace, 5 * S, 60);
	assert_int_equal(wb_pace_due(&pace, 6 * S, 60), first + 400 * MS);
	init(&pace, WB_PACE_TIMES, 0.5, 0);
	first = wb_pace_due(&pace, 5 * S, 60);
	assert_int_equal(wb_pace_due(&pace, 6 * S, 60), first + 2 * S);
	/* No overflow turns the end of time into the past. */
	assert_true(wb_pace_due(&pace, UINT64_MAX, 60) > first + 100 * (365 * 86400 * S));
}

static void test_times_backwards(void **state)
{
	struct wb_pace pace;

	init(&pace, WB_PACE_TIMES, 1, 0);
	uint64_t first = wb_pace_due(&pace, 5 * S, 60);
	assert_int_equal(wb_pace_due(&pace, 6 * S, 60), first + S);
	assert_int_equal(wb_pace_due(&pace, 4 * S, 60), first + S);
	assert_int_equal(wb_pace_due(&pace, 0, 60), first + S);
	assert_int_equal(wb_pace_due(&pace, 7 * S, 60), first + 2 * S);
	assert_int_equal(pace.backwards, 2);
}

static void test_max_gap(void **state)
{
	struct wb_pace pace;

	init(&pace, WB_PACE_TIMES, 2, S);
	uint64_t first = wb_pace_due(&pace, 5 * S, 60);
	assert_int_equal(wb_pace_due(&pace, 6 * S, 60), first + 500 * MS);
	assert_int_equal(wb_pace_due(&pace, 3000 * S, 60), first + 1000 * MS);
	assert_int_equal(wb_pace_due(&pace, 3001 * S, 60), first + 1500 * MS);
	assert_int_equal(pace.cut_gaps, 1);
}

static void test_rates(void **state)
{
	struct wb_pace pace;

	init(&pace, WB_PACE_PPS, 3000, 0);
	uint64_t first = wb_pace_due(&pace, 9 * S, 1500);
	for (uint64_t i = 1; i < 100000; i++)
		assert_int_equal(wb_pace_due(&pace, 0, 1500), first + i * S / 3000);
	assert_int_equal(pace.backwards, 0);

	/* The gap behind a packet is as long as the packet. */
	init(&pace, WB_PACE_MBPS, 8, 0);
	first = wb_pace_due(&pace, 0, 1000);
	assert_int_equal(wb_pace_due(&pace, 0, 500), first + 1 * MS);
	assert_int_equal(wb_pace_due(&pace, 0, 1), first + 1 * MS + 500000);
	assert_int_equal(wb_pace_due(&pace, 0, 1), first + 1 * MS + 501000);

	init(&pace, WB_PACE_TOPSPEED, 0, 0);
	assert_int_equal(wb_pace_due(&pace, 9 * S, 1500), 0);
	assert_int_equal(wb_pace_due(&pace, 10 * S, 1500), 0);
}

static void test_restart(void **state)
{
	struct wb_pace pace;

	init(&pace, WB_PACE_TIMES, 1, 0);
	wb_pace_restart(&pace); /* nothing yet: nothing happens */
	uint64_t first = wb_pace_due(&pace, 5 * S, 60);
	wb_pace_due(&pace, 6 * S, 60);
	assert_int_equal(wb_pace_due(&pace, 9 * S, 60), first + 4 * S);
	wb_pace_restart(&pace);
	assert_int_equal(wb_pace_due(&pace, 5 * S, 60), first + 6 * S);
	assert_int_equal(wb_pace_due(&pace, 9 * S, 60), first + 10 * S);
	assert_int_equal(pace.backwards, 0);

	/* One packet alone has no gap. */
	init(&pace, WB_PACE_TIMES, 1, 0);
	first = wb_pace_due(&pace, 5 * S, 60);
	wb_pace_restart(&pace);
	assert_int_equal(wb_pace_due(&pace, 5 * S, 60), first);

	init(&pace, WB_PACE_PPS, 1000, 0);
	first = wb_pace_due(&pace, 0, 60);
	wb_pace_due(&pace, 0, 60);
	wb_pace_restart(&pace);
	assert_int_equal(wb_pace_due(&pace, 0, 60), first + 2 * MS);
	assert_int_equal(wb_pace_due(&pace, 0, 60), first + 3 * MS);

	init(&pace, WB_PACE_MBPS, 8, 0);
	first = wb_pace_due(&pace, 0, 1000);
	wb_pace_restart(&pace);
	assert_int_equal(wb_pace_due(&pace, 0, 1000), first + 1 * MS);
}

/* The pass after one that lasts longer than there are nanoseconds does not begin at once. */
static void test_restart_slow(void **state)
{
	const uint64_t years = 100 * (365 * 86400 * S);
	const enum wb_pace_mode modes[] = {WB_PACE_TIMES, WB_PACE_PPS, WB_PACE_MBPS};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		struct wb_pace pace;

		init(&pace, modes[i], 1e-16, 0);
		uint64_t first = wb_pace_due(&pace, 0, 1000);
		wb_pace_due(&pace, 5 * S, 1000);
		for (int pass = 0; pass < 5; pass++) {
			wb_pace_restart(&pace);
			assert_true(wb_pace_due(&pace, 0, 1000) > first + years);
			assert_true(wb_pace_due(&pace, 5 * S, 1000) > first + years);
		}
	}
}

/* Never early; how late is for the bench to say. */
static void test_wait(void **state)
{
	atomic_bool stop = false;
	struct wb_pace pace;

	init(&pace, WB_PACE_TIMES, 1, 0);
	for (uint64_t gap = 1; gap < 3 * MS; gap = gap * 3 / 2 + 1) {
		uint64_t due = wb_monotonic_ns() + gap;
		assert_int_equal(wb_pace_wait(&pace, due, &stop), 0);
		assert_true(wb_monotonic_ns() >= due);
		assert_in_range(pace.margin_ns, 1, WB_PACE_MAX_MARGIN_NS);
	}
	assert_int_equal(wb_pace_wait(&pace, 0, &stop), 0);
	assert_int_equal(wb_pace_wait(&pace, wb_monotonic_ns() - S, &stop), 0);
	assert_int_equal(wb_pace_wait(&pace, wb_monotonic_ns() + 250 * MS, &stop), 0);
}

static void *raise_soon(void *argument)
{
	const struct timespec soon = {.tv_nsec = 50 * MS};

	nanosleep(&soon, NULL);
	atomic_store((atomic_bool *)argument, true);
	return NULL;
}

static void test_stop(void **state)
{
	atomic_bool stop = true;
	struct wb_pace pace;
	pthread_t thread;

	init(&pace, WB_PACE_TIMES, 1, 0);
	assert_int_equal(wb_pace_wait(&pace, 0, &stop), -EINTR);
	stop = false;
	assert_int_equal(pthread_create(&thread, NULL, raise_soon, &stop), 0);
	/* Would take a year. */
	assert_int_equal(wb_pace_wait(&pace, wb_monotonic_ns() + 365 * 86400 * S, &stop), -EINTR);
	pthread_join(thread, NULL);
}

static void test_lateness(void **state)
{
	static struct wb_lateness lateness;

	assert_int_equal(wb_lateness_permille(&lateness, 500), 0);
	wb_lateness_note(&lateness, 1000, 900);
	assert_int_equal(lateness.count, 1);
	assert_int_equal(lateness.max_ns, 0);
	memset(&lateness, 0, sizeof(lateness));
	for (uint64_t i = 1; i <= 100000; i++)
		wb_lateness_note(&lateness, 77, 77 + i * 1000);
	assert_int_equal(lateness.min_ns, 1000);
	assert_int_equal(lateness.max_ns, 100 * MS);
	/* No less than the true one, and at most a part in 32 more. */
	assert_in_range(wb_lateness_permille(&lateness, 500), 50 * MS, 50 * MS * 33 / 32);
	assert_in_range(wb_lateness_permille(&lateness, 990), 99 * MS, 100 * MS);
	assert_in_range(wb_lateness_permille(&lateness, 0), 1000, 1000 * 33 / 32);
	assert_int_equal(wb_lateness_permille(&lateness, 1000), 100 * MS);
}

/* Every value has its bucket, and the bucket's end is not far above it. */
static void test_buckets(void **state)
{
	static struct wb_lateness lateness;

	for (unsigned int bit = 0; bit < 64; bit++)
		for (uint64_t low = 0; low < 70; low++) {
			uint64_t value = (UINT64_C(1) << bit) + low * ((UINT64_C(1) << bit) / 64);
			memset(&lateness, 0, sizeof(lateness));
			wb_lateness_note(&lateness, 0, value);
			wb_lateness_note(&lateness, 0, UINT64_MAX);
			uint64_t median = wb_lateness_permille(&lateness, 500);
			assert_true(median >= value && median - value <= value / 32);
			assert_int_equal(wb_lateness_permille(&lateness, 1000), UINT64_MAX);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_times_faster),
		cmocka_unit_test(test_times_backwards),
		cmocka_unit_test(test_max_gap),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_restart_slow),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_lateness),
		cmocka_unit_test(test_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
