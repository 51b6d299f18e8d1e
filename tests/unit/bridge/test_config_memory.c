/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation fails once. Whatever step it is, the loader reports it, returns -ENOMEM and leaves nothing behind
 * (the leak checker of the sanitizer build sees to that).
 */
#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "load.h"
#include "registry.h"

static size_t allocations, failing; /* failing: number of the one that fails; 0: none */

static int fails(void)
{
	return ++allocations == failing;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return fails() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
	return fails() ? NULL : __real_strndup(text, size);
}

static const char text[] = "node: a${WB_TEST_NODE}\n"
			   "ledger: ${file:beside}\n"
			   "captures:\n"
			   "  - interface: eth0\n"
			   "    cpus: [0, 1]\n"
			   "    workers: 2\n"
			   "    [list, key]: x\n"
			   "    to:\n"
			   "      url: kafka://b/t?linger=1ms&properties.c=d\n"
			   "      compression: zstd\n"
			   "      properties: {acks: all}\n"
			   "  - interface: eth1\n"
			   "    to: zmq+pub://127.0.0.1:5555\n";

static int load_failing_at(size_t number, const char *what, size_t length, struct wb_config *config)
{
	char path[128];
	int r;

	allocations = failing = 0;
	snprintf(path, sizeof(path), "%s/test.yaml", load_folder);
	write_beside("test.yaml", what, length);
	reports[0] = '\0';
	allocations = 0;
	failing = number;
	r = wb_config_load(path, config, collect_report, NULL);
	failing = 0;
	return r;
}

/* bad: whether the text is refused for its own sake when nothing fails. */
static void fail_everywhere(const char *what, size_t length, int bad)
{
	struct wb_config config;
	size_t last, failed = 0;

	assert_int_equal(load_failing_at(0, what, length, &config), bad ? -EINVAL : 0);
	wb_config_fini(&config);
	last = allocations;
	assert_in_range(last, 50, 5000);
	for (size_t i = 1; i <= last; i++) {
		int r = load_failing_at(i, what, length, &config);

		if (r == -ENOMEM)
			assert_non_null(strstr(reports,
				strstr(reports, "cannot be read") ? "Cannot allocate memory" : "out of memory"));
		else
			assert_int_equal(r, -EINVAL);
		if (r == -ENOMEM)
			assert_null(config.captures);
		failed += r == -ENOMEM;
		wb_config_fini(&config);
	}
	/* A transport's own failure is reported as a broken rule. */
	assert_true(failed > last / 2);
}

static void test_load(void **state)
{
	static char good[sizeof(text)];
	const char *list = strstr(text, "    [list");
	size_t head = (size_t)(list - text), tail = strlen(strchr(list, '\n') + 1);

	setenv("WB_TEST_NODE", "b", 1);
	write_beside("beside", "/tmp/x\n", 7);
	memcpy(good, text, head);
	memcpy(good + head, strchr(list, '\n') + 1, tail);
	fail_everywhere(good, head + tail, 0);
	fail_everywhere(text, sizeof(text) - 1, 1);
}

static void test_setup(void **state)
{
	static const struct wb_property more[] = {{"compression", "zstd"}, {"properties.acks", "all"}};
	struct wb_transport_setup setup;
	struct wb_error error;
	size_t number = 0;
	int r;

	do {
		allocations = 0;
		failing = ++number;
		r = wb_transport_setup_init("kafka://b/t?linger=1ms&properties.a=b", more, 2, &setup, &error);
		failing = 0;
		if (r < 0) {
			assert_int_equal(r, -ENOMEM);
			assert_non_null(strstr(error.message, "out of memory"));
			assert_null(setup.url.text);
			assert_null(setup.options);
		}
		wb_transport_setup_fini(&setup);
	} while (r < 0);
	assert_true(number > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_load), cmocka_unit_test(test_setup)};

	return cmocka_run_group_tests(tests, load_setup, load_teardown);
}
