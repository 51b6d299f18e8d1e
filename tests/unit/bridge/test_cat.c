/* SPDX-License-Identifier: Apache-2.0 */
/* The core of `wirebus cat`: what it passes on, what it books, and how it ends. */
#include "cat_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void test_plain(void **state)
{
	struct scene *scene = *state;
	const struct wb_stream *stream;

	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 2});
	add_batch(scene, (struct batch){.stream = 2, .seq = 1, .first = 1, .packets = 1});
	add_step(scene, 0);
	add_step(scene, 0);
	add_batch(scene, (struct batch){.stream = 1, .seq = 2, .first = 3, .packets = 1, .dropped = 7});
	add_batch(scene,
		(struct batch){.stream = 1, .seq = 3, .first = 4, .flags = WBPROTO_BATCH_END_OF_STREAM, .dropped = 9});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 1001, 1002, 2001, 1003);
	assert_int_equal(scene->cat.end, WB_CAT_END_OF_DATA);
	assert_int_equal(scene->cat.messages, 4);
	assert_int_equal(scene->cat.packets, 4);
	assert_int_equal(scene->sink.batches, 4);
	assert_int_equal(scene->sink.finished, 1);
	assert_int_equal(scene->source.waits, 1); /* where there was nothing, and with everything flushed */
	stream = stream_at(scene, 0);
	assert_int_equal(stream->packets, 3);
	assert_int_equal(stream->numbers.missing, 0);
	assert_int_equal(stream->batches.missing, 0);
	assert_int_equal(stream->counters.kernel_dropped, 9);
	assert_true(stream->ended);
	assert_false(stream_at(scene, 1)->ended);
}

static void test_loss_and_lateness(void **state)
{
	struct scene *scene = *state;
	const struct wb_stream *stream;

	add_batch(scene, (struct batch){.stream = 1, .seq = 5, .first = 41, .packets = 2}); /* 40 missed before */
	add_batch(scene, (struct batch){.stream = 1, .seq = 8, .first = 53, .packets = 1});
	add_batch(scene, (struct batch){.stream = 1, .seq = 6, .first = 43, .packets = 3}); /* late */
	add_batch(scene, (struct batch){.stream = 1, .seq = 8, .first = 53, .packets = 1}); /* again */
	add_batch(scene, (struct batch){.stream = 1, .seq = 6, .first = 43, .packets = 3}); /* again */
	add_batch(scene, (struct batch){.stream = 1, .seq = 9, .first = 60, .flags = WBPROTO_BATCH_HEARTBEAT});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 1041, 1042, 1053, 1043, 1044, 1045);
	assert_int_equal(scene->sink.batches, 4); /* not those that came again */
	stream = stream_at(scene, 0);
	assert_int_equal(stream->messages, 4);
	assert_int_equal(stream->packets, 6);
	assert_int_equal(stream->duplicates, 2);
	assert_int_equal(stream->out_of_order, 1);
	assert_int_equal(stream->batches.missing, 1);
	assert_int_equal(
		stream->numbers.missing, 7 + 6); /* 46 to 52 in the lost message, 54 to 59 that a heartbeat tells of */
	assert_int_equal(wb_sequence_before(&stream->numbers), 40);
	assert_int_equal(stream->numbers.hole_count, 2);
	assert_int_equal(stream->numbers.holes[0].first, 46);
	assert_int_equal(stream->numbers.holes[0].last, 52);
}

static void test_damage(void **state)
{
	struct scene *scene = *state;
	struct step *step;

	add_step(scene, -EBADMSG);
	step = add_step(scene, 1);
	step->kind = WB_MESSAGE_BATCH;
	step->data = malloc(3);
	step->size = 3;
	memcpy(step->data, "\xff\xff\xff", 3);
	step = add_step(scene, 1);
	step->kind = WB_MESSAGE_RECORD;
	step->data = malloc(2);
	step->size = 2;
	memcpy(step->data, "\x0a\x7f", 2);
	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 1});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 1001);
	assert_int_equal(scene->cat.damaged, 3);
	assert_int_equal(scene->cat.messages, 1);
}

static void test_numbers_that_cannot_be(void **state)
{
	struct scene *scene = *state;

	add_batch(scene, (struct batch){.stream = 1, .seq = 0, .first = 1, .packets = 1});
	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 0, .packets = 1});
	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = UINT64_MAX, .packets = 1});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	assert_int_equal(scene->cat.packets, 3);
	assert_int_equal(scene->cat.streams.count, 0);
	assert_int_equal(scene->cat.streams.untracked_messages, 3);
	assert_int_equal(scene->cat.streams.untracked_packets, 3);
}

static void test_count(void **state)
{
	struct scene *scene = *state;

	scene->args.count = 3;
	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 2});
	add_batch(scene, (struct batch){.stream = 1, .seq = 2, .first = 3, .packets = 5});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 1001, 1002, 1003);
	assert_int_equal(scene->cat.end, WB_CAT_END_COUNT);
	assert_int_equal(scene->sink.finished, 1);
}

