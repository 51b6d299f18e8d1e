/* SPDX-License-Identifier: Apache-2.0 */
/* What is missing of a sequence: known cases, and random orders against a plain model. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sequence.h"

static void expect_holes(const struct wb_sequence *sequence, const char *expected)
{
	char text[512] = "";

	for (size_t i = 0; i < sequence->hole_count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%lu-%lu", i ? " " : "",
			(unsigned long)sequence->holes[i].first, (unsigned long)sequence->holes[i].last);
	assert_string_equal(text, expected);
}

static void test_holes(void **state)
{
	struct wb_sequence s = {0};

	assert_int_equal(wb_sequence_add(&s, 5, 3), WB_SEQUENCE_NEW);
	assert_int_equal(wb_sequence_add(&s, 8, 1), WB_SEQUENCE_NEW);
	assert_int_equal(s.missing, 0);
	assert_int_equal(wb_sequence_add(&s, 20, 1), WB_SEQUENCE_NEW);
	expect_holes(&s, "9-19");
	assert_int_equal(s.missing, 11);
	assert_int_equal(wb_sequence_add(&s, 12, 2), WB_SEQUENCE_LATE);
	expect_holes(&s, "9-11 14-19");
	assert_int_equal(wb_sequence_add(&s, 12, 2), WB_SEQUENCE_SEEN);
	assert_int_equal(wb_sequence_add(&s, 9, 1), WB_SEQUENCE_LATE);
	expect_holes(&s, "10-11 14-19");
	assert_int_equal(wb_sequence_add(&s, 18, 9), WB_SEQUENCE_LATE);
	expect_holes(&s, "10-11 14-17");
	assert_int_equal(s.missing, 6);
	assert_int_equal(s.next, 27);
	assert_int_equal(wb_sequence_add(&s, 10, 8), WB_SEQUENCE_LATE);
	expect_holes(&s, "");
	assert_int_equal(s.missing, 0);
	/* Before the first one known. */
	assert_int_equal(s.first, 5);
	assert_int_equal(wb_sequence_look(&s, 2), WB_SEQUENCE_LATE);
	assert_int_equal(wb_sequence_add(&s, 2, 1), WB_SEQUENCE_LATE);
	expect_holes(&s, "3-4");
	assert_int_equal(s.first, 2);
	assert_int_equal(wb_sequence_expect(&s, 30), 0);
	expect_holes(&s, "3-4 27-29");
	/* One hole, however often its end is put off. */
	assert_int_equal(wb_sequence_expect(&s, 28), 0);
	assert_int_equal(wb_sequence_expect(&s, 30), 0);
	expect_holes(&s, "3-4 27-29");
	assert_int_equal(s.missing, 5);
	assert_int_equal(wb_sequence_look(&s, 28), WB_SEQUENCE_LATE);
	assert_int_equal(wb_sequence_look(&s, 26), WB_SEQUENCE_SEEN);
	assert_int_equal(wb_sequence_look(&s, 30), WB_SEQUENCE_NEW);
	wb_sequence_fini(&s);
}

/* Holes at both ends grow, and stay one each. */
static void test_touching_holes(void **state)
{
	struct wb_sequence s = {0};

	assert_int_equal(wb_sequence_add(&s, 50, 1), WB_SEQUENCE_NEW);
	assert_int_equal(wb_sequence_expect(&s, 60), 0);
	assert_int_equal(wb_sequence_expect(&s, 70), 0);
	expect_holes(&s, "51-69");
	assert_int_equal(wb_sequence_expect(&s, 40), 0);
	assert_int_equal(wb_sequence_expect(&s, 30), 0);
	expect_holes(&s, "30-49 51-69");
	assert_int_equal(wb_sequence_add(&s, 20, 5), WB_SEQUENCE_LATE);
	expect_holes(&s, "25-49 51-69");
	assert_int_equal(wb_sequence_add(&s, 80, 1), WB_SEQUENCE_NEW);
	expect_holes(&s, "25-49 51-79");
	assert_int_equal(s.missing, 54);
	assert_int_equal(s.first, 20);
	wb_sequence_fini(&s);
}

