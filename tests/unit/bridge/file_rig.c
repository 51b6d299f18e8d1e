/* SPDX-License-Identifier: Apache-2.0 */
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

static char base[] = "/tmp/wirebus-file-XXXXXX";
char file_rig_directory[64], file_rig_url[128];

static const struct wb_route route = {.partition = -1};

size_t file_rig_count_files(void)
{
	char pattern[128];
	size_t count;
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/*", file_rig_directory);
	count = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
	if (count > 0)
		globfree(&found);
	return count;
}

const char *file_rig_path(unsigned int worker, unsigned int segment)
{
	static char path[192];

	snprintf(path, sizeof(path), "%s/" SESSION "-%04u-%06u.wbs", file_rig_directory, worker, segment);
	return path;
}

off_t file_rig_size(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 ? status.st_size : -1;
}

void file_rig_send_all(struct rig_bus *bus, struct rig_batch *batches, size_t count)
{
	for (size_t i = 0; i < count; i++)
		while (bus->setup.ops->publish(bus->lanes[batches[i].batch.worker_id], &batches[i].batch, &route) ==
			-EAGAIN)
			rig_sleep_ms(1);
	assert_int_equal(bus->setup.ops->flush(bus->transport, 20000), 0);
}

/* Write `count` batches of worker 0, numbered from first, through a transport of its own. */
void file_rig_write_batches(const char *to, uint64_t first, size_t count, size_t size)
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

void file_rig_expect_batch(struct rig_source *source, uint64_t sequence)
{
	int r = rig_source_next(source, 5000);

	if (r != 1)
		fail_msg("batch %llu: %d %s", (unsigned long long)sequence, r, source->error.message);
	assert_int_equal(source->message.kind, WB_MESSAGE_BATCH);
	assert_int_equal(rig_check(source->message.data, source->message.size, NULL), sequence);
}

void file_rig_expect_delivered(struct rig_bus *bus, uint64_t sequence, size_t size)
{
	struct rig_batch batch;

	rig_batch_init(&batch, 0, sequence, size);
	assert_int_equal(rig_bus_send(bus, &batch), WB_RESULT_DELIVERED);
	rig_batch_fini(&batch);
}

void file_rig_expect_damage(struct rig_source *source, const char *text)
{
	assert_int_equal(rig_source_next(source, 5000), -EBADMSG);
	if (!strstr(source->error.message, text))
		fail_msg("\"%s\" does not say \"%s\"", source->error.message, text);
}

void file_rig_expect_range(struct rig_source *source, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i <= last; i++)
		file_rig_expect_batch(source, i);
}

void file_rig_flip(const char *path, off_t offset)
{
	uint8_t byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x80;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

int file_rig_clean(void **state)
{
	char command[160];

	umount2(file_rig_directory, MNT_DETACH);
	snprintf(command, sizeof(command), "rm -rf '%s'", file_rig_directory);
	return system(command);
}

int file_rig_set_up(void **state)
{
	if (!mkdtemp(base))
		return -1;
	snprintf(file_rig_directory, sizeof(file_rig_directory), "%s/bus", base);
	snprintf(file_rig_url, sizeof(file_rig_url), "file://%s", file_rig_directory);
	return 0;
}

int file_rig_tear_down(void **state)
{
	return rmdir(base);
}
