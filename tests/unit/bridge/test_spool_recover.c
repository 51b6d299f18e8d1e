/* SPDX-License-Identifier: Apache-2.0 */
/* What a process left in the spool is found by the next one, whatever happened to the files in between. */
#include "spool_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container.h"
#include "log.h"

#define MIB ((uint64_t)1 << 20)
#define SIZE 1000
/* Entry, route with key "node/1", message. */
#define ENTRY_BYTES (16 + 72 + 6 + SIZE)
#define TOPIC_BYTES 5 /* every other has one */

static struct wb_spool *reopen(struct wb_spool *spool, unsigned int queues)
{
	wb_spool_close(spool);
	return spool_rig_open(64 * MIB, MIB, queues);
}

/* Batches 1 to count of stream 1 in one file, whose name is returned. */
static void fill(uint64_t count, char *name)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, MIB, 1);

	for (uint64_t seq = 1; seq <= count; seq++)
		assert_int_equal(spool_rig_append(wb_spool_queue(spool, 0), 1, 1, seq, SIZE), 0);
	wb_spool_close(spool);
	assert_int_equal(spool_rig_files(".wbs", name), 1);
}

static uint64_t offset_of(uint64_t seq)
{
	return WB_CONTAINER_HEADER_BYTES + (seq - 1) * ENTRY_BYTES + seq / 2 * TOPIC_BYTES;
}

static void everything_is_found_again(void **state)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, 65536, 2);
	struct wb_spool_stats stats;

	/* Two sessions, two streams, several files; the second session is the younger one. */
	for (uint8_t session = 1; session <= 2; session++)
		for (uint64_t seq = 1; seq <= 20; seq++)
			for (uint32_t stream = 1; stream <= 2; stream++)
				assert_int_equal(
					spool_rig_append(wb_spool_queue(spool, stream % 2), session, stream, seq, 9000),
					0);
	spool = reopen(spool, 2);
	wb_spool_stats(spool, &stats);
	assert_int_equal(stats.recovered, 80);
	assert_int_equal(stats.entries, 80);
	assert_int_equal(stats.damaged + stats.torn, 0);
	assert_int_equal(wb_spool_longest(wb_spool_queue(spool, 0)), 9000);
	for (uint32_t stream = 1; stream <= 2; stream++) {
		struct wb_spool_queue *queue = wb_spool_queue(spool, stream % 2);

		assert_int_equal(wb_spool_recovered_packets(queue), 40 * SPOOL_RIG_PACKETS);
		/* What is new waits. */
		assert_int_equal(spool_rig_append(queue, 3, stream, 1, 700), 0);
		for (uint8_t session = 1; session <= 2; session++)
			for (uint64_t seq = 1; seq <= 20; seq++)
				spool_rig_drain(queue, session, stream, seq);
		spool_rig_drain(queue, 3, stream, 1);
	}
	wb_spool_close(spool);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

/* With fewer workers than before, one gets the streams of several. */
static void fewer_workers_find_it_as_well(void **state)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, MIB, 4);

	for (uint32_t stream = 1; stream <= 4; stream++)
		for (uint64_t seq = 1; seq <= 3; seq++)
			assert_int_equal(spool_rig_append(wb_spool_queue(spool, stream % 4), 1, stream, seq, SIZE), 0);
	spool = reopen(spool, 1);
	for (uint32_t stream = 1; stream <= 4; stream++)
		for (uint64_t seq = 1; seq <= 3; seq++)
			spool_rig_drain(wb_spool_queue(spool, 0), 1, stream, seq);
	wb_spool_close(spool);
}

