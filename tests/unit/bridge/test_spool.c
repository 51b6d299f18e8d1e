/* SPDX-License-Identifier: Apache-2.0 */
/* The spool gives back what was put in, in the order of (stream, batch_seq), within its bound, whatever comes between.
 */
#include "spool_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

static void comes_back_in_order(void **state)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, MIB, 1);
	struct wb_spool_queue *queue = wb_spool_queue(spool, 0);
	struct wb_spool_stats stats;

	for (uint64_t seq = 1; seq <= 50; seq++)
		assert_int_equal(spool_rig_append(queue, 1, 1, seq, 100 * seq + seq * seq), 0);
	wb_spool_stats(spool, &stats);
	assert_int_equal(stats.entries, 50);
	for (uint64_t seq = 1; seq <= 50; seq++)
		spool_rig_drain(queue, 1, 1, seq);
	assert_null(wb_spool_next(queue));
	wb_spool_stats(spool, &stats);
	assert_int_equal(stats.entries, 0);
	assert_int_equal(stats.bytes, 0);
	wb_spool_close(spool);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

/* What comes back from the transport was written last, and is sent first. */
static void older_ones_that_come_later_go_first(void **state)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, MIB, 1);
	struct wb_spool_queue *queue = wb_spool_queue(spool, 0);
	static const uint64_t order[] = {10, 11, 12, 5, 3, 4, 13, 1, 2};

	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
		assert_int_equal(spool_rig_append(queue, 1, 1, order[i], 500), 0);
	for (uint64_t seq = 1; seq <= 5; seq++)
		spool_rig_drain(queue, 1, 1, seq);
	for (uint64_t seq = 10; seq <= 13; seq++)
		spool_rig_drain(queue, 1, 1, seq);
	wb_spool_close(spool);
}

/* A batch that is there already is refused before it costs anything: its file still goes, and all of the bound comes
 * back. */
static void what_is_there_already_costs_nothing(void **state)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, MIB, 1);
	struct wb_spool_queue *queue = wb_spool_queue(spool, 0);
	struct wb_spool_stats before, after;

	for (uint64_t seq = 1; seq <= 3; seq++)
		assert_int_equal(spool_rig_append(queue, 1, 1, seq, 5000), 0);
	wb_spool_stats(spool, &before);
	for (uint64_t seq = 1; seq <= 3; seq++)
		assert_int_equal(spool_rig_append(queue, 1, 1, seq, 5000), -EEXIST);
	wb_spool_stats(spool, &after);
	assert_int_equal(after.bytes, before.bytes);
	assert_int_equal(after.entries, 3);
	for (uint64_t seq = 1; seq <= 3; seq++)
		spool_rig_drain(queue, 1, 1, seq);
	wb_spool_stats(spool, &after);
	assert_int_equal(after.bytes, 0);
	assert_int_equal(after.entries, 0);
	wb_spool_close(spool);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

static void what_was_not_taken_is_sent_again_first(void **state)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, MIB, 1);
	struct wb_spool_queue *queue = wb_spool_queue(spool, 0);
	struct wb_spool_entry *sent[4];

	for (uint64_t seq = 1; seq <= 6; seq++)
		assert_int_equal(spool_rig_append(queue, 1, 1, seq, 500), 0);
	for (uint64_t seq = 1; seq <= 4; seq++)
		sent[seq - 1] = spool_rig_expect(queue, 1, 1, seq);
	wb_spool_unsent(queue, sent[3]);
	wb_spool_unsent(queue, sent[1]);
	wb_spool_settled(queue, sent[2]);
	assert_true(wb_spool_holds(queue, (const uint8_t *)"\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 1));
	assert_ptr_equal(spool_rig_expect(queue, 1, 1, 2), sent[1]);
	assert_ptr_equal(spool_rig_expect(queue, 1, 1, 4), sent[3]);
	wb_spool_settled(queue, sent[0]);
	wb_spool_settled(queue, sent[1]);
	wb_spool_settled(queue, sent[3]);
	spool_rig_drain(queue, 1, 1, 5);
	spool_rig_drain(queue, 1, 1, 6);
	assert_false(wb_spool_holds(queue, (const uint8_t *)"\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 1));
	wb_spool_close(spool);
}

/* Streams take turns, so that none waits until another's backlog is gone. */
static void streams_take_turns(void **state)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, MIB, 1);
	struct wb_spool_queue *queue = wb_spool_queue(spool, 0);

	for (uint64_t seq = 1; seq <= 3; seq++)
		for (uint32_t stream = 1; stream <= 3; stream++)
			assert_int_equal(spool_rig_append(queue, 1, 1 + stream, seq, 500), 0);
	for (uint64_t seq = 1; seq <= 3; seq++)
		for (uint32_t stream = 1; stream <= 3; stream++)
			spool_rig_drain(queue, 1, 1 + stream, seq);
	wb_spool_close(spool);
}

/* Files are deleted one by one, as soon as nothing in them is needed. */
static void files_go_when_they_are_settled(void **state)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, 65536, 1);
	struct wb_spool_queue *queue = wb_spool_queue(spool, 0);
	struct wb_spool_stats stats;

	for (uint64_t seq = 1; seq <= 30; seq++)
		assert_int_equal(spool_rig_append(queue, 1, 1, seq, 20000), 0);
	assert_int_equal(spool_rig_files(".wbs", NULL), 10);
	for (uint64_t seq = 1; seq <= 29; seq++) {
		spool_rig_drain(queue, 1, 1, seq);
		assert_int_equal(spool_rig_files(".wbs", NULL), 10 - seq / 3);
	}
	/* The one that is written to is emptied instead, and used again. */
	spool_rig_drain(queue, 1, 1, 30);
	assert_int_equal(spool_rig_files(".wbs", NULL), 1);
	wb_spool_stats(spool, &stats);
	assert_int_equal(stats.bytes, 0);
	for (uint64_t seq = 31; seq <= 40; seq++) {
		assert_int_equal(spool_rig_append(queue, 1, 1, seq, 20000), 0);
		spool_rig_drain(queue, 1, 1, seq);
		assert_int_equal(spool_rig_files(".wbs", NULL), 1);
	}
	wb_spool_close(spool);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

