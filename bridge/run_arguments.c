/* SPDX-License-Identifier: Apache-2.0 */
#include "run_arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "command.h"
#include "command_line.h"
#include "option.h"
#include "plugin.h"

#define MAX_ARGUMENTS 256

enum { ARG_CONFIG = 1 };

static const struct wb_arg args[] = {
	{.letter = 'c',
		.name = "config",
		.value = "FILE",
		.id = ARG_CONFIG,
		.help = "Read captures and settings from FILE"},
	{.letter = 'i', .key = "interface"},
	{.letter = 'f', .key = "filter"},
	{.letter = 'w', .key = "workers"},
	{.letter = 's', .value = "BYTES", .key = "snap_length"},
	{0},
};
static const struct wb_arg_rows rows[] = {
	{wb_config_rows, NULL, "Process"}, {wb_capture_config_rows, NULL, "Capture"}, {0}};
enum { TABLE_CONFIG = 0, TABLE_CAPTURE = 1 };
static const struct wb_arg_command command = {
	.name = "wirebus run",
	.usage = "-i INTERFACE --to URL [-f EXPRESSION] [-w N] [-s BYTES] [OPTION...]\n"
		 "       wirebus run -c FILE [OPTION...]",
	.about = "Capture packets from an interface and publish them in batches on a bus.",
	.args = args,
	.rows = rows,
};

static void report_config_error(void *context, const char *file, size_t line, size_t column, const char *message)
{
	if (line)
		fprintf(stderr, "%s:%zu:%zu: %s\n", file, line, column, message);
	else
		fprintf(stderr, "%s: %s\n", file, message);
}

/* What was given on the command line, in order: the configuration file is read before the rest is applied. */
struct given {
	struct wb_arg_match matches[MAX_ARGUMENTS];
	size_t count;
	const char *file;
	bool help;
};

static bool is_plugin(const struct wb_arg_match *match)
{
	return match->id == WB_ARG_ROW && match->table == TABLE_CONFIG && strcmp(match->row->key, "plugin") == 0;
}

static int collect(int argc, char **argv, struct given *given)
{
	struct wb_arg_match match;
	struct wb_error error;
	struct wb_args parser;
	int r;

	memset(given, 0, sizeof *given);
	wb_args_init(&parser, &command, argc, argv);
	while ((r = wb_args_next(&parser, &match, &error)) > 0) {
		if (match.id == WB_ARG_HELP) {
			given->help = true;
		} else if (match.id == ARG_CONFIG) {
			given->file = match.value;
		} else if (is_plugin(&match)) {
			/* At once: the file, other options and the help speak of its scheme. */
			r = wb_plugins_load(match.value, NULL, &error);
			if (r < 0) {
				fprintf(stderr, "wirebus run: %s\n", error.message);
				return WB_EXIT_USAGE;
			}
		} else if (given->count == MAX_ARGUMENTS) {
			fprintf(stderr, "wirebus run: more than %d options\n", MAX_ARGUMENTS);
			return WB_EXIT_USAGE;
		} else {
			given->matches[given->count++] = match;
		}
	}
	if (given->help)
		return wb_command_line_help(&command, WB_URLS_SEND);
	if (r < 0) {
		fprintf(stderr, "%s\n", error.message);
		return WB_EXIT_USAGE;
	}
	return -1;
}

static int apply(const struct given *given, struct wb_config *config)
{
	struct wb_capture_config *capture = NULL;
	struct wb_error error;

	if (!given->file && wb_config_add_capture(config, &capture) < 0) {
		fprintf(stderr, "wirebus run: out of memory\n");
		return WB_EXIT_FAILED;
	}
	for (size_t i = 0; i < given->count; i++) {
		const struct wb_arg_match *match = &given->matches[i];
		void *options = match->table == TABLE_CONFIG ? (void *)config : (void *)capture;

		if (!options) {
			fprintf(stderr,
				"wirebus run: option '%s' goes into '%s': with -c, captures are described there\n",
				match->given, given->file);
			return WB_EXIT_USAGE;
		}
		if (wb_option_set(match->row, options, match->value, &error) < 0) {
			fprintf(stderr, "wirebus run: %s\n", error.message);
			return WB_EXIT_USAGE;
		}
	}
	if (capture && !capture->interface) {
		fprintf(stderr, "wirebus run: no interface: use -i INTERFACE, or -c FILE\n");
		return WB_EXIT_USAGE;
	}
	if (capture && !capture->to) {
		fprintf(stderr, "wirebus run: no bus: use --to URL, for example --to zmq+pub://127.0.0.1:5555\n");
		return WB_EXIT_USAGE;
	}
	if (wb_config_check(config, &error) < 0) {
		fprintf(stderr, "wirebus run: %s\n", error.message);
		return WB_EXIT_USAGE;
	}
	return -1;
}

int wb_run_configure(int argc, char **argv, struct wb_config *config)
{
	struct given *given = malloc(sizeof *given);
	int code;

	if (!given || wb_config_init(config) < 0) {
		free(given);
		fprintf(stderr, "wirebus run: out of memory\n");
		return WB_EXIT_FAILED;
	}
	code = collect(argc, argv, given);
	if (code < 0 && given->file) {
		wb_config_fini(config);
		if (wb_config_load(given->file, config, report_config_error, NULL) < 0)
			code = WB_EXIT_USAGE;
	}
	if (code < 0)
		code = apply(given, config);
	free(given);
	return code;
}
