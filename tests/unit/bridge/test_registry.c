/* SPDX-License-Identifier: Apache-2.0 */
/* From a URL to a transport with its options filled and checked. */
#include "testing.h"

#include <errno.h>
#include <string.h>

#include "fake_transports.h"
#include "registry.h"

static const struct wb_transport_ops *find_transport(const char *text, struct wb_error *error)
{
	const struct wb_transport_ops *ops;
	struct wb_url url;

	assert_int_equal(wb_url_parse(text, &url, error), 0);
	ops = wb_transport_find(&url, error);
	wb_url_fini(&url);
	return ops;
}

static const struct wb_source_ops *find_source(const char *text, struct wb_error *error)
{
	const struct wb_source_ops *ops;
	struct wb_url url;

	assert_int_equal(wb_url_parse(text, &url, error), 0);
	ops = wb_source_find(&url, error);
	wb_url_fini(&url);
	return ops;
}

static void test_find_transport(void **state)
{
	struct wb_error error;

	assert_ptr_equal(find_transport("kafka://b/t", &error), &wb_transport_kafka);
	assert_ptr_equal(find_transport("zmq+pub://b:1", &error), &wb_transport_zmq);
	assert_ptr_equal(find_transport("zmq+push://b:1", &error), &wb_transport_zmq);
	assert_ptr_equal(find_transport("/tmp", &error), &wb_transport_file);
	assert_ptr_equal(find_transport("null:", &error), &wb_transport_null);
	assert_null(find_transport("zmq+sub://b:1", &error));
	assert_string_equal(error.message,
		"'zmq+sub://b:1': the transport 'zmq+sub' is unknown; did you mean 'zmq+pub'? known are "
		"kafka, zmq+pub, zmq+push, file, null");
	assert_null(find_transport("http://b?password=x", &error));
	assert_string_equal(error.message,
		"'http://b?password=****': the transport 'http' is unknown; known are kafka, zmq+pub, "
		"zmq+push, file, null");
	assert_null(find_transport("http://b", NULL));
}

static void test_find_source(void **state)
{
	struct wb_error error;

	assert_ptr_equal(find_source("kafka://b/t", &error), &wb_source_kafka);
	assert_ptr_equal(find_source("zmq+pull://b:1", &error), &wb_source_zmq);
	assert_ptr_equal(find_source("./x.wbs", &error), &wb_source_file);
	assert_null(find_source("kafak://b/t", &error));
	assert_string_equal(error.message,
		"'kafak://b/t': the source 'kafak' is unknown; did you mean 'kafka'? known are kafka, "
		"zmq+sub, zmq+pull, file");
}

static void test_setup(void **state)
{
	static const struct wb_property more[] = {{"compression", "zstd"}, {"properties.acks", "all"}};
	struct wb_transport_args args = {.node = "n"};
	struct wb_transport_setup setup;
	struct wb_error error = {""};

	memset(&fake_kafka, 0, sizeof(fake_kafka));
	assert_int_equal(wb_transport_setup_init(
				 "kafka://b1:1/t?linger=7ms&properties.sasl.password=x", more, 2, &setup, &error),
		0);
	assert_string_equal(error.message, "");
	assert_ptr_equal(setup.ops, &wb_transport_kafka);
	assert_int_equal(setup.max_batch_bytes, FAKE_KAFKA_LIMIT_BYTES);
	assert_int_equal(fake_kafka.checks, 1);
	assert_int_equal(fake_kafka.options.linger_ms, 7);
	assert_int_equal(fake_kafka.options.compression, 2);
	assert_true(fake_kafka.options.idempotence);
	assert_string_equal(fake_kafka.properties, "sasl.password=x;acks=all;");
	assert_string_equal(fake_kafka.address, "b1:1/t");
	assert_string_equal(fake_kafka.url, "kafka://b1:1/t?linger=7ms&properties.sasl.password=****");
	wb_transport_setup_args(&setup, &args);
	assert_string_equal(args.url, fake_kafka.url);
	assert_string_equal(args.scheme, "kafka");
	assert_string_equal(args.address, "b1:1/t");
	assert_string_equal(args.node, "n");
	assert_ptr_equal(args.options, setup.options);
	assert_int_equal(args.property_count, 2);
	assert_int_equal(args.max_batch_bytes, FAKE_KAFKA_LIMIT_BYTES);
	wb_transport_setup_fini(&setup);
	wb_transport_setup_fini(&setup);
}

static void refuses(const char *url, const struct wb_property *more, const char *message)
{
	struct wb_transport_setup setup;
	struct wb_error error;

	assert_int_equal(wb_transport_setup_init(url, more, more ? 1 : 0, &setup, &error), -EINVAL);
	assert_string_equal(error.message, message);
	assert_null(setup.options);
	assert_null(setup.url.text);
	wb_transport_setup_fini(&setup);
}

static void test_setup_refused(void **state)
{
	memset(&fake_kafka, 0, sizeof(fake_kafka));
	refuses("kafka", NULL, "'kafka' is not a URL: scheme://address is needed, or a path that begins with / or ./");
	refuses("mqtt://b/t", NULL,
		"'mqtt://b/t': the transport 'mqtt' is unknown; known are kafka, zmq+pub, zmq+push, file, null");
	refuses("kafka://b/t?lingre=1", NULL, "kafka://b/t?lingre=1: unknown option 'lingre'; did you mean 'linger'?");
	refuses("kafka://b/t?linger=2s", NULL,
		"kafka://b/t?linger=2s: linger: '2s' is not a time from 0 to 1s (such as 500ms, 10s, 5m)");
	refuses("kafka://b/t?sasl_password=123456789", NULL,
		"kafka://b/t?sasl_password=****: sasl_password: '****' is not a text from 0 to 8 bytes long");
	refuses("kafka://b/t?linger=1", &(const struct wb_property){"linger", "2"},
		"kafka://b/t?linger=1: option 'linger' is given twice");
	refuses("zmq+pub://b:1?properties.x=1", NULL,
		"zmq+pub://b:1?properties.x=1: unknown option 'properties.x': ZeroMQ takes no properties");
	refuses("null:?x=1", NULL, "null:?x=1: unknown option 'x'");
	/* The transport has quoted the URL: once is enough. */
	refuses("kafka://b", NULL, "kafka://b: the topic is missing");
}

/* A bus's library may quote what it was given. */
static void test_secrets_of_a_transports_message(void **state)
{
	memset(&fake_kafka, 0, sizeof(fake_kafka));
	fake_kafka.quote_properties = true;
	refuses("kafka://b/t?properties.sasl.password=hunter2&properties.sasl.username=me", NULL,
		"kafka://b/t?properties.sasl.password=****&properties.sasl.username=me: cannot use "
		"sasl.password=****;sasl.username=me;");
	refuses("kafka://b/t", &(const struct wb_property){"properties.ssl.key.password", "hunter2"},
		"kafka://b/t: cannot use ssl.key.password=****;");
	fake_kafka.quote_properties = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_transport),
		cmocka_unit_test(test_find_source),
		cmocka_unit_test(test_setup),
		cmocka_unit_test(test_setup_refused),
		cmocka_unit_test(test_secrets_of_a_transports_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
