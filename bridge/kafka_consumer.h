/* SPDX-License-Identifier: Apache-2.0 */
/* How the Kafka source's client is configured. */
#ifndef WB_KAFKA_CONSUMER_H
#define WB_KAFKA_CONSUMER_H

#include <librdkafka/rdkafka.h>

#include "source.h"

/*
 * Make the configuration of a consumer without a group, the user's properties included: those of the file first (NULL:
 * none), then those of args. Logs go to wb_log(). Ownership: destroy it, or give it to rd_kafka_new().
 * Errors: -EINVAL with a message (a property); those of wb_properties_file_read().
 */
int wb_kafka_consumer_conf(const struct wb_source_args *args, const char *brokers, const char *properties_file,
	rd_kafka_conf_t **ret_conf, struct wb_error *ret_error);

#endif
