/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a sending ring, and the interface under it.
 *
 * poll(2) is of no use: it says POLLOUT whenever the socket's buffer is less than half full, whatever is in the ring,
 * so it would return at once while frames are on their way. But the kernel wakes the waiters each time a frame has
 * left, and an edge-triggered epoll(7) tells that. It does not wake them while the buffer is more than half full, and
 * an interface that comes up makes no event on a socket without protocol; so no wait is longer than a short step as
 * long as something is outstanding.
 */
#include "tx.h"
#include "barrier.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_NS (100 * NS_PER_MS)
#define STEP_MS 10
/* The interface's queue was full: so long until the next try, as nothing tells when there is room again. */
#define FULL_QUEUE_MS 1

static bool is_gone(const struct tpacket_tx *tx)
{
	struct sockaddr_ll address = {0};
	socklen_t length = sizeof(address);

	/* The index becomes -1; a new interface may get the old one, so the index itself tells nothing. */
	return getsockname(tx->fd, (struct sockaddr *)&address, &length) == 0 &&
	       (unsigned int)address.sll_ifindex != tx->index;
}

/* Without a carrier the kernel takes frames and throws them away. Drivers that do not know are taken at their word. */
static bool has_carrier(const struct tpacket_tx *tx, struct ifreq *request, short flags)
{
	struct ethtool_value link = {.cmd = ETHTOOL_GLINK};

	if (flags & IFF_RUNNING)
		return true;
	request->ifr_data = (char *)&link;
	return ioctl(tx->fd, SIOCETHTOOL, request) < 0 || link.data;
}

int tpk_tx_look(struct tpacket_tx *tx, int64_t now_ns)
{
	struct ifreq request = {.ifr_ifindex = (int)tx->index};

	tx->next_look_ns = now_ns + LOOK_NS;
	if (tx->is_gone || is_gone(tx) || ioctl(tx->fd, SIOCGIFNAME, &request) < 0) {
		tx->is_gone = true;
		return -ENODEV;
	}
	if (ioctl(tx->fd, SIOCGIFMTU, &request) == 0)
		tx->mtu = (uint32_t)request.ifr_mtu;
	if (ioctl(tx->fd, SIOCGIFHWADDR, &request) == 0)
		tx->hardware_type = request.ifr_hwaddr.sa_family;
	if (ioctl(tx->fd, SIOCGIFFLAGS, &request) == 0)
		tx->is_down = !(request.ifr_flags & IFF_UP) || !has_carrier(tx, &request, request.ifr_flags);
	return 0;
}

int tpk_tx_look_when_due(struct tpacket_tx *tx)
{
	int64_t now_ns = tpk_now_ns();

	if (!tx->is_gone && (tx->is_down || now_ns >= tx->next_look_ns))
		tpk_tx_look(tx, now_ns);
	if (tx->is_gone)
		return -ENODEV;
	return tx->is_down ? -ENETDOWN : 0;
}

int tpacket_tx_mtu(struct tpacket_tx *tx)
{
	int r = tpk_tx_look(tx, tpk_now_ns());

	return r < 0 ? r : (int)tx->mtu;
}

/* Is it worth trying to send again? is_edge: a frame left just now. */
static bool may_send(struct tpacket_tx *tx, int64_t now_ns, bool is_edge)
{
	switch (tx->stopped) {
	case 0:
		return true;
	case -ENETDOWN:
		return tpk_tx_look_when_due(tx) != -ENETDOWN;
	case -ENOBUFS:
		return now_ns - tx->stopped_ns >= FULL_QUEUE_MS * NS_PER_MS;
	default:
		return is_edge || now_ns - tx->stopped_ns >= STEP_MS * NS_PER_MS;
	}
}

static int step_ms(const struct tpacket_tx *tx, int64_t now_ns, int64_t deadline_ns)
{
	int64_t step = -1;

	if (tx->queued)
		step = tx->stopped == -ENOBUFS ? FULL_QUEUE_MS : STEP_MS;
	else if (tx->head_frame < tx->tail_frame)
		step = STEP_MS;
	/* Rounded up, so that it does not spin through the last fraction. */
	int64_t left = (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
	if (deadline_ns != INT64_MAX && (step < 0 || left < step))
		step = left > INT32_MAX ? INT32_MAX : left;
	return (int)step;
}

static void wake_drain(struct tpacket_tx *tx)
{
	uint64_t wakes;

	/* Non-blocking: with nothing to drain it fails, which is as good. */
	while (read(tx->wake_fd, &wakes, sizeof(wakes)) < 0 && errno == EINTR)
		;
}

void tpacket_tx_wake(struct tpacket_tx *tx)
{
	const uint64_t one = 1;
	int saved = errno;

	tpk_flag_raise(&tx->woken);
	while (write(tx->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	errno = saved;
}

int tpacket_tx_wait(struct tpacket_tx *tx, int timeout_ms)
{
	int64_t now_ns = tpk_now_ns();
	int64_t deadline_ns = timeout_ms < 0 ? INT64_MAX : now_ns + timeout_ms * NS_PER_MS;
	int events = 0;

	for (;;) {
		struct epoll_event event[2];
		if (tpk_flag_take(&tx->woken)) {
			wake_drain(tx);
			return 0;
		}
		if (tpk_tx_has_result(tx))
			return 1;
		if (tx->queued && tx->is_gone)
			return -ENODEV;
		if (tx->queued && may_send(tx, now_ns, events > 0))
			return 1;
		if (now_ns >= deadline_ns)
			return 0;
		events = epoll_wait(tx->epoll_fd, event, 2, step_ms(tx, now_ns, deadline_ns));
		if (events < 0 && errno != EINTR)
			return -errno;
		/* The flag is raised before the eventfd, and looked at again. */
		for (int i = 0; i < events; i++)
			if (event[i].data.fd == tx->wake_fd)
				wake_drain(tx);
		now_ns = tpk_now_ns();
	}
}

void tpacket_tx_counters(const struct tpacket_tx *tx, struct tpacket_tx_counters *ret_counters)
{
	const uint64_t *from = (const uint64_t *)&tx->counters;
	uint64_t *to = (uint64_t *)ret_counters;

	for (size_t i = 0; i < sizeof(*ret_counters) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
