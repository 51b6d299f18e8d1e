/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that were read and are to be sent, in bounded memory: one thread puts them in while another takes them out,
 * so that a source which is slow for a moment does not disturb the sending.
 *
 * The buffer is a ring. With keep, nothing in it is overwritten as long as everything fits: what was read once can then
 * be taken out again from the beginning (loops).
 */
#ifndef WB_READ_AHEAD_H
#define WB_READ_AHEAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wbproto.h"

struct wb_read_ahead;

/*
 * bytes: of the buffer; a packet takes at most half of it. stop: looked at by whoever waits, every 100 ms; must outlive
 * the buffer. Errors: -ENOMEM, or of the thread library.
 */
int wb_read_ahead_create(size_t bytes, bool keep, const atomic_bool *stop, struct wb_read_ahead **ret_buffer);
/* Both threads are done with it. NULL is allowed. */
void wb_read_ahead_destroy(struct wb_read_ahead *buffer);

/* ---- the reading thread ---- */

/*
 * Copy a packet with everything that its views point to. Blocks: while the buffer is full.
 * Errors: -ECANCELED: stop is set, or nobody takes packets any more; -EMSGSIZE: larger than half the buffer.
 */
int wb_read_ahead_put(struct wb_read_ahead *buffer, const struct wbproto_record *record);
/* A pass is over, and another begins. Blocks and errors: as wb_read_ahead_put(). */
int wb_read_ahead_mark(struct wb_read_ahead *buffer);
/* Whether everything since the beginning is still there, so that it can be taken out again. */
bool wb_read_ahead_keeps_all(const struct wb_read_ahead *buffer);
/* What -ECANCELED of wb_read_ahead_cancel() comes from, for a reader that has nothing to put. Lives as long as buffer.
 */
const atomic_bool *wb_read_ahead_cancelled(const struct wb_read_ahead *buffer);
/* No more will come. */
void wb_read_ahead_end(struct wb_read_ahead *buffer);

/* ---- the sending thread ---- */

/*
 * Wait until so many bytes are in the buffer, or it is full, or all has been read, or until_ns (CLOCK_MONOTONIC; 0: no
 * limit) has come, or stop is set. false: it was the time.
 */
bool wb_read_ahead_wait(struct wb_read_ahead *buffer, size_t bytes, uint64_t until_ns);
/* How many packets were put since the beginning. Nobody is woken when there are more. */
uint64_t wb_read_ahead_packets(const struct wb_read_ahead *buffer);
/*
 * Take the next packet, if there is one now. 1: *ret_record is valid until the next call; 2: a mark; 0: not yet;
 * -ENODATA: no more will come. Blocks: never.
 */
int wb_read_ahead_next(struct wb_read_ahead *buffer, const struct wbproto_record **ret_record);
/* Take everything from the beginning again. false: it was not all kept. Only after -ENODATA. */
bool wb_read_ahead_rewind(struct wb_read_ahead *buffer);
/* Nobody takes packets any more. */
void wb_read_ahead_cancel(struct wb_read_ahead *buffer);

#endif
