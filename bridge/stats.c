/* SPDX-License-Identifier: Apache-2.0 */
#include "stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recovery.h"
#include "spool.h"

#define ROW(name, member, kind, unit, show, help)                                                                      \
	{                                                                                                              \
		name, offsetof(struct wb_sample, member), kind, unit, show, help                                       \
	}
#define GAUGE(name, unit, show, help) ROW(#name, name, WB_GAUGE, unit, show, help)
#define COUNTER(name, unit, show, help) ROW(#name, name, WB_COUNTER, unit, show, help)
#define FAILED(name, cause, help)                                                                                      \
	ROW("failed_" name, ledger.failed_by_cause[cause], WB_COUNTER, "packets", WB_SHOW_CHANGE, help)

const struct wb_counter_row wb_sample_rows[] = {
	FAILED("other", WB_CAUSE_NONE, "refused by the bus for another reason"),
	FAILED("timeout", WB_CAUSE_TIMEOUT, "not acknowledged in time"),
	FAILED("too_large", WB_CAUSE_TOO_LARGE, "the bus found them too large"),
	FAILED("denied", WB_CAUSE_DENIED, "not allowed to publish them"),
	FAILED("refused", WB_CAUSE_REFUSED, "rejected by the bus"),
	FAILED("io", WB_CAUSE_IO, "this host lacked memory, disk or sockets"),
	FAILED("shutdown", WB_CAUSE_SHUTDOWN, "given up by the transport at the end"),
	GAUGE(ring_waiting, "packets", WB_SHOW_ALWAYS, "in the ring, not read yet"),
	ROW("batches_in_flight", ledger.batches_in_flight, WB_GAUGE, "batches", WB_SHOW_ALWAYS, "with the transport"),
	GAUGE(buffers_free, "buffers", WB_SHOW_ALWAYS, "that batches can be written into"),
	GAUGE(buffers, "buffers", WB_SHOW_ALWAYS, "that there are"),
	COUNTER(bus_bytes, "bytes", WB_SHOW_ALWAYS, "delivered or handed over"),
	COUNTER(bus_batches, "batches", WB_SHOW_NEVER, "taken by the transport"),
	COUNTER(bus_again, "times", WB_SHOW_CHANGE, "times the transport was full"),
	GAUGE(bus_connected, "", WB_SHOW_ALWAYS, "1: the bus answers"),
	GAUGE(bus_peers, "peers", WB_SHOW_ONCE, "connected"),
	COUNTER(bus_reconnects, "times", WB_SHOW_CHANGE, "times the bus came back"),
	COUNTER(bus_peer_drops, "messages", WB_SHOW_CHANGE, "known to be dropped for single peers"),
	COUNTER(bus_copied, "batches", WB_SHOW_NEVER, "copied to spare buffers"),
	COUNTER(bus_disconnects, "peers", WB_SHOW_CHANGE, "that were connected and are not any more"),
	COUNTER(bus_auth_failures, "connections", WB_SHOW_CHANGE, "refused for who the peer is"),
	COUNTER(bus_protocol_failures, "connections", WB_SHOW_CHANGE, "that failed before the peer was one"),
	COUNTER(bus_renewed, "clients", WB_SHOW_CHANGE, "replaced after an error"),
	COUNTER(bus_republished, "batches", WB_SHOW_CHANGE, "published again by the next client"),
	COUNTER(bus_possible_duplicates, "batches", WB_SHOW_CHANGE, "of these: may be on the bus twice"),
	GAUGE(spool_bytes, "bytes", WB_SHOW_ONCE, "of the spool's bound that are taken"),
	GAUGE(spool_batches, "batches", WB_SHOW_ONCE, "on disk"),
	COUNTER(spool_damaged, "batches", WB_SHOW_CHANGE, "that could not be read any more"),
	COUNTER(spool_refused, "batches", WB_SHOW_CHANGE, "for which the spool had no room"),
	COUNTER(spool_failed, "batches", WB_SHOW_CHANGE, "that the disk did not take"),
	{0},
};
_Static_assert(offsetof(struct wb_sample, ledger.counters) == 0, "wb_ledger_rows lead into a sample");

