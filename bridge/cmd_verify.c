/* SPDX-License-Identifier: Apache-2.0 */
/* `wirebus verify`: what was received, what was lost and where, and whether the counters explain it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "audit.h"
#include "clock.h"
#include "command.h"
#include "command_line.h"
#include "log.h"
#include "option.h"
#include "source_setup.h"
#include "stopper.h"
#include "verify.h"

#define MAX_MESSAGE_BYTES ((size_t)256 * 1024 * 1024)
#define GRACE_S 10
#define LEDGER_SUFFIX ".ledger"

enum { ARG_NO_LOSS = 1 };
enum { OUTPUT_TEXT, OUTPUT_JSON }; /* as in the row's choices */

struct verify_options {
	char *from;
	char *ledger;
	unsigned int output;
	bool no_loss;
	uint64_t duration_ms;
	uint64_t wait_ms;
};

static const struct wb_option_row option_rows[] = {
	{.key = "from",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct verify_options, from),
		.min = 1,
		.unit = "URL|FILE",
		.help = "Where to read: kafka://HOST:PORT/TOPIC, zmq+sub://ADDRESS:PORT, zmq+pull://ADDRESS:PORT, "
			"file:///PATH of a folder, spool or file; or the name of a pcap or pcapng file, - for standard "
			"input"},
	{.key = "ledger",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct verify_options, ledger),
		.min = 1,
		.unit = "URL|FILE",
		.help = "Where the counters are when the messages are single packets; Kafka: the topic's name with "
			".ledger behind "
			"it is tried by itself"},
	{.key = "output",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct verify_options, output),
		.default_value = "text",
		.choices = "text|json",
		.help = "What to write to standard output"},
	{.key = "duration",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct verify_options, duration_ms),
		.default_value = "0",
		.max = UINT64_C(366) * 86400000,
		.help = "End after this time; 0: where the data ends, on ZeroMQ when every stream has ended"},
	{.key = "wait",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct verify_options, wait_ms),
		.default_value = "10s",
		.max = 86400000,
		.help = "Give up when the bus cannot be reached for so long"},
	{0},
};

static const struct wb_arg args[] = {
	{.name = "no-loss",
		.id = ARG_NO_LOSS,
		.help = "Exit with 1 for any loss, also for one that a counter explains, and for what is not covered"},
	{.letter = 'o', .key = "output"},
	{.letter = 'd', .key = "duration"},
	{0},
};

/* A source that is open. */
struct opened {
	struct wb_source_setup setup;
	struct wb_source *source;
};

/* Everything that the command opens. */
struct session {
	struct verify_options options;
	struct opened main, ledger;
	struct wb_stopper stopper;
	struct wb_verify verify;
	uint64_t until_ms;
};

static int usage(const char *text)
{
	fprintf(stderr, "wirebus verify: %s\n", text);
	return WB_EXIT_USAGE;
}

static int failed(const char *text)
{
	fprintf(stderr, "wirebus verify: %s\n", text);
	return WB_EXIT_FAILED;
}

/* -1: go on; otherwise the exit code. */
static int parse_arguments(int argc, char **argv, struct verify_options *options)
{
	const struct wb_arg_rows rows[] = {{option_rows, options, "Reading and judging"}, {0}};
	const struct wb_arg_command command = {
		.name = "wirebus verify",
		.usage = "--from URL|FILE [--ledger URL|FILE] [-o text|json] [--no-loss]\n"
			 "       [-d TIME] [--wait TIME]",
		.about = "State for each node and stream what was received, what was lost, and where.\n"
			 "Exit code: 0 all is there, or every loss is in a counter; 1 a loss that nothing explains, a "
			 "stream\n"
			 "without its end, packets still in a spool, and with --no-loss any loss; 2 wrong usage.",
		.args = args,
		.rows = rows,
	};
	struct wb_arg_match match;
	struct wb_error error;
	struct wb_args parser;
	int r;

	wb_args_init(&parser, &command, argc, argv);
	while ((r = wb_args_next(&parser, &match, &error)) > 0) {
		if (match.id == WB_ARG_HELP)
			return wb_command_line_help(&command, WB_URLS_READ);
		options->no_loss = options->no_loss || match.id == ARG_NO_LOSS;
	}
	if (r < 0) {
		fprintf(stderr, "%s\n", error.message);
		return WB_EXIT_USAGE;
	}
	if (!options->from)
		return usage("--from is missing: say where to read, for example --from kafka://localhost:9092/packets");
	return -1;
}

static void close_source(struct opened *opened)
{
	if (opened->source)
		opened->setup.ops->close(opened->source);
	opened->source = NULL;
	wb_source_setup_fini(&opened->setup);
}

/* 0, or a negative errno with a message. */
static int open_source(const struct session *session, const char *url, bool may_be_absent, struct opened *opened,
	struct wb_error *ret_error)
{
	const struct wb_source_args how = {
		.wait_ms = (unsigned int)session->options.wait_ms,
		.max_message_bytes = MAX_MESSAGE_BYTES,
		.may_be_absent = may_be_absent,
	};
	int r = wb_source_setup_init(url, &opened->setup, ret_error);

	return r == 0 ? wb_source_setup_open(&opened->setup, &how, &opened->source, ret_error) : r;
}

