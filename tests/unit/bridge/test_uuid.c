/* SPDX-License-Identifier: Apache-2.0 */
/* Session identifiers: UUIDs of version 7, RFC 9562 section 5.7. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "uuid.h"

#define MANY 100000

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static uint64_t prefix_ms(const uint8_t *uuid)
{
	uint64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms << 8 | uuid[i];
	return ms;
}

static void version_variant_and_time(void **state)
{
	uint8_t any_set[16] = {0};
	uint8_t all_set[16];

	memset(all_set, 0xff, sizeof all_set);
	for (int i = 0; i < 2000; i++) {
		uint64_t before_ms = now_ms();
		uint8_t uuid[16];

		assert_int_equal(wb_uuid7(uuid), 0);
		assert_int_equal(uuid[6] >> 4, 7);
		assert_int_equal(uuid[8] >> 6, 2);
		assert_in_range(prefix_ms(uuid), before_ms, now_ms());
		for (int at = 0; at < 16; at++) {
			any_set[at] |= uuid[at];
			all_set[at] &= uuid[at];
		}
	}
	/* Every other bit is random: of 2000 none is the same in all. */
	for (int at = 6; at < 16; at++) {
		uint8_t random = at == 6 ? 0x0f : at == 8 ? 0x3f : 0xff;

		assert_int_equal(any_set[at] & random, random);
		assert_int_equal(all_set[at] & random, 0);
	}
}

static void later_is_greater(void **state)
{
	struct timespec pause = {.tv_nsec = 2000000};
	uint8_t previous[16];

	assert_int_equal(wb_uuid7(previous), 0);
	for (int i = 0; i < 20; i++) {
		uint8_t uuid[16];

		nanosleep(&pause, NULL);
		assert_int_equal(wb_uuid7(uuid), 0);
		assert_true(memcmp(uuid, previous, 16) > 0);
		memcpy(previous, uuid, 16);
	}
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

static void no_two_are_the_same(void **state)
{
	uint8_t(*uuids)[16] = calloc(MANY, sizeof *uuids);

	assert_non_null(uuids);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(wb_uuid7(uuids[i]), 0);
	qsort(uuids, MANY, sizeof *uuids, compare);
	for (size_t i = 1; i < MANY; i++)
		assert_memory_not_equal(uuids[i - 1], uuids[i], 16);
	free(uuids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_variant_and_time),
		cmocka_unit_test(later_is_greater),
		cmocka_unit_test(no_two_are_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
