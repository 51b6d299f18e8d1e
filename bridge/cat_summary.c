/* SPDX-License-Identifier: Apache-2.0 */
/* What `wirebus cat` says at its end. */
#include <inttypes.h>
#include <stdlib.h>

#include "cat.h"
#include "line.h"
#include "report.h"

#define MAX_RANGES 16u       /* of missing packets that are listed for a stream */
#define MAX_STREAM_LINES 64u /* for people; the JSON object has them all */

static const char *const end_names[] = {
	[WB_CAT_END_FAILED] = "failed",
	[WB_CAT_END_OF_DATA] = "end of data",
	[WB_CAT_END_OF_STREAMS] = "end of streams",
	[WB_CAT_END_COUNT] = "count reached",
	[WB_CAT_END_STOPPED] = "stopped",
	[WB_CAT_END_READER_GONE] = "reader gone",
	[WB_CAT_END_OF_RANGE] = "end of the time range",
};

static size_t listed_ranges(const struct wb_sequence *sequence)
{
	return sequence->hole_count < MAX_RANGES ? sequence->hole_count : MAX_RANGES;
}

static void print_ranges(const struct wb_sequence *sequence, FILE *stream)
{
	size_t n = listed_ranges(sequence);

	for (size_t i = 0; i < n; i++) {
		const struct wb_hole *hole = &sequence->holes[i];

		if (hole->first == hole->last)
			fprintf(stream, "%s%" PRIu64, i ? ", " : " (", hole->first);
		else
			fprintf(stream, "%s%" PRIu64 "-%" PRIu64, i ? ", " : " (", hole->first, hole->last);
	}
	if (n)
		fprintf(stream, "%s)", n < sequence->hole_count || sequence->forgotten ? ", and others" : "");
}

static void print_stream(const struct wb_stream *stream, FILE *out)
{
	const struct wbproto_view node = {stream->node, stream->node_length};
	uint64_t before = wb_sequence_before(&stream->numbers);
	struct wb_line line;
	char session[WB_REPORT_SESSION_BYTES];

	wb_report_session(stream->session_id, session);
	wb_line_clear(&line);
	wb_line_add_untrusted(&line, node, WB_STREAM_NODE_BYTES);
	fprintf(out, "  stream %" PRIu32 " of worker %" PRIu32 " on %s, session %s: ", stream->stream_id,
		stream->worker_id, line.length ? line.text : "?", session);
	fprintf(out, "%" PRIu64 " packets in %" PRIu64 " messages", stream->packets, stream->messages);
	if (stream->packets)
		fprintf(out, ", numbers %" PRIu64 " to %" PRIu64, stream->numbers.first, stream->numbers.next - 1);
	fprintf(out, "; missing %" PRIu64 " packets", stream->numbers.missing);
	print_ranges(&stream->numbers, out);
	fprintf(out, " and %" PRIu64 " messages", stream->batches.missing);
	if (before)
		fprintf(out, "; missed before the first: %" PRIu64 " packets", before);
	if (stream->duplicates || stream->stale)
		fprintf(out, "; duplicate messages %" PRIu64 ", too late to tell %" PRIu64, stream->duplicates,
			stream->stale);
	if (stream->out_of_order)
		fprintf(out, "; out of order %" PRIu64, stream->out_of_order);
	if (stream->has_counters)
		fprintf(out, "; dropped by the kernel %" PRIu64 " of %" PRIu64, stream->counters.kernel_dropped,
			stream->counters.kernel_seen);
	fprintf(out, "; %s\n", stream->ended ? "ended" : "not ended");
}

void wb_cat_summary_text(const struct wb_cat *cat, FILE *stream)
{
	struct wb_stream **sorted = wb_streams_sorted(&cat->streams);
	size_t count = sorted ? cat->streams.count : 0;
	struct wb_streams_total total;

	wb_streams_sum(sorted, count, &total);
	fprintf(stream, "wirebus cat: %" PRIu64 " packets, %" PRIu64 " messages, %zu streams (%s)\n", cat->packets,
		cat->messages, cat->streams.count, end_names[cat->end]);
	fprintf(stream,
		"  missing packets %" PRIu64 ", missing messages %" PRIu64 ", missed before the first %" PRIu64
		", dropped by the kernel %" PRIu64 ", duplicate messages %" PRIu64 ", out of order %" PRIu64
		", damaged %" PRIu64 "\n",
		total.missing_packets, total.missing_messages, total.missed_before_first, total.kernel_dropped,
		total.duplicates + total.stale, total.out_of_order, cat->damaged);
	if (cat->outside || cat->filtered || cat->late)
		fprintf(stream,
			"  outside the time range %" PRIu64 ", left out by the filter %" PRIu64 ", late %" PRIu64 "\n",
			cat->outside, cat->filtered, cat->late);
	if (cat->streams.untracked_messages)
		fprintf(stream, "  not tracked: %" PRIu64 " packets in %" PRIu64 " messages\n",
			cat->streams.untracked_packets, cat->streams.untracked_messages);
	for (size_t i = 0; i < count && i < MAX_STREAM_LINES; i++)
		print_stream(sorted[i], stream);
	if (count > MAX_STREAM_LINES)
		fprintf(stream, "  and %zu more streams\n", count - MAX_STREAM_LINES);
	free(sorted);
}

