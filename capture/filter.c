/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket's filter. From before the ring exists until tpacket_start() it rejects everything: a packet that came in
 * earlier would stay in the ring although the real filter does not want it, and each member of a fanout group receives
 * everything until it has joined.
 */
#include "internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A filter that is to take the place of the handle's. Its members become the handle's, or are freed. */
struct change {
	struct sock_filter *filter; /* NULL: program_fd, or else everything, cut to snap_length */
	uint16_t length;
	int program_fd;            /* -1: none */
	struct sock_filter *judge; /* for what is in the ring already; NULL: pass */
	uint16_t judge_length;
};

static int attach(int fd, const struct sock_filter *filter, uint16_t length)
{
	struct sock_fprog program = {.len = length, .filter = (struct sock_filter *)filter};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static int attach_program_fd(int fd, int program_fd)
{
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program_fd, sizeof(program_fd)) < 0 ? -errno : 0;
}

/* `ret #bytes`: so many bytes of each packet, and with 0 no packet at all. */
static int attach_return(int fd, uint32_t bytes)
{
	struct sock_filter program[] = {BPF_STMT(BPF_RET | BPF_K, bytes)};

	return attach(fd, program, 1);
}

int tpk_filter_reject_all(int fd)
{
	return attach_return(fd, 0);
}

int tpk_filter_mark_all(int fd)
{
	return attach_return(fd, TPK_MARKER_BYTES);
}

static int attach_any(int fd, const struct sock_filter *filter, uint16_t length, int program_fd, uint32_t snap_length)
{
	if (filter)
		return attach(fd, filter, length);
	return program_fd >= 0 ? attach_program_fd(fd, program_fd) : attach_return(fd, snap_length);
}

int tpk_filter_attach(struct tpacket *handle)
{
	return attach_any(handle->fd, handle->filter, handle->filter_length, handle->filter_fd, handle->snap_length);
}

static int copy_of(const struct sock_filter *filter, uint16_t length, struct sock_filter **ret_copy)
{
	*ret_copy = NULL;
	if (!filter)
		return 0;
	*ret_copy = malloc(length * sizeof(*filter));
	if (!*ret_copy)
		return -ENOMEM;
	memcpy(*ret_copy, filter, length * sizeof(*filter));
	return 0;
}

int tpk_filter_keep(struct tpacket *handle, const struct sock_filter *filter, uint16_t length)
{
	handle->filter_length = filter ? length : 0;
	return copy_of(filter, length, &handle->filter);
}

void tpk_filter_free(struct tpacket *handle)
{
	free(handle->filter);
	handle->filter = NULL;
}

/*
 * The socket has no protocol yet, so nothing passes: a bad program can be told at once, not only when the capture is to
 * start.
 */
int tpk_filter_check(int fd, const struct tpacket_options *options)
{
	return attach_any(fd, options->filter, options->filter_length, options->filter_fd, options->snap_length);
}

/* Let the kernel judge a program on a socket that receives nothing. */
static int check_aside(const struct change *change)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int r = attach_any(fd, change->filter, change->length, change->program_fd, 0);
	close(fd);
	return r;
}

/* What judges the packets that are in the ring when this filter takes over. */
static int make_judge(struct change *change, uint32_t snap_length)
{
	const struct sock_filter cut[] = {BPF_STMT(BPF_RET | BPF_K, snap_length)};

	if (change->program_fd >= 0)
		return 0;
	change->judge_length = change->filter ? change->length : 1;
	return copy_of(change->filter ? change->filter : cut, change->judge_length, &change->judge);
}

static void change_fini(struct change *change)
{
	free(change->filter);
	free(change->judge);
	if (change->program_fd >= 0)
		close(change->program_fd);
}

static bool can_judge(const struct tpacket *handle, const struct change *change)
{
	return !change->judge || tpk_filter_can_run(change->judge, change->judge_length, handle->ops->version,
					 handle->options.socket_type);
}

/* Hand the judge over to the reader, once no CPU runs the filter from before any more. */
static void settle(struct tpacket *handle, struct change *change)
{
	tpk_settle_barrier(handle);
	tpk_settle_request(handle, change->judge, change->judge_length, false);
	change->judge = NULL;
}

/* The handle's old filter goes where the new one was. */
static void exchange(struct tpacket *handle, struct change *change)
{
	struct change old = {
		.filter = handle->filter, .length = handle->filter_length, .program_fd = handle->filter_fd};

	handle->filter = change->filter;
	handle->filter_length = change->length;
	handle->filter_fd = change->program_fd;
	change->filter = old.filter;
	change->length = old.length;
	change->program_fd = old.program_fd;
}

