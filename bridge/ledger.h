/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger of one worker, in packets. Every term is counted where it happens. Changes are booked per batch under one
 * short lock, so that in any snapshot
 *
 *	accepted + recovered = open + in_flight + spooled + delivered + handed_over + failed + unknown + dropped
 *	read                 = filtered + sampled_out + accepted
 */
#ifndef WB_LEDGER_H
#define WB_LEDGER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tpacket.h"
#include "wbproto.h"
#include "wirebus/transport.h"

/* Why wirebus gave packets up. */
enum wb_drop {
	WB_DROP_TOO_LARGE,
	WB_DROP_NO_BUFFER,
	WB_DROP_BUS_FULL,
	WB_DROP_SHUTDOWN,
	WB_DROP_SPOOL_FULL,
};

struct wb_ledger_totals {
	struct wbproto_counters counters;
	uint64_t failed_by_cause[WB_CAUSE_COUNT];
	uint64_t batches_in_flight;
};

enum wb_counter_kind {
	WB_COUNTER, /* only grows */
	WB_GAUGE,
};

/* When a line of statistics shows it: a counter as what it grew by each second, a gauge as it is. */
enum wb_show {
	WB_SHOW_NEVER,
	WB_SHOW_ALWAYS,
	WB_SHOW_ONCE,   /* once it is not 0 */
	WB_SHOW_CHANGE, /* when it has changed since the last line */
};

/* One counter, described once: everything that prints or exports counters takes them from such rows. */
struct wb_counter_row {
	const char *name;
	size_t offset; /* of an uint64_t */
	enum wb_counter_kind kind;
	const char *unit;
	enum wb_show show;
	const char *help;
};

/* Of struct wbproto_counters, with the names of packet_batch.proto. The last has no name. */
extern const struct wb_counter_row wb_ledger_rows[];

struct wb_ledger {
	pthread_mutex_t lock;
	struct wb_ledger_totals totals;
	uint64_t refiltered; /* of the ring, as far as it is in the totals */
};

int wb_ledger_init(struct wb_ledger *ledger);
void wb_ledger_fini(struct wb_ledger *ledger);

/* Packets were read from the ring, and all of them given sequence numbers; they are open. Threads: the worker. */
void wb_ledger_accept(struct wb_ledger *ledger, uint64_t packets, uint64_t truncated);
/* Without a ring: there were packets to be read, and some that whoever captured them had lost. Threads: the worker. */
void wb_ledger_give(struct wb_ledger *ledger, uint64_t packets, uint64_t lost);
/* Open packets were given up. */
void wb_ledger_drop(struct wb_ledger *ledger, uint64_t packets, enum wb_drop cause);
/* A batch goes to the transport: call before publish(), since it may be settled inside. */
void wb_ledger_publish(struct wb_ledger *ledger, uint64_t packets);
/* The transport did not take it: back to open. */
void wb_ledger_unpublish(struct wb_ledger *ledger, uint64_t packets);
/* Open packets went to disk. */
void wb_ledger_spool(struct wb_ledger *ledger, uint64_t packets);
/* A batch on disk goes to the transport: call before publish(). */
void wb_ledger_unspool(struct wb_ledger *ledger, uint64_t packets);
/* The transport gave it back, or did not take it, and it is on disk still. Threads: any. */
void wb_ledger_respool(struct wb_ledger *ledger, uint64_t packets);
/* A batch on disk can be published no more. */
void wb_ledger_spool_failed(struct wb_ledger *ledger, uint64_t packets, enum wb_cause cause);
/* Packets of an earlier session were found on disk. */
void wb_ledger_recover(struct wb_ledger *ledger, uint64_t packets);
/* The outcome of a batch in flight. Threads: any. */
void wb_ledger_settle(struct wb_ledger *ledger, uint64_t packets, enum wb_result result, enum wb_cause cause);
/* How the packets of one batch ended when they did not all end alike. */
struct wb_outcomes {
	uint64_t by_result[WB_RESULT_COUNT];
	uint64_t failed_by_cause[WB_CAUSE_COUNT];
	uint64_t unpublished; /* none: back to open */
	uint64_t respooled;   /* none: on disk still */
};
/* The same for a batch in flight of which each packet has an outcome of its own. */
void wb_ledger_settle_each(struct wb_ledger *ledger, const struct wb_outcomes *outcomes);
/* The ring's own counters, as tpacket_stats() gave them. Threads: any. */
void wb_ledger_kernel(struct wb_ledger *ledger, const struct tpacket_counters *stats);
/* A consistent copy. Threads: any. */
void wb_ledger_snapshot(struct wb_ledger *ledger, struct wb_ledger_totals *ret_totals);

/* Add up totals of several workers. */
void wb_ledger_add(struct wb_ledger_totals *sum, const struct wb_ledger_totals *more);
/* Whether the sums above hold, and with `ended` also kernel_seen = read + kernel_dropped. */
bool wb_ledger_balanced(const struct wb_ledger_totals *totals, bool ended);
/* Print for people, or as one JSON object with the names of Counters in packet_batch.proto. */
void wb_ledger_print_text(FILE *stream, const char *title, const struct wb_ledger_totals *totals);
void wb_ledger_print_json(FILE *stream, const struct wb_ledger_totals *totals);

#endif
