/* SPDX-License-Identifier: Apache-2.0 */
/* Topics with placeholders, and what names the schema: which are taken, which are refused and in which words. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "testing.h"

#include "kafka_schema.h"
#include "kafka_topic.h"
#include "option.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define URL "kafka://URL"

static void assert_topic(const char *template, const char *node, const char *interface, const char *expected)
{
	struct wb_error error = {""};
	char *topic = NULL;

	assert_int_equal(wb_kafka_topic_expand(URL, template, node, interface, &topic, &error), 0);
	assert_string_equal(topic, expected);
	free(topic);
}

static void assert_no_topic(const char *template, const char *node, const char *interface, const char *message)
{
	struct wb_error error = {""};
	char *topic = NULL;

	assert_int_equal(wb_kafka_topic_expand(URL, template, node, interface, &topic, &error), -EINVAL);
	assert_string_equal(error.message, message);
	assert_null(topic);
}

static void placeholders_are_replaced(void **state)
{
	assert_topic("packets", "n", "eth0", "packets");
	assert_topic("{node}", "n", "eth0", "n");
	assert_topic("a.{node}.{interface}-{node}_z", "h1", "eth0", "a.h1.eth0-h1_z");
	assert_topic("{interface}{node}", "h1", "eth0", "eth0h1");
	/* What Kafka does not allow: each byte, and braces do not begin anew. */
	assert_topic("{node}", "a b:c\xc3\xb6", "eth0", "a_b_c__");
	assert_topic("{interface}", "n", "eth0.5@x", "eth0.5_x");
	assert_topic("{node}", "{interface}", "eth0", "_interface_");
	/* Only what is used must be known. */
	assert_topic("{node}", "n", NULL, "n");
}

static void wrong_templates_are_refused(void **state)
{
	char long_name[251];

	assert_no_topic("x-{nodes}", "n", "eth0",
		"'kafka://URL': unknown placeholder '{nodes}' in the topic; there are {node} and {interface}");
	assert_no_topic("{}", "n", "eth0",
		"'kafka://URL': unknown placeholder '{}' in the topic; there are {node} and {interface}");
	assert_no_topic("{{node}}", "n", "eth0",
		"'kafka://URL': unknown placeholder '{{node}' in the topic; there are {node} and {interface}");
	assert_no_topic("a{node", "n", "eth0", "'kafka://URL': '{node' in the topic has no '}'");
	assert_no_topic("a}", "n", "eth0",
		"'kafka://URL': topic 'a}' must be 1 to 249 letters, digits, '.', '_' or '-', and neither '.' nor "
		"'..'");
	assert_no_topic(
		"{interface}", "n", NULL, "'kafka://URL': nothing is known here that {interface} could stand for");
	assert_no_topic("{node}", ".", "eth0",
		"'kafka://URL': topic '.' must be 1 to 249 letters, digits, '.', '_' or '-', and neither '.' nor '..'");
	memset(long_name, 'x', 250);
	long_name[250] = '\0';
	{
		struct wb_error error = {""};
		char *topic = NULL;

		assert_int_equal(wb_kafka_topic_expand(URL, "{node}", long_name, NULL, &topic, &error), -EINVAL);
		assert_non_null(strstr(error.message, "must be 1 to 249"));
		long_name[249] = '\0';
		assert_topic("{node}", long_name, NULL, long_name);
		assert_int_equal(wb_kafka_topic_expand(URL, "a{node}", long_name, NULL, &topic, &error), -EINVAL);
	}
}

/* In record mode the ledger's topic is longer than the records'. */
static void ledgers_have_long_names(void **state)
{
	struct wb_error error = {""};
	char name[244], expected[512];

	memset(name, 'x', sizeof name);
	name[242] = '\0';
	assert_int_equal(wb_kafka_topic_check_suffix(name, ".ledger", &error), 0);
	name[242] = 'x';
	name[243] = '\0';
	assert_int_equal(wb_kafka_topic_check_suffix(name, ".ledger", &error), -EINVAL);
	snprintf(expected, sizeof expected,
		"topic '%s' has 243 characters: in mode 'record' it may have 242, as the topic of its ledger has "
		"'.ledger' at the end and Kafka allows 249",
		name);
	assert_string_equal(error.message, expected);
}

/* What is read from the bus has no placeholders. */
static void plain_topics_are_checked(void **state)
{
	static const char *const good[] = {"a", "A.b_c-9", "...", "__value"};
	static const char *const bad[] = {"", ".", "..", "{node}", "a/b", "a b", "a,b", "\xc3\xb6"};
	struct wb_error error;

	for (size_t i = 0; i < COUNT(good); i++)
		assert_int_equal(wb_kafka_topic_check(URL, good[i], &error), 0);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(wb_kafka_topic_check(URL, bad[i], &error), -EINVAL);
}

static int init(
	const char *mode, const char *id, const char *guid, struct wb_kafka_schema *schema, struct wb_error *error)
{
	struct wb_kafka_options options;
	int r;

	assert_int_equal(wb_options_init(wb_kafka_rows, &options), 0);
	assert_int_equal(
		wb_option_set(wb_option_find(wb_kafka_rows, "schema_registry", NULL), &options, mode, error), 0);
	if (id)
		assert_int_equal(
			wb_option_set(wb_option_find(wb_kafka_rows, "schema_id", NULL), &options, id, error), 0);
	if (guid)
		assert_int_equal(
			wb_option_set(wb_option_find(wb_kafka_rows, "schema_guid", NULL), &options, guid, error), 0);
	r = wb_kafka_schema_init(&options, URL, schema, error);
	wb_options_fini(wb_kafka_rows, &options);
	return r;
}

#define GUID "89791762-2336-4186-9674-299b90a802e2"

