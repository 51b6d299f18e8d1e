/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "args.h"
#include "command.h"
#include "config.h"
#include "plugin.h"

enum { ARG_CONFIG = 1, ARG_PLUGIN = 2 };

static const struct wb_arg args[] = {
	{.letter = 'c', .name = "config", .value = "FILE", .id = ARG_CONFIG, .help = "The configuration to check"},
	{.name = "plugin",
		.value = "FILE",
		.id = ARG_PLUGIN,
		.help = "Load a transport, or several separated by ',', as 'wirebus run --plugin' would"},
	{0},
};

static const struct wb_arg_command command = {
	.name = "wirebus check",
	.usage = "-c FILE [--plugin FILE]...",
	.about = "Check a configuration file as 'wirebus run' would, without opening an interface or a bus.\n"
		 "Exit code: 0 when it is right, 2 when it is not.",
	.args = args,
};

/* file:line:column: message */
static void print_report(void *context, const char *file, size_t line, size_t column, const char *message)
{
	if (line)
		fprintf(stderr, "%s:%zu:%zu: %s\n", file, line, column, message);
	else
		fprintf(stderr, "%s: %s\n", file, message);
}

static int check_file(const char *path)
{
	struct wb_config config;
	uint64_t workers = 0;

	if (wb_config_load(path, &config, print_report, NULL) < 0)
		return WB_EXIT_USAGE;
	for (size_t i = 0; i < config.capture_count; i++)
		workers += config.captures[i].workers;
	printf("%s: ok (%zu capture%s, %" PRIu64 " worker%s)\n", path, config.capture_count,
		config.capture_count == 1 ? "" : "s", workers, workers == 1 ? "" : "s");
	wb_config_fini(&config);
	return fflush(stdout) == 0 ? WB_EXIT_OK : WB_EXIT_FAILED;
}

int wb_cmd_check(int argc, char **argv)
{
	const char *path = NULL;
	struct wb_args parser;
	struct wb_arg_match match;
	struct wb_error error;
	int r;

	wb_args_init(&parser, &command, argc, argv);
	while ((r = wb_args_next(&parser, &match, &error)) > 0) {
		if (match.id == WB_ARG_HELP)
			return wb_args_help(&command, stdout) < 0 ? WB_EXIT_FAILED : WB_EXIT_OK;
		if (match.id == ARG_CONFIG) {
			path = match.value;
		} else if (wb_plugins_load(match.value, NULL, &error) < 0) {
			fprintf(stderr, "%s: %s\n", command.name, error.message);
			return WB_EXIT_USAGE;
		}
	}
	if (r < 0) {
		fprintf(stderr, "%s\n", error.message);
		return WB_EXIT_USAGE;
	}
	if (!path) {
		fprintf(stderr, "%s: option '-c' is missing; it names the file to check\n", command.name);
		return WB_EXIT_USAGE;
	}
	return check_file(path);
}
