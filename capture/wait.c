/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a block: the ring's socket and the eventfd of tpacket_wake(), in steps that look after the interface. */
#include "internal.h"
#include "barrier.h"

#include <limits.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

/* An interface that vanishes makes no event, so no single poll lasts longer. */
#define STEP_UP_NS (1 * NS_PER_S)
#define STEP_DOWN_NS (100 * NS_PER_MS)
/* The socket says that there is something, and there is nothing: leave it alone for so long instead of spinning. */
#define STEP_QUIET_NS (10 * NS_PER_MS)

int64_t tpk_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

void tpk_wake_drain(struct tpacket *handle)
{
	uint64_t wakes;

	/* Non-blocking: with nothing to drain it fails, which is as good. */
	while (read(handle->wake_fd, &wakes, sizeof(wakes)) < 0 && errno == EINTR)
		;
}

void tpk_wake_nudge(struct tpacket *handle)
{
	const uint64_t one = 1;

	while (write(handle->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void tpacket_wake(struct tpacket *handle)
{
	int saved = errno;

	/* The flag is what counts; the eventfd only ends a poll that is going on. */
	tpk_flag_raise(&handle->woken);
	tpk_wake_nudge(handle);
	errno = saved;
}

static int64_t step_ns(const struct tpacket *handle, int64_t now_ns, int64_t deadline_ns, bool is_quiet)
{
	const struct tpk_link *link = &handle->link;
	int64_t step = link->is_down || link->is_gone ? STEP_DOWN_NS : STEP_UP_NS;

	if (is_quiet)
		step = STEP_QUIET_NS;
	if (link->is_gone && link->gone_final_ns - now_ns < step)
		step = link->gone_final_ns - now_ns;
	if (deadline_ns - now_ns < step)
		step = deadline_ns - now_ns;
	return step > 0 ? step : 0;
}

int tpk_wait_poll(struct tpacket *handle, int64_t step, bool is_quiet)
{
	struct pollfd fds[] = {
		{.fd = handle->wake_fd, .events = POLLIN},
		{.fd = is_quiet ? -1 : handle->fd, .events = POLLIN | POLLERR},
	};
	struct timespec timeout = {.tv_sec = step / NS_PER_S, .tv_nsec = step % NS_PER_S};

	tpk_count(&handle->counters.polls, 1);
	if (ppoll(fds, 2, &timeout, NULL) < 0)
		return errno == EINTR ? 0 : -errno;
	if (fds[0].revents & POLLIN)
		tpk_wake_drain(handle);
	return fds[1].revents & POLLNVAL ? -EBADF : fds[1].revents;
}

/* The interface is gone. A block that was handed over at the last moment is read before the ring goes, too. */
static int leave_link(struct tpacket *handle, struct tpacket_lease *ret_lease)
{
	if (tpk_ring_acquire(handle, ret_lease))
		return 1;
	if (handle->group)
		tpk_reopen_park(handle);
	return -ENODEV;
}

int tpk_wait_for_block(struct tpacket *handle, int timeout_ms, struct tpacket_lease *ret_lease)
{
	if (unlikely(tpk_reopen_is_due(handle)))
		return tpk_reopen_wait(handle, timeout_ms);

	int64_t now_ns = tpk_now_ns();
	int64_t deadline_ns = timeout_ms < 0 ? INT64_MAX : now_ns + timeout_ms * NS_PER_MS;
	bool is_quiet = false;

	/* Also a reader that always finds something in the end is to know its interface. */
	tpk_link_look(handle, now_ns);
	for (;;) {
		int events = tpk_wait_poll(handle, step_ns(handle, now_ns, deadline_ns, is_quiet), is_quiet);
		if (events < 0)
			return events;
		/* Every poll that drains the eventfd comes by here, so no wake-up is lost. */
		if (tpk_is_closing(handle))
			return -ESHUTDOWN;
		if (tpk_flag_take(&handle->woken)) {
			tpk_wake_drain(handle);
			return 0;
		}
		if (tpk_ring_acquire(handle, ret_lease))
			return 1;
		now_ns = tpk_now_ns();
		bool is_sticky;
		int r = tpk_link_check(handle, events & POLLERR, now_ns, &is_sticky);
		if (r == -ENODEV)
			return leave_link(handle, ret_lease);
		if (r < 0)
			return r;
		if (now_ns >= deadline_ns)
			return 0;
		is_quiet = is_sticky || (events & POLLIN);
	}
}
