/* SPDX-License-Identifier: Apache-2.0 */
/* Where packets go after the bus: text, JSON lines, pcapng. Used by one thread. */
#ifndef WB_SINK_H
#define WB_SINK_H

#include <stdint.h>
#include <stdio.h>

#include "wbproto.h"
#include "wirebus/option.h"

struct wb_sink;

struct wb_sink_ops {
	const char *name; /* of -o */
	/* stream: stays the caller's, is open until the sink is closed; fully buffered by the caller. */
	int (*open)(FILE *stream, struct wb_sink **ret_sink, struct wb_error *ret_error);
	/*
	 * One packet with the facts of its batch (record.interface is empty when the batch does not name it).
	 * Errors: -errno of the stream (-EPIPE: the reader has gone).
	 */
	int (*packet)(struct wb_sink *sink, const struct wbproto_record *record);
	/* The head of a batch, before its packets, and of those without packets (heartbeats); may be NULL. */
	int (*batch)(struct wb_sink *sink, const struct wbproto_reader *reader);
	/* Write what belongs at the end, flush. The stream stays open. Errors: as packet(). */
	int (*finish)(struct wb_sink *sink);
	void (*close)(struct wb_sink *sink); /* NULL is allowed */
};

extern const struct wb_sink_ops wb_sink_text;
extern const struct wb_sink_ops wb_sink_json;
extern const struct wb_sink_ops wb_sink_pcapng;
extern const struct wb_sink_ops *const wb_sinks[]; /* NULL-terminated */

/* By the name of -o; NULL: none of that name. */
const struct wb_sink_ops *wb_sink_find(const char *name);

/* For sinks: write, flush; 0 or -errno of the stream. One thread uses the stream, so it is not locked. */
int wb_sink_write(FILE *stream, const void *data, size_t length);
int wb_sink_flush(FILE *stream);

#endif
