/* SPDX-License-Identifier: Apache-2.0 */
/* The verdict of `wirebus verify` where workers, sessions and nodes matter: crashes, spools, restarts. */
#include "verify_rig.h"

/* Killed: 10 accepted and never received; what was in the ring is unknown, from T1 to the next start of the node. */
static void test_crash(void **state)
{
	struct scene *scene = *state;
	struct wbproto_counters *last = COUNTERS(.accepted = 30, .in_flight = 15, .open = 5);

	come(scene, (struct came){.session = 1000,
			    .seq = 1,
			    .first = 1,
			    .packets = 20,
			    .counters = COUNTERS(.accepted = 20, .open = 20)});
	come(scene, (struct came){
			    .session = 1000, .seq = 4, .first = 31, .flags = CRASHED, .t1_ms = 5000, .counters = last});
	come(scene, (struct came){.session = 7000, .seq = 1, .first = 1, .flags = END, .counters = COUNTERS(0)});
	come(scene, (struct came){
			    .session = 6000, .node = "b", .seq = 1, .first = 1, .flags = END, .counters = COUNTERS(0)});
	expect_verdict(judge(scene), 0, WB_AUDIT_BUS | WB_AUDIT_UNKNOWN_TAIL);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.lost_in_crash, 10);
	assert_int_equal(scene->audit.figures.missing_messages, 2);
	assert_true(scene->audit.workers[0].crashed);
	assert_int_equal(scene->audit.workers[0].tail_from_ns, 5000 * MS);
	assert_int_equal(scene->audit.workers[0].tail_to_ns, 7000 * MS);
	assert_int_equal(scene->audit.nodes[0].session_count, 2);
}

/* More is missing than was on its way when it was killed: the bus lost delivered packets. */
static void test_crash_unexplained(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.session = 1000,
			    .seq = 1,
			    .first = 1,
			    .packets = 20,
			    .counters = COUNTERS(.accepted = 20, .open = 20)});
	come(scene, (struct came){.session = 1000,
			    .seq = 4,
			    .first = 31,
			    .flags = CRASHED,
			    .t1_ms = 5000,
			    .counters = COUNTERS(.accepted = 30, .in_flight = 4)});
	expect_verdict(judge(scene), WB_AUDIT_UNEXPLAINED, WB_AUDIT_BUS | WB_AUDIT_UNKNOWN_TAIL);
	assert_int_equal(scene->audit.figures.lost_in_crash, 4);
	assert_int_equal(scene->audit.figures.unexplained, 6);
	assert_int_equal(scene->audit.workers[0].tail_to_ns, 0); /* no later session came */
}

/* The ledger of a killed process may be older than its numbers: what was not booked yet went with it. */
static void test_crash_unbooked(void **state)
{
	struct scene *scene = *state;

	come(scene, (struct came){.session = 1000,
			    .seq = 1,
			    .first = 1,
			    .packets = 20,
			    .counters = COUNTERS(.accepted = 20, .open = 20)});
	come(scene, (struct came){.session = 1000,
			    .seq = 2,
			    .first = 31,
			    .flags = CRASHED,
			    .t1_ms = 5000,
			    .counters = COUNTERS(.accepted = 22, .in_flight = 2)});
	expect_verdict(judge(scene), 0, WB_AUDIT_BUS | WB_AUDIT_UNKNOWN_TAIL);
	assert_int_equal(scene->audit.figures.lost_in_crash, 10);
}

/* Nothing came of the stream but its end: 12 of 20 were acknowledged, before anybody listened here. */
static void test_crash_only_end(void **state)
{
	struct scene *scene = *state;
	const struct came end = {.session = 1000,
		.seq = 4,
		.first = 21,
		.flags = CRASHED,
		.t1_ms = 5000,
		.counters = COUNTERS(.accepted = 20, .in_flight = 8)};

	assert_int_equal(come(scene, end), 1);
	assert_int_equal(come(scene, end), 0); /* the next start may write it again */
	expect_verdict(judge(scene), 0, WB_AUDIT_BUS | WB_AUDIT_NOT_COVERED | WB_AUDIT_UNKNOWN_TAIL);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.lost_in_crash, 8);
	assert_int_equal(scene->audit.figures.not_covered, 12);
	scene->from_start = true;
	expect_verdict(judge(scene), WB_AUDIT_UNEXPLAINED, WB_AUDIT_BUS | WB_AUDIT_UNKNOWN_TAIL);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.lost_in_crash, 8);
	assert_int_equal(scene->audit.figures.unexplained, 12);
	scene->from_start = false;
	assert_int_equal(scene->audit.figures.duplicates, 1);
	/* A message that had the number after all is none that came twice. */
	assert_int_equal(come(scene, (struct came){.session = 1000, .seq = 4, .first = 13, .packets = 8}), 1);
	expect_verdict(judge(scene), 0, WB_AUDIT_NOT_COVERED | WB_AUDIT_UNKNOWN_TAIL);
	assert_int_equal(scene->audit.figures.received, 8);
}

