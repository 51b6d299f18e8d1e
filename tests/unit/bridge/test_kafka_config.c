/* SPDX-License-Identifier: Apache-2.0 */
/* What a Kafka producer is configured with, what is refused and in which words; and a transport without a broker. */
#include <stdatomic.h>
#include <stdio.h>

#include "kafka_given.h"

static void defaults_keep_the_promises(void **state)
{
	struct wb_error error = {""};
	size_t max_batch_bytes = 0;
	rd_kafka_conf_t *conf;
	struct given given;
	char *topic;

	give(&given, "b1:9092,[::1]:9093/wire.bus_1-x");
	assert_int_equal(wb_kafka_producer_conf(&given.args, &conf, &topic, &max_batch_bytes, &error), 0);
	assert_string_equal(topic, "wire.bus_1-x");
	assert_int_equal(max_batch_bytes, 1000000 - 1024);
	assert_property(conf, "bootstrap.servers", "b1:9092,[::1]:9093");
	assert_property(conf, "client.id", "wirebus");
	assert_property(conf, "enable.idempotence", "true");
	assert_property(conf, "request.required.acks", "-1");
	assert_property(conf, "message.timeout.ms", "0");
	assert_property(conf, "reconnect.backoff.max.ms", "1000");
	assert_property(conf, "partitioner", "murmur2_random");
	assert_property(conf, "compression.codec", "none");
	assert_property(conf, "linger.ms", "5");
	assert_property(conf, "message.max.bytes", "1000000");
	/* The pools bound the memory. */
	assert_property(conf, "queue.buffering.max.messages", "2147483647");
	assert_property(conf, "queue.buffering.max.kbytes", "2147483647");
	free(topic);
	rd_kafka_conf_destroy(conf);
}

/* Messages are many and small: the client waits longer for more. */
static void record_mode(void **state)
{
	static const char *const lingers[][2] = {{"0", "50"}, {"7ms", "7"}};

	for (unsigned int i = 0; i < COUNT(lingers); i++) {
		struct wb_error error = {""};
		rd_kafka_conf_t *conf;
		struct given given;
		char *topic;

		give(&given, "b1/t");
		given.args.records = true;
		assert_int_equal(wb_option_set(&wb_kafka_rows[1], &given.options, lingers[i][0], &error), 0);
		assert_int_equal(make(&given, &conf, &topic, &error), 0);
		assert_property(conf, "linger.ms", lingers[i][1]);
		free(topic);
		rd_kafka_conf_destroy(conf);
	}
}

/* The ledger's topic has a longer name than the records'. */
static void record_mode_leaves_room_for_the_ledger(void **state)
{
	char address[3 + 243 + 1] = "b1/";
	struct wb_error error = {""};
	size_t max_batch_bytes;
	struct given given;

	memset(address + 3, 'x', 243);
	give(&given, address);
	assert_int_equal(wb_transport_kafka.check(&given.args, &max_batch_bytes, &error), 0);
	given.args.records = true;
	assert_int_equal(wb_transport_kafka.check(&given.args, &max_batch_bytes, &error), -EINVAL);
	assert_non_null(strstr(error.message, "has 243 characters: in mode 'record' it may have 242"));
	address[3 + 242] = '\0';
	assert_int_equal(wb_transport_kafka.check(&given.args, &max_batch_bytes, &error), 0);
}

static void options_and_properties_arrive(void **state)
{
	static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};

	for (unsigned int i = 0; i < COUNT(codecs); i++) {
		struct wb_error error = {""};
		rd_kafka_conf_t *conf;
		struct given given;
		char *topic;

		give(&given, "b1/t");
		assert_int_equal(wb_option_set(&wb_kafka_rows[0], &given.options, codecs[i], &error), 0);
		assert_int_equal(wb_option_set(&wb_kafka_rows[1], &given.options, "2s", &error), 0);
		assert_int_equal(wb_option_set(&wb_kafka_rows[2], &given.options, "2M", &error), 0);
		give_property(&given, "sasl.password", "hunter2");
		assert_int_equal(make(&given, &conf, &topic, &error), 0);
		assert_property(conf, "compression.codec", codecs[i]);
		assert_property(conf, "linger.ms", "2000");
		assert_property(conf, "message.max.bytes", "2097152");
		assert_property(conf, "sasl.password", "hunter2");
		free(topic);
		rd_kafka_conf_destroy(conf);
	}
}

static void wrong_addresses_are_refused(void **state)
{
	static const char *const addresses[] = {"", "b1:9092", "b1:9092/", "/topic", "/"};

	for (size_t i = 0; i < COUNT(addresses); i++) {
		struct given given;

		give(&given, addresses[i]);
		assert_refused(&given, "'kafka://URL': must be kafka://HOST:PORT[,HOST:PORT]/TOPIC");
	}
}

