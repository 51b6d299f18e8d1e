/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_properties.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "secret.h"
#include "suggest.h"

/* librdkafka's list of its properties, one a line: "NAME   | C/P | ...". NULL: no memory. */
static char *list_properties(void)
{
	char *list = NULL;
	size_t size;
	FILE *stream = open_memstream(&list, &size);

	if (!stream)
		return NULL;
	rd_kafka_conf_properties_show(stream);
	if (fclose(stream) == 0)
		return list;
	free(list);
	return NULL;
}

/* librdkafka has no such property: say which is near. */
static int fail_unknown(const char *key, const char *url, struct wb_error *ret_error)
{
	char *list = list_properties();
	char hint[160] = "see its CONFIGURATION.md";
	struct wb_suggest suggest;
	char *rest = NULL;

	wb_suggest_init(&suggest, key);
	for (char *line = list ? strtok_r(list, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
		size_t length = strcspn(line, " |");

		if (length == 0 || !line[length])
			continue;
		line[length] = '\0';
		wb_suggest_offer(&suggest, line);
	}
	if (suggest.best)
		snprintf(hint, sizeof hint, "did you mean '%s'?", suggest.best);
	free(list);
	return wb_fail(ret_error, -EINVAL, "%s: librdkafka has no property '%s'; %s", url, key, hint);
}

int wb_kafka_property_set(
	rd_kafka_conf_t *conf, const char *key, const char *value, const char *url, struct wb_error *ret_error)
{
	char reason[256];

	switch (rd_kafka_conf_set(conf, key, value, reason, sizeof reason)) {
	case RD_KAFKA_CONF_OK:
		return 0;
	case RD_KAFKA_CONF_UNKNOWN:
		return fail_unknown(key, url, ret_error);
	default:
		/* librdkafka's reason quotes the value. */
		if (wb_secret_name(key))
			return wb_fail(ret_error, -EINVAL,
				"%s: property '%s': librdkafka does not accept it with this value", url, key);
		return wb_fail(ret_error, -EINVAL, "%s: property '%s': %s", url, key, reason);
	}
}

int wb_kafka_property_set_number(
	rd_kafka_conf_t *conf, const char *key, uint64_t value, const char *url, struct wb_error *ret_error)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, value);
	return wb_kafka_property_set(conf, key, text, url, ret_error);
}

/* What is wirebus's own, or gives up what memory still holds. value: the only one that is allowed; NULL: none is. */
static const struct reserved {
	const char *key;
	const char *value;
	const char *instead;
} reserved[] = {
	{"bootstrap.servers", NULL, "name the brokers in the URL"},
	{"metadata.broker.list", NULL, "name the brokers in the URL"},
	{"message.max.bytes", NULL, "use max_message_bytes"},
	{"compression.codec", NULL, "use compression"},
	{"compression.type", NULL, "use compression"},
	{"linger.ms", NULL, "use linger"},
	{"queue.buffering.max.ms", NULL, "use linger"},
	{"max.in.flight", NULL, "use in_flight"},
	{"max.in.flight.requests.per.connection", NULL, "use in_flight"},
	{"message.copy.max.bytes", NULL, "batches are sent by reference"},
	{"delivery.report.only.error", NULL, "every batch must be reported, or its memory never comes back"},
	{"enabled_events", NULL, "every batch must be reported, or its memory never comes back"},
	{"transactional.id", NULL, "batches are not sent in transactions"},
	{"queue.buffering.max.messages", NULL, "the capture's 'buffers' say how much may wait"},
	{"queue.buffering.max.kbytes", NULL, "the capture's 'buffers' say how much may wait"},
	{"message.timeout.ms", "0",
		"it would give up batches that memory still holds; 'buffers' say how much may wait"},
	{"delivery.timeout.ms", "0",
		"it would give up batches that memory still holds; 'buffers' say how much may wait"},
	{"message.send.max.retries", NULL, "a batch is sent again until the broker has it"},
	{"retries", NULL, "a batch is sent again until the broker has it"},
};

static int check_reserved(const struct wb_property *property, const char *url, struct wb_error *ret_error)
{
	for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
		if (strcmp(property->key, reserved[i].key) != 0)
			continue;
		if (!reserved[i].value)
			return wb_fail(ret_error, -EINVAL, "%s: property '%s' is not for the user: %s", url,
				property->key, reserved[i].instead);
		if (strcmp(property->value, reserved[i].value) != 0)
			return wb_fail(ret_error, -EINVAL, "%s: property '%s': '%.40s' must be %s: %s", url,
				property->key, property->value, reserved[i].value, reserved[i].instead);
	}
	return 0;
}

static int is_value(const rd_kafka_conf_t *conf, const char *key, const char *expected)
{
	char value[64] = "";
	size_t size = sizeof value;

	return rd_kafka_conf_get(conf, key, value, &size) == RD_KAFKA_CONF_OK && strcmp(value, expected) == 0;
}

/* Rules between properties. */
static int check_together(const rd_kafka_conf_t *conf, const char *url, struct wb_error *ret_error)
{
	bool idempotent = is_value(conf, "enable.idempotence", "true");

	if (is_value(conf, "acks", "0"))
		return wb_fail(ret_error, -EINVAL,
			"%s: property 'acks': 0 means that nothing is acknowledged; use 1 or all", url);
	if (idempotent && !is_value(conf, "acks", "-1"))
		return wb_fail(ret_error, -EINVAL,
			"%s: property 'acks': without all replicas the broker cannot keep duplicates out; use all, or "
			"set "
			"enable.idempotence to false as well",
			url);
	if (!idempotent && !is_value(conf, "max.in.flight", "1"))
		return wb_fail(ret_error, -EINVAL,
			"%s: in_flight: without enable.idempotence a batch that is sent again may overtake another; "
			"use 1",
			url);
	return 0;
}

int wb_kafka_properties_apply(rd_kafka_conf_t *conf, const struct wb_transport_args *args, struct wb_error *ret_error)
{
	for (size_t i = 0; i < args->property_count; i++) {
		const struct wb_property *property = &args->properties[i];
		int r = check_reserved(property, args->url, ret_error);

		if (r == 0)
			r = wb_kafka_property_set(conf, property->key, property->value, args->url, ret_error);
		if (r < 0)
			return r;
	}
	return check_together(conf, args->url, ret_error);
}
