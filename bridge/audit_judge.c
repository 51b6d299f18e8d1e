/* SPDX-License-Identifier: Apache-2.0 */
/* Which losses the counters explain. */
#include "audit.h"

#include "ledger.h"

static uint64_t least(uint64_t left, uint64_t right)
{
	return left < right ? left : right;
}

static uint64_t less(uint64_t left, uint64_t right)
{
	return left > right ? left - right : 0;
}

/* Move as much as possible from a part that is to be explained, and from what explains it; returns how much. */
static uint64_t take(uint64_t *from, uint64_t *pool)
{
	uint64_t taken = least(*from, *pool);

	*from -= taken;
	*pool -= taken;
	return taken;
}

/* The same, for what is missing and not explained yet: holes first. */
static uint64_t take_open(struct wb_audit_worker *worker, uint64_t *pool)
{
	uint64_t holes = take(&worker->open_holes, pool);

	return holes + take(&worker->open_whole, pool);
}

/* Packets that the worker says it gave up, or the bus refused or left without an answer. */
static uint64_t given_up(const struct wbproto_counters *c)
{
	return c ? wb_audit_add(wb_audit_add(c->failed, c->unknown), c->dropped) : 0;
}

static uint64_t on_the_way(const struct wbproto_counters *c)
{
	return wb_audit_add(wb_audit_add(c->open, c->in_flight), c->spooled);
}

/* Nothing came of it but its end, which a later session wrote. */
static bool is_only_end(const struct wb_stream *stream)
{
	return stream->crashed && stream->packets == 0 && stream->numbers.first == stream->end_packet_seq;
}

static bool is_overrun(const struct wb_stream *stream)
{
	return stream->ended && !stream->crashed &&
	       (stream->next > stream->end_seq + 1 || stream->numbers.next > stream->end_packet_seq);
}

static void add_stream(struct wb_audit_worker *worker, const struct wb_stream *stream)
{
	struct wb_audit_figures *f = &worker->figures;

	f->streams++;
	f->under_way = wb_audit_add(f->under_way, stream->under_way);
	f->open_streams += !stream->ended;
	f->messages = wb_audit_add(f->messages, stream->messages);
	f->received = wb_audit_add(f->received, stream->packets);
	f->duplicates = wb_audit_add(f->duplicates, stream->duplicates);
	f->duplicate_packets = wb_audit_add(f->duplicate_packets, stream->duplicate_packets);
	f->out_of_order = wb_audit_add(f->out_of_order, stream->out_of_order);
	f->missing = wb_audit_add(f->missing, stream->numbers.missing);
	f->missing_messages = wb_audit_add(f->missing_messages, wb_stream_missing_messages(stream));
	f->missed_before = wb_audit_add(f->missed_before, wb_sequence_before(&stream->numbers));
	f->stale = wb_audit_add(f->stale, stream->stale);
	f->repeated = wb_audit_add(f->repeated, stream->repeated);
	worker->overrun = worker->overrun || is_overrun(stream);
	if (!stream->crashed)
		return;
	if (!worker->crashed || stream->crash_before_ns < worker->tail_from_ns)
		worker->tail_from_ns = stream->crash_before_ns;
	worker->crashed = true;
}

/*
 * The newest counters; and the oldest, if every stream of which anything came says in its first message what the worker
 * had given up until then. That explains nothing of what is missing after it.
 */
static void choose_counters(struct wb_audit_worker *worker)
{
	bool first_known = true;

	for (size_t i = 0; i < worker->stream_count; i++) {
		const struct wb_stream *stream = worker->streams[i];

		if (!stream->has_counters || stream->first_counters_seq != stream->lowest)
			first_known = false;
		if (!stream->has_counters)
			continue;
		if (!worker->counters || wb_counters_compare(&stream->counters, worker->counters) > 0)
			worker->counters = &stream->counters;
		if (!worker->first_counters || wb_counters_compare(&stream->first_counters, worker->first_counters) < 0)
			worker->first_counters = &stream->first_counters;
	}
	if (!first_known)
		worker->first_counters = NULL;
}

static void read_counters(struct wb_audit_worker *worker)
{
	struct wb_audit_figures *f = &worker->figures;
	const struct wbproto_counters *c = worker->counters;
	struct wb_ledger_totals totals = {0};

	worker->balanced = true;
	if (!c)
		return;
	totals.counters = *c;
	worker->balanced = wb_ledger_balanced(&totals, false);
	f->kernel_seen = c->kernel_seen;
	f->kernel_dropped = c->kernel_dropped;
	f->interface_gaps = c->interface_gaps;
	f->interface_gap_nano = c->interface_gap_ns;
	if (worker->ended && !worker->crashed)
		f->unread = less(c->kernel_seen, wb_audit_add(c->read, c->kernel_dropped));
}

/* Numbers that the worker is known to have given away. */
static uint64_t numbered(const struct wb_audit_worker *worker)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < worker->stream_count; i++)
		sum = wb_audit_add(sum, less(worker->streams[i]->numbers.next, 1));
	return sum;
}

