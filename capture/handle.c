/* SPDX-License-Identifier: Apache-2.0 */
/* A handle: its memory, who refers to it, who is in a call, and the way to open and close it. */
#include "internal.h"
#include "barrier.h"

#include <fcntl.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_GROUP 256u

/* Everything that a handle has, also one that was made half. */
static void handle_destroy(struct tpacket *handle)
{
	/* The mapping first: the socket stays attached to the interface as long as the ring is mapped. */
	tpk_ring_unmap(handle);
	if (handle->fd >= 0)
		close(handle->fd);
	tpk_reserve_close(handle);
	tpk_group_put(handle);
	if (handle->wake_fd >= 0)
		close(handle->wake_fd);
	if (handle->netns_fd >= 0)
		close(handle->netns_fd);
	if (handle->filter_fd >= 0)
		close(handle->filter_fd);
	tpk_program_put(handle->fanout_program);
	tpk_filter_free(handle);
	tpk_settle_free(handle);
	free((void *)handle->options.interface);
	free((void *)handle->options.netns);
	pthread_cond_destroy(&handle->life.left);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
}

static int copy_descriptor(int fd, const char *name, int *ret_fd, struct tpacket_error *ret_error)
{
	if (fd < 0)
		return 0;
	*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *ret_fd < 0 ? tpk_error(ret_error, -errno, "%s: %d", name, fd) : 0;
}

static int copy_strings(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	handle->options.interface = strdup(options->interface ? options->interface : "");
	if (!handle->options.interface)
		return tpk_error(ret_error, -ENOMEM, "interface: copy of the name");
	if (!options->netns)
		return 0;
	handle->options.netns = strdup(options->netns);
	return handle->options.netns ? 0 : tpk_error(ret_error, -ENOMEM, "netns: copy of the path");
}

static int copy_fanout_program(
	struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	struct tpk_program *program;

	if (!options->fanout_program && options->fanout_program_fd < 0)
		return 0;
	int r = tpk_program_create(
		options->fanout_program, options->fanout_program_length, options->fanout_program_fd, &program);
	if (r < 0 && options->fanout_program)
		return tpk_error(
			ret_error, r, "fanout_program: copy of %u instructions", options->fanout_program_length);
	if (r < 0)
		return tpk_error(ret_error, r, "fanout_program_fd: %d", options->fanout_program_fd);
	tpk_program_adopt(handle, program);
	tpk_program_put(program);
	return 0;
}

static int copy_programs(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	int r = tpk_filter_keep(handle, options->filter, options->filter_length);
	if (r < 0)
		return tpk_error(ret_error, r, "filter: copy of %u instructions", options->filter_length);
	r = copy_descriptor(options->filter_fd, "filter_fd", &handle->filter_fd, ret_error);
	if (r == 0)
		r = copy_fanout_program(handle, options, ret_error);
	/* Until the filter is replaced; socket.c looks at them when it opens for the first time only. */
	handle->options.filter = handle->filter;
	handle->options.filter_fd = handle->filter_fd;
	return r;
}

static int open_wake(struct tpacket *handle, struct tpacket_error *ret_error)
{
	handle->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (handle->wake_fd < 0)
		return tpk_error(ret_error, -errno, "eventfd");
	/* Where there is no /proc the reader's namespace is taken for the handle's. */
	if (handle->options.reopen && !handle->options.netns) {
		int fd = tpk_netns_current();
		handle->netns_fd = fd < 0 ? -1 : fd;
	}
	return 0;
}

int tpk_handle_create(
	const struct tpacket_options *options, struct tpacket **ret_handle, struct tpacket_error *ret_error)
{
	struct tpacket *handle = calloc(1, sizeof(*handle));
	if (!handle) {
		tpk_error(ret_error, -ENOMEM, "handle");
		return -ENOMEM;
	}
	handle->options = *options;
	handle->options.interface = NULL;
	handle->options.netns = NULL;
	handle->options.filter = NULL;
	handle->options.fanout_program = NULL;
	handle->options.fanout_program_fd = -1;
	handle->filter_fd = -1;
	handle->fd = -1;
	handle->wake_fd = -1;
	handle->netns_fd = -1;
	handle->fanout_id = -ENOENT;
	handle->retire_ms = options->retire_ms;
	handle->snap_length = options->snap_length;
	handle->link.hardware_type = ARPHRD_VOID;
	handle->life.references = 1;
	pthread_mutex_init(&handle->lock, NULL);
	pthread_cond_init(&handle->life.left, NULL);

	int r = copy_strings(handle, options, ret_error);
	if (r == 0)
		r = copy_programs(handle, options, ret_error);
	if (r == 0)
		r = open_wake(handle, ret_error);
	if (r < 0) {
		handle_destroy(handle);
		return r;
	}
	*ret_handle = handle;
	return 0;
}

