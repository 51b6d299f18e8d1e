/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work of `wirebus replay`: a thread reads packets ahead, into a bounded buffer; the calling thread takes them out,
 * waits until each is due, and hands it to an output.
 */
#ifndef WB_REPLAY_H
#define WB_REPLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "pace.h"
#include "read_ahead.h"
#include "replay_out.h"

/* What was read in a pass or several: the first four together are all packets that were read. */
struct wb_replay_read {
	uint64_t packets;   /* put into the buffer */
	uint64_t too_large; /* for the buffer */
	uint64_t filtered;  /* do not match the filter */
	uint64_t outside;   /* of the time range */
	uint64_t messages;
	uint64_t damaged;    /* messages that cannot be read */
	uint64_t missing;    /* packets that the source should have, by their numbers */
	uint64_t duplicates; /* messages that came again, left out */
};

struct wb_replay_args {
	/*
	 * Read everything once, into the buffer. pass: from 0. Runs on a thread of its own. ret_read is added to, in
	 * any case. It returns soon when wb_read_ahead_cancelled(buffer) or stop is set, also while nothing comes.
	 * 0: done, also when the buffer said -ECANCELED; a negative errno with a message otherwise.
	 */
	int (*read)(void *context, unsigned int pass, struct wb_read_ahead *buffer, struct wb_replay_read *ret_read,
		struct wb_error *ret_error);
	void *context;
	struct wb_out *out;
	struct wb_tally *tally; /* the output's */
	struct wb_pace_args pace;
	uint64_t loops;       /* passes; 0: for ever */
	uint64_t limit;       /* packets; 0: not limited */
	uint64_t duration_ns; /* of the sending; 0: not limited */
	uint64_t first_ns;    /* end when the first packet cannot be sent within this; 0: wait for it */
	size_t buffer_bytes;
	/* Wait so long after the first packet before sending it, for more; ended by the full buffer, and by limit. */
	uint64_t lead_ns;
	bool preload;      /* begin when everything was read, or the buffer is full, or has packets up to limit */
	uint64_t stats_ns; /* a line on standard error so often; 0: none */
	const atomic_bool *stop;
};

enum wb_replay_end {
	WB_REPLAY_END_FAILED = 0, /* error says why */
	WB_REPLAY_END_OF_DATA,
	WB_REPLAY_END_LIMIT,
	WB_REPLAY_END_DURATION,
	WB_REPLAY_END_STOPPED, /* by a signal */
};

/*
 * read.packets + read.too_large + repeated = sent + all that is unsent (the tally's, in which WB_UNSENT_LEFT is what
 * was read and not tried).
 */
struct wb_replay {
	enum wb_replay_end end;
	struct wb_replay_read read;
	uint64_t repeated;         /* packets taken out of the buffer again, not read again */
	uint64_t passes;           /* complete ones */
	uint64_t waits;            /* times that the source was too slow: a packet came after it was due */
	uint64_t waits_ns;         /* by how much, together */
	uint64_t begin_ns, end_ns; /* of the sending, monotonic; 0: nothing was sent */
	struct wb_pace pace;
	struct wb_error error;
};

/*
 * Replay. 0; a negative errno with replay->error set when reading or the output failed; what was counted is right in
 * any case. Unsent packets are no failure here.
 */
int wb_replay_run(struct wb_replay *replay, const struct wb_replay_args *args);

/* Packets that were not sent, and should have been. */
uint64_t wb_replay_failures(const struct wb_tally *tally);
/* What became of the packets: for people, and as one JSON object. */
void wb_replay_summary_text(const struct wb_replay *replay, const struct wb_tally *tally, FILE *stream);
void wb_replay_summary_json(const struct wb_replay *replay, const struct wb_tally *tally, FILE *stream);

/* A thread that prints a line at each interval: what a terminal, or a pipe that is full, takes in time disturbs nobody.
 */
struct wb_replay_ticker;
int wb_replay_ticker_start(uint64_t interval_ns, const struct wb_tally *tally, struct wb_replay_ticker **ret_ticker);
void wb_replay_ticker_end(struct wb_replay_ticker *ticker); /* NULL is allowed */

#endif
