/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines and error messages: their form, levels, and that nothing breaks out of its line. */
#include "testing.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

static char captured[8192];

/* Run in place of standard error: what is written to it is in captured. */
static void capture(void (*run)(void))
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	size_t length;

	assert_non_null(file);
	assert_true(saved >= 0);
	dup2(fileno(file), STDERR_FILENO);
	run();
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	length = fread(captured, 1, sizeof(captured) - 1, file);
	captured[length] = '\0';
	fclose(file);
}

static void log_levels(void)
{
	wb_log(WB_LOG_ERROR, "one %d", 1);
	wb_log(WB_LOG_WARNING, "two");
	wb_log(WB_LOG_INFO, "three");
	wb_log(WB_LOG_DEBUG, "four");
	wb_log_transport(NULL, WB_LOG_INFO, "five %s", "5");
	wb_log_set_level(WB_LOG_ERROR);
	wb_log(WB_LOG_WARNING, "six");
	wb_log_set_level(WB_LOG_DEBUG);
	wb_log(WB_LOG_DEBUG, "seven");
	wb_log_set_level(WB_LOG_INFO);
}

static void test_levels_and_form(void **state)
{
	static const char *const expected[] = {
		"error: one 1", "warning: two", "info: three", "info: five 5", "debug: seven"};
	size_t i = 0;
	regex_t form;

	assert_int_equal(
		regcomp(&form, "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z ", REG_EXTENDED), 0);
	capture(log_levels);
	for (char *line = strtok(captured, "\n"); line; line = strtok(NULL, "\n"), i++) {
		assert_in_range(i, 0, 4);
		assert_int_equal(regexec(&form, line, 0, NULL, 0), 0);
		assert_string_equal(line + strlen("2000-01-01T00:00:00.000Z "), expected[i]);
	}
	assert_int_equal(i, 5);
	regfree(&form);
}

static void log_hostile(void)
{
	wb_log(WB_LOG_INFO, "a\nb\r\x1b[31m\x7f %s %s", "\xc3\xa9", "\xc2\x9bm \xe2\x80\xae \xff");
}

static void test_one_line(void **state)
{
	capture(log_hostile);
	assert_string_equal(captured + strlen("2000-01-01T00:00:00.000Z "), "info: a?b??[31m? \xc3\xa9 ??m ??? ?\n");
}

static void log_long(void)
{
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	wb_log(WB_LOG_INFO, "%s", text);
}

static void test_long_line_is_cut(void **state)
{
	size_t length;

	capture(log_long);
	length = strlen(captured);
	assert_in_range(length, 1900, 2048);
	assert_int_equal(captured[length - 1], '\n');
	assert_int_equal(captured[length - 2], 'x');
}

static void test_fail(void **state)
{
	struct wb_error error;

	assert_int_equal(wb_fail(&error, -EINVAL, "%s: '%d'", "x", 3), -EINVAL);
	assert_string_equal(error.message, "x: '3'");
	assert_int_equal(wb_fail(NULL, -ENOMEM, "%s", "x"), -ENOMEM);
	assert_int_equal(wb_fail(&error, -EIO, "a\nb"), -EIO);
	assert_string_equal(error.message, "a?b");
}

/* A character of several bytes is kept whole or left out. */
static void test_fail_cuts_between_characters(void **state)
{
	char text[700];
	struct wb_error error;

	for (size_t shift = 0; shift < 4; shift++) {
		size_t kept;

		memset(text, 'a', shift);
		for (size_t i = shift; i + 4 < sizeof(text); i += 4)
			memcpy(text + i, "\xf0\x9f\x98\x80", 5);
		wb_fail(&error, 0, "%s", text);
		kept = strlen(error.message);
		assert_in_range(kept, 508, 511);
		assert_int_equal((kept - shift) % 4, 0);
		assert_memory_equal(error.message, text, kept);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels_and_form),
		cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_long_line_is_cut),
		cmocka_unit_test(test_fail),
		cmocka_unit_test(test_fail_cuts_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
