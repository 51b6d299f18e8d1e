/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of CPU numbers. */
#include "testing.h"

#include <errno.h>

#include "config.h"

static void accepts(const char *text, const unsigned int *expected, int count)
{
	unsigned int cpus[8] = {0};
	struct wb_error error;

	assert_int_equal(wb_cpu_list(text, cpus, 8, &error), count);
	for (int i = 0; i < count; i++)
		assert_int_equal(cpus[i], expected[i]);
}

static void refuses(const char *text, const char *message)
{
	unsigned int cpus[8];
	struct wb_error error;

	assert_int_equal(wb_cpu_list(text, cpus, 8, &error), -EINVAL);
	assert_string_equal(error.message, message);
}

static void test_lists(void **state)
{
	accepts("0", (const unsigned int[]){0}, 1);
	accepts("0,2-3", (const unsigned int[]){0, 2, 3}, 3);
	accepts("7-7", (const unsigned int[]){7}, 1);
	accepts("5,1,1", (const unsigned int[]){5, 1, 1}, 3);
	accepts("0-7", (const unsigned int[]){0, 1, 2, 3, 4, 5, 6, 7}, 8);
	accepts("1023", (const unsigned int[]){1023}, 1);
}

static void test_refused(void **state)
{
	refuses("", "cpus: '' is not a list of CPU numbers below 1024 (such as 0,2-3)");
	refuses("a", "cpus: 'a' is not a list of CPU numbers below 1024 (such as 0,2-3)");
	refuses("1,", "cpus: '1,' is not a list of CPU numbers below 1024 (such as 0,2-3)");
	refuses(",1", "cpus: ',1' is not a list of CPU numbers below 1024 (such as 0,2-3)");
	refuses("3-1", "cpus: '3-1' is not a list of CPU numbers below 1024 (such as 0,2-3)");
	refuses("1-", "cpus: '1-' is not a list of CPU numbers below 1024 (such as 0,2-3)");
	refuses("1 2", "cpus: '1 2' is not a list of CPU numbers below 1024 (such as 0,2-3)");
	refuses("-1", "cpus: '-1' is not a list of CPU numbers below 1024 (such as 0,2-3)");
	refuses("1024", "cpus: '1024' is not a list of CPU numbers below 1024 (such as 0,2-3)");
	refuses("99999999999", "cpus: '99999999999' is not a list of CPU numbers below 1024 (such as 0,2-3)");
	refuses("0-8", "cpus: '0-8' lists more than 8 CPUs");
	refuses("0-7,0", "cpus: '0-7,0' lists more than 8 CPUs");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lists), cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
