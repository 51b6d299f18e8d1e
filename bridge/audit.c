/* SPDX-License-Identifier: Apache-2.0 */
/* Puts streams together to workers, sessions and nodes, and adds up their figures. */
#include "audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIGURE(name, help)                                                                                             \
	{                                                                                                              \
#name, offsetof(struct wb_audit_figures, name), help                                                   \
	}

const struct wb_audit_figure wb_audit_figures[] = {
	FIGURE(received, "packets that came, each once"),
	FIGURE(messages, "messages that brought them, each once"),
	FIGURE(duplicates, "messages that had come before"),
	FIGURE(duplicate_packets, "packets in those"),
	FIGURE(out_of_order, "messages that came after a later one"),
	FIGURE(kernel_seen, "packets that passed the kernel's filter"),
	FIGURE(kernel_dropped, "of these lost in the kernel: the ring was full"),
	FIGURE(missing, "packets lost on the way: their numbers are missing"),
	FIGURE(missing_messages, "messages that are missing; in record mode each packet is one"),
	FIGURE(missed_before, "packets before the first message that was read"),
	FIGURE(given_up, "of the missing: given up by wirebus or refused by the bus, counted"),
	FIGURE(given_up_later, "of the missing: taken from the spool after a restart, and given up then"),
	FIGURE(lost_in_crash, "of the missing: lost with a process that was killed"),
	FIGURE(pending, "of the missing: still in a spool"),
	FIGURE(under_way, "announced, not here, and not settled yet by the counters: not judged"),
	FIGURE(not_covered, "went out before the first message that was read"),
	FIGURE(unexplained, "of the missing: nothing says why"),
	FIGURE(unread, "seen by the kernel, neither read nor dropped"),
	FIGURE(interface_gaps, "times that an interface was gone"),
	FIGURE(interface_gap_nano, "nanoseconds of which nobody knows what passed"),
	FIGURE(stale, "messages too late to be told from duplicates"),
	FIGURE(repeated, "packets with numbers that other messages had brought"),
	FIGURE(streams, "streams"),
	FIGURE(open_streams, "streams whose end did not come"),
	FIGURE(unknown_tails, "workers that were killed: what was in their rings nobody knows"),
	{NULL, 0, NULL},
};
#define FIGURES (sizeof(wb_audit_figures) / sizeof(wb_audit_figures[0]) - 1)
_Static_assert(FIGURES * sizeof(uint64_t) == sizeof(struct wb_audit_figures), "each figure has a row");

struct flag {
	unsigned int bit;
	const char *name;
	const char *help;
};

static const struct flag doubts[] = {
	{WB_AUDIT_NOTHING, "nothing", "no message of any stream came: there is nothing to prove"},
	{WB_AUDIT_OPEN_TAIL, "open_tail",
		"a stream did not end: it still runs, its process was killed, or its end was lost"},
	{WB_AUDIT_UNEXPLAINED, "unexplained", "packets are missing and no counter says why"},
	{WB_AUDIT_PENDING, "pending", "packets are in a spool that was not emptied yet"},
	{WB_AUDIT_LIMIT, "limit", "there were more streams or holes than this program keeps track of"},
	{WB_AUDIT_CONTRADICTION, "contradiction", "packet numbers came twice in different messages, or after the end"},
	{WB_AUDIT_UNBALANCED, "unbalanced", "counters whose sums do not hold"},
	{0, NULL, NULL},
};

static const struct flag losses[] = {
	{WB_AUDIT_KERNEL, "kernel", "lost in the kernel, counted"},
	{WB_AUDIT_BUS, "bus", "lost between the ring and here, counted"},
	{WB_AUDIT_NOT_COVERED, "not_covered", "what went out before the first message read is not covered"},
	{WB_AUDIT_UNKNOWN_TAIL, "unknown_tail", "a process was killed: what was in its rings nobody knows"},
	{WB_AUDIT_INTERFACE_GAP, "interface_gap", "an interface was gone for a while"},
	{0, NULL, NULL},
};

