/* SPDX-License-Identifier: Apache-2.0 */
/* Topics of kafka:// URLs: a name, in which {node} and {interface} stand for what the capture is. */
#ifndef WB_KAFKA_TOPIC_H
#define WB_KAFKA_TOPIC_H

#include "wirebus/option.h"

/* Whether Kafka allows the name: 1 to 249 of [a-zA-Z0-9._-], neither "." nor "..". Errors: -EINVAL with a message. */
int wb_kafka_topic_check(const char *url, const char *topic, struct wb_error *ret_error);
/* Whether the name is still short enough for Kafka with the suffix of a ledger. Errors: -EINVAL with a message. */
int wb_kafka_topic_check_suffix(const char *topic, const char *suffix, struct wb_error *ret_error);
/*
 * Replace the placeholders of a template and check the result. Bytes of the names that Kafka does not allow become '_'.
 * node, interface: NULL when there is none; then their placeholders are an error. url: for messages.
 * ret_topic: free(3) it. Errors: -EINVAL with a message that quotes what is wrong, -ENOMEM.
 */
int wb_kafka_topic_expand(const char *url, const char *template, const char *node, const char *interface,
	char **ret_topic, struct wb_error *ret_error);

#endif
