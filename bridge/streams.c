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
		(*slot)->batches.limits = (*slot)->numbers.limits = streams->hole_limits;
		streams->count++;
	}
	*ret_stream = *slot;
	if (*slot)
		streams->last = *slot;
	return 0;
}

int wb_counters_compare(const struct wbproto_counters *left, const struct wbproto_counters *right)
{
	const uint64_t pairs[][2] = {
		{left->accepted, right->accepted},
		{left->kernel_seen, right->kernel_seen},
		{left->kernel_dropped, right->kernel_dropped},
		{left->read, right->read},
		{left->recovered, right->recovered},
		{left->delivered, right->delivered},
		{left->handed_over, right->handed_over},
		{left->failed, right->failed},
		{left->unknown, right->unknown},
		{left->dropped, right->dropped},
		/* Between equals: what was on its way has settled. */
		{right->open, left->open},
		{right->in_flight, left->in_flight},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (pairs[i][0] != pairs[i][1])
			return pairs[i][0] < pairs[i][1] ? -1 : 1;
	return 0;
}

static void book_counters(struct wb_stream *stream, const struct wb_arrival *arrival)
{
	if (!stream->has_counters || wb_counters_compare(arrival->counters, &stream->counters) >= 0) {
		stream->counters = *arrival->counters;
		stream->counters_seq = arrival->batch_seq;
	}
	if (!stream->has_counters || arrival->batch_seq < stream->first_counters_seq) {
		stream->first_counters = *arrival->counters;
		stream->first_counters_seq = arrival->batch_seq;
	}
	stream->has_counters = true;
}

static void book_end(struct wb_streams *streams, struct wb_stream *stream, const struct wb_arrival *arrival)
{
	if (!stream->ended)
		streams->ended++;
	else if (arrival->batch_seq <= stream->end_seq)
		return;
	stream->ended = true;
	stream->end_seq = arrival->batch_seq;
	stream->end_packet_seq = arrival->first_packet_seq;
	stream->crashed = arrival->previous_session;
	stream->crash_before_ns = arrival->previous_session ? arrival->watermark_unix_ns : 0;
}

static void book_facts(struct wb_streams *streams, struct wb_stream *stream, const struct wb_arrival *arrival)
{
	stream->messages++;
	stream->packets += arrival->packets;
	if (arrival->counters)
		book_counters(stream, arrival);
	if (arrival->end_of_stream)
		book_end(streams, stream, arrival);
}

static int book_untracked(struct wb_streams *streams, const struct wb_arrival *arrival)
{
	streams->untracked_messages++;
	streams->untracked_packets += arrival->packets;
	return 1;
}

/* Different numbers seen. */
static uint64_t covered(const struct wb_sequence *sequence)
{
	return sequence->next - sequence->first - sequence->missing;
}

/* The number of a record was added as that of its message. */
static int book_numbers(struct wb_stream *stream, const struct wb_arrival *arrival)
{
	uint64_t before = covered(&stream->numbers);
	int r;

	if (arrival->is_record)
		return 0;
	if (arrival->is_of_records && !arrival->end_of_stream) {
		if (arrival->first_packet_seq > stream->announced)
			stream->announced = arrival->first_packet_seq;
		return 0;
	}
	if (!arrival->packets)
		return wb_sequence_expect(&stream->numbers, arrival->first_packet_seq);
	r = wb_sequence_add(&stream->numbers, arrival->first_packet_seq, arrival->packets);
	if (r < 0)
		return r;
	stream->repeated += arrival->packets - (covered(&stream->numbers) - before);
	return 0;
}

static bool is_on_behalf(const struct wb_arrival *arrival)
{
	return arrival->previous_session && !arrival->packets;
}

/*
 * Whether the message had come before, by its number: that of the packet, of those without packets, or of all. What is
 * written on behalf of a session that was killed has the number that this one would have used next; should it have used
 * it after all, that message is not to be taken for a duplicate.
 */
static int book_number(struct wb_stream *stream, const struct wb_arrival *arrival)
{
	uint64_t number = arrival->batch_seq;

	if (arrival->is_record)
		return wb_sequence_add(&stream->numbers, arrival->first_packet_seq, 1);
	if (arrival->is_of_records)
		number -= arrival->first_packet_seq - 1;
	if (!is_on_behalf(arrival))
		return wb_sequence_add(&stream->batches, number, 1);
	if (stream->crashed && stream->end_seq == arrival->batch_seq)
		return WB_SEQUENCE_SEEN;
	return wb_sequence_expect(&stream->batches, number);
}

bool wb_arrival_possible(const struct wb_arrival *arrival)
{
	if (arrival->batch_seq == 0 || arrival->batch_seq == UINT64_MAX || arrival->first_packet_seq == 0 ||
		arrival->packets > UINT64_MAX - arrival->first_packet_seq)
		return false;
	return !arrival->is_of_records || (arrival->packets == 0 && arrival->batch_seq >= arrival->first_packet_seq);
}

static void book_order(struct wb_stream *stream, const struct wb_arrival *arrival)
{
	uint64_t *highest = &stream->highest[arrival->channel];
	uint64_t next = arrival->batch_seq + !is_on_behalf(arrival);

	if (arrival->batch_seq < *highest)
		stream->out_of_order++;
	else
		*highest = arrival->batch_seq;
	if (!stream->lowest || arrival->batch_seq < stream->lowest)
		stream->lowest = arrival->batch_seq;
	if (next > stream->next)
		stream->next = next;
	stream->on_behalf += is_on_behalf(arrival);
	stream->of_records = stream->of_records || arrival->is_record || arrival->is_of_records;
}

int wb_streams_book(struct wb_streams *streams, const struct wb_arrival *arrival)
{
	struct wb_stream *stream;
	int r, verdict;

	/* What a producer never writes says nothing about what is missing. */
	if (!wb_arrival_possible(arrival))
		return book_untracked(streams, arrival);
	r = get_stream(streams, arrival, &stream);
	if (r < 0)
		return r;
	if (!stream)
		return book_untracked(streams, arrival);
	verdict = book_number(stream, arrival);
	if (verdict < 0)
		return verdict;
	if (verdict == WB_SEQUENCE_SEEN || verdict == WB_SEQUENCE_STALE) {
		stream->duplicates += verdict == WB_SEQUENCE_SEEN;
		stream->stale += verdict == WB_SEQUENCE_STALE;
		stream->duplicate_packets += arrival->packets;
		return 0;
	}
	book_order(stream, arrival);
	r = book_numbers(stream, arrival);
	if (r < 0)
		return r;
	book_facts(streams, stream, arrival);
	return 1;
}

int wb_stream_expect_announced(struct wb_stream *stream, uint64_t under_way, uint64_t *ret_under_way)
{
	uint64_t next = stream->numbers.next ? stream->numbers.next : 1;
	uint64_t tail = !stream->ended && stream->announced > next ? stream->announced - next : 0;

	stream->under_way = tail < under_way ? tail : under_way;
	*ret_under_way = stream->under_way;
	return tail > under_way ? wb_sequence_expect(&stream->numbers, stream->announced - under_way) : 0;
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

uint64_t wb_stream_missing_messages(const struct wb_stream *stream)
{
	uint64_t numbers = stream->next - stream->lowest, seen = stream->messages - stream->on_behalf;

	if (!stream->of_records)
		return stream->batches.missing;
	seen += stream->under_way;
	return numbers > seen ? numbers - seen : 0;
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
