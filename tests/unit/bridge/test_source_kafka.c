/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves the Kafka source against the cluster that librdkafka simulates: all partitions are read once, to where they
 * ended at the start; what is missing is waited for, then told. Retention, transactions and restarts need a real
 * broker.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "source_kafka_rig.h"

/* Unequal partitions, one of them empty; then the end. */
static void all_partitions_are_read_to_their_end(void **state)
{
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0};
	struct rig_source source;

	for (uint64_t i = 0; i < 30; i++)
		for (int32_t p = 0; p < 3; p++)
			if (i % (uint64_t)(p + 1) == 0)
				produce(cluster, p, i / (uint64_t)(p + 1), 16 + i * 1000, NULL);
	flush(cluster);
	source_open(&source, cluster->url, false, 20000);
	for (int i = 0; i < 30 + 15 + 10; i++)
		expect_batch(&source, next);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	rig_source_close(&source);
}

/* What came meanwhile is read from where the reading ended, each partition to its new end; a topic may have been empty.
 */
static void extending_goes_on_where_it_ended(void **state)
{
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0};
	struct rig_source source;

	produce(cluster, 0, 0, 16, NULL);
	flush(cluster);
	source_open(&source, cluster->url, false, 20000);
	expect_batch(&source, next);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	for (int32_t p = 0; p < 3; p++)
		produce(cluster, p, next[p], 16, NULL);
	flush(cluster);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	wb_source_kafka.extend(source.source);
	for (int i = 0; i < 3; i++)
		expect_batch(&source, next);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	assert_true(wb_source_kafka.from_start(source.source));
	wb_source_kafka.extend(source.source);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	rig_source_close(&source);
}

static void empty_topic_ends_at_once(void **state)
{
	struct cluster *cluster = *state;
	struct rig_source source;

	source_open(&source, cluster->url, false, 20000);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	rig_source_close(&source);
}

/* What is produced while the source reads does not move its end. */
static void end_is_where_it_was(void **state)
{
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0};
	struct rig_source source;

	for (uint64_t i = 0; i < 10; i++)
		produce(cluster, (int32_t)(i % 2), i / 2, 100, NULL);
	flush(cluster);
	source_open(&source, cluster->url, false, 20000);
	expect_batch(&source, next);
	for (uint64_t i = 10; i < 40; i++)
		produce(cluster, (int32_t)(i % 2), i / 2, 100, NULL);
	for (uint64_t i = 0; i < 10; i++)
		produce(cluster, 2, i, 100, NULL);
	flush(cluster);
	for (int i = 1; i < 10; i++)
		expect_batch(&source, next);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	rig_source_close(&source);
}

static void follow_reads_what_comes(void **state)
{
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0};
	struct rig_source source;
	char url[256];

	produce(cluster, 1, 0, 100, NULL);
	flush(cluster);
	source_open(&source, cluster->url, true, 20000);
	expect_batch(&source, next);
	assert_int_equal(rig_source_next(&source, 1000), 0);
	for (uint64_t i = 0; i < 8; i++)
		produce(cluster, 3, i, 100, NULL);
	flush(cluster);
	for (int i = 0; i < 8; i++)
		expect_batch(&source, next);
	rig_source_close(&source);

	/* From the end, only what is new. */
	snprintf(url, sizeof(url), "%s?offset=end", cluster->url);
	source_open(&source, url, false, 20000);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	rig_source_close(&source);
	source_open(&source, url, true, 20000);
	assert_int_equal(rig_source_next(&source, 2000), 0);
	produce(cluster, 3, 8, 100, NULL);
	flush(cluster);
	expect_batch(&source, next);
	rig_source_close(&source);
}

static void kind_is_told_by_the_header(void **state)
{
	static const char *const types[] = {"application/x-protobuf; message=wirebus.v1.PacketBatch",
		"application/x-protobuf; message=wirebus.v1.PacketRecord", NULL, "", "text/plain",
		"application/x-protobuf; message=wirebus.v1.PacketRecor"};
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0};
	struct rig_source source;

	for (uint64_t i = 0; i < 6; i++)
		produce(cluster, 0, i, 100, types[i]);
	flush(cluster);
	source_open(&source, cluster->url, false, 20000);
	for (uint64_t i = 0; i < 6; i++) {
		expect_batch(&source, next);
		assert_int_equal(source.message.kind, i == 1 ? WB_MESSAGE_RECORD : WB_MESSAGE_BATCH);
	}
	rig_source_close(&source);
}

static void unusable_records_are_passed(void **state)
{
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0};
	struct rig_source source;

	produce(cluster, 2, 0, 100, NULL);
	produce(cluster, 2, 1, 0, NULL);
	produce(cluster, 2, 2, RIG_MAX_MESSAGE + 1, NULL);
	produce(cluster, 2, 3, 100, NULL);
	flush(cluster);
	source_open(&source, cluster->url, false, 20000);
	expect_batch(&source, next);
	assert_int_equal(rig_source_next(&source, 20000), -EBADMSG);
	assert_non_null(strstr(source.error.message, "packets[2]@1: 0 bytes"));
	assert_int_equal(rig_source_next(&source, 20000), -EBADMSG);
	assert_non_null(strstr(source.error.message, "packets[2]@2: 4194305 bytes"));
	next[2] = 3;
	expect_batch(&source, next);
	assert_int_equal(rig_source_next(&source, 20000), -ENODATA);
	rig_source_close(&source);
}