static void test_bad_numbers(void **state)
{
	struct wb_sequence s = {0};

	assert_int_equal(wb_sequence_add(&s, 0, 1), -EINVAL);
	assert_int_equal(wb_sequence_add(&s, 1, 0), -EINVAL);
	assert_int_equal(wb_sequence_add(&s, 2, UINT64_MAX), -EINVAL);
	assert_int_equal(wb_sequence_expect(&s, 0), -EINVAL);
	assert_int_equal(s.first, 0);
	assert_int_equal(wb_sequence_add(&s, 1, 1), WB_SEQUENCE_NEW);
	assert_int_equal(wb_sequence_add(&s, UINT64_MAX - 1, 1), WB_SEQUENCE_NEW);
	assert_true(s.missing == UINT64_MAX - 3);
	wb_sequence_fini(&s);
}

/* With more holes than are kept the count stays right, and what cannot be told is called so. */
static void test_forgotten(void **state)
{
	struct wb_sequence s = {0};

	for (uint64_t i = 1; i <= 2001; i += 2)
		assert_int_equal(wb_sequence_add(&s, i, 1), WB_SEQUENCE_NEW);
	assert_int_equal(s.missing, 1000);
	assert_int_equal(s.hole_count, WB_SEQUENCE_MAX_HOLES);
	assert_int_equal(s.forgotten, 1000 - WB_SEQUENCE_MAX_HOLES);
	assert_int_equal(wb_sequence_add(&s, 2, 1), WB_SEQUENCE_STALE);
	assert_int_equal(wb_sequence_look(&s, 3), WB_SEQUENCE_STALE);
	assert_int_equal(wb_sequence_add(&s, 2000, 1), WB_SEQUENCE_LATE);
	assert_int_equal(wb_sequence_add(&s, 1999, 1), WB_SEQUENCE_SEEN);
	assert_int_equal(s.missing, 999);
	wb_sequence_fini(&s);
}

#define NUMBERS 120u

/* Random ranges in random order, against an array that says of each number whether it was seen. */
static void test_model(void **state)
{
	srand(3);
	for (int round = 0; round < 3000; round++) {
		bool seen[NUMBERS + 20] = {false};
		struct wb_sequence s = {0};
		uint64_t least = 0, next = 0;

		for (int step = 0; step < 60; step++) {
			uint64_t first = 1 + (uint64_t)rand() % NUMBERS, count = 1 + (uint64_t)rand() % 8, fresh = 0,
				 missing = 0, holes = 0;
			int verdict, expected;

			if (rand() % 10 == 0) {
				assert_int_equal(wb_sequence_expect(&s, first), 0);
				least = least && least < first ? least : first;
				next = first > next ? first : next;
				continue;
			}
			for (uint64_t i = first; i < first + count; i++) {
				fresh += !seen[i];
				seen[i] = true;
			}
			expected = !fresh                 ? WB_SEQUENCE_SEEN
			           : next && first < next ? WB_SEQUENCE_LATE
			                                  : WB_SEQUENCE_NEW;
			least = least && least < first ? least : first;
			next = next > first + count ? next : first + count;
			assert_int_equal(wb_sequence_look(&s, first) == WB_SEQUENCE_NEW, first >= s.next || !s.first);
			verdict = wb_sequence_add(&s, first, count);
			assert_int_equal(verdict, expected);
			for (uint64_t i = least; i < next; i++) {
				missing += !seen[i];
				holes += !seen[i] && (i == least || seen[i - 1]);
				assert_int_equal(
					wb_sequence_look(&s, i), seen[i] ? WB_SEQUENCE_SEEN : WB_SEQUENCE_LATE);
			}
			assert_int_equal(s.missing, missing);
			assert_int_equal(s.hole_count, holes);
			assert_int_equal(s.first, least);
			assert_int_equal(s.next, next);
		}
		wb_sequence_fini(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_touching_holes),
		cmocka_unit_test(test_bad_numbers),
		cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
