/* SPDX-License-Identifier: Apache-2.0 */
/* The verdict of `wirebus verify`: hand-made arrivals, one case of loss after the other. */
#include "verify_rig.h"

static void test_nothing(void **state)
{
	expect_verdict(judge(*state), WB_AUDIT_NOTHING, 0);
}

static void test_complete(void **state)
{
	struct scene *scene = *state;
	const struct wb_audit *audit;

	come(scene, (struct came){.seq = 1, .first = 1, .packets = 10, .counters = COUNTERS(.accepted = 10)});
	come(scene, (struct came){.seq = 2, .first = 11, .packets = 5, .counters = COUNTERS(.accepted = 15)});
	come(scene, (struct came){.seq = 3, .first = 16, .flags = END, .counters = COUNTERS(.accepted = 15)});
	audit = judge(scene);
	expect_verdict(audit, 0, 0);
	expect_sums(audit);
	assert_int_equal(audit->figures.received, 15);
	assert_int_equal(audit->figures.messages, 3);
	assert_int_equal(audit->node_count, 1);
	assert_int_equal(audit->nodes[0].session_count, 1);
	assert_int_equal(audit->sessions[0].start_ns, 1 * MS);
}

/* A heartbeat that is missing is no packet that is missing. */
static void test_heartbeat_lost(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.seq = 1, .first = 1, .packets = 10, .counters = COUNTERS(.accepted = 10)});
	come(scene, (struct came){.seq = 3, .first = 11, .flags = END, .counters = COUNTERS(.accepted = 10)});
	expect_verdict(judge(scene), 0, 0);
	assert_int_equal(scene->audit.figures.missing_messages, 1);
}

static void test_kernel_loss(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.seq = 1, .first = 1, .packets = 10, .counters = COUNTERS(.accepted = 10)});
	come(scene, (struct came){.seq = 2,
			    .first = 11,
			    .flags = END,
			    .counters = COUNTERS(.accepted = 10, .kernel_dropped = 7)});
	expect_verdict(judge(scene), 0, WB_AUDIT_KERNEL);
	assert_int_equal(scene->audit.figures.kernel_dropped, 7);
}

static void test_hole_explained(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.seq = 1, .first = 1, .packets = 10, .counters = COUNTERS(.accepted = 10)});
	come(scene, (struct came){.seq = 3,
			    .first = 21,
			    .packets = 5,
			    .counters = COUNTERS(.accepted = 25, .dropped = 4, .failed = 3, .in_flight = 3)});
	come(scene, (struct came){.seq = 4,
			    .first = 26,
			    .flags = END,
			    .counters = COUNTERS(.accepted = 25, .dropped = 4, .failed = 3, .unknown = 3)});
	expect_verdict(judge(scene), 0, WB_AUDIT_BUS);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.missing, 10);
	assert_int_equal(scene->audit.figures.missing_messages, 1);
	assert_int_equal(scene->audit.figures.given_up, 10);
	assert_int_equal(scene->audit.streams[0]->numbers.holes[0].first, 11);
	assert_int_equal(scene->audit.streams[0]->numbers.holes[0].last, 20);
}

static void test_hole_unexplained(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.seq = 1, .first = 1, .packets = 10, .counters = COUNTERS(.accepted = 10)});
	come(scene,
		(struct came){.seq = 3, .first = 21, .flags = END, .counters = COUNTERS(.accepted = 20, .dropped = 9)});
	expect_verdict(judge(scene), WB_AUDIT_UNEXPLAINED, WB_AUDIT_BUS);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.given_up, 9);
	assert_int_equal(scene->audit.figures.unexplained, 1);
}

/* What was given up before the first message explains nothing of what is missing after it. */
static void test_old_drops(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){
			    .seq = 5, .first = 51, .packets = 10, .counters = COUNTERS(.accepted = 60, .dropped = 20)});
	come(scene, (struct came){
			    .seq = 7, .first = 71, .flags = END, .counters = COUNTERS(.accepted = 70, .dropped = 20)});
	expect_verdict(judge(scene), WB_AUDIT_UNEXPLAINED, WB_AUDIT_BUS | WB_AUDIT_NOT_COVERED);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.unexplained, 10);
	assert_int_equal(scene->audit.figures.given_up, 20); /* of the 50 before */
	assert_int_equal(scene->audit.figures.not_covered, 30);
}

