/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `wirebus extcap` without Wireshark: the URL that options become, sentences that nothing in the user's file can break,
 * and the file itself, with random changes for a second of CPU time.
 */
#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "extcap.h"
#include "option.h"
#include "url.h"

#define INPUT_MAX 20000

static const struct wb_extcap_interface kafka = {.kind = WB_EXTCAP_KAFKA, .name = (char *)"wirebus-kafka"};
static const struct wb_extcap_interface zmq = {.kind = WB_EXTCAP_ZMQ, .name = (char *)"wirebus-zmq"};

static const struct wb_extcap_interface named = {.kind = WB_EXTCAP_NAMED, .url = (char *)"kafka://b/t?offset=end"};

static const char example[] =
	"interfaces:\n"
	"  packets: kafka://b1:9092,b2:9092/packets\n"
	"  lab: {url: 'zmq+sub://192.0.2.1:5555?topic=wb1/a/', filter: tcp port 443, since: -10m}\n"
	"  files: {url: /var/spool/wirebus, since: beginning}\n"
	"  safe:\n"
	"    url: kafka://b1:9092/safe?properties.security.protocol=SASL_SSL\n"
	"    properties: {sasl.username: reader, sasl.password: secret}\n";

static uint64_t random_state = 1;

/* xorshift64: the same sequence in every run. */
static size_t random_below(size_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (size_t)(random_state % limit);
}

static void set(struct wb_extcap_options *options, const char *key, const char *value)
{
	struct wb_error error;

	assert_int_equal(wb_option_set(wb_option_find(wb_extcap_rows, key, NULL), options, value, &error), 0);
}

static void expect_url(
	const struct wb_extcap_interface *interface, const struct wb_extcap_options *options, const char *wanted)
{
	struct wb_error error;
	char *url = NULL;

	assert_int_equal(wb_extcap_url(interface, options, &url, &error), 0);
	assert_string_equal(url, wanted);
	free(url);
}

static void expect_refused(
	const struct wb_extcap_interface *interface, const struct wb_extcap_options *options, const char *quote)
{
	struct wb_error error;
	char *url = NULL;

	assert_int_equal(wb_extcap_url(interface, options, &url, &error), -EINVAL);
	assert_non_null(strstr(error.message, quote));
	assert_null(url);
}

static void test_url(void **state)
{
	struct wb_extcap_options options;

	assert_int_equal(wb_options_init(wb_extcap_rows, &options), 0);
	expect_refused(&kafka, &options, "--brokers");
	expect_refused(&zmq, &options, "--endpoint");
	set(&options, "brokers", "b1:9092,[::1]:9092");
	expect_refused(&kafka, &options, "--topic");
	set(&options, "topic", "");
	expect_refused(&kafka, &options, "--topic");
	set(&options, "topic", "packets");
	expect_url(&kafka, &options, "kafka://b1:9092,[::1]:9092/packets");
	/* So that it is recognized, and not shown. */
	set(&options, "brokers", "me:secret@b1:9092");
	expect_url(&kafka, &options, "kafka://me:secret@b1:9092/packets");
	set(&options, "brokers", "b1:9092,[::1]:9092");
	set(&options, "properties", "/a b");
	expect_url(&kafka, &options, "kafka://b1:9092,[::1]:9092/packets?properties_file=/a%20b");
	expect_url(&named, &options, "kafka://b/t?offset=end&properties_file=/a%20b");
	set(&options, "endpoint", "tcp://127.0.0.1:5555");
	expect_url(&zmq, &options, "zmq+sub://127.0.0.1:5555");
	set(&options, "endpoint", "ipc:///run/w b");
	expect_url(&zmq, &options, "zmq+sub:///run/w%20b");
	set(&options, "mode", "pull");
	set(&options, "endpoint", "*:5555");
	set(&options, "curve_key", "/k&y=?%#+.key");
	set(&options, "curve_allow", "/home/\xc3\xa4/keys");
	expect_url(
		&zmq, &options, "zmq+pull://*:5555?curve_key=/k%26y%3D%3F%25%23%2B.key&curve_allow=/home/%C3%A4/keys");
	set(&options, "node", "n1");
	expect_refused(&zmq, &options, "--mode sub");
	set(&options, "mode", "sub");
	expect_url(&zmq, &options,
		"zmq+sub://*:5555?topic=wb1/n1/&curve_key=/k%26y%3D%3F%25%23%2B.key&curve_allow=/home/%C3%A4/keys");
	wb_options_fini(wb_extcap_rows, &options);
}

