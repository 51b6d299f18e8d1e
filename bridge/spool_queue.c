/* SPDX-License-Identifier: Apache-2.0 */
/* The spool's index: what is on disk, by stream and number. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spool_internal.h"

static bool is_stream(const struct wb_spool_stream *stream, const uint8_t session_id[16], uint32_t stream_id)
{
	return stream->stream_id == stream_id && memcmp(stream->session_id, session_id, 16) == 0;
}

struct wb_spool_stream *wb_spool_stream_get(
	struct wb_spool_queue *queue, const uint8_t session_id[16], uint32_t stream_id, bool recovered)
{
	struct wb_spool_stream **at = &queue->streams;

	/* Files are found in the order of their sessions: appending keeps it. */
	for (; *at; at = &(*at)->next)
		if (is_stream(*at, session_id, stream_id))
			return *at;
	*at = calloc(1, sizeof **at);
	if (!*at)
		return NULL;
	memcpy((*at)->session_id, session_id, 16);
	(*at)->stream_id = stream_id;
	(*at)->recovered = recovered;
	return *at;
}

/* The entry after which batch_seq belongs; NULL: it is the first. Most come last; what comes back comes first. */
static struct wb_spool_entry *place(const struct wb_spool_stream *stream, uint64_t batch_seq)
{
	struct wb_spool_entry *before = NULL;

	if (stream->last && stream->last->batch_seq <= batch_seq)
		return stream->last;
	for (struct wb_spool_entry *entry = stream->first; entry && entry->batch_seq <= batch_seq; entry = entry->next)
		before = entry;
	return before;
}

static void mark_unsent(struct wb_spool_stream *stream, struct wb_spool_entry *entry)
{
	entry->sent = false;
	if (!stream->unsent || entry->batch_seq < stream->unsent->batch_seq)
		stream->unsent = entry;
}

/* The first that has not been sent, from this one on. */
static struct wb_spool_entry *skip_sent(struct wb_spool_entry *entry)
{
	while (entry && entry->sent)
		entry = entry->next;
	return entry;
}

bool wb_spool_has(const struct wb_spool_stream *stream, uint64_t batch_seq)
{
	const struct wb_spool_entry *before = place(stream, batch_seq);

	return before && before->batch_seq == batch_seq;
}

int wb_spool_insert(struct wb_spool_stream *stream, struct wb_spool_entry *entry)
{
	struct wb_spool_entry *before = place(stream, entry->batch_seq);

	if (before && before->batch_seq == entry->batch_seq)
		return -EEXIST;
	entry->stream = stream;
	entry->previous = before;
	entry->next = before ? before->next : stream->first;
	*(before ? &before->next : &stream->first) = entry;
	*(entry->next ? &entry->next->previous : &stream->last) = entry;
	mark_unsent(stream, entry);
	return 0;
}

static void unlink_entry(struct wb_spool_entry *entry)
{
	struct wb_spool_stream *stream = entry->stream;

	*(entry->previous ? &entry->previous->next : &stream->first) = entry->next;
	*(entry->next ? &entry->next->previous : &stream->last) = entry->previous;
	if (stream->unsent == entry)
		stream->unsent = skip_sent(entry->next);
}

struct wb_spool_segment *wb_spool_segment_add(struct wb_spool_queue *queue, const char *name)
{
	struct wb_spool_segment *segment = calloc(1, sizeof *segment);

	if (!segment)
		return NULL;
	memcpy(segment->name, name, strnlen(name, sizeof segment->name - 1));
	segment->next = queue->segments;
	queue->segments = segment;
	return segment;
}

static void forget_reader(struct wb_spool_queue *queue)
{
	if (queue->read_fd >= 0)
		close(queue->read_fd);
	queue->read_fd = -1;
	queue->read_name[0] = 0;
}

static void remove_segment(struct wb_spool_queue *queue, struct wb_spool_segment *segment)
{
	struct wb_spool_segment **at = &queue->segments;

	if (strcmp(queue->read_name, segment->name) == 0)
		forget_reader(queue);
	unlinkat(queue->spool->directory, segment->name, 0);
	while (*at != segment)
		at = &(*at)->next;
	*at = segment->next;
	free(segment);
}

