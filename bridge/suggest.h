/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": the nearest of some known words. */
#ifndef WB_SUGGEST_H
#define WB_SUGGEST_H

struct wb_suggest {
	const char *word;
	const char *best; /* the nearest candidate so far; NULL: none is near */
	unsigned int distance;
};

/* word must live as long as the structure. */
void wb_suggest_init(struct wb_suggest *suggest, const char *word);
/* Look at a candidate; it must live as long as .best is used. */
void wb_suggest_offer(struct wb_suggest *suggest, const char *candidate);

#endif