static void test_end_of_streams(void **state)
{
	struct scene *scene = *state;

	scene->args.until_ended = true;
	scene->source.last = 0;
	for (int i = 0; i < 10; i++)
		add_step(scene, 0); /* no stream seen: go on waiting */
	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .flags = WBPROTO_BATCH_END_OF_STREAM});
	add_step(scene, 0);
	add_batch(scene, (struct batch){.stream = 2, .seq = 1, .first = 1, .packets = 1}); /* comes soon after */
	for (int i = 0; i < 30; i++)
		add_step(scene, 0); /* not ended: go on waiting */
	add_batch(scene, (struct batch){.stream = 2, .seq = 2, .first = 2, .flags = WBPROTO_BATCH_END_OF_STREAM});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	assert_int_equal(scene->cat.end, WB_CAT_END_OF_STREAMS);
	assert_int_equal(scene->cat.messages, 3);
}

static void test_follow_does_not_end(void **state)
{
	struct scene *scene = *state;

	scene->source.last = 0;
	scene->source.stop = &scene->stop;
	add_batch(scene,
		(struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 1, .flags = WBPROTO_BATCH_END_OF_STREAM});
	for (int i = 0; i < 50; i++)
		add_step(scene, 0);
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	assert_int_equal(scene->cat.end, WB_CAT_END_STOPPED);
	assert_int_equal(scene->source.next, 51);
	assert_int_equal(scene->sink.finished, 1);
}

static void test_reader_gone(void **state)
{
	struct scene *scene = *state;

	scene->sink.answer = -EPIPE;
	scene->sink.answer_after = 1;
	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 5});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 1001);
	assert_int_equal(scene->cat.end, WB_CAT_END_READER_GONE);
	assert_int_equal(scene->sink.finished, 0);
}

static void test_disk_full(void **state)
{
	struct scene *scene = *state;

	scene->sink.answer = -ENOSPC;
	scene->sink.answer_after = 1;
	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 5});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), -ENOSPC);
	assert_int_equal(scene->cat.end, WB_CAT_END_FAILED);
	assert_string_equal(scene->cat.error.message, "cannot write the packets to there: No space left on device");
}

static void test_disk_full_at_end(void **state)
{
	struct scene *scene = *state;

	scene->sink.finish_answer = -ENOSPC;
	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 1});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), -ENOSPC);
	assert_int_equal(scene->cat.end, WB_CAT_END_FAILED);
}

static void test_no_bus(void **state)
{
	struct scene *scene = *state;

	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 1});
	add_step(scene, -ETIMEDOUT);
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), -ETIMEDOUT);
	assert_string_equal(scene->cat.error.message, "the source says so");
	EXPECT_SEEN(scene, 1001);
	assert_int_equal(scene->sink.finished, 1); /* what came is readable */
}

static void test_records(void **state)
{
	struct scene *scene = *state;
	const struct wb_stream *stream;

	add_record(scene, 1, 1);
	add_record(scene, 2, 2);
	add_record(scene, 2, 2);
	add_record(scene, 4, 4);
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 1001, 1002, 1004);
	stream = stream_at(scene, 0);
	assert_int_equal(stream->numbers.missing, 1);
	assert_int_equal(stream->duplicates, 1);
	assert_string_equal(scene->sink.names, "veth0 veth0 veth0 ");
}

#define OF_RECORDS WBPROTO_BATCH_RECORD_MODE
#define END (WBPROTO_BATCH_RECORD_MODE | WBPROTO_BATCH_END_OF_STREAM)

static void expect_stream(struct scene *scene, uint64_t missing_packets, uint64_t missing_messages, uint64_t duplicates)
{
	const struct wb_stream *stream;

	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	assert_int_equal(scene->cat.streams.untracked_messages, 0);
	stream = stream_at(scene, 0);
	assert_int_equal(stream->numbers.missing, missing_packets);
	assert_int_equal(stream->batches.missing, missing_messages);
	assert_int_equal(stream->duplicates, duplicates);
	assert_int_equal(stream->out_of_order, 0);
}

/* Numbers of messages that are in the other topic are not missing. */
static void test_records_alone(void **state)
{
	struct scene *scene = *state;

	add_record(scene, 2, 1);
	add_record(scene, 3, 2);
	add_record(scene, 5, 3);
	add_record(scene, 9, 6);
	add_record(scene, 9, 6);
	expect_stream(scene, 2, 0, 1);
	EXPECT_SEEN(scene, 1001, 1002, 1003, 1006);
}

/*
 * The ledger's messages have numbers of their own, by which a missing one shows. Of packets only the end says what
 * precedes it: what others tell of may still be under way in the other topic.
 */
static void test_ledger_alone(void **state)
{
	struct scene *scene = *state;

	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .flags = OF_RECORDS});
	add_batch(scene, (struct batch){.stream = 1, .seq = 12, .first = 11, .flags = OF_RECORDS});
	add_batch(scene, (struct batch){.stream = 1, .seq = 24, .first = 21, .flags = END});
	add_batch(scene, (struct batch){.stream = 1, .seq = 24, .first = 21, .flags = END});
	expect_stream(scene, 0, 1, 1);
	assert_int_equal(wb_sequence_before(&stream_at(scene, 0)->numbers), 20);
	assert_int_equal(stream_at(scene, 0)->announced, 11);
	assert_true(stream_at(scene, 0)->ended);
}

