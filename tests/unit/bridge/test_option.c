/* SPDX-License-Identifier: Apache-2.0 */
/* Option rows: what each type takes, what is refused and in which words, defaults, help. */
#include "testing.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "option.h"
#include "secret.h"
#include "suggest.h"

struct options {
	bool flag;
	uint64_t any, range, least;
	uint64_t bytes, bytes_range;
	uint64_t time, time_range;
	char *text, *short_text, *password;
	unsigned int choice;
};

#define AT(member) .offset = offsetof(struct options, member)

static const struct wb_option_row rows[] = {
	{.key = "flag", .type = WB_OPTION_BOOL, AT(flag), .default_value = "yes", .help = "A flag"},
	{.key = "any", .type = WB_OPTION_UINT, AT(any)},
	{.key = "range",
		.type = WB_OPTION_UINT,
		AT(range),
		.default_value = "7",
		.min = 1,
		.max = 256,
		.unit = "things",
		.help = "A number"},
	{.key = "least", .type = WB_OPTION_UINT, AT(least), .default_value = "4", .min = 4, .help = "Another"},
	{.key = "bytes", .type = WB_OPTION_BYTES, AT(bytes), .default_value = "3KiB"},
	{.key = "bytes_range",
		.type = WB_OPTION_BYTES,
		AT(bytes_range),
		.default_value = "1MiB",
		.min = 4096,
		.max = 64 << 20},
	{.key = "time", .type = WB_OPTION_DURATION, AT(time), .default_value = "50ms"},
	{.key = "time_range",
		.type = WB_OPTION_DURATION,
		AT(time_range),
		.default_value = "10",
		.min = 1,
		.max = 5400000},
	{.key = "text", .type = WB_OPTION_STRING, AT(text)},
	{.key = "short_text", .type = WB_OPTION_STRING, AT(short_text), .default_value = "ab", .min = 1, .max = 3},
	{.key = "password", .type = WB_OPTION_STRING, AT(password), .max = 4},
	{.key = "choice",
		.type = WB_OPTION_CHOICE,
		AT(choice),
		.default_value = "drop",
		.choices = "block|drop|queue_mapping"},
	{.key = NULL},
};

static int set(struct options *options, const char *key, const char *value, struct wb_error *error)
{
	const struct wb_option_row *row = wb_option_find(rows, key, NULL);

	assert_non_null(row);
	memset(error, 0, sizeof(*error));
	return wb_option_set(row, options, value, error);
}

static void accepts(struct options *options, const char *key, const char *value)
{
	struct wb_error error;

	assert_int_equal(set(options, key, value, &error), 0);
	assert_string_equal(error.message, "");
}

static void refuses(struct options *options, const char *key, const char *value, const char *message)
{
	struct options before = *options;
	struct wb_error error;

	assert_int_equal(set(options, key, value, &error), -EINVAL);
	assert_string_equal(error.message, message);
	assert_memory_equal(&before, options, sizeof(before));
}

static int setup(void **state)
{
	static struct options options;

	*state = &options;
	return wb_options_init(rows, &options);
}

static int teardown(void **state)
{
	wb_options_fini(rows, *state);
	return 0;
}

static void test_defaults(void **state)
{
	const struct options *options = *state;

	assert_true(options->flag);
	assert_int_equal(options->any, 0);
	assert_int_equal(options->range, 7);
	assert_int_equal(options->least, 4);
	assert_int_equal(options->bytes, 3072);
	assert_int_equal(options->bytes_range, 1048576);
	assert_int_equal(options->time, 50);
	assert_int_equal(options->time_range, 10);
	assert_null(options->text);
	assert_string_equal(options->short_text, "ab");
	assert_int_equal(options->choice, 1);
}

static void test_bool(void **state)
{
	static const char *const yes[] = {"true", "yes", "on", "1"};
	static const char *const no[] = {"false", "no", "off", "0"};
	struct options *options = *state;

	for (size_t i = 0; i < 4; i++) {
		options->flag = false;
		accepts(options, "flag", yes[i]);
		assert_true(options->flag);
		accepts(options, "flag", no[i]);
		assert_false(options->flag);
	}
	refuses(options, "flag", "maybe", "flag: 'maybe' is not true or false");
	refuses(options, "flag", "", "flag: '' is not true or false");
	refuses(options, "flag", "True", "flag: 'True' is not true or false");
}

