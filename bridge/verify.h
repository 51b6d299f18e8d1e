/* SPDX-License-Identifier: Apache-2.0 */
/* The reading of `wirebus verify`: messages from sources, checked and booked; what is in the packets is not looked at.
 */
#ifndef WB_VERIFY_H
#define WB_VERIFY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "source.h"
#include "streams.h"

/* Why the reading ended. */
enum wb_verify_end {
	WB_VERIFY_FAILED = 0,     /* error says why */
	WB_VERIFY_END_OF_DATA,    /* of a source that knows its end */
	WB_VERIFY_END_OF_STREAMS, /* every stream seen has ended */
	WB_VERIFY_TIME_OVER,
	WB_VERIFY_STOPPED, /* by a signal */
};

struct wb_verify_args {
	const struct wb_source_ops *source_ops;
	struct wb_source *source;
	unsigned int channel; /* see struct wb_arrival */
	bool until_ended;     /* end when every stream seen has ended */
	uint64_t until_ms;    /* end at this time, monotonic; 0: no limit */
	const atomic_bool *stop;
};

struct wb_verify {
	enum wb_verify_end end; /* of what was read last */
	uint64_t messages;      /* read, damaged ones not counted */
	uint64_t records;       /* of those: PacketRecords */
	uint64_t damaged;       /* that cannot be read, or have numbers that cannot be */
	bool from_start;        /* nothing was published before what was read */
	struct wb_streams streams;
	struct wb_sequence_limits limits;
	struct wb_error error;
};

/* The structure must not move afterwards. */
void wb_verify_init(struct wb_verify *verify);
/*
 * Read until the end; may be called for several sources one after the other. Each damaged message is logged (the first
 * hundred) and counted. Returns 0, or a negative errno of the source with verify->error set.
 */
int wb_verify_read(struct wb_verify *verify, const struct wb_verify_args *args);
const char *wb_verify_end_name(enum wb_verify_end end);
void wb_verify_fini(struct wb_verify *verify);

#endif
