/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters. The kernel's have 32 bit and are reset by reading them, so this is the only place that reads them, and
 * it adds them up in 64 bit.
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

int tpacket_stats(struct tpacket *handle, struct tpacket_counters *ret_counters)
{
	struct tpacket_stats_v3 stats = {0}; /* V1 and V2 fill in the first two members only */
	socklen_t length = sizeof(stats);

	if (getsockopt(handle->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length) < 0)
		return -errno;
	tpk_stats_add(&handle->counters, stats.tp_packets, stats.tp_drops, stats.tp_freeze_q_cnt);
	*ret_counters = handle->counters;
	return 0;
}
