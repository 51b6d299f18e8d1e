/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are too large, too deep or too many-sided end in a message, at once. */
#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "load.h"
#include "yaml_node.h"

/* Text of count times a piece, between a head and a tail. */
static char *repeat(const char *head, const char *piece, size_t count, const char *tail)
{
	size_t length = strlen(piece);
	char *text = malloc(strlen(head) + count * length + strlen(tail) + 1), *at = text;

	assert_non_null(text);
	at = stpcpy(at, head);
	for (size_t i = 0; i < count; i++)
		at = stpcpy(at, piece);
	stpcpy(at, tail);
	return text;
}

static void test_size(void **state)
{
	const char *capture = "\ncaptures: [{interface: eth0, to: 'null:'}]\n";
	struct wb_config config;
	char *text = repeat("#", "x", WB_YAML_BYTES_MAX - strlen(capture) - 1, capture);

	assert_int_equal(strlen(text), WB_YAML_BYTES_MAX);
	accept_text(text, &config);
	wb_config_fini(&config);
	free(text);
	text = repeat("#", "x", WB_YAML_BYTES_MAX - strlen(capture), capture);
	assert_int_equal(load_text(text, &config), -EFBIG);
	assert_string_equal(reports, "cannot be read: File too large\n");
	free(text);
}

static void test_depth(void **state)
{
	char *text = repeat("node: ", "[", WB_YAML_DEPTH_MAX, "\n");

	refuse_text(text, "1:22: lists and mappings are nested more than 16 deep\n");
	free(text);
	text = repeat("node: ", "[", 15, "a]]]]]]]]]]]]]]]\ncaptures: [{interface: eth0, to: 'null:'}]\n");
	refuse_text(text, "1:22: lists and mappings are nested more than 16 deep\n");
	free(text);
	text = repeat("node: ", "[", 14, "a]]]]]]]]]]]]]]\ncaptures: [{interface: eth0, to: 'null:'}]\n");
	refuse_text(text, "1:7: node: a single value is needed, not a list\n");
	free(text);
	text = repeat("", "[", 200000, "");
	refuse_text(text, "1:17: lists and mappings are nested more than 16 deep\n");
	free(text);
	/* Keys of keys: each is reported as well. */
	text = repeat("", "? ", 200000, "");
	assert_int_equal(load_text(text, &(struct wb_config){0}), -EINVAL);
	assert_non_null(strstr(reports, "1:31: a key must be a plain word\n1:33: a key must be a plain word\n"
					"1:33: lists and mappings are nested more than 16 deep\n"));
	free(text);
}

static void test_nodes(void **state)
{
	char *text = repeat("captures: [", "a,", 200000, "]\n");
	const char *last;

	assert_int_equal(load_text(text, &(struct wb_config){0}), -EINVAL);
	last = strrchr(reports, ':');
	assert_string_equal(last, ": the file has more than 10000 values\n");
	free(text);
}

/* An entry's errors are not a flood. */
static void test_reports(void **state)
{
	char *text = repeat("captures: [", "a,", 5000, "]\n");
	size_t lines = 0;

	assert_int_equal(load_text(text, &(struct wb_config){0}), -EINVAL);
	for (const char *c = reports; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 101);
	assert_non_null(strstr(reports, "\n1:212: there are more errors, which are not shown\n"));
	free(text);
}

static void test_captures(void **state)
{
	struct wb_config config;
	char *text = repeat("captures:\n", "- {interface: eth0, to: 'null:'}\n", 256, "");

	accept_text(text, &config);
	assert_int_equal(config.capture_count, 256);
	wb_config_fini(&config);
	free(text);
	text = repeat("captures:\n", "- {interface: eth0, to: 'null:'}\n", 300, "");
	assert_int_equal(load_text(text, &config), -EINVAL);
	assert_memory_equal(reports, "258:3: captures: there are more than 256\n", 41);
	free(text);
}

/* Each alias ten times the one before: a thousand million values, if they were followed. */
static void test_aliases(void **state)
{
	refuse_text("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a]\n",
		"1:4: anchors (&name) are not supported\n"
		"2:4: anchors (&name) are not supported\n"
		"2:8: aliases (*name) are not supported; put text that begins with '*' in quotes\n"
		"2:11: aliases (*name) are not supported; put text that begins with '*' in quotes\n"
		"1:1: unknown key 'a'\n"
		"2:1: unknown key 'b'\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_reports),
		cmocka_unit_test(test_captures),
		cmocka_unit_test(test_aliases),
	};

	return cmocka_run_group_tests(tests, load_setup, load_teardown);
}
