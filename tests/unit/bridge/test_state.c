/* SPDX-License-Identifier: Apache-2.0 */
/* What a killed process stored is found by the next one, consistent in itself; nothing else is taken for it. */
#include "state_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "state_internal.h"

static void what_was_stored_last_is_found(void **state)
{
	struct wb_state *made = state_rig_create(3, 2);
	struct found found;

	for (uint64_t n = 2; n <= 77; n++)
		for (unsigned int w = 0; w < 3; w++)
			state_rig_commit(made, w, 2, n + w);
	wb_state_close(made);
	assert_int_equal(state_rig_find(&found, "eth0"), 0);
	assert_int_equal(found.count, 6);
	for (unsigned int i = 0; i < 6; i++)
		state_rig_expect(&found.left[i], i / 2, i % 2, 77 + i / 2);
	/* The file is there until all of it was published. */
	for (unsigned int i = 0; i < 5; i++)
		wb_state_done(found.left[i].file);
	assert_int_equal(state_rig_files(".state", NULL), 1);
	wb_state_done(found.left[5].file);
	assert_int_equal(state_rig_files(".state", NULL), 0);
}

static void what_was_not_published_is_found_again(void **state)
{
	struct wb_state *made = state_rig_create(1, 2);
	struct found found;

	state_rig_commit(made, 0, 2, 9);
	wb_state_close(made);
	assert_int_equal(state_rig_find(&found, "eth0"), 0);
	assert_int_equal(found.count, 2);
	wb_state_leave(found.left[0].file);
	wb_state_done(found.left[1].file);
	assert_int_equal(state_rig_find(&found, "eth0"), 0);
	assert_int_equal(found.count, 2);
	state_rig_expect(&found.left[0], 0, 0, 9);
	state_rig_done(&found);
	assert_int_equal(state_rig_find(&found, "eth0"), 0);
	assert_int_equal(found.count, 0);
}

static void a_clean_end_leaves_nothing(void **state)
{
	struct wb_state *made = state_rig_create(2, 1);
	struct found found;

	state_rig_commit(made, 0, 1, 9);
	state_rig_commit(made, 1, 1, 9);
	wb_state_end(wb_state_slot(made, 0));
	wb_state_end(wb_state_slot(made, 1));
	wb_state_close(made);
	assert_int_equal(state_rig_files(".state", NULL), 0);
	/* One of two has ended: the other is reported. */
	made = state_rig_create(2, 1);
	state_rig_commit(made, 0, 1, 9);
	state_rig_commit(made, 1, 1, 9);
	wb_state_end(wb_state_slot(made, 0));
	wb_state_close(made);
	assert_int_equal(state_rig_find(&found, "eth0"), 0);
	assert_int_equal(found.count, 1);
	state_rig_expect(&found.left[0], 1, 0, 9);
	state_rig_done(&found);
	assert_int_equal(state_rig_files(".state", NULL), 0);
}

/* A session that nobody has heard of needs no end. */
static void a_session_without_a_batch_is_forgotten(void **state)
{
	struct wb_state *made = state_rig_create(1, 1);
	struct found found;

	state_rig_commit(made, 0, 1, 1);
	wb_state_close(made);
	assert_int_equal(state_rig_find(&found, "eth0"), 0);
	assert_int_equal(found.count, 0);
	assert_int_equal(state_rig_files(".state", NULL), 0);
}

static void others_are_left_alone(void **state)
{
	struct wb_state *made = state_rig_create(1, 1);
	struct found found;

	state_rig_commit(made, 0, 1, 9);
	/* Its process lives. */
	assert_int_equal(state_rig_find(&found, "eth0"), 0);
	assert_int_equal(found.count, 0);
	wb_state_close(made);
	assert_int_equal(state_rig_find(&found, "eth1"), 0);
	assert_int_equal(found.count, 0);
	assert_int_equal(state_rig_files(".state", NULL), 1);
}

/* A capture of the same name, of a configuration that goes elsewhere; but a bus with one broker more is the same. */
static void another_bus_is_left_alone(void **state)
{
	static const char *const others[] = {
		"kafka://b3:9092/packets", "kafka://b1:9092/others", "zmq+pub://b1:9092", ""};
	struct wb_state *made = state_rig_create(1, 1);
	struct found found;

	state_rig_commit(made, 0, 1, 9);
	wb_state_close(made);
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		state_rig_bus = others[i];
		assert_int_equal(state_rig_find(&found, "eth0"), 0);
		assert_int_equal(found.count, 0);
		assert_int_equal(state_rig_files(".state", NULL), 1);
	}
	state_rig_bus = "kafka://b2:9092,b4:9092/packets";
	assert_int_equal(state_rig_find(&found, "eth0"), 0);
	assert_int_equal(found.count, 1);
	state_rig_expect(&found.left[0], 0, 0, 9);
	state_rig_done(&found);
}

