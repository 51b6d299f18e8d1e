/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka_address.h"
#include "kafka_properties.h"
#include "kafka_schema.h"
#include "kafka_topic.h"
#include "log.h"

/*
 * What a record needs beside its value: key, headers and framing, of the record and of its batch. The client compares
 * value, key and headers with message.max.bytes.
 */
#define RECORD_OVERHEAD_BYTES 1024
/* Of the package wirebus.v1: another number means that the fields mean something else. */
#define SCHEMA_VERSION "1"

const struct wb_option_row wb_kafka_rows[] = {
	{"compression", WB_OPTION_CHOICE, offsetof(struct wb_kafka_options, compression), "none", 0, 0,
		"none|gzip|snappy|lz4|zstd", NULL, "Compression of record batches"},
	{"linger", WB_OPTION_DURATION, offsetof(struct wb_kafka_options, linger_ms), "0", 0, 900000, NULL, NULL,
		"How long the client waits for more messages to send together; 0: 5ms, in record mode 50ms"},
	{"max_message_bytes", WB_OPTION_BYTES, offsetof(struct wb_kafka_options, max_message_bytes), "1000000", 2048,
		1000000000, NULL, "bytes",
		"Largest record (message.max.bytes); the broker's limit, 1048588 unless raised, must be no smaller"},
	{"in_flight", WB_OPTION_UINT, offsetof(struct wb_kafka_options, in_flight), "1", 1, 5, NULL, "requests",
		"Requests on their way to a broker at a time; more than 1 pays over long distances and costs CPU"},
	{"producers", WB_OPTION_UINT, offsetof(struct wb_kafka_options, producers), "1", 1, 64, NULL, "clients",
		"Client instances with connections of their own; workers are spread over them"},
	{"schema_registry", WB_OPTION_CHOICE, offsetof(struct wb_kafka_options, schema_registry), "none", 0, 0,
		"none|header|prefix", NULL,
		"How records name their schema for Confluent's deserializers: not, in the header __value_schema_id, or "
		"as "
		"bytes in front of the value (which readers of plain protobuf do not take)"},
	{"schema_id", WB_OPTION_UINT, offsetof(struct wb_kafka_options, schema_id), "0", 0, INT32_MAX, NULL, NULL,
		"Number that the registry gave packet_batch.proto, for schema_registry 'prefix'"},
	{"schema_guid", WB_OPTION_STRING, offsetof(struct wb_kafka_options, schema_guid), NULL, 1, 64, NULL, "GUID",
		"GUID that the registry gave packet_batch.proto, for schema_registry 'header'"},
	{"fatal_retries", WB_OPTION_UINT, offsetof(struct wb_kafka_options, fatal_retries), "8", 0, 1000, NULL,
		"clients",
		"How many client instances in a row may fail for good without having delivered anything, before "
		"the capture is given up; each takes over what the last one has not delivered"},
	{0},
};

static const char *const compressions[] = {"none", "gzip", "snappy", "lz4", "zstd"};

/* What routes add to a topic in record mode. */
#define LEDGER_SUFFIX ".ledger"
/* Of the client's queue: none of its own, it is as long as what the pools hold. Both in messages and in KiB. */
#define QUEUE_MAX INT32_MAX
/* Unless the user says so. */
#define LINGER_MS 5
#define LINGER_RECORDS_MS 50

