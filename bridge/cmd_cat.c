/* SPDX-License-Identifier: Apache-2.0 */
/* `wirebus cat`: packets from a bus or from files, as text, JSON lines, pcap or pcapng. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "cat.h"
#include "clock.h"
#include "command.h"
#include "command_line.h"
#include "display_filter.h"
#include "log.h"
#include "option.h"
#include "signals.h"
#include "source_setup.h"
#include "stopper.h"
#include "time_text.h"

#define MAX_MESSAGE_BYTES ((size_t)256 * 1024 * 1024)
#define GRACE_S 10

struct cat_options {
	char *from;
	bool follow;
	unsigned int output;
	char *write;
	uint64_t count;
	uint64_t wait_ms;
	char *summary;
	char *since, *until;
	uint64_t until_margin_ms;
	char *offset;
	char *filter;
	bool sort;
	char *sort_dir;
	uint64_t window_ms;
	uint64_t memory_bytes;
};

static const struct wb_option_row option_rows[] = {
	{.key = "from",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct cat_options, from),
		.min = 1,
		.unit = "URL|FILE",
		.help = "Where to read: kafka://HOST:PORT/TOPIC, zmq+sub://ADDRESS:PORT, zmq+pull://ADDRESS:PORT, "
			"file:///PATH of a folder, spool or file; or the name of a pcap or pcapng file, - for standard "
			"input"},
	{.key = "follow",
		.type = WB_OPTION_BOOL,
		.offset = offsetof(struct cat_options, follow),
		.default_value = "false",
		.help = "Do not end where the data ends now, nor when every stream has ended"},
	{.key = "output",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct cat_options, output),
		.default_value = "text",
		.choices = "text|json|pcap|pcapng",
		.help = "What to write"},
	{.key = "write",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct cat_options, write),
		.min = 1,
		.unit = "FILE",
		.help = "File to write to; - is standard output, which is the default"},
	{.key = "count",
		.type = WB_OPTION_UINT,
		.offset = offsetof(struct cat_options, count),
		.default_value = "0",
		.unit = "packets",
		.help = "End after so many packets; 0 is no limit"},
	{.key = "since",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct cat_options, since),
		.min = 1,
		.unit = "TIME",
		.help = "Leave out packets before this time: 2026-11-30T14:05:09Z, 2026-11-30 14:05 (local time), "
			"seconds "
			"since 1970, \"10 minutes ago\", -10m"},
	{.key = "until",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct cat_options, until),
		.min = 1,
		.unit = "TIME",
		.help = "Leave out packets at this time or later"},
	{.key = "until_margin",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct cat_options, until_margin_ms),
		.default_value = "0",
		.max = UINT64_C(8784) * 3600 * 1000,
		.help = "Read a partition no further than a message so much later than --until; what was written "
			"behind "
			"it, as a spool that drains late does, is not found. 0: read it all"},
	{.key = "offset",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct cat_options, offset),
		.min = 1,
		.unit = "OFFSET",
		.help = "Where to begin in each partition: earliest, latest, a number, -N for N before the end, or "
			"PARTITION:OFFSET,..."},
	{.key = "filter",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct cat_options, filter),
		.min = 1,
		.unit = "EXPRESSION",
		.help = "Leave out packets that do not match this tcpdump expression, see pcap-filter(7)"},
	{.key = "window",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct cat_options, window_ms),
		.default_value = "5s",
		.max = 86400000,
		.help = "How far apart in time messages may come and still be put in order; 0: packets come as they "
			"are "
			"read"},
	{.key = "memory",
		.type = WB_OPTION_BYTES,
		.offset = offsetof(struct cat_options, memory_bytes),
		.default_value = "256MiB",
		.min = 1048576,
		.help = "Memory for packets that are held to be put in order"},
	{.key = "sort",
		.type = WB_OPTION_BOOL,
		.offset = offsetof(struct cat_options, sort),
		.default_value = "false",
		.help = "Read everything, then write it in the order of time, whatever came when"},
	{.key = "sort_dir",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct cat_options, sort_dir),
		.min = 1,
		.unit = "DIRECTORY",
		.help = "Directory for what --sort does not keep in memory; the default is $TMPDIR, or /tmp"},
	{.key = "wait",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct cat_options, wait_ms),
		.default_value = "10s",
		.max = 86400000,
		.help = "Give up when the bus cannot be reached for so long"},
	{.key = "summary",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct cat_options, summary),
		.min = 1,
		.unit = "FILE",
		.help = "File to write the summary to at the end, as JSON"},
	{0},
};

static const struct wb_arg args[] = {
	{.letter = 'o', .key = "output"},
	{.letter = 'w', .key = "write"},
	{.letter = 'c', .value = "COUNT", .key = "count"},
	{.letter = 'f', .key = "filter"},
	{0},
};

/* Everything that the command opens. */
struct session {
	struct cat_options options;
	uint64_t since_ns, until_ns; /* until: 0 is no limit */
	struct wb_source_setup setup;
	struct wb_source *source;
	struct wb_output out;
	const struct wb_sink_ops *sink_ops;
	struct wb_sink *sink;
	struct wb_stopper stopper;
	struct wb_cat cat;
};

