/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket's filter. From before the ring exists until tpacket_start() it rejects everything: a packet that came in
 * earlier would stay in the ring although the real filter does not want it, and each member of a fanout group receives
 * everything until it has joined.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int attach(int fd, const struct sock_filter *filter, uint16_t length)
{
	struct sock_fprog program = {.len = length, .filter = (struct sock_filter *)filter};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
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

static int attach_or_all(const struct tpacket *handle, const struct sock_filter *filter, uint16_t length)
{
	return filter ? attach(handle->fd, filter, length) : attach_return(handle->fd, handle->snap_length);
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

/* Let the kernel judge a program on a socket that receives nothing. */
static int check_aside(const struct sock_filter *filter, uint16_t length)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int r = attach(fd, filter, length);
	close(fd);
	return r;
}

/*
 * The socket has no protocol yet, so nothing passes: a bad program can be told at once, not only when the capture is to
 * start.
 */
int tpk_filter_check(int fd, const struct sock_filter *filter, uint16_t length)
{
	return filter ? attach(fd, filter, length) : 0;
}

int tpacket_set_filter(struct tpacket *handle, const struct sock_filter *filter, uint16_t length)
{
	struct sock_filter *copy;

	if (filter && (length == 0 || length > BPF_MAXINSNS))
		return -EINVAL;
	int r = copy_of(filter, length, &copy);
	if (r < 0)
		return r;
	if (handle->is_started)
		r = attach_or_all(handle, filter, length);
	else if (filter)
		r = check_aside(filter, length);
	if (r < 0) {
		free(copy);
		return r;
	}
	free(handle->filter);
	handle->filter = copy;
	handle->filter_length = copy ? length : 0;
	return 0;
}

int tpacket_start(struct tpacket *handle)
{
	int r = attach_or_all(handle, handle->filter, handle->filter_length);
	if (r == 0)
		handle->is_started = true;
	return r;
}

int tpacket_stop(struct tpacket *handle)
{
	int r = tpk_filter_reject_all(handle->fd);
	if (r == 0)
		handle->is_started = false;
	return r;
}
