/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that what the file transport settled as delivered is what the file source reads, in order, once; and that a
 * failing disk loses only what was settled as failed.
 */
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

static const struct wb_route route = {.partition = -1};

/* Two workers, several segments each, batches of all sizes: everything comes back, in order within each worker. */
static void what_was_delivered_comes_back(void **state)
{
	enum { COUNT = 200 };
	struct rig_batch *batches = calloc(COUNT, sizeof(*batches));
	struct wb_transport_stats stats;
	struct rig_source source;
	uint64_t next[2] = {0, 1}, bytes = 0;
	struct rig_bus bus;
	char with_options[256];

	snprintf(with_options, sizeof(with_options), "%s?segment_bytes=100KiB&fsync=segment", file_rig_url);
	rig_bus_open(&bus, with_options, 2, 8);
	for (size_t i = 0; i < COUNT; i++) {
		rig_batch_init(&batches[i], i % 2, i, 16 + i * i % 20000);
		bytes += batches[i].batch.size;
	}
	file_rig_send_all(&bus, batches, COUNT);
	bus.setup.ops->stats(bus.transport, &stats);
	assert_true(stats.connected);
	assert_int_equal(stats.published, COUNT);
	assert_int_equal(stats.settled, COUNT);
	assert_int_equal(stats.bytes, bytes);
	rig_bus_close(&bus);
	assert_int_equal(bus.log_count, 0);

	assert_true(file_rig_count_files() >= 10);
	assert_true(file_rig_size(file_rig_path(0, 0)) > 0 && file_rig_size(file_rig_path(0, 0)) <= 100 << 10);
	assert_true(file_rig_size(file_rig_path(1, 1)) > 0 && file_rig_size(file_rig_path(1, 1)) <= 100 << 10);
	assert_int_equal(rig_source_open(&source, file_rig_url, false, 0), 0);
	for (size_t i = 0; i < COUNT; i++) {
		uint64_t sequence;
		uint32_t worker;

		assert_int_equal(rig_source_next(&source, 5000), 1);
		sequence = rig_check(source.message.data, source.message.size, &worker);
		assert_int_equal(sequence, next[worker]);
		assert_int_equal(source.message.size, batches[sequence].batch.size);
		next[worker] += 2;
	}
	assert_int_equal(rig_source_next(&source, 5000), -ENODATA);
	rig_source_close(&source);
	for (size_t i = 0; i < COUNT; i++) {
		assert_int_equal(atomic_load(&batches[i].settled), 1);
		assert_int_equal(atomic_load(&batches[i].result), WB_RESULT_DELIVERED);
		rig_batch_fini(&batches[i]);
	}
	free(batches);
}

/* A batch of several messages: each is an entry of its own, and the batch is one as far as its outcome goes. */
static void records_are_entries(void **state)
{
	enum { COUNT = 300, SIZE = 100 };
	uint8_t *data = malloc((size_t)COUNT * SIZE);
	struct wb_record notes[COUNT];
	struct rig_source source;
	struct rig_batch batch;
	struct rig_bus bus;

	assert_non_null(data);
	for (uint32_t i = 0; i < COUNT; i++) {
		rig_batch_init(&batch, 1, i, SIZE);
		memcpy(data + (size_t)i * SIZE, batch.batch.data, SIZE);
		notes[i] = (struct wb_record){.end = (i + 1) * SIZE};
		rig_batch_fini(&batch);
	}
	rig_batch_init(&batch, 1, COUNT, SIZE);
	free((void *)batch.batch.data);
	batch.batch.data = data;
	batch.batch.size = (size_t)COUNT * SIZE;
	batch.batch.packets = batch.batch.record_count = COUNT;
	batch.batch.records = notes;
	rig_bus_open(&bus, file_rig_url, 1, 4);
	assert_int_equal(rig_bus_send(&bus, &batch), WB_RESULT_DELIVERED);
	rig_bus_close(&bus);
	assert_int_equal(file_rig_size(file_rig_path(1, 0)), 16 + COUNT * (16 + SIZE));
	assert_int_equal(rig_source_open(&source, file_rig_url, false, 0), 0);
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_int_equal(rig_source_next(&source, 5000), 1);
		assert_int_equal(source.message.kind, WB_MESSAGE_RECORD);
		assert_int_equal(rig_check(source.message.data, source.message.size, NULL), i);
	}
	assert_int_equal(rig_source_next(&source, 5000), -ENODATA);
	rig_source_close(&source);
	rig_batch_fini(&batch);
}

