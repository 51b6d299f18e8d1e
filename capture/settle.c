/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ring holds from before a change. The kernel swaps a filter at once, but does not look again at packets that
 * are in the ring already; the reader does that here, in user space, for as many blocks or frames as can hold some.
 * Looking at a packet that passed the new filter anyway changes nothing (tpk_filter_can_run() sees to that), so it does
 * not matter that the last block holds packets from before and after.
 */
#include "internal.h"
#include "barrier.h"

#include <linux/membarrier.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Much longer than a packet stays in the kernel's receive path. */
#define BLIND_WAIT_MS 100

/*
 * Wait until every CPU that was handling a packet has finished with it. Filters run between rcu_read_lock() and
 * rcu_read_unlock(), and so does the copy into the ring; this command is synchronize_rcu() (kernel/sched/membarrier.c).
 * Kernels with nohz_full refuse it. Then close(2) of a packet socket, which waits for the same (packet_release()), or
 * without the right to open one, waiting blindly.
 */
void tpk_settle_wait(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0)
		return;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		close(fd);
	else
		poll(NULL, 0, BLIND_WAIT_MS);
}

/*
 * V1 and V2: several CPUs fill frames at the same time. After the first wait nobody runs the old filter any more, but
 * one of its frames may lie behind one that is still being filled, where ready() does not see it. After the second wait
 * that one is finished, too. V3 hands over a block only when everything in it is complete.
 */
void tpk_settle_barrier(const struct tpacket *handle)
{
	tpk_settle_wait();
	if (!handle->ops->has_blocks)
		tpk_settle_wait();
}

static void put_request(
	struct tpk_settle *settle, struct sock_filter *filter, uint16_t length, bool has_markers, bool is_endless)
{
	/* One that the reader has not taken yet is replaced, but for its markers: they are in the ring. */
	bool is_pending = __atomic_load_n(&settle->is_requested, __ATOMIC_RELAXED);

	free(settle->new_filter);
	settle->new_filter = filter;
	settle->new_filter_length = length;
	settle->new_has_markers = has_markers || (is_pending && settle->new_has_markers);
	settle->new_is_endless = is_endless;
	tpk_flag_raise(&settle->is_requested);
}

void tpk_settle_mark(struct tpacket *handle)
{
	put_request(&handle->settle, NULL, 0, true, true);
}

void tpk_settle_request(struct tpacket *handle, struct sock_filter *filter, uint16_t length, bool has_markers)
{
	put_request(&handle->settle, filter, length, has_markers, false);
}

/*
 * The packets from before lie in what has been handed over, and in the one block that the kernel has open (V3). It does
 * not matter when the reader comes by here: what it has taken since the change is counted neither in ready() nor
 * needed.
 */
void tpk_settle_begin(struct tpacket *handle)
{
	struct tpk_settle *settle = &handle->settle;

	pthread_mutex_lock(&handle->lock);
	if (tpk_flag_take(&settle->is_requested)) {
		free(settle->filter);
		settle->filter = settle->new_filter;
		settle->filter_length = settle->new_filter_length;
		settle->new_filter = NULL;
		settle->has_markers = settle->new_has_markers || (settle->left > 0 && settle->has_markers);
		settle->left = settle->new_is_endless ? UINT32_MAX : handle->ops->ready(handle) + 1;
	}
	pthread_mutex_unlock(&handle->lock);
}

static bool is_marker(const struct tpacket_packet *packet)
{
	return packet->captured_length <= TPK_MARKER_BYTES && packet->original_length > packet->captured_length;
}

bool tpk_settle_keeps(struct tpacket *handle, struct tpacket_packet *packet)
{
	const struct tpk_settle *settle = &handle->settle;

	if (settle->has_markers && is_marker(packet)) {
		/* In this order nobody sees more read than was seen. */
		tpk_count(&handle->counters.read, (uint64_t)-1);
		tpk_count(&handle->counters.join_gap, 1);
		return false;
	}
	if (!settle->filter)
		return true;
	uint32_t keep = tpk_filter_run(settle->filter, settle->filter_length, packet);
	if (keep == 0) {
		tpk_count(&handle->counters.refiltered, 1);
		return false;
	}
	if (keep < packet->captured_length)
		packet->captured_length = keep;
	return true;
}

void tpk_settle_free(struct tpacket *handle)
{
	free(handle->settle.filter);
	free(handle->settle.new_filter);
	handle->settle.filter = NULL;
	handle->settle.new_filter = NULL;
}
