/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of a command: every way to write an option, every refusal word by word, and --help. */
#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "option.h"

struct options {
	char *interface;
	uint64_t workers;
	uint64_t snap_length;
	bool promiscuous;
	char *to;
};

struct top {
	char *node;
	uint64_t require_bus_ms;
};

static const struct wb_option_row capture_rows[] = {
	{.key = "interface",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct options, interface),
		.max = 15,
		.help = "From where"},
	{.key = "workers",
		.type = WB_OPTION_UINT,
		.offset = offsetof(struct options, workers),
		.default_value = "1",
		.min = 1,
		.max = 256,
		.help = "Threads"},
	{.key = "snap_length",
		.type = WB_OPTION_UINT,
		.offset = offsetof(struct options, snap_length),
		.default_value = "99",
		.help = "Bytes kept"},
	{.key = "promiscuous",
		.type = WB_OPTION_BOOL,
		.offset = offsetof(struct options, promiscuous),
		.default_value = "true",
		.help = "All"},
	{.key = "to",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct options, to),
		.unit = "URL",
		.help = "Where to"},
	{.key = NULL},
};

static const struct wb_option_row top_rows[] = {
	{.key = "node", .type = WB_OPTION_STRING, .offset = offsetof(struct top, node), .help = "Name"},
	{.key = "require_bus",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct top, require_bus_ms),
		.help = "Insist"},
	{.key = NULL},
};

enum { ARG_CONFIG = 1, ARG_QUIET, ARG_LONG };

static const struct wb_arg args[] = {
	{.letter = 'c', .name = "config", .value = "FILE", .id = ARG_CONFIG, .help = "Read FILE"},
	{.letter = 'q', .id = ARG_QUIET, .help = "Say less"},
	{.name = "only-long", .id = ARG_LONG, .help = "Without a letter"},
	{.letter = 'i', .key = "interface", .value = "NAME"},
	{.letter = 'w', .key = "workers"},
	{.letter = 'P', .key = "promiscuous"},
	{.letter = 's', .name = "snaplen", .key = "snap_length"},
	{0},
};

static struct options options;
static struct top top;

static const struct wb_arg_rows tables[] = {{capture_rows, &options, "Capture"}, {top_rows, &top, "General"}, {0}};

static const struct wb_arg_command command = {
	.name = "wirebus run", .usage = "-i NAME --to URL", .about = "Publish packets.", .args = args, .rows = tables};
static const struct wb_arg_command operand_command = {
	.name = "wirebus schema", .usage = "print", .args = args + 7, .operands = true};

static char seen[1024]; /* "given=value " of each option */

static int parse(const struct wb_arg_command *which, char **argv, struct wb_error *error)
{
	struct wb_arg_match match;
	struct wb_args parser;
	size_t used = 0;
	int argc = 0, r;

	while (argv[argc])
		argc++;
	seen[0] = '\0';
	error->message[0] = '\0';
	wb_args_init(&parser, which, argc, argv);
	while ((r = wb_args_next(&parser, &match, error)) > 0)
		used += (size_t)snprintf(seen + used, sizeof(seen) - used, "%d:%s=%s ", match.id, match.given,
			match.value ? match.value : "(none)");
	return r;
}

#define ARGV(...) ((char *[]){(char *)"run", __VA_ARGS__, NULL})
#define A(text) ((char *)text)

static void accepts(char **argv, const char *expected)
{
	struct wb_error error;

	assert_int_equal(parse(&command, argv, &error), 0);
	assert_string_equal(seen, expected);
	assert_string_equal(error.message, "");
}

static void refuses(char **argv, const char *message)
{
	struct wb_error error;

	assert_int_equal(parse(&command, argv, &error), -EINVAL);
	assert_string_equal(error.message, message);
}

static int setup(void **state)
{
	return wb_options_init(capture_rows, &options) < 0 || wb_options_init(top_rows, &top) < 0;
}

static int teardown(void **state)
{
	wb_options_fini(capture_rows, &options);
	wb_options_fini(top_rows, &top);
	return 0;
}

static void test_values(void **state)
{
	accepts(ARGV(A("-i"), A("eth0"), A("-w4"), A("--snap-length=96"), A("--to"), A("kafka://b/t?a=b"),
			A("--node=n")),
		"0:-i=eth0 0:-w=4 0:--snap-length=96 0:--to=kafka://b/t?a=b 0:--node=n ");
	assert_string_equal(options.interface, "eth0");
	assert_int_equal(options.workers, 4);
	assert_int_equal(options.snap_length, 96);
	assert_string_equal(options.to, "kafka://b/t?a=b");
	assert_string_equal(top.node, "n");
}