/* Read a source to its end. 0, or a negative errno with a message. */
static int read_source(
	struct session *session, const struct opened *opened, unsigned int channel, struct wb_error *ret_error)
{
	const struct wb_verify_args how = {
		.channel = channel,
		.until_ms = session->until_ms,
		.stop = &session->stopper.stop,
		.source_ops = opened->setup.ops,
		.source = opened->source,
		.until_ended = !opened->setup.ops->finite,
	};
	int r = wb_verify_read(&session->verify, &how);

	if (r < 0)
		*ret_error = session->verify.error;
	/* No other error than of usage may look like one. */
	return r == -EINVAL ? -EIO : r;
}

/*
 * Where the counters are, should the messages be single packets: of those maybe not one came, so the topic is looked
 * for beside any other. NULL: nowhere, or no memory. Ownership: free().
 */
static char *ledger_url(const struct session *session)
{
	const char *from = session->options.from, *query = strchrnul(from, '?');
	char *url;

	if (session->options.ledger)
		return strdup(session->options.ledger);
	if (strncmp(from, "kafka://", 8) != 0)
		return NULL;
	return asprintf(&url, "%.*s" LEDGER_SUFFIX "%s", (int)(query - from), from, query) < 0 ? NULL : url;
}

/*
 * What came while the ledger was read. The ledger tells of packets that were published before its own end, and they
 * are to be here.
 */
static int catch_up(struct session *session, struct wb_error *ret_error)
{
	const struct wb_source_ops *ops = session->main.setup.ops;

	if (!ops->extend || session->verify.end != WB_VERIFY_END_OF_DATA)
		return 0;
	ops->extend(session->main.source);
	return read_source(session, &session->main, 0, ret_error);
}

/* 0, or a negative errno with a message. A ledger that nobody named may be absent: then the streams have no end. */
static int read_ledger(struct session *session, struct wb_error *ret_error)
{
	char *url = ledger_url(session);
	const bool named = session->options.ledger, of_records = session->verify.records;
	const bool from_start = session->verify.from_start;
	const enum wb_verify_end end = session->verify.end;
	uint64_t before = session->verify.messages;
	int r;

	if (!url)
		return 0;
	r = open_source(session, url, !named && !of_records, &session->ledger, ret_error);
	free(url);
	if (r == 0)
		r = read_source(session, &session->ledger, 1, ret_error);
	if (r == 0)
		return session->verify.messages > before ? catch_up(session, ret_error) : 0;
	if (named)
		return r;
	if (of_records || session->verify.messages > before)
		wb_log(WB_LOG_WARNING, "the messages are single packets, and their counters cannot be read: %s",
			ret_error->message);
	/* What was said of the messages holds without it. */
	if (session->verify.messages == before) {
		session->verify.from_start = from_start;
		session->verify.end = end;
	}
	return 0;
}

static int print(const struct session *session, const struct wb_audit *audit)
{
	const struct wb_audit_about about = {
		.source = session->main.setup.url.text, /* without its secrets */
		.end = wb_verify_end_name(session->verify.end),
		.damaged = session->verify.damaged,
		.no_loss = session->options.no_loss,
	};
	struct wb_error error;

	if (session->options.output == OUTPUT_JSON)
		wb_audit_json(audit, &about, stdout);
	else
		wb_audit_text(audit, &about, stdout);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return WB_EXIT_OK;
	wb_fail(&error, -errno, "cannot write to standard output: %s", strerror(errno));
	return failed(error.message);
}

static int judge(const struct session *session)
{
	struct wb_audit audit;
	int code;

	if (wb_audit_make(&session->verify.streams, session->verify.from_start, &audit) < 0)
		return failed(strerror(ENOMEM));
	code = print(session, &audit);
	if (code == WB_EXIT_OK && wb_audit_failed(&audit, session->options.no_loss))
		code = WB_EXIT_FAILED;
	wb_audit_fini(&audit);
	return code;
}

static int run(struct session *session)
{
	struct wb_error error = {""};
	int r;

	if (session->options.duration_ms)
		session->until_ms = wb_monotonic_ms() + session->options.duration_ms;
	r = open_source(session, session->options.from, false, &session->main, &error);
	if (r == 0)
		r = read_source(session, &session->main, 0, &error);
	if (r == 0)
		r = read_ledger(session, &error);
	if (r == 0)
		return judge(session);
	if (r == -EINVAL)
		return usage(error.message);
	/* Who could not even begin has one line to read: what was wrong. */
	if (session->verify.messages)
		judge(session);
	return failed(error.message);
}

static int with_signals(struct session *session)
{
	struct wb_error error;
	int r, code;

	r = wb_stopper_init(&session->stopper, GRACE_S);
	if (r < 0) {
		wb_fail(&error, r, "cannot prepare for signals: %s", strerror(-r));
		return failed(error.message);
	}
	code = run(session);
	wb_stopper_fini(&session->stopper);
	return code;
}

int wb_cmd_verify(int argc, char **argv)
{
	struct session session = {0};
	int code;

	wb_verify_init(&session.verify);
	if (wb_options_init(option_rows, &session.options) < 0) {
		code = failed(strerror(ENOMEM));
		goto out;
	}
	code = parse_arguments(argc, argv, &session.options);
	if (code < 0)
		code = with_signals(&session);
out:
	close_source(&session.main);
	close_source(&session.ledger);
	wb_options_fini(option_rows, &session.options);
	wb_verify_fini(&session.verify);
	return code;
}
