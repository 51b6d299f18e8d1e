/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"

#define IDLE_NS 50000000u

struct run {
	struct wb_replay *replay;
	const struct wb_replay_args *args;
	struct wb_read_ahead *buffer;
	struct wb_replay_ticker *ticker;
	uint64_t taken;      /* packets given to the output, or dropped */
	uint64_t pass_taken; /* of the pass at hand */
	uint64_t until_ns;   /* no packet that is due later; 0: not limited */
	bool starved;        /* the buffer was empty when the packet at hand was wanted */
	bool is_over;

	/* The reading thread's, until it was joined. */
	pthread_t thread;
	struct wb_replay_read read;
	struct wb_error read_error;
	int read_result;
};

/* ---- the reading thread ---- */

static void *read_passes(void *argument)
{
	struct run *run = argument;
	const struct wb_replay_args *args = run->args;
	uint64_t before;

	for (unsigned int pass = 0; run->read_result == 0 && (!args->loops || pass < args->loops); pass++) {
		if (pass > 0) {
			/* What fits into the buffer is read once. */
			if (wb_read_ahead_keeps_all(run->buffer))
				break;
			if (wb_read_ahead_mark(run->buffer) < 0)
				break;
		}
		before = run->read.packets;
		run->read_result = args->read(args->context, pass, run->buffer, &run->read, &run->read_error);
		if (run->read.packets == before || atomic_load_explicit(args->stop, memory_order_relaxed))
			break;
	}
	wb_read_ahead_end(run->buffer);
	return NULL;
}

/* ---- the sending thread ---- */

static void end(struct run *run, enum wb_replay_end reason)
{
	if (!run->is_over)
		run->replay->end = reason;
	run->is_over = true;
}

static bool is_stopped(const struct run *run)
{
	return atomic_load_explicit(run->args->stop, memory_order_relaxed);
}

/* What an output's call returned. */
static int check_out(struct run *run, int r)
{
	if (r == -EINTR) {
		end(run, WB_REPLAY_END_STOPPED);
		return 0;
	}
	if (r < 0) {
		run->replay->error = wb_out_base(run->args->out)->error;
		end(run, WB_REPLAY_END_FAILED);
	}
	return r;
}

static int send_put(struct run *run)
{
	const struct wb_out_ops *ops = wb_out_base(run->args->out)->ops;

	return ops->send ? check_out(run, ops->send(run->args->out)) : 0;
}

/* Until when to wait for packets without looking at the output; 0: not limited. */
static uint64_t next_look(const struct run *run)
{
	uint64_t look_ns = wb_monotonic_ns() + IDLE_NS;

	if (!wb_out_base(run->args->out)->ops->wait)
		return run->until_ns;
	return run->until_ns && run->until_ns < look_ns ? run->until_ns : look_ns;
}

/* What the output has to do while nothing comes. */
static int idle(struct run *run)
{
	const struct wb_out_ops *ops = wb_out_base(run->args->out)->ops;

	return ops->wait ? check_out(run, ops->wait(run->args->out, 0)) : 0;
}

/* There is nothing to take: send what was put, then wait. */
static int wait_for_packet(struct run *run)
{
	int r = send_put(run);

	run->starved = true;
	if (r < 0 || run->is_over)
		return r;
	wb_read_ahead_wait(run->buffer, 1, next_look(run));
	r = idle(run);
	if (r == 0 && run->until_ns && wb_monotonic_ns() > run->until_ns)
		end(run, WB_REPLAY_END_DURATION);
	return r;
}

static void note_starved(struct run *run, uint64_t due_ns, uint64_t now_ns)
{
	if (run->starved && due_ns && now_ns > due_ns) {
		run->replay->waits++;
		run->replay->waits_ns += now_ns - due_ns;
	}
	run->starved = false;
}

/*
 * A packet that is due later: what was put before it is sent, then it waits. It is put before that, as far as the
 * output can, so that nothing is left to be done at its time but to tell the kernel.
 */
static int put_in_time(struct run *run, const struct wbproto_record *record, uint64_t due_ns)
{
	struct wb_out *out = run->args->out;
	const struct wb_out_ops *ops = wb_out_base(out)->ops;
	int r = send_put(run);

	if (r < 0 || run->is_over) {
		run->taken--; /* it was not put */
		return r;
	}
	if (ops->send) {
		r = check_out(run, ops->put(out, record, due_ns));
		if (r < 0 || run->is_over)
			return r;
	}
	r = ops->wait ? ops->wait(out, due_ns) : wb_pace_wait(&run->replay->pace, due_ns, run->args->stop);
	if (r < 0 && !ops->send)
		run->taken--; /* it was not put */
	r = check_out(run, r);
	if (r < 0 || run->is_over)
		return r;
	return ops->send ? send_put(run) : check_out(run, ops->put(out, record, due_ns));
}

static uint64_t wire_bytes(const struct wbproto_packet *packet)
{
	return (uint64_t)packet->original_length + (packet->vlan_tpid ? 4 : 0);
}

static int take(struct run *run, const struct wbproto_record *record)
{
	struct wb_replay *replay = run->replay;
	struct wb_out *out = run->args->out;
	uint64_t due_ns = wb_pace_due(&replay->pace, record->packet.time_unix_ns, wire_bytes(&record->packet));
	uint64_t now_ns = due_ns || run->until_ns ? wb_monotonic_ns() : 0;

	note_starved(run, due_ns, now_ns);
	if (run->until_ns && (due_ns > run->until_ns || now_ns > run->until_ns)) {
		end(run, WB_REPLAY_END_DURATION);
		return 0;
	}
	run->taken++;
	run->pass_taken++;
	if (due_ns > now_ns)
		return put_in_time(run, record, due_ns);
	return check_out(run, wb_out_base(out)->ops->put(out, record, due_ns));
}

