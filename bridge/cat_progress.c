/* SPDX-License-Identifier: Apache-2.0 */
/* A line that tells people how far a long reading is. Not one of output: it goes to standard error, and away again. */
#include <inttypes.h>
#include <stdio.h>

#include "cat_internal.h"
#include "clock.h"

#define FIRST_MS 1000 /* what is shorter needs no line */
#define EVERY_MS 500

static void show(struct wb_cat_run *run, uint64_t now_ms)
{
	const struct wb_source_ops *ops = run->args->source_ops;
	const struct wb_cat *cat = run->cat;
	uint64_t done = 0, total = 0, per_s = cat->packets * 1000 / (now_ms - run->began_ms);
	char part[32] = "";

	if (ops->progress)
		ops->progress(run->args->source, &done, &total);
	if (total > 0)
		snprintf(part, sizeof(part), "%u %%, ", (unsigned int)((double)done * 100 / (double)total));
	/* Back to the line's begin, and away with what is left of the one before. */
	fprintf(stderr, "\r%s%" PRIu64 " packets, %" PRIu64 " messages, %" PRIu64 " packets/s\033[K", part,
		cat->packets, cat->messages, per_s);
	fflush(stderr);
	run->told_ms = now_ms;
}

void wb_cat_progress(struct wb_cat_run *run)
{
	uint64_t now_ms;

	if (!run->args->progress)
		return;
	now_ms = wb_monotonic_ms();
	if (now_ms - run->began_ms >= FIRST_MS && now_ms - run->told_ms >= EVERY_MS)
		show(run, now_ms);
}

void wb_cat_progress_clear(struct wb_cat_run *run)
{
	if (run->told_ms == 0)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	run->told_ms = 0;
}