static void files_are_named_and_protected(void **state)
{
	struct stat status;

	file_rig_write_batches(file_rig_url, 1, 2, 100);
	file_rig_write_batches(
		file_rig_url, 3, 1, 100); /* the first name is taken: it is neither opened again nor replaced */
	assert_int_equal(stat(file_rig_directory, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0750);
	assert_int_equal(stat(file_rig_path(0, 0), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0640);
	assert_int_equal(status.st_size, 16 + 2 * 116);
	assert_int_equal(file_rig_size(file_rig_path(0, 1)), 16 + 116);
	assert_int_equal(file_rig_count_files(), 2);
}

/* A batch of another session goes into a file of that session. */
static void sessions_are_kept_apart(void **state)
{
	struct rig_source source;
	struct rig_batch batch;
	struct rig_bus bus;

	rig_bus_open(&bus, file_rig_url, 1, 8);
	for (uint64_t i = 1; i <= 6; i++) {
		rig_batch_init(&batch, 0, i, 50);
		batch.session[0] = i == 3 || i == 4 ? 0x0f : 0x10;
		assert_int_equal(rig_bus_send(&bus, &batch), WB_RESULT_DELIVERED);
		rig_batch_fini(&batch);
	}
	rig_bus_close(&bus);
	assert_int_equal(file_rig_count_files(), 3);
	assert_int_equal(rig_source_open(&source, file_rig_url, false, 0), 0);
	file_rig_expect_range(&source, 3, 4);
	file_rig_expect_range(&source, 1, 2);
	file_rig_expect_range(&source, 5, 6);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);
}

/* A queue of two, filled faster than any disk writes. */
static void full_queue_refuses(void **state)
{
	struct wb_transport_stats stats;
	struct rig_batch batches[8];
	unsigned int taken = 0, again = 0;
	struct rig_bus bus;

	rig_bus_open(&bus, file_rig_url, 1, 2);
	for (int round = 0; round < 1000 && again == 0; round++) {
		for (unsigned int i = 0; i < 8; i++)
			rig_batch_init(&batches[i], 0, i, RIG_MAX_MESSAGE);
		for (taken = 0; taken < 8; taken++) {
			int r = bus.setup.ops->publish(bus.lanes[0], &batches[taken].batch, &route);

			assert_true(r == 0 || r == -EAGAIN);
			if (r == -EAGAIN) {
				again++;
				break;
			}
		}
		assert_int_equal(bus.setup.ops->flush(bus.transport, 20000), 0);
		for (unsigned int i = 0; i < 8; i++) {
			assert_int_equal(atomic_load(&batches[i].settled), i < taken);
			rig_batch_fini(&batches[i]);
		}
		unlink(file_rig_path(0, 0));
	}
	/* Eight batches are queued in less time than 4 MiB are written six times. */
	assert_true(again > 0);
	bus.setup.ops->stats(bus.transport, &stats);
	assert_int_equal(stats.again, again);
	assert_int_equal(stats.published, stats.settled);
	rig_bus_close(&bus);
}

/* close() without flush(): everything is settled once, and what was settled as delivered is in the file. */
static void close_settles_what_is_held(void **state)
{
	enum { COUNT = 16 };
	struct rig_batch batches[COUNT];
	struct rig_source source;
	struct rig_bus bus;
	unsigned int delivered = 0;

	rig_bus_open(&bus, file_rig_url, 1, COUNT);
	for (unsigned int i = 0; i < COUNT; i++) {
		rig_batch_init(&batches[i], 0, i, 1 << 20);
		assert_int_equal(bus.setup.ops->publish(bus.lanes[0], &batches[i].batch, &route), 0);
	}
	rig_bus_close(&bus);
	for (unsigned int i = 0; i < COUNT; i++) {
		assert_int_equal(atomic_load(&batches[i].settled), 1);
		if (atomic_load(&batches[i].result) == WB_RESULT_DELIVERED) {
			assert_int_equal(delivered, i);
			delivered++;
		} else {
			assert_int_equal(atomic_load(&batches[i].result), WB_RESULT_FAILED);
			assert_int_equal(atomic_load(&batches[i].cause), WB_CAUSE_SHUTDOWN);
		}
		rig_batch_fini(&batches[i]);
	}
	assert_int_equal(rig_source_open(&source, file_rig_url, false, 0), 0);
	for (unsigned int i = 0; i < delivered; i++)
		file_rig_expect_batch(&source, i);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);
}

static void expect_failed(struct rig_bus *bus, uint64_t sequence, size_t size)
{
	struct rig_batch batch;

	rig_batch_init(&batch, 0, sequence, size);
	assert_int_equal(rig_bus_send(bus, &batch), WB_RESULT_FAILED);
	assert_int_equal(atomic_load(&batch.cause), WB_CAUSE_IO);
	rig_batch_fini(&batch);
}

/* A limit on the size of files, in the middle of an entry: another file is begun; no entry fits: failed, then again. */
static void file_size_limit_is_survived(void **state)
{
	struct rlimit before, limit;
	struct wb_transport_stats stats;
	struct rig_source source;
	struct rig_bus bus;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 2500;
	rig_bus_open(&bus, file_rig_url, 1, 4);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	file_rig_expect_delivered(&bus, 1, 1000);
	file_rig_expect_delivered(&bus, 2, 1000);
	file_rig_expect_delivered(&bus, 3, 1000); /* in the second file */
	assert_int_equal(file_rig_count_files(), 2);
	assert_int_equal(file_rig_size(file_rig_path(0, 0)), 16 + 2 * 1016);
	for (uint64_t i = 4; i < 10; i++)
		expect_failed(&bus, i, 3000);
	bus.setup.ops->stats(bus.transport, &stats);
	assert_false(stats.connected);
	assert_int_equal(bus.log_count, 1);
	assert_int_equal(rig_bus_logged(&bus, "File too large"), 1);
	/* Smaller ones still fit, which is no reason to tell that all is well. */
	file_rig_expect_delivered(&bus, 10, 100);
	assert_int_equal(bus.log_count, 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	file_rig_expect_delivered(&bus, 11, 3000);
	assert_int_equal(bus.log_count, 2);
	assert_int_equal(rig_bus_logged(&bus, "works again; 6 batches were lost"), 1);
	bus.setup.ops->stats(bus.transport, &stats);
	assert_true(stats.connected);
	assert_int_equal(stats.settled, 11);
	assert_int_equal(stats.bytes, 3 * 1000 + 100 + 3000);
	rig_bus_close(&bus);

	assert_int_equal(rig_source_open(&source, file_rig_url, false, 0), 0);
	file_rig_expect_range(&source, 1, 3);
	file_rig_expect_range(&source, 10, 11);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);
}