static void json_ranges(FILE *stream, const struct wb_sequence *sequence)
{
	size_t n = listed_ranges(sequence);

	fputs("\"missing_ranges\":[", stream);
	for (size_t i = 0; i < n; i++)
		fprintf(stream, "%s[%" PRIu64 ",%" PRIu64 "]", i ? "," : "", sequence->holes[i].first,
			sequence->holes[i].last);
	fprintf(stream, "],\"missing_ranges_complete\":%s,",
		n == sequence->hole_count && !sequence->forgotten ? "true" : "false");
}

static void json_stream(FILE *out, const struct wb_stream *stream)
{
	char session[WB_REPORT_SESSION_BYTES];

	wb_report_session(stream->session_id, session);
	fprintf(out, "{\"session\":\"%s\",\"node\":", session);
	wb_report_text(out, stream->node, stream->node_length);
	fprintf(out, ",\"worker\":%" PRIu32 ",\"stream\":%" PRIu32 ",", stream->worker_id, stream->stream_id);
	wb_report_u64(out, "messages", stream->messages);
	wb_report_u64(out, "packets", stream->packets);
	/* Both 0 when no packet number is known: a stream of heartbeats before the first packet. */
	wb_report_u64(
		out, "first_packet_seq", stream->numbers.next > stream->numbers.first ? stream->numbers.first : 0);
	wb_report_u64(
		out, "last_packet_seq", stream->numbers.next > stream->numbers.first ? stream->numbers.next - 1 : 0);
	wb_report_u64(out, "missed_before_first", wb_sequence_before(&stream->numbers));
	wb_report_u64(out, "missing_packets", stream->numbers.missing);
	json_ranges(out, &stream->numbers);
	wb_report_u64(out, "missing_messages", stream->batches.missing);
	wb_report_u64(out, "duplicates", stream->duplicates);
	wb_report_u64(out, "stale", stream->stale);
	wb_report_u64(out, "out_of_order", stream->out_of_order);
	wb_report_u64(out, "kernel_dropped", stream->counters.kernel_dropped);
	if (stream->has_counters)
		wb_report_counters(out, &stream->counters);
	fprintf(out, "\"ended\":%s}", stream->ended ? "true" : "false");
}

void wb_cat_summary_json(const struct wb_cat *cat, FILE *stream)
{
	struct wb_stream **sorted = wb_streams_sorted(&cat->streams);
	size_t count = sorted ? cat->streams.count : 0;
	struct wb_streams_total total;

	wb_streams_sum(sorted, count, &total);
	fprintf(stream, "{\"end\":\"%s\",", end_names[cat->end]);
	wb_report_u64(stream, "messages", cat->messages);
	wb_report_u64(stream, "packets", cat->packets);
	wb_report_u64(stream, "damaged", cat->damaged);
	wb_report_u64(stream, "duplicates", total.duplicates);
	wb_report_u64(stream, "stale", total.stale);
	wb_report_u64(stream, "out_of_order", total.out_of_order);
	wb_report_u64(stream, "missing_packets", total.missing_packets);
	wb_report_u64(stream, "missing_messages", total.missing_messages);
	wb_report_u64(stream, "missed_before_first", total.missed_before_first);
	wb_report_u64(stream, "kernel_dropped", total.kernel_dropped);
	wb_report_u64(stream, "late", cat->late);
	wb_report_u64(stream, "outside", cat->outside);
	wb_report_u64(stream, "filtered", cat->filtered);
	wb_report_u64(stream, "untracked_messages", cat->streams.untracked_messages);
	wb_report_u64(stream, "untracked_packets", cat->streams.untracked_packets);
	fputs("\"streams\":[", stream);
	for (size_t i = 0; i < count; i++) {
		fputs(i ? ",\n" : "\n", stream);
		json_stream(stream, sorted[i]);
	}
	fputs("]}\n", stream);
	free(sorted);
}
