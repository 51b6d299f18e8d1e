/* SPDX-License-Identifier: Apache-2.0 */
/* Where to begin in partitions, as users write it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kafka_offset.h"
#include "testing.h"

#define LEFT_OUT (-1)

/* Where a partition whose watermarks are 100 and 200 is begun. */
static int64_t begin(const char *text, int32_t partition, int64_t *ret_lost)
{
	struct wb_kafka_offsets offsets;
	const struct wb_kafka_offset *offset;
	struct wb_error error = {""};
	int64_t result;

	*ret_lost = 0;
	if (wb_kafka_offsets_parse(text, &offsets, &error) < 0)
		fail_msg("%s", error.message);
	offset = wb_kafka_offset_of(&offsets, partition);
	result = offset ? wb_kafka_offset_resolve(offset, 100, 200, ret_lost) : LEFT_OUT;
	wb_kafka_offsets_fini(&offsets);
	return result;
}

static void places(void **state)
{
	static const struct {
		const char *text;
		int32_t partition;
		int64_t begin, lost;
	} cases[] = {
		{"earliest", 0, 100, 0},
		{"beginning", 9, 100, 0},
		{"latest", 0, 200, 0},
		{"end", 0, 200, 0},
		{"150", 0, 150, 0},
		{"100", 0, 100, 0},
		{"99", 0, 100, 1},
		{"0", 3, 100, 100},
		{"500", 0, 500, 0},
		{"-1", 0, 199, 0},
		{"-100", 0, 100, 0},
		{"-101", 0, 100, 0},
		{"-9223372036854775807", 0, 100, 0},
		{"9223372036854775807", 0, INT64_MAX, 0},
		{"0:150,1:latest", 0, 150, 0},
		{"0:150,1:latest", 1, 200, 0},
		{"0:150,1:latest", 2, LEFT_OUT, 0},
		{"7:-10", 7, 190, 0},
		{"7:-10", 0, LEFT_OUT, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t lost, got = begin(cases[i].text, cases[i].partition, &lost);

		if (got != cases[i].begin || lost != cases[i].lost)
			fail_msg("%s of %d: %lld, %lld lost", cases[i].text, (int)cases[i].partition, (long long)got,
				(long long)lost);
	}
}

static void others_are_refused(void **state)
{
	static const char *const cases[] = {"", "middle", "1:", ":1", "1,2", "earliest,latest", "0:1,0:2", "0:1,5",
		"--1", "-", "0:1,", ",", "1.5", "0x10", "9223372036854775808", "2147483648:0", "-1:5", " 1", "0:1:2"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wb_kafka_offsets offsets;
		struct wb_error error = {""};
		char quoted[64];

		if (wb_kafka_offsets_parse(cases[i], &offsets, &error) != -EINVAL)
			fail_msg("'%s' is taken", cases[i]);
		snprintf(quoted, sizeof(quoted), "offset '%s'", cases[i]);
		assert_non_null(strstr(error.message, quoted));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places),
		cmocka_unit_test(others_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