static void test_records_and_ledger(void **state)
{
	struct scene *scene = *state;

	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .flags = OF_RECORDS});
	add_record(scene, 2, 1);
	add_record(scene, 3, 2);
	add_batch(scene, (struct batch){.stream = 1, .seq = 4, .first = 3, .flags = OF_RECORDS});
	add_record(scene, 5, 3);
	/* Two were given up at the end: only the ledger knows. */
	add_batch(scene, (struct batch){.stream = 1, .seq = 8, .first = 6, .flags = END});
	expect_stream(scene, 2, 0, 0);
	EXPECT_SEEN(scene, 1001, 1002, 1003);
	assert_true(stream_at(scene, 0)->ended);
}

/* A message of the ledger with a number that it cannot have, or with packets, is no message of a ledger. */
static void test_ledger_that_cannot_be(void **state)
{
	struct scene *scene = *state;

	add_batch(scene, (struct batch){.stream = 1, .seq = 4, .first = 5, .flags = OF_RECORDS});
	add_batch(scene, (struct batch){.stream = 1, .seq = 4, .first = 1, .packets = 1, .flags = OF_RECORDS});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	assert_int_equal(scene->cat.streams.count, 0);
	assert_int_equal(scene->cat.streams.untracked_messages, 2);
}

static void test_interfaces(void **state)
{
	struct scene *scene = *state;

	/* 9 is not named, 10 is, and no number of further ones does harm. */
	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 3000, .interface_index = 9});
	add_batch(scene, (struct batch){.stream = 1, .seq = 2, .first = 3001, .packets = 1});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	assert_int_equal(scene->cat.packets, 3001);
	assert_string_equal(scene->sink.names, " ten      ");
}

static void test_summary(void **state)
{
	struct scene *scene = *state;
	char *text = NULL, *people = NULL;
	size_t length;
	FILE *stream;

	add_batch(scene, (struct batch){.stream = 1, .seq = 2, .first = 4, .packets = 2, .dropped = 7});
	add_batch(scene, (struct batch){.stream = 1, .seq = 4, .first = 9, .packets = 1, .dropped = 8});
	add_batch(scene, (struct batch){.stream = 1, .seq = 4, .first = 9, .packets = 1, .dropped = 8});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	stream = open_memstream(&text, &length);
	wb_cat_summary_json(&scene->cat, stream);
	fclose(stream);
	assert_non_null(strstr(text,
		"{\"end\":\"end of data\",\"messages\":3,\"packets\":3,\"damaged\":0,\"duplicates\":1,"
		"\"stale\":0,\"out_of_order\":0,\"missing_packets\":3,\"missing_messages\":1,"
		"\"missed_before_first\":3,\"kernel_dropped\":8,\"late\":0,\"outside\":0,\"filtered\":0,\"untracked_"
		"messages\":0,"
		"\"untracked_packets\":0,\"streams\":[\n{\"session\":\"01020300-0000-0000-0000-000000000000\","
		"\"node\":\"lab1\",\"worker\":1,\"stream\":1,\"messages\":2,\"packets\":3,"
		"\"first_packet_seq\":4,\"last_packet_seq\":9,\"missed_before_first\":3,\"missing_packets\":3,"
		"\"missing_ranges\":[[6,8]],\"missing_ranges_complete\":true,\"missing_messages\":1,"
		"\"duplicates\":1,\"stale\":0,\"out_of_order\":0,\"kernel_dropped\":8,\"counters\":{"));
	assert_non_null(strstr(text, "\"interface_gap_nano\":0},\"ended\":false}]}\n"));
	stream = open_memstream(&people, &length);
	wb_cat_summary_text(&scene->cat, stream);
	fclose(stream);
	assert_non_null(strstr(people, "3 packets, 3 messages, 1 streams (end of data)"));
	assert_non_null(strstr(people,
		"numbers 4 to 9; missing 3 packets (6-8) and 1 messages; missed before the first: 3 packets; "
		"duplicate messages 1, too late to tell 0; dropped by the kernel 8 of 1000; not ended\n"));
	free(text);
	free(people);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_plain),
		SCENE(test_loss_and_lateness),
		SCENE(test_damage),
		SCENE(test_numbers_that_cannot_be),
		SCENE(test_count),
		SCENE(test_end_of_streams),
		SCENE(test_follow_does_not_end),
		SCENE(test_reader_gone),
		SCENE(test_disk_full),
		SCENE(test_disk_full_at_end),
		SCENE(test_no_bus),
		SCENE(test_records),
		SCENE(test_records_alone),
		SCENE(test_ledger_alone),
		SCENE(test_records_and_ledger),
		SCENE(test_ledger_that_cannot_be),
		SCENE(test_interfaces),
		SCENE(test_summary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