/* Every packet of a pass was taken. */
static void end_pass(struct run *run)
{
	run->replay->passes++;
	run->pass_taken = 0;
	wb_pace_restart(&run->replay->pace);
}

/* The buffer is empty, and the reading thread has ended. */
static void end_data(struct run *run)
{
	const struct wb_replay_args *args = run->args;
	uint64_t pass_taken = run->pass_taken;

	end_pass(run);
	if (run->read_result < 0 || pass_taken == 0 || (args->loops && run->replay->passes >= args->loops) ||
		!wb_read_ahead_rewind(run->buffer))
		end(run, WB_REPLAY_END_OF_DATA);
}

static int step(struct run *run)
{
	const struct wbproto_record *record = NULL;

	if (is_stopped(run)) {
		end(run, WB_REPLAY_END_STOPPED);
		return 0;
	}
	if (run->args->limit && run->taken >= run->args->limit) {
		end(run, WB_REPLAY_END_LIMIT);
		return 0;
	}
	switch (wb_read_ahead_next(run->buffer, &record)) {
	case 1:
		return take(run, record);
	case 2:
		end_pass(run);
		return 0;
	case 0:
		return wait_for_packet(run);
	default:
		end_data(run);
		return 0;
	}
}

/* false: until_ns (0: no limit) has come, and there is less. Nothing more is wanted than the limit's packets. */
static bool wait_for_bytes(struct run *run, size_t bytes, uint64_t until_ns)
{
	const uint64_t limit = run->args->limit;

	while (!limit || wb_read_ahead_packets(run->buffer) < limit) {
		uint64_t look_ns = wb_monotonic_ns() + IDLE_NS;

		if (until_ns && until_ns < look_ns)
			look_ns = until_ns;
		if (wb_read_ahead_wait(run->buffer, bytes, look_ns))
			return true;
		if (look_ns == until_ns)
			return false;
	}
	return true;
}

/* Let packets gather, so that the source may falter later. */
static void wait_for_lead(struct run *run)
{
	const struct wb_replay_args *args = run->args;
	uint64_t first_ns = args->first_ns ? wb_monotonic_ns() + args->first_ns : 0;

	if (!wb_read_ahead_wait(run->buffer, 1, first_ns)) {
		end(run, WB_REPLAY_END_DURATION);
		return;
	}
	if (!args->preload)
		wait_for_bytes(run, args->buffer_bytes / 2, wb_monotonic_ns() + args->lead_ns);
	else if (!wait_for_bytes(run, args->buffer_bytes, first_ns))
		end(run, WB_REPLAY_END_DURATION);
}

static int send_all(struct run *run)
{
	const struct wb_replay_args *args = run->args;
	struct wb_replay *replay = run->replay;
	int r = 0, finished;

	wait_for_lead(run);
	replay->begin_ns = wb_monotonic_ns();
	if (args->duration_ns)
		run->until_ns = replay->begin_ns + args->duration_ns;
	while (r >= 0 && !run->is_over)
		r = step(run);
	finished = wb_out_base(args->out)->ops->finish(args->out);
	if (r >= 0 && finished < 0)
		r = check_out(run, finished);
	replay->end_ns = wb_monotonic_ns();
	return r;
}

/* The reading thread has ended. What it had read and nobody took was left, or could not go where there is nothing. */
static void account(struct run *run, int r)
{
	struct wb_replay *replay = run->replay;
	enum wb_unsent cause = r == -ENODEV ? WB_UNSENT_INTERFACE_GONE : WB_UNSENT_LEFT;

	replay->read = run->read;
	if (run->taken > run->read.packets)
		replay->repeated = run->taken - run->read.packets;
	wb_tally_add(&run->args->tally->unsent[cause], run->read.packets + replay->repeated - run->taken);
	wb_tally_add(&run->args->tally->unsent[WB_UNSENT_TOO_LARGE], run->read.too_large);
}

static int start(struct run *run)
{
	const struct wb_replay_args *args = run->args;
	struct wb_error *error = &run->replay->error;
	int r = wb_pace_init(&run->replay->pace, &args->pace, error);

	if (r == 0)
		r = wb_read_ahead_create(args->buffer_bytes, args->loops != 1, args->stop, &run->buffer);
	if (r < 0)
		return error->message[0] ? r : wb_fail(error, r, "cannot make the buffer: %s", strerror(-r));
	if (args->stats_ns)
		r = wb_replay_ticker_start(args->stats_ns, args->tally, &run->ticker);
	if (r == 0)
		r = -pthread_create(&run->thread, NULL, read_passes, run);
	return r < 0 ? wb_fail(error, r, "cannot start a thread: %s", strerror(-r)) : 0;
}

int wb_replay_run(struct wb_replay *replay, const struct wb_replay_args *args)
{
	struct run run = {.replay = replay, .args = args};
	int r;

	*replay = (struct wb_replay){0};
	r = start(&run);
	if (r == 0) {
		r = send_all(&run);
		wb_read_ahead_cancel(run.buffer);
		pthread_join(run.thread, NULL);
		account(&run, r);
		if (r == 0 && run.read_result < 0) {
			r = run.read_result;
			replay->error = run.read_error;
			replay->end = WB_REPLAY_END_FAILED;
		}
	}
	wb_replay_ticker_end(run.ticker);
	wb_read_ahead_destroy(run.buffer);
	return r;
}

uint64_t wb_replay_failures(const struct wb_tally *tally)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < WB_UNSENT_COUNT; i++)
		if (i != WB_UNSENT_LEFT)
			sum += atomic_load_explicit(&tally->unsent[i], memory_order_relaxed);
	return sum;
}
