/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "cat_internal.h"
#include "clock.h"
#include "log.h"

/* Packets between two looks at whether a line about the progress is due. */
#define GIVEN_PER_LOOK 1024

static int no_memory(struct wb_cat_run *run)
{
	return wb_fail(&run->cat->error, -ENOMEM, "cannot hold packets: out of memory");
}

/* In the order of the message. */
static int pass(struct wb_cat_run *run, struct wb_packets *packets)
{
	int r = wb_cat_emit_head(run, packets, false);

	while (r == 0 && !run->is_full && wb_packets_next(packets))
		r = wb_cat_emit(run, wb_packets_record(packets, &run->interfaces), 0);
	return r;
}

/* All that may go. */
static int drain(struct wb_cat_run *run)
{
	struct wb_merge_step step;
	int r = 0;

	while (r == 0 && !run->is_full && wb_merge_next(run->merge, &step)) {
		if (step.is_head)
			r = wb_cat_emit_head(run, step.packets, false);
		else
			r = wb_cat_emit(run, wb_packets_record(step.packets, &run->interfaces),
				step.is_late ? WB_SINK_LATE : 0);
	}
	return r;
}

/* What the source has more of was read up to this time. */
static uint64_t behind(const struct wb_cat_run *run)
{
	const struct wb_source_ops *ops = run->args->source_ops;

	if (ops->behind)
		return ops->behind(run->args->source);
	return ops->finite ? run->newest_ns : UINT64_MAX;
}

static int merge_take(struct wb_cat_run *run, struct wb_packets *packets, const struct wb_message *message)
{
	uint64_t behind_ns = behind(run);

	if (wb_merge_passes(run->merge, packets, behind_ns))
		return pass(run, packets);
	if (wb_merge_add(run->merge, packets, message->data, message->size) < 0)
		return no_memory(run);
	wb_merge_bound(run->merge, behind_ns, wb_monotonic_ms());
	return drain(run);
}

static int sort_head(struct wb_cat_run *run, const struct wb_packets *packets)
{
	struct wb_sink_batch head;
	const void *data;
	size_t size;

	if (!packets->is_batch)
		return 0;
	wb_sink_batch_of(&packets->reader, &head);
	wb_packet_store_head(run->store, &head, &data, &size);
	/* Without packets it goes where the reading is. */
	return wb_sort_add(
		run->sort, packets->count ? packets->least_ns : run->newest_ns, data, size, &run->cat->error);
}

static int sort_take(struct wb_cat_run *run, struct wb_packets *packets)
{
	int r = sort_head(run, packets);

	while (r == 0 && wb_packets_next(packets)) {
		const struct wbproto_record *record = wb_packets_record(packets, &run->interfaces);
		const void *data;
		size_t size;

		if (!wb_cat_wants(run, record)) /* it need not be sorted */
			continue;
		if (wb_packet_store_record(run->store, record, &data, &size) < 0)
			return no_memory(run);
		r = wb_sort_add(run->sort, record->packet.time_unix_ns, data, size, &run->cat->error);
	}
	return r;
}

static int sort_give(struct wb_cat_run *run)
{
	const struct wb_cat_args *args = run->args;
	struct wb_sort_item item;
	struct wb_stored stored;
	int r;

	if (run->cat->end == WB_CAT_END_STOPPED) {
		wb_log(WB_LOG_WARNING, "stopped before everything was read, so there is nothing sorted to write");
		return 0;
	}
	r = wb_sort_finish(run->sort, &run->cat->error);
	while (r >= 0 && !run->is_full && (r = wb_sort_next(run->sort, &item, &run->cat->error)) == 1) {
		if (wb_cat_check_stop(run))
			break;
		r = wb_packet_store_read(run->store, item.data, item.size, &stored);
		if (r < 0)
			return wb_fail(&run->cat->error, r, "what was written for the sort cannot be read back");
		if (!stored.is_head)
			r = wb_cat_give(run, &stored.record, 0);
		else if (args->sink_ops->batch)
			r = wb_cat_check_sink(run, args->sink_ops->batch(args->sink, &stored.head));
		if (run->cat->packets % GIVEN_PER_LOOK == 0)
			wb_cat_progress(run);
	}
	return r < 0 ? r : 0;
}

/* Batches that have nothing for the range, by the times of their packets. */
static bool is_outside(struct wb_cat_run *run, const struct wb_packets *packets, int *ret_answer)
{
	bool before = packets->greatest_ns < run->args->since_ns;
	bool after = run->args->until_ns && packets->least_ns >= run->args->until_ns;

	*ret_answer = 0;
	if (packets->count == 0 || (!before && !after))
		return false;
	run->cat->outside += packets->count;
	if (before)
		*ret_answer = wb_cat_emit_head(run, packets, true);
	return true;
}

int wb_cat_order_take(struct wb_cat_run *run, struct wb_packets *packets, const struct wb_message *message)
{
	int r;

	if (packets->greatest_ns > run->newest_ns)
		run->newest_ns = packets->greatest_ns;
	if (is_outside(run, packets, &r))
		return r;
	if (run->merge)
		return merge_take(run, packets, message);
	return run->sort ? sort_take(run, packets) : pass(run, packets);
}

int wb_cat_order_wait(struct wb_cat_run *run)
{
	uint64_t now_ms = wb_monotonic_ms();

	if (!run->merge)
		return 0;
	wb_merge_bound(run->merge, behind(run), now_ms);
	/* Those who are waited for have gone without saying so. */
	if (behind(run) == UINT64_MAX && now_ms - run->last_message_ms > run->window_ns / 1000000)
		wb_merge_release(run->merge);
	return drain(run);
}

/* Nothing more of the range is to be expected. */
void wb_cat_order_check_range(struct wb_cat_run *run, uint64_t now_ns)
{
	uint64_t until_ns = run->args->until_ns;

	if (!until_ns || run->args->source_ops->any_time || behind(run) != UINT64_MAX)
		return;
	/* Streams may say so themselves before that. */
	if (now_ns > wb_time_later(until_ns, run->window_ns) ||
		(run->merge && wb_merge_bound_ns(run->merge) >= until_ns))
		wb_cat_end(run, WB_CAT_END_OF_RANGE);
}

int wb_cat_order_finish(struct wb_cat_run *run)
{
	if (run->merge) {
		wb_merge_release(run->merge);
		return drain(run);
	}
	return run->sort ? sort_give(run) : 0;
}