static void test_other_ways(void **state)
{
	accepts(ARGV(A("--snaplen"), A("5"), A("--require-bus"), A("10s"), A("--snap_length=6")),
		"0:--snaplen=5 0:--require-bus=10s 0:--snap_length=6 ");
	assert_int_equal(options.snap_length, 6);
	assert_int_equal(top.require_bus_ms, 10000);
	/* A value may begin with a dash, and be empty. */
	accepts(ARGV(A("--to"), A("--node"), A("--node=")), "0:--to=--node 0:--node= ");
	assert_string_equal(options.to, "--node");
	assert_string_equal(top.node, "");
	accepts(ARGV(A("-c"), A("a"), A("--config=b"), A("-cc")), "1:-c=a 1:--config=b 1:-c=c ");
	accepts(ARGV(A("--only-long"), A("-q")), "3:--only-long=(none) 2:-q=(none) ");
}

static void test_bools(void **state)
{
	accepts(ARGV(A("--no-promiscuous")), "0:--no-promiscuous=false ");
	assert_false(options.promiscuous);
	accepts(ARGV(A("--promiscuous")), "0:--promiscuous=true ");
	assert_true(options.promiscuous);
	accepts(ARGV(A("--promiscuous=off")), "0:--promiscuous=off ");
	assert_false(options.promiscuous);
	accepts(ARGV(A("-P")), "0:-P=true ");
	assert_true(options.promiscuous);
}

static void test_letters_together(void **state)
{
	accepts(ARGV(A("-qPqw3")), "2:-q=(none) 0:-P=true 2:-q=(none) 0:-w=3 ");
	assert_int_equal(options.workers, 3);
	accepts(ARGV(A("-qw"), A("5")), "2:-q=(none) 0:-w=5 ");
	assert_int_equal(options.workers, 5);
	refuses(ARGV(A("-qx")), "wirebus run: unknown option '-x'; see --help");
}

static void test_match_names_the_row(void **state)
{
	char **argv = ARGV(A("--require-bus"), A("1s"));
	struct wb_arg_match match;
	struct wb_args parser;
	struct wb_error error;

	wb_args_init(&parser, &command, 3, argv);
	assert_int_equal(wb_args_next(&parser, &match, &error), 1);
	assert_int_equal(match.id, WB_ARG_ROW);
	assert_ptr_equal(match.row, &top_rows[1]);
	assert_int_equal(match.table, 1);
	assert_int_equal(wb_args_next(&parser, &match, &error), 0);
	assert_int_equal(wb_args_next(&parser, &match, &error), 0);
}

static void test_not_stored_without_options(void **state)
{
	static const struct wb_arg_rows only_rows[] = {{capture_rows, NULL, "Capture"}, {0}};
	const struct wb_arg_command returned = {.name = "x", .usage = "", .args = args, .rows = only_rows};
	struct wb_error error;

	assert_int_equal(parse(&returned, ARGV(A("--workers"), A("not looked at")), &error), 0);
	assert_string_equal(seen, "0:--workers=not looked at ");
	assert_int_equal(options.workers, 1);
}

static void test_operands(void **state)
{
	struct wb_error error;

	assert_int_equal(parse(&operand_command, ARGV(A("print"), A("-"), A("--"), A("--help"), A("--")), &error), 0);
	assert_string_equal(seen, "-2:=print -2:=- -2:=--help -2:=-- ");
	assert_int_equal(parse(&operand_command, ARGV(A("--")), &error), 0);
	assert_string_equal(seen, "");
	refuses(ARGV(A("eth0")), "wirebus run: unexpected argument 'eth0'; see --help");
	refuses(ARGV(A("--"), A("-q")), "wirebus run: unexpected argument '-q'; see --help");
}

