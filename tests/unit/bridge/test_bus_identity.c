/* SPDX-License-Identifier: Apache-2.0 */
/* What is on disk goes to the bus that it was meant for: how that bus is known again, and what a spool makes of it. */
#include "spool_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus_identity.h"

#define MIB (UINT64_C(1) << 20)
#define OURS "kafka://b1:9092,b2:9092/packets"
#define OTHER "kafka://b3:9092/packets"

static void identify(const char *text, char *ret_identity)
{
	struct wb_error error;
	struct wb_url url;

	assert_int_equal(wb_url_parse(text, &url, &error), 0);
	wb_bus_identity(&url, ret_identity);
	wb_url_fini(&url);
}

static void expect_identity(const char *text, const char *wanted)
{
	char identity[WB_BUS_IDENTITY_BYTES];

	identify(text, identity);
	assert_string_equal(identity, wanted);
}

static void secrets_are_left_out(void **state)
{
	expect_identity(OURS "?properties.sasl.password=x", OURS);
	expect_identity("nats://user:pass@word@h1:4222,token@h2/a%40b", "nats://h1:4222,h2/a@b");
	expect_identity("nats://user:password@h1:4222", "nats://h1:4222");
	expect_identity("file:///var/lib/a,b@c", "file:///var/lib/a,b@c");
	expect_identity("/var/lib/100%/a:b@c", "file:///var/lib/100%/a:b@c");
	expect_identity("file:///var/lib/a%20b%0a", "file:///var/lib/a b%0a");
	expect_identity("zmq+pub://*:5555", "zmq+pub://*:5555");
	expect_identity("null:", "null://");
	expect_identity("nats://[::1]:4222,[::2]:4222/a", "nats://[::1]:4222,[::2]:4222/a");
}

/* Put the password in place of each '$'. */
static void fill(const char *form, const char *password, char *ret_text)
{
	for (; *form; form++) {
		if (*form == '$')
			ret_text = stpcpy(ret_text, password);
		else
			*ret_text++ = *form;
	}
	*ret_text = '\0';
}

/* Whatever is in it, escaped or not. */
static void no_password_is_left(void **state)
{
	static const char *const passwords[] = {"X", "X%2FX", "X%40X", "X%2cX", "X%40X%2FX%2CX", "X/X", "X@X", "X,X",
		"X:X", "/X", "X/", "X/X@X/X", "X@X/X", "1/X", "12,X", "X,X/X", "X@1:2/X", ",X"};
	static const char *const forms[] = {"nats://user:$@h1:4222/packets", "nats://user:$@h1:4222",
		"nats://user:$@h1:4222,user:$@h2:4222/packets", "nats://h1,user:$@h2/packets"};
	char identity[WB_BUS_IDENTITY_BYTES], text[256];

	for (size_t i = 0; i < sizeof passwords / sizeof *passwords; i++) {
		for (size_t j = 0; j < sizeof forms / sizeof *forms; j++) {
			fill(forms[j], passwords[i], text);
			identify(text, identity);
			if (strchr(identity, 'X'))
				fail_msg("%s becomes %s", text, identity);
		}
	}
	expect_identity("nats://user:se%2Fcret@h1:4222/packets", "nats://h1:4222/packets");
	expect_identity("nats://user:secret%40h1:4222", "nats://user:****@h1:4222");
	expect_identity("nats://user:se/cret@h1:4222/packets", "nats://user:****@h1:4222/packets");
	expect_identity("nats://user:se,cret@h1:4222/packets", "nats://user:****@h1:4222/packets");
	/* This may be one as well. */
	expect_identity("nats://h1:4222/a@b", "nats://h1:****@b");
	expect_identity("nats://h1:4222/a%40b", "nats://h1:4222/a@b");
}

static void a_long_one_is_cut(void **state)
{
	char text[2 * WB_BUS_IDENTITY_BYTES] = "kafka://", identity[WB_BUS_IDENTITY_BYTES];

	memset(text + 8, 'a', sizeof text - 9);
	for (size_t length = 400; length < sizeof text; length++) {
		char c = text[length];

		text[length] = '\0';
		identify(text, identity);
		assert_int_equal(strlen(identity), length < sizeof identity ? length : sizeof identity - 1);
		text[length] = c;
	}
}