/* The bytes that Confluent's own serializers write for the first message of a file. */
static void schemas_are_named_as_confluent_does(void **state)
{
	static const uint8_t header[] = {0x01, 0x89, 0x79, 0x17, 0x62, 0x23, 0x36, 0x41, 0x86, 0x96, 0x74, 0x29, 0x9b,
		0x90, 0xa8, 0x02, 0xe2, 0x00};
	static const uint8_t prefix[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x00};
	uint8_t memory[WB_BATCH_HEADROOM_BYTES + 3] = {[WB_BATCH_HEADROOM_BYTES] = 7, 8, 9};
	const struct wb_batch batch = {.data = memory + WB_BATCH_HEADROOM_BYTES, .size = 3};
	struct wb_kafka_schema schema;
	struct wb_error error;
	rd_kafka_headers_t *headers;
	const uint8_t *value;
	const void *got;
	size_t size;

	assert_int_equal(init("header", NULL, GUID, &schema, &error), 0);
	assert_int_equal(wb_kafka_schema_prefix_bytes(&schema), 0);
	headers = rd_kafka_headers_new(1);
	wb_kafka_schema_add_header(&schema, headers);
	assert_int_equal(rd_kafka_header_get_last(headers, "__value_schema_id", &got, &size), 0);
	assert_int_equal(size, sizeof(header));
	assert_memory_equal(got, header, sizeof(header));
	rd_kafka_headers_destroy(headers);
	value = wb_kafka_schema_value(&schema, &batch, &size);
	assert_ptr_equal(value, batch.data);
	assert_int_equal(size, 3);

	assert_int_equal(init("prefix", "16909060", NULL, &schema, &error), 0);
	assert_int_equal(wb_kafka_schema_prefix_bytes(&schema), sizeof(prefix));
	headers = rd_kafka_headers_new(1);
	wb_kafka_schema_add_header(&schema, headers);
	assert_int_equal(rd_kafka_header_cnt(headers), 0);
	rd_kafka_headers_destroy(headers);
	value = wb_kafka_schema_value(&schema, &batch, &size);
	assert_int_equal(size, 9);
	/* In front of the data, where it is: nothing is copied. */
	assert_ptr_equal(value + 6, batch.data);
	assert_memory_equal(value, prefix, sizeof(prefix));
	assert_memory_equal(value + 6, "\7\10\11", 3);
}

static void wrong_schemas_are_refused(void **state)
{
	static const struct {
		const char *mode, *id, *guid, *message;
	} rows[] = {
		{"header", NULL, NULL,
			"kafka://URL: schema_registry 'header' needs schema_guid, the GUID that the registry gave the "
			"schema"},
		{"prefix", NULL, NULL,
			"kafka://URL: schema_registry 'prefix' needs schema_id, the number that the registry gave the "
			"schema"},
		{"none", "1", NULL, "kafka://URL: schema_id is used with schema_registry 'prefix' only"},
		{"header", "1", GUID, "kafka://URL: schema_id is used with schema_registry 'prefix' only"},
		{"none", NULL, GUID, "kafka://URL: schema_guid is used with schema_registry 'header' only"},
		{"prefix", "1", GUID, "kafka://URL: schema_guid is used with schema_registry 'header' only"},
	};
	static const char *const guids[] = {"1", "89791762-2336-4186-9674-299b90a802e",
		"89791762-2336-4186-9674-299b90a802e2f", "89791762_2336-4186-9674-299b90a802e2",
		"8979176g-2336-4186-9674-299b90a802e2", "8979176-22336-4186-9674-299b90a802e2",
		"{89791762-2336-4186-9674-299b90a802}"};
	struct wb_kafka_schema schema;
	struct wb_error error;

	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(init(rows[i].mode, rows[i].id, rows[i].guid, &schema, &error), -EINVAL);
		assert_string_equal(error.message, rows[i].message);
	}
	for (size_t i = 0; i < COUNT(guids); i++) {
		assert_int_equal(init("header", NULL, guids[i], &schema, &error), -EINVAL);
		assert_non_null(strstr(error.message, guids[i]));
	}
}

/* Readers take the prefix off, whichever message it names; what is no whole prefix stays, to be reported as damage. */
static void prefixes_are_recognized(void **state)
{
	static const struct {
		const char *bytes;
		size_t size, prefix;
	} rows[] = {
		{"\0\0\0\0\1\0x", 7, 6},
		{"\0\0\0\0\1\0", 6, 6},
		{"\0\0\0\0\1\2\0x", 8, 7},     /* [0], written in full */
		{"\0\0\0\0\1\4\2\6x", 9, 8},   /* [1, 3] */
		{"\0\0\0\0\1\2\x80\1x", 9, 8}, /* [64] */
		{"\0\0\0\0\1", 5, 0},          /* no indexes */
		{"\0\0\0\0\1\4\2", 7, 0},      /* one of two */
		{"\0\0\0\0\1\2\x80", 7, 0},    /* a number that does not end */
		{"\0\0\0\0\1\1\0x", 8, 0},     /* a negative count */
		{"\0\0\0\0\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 15, 0},
		{"\x0a\0\0\0\1\0x", 7, 0}, /* a message */
		{"", 0, 0},
		{"\0", 1, 0},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(wb_kafka_schema_skip((const uint8_t *)rows[i].bytes, rows[i].size), rows[i].prefix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(placeholders_are_replaced),
		cmocka_unit_test(wrong_templates_are_refused),
		cmocka_unit_test(ledgers_have_long_names),
		cmocka_unit_test(plain_topics_are_checked),
		cmocka_unit_test(schemas_are_named_as_confluent_does),
		cmocka_unit_test(wrong_schemas_are_refused),
		cmocka_unit_test(prefixes_are_recognized),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
