/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#define COUNTER(member, show, help)                                                                                    \
	{                                                                                                              \
#member, offsetof(struct wbproto_counters, member), WB_COUNTER, "packets", show, help                  \
	}
#define GAUGE(member, show, help)                                                                                      \
	{                                                                                                              \
#member, offsetof(struct wbproto_counters, member), WB_GAUGE, "packets", show, help                    \
	}
#define OTHER(name, member, unit, show, help)                                                                          \
	{                                                                                                              \
		name, offsetof(struct wbproto_counters, member), WB_COUNTER, unit, show, help                          \
	}

/* In the order of packet_batch.proto. */
const struct wb_counter_row wb_ledger_rows[] = {
	COUNTER(kernel_seen, WB_SHOW_ALWAYS, "passed the kernel's filter"),
	COUNTER(kernel_dropped, WB_SHOW_CHANGE, "of these: the ring was full"),
	COUNTER(read, WB_SHOW_ALWAYS, "taken from the ring"),
	COUNTER(filtered, WB_SHOW_CHANGE, "rejected in user space"),
	COUNTER(sampled_out, WB_SHOW_CHANGE, "not sampled"),
	COUNTER(accepted, WB_SHOW_NEVER, "given a sequence number"),
	COUNTER(truncated, WB_SHOW_CHANGE, "of those read: cut by the ring"),
	COUNTER(recovered, WB_SHOW_CHANGE, "found in the spool at the start"),
	COUNTER(delivered, WB_SHOW_ONCE, "acknowledged by the bus"),
	COUNTER(handed_over, WB_SHOW_ONCE, "given to a bus without acknowledgements"),
	COUNTER(failed, WB_SHOW_CHANGE, "refused by the bus"),
	COUNTER(unknown, WB_SHOW_CHANGE, "sent, no answer will come"),
	COUNTER(dropped, WB_SHOW_CHANGE, "given up by wirebus"),
	GAUGE(open, WB_SHOW_ALWAYS, "not yet with the transport"),
	GAUGE(in_flight, WB_SHOW_ALWAYS, "with the transport"),
	GAUGE(spooled, WB_SHOW_ONCE, "on disk"),
	OTHER("kernel_freezes", kernel_freezes, "times", WB_SHOW_NEVER, "times the ring was found full"),
	COUNTER(dropped_too_large, WB_SHOW_CHANGE, "larger than the bus takes"),
	COUNTER(dropped_no_buffer, WB_SHOW_CHANGE, "no free buffer"),
	COUNTER(dropped_bus_full, WB_SHOW_CHANGE, "the transport was full"),
	COUNTER(dropped_shutdown, WB_SHOW_CHANGE, "not published before the end"),
	COUNTER(dropped_spool_full, WB_SHOW_CHANGE, "the spool was full, or the disk refused it"),
	OTHER("interface_gaps", interface_gaps, "times", WB_SHOW_CHANGE, "times the interface was gone"),
	OTHER("interface_gap_nano", interface_gap_ns, "nanoseconds", WB_SHOW_NEVER,
		"nanoseconds: nobody knows what passed"),
	{0},
};
#define ROWS (sizeof wb_ledger_rows / sizeof wb_ledger_rows[0] - 1)
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
	return (uint64_t *)((char *)counters + wb_ledger_rows[row].offset);
}