static int usage(const char *text)
{
	fprintf(stderr, "wirebus cat: %s\n", text);
	return WB_EXIT_USAGE;
}

static int usage_of(const char *option, const char *text)
{
	fprintf(stderr, "wirebus cat: %s: %s\n", option, text);
	return WB_EXIT_USAGE;
}

static int failed(const char *text)
{
	fprintf(stderr, "wirebus cat: %s\n", text);
	return WB_EXIT_FAILED;
}

/* -1: go on; otherwise the exit code. */
static int parse_arguments(int argc, char **argv, struct cat_options *options)
{
	const struct wb_arg_rows rows[] = {{option_rows, options, "Reading and writing"}, {0}};
	const struct wb_arg_command command = {
		.name = "wirebus cat",
		.usage = "--from URL|FILE [-f EXPRESSION] [--since TIME] [--until TIME] [--follow] [-c COUNT]\n"
			 "       [-o text|json|pcap|pcapng] [-w FILE] [--sort] [--summary FILE]",
		.about = "Print packets from a bus or from files, and what of them is missing.",
		.args = args,
		.rows = rows,
	};
	struct wb_arg_match match;
	struct wb_error error;
	struct wb_args parser;
	int r;

	wb_args_init(&parser, &command, argc, argv);
	while ((r = wb_args_next(&parser, &match, &error)) > 0)
		if (match.id == WB_ARG_HELP)
			return wb_command_line_help(&command, WB_URLS_READ);
	if (r < 0) {
		fprintf(stderr, "%s\n", error.message);
		return WB_EXIT_USAGE;
	}
	if (!options->from)
		return usage("--from is missing: say where to read, for example --from kafka://localhost:9092/packets");
	return -1;
}

/* -1: go on; otherwise the exit code. */
static int check_options(struct session *session)
{
	const struct cat_options *options = &session->options;
	uint64_t now_ns = wb_realtime_ns();
	struct wb_error error;

	if (options->since && wb_time_parse(options->since, now_ns, &session->since_ns, &error) < 0)
		return usage_of("--since", error.message);
	if (options->until && wb_time_parse(options->until, now_ns, &session->until_ns, &error) < 0)
		return usage_of("--until", error.message);
	if (options->until && session->until_ns <= session->since_ns)
		return usage("--until must be later than --since, so nothing can be in between");
	if (options->until_margin_ms && !options->until)
		return usage("--until-margin says something about --until, which is not given");
	if (options->sort && options->follow)
		return usage("--sort writes when everything was read, which with --follow never is");
	if (options->filter && wb_display_filter_check(options->filter, &error) < 0)
		return usage(error.message);
	if (options->sort_dir && !options->sort)
		return usage("--sort-dir says something about --sort, which is not given");
	return -1;
}

static const char *output_name(const struct cat_options *options)
{
	static const char *const names[] = {"text", "json", "pcap", "pcapng"}; /* as in the row's choices */

	return names[options->output];
}

static bool to_stdout(const struct cat_options *options)
{
	return !options->write || strcmp(options->write, "-") == 0;
}

/* -1: go on; otherwise the exit code. */
static int open_source(struct session *session)
{
	const struct wb_source_args source_args = {
		.follow = session->options.follow,
		.wait_ms = (unsigned int)session->options.wait_ms,
		.max_message_bytes = MAX_MESSAGE_BYTES,
		.since_ns = session->since_ns,
		.stop_ns = session->options.until_margin_ms
	                           ? wb_time_later(session->until_ns, session->options.until_margin_ms * 1000000)
	                           : 0,
		.offset = session->options.offset,
	};
	struct wb_error error = {""};
	int r = wb_source_setup_init(session->options.from, &session->setup, &error);

	if (r == 0)
		r = wb_source_setup_open(&session->setup, &source_args, &session->source, &error);
	if (r < 0)
		return r == -EINVAL ? usage(error.message) : failed(error.message);
	return -1;
}

static int open_output(struct session *session)
{
	const char *summary = session->options.summary;
	struct wb_error error = {0};
	int r = wb_source_setup_check_output(session->options.from, session->options.write, &error);

	if (r == 0 && summary)
		r = wb_source_setup_check_output(session->options.from, summary, &error);
	if (r < 0)
		return usage(error.message);
	r = wb_output_open(session->options.write, &session->out);
	if (r == 0)
		r = session->sink_ops->open(session->out.stream, &session->sink, &error);
	if (r < 0) {
		wb_fail(&error, r, "cannot write to %s: %s",
			to_stdout(&session->options) ? "standard output" : session->options.write, strerror(-r));
		return failed(error.message);
	}
	if (summary && wb_output_is_same(session->options.write, summary))
		return usage_of("--summary", "the packets are written to that file: name another one");
	return -1;
}

