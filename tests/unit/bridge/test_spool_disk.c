/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that fails where no file system in a test does: it cannot be read, or does not keep what it took. The linker
 * puts that in: the functions of the system that are wrapped here fail when a test says so.
 */
#include "spool_rig.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define MIB ((uint64_t)1 << 20)
#define OURS "kafka://b1:9092/packets"
#define OTHER "kafka://other:9092/packets"

typedef int (*entry_filter)(const struct dirent *entry);
typedef int (*entry_order)(const struct dirent **a, const struct dirent **b);

ssize_t __real_pread(int fd, void *to, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void *to, size_t size, off_t offset);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_scandirat(int fd, const char *path, struct dirent ***names, entry_filter filter, entry_order order);
int __wrap_scandirat(int fd, const char *path, struct dirent ***names, entry_filter filter, entry_order order);
void __wrap_wb_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What fails, with which error, how often. */
static struct {
	off_t pread_from;
	int pread_error, fsync_error, fdatasync_error, scandirat_error;
	unsigned int times;
} failing;

static struct stat synced[16]; /* what was synced, without an error */
static size_t synced_count;
static char said[4096];

static bool fails(int error)
{
	if (!error || !failing.times)
		return false;
	failing.times--;
	errno = error;
	return true;
}

ssize_t __wrap_pread(int fd, void *to, size_t size, off_t offset)
{
	if (offset >= failing.pread_from && fails(failing.pread_error))
		return -1;
	return __real_pread(fd, to, size, offset);
}

static void note_synced(int fd)
{
	assert_true(synced_count < sizeof synced / sizeof synced[0]);
	assert_int_equal(fstat(fd, &synced[synced_count++]), 0);
}

int __wrap_fsync(int fd)
{
	if (fails(failing.fsync_error))
		return -1;
	note_synced(fd);
	return __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
	if (fails(failing.fdatasync_error))
		return -1;
	note_synced(fd);
	return __real_fdatasync(fd);
}

int __wrap_scandirat(int fd, const char *path, struct dirent ***names, entry_filter filter, entry_order order)
{
	if (fails(failing.scandirat_error))
		return -1;
	return __real_scandirat(fd, path, names, filter, order);
}

void __wrap_wb_log(int level, const char *format, ...)
{
	size_t length = strlen(said);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(said + length, sizeof said - length, format, arguments);
	va_end(arguments);
}

static int setup(void **state)
{
	memset(&failing, 0, sizeof failing);
	synced_count = 0;
	said[0] = '\0';
	return spool_rig_setup(state);
}

static bool was_synced(const char *path)
{
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	for (size_t i = 0; i < synced_count; i++)
		if (synced[i].st_ino == status.st_ino && synced[i].st_dev == status.st_dev)
			return true;
	return false;
}

/* One that is to survive a power loss. */
static int open_safe(const char *directory, const char *bus, struct wb_spool **ret_spool, struct wb_error *ret_error)
{
	const struct wb_spool_options options = {
		.directory = directory, .bus = bus, .bytes = 64 * MIB, .segment_bytes = MIB, .fsync = true};

	return wb_spool_open(&options, 1, ret_spool, ret_error);
}

/* Three batches, the second of which is damaged so that only its magic shows where the third one is. */
static void leave_damaged(char *name)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, MIB, 1);
	uint64_t second = 0;

	for (uint64_t seq = 1; seq <= 3; seq++) {
		assert_int_equal(spool_rig_append(wb_spool_queue(spool, 0), 1, 1, seq, 1000), 0);
		if (seq == 1) {
			assert_int_equal(spool_rig_files(".wbs", name), 1);
			second = spool_rig_file_bytes(name);
		}
	}
	wb_spool_close(spool);
	/* The length: more than the file has. */
	spool_rig_flip(name, second + 2, 0x10);
	/* What reads entries reads from where one begins; what searches for the next one, behind that. */
	failing.pread_from = (off_t)second + 1;
}

static void expect_first_and_third(void)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, MIB, 1);
	struct wb_spool_stats stats;

	wb_spool_stats(spool, &stats);
	assert_int_equal(stats.recovered, 2);
	assert_int_equal(stats.damaged, 1);
	assert_int_equal(stats.torn, 0);
	spool_rig_drain(wb_spool_queue(spool, 0), 1, 1, 1);
	spool_rig_drain(wb_spool_queue(spool, 0), 1, 1, 3);
	wb_spool_close(spool);
}

/* What cannot be read now is not taken for the end of the file, and cut off: it may be readable later. */
static void what_cannot_be_read_is_not_cut(void **state)
{
	const struct wb_spool_options options = {
		.directory = spool_rig_directory, .bytes = 64 * MIB, .segment_bytes = MIB};
	struct wb_error error = {""};
	struct wb_spool *spool;
	uint64_t bytes;
	char name[256];

	leave_damaged(name);
	bytes = spool_rig_file_bytes(name);
	failing.pread_error = EIO;
	/* The search for what follows, then the look at what it found. */
	for (unsigned int passed = 0; passed < 2; passed++) {
		failing.times = 1;
		failing.pread_from += (off_t)passed * 200;
		assert_int_equal(wb_spool_open(&options, 1, &spool, &error), -EIO);
		assert_non_null(strstr(error.message, name));
		assert_non_null(strstr(error.message, strerror(EIO)));
		assert_int_equal(spool_rig_file_bytes(name), bytes);
	}
	failing.pread_error = 0;
	expect_first_and_third();
}

static void an_interrupted_read_is_repeated(void **state)
{
	char name[256];

	leave_damaged(name);
	failing.pread_error = EINTR;
	failing.times = 3;
	expect_first_and_third();
	assert_int_equal(failing.times, 0);
}