static void test_late_join(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.seq = 5, .first = 51, .packets = 10, .counters = COUNTERS(.accepted = 60)});
	come(scene, (struct came){.seq = 6, .first = 61, .flags = END, .counters = COUNTERS(.accepted = 60)});
	expect_verdict(judge(scene), 0, WB_AUDIT_NOT_COVERED);
	assert_int_equal(scene->audit.figures.not_covered, 50);
	assert_int_equal(scene->audit.figures.missing, 0);
	/* But not where everything that was ever published has been read. */
	scene->from_start = true;
	expect_verdict(judge(scene), WB_AUDIT_UNEXPLAINED, WB_AUDIT_BUS);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.unexplained, 50);
}

static void test_open_tail(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.seq = 1, .first = 1, .packets = 10, .counters = COUNTERS(.accepted = 10)});
	expect_verdict(judge(scene), WB_AUDIT_OPEN_TAIL, 0);
	assert_int_equal(scene->audit.figures.open_streams, 1);
}

static void test_duplicates_and_order(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(come(scene, (struct came){.seq = 1, .first = 1, .packets = 10}), 1);
	assert_int_equal(come(scene, (struct came){.seq = 3, .first = 21, .packets = 10}), 1);
	assert_int_equal(come(scene, (struct came){.seq = 2, .first = 11, .packets = 10}), 1);
	assert_int_equal(come(scene, (struct came){.seq = 3, .first = 21, .packets = 10}), 0);
	assert_int_equal(come(scene, (struct came){.seq = 1, .first = 1, .packets = 10}), 0);
	/* What comes beside, through the ledger's topic, has no order with these. */
	assert_int_equal(come(scene, (struct came){.seq = 4,
					     .first = 31,
					     .flags = END,
					     .counters = COUNTERS(.accepted = 30),
					     .channel = 1}),
		1);
	expect_verdict(judge(scene), 0, 0);
	assert_int_equal(scene->audit.figures.duplicates, 2);
	assert_int_equal(scene->audit.figures.duplicate_packets, 20);
	assert_int_equal(scene->audit.figures.out_of_order, 1);
	assert_int_equal(scene->audit.figures.received, 30);
}

static void test_interface_gap(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.seq = 1,
			    .first = 1,
			    .flags = END,
			    .counters = COUNTERS(.interface_gaps = 1, .interface_gap_ns = 5)});
	expect_verdict(judge(scene), 0, WB_AUDIT_INTERFACE_GAP);
}

/* Seen by the kernel, and neither read nor dropped, although the worker ended in good order. */
static void test_unread(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.seq = 1, .first = 1, .flags = END, .counters = COUNTERS(.kernel_seen = 3)});
	expect_verdict(judge(scene), WB_AUDIT_UNEXPLAINED, 0);
	assert_int_equal(scene->audit.figures.unread, 3);
}

static void test_unbalanced(void **state)
{
	struct scene *scene = *state;
	struct wbproto_counters *wrong = COUNTERS(.accepted = 10);

	wrong->delivered = 9;
	come(scene, (struct came){.seq = 1, .first = 1, .packets = 10, .counters = wrong});
	come(scene, (struct came){.seq = 2, .first = 11, .flags = END, .counters = wrong});
	expect_verdict(judge(scene), WB_AUDIT_UNBALANCED, 0);
	assert_false(scene->audit.workers[0].balanced);
}

static void test_contradictions(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.seq = 1, .first = 1, .packets = 10});
	come(scene, (struct came){.seq = 2, .first = 6, .packets = 10});
	come(scene, (struct came){.seq = 3, .first = 16, .flags = END, .counters = COUNTERS(.accepted = 15)});
	expect_verdict(judge(scene), WB_AUDIT_CONTRADICTION, 0);
	assert_int_equal(scene->audit.figures.repeated, 5);
	come(scene, (struct came){.session = 2, .seq = 1, .first = 1, .flags = END, .counters = COUNTERS(0)});
	come(scene, (struct came){.session = 2, .seq = 2, .first = 1, .packets = 1});
	judge(scene);
	assert_true(scene->audit.workers[1].overrun);
}