static void test_numbers(void **state)
{
	struct options *options = *state;

	accepts(options, "any", "18446744073709551615");
	assert_true(options->any == UINT64_MAX);
	accepts(options, "any", "007");
	assert_int_equal(options->any, 7);
	refuses(options, "any", "18446744073709551616", "any: '18446744073709551616' is not a whole number");
	refuses(options, "any", "99999999999999999999999", "any: '99999999999999999999999' is not a whole number");
	refuses(options, "any", "-1", "any: '-1' is not a whole number");
	refuses(options, "any", "+1", "any: '+1' is not a whole number");
	refuses(options, "any", "", "any: '' is not a whole number");
	refuses(options, "any", " 1", "any: ' 1' is not a whole number");
	refuses(options, "any", "1 ", "any: '1 ' is not a whole number");
	refuses(options, "any", "1.5", "any: '1.5' is not a whole number");
	refuses(options, "any", "0x10", "any: '0x10' is not a whole number");
	refuses(options, "any", "1K", "any: '1K' is not a whole number");
	accepts(options, "range", "1");
	accepts(options, "range", "256");
	refuses(options, "range", "0", "range: '0' is not a whole number from 1 to 256");
	refuses(options, "range", "257", "range: '257' is not a whole number from 1 to 256");
	accepts(options, "least", "4");
	refuses(options, "least", "3", "least: '3' is not a whole number of at least 4");
}

static void test_bytes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{"0", 0},
		{"1", 1},
		{"2K", 2048},
		{"2KiB", 2048},
		{"3M", 3145728},
		{"3MiB", 3145728},
		{"1G", 1073741824},
		{"1GiB", 1073741824},
		{"17179869183GiB", UINT64_C(17179869183) << 30},
	};
	struct options *options = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		accepts(options, "bytes", cases[i].text);
		assert_true(options->bytes == cases[i].bytes);
	}
	refuses(options, "bytes", "17179869184GiB",
		"bytes: '17179869184GiB' is not a size (such as 65536, 64KiB, 1MiB)");
	refuses(options, "bytes", "1KB", "bytes: '1KB' is not a size (such as 65536, 64KiB, 1MiB)");
	refuses(options, "bytes", "1 KiB", "bytes: '1 KiB' is not a size (such as 65536, 64KiB, 1MiB)");
	refuses(options, "bytes", "KiB", "bytes: 'KiB' is not a size (such as 65536, 64KiB, 1MiB)");
	refuses(options, "bytes_range", "4095",
		"bytes_range: '4095' is not a size from 4KiB to 64MiB (such as 65536, 64KiB, 1MiB)");
	accepts(options, "bytes_range", "64M");
	refuses(options, "bytes_range", "67108865",
		"bytes_range: '67108865' is not a size from 4KiB to 64MiB (such as 65536, 64KiB, 1MiB)");
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = {{"0", 0}, {"20", 20}, {"20ms", 20}, {"3s", 3000}, {"2m", 120000}, {"1h", 3600000}};
	struct options *options = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		accepts(options, "time", cases[i].text);
		assert_int_equal(options->time, cases[i].ms);
	}
	refuses(options, "time", "1d", "time: '1d' is not a time (such as 500ms, 10s, 5m)");
	refuses(options, "time", "0.5s", "time: '0.5s' is not a time (such as 500ms, 10s, 5m)");
	refuses(options, "time", "5124095576031h", "time: '5124095576031h' is not a time (such as 500ms, 10s, 5m)");
	refuses(options, "time_range", "0", "time_range: '0' is not a time from 1ms to 90m (such as 500ms, 10s, 5m)");
	refuses(options, "time_range", "91m",
		"time_range: '91m' is not a time from 1ms to 90m (such as 500ms, 10s, 5m)");
}

static void test_strings(void **state)
{
	struct options *options = *state;

	accepts(options, "text", "");
	assert_string_equal(options->text, "");
	accepts(options, "text", "tcp port 443");
	assert_string_equal(options->text, "tcp port 443");
	refuses(options, "short_text", "", "short_text: '' is not a text from 1 to 3 bytes long");
	refuses(options, "short_text", "abcd", "short_text: 'abcd' is not a text from 1 to 3 bytes long");
	refuses(options, "short_text", "a\nb\x1b", "short_text: 'a?b?' is not a text from 1 to 3 bytes long");
	refuses(options, "password", "hunter2", "password: '****' is not a text from 0 to 4 bytes long");
}

static void test_long_value_is_cut_in_messages(void **state)
{
	char value[2000], message[600];

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	snprintf(message, sizeof(message), "any: '%.120s' is not a whole number", value);
	refuses(*state, "any", value, message);
}

static void test_choice(void **state)
{
	struct options *options = *state;

	accepts(options, "choice", "block");
	assert_int_equal(options->choice, 0);
	accepts(options, "choice", "queue_mapping");
	assert_int_equal(options->choice, 2);
	refuses(options, "choice", "queue", "choice: 'queue' is not one of block, drop, queue_mapping");
	refuses(options, "choice", "block|drop", "choice: 'block|drop' is not one of block, drop, queue_mapping");
	refuses(options, "choice", "", "choice: '' is not one of block, drop, queue_mapping");
}