static void one_common_broker_is_enough(void **state)
{
	assert_true(wb_bus_is_same(OURS, OURS));
	assert_true(wb_bus_is_same(OURS, "kafka://b2:9092/packets"));
	assert_true(wb_bus_is_same("kafka://b7,b2:9092,b8/packets", OURS));
	assert_true(wb_bus_is_same("file:///a", "file:///a"));
	assert_false(wb_bus_is_same(OURS, OTHER));
	assert_false(wb_bus_is_same(OURS, "kafka://b1:909/packets"));
	assert_false(wb_bus_is_same(OURS, "kafka://b1:9092/packets2"));
	assert_false(wb_bus_is_same(OURS, "kafka://b1:9092"));
	assert_false(wb_bus_is_same(OURS, "kafk://b1:9092/packets"));
	assert_false(wb_bus_is_same("file:///a", "file:///b"));
	assert_false(wb_bus_is_same("zmq+pub://*:5555", "zmq+pub://*:5556"));
	assert_false(wb_bus_is_same(OURS, ""));
	assert_false(wb_bus_is_same("nonsense", OURS));
}

/* Returns what wb_spool_open() did. Closed again. */
static int try(const char *bus, struct wb_error *ret_error)
{
	const struct wb_spool_options options = {
		.directory = spool_rig_directory, .bus = bus, .bytes = MIB, .segment_bytes = MIB};
	struct wb_spool *spool = NULL;
	int r = wb_spool_open(&options, 1, &spool, ret_error);

	wb_spool_close(spool);
	return r;
}

static void leave_batch(void)
{
	struct wb_spool *spool = spool_rig_open(MIB, MIB, 1);

	assert_int_equal(spool_rig_append(wb_spool_queue(spool, 0), 1, 1, 1, 1000), 0);
	wb_spool_close(spool);
}

static void expect_bus(const char *wanted)
{
	char path[128], text[WB_BUS_IDENTITY_BYTES + 2] = "";
	FILE *file;

	snprintf(path, sizeof path, "%s/bus", spool_rig_directory);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof text, file));
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	assert_string_equal(text, wanted);
}

static void a_spool_for_another_bus_is_refused(void **state)
{
	struct wb_error error = {""};

	assert_int_equal(try(OURS, &error), 0);
	leave_batch();
	assert_int_equal(try(OTHER, &error), -EEXIST);
	assert_non_null(strstr(error.message, spool_rig_directory));
	assert_non_null(strstr(error.message, "for " OURS ","));
	assert_non_null(strstr(error.message, "to " OTHER ";"));
	expect_bus(OURS);
	/* A broker was added, and the first one taken away later. */
	assert_int_equal(try("kafka://b2:9092,b4:9092/packets", &error), 0);
	assert_int_equal(try("kafka://b4:9092/packets", &error), 0);
	expect_bus("kafka://b4:9092/packets");
}

/* An empty one is anybody's, and so is one of before there was an identity, or whose file was cut. */
static void a_spool_of_nobody_is_taken(void **state)
{
	struct wb_error error = {""};
	char path[128];

	assert_int_equal(try(OURS, &error), 0);
	assert_int_equal(try(OTHER, &error), 0);
	expect_bus(OTHER);
	leave_batch();
	snprintf(path, sizeof path, "%s/bus", spool_rig_directory);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(try(OURS, &error), 0);
	expect_bus(OURS);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(try(OTHER, &error), 0);
	expect_bus(OTHER);
}

/* What is written from now on must not go where the file says; a disk that is full stands in the way of nothing else.
 */
static void a_name_that_cannot_be_changed_is_an_error(void **state)
{
	struct wb_error error = {""};
	char path[128];

	snprintf(path, sizeof path, "%s/bus.new", spool_rig_directory);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(try(OURS, &error), 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(try(OURS, &error), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(try(OTHER, &error), -EISDIR);
	assert_non_null(strstr(error.message, "noted to be for " OURS ", and that cannot be changed to " OTHER));
	expect_bus(OURS);
	/* Brokers come and go. */
	assert_int_equal(try("kafka://b2:9092,b4:9092/packets", &error), 0);
	assert_int_equal(rmdir(path), 0);
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, spool_rig_setup, spool_rig_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_are_left_out),
		cmocka_unit_test(no_password_is_left),
		cmocka_unit_test(a_long_one_is_cut),
		cmocka_unit_test(one_common_broker_is_enough),
		SPOOL_TEST(a_spool_for_another_bus_is_refused),
		SPOOL_TEST(a_spool_of_nobody_is_taken),
		SPOOL_TEST(a_name_that_cannot_be_changed_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
