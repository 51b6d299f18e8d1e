/* SPDX-License-Identifier: Apache-2.0 */
/* `wirebus run`: from interfaces onto buses, until it is told to stop. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "args.h"
#include "capture.h"
#include "command.h"
#include "config.h"
#include "log.h"
#include "option.h"
#include "privileges.h"
#include "uuid.h"

#define MAX_ARGUMENTS 256
#define WATCH_MS 100

enum { ARG_CONFIG = 1 };

static const struct wb_arg args[] = {
	{.letter = 'c',
		.name = "config",
		.value = "FILE",
		.id = ARG_CONFIG,
		.help = "Read captures and settings from FILE"},
	{.letter = 'i', .value = "IFACE", .key = "interface"},
	{.letter = 'f', .value = "EXPR", .key = "filter"},
	{.letter = 'w', .value = "N", .key = "workers"},
	{.letter = 's', .value = "BYTES", .key = "snap_length"},
	{0},
};
static const struct wb_arg_rows rows[] = {
	{wb_config_rows, NULL, "Process"}, {wb_capture_config_rows, NULL, "Capture"}, {0}};
enum { TABLE_CONFIG = 0, TABLE_CAPTURE = 1 };
static const struct wb_arg_command command = {
	.name = "wirebus run",
	.usage = "-i IFACE --to URL [-f EXPR] [-w N] [-s BYTES] [OPTION...] | -c FILE [OPTION...]",
	.about = "Capture packets from an interface and publish them in batches on a bus.",
	.args = args,
	.rows = rows,
};

/* The process while it runs. */
struct run {
	struct wb_config config;
	struct wb_capture *captures;
	uint8_t session_id[16];
	int signal_fd;
	/* Monotonic: from then on nothing waits for the bus. 0: not stopped yet, or not to be waited. */
	uint64_t flush_end_ns;
	FILE *ledger;
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
};

/* The command's options, and those of every bus. */
static int help(void)
{
	if (wb_args_help(&command, stdout) < 0)
		return WB_EXIT_FAILED;
	for (size_t i = 0; wb_transports[i]; i++)
		wb_args_help_url(
			wb_transports[i]->name, wb_transports[i]->rows, wb_transports[i]->takes_properties, stdout);
	return fflush(stdout) || ferror(stdout) ? WB_EXIT_FAILED : WB_EXIT_OK;
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
		if (match.id == WB_ARG_HELP)
			return help();
		if (match.id == ARG_CONFIG) {
			given->file = match.value;
		} else if (given->count == MAX_ARGUMENTS) {
			fprintf(stderr, "wirebus run: more than %d options\n", MAX_ARGUMENTS);
			return WB_EXIT_USAGE;
		} else {
			given->matches[given->count++] = match;
		}
	}
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
		fprintf(stderr, "wirebus run: no interface: use -i IFACE, or -c FILE\n");
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

/* Returns an exit code, or -1 to go on. */
static int configure(int argc, char **argv, struct wb_config *config)
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

/* SIGTERM and SIGINT arrive through a descriptor; threads that libraries start inherit the mask. */
static int open_signals(struct run *run)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	run->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signal_fd < 0 ? -errno : 0;
}

/* Wait up to timeout_ms. Returns the signal's number, or 0. */
static int wait_signal(const struct run *run, int timeout_ms)
{
	struct pollfd fd = {.fd = run->signal_fd, .events = POLLIN};
	struct signalfd_siginfo info;

	if (poll(&fd, 1, timeout_ms) <= 0 || read(run->signal_fd, &info, sizeof info) != sizeof info)
		return 0;
	return (int)info.ssi_signo;
}

static int open_captures(struct run *run, struct wb_error *ret_error)
{
	uint32_t worker_id = 1;
	int r = 0;

	run->captures = calloc(run->config.capture_count, sizeof *run->captures);
	if (!run->captures)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < run->config.capture_count; i++) {
		r = wb_capture_open_rings(&run->captures[i], &run->config, &run->config.captures[i], run->session_id,
			worker_id, ret_error);
		worker_id += (uint32_t)run->config.captures[i].workers;
	}
	if (r == 0)
		r = wb_privileges_drop(ret_error);
	for (size_t i = 0; r == 0 && i < run->config.capture_count; i++)
		r = wb_capture_open_bus(&run->captures[i], &run->config, ret_error);
	return r;
}

