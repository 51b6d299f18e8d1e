/* SPDX-License-Identifier: Apache-2.0 */
/* `wirebus cat`: packets from a bus or from files, as text, JSON lines or pcapng. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "cat.h"
#include "command.h"
#include "log.h"
#include "option.h"
#include "registry.h"
#include "source_setup.h"
#include "stopper.h"

#define OUTPUT_BUFFER_BYTES (1024u * 1024)
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
};

static const struct wb_option_row option_rows[] = {
	{.key = "from",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct cat_options, from),
		.min = 1,
		.help = "bus, directory or file to read from, as a URL"},
	{.key = "follow",
		.type = WB_OPTION_BOOL,
		.offset = offsetof(struct cat_options, follow),
		.default_value = "false",
		.help = "do not end where the data ends now, nor when every stream has ended"},
	{.key = "output",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct cat_options, output),
		.default_value = "text",
		.choices = "text|json|pcapng",
		.help = "what to write"},
	{.key = "write",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct cat_options, write),
		.min = 1,
		.help = "file to write to; - is standard output, which is the default"},
	{.key = "count",
		.type = WB_OPTION_UINT,
		.offset = offsetof(struct cat_options, count),
		.default_value = "0",
		.unit = "packets",
		.help = "end after so many packets; 0 is no limit"},
	{.key = "wait",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct cat_options, wait_ms),
		.default_value = "10s",
		.max = 86400000,
		.help = "give up when the bus cannot be reached for so long"},
	{.key = "summary",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct cat_options, summary),
		.min = 1,
		.help = "file to write the summary to, as JSON"},
	{0},
};

static const struct wb_arg args[] = {
	{.letter = 'o', .value = "FORMAT", .key = "output"},
	{.letter = 'w', .value = "FILE", .key = "write"},
	{.letter = 'c', .value = "COUNT", .key = "count"},
	{0},
};

/* Everything that the command opens. */
struct session {
	struct cat_options options;
	struct wb_source_setup setup;
	struct wb_source *source;
	const char *out_name;
	FILE *out;
	char *out_buffer;
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

static int failed(const char *text)
{
	fprintf(stderr, "wirebus cat: %s\n", text);
	return WB_EXIT_FAILED;
}

/* The command's options, and those of every source. */
static int help(const struct wb_arg_command *command)
{
	if (wb_args_help(command, stdout) < 0)
		return WB_EXIT_FAILED;
	for (size_t i = 0; wb_sources[i]; i++)
		wb_args_help_url(wb_sources[i]->name, wb_sources[i]->rows, wb_sources[i]->takes_properties, stdout);
	return fflush(stdout) || ferror(stdout) ? WB_EXIT_FAILED : WB_EXIT_OK;
}

/* -1: go on; otherwise the exit code. */
static int parse_arguments(int argc, char **argv, struct cat_options *options)
{
	const struct wb_arg_rows rows[] = {{option_rows, options, "Reading and writing"}, {0}};
	const struct wb_arg_command command = {
		.name = "wirebus cat",
		.usage = "--from URL [--follow] [-o text|json|pcapng] [-w FILE] [-c COUNT] [--wait TIME] [--summary "
			 "FILE]",
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
			return help(&command);
	if (r < 0) {
		fprintf(stderr, "%s\n", error.message);
		return WB_EXIT_USAGE;
	}
	if (!options->from)
		return usage(
			"--from URL is missing: say where to read, for example --from kafka://localhost:9092/packets");
	return -1;
}

static const char *output_name(const struct cat_options *options)
{
	static const char *const names[] = {"text", "json", "pcapng"}; /* as in the row's choices */

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
	};
	struct wb_error error = {""};
	int r = wb_source_setup_init(session->options.from, &session->setup, &error);

	if (r == 0)
		r = wb_source_setup_open(&session->setup, &source_args, &session->source, &error);
	if (r < 0)
		return r == -EINVAL ? usage(error.message) : failed(error.message);
	return -1;
}

/* A stream of its own even for standard output, so that its buffer can be freed before the process ends. */
static int open_stream(struct session *session)
{
	int fd;

	if (!to_stdout(&session->options)) {
		session->out_name = session->options.write;
		session->out = fopen(session->options.write, "we");
	} else {
		session->out_name = "standard output";
		fd = dup(STDOUT_FILENO);
		session->out = fd < 0 ? NULL : fdopen(fd, "w");
		if (!session->out && fd >= 0)
			close(fd);
	}
	if (!session->out)
		return -errno;
	session->out_buffer = malloc(OUTPUT_BUFFER_BYTES);
	if (!session->out_buffer)
		return -ENOMEM;
	setvbuf(session->out, session->out_buffer, _IOFBF, OUTPUT_BUFFER_BYTES);
	return 0;
}

static int open_output(struct session *session)
{
	struct wb_error error = {0};
	int r = open_stream(session);

	if (r == 0)
		r = session->sink_ops->open(session->out, &session->sink, &error);
	if (r < 0) {
		wb_fail(&error, r, "cannot write to %s: %s", session->out_name, strerror(-r));
		return failed(error.message);
	}
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
	FILE *out = session->out;
	struct wb_error error;

	session->out = NULL;
	if (!out || fclose(out) == 0 || session->cat.end == WB_CAT_END_READER_GONE ||
		session->cat.end == WB_CAT_END_FAILED)
		return 0;
	wb_fail(&error, -errno, "cannot write to %s: %s", session->out_name, strerror(errno));
	return failed(error.message);
}

static int run(struct session *session)
{
	const struct wb_cat_args cat_args = {
		.source_ops = session->setup.ops,
		.source = session->source,
		.sink_ops = session->sink_ops,
		.sink = session->sink,
		.out = session->out,
		.count = session->options.count,
		.until_ended = !session->setup.ops->finite && !session->options.follow,
		.stop = &session->stopper.stop,
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
	if (session->out)
		fclose(session->out);
	free(session->out_buffer);
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
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct wb_error error;
	int r, code;

	sigaction(SIGPIPE, &ignore, NULL); /* a reader that has gone is seen as EPIPE */
	r = wb_stopper_init(&session->stopper, GRACE_S);
	if (r < 0) {
		wb_fail(&error, r, "cannot prepare for signals: %s", strerror(-r));
		return failed(error.message);
	}
	code = run_session(session);
	wb_stopper_fini(&session->stopper);
	return code;
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
	if (code >= 0)
		goto out;
	session.sink_ops = wb_sink_find(output_name(&session.options));
	if (session.sink_ops == &wb_sink_pcapng && to_stdout(&session.options) && isatty(STDOUT_FILENO)) {
		code = usage("pcapng is not for a terminal: use -w FILE, or a pipe");
		goto out;
	}
	code = with_signals(&session);
out:
	free_session(&session);
	return code;
}
