/* SPDX-License-Identifier: Apache-2.0 */
/* What a record of the topic is: key, partition, headers, timestamp, and its value as a reader gets it. */
#include "kafka_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "source_setup.h"

#define BATCHES 40

/* Everything that the topic holds; the caller destroys the messages. Returns how many. */
static size_t read_messages(struct kafka_rig *rig, const char *topic, rd_kafka_message_t **messages, size_t room)
{
	static const char *const settings[][2] = {
		{"fetch.wait.max.ms", "50"}, {"enable.partition.eof", "true"}, {"auto.offset.reset", "earliest"}};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_queue_t *queue;
	rd_kafka_topic_t *handle;
	rd_kafka_t *consumer;
	char reason[256];
	size_t count = 0, room_left = room;
	int open = RIG_PARTITIONS;

	rd_kafka_conf_set(
		conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(rig->mock), reason, sizeof(reason));
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		rd_kafka_conf_set(conf, settings[i][0], settings[i][1], reason, sizeof(reason));
	consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
	assert_non_null(consumer);
	handle = rd_kafka_topic_new(consumer, topic, NULL);
	queue = rd_kafka_queue_new(consumer);
	for (int32_t i = 0; i < RIG_PARTITIONS; i++)
		rd_kafka_consume_start_queue(handle, i, RD_KAFKA_OFFSET_BEGINNING, queue);
	for (unsigned int tries = 0; open && tries < 3000; tries++) {
		rd_kafka_message_t *message = rd_kafka_consume_queue(queue, 10);

		if (message && !message->err && room_left) {
			messages[count++] = message;
			room_left--;
			continue;
		}
		open -= message && message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
		if (message)
			rd_kafka_message_destroy(message);
	}
	assert_int_equal(open, 0);
	for (int32_t i = 0; i < RIG_PARTITIONS; i++)
		rd_kafka_consume_stop(handle, i);
	rd_kafka_queue_destroy(queue);
	rd_kafka_topic_destroy(handle);
	/* Messages live no longer than the client that they came from. */
	rig->reader = consumer;
	return count;
}

static void free_messages(struct kafka_rig *rig, rd_kafka_message_t **messages, size_t count)
{
	for (size_t i = 0; i < count; i++)
		rd_kafka_message_destroy(messages[i]);
	rd_kafka_destroy(rig->reader);
	rig->reader = NULL;
}

static uint64_t number(const rd_kafka_message_t *message, const char *name)
{
	rd_kafka_headers_t *headers;
	const void *value;
	char text[32] = "";
	size_t size;

	assert_int_equal(rd_kafka_message_headers(message, &headers), 0);
	assert_int_equal(rd_kafka_header_get_last(headers, name, &value, &size), 0);
	memcpy(text, value, size < sizeof(text) ? size : sizeof(text) - 1);
	return strtoull(text, NULL, 10);
}

static size_t publish_and_read(struct kafka_rig *rig, const char *query, rd_kafka_message_t **messages)
{
	size_t count;

	kafka_rig_open(rig, query);
	kafka_rig_publish_all(rig, BATCHES);
	kafka_rig_wait_settled(rig, BATCHES);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), BATCHES);
	count = read_messages(rig, RIG_TOPIC, messages, BATCHES + 1);
	assert_int_equal(count, BATCHES);
	return count;
}

static bool key_is(const rd_kafka_message_t *message, const char *key)
{
	return message->key_len == strlen(key) && memcmp(message->key, key, message->key_len) == 0;
}

/* A stream has one key, one partition, and its order. */
static void streams_are_keys(void **state)
{
	struct kafka_rig *rig = *state;
	rd_kafka_message_t *messages[BATCHES + 1];
	int32_t partition[RIG_LANES] = {-1, -1};
	uint64_t next[RIG_LANES] = {1, 1};
	size_t count = publish_and_read(rig, "linger=1ms", messages);

	for (size_t i = 0; i < count; i++) {
		uint64_t stream = number(messages[i], "wb-stream");
		rd_kafka_timestamp_type_t type;
		char key[16];

		snprintf(key, sizeof(key), "node/%u", (unsigned int)stream);
		assert_true(stream < RIG_LANES);
		assert_true(key_is(messages[i], key));
		assert_true(partition[stream] < 0 || partition[stream] == messages[i]->partition);
		partition[stream] = messages[i]->partition;
		assert_int_equal(number(messages[i], "wb-batch-seq"), next[stream]++);
		assert_int_equal(number(messages[i], "wb-schema-version"), 1);
		assert_int_equal(messages[i]->len, RIG_BATCH_BYTES);
		/* Each batch's own, a minute apart. */
		assert_int_equal(rd_kafka_message_timestamp(messages[i], &type),
			rig->began_ms + 60000 * (int64_t)number(messages[i], "wb-batch-seq"));
		assert_int_equal(type, RD_KAFKA_TIMESTAMP_CREATE_TIME);
	}
	free_messages(rig, messages, count);
}