void wb_spool_segment_check(struct wb_spool_queue *queue, struct wb_spool_segment *segment)
{
	if (segment->live)
		return;
	atomic_fetch_sub(&queue->spool->used, segment->charged);
	segment->charged = 0;
	if (segment == queue->active) {
		/* A bus that is full now and then would otherwise make a file each time. */
		if (wb_segments_rewind(&queue->writer) == 0)
			return;
		wb_segments_close(&queue->writer);
		queue->active = NULL;
	}
	remove_segment(queue, segment);
}

struct wb_spool_entry *wb_spool_next(struct wb_spool_queue *queue)
{
	struct wb_spool_stream *first = NULL;

	for (struct wb_spool_stream *stream = queue->streams; stream; stream = stream->next) {
		if (!stream->unsent)
			continue;
		if (stream->recovered)
			return stream->unsent;
		if (!first)
			first = stream;
	}
	for (struct wb_spool_stream *stream = queue->turn; stream; stream = stream->next)
		if (stream->unsent)
			return stream->unsent;
	return first ? first->unsent : NULL;
}

void wb_spool_sent(struct wb_spool_queue *queue, struct wb_spool_entry *entry)
{
	struct wb_spool_stream *stream = entry->stream;

	entry->sent = true;
	stream->unsent = skip_sent(stream->unsent);
	if (!stream->recovered)
		queue->turn = stream->next;
}

void wb_spool_unsent(struct wb_spool_queue *queue, struct wb_spool_entry *entry)
{
	mark_unsent(entry->stream, entry);
}

/* A stream of an earlier session gets nothing any more. */
static void drop_stream(struct wb_spool_queue *queue, struct wb_spool_stream *stream)
{
	struct wb_spool_stream **at = &queue->streams;

	while (*at != stream)
		at = &(*at)->next;
	*at = stream->next;
	free(stream);
}

void wb_spool_settled(struct wb_spool_queue *queue, struct wb_spool_entry *entry)
{
	struct wb_spool_segment *segment = entry->segment;
	struct wb_spool_stream *stream = entry->stream;

	unlink_entry(entry);
	free(entry->done);
	free(entry);
	atomic_fetch_sub(&queue->spool->entries, 1);
	if (stream->recovered && !stream->first)
		drop_stream(queue, stream);
	segment->live--;
	wb_spool_segment_check(queue, segment);
}

bool wb_spool_holds(const struct wb_spool_queue *queue, const uint8_t session_id[16], uint32_t stream_id)
{
	for (const struct wb_spool_stream *stream = queue->streams; stream; stream = stream->next)
		if (is_stream(stream, session_id, stream_id))
			return stream->first != NULL;
	return false;
}

uint64_t wb_spool_entry_seq(const struct wb_spool_entry *entry)
{
	return entry->batch_seq;
}

uint32_t wb_spool_entry_packets(const struct wb_spool_entry *entry)
{
	return entry->packets;
}

size_t wb_spool_entry_size(const struct wb_spool_entry *entry)
{
	size_t size = entry->length - entry->route_length;

	return entry->records
	               ? wb_spool_notes_offset(size, entry->records) + (size_t)entry->records * WB_SPOOL_NOTE_BYTES
	               : size;
}

uint64_t wb_spool_recovered_packets(const struct wb_spool_queue *queue)
{
	return queue->recovered_packets;
}

void wb_spool_queue_fini(struct wb_spool_queue *queue)
{
	struct wb_spool_stream *stream, *next_stream;
	struct wb_spool_segment *segment, *next_segment;
	struct wb_spool_entry *entry, *next_entry;

	wb_segments_close(&queue->writer);
	wb_spool_tell_sync(queue);
	if (queue->active && !queue->active->live)
		remove_segment(queue, queue->active);
	forget_reader(queue);
	for (stream = queue->streams; stream; stream = next_stream) {
		next_stream = stream->next;
		for (entry = stream->first; entry; entry = next_entry) {
			next_entry = entry->next;
			free(entry->done);
			free(entry);
		}
		free(stream);
	}
	for (segment = queue->segments; segment; segment = next_segment) {
		next_segment = segment->next;
		free(segment);
	}
}
