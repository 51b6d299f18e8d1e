/* SPDX-License-Identifier: Apache-2.0 */
#include "spool_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char spool_rig_directory[64];

int spool_rig_setup(void **state)
{
	strcpy(spool_rig_directory, "/tmp/wirebus-spool-XXXXXX");
	return mkdtemp(spool_rig_directory) ? 0 : -1;
}

static void path_of(const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", spool_rig_directory, name);
}

int spool_rig_teardown(void **state)
{
	DIR *folder = opendir(spool_rig_directory);
	struct dirent *entry;

	if (!folder)
		return 0;
	while ((entry = readdir(folder)))
		unlinkat(dirfd(folder), entry->d_name, 0);
	closedir(folder);
	return rmdir(spool_rig_directory);
}

struct wb_spool *spool_rig_open(uint64_t bytes, uint64_t segment_bytes, unsigned int queues)
{
	const struct wb_spool_options options = {
		.directory = spool_rig_directory, .bytes = bytes, .segment_bytes = segment_bytes};
	struct wb_spool *spool = NULL;
	struct wb_error error = {""};

	if (wb_spool_open(&options, queues, &spool, &error) < 0)
		fail_msg("%s", error.message);
	return spool;
}

static uint8_t byte_of(uint32_t stream, uint64_t batch_seq, size_t i)
{
	return (uint8_t)(stream * 37 + batch_seq * 101 + i * 13 + (i >> 7));
}

int spool_rig_append(struct wb_spool_queue *queue, uint8_t session, uint32_t stream, uint64_t batch_seq, size_t size)
{
	uint8_t session_id[16], *data = malloc(size);
	char key[32];
	struct wb_route route = {.key = key, .partition = -1};
	struct wb_batch batch = {
		.data = data,
		.size = size,
		.packets = SPOOL_RIG_PACKETS,
		.session_id = session_id,
		.worker_id = stream,
		.stream_id = stream,
		.batch_seq = batch_seq,
		.first_packet_seq = batch_seq * 1000,
		.max_time_ms = (int64_t)(1700000000000 + batch_seq),
	};
	int r;

	assert_non_null(data);
	memset(session_id, session, sizeof session_id);
	for (size_t i = 0; i < size; i++)
		data[i] = byte_of(stream, batch_seq, i);
	route.key_size = (size_t)snprintf(key, sizeof key, "node/%u", stream);
	if (batch_seq % 2)
		route.topic = "topic";
	r = wb_spool_append(queue, &batch, &route);
	free(data);
	return r;
}

struct wb_spool_entry *spool_rig_expect(
	struct wb_spool_queue *queue, uint8_t session, uint32_t stream, uint64_t batch_seq)
{
	struct wb_spool_entry *entry = wb_spool_next(queue);
	struct wb_spool_item item;
	char key[32];
	uint8_t *data;

	assert_non_null(entry);
	assert_int_equal(wb_spool_entry_packets(entry), SPOOL_RIG_PACKETS);
	data = malloc(wb_spool_entry_size(entry));
	assert_non_null(data);
	assert_int_equal(wb_spool_read(queue, entry, data, &item), 0);
	assert_int_equal(item.batch.batch_seq, batch_seq);
	assert_int_equal(item.batch.stream_id, stream);
	assert_int_equal(item.batch.worker_id, stream);
	assert_int_equal(item.batch.session_id[0], session);
	assert_int_equal(item.batch.session_id[15], session);
	assert_int_equal(item.batch.first_packet_seq, batch_seq * 1000);
	assert_int_equal(item.batch.max_time_ms, 1700000000000 + batch_seq);
	assert_int_equal(item.batch.packets, SPOOL_RIG_PACKETS);
	assert_int_equal(item.batch.flags, 0);
	assert_int_equal(item.batch.size, wb_spool_entry_size(entry));
	for (size_t i = 0; i < item.batch.size; i++)
		assert_int_equal(data[i], byte_of(stream, batch_seq, i));
	snprintf(key, sizeof key, "node/%u", stream);
	assert_int_equal(item.route.key_size, strlen(key));
	assert_memory_equal(item.route.key, key, strlen(key));
	assert_int_equal(item.route.partition, -1);
	if (batch_seq % 2)
		assert_string_equal(item.route.topic, "topic");
	else
		assert_null(item.route.topic);
	free(data);
	wb_spool_sent(queue, entry);
	return entry;
}

void spool_rig_drain(struct wb_spool_queue *queue, uint8_t session, uint32_t stream, uint64_t batch_seq)
{
	wb_spool_settled(queue, spool_rig_expect(queue, session, stream, batch_seq));
}

unsigned int spool_rig_files(const char *suffix, char *ret_first)
{
	DIR *folder = opendir(spool_rig_directory);
	struct dirent *entry;
	unsigned int count = 0;

	assert_non_null(folder);
	while ((entry = readdir(folder))) {
		size_t length = strlen(entry->d_name);

		if (length < strlen(suffix) || strcmp(entry->d_name + length - strlen(suffix), suffix) != 0)
			continue;
		if (ret_first && (count == 0 || strcmp(entry->d_name, ret_first) < 0))
			memcpy(ret_first, entry->d_name, length + 1);
		count++;
	}
	closedir(folder);
	return count;
}

uint64_t spool_rig_file_bytes(const char *name)
{
	struct stat status;
	char path[400];

	path_of(name, path, sizeof path);
	assert_int_equal(stat(path, &status), 0);
	return (uint64_t)status.st_size;
}

void spool_rig_flip(const char *name, uint64_t offset, uint8_t mask)
{
	char path[400];
	uint8_t byte;
	int fd;

	path_of(name, path, sizeof path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= mask;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

void spool_rig_cut(const char *name, uint64_t size)
{
	char path[400];

	path_of(name, path, sizeof path);
	assert_int_equal(truncate(path, (off_t)size), 0);
}