int wb_stats_init(struct wb_stats *stats, uint64_t interval_ms, size_t captures)
{
	memset(stats, 0, sizeof *stats);
	if (!interval_ms)
		return 0;
	stats->last = calloc(captures, sizeof *stats->last);
	if (!stats->last)
		return -ENOMEM;
	stats->interval_ns = interval_ms * 1000000u;
	stats->count = captures;
	return 0;
}

void wb_stats_fini(struct wb_stats *stats)
{
	free(stats->last);
	memset(stats, 0, sizeof *stats);
}

/* Nothing is left of a bus that was closed at the end. */
static void take_bus(const struct wb_capture *capture, struct wb_sample *sample)
{
	struct wb_transport_stats bus = {0};

	if (!capture->transport)
		return;
	capture->setup.ops->stats(capture->transport, &bus);
	sample->bus_connected = bus.connected;
	sample->bus_peers = bus.peers;
	sample->bus_bytes = bus.bytes;
	sample->bus_batches = bus.published;
	sample->bus_again = bus.again;
	sample->bus_reconnects = bus.reconnects;
	sample->bus_peer_drops = bus.peer_drops;
	sample->bus_copied = bus.copied;
	sample->bus_disconnects = bus.disconnects;
	sample->bus_auth_failures = bus.auth_failures;
	sample->bus_protocol_failures = bus.protocol_failures;
	sample->bus_renewed = bus.renewed;
	sample->bus_republished = bus.republished;
	sample->bus_possible_duplicates = bus.possible_duplicates;
}

static void take_spool(const struct wb_capture *capture, struct wb_sample *sample)
{
	struct wb_spool_stats spool;

	if (!capture->spool)
		return;
	wb_spool_stats(capture->spool, &spool);
	sample->spool_bytes = spool.bytes;
	sample->spool_batches = spool.entries;
	sample->spool_damaged = spool.damaged;
	sample->spool_refused = spool.refused;
	sample->spool_failed = spool.failed;
}

void wb_sample_take(struct wb_capture *capture, struct wb_sample *ret_sample)
{
	const struct wbproto_counters *c = &ret_sample->ledger.counters;
	struct wb_ledger_totals totals;

	memset(ret_sample, 0, sizeof *ret_sample);
	for (unsigned int i = 0; i < capture->worker_count; i++) {
		struct wb_worker *worker = &capture->workers[i];

		wb_worker_totals(worker, &totals);
		wb_ledger_add(&ret_sample->ledger, &totals);
		ret_sample->buffers += worker->pool.count;
		ret_sample->buffers_free += wb_pool_free_count(&worker->pool);
	}
	/* It would be less if the ring's counters could not be read. */
	if (c->kernel_seen > c->read + c->kernel_dropped)
		ret_sample->ring_waiting = c->kernel_seen - c->read - c->kernel_dropped;
	take_bus(capture, ret_sample);
	take_spool(capture, ret_sample);
}

static uint64_t value(const struct wb_sample *sample, const struct wb_counter_row *row)
{
	return *(const uint64_t *)((const char *)sample + row->offset);
}

static bool is_shown(const struct wb_counter_row *row, uint64_t before, uint64_t now)
{
	switch (row->show) {
	case WB_SHOW_ALWAYS:
		return true;
	case WB_SHOW_ONCE:
		return now != 0;
	case WB_SHOW_CHANGE:
		return now != before;
	case WB_SHOW_NEVER:
		break;
	}
	return false;
}

static void print_rate(FILE *stream, const struct wb_counter_row *row, uint64_t more, uint64_t elapsed_ns)
{
	double per_second = (double)more * 1e9 / (double)(elapsed_ns ? elapsed_ns : 1);

	if (strcmp(row->unit, "bytes") == 0)
		fprintf(stream, " %s=%.3fMbit/s", row->name, per_second * 8 / 1e6);
	else
		fprintf(stream, " %s=%.*f/s", row->name, per_second < 10 ? 2 : 0, per_second);
}

