/* SPDX-License-Identifier: Apache-2.0 */
/* What a Kafka producer is configured with, and the headers of its records. */
#ifndef WB_KAFKA_CONFIG_H
#define WB_KAFKA_CONFIG_H

#include <librdkafka/rdkafka.h>

#include "wirebus/transport.h"

struct wb_kafka_options {
	unsigned int compression;
	uint64_t linger_ms;
	uint64_t max_message_bytes;
	uint64_t in_flight;
	uint64_t producers;
	unsigned int schema_registry; /* enum wb_kafka_schema_mode */
	uint64_t schema_id;           /* 0: none */
	char *schema_guid;            /* NULL: none */
	uint64_t fatal_retries;
};

/* In the order of the option's choices. */

extern const struct wb_option_row wb_kafka_rows[];

/*
 * Make the configuration of a producer from the arguments. ret_conf: destroy it, or give it to rd_kafka_new().
 * ret_topic: the URL's with its placeholders replaced; free it. ret_max_batch_bytes: the largest batch that the client
 * takes.
 * Errors: -EINVAL with a message (address, property), -ENOMEM.
 */
int wb_kafka_producer_conf(const struct wb_transport_args *args, rd_kafka_conf_t **ret_conf, char **ret_topic,
	size_t *ret_max_batch_bytes, struct wb_error *ret_error);

/*
 * Headers that tell a consumer what the record is, and what is missing, without decoding it. All text, decimal numbers.
 * Ownership: the record's once produced, else rd_kafka_headers_destroy().
 */
rd_kafka_headers_t *wb_kafka_headers(const struct wb_batch *batch);
/* Why a batch failed, from the error of its delivery report. */
enum wb_cause wb_kafka_cause(rd_kafka_resp_err_t error);

#endif
