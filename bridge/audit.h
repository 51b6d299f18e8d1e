/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit: from what came of each stream to a statement of what was lost, where, and whether a counter says why.
 *
 *	wb_audit_make(&streams, &audit);
 *	wb_audit_text(&audit, &about, stdout);
 *	code = wb_audit_failed(&audit, no_loss);
 *	wb_audit_fini(&audit);
 *
 * Counters are of workers, and a worker may have many streams: losses are explained by worker. The packets that are
 * missing of a worker's streams are, as far as they go and in this order, those that the worker counts as given up
 * (failed, unknown, dropped); those that wait in a spool; those that a later session of the node had recovered from the
 * spool and gave up; for a worker that was killed, those that were on their way. What is left over, nothing explains.
 */
#ifndef WB_AUDIT_H
#define WB_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "streams.h"

/* Of a worker, and summed up of a session, a node, of all. In packets where nothing else is said. */
struct wb_audit_figures {
	uint64_t messages;   /* without duplicates */
	uint64_t received;   /* packets in those */
	uint64_t duplicates; /* messages */
	uint64_t duplicate_packets;
	uint64_t out_of_order; /* messages */
	uint64_t kernel_seen;
	uint64_t kernel_dropped;
	uint64_t missing; /* holes in the packet numbers, and streams of which nothing came */
	uint64_t missing_messages;
	uint64_t missed_before;  /* numbers before the first one that came */
	uint64_t given_up;       /* of the missing: failed, unknown or dropped by the worker's counters */
	uint64_t given_up_later; /* recovered by a later session, which gave them up */
	uint64_t pending;        /* in a spool */
	uint64_t lost_in_crash;  /* with the process */
	uint64_t under_way;      /* not of the missing: announced and not settled yet, of streams that go on */
	uint64_t not_covered;    /* went out before the first message that was read */
	uint64_t unexplained;
	uint64_t unread;             /* seen by the kernel, neither read nor dropped, at an orderly end */
	uint64_t interface_gaps;     /* times */
	uint64_t interface_gap_nano; /* nanoseconds */
	uint64_t stale;              /* messages too late to be told from duplicates */
	uint64_t repeated;           /* packets with numbers that had come in other messages */
	uint64_t streams;            /* streams */
	uint64_t open_streams;       /* streams without their end */
	uint64_t unknown_tails;      /* workers that were killed: what was in their rings nobody knows */
};

/* How the members of wb_audit_figures are called and explained; the list ends with a name of NULL. */
struct wb_audit_figure {
	const char *name;
	size_t offset;
	const char *help;
};
extern const struct wb_audit_figure wb_audit_figures[];

struct wb_audit_worker {
	struct wb_stream *const *streams;
	size_t stream_count;
	const struct wbproto_counters *counters;       /* the newest; NULL: none came */
	const struct wbproto_counters *first_counters; /* those of its first message, or NULL when they are not known */
	bool ended;                                    /* all of its streams */
	bool crashed;                                  /* killed */
	bool balanced;                                 /* the counters' sums hold */
	bool overrun;                                  /* something came with a number after its end */
	uint64_t tail_from_ns; /* crashed: Unix time from which nobody knows what passed, and until when (0: not known)
	                        */
	uint64_t tail_to_ns;
	struct wb_audit_figures figures;
	/* While judging: missing and not explained yet, in holes and where all before the end is missing. */
	uint64_t open_holes;
	uint64_t open_whole;
	uint64_t surplus; /* given up, and not needed to explain what is missing of its own */
};

struct wb_audit_session {
	struct wb_audit_worker *workers;
	size_t worker_count;
	uint64_t start_ns; /* Unix time, from a UUIDv7; 0: the session's name has none */
	struct wb_audit_figures figures;
};

struct wb_audit_node {
	struct wb_audit_session *sessions; /* in the order of their starts */
	size_t session_count;
	struct wb_audit_figures figures;
};

/* Why nothing is proven, whatever was asked for. */
enum wb_audit_doubt {
	WB_AUDIT_NOTHING = 1 << 0,       /* no stream at all */
	WB_AUDIT_OPEN_TAIL = 1 << 1,     /* a stream without its end */
	WB_AUDIT_UNEXPLAINED = 1 << 2,   /* a hole that no counter explains */
	WB_AUDIT_PENDING = 1 << 3,       /* packets that may still come from a spool */
	WB_AUDIT_LIMIT = 1 << 4,         /* more streams or holes than can be kept track of */
	WB_AUDIT_CONTRADICTION = 1 << 5, /* numbers given twice, or after the end */
	WB_AUDIT_UNBALANCED = 1 << 6,    /* counters whose sums do not hold */
};

/* Losses that counters explain, or that are none of this audit's. */
enum wb_audit_loss {
	WB_AUDIT_KERNEL = 1 << 0,
	WB_AUDIT_BUS = 1 << 1,
	WB_AUDIT_NOT_COVERED = 1 << 2,
	WB_AUDIT_UNKNOWN_TAIL = 1 << 3,
	WB_AUDIT_INTERFACE_GAP = 1 << 4,
};

struct wb_audit {
	struct wb_stream **streams; /* by node, session, worker, stream */
	struct wb_audit_worker *workers;
	struct wb_audit_session *sessions;
	struct wb_audit_node *nodes;
	size_t stream_count, worker_count, session_count, node_count;
	uint64_t untracked_messages, untracked_packets; /* of streams beyond the limit */
	struct wb_audit_figures figures;
	bool from_start;
	unsigned int doubts; /* enum wb_audit_doubt */
	unsigned int losses; /* enum wb_audit_loss */
};

/* What the reading itself says. */
struct wb_audit_about {
	const char *source; /* URL as given */
	const char *end;    /* why the reading ended */
	uint64_t damaged;   /* messages that cannot be read */
	bool no_loss;       /* what was asked for */
};

/*
 * Make the statement. streams must live as long as it; of those of records the last part is judged here, see
 * wb_stream_expect_announced(). from_start: nothing was published before what was read, so what
 * is missing before the first message of a stream is a loss like any other. Errors: -ENOMEM, and nothing is to be
 * freed.
 */
int wb_audit_make(const struct wb_streams *streams, bool from_start, struct wb_audit *ret_audit);
void wb_audit_fini(struct wb_audit *audit);
/* Whether the exit code is 1. */
bool wb_audit_failed(const struct wb_audit *audit, bool no_loss);
/* One word: complete, explained, or unproven. */
const char *wb_audit_verdict(const struct wb_audit *audit);
/* Name and meaning of the lowest bit of a set of doubts or losses, which is taken out of it. NULL: it is empty. */
const char *wb_audit_next_doubt(unsigned int *doubts, const char **ret_help);
const char *wb_audit_next_loss(unsigned int *losses, const char **ret_help);

/* For people, and as one JSON object. The stream's error flag tells of failures. */
void wb_audit_text(const struct wb_audit *audit, const struct wb_audit_about *about, FILE *stream);
void wb_audit_json(const struct wb_audit *audit, const struct wb_audit_about *about, FILE *stream);

/* ---- audit_judge.c ---- */

/* Add without passing 2^64 - 1: the numbers in messages may be anything. */
static inline uint64_t wb_audit_add(uint64_t left, uint64_t right)
{
	return left > UINT64_MAX - right ? UINT64_MAX : left + right;
}

/* Fill in the figures of a worker whose streams are set, but for what needs the node's other sessions. Errors: -ENOMEM.
 */
int wb_audit_judge_worker(struct wb_audit_worker *worker, bool from_start);
/* And the rest, for all workers of a node. */
void wb_audit_judge_node(struct wb_audit_node *node);

#endif
