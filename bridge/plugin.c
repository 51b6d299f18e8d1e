/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "registry.h"

/* Handles, so that a file that is named twice is noticed. Never closed. */
static struct {
	void *handles[WB_PLUGINS_MAX];
	size_t count;
} loaded;

/* Who may rename files in a folder can put another one in the plugin's place. */
static int check_folder(const char *path, struct wb_error *ret_error)
{
	char *copy = strdup(path);
	struct stat status;
	int r = 0;

	if (!copy)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	if (stat(dirname(copy), &status) < 0)
		r = wb_fail(ret_error, -errno, "%s", strerror(errno));
	else if ((status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX))
		r = wb_fail(ret_error, -EACCES,
			"anybody may write in its folder (mode %04o); 'chmod o-w' it, or move the plugin",
			(unsigned int)(status.st_mode & 07777));
	free(copy);
	return r;
}

static int check_file(const char *path, struct wb_error *ret_error)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return wb_fail(ret_error, -errno, "%s", strerror(errno));
	if (!S_ISREG(status.st_mode))
		return wb_fail(ret_error, -EINVAL, "it is not a file");
	if (status.st_uid != 0 && status.st_uid != geteuid())
		return wb_fail(ret_error, -EACCES,
			"it belongs to user %u, neither to root nor to user %u who runs this",
			(unsigned int)status.st_uid, (unsigned int)geteuid());
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return wb_fail(ret_error, -EACCES, "others than its owner may write to it (mode %04o); 'chmod go-w' it",
			(unsigned int)(status.st_mode & 07777));
	return check_folder(path, ret_error);
}

static bool is_loaded(void *handle)
{
	for (size_t i = 0; i < loaded.count; i++) {
		if (loaded.handles[i] == handle)
			return true;
	}
	return false;
}

static int register_descriptor(void *handle, struct wb_error *ret_error)
{
	const struct wb_transport_ops *ops = dlsym(handle, WB_TRANSPORT_SYMBOL);
	int r;

	if (!ops)
		return wb_fail(
			ret_error, -EINVAL, "it exports no '%s', so it is no transport plugin", WB_TRANSPORT_SYMBOL);
	r = wb_plugin_check(ops, ret_error);
	if (r < 0)
		return r;
	r = wb_transport_register(ops);
	if (r < 0)
		return wb_fail(ret_error, r, "there are %d plugins already, and no more are possible", WB_PLUGINS_MAX);
	return 0;
}

/* path: absolute */
static int load_file(const char *path, struct wb_error *ret_error)
{
	void *handle;
	int r = check_file(path, ret_error);

	if (r < 0)
		return r;
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return wb_fail(ret_error, -EINVAL, "it cannot be loaded: %s", dlerror());
	if (is_loaded(handle))
		return 0;
	/* One that is refused stays in memory too: it may have started threads when it was loaded. */
	r = register_descriptor(handle, ret_error);
	if (r == 0)
		loaded.handles[loaded.count++] = handle;
	return r;
}

/* Where a file is, with every link followed: what is checked is what is loaded. NULL: errno says why. */
static char *resolve(const char *path, const char *folder)
{
	char *joined, *resolved;

	if (path[0] == '/' || !folder)
		return realpath(path, NULL);
	if (asprintf(&joined, "%s/%s", folder, path) < 0)
		return NULL;
	resolved = realpath(joined, NULL);
	free(joined);
	return resolved;
}

static int load_one(const char *path, const char *folder, struct wb_error *ret_error)
{
	struct wb_error why;
	char *resolved;
	int r;

	if (!path[0])
		return wb_fail(ret_error, -EINVAL, "plugin: a path is empty");
	resolved = resolve(path, folder);
	r = resolved ? load_file(resolved, &why) : wb_fail(&why, -errno, "%s", strerror(errno));
	free(resolved);
	return r < 0 ? wb_fail(ret_error, r, "plugin '%.200s': %s", path, why.message) : 0;
}

int wb_plugins_load(const char *list, const char *folder, struct wb_error *ret_error)
{
	char *copy = strdup(list);
	char *rest = copy, *path;
	int r = 0;

	if (!copy)
		return wb_fail(ret_error, -ENOMEM, "plugin: out of memory");
	while (r == 0 && (path = strsep(&rest, ",")))
		r = load_one(path, folder, ret_error);
	free(copy);
	return r;
}
