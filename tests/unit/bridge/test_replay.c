/* SPDX-License-Identifier: Apache-2.0 */
/* What replay counts, with a source and an output that fail on command: every packet is in one of the sums. */
#include "testing.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "replay.h"

#define MS 1000000u

/* The output: takes packets, and fails at one. */
struct wb_out {
	struct wb_out_base base;
	uint64_t put, sent; /* what was put is sent later */
	uint64_t fail_at;   /* number of the packet, from 1; 0: none */
	int fail_with;
	uint64_t fail_send_at, fail_wait_at; /* number of the call, from 1; 0: none */
	uint64_t sends, waits;
	uint64_t refuse_every; /* 0: none */
	uint64_t stop_at;
	atomic_bool *stop;
	uint64_t last_time;
	uint64_t last_due;
	uint64_t times_back; /* packets whose time was before that of the one before */
	_Atomic(uint64_t) *read;
	uint64_t read_at_first; /* packets that had been read when the first one was put */
	bool finished;
};

struct rig {
	struct wb_out out;
	struct wb_tally tally;
	atomic_bool stop;
	uint64_t packets; /* of a pass */
	uint64_t gap_ns;
	uint32_t bytes;
	uint64_t filtered;
	int read_result;
	bool idle; /* at its end the source goes on, and nothing comes */
	unsigned int passes_read;
	_Atomic(uint64_t) read;
	struct wb_replay_args args;
	struct wb_replay replay;
};

static int out_put(struct wb_out *out, const struct wbproto_record *record, uint64_t due_ns)
{
	if (out->put == 0)
		out->read_at_first = atomic_load(out->read);
	out->put++;
	assert_false(out->finished);
	assert_true(due_ns >= out->last_due);
	out->last_due = due_ns;
	out->times_back += record->packet.time_unix_ns < out->last_time;
	out->last_time = record->packet.time_unix_ns;
	if (out->put == out->stop_at)
		atomic_store(out->stop, true);
	if (out->put == out->fail_at) {
		wb_tally_add(&out->base.tally->unsent[WB_UNSENT_OTHER], 1);
		return wb_fail(&out->base.error, out->fail_with, "it failed");
	}
	if (out->refuse_every && out->put % out->refuse_every == 0) {
		wb_tally_add(&out->base.tally->unsent[WB_UNSENT_TOO_LARGE], 1);
		return 0;
	}
	wb_tally_add(&out->base.tally->sent, 1);
	return 0;
}

static int out_send(struct wb_out *out)
{
	if (++out->sends == out->fail_send_at)
		return wb_fail(&out->base.error, -ENODEV, "it cannot send");
	out->sent = out->put;
	return 0;
}

static int out_wait(struct wb_out *out, uint64_t due_ns)
{
	return due_ns && ++out->waits == out->fail_wait_at ? wb_fail(&out->base.error, -EIO, "it cannot wait") : 0;
}

static int out_finish(struct wb_out *out)
{
	out->finished = true;
	return 0;
}

static const struct wb_out_ops two_steps = {.name = "two", .put = out_put, .send = out_send, .finish = out_finish};
static const struct wb_out_ops one_step = {.name = "one", .put = out_put, .finish = out_finish};
static const struct wb_out_ops waiting = {.name = "waits", .put = out_put, .wait = out_wait, .finish = out_finish};

static int read_pass(void *context, unsigned int pass, struct wb_read_ahead *buffer, struct wb_replay_read *ret_read,
	struct wb_error *ret_error)
{
	struct rig *rig = context;
	static const uint8_t data[2000];
	int r;

	assert_int_equal(pass, rig->passes_read);
	rig->passes_read++;
	ret_read->filtered += rig->filtered;
	for (uint64_t i = 0; i < rig->packets; i++) {
		const struct wbproto_record record = {
			.packet = {.time_unix_ns = 1000 + i * rig->gap_ns,
				.data = data,
				.captured_length = rig->bytes,
				.original_length = rig->bytes},
		};
		r = wb_read_ahead_put(buffer, &record);
		if (r == -ECANCELED)
			return 0;
		assert_int_equal(r, 0);
		ret_read->packets++;
		atomic_fetch_add(&rig->read, 1);
	}
	/* As wb_replay_source_read() waits: for both. */
	while (rig->idle && !atomic_load(&rig->stop) && !atomic_load(wb_read_ahead_cancelled(buffer)))
		poll(NULL, 0, 1);
	return rig->read_result < 0 ? wb_fail(ret_error, rig->read_result, "the source failed") : 0;
}

