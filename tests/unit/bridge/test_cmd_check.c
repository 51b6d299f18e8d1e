/* SPDX-License-Identifier: Apache-2.0 */
/* wirebus check: what it prints where, and its exit codes. */
#include "testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

static char out[4096], err[4096], path[64];

static int replace(int fd, FILE *file)
{
	int saved = dup(fd);

	assert_true(saved >= 0);
	assert_true(dup2(fileno(file), fd) >= 0);
	return saved;
}

static void restore(int fd, int saved, FILE *file, char *text, size_t size)
{
	size_t length;

	assert_true(dup2(saved, fd) >= 0);
	close(saved);
	rewind(file);
	length = fread(text, 1, size - 1, file);
	text[length] = '\0';
	fclose(file);
}

static int run(char **argv)
{
	FILE *out_file = tmpfile(), *err_file = tmpfile();
	int argc = 0, code, saved_out, saved_err;

	assert_non_null(out_file);
	assert_non_null(err_file);
	while (argv[argc])
		argc++;
	fflush(NULL);
	saved_out = replace(STDOUT_FILENO, out_file);
	saved_err = replace(STDERR_FILENO, err_file);
	code = wb_cmd_check(argc, argv);
	fflush(NULL);
	restore(STDOUT_FILENO, saved_out, out_file, out, sizeof(out));
	restore(STDERR_FILENO, saved_err, err_file, err, sizeof(err));
	return code;
}

#define RUN(...) run((char *[]){(char *)"check", __VA_ARGS__, NULL})
#define A(text) ((char *)(text))

static void write_file(const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
	int fd;

	snprintf(path, sizeof(path), "/tmp/wirebus-test-XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	return unlink(path);
}

static void test_ok(void **state)
{
	char expected[200];

	write_file("captures:\n- {interface: a, to: 'null:', workers: 3}\n- {interface: b, to: 'null:'}\n");
	assert_int_equal(RUN(A("-c"), path), WB_EXIT_OK);
	snprintf(expected, sizeof(expected), "%s: ok (2 captures, 4 workers)\n", path);
	assert_string_equal(out, expected);
	assert_string_equal(err, "");
	write_file("captures:\n- {interface: a, to: 'null:'}\n");
	assert_int_equal(RUN(A("--config"), path), WB_EXIT_OK);
	snprintf(expected, sizeof(expected), "%s: ok (1 capture, 1 worker)\n", path);
	assert_string_equal(out, expected);
}

static void test_errors(void **state)
{
	char expected[400];

	write_file("flush: x\ncaptures:\n- {interface: a, to: 'null:', workers: 0}\n");
	assert_int_equal(RUN(A("-c"), path), WB_EXIT_USAGE);
	assert_string_equal(out, "");
	snprintf(expected, sizeof(expected),
		"%s:1:8: flush: 'x' is not a time from 0 to 1h (such as 500ms, 10s, 5m)\n"
		"%s:3:40: workers: '0' is not a whole number from 1 to 256\n",
		path, path);
	assert_string_equal(err, expected);
	assert_int_equal(RUN(A("-c"), A("/nonexistent")), WB_EXIT_USAGE);
	assert_string_equal(err, "/nonexistent: cannot be read: No such file or directory\n");
}

static void test_usage(void **state)
{
	assert_int_equal(run((char *[]){A("check"), NULL}), WB_EXIT_USAGE);
	assert_string_equal(err, "wirebus check: option '-c' is missing; it names the file to check\n");
	assert_int_equal(RUN(A("--confg"), A("x")), WB_EXIT_USAGE);
	assert_string_equal(err, "wirebus check: unknown option '--confg'; did you mean '--config'?\n");
	assert_int_equal(RUN(A("-c")), WB_EXIT_USAGE);
	assert_string_equal(err, "wirebus check: option '-c' needs a value\n");
	assert_int_equal(RUN(A("x.yaml")), WB_EXIT_USAGE);
	assert_string_equal(err, "wirebus check: unexpected argument 'x.yaml'; see --help\n");
	assert_string_equal(out, "");
}

static void test_help(void **state)
{
	assert_int_equal(RUN(A("-h")), WB_EXIT_OK);
	assert_string_equal(err, "");
	assert_memory_equal(out, "Usage: wirebus check -c FILE [--plugin FILE]...\n", 48);
	assert_non_null(strstr(out, "\n      --plugin FILE "));
	assert_non_null(strstr(out, "\n  -c, --config FILE "));
	assert_non_null(strstr(out, "\n  -h, --help "));
	assert_int_equal(RUN(A("--help")), WB_EXIT_OK);
}

static void test_plugin(void **state)
{
	assert_int_equal(RUN(A("-c"), path, A("--plugin"), A("/nosuch.so")), WB_EXIT_USAGE);
	assert_string_equal(err, "wirebus check: plugin '/nosuch.so': No such file or directory\n");
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ok),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_plugin),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