/* The steps after the handle's memory. */
static int open_socket(struct tpacket *handle, struct tpacket_error *ret_error)
{
	struct tpacket_options *options = &handle->options;

	int fd = tpk_netns_socket(options->netns, tpk_socket_type(options), ret_error);
	if (fd < 0)
		return fd;
	int r = tpk_socket_set_up(handle, fd, ret_error);
	if (r < 0)
		return r;
	/* The programs are the handle's from here on, and may be replaced. */
	options->filter = NULL;
	options->filter_length = 0;
	options->filter_fd = -1;
	if (!options->fanout_join_running) {
		r = tpk_fanout_join(handle, ret_error);
		if (r < 0)
			return r;
	}
	return tpk_reserve_open(handle, ret_error);
}

static int open_version(const struct tpacket_options *options, enum tpacket_version version,
	struct tpacket **ret_handle, struct tpacket_error *ret_error)
{
	const struct tpk_ring_ops *ops = tpk_ring_ops_find(version);
	struct tpacket *handle;

	if (!ops) {
		tpk_error(ret_error, -EPROTONOSUPPORT, "version: %d: must be 1, 2, 3, or %d for automatic",
			(int)version, TPACKET_VERSION_AUTO);
		return -EPROTONOSUPPORT;
	}
	int r = tpk_options_check(options, ops, ret_error);
	if (r < 0)
		return r;
	r = tpk_handle_create(options, &handle, ret_error);
	if (r < 0)
		return r;
	handle->ops = ops;
	handle->options.version = version;
	r = open_socket(handle, ret_error);
	if (r < 0) {
		handle_destroy(handle);
		return r;
	}
	*ret_handle = handle;
	return 0;
}

/* Without the group that it comes back with. */
static int open_alone(
	const struct tpacket_options *options, struct tpacket **ret_handle, struct tpacket_error *ret_error)
{
	static const enum tpacket_version versions[] = {TPACKET_VERSION_3, TPACKET_VERSION_2, TPACKET_VERSION_1};

	if (options->version != TPACKET_VERSION_AUTO)
		return open_version(options, options->version, ret_handle, ret_error);
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		int r = open_version(options, versions[i], ret_handle, ret_error);
		if (r != -EPROTONOSUPPORT)
			return r;
	}
	tpk_error(ret_error, -EPROTONOSUPPORT, "version: automatic: the kernel knows none of TPACKET_V3, V2, V1");
	return -EPROTONOSUPPORT;
}

static int share_group(struct tpacket **handles, unsigned int count, struct tpacket_error *ret_error)
{
	struct tpk_group *group;

	if (!handles[0]->options.reopen)
		return 0;
	int r = tpk_group_create(&group);
	if (r < 0)
		return tpk_error(ret_error, r, "reopen: group");
	for (unsigned int i = 0; i < count; i++)
		tpk_group_join(group, handles[i]);
	return 0;
}

int tpacket_open(const struct tpacket_options *options, struct tpacket **ret_handle, struct tpacket_error *ret_error)
{
	struct tpacket *handle;

	int r = open_alone(options, &handle, ret_error);
	if (r < 0)
		return r;
	r = share_group(&handle, 1, ret_error);
	if (r < 0) {
		handle_destroy(handle);
		return r;
	}
	*ret_handle = handle;
	return 0;
}

void tpk_handle_choose_id(struct tpacket *handle, int id)
{
	if (id < 0)
		handle->options.fanout_flags |= TPACKET_FANOUT_UNIQUE_ID;
	else
		handle->options.fanout_flags &= ~TPACKET_FANOUT_UNIQUE_ID;
	handle->options.fanout_id = id < 0 ? 0 : (uint16_t)id;
}

/* The others are like the first one: its ring version, and the id that the kernel chose for it. */
static void follow_first(struct tpacket_options *options, const struct tpacket *first)
{
	options->version = tpacket_version_in_use(first);
	if (!(options->fanout_flags & TPACKET_FANOUT_UNIQUE_ID))
		return;
	options->fanout_flags &= ~TPACKET_FANOUT_UNIQUE_ID;
	options->fanout_id = (uint16_t)first->fanout_id;
}