static void wrong_topics_are_refused(void **state)
{
	static const char *const topics[] = {".", "..", "a/b", "a b", "t\xc3\xb6pic", "a,b", "a\n", "x?"};
	struct wb_error error = {""};
	rd_kafka_conf_t *conf;
	struct given given;
	char address[300] = "b1:9092/";
	char message[400];
	char *topic;

	for (size_t i = 0; i < COUNT(topics); i++) {
		snprintf(address, sizeof address, "b1:9092/%s", topics[i]);
		give(&given, address);
		/* A message is one line, whatever it quotes. */
		snprintf(message, sizeof message,
			"'kafka://URL': topic '%s' must be 1 to 249 letters, digits, '.', '_' or '-', and neither '.' "
			"nor '..'",
			strcmp(topics[i], "a\n") ? topics[i] : "a?");
		assert_refused(&given, message);
	}
	/* 249 are allowed, 250 are not. */
	memset(address + 8, 'x', 250);
	address[8 + 249] = '\0';
	give(&given, address);
	assert_int_equal(make(&given, &conf, &topic, &error), 0);
	assert_int_equal(strlen(topic), 249);
	free(topic);
	rd_kafka_conf_destroy(conf);
	memcpy(address + 8 + 249, "y", 2);
	snprintf(message, sizeof message,
		"'kafka://URL': topic '%s' must be 1 to 249 letters, digits, '.', '_' or '-', and neither '.' nor "
		"'..'",
		address + 8);
	assert_refused(&given, message);
}

/* What is not known at the check is filled in; at the opening it must be there. */
static void topics_are_templates(void **state)
{
	struct wb_error error = {""};
	struct wb_transport *transport;
	rd_kafka_conf_t *conf;
	struct given given;
	size_t max_batch_bytes;
	char *topic;

	give(&given, "b1:9092/a-{node}.{interface}");
	given.args.node = NULL;
	assert_int_equal(wb_transport_kafka.check(&given.args, &max_batch_bytes, &error), 0);
	given.args.node = "host 1";
	assert_int_equal(wb_transport_kafka.open(&given.args, &transport, &error), -EINVAL);
	assert_string_equal(error.message, "'kafka://URL': nothing is known here that {interface} could stand for");
	given.args.interface = "eth0";
	assert_int_equal(make(&given, &conf, &topic, &error), 0);
	assert_string_equal(topic, "a-host_1.eth0");
	free(topic);
	rd_kafka_conf_destroy(conf);
	give(&given, "b1:9092/a-{host}");
	assert_refused(
		&given, "'kafka://URL': unknown placeholder '{host}' in the topic; there are {node} and {interface}");
	/* A prefix takes some of the room. */
	give(&given, "b1:9092/t");
	assert_int_equal(
		wb_option_set(wb_option_find(wb_kafka_rows, "schema_registry", NULL), &given.options, "prefix", &error),
		0);
	assert_refused(&given,
		"kafka://URL: schema_registry 'prefix' needs schema_id, the number that the registry gave the schema");
	assert_int_equal(
		wb_option_set(wb_option_find(wb_kafka_rows, "schema_id", NULL), &given.options, "1", &error), 0);
	assert_int_equal(wb_transport_kafka.check(&given.args, &max_batch_bytes, &error), 0);
	assert_int_equal(max_batch_bytes, 1000000 - 1024 - 6);
}

/* At the ends of their ranges, too, the options make a configuration that the client starts with. */
static void the_client_takes_the_limits(void **state)
{
	static const struct {
		const char *linger;
		const char *max_message_bytes;
		size_t max_batch_bytes;
	} rows[] = {
		{"0", "2048", 1024},
		{"900000", "1000000000", 1000000000 - 1024},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct wb_error error = {""};
		size_t max_batch_bytes;
		rd_kafka_conf_t *conf;
		rd_kafka_t *client;
		struct given given;
		char reason[256] = "";
		char *topic;

		give(&given, "127.0.0.1:1/t");
		assert_int_equal(wb_option_set(&wb_kafka_rows[1], &given.options, rows[i].linger, &error), 0);
		assert_int_equal(
			wb_option_set(&wb_kafka_rows[2], &given.options, rows[i].max_message_bytes, &error), 0);
		assert_int_equal(wb_kafka_producer_conf(&given.args, &conf, &topic, &max_batch_bytes, &error), 0);
		assert_int_equal(max_batch_bytes, rows[i].max_batch_bytes);
		rd_kafka_conf_set_log_cb(conf, NULL);
		client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
		assert_string_equal(reason, "");
		assert_non_null(client);
		rd_kafka_destroy(client);
		free(topic);
	}
}