static void missing_topic_is_told(void **state)
{
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0};
	struct rig_source source;
	int64_t start = rig_now_ms();

	rd_kafka_mock_topic_set_error(cluster->mock, "packets", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	source_open(&source, cluster->url, false, 1500);
	assert_int_equal(rig_source_next(&source, 20000), -ENOENT);
	assert_in_range(rig_now_ms() - start, 1400, 10000);
	assert_non_null(strstr(source.error.message, "there is no topic packets at "));
	assert_non_null(strstr(source.error.message, rd_kafka_mock_cluster_bootstraps(cluster->mock)));
	rig_source_close(&source);
	rd_kafka_mock_topic_set_error(cluster->mock, "packets", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	source_open(&source, cluster->url, false, 1500);
	assert_int_equal(rig_source_next(&source, 20000), -EACCES);
	rig_source_close(&source);

	/* With follow it is waited for, and told once. */
	rd_kafka_mock_topic_set_error(cluster->mock, "packets", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	rig_log_begin();
	source_open(&source, cluster->url, true, 500);
	assert_int_equal(rig_source_next(&source, 3000), 0);
	assert_int_equal(rig_log_count("no messages from topic packets"), 1);
	rd_kafka_mock_topic_set_error(cluster->mock, "packets", RD_KAFKA_RESP_ERR_NO_ERROR);
	produce(cluster, 0, 0, 100, NULL);
	flush(cluster);
	expect_batch(&source, next);
	assert_int_equal(rig_log_count("reading again"), 1);
	rig_log_end();
	rig_source_close(&source);
}

static void missing_broker_is_told(void **state)
{
	struct rig_source source;
	int64_t start = rig_now_ms();

	rig_log_begin();
	source_open(&source, "kafka://127.0.0.1:1,127.0.0.1:2/packets", false, 1500);
	assert_int_equal(rig_source_next(&source, 20000), -ETIMEDOUT);
	assert_in_range(rig_now_ms() - start, 1400, 6000);
	assert_non_null(strstr(source.error.message, "topic packets at 127.0.0.1:1,127.0.0.1:2 within 1.5 s"));
	assert_non_null(strstr(source.error.message, "Connection refused"));
	rig_source_close(&source);
	source_open(&source, "kafka://127.0.0.1:1/packets", true, 200);
	assert_int_equal(rig_source_next(&source, 2500), 0);
	/* Once, and nothing of librdkafka's own complaints. */
	assert_int_equal(rig_log_count("\n"), 1);
	assert_int_equal(rig_log_count("Connection refused"), 1);
	rig_log_end();
	rig_source_close(&source);
}

/* The brokers go while there is still something to read, for good: told. For a while: nothing is lost. */
static void brokers_may_go_and_come_back(void **state)
{
	struct cluster *cluster = *state;
	uint64_t next[PARTITIONS] = {0};
	struct rig_source source;

	for (uint64_t i = 0; i < 4; i++)
		produce(cluster, 0, i, 100, NULL);
	flush(cluster);
	rig_log_begin();
	source_open(&source, cluster->url, true, 500);
	for (int i = 0; i < 4; i++)
		expect_batch(&source, next);
	for (int32_t i = 1; i <= 3; i++)
		rd_kafka_mock_broker_set_down(cluster->mock, i);
	assert_int_equal(rig_source_next(&source, 3000), 0);
	assert_int_equal(rig_log_count("no messages from topic packets"), 1);
	for (int32_t i = 1; i <= 3; i++)
		rd_kafka_mock_broker_set_up(cluster->mock, i);
	for (uint64_t i = 4; i < 8; i++)
		produce(cluster, 0, i, 100, NULL);
	flush(cluster);
	for (int i = 4; i < 8; i++)
		expect_batch(&source, next);
	assert_int_equal(rig_log_count("reading again"), 1);
	rig_log_end();
	rig_source_close(&source);
}

static void wrong_urls_are_refused(void **state)
{
	static const struct {
		const char *url, *text;
	} cases[] = {
		{"kafka://127.0.0.1:9092", "TOPIC"},
		{"kafka://127.0.0.1:9092/", "TOPIC"},
		{"kafka:///packets", "HOST"},
		{"kafka://127.0.0.1:9092/a/b", "'a/b'"},
		{"kafka://127.0.0.1:9092/..", "'..'"},
		{"kafka://127.0.0.1:9092/packets?offset=middle", "middle"},
		{"kafka://127.0.0.1:9092/packets?offsets=end", "offset"},
		{"kafka://127.0.0.1:9092/packets?properties.fetch.foo=1", "no property \"fetch.foo\""},
		{"kafka://127.0.0.1:9092/packets?properties.fetch.wait.max.ms=soon", "fetch.wait.max.ms"},
		{"kafka://127.0.0.1:9092/packets?properties.enable.partition.eof=false", "enable.partition.eof"},
		{"kafka://127.0.0.1:9092/packets?properties.bootstrap.servers=x", "bootstrap.servers"},
		{"kafka://127.0.0.1:9092/packets?properties.security.protocol=ssl&properties.ssl.key.pem=hunter2",
			"ssl.key"},
	};
	struct rig_source source;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r;

		rig_log_begin();
		r = rig_source_open(&source, cases[i].url, false, 100);
		assert_int_equal(rig_log_count("hunter2"), 0);
		rig_log_end();
		if (r != -EINVAL || !strstr(source.error.message, cases[i].text) ||
			strstr(source.error.message, "hunter2"))
			fail_msg("%s: %d \"%s\"", cases[i].url, r, source.error.message);
		rig_source_close(&source);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, cluster_set_up, cluster_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_partitions_are_read_to_their_end),
		TEST(extending_goes_on_where_it_ended),
		TEST(empty_topic_ends_at_once),
		TEST(end_is_where_it_was),
		TEST(follow_reads_what_comes),
		TEST(kind_is_told_by_the_header),
		TEST(unusable_records_are_passed),
		TEST(missing_topic_is_told),
		cmocka_unit_test(missing_broker_is_told),
		TEST(brokers_may_go_and_come_back),
		cmocka_unit_test(wrong_urls_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
