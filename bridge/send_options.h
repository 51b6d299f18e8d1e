/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `wirebus send`. */
#ifndef WB_SEND_OPTIONS_H
#define WB_SEND_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "pace_options.h"

/* {interface} in topics and in keys, where --interface gives no name. */
#define WB_SEND_INTERFACE "file"

enum wb_send_shift { WB_SEND_KEEP = 0, WB_SEND_NOW = 1 };

struct wb_send_options {
	const char **paths; /* they are the arguments' */
	size_t path_count;
	unsigned int shift; /* enum wb_send_shift */
	char *interface;    /* NULL: none */
	bool follow;
	uint64_t count; /* 0: not limited */
	uint64_t wait_ms;
	struct wb_pace_options pace_options;
	struct wb_pace_args pace; /* made from these */
	struct wb_config config;  /* of what publishes */
	struct wb_capture_config *capture_config;
};

/*
 * Parse and check. Returns -1: all is well; otherwise the exit code, and what there is to say was printed.
 * wb_send_options_fini() in any case.
 */
int wb_send_options_parse(struct wb_send_options *options, int argc, char **argv);
void wb_send_options_fini(struct wb_send_options *options);

#endif
