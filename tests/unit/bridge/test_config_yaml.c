/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: everything that can be said in it, and every refusal with its place, word by word. */
#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_transports.h"
#include "load.h"
#include "option.h"

#define CAPTURE "captures:\n  - interface: eth0\n    to: zmq+pub://127.0.0.1:5555\n"

static void test_least(void **state)
{
	struct wb_config config;

	accept_text(CAPTURE, &config);
	assert_int_equal(config.capture_count, 1);
	assert_string_equal(config.captures[0].interface, "eth0");
	assert_string_equal(config.captures[0].to, "zmq+pub://127.0.0.1:5555");
	assert_int_equal(config.captures[0].workers, 1);
	assert_int_equal(config.flush_ms, 10000);
	wb_config_fini(&config);
}

static void test_everything(void **state)
{
	struct wb_capture_config *capture;
	struct wb_config config;

	accept_text(
		"node: host1\nlog_level: debug\nflush: 3s\nrequire_bus: 5s\nledger: /tmp/l.json\n"
		"captures:\n"
		"- {interface: eth0, to: \"null:\", name: a, filter: 'tcp port 443', workers: 2, cpus: [0, 1],\n"
		"   snap_length: 96, promiscuous: no, ignore_outgoing: on, vnet_header: true, timestamp: hardware,\n"
		"   block_bytes: 2MiB, block_count: 8, retire: 64ms, fanout: cpu, defragment: yes, fanout_id: 12,\n"
		"   batch_bytes: 64KiB, batch_max_bytes: 1M, batch_packets: 1000, batch_age: 5ms, encoder: "
		"protobuf-c,\n"
		"   buffers: 16, heartbeat: 2s, on_full: drop}\n"
		"- interface: eth1\n"
		"  cpus: 3\n"
		"  filter: |\n"
		"    udp\n"
		"    or tcp\n"
		"  to:\n"
		"    url: kafka://b1:9092/packets?linger=3ms\n"
		"    compression: zstd\n"
		"    properties.acks: all\n"
		"    properties: {socket.keepalive.enable: true, sasl.password: \"a b\"}\n",
		&config);
	assert_string_equal(config.node, "host1");
	assert_int_equal(config.log_level, 3);
	assert_int_equal(config.flush_ms, 3000);
	assert_int_equal(config.require_bus_ms, 5000);
	assert_string_equal(config.ledger, "/tmp/l.json");
	assert_int_equal(config.capture_count, 2);
	capture = &config.captures[0];
	assert_string_equal(capture->name, "a");
	assert_string_equal(capture->filter, "tcp port 443");
	assert_string_equal(capture->cpus, "0,1");
	assert_int_equal(capture->workers, 2);
	assert_int_equal(capture->snap_length, 96);
	assert_false(capture->promiscuous);
	assert_true(capture->ignore_outgoing);
	assert_true(capture->vnet_header);
	assert_int_equal(capture->timestamp, 1);
	assert_int_equal(capture->block_bytes, 2 << 20);
	assert_int_equal(capture->block_count, 8);
	assert_int_equal(capture->retire_ms, 64);
	assert_int_equal(capture->fanout, 2);
	assert_true(capture->defragment);
	assert_int_equal(capture->fanout_id, 12);
	assert_int_equal(capture->batch_bytes, 65536);
	assert_int_equal(capture->batch_max_bytes, 1 << 20);
	assert_int_equal(capture->batch_packets, 1000);
	assert_int_equal(capture->batch_age_ms, 5);
	assert_int_equal(capture->encoder, 1);
	assert_int_equal(capture->buffers, 16);
	assert_int_equal(capture->heartbeat_ms, 2000);
	assert_int_equal(capture->on_full, 1);
	capture = &config.captures[1];
	assert_string_equal(capture->cpus, "3");
	assert_string_equal(capture->filter, "udp\nor tcp\n");
	assert_int_equal(capture->to_option_count, 4);
	assert_string_equal(fake_kafka.properties, "acks=all;socket.keepalive.enable=true;sasl.password=a b;");
	assert_int_equal(fake_kafka.options.linger_ms, 3);
	assert_int_equal(fake_kafka.options.compression, 2);
	wb_config_fini(&config);
}

