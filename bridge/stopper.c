/* SPDX-License-Identifier: Apache-2.0 */
#include "stopper.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "log.h"

static void forget_parent(struct wb_stopper *stopper)
{
	if (stopper->parent_fd >= 0)
		close(stopper->parent_fd);
	stopper->parent_fd = -1;
}

/* Wait for a signal. true: one came, or the parent has gone; false: there is nothing to wait for any more, or time is
 * up. */
static bool wait_for_signal(struct wb_stopper *stopper, int timeout_ms, bool *ret_timeout)
{
	struct pollfd fds[3] = {{.fd = stopper->signal_fd, .events = POLLIN},
		{.fd = stopper->done_fd, .events = POLLIN}, {.fd = stopper->parent_fd, .events = POLLIN}};
	struct signalfd_siginfo info;
	int r;

	do
		r = poll(fds, 3, timeout_ms);
	while (r < 0 && errno == EINTR);
	*ret_timeout = r == 0;
	if (r <= 0 || fds[1].revents)
		return false;
	if (fds[2].revents)
		return true;
	return read(stopper->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

static void *watch(void *argument)
{
	struct wb_stopper *stopper = argument;
	bool timeout;

	if (!wait_for_signal(stopper, -1, &timeout))
		return NULL;
	atomic_store_explicit(&stopper->stop, true, memory_order_relaxed);
	/* Whether the parent waits for the end of the work is its own affair: it is no second signal. */
	forget_parent(stopper);
	if (wait_for_signal(stopper, (int)stopper->grace_s * 1000, &timeout) || timeout) {
		if (timeout)
			wb_log(WB_LOG_ERROR, "gave up: the work did not end within %u s of the signal",
				stopper->grace_s);
		else
			wb_log(WB_LOG_ERROR, "ended by a second signal");
		_exit(1);
	}
	return NULL;
}

/* Takes parent_fd over if it succeeds, and closes it otherwise. */
static int init(struct wb_stopper *stopper, unsigned int grace_s, const sigset_t *signals, int parent_fd)
{
	int r;

	atomic_init(&stopper->stop, false);
	stopper->grace_s = grace_s;
	stopper->parent_fd = parent_fd;
	stopper->done_fd = eventfd(0, EFD_CLOEXEC);
	if (stopper->done_fd < 0) {
		r = -errno;
		goto close_parent;
	}
	stopper->signal_fd = signalfd(-1, signals, SFD_CLOEXEC);
	if (stopper->signal_fd < 0) {
		r = -errno;
		goto close_done;
	}
	r = -pthread_sigmask(SIG_BLOCK, signals, &stopper->before);
	if (r < 0)
		goto close_signal;
	r = -pthread_create(&stopper->thread, NULL, watch, stopper);
	if (r < 0)
		goto unblock;
	return 0;
unblock:
	pthread_sigmask(SIG_SETMASK, &stopper->before, NULL);
close_signal:
	close(stopper->signal_fd);
close_done:
	close(stopper->done_fd);
close_parent:
	forget_parent(stopper);
	return r;
}

int wb_stopper_init(struct wb_stopper *stopper, unsigned int grace_s)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	return init(stopper, grace_s, &signals, -1);
}

int wb_stopper_init_child(struct wb_stopper *stopper, unsigned int grace_s)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	/* Of a kernel that has no such descriptors, only the signal is known. */
	return init(stopper, grace_s, &signals, pidfd_open(getppid(), 0));
}

void wb_stopper_fini(struct wb_stopper *stopper)
{
	const uint64_t one = 1;

	if (write(stopper->done_fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(stopper->thread, NULL);
	forget_parent(stopper);
	close(stopper->signal_fd);
	close(stopper->done_fd);
	pthread_sigmask(SIG_SETMASK, &stopper->before, NULL);
}
