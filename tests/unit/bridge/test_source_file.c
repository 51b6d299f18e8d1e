/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that what the file transport settled as delivered is what the file source reads, in order, once; that a
 * failing disk loses only what was settled as failed; and that damage is reported where it is.
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

#include "source_rig.h"

#define SESSION "101112131415161718191a1b1c1d1e1f"

static char base[] = "/tmp/wirebus-file-XXXXXX";
static char directory[64], url[128];

static const struct wb_route route = {.partition = -1};

static size_t count_files(void)
{
	char pattern[128];
	size_t count;
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/*", directory);
	count = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
	if (count > 0)
		globfree(&found);
	return count;
}

static const char *file_path(unsigned int worker, unsigned int segment)
{
	static char path[192];

	snprintf(path, sizeof(path), "%s/" SESSION "-%04u-%06u.wbs", directory, worker, segment);
	return path;
}

static off_t file_size(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 ? status.st_size : -1;
}

static void send_all(struct rig_bus *bus, struct rig_batch *batches, size_t count)
{
	for (size_t i = 0; i < count; i++)
		while (bus->setup.ops->publish(bus->lanes[batches[i].batch.worker_id], &batches[i].batch, &route) ==
			-EAGAIN)
			rig_sleep_ms(1);
	assert_int_equal(bus->setup.ops->flush(bus->transport, 20000), 0);
}

/* Write `count` batches of worker 0, numbered from first, through a transport of its own. */
static void write_batches(const char *to, uint64_t first, size_t count, size_t size)
{
	struct rig_batch batch;
	struct rig_bus bus;

	rig_bus_open(&bus, to, 1, 8);
	for (size_t i = 0; i < count; i++) {
		rig_batch_init(&batch, 0, first + i, size);
		assert_int_equal(rig_bus_send(&bus, &batch), WB_RESULT_DELIVERED);
		rig_batch_fini(&batch);
	}
	rig_bus_close(&bus);
}

static void expect_batch(struct rig_source *source, uint64_t sequence)
{
	int r = rig_source_next(source, 5000);

	if (r != 1)
		fail_msg("batch %llu: %d %s", (unsigned long long)sequence, r, source->error.message);
	assert_int_equal(source->message.kind, WB_MESSAGE_BATCH);
	assert_int_equal(rig_check(source->message.data, source->message.size, NULL), sequence);
}

static void expect_damage(struct rig_source *source, const char *text)
{
	assert_int_equal(rig_source_next(source, 5000), -EBADMSG);
	if (!strstr(source->error.message, text))
		fail_msg("\"%s\" does not say \"%s\"", source->error.message, text);
}

static void expect_range(struct rig_source *source, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i <= last; i++)
		expect_batch(source, i);
}