/* The process is killed while it writes an entry: at each byte of it. */
static void a_torn_tail_is_cut(void **state)
{
	char name[256];

	fill(3, name);
	for (uint64_t size = offset_of(4) - 1; size > offset_of(3); size -= 1 + size % 7) {
		struct wb_spool *spool;
		struct wb_spool_stats stats;

		spool_rig_cut(name, size);
		spool = spool_rig_open(64 * MIB, MIB, 1);
		wb_spool_stats(spool, &stats);
		assert_int_equal(stats.recovered, 2);
		assert_int_equal(stats.damaged, 0);
		assert_int_equal(stats.torn, 1);
		assert_int_equal(stats.torn_bytes, size - offset_of(3));
		assert_int_equal(spool_rig_file_bytes(name), offset_of(3));
		spool = reopen(spool, 1);
		wb_spool_stats(spool, &stats);
		assert_int_equal(stats.torn, 0); /* it was cut */
		wb_spool_close(spool);
		/* Once more, as longer. */
		spool_rig_cut(name, size - 1);
	}
}

/* A file that was only begun, or not even that. */
static void empty_files_are_deleted(void **state)
{
	char name[256];
	static const uint64_t sizes[] = {16, 15, 7, 0};

	for (size_t i = 0; i < 4; i++) {
		struct wb_spool *spool;
		struct wb_spool_stats stats;

		fill(1, name);
		spool_rig_cut(name, sizes[i]);
		spool = spool_rig_open(64 * MIB, MIB, 1);
		wb_spool_stats(spool, &stats);
		assert_int_equal(stats.recovered, 0);
		assert_int_equal(spool_rig_files(".wbs", NULL), 0);
		wb_spool_close(spool);
	}
}

/* Wherever a bit flips, one batch is lost and no other; never is a wrong one given out (spool_rig_drain() compares). */
static void a_flipped_bit_costs_one_batch(void **state)
{
	char name[256];
	uint64_t end;

	fill(4, name);
	end = offset_of(5);
	for (uint64_t at = WB_CONTAINER_HEADER_BYTES; at < end; at += at < offset_of(1) + 100 ? 1 : 43) {
		uint64_t damaged = at < offset_of(2) ? 1 : at < offset_of(3) ? 2 : at < offset_of(4) ? 3 : 4;
		struct wb_spool *spool;
		struct wb_spool_stats stats;
		char path[400], copy[400], command[900];

		snprintf(path, sizeof path, "%s/%s", spool_rig_directory, name);
		snprintf(copy, sizeof copy, "%s/copy", spool_rig_directory);
		spool_rig_flip(name, at, (uint8_t)(1u << at % 8));
		if (at == WB_CONTAINER_HEADER_BYTES) {
			snprintf(command, sizeof command, "cp '%s' '%s'", path, copy);
			spool_rig_flip(name, at, (uint8_t)(1u << at % 8));
			assert_int_equal(system(command), 0); /* whole */
			spool_rig_flip(name, at, (uint8_t)(1u << at % 8));
		}
		spool = spool_rig_open(64 * MIB, MIB, 1);
		wb_spool_stats(spool, &stats);
		assert_int_equal(stats.recovered, 3);
		assert_int_equal(stats.damaged + stats.torn, 1);
		for (uint64_t seq = 1; seq <= 4; seq++)
			if (seq != damaged)
				spool_rig_drain(wb_spool_queue(spool, 0), 1, 1, seq);
		wb_spool_close(spool);
		assert_int_equal(access(path, F_OK), -1);
		snprintf(command, sizeof command, "cp '%s' '%s'", copy, path);
		assert_int_equal(system(command), 0);
	}
}

static uint64_t dice;

static uint64_t roll(uint64_t sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice % sides;
}

/* Damage of any kind, anywhere: whatever is given out is what was put in. */
static void random_damage_never_gives_a_wrong_batch(void **state)
{
	dice = 88172645463325252u;
	for (int round = 0; round < 150; round++) {
		struct wb_spool *spool;
		struct wb_spool_entry *entry;
		uint64_t bytes, last = 0;
		char name[256];

		fill(6, name);
		bytes = spool_rig_file_bytes(name);
		/* The version is not touched: another one is refused. */
		for (uint64_t n = 1 + roll(20); n > 0; n--)
			spool_rig_flip(name, WB_CONTAINER_HEADER_BYTES + roll(bytes - WB_CONTAINER_HEADER_BYTES),
				(uint8_t)(1 + roll(255)));
		if (roll(3) == 0)
			spool_rig_cut(name, roll(bytes));
		spool = spool_rig_open(64 * MIB, MIB, 1);
		while ((entry = wb_spool_next(wb_spool_queue(spool, 0)))) {
			uint64_t seq = wb_spool_entry_seq(entry);

			assert_in_range(seq, last + 1, 6);
			spool_rig_drain(wb_spool_queue(spool, 0), 1, 1, seq);
			last = seq;
		}
		wb_spool_close(spool);
		assert_int_equal(spool_rig_files(".wbs", NULL), 0);
	}
}