static bool bus_connected(const struct run *run)
{
	struct wb_transport_stats stats;

	for (size_t i = 0; i < run->config.capture_count; i++) {
		run->captures[i].setup.ops->stats(run->captures[i].transport, &stats);
		if (!stats.connected)
			return false;
	}
	return true;
}

/* --require-bus: returns 0 when every bus answers, else an error with a message. */
static int require_bus(struct run *run, struct wb_error *ret_error)
{
	uint64_t until_ns = wb_monotonic_ns() + run->config.require_bus_ms * 1000000u;

	if (!run->config.require_bus_ms)
		return 0;
	while (!bus_connected(run)) {
		if (wait_signal(run, WATCH_MS / 4))
			return wb_fail(ret_error, -EINTR, "stopped while waiting for the bus");
		if (wb_monotonic_ns() < until_ns)
			continue;
		for (size_t i = 0; i < run->config.capture_count; i++) {
			struct wb_transport_stats stats;

			run->captures[i].setup.ops->stats(run->captures[i].transport, &stats);
			if (!stats.connected)
				return wb_fail(ret_error, -ETIMEDOUT,
					"%s: no answer within %llu ms (--require-bus); is it running?",
					run->captures[i].setup.url.text,
					(unsigned long long)run->config.require_bus_ms);
		}
	}
	return 0;
}

static void announce(const struct run *run)
{
	char session[33];

	for (size_t i = 0; i < 16; i++)
		snprintf(session + 2 * i, 3, "%02x", run->session_id[i]);
	for (size_t i = 0; i < run->config.capture_count; i++) {
		const struct wb_capture_config *config = run->captures[i].config;

		wb_log(WB_LOG_INFO, "capturing on '%s'%s%s%s with %u worker%s to %s, node '%s', session %s",
			config->interface, config->filter ? " filter '" : "", config->filter ? config->filter : "",
			config->filter ? "'" : "", run->captures[i].worker_count,
			run->captures[i].worker_count == 1 ? "" : "s", run->captures[i].setup.url.text,
			run->config.node, session);
	}
}

static bool all_ended(const struct run *run)
{
	for (size_t i = 0; i < run->config.capture_count; i++)
		if (!wb_capture_ended(&run->captures[i]))
			return false;
	return true;
}

static bool any_failed(const struct run *run)
{
	for (size_t i = 0; i < run->config.capture_count; i++)
		if (wb_capture_failed(&run->captures[i]))
			return true;
	return false;
}

static void stop_all(struct run *run, void (*stop)(struct wb_capture *capture))
{
	for (size_t i = 0; i < run->config.capture_count; i++)
		stop(&run->captures[i]);
}

/* A second signal hurries. */
static void hurry(struct run *run)
{
	wb_log(WB_LOG_WARNING, "second signal: not waiting any longer");
	run->flush_end_ns = 0;
	stop_all(run, wb_capture_give_up);
}

/* Until a signal or a worker's failure; then until every worker has ended. */
static int watch(struct run *run)
{
	bool failed = false;
	int signal_number = 0;

	while (!signal_number && !failed) {
		signal_number = wait_signal(run, WATCH_MS);
		failed = any_failed(run);
	}
	if (signal_number)
		wb_log(WB_LOG_INFO, "%s: stopping; waiting up to %llu ms for the bus to take what is left",
			signal_number == SIGINT ? "interrupted" : "terminated",
			(unsigned long long)run->config.flush_ms);
	run->flush_end_ns = wb_monotonic_ns() + run->config.flush_ms * 1000000u;
	stop_all(run, wb_capture_stop);
	while (!all_ended(run))
		if (wait_signal(run, WATCH_MS / 4))
			hurry(run);
	return any_failed(run) ? WB_EXIT_FAILED : WB_EXIT_OK;
}

static void write_ledger_json(struct run *run)
{
	struct wb_ledger_totals totals;

	fputs("{\"captures\":[", run->ledger);
	for (size_t i = 0; i < run->config.capture_count; i++) {
		struct wb_capture *capture = &run->captures[i];

		fprintf(run->ledger, "%s{\"workers\":[", i ? "," : "");
		for (unsigned int w = 0; w < capture->worker_count; w++) {
			wb_ledger_snapshot(&capture->workers[w].ledger, &totals);
			if (w)
				fputc(',', run->ledger);
			wb_ledger_print_json(run->ledger, &totals);
		}
		fputs("],\"total\":", run->ledger);
		wb_capture_totals(capture, &totals);
		wb_ledger_print_json(run->ledger, &totals);
		fputc('}', run->ledger);
	}
	fputs("]}\n", run->ledger);
}

