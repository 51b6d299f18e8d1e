/* SPDX-License-Identifier: Apache-2.0 */
/* Where replayed packets go: an interface, a bus, a file; and what became of each packet. */
#ifndef WB_REPLAY_OUT_H
#define WB_REPLAY_OUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pace.h"
#include "wbproto.h"

/* Why a packet was not sent. */
enum wb_unsent {
	WB_UNSENT_TOO_LARGE = 0,  /* for the interface's MTU, or for a message */
	WB_UNSENT_MALFORMED,      /* no complete link header, or offload facts that the kernel refuses */
	WB_UNSENT_TRUNCATED,      /* less of it was captured than there was on the wire */
	WB_UNSENT_LINK_TYPE,      /* it is of another kind of link than the interface */
	WB_UNSENT_INTERFACE_DOWN, /* when it was due */
	WB_UNSENT_INTERFACE_GONE, /* deleted, or moved to another network namespace */
	WB_UNSENT_BUS,            /* the bus did not take it: its ledger says why */
	WB_UNSENT_OTHER,          /* other errors; unknown: the kernel took it, and never said what became of it */
	WB_UNSENT_LEFT,           /* not tried any more after a signal, the limit, or the end of --duration */
	WB_UNSENT_COUNT,
};

/* One thread counts; others may read meanwhile. */
struct wb_tally {
	_Atomic(uint64_t) sent; /* packets */
	_Atomic(uint64_t) sent_bytes;
	_Atomic(uint64_t) unsent[WB_UNSENT_COUNT];
	_Atomic(uint64_t) full_waits; /* times that the interface or the bus was full */
	struct wb_lateness lateness;  /* of what was sent, and had a time to be sent at; not for other threads */
};

static inline void wb_tally_add(_Atomic(uint64_t) *counter, uint64_t amount)
{
	atomic_store_explicit(
		counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

struct wb_out; /* the output's own; begins with struct wb_out_base */

/* Errors of all: negative errno with out->error set; it is of no more use. -EINTR: stop is set. */
struct wb_out_ops {
	const char *name;
	/*
	 * Take a packet; due_ns (0: none) is for the tally. Whatever becomes of it, now or until finish(), is counted
	 * once. record: read during the call only.
	 */
	int (*put)(struct wb_out *out, const struct wbproto_record *record, uint64_t due_ns);
	/* What was put is due. NULL: put() sends at once, so it is called when the packet is due. */
	int (*send)(struct wb_out *out);
	/*
	 * Wait until due_ns, which may be past, with what the output has to do in the meantime; called 10 times a
	 * second at least. NULL: there is nothing to do.
	 */
	int (*wait)(struct wb_out *out, uint64_t due_ns);
	/* Nothing more comes. Waits until everything is counted, for a few seconds at most when stop is set. */
	int (*finish)(struct wb_out *out);
	void (*close)(struct wb_out *out);
};

struct wb_out_base {
	const struct wb_out_ops *ops;
	struct wb_tally *tally;
	const atomic_bool *stop;
	struct wb_error error;
};

static inline struct wb_out_base *wb_out_base(struct wb_out *out)
{
	return (struct wb_out_base *)(void *)out;
}

/*
 * An interface. tally and stop must outlive it. Errors: negative errno with a message: no such interface, no right
 * (CAP_NET_RAW), a kind of interface that is not known.
 */
struct wb_interface_options {
	bool qdisc_bypass;
	uint64_t ring_frames;
};
extern const struct wb_option_row wb_interface_option_rows[];
int wb_out_interface_open(const char *name, const struct wb_interface_options *options, struct wb_tally *tally,
	const atomic_bool *stop, struct wb_out **ret_out, struct wb_error *ret_error);

/* Whether what --to says is a capture file: its name ends in .pcapng or .pcap, or it is "-" (pcapng on standard
 * output). */
bool wb_out_is_file(const char *to);
/* Such a file. */
int wb_out_file_open(const char *path, struct wb_tally *tally, const atomic_bool *stop, struct wb_out **ret_out,
	struct wb_error *ret_error);

/*
 * A bus. config: with one capture whose `to` is the bus; must outlive the output. wait_ms: how long to wait until it
 * answers, or has a consumer; 0: for ever. Errors: also -ETIMEDOUT, and -EINTR.
 */
struct wb_config;
int wb_out_bus_open(const struct wb_config *config, uint64_t wait_ms, struct wb_tally *tally, const atomic_bool *stop,
	struct wb_out **ret_out, struct wb_error *ret_error);

#endif
