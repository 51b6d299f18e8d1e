/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How records say which schema of a schema registry they have, as Confluent's (de)serializers write and read it. The
 * registry itself is never asked: the user configures what it called the schema.
 *
 *	header   record header __value_schema_id: 0x01, the schema's GUID in 16 bytes, message indexes; the value is raw
 *	prefix   in front of the value: 0x00, the schema's id in 4 bytes (big-endian), message indexes
 *
 * The message indexes say which message of the schema's file it is. PacketBatch is the first, which is one byte, 0.
 */
#ifndef WB_KAFKA_SCHEMA_H
#define WB_KAFKA_SCHEMA_H

#include <librdkafka/rdkafka.h>

#include "kafka_config.h"

enum wb_kafka_schema_mode { WB_KAFKA_SCHEMA_NONE, WB_KAFKA_SCHEMA_HEADER, WB_KAFKA_SCHEMA_PREFIX };

#define WB_KAFKA_SCHEMA_HEADER_BYTES 18
#define WB_KAFKA_SCHEMA_PREFIX_BYTES 6

struct wb_kafka_schema {
	enum wb_kafka_schema_mode mode;
	uint8_t header[WB_KAFKA_SCHEMA_HEADER_BYTES];
	uint8_t prefix[WB_KAFKA_SCHEMA_PREFIX_BYTES];
};

/* Take the schema from the options. Errors: -EINVAL with a message: what the mode needs is missing, wrong, or unused.
 */
int wb_kafka_schema_init(const struct wb_kafka_options *options, const char *url, struct wb_kafka_schema *ret_schema,
	struct wb_error *ret_error);
/* How many bytes a record's value is longer than its batch. */
size_t wb_kafka_schema_prefix_bytes(const struct wb_kafka_schema *schema);
/*
 * The value of a batch's record. In prefix mode the prefix is written into the room that every batch has in front of
 * its data, so nothing is copied.
 */
const uint8_t *wb_kafka_schema_value(
	const struct wb_kafka_schema *schema, const struct wb_batch *batch, size_t *ret_size);
/* The headers of a message that has no others. NULL: none. Ownership: librdkafka's, once it took the message. */
rd_kafka_headers_t *wb_kafka_schema_headers(const struct wb_kafka_schema *schema);
void wb_kafka_schema_add_header(const struct wb_kafka_schema *schema, rd_kafka_headers_t *headers);
/*
 * How many bytes in front of a record's value are a prefix. 0: there is none, or it is not whole. No message can be
 * mistaken for one: 0 is no field's number.
 */
size_t wb_kafka_schema_skip(const uint8_t *value, size_t size);

#endif
