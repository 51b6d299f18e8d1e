/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of the Kafka transport's configuration: arguments, and how they are refused. */
#ifndef WB_TEST_KAFKA_GIVEN_H
#define WB_TEST_KAFKA_GIVEN_H

#include <errno.h>
#include <string.h>

#include "testing.h"

#include "kafka_config.h"
#include "log.h"
#include "option.h"
#include "registry.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Arguments with the options' defaults. */
struct given {
	struct wb_kafka_options options;
	struct wb_property property;
	struct wb_transport_args args;
};

static inline void give(struct given *given, const char *address)
{
	memset(given, 0, sizeof *given);
	assert_int_equal(wb_options_init(wb_kafka_rows, &given->options), 0);
	given->args = (struct wb_transport_args){
		.url = "kafka://URL",
		.scheme = "kafka",
		.address = address,
		.options = &given->options,
		.node = "n",
		.lanes = 1,
		.buffers = 64,
		.log = wb_log_transport,
	};
}

static inline void give_property(struct given *given, const char *key, const char *value)
{
	given->property = (struct wb_property){key, value};
	given->args.properties = &given->property;
	given->args.property_count = 1;
}

static inline int make(
	const struct given *given, rd_kafka_conf_t **ret_conf, char **ret_topic, struct wb_error *ret_error)
{
	size_t max_batch_bytes;

	return wb_kafka_producer_conf(&given->args, ret_conf, ret_topic, &max_batch_bytes, ret_error);
}

/* Refused in exactly these words. */
static inline void assert_refused(const struct given *given, const char *message)
{
	struct wb_error error = {""};
	size_t max_batch_bytes;

	assert_int_equal(wb_transport_kafka.check(&given->args, &max_batch_bytes, &error), -EINVAL);
	assert_string_equal(error.message, message);
	/* The message is not asked for by everybody. */
	assert_int_equal(wb_transport_kafka.check(&given->args, &max_batch_bytes, NULL), -EINVAL);
}

static inline void assert_property(rd_kafka_conf_t *conf, const char *key, const char *expected)
{
	char value[256];
	size_t size = sizeof value;

	assert_int_equal(rd_kafka_conf_get(conf, key, value, &size), RD_KAFKA_CONF_OK);
	assert_string_equal(value, expected);
}

#endif
