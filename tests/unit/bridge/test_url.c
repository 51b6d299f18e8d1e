/* SPDX-License-Identifier: Apache-2.0 */
/* URLs: what they are split into, what is refused, and that secrets are not shown. */
#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "option.h"
#include "url.h"

static void splits(const char *text, const char *scheme, const char *address, const char *query, const char *shown)
{
	struct wb_error error = {""};
	struct wb_url url;
	char joined[400] = "";

	assert_int_equal(wb_url_parse(text, &url, &error), 0);
	assert_string_equal(error.message, "");
	assert_string_equal(url.scheme, scheme);
	assert_string_equal(url.address, address);
	assert_string_equal(url.text, shown ? shown : text);
	for (size_t i = 0; i < url.query_count; i++)
		snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "[%s]=[%s]", url.query[i].key,
			url.query[i].value);
	assert_string_equal(joined, query);
	wb_url_fini(&url);
	wb_url_fini(&url);
}

static void refuses(const char *text, const char *message)
{
	struct wb_error error;
	struct wb_url url;

	assert_int_equal(wb_url_parse(text, &url, &error), -EINVAL);
	assert_string_equal(error.message, message);
	assert_null(url.text);
	assert_null(url.query);
	wb_url_fini(&url);
}

static void test_split(void **state)
{
	splits("kafka://b1:9092,b2:9092/packets", "kafka", "b1:9092,b2:9092/packets", "", NULL);
	splits("zmq+pub://127.0.0.1:5555", "zmq+pub", "127.0.0.1:5555", "", NULL);
	splits("zmq+push://*:5555?hwm=64&linger=2s", "zmq+push", "*:5555", "[hwm]=[64][linger]=[2s]", NULL);
	splits("zmq+pub:///run/x", "zmq+pub", "/run/x", "", NULL);
	splits("zmq+sub://[::1]:5555", "zmq+sub", "[::1]:5555", "", NULL);
	splits("null:", "null", "", "", NULL);
	splits("null:?delay=1s", "null", "", "[delay]=[1s]", NULL);
	splits("null://", "null", "", "", NULL);
	splits("file:///var/x", "file", "/var/x", "", NULL);
	splits("KAFKA://b/T", "kafka", "b/T", "", NULL);
	splits("iface://v0", "iface", "v0", "", NULL);
	splits("x:///a//b://c", "x", "/a//b://c", "", NULL);
}

static void test_paths(void **state)
{
	splits("/var/x", "file", "/var/x", "", NULL);
	splits("./x", "file", "./x", "", NULL);
	splits("../x.wbs?sync=yes", "file", "../x.wbs", "[sync]=[yes]", NULL);
	/* Names of files may have a percent sign. */
	splits("/a/100%", "file", "/a/100%", "", NULL);
	splits("/", "file", "/", "", NULL);
}

static void test_decoding(void **state)
{
	splits("file:///a%20b%2f%C3%a9?k%3d=%26%3D+1", "file", "/a b/\xc3\xa9", "[k=]=[&=+1]", NULL);
	splits("x://%3f?a=b=c", "x", "?", "[a]=[b=c]", NULL);
	splits("x://a?b=", "x", "a", "[b]=[]", NULL);
	splits("x://a?b=c?d", "x", "a", "[b]=[c?d]", NULL);
}

static void test_masked(void **state)
{
	splits("kafka://b/t?sasl.password=x&key=stream&a=1", "kafka", "b/t", "[sasl.password]=[x][key]=[stream][a]=[1]",
		"kafka://b/t?sasl.password=****&key=stream&a=1");
	splits("kafka://b/t?properties.ssl.key.password=", "kafka", "b/t", "[properties.ssl.key.password]=[]",
		"kafka://b/t?properties.ssl.key.password=****");
	splits("kafka://b/t?properties.ssl.%6bey=abc", "kafka", "b/t", "[properties.ssl.key]=[abc]",
		"kafka://b/t?properties.ssl.%6bey=****");
	splits("x://me:secret@host/y?a=b@c", "x", "me:secret@host/y", "[a]=[b@c]", "x://me:****@host/y?a=b@c");
	splits("x://me@host:1", "x", "me@host:1", "", NULL);
	splits("x://me:se/cr@et,@host/y", "x", "me:se/cr@et,@host/y", "", "x://me:****@host/y");
	splits("x://me:se%2fcret@host/y", "x", "me:se/cret@host/y", "", "x://me:****@host/y");
	splits("x://me:secret%40host/y", "x", "me:secret@host/y", "", "x://me:****%40host/y");
	splits("x://h:1/a%40b", "x", "h:1/a@b", "", NULL);
	splits("x://h:1?token=1&token=2", "x", "h:1", "[token]=[1][token]=[2]", "x://h:1?token=****&token=****");
	/* Many short ones become longer. */
	splits("x://?a.key=&a.key=&a.key=&a.key=", "x", "", "[a.key]=[][a.key]=[][a.key]=[][a.key]=[]",
		"x://?a.key=****&a.key=****&a.key=****&a.key=****");
}