static void the_bound_holds(void **state)
{
	struct wb_spool *spool = spool_rig_open(262144, 65536, 2);
	struct wb_spool_queue *first = wb_spool_queue(spool, 0), *second = wb_spool_queue(spool, 1);
	struct wb_spool_stats stats;
	uint64_t taken = 0, seq = 0, bytes = 0;
	char name[256];

	/* Both share it. */
	while (spool_rig_append(taken % 2 ? second : first, 1, 1 + taken % 2, ++seq, 20000) == 0)
		taken++;
	assert_in_range(taken, 11, 13);
	assert_int_equal(spool_rig_append(first, 1, 1, ++seq, 20000), -ENOBUFS);
	wb_spool_stats(spool, &stats);
	assert_true(stats.bytes <= 262144);
	assert_int_equal(stats.refused, 2);
	assert_int_equal(stats.entries, taken);
	assert_int_equal(stats.failed, 0);
	assert_true(spool_rig_files(".wbs", name) >= 4);
	bytes = spool_rig_file_bytes(name);
	assert_true(bytes <= 65536);
	/* Room comes back with the files. */
	for (int i = 0; i < 6; i++)
		wb_spool_settled(first, wb_spool_next(first));
	assert_int_equal(spool_rig_append(first, 1, 1, ++seq, 20000), 0);
	/* Small ones count for more than their bytes: their place in memory is bounded as well. */
	wb_spool_stats(spool, &stats);
	bytes = stats.bytes;
	assert_int_equal(spool_rig_append(first, 1, 1, ++seq, 10), 0);
	wb_spool_stats(spool, &stats);
	assert_int_equal(stats.bytes - bytes, WB_SPOOL_LEAST_CHARGE);
	wb_spool_close(spool);
}

/* What says that packets are missing is not kept out by the bound. */
static void messages_without_packets_always_fit(void **state)
{
	struct wb_spool *spool = spool_rig_open(65536, 65536, 1);
	struct wb_spool_queue *queue = wb_spool_queue(spool, 0);
	static const uint8_t session_id[16] = {9}, data[100] = {1};
	const struct wb_route route = {.partition = 5};
	const struct wb_batch batch = {
		.data = data, .size = sizeof data, .session_id = session_id, .batch_seq = 1000, .flags = 2};
	struct wb_spool_item item;
	uint8_t memory[100];
	uint64_t seq = 0;

	while (spool_rig_append(queue, 9, 1, ++seq, 5000) == 0)
		;
	assert_int_equal(wb_spool_append(queue, &batch, &route), 0);
	for (uint64_t i = 1; i < seq; i++)
		wb_spool_settled(queue, wb_spool_next(queue));
	assert_int_equal(wb_spool_read(queue, wb_spool_next(queue), memory, &item), 0);
	assert_int_equal(item.batch.flags, 2);
	assert_int_equal(item.batch.packets, 0);
	assert_int_equal(item.route.partition, 5);
	assert_int_equal(item.route.key_size, 0);
	assert_null(item.route.key);
	wb_spool_close(spool);
}

/* A batch whose file has been damaged meanwhile is lost alone. */
static void damage_is_noticed_when_it_is_read(void **state)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, MIB, 1);
	struct wb_spool_queue *queue = wb_spool_queue(spool, 0);
	struct wb_spool_stats stats;
	struct wb_spool_item item;
	uint8_t memory[5000];
	char name[256];

	for (uint64_t seq = 1; seq <= 3; seq++)
		assert_int_equal(spool_rig_append(queue, 1, 1, seq, 5000), 0);
	assert_int_equal(spool_rig_files(".wbs", name), 1);
	spool_rig_flip(name, spool_rig_file_bytes(name) / 2, 0x10);
	spool_rig_drain(queue, 1, 1, 1);
	assert_int_equal(wb_spool_read(queue, wb_spool_next(queue), memory, &item), -EBADMSG);
	wb_spool_settled(queue, wb_spool_next(queue));
	spool_rig_drain(queue, 1, 1, 3);
	wb_spool_stats(spool, &stats);
	assert_int_equal(stats.damaged, 1);
	wb_spool_close(spool);
}

