/* SPDX-License-Identifier: Apache-2.0 */
/* Signals of a command that runs until it is told to end; of one whose work looks at a flag: stopper.h. */
#ifndef WB_SIGNALS_H
#define WB_SIGNALS_H

/* From now on a reader that has gone is EPIPE of the write, and not the end. */
void wb_signals_ignore_pipe(void);
/*
 * The same, and SIGTERM, SIGINT and SIGUSR1 arrive through a descriptor; threads that libraries start later inherit the
 * mask. Returns the descriptor, which is the caller's to close. Errors: negative errno.
 */
int wb_signals_open(void);
/* Wait up to timeout_ms. Returns the number of a signal that came, or 0. */
int wb_signals_wait(int fd, int timeout_ms);

#endif
