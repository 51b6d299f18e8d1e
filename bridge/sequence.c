/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Room for twice as many holes, as far as the limits allow. Without it the oldest holes are forgotten. */
static void allocate_more(struct wb_sequence *sequence)
{
	struct wb_sequence_limits *limits = sequence->limits;
	size_t more = sequence->kept;
	struct wb_hole *holes;

	if (more > limits->spare || more * 2 > limits->holes)
		return;
	holes = realloc(sequence->holes, (more * 2 + 1) * sizeof(*holes));
	if (!holes)
		return;
	limits->spare -= more;
	sequence->holes = holes;
	sequence->kept = more * 2;
}

static int allocate_holes(struct wb_sequence *sequence)
{
	/* One more than is kept: a hole may be split before the oldest is forgotten. */
	if (!sequence->holes) {
		sequence->holes = calloc(WB_SEQUENCE_MAX_HOLES + 1, sizeof(*sequence->holes));
		sequence->kept = WB_SEQUENCE_MAX_HOLES;
	}
	if (!sequence->holes)
		return -ENOMEM;
	if (sequence->limits && sequence->hole_count + 2 > sequence->kept)
		allocate_more(sequence);
	return 0;
}

static void forget_oldest(struct wb_sequence *sequence)
{
	struct wb_hole *hole = &sequence->holes[0];

	sequence->forgotten += hole->last - hole->first + 1;
	sequence->known_from = hole->last + 1;
	sequence->hole_count--;
	memmove(hole, hole + 1, sequence->hole_count * sizeof(*hole));
}

/* Open a hole at this position of the list. */
static void insert_hole(struct wb_sequence *sequence, size_t position, uint64_t first, uint64_t last)
{
	struct wb_hole *at = sequence->holes + position;

	memmove(at + 1, at, (sequence->hole_count - position) * sizeof(*at));
	*at = (struct wb_hole){first, last};
	sequence->hole_count++;
	if (sequence->hole_count > sequence->kept)
		forget_oldest(sequence);
}

/* The first hole that does not end before number; hole_count when there is none. */
static size_t find_hole(const struct wb_sequence *sequence, uint64_t number)
{
	size_t low = 0, high = sequence->hole_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (sequence->holes[middle].last < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Take first..last out of the holes. Returns how many of them were missing. */
static uint64_t fill(struct wb_sequence *sequence, uint64_t first, uint64_t last)
{
	size_t i = find_hole(sequence, first);
	uint64_t filled = 0;

	while (i < sequence->hole_count && sequence->holes[i].first <= last) {
		struct wb_hole *hole = &sequence->holes[i];
		uint64_t from = hole->first > first ? hole->first : first;
		uint64_t to = hole->last < last ? hole->last : last;
		struct wb_hole after = {to + 1, hole->last};

		filled += to - from + 1;
		if (from > hole->first) {
			hole->last = from - 1;
			i++;
			if (after.first <= after.last) {
				insert_hole(sequence, i, after.first, after.last);
				break; /* it ends beyond last */
			}
		} else if (after.first <= after.last) {
			*hole = after;
			break;
		} else {
			sequence->hole_count--;
			memmove(hole, hole + 1, (sequence->hole_count - i) * sizeof(*hole));
		}
	}
	sequence->missing -= filled;
	return filled;
}

/* Note a hole at this position of the list, above or below everything seen: one with the neighbour that it touches. */
static void open_hole(struct wb_sequence *sequence, size_t position, uint64_t first, uint64_t last)
{
	struct wb_hole *at = sequence->holes + position;

	sequence->missing += last - first + 1;
	if (position > 0 && at[-1].last + 1 == first)
		at[-1].last = last;
	else if (position < sequence->hole_count && at->first == last + 1)
		at->first = first;
	else
		insert_hole(sequence, position, first, last);
}

/* Everything but the plain case: the next numbers, or the very first. */
static int add_out_of_line(struct wb_sequence *sequence, uint64_t first, uint64_t last)
{
	uint64_t fresh = 0;
	bool late = first < sequence->next, stale = first < sequence->known_from;
	int r = allocate_holes(sequence);

	if (r < 0)
		return r;
	if (first < sequence->first) {
		uint64_t end = last < sequence->first - 1 ? last : sequence->first - 1;

		fresh += end - first + 1;
		if (end + 1 < sequence->first)
			open_hole(sequence, 0, end + 1, sequence->first - 1);
		sequence->first = first;
	}
	if (first > sequence->next)
		open_hole(sequence, sequence->hole_count, sequence->next, first - 1);
	fresh += fill(sequence, first, last);
	if (last >= sequence->next) {
		fresh += last - (first > sequence->next ? first : sequence->next) + 1;
		sequence->next = last + 1;
	}
	if (fresh == 0)
		return stale ? WB_SEQUENCE_STALE : WB_SEQUENCE_SEEN;
	return late ? WB_SEQUENCE_LATE : WB_SEQUENCE_NEW;
}

int wb_sequence_add(struct wb_sequence *sequence, uint64_t first, uint64_t count)
{
	if (first == 0 || count == 0 || count > UINT64_MAX - first)
		return -EINVAL;
	if (sequence->first == 0)
		sequence->first = sequence->next = first;
	if (first == sequence->next) {
		sequence->next += count;
		return WB_SEQUENCE_NEW;
	}
	return add_out_of_line(sequence, first, first + count - 1);
}

enum wb_sequence_verdict wb_sequence_look(const struct wb_sequence *sequence, uint64_t number)
{
	size_t i;

	if (sequence->first == 0 || number >= sequence->next)
		return WB_SEQUENCE_NEW;
	if (number < sequence->first)
		return WB_SEQUENCE_LATE;
	i = find_hole(sequence, number);
	if (i < sequence->hole_count && sequence->holes[i].first <= number)
		return WB_SEQUENCE_LATE;
	return number < sequence->known_from ? WB_SEQUENCE_STALE : WB_SEQUENCE_SEEN;
}

int wb_sequence_expect(struct wb_sequence *sequence, uint64_t next)
{
	int r;

	if (next == 0)
		return -EINVAL;
	if (sequence->first == 0)
		sequence->first = sequence->next = next;
	if (next >= sequence->first && next <= sequence->next)
		return 0;
	r = allocate_holes(sequence);
	if (r < 0)
		return r;
	if (next < sequence->first) {
		open_hole(sequence, 0, next, sequence->first - 1);
		sequence->first = next;
		return 0;
	}
	open_hole(sequence, sequence->hole_count, sequence->next, next - 1);
	sequence->next = next;
	return 0;
}

void wb_sequence_fini(struct wb_sequence *sequence)
{
	free(sequence->holes);
	*sequence = (struct wb_sequence){0};
}
