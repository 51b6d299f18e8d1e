/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which numbers of a sequence have been seen, and which are missing: exact for as many holes as are kept, in bounded
 * memory for any input. Numbers begin at 1.
 */
#ifndef WB_SEQUENCE_H
#define WB_SEQUENCE_H

#include <stddef.h>
#include <stdint.h>

#define WB_SEQUENCE_MAX_HOLES 128u

struct wb_hole {
	uint64_t first;
	uint64_t last;
};

/* For who needs more holes than WB_SEQUENCE_MAX_HOLES: shared by the sequences of one thread. */
struct wb_sequence_limits {
	size_t holes; /* kept of one sequence at most */
	size_t spare; /* that may still be kept beyond WB_SEQUENCE_MAX_HOLES, of all sequences together */
};

/* All zero: nothing seen yet. */
struct wb_sequence {
	uint64_t first;        /* the lowest number known of; 0: none */
	uint64_t next;         /* the highest known of, plus 1 */
	uint64_t missing;      /* numbers between them that have not been seen */
	uint64_t forgotten;    /* of those, in holes that are no longer kept */
	uint64_t known_from;   /* below this number, holes have been forgotten */
	struct wb_hole *holes; /* ascending */
	size_t hole_count;
	size_t kept;                       /* holes there is room for */
	struct wb_sequence_limits *limits; /* NULL: WB_SEQUENCE_MAX_HOLES */
};

enum wb_sequence_verdict {
	WB_SEQUENCE_NEW = 0, /* none of the numbers was seen before, none higher either */
	WB_SEQUENCE_LATE,    /* at least one was not seen before, but a higher one was */
	WB_SEQUENCE_SEEN,    /* all were seen before */
	WB_SEQUENCE_STALE,   /* so old that it cannot be told: they count as seen */
};

/*
 * Note that the count (at least 1) numbers from first (at least 1) on were seen.
 * Returns the verdict; -EINVAL when they do not exist (0, or beyond 2^64 - 2); -ENOMEM, and nothing was noted.
 */
int wb_sequence_add(struct wb_sequence *sequence, uint64_t first, uint64_t count);

/* What wb_sequence_add() would say of the single number, without noting it. */
enum wb_sequence_verdict wb_sequence_look(const struct wb_sequence *sequence, uint64_t number);

/*
 * Note that every number below next has been given away, seen or not. When next is below the lowest known, the numbers
 * in between are missing, too. Errors: as for wb_sequence_add().
 */
int wb_sequence_expect(struct wb_sequence *sequence, uint64_t next);

void wb_sequence_fini(struct wb_sequence *sequence);

#endif
