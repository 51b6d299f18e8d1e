/* SPDX-License-Identifier: Apache-2.0 */
/* Times as people write them, in a zone with summer time. */
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "testing.h"
#include "time_text.h"

#define SECOND 1000000000ull
/* 2026-07-15 12:00:00 UTC, 14:00:00 in Berlin, a Wednesday. */
#define NOW (1784116800ull * SECOND)

static int in_berlin(void **state)
{
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	return 0;
}

static void times_are_understood(void **state)
{
	static const struct {
		const char *text;
		uint64_t time_ns;
	} cases[] = {
		{"2026-07-15T12:00:00Z", NOW},
		{"2026-07-15t12:00:00z", NOW},
		{"2026-07-15T12:00:00.123456789Z", NOW + 123456789},
		{"2026-07-15T12:00:00.1234567899Z", NOW + 123456789},
		{"2026-07-15T14:00:00+02:00", NOW},
		{"2026-07-15T05:30:00-0630", NOW},
		{"2026-07-15 14:00:00", NOW},
		{"2026-07-15 14:00", NOW},
		{"2026-07-15T14:00", NOW},
		{"  2026-07-15 14:00:00.5", NOW + SECOND / 2},
		{"2026-01-15 13:00", 1768478400ull * SECOND}, /* winter: one hour ahead */
		{"2026-07-15", NOW - 14 * 3600 * SECOND},
		{"today", NOW - 14 * 3600 * SECOND},
		{"yesterday", NOW - 38 * 3600 * SECOND},
		{"13:30", NOW - 1800 * SECOND},
		{"13:59:59.75", NOW - SECOND / 4},
		{"1784116800", NOW},
		{"@1784116800", NOW},
		{"1784116800.25", NOW + SECOND / 4},
		{"1784116800.000000001", NOW + 1},
		{"0", 0},
		{"now", NOW},
		{"NOW", NOW},
		{"10 minutes ago", NOW - 600 * SECOND},
		{"10minutes ago", NOW - 600 * SECOND},
		{"1 hour ago", NOW - 3600 * SECOND},
		{"1.5h ago", NOW - 5400 * SECOND},
		{"2 Days Ago", NOW - 172800 * SECOND},
		{"1w ago", NOW - 604800 * SECOND},
		{"-10m", NOW - 600 * SECOND},
		{"-250ms", NOW - SECOND / 4},
		{"-1ns", NOW - 1},
		{"-9999999999w", 0},
		{"2028-02-29T00:00:00Z", 1835395200ull * SECOND},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wb_error error = {""};
		uint64_t time_ns = 1;
		int r = wb_time_parse(cases[i].text, NOW, &time_ns, &error);

		if (r < 0 || time_ns != cases[i].time_ns)
			fail_msg("'%s': %d, %llu, wanted %llu: %s", cases[i].text, r, (unsigned long long)time_ns,
				(unsigned long long)cases[i].time_ns, error.message);
	}
}

static void others_are_refused(void **state)
{
	static const char *const cases[] = {"", " ", "soon", "2026-13-01", "2026-02-29", "2026-04-31", "2026-07-15T",
		"2026-07-15T12", "2026-07-15T24:00", "2026-07-15T12:60", "2026-07-15T12:00:61", "2026-07-15T12:00:00.",
		"2026-07-15T12:00:00+2", "2026-07-15T12:00:00+24:00", "2026-07-15T12:00:00Zx", "1969-12-31",
		"2026-7-15", "10 minutes", "10 parsecs ago", "ago", "- 10m", "-10", "-m", "--10m", "1.",
		"99999999999999999999", "18446744073709551616", "10m ago now", "1784116800x", "1e9", "25:00",
		"2026-07-15 "};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wb_error error = {""};
		uint64_t time_ns;
		char quoted[64];

		if (wb_time_parse(cases[i], NOW, &time_ns, &error) != -EINVAL)
			fail_msg("'%s' is taken for %llu", cases[i], (unsigned long long)time_ns);
		snprintf(quoted, sizeof(quoted), "'%s' is not a time", cases[i]);
		assert_non_null(strstr(error.message, quoted));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_understood),
		cmocka_unit_test(others_are_refused),
	};

	return cmocka_run_group_tests(tests, in_berlin, NULL);
}
