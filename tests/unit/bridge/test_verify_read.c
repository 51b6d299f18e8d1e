/* SPDX-License-Identifier: Apache-2.0 */
/* What `wirebus verify` reads, how it ends, and what it says, as text and as JSON. */
#include "cat_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "clock.h"
#include "verify.h"

struct check {
	struct scene *scene;
	struct wb_verify verify;
	struct wb_verify_args args;
};

static void begin(struct check *check, struct scene *scene)
{
	*check = (struct check){.scene = scene};
	wb_verify_init(&check->verify);
	check->args = (struct wb_verify_args){
		.source_ops = scene->args.source_ops, .source = scene->args.source, .stop = &scene->stop};
}

/* The statement. Ownership: free(). */
static char *say(struct check *check, bool json)
{
	const struct wb_audit_about about = {.source = "file:///somewhere",
		.end = wb_verify_end_name(check->verify.end),
		.damaged = check->verify.damaged};
	struct wb_audit audit;
	size_t length;
	char *text;
	FILE *out = open_memstream(&text, &length);

	assert_non_null(out);
	assert_int_equal(wb_audit_make(&check->verify.streams, check->verify.from_start, &audit), 0);
	if (json)
		wb_audit_json(&audit, &about, out);
	else
		wb_audit_text(&audit, &about, out);
	wb_audit_fini(&audit);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void expect_said(struct check *check, bool json, const char *part)
{
	char *text = say(check, json);

	if (!strstr(text, part))
		fail_msg("'%s' is not in: %s", part, text);
	free(text);
}

static void test_end_of_data(void **state)
{
	struct check check;

	begin(&check, *state);
	add_batch(check.scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 2});
	add_step(check.scene, 0);
	add_batch(check.scene, (struct batch){.stream = 1, .seq = 3, .first = 5, .packets = 1});
	add_batch(check.scene, (struct batch){.stream = 1, .seq = 4, .first = 6, .packets = 1});
	assert_int_equal(wb_verify_read(&check.verify, &check.args), 0);
	assert_int_equal(check.verify.end, WB_VERIFY_END_OF_DATA);
	assert_int_equal(check.verify.messages, 3);
	assert_int_equal(check.verify.records, 0);
	expect_said(&check, true, "{\"verdict\":\"unproven\",\"doubts\":[\"open_tail\",\"unexplained\"],");
	expect_said(&check, true,
		"\"missing\":2,\"missing_ranges\":[[3,4]],\"missing_ranges_complete\":true,"
		"\"missing_messages\":1,\"missing_messages_ranges\":[[2,2]],");
	expect_said(&check, false, "unproven: ");
	expect_said(&check, false, "file:///somewhere was read until: end of data; damaged messages 0\n");
	expect_said(&check, false, "\nnode lab1: restarts 0\n");
	expect_said(&check, false, "session 01020300-0000-0000-0000-000000000000, started an unknown time\n");
	expect_said(&check, false,
		"  stream 1: packets 1 to 6; its end did not come\n    missing packets: 3-4\n"
		"    missing messages: 2\n");
	wb_verify_fini(&check.verify);
}

/* Of two records and a message of the ledger that are missing, those of the packets are named. */
static void test_records(void **state)
{
	const uint32_t ledger = WBPROTO_BATCH_RECORD_MODE;
	struct check check;

	begin(&check, *state);
	add_record(check.scene, 1, 1);
	add_record(check.scene, 4, 4);
	add_batch(check.scene, (struct batch){.stream = 1, .seq = 5, .first = 5, .flags = ledger});
	add_record(check.scene, 6, 5);
	add_batch(check.scene,
		(struct batch){.stream = 1, .seq = 8, .first = 6, .flags = ledger | WBPROTO_BATCH_END_OF_STREAM});
	assert_int_equal(wb_verify_read(&check.verify, &check.args), 0);
	assert_int_equal(check.verify.records, 3);
	expect_said(&check, true,
		"\"missing\":2,\"missing_ranges\":[[2,3]],\"missing_ranges_complete\":true,"
		"\"missing_messages\":3,\"missing_messages_ranges\":[],\"missing_messages_ranges_complete\":false,");
	expect_said(&check, false,
		"  stream 1: packets 1 to 5; ended\n    missing packets: 2-3\n"
		"    missing messages of the ledger: 2\n");
	wb_verify_fini(&check.verify);
}