static void test_refused(void **state)
{
	refuses("", "'' is not a URL: scheme://address is needed, or a path that begins with / or ./");
	refuses("eth0", "'eth0' is not a URL: scheme://address is needed, or a path that begins with / or ./");
	refuses("://x", "'://x' is not a URL: scheme://address is needed, or a path that begins with / or ./");
	refuses("1x://y", "'1x://y' is not a URL: scheme://address is needed, or a path that begins with / or ./");
	refuses("a_b://y", "'a_b://y' is not a URL: scheme://address is needed, or a path that begins with / or ./");
	refuses("127.0.0.1:5555",
		"'127.0.0.1:5555' is not a URL: scheme://address is needed, or a path that begins with / or ./");
	refuses("localhost:5555", "'localhost:5555' is not a URL: '//' must follow the scheme and its colon");
	refuses("kafka:/b/t", "'kafka:/b/t' is not a URL: '//' must follow the scheme and its colon");
	refuses("x://%", "'x://%' has a '%' that two hexadecimal digits other than 00 must follow");
	refuses("x://a%2", "'x://a%2' has a '%' that two hexadecimal digits other than 00 must follow");
	refuses("x://a%zz", "'x://a%zz' has a '%' that two hexadecimal digits other than 00 must follow");
	refuses("x://a%00", "'x://a%00' has a '%' that two hexadecimal digits other than 00 must follow");
	refuses("x://a?b=%1", "'x://a?b=%1' has a '%' that two hexadecimal digits other than 00 must follow");
	refuses("x://a?b%1=c", "'x://a?b%1=****' has a '%' that two hexadecimal digits other than 00 must follow");
	refuses("x://a?", "'x://a?' has an option that is not of the form key=value");
	refuses("x://a?b", "'x://a?b' has an option that is not of the form key=value");
	refuses("x://a?=c", "'x://a?=c' has an option that is not of the form key=value");
	refuses("x://a?b=c&", "'x://a?b=c&' has an option that is not of the form key=value");
	refuses("x://a\nb", "'x://a?b' has a control character; write it as %XX");
	/* What is refused is masked as well. */
	refuses("kafka:b/t?password=x",
		"'kafka:b/t?password=****' is not a URL: '//' must follow the scheme and its colon");
	refuses("me:pw@h/y", "'me:****@h/y' is not a URL: '//' must follow the scheme and its colon");
	refuses("x://me:pw@h?b", "'x://me:****@h?b' has an option that is not of the form key=value");
}

static void redacts(const char *text, const char *message, const char *wanted)
{
	struct wb_error error;
	struct wb_url url;

	assert_int_equal(wb_url_parse(text, &url, &error), 0);
	snprintf(error.message, sizeof(error.message), "%s", message);
	wb_url_redact(&url, &error);
	assert_string_equal(error.message, wanted);
	wb_url_fini(&url);
}

/* What is behind a parsed URL says what is wrong with its address, or with a piece of it. */
static void test_redacted(void **state)
{
	redacts("x://me:se%2Fcr'et@h:1/y", "broker 'me:se/cr'et@h:1' is none", "broker '****' is none");
	redacts("x://me:se%2Fcret@h:1/y", "server 'me:se' is none", "server '****' is none");
	redacts("x://me:se%2Fcret@h:1/y", "'me:se' and 'cret@h:1'", "'****' and '****'");
	redacts("x://me:se%2Fcret@h:1/y", "'x://me:****@h:1/y': 'me:se/cret@h", "'x://me:****@h:1/y': '****");
	redacts("x://me:se%0Acret@h:1", "'me:se?cret@h:1'", "'****'");
	redacts("x://me:secret@h:1?token=abc", "the option 'linger' of abc is ''", "the option 'linger' of **** is ''");
	redacts("x://h:1/y", "topic 'y' of 'h:1'", "topic 'y' of 'h:1'");
	redacts("x://me:secret@h:1", "it isn't 'me:secret@h:1'", "it isn't '****'");
}

