/* SPDX-License-Identifier: Apache-2.0 */
/* The part of `run`'s configuration (config.h) that a publisher has a use for. */
#ifndef WB_PUBLISHER_CONFIG_H
#define WB_PUBLISHER_CONFIG_H

#include "config.h"

/* Rows of tables that have no rings in them, of struct wb_config and struct wb_capture_config. */
struct wb_publisher_rows {
	struct wb_option_row process[12];
	struct wb_option_row capture[24];
};

/* Valid as long as the structure. */
void wb_publisher_rows_init(struct wb_publisher_rows *rows);

/*
 * Defaults, and one capture, called name: in messages for people, as {interface} in a topic's name and in keys of kind
 * `interface`. Errors: -ENOMEM. wb_config_fini() frees it, also after an error.
 */
int wb_publisher_config_init(struct wb_config *config, const char *name, struct wb_capture_config **ret_capture);

#endif
