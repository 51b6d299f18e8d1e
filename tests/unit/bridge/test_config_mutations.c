/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader is fed the example with random changes for a second of CPU time. It must neither crash nor leak, must
 * report whenever it refuses and only then, and each report must have a place within the file.
 */
#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "config.h"

#define INPUT_MAX 20000

static const char *const pieces[] = {"captures:", "  - ", "to: ", "null:", "{", "}", "[", "]", "&a ", "*a ", "!!str ",
	"${", "}", "${HOME}", "$${", "\"", "'", "\n", "\t", "\0", "\xff", "\xe2\x80\xa8", "? ", "---\n", "...\n",
	"%YAML 1.1\n", "|\n", ">\n", "<<: ", "kafka://", "?", "&", "%00", "properties:", "18446744073709551615", "-1",
	"0x", "1e9", "GiB", ",", ": ", "#"};

struct seen {
	size_t count;
	size_t lines; /* of the input */
};

static uint64_t random_state = 1;
static int input; /* a file in memory: no disk slows the test down */
static char input_path[40];

/* xorshift64: the same sequence in every run. */
static size_t random_below(size_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (size_t)(random_state % limit);
}

static size_t insert(char *text, size_t length, size_t at, const char *piece, size_t piece_length)
{
	if (length + piece_length > INPUT_MAX)
		return length;
	memmove(text + at + piece_length, text + at, length - at);
	memcpy(text + at, piece, piece_length);
	return length + piece_length;
}

static size_t mutate(char *text, size_t length)
{
	char copy[256];
	size_t at = random_below(length), n = random_below(40) + 1;

	switch (random_below(5)) {
	case 0:
		text[at] = (char)random_below(256);
		return length;
	case 1:
		n = n < length - at ? n : length - at - 1;
		memmove(text + at, text + at + n, length - at - n);
		return length - n;
	case 2: {
		const char *piece = pieces[random_below(sizeof(pieces) / sizeof(pieces[0]))];

		return insert(text, length, at, piece, piece[0] ? strlen(piece) : 1);
	}
	case 3:
		n = n < length - at ? n : length - at;
		memcpy(copy, text + at, n);
		return insert(text, length, random_below(length), copy, n);
	default:
		text[at] = "\n :{}[]-#'\"&*!|>%@`,?$"[random_below(22)];
		return length;
	}
}

static void look_at_report(void *context, const char *file, size_t line, size_t column, const char *message)
{
	struct seen *seen = context;

	seen->count++;
	assert_true(message[0] != '\0');
	assert_null(strchr(message, '\n'));
	assert_in_range(line, 1, seen->lines + 2);
	assert_in_range(column, 1, INPUT_MAX + 2);
}

static int load(const char *text, size_t length, struct seen *seen)
{
	struct wb_config config;
	int r;

	assert_int_equal(ftruncate(input, 0), 0);
	assert_int_equal(pwrite(input, text, length, 0), length);
	*seen = (struct seen){0};
	for (size_t i = 0; i < length; i++)
		seen->lines += text[i] == '\n' || text[i] == '\r' || text[i] == '\xe2' || text[i] == '\xc2';
	r = wb_config_load(input_path, &config, look_at_report, seen);
	if (r == 0)
		assert_true(config.capture_count > 0 && config.node && config.captures);
	else
		assert_true(config.captures == NULL && config.node == NULL);
	wb_config_fini(&config);
	return r;
}

static void test_mutations(void **state)
{
	static char example[INPUT_MAX + 1], text[INPUT_MAX + 1];
	size_t example_length, accepted = 0, refused = 0;
	FILE *file = fopen(EXAMPLE_FILE, "re");
	struct seen seen;
	clock_t end;

	input = memfd_create("config", MFD_CLOEXEC);
	assert_true(input >= 0);
	snprintf(input_path, sizeof(input_path), "/proc/self/fd/%d", input);
	assert_non_null(file);
	example_length = fread(example, 1, INPUT_MAX, file);
	fclose(file);
	assert_in_range(example_length, 1000, INPUT_MAX / 2);
	assert_int_equal(load(example, example_length, &seen), 0);
	end = clock() + CLOCKS_PER_SEC;
	while (clock() < end) {
		size_t length = example_length;
		int r;

		memcpy(text, example, length);
		for (size_t changes = random_below(4) + 1; changes; changes--)
			length = mutate(text, length);
		r = load(text, length, &seen);
		if (r == 0) {
			assert_int_equal(seen.count, 0);
			accepted++;
		} else {
			assert_int_equal(r, -EINVAL);
			assert_int_not_equal(seen.count, 0);
			refused++;
		}
	}
	/* Both ways were gone: many changes are in comments. */
	close(input);
	print_message("%zu accepted, %zu refused\n", accepted, refused);
	assert_true(accepted > 10);
	assert_true(refused > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutations)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