/* Of a batch that is lost because the disk does not give it out the user is told; what the process is short of passes.
 */
static void what_is_lost_is_told_and_nothing_else(void **state)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, MIB, 1);
	struct wb_spool_queue *queue = wb_spool_queue(spool, 0);
	struct wb_spool_item item;
	struct rlimit limit, none;
	uint8_t memory[5000];

	for (uint64_t seq = 1; seq <= 2; seq++)
		assert_int_equal(spool_rig_append(queue, 1, 1, seq, sizeof memory), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(wb_spool_read(queue, wb_spool_next(queue), memory, &item), -EAGAIN);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_string_equal(said, "");
	spool_rig_drain(queue, 1, 1, 1);
	failing.pread_error = EIO;
	failing.times = 1;
	assert_int_equal(wb_spool_read(queue, wb_spool_next(queue), memory, &item), -EIO);
	assert_non_null(
		strstr(said, "batch 2 of stream 1 with 7 packets is lost: it cannot be read: Input/output error"));
	wb_spool_settled(queue, wb_spool_next(queue));
	wb_spool_close(spool);
}

/* A directory that cannot be synced makes a power loss dangerous; to lose the batches for that would be worse. */
static void a_directory_that_cannot_be_synced_loses_nothing(void **state)
{
	struct wb_error error = {""};
	struct wb_spool_stats stats;
	struct wb_spool *spool;

	assert_int_equal(open_safe(spool_rig_directory, NULL, &spool, &error), 0);
	failing.fsync_error = EINVAL;
	failing.times = 1;
	assert_int_equal(spool_rig_append(wb_spool_queue(spool, 0), 1, 1, 1, 5000), 0);
	assert_int_equal(failing.times, 0);
	assert_non_null(strstr(said, "fsync: Invalid argument; what was written may not survive a power loss"));
	wb_spool_stats(spool, &stats);
	assert_int_equal(stats.failed, 0);
	spool_rig_drain(wb_spool_queue(spool, 0), 1, 1, 1);
	wb_spool_close(spool);
}

/* The last file is complete when the spool is closed. */
static void a_last_file_that_is_not_kept_is_told(void **state)
{
	struct wb_error error = {""};
	struct wb_spool *spool;

	assert_int_equal(open_safe(spool_rig_directory, NULL, &spool, &error), 0);
	assert_int_equal(spool_rig_append(wb_spool_queue(spool, 0), 1, 1, 1, 5000), 0);
	failing.fdatasync_error = EIO;
	failing.times = 1;
	assert_string_equal(said, "");
	wb_spool_close(spool);
	assert_int_equal(failing.times, 0);
	assert_non_null(strstr(said, "fsync: Input/output error; what was written may not survive a power loss"));
}

/* A new directory is in another one, and the file that says what bus it is for is as safe as the batches. */
static void everything_is_as_safe_as_the_batches(void **state)
{
	struct wb_error error = {""};
	struct wb_spool *spool;
	char path[128], bus[160];

	snprintf(path, sizeof path, "%s/new", spool_rig_directory);
	snprintf(bus, sizeof bus, "%s/bus", path);
	assert_int_equal(open_safe(path, OURS, &spool, &error), 0);
	assert_true(was_synced(spool_rig_directory));
	assert_true(was_synced(bus));
	assert_int_equal(spool_rig_append(wb_spool_queue(spool, 0), 1, 1, 1, 5000), 0);
	assert_true(was_synced(path));
	wb_spool_settled(wb_spool_queue(spool, 0), wb_spool_next(wb_spool_queue(spool, 0)));
	wb_spool_close(spool);
	assert_string_equal(said, "");
	/* It is there already: nothing of the parent is awaited. */
	synced_count = 0;
	assert_int_equal(open_safe(path, OURS, &spool, &error), 0);
	assert_false(was_synced(spool_rig_directory));
	wb_spool_close(spool);
	assert_int_equal(unlink(bus), 0);
	snprintf(bus, sizeof bus, "%s/lock", path);
	assert_int_equal(unlink(bus), 0);
	assert_int_equal(rmdir(path), 0);
}

/* A directory that cannot be listed is not taken for one without batches, which another bus might have. */
static void what_cannot_be_listed_is_not_given_away(void **state)
{
	struct wb_error error = {""};
	struct wb_spool *spool = NULL;

	assert_int_equal(open_safe(spool_rig_directory, OURS, &spool, &error), 0);
	assert_int_equal(spool_rig_append(wb_spool_queue(spool, 0), 1, 1, 1, 5000), 0);
	wb_spool_close(spool);
	failing.scandirat_error = ENOMEM;
	failing.times = 1;
	assert_int_equal(open_safe(spool_rig_directory, OTHER, &spool, &error), -EEXIST);
	assert_int_equal(open_safe(spool_rig_directory, OTHER, &spool, &error), -EEXIST);
	assert_int_equal(open_safe(spool_rig_directory, OURS, &spool, &error), 0);
	spool_rig_drain(wb_spool_queue(spool, 0), 1, 1, 1);
	wb_spool_close(spool);
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, spool_rig_teardown)
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(what_cannot_be_read_is_not_cut),
		SPOOL_TEST(an_interrupted_read_is_repeated),
		SPOOL_TEST(what_is_lost_is_told_and_nothing_else),
		SPOOL_TEST(a_directory_that_cannot_be_synced_loses_nothing),
		SPOOL_TEST(a_last_file_that_is_not_kept_is_told),
		SPOOL_TEST(everything_is_as_safe_as_the_batches),
		SPOOL_TEST(what_cannot_be_listed_is_not_given_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
