/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `wirebus replay`. */
#ifndef WB_REPLAY_OPTIONS_H
#define WB_REPLAY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "pace_options.h"

/* Stands for the interface in messages about the bus, and in names of topics with {interface}. */
#define WB_REPLAY_INTERFACE "replay"

struct wb_replay_options {
	char *from;
	char *to;
	char *since, *until;
	bool sort;
	uint64_t window_ms;
	char *filter;
	bool follow;
	uint64_t wait_ms;
	char *summary;
	uint64_t stats_ms;
	struct wb_pace_options pace_options;
	uint64_t max_gap_ms;
	uint64_t loop;
	uint64_t limit;
	uint64_t duration_ms;
	uint64_t buffer_bytes;
	uint64_t lead_ms;
	bool preload;

	/* Made from these. */
	struct wb_pace_args pace;
	uint64_t since_ns, until_ns; /* Unix time; 0: not limited */
	struct wb_config config;     /* for a bus; to is set only then */
	struct wb_capture_config *capture_config;
};

/* -1: go on; otherwise the exit code, and why was said. wb_replay_options_fini() is needed in any case. */
int wb_replay_options_parse(struct wb_replay_options *options, int argc, char **argv);
void wb_replay_options_fini(struct wb_replay_options *options);

#endif