static const char *next_flag(const struct flag *flags, unsigned int *bits, const char **ret_help)
{
	for (; flags->name; flags++) {
		if (!(*bits & flags->bit))
			continue;
		*bits &= ~flags->bit;
		*ret_help = flags->help;
		return flags->name;
	}
	return NULL;
}

const char *wb_audit_next_doubt(unsigned int *bits, const char **ret_help)
{
	return next_flag(doubts, bits, ret_help);
}

const char *wb_audit_next_loss(unsigned int *bits, const char **ret_help)
{
	return next_flag(losses, bits, ret_help);
}

static void add_figures(struct wb_audit_figures *sum, const struct wb_audit_figures *more)
{
	for (const struct wb_audit_figure *row = wb_audit_figures; row->name; row++) {
		uint64_t *to = (uint64_t *)((char *)sum + row->offset);

		*to = wb_audit_add(*to, *(const uint64_t *)((const char *)more + row->offset));
	}
}

static int compare_nodes(const struct wb_stream *a, const struct wb_stream *b)
{
	size_t length = a->node_length < b->node_length ? a->node_length : b->node_length;
	int order = memcmp(a->node, b->node, length);

	return order ? order : (a->node_length > b->node_length) - (a->node_length < b->node_length);
}

static bool is_same_session(const struct wb_stream *a, const struct wb_stream *b)
{
	return memcmp(a->session_id, b->session_id, sizeof(a->session_id)) == 0;
}

/* By node, session, which is the order in time, worker and stream. */
static int compare(const void *left, const void *right)
{
	const struct wb_stream *a = *(struct wb_stream *const *)left, *b = *(struct wb_stream *const *)right;
	int order = compare_nodes(a, b);

	if (order == 0)
		order = memcmp(a->session_id, b->session_id, sizeof(a->session_id));
	if (order)
		return order;
	if (a->worker_id != b->worker_id)
		return a->worker_id < b->worker_id ? -1 : 1;
	return (a->stream_id > b->stream_id) - (a->stream_id < b->stream_id);
}

/* Unix time of a UUIDv7 (RFC 9562 section 5.7), 0 for any other name. */
static uint64_t start_of(const uint8_t *id)
{
	uint64_t ms = 0;

	if (id[6] >> 4 != 7 || id[8] >> 6 != 2)
		return 0;
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | id[i];
	return ms * 1000000;
}

/* Put a stream that follows its predecessor in order (NULL: none) where it belongs. */
static void place(struct wb_audit *audit, struct wb_stream *const *at, const struct wb_stream *previous)
{
	bool new_node = !previous || compare_nodes(previous, *at) != 0;
	bool new_session = new_node || !is_same_session(previous, *at);

	if (new_node)
		audit->nodes[audit->node_count++].sessions = &audit->sessions[audit->session_count];
	if (new_session) {
		struct wb_audit_session *session = &audit->sessions[audit->session_count++];

		session->workers = &audit->workers[audit->worker_count];
		session->start_ns = start_of((*at)->session_id);
		audit->nodes[audit->node_count - 1].session_count++;
	}
	if (new_session || previous->worker_id != (*at)->worker_id) {
		audit->workers[audit->worker_count++].streams = at;
		audit->sessions[audit->session_count - 1].worker_count++;
	}
	audit->workers[audit->worker_count - 1].stream_count++;
}

/* When the next session of the node began, at or after the given time. */
static uint64_t next_start(const struct wb_audit_node *node, uint64_t from_ns)
{
	uint64_t from_ms = from_ns / 1000000, next = 0;

	for (size_t i = 0; i < node->session_count; i++) {
		uint64_t start = node->sessions[i].start_ns;

		if (start / 1000000 >= from_ms && start && (!next || start < next))
			next = start;
	}
	return next;
}

