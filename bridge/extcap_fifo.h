/* SPDX-License-Identifier: Apache-2.0 */
/* The FIFO that Wireshark gives to each capture. Its reader, dumpcap, may open it later than this side. */
#ifndef WB_EXTCAP_FIFO_H
#define WB_EXTCAP_FIFO_H

#include <stdatomic.h>
#include <stdbool.h>

#include "output.h"

/*
 * Open for writing, when there is a reader. path must outlive the output. Blocks until then, or until stop is set.
 * Errors: -ECANCELED: stopped; -EISNAM: it is a file, which is left as it is; other negative errno.
 */
int wb_extcap_fifo_open(const char *path, const atomic_bool *stop, struct wb_output *ret_output);

/*
 * Nothing will be written: open and close it, waiting at most wait_ms for the reader. One that never finds a writer
 * waits for ever, and Wireshark with it, without showing what was wrong. What is no FIFO is left alone.
 */
void wb_extcap_fifo_refuse(const char *path, unsigned int wait_ms);

#endif
