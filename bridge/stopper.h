/* SPDX-License-Identifier: Apache-2.0 */
/* SIGINT and SIGTERM as a flag. A second signal, or work that does not end in time, ends the program. */
#ifndef WB_STOPPER_H
#define WB_STOPPER_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

struct wb_stopper {
	atomic_bool stop; /* a signal has come */
	unsigned int grace_s;
	int done_fd;
	int signal_fd;
	int parent_fd;   /* -1: the parent is not watched, or not any more */
	sigset_t before; /* the thread's mask */
	pthread_t thread;
};

/*
 * Block both signals in this thread, and so in all that it starts later, and wait for them in a thread of its own. From
 * the first signal on there are grace_s seconds for wb_stopper_fini(), then the process exits with 1.
 * The structure must not move. Errors: negative errno; nothing is changed then.
 */
int wb_stopper_init(struct wb_stopper *stopper, unsigned int grace_s);
/* The same for SIGTERM alone, and for the end of the parent process; SIGINT stays as it is. */
int wb_stopper_init_child(struct wb_stopper *stopper, unsigned int grace_s);
void wb_stopper_fini(struct wb_stopper *stopper);

#endif
