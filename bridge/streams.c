/* SPDX-License-Identifier: Apache-2.0 */
#include "streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "utf8.h"

#define FIRST_SLOTS 64u

void wb_streams_init(struct wb_streams *streams)
{
	*streams = (struct wb_streams){0};
	if (getrandom(&streams->seed, sizeof(streams->seed), GRND_NONBLOCK) != (ssize_t)sizeof(streams->seed))
		streams->seed = (uint64_t)(uintptr_t)streams * 0x9e3779b97f4a7c15u;
	streams->seed |= 1;
}

static uint64_t mix(uint64_t hash)
{
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93u;
	hash ^= hash >> 32;
	return hash;
}

static size_t slot_of(const struct wb_streams *streams, const uint8_t *session_id, uint32_t stream_id)
{
	uint64_t words[2], hash;

	memcpy(words, session_id, sizeof(words));
	hash = mix(words[0] ^ streams->seed);
	hash = mix(hash ^ words[1]) * streams->seed;
	hash = mix(hash ^ stream_id);
	return (size_t)hash & (streams->slot_count - 1);
}

static bool is(const struct wb_stream *stream, const uint8_t *session_id, uint32_t stream_id)
{
	return stream->stream_id == stream_id &&
	       memcmp(stream->session_id, session_id, sizeof(stream->session_id)) == 0;
}

/* The slot of a stream, or the empty one where it belongs. There is always an empty one. */
static struct wb_stream **find_slot(struct wb_streams *streams, const uint8_t *session_id, uint32_t stream_id)
{
	size_t i = slot_of(streams, session_id, stream_id);

	while (streams->slots[i] && !is(streams->slots[i], session_id, stream_id))
		i = (i + 1) & (streams->slot_count - 1);
	return &streams->slots[i];
}

static int grow(struct wb_streams *streams)
{
	struct wb_stream **old = streams->slots;
	size_t old_count = streams->slot_count;
	struct wb_stream **slots = calloc(old_count ? old_count * 2 : FIRST_SLOTS, sizeof(struct wb_stream *));

	if (!slots)
		return -ENOMEM;
	streams->slots = slots;
	streams->slot_count = old_count ? old_count * 2 : FIRST_SLOTS;
	for (size_t i = 0; i < old_count; i++)
		if (old[i])
			*find_slot(streams, old[i]->session_id, old[i]->stream_id) = old[i];
	free(old);
	return 0;
}

static struct wb_stream *make_stream(const struct wb_arrival *arrival)
{
	struct wb_stream *stream = calloc(1, sizeof(*stream));
	size_t length = arrival->node.length;

	if (!stream)
		return NULL;
	memcpy(stream->session_id, arrival->session_id, sizeof(stream->session_id));
	stream->worker_id = arrival->worker_id;
	stream->stream_id = arrival->stream_id;
	if (length) {
		length = wb_utf8_cut(arrival->node.data, length, WB_STREAM_NODE_BYTES);
		memcpy(stream->node, arrival->node.data, length);
	}
	stream->node_length = (uint8_t)length;
	return stream;
}

/* 0: *ret_stream is set, to NULL when there are too many. */
static int get_stream(struct wb_streams *streams, const struct wb_arrival *arrival, struct wb_stream **ret_stream)
{
	struct wb_stream **slot;
	int r;

	*ret_stream = streams->last;
	if (streams->last && is(streams->last, arrival->session_id, arrival->stream_id))
		return 0;
	if (streams->count * 2 >= streams->slot_count) {
		r = grow(streams);
		if (r < 0)
			return r;
	}
	slot = find_slot(streams, arrival->session_id, arrival->stream_id);
	if (!*slot && streams->count < WB_STREAMS_MAX) {
		*slot = make_stream(arrival);
		if (!*slot)
			return -ENOMEM;
		streams->count++;
	}
	*ret_stream = *slot;
	if (*slot)
		streams->last = *slot;
	return 0;
}

static void book_facts(struct wb_streams *streams, struct wb_stream *stream, const struct wb_arrival *arrival)
{
	stream->messages++;
	stream->packets += arrival->packets;
	if (arrival->counters && arrival->batch_seq >= stream->counters_seq) {
		stream->counters = *arrival->counters;
		stream->counters_seq = arrival->batch_seq;
		stream->has_counters = true;
	}
	if (arrival->end_of_stream && !stream->ended) {
		stream->ended = true;
		streams->ended++;
	}
}

