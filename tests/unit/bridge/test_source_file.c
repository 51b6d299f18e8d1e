/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the file source reports damage where it is, reads on behind it, and follows files that grow. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_rig.h"

static void missing_files_are_told(void **state)
{
	struct rig_source source;

	assert_int_equal(rig_source_open(&source, file_rig_url, false, 0), -ENOENT);
	assert_non_null(strstr(source.error.message, file_rig_directory));
	rig_source_close(&source);
	assert_int_equal(mkdir(file_rig_directory, 0750), 0);
	rig_log_begin();
	assert_int_equal(rig_source_open(&source, file_rig_url, false, 0), 0);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	assert_int_equal(rig_log_count("there are no .wbs files"), 1);
	rig_log_end();
	rig_source_close(&source);
}

/* Damage in the middle, an end that is cut off, strange files between: each is named, everything else arrives. */
static void damage_is_reported_and_passed(void **state)
{
	struct rig_source source;
	char path[192], one[256];
	FILE *strange;

	snprintf(one, sizeof(one), "%s?segment_bytes=4KiB", file_rig_url);
	file_rig_write_batches(one, 1, 12, 1000); /* four in each of three files: 16 + 4 x 1016 */
	file_rig_flip(file_rig_path(0, 0), 16 + 1016 + 500);
	assert_int_equal(truncate(file_rig_path(0, 1), 16 + 4 * 1016 - 7), 0);
	snprintf(path, sizeof(path), "%s/strange.wbs", file_rig_directory);
	strange = fopen(path, "we");
	fputs("this is text, not packets", strange);
	fclose(strange);
	snprintf(path, sizeof(path), "%s/zzz.wbs", file_rig_directory);
	fclose(fopen(path, "we"));
	snprintf(path, sizeof(path), "%s/notes.txt", file_rig_directory);
	fclose(fopen(path, "we"));

	assert_int_equal(rig_source_open(&source, file_rig_url, false, 0), 0);
	file_rig_expect_batch(&source, 1);
	assert_non_null(strstr(source.message.origin, SESSION "-0000-000000.wbs@16"));
	file_rig_expect_damage(&source, "-0000-000000.wbs@1032: wrong CRC");
	file_rig_expect_range(&source, 3, 4);
	file_rig_expect_range(&source, 5, 7);
	file_rig_expect_damage(&source, "-0000-000001.wbs@3064: the file ends inside an entry");
	file_rig_expect_range(&source, 9, 12);
	file_rig_expect_damage(&source, "strange.wbs: not a wirebus container");
	file_rig_expect_damage(&source, "zzz.wbs: the file ends inside its header");
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);

	/* One file alone: that it holds nothing is no end of the data. */
	snprintf(one, sizeof(one), "%s/zzz.wbs", file_rig_url);
	assert_int_equal(rig_source_open(&source, one, false, 0), 0);
	assert_int_equal(rig_source_next(&source, 0), -EPROTO);
	rig_source_close(&source);
	snprintf(one, sizeof(one), "file://%s", file_rig_path(0, 2));
	assert_int_equal(rig_source_open(&source, one, false, 0), 0);
	file_rig_expect_range(&source, 9, 12);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);
}

/* A length that cannot be costs the rest of that file, and no other's. */
static void broken_length_costs_one_file(void **state)
{
	struct rig_source source;
	char one[192];

	snprintf(one, sizeof(one), "%s?segment_bytes=4KiB", file_rig_url);
	file_rig_write_batches(one, 1, 6, 1000);
	assert_int_equal(file_rig_count_files(), 2);
	file_rig_flip(file_rig_path(0, 0), 16 + 1016 + 3);
	assert_int_equal(rig_source_open(&source, file_rig_url, true, 0), 0);
	file_rig_expect_batch(&source, 1);
	file_rig_expect_damage(&source, "cannot be");
	file_rig_expect_range(&source, 5, 6);
	assert_int_equal(rig_source_next(&source, 300), 0);
	rig_source_close(&source);
}

