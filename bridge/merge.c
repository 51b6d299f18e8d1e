/* SPDX-License-Identifier: Apache-2.0 */
#include "merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "merge_streams.h"

/* A source that gives one stream only is trusted to go on so, after that much of it. */
#define ALONE_NS 250000000u
#define ALONE_BYTES ((size_t)8 << 20)

/* Where a packet is, in a message whose packets are not in order. */
struct place {
	uint64_t time_ns;
	uint64_t number; /* in the message, from 0 */
	const uint8_t *next;
};

/* A message. */
struct held {
	struct wb_packets packets;
	uint64_t time_ns; /* of the packet at hand, or of the first before the head was given */
	uint64_t order;   /* of coming: decides between equal times */
	bool opened;      /* the head was given */
	struct wb_merge_stream *stream;
	struct held *after;   /* of the same stream: not earlier than all of this one */
	struct place *places; /* NULL: the packets are in order */
	uint64_t place;       /* the next one */
	size_t bytes;
	uint8_t data[];
};

struct wb_merge {
	uint64_t window_ns;
	size_t hold_bytes;
	struct held **heap; /* the least first, by time and order; only the first of what is chained */
	size_t count, room;
	size_t held_bytes;
	uint64_t order;
	uint64_t bound_ns; /* what is not later may go */
	uint64_t last_ns;  /* of the latest packet that went */
	uint64_t first_ns; /* of the first message */
	uint64_t began_ms; /* live reading; 0: not yet */
	bool any;          /* first_ns is set */
	bool settled;      /* what streams there are is known */
	bool taken;        /* the packet of heap[0] was given */
	struct wb_merge_streams streams;
};

int wb_merge_create(uint64_t window_ns, size_t hold_bytes, struct wb_merge **ret_merge)
{
	struct wb_merge *merge = calloc(1, sizeof(*merge));

	if (!merge)
		return -ENOMEM;
	merge->window_ns = window_ns;
	merge->hold_bytes = hold_bytes;
	wb_merge_streams_init(&merge->streams, window_ns);
	*ret_merge = merge;
	return 0;
}

static void free_held(struct held *held)
{
	free(held->places);
	free(held);
}

void wb_merge_destroy(struct wb_merge *merge)
{
	if (!merge)
		return;
	for (size_t i = 0; i < merge->count; i++) {
		while (merge->heap[i]) {
			struct held *held = merge->heap[i];

			merge->heap[i] = held->after;
			free_held(held);
		}
	}
	wb_merge_streams_fini(&merge->streams);
	free(merge->heap);
	free(merge);
}

static bool is_before(const struct held *a, const struct held *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->order < b->order;
}

static void sift_up(struct wb_merge *merge, size_t at)
{
	struct held *held = merge->heap[at];

	while (at > 0 && is_before(held, merge->heap[(at - 1) / 2])) {
		merge->heap[at] = merge->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	merge->heap[at] = held;
}

/* The first one has become later. */
static void sift_down(struct wb_merge *merge)
{
	struct held *held = merge->heap[0];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < merge->count) {
		if (child + 1 < merge->count && is_before(merge->heap[child + 1], merge->heap[child]))
			child++;
		if (!is_before(merge->heap[child], held))
			break;
		merge->heap[at] = merge->heap[child];
		at = child;
	}
	merge->heap[at] = held;
}