static void print_rows(FILE *stream, const struct wb_counter_row *rows, const struct wb_sample *before,
	const struct wb_sample *now, uint64_t elapsed_ns)
{
	for (const struct wb_counter_row *row = rows; row->name; row++) {
		uint64_t was = value(before, row);
		uint64_t is = value(now, row);

		if (!is_shown(row, was, is))
			continue;
		if (row->kind == WB_GAUGE)
			fprintf(stream, " %s=%" PRIu64, row->name, is);
		else
			print_rate(stream, row, is > was ? is - was : 0, elapsed_ns);
	}
}

void wb_sample_print(FILE *stream, const char *name, const struct wb_sample *before, const struct wb_sample *now,
	uint64_t elapsed_ns)
{
	fprintf(stream, "stats %s:", name);
	print_rows(stream, wb_ledger_rows, before, now, elapsed_ns);
	print_rows(stream, wb_sample_rows, before, now, elapsed_ns);
}

/* In one piece, so that the lines of several threads do not mix. */
static void write_out(const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = write(STDERR_FILENO, text, length);

		if (n <= 0 && errno != EINTR)
			return; /* nobody can be told */
		if (n > 0) {
			text += n;
			length -= (size_t)n;
		}
	}
}

static void print_time(FILE *stream)
{
	struct timespec now;
	struct tm utc;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
	fprintf(stream, "%s.%03ldZ ", text, now.tv_nsec / 1000000);
}

static void print_line(struct wb_capture *capture, struct wb_sample *last, uint64_t elapsed_ns)
{
	struct wb_sample sample;
	char *text = NULL;
	size_t length = 0;
	FILE *stream;

	wb_sample_take(capture, &sample);
	stream = open_memstream(&text, &length);
	if (!stream)
		return;
	print_time(stream);
	wb_sample_print(stream, wb_capture_name(capture->config), last, &sample, elapsed_ns);
	fputc('\n', stream);
	if (fclose(stream) == 0)
		write_out(text, length);
	free(text);
	*last = sample;
}

void wb_stats_tick(struct wb_stats *stats, struct wb_capture *captures, uint64_t now_ns)
{
	uint64_t elapsed_ns = now_ns - stats->last_ns;

	if (!stats->interval_ns || (stats->last_ns && elapsed_ns < stats->interval_ns))
		return;
	for (size_t i = 0; i < stats->count; i++) {
		if (stats->last_ns)
			print_line(&captures[i], &stats->last[i], elapsed_ns);
		else
			wb_sample_take(&captures[i], &stats->last[i]);
	}
	stats->last_ns = now_ns;
}

/* Of each worker, if there are several, and of all of them. */
static void print_ledgers(FILE *stream, struct wb_capture *capture)
{
	struct wb_ledger_totals all = {0};
	struct wb_ledger_totals totals;
	char name[64];

	for (unsigned int i = 0; i < capture->worker_count; i++) {
		wb_worker_totals(&capture->workers[i], &totals);
		wb_ledger_add(&all, &totals);
		if (capture->worker_count == 1)
			break;
		wb_worker_name(&capture->workers[i], name, sizeof name);
		wb_ledger_print_text(stream, name, &totals);
	}
	wb_ledger_print_text(stream, wb_capture_name(capture->config), &all);
}

void wb_stats_print_ledgers(struct wb_capture *captures, size_t count)
{
	char *text = NULL;
	size_t length = 0;
	FILE *stream = open_memstream(&text, &length);

	if (!stream)
		return;
	for (size_t i = 0; i < count; i++)
		print_ledgers(stream, &captures[i]);
	if (fclose(stream) == 0)
		write_out(text, length);
	free(text);
}

void wb_stats_print_json(struct wb_capture *capture, FILE *stream)
{
	struct wb_ledger_totals totals;

	fputs("{\"workers\":[", stream);
	for (unsigned int i = 0; i < capture->worker_count; i++) {
		wb_ledger_snapshot(&capture->workers[i].ledger, &totals);
		if (i)
			fputc(',', stream);
		wb_ledger_print_json(stream, &totals);
	}
	fputs("],\"total\":", stream);
	wb_capture_totals(capture, &totals);
	wb_ledger_print_json(stream, &totals);
	wb_capture_print_spool(capture, stream);
	fputc('}', stream);
}
