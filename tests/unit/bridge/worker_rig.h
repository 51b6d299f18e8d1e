/* SPDX-License-Identifier: Apache-2.0 */
/* A worker between a fake ring and a fake bus, and the judgement of what it published. */
#ifndef TEST_WORKER_RIG_H
#define TEST_WORKER_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_bus.h"
#include "fake_ring.h"
#include "worker.h"

/* For what must happen, however slow the machine is. */
#define RIG_PATIENCE_MS 20000

struct rig {
	struct wb_capture_config config; /* change it between rig_init() and rig_start() */
	uint8_t session_id[16];
	uint64_t flush_ms;
	size_t max_batch_bytes;
	/* Length of the n-th packet, from 1. */
	uint32_t (*length)(uint64_t n);
	/* Called with the worker made and not started; NULL: nothing. */
	void (*prepare)(struct rig *rig);
	struct tpacket ring;
	struct wb_lane bus;
	struct wb_worker worker;
	uint64_t pushed; /* packets given to the ring */
	uint64_t started_ns;
	uint64_t ended_ns;
	bool *present; /* by packet_seq: published */
};

/* What was published, all of it checked. */
struct rig_seen {
	uint64_t packets;
	uint64_t holes;       /* packet numbers that are in no message, those before the end of stream included */
	uint64_t batches;     /* with packets */
	uint64_t batch_holes; /* message numbers that are missing */
	uint64_t heartbeats;
	uint64_t ends; /* 0 or 1 */
	struct wbproto_counters end_counters;
	uint64_t end_watermark_ns;
};

void rig_init(struct rig *rig);
void rig_start(struct rig *rig);
/* The n-th packet of the sequence, with data of the given length in memory that is valid until the next call. */
void rig_packet(uint64_t n, uint32_t length, struct tpacket_packet *ret_packet);
/* Push the next count packets as one lease. */
void rig_push(struct rig *rig, size_t count);
/* Stop, wait for the end. */
void rig_stop(struct rig *rig);
/* Wait for a worker that ends by itself, or was told to. */
void rig_join(struct rig *rig);
/*
 * Decode every message and check all that holds always: identity, interface, order, numbers, sizes, counters; and that
 * packet number n is the n-th that was pushed, bit by bit.
 */
void rig_judge(struct rig *rig, struct rig_seen *ret_seen);
/* The ledger at the end: nothing open, sums exact, agrees with what the bus got. */
void rig_judge_ledger(struct rig *rig, const struct rig_seen *seen, struct wb_ledger_totals *ret_totals);
/* Settle what is held, free everything. */
void rig_fini(struct rig *rig);

/* stop, judge, judge the ledger, which must have lost nothing: what most tests end with */
void rig_end_complete(struct rig *rig, struct rig_seen *ret_seen);

#endif