static void sum_up(struct wb_audit *audit, struct wb_audit_node *node)
{
	for (size_t i = 0; i < node->session_count; i++) {
		struct wb_audit_session *session = &node->sessions[i];

		for (size_t j = 0; j < session->worker_count; j++) {
			struct wb_audit_worker *worker = &session->workers[j];

			if (worker->crashed)
				worker->tail_to_ns = next_start(node, worker->tail_from_ns);
			if (!worker->balanced)
				audit->doubts |= WB_AUDIT_UNBALANCED;
			if (worker->overrun)
				audit->doubts |= WB_AUDIT_CONTRADICTION;
			add_figures(&session->figures, &worker->figures);
		}
		add_figures(&node->figures, &session->figures);
	}
	add_figures(&audit->figures, &node->figures);
}

static unsigned int doubts_of(const struct wb_audit *audit)
{
	const struct wb_audit_figures *f = &audit->figures;

	return (f->streams + audit->untracked_messages ? 0 : WB_AUDIT_NOTHING) |
	       (f->open_streams ? WB_AUDIT_OPEN_TAIL : 0) | (f->unexplained || f->unread ? WB_AUDIT_UNEXPLAINED : 0) |
	       (f->pending ? WB_AUDIT_PENDING : 0) | (audit->untracked_messages || f->stale ? WB_AUDIT_LIMIT : 0) |
	       (f->repeated ? WB_AUDIT_CONTRADICTION : 0);
}

static unsigned int losses_of(const struct wb_audit_figures *f)
{
	uint64_t gone = wb_audit_add(f->missing, f->missed_before);

	return (f->kernel_dropped ? WB_AUDIT_KERNEL : 0) | (gone > f->not_covered ? WB_AUDIT_BUS : 0) |
	       (f->not_covered ? WB_AUDIT_NOT_COVERED : 0) | (f->unknown_tails ? WB_AUDIT_UNKNOWN_TAIL : 0) |
	       (f->interface_gaps ? WB_AUDIT_INTERFACE_GAP : 0);
}

static int allocate(const struct wb_streams *streams, struct wb_audit *audit)
{
	size_t count = streams->count;

	if (count == 0)
		return 0;
	audit->streams = wb_streams_sorted(streams);
	audit->workers = calloc(count, sizeof(*audit->workers));
	audit->sessions = calloc(count, sizeof(*audit->sessions));
	audit->nodes = calloc(count, sizeof(*audit->nodes));
	if (audit->streams && audit->workers && audit->sessions && audit->nodes)
		return 0;
	wb_audit_fini(audit);
	return -ENOMEM;
}

int wb_audit_make(const struct wb_streams *streams, bool from_start, struct wb_audit *ret_audit)
{
	struct wb_audit audit = {.from_start = from_start,
		.untracked_messages = streams->untracked_messages,
		.untracked_packets = streams->untracked_packets};
	int r = allocate(streams, &audit);

	if (r < 0)
		return r;
	audit.stream_count = streams->count;
	if (audit.stream_count)
		qsort(audit.streams, audit.stream_count, sizeof(struct wb_stream *), compare);
	for (size_t i = 0; i < audit.stream_count; i++)
		place(&audit, &audit.streams[i], i ? audit.streams[i - 1] : NULL);
	for (size_t i = 0; r == 0 && i < audit.worker_count; i++)
		r = wb_audit_judge_worker(&audit.workers[i], from_start);
	if (r < 0) {
		wb_audit_fini(&audit);
		return r;
	}
	for (size_t i = 0; i < audit.node_count; i++) {
		wb_audit_judge_node(&audit.nodes[i]);
		sum_up(&audit, &audit.nodes[i]);
	}
	audit.doubts |= doubts_of(&audit);
	audit.losses = losses_of(&audit.figures);
	*ret_audit = audit;
	return 0;
}

void wb_audit_fini(struct wb_audit *audit)
{
	free(audit->streams);
	free(audit->workers);
	free(audit->sessions);
	free(audit->nodes);
	*audit = (struct wb_audit){0};
}

bool wb_audit_failed(const struct wb_audit *audit, bool no_loss)
{
	return audit->doubts || (no_loss && audit->losses);
}

const char *wb_audit_verdict(const struct wb_audit *audit)
{
	return audit->doubts ? "unproven" : audit->losses ? "explained" : "complete";
}
