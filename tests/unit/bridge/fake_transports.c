/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_transports.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "registry.h"

struct fake_kafka fake_kafka;

static const struct wb_option_row kafka_rows[] = {
	{.key = "linger",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct fake_kafka_options, linger_ms),
		.default_value = "5ms",
		.max = 1000},
	{.key = "compression",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct fake_kafka_options, compression),
		.default_value = "none",
		.choices = "none|lz4|zstd"},
	{.key = "sasl_password",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct fake_kafka_options, sasl_password),
		.max = 8},
	{.key = "idempotence",
		.type = WB_OPTION_BOOL,
		.offset = offsetof(struct fake_kafka_options, idempotence),
		.default_value = "true"},
	{.key = NULL},
};

static int kafka_check(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	size_t used = 0;

	fake_kafka.checks++;
	memcpy(&fake_kafka.options, args->options, sizeof(fake_kafka.options));
	fake_kafka.options.sasl_password = NULL;
	snprintf(fake_kafka.url, sizeof(fake_kafka.url), "%s", args->url);
	snprintf(fake_kafka.address, sizeof(fake_kafka.address), "%s", args->address);
	fake_kafka.properties[0] = '\0';
	for (size_t i = 0; i < args->property_count; i++)
		used += (size_t)snprintf(fake_kafka.properties + used, sizeof(fake_kafka.properties) - used, "%s=%s;",
			args->properties[i].key, args->properties[i].value);
	if (fake_kafka.quote_properties)
		return wb_fail(ret_error, -EINVAL, "cannot use %s", fake_kafka.properties);
	if (!strchr(args->address, '/'))
		return wb_fail(ret_error, -EINVAL, "%s: the topic is missing", args->url);
	*ret_max_batch_bytes = FAKE_KAFKA_LIMIT_BYTES;
	return 0;
}

static int unlimited_check(
	const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	*ret_max_batch_bytes = SIZE_MAX;
	return 0;
}

static int small_check(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	*ret_max_batch_bytes = 100000;
	return 0;
}

struct zmq_options {
	unsigned int bind;
};

static const struct wb_option_row zmq_rows[] = {
	{.key = "bind",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct zmq_options, bind),
		.default_value = "auto",
		.choices = "auto|yes|no"},
	{.key = NULL},
};

static const char *const kafka_schemes[] = {"kafka", NULL};
static const char *const zmq_schemes[] = {"zmq+pub", "zmq+push", NULL};
static const char *const zmq_source_schemes[] = {"zmq+sub", "zmq+pull", NULL};
static const char *const file_schemes[] = {"file", NULL};
static const char *const null_schemes[] = {"null", NULL};

const struct wb_transport_ops wb_transport_kafka = {
	.abi = WB_TRANSPORT_ABI,
	.name = "Kafka",
	.schemes = kafka_schemes,
	.capabilities = WB_TRANSPORT_RECORDS,
	.rows = kafka_rows,
	.options_size = sizeof(struct fake_kafka_options),
	.takes_properties = true,
	.check = kafka_check,
	.limit_name = "properties.message.max.bytes",
};

const struct wb_transport_ops wb_transport_zmq = {
	.abi = WB_TRANSPORT_ABI,
	.name = "ZeroMQ",
	.schemes = zmq_schemes,
	.rows = zmq_rows,
	.options_size = sizeof(struct zmq_options),
	.check = unlimited_check,
};

/* Without rows, and with a limit that nothing raises. */
const struct wb_transport_ops wb_transport_file = {
	.abi = WB_TRANSPORT_ABI, .name = "file", .schemes = file_schemes, .check = small_check};

const struct wb_transport_ops wb_transport_null = {
	.abi = WB_TRANSPORT_ABI, .name = "null", .schemes = null_schemes, .check = unlimited_check};

const struct wb_source_ops wb_source_kafka = {.name = "Kafka", .schemes = kafka_schemes};
const struct wb_source_ops wb_source_zmq = {.name = "ZeroMQ", .schemes = zmq_source_schemes};
const struct wb_source_ops wb_source_file = {.name = "file", .schemes = file_schemes};
