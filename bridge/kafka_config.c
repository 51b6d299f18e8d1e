/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka_address.h"
#include "log.h"
#include "secret.h"

/*
 * What a record needs beside its value: key, headers and framing, of the record and of its batch. The client compares
 * value, key and headers with message.max.bytes.
 */
#define RECORD_OVERHEAD_BYTES 1024

const struct wb_option_row wb_kafka_rows[] = {
	{"compression", WB_OPTION_CHOICE, offsetof(struct wb_kafka_options, compression), "none", 0, 0,
		"none|gzip|snappy|lz4|zstd", NULL, "Compression of record batches"},
	{"linger", WB_OPTION_DURATION, offsetof(struct wb_kafka_options, linger_ms), "5ms", 0, 900000, NULL, NULL,
		"How long the client waits for more batches to send together"},
	{"max_message_bytes", WB_OPTION_BYTES, offsetof(struct wb_kafka_options, max_message_bytes), "1000000", 2048,
		1000000000, NULL, NULL,
		"Largest record (message.max.bytes); the broker's limit, 1048588 unless raised, must be no smaller"},
	{"in_flight", WB_OPTION_UINT, offsetof(struct wb_kafka_options, in_flight), "1", 1, 5, NULL, "requests",
		"Requests on their way to a broker at a time; more than 1 pays over long distances and costs CPU"},
	{"producers", WB_OPTION_UINT, offsetof(struct wb_kafka_options, producers), "1", 1, 64, NULL, "clients",
		"Client instances with connections of their own; workers are spread over them"},
	{0},
};

static const char *const compressions[] = {"none", "gzip", "snappy", "lz4", "zstd"};

/* Set one property; the message must not show the value of a secret. */
static int set(rd_kafka_conf_t *conf, const char *key, const char *value, const char *url, struct wb_error *ret_error)
{
	char reason[256];

	switch (rd_kafka_conf_set(conf, key, value, reason, sizeof reason)) {
	case RD_KAFKA_CONF_OK:
		return 0;
	case RD_KAFKA_CONF_UNKNOWN:
		return wb_fail(
			ret_error, -EINVAL, "%s: librdkafka has no property '%s'; see its CONFIGURATION.md", url, key);
	default:
		/* librdkafka's reason quotes the value. */
		if (wb_secret_name(key))
			return wb_fail(ret_error, -EINVAL,
				"%s: property '%s': librdkafka does not accept it with this value", url, key);
		return wb_fail(ret_error, -EINVAL, "%s: property '%s': %s", url, key, reason);
	}
}

static int set_number(
	rd_kafka_conf_t *conf, const char *key, uint64_t value, const char *url, struct wb_error *ret_error)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, value);
	return set(conf, key, text, url, ret_error);
}

/* What is wirebus's own, and would break its promises when changed. */
static int reserved(const struct wb_property *property, const char *url, struct wb_error *ret_error)
{
	static const struct {
		const char *key;
		const char *instead;
	} keys[] = {
		{"bootstrap.servers", "name the brokers in the URL"},
		{"metadata.broker.list", "name the brokers in the URL"},
		{"message.max.bytes", "use max_message_bytes"},
		{"compression.codec", "use compression"},
		{"compression.type", "use compression"},
		{"linger.ms", "use linger"},
		{"queue.buffering.max.ms", "use linger"},
		{"max.in.flight", "use in_flight"},
		{"max.in.flight.requests.per.connection", "use in_flight"},
		{"message.copy.max.bytes", "batches are sent by reference"},
		{"delivery.report.only.error", "every batch must be reported, or its memory never comes back"},
		{"transactional.id", "batches are not sent in transactions"},
	};

	if ((strcmp(property->key, "acks") == 0 || strcmp(property->key, "request.required.acks") == 0) &&
		strcmp(property->value, "0") == 0)
		return wb_fail(ret_error, -EINVAL,
			"%s: property '%s': 0 means that nothing is acknowledged; use 1 or all", url, property->key);
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		if (strcmp(property->key, keys[i].key) == 0)
			return wb_fail(ret_error, -EINVAL, "%s: property '%s' is not for the user: %s", url,
				property->key, keys[i].instead);
	return 0;
}