/* The reader was first; then files come, grow, and are followed by others. */
static void follow_reads_what_comes(void **state)
{
	struct rig_source source;
	struct rig_bus bus;
	char small[256];

	snprintf(small, sizeof(small), "%s?segment_bytes=4KiB", file_rig_url);
	rig_log_begin();
	assert_int_equal(rig_source_open(&source, file_rig_url, true, 100), 0);
	assert_int_equal(rig_source_next(&source, 400), 0);
	assert_int_equal(rig_log_count("waiting for it"), 1);
	rig_bus_open(&bus, small, 1, 4);
	assert_int_equal(rig_source_next(&source, 300), 0);
	for (uint64_t i = 1; i <= 12; i++) {
		file_rig_expect_delivered(&bus, i, 1000);
		file_rig_expect_batch(&source, i);
	}
	assert_int_equal(file_rig_count_files(), 3);
	for (uint64_t i = 13; i <= 40; i++)
		file_rig_expect_delivered(&bus, i, 1000);
	file_rig_expect_range(&source, 13, 40);
	assert_int_equal(rig_source_next(&source, 300), 0);
	rig_bus_close(&bus);
	rig_source_close(&source);
	rig_log_end();
}

/* Without follow the end is where it was at the beginning, however fast the writer is. */
static void end_is_where_it_was(void **state)
{
	struct rig_source source;
	struct rig_bus bus;

	rig_bus_open(&bus, file_rig_url, 1, 4);
	for (uint64_t i = 1; i <= 3; i++)
		file_rig_expect_delivered(&bus, i, 1000);
	assert_int_equal(rig_source_open(&source, file_rig_url, false, 0), 0);
	for (uint64_t i = 4; i <= 6; i++)
		file_rig_expect_delivered(&bus, i, 1000);
	file_rig_expect_range(&source, 1, 3);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);
	rig_bus_close(&bus);
}

/* An entry that is being written is waited for; once the worker is in its next file, it is damage. */
static void torn_entry_is_waited_for_until_it_is_over(void **state)
{
	struct rig_source source;
	char small[192];

	snprintf(small, sizeof(small), "%s?segment_bytes=4KiB", file_rig_url);
	file_rig_write_batches(small, 1, 3, 1000);
	assert_int_equal(truncate(file_rig_path(0, 0), 16 + 3 * 1016 - 1), 0);
	assert_int_equal(rig_source_open(&source, file_rig_url, true, 0), 0);
	file_rig_expect_range(&source, 1, 2);
	assert_int_equal(rig_source_next(&source, 300), 0);
	/* Grown, and still not whole: a longer entry, say. */
	assert_int_equal(truncate(file_rig_path(0, 0), 16 + 2 * 1016 + 20), 0);
	assert_int_equal(rig_source_next(&source, 300), 0);
	file_rig_write_batches(small, 4, 2, 1000);
	file_rig_expect_damage(&source, "ends inside an entry");
	file_rig_expect_range(&source, 4, 5);
	assert_int_equal(rig_source_next(&source, 300), 0);
	rig_source_close(&source);
}

/* Messages larger than the reader allows. */
static void too_long_messages_are_refused(void **state)
{
	struct rig_source source;

	file_rig_write_batches(file_rig_url, 1, 1, RIG_MAX_MESSAGE + 1);
	file_rig_write_batches(file_rig_url, 2, 1, RIG_MAX_MESSAGE);
	assert_int_equal(rig_source_open(&source, file_rig_url, false, 0), 0);
	file_rig_expect_damage(&source, "cannot be");
	file_rig_expect_batch(&source, 2);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);
}

#define TEST(f) cmocka_unit_test_teardown(f, file_rig_clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(missing_files_are_told),
		TEST(damage_is_reported_and_passed),
		TEST(broken_length_costs_one_file),
		TEST(follow_reads_what_comes),
		TEST(end_is_where_it_was),
		TEST(torn_entry_is_waited_for_until_it_is_over),
		TEST(too_long_messages_are_refused),
	};

	return cmocka_run_group_tests(tests, file_rig_set_up, file_rig_tear_down);
}