/* 0 or an exit code. */
static int write_summary(const struct session *session)
{
	const char *path = session->options.summary;
	struct wb_error error;
	FILE *file;
	int bad;

	wb_cat_summary_text(&session->cat, stderr);
	if (!path)
		return 0;
	file = fopen(path, "we");
	if (file) {
		wb_cat_summary_json(&session->cat, file);
		bad = ferror(file);
		if (fclose(file) == 0 && !bad)
			return 0;
	}
	wb_fail(&error, -errno, "cannot write the summary to %s: %s", path, strerror(errno));
	return failed(error.message);
}

static int close_output(struct session *session)
{
	int r = wb_output_close(&session->out);
	struct wb_error error;

	if (r == 0 || session->cat.end == WB_CAT_END_READER_GONE || session->cat.end == WB_CAT_END_FAILED)
		return 0;
	wb_fail(&error, r, "cannot write to %s: %s", session->out.name, strerror(-r));
	return failed(error.message);
}

static enum wb_cat_order order_of(const struct cat_options *options)
{
	if (options->sort)
		return WB_CAT_SORTED;
	return options->window_ms ? WB_CAT_MERGED : WB_CAT_AS_READ;
}

static int run(struct session *session)
{
	const struct wb_cat_args cat_args = {
		.source_ops = session->setup.ops,
		.source = session->source,
		.sink_ops = session->sink_ops,
		.sink = session->sink,
		.out = &session->out,
		.count = session->options.count,
		.until_ended = !session->setup.ops->finite && !session->options.follow,
		.stop = &session->stopper.stop,
		.since_ns = session->since_ns,
		.until_ns = session->until_ns,
		.filter = session->options.filter,
		.order = order_of(&session->options),
		.window_ns = session->options.window_ms * 1000000,
		.hold_bytes = session->options.memory_bytes,
		.sort_dir = session->options.sort_dir,
		.progress = isatty(STDERR_FILENO) && !(to_stdout(&session->options) && isatty(STDOUT_FILENO)),
	};
	int code = WB_EXIT_OK, closed, summarized;

	if (wb_cat_run(&session->cat, &cat_args) < 0)
		code = failed(session->cat.error.message);
	closed = close_output(session);
	/* Who could not even begin has one line to read: what was wrong. */
	summarized = code && !session->cat.messages && !session->options.summary ? 0 : write_summary(session);
	return code ? code : closed ? closed : summarized;
}

static void free_session(struct session *session)
{
	if (session->source)
		session->setup.ops->close(session->source);
	if (session->sink)
		session->sink_ops->close(session->sink);
	wb_output_close(&session->out);
	wb_source_setup_fini(&session->setup);
	wb_options_fini(option_rows, &session->options);
	wb_cat_fini(&session->cat);
}

static int run_session(struct session *session)
{
	int code = open_source(session);

	if (code < 0)
		code = open_output(session);
	return code < 0 ? run(session) : code;
}

static int with_signals(struct session *session)
{
	struct wb_error error;
	int r, code;

	wb_signals_ignore_pipe();
	r = wb_stopper_init(&session->stopper, GRACE_S);
	if (r < 0) {
		wb_fail(&error, r, "cannot prepare for signals: %s", strerror(-r));
		return failed(error.message);
	}
	code = run_session(session);
	wb_stopper_fini(&session->stopper);
	return code;
}

/* -1: go on; otherwise the exit code. */
static int check_terminal(const struct session *session)
{
	bool is_binary = session->sink_ops == &wb_sink_pcap || session->sink_ops == &wb_sink_pcapng;

	if (!is_binary || !to_stdout(&session->options) || !isatty(STDOUT_FILENO))
		return -1;
	return usage("pcap and pcapng are not for a terminal: use -w FILE, or a pipe");
}

int wb_cmd_cat(int argc, char **argv)
{
	struct session session = {0};
	int code;

	wb_cat_init(&session.cat);
	if (wb_options_init(option_rows, &session.options) < 0) {
		code = failed(strerror(ENOMEM));
		goto out;
	}
	code = parse_arguments(argc, argv, &session.options);
	if (code < 0)
		code = check_options(&session);
	if (code >= 0)
		goto out;
	session.sink_ops = wb_sink_find(output_name(&session.options));
	code = check_terminal(&session);
	if (code >= 0)
		goto out;
	code = with_signals(&session);
out:
	free_session(&session);
	return code;
}
