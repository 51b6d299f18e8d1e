/* SPDX-License-Identifier: Apache-2.0 */
/* configs/wirebus.yaml is accepted, names every setting, and shows the defaults. With the built-in transports. */
#include "testing.h"

#include <stdio.h>
#include <string.h>

#include "load.h"
#include "option.h"

static char *read_example(void)
{
	FILE *file = fopen(EXAMPLE_FILE, "re");
	char *text = calloc(1, 100000);

	assert_non_null(file);
	assert_non_null(text);
	assert_in_range(fread(text, 1, 99999, file), 1000, 99998);
	fclose(file);
	return text;
}

static void load_example(struct wb_config *config)
{
	reports[0] = '\0';
	wb_config_load(EXAMPLE_FILE, config, collect_report, NULL);
	assert_string_equal(reports, "");
}

static void test_accepted(void **state)
{
	struct wb_config config;

	load_example(&config);
	assert_int_equal(config.capture_count, 2);
	assert_string_equal(config.captures[0].interface, "eth0");
	assert_int_equal(config.captures[1].workers, 2);
	wb_config_fini(&config);
}

/* Whether a line begins with the key: after blanks, and perhaps as a comment or as the first of a list's entry. */
static bool has_key(const char *text, const char *key)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += strspn(line, "\n #-");
		if (strncmp(line, key, length) == 0 && line[length] == ':')
			return true;
	}
	return false;
}

static void test_every_key(void **state)
{
	char *text = read_example();

	for (const struct wb_option_row *row = wb_config_rows; row->key; row++) {
		if (!has_key(text, row->key))
			fail_msg("%s is not in the example", row->key);
	}
	for (const struct wb_option_row *row = wb_capture_config_rows; row->key; row++) {
		if (!has_key(text, row->key))
			fail_msg("%s is not in the example", row->key);
	}
	assert_false(has_key(text, "no_such_key"));
	free(text);
}

static void same_as_default(const struct wb_option_row *row, const void *options, const void *defaults)
{
	const char *value = (const char *)options + row->offset, *expected = (const char *)defaults + row->offset;
	size_t size = row->type == WB_OPTION_BOOL     ? sizeof(bool)
	              : row->type == WB_OPTION_CHOICE ? sizeof(unsigned int)
	                                              : sizeof(uint64_t);

	if (row->default_value && row->type != WB_OPTION_STRING && memcmp(value, expected, size) != 0)
		fail_msg("%s is not the default", row->key);
}

static void test_defaults(void **state)
{
	struct wb_config config, defaults;
	struct wb_capture_config *capture;

	load_example(&config);
	assert_int_equal(wb_config_init(&defaults), 0);
	assert_int_equal(wb_config_add_capture(&defaults, &capture), 0);
	for (const struct wb_option_row *row = wb_config_rows; row->key; row++)
		same_as_default(row, &config, &defaults);
	for (const struct wb_option_row *row = wb_capture_config_rows; row->key; row++)
		same_as_default(row, &config.captures[0], capture);
	wb_config_fini(&config);
	wb_config_fini(&defaults);
}

/* Rows are complete enough for the manual. */
static void test_rows_are_documented(void **state)
{
	const struct wb_option_row *const tables[] = {wb_config_rows, wb_capture_config_rows};

	for (size_t i = 0; i < 2; i++) {
		for (const struct wb_option_row *row = tables[i]; row->key; row++) {
			assert_int_equal(strspn(row->key, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(row->key));
			assert_non_null(row->help);
			assert_true(row->help[0] >= 'A' && row->help[0] <= 'Z');
			assert_int_not_equal(row->help[strlen(row->help) - 1], '.');
			assert_int_equal(row->type == WB_OPTION_CHOICE, row->choices != NULL);
			assert_true(row->type == WB_OPTION_STRING || row->default_value);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_rows_are_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
