/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of cat share: cat.c reads and books messages, cat_order.c puts packets in order, cat_emit.c gives them
 * to the sink, cat_progress.c tells how far it is. */
#ifndef WB_CAT_INTERNAL_H
#define WB_CAT_INTERNAL_H

#include "cat.h"
#include "display_filter.h"
#include "merge.h"
#include "packet_store.h"
#include "packets.h"
#include "sort.h"

/* The reading while it goes on. */
struct wb_cat_run {
	struct wb_cat *cat;
	const struct wb_cat_args *args;
	int quiet;                /* waits in a row that brought nothing */
	bool done;                /* nothing more is read; cat->end is set */
	bool is_full;             /* the sink takes no more: the count is reached, or the reader has gone */
	bool is_broken;           /* the sink failed */
	uint64_t whole_packets;   /* given to the sink before the output was flushed last */
	uint64_t last_message_ms; /* monotonic */
	uint64_t newest_ns;       /* of all packets read */
	uint64_t window_ns;
	struct wb_merge *merge; /* by the order, one of the two or none */
	struct wb_sort *sort;
	struct wb_packet_store *store; /* of the sort */
	struct wb_display_filter *filter;
	uint64_t told_ms; /* progress: when a line was shown last; 0: none is there */
	uint64_t began_ms;
	struct wb_packets_cache interfaces;
};

/* Nothing more is read. The last reason counts. */
void wb_cat_end(struct wb_cat_run *run, enum wb_cat_end reason);
/* Whether nothing more is to be done, as a signal came, or as nobody wants it; if so, it has ended. */
bool wb_cat_check_stop(struct wb_cat_run *run);
/* What the sink answered. A reader that has gone is an end like any other. */
int wb_cat_check_sink(struct wb_cat_run *run, int r);

/* So many packets are in the output whatever comes. */
void wb_cat_keep(struct wb_cat_run *run, uint64_t packets);
/* Whether a packet is in the time range and matches the filter; if not, it is counted. */
bool wb_cat_wants(struct wb_cat_run *run, const struct wbproto_record *record);
/* Give a packet to the sink. Errors: of the sink. */
int wb_cat_give(struct wb_cat_run *run, const struct wbproto_record *record, unsigned int marks);
/* The same, if it is wanted. */
int wb_cat_emit(struct wb_cat_run *run, const struct wbproto_record *record, unsigned int marks);
int wb_cat_emit_head(struct wb_cat_run *run, const struct wb_packets *packets, bool outside);

/* Take the packets of a message that was booked. */
int wb_cat_order_take(struct wb_cat_run *run, struct wb_packets *packets, const struct wb_message *message);
/* Nothing came for a while: what need not be held any longer goes. */
int wb_cat_order_wait(struct wb_cat_run *run);
/* At a source that has given all it has, the time range may be over. now_ns: of the clock, or of the newest packet. */
void wb_cat_order_check_range(struct wb_cat_run *run, uint64_t now_ns);
/* There is no more: everything goes that was held. */
int wb_cat_order_finish(struct wb_cat_run *run);

/* Show how far it is, if it is time. */
void wb_cat_progress(struct wb_cat_run *run);
/* Take the line away. */
void wb_cat_progress_clear(struct wb_cat_run *run);

#endif
