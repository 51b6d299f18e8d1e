/* SPDX-License-Identifier: Apache-2.0 */
/* Where to begin in the partitions of a topic, as users write it. */
#ifndef WB_KAFKA_OFFSET_H
#define WB_KAFKA_OFFSET_H

#include <stddef.h>
#include <stdint.h>

#include "wirebus/option.h"

struct wb_kafka_offset {
	int32_t partition; /* -1: every one */
	enum {
		WB_KAFKA_OFFSET_EARLIEST,
		WB_KAFKA_OFFSET_LATEST,
		WB_KAFKA_OFFSET_NUMBER,
		WB_KAFKA_OFFSET_FROM_END
	} kind;
	int64_t number; /* not negative */
};

/* Of a whole topic: one for every partition, or one for each that is read. */
struct wb_kafka_offsets {
	struct wb_kafka_offset *list;
	size_t count;
};

/*
 * "earliest" or "beginning", "latest" or "end", "1234", "-1000" (so many before the end), or any of these for single
 * partitions, "0:100,1:latest": those that are not named are not read then.
 * Errors: -EINVAL with a message that quotes the text, -ENOMEM; there is nothing to free then.
 */
int wb_kafka_offsets_parse(const char *text, struct wb_kafka_offsets *ret_offsets, struct wb_error *ret_error);
void wb_kafka_offsets_fini(struct wb_kafka_offsets *offsets);
/* NULL: the partition is not read. */
const struct wb_kafka_offset *wb_kafka_offset_of(const struct wb_kafka_offsets *offsets, int32_t partition);
/*
 * Where to begin between the watermarks. ret_lost: of a number, how many of the offsets from it on are gone; 0: none.
 */
int64_t wb_kafka_offset_resolve(const struct wb_kafka_offset *offset, int64_t low, int64_t high, int64_t *ret_lost);

#endif
