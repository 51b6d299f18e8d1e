/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When packets are due: deadlines on CLOCK_MONOTONIC, each counted from the first packet and never from the one before,
 * so that no error adds up and an hour takes an hour.
 *
 *	wb_pace_init(&pace, &(struct wb_pace_args){.mode = WB_PACE_TIMES, .value = 1}, &error);
 *	while (next_packet(&packet)) {
 *		uint64_t due_ns = wb_pace_due(&pace, packet.time_unix_ns, packet.original_length);
 *		if (wb_pace_wait(&pace, due_ns, &stop) < 0)
 *			break;
 *		send(&packet);
 *		wb_lateness_note(&lateness, due_ns, wb_monotonic_ns());
 *	}
 *
 * One thread uses it.
 */
#ifndef WB_PACE_H
#define WB_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "wirebus/option.h"

enum wb_pace_mode {
	WB_PACE_TIMES = 0, /* the gaps that the packets' times have */
	WB_PACE_PPS,       /* packets a second */
	WB_PACE_MBPS,      /* 1,000,000 bits a second, of the bytes given to wb_pace_due() */
	WB_PACE_TOPSPEED,  /* everything is due at once */
};

struct wb_pace_args {
	enum wb_pace_mode mode;
	/* WB_PACE_TIMES: how many times as fast; WB_PACE_PPS and WB_PACE_MBPS: the rate; above 0. */
	double value;
	uint64_t max_gap_ns; /* WB_PACE_TIMES: longer gaps are cut to this, before they are divided; 0: none is */
};

struct wb_pace {
	struct wb_pace_args args;
	bool has_started;
	bool has_packet;       /* of this pass */
	uint64_t start_ns;     /* when the first packet of all was due */
	uint64_t pass_ns;      /* when this pass began, counted from there */
	uint64_t last_ns;      /* when the last packet was due, counted from there */
	uint64_t first_time;   /* of the pass, by its packets' clock */
	uint64_t latest_time;  /* of the pass so far */
	uint64_t cut_ns;       /* taken out of the pass by max_gap_ns */
	uint64_t packets;      /* of the pass */
	uint64_t bytes;        /* of the pass */
	uint64_t backwards;    /* WB_PACE_TIMES: packets whose time was before that of an earlier one: due with it */
	uint64_t cut_gaps;     /* gaps that were longer than max_gap_ns */
	uint32_t margin_ns;    /* see wb_pace_wait() */
	bool is_slack_lowered; /* the thread's timer slack */
};

/* Errors: -EINVAL: the value is not above 0 or not finite; ret_error says which. */
int wb_pace_init(struct wb_pace *pace, const struct wb_pace_args *args, struct wb_error *ret_error);

/*
 * When the next packet is due, on CLOCK_MONOTONIC; the first is due now. time_ns: the packet's own, of any epoch.
 * bytes: its length. Never less than the result before. With WB_PACE_TOPSPEED always 0. Every packet that counts for
 * the rate is to be asked for once, in order. Blocks: never.
 */
uint64_t wb_pace_due(struct wb_pace *pace, uint64_t time_ns, uint64_t bytes);

/*
 * The packets begin again (a loop): the first of the new pass follows the last after the mean gap of the pass that
 * ended.
 */
void wb_pace_restart(struct wb_pace *pace);

/*
 * Wait until due_ns: sleep until shortly before, then look at the clock again and again. How long before is learned:
 * as long as 95 of 100 sleeps overrun, but at most WB_PACE_MAX_MARGIN_NS, so that is the most CPU a packet costs. The
 * calling thread's timer slack is set to the least (PR_SET_TIMERSLACK; 50 us otherwise, of which every sleep has all).
 * stop is looked at every 100 ms, and before anything else.
 * 0: it is time; -EINTR: stop is set.
 */
#define WB_PACE_MAX_MARGIN_NS 60000u
int wb_pace_wait(struct wb_pace *pace, uint64_t due_ns, const atomic_bool *stop);

/* How late things happened. Exact least and greatest; others within 1/32 of the value. */
#define WB_LATENESS_BUCKETS 1920 /* 32 for each power of two */
struct wb_lateness {
	uint64_t count;
	uint64_t min_ns, max_ns; /* 0 when count is */
	uint64_t buckets[WB_LATENESS_BUCKETS];
};

/* A zeroed one is empty. now_ns before due_ns counts as 0. */
void wb_lateness_note(struct wb_lateness *lateness, uint64_t due_ns, uint64_t now_ns);
/* Of so many of a thousand, none was later than the result: 500 is the median, 990 the 99th percentile. 0 when empty.
 */
uint64_t wb_lateness_permille(const struct wb_lateness *lateness, unsigned int permille);

#endif