static int check_group(const struct tpacket_options *options, unsigned int count, struct tpacket_error *ret_error)
{
	if (count == 0 || count > MAX_GROUP)
		return tpk_refuse(ret_error, "count: %u: a group has between 1 and %u members", count, MAX_GROUP);
	if (options->fanout == TPACKET_FANOUT_NONE)
		return tpk_refuse(ret_error, "fanout: %d (none): a group needs to know how packets are distributed",
			(int)options->fanout);
	if (options->fanout_join_running && (options->fanout_flags & TPACKET_FANOUT_UNIQUE_ID))
		return tpk_refuse(ret_error, "fanout_join_running: true: a group whose id is yet to be chosen does "
					     "not run already");
	return 0;
}

int tpacket_open_group(const struct tpacket_options *options, unsigned int count, struct tpacket **ret_handles,
	struct tpacket_error *ret_error)
{
	struct tpacket_options mine = *options;
	unsigned int opened = 0;

	int r = check_group(options, count, ret_error);
	for (; r == 0 && opened < count; opened++) {
		r = open_alone(&mine, &ret_handles[opened], ret_error);
		if (r < 0)
			break;
		if (opened == 0)
			follow_first(&mine, ret_handles[0]);
	}
	if (r == 0)
		r = share_group(ret_handles, count, ret_error);
	if (r < 0)
		while (opened)
			handle_destroy(ret_handles[--opened]);
	return r;
}

struct tpacket *tpacket_get(struct tpacket *handle)
{
	tpk_reference_take(&handle->life.references);
	return handle;
}

bool tpk_is_closing(const struct tpacket *handle)
{
	return tpk_load_acquire(&handle->life.state) & TPK_CLOSING;
}

int tpk_enter(struct tpacket *handle)
{
	if (likely(!(tpk_bits_set(&handle->life.state, TPK_BUSY) & TPK_CLOSING)))
		return 0;
	tpk_leave(handle);
	return -ESHUTDOWN;
}

void tpk_leave(struct tpacket *handle)
{
	if (likely(tpk_bits_clear_only(&handle->life.state, TPK_BUSY)))
		return;
	/* It is being closed. With the lock, since after the signal the handle is not ours any more. */
	pthread_mutex_lock(&handle->lock);
	tpk_bits_clear(&handle->life.state, TPK_BUSY);
	pthread_cond_signal(&handle->life.left);
	pthread_mutex_unlock(&handle->lock);
}

void tpacket_close(struct tpacket *handle)
{
	if (!handle)
		return;
	tpk_bits_set(&handle->life.state, TPK_CLOSING);
	/* Not tpacket_wake(): a call that is going on would return 0 instead of -ESHUTDOWN. */
	tpk_wake_nudge(handle);
	/* At once, so that the others do not wait for it. */
	tpk_group_leave(handle);
	if (!tpk_reference_drop(&handle->life.references))
		return;
	pthread_mutex_lock(&handle->lock);
	while (tpk_load_acquire(&handle->life.state) & TPK_BUSY)
		pthread_cond_wait(&handle->life.left, &handle->lock);
	pthread_mutex_unlock(&handle->lock);
	handle_destroy(handle);
}

enum tpacket_version tpacket_version_in_use(const struct tpacket *handle)
{
	return handle->ops->version;
}

/* The lock is no part of what the handle is. */
static pthread_mutex_t *lock_of(const struct tpacket *handle)
{
	return (pthread_mutex_t *)&handle->lock;
}

void tpacket_geometry(const struct tpacket *handle, struct tpacket_geometry *ret_geometry)
{
	pthread_mutex_lock(lock_of(handle));
	*ret_geometry = handle->geometry;
	pthread_mutex_unlock(lock_of(handle));
}

int tpacket_fd(const struct tpacket *handle)
{
	return handle->fd;
}

unsigned int tpacket_interface_index(const struct tpacket *handle)
{
	return __atomic_load_n(&handle->link.index, __ATOMIC_RELAXED);
}

uint16_t tpacket_hardware_type(const struct tpacket *handle)
{
	return __atomic_load_n(&handle->link.hardware_type, __ATOMIC_RELAXED);
}

int tpacket_interface_name(const struct tpacket *handle, char *ret_name)
{
	int r = 0;

	pthread_mutex_lock(lock_of(handle));
	if (tpk_is_closing(handle))
		r = -ESHUTDOWN;
	else if (!handle->is_open)
		r = -ENODEV;
	else if (tpacket_interface_index(handle) == 0)
		ret_name[0] = '\0';
	else
		r = tpk_link_name(handle, ret_name);
	pthread_mutex_unlock(lock_of(handle));
	return r;
}
