/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <time.h>

#include "audit.h"
#include "ledger.h"
#include "line.h"
#include "report.h"

#define ALWAYS_SHOWN 2 /* of the rows of figures */
#define RANGES_A_LINE 6

typedef const char *next_name(unsigned int *bits, const char **ret_help);

static void print_flags(FILE *out, unsigned int bits, next_name *next)
{
	const char *help;

	while (next(&bits, &help))
		fprintf(out, "  - %s\n", help);
}

static void print_verdict(const struct wb_audit *audit, const struct wb_audit_about *about, FILE *out)
{
	if (audit->doubts)
		fputs("unproven: what was lost cannot be told, or nothing explains it\n", out);
	else if (audit->losses)
		fprintf(out, "explained: every loss is in a counter, or outside of what was read%s\n",
			about->no_loss ? "; with --no-loss that is a failure" : "");
	else
		fputs("complete: nothing was lost\n", out);
	print_flags(out, audit->doubts, wb_audit_next_doubt);
	print_flags(out, audit->losses, wb_audit_next_loss);
}

static void print_figures(FILE *out, const struct wb_audit_figures *figures)
{
	for (const struct wb_audit_figure *row = wb_audit_figures; row->name; row++) {
		uint64_t value = *(const uint64_t *)((const char *)figures + row->offset);

		if (value || row < wb_audit_figures + ALWAYS_SHOWN)
			fprintf(out, "  %-18s %12" PRIu64 "  %s\n", row->name, value, row->help);
	}
}

static void print_ranges(FILE *out, const char *what, const struct wb_sequence *sequence)
{
	if (!sequence->missing)
		return;
	fprintf(out, "    missing %s:", what);
	for (size_t i = 0; i < sequence->hole_count; i++) {
		const struct wb_hole *hole = &sequence->holes[i];

		if (i && i % RANGES_A_LINE == 0)
			fputs("\n     ", out);
		fprintf(out, " %" PRIu64, hole->first);
		if (hole->last > hole->first)
			fprintf(out, "-%" PRIu64, hole->last);
	}
	if (sequence->forgotten)
		fprintf(out, " and %" PRIu64 " older ones", sequence->forgotten);
	fputc('\n', out);
}

static const char *end_of(const struct wb_stream *stream)
{
	if (!stream->ended)
		return "its end did not come";
	return stream->crashed ? "its process was killed" : "ended";
}

static void print_stream(FILE *out, const struct wb_stream *stream)
{
	bool known = stream->numbers.next > stream->numbers.first;

	fprintf(out, "  stream %" PRIu32 ": ", stream->stream_id);
	if (known)
		fprintf(out, "packets %" PRIu64 " to %" PRIu64, stream->numbers.first, stream->numbers.next - 1);
	else
		fprintf(out, "no packets");
	if (wb_sequence_before(&stream->numbers))
		fprintf(out, ", none of the %" PRIu64 " before", wb_sequence_before(&stream->numbers));
	fprintf(out, "; %s\n", end_of(stream));
	print_ranges(out, "packets", &stream->numbers);
	print_ranges(out, stream->of_records ? "messages of the ledger" : "messages", &stream->batches);
}

/* UTC, as in RFC 3339; 0 is a time that is not known. */
static void print_time(FILE *out, uint64_t unix_ns)
{
	time_t seconds = (time_t)(unix_ns / 1000000000);
	struct tm time;
	char text[32];

	if (!unix_ns || !gmtime_r(&seconds, &time) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &time))
		fputs("an unknown time", out);
	else
		fprintf(out, "%s.%09" PRIu64 "Z", text, unix_ns % 1000000000);
}

static void print_worker(FILE *out, const struct wb_audit_worker *worker)
{
	struct wb_ledger_totals totals = {0};
	char title[64];

	fprintf(out, "worker %" PRIu32 "\n", worker->streams[0]->worker_id);
	print_figures(out, &worker->figures);
	for (size_t i = 0; i < worker->stream_count; i++)
		print_stream(out, worker->streams[i]);
	if (worker->crashed) {
		fputs("  unknown: what was in the ring, and what passed from ", out);
		print_time(out, worker->tail_from_ns);
		fputs(" to ", out);
		print_time(out, worker->tail_to_ns);
		fputc('\n', out);
	}
	if (!worker->counters)
		return;
	totals.counters = *worker->counters;
	snprintf(title, sizeof(title), "worker %" PRIu32 " as its messages tell it%s", worker->streams[0]->worker_id,
		worker->balanced ? "" : " (the sums do not hold)");
	wb_ledger_print_text(out, title, &totals);
}

static void print_session(FILE *out, const struct wb_audit_session *session)
{
	char name[WB_REPORT_SESSION_BYTES];

	wb_report_session(session->workers[0].streams[0]->session_id, name);
	fprintf(out, "\nsession %s, started ", name);
	print_time(out, session->start_ns);
	fputc('\n', out);
	for (size_t i = 0; i < session->worker_count; i++)
		print_worker(out, &session->workers[i]);
}

/* The only node's figures are those of all. */
static void print_node(FILE *out, const struct wb_audit_node *node, bool only)
{
	const struct wb_stream *stream = node->sessions[0].workers[0].streams[0];
	const struct wbproto_view name = {stream->node, stream->node_length};
	struct wb_line line;

	wb_line_clear(&line);
	wb_line_add_untrusted(&line, name, WB_STREAM_NODE_BYTES);
	fprintf(out, "\nnode %s: restarts %zu\n", line.length ? line.text : "without a name", node->session_count - 1);
	if (!only)
		print_figures(out, &node->figures);
	for (size_t i = 0; i < node->session_count; i++)
		print_session(out, &node->sessions[i]);
}

void wb_audit_text(const struct wb_audit *audit, const struct wb_audit_about *about, FILE *out)
{
	print_verdict(audit, about, out);
	fprintf(out, "%s was read until: %s; damaged messages %" PRIu64 "\n", about->source, about->end,
		about->damaged);
	if (audit->from_start)
		fprintf(out, "nothing was published there before what was read\n");
	if (audit->untracked_messages)
		fprintf(out, "not kept track of: %" PRIu64 " packets in %" PRIu64 " messages\n",
			audit->untracked_packets, audit->untracked_messages);
	print_figures(out, &audit->figures);
	for (size_t i = 0; i < audit->node_count; i++)
		print_node(out, &audit->nodes[i], audit->node_count == 1);
}
