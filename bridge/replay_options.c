/* SPDX-License-Identifier: Apache-2.0 */
#include "replay_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "clock.h"
#include "command.h"
#include "command_line.h"
#include "display_filter.h"
#include "log.h"
#include "option.h"
#include "publisher_config.h"
#include "replay_out.h"
#include "time_text.h"

#define MAX_MS (UINT64_C(8784) * 3600 * 1000) /* a leap year */
#define OPTION(member) .offset = offsetof(struct wb_replay_options, member)

static const struct wb_option_row option_rows[] = {
	{.key = "from",
		.type = WB_OPTION_STRING,
		OPTION(from),
		.min = 1,
		.unit = "URL|FILE",
		.help = "Where to read: kafka://HOST:PORT/TOPIC, zmq+sub://ADDRESS:PORT, zmq+pull://ADDRESS:PORT, "
			"file:///PATH of a folder, spool or file; or the name of a pcap or pcapng file, - for standard "
			"input"},
	{.key = "to",
		.type = WB_OPTION_STRING,
		OPTION(to),
		.min = 1,
		.unit = "URL|FILE",
		.help = "Where to send: an interface as iface://NAME, a bus as a URL, or a file (a path that ends in "
			".pcapng or .pcap; - is pcapng to standard output)"},
	{.key = "since",
		.type = WB_OPTION_STRING,
		OPTION(since),
		.min = 1,
		.unit = "TIME",
		.help = "Leave out packets before this time: 2026-11-30T14:05:09Z, 2026-11-30 14:05 (local time), "
			"seconds "
			"since 1970, \"10 minutes ago\", -10m"},
	{.key = "until",
		.type = WB_OPTION_STRING,
		OPTION(until),
		.min = 1,
		.unit = "TIME",
		.help = "Leave out packets at this time or later"},
	{.key = "sort",
		.type = WB_OPTION_BOOL,
		OPTION(sort),
		.default_value = "false",
		.help = "Read everything, then send it in the order of time, whatever came when"},
	{.key = "window",
		.type = WB_OPTION_DURATION,
		OPTION(window_ms),
		.default_value = "5s",
		.max = 86400000,
		.help = "How far apart in time messages may come and still be put in order; 0: packets come as they "
			"are "
			"read"},
	{.key = "filter",
		.type = WB_OPTION_STRING,
		OPTION(filter),
		.min = 1,
		.unit = "EXPRESSION",
		.help = "Replay only packets that match this tcpdump expression"},
	{.key = "follow",
		.type = WB_OPTION_BOOL,
		OPTION(follow),
		.default_value = "false",
		.help = "Do not end where the data ends now, nor when every stream has ended"},
	{.key = "wait",
		.type = WB_OPTION_DURATION,
		OPTION(wait_ms),
		.default_value = "10s",
		.max = 86400000,
		.help = "Give up when a bus cannot be reached, or ZeroMQ has no consumer, for so long at the start"},
	{.key = "summary",
		.type = WB_OPTION_STRING,
		OPTION(summary),
		.min = 1,
		.unit = "FILE",
		.help = "File to write the summary to at the end, as JSON"},
	{.key = "stats",
		.type = WB_OPTION_DURATION,
		OPTION(stats_ms),
		.default_value = "0",
		.max = 86400000,
		.help = "Print a line on standard error so often; 0: never"},
	{0},
};

static const struct wb_option_row time_rows[] = {
	{.key = "max_gap",
		.type = WB_OPTION_DURATION,
		OPTION(max_gap_ms),
		.default_value = "0",
		.max = MAX_MS,
		.help = "Cut longer gaps between the times captured to this; 0: cut none"},
	{.key = "loop",
		.type = WB_OPTION_UINT,
		OPTION(loop),
		.default_value = "1",
		.help = "Replay everything so many times; 0 is for ever. What fits into --buffer is read once, all "
			"else again"},
	{.key = "limit",
		.type = WB_OPTION_UINT,
		OPTION(limit),
		.default_value = "0",
		.unit = "packets",
		.help = "End after so many packets; 0 is no limit"},
	{.key = "duration",
		.type = WB_OPTION_DURATION,
		OPTION(duration_ms),
		.default_value = "0",
		.max = MAX_MS,
		.help = "End after so long; 0 is no limit. Counts from the first packet sent, and ends the wait for it "
			"if the source may go on for ever"},
	{.key = "buffer",
		.type = WB_OPTION_BYTES,
		OPTION(buffer_bytes),
		.default_value = "64MiB",
		.min = 1024 * 1024,
		.max = UINT64_C(1) << 40,
		.help = "Memory for packets that were read and are not due yet"},
	{.key = "lead",
		.type = WB_OPTION_DURATION,
		OPTION(lead_ms),
		.default_value = "1s",
		.max = 86400000,
		.help = "Read ahead so long, or until half of the buffer is used, before the first packet is sent"},
	{.key = "preload",
		.type = WB_OPTION_BOOL,
		OPTION(preload),
		.default_value = "false",
		.help = "Send nothing before everything was read, or the buffer is full, as with a source that goes on "
			"for ever, or as many packets are there as --limit says"},
	{0},
};

static const struct wb_arg args[] = {
	WB_PACE_ARGS,
	{.letter = 'l', .value = "COUNT", .key = "loop"},
	{.letter = 'L', .value = "COUNT", .key = "limit"},
	{.letter = 'f', .key = "filter"},
	{0},
};

static int usage(const char *text)
{
	fprintf(stderr, "wirebus replay: %s\n", text);
	return WB_EXIT_USAGE;
}

static int no_memory(void)
{
	fprintf(stderr, "wirebus replay: %s\n", strerror(ENOMEM));
	return WB_EXIT_FAILED;
}

