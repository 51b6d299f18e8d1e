/* SPDX-License-Identifier: Apache-2.0 */
#include "record_batch.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <string.h>

/* While the batch is open, batch.packets and batch.size tell how much is in it. */

/* Behind the notes; they lie below. */
static struct wb_record *notes_end(struct wb_buffer *buffer)
{
	size_t bytes = buffer->pool->buffer_bytes / alignof(struct wb_record) * alignof(struct wb_record);

	return (struct wb_record *)(void *)(buffer->memory + bytes);
}

void wb_record_batch_open(struct wb_buffer *buffer)
{
	buffer->batch.data = buffer->memory;
	buffer->batch.size = 0;
	buffer->batch.packets = 0;
	buffer->batch.flags = 0;
	buffer->batch.max_time_ms = 0;
	wb_buffer_expect_records(buffer, NULL, 0);
}

int wb_record_batch_append(struct wb_buffer *buffer, const struct wbproto_record *record)
{
	struct wb_batch *batch = &buffer->batch;
	struct wb_record *note = notes_end(buffer) - (batch->packets + 1);
	uint8_t *at = buffer->memory + batch->size;
	int64_t time_ms = (int64_t)(record->packet.time_unix_ns / 1000000u);
	size_t size;
	int r;

	if ((uint8_t *)note <= at)
		return -ENOSPC;
	r = wbproto_record_write(record, at, (size_t)((uint8_t *)note - at), &size);
	if (r < 0)
		return r;
	batch->size += size;
	batch->packets++;
	if (time_ms > batch->max_time_ms)
		batch->max_time_ms = time_ms;
	*note = (struct wb_record){.time_ms = time_ms, .end = (uint32_t)batch->size};
	return 0;
}

void wb_record_batch_seal(struct wb_buffer *buffer)
{
	struct wb_record *last = notes_end(buffer) - 1;
	struct wb_record *first = last - (buffer->batch.packets - 1);

	assert(buffer->batch.packets > 0);
	wb_buffer_expect_records(buffer, first, buffer->batch.packets);
	/* The first record's note is the last in memory. */
	for (; first < last; first++, last--) {
		struct wb_record note = *first;

		*first = *last;
		*last = note;
	}
}

uint32_t wb_record_batch_compact(uint8_t *data, struct wb_record *records, uint32_t count)
{
	uint32_t kept = 0, begin = 0, to = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t size = records[i].end - begin;

		if (!records[i].host) {
			memmove(data + to, data + begin, size);
			to += size;
			records[kept++] = (struct wb_record){.time_ms = records[i].time_ms, .end = to};
		}
		begin += size;
	}
	return kept;
}
