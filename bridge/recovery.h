/* SPDX-License-Identifier: Apache-2.0 */
/* What a capture finds at its start of sessions before it, and what it keeps for the next: spool and state. */
#ifndef WB_RECOVERY_H
#define WB_RECOVERY_H

#include <stdio.h>

#include "capture.h"

/*
 * Open the spool and the state file as configured, and give the workers what was left in them. After
 * wb_worker_init(), before the transport is opened. Errors: negative errno with a message.
 */
int wb_capture_recover(struct wb_capture *capture, const struct wb_config *config, struct wb_error *ret_error);
/* After the transport was closed: what it gave up goes to the spool, and the state says whether the streams ended. */
void wb_capture_keep(struct wb_capture *capture);
/* As a member of a JSON object, with a comma before it; nothing without a spool. */
void wb_capture_print_spool(struct wb_capture *capture, FILE *stream);

#endif
