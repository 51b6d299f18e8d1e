/* SPDX-License-Identifier: Apache-2.0 */
/* `wirebus replay`: packets from a bus or from files onto an interface, another bus, or into a file, in their time. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "log.h"
#include "option.h"
#include "output.h"
#include "privileges.h"
#include "replay.h"
#include "replay_options.h"
#include "replay_source.h"
#include "signals.h"
#include "stopper.h"
#include "url.h"

#define GRACE_S 10

/* Everything that the command opens. */
struct session {
	struct wb_replay_options options;
	struct wb_replay_source source;
	FILE *summary; /* NULL: none, or done */
	struct wb_out *out;
	struct wb_tally tally;
	struct wb_stopper stopper;
	struct wb_replay replay;
};

static int usage(const char *text)
{
	fprintf(stderr, "wirebus replay: %s\n", text);
	return WB_EXIT_USAGE;
}

static int failed(const char *text)
{
	fprintf(stderr, "wirebus replay: %s\n", text);
	return WB_EXIT_FAILED;
}

/* -1: go on; otherwise the exit code. */
static int check(int r, const struct wb_error *error)
{
	return r == 0 ? -1 : r == -EINVAL ? usage(error->message) : failed(error->message);
}

static int open_interface(struct session *session, const struct wb_url *url, struct wb_error *ret_error)
{
	struct wb_interface_options options;
	struct wb_property *properties = NULL;
	size_t property_count = 0;
	int r = wb_options_init(wb_interface_option_rows, &options);

	if (r == 0)
		r = wb_url_options(url, wb_interface_option_rows, &options, &properties, &property_count, ret_error);
	if (r == 0 && property_count)
		r = wb_fail(ret_error, -EINVAL, "%s: an interface has no properties", url->text);
	wb_properties_free(properties, property_count);
	return r < 0 ? r
	             : wb_out_interface_open(url->address, &options, &session->tally, &session->stopper.stop,
			       &session->out, ret_error);
}

static bool is_to_interface(const struct session *session)
{
	return strncmp(session->options.to, "iface://", 8) == 0;
}

static int open_url(struct session *session, struct wb_error *ret_error)
{
	struct wb_url url;
	int r = wb_url_parse(session->options.to, &url, ret_error);

	if (r < 0)
		return r;
	r = open_interface(session, &url, ret_error);
	wb_url_fini(&url);
	return r;
}

/* Not emptied: the summary of an earlier run stays until there is another. NULL: errno says why. */
static FILE *open_summary(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");

	if (!stream && fd >= 0)
		close(fd);
	return stream;
}

/* All that needs the rights the program was started with. */
static int open_files(struct session *session, struct wb_error *ret_error)
{
	const char *path = session->options.summary;
	const char *to = session->options.to;
	int r = path ? wb_source_setup_check_output(session->options.from, path, ret_error) : 0;

	if (r < 0)
		return r;
	if (path) {
		session->summary = open_summary(path);
		if (!session->summary)
			return wb_fail(ret_error, -EIO, "cannot write the summary to %s: %s", path, strerror(errno));
	}
	if (!wb_out_is_file(to))
		return is_to_interface(session) ? open_url(session, ret_error) : 0;
	r = wb_source_setup_check_output(session->options.from, to, ret_error);
	if (r < 0)
		return r;
	if (path && wb_output_is_same(to, path))
		return wb_fail(ret_error, -EINVAL, "--summary: the packets are written to %s: name another file", path);
	return wb_out_file_open(to, &session->tally, &session->stopper.stop, &session->out, ret_error);
}

static int open_bus(struct session *session, struct wb_error *ret_error)
{
	const struct wb_config *config = &session->options.config;
	struct wb_url url;
	int r = wb_url_parse(session->options.to, &url, ret_error);

	if (r < 0)
		return r;
	wb_url_fini(&url);
	/* Who waits for the bus is told when it does not answer. */
	if (session->options.wait_ms && config->log_level < WB_LOG_DEBUG)
		wb_log_set_level(WB_LOG_ERROR);
	r = wb_out_bus_open(
		config, session->options.wait_ms, &session->tally, &session->stopper.stop, &session->out, ret_error);
	wb_log_set_level((int)config->log_level);
	return r;
}

static int open_source(struct session *session, struct wb_error *ret_error)
{
	const struct wb_replay_source_args source_args = {
		.url = session->options.from,
		.follow = session->options.follow,
		.wait_ms = (unsigned int)session->options.wait_ms,
		.since_ns = session->options.since_ns,
		.until_ns = session->options.until_ns,
		.order = session->options.sort             ? WB_CAT_SORTED
	                 : session->options.window_ms == 0 ? WB_CAT_AS_READ
	                                                   : WB_CAT_MERGED,
		.window_ns = session->options.window_ms * 1000000,
		.filter = session->options.filter,
		.stop = &session->stopper.stop,
	};

	return wb_replay_source_open(&session->source, &source_args, ret_error);
}

