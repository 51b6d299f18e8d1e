/* SPDX-License-Identifier: Apache-2.0 */
#include "command_line.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "plugin.h"
#include "registry.h"
#include "replay_out.h"

static void print_sources(const char *purpose)
{
	for (size_t i = 0; wb_sources[i]; i++) {
		const struct wb_source_ops *ops = wb_sources[i];

		wb_args_help_url(ops->name, purpose, ops->rows, ops->takes_properties, stdout);
	}
}

static void print_transports(const char *purpose)
{
	const struct wb_transport_ops *ops;

	for (size_t i = 0; (ops = wb_transport_at(i)); i++)
		wb_args_help_url(ops->name, purpose, ops->rows, ops->takes_properties, stdout);
}

int wb_command_line_help(const struct wb_arg_command *command, unsigned int urls)
{
	bool both = (urls & WB_URLS_READ) && (urls & WB_URLS_SEND);

	if (wb_args_help(command, stdout) < 0)
		return WB_EXIT_FAILED;
	if (urls & WB_URLS_READ)
		print_sources(both ? "to read from" : NULL);
	if (urls & WB_URLS_INTERFACE)
		wb_args_help_url("interface", "to send to", wb_interface_option_rows, false, stdout);
	if (urls & WB_URLS_SEND)
		print_transports(both ? "to send to" : NULL);
	return fflush(stdout) || ferror(stdout) ? WB_EXIT_FAILED : WB_EXIT_OK;
}

static int take_plugin(const struct wb_arg_command *command, const char *value)
{
	struct wb_error error;

	if (wb_plugins_load(value, NULL, &error) == 0)
		return -1;
	fprintf(stderr, "%s: %s\n", command->name, error.message);
	return WB_EXIT_USAGE;
}

int wb_command_line_take(const struct wb_arg_command *command, unsigned int urls, int argc, char **argv,
	void (*take)(void *context, const struct wb_arg_match *match), void *context)
{
	struct wb_arg_match match;
	struct wb_error error;
	struct wb_args parser;
	bool wants_help = false;
	int code = -1, r;

	wb_args_init(&parser, command, argc, argv);
	while (code < 0 && (r = wb_args_next(&parser, &match, &error)) != 0) {
		if (r < 0) {
			fprintf(stderr, "%s\n", error.message);
			return WB_EXIT_USAGE;
		}
		wants_help = wants_help || match.id == WB_ARG_HELP;
		if (match.row && strcmp(match.row->key, "plugin") == 0)
			code = take_plugin(command, match.value);
		if (take)
			take(context, &match);
	}
	return code < 0 && wants_help ? wb_command_line_help(command, urls) : code;
}
