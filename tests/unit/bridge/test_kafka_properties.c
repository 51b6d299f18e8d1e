/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's properties: which come through, which are refused and in which words. */
#include <stdio.h>

#include "kafka_given.h"

static void wrong_properties_are_refused(void **state)
{
	static const struct {
		const char *key;
		const char *value;
		const char *message;
	} rows[] = {
		{"no.such.thing", "1",
			"kafka://URL: librdkafka has no property 'no.such.thing'; see its CONFIGURATION.md"},
		{"security.protocol", "tls",
			"kafka://URL: property 'security.protocol': Invalid value \"tls\" for configuration property "
			"\"security.protocol\""},
		{"socket.timeout.ms", "soon",
			"kafka://URL: property 'socket.timeout.ms': Invalid value for configuration property "
			"\"socket.timeout.ms\""},
		{"bootstrap.servers", "b2:9092",
			"kafka://URL: property 'bootstrap.servers' is not for the user: name the brokers in the URL"},
		{"metadata.broker.list", "b2:9092",
			"kafka://URL: property 'metadata.broker.list' is not for the user: name the brokers in the "
			"URL"},
		{"message.max.bytes", "1000",
			"kafka://URL: property 'message.max.bytes' is not for the user: use max_message_bytes"},
		{"compression.codec", "lz4",
			"kafka://URL: property 'compression.codec' is not for the user: use compression"},
		{"compression.type", "lz4",
			"kafka://URL: property 'compression.type' is not for the user: use compression"},
		{"linger.ms", "1", "kafka://URL: property 'linger.ms' is not for the user: use linger"},
		{"queue.buffering.max.ms", "1",
			"kafka://URL: property 'queue.buffering.max.ms' is not for the user: use linger"},
		{"message.copy.max.bytes", "1",
			"kafka://URL: property 'message.copy.max.bytes' is not for the user: batches are sent by "
			"reference"},
		{"delivery.report.only.error", "true",
			"kafka://URL: property 'delivery.report.only.error' is not for the user: every batch must be "
			"reported, or its memory never comes back"},
		{"transactional.id", "t",
			"kafka://URL: property 'transactional.id' is not for the user: batches are not sent in "
			"transactions"},
		{"enabled_events", "1",
			"kafka://URL: property 'enabled_events' is not for the user: every batch must be reported, or "
			"its memory never comes back"},
		{"max.in.flight", "2", "kafka://URL: property 'max.in.flight' is not for the user: use in_flight"},
		{"queue.buffering.max.messages", "10",
			"kafka://URL: property 'queue.buffering.max.messages' is not for the user: the capture's "
			"'buffers' say how much may wait"},
		{"queue.buffering.max.kbytes", "10",
			"kafka://URL: property 'queue.buffering.max.kbytes' is not for the user: the capture's "
			"'buffers' say how much may wait"},
		{"message.timeout.ms", "300000",
			"kafka://URL: property 'message.timeout.ms': '300000' must be 0: it would give up batches that "
			"memory still holds; 'buffers' say how much may wait"},
		{"delivery.timeout.ms", "1",
			"kafka://URL: property 'delivery.timeout.ms': '1' must be 0: it would give up batches that "
			"memory still holds; 'buffers' say how much may wait"},
		{"message.send.max.retries", "2",
			"kafka://URL: property 'message.send.max.retries' is not for the user: a batch is sent again "
			"until the broker has it"},
		{"retries", "2",
			"kafka://URL: property 'retries' is not for the user: a batch is sent again until the broker "
			"has it"},
		/* Rules between properties, by all their names. */
		{"acks", "0", "kafka://URL: property 'acks': 0 means that nothing is acknowledged; use 1 or all"},
		{"request.required.acks", "1",
			"kafka://URL: property 'acks': without all replicas the broker cannot keep duplicates out; use "
			"all, or set enable.idempotence to false as well"},
		/* The nearest of librdkafka's names, those of topics as well. */
		{"sasl.pasword", "x",
			"kafka://URL: librdkafka has no property 'sasl.pasword'; did you mean 'sasl.password'?"},
		{"partitionner", "random",
			"kafka://URL: librdkafka has no property 'partitionner'; did you mean 'partitioner'?"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct given given;

		give(&given, "b1:9092/t");
		give_property(&given, rows[i].key, rows[i].value);
		assert_refused(&given, rows[i].message);
	}
}

/* Settings for TLS, SASL, sockets and more: what librdkafka has is passed on as it is. */
static void properties_pass_through(void **state)
{
	static const char *const rows[][2] = {
		{"security.protocol", "sasl_ssl"},
		{"sasl.mechanisms", "SCRAM-SHA-512"},
		{"sasl.username", "wirebus"},
		{"sasl.password", "hunter2"},
		{"ssl.ca.location", "/etc/ssl/certs/ca.pem"},
		{"ssl.certificate.location", "/etc/wirebus/cert.pem"},
		{"ssl.key.location", "/etc/wirebus/key.pem"},
		{"ssl.key.password", "hunter2"},
		{"ssl.cipher.suites", "DEFAULT"},
		{"ssl.endpoint.identification.algorithm", "https"},
		{"enable.ssl.certificate.verification", "false"},
		{"socket.keepalive.enable", "true"},
		{"client.rack", "r1"},
		{"statistics.interval.ms", "0"},
		{"partitioner", "consistent"},
		{"message.timeout.ms", "0"},
		{"sticky.partitioning.linger.ms", "7"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct wb_error error = {""};
		rd_kafka_conf_t *conf;
		struct given given;
		char *topic;

		give(&given, "b1:9092/t");
		give_property(&given, rows[i][0], rows[i][1]);
		if (make(&given, &conf, &topic, &error) < 0)
			fail_msg("%s", error.message);
		assert_property(conf, rows[i][0], rows[i][1]);
		free(topic);
		rd_kafka_conf_destroy(conf);
	}
}

/* Without idempotence two requests on their way may change places. */
static void order_is_kept_without_idempotence(void **state)
{
	struct wb_error error = {""};
	rd_kafka_conf_t *conf;
	struct given given;
	char *topic;

	give(&given, "b1:9092/t");
	give_property(&given, "enable.idempotence", "false");
	assert_int_equal(make(&given, &conf, &topic, &error), 0);
	free(topic);
	rd_kafka_conf_destroy(conf);
	assert_int_equal(
		wb_option_set(wb_option_find(wb_kafka_rows, "in_flight", NULL), &given.options, "2", &error), 0);
	assert_refused(&given,
		"kafka://URL: in_flight: without enable.idempotence a batch that is sent again may overtake "
		"another; use 1");
}

/* Whatever librdkafka says about a secret, in this version or another, its text is not shown. */
static void secrets_are_not_shown(void **state)
{
	static const char *const keys[] = {"ssl_key", "sasl.oauthbearer.client.secret", "ssl.key.pem",
		"ssl.key.password", "ssl.certificate.pem", "ssl.keystore.password", "sasl.password"};
	size_t refused = 0;

	for (size_t i = 0; i < COUNT(keys); i++) {
		struct wb_error error = {""};
		rd_kafka_conf_t *conf;
		struct given given;
		char message[200];
		char *topic;

		give(&given, "b1:9092/t");
		give_property(&given, keys[i], "hunter2");
		if (make(&given, &conf, &topic, &error) == 0) {
			free(topic);
			rd_kafka_conf_destroy(conf);
			continue;
		}
		refused++;
		assert_null(strstr(error.message, "hunter2"));
		if (strcmp(keys[i], "sasl.oauthbearer.client.secret") == 0) {
			snprintf(message, sizeof message,
				"kafka://URL: property '%s': librdkafka does not accept it with this value", keys[i]);
			assert_string_equal(error.message, message);
		}
	}
	assert_true(refused > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_properties_are_refused),
		cmocka_unit_test(properties_pass_through),
		cmocka_unit_test(order_is_kept_without_idempotence),
		cmocka_unit_test(secrets_are_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
