/* SPDX-License-Identifier: Apache-2.0 */
/* ${NAME} and ${file:PATH} in values, and that the content of such a file is in no message. */
#include "testing.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_substitute.h"
#include "fake_transports.h"
#include "load.h"

#define CAPTURE "captures:\n  - interface: eth0\n    to: \"null:\"\n"

static int setup(void **state)
{
	setenv("WB_TEST_NODE", "from-env", 1);
	setenv("WB_TEST_EMPTY", "", 1);
	setenv("WB_TEST_NESTED", "${WB_TEST_NODE}", 1);
	unsetenv("WB_TEST_UNSET");
	return load_setup(state);
}

static void node_becomes(const char *value, const char *expected)
{
	struct wb_config config;
	char text[400];

	snprintf(text, sizeof(text), "node: '%s'\n" CAPTURE, value);
	accept_text(text, &config);
	assert_string_equal(config.node, expected);
	wb_config_fini(&config);
}

static void node_refused(const char *value, const char *expected)
{
	char text[400], report[600];

	snprintf(text, sizeof(text), "node: '%s'\n" CAPTURE, value);
	snprintf(report, sizeof(report), "1:7: node: %s\n", expected);
	refuse_text(text, report);
}

static void test_environment(void **state)
{
	node_becomes("${WB_TEST_NODE}", "from-env");
	node_becomes("a${WB_TEST_NODE}b${WB_TEST_EMPTY}c", "afrom-envbc");
	node_becomes("a$b $ c$", "a$b $ c$");
	node_becomes("$${WB_TEST_NODE}", "${WB_TEST_NODE}");
	node_becomes("$$${x}$$", "$${x}$$");
	node_becomes("$$", "$$");
	/* Not looked through again. */
	node_becomes("${WB_TEST_NESTED}", "${WB_TEST_NODE}");
	node_refused("${WB_TEST_UNSET}", "the environment has no variable 'WB_TEST_UNSET'");
	node_refused("${WB_TEST_NODE", "'${' without its '}'; write $${ for the text ${");
	node_refused("${}", "'${}' is neither ${NAME} nor ${file:PATH}; write $${ for the text ${");
	node_refused("${a b}", "'${a b}' is neither ${NAME} nor ${file:PATH}; write $${ for the text ${");
	node_refused("${1A}", "'${1A}' is neither ${NAME} nor ${file:PATH}; write $${ for the text ${");
	node_refused("${WB_TEST_NODE:-x}",
		"'${WB_TEST_NODE:-x}' is neither ${NAME} nor ${file:PATH}; write $${ for the text ${");
	/* What is wrong is the value that comes of it, but what stands in the file is shown. */
	node_refused("${WB_TEST_EMPTY}", "'${WB_TEST_EMPTY}' is not a text from 1 to 255 bytes long");
}

static void test_not_in_keys(void **state)
{
	refuse_text("'${WB_TEST_NODE}': x\n" CAPTURE, "1:1: unknown key '${WB_TEST_NODE}'\n");
}

static void test_file(void **state)
{
	char value[200];

	write_beside("plain", "content", 7);
	write_beside("line", "content\n", 8);
	write_beside("lines", "con\ntent\n\n", 10);
	write_beside("empty", "", 0);
	node_becomes("${file:plain}", "content");
	node_becomes("a-${file:./line}-b", "a-content-b");
	snprintf(value, sizeof(value), "${file:%s/plain}", load_folder);
	node_becomes(value, "content");
	node_becomes("x${file:empty}", "x");
	node_refused("${file:lines}", "it has a control character");
	node_refused("${file:}", "'${file:}' names no file");
	snprintf(value, sizeof(value), "file '%s/absent': No such file or directory", load_folder);
	node_refused("${file:absent}", value);
	snprintf(value, sizeof(value), "file '%s/.': Is a directory", load_folder);
	node_refused("${file:.}", value);
}