/*
 * The workers have ended, some with the end of stream still on its way behind what the bus has not taken yet: it has
 * the rest of the flush time.
 */
static void flush(struct run *run, struct wb_capture *capture)
{
	while (wb_capture_flush(capture, WATCH_MS / 4) < 0 && wb_monotonic_ns() < run->flush_end_ns)
		if (wait_signal(run, 0))
			hurry(run);
}

/* Flush and close the buses, then tell where every packet went. */
static int finish(struct run *run)
{
	int code = WB_EXIT_OK;

	for (size_t i = 0; i < run->config.capture_count; i++) {
		struct wb_capture *capture = &run->captures[i];
		struct wb_ledger_totals totals;
		uint64_t lost;

		flush(run, capture);
		wb_capture_finish(capture);
		wb_capture_totals(capture, &totals);
		lost = totals.counters.failed + totals.counters.unknown + totals.counters.dropped;
		if (lost)
			wb_log(WB_LOG_WARNING, "capture %s: %llu packets did not reach %s: see the ledger",
				capture->config->interface, (unsigned long long)lost, capture->setup.url.text);
		wb_ledger_print_text(stderr, capture->config->interface, &totals);
		if (!wb_ledger_balanced(&totals, !wb_capture_failed(capture))) {
			wb_log(WB_LOG_ERROR, "the ledger of '%s' does not balance: please report this",
				capture->config->interface);
			code = WB_EXIT_FAILED;
		}
	}
	if (run->ledger) {
		write_ledger_json(run);
		if (fflush(run->ledger) || ferror(run->ledger)) {
			wb_log(WB_LOG_ERROR, "ledger '%s': %s", run->config.ledger, strerror(errno));
			code = WB_EXIT_FAILED;
		}
	}
	return code;
}

static int run_captures(struct run *run)
{
	struct wb_error error = {""};
	int code;
	int ended;

	/* Opened before anything is captured: a path that cannot be written should not be found out at the end. */
	if (run->config.ledger) {
		run->ledger = fopen(run->config.ledger, "we");
		if (!run->ledger) {
			fprintf(stderr, "wirebus run: ledger '%s': %s\n", run->config.ledger, strerror(errno));
			return WB_EXIT_FAILED;
		}
	}
	/* Who insists on the bus is told by require_bus(); a warning that the capture goes on without it would be
	 * wrong. */
	if (run->config.require_bus_ms && run->config.log_level < WB_LOG_DEBUG)
		wb_log_set_level(WB_LOG_ERROR);
	if (open_captures(run, &error) < 0 || require_bus(run, &error) < 0) {
		fprintf(stderr, "wirebus run: %s\n", error.message);
		return WB_EXIT_FAILED;
	}
	wb_log_set_level((int)run->config.log_level);
	for (size_t i = 0; i < run->config.capture_count; i++) {
		if (wb_capture_start(&run->captures[i], &error) < 0) {
			fprintf(stderr, "wirebus run: %s\n", error.message);
			return WB_EXIT_FAILED;
		}
	}
	announce(run);
	code = watch(run);
	ended = finish(run);
	return code != WB_EXIT_OK ? code : ended;
}

static void close_run(struct run *run)
{
	for (size_t i = 0; run->captures && i < run->config.capture_count; i++)
		wb_capture_close(&run->captures[i]);
	free(run->captures);
	if (run->ledger)
		fclose(run->ledger);
	if (run->signal_fd >= 0)
		close(run->signal_fd);
	wb_config_fini(&run->config);
}

int wb_cmd_run(int argc, char **argv)
{
	struct run run = {.signal_fd = -1};
	int code = configure(argc, argv, &run.config);
	int r;

	if (code < 0) {
		wb_log_set_level((int)run.config.log_level);
		r = wb_uuid7(run.session_id);
		if (r == 0)
			r = open_signals(&run);
		if (r < 0) {
			fprintf(stderr, "wirebus run: %s\n", strerror(-r));
			code = WB_EXIT_FAILED;
		} else {
			code = run_captures(&run);
		}
	}
	close_run(&run);
	return code;
}
