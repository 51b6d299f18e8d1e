/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts the packets of many messages in the order of time, in bounded memory. Messages are held until nothing earlier is
 * to be expected: each stream's packets come nearly in their order, and so do the messages of each channel, but
 * channels are not read at the same pace, and streams that share one were not written at the same moment.
 *
 *	wb_merge_add(merge, &packets, data, size);
 *	wb_merge_bound(merge, source_is_behind, now);
 *	while (wb_merge_next(merge, &step))
 *		use(step);
 *
 * While there is more to read, a packet is held until every channel was read past it by the window. Where a source has
 * given all it has (live reading), it is held until every stream has told of a later time, by packets or by the
 * watermark of a heartbeat; a stream that says nothing for the window is not waited for any longer.
 */
#ifndef WB_MERGE_H
#define WB_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packets.h"

#define WB_MERGE_WINDOW_NS 5000000000u
#define WB_MERGE_HOLD_BYTES ((size_t)256 << 20)
/* Streams that are known at once. Packets of further ones are merged too, but nobody waits for them. */
#define WB_MERGE_STREAMS 4096u
/* Live: so long after the start others than the streams seen are waited for. A heartbeat comes every second. */
#define WB_MERGE_SETTLE_MS 1200u

struct wb_merge;

/* What is to be done next: the head of a message, before its first packet; or a packet. */
struct wb_merge_step {
	bool is_head;
	bool is_late;               /* a later packet went before this one */
	struct wb_packets *packets; /* what was taken last is this packet; valid until the next call */
};

/* Errors: -ENOMEM. */
int wb_merge_create(uint64_t window_ns, size_t hold_bytes, struct wb_merge **ret_merge);
void wb_merge_destroy(struct wb_merge *merge); /* NULL is allowed */

/*
 * Whether the packets of a message, given on in their order without adding it, would be where they belong: there is one
 * stream only, which is in order, and nothing is held. They are booked as gone then.
 * behind_ns: as for wb_merge_bound().
 */
bool wb_merge_passes(struct wb_merge *merge, const struct wb_packets *packets, uint64_t behind_ns);
/* Hold a copy of a message. packets: none taken yet; not used any more afterwards. Errors: -ENOMEM. */
int wb_merge_add(struct wb_merge *merge, const struct wb_packets *packets, const void *data, size_t size);
/*
 * How far packets may go. behind_ns: wb_source_ops.behind(); UINT64_MAX: live. now_ms: monotonic.
 * Beyond hold_bytes, the earliest may go whatever the bound.
 */
void wb_merge_bound(struct wb_merge *merge, uint64_t behind_ns, uint64_t now_ms);
/* Everything that is held may go. */
void wb_merge_release(struct wb_merge *merge);
/* true: ret_step is set. false: what is held, if any, has to wait. */
bool wb_merge_next(struct wb_merge *merge, struct wb_merge_step *ret_step);

/* Bytes held now, what describes them included. */
size_t wb_merge_held_bytes(const struct wb_merge *merge);
/* Up to this time, Unix, everything that was read has gone. */
uint64_t wb_merge_bound_ns(const struct wb_merge *merge);

#endif
