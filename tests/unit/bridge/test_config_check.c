/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults of a configuration, and the rules between its options. */
#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "option.h"
#include "tpacket.h"
#include "wbproto.h"

static struct wb_config config;

static struct wb_capture_config *add(const char *interface, const char *to)
{
	struct wb_capture_config *capture;

	assert_int_equal(wb_config_add_capture(&config, &capture), 0);
	if (interface)
		assert_non_null(capture->interface = strdup(interface));
	if (to)
		assert_non_null(capture->to = strdup(to));
	return capture;
}

static void set(struct wb_capture_config *capture, const char *key, const char *value)
{
	struct wb_error error;

	assert_int_equal(wb_option_set(wb_option_find(wb_capture_config_rows, key, NULL), capture, value, &error), 0);
}

static int setup(void **state)
{
	return wb_config_init(&config);
}

static int teardown(void **state)
{
	wb_config_fini(&config);
	wb_config_fini(&config);
	return 0;
}

static void holds(void)
{
	struct wb_error error = {""};
	int r = wb_config_check(&config, &error);

	assert_string_equal(error.message, "");
	assert_int_equal(r, 0);
}

static void broken(const char *message)
{
	struct wb_error error = {""};

	assert_int_equal(wb_config_check(&config, &error), -EINVAL);
	assert_string_equal(error.message, message);
	assert_int_equal(wb_config_check(&config, NULL), -EINVAL);
}

static void test_defaults(void **state)
{
	const struct wb_capture_config *capture = add(NULL, NULL);
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	assert_string_equal(config.node, host);
	assert_int_equal(config.log_level, WB_LOG_INFO);
	assert_int_equal(config.require_bus_ms, 0);
	assert_int_equal(config.flush_ms, 10000);
	assert_null(config.ledger);
	assert_null(capture->name);
	assert_null(capture->filter);
	assert_null(capture->cpus);
	assert_int_equal(capture->workers, 1);
	assert_int_equal(capture->snap_length, 262144);
	assert_true(capture->promiscuous);
	assert_false(capture->ignore_outgoing);
	assert_false(capture->vnet_header);
	assert_int_equal(capture->timestamp, TPACKET_TIMESTAMP_SOFTWARE);
	assert_int_equal(capture->block_bytes, 1 << 20);
	assert_int_equal(capture->block_count, 64);
	assert_int_equal(capture->retire_ms, 10);
	assert_int_equal(capture->fanout, TPACKET_FANOUT_HASH);
	assert_int_equal(capture->fanout_id, 0);
	assert_false(capture->defragment);
	assert_int_equal(capture->batch_bytes, 256 << 10);
	assert_int_equal(capture->batch_max_bytes, 0);
	assert_int_equal(capture->batch_packets, 0);
	assert_int_equal(capture->batch_age_ms, 50);
	assert_int_equal(capture->encoder, WBPROTO_ENCODER_DIRECT);
	assert_int_equal(capture->buffers, 128);
	assert_int_equal(capture->heartbeat_ms, 1000);
	assert_int_equal(capture->on_full, WB_ON_FULL_BLOCK);
	assert_int_equal(capture->mode, WB_MODE_BATCH);
	assert_int_equal(capture->key, WB_KEY_STREAM);
	assert_int_equal(capture->flow_buckets, 16);
	assert_int_equal(wb_capture_streams(capture), 1);
	assert_int_equal(capture->to_option_count, 0);
}

