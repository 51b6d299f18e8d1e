/* SPDX-License-Identifier: Apache-2.0 */
/* Where messages come from: a bus or files. The reverse of a transport, used by one thread. */
#ifndef WB_SOURCE_H
#define WB_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wirebus/option.h"
#include "wirebus/transport.h"

enum wb_message_kind { WB_MESSAGE_BATCH = 1, WB_MESSAGE_RECORD = 2 };

/* One message. Valid until the next call on the source. */
struct wb_message {
	const uint8_t *data;
	size_t size;
	enum wb_message_kind kind;
	/*
	 * Messages of one channel (a partition, the files of one worker) come in their order. A source without channels
	 * leaves it 0.
	 */
	uint32_t channel;
	char origin[192]; /* where it was read: "packets[3]@1234", "file.wbs@96", ...: for messages about damage */
};

struct wb_source; /* the source's own */

struct wb_source_args {
	const char *url; /* for messages */
	const char *scheme;
	const char *address;
	const void *options;
	const struct wb_property *properties;
	size_t property_count;
	bool follow;              /* do not end where the data ends now */
	bool may_be_absent;       /* next(): -ENOENT as soon as the bus says that there is no such topic */
	unsigned int wait_ms;     /* give up when the bus cannot be reached for so long; ignored with follow */
	bool give_up;             /* with follow: wait_ms counts all the same until the bus was reached once */
	size_t max_message_bytes; /* larger messages are refused */
	/*
	 * Unix time: earlier packets are of no use, so the source may begin where the first one that is can be. It
	 * never begins later, but earlier ones may come. 0: not limited.
	 */
	uint64_t since_ns;
	/*
	 * A channel may end with a message that was written for a packet of this time or later, though what comes after
	 * it may be earlier. 0: never.
	 */
	uint64_t stop_ns;
	/* Where to begin, in the source's own words; only if it takes_offset. NULL: as its options say. Copied. */
	const char *offset;
};

struct wb_source_ops {
	const char *name;
	const char *const *schemes;
	const struct wb_option_row *rows;
	size_t options_size;
	bool takes_properties;
	bool takes_offset; /* wb_source_args.offset; others are never given one */
	/* Whether the source knows where its data ends now (Kafka, files). If not (ZeroMQ), the reader ends by end of
	 * stream. */
	bool finite;
	/*
	 * Packets of any time may come at any time (a pipe with an old capture), so that no clock says that a range of
	 * time is over: only the end of the data does.
	 */
	bool any_time;
	int (*open)(const struct wb_source_args *args, struct wb_source **ret_source, struct wb_error *ret_error);
	/*
	 * 1: ret_message is set. 0: nothing within timeout_ms, call again. -ENODATA: the end. -EBADMSG: a damaged
	 * message was skipped, ret_error says which and why, call again. Other: ret_error says what; the source is of
	 * no more use.
	 */
	int (*next)(
		struct wb_source *source, int timeout_ms, struct wb_message *ret_message, struct wb_error *ret_error);
	/*
	 * What was read of a channel is known up to this time: its last packet, or the watermark of a heartbeat. A
	 * source with several channels goes on with the one that is furthest behind, so that what is held to be put in
	 * order by time stays small. NULL: it has one channel, or cannot choose.
	 */
	void (*note_time)(struct wb_source *source, uint32_t channel, uint64_t time_unix_ns);
	/*
	 * The least time noted of the channels that have more messages now; 0 when nothing was noted of one of them,
	 * UINT64_MAX when there are none: all that was there has been read. NULL: there is one channel; a source that
	 * is not finite never has more than was read.
	 */
	uint64_t (*behind)(const struct wb_source *source);
	/* How much there is to read, as far as is known, and how much of it was read; in any unit. NULL: not known. */
	void (*progress)(const struct wb_source *source, uint64_t *ret_done, uint64_t *ret_total);
	/*
	 * After the end: whether everything that was ever published there was read, from the very first message on.
	 * NULL: that is never known.
	 */
	bool (*from_start)(const struct wb_source *source);
	/*
	 * After the end: go on with next() to where the data ends by now. NULL: what comes later is not read; also when
	 * the source is not finite.
	 */
	void (*extend)(struct wb_source *source);
	void (*close)(struct wb_source *source); /* NULL is allowed */
};

#endif
