/* SPDX-License-Identifier: Apache-2.0 */
#include "send_options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "command.h"
#include "option.h"
#include "plugin.h"
#include "publisher_config.h"
#include "registry.h"

enum { ARG_FROM = 1, ARG_MULTIPLIER, ARG_PPS, ARG_MBPS, ARG_TOPSPEED };
enum { TABLE_SEND = 0, TABLE_PROCESS, TABLE_CAPTURE };

static const struct wb_arg args[] = {
	{.name = "from",
		.value = "FILE",
		.id = ARG_FROM,
		.help = "Send this pcap or pcapng file; - is standard input. Several are sent in the order of their "
			"packets' times"},
	{.letter = 'x',
		.name = "multiplier",
		.value = "X",
		.id = ARG_MULTIPLIER,
		.help = "Send X times as fast as the packets were captured; 1 is the original timing"},
	{.letter = 'p', .name = "pps", .value = "N", .id = ARG_PPS, .help = "Send N packets a second"},
	{.letter = 'M',
		.name = "mbps",
		.value = "N",
		.id = ARG_MBPS,
		.help = "Send N Mbit a second, of the packets as they were on the wire"},
	{.letter = 't',
		.name = "topspeed",
		.id = ARG_TOPSPEED,
		.help = "Send as fast as the bus takes them, which is the default"},
	{.letter = 'c', .value = "COUNT", .key = "count"},
	{0},
};

#define OPTION(member) .offset = offsetof(struct wb_send_options, member)

static const struct wb_option_row option_rows[] = {
	{.key = "shift",
		.type = WB_OPTION_CHOICE,
		OPTION(shift),
		.default_value = "keep",
		.choices = "keep|now",
		.help = "Times of the packets: keep them, or move them all so that the first is of now"},
	{.key = "interface",
		.type = WB_OPTION_STRING,
		OPTION(interface),
		.min = 1,
		.max = 15,
		.help = "Name of interfaces that have none in their file, as all of pcap; also {interface} in a "
			"topic's "
			"name, and in keys of kind interface, where it is '" WB_SEND_INTERFACE "' otherwise"},
	{.key = "follow",
		.type = WB_OPTION_BOOL,
		OPTION(follow),
		.default_value = "false",
		.help = "At the end of the files wait for more, until interrupted"},
	{.key = "count",
		.type = WB_OPTION_UINT,
		OPTION(count),
		.default_value = "0",
		.unit = "packets",
		.help = "End after so many packets; 0 is no limit"},
	{.key = "wait",
		.type = WB_OPTION_DURATION,
		OPTION(wait_ms),
		.default_value = "10s",
		.max = 86400000,
		.help = "End with exit code 1 when the bus does not answer, or ZeroMQ has no consumer, for so long at "
			"the start; 0: wait for ever"},
	{.key = NULL},
};

static int usage(const char *text)
{
	fprintf(stderr, "wirebus send: %s\n", text);
	return WB_EXIT_USAGE;
}

static int no_memory(void)
{
	fprintf(stderr, "wirebus send: %s\n", strerror(ENOMEM));
	return WB_EXIT_FAILED;
}

/* Functions return an exit code, or -1 to go on. */

static int help(const struct wb_arg_command *command)
{
	const struct wb_transport_ops *ops;

	if (wb_args_help(command, stdout) < 0)
		return WB_EXIT_FAILED;
	for (size_t i = 0; (ops = wb_transport_at(i)); i++)
		wb_args_help_url(ops->name, ops->rows, ops->takes_properties, stdout);
	return fflush(stdout) || ferror(stdout) ? WB_EXIT_FAILED : WB_EXIT_OK;
}

static int take_pace(struct wb_send_options *options, enum wb_pace_mode mode, const struct wb_arg_match *match)
{
	char *end = NULL;
	double value = match->value ? strtod(match->value, &end) : 1;

	if (match->value && (end == match->value || *end || !(value > 0) || !isfinite(value))) {
		fprintf(stderr, "wirebus send: option '%s': '%.80s' is not a number above 0\n", match->given,
			match->value);
		return WB_EXIT_USAGE;
	}
	options->pace = (struct wb_pace_args){.mode = mode, .value = value};
	return -1;
}

