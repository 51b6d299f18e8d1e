/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record mode: a buffer of records is one entry, as one each would cost more than the records. Some may reach the bus
 * before the others: those are noted in memory and not sent again. After a restart nobody knows of them any more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "record_batch.h"
#include "spool_internal.h"

_Static_assert(sizeof(struct wb_record) == WB_SPOOL_NOTE_BYTES, "notes are read in place");

static void put_le(uint8_t *to, size_t bytes, uint64_t value)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get_le(const uint8_t *from, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)from[i] << 8 * i;
	return value;
}

uint8_t *wb_spool_notes_write(const struct wb_batch *batch)
{
	uint8_t *notes = calloc(batch->record_count, WB_SPOOL_NOTE_BYTES);

	for (uint32_t i = 0; notes && i < batch->record_count; i++) {
		uint8_t *note = notes + (size_t)i * WB_SPOOL_NOTE_BYTES;

		put_le(note, 8, (uint64_t)batch->records[i].time_ms);
		put_le(note + 8, 4, batch->records[i].end);
	}
	return notes;
}

size_t wb_spool_records_bytes(size_t message_length, uint32_t records)
{
	size_t notes = (size_t)records * WB_SPOOL_NOTE_BYTES;

	return message_length > notes ? message_length - notes : 0;
}

bool wb_spool_notes_check(const uint8_t *notes, uint32_t records, size_t bytes)
{
	uint64_t begin = 0;

	for (uint32_t i = 0; i < records; i++) {
		uint64_t end = get_le(notes + (size_t)i * WB_SPOOL_NOTE_BYTES + 8, 4);

		if (end <= begin)
			return false;
		begin = end;
	}
	return begin == bytes;
}

struct wb_record *wb_spool_notes_read(void *notes, uint32_t records)
{
	struct wb_record *read = notes;

	for (uint32_t i = 0; i < records; i++) {
		const uint8_t *note = (const uint8_t *)&read[i];

		read[i] = (struct wb_record){.time_ms = (int64_t)get_le(note, 8), .end = (uint32_t)get_le(note + 8, 4)};
	}
	return read;
}

int wb_spool_leave_out(struct wb_spool_entry *entry, uint8_t *data, struct wb_spool_item *item)
{
	struct wb_batch *batch = &item->batch;

	/* Here, as it must not fail when the outcomes come. */
	if (!entry->done)
		entry->done = calloc(entry->records, 1);
	if (!entry->done)
		return -ENOMEM;
	for (uint32_t i = 0; i < entry->records; i++)
		item->records[i].host = entry->done[i];
	batch->record_count = batch->packets = wb_record_batch_compact(data, item->records, entry->records);
	batch->size = item->records[batch->record_count - 1].end;
	batch->records = item->records;
	return 0;
}

void wb_spool_records_settled(struct wb_spool_entry *entry, const struct wb_record *records, uint32_t count)
{
	uint32_t j = 0;

	/* Those that were read are the ones that had no outcome, in their order. */
	for (uint32_t i = 0; i < entry->records && j < count; i++) {
		if (entry->done[i] || !records[j++].host)
			continue;
		entry->done[i] = 1;
		entry->packets--;
	}
}