/* Whatever a row is called, the file takes it: rows without a test of their own cannot be forgotten. */
static void test_every_row(void **state)
{
	struct wb_config config;
	char text[400];

	for (const struct wb_option_row *row = wb_config_rows; row->key; row++) {
		if (strcmp(row->key, "plugin") == 0) /* test_plugins */
			continue;
		snprintf(text, sizeof(text), "%s: %s\n" CAPTURE, row->key,
			row->default_value ? row->default_value : "x");
		accept_text(text, &config);
		wb_config_fini(&config);
	}
	for (const struct wb_option_row *row = wb_capture_config_rows; row->key; row++) {
		const char *value = row->default_value ? row->default_value : strcmp(row->key, "cpus") == 0 ? "1" : "x";

		if (strcmp(row->key, "to") == 0 || strcmp(row->key, "interface") == 0)
			continue;
		snprintf(text, sizeof(text), CAPTURE "    %s: %s\n", row->key, value);
		accept_text(text, &config);
		wb_config_fini(&config);
	}
}

static void test_plugins(void **state)
{
	refuse_text("plugin: nosuch.so\n" CAPTURE, "1:9: plugin 'nosuch.so': No such file or directory\n");
	refuse_text(CAPTURE "plugin:\n  - /nosuch.so\n  - [a]\n  - ''\n",
		"5:5: plugin '/nosuch.so': No such file or directory\n"
		"6:5: plugin: a single value is needed, not a list\n"
		"7:5: plugin: a path is empty\n");
	refuse_text("plugin:\n" CAPTURE, "1:8: plugin: it has no value\n");
	refuse_text("plugin: {a: b}\n" CAPTURE, "1:9: plugin: a single value is needed, not a mapping\n");
}

static void test_wrong_values(void **state)
{
	refuse_text("flush: 10x\n" CAPTURE, "1:8: flush: '10x' is not a time from 0 to 1h (such as 500ms, 10s, 5m)\n");
	refuse_text(CAPTURE "    workers: \"many\"\n", "4:14: workers: 'many' is not a whole number from 1 to 256\n");
	refuse_text(CAPTURE "    promiscuous: maybe\n", "4:18: promiscuous: 'maybe' is not true or false\n");
	refuse_text(CAPTURE "    cpus: [0, x]\n",
		"4:11: cpus: '0,x' is not a list of CPU numbers below 1024 (such as 0,2-3)\n");
	refuse_text(CAPTURE "    cpus: []\n", "4:11: cpus: '' is not a text from 1 to 4095 bytes long\n");
	refuse_text(CAPTURE "    cpus: [0, [1]]\n", "4:15: cpus: a single value is needed, not a list\n");
	refuse_text(CAPTURE "    fanout: hsah\n",
		"4:13: fanout: 'hsah' is not one of hash, load_balance, cpu, rollover, random, queue_mapping\n");
}

static void test_wrong_kinds(void **state)
{
	refuse_text("flush: [1]\n" CAPTURE, "1:8: flush: a single value is needed, not a list\n");
	refuse_text("flush: {a: 1}\n" CAPTURE, "1:8: flush: a single value is needed, not a mapping\n");
	refuse_text("flush:\n" CAPTURE, "1:7: flush: it has no value\n");
	refuse_text("node: ~\n" CAPTURE, "1:7: node: it has no value\n");
	refuse_text("node: null\n" CAPTURE, "1:7: node: it has no value\n");
	refuse_text("captures: eth0\n", "1:11: captures: a list is needed; begin each capture with '- '\n");
	refuse_text(
		"captures:\n  interface: eth0\n", "2:3: captures: a list is needed; begin each capture with '- '\n");
	refuse_text("captures: [eth0, eth1]\n", "1:12: captures: each entry must be a mapping of keys to values\n"
						"1:18: captures: each entry must be a mapping of keys to values\n");
	refuse_text("- a\n", "1:1: the file must be a mapping of keys to values\n");
	refuse_text("just text\n", "1:1: the file must be a mapping of keys to values\n");
	refuse_text("", "1:1: captures: there is none; name an interface and a bus\n");
	refuse_text("# nothing\n---\n", "3:1: captures: there is none; name an interface and a bus\n");
	refuse_text("node: n\n", "1:1: captures: there is none; name an interface and a bus\n");
	refuse_text("node: n\ncaptures: []\n", "2:11: captures: there is none; name an interface and a bus\n");
}