static int set_all(
	rd_kafka_conf_t *conf, const struct wb_transport_args *args, const char *brokers, struct wb_error *ret_error)
{
	const struct wb_kafka_options *o = args->options;
	/* The queue holds every batch that the pools have, so that it is the pools that bound the memory. */
	uint64_t batches = (uint64_t)args->buffers + 16;
	uint64_t kib = batches * (o->max_message_bytes / 1024 + 1);
	int r = set(conf, "bootstrap.servers", brokers, args->url, ret_error);

	if (kib > INT32_MAX)
		kib = INT32_MAX;
	if (r == 0)
		r = set(conf, "client.id", "wirebus", args->url, ret_error);
	if (r == 0)
		r = set(conf, "enable.idempotence", "true", args->url, ret_error);
	if (r == 0)
		r = set(conf, "acks", "all", args->url, ret_error);
	/* 0: a message waits for its broker for ever; how long, is the pool's and the flush time's business. */
	if (r == 0)
		r = set(conf, "message.timeout.ms", "0", args->url, ret_error);
	/* librdkafka's 10 s are longer than the pool and the ring hold what comes meanwhile. */
	if (r == 0)
		r = set(conf, "reconnect.backoff.max.ms", "1000", args->url, ret_error);
	if (r == 0)
		r = set(conf, "partitioner", "murmur2_random", args->url, ret_error);
	if (r == 0)
		r = set(conf, "compression.codec", compressions[o->compression], args->url, ret_error);
	if (r == 0)
		r = set_number(conf, "linger.ms", o->linger_ms, args->url, ret_error);
	/*
	 * While an idempotent producer has more than one request under way and waits for answers, librdkafka 2.0.2's
	 * broker thread polls without pause: six times the CPU, taken from the workers.
	 */
	if (r == 0)
		r = set_number(conf, "max.in.flight", o->in_flight, args->url, ret_error);
	if (r == 0)
		r = set_number(conf, "message.max.bytes", o->max_message_bytes, args->url, ret_error);
	if (r == 0)
		r = set_number(conf, "queue.buffering.max.messages", batches, args->url, ret_error);
	if (r == 0)
		r = set_number(conf, "queue.buffering.max.kbytes", kib, args->url, ret_error);
	for (size_t i = 0; r == 0 && i < args->property_count; i++) {
		r = reserved(&args->properties[i], args->url, ret_error);
		if (r == 0)
			r = set(conf, args->properties[i].key, args->properties[i].value, args->url, ret_error);
	}
	return r;
}

int wb_kafka_producer_conf(const struct wb_transport_args *args, rd_kafka_conf_t **ret_conf, char **ret_topic,
	size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	const struct wb_kafka_options *o = args->options;
	char *brokers = NULL;
	char *topic = NULL;
	rd_kafka_conf_t *conf;
	int r = wb_kafka_address(args->url, args->address, &brokers, &topic, ret_error);

	if (r < 0)
		return r;
	conf = rd_kafka_conf_new();
	r = set_all(conf, args, brokers, ret_error);
	free(brokers);
	if (r < 0) {
		free(topic);
		rd_kafka_conf_destroy(conf);
		return r;
	}
	*ret_conf = conf;
	*ret_topic = topic;
	*ret_max_batch_bytes = o->max_message_bytes - RECORD_OVERHEAD_BYTES;
	return 0;
}

static void add_number(rd_kafka_headers_t *headers, const char *name, uint64_t value)
{
	char text[24];
	int length = snprintf(text, sizeof text, "%" PRIu64, value);

	rd_kafka_header_add(headers, name, -1, text, length);
}

rd_kafka_headers_t *wb_kafka_headers(const struct wb_batch *batch)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
	char session[33];

	for (size_t i = 0; i < 16; i++)
		snprintf(session + 2 * i, 3, "%02x", batch->session_id[i]);
	rd_kafka_header_add(headers, "content-type", -1, "application/x-protobuf; message=wirebus.v1.PacketBatch", -1);
	rd_kafka_header_add(headers, "wb-session", -1, session, 32);
	add_number(headers, "wb-worker", batch->worker_id);
	add_number(headers, "wb-stream", batch->stream_id);
	add_number(headers, "wb-batch-seq", batch->batch_seq);
	add_number(headers, "wb-first-packet-seq", batch->first_packet_seq);
	add_number(headers, "wb-packets", batch->packets);
	add_number(headers, "wb-flags", batch->flags);
	return headers;
}

enum wb_cause wb_kafka_cause(rd_kafka_resp_err_t error)
{
	switch (error) {
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
		return WB_CAUSE_TIMEOUT;
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
		return WB_CAUSE_TOO_LARGE;
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
		return WB_CAUSE_DENIED;
	case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
	case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
	case RD_KAFKA_RESP_ERR__DESTROY:
		return WB_CAUSE_SHUTDOWN;
	default:
		return WB_CAUSE_REFUSED;
	}
}
