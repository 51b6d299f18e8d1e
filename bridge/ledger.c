/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

/* How the counters are called, in the order of packet_batch.proto. */
static const struct counter_row {
	const char *name;
	size_t offset;
	const char *help;
} rows[] = {
	{"kernel_seen", offsetof(struct wbproto_counters, kernel_seen), "passed the kernel's filter"},
	{"kernel_dropped", offsetof(struct wbproto_counters, kernel_dropped), "of these: the ring was full"},
	{"read", offsetof(struct wbproto_counters, read), "taken from the ring"},
	{"filtered", offsetof(struct wbproto_counters, filtered), "rejected in user space"},
	{"sampled_out", offsetof(struct wbproto_counters, sampled_out), "not sampled"},
	{"accepted", offsetof(struct wbproto_counters, accepted), "given a sequence number"},
	{"truncated", offsetof(struct wbproto_counters, truncated), "of those read: cut by the ring"},
	{"recovered", offsetof(struct wbproto_counters, recovered), "found in the spool at the start"},
	{"delivered", offsetof(struct wbproto_counters, delivered), "acknowledged by the bus"},
	{"handed_over", offsetof(struct wbproto_counters, handed_over), "given to a bus without acknowledgements"},
	{"failed", offsetof(struct wbproto_counters, failed), "refused by the bus"},
	{"unknown", offsetof(struct wbproto_counters, unknown), "sent, no answer will come"},
	{"dropped", offsetof(struct wbproto_counters, dropped), "given up by wirebus"},
	{"open", offsetof(struct wbproto_counters, open), "not yet with the transport"},
	{"in_flight", offsetof(struct wbproto_counters, in_flight), "with the transport"},
	{"spooled", offsetof(struct wbproto_counters, spooled), "on disk"},
	{"kernel_freezes", offsetof(struct wbproto_counters, kernel_freezes), "times the ring was found full"},
	{"dropped_too_large", offsetof(struct wbproto_counters, dropped_too_large), "larger than the bus takes"},
	{"dropped_no_buffer", offsetof(struct wbproto_counters, dropped_no_buffer), "no free buffer"},
	{"dropped_bus_full", offsetof(struct wbproto_counters, dropped_bus_full), "the transport was full"},
	{"dropped_shutdown", offsetof(struct wbproto_counters, dropped_shutdown), "not published before the end"},
	{"dropped_spool_full", offsetof(struct wbproto_counters, dropped_spool_full), "the spool was full"},
};
#define ROWS (sizeof rows / sizeof rows[0])
_Static_assert(ROWS * sizeof(uint64_t) == sizeof(struct wbproto_counters), "each counter has a row");

static const char *const cause_names[WB_CAUSE_COUNT] = {
	[WB_CAUSE_NONE] = "other",
	[WB_CAUSE_TIMEOUT] = "timeout",
	[WB_CAUSE_TOO_LARGE] = "too_large",
	[WB_CAUSE_DENIED] = "denied",
	[WB_CAUSE_REFUSED] = "refused",
	[WB_CAUSE_IO] = "io",
	[WB_CAUSE_SHUTDOWN] = "shutdown",
};

static uint64_t *member(struct wbproto_counters *counters, size_t row)
{
	return (uint64_t *)((char *)counters + rows[row].offset);
}

static uint64_t value(const struct wbproto_counters *counters, size_t row)
{
	return *(const uint64_t *)((const char *)counters + rows[row].offset);
}

int wb_ledger_init(struct wb_ledger *ledger)
{
	memset(ledger, 0, sizeof *ledger);
	return -pthread_mutex_init(&ledger->lock, NULL);
}

void wb_ledger_fini(struct wb_ledger *ledger)
{
	pthread_mutex_destroy(&ledger->lock);
}

void wb_ledger_accept(struct wb_ledger *ledger, uint64_t packets, uint64_t truncated)
{
	struct wbproto_counters *c = &ledger->totals.counters;

	pthread_mutex_lock(&ledger->lock);
	c->read += packets;
	c->accepted += packets;
	c->open += packets;
	c->truncated += truncated;
	pthread_mutex_unlock(&ledger->lock);
}

static uint64_t *drop_counter(struct wbproto_counters *c, enum wb_drop cause)
{
	switch (cause) {
	case WB_DROP_TOO_LARGE:
		return &c->dropped_too_large;
	case WB_DROP_NO_BUFFER:
		return &c->dropped_no_buffer;
	case WB_DROP_BUS_FULL:
		return &c->dropped_bus_full;
	case WB_DROP_SPOOL_FULL:
		return &c->dropped_spool_full;
	case WB_DROP_SHUTDOWN:
		break;
	}
	return &c->dropped_shutdown;
}

void wb_ledger_drop(struct wb_ledger *ledger, uint64_t packets, enum wb_drop cause)
{
	struct wbproto_counters *c = &ledger->totals.counters;

	pthread_mutex_lock(&ledger->lock);
	c->open -= packets;
	c->dropped += packets;
	*drop_counter(c, cause) += packets;
	pthread_mutex_unlock(&ledger->lock);
}

