/* SPDX-License-Identifier: Apache-2.0 */
#include "zmq_allow.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <zmq.h>

#include "log.h"

#define SUFFIX ".pub"
#define MAX_KEYS 100000

static int compare(const void *left, const void *right)
{
	return memcmp(left, right, WB_ZMQ_KEY_BYTES);
}

static int add_key(struct wb_zmq_allow *allow, const struct wb_zmq_key *key, struct wb_error *ret_error)
{
	/* Doubled at each power of two. */
	if ((allow->count & (allow->count - 1)) == 0) {
		const size_t room = allow->count ? allow->count * 2 : 1;
		void *grown = realloc(allow->keys, room * sizeof(allow->keys[0]));

		if (!grown)
			return wb_fail(ret_error, -ENOMEM, "'%.200s': out of memory", allow->path);
		allow->keys = grown;
	}
	if (allow->count == MAX_KEYS)
		return wb_fail(ret_error, -EFBIG, "'%.200s' has more than %d keys", allow->path, MAX_KEYS);
	zmq_z85_decode(allow->keys[allow->count++], key->text);
	return 0;
}

static int read_file(struct wb_zmq_allow *allow, const char *path, struct wb_error *ret_error)
{
	struct wb_zmq_key_file file;
	struct wb_zmq_key key;
	int r;

	r = wb_zmq_key_file_read(path, WB_ZMQ_KEY_PUBLIC, &file, ret_error);
	if (r < 0)
		return r;
	while ((r = wb_zmq_key_file_next(&file, &key, ret_error)) > 0) {
		r = add_key(allow, &key, ret_error);
		if (r < 0)
			break;
	}
	wb_zmq_key_file_fini(&file);
	return r;
}

static bool is_listed(const char *name)
{
	const size_t length = strlen(name), suffix = strlen(SUFFIX);

	return name[0] != '.' && length > suffix && strcmp(name + length - suffix, SUFFIX) == 0;
}

/* Call for the file, or each file of the directory, until something else than 0 is returned. */
static int for_each_file(const char *path, int (*call)(void *context, const char *path), void *context)
{
	struct dirent *entry;
	DIR *directory;
	char *name;
	int r = 0;

	directory = opendir(path);
	if (!directory)
		return errno == ENOTDIR ? call(context, path) : -errno;
	while (r == 0 && (entry = readdir(directory))) {
		if (!is_listed(entry->d_name))
			continue;
		if (asprintf(&name, "%s/%s", path, entry->d_name) < 0) {
			r = -ENOMEM;
			break;
		}
		r = call(context, name);
		free(name);
	}
	closedir(directory);
	return r;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

static uint64_t signature_of_file(const char *path)
{
	struct stat status;
	uint64_t hash = 1;

	if (stat(path, &status) < 0)
		return 0;
	hash = mix(hash, status.st_ino);
	hash = mix(hash, (uint64_t)status.st_size);
	hash = mix(hash, (uint64_t)status.st_mtim.tv_sec * 1000000000 + (uint64_t)status.st_mtim.tv_nsec);
	return mix(hash, (uint64_t)status.st_ctim.tv_sec * 1000000000 + (uint64_t)status.st_ctim.tv_nsec);
}

/* A sum, because a directory's files come in any order. */
static int add_signature(void *context, const char *path)
{
	*(uint64_t *)context += signature_of_file(path);
	return 0;
}

static uint64_t signature(const char *path)
{
	uint64_t sum = signature_of_file(path);

	for_each_file(path, add_signature, &sum);
	return sum;
}

struct reading {
	struct wb_zmq_allow *allow;
	struct wb_error *error;
	bool told;
};

static int read_next(void *context, const char *path)
{
	struct reading *reading = context;
	int r = read_file(reading->allow, path, reading->error);

	reading->told = r < 0;
	return r;
}

static int read_all(const char *path, struct wb_zmq_allow *ret_allow, struct wb_error *ret_error)
{
	struct reading reading = {.allow = ret_allow, .error = ret_error};
	struct stat status;
	int r;

	*ret_allow = (struct wb_zmq_allow){.signature = signature(path)};
	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
		r = wb_zmq_key_check_writable(path, status.st_mode, ret_error);
		if (r < 0)
			return r;
	}
	ret_allow->path = strdup(path);
	r = ret_allow->path ? for_each_file(path, read_next, &reading) : -ENOMEM;
	if (r < 0 && !reading.told)
		wb_fail(ret_error, r, "'%.200s': %s", path, strerror(-r));
	if (r < 0)
		wb_zmq_allow_fini(ret_allow);
	else if (ret_allow->count)
		qsort(ret_allow->keys, ret_allow->count, sizeof(ret_allow->keys[0]), compare);
	return r;
}

int wb_zmq_allow_load(const char *path, struct wb_zmq_allow *ret_allow, struct wb_error *ret_error)
{
	int r = read_all(path, ret_allow, ret_error);

	if (r < 0 || ret_allow->count)
		return r;
	wb_zmq_allow_fini(ret_allow);
	return wb_fail(ret_error, -EINVAL,
		"'%.200s' has no public key in it, so that nobody could connect: one a line, or files NAME.pub in a"
		" directory",
		path);
}

int wb_zmq_allow_refresh(struct wb_zmq_allow *allow, struct wb_error *ret_error)
{
	const uint64_t now = signature(allow->path);
	struct wb_zmq_allow fresh;
	int r;

	if (now == allow->signature)
		return 0;
	r = read_all(allow->path, &fresh, ret_error);
	if (r < 0) {
		allow->signature = now;
		return r;
	}
	wb_zmq_allow_fini(allow);
	*allow = fresh;
	return 1;
}

bool wb_zmq_allow_has(const struct wb_zmq_allow *allow, const void *key)
{
	return allow->count && bsearch(key, allow->keys, allow->count, sizeof(allow->keys[0]), compare);
}

void wb_zmq_allow_fini(struct wb_zmq_allow *allow)
{
	free(allow->path);
	free(allow->keys);
	*allow = (struct wb_zmq_allow){0};
}
