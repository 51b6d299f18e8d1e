/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "kafka_consumer.h"
#include "log.h"
#include "properties_file.h"
#include "secret.h"
#include "url.h"

/* What is fetched ahead of the reader, for each partition: enough to keep it busy, and the bound of the memory used. */
#define QUEUE_KIB (16u << 10)
#define FETCH_BYTES (16u << 20)
/* Largest that librdkafka takes for its limits on sizes. */
#define BYTES_MAX 1000000000u

static void log_line(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	int to = level <= LOG_ERR ? WB_LOG_ERROR : level == LOG_WARNING ? WB_LOG_WARNING : WB_LOG_DEBUG;

	/* Failed connections come to the error callback as well, which says so once. */
	if (strcmp(facility, "FAIL") == 0)
		to = WB_LOG_DEBUG;
	wb_log(to, "librdkafka: %s: %s", facility, text);
}

static int set(rd_kafka_conf_t *conf, const char *url, const char *key, const char *value, struct wb_error *ret_error)
{
	char reason[256];

	switch (rd_kafka_conf_set(conf, key, value, reason, sizeof(reason))) {
	case RD_KAFKA_CONF_OK:
		return 0;
	case RD_KAFKA_CONF_UNKNOWN:
		return wb_fail(ret_error, -EINVAL, "%s: librdkafka has no property \"%s\"", url, key);
	default:
		/* The reason may quote the value. */
		return wb_fail(ret_error, -EINVAL, "%s: property \"%s\": %s", url, key,
			wb_secret_name(key) ? "the value is not allowed" : reason);
	}
}

static int set_number(
	rd_kafka_conf_t *conf, const char *url, const char *key, uint64_t value, struct wb_error *ret_error)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return set(conf, url, key, text, ret_error);
}

/* Without these the source would not know where the data ends, or would miss some without a word. */
static bool is_reserved(const char *key)
{
	static const char *const keys[] = {"bootstrap.servers", "metadata.broker.list", "enable.partition.eof",
		"enable.auto.commit", "auto.commit.enable", "enable.auto.offset.store", "auto.offset.reset"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

static int set_properties(rd_kafka_conf_t *conf, const char *url, const struct wb_property *properties, size_t count,
	struct wb_error *ret_error)
{
	int r;

	for (size_t i = 0; i < count; i++) {
		if (is_reserved(properties[i].key))
			return wb_fail(ret_error, -EINVAL,
				"%s: property \"%s\" is set by wirebus and cannot be changed", url, properties[i].key);
		r = set(conf, url, properties[i].key, properties[i].value, ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int set_properties_of(rd_kafka_conf_t *conf, const char *url, const char *path, struct wb_error *ret_error)
{
	struct wb_property *properties = NULL;
	struct wb_error error;
	size_t count = 0;
	int r = wb_properties_file_read(path, &properties, &count, &error);

	if (r < 0)
		wb_fail(ret_error, r, "%s: properties_file: %s", url, error.message);
	else
		r = set_properties(conf, url, properties, count, ret_error);
	wb_properties_free(properties, count);
	return r;
}

static int set_sizes(rd_kafka_conf_t *conf, const struct wb_source_args *args, struct wb_error *ret_error)
{
	uint64_t message = args->max_message_bytes < BYTES_MAX / 4 ? args->max_message_bytes : BYTES_MAX / 4;
	const struct {
		const char *key;
		uint64_t value;
	} sizes[] = {
		{"fetch.message.max.bytes", FETCH_BYTES / 4},
		{"fetch.max.bytes", FETCH_BYTES},
		/* The broker sends one record batch even when it is larger than what was asked for. */
		{"receive.message.max.bytes", message + FETCH_BYTES > 100000000 ? message + FETCH_BYTES : 100000000},
		{"queued.max.messages.kbytes", QUEUE_KIB},
	};
	int r;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		r = set_number(conf, args->url, sizes[i].key, sizes[i].value, ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}

int wb_kafka_consumer_conf(const struct wb_source_args *args, const char *brokers, const char *properties_file,
	rd_kafka_conf_t **ret_conf, struct wb_error *ret_error)
{
	static const char *const fixed[][2] = {
		{"client.id", "wirebus"},
		{"enable.auto.commit", "false"},
		{"enable.auto.offset.store", "false"},
		{"enable.partition.eof", "true"},
		{"auto.offset.reset", "error"},
		{"isolation.level", "read_committed"},
		{"check.crcs", "true"},
		{"allow.auto.create.topics", "false"},
	};
	rd_kafka_conf_t *conf;
	int r;

	conf = rd_kafka_conf_new();
	rd_kafka_conf_set_log_cb(conf, log_line);
	r = set(conf, args->url, "bootstrap.servers", brokers, ret_error);
	for (size_t i = 0; r == 0 && i < sizeof(fixed) / sizeof(fixed[0]); i++)
		r = set(conf, args->url, fixed[i][0], fixed[i][1], ret_error);
	if (r == 0)
		r = set_sizes(conf, args, ret_error);
	if (r == 0 && properties_file)
		r = set_properties_of(conf, args->url, properties_file, ret_error);
	if (r == 0)
		r = set_properties(conf, args->url, args->properties, args->property_count, ret_error);
	if (r < 0) {
		rd_kafka_conf_destroy(conf);
		return r;
	}
	*ret_conf = conf;
	return 0;
}
