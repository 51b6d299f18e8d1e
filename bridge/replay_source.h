/* SPDX-License-Identifier: Apache-2.0 */
/* Where replayed packets come from: a source, read as `wirebus cat` reads it, into the buffer. */
#ifndef WB_REPLAY_SOURCE_H
#define WB_REPLAY_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cat.h"
#include "read_ahead.h"
#include "replay.h"
#include "source_setup.h"

struct wb_replay_source_args {
	const char *url;
	bool follow;
	unsigned int wait_ms;
	uint64_t since_ns, until_ns; /* Unix time; 0: not limited */
	enum wb_cat_order order;
	uint64_t window_ns;
	const char *filter; /* NULL: none */
	const atomic_bool *stop;
};

struct wb_replay_source {
	struct wb_replay_source_args args;
	struct wb_source_setup setup;
	struct wb_source *source; /* open for the next pass; NULL: not */
};

/* args: what it points to must outlive the source. Errors: -EINVAL: usage; others: at run time; with a message. */
int wb_replay_source_open(
	struct wb_replay_source *source, const struct wb_replay_source_args *args, struct wb_error *ret_error);
/* Whether it may go on for ever, with nothing to read for as long as it likes. Only while it is open. */
bool wb_replay_source_is_live(const struct wb_replay_source *source);
void wb_replay_source_close(struct wb_replay_source *source);

/* wb_replay_args.read; the context is the source. */
int wb_replay_source_read(void *context, unsigned int pass, struct wb_read_ahead *buffer,
	struct wb_replay_read *ret_read, struct wb_error *ret_error);

#endif