/* Whatever is in an option arrives at the other side of the URL. */
static void test_url_random(void **state)
{
	for (int round = 0; round < 2000; round++) {
		struct wb_extcap_options options;
		struct wb_url parsed;
		struct wb_error error;
		char text[24], wanted[64], *url;
		size_t length = random_below(sizeof(text) - 1) + 1;

		for (size_t i = 0; i < length; i++)
			text[i] = (char)(1 + random_below(255));
		text[length] = '\0';
		assert_int_equal(wb_options_init(wb_extcap_rows, &options), 0);
		set(&options, "brokers", "b");
		set(&options, "topic", text);
		set(&options, "endpoint", "h:1");
		set(&options, "curve_key", text);
		assert_int_equal(wb_extcap_url(&kafka, &options, &url, &error), 0);
		assert_int_equal(wb_url_parse(url, &parsed, &error), 0);
		snprintf(wanted, sizeof(wanted), "b/%s", text);
		assert_string_equal(parsed.address, wanted);
		wb_url_fini(&parsed);
		free(url);
		assert_int_equal(wb_extcap_url(&zmq, &options, &url, &error), 0);
		assert_int_equal(wb_url_parse(url, &parsed, &error), 0);
		assert_int_equal(parsed.query_count, 1);
		assert_string_equal(parsed.query[0].value, text);
		wb_url_fini(&parsed);
		free(url);
		wb_options_fini(wb_extcap_rows, &options);
	}
}

static void test_since(void **state)
{
	const char *offset;
	struct wb_error error;
	uint64_t time_ns;

	assert_int_equal(wb_extcap_since("now", &offset, &time_ns, &error), 0);
	assert_string_equal(offset, "end");
	assert_int_equal(time_ns, 0);
	assert_int_equal(wb_extcap_since("beginning", &offset, &time_ns, &error), 0);
	assert_string_equal(offset, "beginning");
	assert_int_equal(wb_extcap_since("2026-11-30T14:05:09Z", &offset, &time_ns, &error), 0);
	assert_null(offset);
	assert_int_equal(time_ns, 1796047509ull * 1000000000);
	assert_int_equal(wb_extcap_since("soon", &offset, &time_ns, &error), -EINVAL);
	assert_non_null(strstr(error.message, "'soon'"));
}

/* {key=value} after the first word, and nothing else, as Wireshark takes lines apart. */
static void check_sentences(const char *text)
{
	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		const char *end = strchr(line, '\n'), *at = strchr(line, ' ');

		assert_non_null(end);
		assert_true(at && at < end);
		for (at++; at < end; at = strchr(at, '}') + 1) {
			size_t key = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz");

			assert_int_equal(*at, '{');
			assert_true(key > 0);
			assert_int_equal(at[1 + key], '=');
			at += strcspn(at + 1, "{}\n") + 1;
			assert_int_equal(*at, '}');
		}
	}
}

static void check_interfaces(const struct wb_extcap_interfaces *interfaces)
{
	char *text;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	wb_extcap_print_interfaces(interfaces, stream);
	for (size_t i = 0; i < interfaces->count; i++)
		wb_extcap_print_config(&interfaces->list[i], stream);
	fclose(stream);
	check_sentences(text);
	free(text);
}