static void test_keys(void **state)
{
	refuse_text("fluhs: 1s\n" CAPTURE, "1:1: unknown key 'fluhs'; did you mean 'flush'?\n");
	refuse_text("capture:\n  - interface: eth0\n", "1:1: unknown key 'capture'; did you mean 'captures'?\n");
	refuse_text("zzzzzzz: 1\n" CAPTURE, "1:1: unknown key 'zzzzzzz'\n");
	refuse_text("filter: tcp\n" CAPTURE,
		"1:1: key 'filter' belongs to a capture; put it into an entry of 'captures:'\n");
	refuse_text(CAPTURE "    node: n\n", "4:5: key 'node' is not a capture's; it belongs to the top of the file\n");
	refuse_text(CAPTURE "    fitler: tcp\n", "4:5: unknown key 'fitler'; did you mean 'filter'?\n");
	refuse_text(CAPTURE "    Filter: tcp\n    '': x\n",
		"4:5: unknown key 'Filter'; did you mean 'filter'?\n5:5: unknown key ''\n");
	refuse_text(CAPTURE "    workers: 1\n    workers: 2\n", "5:5: workers: given twice, first in line 4\n");
	refuse_text("node: a\nnode: b\n" CAPTURE CAPTURE,
		"2:1: node: given twice, first in line 1\n6:1: captures: given twice, first in line 3\n");
	refuse_text(
		"[a, b]: c\n{d: e}: f\n" CAPTURE, "1:1: a key must be a plain word\n2:1: a key must be a plain word\n");
}

static void test_to(void **state)
{
#define TO(text) "captures:\n  - interface: eth0\n    to: " text "\n"
	refuse_text(TO("null"),
		"3:9: to: it has no value; the transport that keeps nothing is written \"null:\", in quotes\n");
	refuse_text(
		TO(""), "3:8: to: it has no value; the transport that keeps nothing is written \"null:\", in quotes\n");
	refuse_text(TO("[a]"), "3:9: to: a single value is needed, not a list\n");
	refuse_text(TO("eth1"),
		"3:9: to: 'eth1' is not a URL: scheme://address is needed, or a path that begins with / or ./\n");
	refuse_text(TO("kafak://b/t"),
		"3:9: to: 'kafak://b/t': the transport 'kafak' is unknown; did you mean 'kafka'? known are "
		"kafka, zmq+pub, zmq+push, file, null\n");
	refuse_text(TO("kafka://b"), "3:9: to: kafka://b: the topic is missing\n");
	refuse_text(TO("kafka://b/t?linger=x"),
		"3:9: to: kafka://b/t?linger=x: linger: 'x' is not a time from 0 to 1s (such as "
		"500ms, 10s, 5m)\n");
	refuse_text(TO("{}"), "3:9: to: the key 'url' is missing\n");
	refuse_text(TO("{compression: zstd}"), "3:9: to: the key 'url' is missing\n");
	refuse_text(TO("{url: [x]}"), "3:15: to: a single value is needed, not a list\n");
	refuse_text(TO("{url: kafka://b, linger: 1}"), "3:9: to: kafka://b: the topic is missing\n");
	refuse_text("captures:\n  - interface: eth0\n", "2:5: to: it is missing; it says where the packets go, such as "
							"zmq+pub://127.0.0.1:5555\n");
}