static void a_damaged_header_is_repaired(void **state)
{
	struct wb_spool *spool;
	char name[256];

	fill(3, name);
	spool_rig_flip(name, 3, 0x40);
	spool = spool_rig_open(64 * MIB, MIB, 1);
	for (uint64_t seq = 1; seq <= 3; seq++)
		spool_rig_drain(wb_spool_queue(spool, 0), 1, 1, seq);
	wb_spool_close(spool);
}

/* The same batch in two files: it was written again after the transport had given it back. */
static void one_that_is_there_twice_is_sent_once(void **state)
{
	struct wb_spool *spool;
	struct wb_spool_stats stats;
	char name[256], command[900];

	fill(3, name);
	snprintf(command, sizeof command, "cd '%s' && cp %s %.43s9.wbs", spool_rig_directory, name, name);
	assert_int_equal(system(command), 0);
	assert_int_equal(spool_rig_files(".wbs", NULL), 2);
	spool = spool_rig_open(64 * MIB, MIB, 1);
	wb_spool_stats(spool, &stats);
	assert_int_equal(stats.recovered, 3);
	/* The file that has nothing else is gone already. */
	assert_int_equal(spool_rig_files(".wbs", NULL), 1);
	for (uint64_t seq = 1; seq <= 3; seq++)
		spool_rig_drain(wb_spool_queue(spool, 0), 1, 1, seq);
	assert_null(wb_spool_next(wb_spool_queue(spool, 0)));
	wb_spool_close(spool);
}

static void expect_newer(const char *words)
{
	const struct wb_spool_options options = {
		.directory = spool_rig_directory, .bytes = MIB, .segment_bytes = 65536};
	struct wb_error error = {""};
	struct wb_spool *spool;

	assert_int_equal(wb_spool_open(&options, 1, &spool, &error), -EPROTO);
	if (!strstr(error.message, spool_rig_directory) || !strstr(error.message, words))
		fail_msg("\"%s\" does not say '%s'", error.message, words);
}

/* Write a whole entry whose route says that it is of version 3, into a new file or behind what there is. */
static void write_newer_route(const char *name)
{
	uint8_t entry[WB_CONTAINER_ENTRY_BYTES], header[WB_CONTAINER_HEADER_BYTES], route[80] = "WBR\x03";
	char path[400];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", spool_rig_directory, name);
	file = fopen(path, "ae");
	assert_non_null(file);
	wb_container_header(header);
	wb_container_entry(entry, 1, route, sizeof route, "message", 7);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	if (ftell(file) == 0)
		fwrite(header, 1, sizeof header, file);
	fwrite(entry, 1, sizeof entry, file);
	fwrite(route, 1, sizeof route, file);
	fwrite("message", 1, 7, file);
	assert_int_equal(fclose(file), 0);
}

static void a_newer_version_is_refused_and_left_alone(void **state)
{
	char name[256], first[256];
	uint64_t bytes;

	fill(2, name);
	bytes = spool_rig_file_bytes(name);
	spool_rig_flip(name, 8, 1 ^ 2);
	expect_newer("was written in container version 2; this program reads version 1");
	assert_int_equal(spool_rig_files(".wbs", first), 1);
	assert_string_equal(first, name);
	assert_int_equal(spool_rig_file_bytes(name), bytes);
	spool_rig_flip(name, 8, 1 ^ 2);
	/* Not even a torn tail of another file is cut before. */
	spool_rig_cut(name, bytes - 5);
	write_newer_route("ffffffffffffffffffffffffffffffff-0001-000000.wbs");
	expect_newer("has routes of version 3; this program reads versions up to 2");
	assert_int_equal(spool_rig_file_bytes(name), bytes - 5);
	assert_int_equal(spool_rig_files(".wbs", NULL), 2);
}

