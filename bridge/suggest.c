/* SPDX-License-Identifier: Apache-2.0 */
#include "suggest.h"

#include <stddef.h>
#include <string.h>

#define WORD_BYTES 64

static unsigned int smallest(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int least = a < b ? a : b;

	return least < c ? least : c;
}

/* '-' and '_' count as the same: keys have the one, options the other. */
static char fold(char c)
{
	return c == '-' ? '_' : c;
}

/* How many single characters must be inserted, removed, replaced, or swapped with their neighbour. */
static unsigned int distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	unsigned int rows[3][WORD_BYTES + 1];
	unsigned int *before = rows[0], *last = rows[1], *row = rows[2], *swap;

	for (size_t j = 0; j <= b_length; j++)
		last[j] = (unsigned int)j;
	for (size_t i = 1; i <= a_length; i++) {
		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned int differs = fold(a[i - 1]) != fold(b[j - 1]);

			row[j] = smallest(last[j] + 1, row[j - 1] + 1, last[j - 1] + differs);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]) &&
				before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		swap = before;
		before = last;
		last = row;
		row = swap;
	}
	return last[b_length];
}

void wb_suggest_init(struct wb_suggest *suggest, const char *word)
{
	suggest->word = word;
	suggest->best = NULL;
	suggest->distance = 0;
}

void wb_suggest_offer(struct wb_suggest *suggest, const char *candidate)
{
	size_t length = strlen(suggest->word);
	size_t candidate_length = strlen(candidate);
	size_t longer = length > candidate_length ? length : candidate_length;
	unsigned int d;

	if (length == 0 || longer > WORD_BYTES)
		return;
	d = distance(suggest->word, length, candidate, candidate_length);
	/* Up to a third of the letters may be wrong, one in a short word; nothing in common is no suggestion. */
	if (d >= longer || d > (longer + 2) / 3)
		return;
	if (!suggest->best || d < suggest->distance) {
		suggest->best = candidate;
		suggest->distance = d;
	}
}
