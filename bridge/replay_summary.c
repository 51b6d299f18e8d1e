/* SPDX-License-Identifier: Apache-2.0 */
/* What `wirebus replay` says while it goes on, and at its end. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "replay.h"
#include "report.h"

#define NS_PER_S 1000000000u

static const char *const end_names[] = {
	[WB_REPLAY_END_FAILED] = "failed",
	[WB_REPLAY_END_OF_DATA] = "end of data",
	[WB_REPLAY_END_LIMIT] = "limit reached",
	[WB_REPLAY_END_DURATION] = "time is up",
	[WB_REPLAY_END_STOPPED] = "stopped",
};

static const struct {
	const char *key, *text;
} causes[WB_UNSENT_COUNT] = {
	[WB_UNSENT_TOO_LARGE] = {"too_large", "too large"},
	[WB_UNSENT_MALFORMED] = {"malformed", "malformed"},
	[WB_UNSENT_TRUNCATED] = {"truncated", "truncated when captured"},
	[WB_UNSENT_LINK_TYPE] = {"link_type", "of another link type"},
	[WB_UNSENT_INTERFACE_DOWN] = {"interface_down", "interface down"},
	[WB_UNSENT_INTERFACE_GONE] = {"interface_gone", "interface gone"},
	[WB_UNSENT_BUS] = {"bus", "not taken by the bus"},
	[WB_UNSENT_OTHER] = {"other", "other errors"},
	[WB_UNSENT_LEFT] = {"left", "not tried any more"},
};

static uint64_t value_of(const _Atomic(uint64_t) *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t unsent_sum(const struct wb_tally *tally)
{
	return wb_replay_failures(tally) + value_of(&tally->unsent[WB_UNSENT_LEFT]);
}

static double seconds_of(const struct wb_replay *replay)
{
	return (double)(replay->end_ns - replay->begin_ns) / NS_PER_S;
}

static double per_second(uint64_t amount, double seconds)
{
	return seconds > 0 ? (double)amount / seconds : 0;
}

static uint64_t read_sum(const struct wb_replay_read *read)
{
	return read->packets + read->too_large + read->filtered + read->outside;
}

static void print_unsent(const struct wb_tally *tally, FILE *stream)
{
	const char *separator = ": ";

	fprintf(stream, "  not sent %" PRIu64, unsent_sum(tally));
	for (unsigned int i = 0; i < WB_UNSENT_COUNT; i++) {
		if (value_of(&tally->unsent[i])) {
			fprintf(stream, "%s%s %" PRIu64, separator, causes[i].text, value_of(&tally->unsent[i]));
			separator = ", ";
		}
	}
	fputc('\n', stream);
}

static double us(uint64_t ns)
{
	return (double)ns / 1000;
}

static void print_timing(const struct wb_lateness *lateness, FILE *stream)
{
	if (lateness->count)
		fprintf(stream,
			"  late by: median %.1f us, 99 of 100 at most %.1f us, least %.1f us, most %.1f us (%" PRIu64
			" packets)\n",
			us(wb_lateness_permille(lateness, 500)), us(wb_lateness_permille(lateness, 990)),
			us(lateness->min_ns), us(lateness->max_ns), lateness->count);
}

void wb_replay_summary_text(const struct wb_replay *replay, const struct wb_tally *tally, FILE *stream)
{
	const struct wb_replay_read *read = &replay->read;
	uint64_t sent = value_of(&tally->sent), bytes = value_of(&tally->sent_bytes);
	double seconds = seconds_of(replay);

	fprintf(stream,
		"wirebus replay: sent %" PRIu64 " packets, %" PRIu64
		" bytes in %.3f s: %.1f packets/s, %.3f Mbit/s (%s)\n",
		sent, bytes, seconds, per_second(sent, seconds), per_second(bytes * 8, seconds) / 1e6,
		end_names[replay->end]);
	fprintf(stream,
		"  read %" PRIu64 " packets in %" PRIu64 " messages, repeated %" PRIu64 ", filtered %" PRIu64
		", outside the time range %" PRIu64 "; passes %" PRIu64 "\n",
		read_sum(read), read->messages, replay->repeated, read->filtered, read->outside, replay->passes);
	print_unsent(tally, stream);
	print_timing(&tally->lateness, stream);
	if (replay->waits)
		fprintf(stream, "  the source was too slow %" PRIu64 " times, by %.3f s together\n", replay->waits,
			(double)replay->waits_ns / NS_PER_S);
	if (replay->pace.backwards || replay->pace.cut_gaps)
		fprintf(stream, "  times that went backwards %" PRIu64 ", gaps cut %" PRIu64 "\n",
			replay->pace.backwards, replay->pace.cut_gaps);
	if (read->missing || read->damaged || read->duplicates)
		fprintf(stream,
			"  missing in the source: %" PRIu64 " packets; damaged messages %" PRIu64
			", duplicate messages %" PRIu64 "\n",
			read->missing, read->damaged, read->duplicates);
}

static void json_timing(const struct wb_lateness *lateness, FILE *stream)
{
	static const struct {
		const char *name;
		unsigned int permille;
	} rows[] = {{"median_ns", 500}, {"p90_ns", 900}, {"p99_ns", 990}, {"p999_ns", 999}};

	fputs("\"timing\":{", stream);
	wb_report_u64(stream, "packets", lateness->count);
	wb_report_u64(stream, "min_ns", lateness->min_ns);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		wb_report_u64(stream, rows[i].name, wb_lateness_permille(lateness, rows[i].permille));
	fprintf(stream, "\"max_ns\":%" PRIu64 "}", lateness->max_ns);
}

void wb_replay_summary_json(const struct wb_replay *replay, const struct wb_tally *tally, FILE *stream)
{
	const struct wb_replay_read *read = &replay->read;

	fprintf(stream, "{\"end\":\"%s\",", end_names[replay->end]);
	wb_report_u64(stream, "read", read_sum(read));
	wb_report_u64(stream, "repeated", replay->repeated);
	wb_report_u64(stream, "filtered", read->filtered);
	wb_report_u64(stream, "outside", read->outside);
	wb_report_u64(stream, "sent", value_of(&tally->sent));
	wb_report_u64(stream, "sent_bytes", value_of(&tally->sent_bytes));
	fputs("\"not_sent\":{", stream);
	for (unsigned int i = 0; i < WB_UNSENT_COUNT; i++)
		fprintf(stream, "%s\"%s\":%" PRIu64, i ? "," : "", causes[i].key, value_of(&tally->unsent[i]));
	fputs("},", stream);
	wb_report_u64(stream, "duration_ns", replay->end_ns - replay->begin_ns);
	wb_report_u64(stream, "passes", replay->passes);
	wb_report_u64(stream, "full_waits", value_of(&tally->full_waits));
	wb_report_u64(stream, "source_waits", replay->waits);
	wb_report_u64(stream, "source_waits_ns", replay->waits_ns);
	wb_report_u64(stream, "backwards", replay->pace.backwards);
	wb_report_u64(stream, "cut_gaps", replay->pace.cut_gaps);
	wb_report_u64(stream, "messages", read->messages);
	wb_report_u64(stream, "damaged", read->damaged);
	wb_report_u64(stream, "missing_packets", read->missing);
	wb_report_u64(stream, "duplicates", read->duplicates);
	json_timing(&tally->lateness, stream);
	fputs("}\n", stream);
}

struct wb_replay_ticker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t done_changed;
	bool done;
	uint64_t interval_ns;
	const struct wb_tally *tally;
};

static void print_tick(const struct wb_tally *tally, uint64_t *sent_before, uint64_t *bytes_before, double seconds)
{
	uint64_t sent = value_of(&tally->sent), bytes = value_of(&tally->sent_bytes);

	wb_log(WB_LOG_INFO,
		"replay: sent %" PRIu64 " packets, %.0f packets/s, %.3f Mbit/s; not sent %" PRIu64
		"; waits for the output %" PRIu64,
		sent, per_second(sent - *sent_before, seconds), per_second((bytes - *bytes_before) * 8, seconds) / 1e6,
		unsent_sum(tally), value_of(&tally->full_waits));
	*sent_before = sent;
	*bytes_before = bytes;
}

static void *tick(void *argument)
{
	struct wb_replay_ticker *ticker = argument;
	uint64_t next_ns = wb_monotonic_ns() + ticker->interval_ns, sent = 0, bytes = 0;
	struct timespec time;

	pthread_mutex_lock(&ticker->lock);
	while (!ticker->done) {
		time = (struct timespec){.tv_sec = (time_t)(next_ns / NS_PER_S), .tv_nsec = (long)(next_ns % NS_PER_S)};
		pthread_cond_timedwait(&ticker->done_changed, &ticker->lock, &time);
		if (ticker->done || wb_monotonic_ns() < next_ns)
			continue;
		pthread_mutex_unlock(&ticker->lock);
		print_tick(ticker->tally, &sent, &bytes, (double)ticker->interval_ns / NS_PER_S);
		pthread_mutex_lock(&ticker->lock);
		next_ns += ticker->interval_ns;
	}
	pthread_mutex_unlock(&ticker->lock);
	return NULL;
}

int wb_replay_ticker_start(uint64_t interval_ns, const struct wb_tally *tally, struct wb_replay_ticker **ret_ticker)
{
	struct wb_replay_ticker *ticker = calloc(1, sizeof(*ticker));
	pthread_condattr_t attributes;
	int r;

	if (!ticker)
		return -ENOMEM;
	ticker->interval_ns = interval_ns;
	ticker->tally = tally;
	pthread_mutex_init(&ticker->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&ticker->done_changed, &attributes);
	pthread_condattr_destroy(&attributes);
	r = -pthread_create(&ticker->thread, NULL, tick, ticker);
	if (r < 0) {
		free(ticker);
		return r;
	}
	*ret_ticker = ticker;
	return 0;
}

void wb_replay_ticker_end(struct wb_replay_ticker *ticker)
{
	if (!ticker)
		return;
	pthread_mutex_lock(&ticker->lock);
	ticker->done = true;
	pthread_cond_signal(&ticker->done_changed);
	pthread_mutex_unlock(&ticker->lock);
	pthread_join(ticker->thread, NULL);
	pthread_cond_destroy(&ticker->done_changed);
	pthread_mutex_destroy(&ticker->lock);
	free(ticker);
}
