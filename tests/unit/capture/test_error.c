/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: whole where they fit, cut where they do not, with the reason, and without touching errno. */
#include "cmocka_all.h"
#include "internal.h"

#include <string.h>

#define LIMIT sizeof(((struct tpacket_error *)0)->message)

struct guarded {
	struct tpacket_error error;
	char guard[64];
};

static void guard(struct guarded *guarded)
{
	memset(guarded, '#', sizeof(*guarded));
}

static void assert_guarded(const struct guarded *guarded)
{
	for (size_t i = 0; i < sizeof(guarded->guard); i++)
		assert_int_equal(guarded->guard[i], '#');
	assert_true(strnlen(guarded->error.message, LIMIT) < LIMIT);
}

static void test_with_and_without_reason(void **state)
{
	struct tpacket_error error;

	errno = EXFULL;
	assert_int_equal(tpk_refuse(&error, "a: %d", 1), -EINVAL);
	assert_string_equal(error.message, "a: 1");
	assert_int_equal(tpk_error(&error, -ENOENT, "b: '%s'", "x"), -ENOENT);
	assert_string_equal(error.message, "b: 'x': No such file or directory");
	assert_int_equal(errno, EXFULL);
	assert_int_equal(tpk_refuse(NULL, "a: %d", 1), -EINVAL);
	assert_int_equal(tpk_error(NULL, -ENOENT, "b"), -ENOENT);
	assert_int_equal(errno, EXFULL);
}

/* Of each length around the limit; the reason is cut first, and missing when there is no room at all. */
static void test_long_messages(void **state)
{
	char text[LIMIT + 10];

	memset(text, 'x', sizeof(text));
	for (size_t length = LIMIT - 30; length < sizeof(text); length++) {
		struct guarded guarded;
		size_t room = LIMIT - 1;
		guard(&guarded);
		assert_int_equal(tpk_refuse(&guarded.error, "%.*s", (int)length, text), -EINVAL);
		assert_guarded(&guarded);
		assert_int_equal(strlen(guarded.error.message), length < room ? length : room);
		guard(&guarded);
		assert_int_equal(tpk_error(&guarded.error, -EPERM, "%.*s", (int)length, text), -EPERM);
		assert_guarded(&guarded);
		size_t want = length + strlen(": Operation not permitted");
		assert_int_equal(strlen(guarded.error.message), want < room ? want : room);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_with_and_without_reason),
		cmocka_unit_test(test_long_messages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
