/* SPDX-License-Identifier: Apache-2.0 */
/* `wirebus run`: from interfaces onto buses, until it is told to stop. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture.h"
#include "command.h"
#include "config.h"
#include "log.h"
#include "own.h"
#include "privileges.h"
#include "run_arguments.h"
#include "signals.h"
#include "stats.h"
#include "uuid.h"

#define WATCH_MS 100

/* The process while it runs. */
struct run {
	struct wb_config config;
	struct wb_capture *captures;
	uint8_t session_id[16];
	int signal_fd;
	/* Monotonic: from then on nothing waits for the bus. 0: not stopped yet, or not to be waited. */
	uint64_t flush_end_ns;
	FILE *ledger;
	struct wb_stats stats;
	struct wb_own *own;
};

/* Do meanwhile what is to be done now and then. The rings and buses are open. */
static void look_after(struct run *run)
{
	uint64_t now_ns = wb_monotonic_ns();

	wb_stats_tick(&run->stats, run->captures, now_ns);
	wb_own_tick(run->own, now_ns);
}

/* Wait up to timeout_ms. Returns the number of a signal to end, or 0. */
static int wait_signal(struct run *run, int timeout_ms)
{
	int signal_number;

	look_after(run);
	signal_number = wb_signals_wait(run->signal_fd, timeout_ms);
	if (signal_number != SIGUSR1)
		return signal_number;
	wb_stats_print_ledgers(run->captures, run->config.capture_count);
	return 0;
}

static int open_captures(struct run *run, struct wb_error *ret_error)
{
	uint32_t worker_id = 1;
	int r = 0;

	run->captures = calloc(run->config.capture_count, sizeof *run->captures);
	if (!run->captures || wb_own_create(&run->own) < 0 ||
		wb_stats_init(&run->stats, run->config.stats_ms, run->config.capture_count) < 0)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < run->config.capture_count; i++) {
		r = wb_capture_open_rings(&run->captures[i], &run->config, &run->config.captures[i], run->session_id,
			worker_id, run->own, ret_error);
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
	struct wb_transport_stats stats = {0};

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
			struct wb_transport_stats stats = {0};

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
	fputs("{\"captures\":[", run->ledger);
	for (size_t i = 0; i < run->config.capture_count; i++) {
		if (i)
			fputc(',', run->ledger);
		wb_stats_print_json(&run->captures[i], run->ledger);
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
		if (totals.counters.spooled)
			wb_log(WB_LOG_WARNING,
				"capture %s: %llu packets remain in the spool '%s'; the next start publishes them",
				capture->config->interface, (unsigned long long)totals.counters.spooled,
				capture->config->spool_dir);
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
	wb_stats_fini(&run->stats);
	wb_own_destroy(run->own);
	if (run->ledger)
		fclose(run->ledger);
	if (run->signal_fd >= 0)
		close(run->signal_fd);
	wb_config_fini(&run->config);
}

int wb_cmd_run(int argc, char **argv)
{
	struct run run = {.signal_fd = -1};
	int code = wb_run_configure(argc, argv, &run.config);
	int r;

	if (code < 0) {
		wb_log_set_level((int)run.config.log_level);
		r = wb_uuid7(run.session_id);
		if (r == 0)
			r = run.signal_fd = wb_signals_open();
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
