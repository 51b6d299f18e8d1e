/* SPDX-License-Identifier: Apache-2.0 */
/* The file "bus" of a spool: what is in the spool goes to the bus that it was meant for, and to no other. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus_identity.h"
#include "log.h"
#include "spool_internal.h"

#define FILE_NAME "bus"
#define NEW_NAME "bus.new"

/* What the file says; "" when there is none, as in spools of before it was written, or nothing in it. */
static int read_bus(const struct wb_spool *spool, char *ret_bus, struct wb_error *ret_error)
{
	int fd = openat(spool->directory, FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, ret_bus, WB_BUS_IDENTITY_BYTES - 1);
	int r = n < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	ret_bus[0] = n > 0 ? ret_bus[0] : '\0';
	if (r < 0)
		return r == -ENOENT ? 0
		                    : wb_fail(ret_error, r, "spool_dir '%s': cannot read '" FILE_NAME "': %s",
					      spool->path, strerror(-r));
	ret_bus[n] = '\0';
	ret_bus[strcspn(ret_bus, "\n")] = '\0';
	return 0;
}

/* Replaced as a whole: who is killed meanwhile leaves the old one, or none. */
static int write_bus(const struct wb_spool *spool, const char *bus)
{
	int fd = openat(spool->directory, NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	int r = fd < 0 || dprintf(fd, "%s\n", bus) < 0 ? -errno : 0;

	/* What is in the files is as safe as this. The name is, with that of the first of them. */
	if (r == 0 && spool->fsync && fdatasync(fd) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (r == 0 && renameat(spool->directory, NEW_NAME, spool->directory, FILE_NAME) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(spool->directory, NEW_NAME, 0);
	return r;
}

int wb_spool_check_bus(struct wb_spool *spool, const char *bus, struct wb_error *ret_error)
{
	char found[WB_BUS_IDENTITY_BYTES];
	int r = read_bus(spool, found, ret_error);

	if (r < 0 || strcmp(found, bus) == 0)
		return r;
	if (found[0] && !wb_bus_is_same(found, bus) && wb_spool_has_files(spool))
		return wb_fail(ret_error, -EEXIST,
			"spool_dir '%s': it holds packets for %s, and this capture goes to %s; publish them there "
			"first, "
			"use another directory, or delete its file '" FILE_NAME "' to publish them here",
			spool->path, found, bus);
	r = write_bus(spool, bus);
	if (r < 0 && found[0] && !wb_bus_is_same(found, bus))
		return wb_fail(ret_error, r,
			"spool_dir '%s': it is noted to be for %s, and that cannot be changed to %s: %s", spool->path,
			found, bus, strerror(-r));
	/* A full disk may be full of this spool, and only a start can empty it. */
	if (r < 0)
		wb_log(WB_LOG_WARNING, "spool '%s': cannot note that it is for %s: %s", spool->path, bus, strerror(-r));
	return 0;
}
