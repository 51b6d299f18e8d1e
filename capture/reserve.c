/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets in reserve. A process that has given up its privileges gets no new packet socket, but with one that it has
 * it may do everything else: ring, bind(2), promiscuous mode, fanout. Only a member of a fanout group can never be
 * bound again; any other socket goes back to the reserve when its interface is gone, or when a try to open it failed.
 */
#include "internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int tpk_reserve_open(struct tpacket *handle, struct tpacket_error *ret_error)
{
	const struct tpacket_options *options = &handle->options;

	if (options->reserve_sockets == 0)
		return 0;
	handle->reserve = calloc(options->reserve_sockets, sizeof(*handle->reserve));
	if (!handle->reserve)
		return tpk_error(ret_error, -ENOMEM, "reserve_sockets: %u", options->reserve_sockets);
	while (handle->reserve_count < options->reserve_sockets) {
		int fd = tpk_netns_socket(options->netns, tpk_socket_type(options), ret_error);
		if (fd < 0)
			return fd;
		handle->reserve[handle->reserve_count++] = fd;
	}
	return 0;
}

void tpk_reserve_close(struct tpacket *handle)
{
	if (handle->is_from_reserve)
		close(handle->reserve[handle->reserve_count]);
	handle->is_from_reserve = false;
	while (handle->reserve_count)
		close(handle->reserve[--handle->reserve_count]);
	free(handle->reserve);
	handle->reserve = NULL;
}

int tpk_reserve_take(struct tpacket *handle)
{
	if (!handle->reserve_count)
		return -EPERM;
	handle->is_from_reserve = true;
	return handle->reserve[--handle->reserve_count];
}

void tpk_reserve_put_back(struct tpacket *handle)
{
	handle->is_from_reserve = false;
	handle->reserve_count++;
}

/*
 * Without its ring, so that the next opening can ask for one; the filter still rejects everything. If it is bound, it
 * stays so until it is bound anew, but must not keep the interface promiscuous.
 */
static void strip(const struct tpacket *handle)
{
	struct tpacket_req3 nothing = {0};

	setsockopt(handle->fd, SOL_PACKET, PACKET_RX_RING, &nothing, sizeof(nothing));
	tpk_filter_reject_all(handle->fd);
	tpk_link_end_memberships(handle, &handle->options);
}

/* Its descriptor was kept, as the process may have no other left now. */
static void give_back_own(struct tpacket *handle)
{
	if (handle->is_joined) {
		close(handle->reserve[handle->reserve_count]);
		handle->is_from_reserve = false;
		return;
	}
	strip(handle);
	tpk_reserve_put_back(handle);
}

void tpk_reserve_give_back(struct tpacket *handle)
{
	if (handle->is_from_reserve) {
		give_back_own(handle);
		return;
	}
	if (!handle->reserve || handle->reserve_count >= handle->options.reserve_sockets || handle->is_joined)
		return;
	int fd = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return;
	strip(handle);
	handle->reserve[handle->reserve_count++] = fd;
}