/* The rows' words must mean what the enumerations of the other parts mean. */
static void test_choices(void **state)
{
	static const struct {
		const char *key, *word;
		unsigned int value;
	} cases[] = {
		{"timestamp", "software", TPACKET_TIMESTAMP_SOFTWARE},
		{"timestamp", "hardware", TPACKET_TIMESTAMP_HARDWARE},
		{"fanout", "hash", TPACKET_FANOUT_HASH},
		{"fanout", "load_balance", TPACKET_FANOUT_LOAD_BALANCE},
		{"fanout", "cpu", TPACKET_FANOUT_CPU},
		{"fanout", "rollover", TPACKET_FANOUT_ROLLOVER},
		{"fanout", "random", TPACKET_FANOUT_RANDOM},
		{"fanout", "queue_mapping", TPACKET_FANOUT_QUEUE_MAPPING},
		{"encoder", "direct", WBPROTO_ENCODER_DIRECT},
		{"encoder", "protobuf-c", WBPROTO_ENCODER_PROTOBUF_C},
		{"on_full", "block", WB_ON_FULL_BLOCK},
		{"on_full", "drop", WB_ON_FULL_DROP},
		{"mode", "batch", WB_MODE_BATCH},
		{"mode", "record", WB_MODE_RECORD},
		{"key", "stream", WB_KEY_STREAM},
		{"key", "flow", WB_KEY_FLOW},
		{"key", "interface", WB_KEY_INTERFACE},
		{"key", "none", WB_KEY_NONE},
	};
	static const char *const levels[] = {"error", "warning", "info", "debug"};
	struct wb_capture_config *capture = add(NULL, NULL);
	struct wb_error error;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct wb_option_row *row = wb_option_find(wb_capture_config_rows, cases[i].key, NULL);

		assert_non_null(row);
		assert_int_equal(wb_option_set(row, capture, cases[i].word, &error), 0);
		assert_int_equal(*(unsigned int *)(void *)((char *)capture + row->offset), cases[i].value);
	}
	for (unsigned int i = WB_LOG_ERROR; i <= WB_LOG_DEBUG; i++) {
		assert_int_equal(
			wb_option_set(wb_option_find(wb_config_rows, "log_level", NULL), &config, levels[i], &error),
			0);
		assert_int_equal(config.log_level, i);
	}
}

static void test_limits_of_single_options(void **state)
{
	static const char *const too_small[][2] = {{"workers", "0"}, {"snap_length", "0"}, {"block_bytes", "4095"},
		{"block_count", "0"}, {"retire", "0"}, {"batch_bytes", "4095"}, {"batch_age", "0"}, {"buffers", "3"},
		{"heartbeat", "9"}, {"flow_buckets", "0"}};
	static const char *const too_large[][2] = {{"workers", "257"}, {"snap_length", "262145"},
		{"fanout_id", "65536"}, {"batch_bytes", "67108865"}, {"interface", "0123456789abcdef"},
		{"block_bytes", "2GiB"}, {"flow_buckets", "257"}};
	struct wb_capture_config *capture = add(NULL, NULL);

	for (size_t i = 0; i < sizeof(too_small) / sizeof(too_small[0]); i++)
		assert_int_equal(wb_option_set(wb_option_find(wb_capture_config_rows, too_small[i][0], NULL), capture,
					 too_small[i][1], NULL),
			-EINVAL);
	for (size_t i = 0; i < sizeof(too_large) / sizeof(too_large[0]); i++)
		assert_int_equal(wb_option_set(wb_option_find(wb_capture_config_rows, too_large[i][0], NULL), capture,
					 too_large[i][1], NULL),
			-EINVAL);
}

static void test_right(void **state)
{
	struct wb_capture_config *capture = add("eth0", "zmq+pub://127.0.0.1:5555");

	holds();
	assert_string_equal(wb_capture_name(capture), "eth0");
	set(capture, "name", "office");
	assert_string_equal(wb_capture_name(capture), "office");
	set(capture, "workers", "3");
	set(capture, "cpus", "0,2-3");
	set(capture, "batch_max_bytes", "256KiB");
	holds();
}

static void test_captures(void **state)
{
	struct wb_capture_config *capture;

	broken("captures: there is none; name an interface and a bus");
	capture = add(NULL, NULL);
	broken("interface: it is missing; 'ip link' lists those that there are");
	set(capture, "interface", "eth0");
	broken("to: it is missing; it says where the packets go, such as zmq+pub://127.0.0.1:5555");
	set(capture, "to", "zmq+sub://127.0.0.1:5555");
	broken("to: 'zmq+sub://127.0.0.1:5555': the transport 'zmq+sub' is unknown; did you mean 'zmq+pub'? known are "
	       "kafka, "
	       "zmq+pub, zmq+push, file, null");
	set(capture, "to", "kafka://b1");
	broken("to: kafka://b1: the topic is missing");
	set(capture, "to", "kafka://b1/t");
	assert_int_equal(wb_config_add_to_option(capture, "compression", "zip"), 0);
	broken("to: kafka://b1/t: compression: 'zip' is not one of none, lz4, zstd");
}