static void test_file_limits(void **state)
{
	char expected[400];
	char *large = malloc(WB_SUBSTITUTE_FILE_BYTES_MAX + 1);

	assert_non_null(large);
	memset(large, 'x', WB_SUBSTITUTE_FILE_BYTES_MAX + 1);
	write_beside("large", large, WB_SUBSTITUTE_FILE_BYTES_MAX + 1);
	snprintf(expected, sizeof(expected), "file '%s/large' is longer than 65536 bytes", load_folder);
	node_refused("${file:large}", expected);
	write_beside("large", large, WB_SUBSTITUTE_FILE_BYTES_MAX);
	node_refused("${file:large}", "'${file:large}' is not a text from 1 to 255 bytes long");
	node_refused(
		"${file:large}${file:large}${file:large}${file:large}", "the value becomes longer than 262144 bytes");
	write_beside("zero", "a\0b", 3);
	snprintf(expected, sizeof(expected), "file '%s/zero' has a zero byte", load_folder);
	node_refused("${file:zero}", expected);
	/* Other messages are looked through for what was read. */
	write_beside("large", large, WB_SUBSTITUTE_FILE_BYTES_MAX + 1);
	snprintf(expected, sizeof(expected),
		"4:13: filter: file '%s/large' is longer than 65536 bytes\n"
		"5:5: capture 2: to: it is missing; it says where the packets go, such as zmq+pub://127.0.0.1:5555\n",
		load_folder);
	refuse_text(CAPTURE "    filter: '${file:large}'\n  - interface: eth1\n", expected);
	/* Without an end. */
	node_refused("${file:/dev/zero}", "file '/dev/zero' is longer than 65536 bytes");
	free(large);
}

static void test_file_content_is_not_shown(void **state)
{
	write_beside("secret", "hunter2\n", 8);
	refuse_text(CAPTURE "    workers: ${file:secret}\n",
		"4:14: workers: '${file:secret}' is not a whole number from 1 to 256\n");
	refuse_text(CAPTURE "    cpus: ${file:secret}\n",
		"4:11: cpus: '****' is not a list of CPU numbers below 1024 (such as 0,2-3)\n");
	refuse_text("captures:\n  - interface: eth0\n    to: ${file:secret}\n",
		"3:9: to: '****' is not a URL: scheme://address is needed, or a path that begins with / or ./\n");
	refuse_text("captures:\n  - interface: eth0\n    to: kafka://${file:secret}\n",
		"3:9: to: kafka://****: the topic is missing\n");
	refuse_text("captures:\n  - interface: eth0\n    to: kafka://b/t?${file:secret}=1\n",
		"3:9: to: kafka://b/t?****=1: unknown option '****'\n");
	refuse_text("captures:\n  - interface: eth0\n    to: {url: kafka://b/t, compression: \"${file:secret}\"}\n",
		"3:41: compression: '${file:secret}' is not one of none, lz4, zstd\n");
	fake_kafka.quote_properties = true;
	refuse_text("captures:\n  - interface: eth0\n    to:\n      url: kafka://b/t\n      properties: {a: "
		    "\"${file:secret}\"}\n",
		"4:7: to: kafka://b/t: cannot use a=****;\n");
	fake_kafka.quote_properties = false;
}

static void test_number_of_files(void **state)
{
	char text[6000] = CAPTURE "    filter: \"";
	struct wb_config config;

	write_beside("f", "x", 1);
	for (size_t i = 0; i < WB_SUBSTITUTE_FILES_MAX; i++)
		strcat(text, "${file:f}");
	strcat(text, "\"\n");
	accept_text(text, &config);
	assert_int_equal(strlen(config.captures[0].filter), WB_SUBSTITUTE_FILES_MAX);
	wb_config_fini(&config);
	strcat(text, "    name: ${file:f}\n");
	refuse_text(text, "5:11: name: more than 256 files are put in\n");
}

/* A list's elements are put in one by one, and shown as they are in the file. */
static void test_in_a_list(void **state)
{
	struct wb_config config;

	setenv("WB_TEST_CPU", "1", 1);
	accept_text(CAPTURE "    workers: 2\n    cpus: [0, \"${WB_TEST_CPU}\"]\n", &config);
	assert_string_equal(config.captures[0].cpus, "0,1");
	wb_config_fini(&config);
	refuse_text(CAPTURE "    cpus: [0, \"${WB_TEST_UNSET}\"]\n",
		"4:15: cpus: the environment has no variable 'WB_TEST_UNSET'\n");
}

static void test_relative_to_the_file(void **state)
{
	struct wb_config config;
	char folder[200], here[200];

	write_beside("plain", "content", 7);
	write_beside("test.yaml", "node: ${file:plain}\n" CAPTURE, sizeof("node: ${file:plain}\n" CAPTURE) - 1);
	assert_non_null(getcwd(here, sizeof(here)));
	snprintf(folder, sizeof(folder), "%s", load_folder);
	assert_int_equal(chdir(folder), 0);
	reports[0] = '\0';
	assert_int_equal(wb_config_load("test.yaml", &config, collect_report, NULL), 0);
	assert_string_equal(config.node, "content");
	wb_config_fini(&config);
	assert_int_equal(chdir(here), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_not_in_keys),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_file_limits),
		cmocka_unit_test(test_file_content_is_not_shown),
		cmocka_unit_test(test_number_of_files),
		cmocka_unit_test(test_in_a_list),
		cmocka_unit_test(test_relative_to_the_file),
	};

	return cmocka_run_group_tests(tests, setup, load_teardown);
}