static int book_untracked(struct wb_streams *streams, const struct wb_arrival *arrival)
{
	streams->untracked_messages++;
	streams->untracked_packets += arrival->packets;
	return 1;
}

int wb_streams_book(struct wb_streams *streams, const struct wb_arrival *arrival)
{
	struct wb_stream *stream;
	int r, verdict;

	/* What a producer never writes says nothing about what is missing. */
	if (arrival->batch_seq == 0 || arrival->batch_seq == UINT64_MAX || arrival->first_packet_seq == 0 ||
		arrival->packets > UINT64_MAX - arrival->first_packet_seq)
		return book_untracked(streams, arrival);
	r = get_stream(streams, arrival, &stream);
	if (r < 0)
		return r;
	if (!stream)
		return book_untracked(streams, arrival);
	verdict = wb_sequence_add(&stream->batches, arrival->batch_seq, 1);
	if (verdict < 0)
		return verdict;
	if (verdict == WB_SEQUENCE_SEEN || verdict == WB_SEQUENCE_STALE) {
		stream->duplicates += verdict == WB_SEQUENCE_SEEN;
		stream->stale += verdict == WB_SEQUENCE_STALE;
		return 0;
	}
	stream->out_of_order += verdict == WB_SEQUENCE_LATE;
	if (arrival->packets)
		r = wb_sequence_add(&stream->numbers, arrival->first_packet_seq, arrival->packets);
	else
		r = wb_sequence_expect(&stream->numbers, arrival->first_packet_seq);
	if (r < 0)
		return r;
	book_facts(streams, stream, arrival);
	return 1;
}

bool wb_streams_all_ended(const struct wb_streams *streams)
{
	return streams->count > 0 && streams->ended == streams->count && streams->untracked_messages == 0;
}

void wb_streams_fini(struct wb_streams *streams)
{
	for (size_t i = 0; i < streams->slot_count; i++) {
		if (!streams->slots[i])
			continue;
		wb_sequence_fini(&streams->slots[i]->batches);
		wb_sequence_fini(&streams->slots[i]->numbers);
		free(streams->slots[i]);
	}
	free(streams->slots);
	*streams = (struct wb_streams){0};
}

static int compare(const void *left, const void *right)
{
	const struct wb_stream *a = *(struct wb_stream *const *)left, *b = *(struct wb_stream *const *)right;
	int order = memcmp(a->session_id, b->session_id, sizeof(a->session_id));

	if (order)
		return order;
	if (a->worker_id != b->worker_id)
		return a->worker_id < b->worker_id ? -1 : 1;
	return a->stream_id < b->stream_id ? -1 : a->stream_id > b->stream_id;
}

struct wb_stream **wb_streams_sorted(const struct wb_streams *streams)
{
	struct wb_stream **sorted = streams->count ? calloc(streams->count, sizeof(struct wb_stream *)) : NULL;
	size_t n = 0;

	if (!sorted)
		return NULL;
	for (size_t i = 0; i < streams->slot_count; i++)
		if (streams->slots[i])
			sorted[n++] = streams->slots[i];
	qsort(sorted, n, sizeof(struct wb_stream *), compare);
	return sorted;
}

uint64_t wb_sequence_before(const struct wb_sequence *sequence)
{
	return sequence->first ? sequence->first - 1 : 0;
}

void wb_streams_sum(struct wb_stream *const *sorted, size_t count, struct wb_streams_total *ret_total)
{
	struct wb_streams_total total = {0};
	uint64_t dropped = 0; /* greatest of the worker at hand */

	for (size_t i = 0; i < count; i++) {
		const struct wb_stream *stream = sorted[i];

		total.messages += stream->messages;
		total.packets += stream->packets;
		total.duplicates += stream->duplicates;
		total.stale += stream->stale;
		total.out_of_order += stream->out_of_order;
		total.missing_packets += stream->numbers.missing;
		total.missing_messages += stream->batches.missing;
		total.missed_before_first += wb_sequence_before(&stream->numbers);
		if (stream->counters.kernel_dropped > dropped)
			dropped = stream->counters.kernel_dropped;
		if (i + 1 == count || sorted[i + 1]->worker_id != stream->worker_id ||
			memcmp(sorted[i + 1]->session_id, stream->session_id, sizeof(stream->session_id)) != 0) {
			total.kernel_dropped += dropped;
			dropped = 0;
		}
	}
	*ret_total = total;
}
