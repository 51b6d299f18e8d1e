/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka: a broker (librdkafka's mock cluster in this process, or a real one) and a consumer of librdkafka. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "conformance.h"

#define PARTITIONS 3

struct broker {
	rd_kafka_t *client;
	rd_kafka_mock_cluster_t *mock; /* NULL: a real one */
	char brokers[256];
	char topic[64];
};

struct peer {
	rd_kafka_t *consumer;
	rd_kafka_message_t *message;
};

static rd_kafka_t *new_client(rd_kafka_type_t type, const char *brokers)
{
	static const char *const settings[][2] = {
		{"fetch.wait.max.ms", "50"},
		{"auto.offset.reset", "earliest"},
		{"enable.auto.commit", "false"},
		{"group.id", "conformance"},
	};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *client;
	char text[256];
	size_t i;

	if (brokers)
		rd_kafka_conf_set(conf, "bootstrap.servers", brokers, text, sizeof(text));
	else
		rd_kafka_conf_set(
			conf, "log_level", "0", text, sizeof(text)); /* it would complain of having no broker */
	for (i = 0; type == RD_KAFKA_CONSUMER && i < sizeof(settings) / sizeof(settings[0]); i++)
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof(text)) != RD_KAFKA_CONF_OK)
			conf_fail("kafka: %s", text);
	client = rd_kafka_new(type, conf, text, sizeof(text));
	if (!client) {
		conf_fail("kafka: %s", text);
		rd_kafka_conf_destroy(conf);
	}
	return client;
}

static struct broker *new_broker(struct conf_bus *bus)
{
	static atomic_uint serial;
	struct broker *broker = calloc(1, sizeof(*broker));

	if (!broker)
		abort();
	snprintf(broker->topic, sizeof(broker->topic), "wirebus-conformance-%d-%u", (int)getpid(),
		atomic_fetch_add(&serial, 1));
	bus->owned = broker;
	return broker;
}

static void set_urls(struct conf_bus *bus, const struct broker *broker)
{
	snprintf(bus->url, sizeof(bus->url), "kafka://%s/%s", broker->brokers, broker->topic);
}

int conf_bus_open_kafka_mock(struct conf_bus *bus, const struct conf_row *row)
{
	struct broker *broker = new_broker(bus);

	(void)row;
	broker->client = new_client(RD_KAFKA_PRODUCER, NULL);
	if (!broker->client)
		return -1;
	broker->mock = rd_kafka_mock_cluster_new(broker->client, 1);
	if (!broker->mock || rd_kafka_mock_topic_create(broker->mock, broker->topic, PARTITIONS, 1))
		return -1;
	snprintf(broker->brokers, sizeof(broker->brokers), "%s", rd_kafka_mock_cluster_bootstraps(broker->mock));
	set_urls(bus, broker);
	return 0;
}

static bool create_topic(const struct broker *broker)
{
	rd_kafka_NewTopic_t *topic;
	rd_kafka_queue_t *queue;
	rd_kafka_event_t *event;
	bool created;
	char text[256];

	topic = rd_kafka_NewTopic_new(broker->topic, PARTITIONS, 1, text, sizeof(text));
	if (!topic)
		return false;
	queue = rd_kafka_queue_new(broker->client);
	rd_kafka_CreateTopics(broker->client, &topic, 1, NULL, queue);
	event = rd_kafka_queue_poll(queue, 20000);
	created = event && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR;
	if (event)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_NewTopic_destroy(topic);
	return created;
}

int conf_bus_open_kafka_real(struct conf_bus *bus, const struct conf_row *row)
{
	const char *brokers = getenv("WIREBUS_TEST_KAFKA");
	struct broker *broker;

	(void)row;
	if (!brokers || !*brokers)
		return CONF_EXIT_SKIP;
	broker = new_broker(bus);
	snprintf(broker->brokers, sizeof(broker->brokers), "%s", brokers);
	broker->client = new_client(RD_KAFKA_PRODUCER, brokers);
	if (!broker->client || !create_topic(broker))
		return -1;
	set_urls(bus, broker);
	return 0;
}

void conf_bus_close_kafka(struct conf_bus *bus)
{
	struct broker *broker = bus->owned;

	if (!broker)
		return;
	if (broker->mock)
		rd_kafka_mock_cluster_destroy(broker->mock);
	if (broker->client)
		rd_kafka_destroy(broker->client);
	free(broker);
	bus->owned = NULL;
}

static void *open_peer(const struct conf_bus *bus, bool stalled)
{
	const struct broker *broker = bus->owned;
	rd_kafka_topic_partition_list_t *list;
	struct peer *peer;
	int i;

	(void)stalled;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return NULL;
	peer->consumer = new_client(RD_KAFKA_CONSUMER, broker->brokers);
	if (!peer->consumer) {
		free(peer);
		return NULL;
	}
	rd_kafka_poll_set_consumer(peer->consumer);
	list = rd_kafka_topic_partition_list_new(PARTITIONS);
	for (i = 0; i < PARTITIONS; i++)
		rd_kafka_topic_partition_list_add(list, broker->topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
	rd_kafka_assign(peer->consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
	return peer;
}

static int receive(void *context, int timeout_ms, const void **ret_data, size_t *ret_size)
{
	const int64_t end = conf_now_ms() + timeout_ms;
	struct peer *peer = context;

	do {
		if (peer->message)
			rd_kafka_message_destroy(peer->message);
		peer->message = rd_kafka_consumer_poll(peer->consumer, timeout_ms);
		if (peer->message && !peer->message->err) {
			*ret_data = peer->message->payload;
			*ret_size = peer->message->len;
			return 1;
		}
	} while (conf_now_ms() < end);
	return 0;
}

static void close_peer(void *context)
{
	struct peer *peer = context;

	if (peer->message)
		rd_kafka_message_destroy(peer->message);
	rd_kafka_consumer_close(peer->consumer);
	rd_kafka_destroy(peer->consumer);
	free(peer);
}

const struct conf_peer_ops conf_peer_kafka = {.open = open_peer, .receive = receive, .close = close_peer};