static uint64_t value(const struct wbproto_counters *counters, size_t row)
{
	return *(const uint64_t *)((const char *)counters + wb_ledger_rows[row].offset);
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

void wb_ledger_give(struct wb_ledger *ledger, uint64_t packets, uint64_t lost)
{
	struct wbproto_counters *c = &ledger->totals.counters;

	pthread_mutex_lock(&ledger->lock);
	c->kernel_seen += packets + lost;
	c->kernel_dropped += lost;
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

void wb_ledger_spool(struct wb_ledger *ledger, uint64_t packets)
{
	pthread_mutex_lock(&ledger->lock);
	ledger->totals.counters.open -= packets;
	ledger->totals.counters.spooled += packets;
	pthread_mutex_unlock(&ledger->lock);
}

void wb_ledger_unspool(struct wb_ledger *ledger, uint64_t packets)
{
	pthread_mutex_lock(&ledger->lock);
	ledger->totals.counters.spooled -= packets;
	ledger->totals.counters.in_flight += packets;
	ledger->totals.batches_in_flight++;
	pthread_mutex_unlock(&ledger->lock);
}

void wb_ledger_respool(struct wb_ledger *ledger, uint64_t packets)
{
	pthread_mutex_lock(&ledger->lock);
	ledger->totals.counters.in_flight -= packets;
	ledger->totals.counters.spooled += packets;
	ledger->totals.batches_in_flight--;
	pthread_mutex_unlock(&ledger->lock);
}

void wb_ledger_spool_failed(struct wb_ledger *ledger, uint64_t packets, enum wb_cause cause)
{
	pthread_mutex_lock(&ledger->lock);
	ledger->totals.counters.spooled -= packets;
	ledger->totals.counters.failed += packets;
	ledger->totals.failed_by_cause[cause] += packets;
	pthread_mutex_unlock(&ledger->lock);
}

void wb_ledger_recover(struct wb_ledger *ledger, uint64_t packets)
{
	pthread_mutex_lock(&ledger->lock);
	ledger->totals.counters.recovered += packets;
	ledger->totals.counters.spooled += packets;
	pthread_mutex_unlock(&ledger->lock);
}

/* With the lock. */
static void book_outcome(struct wb_ledger *ledger, uint64_t packets, enum wb_result result, enum wb_cause cause)
{
	struct wbproto_counters *c = &ledger->totals.counters;

	c->in_flight -= packets;
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
	case WB_RESULT_COUNT:
		c->unknown += packets;
		break;
	}
}

void wb_ledger_settle(struct wb_ledger *ledger, uint64_t packets, enum wb_result result, enum wb_cause cause)
{
	pthread_mutex_lock(&ledger->lock);
	ledger->totals.batches_in_flight--;
	book_outcome(ledger, packets, result, cause);
	pthread_mutex_unlock(&ledger->lock);
}

void wb_ledger_settle_each(struct wb_ledger *ledger, const struct wb_outcomes *outcomes)
{
	pthread_mutex_lock(&ledger->lock);
	ledger->totals.batches_in_flight--;
	for (unsigned int i = 0; i < WB_RESULT_COUNT; i++)
		if (i != WB_RESULT_FAILED)
			book_outcome(ledger, outcomes->by_result[i], i, WB_CAUSE_NONE);
	for (unsigned int i = 0; i < WB_CAUSE_COUNT; i++)
		book_outcome(ledger, outcomes->failed_by_cause[i], WB_RESULT_FAILED, i);
	ledger->totals.counters.in_flight -= outcomes->unpublished + outcomes->respooled;
	ledger->totals.counters.open += outcomes->unpublished;
	ledger->totals.counters.spooled += outcomes->respooled;
	pthread_mutex_unlock(&ledger->lock);
}

/* Two threads may read the ring's counters and come here in the other order. Returns by how much. */
static uint64_t lift(uint64_t *counter, uint64_t value)
{
	uint64_t more = value > *counter ? value - *counter : 0;

	*counter += more;
	return more;
}

void wb_ledger_kernel(struct wb_ledger *ledger, const struct tpacket_counters *stats)
{
	struct wbproto_counters *c = &ledger->totals.counters;
	uint64_t refiltered;

	pthread_mutex_lock(&ledger->lock);
	lift(&c->kernel_seen, stats->seen);
	lift(&c->kernel_dropped, stats->dropped);
	lift(&c->kernel_freezes, stats->freezes);
	lift(&c->interface_gaps, stats->reopens);
	lift(&c->interface_gap_ns, stats->gap_ns);
	/* Read, and rejected by a filter that was changed meanwhile. */
	refiltered = lift(&ledger->refiltered, stats->refiltered);
	c->filtered += refiltered;
	c->read += refiltered;
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
			fprintf(stream, "  %-18s %12" PRIu64 "  %s\n", wb_ledger_rows[i].name, packets,
				wb_ledger_rows[i].help);
	}
	for (size_t i = 0; i < WB_CAUSE_COUNT; i++)
		if (totals->failed_by_cause[i])
			fprintf(stream, "  failed: %-10s %12" PRIu64 "\n", cause_names[i], totals->failed_by_cause[i]);
}

void wb_ledger_print_json(FILE *stream, const struct wb_ledger_totals *totals)
{
	fputc('{', stream);
	for (size_t i = 0; i < ROWS; i++)
		fprintf(stream, "\"%s\":%" PRIu64 ",", wb_ledger_rows[i].name, value(&totals->counters, i));
	fputs("\"failed_by_cause\":{", stream);
	for (size_t i = 0; i < WB_CAUSE_COUNT; i++)
		fprintf(stream, "%s\"%s\":%" PRIu64, i ? "," : "", cause_names[i], totals->failed_by_cause[i]);
	fputs("}}", stream);
}