static void test_to_options(void **state)
{
#define OPTIONS(text) "captures:\n  - interface: eth0\n    to:\n      url: kafka://b/t\n" text
	refuse_text(OPTIONS("      compression: zip\n      lingre: 1\n      idempotence: {}\n"),
		"5:20: compression: 'zip' is not one of none, lz4, zstd\n"
		"6:7: unknown key 'lingre'; did you mean 'linger'?\n"
		"7:20: idempotence: a single value is needed, not a mapping\n");
	refuse_text(OPTIONS("      sasl_password: 123456789\n"),
		"5:22: sasl_password: '****' is not a text from 0 to 8 bytes long\n");
	refuse_text(
		OPTIONS("      propertise: {a: b}\n"), "5:7: unknown key 'propertise'; did you mean 'properties'?\n");
	refuse_text(OPTIONS("      properties: [a]\n"), "5:19: properties: a mapping of names to values is needed\n");
	refuse_text(OPTIONS("      properties: {a: [b], '': c, d: 1, d: 2, e: }\n"),
		"5:41: d: given twice, first in line 5\n"
		"5:23: a: a single value is needed, not a list\n"
		"5:28: properties: a name is empty\n"
		"5:50: e: it has no value\n");
	refuse_text(OPTIONS("      linger: 1\n      linger: 2\n"), "6:7: linger: given twice, first in line 5\n");
	refuse_text(OPTIONS("      properties.a: [1]\n"), "5:21: properties.a: a single value is needed, not a list\n");
	refuse_text(OPTIONS("      properties: {a: 1}\n      properties.a: 2\n"),
		"4:7: to: kafka://b/t: option 'properties.a' is given twice\n");
	refuse_text("captures:\n  - interface: eth0\n    to: {url: 'null:', properties: {a: 1}}\n",
		"3:9: to: null:: unknown option 'properties.a': null takes no properties\n");
	refuse_text("captures:\n  - interface: eth0\n    to: {url: 'null:', a: 1}\n", "3:24: unknown key 'a'\n");
}

/* Rules between options are reported where the option stands, or where the capture does. */
static void test_rules(void **state)
{
	refuse_text("node: a/b\n" CAPTURE "    cpus: 0-1\n    batch_max_bytes: 4096\n",
		"1:7: node: 'a/b' has a '/'\n"
		"5:11: cpus: '0-1' lists 2 CPUs for 1 worker; list one for each\n"
		"6:22: batch_max_bytes: 4096 is smaller than batch_bytes, 262144; raise it, or leave it out\n");
	refuse_text(CAPTURE "  - to: 'null:'\n",
		"4:5: capture 2: interface: it is missing; 'ip link' lists those that there are\n");
	refuse_text("captures:\n  - interface: eth0\n    to: kafka://b/t\n    batch_bytes: 2MiB\n",
		"4:18: batch_bytes: 2097152 is larger than the bus takes: 1000000 bytes "
		"(properties.message.max.bytes); lower "
		"batch_bytes or raise properties.message.max.bytes\n");
}

/* Everything that is wrong is said at once; what follows from an error alone is not. */
static void test_all_at_once(void **state)
{
	refuse_text("flush: 10x\n"
		    "nope: 1\n"
		    "captures:\n"
		    "  - interface: \"\"\n"
		    "    to: kafka://b\n"
		    "    workers: 0\n"
		    "  - interface: eth1\n"
		    "    to: zmq+pub://127.0.0.1:1\n"
		    "    cpus: 0-1\n",
		"1:8: flush: '10x' is not a time from 0 to 1h (such as 500ms, 10s, 5m)\n"
		"2:1: unknown key 'nope'; did you mean 'node'?\n"
		"4:16: interface: '' is not a text from 1 to 15 bytes long\n"
		"6:14: workers: '0' is not a whole number from 1 to 256\n"
		"9:11: capture 2: cpus: '0-1' lists 2 CPUs for 1 worker; list one for each\n");
}