static void values_beyond_the_limits_are_refused(void **state)
{
	static const struct {
		unsigned int row;
		const char *value;
	} rows[] = {{0, "brotli"}, {1, "900001"}, {1, "-1"}, {2, "2047"}, {2, "1000000001"}, {3, "0"}, {3, "65"}};
	struct given given;

	give(&given, "b1/t");
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct wb_error error = {""};

		assert_int_equal(
			wb_option_set(&wb_kafka_rows[rows[i].row], &given.options, rows[i].value, &error), -EINVAL);
		assert_non_null(strstr(error.message, rows[i].value));
	}
}

static const uint8_t session[16] = {0x01, 0x90, 0xab, 0xff, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0x0b};

static void headers_tell_what_a_record_is(void **state)
{
	static const char *const rows[][2] = {
		{"content-type", "application/x-protobuf; message=wirebus.v1.PacketBatch"},
		{"wb-schema-version", "1"},
		{"wb-session", "0190abff000102030405060708090a0b"},
		{"wb-worker", "4294967295"},
		{"wb-stream", "7"},
		{"wb-batch-seq", "18446744073709551615"},
		{"wb-first-packet-seq", "1"},
		{"wb-packets", "0"},
		{"wb-flags", "2"},
	};
	const struct wb_batch batch = {.session_id = session,
		.worker_id = UINT32_MAX,
		.stream_id = 7,
		.batch_seq = UINT64_MAX,
		.first_packet_seq = 1,
		.flags = 2};
	rd_kafka_headers_t *headers = wb_kafka_headers(&batch);

	assert_int_equal(rd_kafka_header_cnt(headers), COUNT(rows));
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *name;
		const void *value;
		size_t size;

		assert_int_equal(rd_kafka_header_get_all(headers, i, &name, &value, &size), 0);
		assert_string_equal(name, rows[i][0]);
		assert_int_equal(size, strlen(rows[i][1]));
		assert_memory_equal(value, rows[i][1], size);
	}
	rd_kafka_headers_destroy(headers);
}

static atomic_uint given_up;
static atomic_uint otherwise;

static void on_settle(struct wb_batch *batch, enum wb_result result, enum wb_cause cause)
{
	if (result == WB_RESULT_FAILED && cause == WB_CAUSE_SHUTDOWN)
		atomic_fetch_add(&given_up, 1);
	else
		atomic_fetch_add(&otherwise, 1);
}

static void no_log(void *context, int level, const char *format, ...)
{
}

static unsigned int none_free(void *context)
{
	return 0;
}

/* Nobody listens on the port: batches are kept, and close() settles each once. */
static void without_a_broker_batches_are_kept_until_the_close(void **state)
{
	static const uint8_t data[1000000];
	const struct wb_route route = {.key = "k", .key_size = 1, .partition = -1};
	struct wb_transport *transport;
	struct wb_transport_stats stats;
	struct wb_batch batches[4];
	struct wb_error error = {""};
	struct wb_lane *lane;
	struct given given;

	give(&given, "127.0.0.1:1/t");
	given.args.buffers = 4;
	given.args.log = no_log;
	assert_int_equal(wb_transport_kafka.open(&given.args, &transport, &error), 0);
	assert_int_equal(wb_transport_kafka.lane(transport, none_free, NULL, 4, &lane), 0);
	for (size_t i = 0; i < COUNT(batches); i++) {
		batches[i] = (struct wb_batch){.data = data,
			.size = i < 3 ? 1000000 - 1024 : 1000000 - 1023,
			.packets = 1,
			.session_id = session,
			.max_time_ms = 1700000000000,
			.settle = on_settle};
		assert_int_equal(wb_transport_kafka.publish(lane, &batches[i], &route), i < 3 ? 0 : -EMSGSIZE);
	}
	assert_int_equal(wb_transport_kafka.flush(transport, 100), -ETIMEDOUT);
	wb_transport_kafka.stats(transport, &stats);
	assert_false(stats.connected);
	assert_false(stats.failed);
	assert_int_equal(stats.published, 3);
	assert_int_equal(stats.settled, 0);
	assert_int_equal(atomic_load(&given_up) + atomic_load(&otherwise), 0);
	wb_transport_kafka.close(transport);
	assert_int_equal(atomic_load(&given_up), 3);
	assert_int_equal(atomic_load(&otherwise), 0);
	wb_transport_kafka.close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_keep_the_promises),
		cmocka_unit_test(record_mode),
		cmocka_unit_test(record_mode_leaves_room_for_the_ledger),
		cmocka_unit_test(options_and_properties_arrive),
		cmocka_unit_test(wrong_addresses_are_refused),
		cmocka_unit_test(wrong_topics_are_refused),
		cmocka_unit_test(topics_are_templates),
		cmocka_unit_test(the_client_takes_the_limits),
		cmocka_unit_test(values_beyond_the_limits_are_refused),
		cmocka_unit_test(headers_tell_what_a_record_is),
		cmocka_unit_test(without_a_broker_batches_are_kept_until_the_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