static void name_node(const char *name)
{
	free(config.node);
	config.node = strdup(name);
	assert_non_null(config.node);
}

static void test_node(void **state)
{
	add("eth0", "null:");
	name_node("");
	broken("node: it is empty");
	name_node("a/b");
	broken("node: 'a/b' has a '/'");
	name_node("a\xff");
	broken("node: 'a?' is not UTF-8");
	name_node("a\nb");
	broken("node: it has a control character");
	name_node("h\xc3\xb6st-1.example");
	holds();
}

static void test_cpus(void **state)
{
	struct wb_capture_config *capture = add("eth0", "null:");

	set(capture, "cpus", "0-1");
	broken("cpus: '0-1' lists 2 CPUs for 1 worker; list one for each");
	set(capture, "cpus", "0");
	set(capture, "workers", "4");
	broken("cpus: '0' lists 1 CPU for 4 workers; list one for each");
	set(capture, "cpus", "x");
	broken("cpus: 'x' is not a list of CPU numbers below 1024 (such as 0,2-3)");
	set(capture, "workers", "256");
	set(capture, "cpus", "0-255");
	holds();
	set(capture, "cpus", "0-256");
	broken("cpus: '0-256' lists more than 256 CPUs");
}

static void test_ring(void **state)
{
	struct wb_capture_config *capture = add("eth0", "null:");
	char message[200];

	set(capture, "block_bytes", "5000");
	snprintf(message, sizeof(message), "block_bytes: 5000 is not a multiple of the page size, %ld",
		sysconf(_SC_PAGESIZE));
	broken(message);
}

static void test_batch(void **state)
{
	struct wb_capture_config *capture = add("eth0", "kafka://b1/t");

	set(capture, "batch_bytes", "1000000");
	holds();
	set(capture, "batch_bytes", "2MiB");
	broken("batch_bytes: 2097152 is larger than the bus takes: 1000000 bytes (properties.message.max.bytes); lower "
	       "batch_bytes "
	       "or raise properties.message.max.bytes");
	set(capture, "batch_bytes", "256KiB");
	set(capture, "batch_max_bytes", "1000001");
	broken("batch_max_bytes: 1000001 is larger than the bus takes: 1000000 bytes (properties.message.max.bytes); "
	       "lower "
	       "batch_max_bytes or raise properties.message.max.bytes");
	set(capture, "batch_max_bytes", "262143");
	broken("batch_max_bytes: 262143 is smaller than batch_bytes, 262144; raise it, or leave it out");
	set(capture, "batch_max_bytes", "0");
	set(capture, "to", "/tmp");
	broken("batch_bytes: 262144 is larger than the bus takes: 100000 bytes; lower batch_bytes");
}

static void test_flow(void **state)
{
	struct wb_capture_config *capture = add("eth0", "kafka://b1/t");

	set(capture, "buffers", "19");
	holds(); /* of no importance with another key */
	set(capture, "key", "flow");
	assert_int_equal(wb_capture_streams(capture), 16);
	broken("buffers: 19 is too few for flow_buckets 16, of which each has an open batch; at least 20 are needed");
	set(capture, "buffers", "20");
	holds();
	set(capture, "flow_buckets", "256");
	broken("buffers: 20 is too few for flow_buckets 256, of which each has an open batch; at least 260 are needed");
	set(capture, "buffers", "260");
	holds();
}

static void test_mode(void **state)
{
	struct wb_capture_config *capture = add("eth0", "kafka://b1/t");

	set(capture, "mode", "record");
	holds();
	set(capture, "to", "zmq+pub://127.0.0.1:5555");
	broken("mode: 'record' is not for ZeroMQ; use kafka:// or file://, or mode 'batch'");
	set(capture, "mode", "batch");
	holds();
}