static void test_syntax(void **state)
{
	refuse_text("node: a\n  b: c\n", "2:4: not valid YAML: mapping values are not allowed in this context\n");
	refuse_text("node: [a\n",
		"2:1: not valid YAML: did not find expected ',' or ']' (while parsing a flow sequence)\n");
	refuse_text(
		"node: 'a\n", "2:1: not valid YAML: found unexpected end of stream (while scanning a quoted scalar)\n");
	refuse_text(
		"node: a\nflush\n", "3:1: not valid YAML: could not find expected ':' (while scanning a simple key)\n");
	refuse_text("\tnode: a\n",
		"1:1: not valid YAML: found character that cannot start any token (while scanning for the next "
		"token)\n");
	refuse_text("node: a\nx\xff: 1\n", "2:2: not valid YAML: invalid leading UTF-8 octet\n");
	refuse_text("node: a\n\x01\n", "2:1: not valid YAML: control characters are not allowed\n");
	refuse_text(
		"captures:\n  - to: null:\n", "2:13: not valid YAML: mapping values are not allowed in this context\n");
	/* What was found before is said, too. */
	refuse_text("node: &a b\nflush: \"\\q\"\n",
		"1:7: anchors (&name) are not supported\n"
		"2:9: not valid YAML: found unknown escape character (while parsing a quoted scalar)\n");
}

static void test_not_plain_data(void **state)
{
	refuse_text("node: &n x\n" CAPTURE, "1:7: anchors (&name) are not supported\n");
	refuse_text("node: *n\n" CAPTURE,
		"1:7: aliases (*name) are not supported; put text that begins with '*' in quotes\n");
	refuse_text("node: !!str x\n" CAPTURE,
		"1:7: tags (!name) are not supported; put text that begins with '!' in quotes\n");
	refuse_text(
		"captures: *n\n", "1:11: aliases (*name) are not supported; put text that begins with '*' in quotes\n");
	refuse_text("captures: [*n]\n",
		"1:12: aliases (*name) are not supported; put text that begins with '*' in quotes\n");
	refuse_text("captures: &c [{<<: *n, interface: x, to: *m}]\n",
		"1:11: anchors (&name) are not supported\n"
		"1:20: aliases (*name) are not supported; put text that begins with '*' in quotes\n"
		"1:42: aliases (*name) are not supported; put text that begins with '*' in quotes\n"
		"1:16: unknown key '<<'\n");
	refuse_text("*n : x\n" CAPTURE,
		"1:1: a key must be a plain word\n"
		"1:1: aliases (*name) are not supported; put text that begins with '*' in quotes\n");
	refuse_text("*n\n", "1:1: aliases (*name) are not supported; put text that begins with '*' in quotes\n");
	refuse_text("node: \"a\\0b\"\n" CAPTURE, "1:7: a value has a zero byte\n"
						 "1:7: node: '' is not a text from 1 to 255 bytes long\n");
	refuse_text(CAPTURE "---\nnode: x\n", "4:1: a second document begins; there must be only one\n");
}

static void test_files(void **state)
{
	struct wb_config config;
	char path[128];

	reports[0] = '\0';
	assert_int_equal(wb_config_load("/nonexistent/x.yaml", &config, collect_report, NULL), -ENOENT);
	assert_string_equal(reports, "cannot be read: No such file or directory\n");
	wb_config_fini(&config);
	reports[0] = '\0';
	assert_int_equal(wb_config_load(load_folder, &config, collect_report, NULL), -EISDIR);
	assert_string_equal(reports, "cannot be read: Is a directory\n");
	reports[0] = '\0';
	assert_int_equal(wb_config_load("", &config, collect_report, NULL), -ENOENT);
	assert_string_equal(reports, "cannot be read: No such file or directory\n");
	/* A byte-order mark, and line ends of another system. */
	accept_text("\xef\xbb\xbf" CAPTURE, &config);
	wb_config_fini(&config);
	accept_text("captures:\r\n  - interface: eth0\r\n    to: \"null:\"\r\n", &config);
	assert_string_equal(config.captures[0].to, "null:");
	wb_config_fini(&config);
	snprintf(path, sizeof(path), "%s/absent.yaml", load_folder);
	assert_int_equal(wb_config_load(path, &config, collect_report, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_every_row),
		cmocka_unit_test(test_plugins),
		cmocka_unit_test(test_wrong_values),
		cmocka_unit_test(test_wrong_kinds),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_to),
		cmocka_unit_test(test_to_options),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_not_plain_data),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, load_setup, load_teardown);
}