/* What wirebus promises: its own settings first, then the user's. */
static int set_all(
	rd_kafka_conf_t *conf, const struct wb_transport_args *args, const char *brokers, struct wb_error *ret_error)
{
	const struct wb_kafka_options *o = args->options;
	uint64_t linger_ms = o->linger_ms;
	int r = wb_kafka_property_set(conf, "bootstrap.servers", brokers, args->url, ret_error);

	if (!linger_ms)
		linger_ms = args->records ? LINGER_RECORDS_MS : LINGER_MS;
	if (r == 0)
		r = wb_kafka_property_set(conf, "client.id", "wirebus", args->url, ret_error);
	if (r == 0)
		r = wb_kafka_property_set(conf, "enable.idempotence", "true", args->url, ret_error);
	if (r == 0)
		r = wb_kafka_property_set(conf, "acks", "all", args->url, ret_error);
	/* 0: a message waits for its broker for ever; how long, is the pool's and the flush time's business. */
	if (r == 0)
		r = wb_kafka_property_set(conf, "message.timeout.ms", "0", args->url, ret_error);
	/* Instead of 30 s: a topic that is missing may be created yet. librdkafka 2.0.2 multiplies by 1000 in an int.
	 */
	if (r == 0)
		r = wb_kafka_property_set(conf, "topic.metadata.propagation.max.ms", "2100000", args->url, ret_error);
	/* librdkafka's 10 s are longer than the pool and the ring hold what comes meanwhile. */
	if (r == 0)
		r = wb_kafka_property_set(conf, "reconnect.backoff.max.ms", "1000", args->url, ret_error);
	if (r == 0)
		r = wb_kafka_property_set(conf, "partitioner", "murmur2_random", args->url, ret_error);
	if (r == 0)
		r = wb_kafka_property_set(
			conf, "compression.codec", compressions[o->compression], args->url, ret_error);
	if (r == 0)
		r = wb_kafka_property_set_number(conf, "linger.ms", linger_ms, args->url, ret_error);
	/*
	 * While an idempotent producer has more than one request under way and waits for answers, librdkafka 2.0.2's
	 * broker thread polls without pause: six times the CPU, taken from the workers.
	 */
	if (r == 0)
		r = wb_kafka_property_set_number(conf, "max.in.flight", o->in_flight, args->url, ret_error);
	if (r == 0)
		r = wb_kafka_property_set_number(conf, "message.max.bytes", o->max_message_bytes, args->url, ret_error);
	/*
	 * It is the pools that bound the memory. A limit here would have to know what they hold: in either mode a spool
	 * may give out buffers of many records, and larger ones than this session makes.
	 */
	if (r == 0)
		r = wb_kafka_property_set_number(conf, "queue.buffering.max.messages", QUEUE_MAX, args->url, ret_error);
	if (r == 0)
		r = wb_kafka_property_set_number(conf, "queue.buffering.max.kbytes", QUEUE_MAX, args->url, ret_error);
	if (r == 0)
		r = wb_kafka_properties_apply(conf, args, ret_error);
	return r;
}

int wb_kafka_producer_conf(const struct wb_transport_args *args, rd_kafka_conf_t **ret_conf, char **ret_topic,
	size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	const struct wb_kafka_options *o = args->options;
	struct wb_kafka_schema schema;
	char *brokers = NULL;
	char *template = NULL;
	rd_kafka_conf_t *conf;
	int r = wb_kafka_schema_init(o, args->url, &schema, ret_error);

	if (r == 0 && args->records && wb_kafka_schema_prefix_bytes(&schema))
		r = wb_fail(ret_error, -EINVAL,
			"%s: schema_registry: 'prefix' is not possible with mode 'record': use 'header'", args->url);
	if (r == 0)
		r = wb_kafka_address(args->url, args->address, &brokers, &template, ret_error);
	if (r < 0)
		return r;
	conf = rd_kafka_conf_new();
	r = set_all(conf, args, brokers, ret_error);
	if (r == 0)
		r = wb_kafka_topic_expand(args->url, template, args->node, args->interface, ret_topic, ret_error);
	if (r == 0 && args->records) {
		r = wb_kafka_topic_check_suffix(*ret_topic, LEDGER_SUFFIX, ret_error);
		if (r < 0)
			free(*ret_topic);
	}
	free(brokers);
	free(template);
	if (r < 0) {
		rd_kafka_conf_destroy(conf);
		return r;
	}
	*ret_conf = conf;
	*ret_max_batch_bytes = o->max_message_bytes - RECORD_OVERHEAD_BYTES - wb_kafka_schema_prefix_bytes(&schema);
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
	rd_kafka_headers_t *headers = rd_kafka_headers_new(10);
	char session[33];

	for (size_t i = 0; i < 16; i++)
		snprintf(session + 2 * i, 3, "%02x", batch->session_id[i]);
	rd_kafka_header_add(headers, "content-type", -1, "application/x-protobuf; message=wirebus.v1.PacketBatch", -1);
	rd_kafka_header_add(headers, "wb-schema-version", -1, SCHEMA_VERSION, -1);
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
	/* The topic may be created yet: a spool keeps the batch. */
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		return WB_CAUSE_TIMEOUT;
	/* Of this host: another try may find it better. */
	case RD_KAFKA_RESP_ERR__QUEUE_FULL:
	case RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE:
		return WB_CAUSE_IO;
	case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
	case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
	case RD_KAFKA_RESP_ERR__DESTROY:
		return WB_CAUSE_SHUTDOWN;
	default:
		return WB_CAUSE_REFUSED;
	}
}
