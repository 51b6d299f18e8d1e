/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `wirebus run`, and the configuration that comes of it. */
#ifndef WB_RUN_ARGUMENTS_H
#define WB_RUN_ARGUMENTS_H

#include "config.h"

/*
 * Parse, read the file that is named, and check everything. Returns an exit code (what is wrong was told; or --help),
 * or -1 to go on. Ownership: wb_config_fini() config in any case.
 */
int wb_run_configure(int argc, char **argv, struct wb_config *config);

#endif