/* Streams that share a key share a partition; the order of each stays. */
static void streams_share_a_key(void **state)
{
	struct kafka_rig *rig = *state;
	rd_kafka_message_t *messages[BATCHES + 1];
	uint64_t next[RIG_LANES] = {1, 1};
	size_t count;

	rig->one_key = true;
	count = publish_and_read(rig, "linger=1ms", messages);

	for (size_t i = 0; i < count; i++) {
		assert_true(key_is(messages[i], "node/0"));
		assert_int_equal(messages[i]->partition, messages[0]->partition);
		assert_int_equal(number(messages[i], "wb-batch-seq"), next[number(messages[i], "wb-stream")]++);
	}
	free_messages(rig, messages, count);
}

/* Without a key records go to any partition. Whoever reads all of them sees that nothing is missing. */
static void without_keys(void **state)
{
	struct kafka_rig *rig = *state;
	rd_kafka_message_t *messages[BATCHES + 1];
	bool seen[RIG_LANES][BATCHES + 1] = {{false}};
	bool used[RIG_PARTITIONS] = {false};
	unsigned int partitions = 0;
	size_t count;

	rig->keyless = true;
	count = publish_and_read(rig, "linger=0&properties.sticky.partitioning.linger.ms=0", messages);

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(messages[i]->key_len, 0);
		used[messages[i]->partition] = true;
		seen[number(messages[i], "wb-stream")][number(messages[i], "wb-batch-seq")] = true;
	}
	for (int i = 0; i < RIG_PARTITIONS; i++)
		partitions += used[i];
	assert_true(partitions > 1);
	for (unsigned int lane = 0; lane < RIG_LANES; lane++)
		for (uint64_t seq = 1; seq <= BATCHES / RIG_LANES; seq++)
			assert_true(seen[lane][seq]);
	free_messages(rig, messages, count);
}

/* The value has the prefix, and the source takes it off again. */
static void prefixes_come_and_go(void **state)
{
	static const uint8_t prefix[] = {0, 0, 0, 1, 2, 0};
	const struct wb_source_args args = {.wait_ms = 10000, .max_message_bytes = 1 << 20};
	struct kafka_rig *rig = *state;
	rd_kafka_message_t *messages[BATCHES + 1];
	struct wb_source_setup setup;
	struct wb_source *source;
	struct wb_message message;
	struct wb_error error = {""};
	char url[256];
	size_t count = publish_and_read(rig, "linger=1ms&schema_registry=prefix&schema_id=258", messages);
	size_t got = 0;
	int r;

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(messages[i]->len, RIG_BATCH_BYTES + sizeof(prefix));
		assert_memory_equal(messages[i]->payload, prefix, sizeof(prefix));
	}
	free_messages(rig, messages, count);
	snprintf(url, sizeof(url), "kafka://%s/" RIG_TOPIC "?properties.fetch.wait.max.ms=50",
		rd_kafka_mock_cluster_bootstraps(rig->mock));
	assert_int_equal(wb_source_setup_init(url, &setup, &error), 0);
	assert_int_equal(wb_source_setup_open(&setup, &args, &source, &error), 0);
	while ((r = setup.ops->next(source, 1000, &message, &error)) >= 0) {
		if (r == 0)
			continue;
		assert_int_equal(message.size, RIG_BATCH_BYTES);
		for (size_t i = 1; i < message.size; i++)
			assert_int_equal(message.data[i], message.data[0]);
		got++;
	}
	assert_int_equal(r, -ENODATA);
	assert_int_equal(got, BATCHES);
	setup.ops->close(source);
	wb_source_setup_fini(&setup);
}

static void headers_name_the_schema(void **state)
{
	static const uint8_t expected[] = {
		1, 0x89, 0x79, 0x17, 0x62, 0x23, 0x36, 0x41, 0x86, 0x96, 0x74, 0x29, 0x9b, 0x90, 0xa8, 0x02, 0xe2, 0};
	struct kafka_rig *rig = *state;
	rd_kafka_message_t *messages[BATCHES + 1];
	size_t count = publish_and_read(
		rig, "linger=1ms&schema_registry=header&schema_guid=89791762-2336-4186-9674-299b90a802e2", messages);

	for (size_t i = 0; i < count; i++) {
		rd_kafka_headers_t *headers;
		const void *value;
		size_t size;

		assert_int_equal(messages[i]->len, RIG_BATCH_BYTES);
		assert_int_equal(rd_kafka_message_headers(messages[i], &headers), 0);
		assert_int_equal(rd_kafka_header_get_last(headers, "__value_schema_id", &value, &size), 0);
		assert_int_equal(size, sizeof(expected));
		assert_memory_equal(value, expected, sizeof(expected));
	}
	free_messages(rig, messages, count);
}

#define WITH_CLUSTER(test) cmocka_unit_test_setup_teardown(test, kafka_rig_set_up, kafka_rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CLUSTER(streams_are_keys),
		WITH_CLUSTER(streams_share_a_key),
		WITH_CLUSTER(without_keys),
		WITH_CLUSTER(prefixes_come_and_go),
		WITH_CLUSTER(headers_name_the_schema),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