static struct rig *make(uint64_t packets, enum wb_pace_mode mode)
{
	struct rig *rig = test_calloc(1, sizeof(*rig));

	rig->packets = packets;
	rig->bytes = 100;
	rig->out.base = (struct wb_out_base){.ops = &two_steps, .tally = &rig->tally, .stop = &rig->stop};
	rig->out.stop = &rig->stop;
	rig->out.read = &rig->read;
	rig->args = (struct wb_replay_args){
		.read = read_pass,
		.context = rig,
		.out = &rig->out,
		.tally = &rig->tally,
		.pace = {.mode = mode, .value = 1},
		.loops = 1,
		.buffer_bytes = 1024 * 1024,
		.stop = &rig->stop,
	};
	return rig;
}

static uint64_t unsent(const struct rig *rig)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < WB_UNSENT_COUNT; i++)
		sum += rig->tally.unsent[i];
	return sum;
}

static void run(struct rig *rig, int result, enum wb_replay_end end)
{
	const struct wb_replay *replay = &rig->replay;

	assert_int_equal(wb_replay_run(&rig->replay, &rig->args), result);
	assert_int_equal(replay->end, end);
	assert_true(rig->out.finished);
	assert_int_equal(
		replay->read.packets + replay->read.too_large + replay->repeated, rig->tally.sent + unsent(rig));
}

static void test_all(void **state)
{
	struct rig *rig = make(50000, WB_PACE_TOPSPEED);

	rig->out.refuse_every = 10;
	rig->filtered = 7;
	run(rig, 0, WB_REPLAY_END_OF_DATA);
	assert_int_equal(rig->tally.sent, 45000);
	assert_int_equal(rig->tally.unsent[WB_UNSENT_TOO_LARGE], 5000);
	assert_int_equal(wb_replay_failures(&rig->tally), 5000);
	assert_int_equal(rig->replay.read.filtered, 7);
	assert_int_equal(rig->replay.passes, 1);
	assert_int_equal(rig->out.times_back, 0);
	test_free(rig);
}

static void test_empty(void **state)
{
	struct rig *rig = make(0, WB_PACE_TIMES);

	rig->args.loops = 0;
	run(rig, 0, WB_REPLAY_END_OF_DATA);
	assert_int_equal(rig->tally.sent, 0);
	test_free(rig);
}

/* Both kinds of outputs; a pass takes the time that it must. */
static void test_in_time(void **state)
{
	for (int way = 0; way < 2; way++) {
		struct rig *rig = make(100, WB_PACE_TIMES);

		rig->gap_ns = 1 * MS;
		rig->args.loops = 3;
		rig->out.base.ops = way ? &one_step : &two_steps;
		run(rig, 0, WB_REPLAY_END_OF_DATA);
		assert_int_equal(rig->tally.sent, 300);
		assert_int_equal(rig->replay.repeated, 200);
		assert_int_equal(rig->replay.passes, 3);
		assert_int_equal(rig->passes_read, 1);
		assert_int_equal(rig->out.times_back, 2);
		/* 299 gaps, of which those between passes have the mean length. */
		assert_true(rig->replay.end_ns - rig->replay.begin_ns >= 299 * MS);
		test_free(rig);
	}
}

static void test_read_again(void **state)
{
	struct rig *rig = make(20000, WB_PACE_TOPSPEED);

	rig->args.loops = 4;
	run(rig, 0, WB_REPLAY_END_OF_DATA);
	assert_int_equal(rig->tally.sent, 80000);
	assert_int_equal(rig->replay.repeated, 0);
	assert_int_equal(rig->passes_read, 4);
	assert_int_equal(rig->replay.passes, 4);
	test_free(rig);
}

