/* SPDX-License-Identifier: Apache-2.0 */
#include "merge_streams.h"

#include <stdlib.h>
#include <string.h>

#include "merge.h"

#define FIRST_LIMIT 16u

void wb_merge_streams_init(struct wb_merge_streams *streams, uint64_t window_ns)
{
	*streams = (struct wb_merge_streams){.window_ns = window_ns, .limit = FIRST_LIMIT};
}

void wb_merge_streams_fini(struct wb_merge_streams *streams)
{
	for (size_t i = 0; i < WB_MERGE_STREAM_BUCKETS; i++) {
		while (streams->buckets[i]) {
			struct wb_merge_stream *stream = streams->buckets[i];

			streams->buckets[i] = stream->next;
			free(stream);
		}
	}
}

static struct wb_merge_stream **bucket_of(struct wb_merge_streams *streams, const struct wb_packets *packets)
{
	const uint8_t *id = packets->record.session_id;
	uint64_t hash = packets->record.stream_id;

	for (size_t i = 0; i < WBPROTO_SESSION_ID_BYTES; i++)
		hash = (hash ^ id[i]) * 0x100000001b3u;
	return &streams->buckets[(hash ^ hash >> 32) % WB_MERGE_STREAM_BUCKETS];
}

struct wb_merge_stream *wb_merge_streams_find(struct wb_merge_streams *streams, const struct wb_packets *packets)
{
	struct wb_merge_stream *at = *bucket_of(streams, packets);

	while (at && (at->stream_id != packets->record.stream_id ||
			     memcmp(at->session_id, packets->record.session_id, sizeof(at->session_id)) != 0))
		at = at->next;
	return at;
}

static bool is_silent(const struct wb_merge_streams *streams, const struct wb_merge_stream *stream)
{
	return stream->told_ns < streams->newest_ns && streams->newest_ns - stream->told_ns > streams->window_ns;
}

/* Forget those that are of no more use. */
static void purge(struct wb_merge_streams *streams)
{
	for (size_t i = 0; i < WB_MERGE_STREAM_BUCKETS; i++) {
		struct wb_merge_stream **at = &streams->buckets[i];

		while (*at) {
			struct wb_merge_stream *stream = *at;

			if (stream->held > 0 || (!stream->ended && !is_silent(streams, stream))) {
				at = &stream->next;
				continue;
			}
			*at = stream->next;
			streams->count -= !stream->ended;
			streams->known--;
			free(stream);
		}
	}
	streams->slowest = NULL;
	streams->limit = streams->known * 2 > FIRST_LIMIT ? streams->known * 2 : FIRST_LIMIT;
	if (streams->limit > WB_MERGE_STREAMS)
		streams->limit = WB_MERGE_STREAMS;
}

static struct wb_merge_stream *add(struct wb_merge_streams *streams, const struct wb_packets *packets)
{
	struct wb_merge_stream **bucket = bucket_of(streams, packets), *stream;

	if (streams->known >= streams->limit || streams->known < FIRST_LIMIT)
		purge(streams);
	if (streams->known >= WB_MERGE_STREAMS)
		return NULL;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return NULL;
	memcpy(stream->session_id, packets->record.session_id, sizeof(stream->session_id));
	stream->stream_id = packets->record.stream_id;
	stream->next = *bucket;
	*bucket = stream;
	streams->count++;
	streams->known++;
	streams->slowest = NULL;
	return stream;
}

static void note_told(
	struct wb_merge_streams *streams, struct wb_merge_stream *stream, const struct wb_packets *packets)
{
	uint64_t told_ns = packets->greatest_ns;

	if (packets->is_batch && packets->reader.batch.watermark_unix_ns > told_ns)
		told_ns = packets->reader.batch.watermark_unix_ns;
	if (packets->greatest_ns > stream->packets_ns)
		stream->packets_ns = packets->greatest_ns;
	if (told_ns > stream->told_ns)
		stream->told_ns = told_ns;
	if (stream == streams->slowest)
		streams->slowest = NULL;
}

struct wb_merge_stream *wb_merge_streams_note(struct wb_merge_streams *streams, const struct wb_packets *packets)
{
	struct wb_merge_stream *stream = wb_merge_streams_find(streams, packets);
	bool ends = packets->is_batch && packets->reader.batch.flags & WBPROTO_BATCH_END_OF_STREAM;

	if (packets->greatest_ns > streams->newest_ns)
		streams->newest_ns = packets->greatest_ns;
	if (!stream)
		stream = add(streams, packets);
	if (!stream) {
		streams->untracked++;
		return NULL;
	}
	note_told(streams, stream, packets);
	if (ends && !stream->ended) {
		stream->ended = true;
		streams->count--;
	}
	return stream;
}

uint64_t wb_merge_streams_bound(struct wb_merge_streams *streams)
{
	struct wb_merge_stream *slowest = streams->slowest;

	if (slowest && !slowest->ended && !is_silent(streams, slowest))
		return slowest->told_ns;
	slowest = NULL;
	for (size_t i = 0; i < WB_MERGE_STREAM_BUCKETS; i++)
		for (struct wb_merge_stream *at = streams->buckets[i]; at; at = at->next)
			if (!at->ended && !is_silent(streams, at) && (!slowest || at->told_ns < slowest->told_ns))
				slowest = at;
	streams->slowest = slowest;
	return slowest ? slowest->told_ns : streams->newest_ns;
}
