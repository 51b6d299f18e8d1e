/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "cat_internal.h"
#include "log.h"

void wb_cat_end(struct wb_cat_run *run, enum wb_cat_end reason)
{
	run->cat->end = reason;
	run->done = true;
	run->is_full = reason == WB_CAT_END_READER_GONE || reason == WB_CAT_END_COUNT;
}

bool wb_cat_check_stop(struct wb_cat_run *run)
{
	const struct wb_cat_args *args = run->args;

	if (args->unwanted && atomic_load_explicit(args->unwanted, memory_order_relaxed))
		wb_cat_end(run, WB_CAT_END_READER_GONE);
	else if (atomic_load_explicit(args->stop, memory_order_relaxed))
		wb_cat_end(run, WB_CAT_END_STOPPED);
	else
		return false;
	return true;
}

int wb_cat_check_sink(struct wb_cat_run *run, int r)
{
	if (r == -EPIPE) {
		wb_cat_end(run, WB_CAT_END_READER_GONE);
		return 0;
	}
	if (r == 0)
		return 0;
	run->is_broken = true;
	return wb_fail(&run->cat->error, r, "cannot write the packets%s%s: %s", run->args->out ? " to " : "",
		run->args->out ? run->args->out->name : "", strerror(-r));
}

bool wb_cat_wants(struct wb_cat_run *run, const struct wbproto_record *record)
{
	const struct wb_cat_args *args = run->args;
	uint64_t time_ns = record->packet.time_unix_ns;

	if (time_ns < args->since_ns || (args->until_ns && time_ns >= args->until_ns)) {
		run->cat->outside++;
		return false;
	}
	if (run->filter && !wb_display_filter_match(run->filter, record)) {
		run->cat->filtered++;
		return false;
	}
	return true;
}

void wb_cat_keep(struct wb_cat_run *run, uint64_t packets)
{
	run->whole_packets = packets;
	wb_sink_keep(run->args->sink_ops, run->args->sink);
}

int wb_cat_emit(struct wb_cat_run *run, const struct wbproto_record *record, unsigned int marks)
{
	return wb_cat_wants(run, record) ? wb_cat_give(run, record, marks) : 0;
}

int wb_cat_give(struct wb_cat_run *run, const struct wbproto_record *record, unsigned int marks)
{
	const struct wb_cat_args *args = run->args;
	int r;

	r = args->sink_ops->packet(args->sink, record, marks);
	if (r == 0 && args->out && wb_output_is_due(args->out)) {
		r = wb_output_flush(args->out);
		if (r == 0)
			wb_cat_keep(run, run->cat->packets + 1);
	}
	r = wb_cat_check_sink(run, r);
	if (r < 0 || run->is_full)
		return r;
	run->cat->packets++;
	run->cat->late += marks & WB_SINK_LATE;
	if (args->count && run->cat->packets >= args->count)
		wb_cat_end(run, WB_CAT_END_COUNT);
	return 0;
}

int wb_cat_emit_head(struct wb_cat_run *run, const struct wb_packets *packets, bool outside)
{
	struct wb_sink_batch head;

	if (!run->args->sink_ops->batch || !packets->is_batch)
		return 0;
	wb_sink_batch_of(&packets->reader, &head);
	head.outside = outside;
	return wb_cat_check_sink(run, run->args->sink_ops->batch(run->args->sink, &head));
}