struct options {
	uint64_t linger_ms;
	char *text;
};

static const struct wb_option_row rows[] = {
	{.key = "linger",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct options, linger_ms),
		.default_value = "5ms"},
	{.key = "text", .type = WB_OPTION_STRING, .offset = offsetof(struct options, text)},
	{.key = NULL},
};

static int apply(const char *text, struct options *options, struct wb_property **properties, size_t *count,
	struct wb_error *error)
{
	struct wb_url url;
	int r;

	*properties = NULL;
	*count = 0;
	error->message[0] = '\0';
	assert_int_equal(wb_options_init(rows, options), 0);
	assert_int_equal(wb_url_parse(text, &url, error), 0);
	r = wb_url_options(&url, rows, options, properties, count, error);
	wb_url_fini(&url);
	return r;
}

static void test_options(void **state)
{
	struct wb_property *properties;
	struct options options;
	struct wb_error error;
	size_t count;

	assert_int_equal(
		apply("x://?properties.a.b=1&linger=2s&text=t&properties.c=", &options, &properties, &count, &error),
		0);
	assert_int_equal(options.linger_ms, 2000);
	assert_string_equal(options.text, "t");
	assert_int_equal(count, 2);
	assert_string_equal(properties[0].key, "a.b");
	assert_string_equal(properties[0].value, "1");
	assert_string_equal(properties[1].key, "c");
	assert_string_equal(properties[1].value, "");
	wb_properties_free(properties, count);
	wb_options_fini(rows, &options);
}

static void refuses_options(const char *text, const char *message)
{
	struct wb_property *properties;
	struct options options;
	struct wb_error error;
	size_t count;

	assert_int_equal(apply(text, &options, &properties, &count, &error), -EINVAL);
	assert_string_equal(error.message, message);
	wb_properties_free(properties, count);
	wb_options_fini(rows, &options);
}

static void test_options_refused(void **state)
{
	refuses_options("x://?lingre=1", "unknown option 'lingre'; did you mean 'linger'?");
	refuses_options("x://?properties.=1", "unknown option 'properties.'");
	refuses_options("x://?zzz=1", "unknown option 'zzz'");
	refuses_options("x://?linger=1x", "linger: '1x' is not a time (such as 500ms, 10s, 5m)");
	refuses_options("x://?linger=1&text=a&linger=2", "option 'linger' is given twice");
	refuses_options("x://?properties.a=1&properties.a=1", "option 'properties.a' is given twice");
}

static void test_host_port(void **state)
{
	char host[16];
	unsigned int port = 0;
	struct wb_error error;

	assert_int_equal(wb_url_split_host_port("b1:9092", host, sizeof(host), &port, &error), 0);
	assert_string_equal(host, "b1");
	assert_int_equal(port, 9092);
	assert_int_equal(wb_url_split_host_port("[fe80::1%eth0]:1", host, sizeof(host), &port, &error), 0);
	assert_string_equal(host, "fe80::1%eth0");
	assert_int_equal(port, 1);
	assert_int_equal(wb_url_split_host_port("*:65535", host, sizeof(host), &port, &error), 0);
	assert_string_equal(host, "*");
	assert_int_equal(port, 65535);
	assert_int_equal(wb_url_split_host_port("012345678901234:1", host, sizeof(host), &port, &error), 0);
	assert_int_equal(wb_url_split_host_port("0123456789012345:1", host, sizeof(host), &port, &error), -EINVAL);
	assert_string_equal(error.message, "'0123456789012345:1': the name of the host is longer than 15 bytes");
}

static void test_host_port_refused(void **state)
{
	static const char *const texts[] = {"", "b1", "b1:", ":1", "[]:1", "[::1]", "[::1]1", "[::1:1", "::1:1", "b1:0",
		"b1:65536", "b1:-1", "b1:1x", "b1:000001", "b1: 1"};
	char host[64], message[200];
	unsigned int port;
	struct wb_error error;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(wb_url_split_host_port(texts[i], host, sizeof(host), &port, &error), -EINVAL);
		snprintf(message, sizeof(message), "'%s' is not host:port or [IPv6]:port with a port from 1 to 65535",
			texts[i]);
		assert_string_equal(error.message, message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_decoding),
		cmocka_unit_test(test_masked),
		cmocka_unit_test(test_redacted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_options_refused),
		cmocka_unit_test(test_host_port),
		cmocka_unit_test(test_host_port_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