void wb_ledger_publish(struct wb_ledger *ledger, uint64_t packets)
{
	pthread_mutex_lock(&ledger->lock);
	ledger->totals.counters.open -= packets;
	ledger->totals.counters.in_flight += packets;
	ledger->totals.batches_in_flight++;
	pthread_mutex_unlock(&ledger->lock);
}

void wb_ledger_unpublish(struct wb_ledger *ledger, uint64_t packets)
{
	pthread_mutex_lock(&ledger->lock);
	ledger->totals.counters.open += packets;
	ledger->totals.counters.in_flight -= packets;
	ledger->totals.batches_in_flight--;
	pthread_mutex_unlock(&ledger->lock);
}

void wb_ledger_settle(struct wb_ledger *ledger, uint64_t packets, enum wb_result result, enum wb_cause cause)
{
	struct wbproto_counters *c = &ledger->totals.counters;

	pthread_mutex_lock(&ledger->lock);
	c->in_flight -= packets;
	ledger->totals.batches_in_flight--;
	switch (result) {
	case WB_RESULT_DELIVERED:
		c->delivered += packets;
		break;
	case WB_RESULT_HANDED_OVER:
		c->handed_over += packets;
		break;
	case WB_RESULT_FAILED:
		c->failed += packets;
		ledger->totals.failed_by_cause[(unsigned int)cause < WB_CAUSE_COUNT ? cause : WB_CAUSE_NONE] += packets;
		break;
	case WB_RESULT_UNKNOWN:
		c->unknown += packets;
		break;
	}
	pthread_mutex_unlock(&ledger->lock);
}

void wb_ledger_kernel(struct wb_ledger *ledger, const struct tpacket_counters *stats)
{
	struct wbproto_counters *c = &ledger->totals.counters;

	pthread_mutex_lock(&ledger->lock);
	c->kernel_seen = stats->seen;
	c->kernel_dropped = stats->dropped;
	c->kernel_freezes = stats->freezes;
	pthread_mutex_unlock(&ledger->lock);
}

void wb_ledger_snapshot(struct wb_ledger *ledger, struct wb_ledger_totals *ret_totals)
{
	pthread_mutex_lock(&ledger->lock);
	*ret_totals = ledger->totals;
	pthread_mutex_unlock(&ledger->lock);
}

void wb_ledger_add(struct wb_ledger_totals *sum, const struct wb_ledger_totals *more)
{
	for (size_t i = 0; i < ROWS; i++)
		*member(&sum->counters, i) += value(&more->counters, i);
	for (size_t i = 0; i < WB_CAUSE_COUNT; i++)
		sum->failed_by_cause[i] += more->failed_by_cause[i];
	sum->batches_in_flight += more->batches_in_flight;
}

bool wb_ledger_balanced(const struct wb_ledger_totals *totals, bool ended)
{
	const struct wbproto_counters *c = &totals->counters;
	uint64_t kept = c->open + c->in_flight + c->spooled;
	uint64_t ends = c->delivered + c->handed_over + c->failed + c->unknown + c->dropped;
	uint64_t causes = c->dropped_too_large + c->dropped_no_buffer + c->dropped_bus_full + c->dropped_shutdown +
	                  c->dropped_spool_full;

	if (c->accepted + c->recovered != kept + ends || c->dropped != causes)
		return false;
	if (c->read != c->filtered + c->sampled_out + c->accepted)
		return false;
	return !ended || c->kernel_seen == c->read + c->kernel_dropped;
}

void wb_ledger_print_text(FILE *stream, const char *title, const struct wb_ledger_totals *totals)
{
	fprintf(stream, "ledger of %s, in packets\n", title);
	for (size_t i = 0; i < ROWS; i++) {
		uint64_t packets = value(&totals->counters, i);

		/* The first block always, the rest when there is something to say. */
		if (packets || i < 3 || i == 5)
			fprintf(stream, "  %-18s %12" PRIu64 "  %s\n", rows[i].name, packets, rows[i].help);
	}
	for (size_t i = 0; i < WB_CAUSE_COUNT; i++)
		if (totals->failed_by_cause[i])
			fprintf(stream, "  failed: %-10s %12" PRIu64 "\n", cause_names[i], totals->failed_by_cause[i]);
}

void wb_ledger_print_json(FILE *stream, const struct wb_ledger_totals *totals)
{
	fputc('{', stream);
	for (size_t i = 0; i < ROWS; i++)
		fprintf(stream, "\"%s\":%" PRIu64 ",", rows[i].name, value(&totals->counters, i));
	fputs("\"failed_by_cause\":{", stream);
	for (size_t i = 0; i < WB_CAUSE_COUNT; i++)
		fprintf(stream, "%s\"%s\":%" PRIu64, i ? "," : "", cause_names[i], totals->failed_by_cause[i]);
	fputs("}}", stream);
}