/* Packets that are messages: their numbers go on in the messages about them, and neither kind waits for the other. */
static void test_records(void **state)
{
	struct scene *scene = *state;

	for (uint64_t i = 1; i <= 10; i++)
		if (i != 4)
			assert_int_equal(
				come(scene,
					(struct came){.seq = i + (i > 5), .first = i, .packets = 1, .record = true}),
				1);
	assert_int_equal(come(scene, (struct came){.seq = 3, .first = 3, .packets = 1, .record = true}), 0);
	assert_int_equal(come(scene, (struct came){.seq = 4, .first = 4, .packets = 1, .record = true}), 1);
	/* A channel of its own: not out of order. */
	assert_int_equal(come(scene, (struct came){.seq = 6,
					     .first = 6,
					     .of_records = true,
					     .channel = 1,
					     .counters = COUNTERS(.accepted = 5)}),
		1);
	assert_int_equal(come(scene, (struct came){.seq = 15,
					     .first = 13,
					     .of_records = true,
					     .channel = 1,
					     .flags = END,
					     .counters = COUNTERS(.accepted = 12, .dropped = 1)}),
		1);
	expect_verdict(judge(scene), WB_AUDIT_UNEXPLAINED, WB_AUDIT_BUS);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.received, 10);
	assert_int_equal(scene->audit.figures.duplicates, 1);
	assert_int_equal(scene->audit.figures.out_of_order, 1);
	assert_int_equal(scene->audit.figures.missing, 2);
	assert_int_equal(scene->audit.figures.given_up, 1);
	assert_int_equal(scene->audit.figures.missing_messages, 3); /* two records, and the second of three beside */
	assert_int_equal(scene->audit.streams[0]->batches.missing, 1);
}

/* The end of a killed session has the number that it would have used: in record mode, too, nothing is missing before
 * it. */
static void test_records_killed(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.seq = 1, .first = 1, .packets = 1, .record = true});
	come(scene, (struct came){.seq = 2, .first = 2, .of_records = true, .counters = COUNTERS(.accepted = 1)});
	for (int i = 0; i < 2; i++)
		come(scene, (struct came){.seq = 5,
				    .first = 4,
				    .of_records = true,
				    .flags = END | WBPROTO_BATCH_PREVIOUS_SESSION,
				    .t1_ms = 9,
				    .counters = COUNTERS(.accepted = 3, .in_flight = 2)});
	expect_verdict(judge(scene), 0, WB_AUDIT_BUS | WB_AUDIT_UNKNOWN_TAIL);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.duplicates, 1);
	assert_int_equal(scene->audit.figures.lost_in_crash, 2);
	assert_int_equal(scene->audit.figures.missing_messages, 2);
	assert_int_equal(scene->audit.streams[0]->batches.missing, 0);
}

static void come_records(struct scene *scene, uint32_t stream, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i <= last; i++)
		come(scene, (struct came){.stream = stream, .seq = i, .first = i, .packets = 1, .record = true});
}

/* The counters of a capture that runs are here before the packets that they tell of: no hole. */
static void test_records_running(void **state)
{
	struct scene *scene = *state;

	come_records(scene, 1, 1, 6);
	come(scene, (struct came){.seq = 11,
			    .first = 11,
			    .of_records = true,
			    .channel = 1,
			    .counters = COUNTERS(.accepted = 30, .in_flight = 3, .open = 2)});
	/* Of another stream of the worker nothing is here yet, but that it has had a packet: the last of the five. */
	come(scene, (struct came){.stream = 2, .seq = 2, .first = 2, .of_records = true, .channel = 1});
	expect_verdict(judge(scene), WB_AUDIT_OPEN_TAIL, 0);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.under_way, 5);
	assert_int_equal(scene->audit.figures.missing_messages, 0);
	/* What was read after them says the same. */
	come_records(scene, 1, 7, 10);
	expect_verdict(judge(scene), WB_AUDIT_OPEN_TAIL, 0);
	assert_int_equal(scene->audit.figures.under_way, 1);
}

/* What had been settled when the counters were written was there before them; and no hole before others is under way.
 */
static void test_records_running_with_holes(void **state)
{
	struct scene *scene = *state;

	come_records(scene, 1, 1, 3);
	come_records(scene, 1, 5, 6);
	come(scene, (struct came){.seq = 11,
			    .first = 11,
			    .of_records = true,
			    .channel = 1,
			    .counters = COUNTERS(.accepted = 10, .in_flight = 3)});
	scene->from_start = true;
	expect_verdict(judge(scene), WB_AUDIT_OPEN_TAIL | WB_AUDIT_UNEXPLAINED, WB_AUDIT_BUS);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.under_way, 3);
	assert_int_equal(scene->audit.figures.missing, 2);
	assert_int_equal(scene->audit.figures.unexplained, 2);
	assert_int_equal(scene->audit.figures.missing_messages, 2);
	assert_int_equal(scene->audit.streams[0]->numbers.holes[1].first, 7);
	assert_int_equal(scene->audit.streams[0]->numbers.holes[1].last, 7);
}