/* Without the row of that name: replay has its own. */
static void leave_out(struct wb_option_row *rows, const char *key)
{
	while (rows->key && strcmp(rows->key, key) != 0)
		rows++;
	for (; rows->key; rows++)
		rows[0] = rows[1];
}

/* Returns an exit code, or -1 to go on. */
static int parse_arguments(int argc, char **argv, struct wb_replay_options *options)
{
	struct wb_publisher_rows publisher;
	const struct wb_arg_rows rows[] = {
		{option_rows, options, "Reading and writing"},
		{wb_pace_option_rows, &options->pace_options, "Speed, one of these; without any: -x 1, into a file -t"},
		{time_rows, options, "Timing and limits"},
		{publisher.process, &options->config, "Process"},
		{publisher.capture, options->capture_config, "Publishing, if --to is a bus"},
		{0},
	};
	const struct wb_arg_command command = {
		.name = "wirebus replay",
		.usage = "--from URL|FILE --to URL|FILE [-x FACTOR | -p RATE | -M RATE | -t]\n"
			 "       [-l COUNT] [-L COUNT] [--since TIME] [--until TIME] [-f EXPRESSION] [OPTION...]",
		.about = "Send captured packets again, at the times at which they were captured, or at a rate.",
		.args = args,
		.rows = rows,
	};

	wb_publisher_rows_init(&publisher);
	leave_out(publisher.process, "stats");
	leave_out(publisher.process, "ledger");
	leave_out(publisher.capture, "to");
	return wb_command_line_take(&command, WB_URLS_READ | WB_URLS_INTERFACE | WB_URLS_SEND, argc, argv, NULL, NULL);
}

static int choose_pace(struct wb_replay_options *options, struct wb_error *ret_error)
{
	options->pace = (struct wb_pace_args){
		.mode = wb_out_is_file(options->to) ? WB_PACE_TOPSPEED : WB_PACE_TIMES,
		.value = 1,
		.max_gap_ns = options->max_gap_ms * 1000000,
	};
	return wb_pace_options_choose(&options->pace_options, &options->pace, ret_error);
}

static int take_time(const char *name, const char *text, uint64_t now_ns, uint64_t *ret_ns, struct wb_error *ret_error)
{
	struct wb_error why;
	int r = text ? wb_time_parse(text, now_ns, ret_ns, &why) : 0;

	return r < 0 ? wb_fail(ret_error, r, "%s: %s", name, why.message) : 0;
}

static int take_times(struct wb_replay_options *options, struct wb_error *ret_error)
{
	uint64_t now_ns = wb_realtime_ns();
	int r = take_time("--since", options->since, now_ns, &options->since_ns, ret_error);

	if (r == 0)
		r = take_time("--until", options->until, now_ns, &options->until_ns, ret_error);
	/* Also a time before all: as 0 it would be no limit. */
	if (r == 0 && options->until && options->until_ns <= options->since_ns)
		r = wb_fail(ret_error, -EINVAL,
			"--until: '%.80s' is not after --since, which without that option is the beginning of 1970",
			options->until);
	return r;
}

static int check_filter(const struct wb_replay_options *options, struct wb_error *ret_error)
{
	struct wb_display_filter *filter = NULL;
	struct wb_error why;
	int r = options->filter ? wb_display_filter_create(options->filter, &filter, &why) : 0;

	wb_display_filter_destroy(filter);
	return r < 0 ? wb_fail(ret_error, r, "--%s", why.message) : 0;
}

static int check_bus(struct wb_replay_options *options, struct wb_error *ret_error)
{
	if (wb_out_is_file(options->to) || strncmp(options->to, "iface://", 8) == 0)
		return 0;
	if (!strchr(options->to, ':'))
		return wb_fail(ret_error, -EINVAL,
			"--to '%.200s': needs iface://NAME, the URL of a bus, or a file that ends in .pcapng or .pcap",
			options->to);
	options->capture_config->to = strdup(options->to);
	return options->capture_config->to ? wb_config_check(&options->config, ret_error) : -ENOMEM;
}

/* Returns an exit code, or -1 to go on. */
static int check_arguments(struct wb_replay_options *options)
{
	struct wb_error error;
	int r;

	if (!options->from)
		return usage("--from is missing: say where to read, for example --from kafka://localhost:9092/packets");
	if (!options->to)
		return usage("--to is missing: say where to send, for example --to iface://eth1");
	if (options->sort && options->follow)
		return usage("--sort sends when everything was read, which with --follow never is");
	r = choose_pace(options, &error);
	if (r == 0)
		r = take_times(options, &error);
	if (r == 0)
		r = check_filter(options, &error);
	if (r == 0)
		r = check_bus(options, &error);
	return r == -ENOMEM ? no_memory() : r < 0 ? usage(error.message) : -1;
}

int wb_replay_options_parse(struct wb_replay_options *options, int argc, char **argv)
{
	int code;

	*options = (struct wb_replay_options){0};
	if (wb_options_init(option_rows, options) < 0 || wb_options_init(time_rows, options) < 0 ||
		wb_options_init(wb_pace_option_rows, &options->pace_options) < 0 ||
		wb_publisher_config_init(&options->config, WB_REPLAY_INTERFACE, &options->capture_config) < 0)
		return no_memory();
	code = parse_arguments(argc, argv, options);
	return code < 0 ? check_arguments(options) : code;
}

void wb_replay_options_fini(struct wb_replay_options *options)
{
	wb_options_fini(option_rows, options);
	wb_options_fini(time_rows, options);
	wb_options_fini(wb_pace_option_rows, &options->pace_options);
	wb_config_fini(&options->config);
}