/* Not every entry needs the newest version: what begins like a file of ours is not cut where it goes on. */
static void a_newer_version_behind_others_is_left_alone(void **state)
{
	struct wb_spool *spool;
	char name[256];
	uint64_t bytes;

	fill(2, name);
	write_newer_route(name);
	bytes = spool_rig_file_bytes(name);
	expect_newer("has version 3; this program reads versions up to 2");
	assert_int_equal(spool_rig_file_bytes(name), bytes);
	spool_rig_cut(name, offset_of(3));
	spool = spool_rig_open(64 * MIB, MIB, 1);
	for (uint64_t seq = 1; seq <= 2; seq++)
		spool_rig_drain(wb_spool_queue(spool, 0), 1, 1, seq);
	wb_spool_close(spool);
}

static void other_files_are_left_alone(void **state)
{
	static const char *const names[] = {"README", "0123-0001-000000.wbs", "lost+found"};
	char path[400];

	for (size_t i = 0; i < 3; i++) {
		int fd;

		snprintf(path, sizeof path, "%s/%s", spool_rig_directory, names[i]);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	wb_spool_close(spool_rig_open(MIB, 65536, 1));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(spool_rig_files(names[i], NULL), 1);
}

/* A process that is killed at any time loses nothing that wb_spool_append() has taken. */
static void nothing_taken_is_lost_by_a_kill(void **state)
{
	uint64_t next = 1;

	for (int round = 0; round < 5; round++) {
		struct wb_spool *spool;
		uint64_t taken = 0, count = 0;
		int pipes[2], status;
		pid_t child;

		assert_int_equal(pipe(pipes), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			spool = spool_rig_open(64 * MIB, 65536, 1);
			for (uint64_t seq = next;; seq++) {
				if (spool_rig_append(wb_spool_queue(spool, 0), 1, 1, seq, 3000) < 0 ||
					write(pipes[1], &seq, sizeof seq) != sizeof seq)
					_exit(1);
			}
		}
		close(pipes[1]);
		while (count < 50 + (unsigned int)round * 17 && read(pipes[0], &taken, sizeof taken) == sizeof taken)
			count++;
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		while (read(pipes[0], &taken, sizeof taken) == sizeof taken)
			;
		close(pipes[0]);
		spool = spool_rig_open(64 * MIB, 65536, 1);
		for (; next <= taken; next++)
			spool_rig_drain(wb_spool_queue(spool, 0), 1, 1, next);
		/* One more may have been taken without being told. */
		if (wb_spool_next(wb_spool_queue(spool, 0)))
			spool_rig_drain(wb_spool_queue(spool, 0), 1, 1, next++);
		assert_null(wb_spool_next(wb_spool_queue(spool, 0)));
		wb_spool_close(spool);
	}
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, spool_rig_setup, spool_rig_teardown)
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(everything_is_found_again),
		SPOOL_TEST(fewer_workers_find_it_as_well),
		SPOOL_TEST(a_torn_tail_is_cut),
		SPOOL_TEST(empty_files_are_deleted),
		SPOOL_TEST(a_flipped_bit_costs_one_batch),
		SPOOL_TEST(random_damage_never_gives_a_wrong_batch),
		SPOOL_TEST(a_damaged_header_is_repaired),
		SPOOL_TEST(one_that_is_there_twice_is_sent_once),
		SPOOL_TEST(a_newer_version_is_refused_and_left_alone),
		SPOOL_TEST(a_newer_version_behind_others_is_left_alone),
		SPOOL_TEST(other_files_are_left_alone),
		SPOOL_TEST(nothing_taken_is_lost_by_a_kill),
	};

	/* What is said about damage is not for whoever looks at the tests. */
	wb_log_set_level(WB_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
