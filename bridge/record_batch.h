/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record mode: PacketRecords back to back in a pool's buffer. Where each ends is noted from the buffer's end downwards,
 * so that the two together fill it whatever the packets' sizes are.
 *
 *	wb_record_batch_open(buffer);
 *	while (wb_record_batch_append(buffer, &record) == 0)
 *		next(&record);
 *	wb_record_batch_seal(buffer);
 */
#ifndef WB_RECORD_BATCH_H
#define WB_RECORD_BATCH_H

#include "pool.h"
#include "wbproto.h"

/* Bytes of the buffer that a record takes beside its own at most. */
#define WB_RECORD_BATCH_OVERHEAD_BYTES (2 * sizeof(struct wb_record))

void wb_record_batch_open(struct wb_buffer *buffer);
/* Errors: -ENOSPC: it does not fit; as wbproto_record_write(). Nothing was written then. */
int wb_record_batch_append(struct wb_buffer *buffer, const struct wbproto_record *record);
/* Make the buffer's batch ready to be published: it has at least one record. */
void wb_record_batch_seal(struct wb_buffer *buffer);
/*
 * Take out the records that have an outcome (wb_record.host is not 0); the others keep their order. Returns how many
 * these are.
 */
uint32_t wb_record_batch_compact(uint8_t *data, struct wb_record *records, uint32_t count);

#endif
