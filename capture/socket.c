/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting up the socket, and taking it down. The order of the steps is the kernel's: the version and what changes the
 * frame layout before the ring; the filter before the ring, so that nothing unwanted gets in; a protocol only with
 * bind(2), so that packets of other interfaces never arrive; the fanout group, which the caller joins, after bind(2),
 * which is refused for a member.
 */
#include "internal.h"
#include "barrier.h"

#include <fcntl.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* How often a sender that waits for room looks whether the handle is being closed. */
#define SEND_STEP_MS 100

int tpk_socket_int(int fd, int option, int value)
{
	return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int tpk_socket_type(const struct tpacket_options *options)
{
	return options->socket_type == TPACKET_SOCKET_DGRAM ? SOCK_DGRAM : SOCK_RAW;
}

static int set_version(struct tpacket *handle, struct tpacket_error *ret_error)
{
	int r = tpk_socket_int(handle->fd, PACKET_VERSION, handle->ops->kernel_version);

	return r == 0 ? 0
	              : tpk_error(ret_error, r == -EINVAL ? -EPROTONOSUPPORT : r,
				"version: TPACKET_V%d: the kernel does not know it", (int)handle->ops->version);
}

/*
 * Room in front of the frame for the tag, whatever the ring version and the vnet header. Without it the kernel's
 * rounding leaves 14 bytes in front of an Ethernet header, but only 2 with three more tags in the frame.
 */
static int set_vlan(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	if (options->vlan != TPACKET_VLAN_INSERT)
		return 0;
	int r = tpk_socket_int(handle->fd, PACKET_RESERVE, TPK_VLAN_BYTES);
	return r < 0 ? tpk_error(ret_error, r, "vlan: insert: PACKET_RESERVE of %u bytes", TPK_VLAN_BYTES) : 0;
}

static int set_vnet_header(
	struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	if (!options->vnet_header)
		return 0;
	bool is_default = options->vnet_header_bytes == VNET_HEADER_BYTES;
	int r = is_default ? tpk_socket_int(handle->fd, PACKET_VNET_HDR, 1)
	                   : tpk_socket_int(handle->fd, PACKET_VNET_HDR_SZ, options->vnet_header_bytes);
	if (r < 0)
		return tpk_error(ret_error, r, "vnet_header: %u bytes: %s", options->vnet_header_bytes,
			is_default ? "PACKET_VNET_HDR" : "PACKET_VNET_HDR_SZ (Linux 6.5)");
	/* Also of 12 bytes tpacket_rcv() writes the first 10, right in front of the frame: num_buffers is left out. */
	handle->vnet_header_bytes = VNET_HEADER_BYTES;
	return 0;
}

/* What has to be said before the ring exists. */
static int set_layout(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	int r = set_version(handle, ret_error);
	if (r == 0)
		r = set_vlan(handle, options, ret_error);
	if (r == 0)
		r = set_vnet_header(handle, options, ret_error);
	if (r < 0)
		return r;
	if (options->timestamp == TPACKET_TIMESTAMP_HARDWARE) {
		r = tpk_socket_int(handle->fd, PACKET_TIMESTAMP, SOF_TIMESTAMPING_RAW_HARDWARE);
		if (r < 0)
			return tpk_error(ret_error, r, "timestamp: hardware: PACKET_TIMESTAMP");
	}
	if (options->ignore_outgoing) {
		r = tpk_socket_int(handle->fd, PACKET_IGNORE_OUTGOING, 1);
		if (r < 0)
			return tpk_error(ret_error, r, "ignore_outgoing: true: PACKET_IGNORE_OUTGOING");
	}
	return 0;
}

static int set_filters(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	bool has_program = options->filter || options->filter_fd >= 0;
	/* Without one there is nothing to judge; a socket of the reserve may be bound, and must let nothing pass. */
	int r = has_program ? tpk_filter_check(handle->fd, options) : 0;
	if (r < 0 && options->filter)
		return tpk_error(ret_error, r, "filter: the kernel refuses this program of %u instructions",
			options->filter_length);
	if (r < 0)
		return tpk_error(ret_error, r, "filter_fd: the kernel refuses this program");
	r = tpk_filter_reject_all(handle->fd);
	return r < 0 ? tpk_error(ret_error, r, "filter: SO_ATTACH_FILTER") : 0;
}

static int attach_link(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	const char *name = options->interface && options->interface[0] ? options->interface : "(all)";
	int r = tpk_link_bind(handle, options);
	if (r < 0)
		return tpk_error(ret_error, r, "interface: '%s': bind", name);
	if (options->vlan == TPACKET_VLAN_INSERT && handle->link.index && handle->link.hardware_type != ARPHRD_ETHER)
		return tpk_refuse(ret_error,
			"vlan: insert: interface '%s' is of hardware type %u, but tags are put into Ethernet (%d) only",
			name, handle->link.hardware_type, ARPHRD_ETHER);
	/* On all interfaces each packet tells its own hardware type. */
	handle->inserts_vlan = options->vlan == TPACKET_VLAN_INSERT;
	r = tpk_link_memberships(handle, options);
	return r < 0 ? tpk_error(ret_error, r, "promiscuous or all_multicast: '%s'", name) : 0;
}

/* The number stays the same for the handle's whole life. */
static int take_over(struct tpacket *handle, int fd, struct tpacket_error *ret_error)
{
	if (handle->fd < 0) {
		handle->fd = fd;
		handle->is_open = true;
		return 0;
	}
	int r = dup3(fd, handle->fd, O_CLOEXEC) < 0 ? -errno : 0;
	if (!handle->is_from_reserve)
		close(fd);
	else if (r < 0)
		tpk_reserve_put_back(handle);
	if (r < 0)
		return tpk_error(ret_error, r, "packet socket: dup3");
	handle->is_open = true;
	return 0;
}

int tpk_socket_set_up(struct tpacket *handle, int fd, struct tpacket_error *ret_error)
{
	const struct tpacket_options *options = &handle->options;
	unsigned int index;
	int r = take_over(handle, fd, ret_error);
	if (r < 0)
		return r;
	r = tpk_link_find(handle->fd, options->interface, &index);
	if (r < 0)
		return tpk_error(ret_error, r, "interface: '%s'", options->interface);
	tpk_link_begin(handle, index);
	r = set_layout(handle, options, ret_error);
	if (r < 0)
		return r;
	r = set_filters(handle, options, ret_error);
	if (r < 0)
		return r;
	r = tpk_ring_map(handle, options, ret_error);
	if (r < 0)
		return r;
	return attach_link(handle, options, ret_error);
}

void tpk_socket_tear_down(struct tpacket *handle)
{
	if (!handle->is_open)
		return;
	/* The mapping first: the socket stays attached to the interface as long as the ring is mapped. */
	tpk_ring_unmap(handle);
	handle->link.name[0] = '\0';
	handle->head = 0;
	handle->settle.left = 0;
	handle->settle.has_markers = false;
	handle->has_old_packets = false;
	tpk_reserve_give_back(handle);
	handle->is_open = false;
	handle->is_joined = false;
	handle->lacks_program = false;
	dup3(tpk_group_placeholder(handle), handle->fd, O_CLOEXEC);
}

/* Not waiting while the lock is held. */
static int try_to_send(struct tpacket *handle, const void *frame, size_t bytes)
{
	int r = -ENODEV;

	pthread_mutex_lock(&handle->lock);
	if (tpk_is_closing(handle)) {
		r = -ESHUTDOWN;
	} else if (handle->is_open) {
		ssize_t sent = send(handle->fd, frame, bytes, MSG_DONTWAIT);
		r = sent < 0 ? -errno : 0;
		if (r == -ENETDOWN) {
			tpk_flag_raise(&handle->link.sender_saw_down);
			tpk_wake_nudge(handle);
		}
	}
	pthread_mutex_unlock(&handle->lock);
	/* The socket has lost its interface. */
	return r == -ENXIO ? -ENODEV : r;
}

int tpacket_send(struct tpacket *handle, const void *frame, size_t bytes)
{
	if (handle->options.socket_type != TPACKET_SOCKET_RAW)
		return -EOPNOTSUPP;
	if (!handle->options.interface[0])
		return -ENXIO;
	for (;;) {
		int r = try_to_send(handle, frame, bytes);
		if (r != -EAGAIN && r != -EINTR)
			return r;
		struct pollfd fd = {.fd = handle->fd, .events = POLLOUT};
		if (poll(&fd, 1, SEND_STEP_MS) < 0 && errno != EINTR)
			return -errno;
	}
}