/* An end with packets in the spool: they may still come. Then they come. */
static void test_pending(void **state)
{
	struct scene *scene = *state;

	come(scene,
		(struct came){
			.session = 1000, .seq = 1, .first = 1, .packets = 20, .counters = COUNTERS(.accepted = 20)});
	come(scene, (struct came){.session = 1000,
			    .seq = 3,
			    .first = 31,
			    .flags = END,
			    .counters = COUNTERS(.accepted = 30, .spooled = 10)});
	expect_verdict(judge(scene), WB_AUDIT_PENDING, WB_AUDIT_BUS);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.pending, 10);
	/* The next session has it, and has not sent it yet. */
	come(scene, (struct came){.session = 2000,
			    .seq = 1,
			    .first = 1,
			    .packets = 1,
			    .counters = COUNTERS(.accepted = 1, .recovered = 10, .spooled = 10)});
	expect_verdict(judge(scene), WB_AUDIT_PENDING | WB_AUDIT_OPEN_TAIL, WB_AUDIT_BUS);
	assert_int_equal(scene->audit.figures.pending, 10);
	come(scene, (struct came){.session = 1000,
			    .seq = 2,
			    .first = 21,
			    .packets = 10,
			    .counters = COUNTERS(.accepted = 30, .open = 10)});
	come(scene, (struct came){.session = 2000,
			    .seq = 2,
			    .first = 2,
			    .flags = END,
			    .counters = COUNTERS(.accepted = 1, .recovered = 10)});
	expect_verdict(judge(scene), 0, 0);
	assert_int_equal(scene->audit.figures.out_of_order, 1);
}

/* The next session read the spool and gave up what it found: that is its counters' affair, and explained. */
static void test_given_up_later(void **state)
{
	struct scene *scene = *state;

	come(scene,
		(struct came){
			.session = 1000, .seq = 1, .first = 1, .packets = 20, .counters = COUNTERS(.accepted = 20)});
	come(scene, (struct came){.session = 1000,
			    .seq = 3,
			    .first = 31,
			    .flags = END,
			    .counters = COUNTERS(.accepted = 30, .spooled = 10)});
	come(scene, (struct came){.session = 2000,
			    .seq = 1,
			    .first = 1,
			    .flags = END,
			    .counters = COUNTERS(.recovered = 10, .failed = 10)});
	expect_verdict(judge(scene), 0, WB_AUDIT_BUS);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.figures.given_up_later, 10);
	assert_int_equal(scene->audit.figures.pending, 0);
}

/* The spool was emptied and nothing came of it: nobody knows why. */
static void test_spool_lost(void **state)
{
	struct scene *scene = *state;

	come(scene,
		(struct came){
			.session = 1000, .seq = 1, .first = 1, .packets = 20, .counters = COUNTERS(.accepted = 20)});
	come(scene, (struct came){.session = 1000,
			    .seq = 3,
			    .first = 31,
			    .flags = END,
			    .counters = COUNTERS(.accepted = 30, .spooled = 10)});
	come(scene, (struct came){
			    .session = 2000, .seq = 1, .first = 1, .flags = END, .counters = COUNTERS(.recovered = 9)});
	expect_verdict(judge(scene), WB_AUDIT_UNEXPLAINED, WB_AUDIT_BUS);
	assert_int_equal(scene->audit.figures.unexplained, 10);
}

/* The streams of a worker have its counters in common; each is explained once. */
static void test_worker_with_streams(void **state)
{
	struct scene *scene = *state;
	struct wbproto_counters *last = COUNTERS(.accepted = 60, .dropped = 20);

	come(scene,
		(struct came){.stream = 1, .seq = 1, .first = 1, .packets = 10, .counters = COUNTERS(.accepted = 15)});
	come(scene,
		(struct came){.stream = 2, .seq = 1, .first = 1, .packets = 10, .counters = COUNTERS(.accepted = 30)});
	come(scene, (struct came){.stream = 1, .seq = 3, .first = 21, .flags = END, .counters = last});
	come(scene, (struct came){.stream = 2, .seq = 3, .first = 21, .flags = END, .counters = last});
	/* 20 more are in a stream of which nothing came: 10 explained in stream 1, 10 in stream 2, none is left for it.
	 */
	expect_verdict(judge(scene), WB_AUDIT_UNEXPLAINED, WB_AUDIT_BUS);
	expect_sums(&scene->audit);
	assert_int_equal(scene->audit.worker_count, 1);
	assert_int_equal(scene->audit.figures.missing, 40);
	assert_int_equal(scene->audit.figures.given_up, 20);
	assert_int_equal(scene->audit.figures.unexplained, 20);
}

static void test_nodes_and_restarts(void **state)
{
	struct scene *scene = *state;

	for (unsigned int i = 3; i > 0; i--)
		come(scene, (struct came){.session = 1000 * i,
				    .node = "b",
				    .seq = 1,
				    .first = 1,
				    .flags = END,
				    .counters = COUNTERS(.kernel_dropped = i)});
	come(scene, (struct came){.session = 500,
			    .node = "a",
			    .worker = 2,
			    .seq = 1,
			    .first = 1,
			    .flags = END,
			    .counters = COUNTERS(0)});
	come(scene, (struct came){.session = 500,
			    .node = "a",
			    .worker = 1,
			    .stream = 9,
			    .seq = 1,
			    .first = 1,
			    .flags = END,
			    .counters = COUNTERS(0)});
	expect_verdict(judge(scene), 0, WB_AUDIT_KERNEL);
	assert_int_equal(scene->audit.node_count, 2);
	assert_memory_equal(scene->audit.nodes[0].sessions[0].workers[0].streams[0]->node, "a", 1);
	assert_int_equal(scene->audit.nodes[0].sessions[0].worker_count, 2);
	assert_int_equal(scene->audit.nodes[1].session_count, 3);
	assert_int_equal(scene->audit.nodes[1].sessions[0].start_ns, 1000 * MS);
	assert_int_equal(scene->audit.nodes[1].sessions[2].figures.kernel_dropped, 3);
	assert_int_equal(scene->audit.figures.kernel_dropped, 6);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_crash),
		SCENE(test_crash_unexplained),
		SCENE(test_crash_unbooked),
		SCENE(test_crash_only_end),
		SCENE(test_pending),
		SCENE(test_given_up_later),
		SCENE(test_spool_lost),
		SCENE(test_worker_with_streams),
		SCENE(test_nodes_and_restarts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
