/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "audit.h"
#include "report.h"

static void json_bool(FILE *out, const char *name, bool value)
{
	fprintf(out, "\"%s\":%s,", name, value ? "true" : "false");
}

/* All members but the last comma. */
static void json_figures(FILE *out, const struct wb_audit_figures *figures)
{
	for (const struct wb_audit_figure *row = wb_audit_figures; row->name; row++)
		fprintf(out, "%s\"%s\":%" PRIu64, row == wb_audit_figures ? "" : ",", row->name,
			*(const uint64_t *)((const char *)figures + row->offset));
}

static void json_ranges(FILE *out, const char *name, const struct wb_sequence *sequence)
{
	fprintf(out, "\"%s_ranges\":[", name);
	for (size_t i = 0; i < sequence->hole_count; i++)
		fprintf(out, "%s[%" PRIu64 ",%" PRIu64 "]", i ? "," : "", sequence->holes[i].first,
			sequence->holes[i].last);
	fprintf(out, "],\"%s_ranges_complete\":%s,", name, sequence->forgotten ? "false" : "true");
}

/* Messages. Of records only the packets' numbers say which are missing. */
static void json_messages(FILE *out, const struct wb_stream *stream)
{
	uint64_t missing = wb_stream_missing_messages(stream);

	wb_report_u64(out, "missing_messages", missing);
	if (!stream->of_records)
		json_ranges(out, "missing_messages", &stream->batches);
	else
		fprintf(out, "\"missing_messages_ranges\":[],\"missing_messages_ranges_complete\":%s,",
			missing ? "false" : "true");
}

static void json_stream(FILE *out, const struct wb_stream *stream)
{
	bool known = stream->numbers.next > stream->numbers.first;

	fprintf(out, "{\"stream\":%" PRIu32 ",", stream->stream_id);
	wb_report_u64(out, "received", stream->packets);
	wb_report_u64(out, "messages", stream->messages);
	wb_report_u64(out, "first_packet_seq", known ? stream->numbers.first : 0);
	wb_report_u64(out, "last_packet_seq", known ? stream->numbers.next - 1 : 0);
	wb_report_u64(out, "missed_before", wb_sequence_before(&stream->numbers));
	wb_report_u64(out, "missed_messages_before", stream->lowest - 1);
	wb_report_u64(out, "missing", stream->numbers.missing);
	json_ranges(out, "missing", &stream->numbers);
	json_messages(out, stream);
	wb_report_u64(out, "duplicates", stream->duplicates);
	wb_report_u64(out, "duplicate_packets", stream->duplicate_packets);
	wb_report_u64(out, "out_of_order", stream->out_of_order);
	wb_report_u64(out, "stale", stream->stale);
	wb_report_u64(out, "repeated", stream->repeated);
	json_bool(out, "ended", stream->ended);
	fprintf(out, "\"crashed\":%s}", stream->crashed ? "true" : "false");
}

static void json_worker(FILE *out, const struct wb_audit_worker *worker)
{
	fprintf(out, "{\"worker\":%" PRIu32 ",", worker->streams[0]->worker_id);
	json_bool(out, "ended", worker->ended);
	json_bool(out, "crashed", worker->crashed);
	json_bool(out, "balanced", worker->balanced);
	if (worker->crashed)
		fprintf(out, "\"unknown_tail\":{\"from_unix_nano\":%" PRIu64 ",\"to_unix_nano\":%" PRIu64 "},",
			worker->tail_from_ns, worker->tail_to_ns);
	if (worker->counters)
		wb_report_counters(out, worker->counters);
	fputs("\"figures\":{", out);
	json_figures(out, &worker->figures);
	fputs("},\"streams\":[", out);
	for (size_t i = 0; i < worker->stream_count; i++) {
		fputs(i ? ",\n" : "\n", out);
		json_stream(out, worker->streams[i]);
	}
	fputs("]}", out);
}

static void json_session(FILE *out, const struct wb_audit_session *session)
{
	char name[WB_REPORT_SESSION_BYTES];

	wb_report_session(session->workers[0].streams[0]->session_id, name);
	fprintf(out, "{\"session\":\"%s\",\"start_unix_nano\":%" PRIu64 ",\"figures\":{", name, session->start_ns);
	json_figures(out, &session->figures);
	fputs("},\"workers\":[", out);
	for (size_t i = 0; i < session->worker_count; i++) {
		if (i)
			fputc(',', out);
		json_worker(out, &session->workers[i]);
	}
	fputs("]}", out);
}

static void json_node(FILE *out, const struct wb_audit_node *node)
{
	const struct wb_stream *stream = node->sessions[0].workers[0].streams[0];

	fputs("{\"node\":", out);
	wb_report_text(out, stream->node, stream->node_length);
	fprintf(out, ",\"restarts\":%zu,\"figures\":{", node->session_count - 1);
	json_figures(out, &node->figures);
	fputs("},\"sessions\":[", out);
	for (size_t i = 0; i < node->session_count; i++) {
		if (i)
			fputc(',', out);
		json_session(out, &node->sessions[i]);
	}
	fputs("]}", out);
}

typedef const char *next_name(unsigned int *bits, const char **ret_help);

static void json_names(FILE *out, const char *name, unsigned int bits, next_name *next)
{
	const char *help, *flag;

	fprintf(out, "\"%s\":[", name);
	for (bool first = true; (flag = next(&bits, &help)); first = false)
		fprintf(out, "%s\"%s\"", first ? "" : ",", flag);
	fputs("],", out);
}

void wb_audit_json(const struct wb_audit *audit, const struct wb_audit_about *about, FILE *out)
{
	fprintf(out, "{\"verdict\":\"%s\",", wb_audit_verdict(audit));
	json_names(out, "doubts", audit->doubts, wb_audit_next_doubt);
	json_names(out, "losses", audit->losses, wb_audit_next_loss);
	fprintf(out, "\"end\":\"%s\",", about->end);
	json_bool(out, "from_start", audit->from_start);
	wb_report_u64(out, "damaged", about->damaged);
	wb_report_u64(out, "untracked_messages", audit->untracked_messages);
	wb_report_u64(out, "untracked_packets", audit->untracked_packets);
	fputs("\"figures\":{", out);
	json_figures(out, &audit->figures);
	fputs("},\"nodes\":[", out);
	for (size_t i = 0; i < audit->node_count; i++) {
		fputs(i ? ",\n" : "\n", out);
		json_node(out, &audit->nodes[i]);
	}
	fputs("]}\n", out);
}