/* Under the lock. */
static int apply(struct tpacket *handle, struct change *change)
{
	if (tpk_is_closing(handle))
		return -ESHUTDOWN;
	if (handle->is_locked)
		return -EPERM;
	if (!handle->is_started || !can_judge(handle, change)) {
		int r = check_aside(change);
		if (r == 0 && handle->is_started)
			r = -EOPNOTSUPP;
		if (r == 0) {
			handle->has_old_packets = handle->was_started;
			exchange(handle, change);
		}
		return r;
	}
	int r = attach_any(handle->fd, change->filter, change->length, change->program_fd, handle->snap_length);
	if (r < 0)
		return r;
	settle(handle, change);
	exchange(handle, change);
	return 0;
}

static int change_filter(struct tpacket *handle, struct change *change)
{
	int r = make_judge(change, handle->snap_length);
	if (r == 0) {
		pthread_mutex_lock(&handle->lock);
		r = apply(handle, change);
		pthread_mutex_unlock(&handle->lock);
	}
	change_fini(change);
	return r;
}

int tpacket_set_filter(struct tpacket *handle, const struct sock_filter *filter, uint16_t length)
{
	struct change change = {.length = filter ? length : 0, .program_fd = -1};

	if (filter && (length == 0 || length > BPF_MAXINSNS))
		return -EINVAL;
	int r = copy_of(filter, length, &change.filter);
	return r < 0 ? r : change_filter(handle, &change);
}

int tpacket_set_filter_fd(struct tpacket *handle, int program_fd)
{
	struct change change = {.program_fd = fcntl(program_fd, F_DUPFD_CLOEXEC, 0)};

	return change.program_fd < 0 ? -errno : change_filter(handle, &change);
}

/*
 * Join a group that is receiving. Before the join this socket sees everything, the others' share too; after it, what
 * the group gives to this member reaches nobody else. So let each packet in as a marker, which the reader counts and
 * leaves out, then join, then attach the real filter: at most what was marked is missing. In between wait until no CPU
 * is delivering a packet to the socket as if it were alone: it would pass the real filter and come to another member,
 * too.
 */
static int join_running(struct tpacket *handle)
{
	tpk_settle_mark(handle);
	int r = tpk_filter_mark_all(handle->fd);
	if (r == 0)
		r = tpk_fanout_join(handle, NULL);
	if (r == 0) {
		tpk_settle_wait();
		r = tpk_filter_attach(handle);
	}
	if (r < 0)
		tpk_filter_reject_all(handle->fd);
	tpk_settle_barrier(handle);
	tpk_settle_request(handle, NULL, 0, true);
	return r;
}

/* The filter was changed while nothing passed; what the old one let in may be in the ring still. */
static int start_changed(struct tpacket *handle)
{
	struct change change = {
		.filter = handle->filter, .length = handle->filter_length, .program_fd = handle->filter_fd};

	int r = make_judge(&change, handle->snap_length);
	if (r < 0)
		return r;
	/* One that cannot be run here: the caller has read what was left, as the header asks. */
	if (!can_judge(handle, &change)) {
		free(change.judge);
		change.judge = NULL;
	}
	r = tpk_filter_attach(handle);
	if (r == 0) {
		settle(handle, &change);
		handle->has_old_packets = false;
	}
	free(change.judge);
	return r;
}

/* Under the lock. */
static int start(struct tpacket *handle)
{
	const struct tpacket_options *options = &handle->options;
	int r;

	if (tpk_is_closing(handle))
		return -ESHUTDOWN;
	if (handle->is_started)
		return 0;
	/* While the interface is gone there is no socket that could join; that comes with the reopening. */
	if (options->fanout_join_running && handle->is_open && (!handle->is_joined || handle->lacks_program))
		r = join_running(handle);
	else if (handle->has_old_packets)
		r = start_changed(handle);
	else
		r = tpk_filter_attach(handle);
	if (r == 0) {
		handle->is_started = true;
		handle->was_started = true;
	}
	return r;
}

int tpacket_start(struct tpacket *handle)
{
	pthread_mutex_lock(&handle->lock);
	int r = start(handle);
	pthread_mutex_unlock(&handle->lock);
	return r;
}

/* Under the lock. */
static int stop(struct tpacket *handle)
{
	if (tpk_is_closing(handle))
		return -ESHUTDOWN;
	if (handle->is_locked)
		return -EPERM;
	int r = tpk_filter_reject_all(handle->fd);
	if (r == 0)
		handle->is_started = false;
	return r;
}

int tpacket_stop(struct tpacket *handle)
{
	pthread_mutex_lock(&handle->lock);
	int r = stop(handle);
	pthread_mutex_unlock(&handle->lock);
	return r;
}

/* Under the lock. */
static int lock_filter(struct tpacket *handle)
{
	int one = 1;

	if (tpk_is_closing(handle))
		return -ESHUTDOWN;
	if (handle->options.reopen)
		return -EOPNOTSUPP;
	if (!handle->is_started)
		return -EINVAL;
	if (setsockopt(handle->fd, SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof(one)) < 0)
		return -errno;
	handle->is_locked = true;
	return 0;
}

int tpacket_lock_filter(struct tpacket *handle)
{
	pthread_mutex_lock(&handle->lock);
	int r = lock_filter(handle);
	pthread_mutex_unlock(&handle->lock);
	return r;
}
