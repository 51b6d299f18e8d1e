/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's own properties: setting them, and those of the user that would break wirebus's promises. */
#ifndef WB_KAFKA_PROPERTIES_H
#define WB_KAFKA_PROPERTIES_H

#include <librdkafka/rdkafka.h>

#include "wirebus/transport.h"

/*
 * Set one property. url: for messages; these never show the value of a secret.
 * Errors: -EINVAL with a message: an unknown property (with the nearest that there is), a value that librdkafka
 * refuses.
 */
int wb_kafka_property_set(
	rd_kafka_conf_t *conf, const char *key, const char *value, const char *url, struct wb_error *ret_error);
int wb_kafka_property_set_number(
	rd_kafka_conf_t *conf, const char *key, uint64_t value, const char *url, struct wb_error *ret_error);
/*
 * Set the user's properties of a producer, when everything else is set. Those that are wirebus's own are refused, as
 * are those with which packets would be lost that memory still holds, or come out of order.
 */
int wb_kafka_properties_apply(rd_kafka_conf_t *conf, const struct wb_transport_args *args, struct wb_error *ret_error);

#endif