/* Shorter than the stream's buffer, it is written at once; what is left behind it of an earlier one is cut. */
static int put_summary(const struct session *session, FILE *stream)
{
	struct stat facts;

	wb_replay_summary_json(&session->replay, &session->tally, stream);
	if (fflush(stream) != 0 || ferror(stream) || fstat(fileno(stream), &facts) < 0)
		return -errno;
	return S_ISREG(facts.st_mode) && ftruncate(fileno(stream), ftello(stream)) < 0 ? -errno : 0;
}

/* 0 or an exit code. */
static int write_summary(struct session *session)
{
	FILE *file = session->summary;
	struct wb_error error;
	int r;

	wb_replay_summary_text(&session->replay, &session->tally, stderr);
	if (!file)
		return 0;
	session->summary = NULL;
	r = put_summary(session, file);
	if (fclose(file) != 0 && r == 0)
		r = -errno;
	if (r == 0)
		return 0;
	wb_fail(&error, r, "cannot write the summary to %s: %s", session->options.summary, strerror(-r));
	return failed(error.message);
}

static int run(struct session *session)
{
	const struct wb_replay_options *options = &session->options;
	const struct wb_replay_args replay_args = {
		.read = wb_replay_source_read,
		.context = &session->source,
		.out = session->out,
		.tally = &session->tally,
		.pace = session->options.pace,
		.loops = options->loop,
		.limit = options->limit,
		.duration_ns = options->duration_ms * 1000000,
		/* Sorting, it reads everything before there is a first packet. */
		.first_ns = wb_replay_source_is_live(&session->source) && !options->sort
	                            ? options->duration_ms * 1000000
	                            : 0,
		.buffer_bytes = (size_t)options->buffer_bytes,
		.lead_ns = options->lead_ms * 1000000,
		.preload = options->preload,
		.stats_ns = options->stats_ms * 1000000,
		.stop = &session->stopper.stop,
	};
	int code = WB_EXIT_OK, summarized;

	if (wb_replay_run(&session->replay, &replay_args) < 0)
		code = failed(session->replay.error.message);
	summarized = write_summary(session);
	if (code == WB_EXIT_OK && wb_replay_failures(&session->tally))
		code = WB_EXIT_FAILED;
	return code ? code : summarized;
}

/* The output first: a wrong name is said before a bus was waited for. */
static int run_session(struct session *session)
{
	struct wb_error error = {""};
	int code = session->out ? -1 : check(open_bus(session, &error), &error);

	if (code < 0)
		code = check(open_source(session, &error), &error);
	return code < 0 ? run(session) : code;
}

static int with_signals(struct session *session)
{
	struct wb_error error;
	int r, code;

	/* A bus has its own time to take what is left. */
	r = wb_stopper_init(&session->stopper, GRACE_S + (unsigned int)(session->options.config.flush_ms / 1000));
	if (r < 0) {
		wb_fail(&error, r, "cannot prepare for signals: %s", strerror(-r));
		return failed(error.message);
	}
	code = run_session(session);
	wb_stopper_fini(&session->stopper);
	return code;
}

/*
 * What may be needed later: a second ring (interface_put() opens it at the first super-frame), and files that are not
 * the user's own, which root reads by this right. A thread that exists already would keep all rights, so this comes
 * before the stopper's and a bus's.
 */
static int drop_privileges(const struct session *session, struct wb_error *ret_error)
{
	static const unsigned int kept[] = {CAP_DAC_READ_SEARCH, CAP_NET_RAW};

	return wb_privileges_drop_but(kept, is_to_interface(session) ? 2 : 1, ret_error);
}

static int prepare(struct session *session)
{
	struct wb_error error = {""};
	int code;

	wb_signals_ignore_pipe();
	wb_log_set_level((int)session->options.config.log_level);
	code = check(open_files(session, &error), &error);
	if (code < 0)
		code = check(drop_privileges(session, &error), &error);
	return code < 0 ? with_signals(session) : code;
}

static void free_session(struct session *session)
{
	wb_replay_source_close(&session->source);
	if (session->summary)
		fclose(session->summary);
	if (session->out)
		wb_out_base(session->out)->ops->close(session->out);
	wb_replay_options_fini(&session->options);
	free(session);
}

int wb_cmd_replay(int argc, char **argv)
{
	struct session *session = calloc(1, sizeof(*session));
	int code;

	if (!session)
		return failed(strerror(ENOMEM));
	code = wb_replay_options_parse(&session->options, argc, argv);
	if (code < 0)
		code = prepare(session);
	free_session(session);
	return code;
}
