/* SPDX-License-Identifier: Apache-2.0 */
/* `wirebus send`: capture files onto a bus. A thread sends; the main one has signals, statistics and the end. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "log.h"
#include "send.h"
#include "send_options.h"
#include "signals.h"
#include "stats.h"
#include "uuid.h"

#define WATCH_MS 100
/*
 * A subscriber of PUB says what it subscribes to right after it has connected, and until this has come PUB sends it
 * nothing: nobody tells when it came.
 */
#define SUBSCRIBE_MS 250

/* Everything that the command has. */
struct session {
	struct wb_send_options options;
	uint8_t session_id[16];
	struct wb_send send;
	struct wb_stats stats;
	FILE *ledger;
	int signal_fd;
	bool interrupted;
	pthread_t thread;
	atomic_bool ended; /* the sender */
};

static int failed(const char *text)
{
	fprintf(stderr, "wirebus send: %s\n", text);
	return WB_EXIT_FAILED;
}

/* ---- opening ---- */

static int open_files(struct session *session, struct wb_error *ret_error)
{
	const struct wb_capture_merge_options options = {
		.follow = session->options.follow,
		.interface = session->options.interface,
	};

	return wb_capture_merge_open(
		session->options.paths, session->options.path_count, &options, &session->send.merge, ret_error);
}

static int open_all(struct session *session, struct wb_error *ret_error)
{
	int r = open_files(session, ret_error);

	if (r == 0 && session->options.config.ledger) {
		session->ledger = fopen(session->options.config.ledger, "we");
		if (!session->ledger)
			r = wb_fail(
				ret_error, -errno, "ledger '%s': %s", session->options.config.ledger, strerror(errno));
	}
	if (r == 0)
		r = wb_pace_init(&session->send.pace, &session->options.pace, ret_error);
	if (r == 0 && wb_stats_init(&session->stats, session->options.config.stats_ms, 1) < 0)
		r = wb_fail(ret_error, -ENOMEM, "out of memory");
	return r < 0 ? r
	             : wb_publisher_open(
			       &session->options.config, session->session_id, &session->send.publisher, ret_error);
}

/* ---- while it runs ---- */

static struct wb_capture *capture_of(const struct session *session)
{
	return wb_publisher_capture(session->send.publisher);
}

/* Wait up to timeout_ms. Returns the number of a signal to end, or 0. */
static int wait_signal(struct session *session, int timeout_ms)
{
	int signal_number = wb_signals_wait(session->signal_fd, timeout_ms);

	if (signal_number != SIGUSR1)
		return signal_number;
	wb_stats_print_ledgers(capture_of(session), 1);
	return 0;
}

/* PUB is of use without subscribers, but not for a file that is sent once. */
static bool is_pub(const struct session *session)
{
	return strcmp(capture_of(session)->setup.url.scheme, "zmq+pub") == 0;
}

static bool has_bus(const struct session *session)
{
	struct wb_transport_stats stats;

	wb_publisher_bus(session->send.publisher, &stats);
	return stats.connected && (!is_pub(session) || stats.peers > 0);
}

static int await_bus(struct session *session, struct wb_error *ret_error)
{
	uint64_t wait_ns = session->options.wait_ms * 1000000u, begin_ns = wb_monotonic_ns();
	bool found;

	while (!(found = has_bus(session)) && (!wait_ns || wb_monotonic_ns() - begin_ns < wait_ns))
		if (wait_signal(session, WATCH_MS / 4))
			return wb_fail(ret_error, -EINTR, "stopped while waiting for the bus; nothing was sent");
	if (!found)
		return wb_fail(ret_error, -ETIMEDOUT, "%s: %s within %llu ms (--wait); nothing was sent",
			capture_of(session)->setup.url.text,
			strncmp(capture_of(session)->setup.url.scheme, "zmq+", 4) == 0 ? "no consumer" : "no answer",
			(unsigned long long)session->options.wait_ms);
	if (is_pub(session) && wait_signal(session, SUBSCRIBE_MS))
		return wb_fail(ret_error, -EINTR, "stopped before anything was sent");
	return 0;
}

static void *sender_main(void *context)
{
	struct session *session = context;

	wb_send_run(&session->send);
	atomic_store_explicit(&session->ended, true, memory_order_release);
	return NULL;
}

