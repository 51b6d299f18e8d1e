/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a run is doing while it runs: a line of statistics for each capture at an interval, and the ledgers on demand.
 * Both are made from tables of counters, the ledger's and the one below.
 */
#ifndef WB_STATS_H
#define WB_STATS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "capture.h"
#include "ledger.h"

/* The state of one capture. */
struct wb_sample {
	struct wb_ledger_totals ledger; /* first: wb_ledger_rows lead into it */
	uint64_t ring_waiting;
	uint64_t buffers;
	uint64_t buffers_free;
	uint64_t bus_connected;
	uint64_t bus_peers;
	uint64_t bus_bytes;
	uint64_t bus_batches;
	uint64_t bus_again;
	uint64_t bus_reconnects;
	uint64_t bus_peer_drops;
	uint64_t bus_copied;
	uint64_t bus_disconnects;
	uint64_t bus_auth_failures;
	uint64_t bus_protocol_failures;
	uint64_t bus_renewed;
	uint64_t bus_republished;
	uint64_t bus_possible_duplicates;
	uint64_t spool_bytes;
	uint64_t spool_batches;
	uint64_t spool_damaged;
	uint64_t spool_refused;
	uint64_t spool_failed;
};

/* Of struct wb_sample, beside wb_ledger_rows. The last has no name. */
extern const struct wb_counter_row wb_sample_rows[];

/* Zeroed: no statistics. */
struct wb_stats {
	uint64_t interval_ns;
	uint64_t last_ns; /* monotonic; 0: not begun */
	struct wb_sample *last;
	size_t count;
};

/* interval_ms: 0: none. Errors: -ENOMEM. */
int wb_stats_init(struct wb_stats *stats, uint64_t interval_ms, size_t captures);
void wb_stats_fini(struct wb_stats *stats);
/* Print a line for each capture, if it is time to. Call more often than the interval. */
void wb_stats_tick(struct wb_stats *stats, struct wb_capture *captures, uint64_t now_ns);

/* Read the state of a capture, the ring's counters too. Threads: one. */
void wb_sample_take(struct wb_capture *capture, struct wb_sample *ret_sample);
/* One line without the time and the newline. */
void wb_sample_print(FILE *stream, const char *name, const struct wb_sample *before, const struct wb_sample *now,
	uint64_t elapsed_ns);
/* The ledgers as they are, on standard error: of each capture, and of each of its workers if there are several. */
void wb_stats_print_ledgers(struct wb_capture *captures, size_t count);
/* The ledgers of a capture's workers, their sum, and the spool, as one JSON object. */
void wb_stats_print_json(struct wb_capture *capture, FILE *stream);

#endif