static int write_input(const char *text, size_t length, char *ret_path, size_t size)
{
	int fd = memfd_create("extcap.yaml", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(write(fd, text, length), (ssize_t)length);
	snprintf(ret_path, size, "/proc/self/fd/%d", fd);
	return fd;
}

static void test_file(void **state)
{
	struct wb_extcap_interfaces interfaces = {0};
	const struct wb_extcap_interface *found;
	struct wb_error error;
	char path[40];
	int fd = write_input(example, sizeof(example) - 1, path, sizeof(path));

	assert_int_equal(wb_extcap_file_load(path, &interfaces, stderr), 0);
	close(fd);
	assert_int_equal(interfaces.count, 4);
	check_interfaces(&interfaces);
	found = wb_extcap_interface_find(&interfaces, "wirebus-safe", &error);
	assert_non_null(found);
	assert_int_equal(found->property_count, 2);
	assert_string_equal(found->properties[1].key, "sasl.password");
	assert_true(wb_extcap_takes(found, "properties"));
	found = wb_extcap_interface_find(&interfaces, "wirebus-lab", &error);
	assert_false(wb_extcap_takes(found, "properties"));
	assert_null(wb_extcap_interface_find(&interfaces, "wirebus-lap", &error));
	assert_non_null(strstr(error.message, "wirebus-lab"));
	wb_extcap_interfaces_fini(&interfaces);
	assert_int_equal(wb_extcap_file_load("/nosuch/extcap.yaml", &interfaces, stderr), 0);
	assert_int_equal(interfaces.count, 0);
	/* A folder is no file. */
	assert_int_equal(wb_extcap_file_load("/proc", &interfaces, NULL), 0);
	assert_int_equal(interfaces.count, 1);
	assert_int_equal(interfaces.list[0].kind, WB_EXTCAP_BROKEN);
	wb_extcap_interfaces_fini(&interfaces);
}

/* Secrets that stand in the file itself are for its owner; what has none of its own is taken whatever the mode is. */
static void test_file_mode(void **state)
{
	static const char text[] =
		"interfaces:\n"
		"  plain: kafka://b1:9092/packets?properties.sasl.username=me\n"
		"  url: kafka://b1:9092/packets?properties.sasl.password=hunter2\n"
		"  user: {url: 'zmq+sub://me:hun/ter2@192.0.2.1:5555'}\n"
		"  map: {url: kafka://b/t, properties: {sasl.username: me, ssl.key.password: hunter2}}\n"
		"  moved: {url: kafka://b/t, properties: {sasl.password: '${WIREBUS_TEST_SECRET}'}}\n"
		"  away: kafka://b/t?properties.sasl.password=${WIREBUS_TEST_SECRET}\n";
	static const unsigned int modes[] = {0644, 0604, 0660, 0602, 0640, 0600};

	assert_int_equal(setenv("WIREBUS_TEST_SECRET", "hunter3", 1), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		const bool refused = i < 4;
		struct wb_extcap_interfaces interfaces = {0};
		char *reports, path[40], mode[24];
		size_t size;
		FILE *stream = open_memstream(&reports, &size);
		int fd = write_input(text, sizeof(text) - 1, path, sizeof(path));

		assert_int_equal(fchmod(fd, modes[i]), 0);
		assert_int_equal(wb_extcap_file_load(path, &interfaces, stream), 0);
		fclose(stream);
		close(fd);
		snprintf(mode, sizeof(mode), "has mode %04o:", modes[i]);
		assert_int_equal(interfaces.count, refused ? 4 : 6);
		assert_int_equal(strstr(reports, mode) != NULL, refused);
		assert_int_equal(strstr(reports, ":3:8: properties.sasl.password: it is a secret") != NULL, refused);
		assert_int_equal(strstr(reports, ":4:15: password: it is a secret") != NULL, refused);
		assert_int_equal(strstr(reports, ":5:77: ssl.key.password: it is a secret") != NULL, refused);
		assert_null(strstr(reports, "hun"));
		wb_extcap_interfaces_fini(&interfaces);
		free(reports);
	}
}

static size_t mutate(char *text, size_t length)
{
	static const char *const pieces[] = {"interfaces:", "${", "}", "${HOME}", "}{", "\xff", "\xe2\x80\xae", "%00",
		"zmq+pull://", "?", "properties:", "null", "\n  ", "{", "[", ": ", "'", "\x1b[1m"};
	size_t at = random_below(length), n = random_below(20) + 1;
	const char *piece;

	switch (random_below(3)) {
	case 0:
		text[at] = (char)random_below(256);
		return length;
	case 1:
		n = n < length - at ? n : length - at - 1;
		memmove(text + at, text + at + n, length - at - n);
		return length - n;
	default:
		piece = pieces[random_below(sizeof(pieces) / sizeof(pieces[0]))];
		n = strlen(piece);
		if (length + n > INPUT_MAX)
			return length;
		memmove(text + at + n, text + at, length - at);
		memcpy(text + at, piece, n);
		return length + n;
	}
}

static void test_file_mutations(void **state)
{
	const clock_t end = clock() + CLOCKS_PER_SEC;
	char *reports, path[40];
	size_t size, broken = 0, rounds = 0;

	for (; clock() < end; rounds++) {
		struct wb_extcap_interfaces interfaces = {0};
		FILE *stream = open_memstream(&reports, &size);
		char text[INPUT_MAX];
		size_t length = sizeof(example) - 1;
		bool is_broken;
		int fd;

		memcpy(text, example, length);
		for (size_t i = random_below(6) + 1; i > 0 && length > 1; i--)
			length = mutate(text, length);
		fd = write_input(text, length, path, sizeof(path));
		assert_int_equal(wb_extcap_file_load(path, &interfaces, stream), 0);
		close(fd);
		fclose(stream);
		check_interfaces(&interfaces);
		is_broken = interfaces.count > 0 && interfaces.list[interfaces.count - 1].kind == WB_EXTCAP_BROKEN;
		assert_int_equal(is_broken, size > 0);
		broken += is_broken;
		wb_extcap_interfaces_fini(&interfaces);
		free(reports);
	}
	assert_true(broken > 0 && broken < rounds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_url),
		cmocka_unit_test(test_url_random),
		cmocka_unit_test(test_since),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_file_mode),
		cmocka_unit_test(test_file_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