/* Names are the sender's bytes: what could steer a terminal is escaped, and so is what is no text at all. */
static void test_hostile_name(void **state)
{
	static const char name[] = "a\"\\\x1b[0m\xff\xe2\x80\xae"; /* the last turns the direction of writing */
	const uint8_t session[16] = {1};
	const struct wb_arrival arrival = {.session_id = session,
		.worker_id = 1,
		.stream_id = 1,
		.batch_seq = 1,
		.first_packet_seq = 1,
		.node = VIEW(name)};
	struct check check;

	begin(&check, *state);
	assert_int_equal(wb_streams_book(&check.verify.streams, &arrival), 1);
	expect_said(&check, true, "{\"node\":\"a\\\"\\\\\\u001b[0m\xef\xbf\xbd\\u202e\",");
	expect_said(&check, false, "\nnode a\"\\\\\\x1b[0m\\xff\\xe2\\x80\\xae: restarts 0\n");
	wb_verify_fini(&check.verify);
}

/* Damage by the source, bytes that are no message, numbers that no producer writes: counted, and read on. */
static void test_damage(void **state)
{
	struct check check;
	struct step *step;

	begin(&check, *state);
	add_step(check.scene, -EBADMSG);
	for (int kind = WB_MESSAGE_BATCH; kind <= WB_MESSAGE_RECORD; kind++) {
		step = add_step(check.scene, 1);
		step->kind = (enum wb_message_kind)kind;
		step->data = malloc(3);
		step->size = 3;
		memcpy(step->data, "\xff\xff\xff", 3);
	}
	add_batch(check.scene, (struct batch){.stream = 1, .seq = 0, .first = 1, .packets = 2});
	add_batch(check.scene, (struct batch){.stream = 1, .seq = 1, .first = 0, .packets = 2});
	add_batch(check.scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 2});
	assert_int_equal(wb_verify_read(&check.verify, &check.args), 0);
	assert_int_equal(check.verify.damaged, 5);
	assert_int_equal(check.verify.messages, 1);
	expect_said(&check, true, "\"damaged\":5,");
	wb_verify_fini(&check.verify);
}

/* A bus without an end: it ends with the streams. */
static void test_end_of_streams(void **state)
{
	struct check check;

	begin(&check, *state);
	check.scene->source.last = 0;
	check.args.until_ended = true;
	add_batch(check.scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .flags = WBPROTO_BATCH_END_OF_STREAM});
	add_step(check.scene, 0);
	add_batch(check.scene, (struct batch){.stream = 2, .seq = 1, .first = 1, .packets = 1}); /* just after */
	for (int i = 0; i < 30; i++)
		add_step(check.scene, 0);
	add_batch(check.scene, (struct batch){.stream = 2, .seq = 2, .first = 2, .flags = WBPROTO_BATCH_END_OF_STREAM});
	assert_int_equal(wb_verify_read(&check.verify, &check.args), 0);
	assert_int_equal(check.verify.end, WB_VERIFY_END_OF_STREAMS);
	assert_int_equal(check.verify.messages, 3);
	wb_verify_fini(&check.verify);
}

static void test_stopped(void **state)
{
	struct check check;

	begin(&check, *state);
	check.scene->source.last = 0;
	check.scene->source.stop = &check.scene->stop;
	assert_int_equal(wb_verify_read(&check.verify, &check.args), 0);
	assert_int_equal(check.verify.end, WB_VERIFY_STOPPED);
	expect_said(
		&check, true, "{\"verdict\":\"unproven\",\"doubts\":[\"nothing\"],\"losses\":[],\"end\":\"stopped\",");
	wb_verify_fini(&check.verify);
}

static void test_time_over(void **state)
{
	struct check check;

	begin(&check, *state);
	check.scene->source.last = 0;
	check.args.until_ms = wb_monotonic_ms() + 1;
	while (wb_monotonic_ms() < check.args.until_ms)
		;
	assert_int_equal(wb_verify_read(&check.verify, &check.args), 0);
	assert_int_equal(check.verify.end, WB_VERIFY_TIME_OVER);
	wb_verify_fini(&check.verify);
}

static void test_source_fails(void **state)
{
	struct check check;

	begin(&check, *state);
	add_step(check.scene, -EIO);
	assert_int_equal(wb_verify_read(&check.verify, &check.args), -EIO);
	assert_int_equal(check.verify.end, WB_VERIFY_FAILED);
	assert_string_equal(check.verify.error.message, "the source says so");
	wb_verify_fini(&check.verify);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_end_of_data),
		SCENE(test_records),
		SCENE(test_hostile_name),
		SCENE(test_damage),
		SCENE(test_end_of_streams),
		SCENE(test_stopped),
		SCENE(test_time_over),
		SCENE(test_source_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
