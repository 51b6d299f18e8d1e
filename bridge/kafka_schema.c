/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_schema.h"

#include <errno.h>
#include <string.h>

#include "log.h"

#define HEADER_NAME "__value_schema_id"
#define MAGIC_ID 0x00
#define MAGIC_GUID 0x01
/* Message indexes of the first message: not the list of one zero but its short form. */
#define FIRST_MESSAGE 0x00

_Static_assert(WB_KAFKA_SCHEMA_PREFIX_BYTES <= WB_BATCH_HEADROOM_BYTES, "the prefix fits in front of a batch");

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* RFC 9562's text form: 8-4-4-4-12 hexadecimal digits. */
static int parse_guid(const char *text, uint8_t *ret_guid)
{
	static const size_t ends[] = {8, 13, 18, 23, 36};
	size_t group = 0, used = 0;

	if (strlen(text) != ends[4])
		return -EINVAL;
	for (size_t i = 0; i < ends[4];) {
		int high, low;

		if (i == ends[group]) {
			group++;
			if (text[i++] != '-')
				return -EINVAL;
			continue;
		}
		high = hex_digit(text[i]);
		low = hex_digit(text[i + 1]);
		if (high < 0 || low < 0)
			return -EINVAL;
		ret_guid[used++] = (uint8_t)(high * 16 + low);
		i += 2;
	}
	return 0;
}

static int init_header(const struct wb_kafka_options *options, const char *url, struct wb_kafka_schema *schema,
	struct wb_error *ret_error)
{
	schema->header[0] = MAGIC_GUID;
	schema->header[WB_KAFKA_SCHEMA_HEADER_BYTES - 1] = FIRST_MESSAGE;
	if (!options->schema_guid)
		return wb_fail(ret_error, -EINVAL,
			"%s: schema_registry 'header' needs schema_guid, the GUID that the registry gave the schema",
			url);
	if (parse_guid(options->schema_guid, schema->header + 1) < 0)
		return wb_fail(ret_error, -EINVAL,
			"%s: schema_guid: '%.60s' is not a GUID such as 89791762-2336-4186-9674-299b90a802e2", url,
			options->schema_guid);
	return 0;
}

static int init_prefix(const struct wb_kafka_options *options, const char *url, struct wb_kafka_schema *schema,
	struct wb_error *ret_error)
{
	if (!options->schema_id)
		return wb_fail(ret_error, -EINVAL,
			"%s: schema_registry 'prefix' needs schema_id, the number that the registry gave the schema",
			url);
	schema->prefix[0] = MAGIC_ID;
	for (unsigned int i = 0; i < 4; i++)
		schema->prefix[1 + i] = (uint8_t)(options->schema_id >> (24 - 8 * i));
	schema->prefix[WB_KAFKA_SCHEMA_PREFIX_BYTES - 1] = FIRST_MESSAGE;
	return 0;
}

int wb_kafka_schema_init(const struct wb_kafka_options *options, const char *url, struct wb_kafka_schema *ret_schema,
	struct wb_error *ret_error)
{
	memset(ret_schema, 0, sizeof *ret_schema);
	ret_schema->mode = (enum wb_kafka_schema_mode)options->schema_registry;
	if (options->schema_guid && ret_schema->mode != WB_KAFKA_SCHEMA_HEADER)
		return wb_fail(ret_error, -EINVAL, "%s: schema_guid is used with schema_registry 'header' only", url);
	if (options->schema_id && ret_schema->mode != WB_KAFKA_SCHEMA_PREFIX)
		return wb_fail(ret_error, -EINVAL, "%s: schema_id is used with schema_registry 'prefix' only", url);
	switch (ret_schema->mode) {
	case WB_KAFKA_SCHEMA_HEADER:
		return init_header(options, url, ret_schema, ret_error);
	case WB_KAFKA_SCHEMA_PREFIX:
		return init_prefix(options, url, ret_schema, ret_error);
	case WB_KAFKA_SCHEMA_NONE:
		break;
	}
	return 0;
}

size_t wb_kafka_schema_prefix_bytes(const struct wb_kafka_schema *schema)
{
	return schema->mode == WB_KAFKA_SCHEMA_PREFIX ? WB_KAFKA_SCHEMA_PREFIX_BYTES : 0;
}

const uint8_t *wb_kafka_schema_value(
	const struct wb_kafka_schema *schema, const struct wb_batch *batch, size_t *ret_size)
{
	uint8_t *value;

	*ret_size = batch->size;
	if (schema->mode != WB_KAFKA_SCHEMA_PREFIX)
		return batch->data;
	/* The room in front of the data is the transport's; the data is not. */
	value = (uint8_t *)batch->data - WB_KAFKA_SCHEMA_PREFIX_BYTES;
	memcpy(value, schema->prefix, WB_KAFKA_SCHEMA_PREFIX_BYTES);
	*ret_size += WB_KAFKA_SCHEMA_PREFIX_BYTES;
	return value;
}

rd_kafka_headers_t *wb_kafka_schema_headers(const struct wb_kafka_schema *schema)
{
	rd_kafka_headers_t *headers;

	if (schema->mode != WB_KAFKA_SCHEMA_HEADER)
		return NULL;
	headers = rd_kafka_headers_new(1);
	wb_kafka_schema_add_header(schema, headers);
	return headers;
}

void wb_kafka_schema_add_header(const struct wb_kafka_schema *schema, rd_kafka_headers_t *headers)
{
	if (schema->mode == WB_KAFKA_SCHEMA_HEADER)
		rd_kafka_header_add(headers, HEADER_NAME, -1, schema->header, WB_KAFKA_SCHEMA_HEADER_BYTES);
}

/* Behind a variable-length number, or 0 where it is not whole. */
static size_t skip_number(const uint8_t *value, size_t size, size_t at, uint64_t *ret_number)
{
	*ret_number = 0;
	for (unsigned int shift = 0; at < size && shift < 35; shift += 7) {
		*ret_number |= (uint64_t)(value[at] & 0x7f) << shift;
		if (!(value[at++] & 0x80))
			return at;
	}
	return 0;
}

size_t wb_kafka_schema_skip(const uint8_t *value, size_t size)
{
	uint64_t count, index;
	size_t at;

	if (size < WB_KAFKA_SCHEMA_PREFIX_BYTES || value[0] != MAGIC_ID)
		return 0;
	at = skip_number(value, size, 5, &count);
	/* Signed, as ZigZag: even numbers are not negative. */
	if (count & 1)
		return 0;
	for (count /= 2; at && count; count--)
		at = skip_number(value, size, at, &index);
	return at;
}