static void test_limit(void **state)
{
	/* In the first pass, in a repeated one, and where each is read again. */
	const struct {
		uint64_t packets, limit, loops;
	} rows[] = {{1000, 10, 1}, {1000, 2500, 0}, {20000, 50000, 0}, {1000, 1000, 0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig *rig = make(rows[i].packets, WB_PACE_TOPSPEED);

		rig->args.limit = rows[i].limit;
		rig->args.loops = rows[i].loops;
		run(rig, 0, WB_REPLAY_END_LIMIT);
		assert_int_equal(rig->tally.sent, rows[i].limit);
		assert_int_equal(unsent(rig), rig->tally.unsent[WB_UNSENT_LEFT]);
		assert_int_equal(wb_replay_failures(&rig->tally), 0);
		test_free(rig);
	}
}

static void test_duration(void **state)
{
	struct rig *rig = make(1000, WB_PACE_PPS);

	rig->args.pace.value = 100;
	rig->args.duration_ns = 200 * MS;
	run(rig, 0, WB_REPLAY_END_DURATION);
	assert_in_range(rig->tally.sent, 1, 21);
	test_free(rig);
	rig = make(1000, WB_PACE_TOPSPEED);
	rig->args.loops = 0;
	rig->args.duration_ns = 50 * MS;
	run(rig, 0, WB_REPLAY_END_DURATION);
	test_free(rig);
}

/* The end of the sending ends the reading, also while nothing comes that could be refused. */
static void test_idle(void **state)
{
	struct rig *rig = make(3, WB_PACE_TOPSPEED);

	rig->idle = true;
	rig->args.limit = 3;
	run(rig, 0, WB_REPLAY_END_LIMIT);
	assert_int_equal(rig->tally.sent, 3);
	test_free(rig);
	rig = make(3, WB_PACE_TOPSPEED);
	rig->idle = true;
	rig->args.duration_ns = 100 * MS;
	run(rig, 0, WB_REPLAY_END_DURATION);
	assert_int_equal(rig->tally.sent, 3);
	test_free(rig);
	rig = make(3, WB_PACE_TOPSPEED);
	rig->idle = true;
	rig->out.fail_at = 2;
	rig->out.fail_with = -ENODEV;
	run(rig, -ENODEV, WB_REPLAY_END_FAILED);
	test_free(rig);
	/* Nothing comes at all. */
	rig = make(0, WB_PACE_TOPSPEED);
	rig->idle = true;
	rig->args.first_ns = rig->args.duration_ns = 100 * MS;
	run(rig, 0, WB_REPLAY_END_DURATION);
	assert_int_equal(rig->tally.sent, 0);
	test_free(rig);
	/* The limit of the first packet's wait is none of the source's end. */
	rig = make(0, WB_PACE_TOPSPEED);
	rig->args.first_ns = UINT64_C(3600000) * MS;
	run(rig, 0, WB_REPLAY_END_OF_DATA);
	test_free(rig);
}

/* Nothing is sent before all was read; of a source that goes on for ever, before the buffer is full. */
static void test_preload(void **state)
{
	struct rig *rig = make(300, WB_PACE_TOPSPEED);

	rig->bytes = 2000;
	rig->args.preload = true;
	run(rig, 0, WB_REPLAY_END_OF_DATA);
	assert_int_equal(rig->out.read_at_first, 300);
	test_free(rig);
	rig = make(5000, WB_PACE_TOPSPEED);
	rig->bytes = 2000;
	rig->idle = true;
	rig->args.preload = true;
	rig->args.limit = 5000;
	run(rig, 0, WB_REPLAY_END_LIMIT);
	assert_in_range(rig->out.read_at_first, 350, 530);
	assert_int_equal(rig->tally.sent, 5000);
	test_free(rig);
}

/* The limits end it as well while such a source says nothing. */
static void test_preload_idle(void **state)
{
	struct rig *rig = make(3, WB_PACE_TOPSPEED);

	rig->idle = true;
	rig->args.preload = true;
	rig->args.limit = 3;
	run(rig, 0, WB_REPLAY_END_LIMIT);
	assert_int_equal(rig->tally.sent, 3);
	test_free(rig);
	rig = make(3, WB_PACE_TOPSPEED);
	rig->idle = true;
	rig->args.preload = true;
	rig->args.first_ns = rig->args.duration_ns = 100 * MS;
	run(rig, 0, WB_REPLAY_END_DURATION);
	assert_int_equal(rig->tally.unsent[WB_UNSENT_LEFT], 3);
	test_free(rig);
}

static void test_stop(void **state)
{
	struct rig *rig = make(1000, WB_PACE_TOPSPEED);

	rig->out.stop_at = 500;
	run(rig, 0, WB_REPLAY_END_STOPPED);
	assert_int_equal(rig->tally.sent, 500);
	test_free(rig);
	/* While it waits for a time far away. */
	for (int way = 0; way < 2; way++) {
		rig = make(1000, WB_PACE_TIMES);
		rig->gap_ns = UINT64_C(3600000) * MS;
		rig->out.base.ops = way ? &one_step : &two_steps;
		rig->out.stop_at = 1;
		run(rig, 0, WB_REPLAY_END_STOPPED);
		assert_in_range(rig->tally.sent, 1, 2);
		test_free(rig);
	}
}

static void test_out_fails(void **state)
{
	struct rig *rig = make(20000, WB_PACE_TOPSPEED);

	rig->out.fail_at = 100;
	rig->out.fail_with = -ENODEV;
	run(rig, -ENODEV, WB_REPLAY_END_FAILED);
	assert_string_equal(rig->replay.error.message, "it failed");
	assert_int_equal(rig->tally.sent, 99);
	assert_int_equal(rig->tally.unsent[WB_UNSENT_INTERFACE_GONE], rig->replay.read.packets - 100);
	test_free(rig);
	rig = make(20000, WB_PACE_TOPSPEED);
	rig->out.fail_at = 100;
	rig->out.fail_with = -EINTR;
	run(rig, 0, WB_REPLAY_END_STOPPED);
	test_free(rig);
}

/* Before a packet is put, or after: it is in the sums, which run() adds up. */
static void test_out_fails_between(void **state)
{
	for (uint64_t at = 1; at <= 12; at++) {
		struct rig *rig = make(100, WB_PACE_TIMES);

		rig->gap_ns = MS;
		rig->out.fail_send_at = at;
		run(rig, -ENODEV, WB_REPLAY_END_FAILED);
		assert_string_equal(rig->replay.error.message, "it cannot send");
		test_free(rig);

		rig = make(100, WB_PACE_TIMES);
		rig->gap_ns = MS;
		rig->out.base.ops = &waiting;
		rig->out.fail_wait_at = at;
		run(rig, -EIO, WB_REPLAY_END_FAILED);
		assert_string_equal(rig->replay.error.message, "it cannot wait");
		test_free(rig);
	}
}

/* What was read before is sent. */
static void test_source_fails(void **state)
{
	struct rig *rig = make(500, WB_PACE_TOPSPEED);

	rig->args.loops = 5;
	rig->read_result = -EIO;
	run(rig, -EIO, WB_REPLAY_END_FAILED);
	assert_string_equal(rig->replay.error.message, "the source failed");
	assert_int_equal(rig->tally.sent, 500);
	assert_int_equal(rig->passes_read, 1);
	test_free(rig);
}

static void test_summaries(void **state)
{
	struct rig *rig = make(1000, WB_PACE_TOPSPEED);
	char text[4096] = "";
	FILE *stream = fmemopen(text, sizeof(text), "w");

	assert_non_null(stream);
	rig->out.refuse_every = 4;
	run(rig, 0, WB_REPLAY_END_OF_DATA);
	wb_lateness_note(&rig->tally.lateness, 1000, 3500);
	wb_replay_summary_text(&rig->replay, &rig->tally, stream);
	fflush(stream);
	assert_non_null(strstr(text, "wirebus replay: sent 750 packets"));
	assert_non_null(strstr(text, "not sent 250: too large 250\n"));
	assert_non_null(strstr(text, "late by: median 2.5 us"));
	rewind(stream);
	wb_replay_summary_json(&rig->replay, &rig->tally, stream);
	fflush(stream);
	assert_non_null(strstr(text, "{\"end\":\"end of data\",\"read\":1000,\"repeated\":0,"));
	assert_non_null(strstr(text, "\"not_sent\":{\"too_large\":250,\"malformed\":0,"));
	assert_non_null(strstr(text, "\"timing\":{\"packets\":1,\"min_ns\":2500,\"median_ns\":2500,"));
	fclose(stream);
	test_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_in_time),
		cmocka_unit_test(test_read_again),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_preload),
		cmocka_unit_test(test_preload_idle),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_out_fails),
		cmocka_unit_test(test_out_fails_between),
		cmocka_unit_test(test_source_fails),
		cmocka_unit_test(test_summaries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
