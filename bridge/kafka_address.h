/* SPDX-License-Identifier: Apache-2.0 */
/* The address part of kafka:// URLs: HOST[:PORT][,HOST[:PORT]...]/TOPIC. What a topic may be: see kafka_topic.h. */
#ifndef WB_KAFKA_ADDRESS_H
#define WB_KAFKA_ADDRESS_H

#include "wirebus/option.h"

/*
 * Split, and check the brokers. url: for messages. ret_brokers and ret_topic: free(3) them.
 * Errors: -EINVAL with a message, -ENOMEM.
 */
int wb_kafka_address(
	const char *url, const char *address, char **ret_brokers, char **ret_topic, struct wb_error *ret_error);

#endif