static void limit_file_bytes(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk that takes no more than so much of a batch: that one is lost, and no piece of it is left to be found. */
static void a_disk_that_refuses_loses_one_batch(void **state)
{
	struct wb_spool *spool = spool_rig_open(64 * MIB, MIB, 1);
	struct wb_spool_queue *queue = wb_spool_queue(spool, 0);
	struct wb_spool_stats stats;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(spool_rig_append(queue, 1, 1, 1, 5000), 0);
	limit_file_bytes(8000);
	assert_int_equal(spool_rig_append(queue, 1, 1, 2, 20000), -EFBIG);
	assert_int_equal(spool_rig_append(queue, 1, 1, 3, 5000), 0);
	assert_int_equal(spool_rig_append(queue, 1, 1, 4, 20000), -EFBIG);
	limit_file_bytes(RLIM_INFINITY);
	assert_int_equal(spool_rig_append(queue, 1, 1, 5, 20000), 0);
	wb_spool_stats(spool, &stats);
	assert_int_equal(stats.entries, 3);
	assert_int_equal(stats.failed, 2);
	assert_int_equal(stats.refused, 0);
	wb_spool_close(spool);
	spool = spool_rig_open(64 * MIB, MIB, 1);
	wb_spool_stats(spool, &stats);
	assert_int_equal(stats.recovered, 3);
	assert_int_equal(stats.torn + stats.damaged, 0);
	queue = wb_spool_queue(spool, 0);
	spool_rig_drain(queue, 1, 1, 1);
	spool_rig_drain(queue, 1, 1, 3);
	spool_rig_drain(queue, 1, 1, 5);
	wb_spool_close(spool);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

/* No reader would take it: it is refused before anything of it is written, and told like any that is lost. */
static void a_batch_beyond_all_limits_is_lost_and_counted(void **state)
{
	static const uint8_t session_id[16] = {1}, data[1] = {1};
	const struct wb_batch batch = {
		.data = data, .size = 128 * MIB + 1, .packets = 5, .session_id = session_id, .batch_seq = 1};
	const struct wb_route route = {.partition = -1};
	struct wb_spool *spool = spool_rig_open(1024 * MIB, MIB, 1);
	struct wb_spool_stats stats;

	assert_int_equal(wb_spool_append(wb_spool_queue(spool, 0), &batch, &route), -EMSGSIZE);
	wb_spool_stats(spool, &stats);
	assert_int_equal(stats.failed, 1);
	assert_int_equal(stats.bytes + stats.entries, 0);
	wb_spool_close(spool);
	assert_int_equal(spool_rig_files(".wbs", NULL), 0);
}

static void expect_refused(const char *path, int code, const char *words)
{
	const struct wb_spool_options options = {.directory = path, .bytes = MIB, .segment_bytes = 65536};
	struct wb_error error = {""};
	struct wb_spool *spool;

	assert_int_equal(wb_spool_open(&options, 1, &spool, &error), code);
	if (!strstr(error.message, path) || !strstr(error.message, words))
		fail_msg("\"%s\" does not say '%s' and '%s'", error.message, path, words);
}

static void a_wrong_directory_is_an_error(void **state)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/file", spool_rig_directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	expect_refused(path, -ENOTDIR, "Not a directory");
	snprintf(path, sizeof path, "%s/no/such", spool_rig_directory);
	expect_refused(path, -ENOENT, "No such file or directory");
}

static void two_processes_cannot_share_it(void **state)
{
	struct wb_spool *spool = spool_rig_open(MIB, 65536, 1);
	char words[64];

	snprintf(words, sizeof words, "another process uses it (pid %d)", (int)getpid());
	expect_refused(spool_rig_directory, -EWOULDBLOCK, words);
	wb_spool_close(spool);
	wb_spool_close(spool_rig_open(MIB, 65536, 1));
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, spool_rig_setup, spool_rig_teardown)
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(comes_back_in_order),
		SPOOL_TEST(older_ones_that_come_later_go_first),
		SPOOL_TEST(what_is_there_already_costs_nothing),
		SPOOL_TEST(what_was_not_taken_is_sent_again_first),
		SPOOL_TEST(streams_take_turns),
		SPOOL_TEST(files_go_when_they_are_settled),
		SPOOL_TEST(the_bound_holds),
		SPOOL_TEST(messages_without_packets_always_fit),
		SPOOL_TEST(damage_is_noticed_when_it_is_read),
		SPOOL_TEST(a_disk_that_refuses_loses_one_batch),
		SPOOL_TEST(a_batch_beyond_all_limits_is_lost_and_counted),
		SPOOL_TEST(a_wrong_directory_is_an_error),
		SPOOL_TEST(two_processes_cannot_share_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