static void test_named_as_the_user_wrote_it(void **state)
{
	struct wb_error error;

	assert_int_equal(
		wb_option_set_as(wb_option_find(rows, "range", NULL), *state, "x", "--range", "${NUMBER}", &error),
		-EINVAL);
	assert_string_equal(error.message, "--range: '${NUMBER}' is not a whole number from 1 to 256");
	assert_int_equal(wb_option_set(wb_option_find(rows, "range", NULL), *state, "x", NULL), -EINVAL);
}

static void test_find(void **state)
{
	const char *suggestion = "untouched";

	assert_ptr_equal(wb_option_find(rows, "range", &suggestion), &rows[2]);
	assert_null(wb_option_find(rows, "rnage", &suggestion));
	assert_string_equal(suggestion, "range");
	assert_null(wb_option_find(rows, "bytes_rang", &suggestion));
	assert_string_equal(suggestion, "bytes_range");
	assert_null(wb_option_find(rows, "short-text", &suggestion));
	assert_string_equal(suggestion, "short_text");
	assert_null(wb_option_find(rows, "completely_different", &suggestion));
	assert_null(suggestion);
	assert_null(wb_option_find(rows, "", &suggestion));
	assert_null(suggestion);
	assert_null(wb_option_find(rows, "rnage", NULL));
}

static void test_suggestions(void **state)
{
	struct wb_suggest suggest;
	char longest[100];

	wb_suggest_init(&suggest, "fitler");
	wb_suggest_offer(&suggest, "flush");
	wb_suggest_offer(&suggest, "filter");
	wb_suggest_offer(&suggest, "fanout");
	assert_string_equal(suggest.best, "filter");
	assert_int_equal(suggest.distance, 1);
	/* As near as the first is not nearer. */
	wb_suggest_offer(&suggest, "fiteler");
	assert_string_equal(suggest.best, "filter");
	wb_suggest_init(&suggest, "a");
	wb_suggest_offer(&suggest, "b");
	assert_null(suggest.best);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	wb_suggest_init(&suggest, longest);
	wb_suggest_offer(&suggest, longest);
	assert_null(suggest.best);
}

static void test_secret_names(void **state)
{
	static const char *const secret[] = {"password", "sasl.password", "SSL.KEY.PASSWORD", "client.secret", "token",
		"ssl.key", "ssl.certificate.pem", "curve_secret_key", "ssl.key.pem", "sasl_password"};
	static const char *const open[] = {
		"key", "monkey", "message_key", "password_file", "topic", "", "pem", "ssl.key.location"};

	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		assert_true(wb_secret_name(secret[i]));
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		assert_false(wb_secret_name(open[i]));
}

static void redacts(const char *text, const char *secret, size_t size, const char *expected)
{
	char buffer[64];

	memset(buffer, 'Z', sizeof(buffer));
	memcpy(buffer, text, strlen(text) + 1);
	wb_secret_redact(buffer, size, secret);
	assert_string_equal(buffer, expected);
	assert_int_equal(buffer[size], 'Z');
}

static void test_redaction(void **state)
{
	redacts("a hunter2 b hunter2", "hunter2", 20, "a **** b ****");
	redacts("hunter2", "hunter2", 8, "****");
	redacts("nothing", "hunter2", 8, "nothing");
	redacts("nothing", "", 8, "nothing");
	redacts("xx", "x", 20, "********");
	/* It becomes longer than there is room. */
	redacts("axbcdef", "x", 8, "a****bc");
	redacts("abcdefx", "x", 8, "abcdef");
	redacts("xxxxxxx", "x", 8, "****");
}

static void test_help(void **state)
{
	char *text = NULL;
	size_t length;
	FILE *stream = open_memstream(&text, &length);

	assert_non_null(stream);
	wb_options_help(rows, stream, "  ");
	fclose(stream);
	assert_non_null(strstr(text, "  flag=true|false               A flag [default yes]\n"));
	assert_non_null(strstr(text, "  range=N                       A number [default 7; from 1 to 256 things]\n"));
	assert_non_null(strstr(text, "  least=N                       Another [default 4; of at least 4]\n"));
	assert_non_null(strstr(text, "  bytes_range=SIZE               [default 1MiB; from 4KiB to 64MiB]\n"));
	assert_non_null(strstr(text, "  choice=block|drop|queue_mapping\n"));
	free(text);
}

static void test_fini_twice(void **state)
{
	struct options options;

	assert_int_equal(wb_options_init(rows, &options), 0);
	wb_options_fini(rows, &options);
	assert_null(options.short_text);
	wb_options_fini(rows, &options);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bool, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_durations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_value_is_cut_in_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_choice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_named_as_the_user_wrote_it, setup, teardown),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_suggestions),
		cmocka_unit_test(test_secret_names),
		cmocka_unit_test(test_redaction),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_fini_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