/* What version 1 wrote, which did not say to which bus: it is taken over. */
static void an_old_file_is_taken_over(void **state)
{
	struct wb_state *made = state_rig_create(2, 2);
	struct wb_state_header header;
	uint8_t bytes[16384];
	struct found found;
	char path[400];
	ssize_t n;
	int fd;

	for (unsigned int w = 0; w < 2; w++)
		state_rig_commit(made, w, 2, 9 + w);
	wb_state_close(made);
	assert_int_equal(state_rig_files(".state", path), 1);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
	n = pread(fd, bytes, sizeof bytes, sizeof header);
	assert_in_range(n, 1, sizeof bytes - 1);
	header.version = 1;
	header.crc = wb_state_header_crc(&header);
	assert_int_equal(wb_state_header_bytes(1), 368);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, &header, 368, 0), 368);
	assert_int_equal(pwrite(fd, bytes, (size_t)n, 368), n);
	close(fd);
	state_rig_bus = "null:";
	assert_int_equal(state_rig_find(&found, "eth0"), 0);
	assert_int_equal(found.count, 4);
	for (unsigned int i = 0; i < 4; i++)
		state_rig_expect(&found.left[i], i / 2, i % 2, 9 + i / 2);
	state_rig_done(&found);
	assert_int_equal(state_rig_files(".state", NULL), 0);
}

/* The copy that was being written is torn, at any of its bytes: the one before it counts. */
static void a_torn_copy_is_not_used(void **state)
{
	size_t copy_bytes = wb_state_copy_bytes(2);
	size_t first = sizeof(struct wb_state_header) + 2 * sizeof(struct wb_state_description);
	char path[400];

	for (size_t at = 0; at < copy_bytes; at++) {
		struct wb_state *made = state_rig_create(1, 2);
		struct found found;
		uint8_t byte;
		int fd;

		state_rig_commit(made, 0, 2, 20);
		state_rig_commit(made, 0, 2, 21);
		state_rig_commit(made, 0, 2, 22); /* the third: into the second copy */
		wb_state_close(made);
		assert_int_equal(state_rig_files(".state", path), 1);
		fd = open(path, O_RDWR | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(pread(fd, &byte, 1, (off_t)(first + copy_bytes + at)), 1);
		byte ^= 0x5a;
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)(first + copy_bytes + at)), 1);
		close(fd);
		assert_int_equal(state_rig_find(&found, "eth0"), 0);
		assert_int_equal(found.count, 2);
		state_rig_expect(&found.left[0], 0, 0, 21);
		state_rig_expect(&found.left[1], 0, 1, 21);
		state_rig_done(&found);
	}
}

/* Killed at any instruction: what is found is one of the states that were stored, and not older than was told. */
static void a_kill_leaves_a_whole_state(void **state)
{
	for (int round = 0; round < 30; round++) {
		_Atomic uint64_t *told =
			mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		struct found found;
		int status;
		pid_t child;

		assert_true(told != MAP_FAILED);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			struct wb_state *made = state_rig_create(1, 2);

			for (uint64_t n = 2;; n++) {
				state_rig_commit(made, 0, 2, n);
				*told = n;
			}
		}
		while (*told < 1000u + (unsigned int)round)
			;
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(state_rig_find(&found, "eth0"), 0);
		assert_int_equal(found.count, 2);
		assert_in_range(found.left[0].counters.accepted, *told, *told + 1);
		state_rig_expect(&found.left[0], 0, 0, found.left[0].counters.accepted);
		state_rig_expect(&found.left[1], 0, 1, found.left[0].counters.accepted);
		state_rig_done(&found);
		munmap((void *)told, sizeof *told);
	}
}

static void patch(size_t offset, const void *bytes, size_t size)
{
	char path[400];
	int fd;

	assert_int_equal(state_rig_files(".state", path), 1);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), size);
	close(fd);
}

static void a_newer_version_is_refused(void **state)
{
	struct wb_state *made = state_rig_create(1, 1);
	struct found found = {.count = 0};
	struct wb_error error = {""};
	uint32_t version = 3;

	state_rig_commit(made, 0, 1, 9);
	wb_state_close(made);
	patch(offsetof(struct wb_state_header, version), &version, sizeof version);
	assert_int_equal(
		wb_state_find(state_rig_directory, "eth0", state_rig_bus, state_rig_collect, &found, &error), -EPROTO);
	assert_non_null(strstr(error.message, state_rig_directory));
	assert_non_null(strstr(error.message, "has version 3; this program reads version 2"));
	assert_int_equal(state_rig_files(".state", NULL), 1);
}

