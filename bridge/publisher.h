/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that do not come from a ring, published like captured ones: by a worker (worker.h) that has no ring and runs
 * in the caller's thread. Numbers, streams, batches, heartbeats, on_full and ledger are the worker's.
 *
 *	wb_publisher_config_init(&config, &capture);      // publisher_config.h: rows for the command line
 *	wb_publisher_open(&config, session_id, &publisher, &error);
 *	while (next(&interface, &packet) && wb_publisher_packet(publisher, &interface, &packet) == 0)
 *		;
 *	wb_publisher_finish(publisher);                   // the ledger is final now
 *	wb_publisher_close(publisher);
 *
 * In the ledger and in messages kernel_seen counts the packets that were given and those that were told as lost, which
 * is kernel_dropped.
 *
 * Threads: one calls what has no other note. wb_publisher_stop() and wb_publisher_give_up() may be called by any, from
 * open to close. Functions of stats.h, which read the bus's state too, may be called by another one until
 * wb_publisher_finish().
 */
#ifndef WB_PUBLISHER_H
#define WB_PUBLISHER_H

#include <stdbool.h>
#include <stdint.h>

#include "capture.h"
#include "config.h"
#include "wbproto.h"

struct wb_publisher;

/*
 * Make the worker and open the bus, which need not answer yet.
 * config: has one capture, and passed wb_config_check(). It and session_id (16 bytes, see uuid.h) live until close.
 * Errors: negative errno with a message.
 */
int wb_publisher_open(const struct wb_config *config, const uint8_t *session_id, struct wb_publisher **ret_publisher,
	struct wb_error *ret_error);

/* How the bus is. Threads: any, until wb_publisher_finish(). */
void wb_publisher_bus(struct wb_publisher *publisher, struct wb_transport_stats *ret_stats);

/*
 * Publish a packet, sooner or later.
 * interface: facts of the packet's interface, copied when they are new. Its index stands for it and for no other of
 * this publisher, and is what packet->interface_index says. packet: copied.
 * Blocks: while the bus is full, unless on_full says otherwise; until wb_publisher_give_up() at the latest.
 * Errors: the packet is in the ledger, whatever is returned. -ECANCELED: wb_publisher_stop() was called; -ESHUTDOWN:
 * the bus takes nothing any more. There is no use in giving more then.
 */
int wb_publisher_packet(
	struct wb_publisher *publisher, const struct wbproto_interface *interface, const struct wbproto_packet *packet);

/* Whoever captured the packets had lost so many before the next one. */
void wb_publisher_lost(struct wb_publisher *publisher, uint64_t packets);

/*
 * Let time pass: publish what is due (batches at their age, heartbeats) until the time is there.
 * until_ns: monotonic; in the past: publish what is due now, without waiting. fd: also end when it is readable, or is
 * at its end; -1: none. Blocks: as it says; ends early when stopped.
 * 0; or as wb_publisher_packet().
 */
int wb_publisher_wait(struct wb_publisher *publisher, uint64_t until_ns, int fd);

/*
 * Nothing more will come: publish what is open, wait for the bus, end the streams. Without a stop the bus may take as
 * long as it needs, if only something goes on: it is given up when nothing was settled for config->flush_ms. After a
 * stop it has config->flush_ms in all. Once.
 */
void wb_publisher_drain(struct wb_publisher *publisher);
/* Drain, unless that was done, and close the bus, which gives up what it still holds. The ledger is final then. */
void wb_publisher_finish(struct wb_publisher *publisher);

/* Begin the end; the first call sets its time limit. Threads: any. Blocks: never. */
void wb_publisher_stop(struct wb_publisher *publisher);
/* Wait for nothing any more. Threads: any. Blocks: never. */
void wb_publisher_give_up(struct wb_publisher *publisher);

/* For statistics and ledgers. Lives as long as the publisher. */
struct wb_capture *wb_publisher_capture(struct wb_publisher *publisher);
/* The worker's ledger. Threads: any. */
void wb_publisher_totals(struct wb_publisher *publisher, struct wb_ledger_totals *ret_totals);

/* Free everything; what was not finished is given up. NULL is allowed. */
void wb_publisher_close(struct wb_publisher *publisher);

#endif