/* Numbers missing before the first that came, of streams of which only the end came, or of all others. */
static uint64_t before(const struct wb_audit_worker *worker, bool only_end)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < worker->stream_count; i++)
		if (is_only_end(worker->streams[i]) == only_end)
			sum = wb_audit_add(sum, wb_sequence_before(&worker->streams[i]->numbers));
	return sum;
}

/*
 * Record mode: the counters come by a way of their own, and may be here before the packets that they tell of. They say
 * how many had not been settled; those that had were on the bus before the counters were.
 */
static int expect_announced(struct wb_audit_worker *worker)
{
	const struct wbproto_counters *c = worker->counters;
	uint64_t under_way = c ? wb_audit_add(c->open, c->in_flight) : 0, part;

	for (size_t i = 0; i < worker->stream_count; i++) {
		int r = wb_stream_expect_announced(worker->streams[i], under_way, &part);

		if (r < 0)
			return r;
		under_way -= part;
	}
	return 0;
}

static void add_streams(struct wb_audit_worker *worker)
{
	worker->ended = true;
	for (size_t i = 0; i < worker->stream_count; i++) {
		add_stream(worker, worker->streams[i]);
		worker->ended = worker->ended && worker->streams[i]->ended;
	}
	worker->figures.unknown_tails = worker->crashed;
}

int wb_audit_judge_worker(struct wb_audit_worker *worker, bool from_start)
{
	struct wb_audit_figures *f = &worker->figures;
	uint64_t unseen, joined_late, since, all;
	int r;

	choose_counters(worker);
	r = expect_announced(worker);
	if (r < 0)
		return r;
	add_streams(worker);
	read_counters(worker);
	/* Accepted, and in none of the streams: nothing at all came of theirs. */
	unseen = worker->ended && worker->counters ? less(worker->counters->accepted, numbered(worker)) : 0;
	all = given_up(worker->counters);
	since = less(all, given_up(worker->first_counters));
	worker->open_holes = f->missing;
	f->given_up = take(&worker->open_holes, &since);
	all -= f->given_up;
	f->missing = wb_audit_add(f->missing, unseen);
	f->given_up += take(&unseen, &all);
	worker->open_holes = wb_audit_add(worker->open_holes, unseen);
	worker->open_whole = before(worker, true);
	f->given_up += take(&worker->open_whole, &all);
	joined_late = before(worker, false);
	f->given_up += take(&joined_late, &all);
	if (from_start) {
		worker->open_holes = wb_audit_add(wb_audit_add(worker->open_holes, joined_late), worker->open_whole);
		worker->open_whole = joined_late = 0;
	}
	f->not_covered = joined_late;
	worker->surplus = all;
	return 0;
}

/* What of a node's spools is known, while its sessions are walked from the newest to the oldest. */
struct spool {
	uint64_t pending;  /* packets in it, by the newest session's counters */
	uint64_t given_up; /* recovered and given up, by later sessions */
	bool recovered;    /* a later session has read the spool */
};

static void judge_rest(struct wb_audit_worker *worker, struct spool *spool, bool newest)
{
	struct wb_audit_figures *f = &worker->figures;
	const struct wbproto_counters *c = worker->counters;
	uint64_t own = c ? c->spooled : 0, way;

	f->pending = take_open(worker, newest || spool->recovered ? &spool->pending : &own);
	f->given_up_later = take_open(worker, &spool->given_up);
	if (worker->crashed) {
		/* The last counters known may be older than the last numbers known. */
		way = c ? wb_audit_add(on_the_way(c), less(numbered(worker), c->accepted)) : UINT64_MAX;
		f->lost_in_crash = take_open(worker, &way);
	}
	f->unexplained = worker->open_holes;
	f->not_covered = wb_audit_add(f->not_covered, worker->open_whole);
}

static void look_into_spool(const struct wb_audit_session *session, struct spool *spool, bool newest)
{
	for (size_t i = 0; newest && i < session->worker_count; i++)
		if (session->workers[i].counters)
			spool->pending = wb_audit_add(spool->pending, session->workers[i].counters->spooled);
}

/* What it recovered is of older sessions only. */
static void note_recovered(const struct wb_audit_session *session, struct spool *spool)
{
	for (size_t i = 0; i < session->worker_count; i++) {
		const struct wb_audit_worker *worker = &session->workers[i];
		uint64_t recovered = worker->counters ? worker->counters->recovered : 0;

		spool->recovered = spool->recovered || recovered;
		spool->given_up = wb_audit_add(spool->given_up, least(recovered, worker->surplus));
	}
}

void wb_audit_judge_node(struct wb_audit_node *node)
{
	struct spool spool = {0};

	for (size_t i = node->session_count; i-- > 0;) {
		struct wb_audit_session *session = &node->sessions[i];
		bool newest = i + 1 == node->session_count;

		look_into_spool(session, &spool, newest);
		for (size_t j = 0; j < session->worker_count; j++)
			judge_rest(&session->workers[j], &spool, newest);
		note_recovered(session, &spool);
	}
}