/* Whatever else is in the file: it is set aside, and nothing is made of it. */
static void a_damaged_file_is_set_aside(void **state)
{
	static const size_t offsets[] = {0, offsetof(struct wb_state_header, workers),
		offsetof(struct wb_state_header, streams), offsetof(struct wb_state_header, counters),
		offsetof(struct wb_state_header, crc), offsetof(struct wb_state_header, node),
		sizeof(struct wb_state_header) + offsetof(struct wb_state_description, key)};
	char path[400];

	for (size_t i = 0; i <= sizeof offsets / sizeof offsets[0]; i++) {
		struct wb_state *made = state_rig_create(1, 1);
		struct found found;

		state_rig_commit(made, 0, 1, 9);
		wb_state_close(made);
		if (i < sizeof offsets / sizeof offsets[0]) {
			patch(offsets[i], "\xff\xff\xff\x7f", 4);
		} else {
			assert_int_equal(state_rig_files(".state", path), 1);
			assert_int_equal(truncate(path, sizeof(struct wb_state_header) + 3), 0);
		}
		assert_int_equal(state_rig_find(&found, "eth0"), 0);
		assert_int_equal(found.count, 0);
		assert_int_equal(state_rig_files(".state", NULL), 0);
		assert_int_equal(state_rig_files(".state.damaged", path), 1);
		unlink(path);
	}
}

static size_t read_whole(const char *path, uint8_t *bytes, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, bytes, room);

	close(fd);
	assert_in_range(n, 1, room - 1);
	return (size_t)n;
}

static void write_whole(const char *path, const uint8_t *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

/* Whatever bit is flipped and wherever the file is cut: what is reported is what was stored, or nothing is. */
static void no_damage_is_reported_as_a_session(void **state)
{
	struct wb_state *made = state_rig_create(1, 1);
	struct wb_error error;
	struct found found;
	uint8_t bytes[8192];
	char path[400];
	size_t size;

	state_rig_commit(made, 0, 1, 8);
	state_rig_commit(made, 0, 1, 9);
	wb_state_close(made);
	assert_int_equal(state_rig_files(".state", path), 1);
	size = read_whole(path, bytes, sizeof bytes);
	for (size_t i = 0; i < 2 * size; i++) {
		size_t length = i < size ? size : i - size;

		if (i < size)
			bytes[i] ^= (uint8_t)(1 << i % 8);
		write_whole(path, bytes, length);
		if (i < size)
			bytes[i] ^= (uint8_t)(1 << i % 8);
		found.count = 0;
		wb_state_find(state_rig_directory, "eth0", state_rig_bus, state_rig_collect, &found, &error);
		assert_true(found.count <= 1);
		if (found.count == 1) {
			assert_in_range(found.left[0].batch_seq, 8, 9);
			state_rig_expect(&found.left[0], 0, 0, found.left[0].batch_seq);
		}
		state_rig_done(&found);
	}
}

static void an_empty_file_is_deleted(void **state)
{
	struct found found;
	char path[400];

	for (off_t size = 0; size < 5000; size += 1000) {
		int fd;

		snprintf(path, sizeof path, "%s/0-1.state", state_rig_directory);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, size), 0);
		close(fd);
		assert_int_equal(state_rig_find(&found, "eth0"), 0);
		assert_int_equal(state_rig_files(".state", NULL), 0);
	}
	assert_int_equal(state_rig_files(".damaged", NULL), 0);
}

static void a_wrong_directory_is_an_error(void **state)
{
	struct wb_state_options options = {.directory = "/dev/null",
		.capture = "",
		.node = "",
		.session_id = state_rig_session,
		.workers = 1,
		.streams = 1};
	struct wb_error error = {""};
	struct wb_state *made;

	assert_int_equal(wb_state_create(&options, &made, &error), -ENOTDIR);
	assert_non_null(strstr(error.message, "state_dir '/dev/null': cannot open it: Not a directory"));
	options.directory = "/no/such";
	assert_int_equal(wb_state_create(&options, &made, &error), -ENOENT);
	assert_non_null(strstr(error.message, "/no/such"));
	/* Nothing was left there, then. */
	assert_int_equal(wb_state_find("/no/such", "eth0", state_rig_bus, state_rig_collect, NULL, &error), 0);
}

int main(void)
{
#define STATE_TEST(name) cmocka_unit_test_setup_teardown(name, state_rig_setup, state_rig_teardown)
	const struct CMUnitTest tests[] = {
		STATE_TEST(what_was_stored_last_is_found),
		STATE_TEST(what_was_not_published_is_found_again),
		STATE_TEST(a_clean_end_leaves_nothing),
		STATE_TEST(a_session_without_a_batch_is_forgotten),
		STATE_TEST(others_are_left_alone),
		STATE_TEST(another_bus_is_left_alone),
		STATE_TEST(an_old_file_is_taken_over),
		STATE_TEST(a_torn_copy_is_not_used),
		STATE_TEST(a_kill_leaves_a_whole_state),
		STATE_TEST(a_newer_version_is_refused),
		STATE_TEST(a_damaged_file_is_set_aside),
		STATE_TEST(no_damage_is_reported_as_a_session),
		STATE_TEST(an_empty_file_is_deleted),
		STATE_TEST(a_wrong_directory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