static void test_refused(void **state)
{
	refuses(ARGV(A("--foo")), "wirebus run: unknown option '--foo'; see --help");
	refuses(ARGV(A("--ot"), A("x")), "wirebus run: unknown option '--ot'; did you mean '--to'?");
	refuses(ARGV(A("--snap-lenght=3")),
		"wirebus run: unknown option '--snap-lenght'; did you mean '--snap-length'?");
	refuses(ARGV(A("--confg")), "wirebus run: unknown option '--confg'; did you mean '--config'?");
	refuses(ARGV(A("--hlep")), "wirebus run: unknown option '--hlep'; did you mean '--help'?");
	refuses(ARGV(A("--no-workers")), "wirebus run: unknown option '--no-workers'; did you mean '--workers'?");
	refuses(ARGV(A("--=3")), "wirebus run: unknown option '--'; see --help");
	refuses(ARGV(A("-x")), "wirebus run: unknown option '-x'; see --help");
	refuses(ARGV(A("--to")), "wirebus run: option '--to' needs a value");
	refuses(ARGV(A("-w")), "wirebus run: option '-w' needs a value");
	refuses(ARGV(A("-c")), "wirebus run: option '-c' needs a value");
	refuses(ARGV(A("--only-long=1")), "wirebus run: option '--only-long' takes no value");
	refuses(ARGV(A("--no-promiscuous=1")), "wirebus run: option '--no-promiscuous' takes no value");
	refuses(ARGV(A("--help=1")), "wirebus run: option '--help' takes no value");
	refuses(ARGV(A("--promiscuous=maybe")), "wirebus run: --promiscuous: 'maybe' is not true or false");
	refuses(ARGV(A("-w"), A("0")), "wirebus run: -w: '0' is not a whole number from 1 to 256");
	refuses(ARGV(A("--workers=many")), "wirebus run: --workers: 'many' is not a whole number from 1 to 256");
	refuses(ARGV(A("-i"), A("0123456789abcdef")),
		"wirebus run: -i: '0123456789abcdef' is not a text from 0 to 15 bytes long");
}

static void test_endless_name(void **state)
{
	char name[300];
	struct wb_error error;

	memset(name, 'n', sizeof(name) - 1);
	name[0] = name[1] = '-';
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(parse(&command, ARGV(name), &error), -EINVAL);
	assert_memory_equal(error.message, "wirebus run: unknown option '--nnnnn", 36);
	/* What begins like an option, and goes on, is another. */
	assert_int_equal(parse(&command, ARGV(A("--workersandmore=1")), &error), -EINVAL);
}

static void test_help(void **state)
{
	static const char expected[] = "Usage: wirebus run -i NAME --to URL\n"
				       "\n"
				       "Publish packets.\n"
				       "\n"
				       "Options\n"
				       "  -c, --config FILE             Read FILE\n"
				       "  -q                            Say less\n"
				       "      --only-long               Without a letter\n"
				       "  -h, --help                    Show this\n"
				       "\n"
				       "Capture\n"
				       "  -i, --interface NAME          From where\n"
				       "  -w, --workers N               Threads [default 1; from 1 to 256]\n"
				       "  -s, --snaplen N               Bytes kept [default 99]\n"
				       "  -P, --[no-]promiscuous        All [default true]\n"
				       "      --to URL                  Where to\n"
				       "\n"
				       "General\n"
				       "      --node TEXT               Name\n"
				       "      --require-bus TIME        Insist\n";
	char *text = NULL;
	size_t length;
	FILE *stream = open_memstream(&text, &length);
	struct wb_error error;

	assert_non_null(stream);
	assert_int_equal(wb_args_help(&command, stream), 0);
	fclose(stream);
	assert_string_equal(text, expected);
	free(text);
	assert_int_equal(parse(&command, ARGV(A("-h"), A("--help")), &error), 0);
	assert_string_equal(seen, "-1:-h=(none) -1:--help=(none) ");
}

static void test_help_of_urls(void **state)
{
	static const struct wb_option_row url_rows[] = {
		{.key = "sndhwm", .type = WB_OPTION_UINT, .default_value = "64", .min = 1, .help = "Mark"},
		{.key = NULL},
	};
	static const struct wb_option_row none[] = {{.key = NULL}};
	char *text = NULL;
	size_t length;
	FILE *stream = open_memstream(&text, &length);

	assert_non_null(stream);
	wb_args_help_url("nothing", NULL, none, false, stream);
	wb_args_help_url("bus", NULL, url_rows, true, stream);
	wb_args_help_url("bus", "to send to", url_rows, false, stream);
	fclose(stream);
	assert_string_equal(text,
		"\nOptions of bus URLs, as ?key=value&key=value;\nproperties.NAME=value goes to the client library\n"
		"  sndhwm=N                      Mark [default 64; of at least 1]\n"
		"\nOptions of bus URLs to send to, as ?key=value&key=value\n"
		"  sndhwm=N                      Mark [default 64; of at least 1]\n");
	free(text);
}

static void test_help_on_a_full_disk(void **state)
{
	FILE *stream = fopen("/dev/full", "we");

	assert_non_null(stream);
	assert_int_equal(wb_args_help(&command, stream), -EIO);
	fclose(stream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bools, setup, teardown),
		cmocka_unit_test_setup_teardown(test_letters_together, setup, teardown),
		cmocka_unit_test_setup_teardown(test_match_names_the_row, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_stored_without_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_operands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless_name, setup, teardown),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_help_of_urls),
		cmocka_unit_test(test_help_on_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
