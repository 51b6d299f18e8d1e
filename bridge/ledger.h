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

struct wb_ledger {
	pthread_mutex_t lock;
	struct wb_ledger_totals totals;
};

int wb_ledger_init(struct wb_ledger *ledger);
void wb_ledger_fini(struct wb_ledger *ledger);

/* Packets were read from the ring, and all of them given sequence numbers; they are open. Threads: the worker. */
void wb_ledger_accept(struct wb_ledger *ledger, uint64_t packets, uint64_t truncated);
/* Open packets were given up. */
void wb_ledger_drop(struct wb_ledger *ledger, uint64_t packets, enum wb_drop cause);
/* A batch goes to the transport: call before publish(), since it may be settled inside. */
void wb_ledger_publish(struct wb_ledger *ledger, uint64_t packets);
/* The transport did not take it: back to open. */
void wb_ledger_unpublish(struct wb_ledger *ledger, uint64_t packets);
/* The outcome of a batch in flight. Threads: any. */
void wb_ledger_settle(struct wb_ledger *ledger, uint64_t packets, enum wb_result result, enum wb_cause cause);
/* The ring's own counters. Threads: the worker. */
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