static int compare_places(const void *left, const void *right)
{
	const struct place *a = left, *b = right;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

/* Find out the order of packets that are not in it. */
static int sort_places(struct held *held)
{
	struct wb_packets scan = held->packets;
	size_t bytes = (size_t)held->packets.count * sizeof(*held->places), n = 0;
	const uint8_t *next = scan.reader.next;

	held->places = malloc(bytes);
	if (!held->places)
		return -ENOMEM;
	held->bytes += bytes;
	for (; n < held->packets.count && wb_packets_next(&scan); next = scan.reader.next, n++)
		held->places[n] = (struct place){scan.record.packet.time_unix_ns, n, next};
	qsort(held->places, n, sizeof(*held->places), compare_places);
	held->packets.count = n;
	return 0;
}

/* Take the next packet of a message. */
static bool advance(struct held *held)
{
	struct wb_packets *packets = &held->packets;

	if (held->places) {
		if (held->place == packets->count)
			return false;
		packets->reader.next = held->places[held->place].next;
		packets->taken = held->places[held->place].number;
		held->place++;
	}
	if (!wb_packets_next(packets))
		return false;
	held->time_ns = packets->record.packet.time_unix_ns;
	return true;
}

/* All of heap[0] has gone. */
static void drop_first(struct wb_merge *merge)
{
	struct held *held = merge->heap[0];
	struct wb_merge_stream *stream = held->stream;

	if (stream) {
		stream->held--;
		if (stream->tail == held)
			stream->tail = NULL;
	}
	merge->held_bytes -= held->bytes;
	merge->heap[0] = held->after ? held->after : merge->heap[--merge->count];
	if (merge->count > 0)
		sift_down(merge);
	free_held(held);
}

/* What was given last has been used. */
static void finish_step(struct wb_merge *merge)
{
	if (!merge->taken)
		return;
	merge->taken = false;
	if (advance(merge->heap[0]))
		sift_down(merge);
	else
		drop_first(merge);
}

static int make_held(
	struct wb_merge *merge, const struct wb_packets *packets, const void *data, size_t size, struct held **ret_held)
{
	struct held *held = malloc(sizeof(*held) + size);

	if (!held)
		return -ENOMEM;
	memset(held, 0, sizeof(*held));
	if (size)
		memcpy(held->data, data, size);
	held->packets = *packets;
	wb_packets_move(&held->packets, held->data, size);
	held->bytes = sizeof(*held) + size;
	held->order = ++merge->order;
	held->time_ns = packets->least_ns;
	/* What would take too much memory is left as it is, and comes late. */
	if (!packets->in_order && packets->count < merge->hold_bytes / (2 * sizeof(struct place)) &&
		sort_places(held) < 0) {
		free_held(held);
		return -ENOMEM;
	}
	*ret_held = held;
	return 0;
}

/* Behind the last one of its stream, when it is not earlier than that one's end: no place in the heap then. */
static bool chain(struct held *held)
{
	struct held *tail = held->stream ? held->stream->tail : NULL;

	if (!tail)
		return false;
	/* Without packets it has no time of its own: it goes when its forerunner has gone. */
	if (held->packets.count == 0)
		held->time_ns = held->packets.greatest_ns = tail->packets.greatest_ns;
	if (held->time_ns < tail->packets.greatest_ns)
		return false;
	tail->after = held;
	return true;
}

static int make_room(struct wb_merge *merge)
{
	size_t room = merge->room ? 2 * merge->room : 256;
	struct held **heap;

	if (merge->count < merge->room)
		return 0;
	heap = realloc(merge->heap, room * sizeof(struct held *));
	if (!heap)
		return -ENOMEM;
	merge->heap = heap;
	merge->room = room;
	return 0;
}

/* Into the heap, or behind another one. */
static void place_held(struct wb_merge *merge, struct held *held)
{
	struct wb_merge_stream *stream = held->stream;

	if (!chain(held)) {
		if (held->packets.count == 0)
			held->time_ns = held->packets.greatest_ns = stream ? stream->packets_ns : 0;
		merge->heap[merge->count++] = held;
		sift_up(merge, merge->count - 1);
	}
	if (!stream)
		return;
	/* After one that comes too late, later ones still go behind the last. */
	if (!stream->tail || held->packets.greatest_ns >= stream->tail->packets.greatest_ns)
		stream->tail = held;
	stream->held++;
}

int wb_merge_add(struct wb_merge *merge, const struct wb_packets *packets, const void *data, size_t size)
{
	struct held *held;
	int r;

	finish_step(merge);
	r = make_room(merge);
	if (r == 0)
		r = make_held(merge, packets, data, size, &held);
	if (r < 0)
		return r;
	if (packets->count && !merge->any) {
		merge->first_ns = packets->least_ns;
		merge->any = true;
	}
	held->stream = wb_merge_streams_note(&merge->streams, packets);
	merge->held_bytes += held->bytes;
	place_held(merge, held);
	return 0;
}

static bool is_alone(const struct wb_merge *merge)
{
	return merge->streams.count == 1 && merge->streams.untracked == 0;
}

bool wb_merge_passes(struct wb_merge *merge, const struct wb_packets *packets, uint64_t behind_ns)
{
	struct wb_merge_stream *stream;

	if (!merge->settled || behind_ns == 0 || merge->count > 0 || !is_alone(merge) || !packets->in_order ||
		(packets->count > 0 && packets->least_ns < merge->last_ns))
		return false;
	stream = wb_merge_streams_find(&merge->streams, packets);
	if (!stream || wb_merge_streams_note(&merge->streams, packets) != stream)
		return false;
	if (packets->greatest_ns > merge->last_ns)
		merge->last_ns = packets->greatest_ns;
	return true;
}

/* While a source has more to give. */
static uint64_t bound_behind(struct wb_merge *merge, uint64_t behind_ns)
{
	uint64_t span = merge->streams.newest_ns - merge->first_ns;

	if (!merge->any || behind_ns == 0)
		return 0;
	merge->settled =
		merge->settled || span >= merge->window_ns || (span >= ALONE_NS && merge->held_bytes >= ALONE_BYTES);
	if (merge->settled && is_alone(merge))
		return merge->streams.newest_ns;
	return behind_ns > merge->window_ns ? behind_ns - merge->window_ns : 0;
}

static uint64_t bound_live(struct wb_merge *merge, uint64_t now_ms)
{
	if (merge->began_ms == 0)
		merge->began_ms = now_ms ? now_ms : 1;
	merge->settled = merge->settled || now_ms - merge->began_ms >= WB_MERGE_SETTLE_MS;
	return merge->settled ? wb_merge_streams_bound(&merge->streams) : 0;
}

void wb_merge_bound(struct wb_merge *merge, uint64_t behind_ns, uint64_t now_ms)
{
	uint64_t newest_ns = merge->streams.newest_ns, bound_ns;

	bound_ns = behind_ns == UINT64_MAX ? bound_live(merge, now_ms) : bound_behind(merge, behind_ns);
	if (behind_ns == UINT64_MAX && newest_ns > merge->window_ns && bound_ns < newest_ns - merge->window_ns)
		bound_ns = newest_ns - merge->window_ns;
	if (bound_ns > merge->bound_ns)
		merge->bound_ns = bound_ns;
}

void wb_merge_release(struct wb_merge *merge)
{
	if (merge->streams.newest_ns > merge->bound_ns)
		merge->bound_ns = merge->streams.newest_ns;
}

static bool may_go(const struct wb_merge *merge)
{
	uint64_t time_ns = merge->heap[0]->time_ns;

	return time_ns <= merge->bound_ns || time_ns <= merge->last_ns || merge->held_bytes > merge->hold_bytes;
}

bool wb_merge_next(struct wb_merge *merge, struct wb_merge_step *ret_step)
{
	struct held *held;

	finish_step(merge);
	if (merge->count == 0 || !may_go(merge))
		return false;
	held = merge->heap[0];
	ret_step->packets = &held->packets;
	ret_step->is_late = false;
	ret_step->is_head = !held->opened;
	if (!held->opened) {
		held->opened = true;
		merge->taken = !advance(held); /* without packets it is done */
		sift_down(merge);
		return true;
	}
	merge->taken = true;
	ret_step->is_late = held->time_ns < merge->last_ns;
	if (held->time_ns > merge->last_ns)
		merge->last_ns = held->time_ns;
	return true;
}

size_t wb_merge_held_bytes(const struct wb_merge *merge)
{
	return merge->held_bytes;
}

uint64_t wb_merge_bound_ns(const struct wb_merge *merge)
{
	return merge->bound_ns;
}
