/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves where the Kafka source takes a partition to end and where it goes on, against the cluster that librdkafka
 * simulates: partitions that are always written to, gaps, ends of a time range, offsets and records that are not there.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "source_kafka_rig.h"

/* Of Kafka's protocol. */
enum { API_FETCH = 1, API_LIST_OFFSETS = 2 };

/* So that the client fetches again only when all that it fetched was read. */
#define LITTLE_AHEAD "?properties.queued.min.messages=1"
#define SET 50

static void make_url(const struct cluster *cluster, const char *query, char *ret_url, size_t size)
{
	assert_true((size_t)snprintf(ret_url, size, "%s%s", cluster->url, query) < size);
}

/* What the client is given at once, or in a few parts. Returns the next sequence. */
static uint64_t produce_set(struct cluster *cluster, int32_t partition, uint64_t sequence)
{
	for (int i = 0; i < SET; i++)
		produce(cluster, partition, sequence++, 100, NULL);
	flush(cluster);
	return sequence;
}

/*
 * Before everything that was there at the start has been read, partitions are read one at a time. One that is always
 * written to never comes to an end: it is enough that it was read to where it ended at the start.
 */
static void busy_partition_does_not_starve_a_quiet_one(void **state)
{
	enum { BUSY = 0, QUIET = 1, QUIET_COUNT = 3 };
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0}, written = 0;
	struct rig_source source;
	char url[256];
	int64_t end;

	assert_int_not_equal(LEADER(BUSY), LEADER(QUIET));
	make_url(cluster, LITTLE_AHEAD, url, sizeof(url));
	written = produce_set(cluster, BUSY, written);
	source_open(&source, url, true, 20000);
	expect_batch(&source, next);
	for (uint64_t i = 0; i < QUIET_COUNT; i++)
		produce(cluster, QUIET, i, 100, NULL);
	end = rig_now_ms() + 20000;
	while (next[QUIET] < QUIET_COUNT) {
		while (written < next[BUSY] + (uint64_t)3 * SET)
			written = produce_set(cluster, BUSY, written);
		if (rig_now_ms() > end)
			fail_msg("of the quiet partition %u, of the busy one %u of %u", (unsigned int)next[QUIET],
				(unsigned int)next[BUSY], (unsigned int)written);
		expect_batch(&source, next);
	}
	rig_source_close(&source);
}

/*
 * The end may be behind an offset that no message has. The first message that comes after it is not one of this
 * reading, and the next reading has it.
 */
static void first_message_behind_a_gap_is_read_later(void **state)
{
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0};
	struct rig_source source;
	char url[256];

	make_url(cluster, LITTLE_AHEAD, url, sizeof(url));
	for (uint64_t i = 0; i < 3; i++)
		produce(cluster, 0, i, 100, NULL);
	flush(cluster);
	produce_marker(cluster, 0); /* offset 3 */
	source_open(&source, url, false, 20000);
	expect_batch(&source, next);
	/* Before the client asks for what follows: it does not see an end at offset 4. */
	produce(cluster, 0, 4, 100, NULL);
	flush(cluster);
	expect_batch(&source, next);
	expect_batch(&source, next);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	next[0] = 4;
	for (uint64_t i = 0; i < 2; i++) {
		wb_source_kafka.extend(source.source);
		if (i == 0)
			expect_batch(&source, next);
		assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	}
	assert_true(wb_source_kafka.from_start(source.source));
	rig_source_close(&source);
}

/* Heartbeats have the time at which they were sent, of whatever time the packets around them are. */
static void heartbeats_do_not_end_a_range(void **state)
{
	enum { STOP_S = 1700000000 };
	static const struct {
		int64_t after_stop_ms;
		const char *packets;
	} rows[] = {{-2000, "7"}, {86400000, "0"}, {-1000, "10"}, {0, "1"}, {86400000, "0"}, {-1, "3"},
		/* Later than the range ends: the last one that is looked at. */
		{1, "1"}, {-500, "1"}, {86400000, "0"}};
	const struct wb_source_args args = {
		.wait_ms = 20000, .max_message_bytes = RIG_MAX_MESSAGE, .stop_ns = STOP_S * UINT64_C(1000000000)};
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0};
	struct rig_source source;

	for (uint64_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct rig_given given = {.partition = 2,
			.sequence = i,
			.size = 100,
			.packets = rows[i].packets,
			.time_ms = STOP_S * INT64_C(1000) + rows[i].after_stop_ms};

		produce_given(cluster, &given);
	}
	flush(cluster);
	if (rig_source_open_with(&source, cluster->url, &args) < 0)
		fail_msg("%s", source.error.message);
	for (int i = 0; i < 6; i++)
		expect_batch(&source, next);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	rig_source_close(&source);
}