static void test_several(void **state)
{
	struct wb_capture_config *first = add("eth0", "zmq+pub://127.0.0.1:5555"), *second;

	set(first, "fanout_id", "7");
	second = add("eth0", "zmq+push://127.0.0.1:5555");
	broken("capture 2: to: '127.0.0.1:5555' is bound by capture 1 already");
	assert_int_equal(wb_config_add_to_option(second, "bind", "no"), 0);
	holds();
	set(second, "to", "kafka://b1");
	broken("capture 2: to: kafka://b1: unknown option 'bind'");
	set(second, "to", "zmq+push://127.0.0.1:5556");
	set(second, "fanout_id", "7");
	broken("capture 2: fanout_id: 7 is capture 1's; each would get a part of the packets");
	set(second, "fanout_id", "8");
	holds();
}

static char all[1000];

static void collect(void *context, size_t capture, const char *key, const char *message)
{
	size_t used = strlen(all);

	assert_ptr_equal(context, &config);
	snprintf(all + used, sizeof(all) - used, "%zd %s|%s\n", (ssize_t)capture, key, message);
}

static void test_all_at_once(void **state)
{
	struct wb_capture_config *capture;

	add("eth0", "null:");
	add(NULL, "null:");
	name_node("a/b");
	capture = &config.captures[0];
	set(capture, "cpus", "0-1");
	set(capture, "batch_max_bytes", "1");
	all[0] = '\0';
	assert_int_equal(wb_config_check_all(&config, collect, &config), -EINVAL);
	assert_string_equal(all,
		"-1 node|node: 'a/b' has a '/'\n"
		"0 cpus|capture 1: cpus: '0-1' lists 2 CPUs for 1 worker; list one for each\n"
		"0 batch_max_bytes|capture 1: batch_max_bytes: 1 is smaller than batch_bytes, 262144; raise it, or "
		"leave it out\n"
		"1 interface|capture 2: interface: it is missing; 'ip link' lists those that there are\n");
}

static void test_stats(void **state)
{
	add("eth0", "null:");
	config.stats_ms = 100;
	holds();
	config.stats_ms = 99;
	broken("stats: 99ms is shorter than 100ms; 0 means none");
}

/* What a killed session left is found by its capture's name. */
static void test_state_names(void **state)
{
	struct wb_capture_config *second;

	add("eth0", "null:");
	second = add("eth0", "null:");
	holds();
	assert_non_null(config.state_dir = strdup("/s"));
	broken("capture 2: name: 'eth0' is capture 1's; with state_dir each needs a name of its own");
	set(second, "name", "files");
	holds();
}

static void test_spool(void **state)
{
	struct wb_capture_config *first, *second;

	add("eth0", "null:");
	add("eth1", "null:");
	first = &config.captures[0];
	second = &config.captures[1];
	set(first, "on_full", "spool");
	broken("capture 1: spool_dir: it is missing; on_full: spool needs a directory to write to");
	set(first, "spool_dir", "/a");
	holds();
	set(second, "spool_dir", "/a");
	broken("capture 2: spool_dir: '/a' is capture 1's; each needs a directory of its own");
	set(second, "spool_dir", "/b");
	holds();
	set(first, "spool_bytes", "1MiB");
	holds();
	set(first, "spool_bytes", "1048575");
	broken("capture 1: spool_bytes: 1048575 is less than four batches of batch_bytes, 262144; raise it or lower "
	       "batch_bytes");
	set(first, "batch_bytes", "4096");
	holds();
	set(first, "to", "kafka://b1/t");
	set(first, "mode", "record");
	holds();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_defaults),
		TEST(test_choices),
		TEST(test_limits_of_single_options),
		TEST(test_right),
		TEST(test_captures),
		TEST(test_node),
		TEST(test_stats),
		TEST(test_cpus),
		TEST(test_ring),
		TEST(test_batch),
		TEST(test_flow),
		TEST(test_mode),
		TEST(test_state_names),
		TEST(test_spool),
		TEST(test_several),
		TEST(test_all_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