static int take_plugin(const char *value)
{
	struct wb_error error;

	/* At once: URLs and the help speak of its scheme. */
	return wb_plugins_load(value, NULL, &error) < 0 ? usage(error.message) : -1;
}

static int take_match(struct wb_send_options *options, const struct wb_arg_match *match)
{
	switch (match->id) {
	case ARG_FROM:
		options->paths[options->path_count++] = match->value;
		return -1;
	case ARG_MULTIPLIER:
		return take_pace(options, WB_PACE_TIMES, match);
	case ARG_PPS:
		return take_pace(options, WB_PACE_PPS, match);
	case ARG_MBPS:
		return take_pace(options, WB_PACE_MBPS, match);
	case ARG_TOPSPEED:
		return take_pace(options, WB_PACE_TOPSPEED, match);
	default:
		if (match->row && strcmp(match->row->key, "plugin") == 0)
			return take_plugin(match->value);
		return -1;
	}
}

static int parse_arguments(int argc, char **argv, struct wb_send_options *options)
{
	struct wb_publisher_rows publisher;
	const struct wb_arg_rows rows[] = {
		[TABLE_SEND] = {option_rows, options, "Sending"},
		[TABLE_PROCESS] = {publisher.process, &options->config, "Process"},
		[TABLE_CAPTURE] = {publisher.capture, options->capture_config, "Publishing"},
		{0},
	};
	const struct wb_arg_command command = {
		.name = "wirebus send",
		.usage = "--from FILE|- [--from FILE]... --to URL [-x X | -p N | -M N | -t] [--shift keep|now] "
			 "[OPTION...]",
		.about = "Publish the packets of capture files on a bus, as run publishes what it captures.",
		.args = args,
		.rows = rows,
	};
	struct wb_arg_match match;
	struct wb_error error;
	struct wb_args parser;
	bool wants_help = false;
	int code = -1, r;

	wb_publisher_rows_init(&publisher);
	wb_args_init(&parser, &command, argc, argv);
	while (code < 0 && (r = wb_args_next(&parser, &match, &error)) != 0) {
		if (r < 0) {
			fprintf(stderr, "%s\n", error.message);
			return WB_EXIT_USAGE;
		}
		wants_help = wants_help || match.id == WB_ARG_HELP;
		code = take_match(options, &match);
	}
	return code < 0 && wants_help ? help(&command) : code;
}

static int check_arguments(struct wb_send_options *options)
{
	size_t standard_inputs = 0;
	struct wb_error error;

	for (size_t i = 0; i < options->path_count; i++)
		standard_inputs += strcmp(options->paths[i], "-") == 0;
	if (options->path_count == 0)
		return usage("no file: use --from FILE, or --from - for standard input");
	if (standard_inputs > 1)
		return usage("--from -: standard input can be read only once");
	if (!options->capture_config->to)
		return usage("no bus: use --to URL, for example --to kafka://localhost:9092/packets");
	if (options->interface) {
		free(options->capture_config->interface);
		options->capture_config->interface = strdup(options->interface);
		if (!options->capture_config->interface)
			return no_memory();
	}
	return wb_config_check(&options->config, &error) < 0 ? usage(error.message) : -1;
}

int wb_send_options_parse(struct wb_send_options *options, int argc, char **argv)
{
	int code;

	*options = (struct wb_send_options){.pace = {.mode = WB_PACE_TOPSPEED}};
	options->paths = calloc((size_t)argc, sizeof *options->paths);
	if (!options->paths || wb_options_init(option_rows, options) < 0 ||
		wb_publisher_config_init(&options->config, WB_SEND_INTERFACE, &options->capture_config) < 0)
		return no_memory();
	code = parse_arguments(argc, argv, options);
	return code < 0 ? check_arguments(options) : code;
}

void wb_send_options_fini(struct wb_send_options *options)
{
	free(options->paths);
	wb_options_fini(option_rows, options);
	wb_config_fini(&options->config);
}