/* Of a stream of which nothing but counters came, everything that was settled is missing, from the first packet on. */
static void test_records_none(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.seq = 1, .first = 1, .of_records = true, .counters = COUNTERS(0)});
	come(scene, (struct came){.seq = 12,
			    .first = 11,
			    .of_records = true,
			    .counters = COUNTERS(.accepted = 10, .in_flight = 4)});
	scene->from_start = true;
	expect_verdict(judge(scene), WB_AUDIT_OPEN_TAIL | WB_AUDIT_UNEXPLAINED, WB_AUDIT_BUS);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.missed_before, 6);
	assert_int_equal(scene->audit.figures.unexplained, 6);
	assert_int_equal(scene->audit.figures.under_way, 4);
}

/* Retention may leave more of the ledger than of the packets: what it tells of was not missed. */
static void test_records_cut(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.seq = 1, .first = 1, .of_records = true, .channel = 1, .counters = COUNTERS(0)});
	for (uint64_t i = 5; i <= 6; i++)
		come(scene, (struct came){.seq = i + 1, .first = i, .packets = 1, .record = true});
	come(scene, (struct came){.seq = 8,
			    .first = 7,
			    .of_records = true,
			    .channel = 1,
			    .flags = END,
			    .counters = COUNTERS(.accepted = 6)});
	expect_verdict(judge(scene), 0, WB_AUDIT_NOT_COVERED);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.not_covered, 4);
}

/* Memory is bounded: beyond the limits, nothing is proven. */
static void test_too_many_streams(void **state)
{
	struct scene *scene = *state;

	for (uint32_t i = 1; i <= WB_STREAMS_MAX + 3; i++)
		come(scene, (struct came){.stream = i, .seq = 1, .first = 1, .flags = END, .counters = COUNTERS(0)});
	expect_verdict(judge(scene), WB_AUDIT_LIMIT, 0);
	assert_int_equal(scene->audit.untracked_messages, 3);
}

static void test_too_many_holes(void **state)
{
	struct wb_sequence_limits limits = {.holes = 4 * WB_SEQUENCE_MAX_HOLES, .spare = 3 * WB_SEQUENCE_MAX_HOLES};
	struct scene *scene = *state;
	uint64_t seq = 1;

	scene->streams.hole_limits = &limits;
	for (; seq < 500; seq += 2)
		come(scene, (struct came){.seq = seq, .first = seq, .packets = 1});
	/* 249 holes each: twice the first 128 are there for the messages, the rest of the spare for the packets. */
	assert_int_equal(limits.spare, WB_SEQUENCE_MAX_HOLES);
	judge(scene);
	assert_int_equal(scene->audit.streams[0]->batches.hole_count, 249);
	assert_int_equal(scene->audit.streams[0]->numbers.hole_count, 249);
	for (; seq < 2000; seq += 2)
		come(scene, (struct came){.seq = seq, .first = seq, .packets = 1});
	come(scene, (struct came){.seq = 2, .first = 2, .packets = 1}); /* late, or once more: it cannot be told */
	come(scene, (struct came){.seq = seq,
			    .first = seq,
			    .flags = END,
			    .counters = COUNTERS(.accepted = seq - 1, .dropped = 999)});
	judge(scene);
	assert_true(scene->audit.streams[0]->numbers.forgotten > 0);
	assert_int_equal(scene->audit.figures.missing, 1000);
	assert_true(scene->audit.doubts & WB_AUDIT_LIMIT);
}

/* Numbers that only an attacker writes do not wrap around. */
static void test_absurd_numbers(void **state)
{
	struct scene *scene = *state;

	for (unsigned int i = 1; i <= 3; i++) {
		come(scene, (struct came){.stream = i, .seq = 1, .first = 1, .packets = 1});
		come(scene, (struct came){.stream = i, .seq = UINT64_MAX - 1, .first = UINT64_MAX - 1, .packets = 1});
	}
	judge(scene);
	assert_true(scene->audit.figures.missing == UINT64_MAX);
	assert_true(scene->audit.doubts & WB_AUDIT_UNEXPLAINED);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_nothing),
		SCENE(test_complete),
		SCENE(test_heartbeat_lost),
		SCENE(test_kernel_loss),
		SCENE(test_hole_explained),
		SCENE(test_hole_unexplained),
		SCENE(test_old_drops),
		SCENE(test_late_join),
		SCENE(test_open_tail),
		SCENE(test_duplicates_and_order),
		SCENE(test_interface_gap),
		SCENE(test_unread),
		SCENE(test_unbalanced),
		SCENE(test_contradictions),
		SCENE(test_records),
		SCENE(test_records_killed),
		SCENE(test_records_running),
		SCENE(test_records_running_with_holes),
		SCENE(test_records_none),
		SCENE(test_records_cut),
		SCENE(test_too_many_streams),
		SCENE(test_too_many_holes),
		SCENE(test_absurd_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
