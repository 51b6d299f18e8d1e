/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what the file transport wrote, one container file after the other. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"
#include "container.h"

#define MAX_FILES 64

struct file {
	char path[512];
	struct wb_container_reader *reader;
};

struct peer {
	char directory[256];
	struct file files[MAX_FILES];
	unsigned int count;
};

static void *open_peer(const struct conf_bus *bus, bool stalled)
{
	struct peer *peer;

	(void)stalled;
	peer = calloc(1, sizeof(*peer));
	if (peer)
		snprintf(peer->directory, sizeof(peer->directory), "%s", bus->address);
	return peer;
}

static bool known(const struct peer *peer, const char *path)
{
	unsigned int i;

	for (i = 0; i < peer->count; i++)
		if (strcmp(peer->files[i].path, path) == 0)
			return true;
	return false;
}

/* Open files that have appeared. */
static void scan(struct peer *peer)
{
	struct wb_error error;
	struct dirent *entry;
	struct file *file;
	char path[512];
	DIR *directory;

	directory = opendir(peer->directory);
	if (!directory)
		return;
	while ((entry = readdir(directory))) {
		const size_t length = strlen(entry->d_name);

		if (length < 4 || strcmp(entry->d_name + length - 4, ".wbs") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%.200s", peer->directory, entry->d_name);
		if (known(peer, path) || peer->count == MAX_FILES)
			continue;
		file = &peer->files[peer->count];
		if (wb_container_open(path, SIZE_MAX / 2, &file->reader, &error) < 0)
			continue; /* its head is not written yet */
		memcpy(file->path, path, sizeof(path));
		peer->count++;
	}
	closedir(directory);
}

static int next(struct peer *peer, const void **ret_data, size_t *ret_size)
{
	struct wb_container_item item;
	struct wb_error error = {""};
	unsigned int i;
	int r;

	for (i = 0; i < peer->count; i++) {
		r = wb_container_next(peer->files[i].reader, &item, &error);
		if (r == 1) {
			*ret_data = item.message;
			*ret_size = item.message_length;
			return 1;
		}
		CONF_CHECK(r == 0 || r == -EAGAIN, "%s: %d: %s", peer->files[i].path, r, error.message);
	}
	return 0;
}

static int receive(void *context, int timeout_ms, const void **ret_data, size_t *ret_size)
{
	const int64_t end = conf_now_ms() + timeout_ms;
	struct peer *peer = context;

	for (;;) {
		scan(peer);
		if (next(peer, ret_data, ret_size) == 1)
			return 1;
		if (conf_now_ms() >= end)
			return 0;
		conf_pause_ms(5);
	}
}

static void close_peer(void *context)
{
	struct peer *peer = context;
	unsigned int i;

	for (i = 0; i < peer->count; i++)
		wb_container_close(peer->files[i].reader);
	free(peer);
}

const struct conf_peer_ops conf_peer_file = {.open = open_peer, .receive = receive, .close = close_peer};