/* An offset that the partition has not come to is told, with the end from which it is read instead. */
static void offset_beyond_the_end_is_told(void **state)
{
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0};
	struct rig_source source;
	char url[256];

	for (uint64_t i = 0; i < 3; i++)
		produce(cluster, 1, i, 100, NULL);
	flush(cluster);
	rig_log_begin();
	make_url(cluster, "?offset=1:3", url, sizeof(url));
	source_open(&source, url, false, 20000);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	assert_int_equal(rig_log_count("is beyond the end"), 0);
	rig_source_close(&source);

	make_url(cluster, "?offset=1:500", url, sizeof(url));
	for (unsigned int follow = 0; follow < 2; follow++) {
		source_open(&source, url, follow, 20000);
		next[1] = 3;
		if (follow) {
			assert_int_equal(rig_source_next(&source, 500), 0);
			produce(cluster, 1, 3, 100, NULL);
			flush(cluster);
			expect_batch(&source, next);
		} else {
			assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
		}
		assert_int_equal(
			rig_log_count("packets[1]: offset 500 is beyond the end, 3: reading from there"), follow + 1);
		rig_source_close(&source);
	}
	assert_int_equal(rig_log_count("is beyond the end"), 2);
	rig_log_end();
}

/* The broker says that it has no such offset, and then answers questions for its offsets with an error, so often. */
static void lose_place(struct cluster *cluster, int32_t partition, size_t errors)
{
	const rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR;

	for (size_t i = 0; i < errors; i++)
		rd_kafka_mock_push_request_errors_array(cluster->mock, API_LIST_OFFSETS, 1, &error);
	assert_int_equal(rd_kafka_mock_broker_push_request_error_rtts(cluster->mock, LEADER(partition), API_FETCH, 1,
				 RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, 0),
		0);
}

/* While the place is asked for, until the broker answers. */
static void wait_for_place(struct cluster *cluster, struct rig_source *source, bool is_alone, uint64_t *next)
{
	int64_t end = rig_now_ms() + 20000;

	while (rig_log_count("trying again") == 0) {
		int r = rig_source_next(source, 50);

		if (r != 0)
			fail_msg("%d %s", r, source->error.message);
		assert_true(rig_now_ms() < end);
	}
	assert_int_equal(rig_log_count("packets[1]@3: the broker has no such message any more"), 1);
	produce(cluster, 1, 3, 100, NULL);
	if (!is_alone)
		produce(cluster, 2, 0, 100, NULL);
	flush(cluster);
	if (!is_alone)
		expect_batch(source, next);
	assert_int_equal(next[2], !is_alone);
	/* The end of no partition is the end. */
	assert_int_equal(rig_source_next(source, 1500), 0);
	rd_kafka_mock_clear_request_errors(cluster->mock, API_LIST_OFFSETS);
}

/* Who follows asks again until there is an answer, and reads the other partitions meanwhile, if there are any. */
static void lost_place_is_asked_for_again(void **state)
{
	for (unsigned int is_alone = 0; is_alone < 2; is_alone++) {
		struct cluster *cluster;
		uint64_t next[PARTITIONS] = {0};
		struct rig_source source;
		char url[256];

		assert_int_equal(cluster_set_up((void **)&cluster), 0);
		make_url(cluster, is_alone ? "?offset=1:0" : "", url, sizeof(url));
		for (uint64_t i = 0; i < 3; i++)
			produce(cluster, 1, i, 100, NULL);
		flush(cluster);
		rig_log_begin();
		source_open(&source, url, true, 20000);
		for (int i = 0; i < 3; i++)
			expect_batch(&source, next);
		assert_int_equal(rig_source_next(&source, 500), 0);
		/* More than are used up while there is to be no answer. */
		lose_place(cluster, 1, 1000);
		wait_for_place(cluster, &source, is_alone, next);
		assert_int_equal(rig_source_next(&source, 20000), -EBADMSG);
		/* The simulated broker had the one that came meanwhile; a real one would not say that it is gone. */
		assert_non_null(strstr(source.error.message,
			"packets[1]@3: the broker has no such message any more; continued at 4:"));
		assert_int_equal(rig_log_count("trying again"), 1);
		produce(cluster, 1, 4, 100, NULL);
		flush(cluster);
		next[1] = 4;
		expect_batch(&source, next);
		assert_false(wb_source_kafka.from_start(source.source));
		rig_log_end();
		rig_source_close(&source);
		cluster_tear_down((void **)&cluster);
	}
	(void)state;
}

/* Who does not follow is told. */
static void lost_place_is_an_error_otherwise(void **state)
{
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0};
	struct rig_source source;
	char url[256];
	int r;

	make_url(cluster, LITTLE_AHEAD, url, sizeof(url));
	/* Each in a part of its own, of which few are fetched when the first one is read. */
	for (uint64_t i = 0; i < 6; i++) {
		produce(cluster, 1, i, 100, NULL);
		flush(cluster);
	}
	source_open(&source, url, false, 20000);
	expect_batch(&source, next);
	lose_place(cluster, 1, 100);
	while ((r = rig_source_next(&source, 20000)) == 1)
		continue;
	assert_int_equal(r, -EIO);
	assert_non_null(strstr(source.error.message, "packets[1]@"));
	assert_non_null(strstr(source.error.message,
		": the broker has no such message any more, and does not say which ones it has: "));
	rig_source_close(&source);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, cluster_set_up, cluster_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(busy_partition_does_not_starve_a_quiet_one),
		TEST(first_message_behind_a_gap_is_read_later),
		TEST(heartbeats_do_not_end_a_range),
		TEST(offset_beyond_the_end_is_told),
		cmocka_unit_test(lost_place_is_asked_for_again),
		TEST(lost_place_is_an_error_otherwise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