/* A disk that is full while an entry is written, and has room again later. */
static void full_disk_is_survived(void **state)
{
	struct rig_source source;
	struct rig_bus bus;
	char ballast[128];
	int fd;

	assert_int_equal(mkdir(file_rig_directory, 0750), 0);
	if (mount("wirebus-test", file_rig_directory, "tmpfs", MS_NOSUID | MS_NODEV, "size=256k") < 0) {
		print_message("skipped: cannot mount a tmpfs (%s)\n", strerror(errno));
		skip();
	}
	snprintf(ballast, sizeof(ballast), "%s/ballast", file_rig_directory);
	fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(posix_fallocate(fd, 0, 128 << 10), 0);
	close(fd);
	rig_bus_open(&bus, file_rig_url, 1, 4);
	file_rig_expect_delivered(&bus, 1, 60000);
	expect_failed(&bus, 2, 200000);
	expect_failed(&bus, 3, 200000);
	assert_int_equal(file_rig_size(file_rig_path(0, 0)), 16 + 60016);
	assert_int_equal(rig_bus_logged(&bus, "No space left"), 1);
	file_rig_expect_delivered(&bus, 4, 16); /* there is room on the last page */
	assert_int_equal(bus.log_count, 1);
	unlink(ballast);
	file_rig_expect_delivered(&bus, 5, 100000);
	file_rig_expect_delivered(&bus, 6, 16);
	rig_bus_close(&bus);

	assert_int_equal(rig_source_open(&source, file_rig_url, false, 0), 0);
	file_rig_expect_batch(&source, 1);
	file_rig_expect_range(&source, 4, 6);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);
	assert_int_equal(umount(file_rig_directory), 0);
}

/* The file_rig_directory cannot be written to any more when the next segment is due. */
static void vanished_directory_is_survived(void **state)
{
	struct rig_bus bus;

	rig_bus_open(&bus, file_rig_url, 1, 4);
	assert_int_equal(rmdir(file_rig_directory), 0);
	expect_failed(&bus, 1, 100);
	expect_failed(&bus, 2, 100);
	assert_int_equal(rig_bus_logged(&bus, "No such file"), 1);
	assert_int_equal(bus.log_count, 1);
	rig_bus_close(&bus);
}

static void expect_open_fails(const char *bad, int code, const char *text)
{
	struct wb_transport_setup setup;
	struct wb_transport_args args = {0};
	struct wb_transport *transport;
	struct wb_error error = {""};
	int r;

	r = wb_transport_setup_init(bad, NULL, 0, &setup, &error);
	if (r == 0) {
		wb_transport_setup_args(&setup, &args);
		args.lanes = args.buffers = 1;
		r = setup.ops->open(&args, &transport, &error);
		wb_transport_setup_fini(&setup);
	}
	assert_int_equal(r, code);
	if (!strstr(error.message, text))
		fail_msg("\"%s\" does not say \"%s\"", error.message, text);
}

static void wrong_targets_are_refused(void **state)
{
	char bad[192];
	int fd;

	snprintf(bad, sizeof(bad), "file://%s/missing/deeper", file_rig_directory);
	expect_open_fails(bad, -ENOENT, "missing/deeper");
	fd = open(file_rig_directory, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	expect_open_fails(file_rig_url, -ENOTDIR, file_rig_directory);
	unlink(file_rig_directory);
	expect_open_fails("file://host/dir", -EINVAL, "three slashes");
	expect_open_fails("file:///tmp/x?segment_bytes=1", -EINVAL, "segment_bytes");
	expect_open_fails("file:///tmp/x?fsync=always", -EINVAL, "always");
}

#define TEST(f) cmocka_unit_test_teardown(f, file_rig_clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_delivered_comes_back),
		TEST(records_are_entries),
		TEST(files_are_named_and_protected),
		TEST(sessions_are_kept_apart),
		TEST(full_queue_refuses),
		TEST(close_settles_what_is_held),
		TEST(file_size_limit_is_survived),
		TEST(full_disk_is_survived),
		TEST(vanished_directory_is_survived),
		TEST(wrong_targets_are_refused),
	};

	return cmocka_run_group_tests(tests, file_rig_set_up, file_rig_tear_down);
}
