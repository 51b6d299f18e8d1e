/* SPDX-License-Identifier: Apache-2.0 */
/* Where packets go after the bus: text, JSON lines, pcap, pcapng. Used by one thread. */
#ifndef WB_SINK_H
#define WB_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "wbproto.h"
#include "wirebus/option.h"

struct wb_sink;

/* Marks of a packet. */
#define WB_SINK_LATE 1u /* a later one went before it */

/* What is known of a batch besides its packets, by value. */
struct wb_sink_batch {
	uint8_t session_id[WBPROTO_SESSION_ID_BYTES];
	uint32_t worker_id;
	uint32_t stream_id;
	uint64_t batch_seq;
	uint32_t flags;
	uint32_t interface_count;
	uint32_t interface_index; /* the only one that it names; 0: several, or none */
	bool outside;             /* it was before the time range: none of its packets come */
	bool has_counters;
	struct wbproto_counters counters;
};

struct wb_sink_ops {
	const char *name; /* of -o */
	/* stream: stays the caller's, is open until the sink is closed; fully buffered by the caller. */
	int (*open)(FILE *stream, struct wb_sink **ret_sink, struct wb_error *ret_error);
	/*
	 * One packet with the facts of its batch (record.interface is empty when the batch does not name it).
	 * Errors: -errno of the stream (-EPIPE: the reader has gone).
	 */
	int (*packet)(struct wb_sink *sink, const struct wbproto_record *record, unsigned int marks);
	/*
	 * The head of a batch, before its packets, and of those without packets (heartbeats); may be NULL. Batches are
	 * merged by time: packets of others may come between its own.
	 */
	int (*batch)(struct wb_sink *sink, const struct wb_sink_batch *batch);
	/*
	 * keep: everything until now is in the file. cut: what came after the last keep() is not, as the file was cut
	 * back; no more packets come, and finish() makes a whole file of what is left. Both NULL: it is one in any
	 * case.
	 */
	void (*keep)(struct wb_sink *sink);
	void (*cut)(struct wb_sink *sink);
	/*
	 * Write what belongs at the end, flush. The stream stays open. Called again when that failed and the file was
	 * cut back. Errors: as packet().
	 */
	int (*finish)(struct wb_sink *sink);
	void (*close)(struct wb_sink *sink); /* NULL is allowed */
};

extern const struct wb_sink_ops wb_sink_text;
extern const struct wb_sink_ops wb_sink_json;
extern const struct wb_sink_ops wb_sink_pcap;
extern const struct wb_sink_ops wb_sink_pcapng;
extern const struct wb_sink_ops *const wb_sinks[]; /* NULL-terminated */

/* The head of a batch that is being read. */
void wb_sink_batch_of(const struct wbproto_reader *reader, struct wb_sink_batch *ret_batch);

/* Call keep() or cut(), should the sink have them. */
void wb_sink_keep(const struct wb_sink_ops *ops, struct wb_sink *sink);
void wb_sink_cut(const struct wb_sink_ops *ops, struct wb_sink *sink);

/* By the name of -o; NULL: none of that name. */
const struct wb_sink_ops *wb_sink_find(const char *name);

/* For sinks: write, flush; 0 or -errno of the stream. One thread uses the stream, so it is not locked. */
int wb_sink_write(FILE *stream, const void *data, size_t length);
int wb_sink_flush(FILE *stream);

#endif
