/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters. The kernel's have 32 bit and are reset by reading them, so this is the only place that reads them, and
 * it adds them up in 64 bit. Those of rolling over are absolute, of one socket; what earlier sockets of the handle had
 * is kept beside.
 */
#include "internal.h"

#include <sys/socket.h>

void tpk_stats_add(struct tpacket_counters *counters, uint32_t packets, uint32_t drops, uint32_t freezes)
{
	counters->seen += packets; /* the kernel has added its drops already */
	counters->dropped += drops;
	counters->delivered = counters->seen - counters->dropped;
	counters->freezes += freezes;
}

static bool can_roll_over(const struct tpacket *handle)
{
	const struct tpacket_options *options = &handle->options;

	return handle->is_joined &&
	       (options->fanout == TPACKET_FANOUT_ROLLOVER || (options->fanout_flags & TPACKET_FANOUT_ROLL));
}

static int read_rollover(struct tpacket *handle)
{
	struct tpacket_rollover_stats stats = {0};
	socklen_t length = sizeof(stats);

	if (!can_roll_over(handle))
		return 0;
	if (getsockopt(handle->fd, SOL_PACKET, PACKET_ROLLOVER_STATS, &stats, &length) < 0)
		return -errno;
	handle->counters.rollover = handle->rollover_base[0] + stats.tp_all;
	handle->counters.rollover_huge = handle->rollover_base[1] + stats.tp_huge;
	handle->counters.rollover_failed = handle->rollover_base[2] + stats.tp_failed;
	return 0;
}

int tpk_stats_read(struct tpacket *handle)
{
	struct tpacket_stats_v3 stats = {0}; /* V1 and V2 fill in the first two members only */
	socklen_t length = sizeof(stats);

	/* What the last socket had counted was added before it was closed. */
	if (!handle->is_open)
		return 0;
	if (getsockopt(handle->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length) < 0)
		return -errno;
	tpk_stats_add(&handle->counters, stats.tp_packets, stats.tp_drops, stats.tp_freeze_q_cnt);
	return read_rollover(handle);
}

void tpk_stats_keep(struct tpacket *handle)
{
	tpk_stats_read(handle);
	handle->rollover_base[0] = handle->counters.rollover;
	handle->rollover_base[1] = handle->counters.rollover_huge;
	handle->rollover_base[2] = handle->counters.rollover_failed;
}

/* All members are 64 bit; the reader may be changing its own. */
static void copy_counters(const struct tpacket_counters *from, struct tpacket_counters *ret_counters)
{
	_Static_assert(sizeof(*from) % sizeof(uint64_t) == 0, "only 64 bit counters");
	const uint64_t *in = (const uint64_t *)from;
	uint64_t *out = (uint64_t *)ret_counters;

	for (size_t i = 0; i < sizeof(*from) / sizeof(*in); i++)
		out[i] = __atomic_load_n(&in[i], __ATOMIC_RELAXED);
}

int tpacket_stats(struct tpacket *handle, struct tpacket_counters *ret_counters)
{
	struct tpacket_counters before;

	pthread_mutex_lock(&handle->lock);
	/* The reader's before the kernel's, so that never more was read than had been seen. */
	copy_counters(&handle->counters, &before);
	int r = tpk_is_closing(handle) ? -ESHUTDOWN : tpk_stats_read(handle);
	if (r == 0) {
		*ret_counters = before;
		ret_counters->dropped = handle->counters.dropped;
		ret_counters->seen = handle->counters.seen - before.join_gap;
		ret_counters->delivered = ret_counters->seen - ret_counters->dropped;
		ret_counters->freezes = handle->counters.freezes;
		ret_counters->rollover = handle->counters.rollover;
		ret_counters->rollover_huge = handle->counters.rollover_huge;
		ret_counters->rollover_failed = handle->counters.rollover_failed;
	}
	pthread_mutex_unlock(&handle->lock);
	return r;
}
