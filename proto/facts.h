/* SPDX-License-Identifier: Apache-2.0 */
/* Everything of a batch but its packets, written by protobuf-c's generated code; allocates nothing. */
#ifndef WBPROTO_FACTS_H
#define WBPROTO_FACTS_H

#include "varint.h"
#include "wbproto.h"

/*
 * Most bytes that the facts at sealing can take: three fixed64 with two bytes of tag, the flags, and the counters, of
 * which 15 have one byte of tag and 7 have two. A unit test compares it with protobuf-c's figure.
 */
#define WBP_COUNTERS_MAX_BYTES (15 * (1 + WBP_VARINT64_MAX_BYTES) + 9 * (2 + WBP_VARINT64_MAX_BYTES))
#define WBP_TAIL_MAX_BYTES (3 * (2 + 8) + (2 + WBP_VARINT32_MAX_BYTES) + (2 + 2 + WBP_COUNTERS_MAX_BYTES))

/* 0, or -EINVAL when a string of the batch is not UTF-8. */
int wbp_facts_check(const struct wbproto_batch *batch);

/* Bytes of the facts at opening. */
size_t wbp_head_bytes(const struct wbproto_batch *batch);

/* Write the facts at opening, wbp_head_bytes() bytes; returns how many. */
size_t wbp_head_write(const struct wbproto_batch *batch, uint8_t *out);

/* Write the facts at sealing, with these times in place of the batch's; at most WBP_TAIL_MAX_BYTES, returns how many.
 */
size_t wbp_tail_write(const struct wbproto_batch *batch, uint64_t min_time_ns, uint64_t max_time_ns, uint8_t *out);

#endif
