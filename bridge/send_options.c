/* SPDX-License-Identifier: Apache-2.0 */
#include "send_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "command.h"
#include "command_line.h"
#include "option.h"
#include "publisher_config.h"
#include "source_setup.h"

enum { ARG_FROM = 1 };

static const struct wb_arg args[] = {
	{.name = "from",
		.value = "FILE",
		.id = ARG_FROM,
		.help = "Send this pcap or pcapng file; - is standard input. Several are sent in the order of their "
			"packets' times"},
	WB_PACE_ARGS,
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
		.unit = "NAME",
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

static void take_match(void *context, const struct wb_arg_match *match)
{
	struct wb_send_options *options = context;

	if (match->id == ARG_FROM)
		options->paths[options->path_count++] = match->value;
}

/* Returns an exit code, or -1 to go on. */
static int parse_arguments(int argc, char **argv, struct wb_send_options *options)
{
	struct wb_publisher_rows publisher;
	const struct wb_arg_rows rows[] = {
		{wb_pace_option_rows, &options->pace_options, "Speed, one of these; without any: -t"},
		{option_rows, options, "Sending"},
		{publisher.process, &options->config, "Process"},
		{publisher.capture, options->capture_config, "Publishing"},
		{0},
	};
	const struct wb_arg_command command = {
		.name = "wirebus send",
		.usage = "--from FILE|- [--from FILE]... --to URL [-x FACTOR | -p RATE | -M RATE | -t]\n"
			 "       [--shift keep|now] [OPTION...]",
		.about = "Publish the packets of capture files on a bus, as run publishes what it captures.",
		.args = args,
		.rows = rows,
	};

	wb_publisher_rows_init(&publisher);
	return wb_command_line_take(&command, WB_URLS_SEND, argc, argv, take_match, options);
}

/* Returns an exit code, or -1 to go on. */
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
	if (wb_pace_options_choose(&options->pace_options, &options->pace, &error) < 0)
		return usage(error.message);
	for (size_t i = 0; options->config.ledger && i < options->path_count; i++)
		if (wb_source_setup_check_output(options->paths[i], options->config.ledger, &error) < 0)
			return usage(error.message);
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
		wb_options_init(wb_pace_option_rows, &options->pace_options) < 0 ||
		wb_publisher_config_init(&options->config, WB_SEND_INTERFACE, &options->capture_config) < 0)
		return no_memory();
	code = parse_arguments(argc, argv, options);
	return code < 0 ? check_arguments(options) : code;
}

void wb_send_options_fini(struct wb_send_options *options)
{
	free(options->paths);
	wb_options_fini(option_rows, options);
	wb_options_fini(wb_pace_option_rows, &options->pace_options);
	wb_config_fini(&options->config);
}
