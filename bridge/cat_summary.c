/* SPDX-License-Identifier: Apache-2.0 */
/* What `wirebus cat` says at its end. */
#include <inttypes.h>
#include <stdlib.h>

#include "cat.h"
#include "line.h"
#include "utf8.h"

#define MAX_RANGES 16u       /* of missing packets that are listed for a stream */
#define MAX_STREAM_LINES 64u /* for people; the JSON object has them all */

static const char *const end_names[] = {
	[WB_CAT_END_FAILED] = "failed",
	[WB_CAT_END_OF_DATA] = "end of data",
	[WB_CAT_END_OF_STREAMS] = "end of streams",
	[WB_CAT_END_COUNT] = "count reached",
	[WB_CAT_END_STOPPED] = "stopped",
	[WB_CAT_END_READER_GONE] = "reader gone",
};

/* RFC 9562's text form. */
static void format_session(const uint8_t *id, char *ret_text, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < WBPROTO_SESSION_ID_BYTES; i++)
		n += (size_t)snprintf(
			ret_text + n, size - n, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
}

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
	char session[40];

	format_session(stream->session_id, session, sizeof(session));
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
	if (cat->streams.untracked_messages)
		fprintf(stream, "  not tracked: %" PRIu64 " packets in %" PRIu64 " messages\n",
			cat->streams.untracked_packets, cat->streams.untracked_messages);
	for (size_t i = 0; i < count && i < MAX_STREAM_LINES; i++)
		print_stream(sorted[i], stream);
	if (count > MAX_STREAM_LINES)
		fprintf(stream, "  and %zu more streams\n", count - MAX_STREAM_LINES);
	free(sorted);
}

static void json_u64(FILE *stream, const char *name, uint64_t value)
{
	fprintf(stream, "\"%s\":%" PRIu64 ",", name, value);
}

static void json_text(FILE *stream, const char *text, size_t length)
{
	const uint8_t *at = (const uint8_t *)text;

	fputc('"', stream);
	while (length > 0) {
		uint32_t character = 0;
		size_t n = wb_utf8_decode(at, length, &character);

		if (!n)
			fputs("\xef\xbf\xbd", stream);
		else if (character == '"' || character == '\\')
			fprintf(stream, "\\%c", (char)character);
		else if (wb_utf8_harmless(character))
			fwrite(at, 1, n, stream);
		else
			fprintf(stream, "\\u%04x", (unsigned int)(character & 0xffff));
		at += n ? n : 1;
		length -= n ? n : 1;
	}
	fputc('"', stream);
}

static void json_counters(FILE *stream, const struct wbproto_counters *counters)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{"kernel_seen", counters->kernel_seen},
		{"kernel_dropped", counters->kernel_dropped},
		{"read", counters->read},
		{"filtered", counters->filtered},
		{"sampled_out", counters->sampled_out},
		{"accepted", counters->accepted},
		{"truncated", counters->truncated},
		{"recovered", counters->recovered},
		{"delivered", counters->delivered},
		{"handed_over", counters->handed_over},
		{"failed", counters->failed},
		{"unknown", counters->unknown},
		{"dropped", counters->dropped},
		{"open", counters->open},
		{"in_flight", counters->in_flight},
		{"spooled", counters->spooled},
		{"kernel_freezes", counters->kernel_freezes},
		{"dropped_too_large", counters->dropped_too_large},
		{"dropped_no_buffer", counters->dropped_no_buffer},
		{"dropped_bus_full", counters->dropped_bus_full},
		{"dropped_shutdown", counters->dropped_shutdown},
		{"dropped_spool_full", counters->dropped_spool_full},
	};

	fputs("\"counters\":{", stream);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		fprintf(stream, "%s\"%s\":%" PRIu64, i ? "," : "", rows[i].name, rows[i].value);
	fputs("},", stream);
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
	char session[40];

	format_session(stream->session_id, session, sizeof(session));
	fprintf(out, "{\"session\":\"%s\",\"node\":", session);
	json_text(out, stream->node, stream->node_length);
	fprintf(out, ",\"worker\":%" PRIu32 ",\"stream\":%" PRIu32 ",", stream->worker_id, stream->stream_id);
	json_u64(out, "messages", stream->messages);
	json_u64(out, "packets", stream->packets);
	/* Both 0 when no packet number is known: a stream of heartbeats before the first packet. */
	json_u64(out, "first_packet_seq", stream->numbers.next > stream->numbers.first ? stream->numbers.first : 0);
	json_u64(out, "last_packet_seq", stream->numbers.next > stream->numbers.first ? stream->numbers.next - 1 : 0);
	json_u64(out, "missed_before_first", wb_sequence_before(&stream->numbers));
	json_u64(out, "missing_packets", stream->numbers.missing);
	json_ranges(out, &stream->numbers);
	json_u64(out, "missing_messages", stream->batches.missing);
	json_u64(out, "duplicates", stream->duplicates);
	json_u64(out, "stale", stream->stale);
	json_u64(out, "out_of_order", stream->out_of_order);
	json_u64(out, "kernel_dropped", stream->counters.kernel_dropped);
	if (stream->has_counters)
		json_counters(out, &stream->counters);
	fprintf(out, "\"ended\":%s}", stream->ended ? "true" : "false");
}

void wb_cat_summary_json(const struct wb_cat *cat, FILE *stream)
{
	struct wb_stream **sorted = wb_streams_sorted(&cat->streams);
	size_t count = sorted ? cat->streams.count : 0;
	struct wb_streams_total total;

	wb_streams_sum(sorted, count, &total);
	fprintf(stream, "{\"end\":\"%s\",", end_names[cat->end]);
	json_u64(stream, "messages", cat->messages);
	json_u64(stream, "packets", cat->packets);
	json_u64(stream, "damaged", cat->damaged);
	json_u64(stream, "duplicates", total.duplicates);
	json_u64(stream, "stale", total.stale);
	json_u64(stream, "out_of_order", total.out_of_order);
	json_u64(stream, "missing_packets", total.missing_packets);
	json_u64(stream, "missing_messages", total.missing_messages);
	json_u64(stream, "missed_before_first", total.missed_before_first);
	json_u64(stream, "kernel_dropped", total.kernel_dropped);
	json_u64(stream, "untracked_messages", cat->streams.untracked_messages);
	json_u64(stream, "untracked_packets", cat->streams.untracked_packets);
	fputs("\"streams\":[", stream);
	for (size_t i = 0; i < count; i++) {
		fputs(i ? ",\n" : "\n", stream);
		json_stream(stream, sorted[i]);
	}
	fputs("]}\n", stream);
	free(sorted);
}
