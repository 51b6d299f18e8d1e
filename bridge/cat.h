/* SPDX-License-Identifier: Apache-2.0 */
/* The work of `wirebus cat`: messages from a source, checked and booked, their packets into a sink. */
#ifndef WB_CAT_H
#define WB_CAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "output.h"
#include "sink.h"
#include "source.h"
#include "streams.h"

/* Why the reading ended. */
enum wb_cat_end {
	WB_CAT_END_FAILED = 0, /* error says why */
	WB_CAT_END_OF_DATA,    /* of a source that knows its end */
	WB_CAT_END_OF_STREAMS, /* every stream seen has ended */
	WB_CAT_END_COUNT,
	WB_CAT_END_STOPPED,     /* by a signal */
	WB_CAT_END_READER_GONE, /* whoever read the output has closed it */
	WB_CAT_END_OF_RANGE,    /* the time range is over */
};

/* In which order packets go to the sink. */
enum wb_cat_order {
	WB_CAT_MERGED = 0, /* by time, as far as they come within the window */
	WB_CAT_SORTED,     /* by time; after everything was read */
	WB_CAT_AS_READ,
};

struct wb_cat_args {
	const struct wb_source_ops *source_ops;
	struct wb_source *source;
	const struct wb_sink_ops *sink_ops;
	struct wb_sink *sink;
	struct wb_output *out; /* what the sink writes to: flushed when there is nothing to read; NULL: nothing */
	uint64_t count;        /* end after so many packets; 0: not limited */
	bool until_ended;      /* end when every stream seen has ended */
	const atomic_bool *stop;
	const atomic_bool *unwanted; /* nobody takes what the sink is given any more; NULL: that cannot be */
	uint64_t since_ns;           /* packets before are left out, Unix time */
	uint64_t until_ns;           /* packets at that time or later are left out; 0: not limited */
	const char *filter;          /* tcpdump expression: packets that do not match are left out; NULL: none */
	enum wb_cat_order order;
	uint64_t window_ns;   /* of the merge; 0: WB_MERGE_WINDOW_NS */
	uint64_t hold_bytes;  /* that the merge, or the sort, keeps in memory; 0: WB_MERGE_HOLD_BYTES */
	const char *sort_dir; /* for what the sort does not keep in memory; NULL: $TMPDIR, or /tmp */
	bool progress;        /* a line on standard error while it goes on */
};

struct wb_cat {
	enum wb_cat_end end;
	uint64_t messages; /* read, damaged ones not counted */
	uint64_t packets;  /* given to the sink */
	uint64_t late;     /* of those: a later one went before */
	uint64_t outside;  /* packets outside the time range */
	uint64_t filtered; /* packets that do not match the filter */
	uint64_t damaged;  /* messages skipped because they cannot be read */
	struct wb_streams streams;
	struct wb_error error;
};

void wb_cat_init(struct wb_cat *cat);
/*
 * Read until the end, then finish the sink. Each damaged message is logged (the first hundred) and counted.
 * Returns 0, also when the output's reader has gone; a negative errno of the source or the sink with cat->error set.
 */
int wb_cat_run(struct wb_cat *cat, const struct wb_cat_args *args);
void wb_cat_fini(struct wb_cat *cat);

/* What was received and what was not: for people, and as one JSON object. The stream's error flag tells of failures. */
void wb_cat_summary_text(const struct wb_cat *cat, FILE *stream);
void wb_cat_summary_json(const struct wb_cat *cat, FILE *stream);

#endif
