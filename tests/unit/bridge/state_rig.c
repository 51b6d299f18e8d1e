/* SPDX-License-Identifier: Apache-2.0 */
#include "state_rig.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "state_internal.h"

char state_rig_directory[64];
const char *state_rig_bus;
const uint8_t state_rig_session[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

int state_rig_setup(void **state)
{
	state_rig_bus = "kafka://b1:9092,b2:9092/packets";
	strcpy(state_rig_directory, "/tmp/wirebus-state-XXXXXX");
	return mkdtemp(state_rig_directory) ? 0 : -1;
}

unsigned int state_rig_files(const char *suffix, char *ret_path)
{
	DIR *folder = opendir(state_rig_directory);
	struct dirent *entry;
	unsigned int count = 0;

	assert_non_null(folder);
	while ((entry = readdir(folder))) {
		size_t length = strlen(entry->d_name);

		if (length <= strlen(suffix) || strcmp(entry->d_name + length - strlen(suffix), suffix) != 0)
			continue;
		if (ret_path)
			snprintf(ret_path, 400, "%s/%s", state_rig_directory, entry->d_name);
		count++;
	}
	closedir(folder);
	return count;
}

int state_rig_teardown(void **state)
{
	DIR *folder = opendir(state_rig_directory);
	struct dirent *entry;

	if (!folder)
		return -1;
	while ((entry = readdir(folder)))
		unlinkat(dirfd(folder), entry->d_name, 0);
	closedir(folder);
	return rmdir(state_rig_directory);
}

struct wb_state *state_rig_create(unsigned int workers, unsigned int streams)
{
	const struct wb_state_options options = {
		.directory = state_rig_directory,
		.capture = "eth0",
		.bus = state_rig_bus,
		.node = "node-1",
		.session_id = state_rig_session,
		.first_worker_id = 5,
		.workers = workers,
		.streams = streams,
	};
	struct wb_state *made = NULL;
	struct wb_error error = {""};

	if (wb_state_create(&options, &made, &error) < 0)
		fail_msg("%s", error.message);
	for (unsigned int w = 0; w < workers; w++) {
		for (unsigned int s = 0; s < streams; s++) {
			char key[32];
			const struct wb_state_stream stream = {
				.stream_id = 100 * w + s,
				.key = key,
				.key_size = (size_t)snprintf(key, sizeof key, "key-%u-%u", w, s),
				.topic = s % 2 ? "topic" : NULL,
			};

			wb_state_describe(wb_state_slot(made, w), s, &stream);
		}
	}
	return made;
}

void state_rig_commit(struct wb_state *made, unsigned int worker, unsigned int streams, uint64_t n)
{
	struct wb_state_slot *slot = wb_state_slot(made, worker);
	struct wbproto_counters counters = {.accepted = n, .delivered = n / 2, .interface_gap_ns = 3 * n};

	for (unsigned int s = 0; s < streams; s++)
		wb_state_set(slot, s, n + s, 10 * n + s);
	wb_state_commit(slot, &counters, 1000 * n);
}

int state_rig_collect(void *context, const struct wb_state_left *left)
{
	struct found *found = context;

	assert_true(found->count < MAX_LEFT);
	found->left[found->count++] = *left;
	return 0;
}

int state_rig_find(struct found *found, const char *capture)
{
	struct wb_error error = {""};

	found->count = 0;
	return wb_state_find(state_rig_directory, capture, state_rig_bus, state_rig_collect, found, &error);
}

void state_rig_done(struct found *found)
{
	for (size_t i = 0; i < found->count; i++)
		wb_state_done(found->left[i].file);
}

void state_rig_expect(const struct wb_state_left *left, unsigned int w, unsigned int s, uint64_t n)
{
	char key[32];

	assert_memory_equal(left->session_id, state_rig_session, 16);
	assert_int_equal(left->worker_id, 5 + w);
	assert_int_equal(left->stream_id, 100 * w + s);
	assert_int_equal(left->batch_seq, n + s);
	assert_int_equal(left->packet_seq, 10 * n + s);
	assert_int_equal(left->time_unix_ns, 1000 * n);
	assert_int_equal(left->counters.accepted, n);
	assert_int_equal(left->counters.delivered, n / 2);
	assert_int_equal(left->counters.interface_gap_ns, 3 * n);
	assert_string_equal(left->node, "node-1");
	snprintf(key, sizeof key, "key-%u-%u", w, s);
	assert_int_equal(left->key_size, strlen(key));
	assert_memory_equal(left->key, key, strlen(key));
	assert_int_equal(left->has_topic, s % 2);
	if (left->has_topic)
		assert_string_equal(left->topic, "topic");
}