static void flip(const char *path, off_t offset)
{
	uint8_t byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x80;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

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

	snprintf(with_options, sizeof(with_options), "%s?segment_bytes=100KiB&fsync=segment", url);
	rig_bus_open(&bus, with_options, 2, 8);
	for (size_t i = 0; i < COUNT; i++) {
		rig_batch_init(&batches[i], i % 2, i, 16 + i * i % 20000);
		bytes += batches[i].batch.size;
	}
	send_all(&bus, batches, COUNT);
	bus.setup.ops->stats(bus.transport, &stats);
	assert_true(stats.connected);
	assert_int_equal(stats.published, COUNT);
	assert_int_equal(stats.settled, COUNT);
	assert_int_equal(stats.bytes, bytes);
	rig_bus_close(&bus);
	assert_int_equal(bus.log_count, 0);

	assert_true(count_files() >= 10);
	assert_true(file_size(file_path(0, 0)) > 0 && file_size(file_path(0, 0)) <= 100 << 10);
	assert_true(file_size(file_path(1, 1)) > 0 && file_size(file_path(1, 1)) <= 100 << 10);
	assert_int_equal(rig_source_open(&source, url, false, 0), 0);
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

static void files_are_named_and_protected(void **state)
{
	struct stat status;

	write_batches(url, 1, 2, 100);
	write_batches(url, 3, 1, 100); /* the first name is taken: it is neither opened again nor replaced */
	assert_int_equal(stat(directory, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0750);
	assert_int_equal(stat(file_path(0, 0), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0640);
	assert_int_equal(status.st_size, 16 + 2 * 116);
	assert_int_equal(file_size(file_path(0, 1)), 16 + 116);
	assert_int_equal(count_files(), 2);
}

/* A batch of another session goes into a file of that session. */
static void sessions_are_kept_apart(void **state)
{
	struct rig_source source;
	struct rig_batch batch;
	struct rig_bus bus;

	rig_bus_open(&bus, url, 1, 8);
	for (uint64_t i = 1; i <= 6; i++) {
		rig_batch_init(&batch, 0, i, 50);
		batch.session[0] = i == 3 || i == 4 ? 0x0f : 0x10;
		assert_int_equal(rig_bus_send(&bus, &batch), WB_RESULT_DELIVERED);
		rig_batch_fini(&batch);
	}
	rig_bus_close(&bus);
	assert_int_equal(count_files(), 3);
	assert_int_equal(rig_source_open(&source, url, false, 0), 0);
	expect_range(&source, 3, 4);
	expect_range(&source, 1, 2);
	expect_range(&source, 5, 6);
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

	rig_bus_open(&bus, url, 1, 2);
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
		unlink(file_path(0, 0));
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

	rig_bus_open(&bus, url, 1, COUNT);
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
	assert_int_equal(rig_source_open(&source, url, false, 0), 0);
	for (unsigned int i = 0; i < delivered; i++)
		expect_batch(&source, i);
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

static void expect_delivered(struct rig_bus *bus, uint64_t sequence, size_t size)
{
	struct rig_batch batch;

	rig_batch_init(&batch, 0, sequence, size);
	assert_int_equal(rig_bus_send(bus, &batch), WB_RESULT_DELIVERED);
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
	rig_bus_open(&bus, url, 1, 4);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	expect_delivered(&bus, 1, 1000);
	expect_delivered(&bus, 2, 1000);
	expect_delivered(&bus, 3, 1000); /* in the second file */
	assert_int_equal(count_files(), 2);
	assert_int_equal(file_size(file_path(0, 0)), 16 + 2 * 1016);
	for (uint64_t i = 4; i < 10; i++)
		expect_failed(&bus, i, 3000);
	bus.setup.ops->stats(bus.transport, &stats);
	assert_false(stats.connected);
	assert_int_equal(bus.log_count, 1);
	assert_int_equal(rig_bus_logged(&bus, "File too large"), 1);
	/* Smaller ones still fit, which is no reason to tell that all is well. */
	expect_delivered(&bus, 10, 100);
	assert_int_equal(bus.log_count, 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	expect_delivered(&bus, 11, 3000);
	assert_int_equal(bus.log_count, 2);
	assert_int_equal(rig_bus_logged(&bus, "works again; 6 batches were lost"), 1);
	bus.setup.ops->stats(bus.transport, &stats);
	assert_true(stats.connected);
	assert_int_equal(stats.settled, 11);
	assert_int_equal(stats.bytes, 3 * 1000 + 100 + 3000);
	rig_bus_close(&bus);

	assert_int_equal(rig_source_open(&source, url, false, 0), 0);
	expect_range(&source, 1, 3);
	expect_range(&source, 10, 11);
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

	assert_int_equal(mkdir(directory, 0750), 0);
	if (mount("wirebus-test", directory, "tmpfs", MS_NOSUID | MS_NODEV, "size=256k") < 0) {
		print_message("skipped: cannot mount a tmpfs (%s)\n", strerror(errno));
		skip();
	}
	snprintf(ballast, sizeof(ballast), "%s/ballast", directory);
	fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(posix_fallocate(fd, 0, 128 << 10), 0);
	close(fd);
	rig_bus_open(&bus, url, 1, 4);
	expect_delivered(&bus, 1, 60000);
	expect_failed(&bus, 2, 200000);
	expect_failed(&bus, 3, 200000);
	assert_int_equal(file_size(file_path(0, 0)), 16 + 60016);
	assert_int_equal(rig_bus_logged(&bus, "No space left"), 1);
	expect_delivered(&bus, 4, 16); /* there is room on the last page */
	assert_int_equal(bus.log_count, 1);
	unlink(ballast);
	expect_delivered(&bus, 5, 100000);
	expect_delivered(&bus, 6, 16);
	rig_bus_close(&bus);

	assert_int_equal(rig_source_open(&source, url, false, 0), 0);
	expect_batch(&source, 1);
	expect_range(&source, 4, 6);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);
	assert_int_equal(umount(directory), 0);
}

/* The directory cannot be written to any more when the next segment is due. */
static void vanished_directory_is_survived(void **state)
{
	struct rig_bus bus;

	rig_bus_open(&bus, url, 1, 4);
	assert_int_equal(rmdir(directory), 0);
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

	snprintf(bad, sizeof(bad), "file://%s/missing/deeper", directory);
	expect_open_fails(bad, -ENOENT, "missing/deeper");
	fd = open(directory, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	expect_open_fails(url, -ENOTDIR, directory);
	unlink(directory);
	expect_open_fails("file://host/dir", -EINVAL, "three slashes");
	expect_open_fails("file:///tmp/x?segment_bytes=1", -EINVAL, "segment_bytes");
	expect_open_fails("file:///tmp/x?fsync=always", -EINVAL, "always");
}

static void missing_files_are_told(void **state)
{
	struct rig_source source;

	assert_int_equal(rig_source_open(&source, url, false, 0), -ENOENT);
	assert_non_null(strstr(source.error.message, directory));
	rig_source_close(&source);
	assert_int_equal(mkdir(directory, 0750), 0);
	rig_log_begin();
	assert_int_equal(rig_source_open(&source, url, false, 0), 0);
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

	snprintf(one, sizeof(one), "%s?segment_bytes=4KiB", url);
	write_batches(one, 1, 12, 1000); /* four in each of three files: 16 + 4 x 1016 */
	flip(file_path(0, 0), 16 + 1016 + 500);
	assert_int_equal(truncate(file_path(0, 1), 16 + 4 * 1016 - 7), 0);
	snprintf(path, sizeof(path), "%s/strange.wbs", directory);
	strange = fopen(path, "we");
	fputs("this is text, not packets", strange);
	fclose(strange);
	snprintf(path, sizeof(path), "%s/zzz.wbs", directory);
	fclose(fopen(path, "we"));
	snprintf(path, sizeof(path), "%s/notes.txt", directory);
	fclose(fopen(path, "we"));

	assert_int_equal(rig_source_open(&source, url, false, 0), 0);
	expect_batch(&source, 1);
	assert_non_null(strstr(source.message.origin, SESSION "-0000-000000.wbs@16"));
	expect_damage(&source, "-0000-000000.wbs@1032: wrong CRC");
	expect_range(&source, 3, 4);
	expect_range(&source, 5, 7);
	expect_damage(&source, "-0000-000001.wbs@3064: the file ends inside an entry");
	expect_range(&source, 9, 12);
	expect_damage(&source, "strange.wbs: not a wirebus container");
	expect_damage(&source, "zzz.wbs: the file ends inside its header");
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);

	/* One file alone. */
	snprintf(one, sizeof(one), "file://%s", file_path(0, 2));
	assert_int_equal(rig_source_open(&source, one, false, 0), 0);
	expect_range(&source, 9, 12);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);
}

/* A length that cannot be costs the rest of that file, and no other's. */
static void broken_length_costs_one_file(void **state)
{
	struct rig_source source;
	char one[192];

	snprintf(one, sizeof(one), "%s?segment_bytes=4KiB", url);
	write_batches(one, 1, 6, 1000);
	assert_int_equal(count_files(), 2);
	flip(file_path(0, 0), 16 + 1016 + 3);
	assert_int_equal(rig_source_open(&source, url, true, 0), 0);
	expect_batch(&source, 1);
	expect_damage(&source, "cannot be");
	expect_range(&source, 5, 6);
	assert_int_equal(rig_source_next(&source, 300), 0);
	rig_source_close(&source);
}

/* The reader was first; then files come, grow, and are followed by others. */
static void follow_reads_what_comes(void **state)
{
	struct rig_source source;
	struct rig_bus bus;
	char small[256];

	snprintf(small, sizeof(small), "%s?segment_bytes=4KiB", url);
	rig_log_begin();
	assert_int_equal(rig_source_open(&source, url, true, 100), 0);
	assert_int_equal(rig_source_next(&source, 400), 0);
	assert_int_equal(rig_log_count("waiting for it"), 1);
	rig_bus_open(&bus, small, 1, 4);
	assert_int_equal(rig_source_next(&source, 300), 0);
	for (uint64_t i = 1; i <= 12; i++) {
		expect_delivered(&bus, i, 1000);
		expect_batch(&source, i);
	}
	assert_int_equal(count_files(), 3);
	for (uint64_t i = 13; i <= 40; i++)
		expect_delivered(&bus, i, 1000);
	expect_range(&source, 13, 40);
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

	rig_bus_open(&bus, url, 1, 4);
	for (uint64_t i = 1; i <= 3; i++)
		expect_delivered(&bus, i, 1000);
	assert_int_equal(rig_source_open(&source, url, false, 0), 0);
	for (uint64_t i = 4; i <= 6; i++)
		expect_delivered(&bus, i, 1000);
	expect_range(&source, 1, 3);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);
	rig_bus_close(&bus);
}

/* An entry that is being written is waited for; once the worker is in its next file, it is damage. */
static void torn_entry_is_waited_for_until_it_is_over(void **state)
{
	struct rig_source source;
	char small[192];

	snprintf(small, sizeof(small), "%s?segment_bytes=4KiB", url);
	write_batches(small, 1, 3, 1000);
	assert_int_equal(truncate(file_path(0, 0), 16 + 3 * 1016 - 1), 0);
	assert_int_equal(rig_source_open(&source, url, true, 0), 0);
	expect_range(&source, 1, 2);
	assert_int_equal(rig_source_next(&source, 300), 0);
	/* Grown, and still not whole: a longer entry, say. */
	assert_int_equal(truncate(file_path(0, 0), 16 + 2 * 1016 + 20), 0);
	assert_int_equal(rig_source_next(&source, 300), 0);
	write_batches(small, 4, 2, 1000);
	expect_damage(&source, "ends inside an entry");
	expect_range(&source, 4, 5);
	assert_int_equal(rig_source_next(&source, 300), 0);
	rig_source_close(&source);
}

/* Messages larger than the reader allows. */
static void too_long_messages_are_refused(void **state)
{
	struct rig_source source;

	write_batches(url, 1, 1, RIG_MAX_MESSAGE + 1);
	write_batches(url, 2, 1, RIG_MAX_MESSAGE);
	assert_int_equal(rig_source_open(&source, url, false, 0), 0);
	expect_damage(&source, "cannot be");
	expect_batch(&source, 2);
	assert_int_equal(rig_source_next(&source, 0), -ENODATA);
	rig_source_close(&source);
}

static int clean(void **state)
{
	char command[160];

	umount2(directory, MNT_DETACH);
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	return system(command);
}

static int set_up(void **state)
{
	if (!mkdtemp(base))
		return -1;
	snprintf(directory, sizeof(directory), "%s/bus", base);
	snprintf(url, sizeof(url), "file://%s", directory);
	return 0;
}

static int tear_down(void **state)
{
	return rmdir(base);
}

#define TEST(f) cmocka_unit_test_teardown(f, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_delivered_comes_back),
		TEST(files_are_named_and_protected),
		TEST(sessions_are_kept_apart),
		TEST(full_queue_refuses),
		TEST(close_settles_what_is_held),
		TEST(file_size_limit_is_survived),
		TEST(full_disk_is_survived),
		TEST(vanished_directory_is_survived),
		TEST(wrong_targets_are_refused),
		TEST(missing_files_are_told),
		TEST(damage_is_reported_and_passed),
		TEST(broken_length_costs_one_file),
		TEST(follow_reads_what_comes),
		TEST(end_is_where_it_was),
		TEST(torn_entry_is_waited_for_until_it_is_over),
		TEST(too_long_messages_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