/* Until the sender has ended; the first signal tells it to, the second not to wait any longer. */
static void watch(struct session *session)
{
	while (!atomic_load_explicit(&session->ended, memory_order_acquire)) {
		int signal_number = wait_signal(session, session->interrupted ? WATCH_MS / 4 : WATCH_MS);

		wb_stats_tick(&session->stats, capture_of(session), wb_monotonic_ns());
		if (!signal_number)
			continue;
		if (session->interrupted) {
			wb_log(WB_LOG_WARNING, "second signal: not waiting any longer");
			wb_publisher_give_up(session->send.publisher);
			continue;
		}
		wb_log(WB_LOG_INFO, "%s: stopping; waiting up to %llu ms for the bus to take what is left",
			signal_number == SIGINT ? "interrupted" : "terminated",
			(unsigned long long)session->options.config.flush_ms);
		session->interrupted = true;
		wb_publisher_stop(session->send.publisher);
	}
}

/* ---- the end ---- */

static void tell(const struct session *session)
{
	const struct wb_send *send = &session->send;
	uint64_t backwards = wb_capture_merge_backwards(send->merge);

	wb_log(WB_LOG_INFO, "%llu packets with %llu bytes from %zu file%s%s", (unsigned long long)send->packets,
		(unsigned long long)send->bytes, session->options.path_count,
		session->options.path_count == 1 ? "" : "s", send->complete ? "" : "; not all that there is");
	if (backwards)
		wb_log(WB_LOG_WARNING, "%llu packets are earlier than one before them in the same file",
			(unsigned long long)backwards);
	if (send->damaged)
		wb_log(WB_LOG_ERROR, "%llu of the files could not be read to the end",
			(unsigned long long)send->damaged);
}

static int write_ledger(struct session *session)
{
	if (!session->ledger)
		return 0;
	fputs("{\"captures\":[", session->ledger);
	wb_stats_print_json(capture_of(session), session->ledger);
	fputs("]}\n", session->ledger);
	if (!fflush(session->ledger) && !ferror(session->ledger))
		return 0;
	wb_log(WB_LOG_ERROR, "ledger '%s': %s", session->options.config.ledger, strerror(errno));
	return -EIO;
}

/* Where every packet went. The exit code: whether all of them are on the bus. */
static int finish(struct session *session)
{
	const struct wb_capture *capture = capture_of(session);
	struct wb_ledger_totals totals;
	uint64_t lost;

	wb_publisher_finish(session->send.publisher);
	tell(session);
	wb_publisher_totals(session->send.publisher, &totals);
	lost = totals.counters.failed + totals.counters.unknown + totals.counters.dropped;
	if (lost)
		wb_log(WB_LOG_WARNING, "%llu packets did not reach %s: see the ledger", (unsigned long long)lost,
			capture->setup.url.text);
	wb_ledger_print_text(stderr, wb_capture_name(capture->config), &totals);
	if (!wb_ledger_balanced(&totals, true)) {
		wb_log(WB_LOG_ERROR, "the ledger does not balance: please report this");
		return WB_EXIT_FAILED;
	}
	if (write_ledger(session) < 0 || session->send.damaged || lost)
		return WB_EXIT_FAILED;
	return session->send.complete || session->interrupted ? WB_EXIT_OK : WB_EXIT_FAILED;
}

static int run(struct session *session)
{
	struct wb_error error = {""};
	int r;

	/* Who waits for the bus is told by await_bus(). */
	if (session->options.wait_ms && session->options.config.log_level < WB_LOG_DEBUG)
		wb_log_set_level(WB_LOG_ERROR);
	r = open_all(session, &error);
	if (r == 0)
		r = await_bus(session, &error);
	wb_log_set_level((int)session->options.config.log_level);
	if (r < 0)
		return failed(error.message);
	session->send.shift = session->options.shift == WB_SEND_NOW;
	session->send.follow = session->options.follow;
	session->send.count = session->options.count;
	session->send.warn_about_age = strcmp(capture_of(session)->setup.url.scheme, "kafka") == 0;
	r = -pthread_create(&session->thread, NULL, sender_main, session);
	if (r < 0)
		return failed(strerror(-r));
	watch(session);
	pthread_join(session->thread, NULL);
	return finish(session);
}

static void close_session(struct session *session)
{
	wb_publisher_close(session->send.publisher);
	wb_capture_merge_close(session->send.merge);
	wb_stats_fini(&session->stats);
	if (session->ledger)
		fclose(session->ledger);
	if (session->signal_fd >= 0)
		close(session->signal_fd);
	wb_send_options_fini(&session->options);
}

int wb_cmd_send(int argc, char **argv)
{
	struct session session = {.signal_fd = -1};
	int code = wb_send_options_parse(&session.options, argc, argv);
	int r = 0;

	if (code < 0)
		r = wb_uuid7(session.session_id);
	if (code < 0 && r == 0)
		r = session.signal_fd = wb_signals_open();
	if (r < 0)
		code = failed(strerror(-r));
	else if (code < 0)
		code = run(&session);
	close_session(&session);
	return code;
}
