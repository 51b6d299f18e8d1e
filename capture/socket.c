/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open and close. The order of the steps is the kernel's: the version and what changes the frame layout before the
 * ring; the filter before the ring, so that nothing unwanted gets in; a protocol only with bind(2), so that packets of
 * other interfaces never arrive; fanout after bind(2), which is refused for a member.
 */
#include "internal.h"

#include <net/if_arp.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static int set_int(int fd, int option, int value)
{
	return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int open_socket(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	int type = options->socket_type == TPACKET_SOCKET_DGRAM ? SOCK_DGRAM : SOCK_RAW;

	/* Protocol 0: receives nothing until it is bound. */
	handle->fd = socket(AF_PACKET, type | SOCK_CLOEXEC, 0);
	if (handle->fd >= 0)
		return 0;
	int r = -errno;
	return tpk_error(ret_error, r, r == -EPERM ? "packet socket: needs CAP_NET_RAW" : "packet socket");
}

static int open_wake(struct tpacket *handle, struct tpacket_error *ret_error)
{
	handle->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return handle->wake_fd < 0 ? tpk_error(ret_error, -errno, "eventfd") : 0;
}

/* What has to be said before the ring exists. */
static int set_layout(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	int r = set_int(handle->fd, PACKET_VERSION, handle->ops->kernel_version);
	if (r < 0)
		return tpk_error(ret_error, r == -EINVAL ? -EPROTONOSUPPORT : r,
			"version: TPACKET_V%d: the kernel does not know it", (int)handle->ops->version);
	if (options->vnet_header) {
		r = set_int(handle->fd, PACKET_VNET_HDR, 1);
		if (r < 0)
			return tpk_error(ret_error, r, "vnet_header: true: PACKET_VNET_HDR");
		handle->vnet_header_bytes = VNET_HEADER_BYTES;
	}
	if (options->timestamp == TPACKET_TIMESTAMP_HARDWARE) {
		r = set_int(handle->fd, PACKET_TIMESTAMP, SOF_TIMESTAMPING_RAW_HARDWARE);
		if (r < 0)
			return tpk_error(ret_error, r, "timestamp: hardware: PACKET_TIMESTAMP");
	}
	if (options->ignore_outgoing) {
		r = set_int(handle->fd, PACKET_IGNORE_OUTGOING, 1);
		if (r < 0)
			return tpk_error(ret_error, r, "ignore_outgoing: true: PACKET_IGNORE_OUTGOING");
	}
	return 0;
}

static int set_filters(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	int r = tpk_filter_check(handle->fd, options->filter, options->filter_length);
	if (r < 0)
		return tpk_error(ret_error, r, "filter: the kernel refuses this program of %u instructions",
			options->filter_length);
	r = tpk_filter_keep(handle, options->filter, options->filter_length);
	if (r < 0)
		return tpk_error(ret_error, r, "filter: copy of %u instructions", options->filter_length);
	r = tpk_filter_reject_all(handle->fd);
	return r < 0 ? tpk_error(ret_error, r, "filter: SO_ATTACH_FILTER") : 0;
}

static int attach_link(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	const char *name = options->interface && options->interface[0] ? options->interface : "(all)";
	int r = tpk_link_bind(handle, options);
	if (r < 0)
		return tpk_error(ret_error, r, "interface: '%s': bind", name);
	r = tpk_link_memberships(handle, options);
	return r < 0 ? tpk_error(ret_error, r, "promiscuous or all_multicast: '%s'", name) : 0;
}

static uint32_t fanout_argument(const struct tpacket_options *options)
{
	uint32_t type = (uint32_t)options->fanout;

	if (options->fanout_flags & TPACKET_FANOUT_DEFRAG)
		type |= PACKET_FANOUT_FLAG_DEFRAG;
	if (options->fanout_flags & TPACKET_FANOUT_ROLL)
		type |= PACKET_FANOUT_FLAG_ROLLOVER;
	if (options->fanout_flags & TPACKET_FANOUT_IGNORE_OUTGOING)
		type |= PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
	if (options->fanout_flags & TPACKET_FANOUT_UNIQUE_ID)
		type |= PACKET_FANOUT_FLAG_UNIQUEID;
	return options->fanout_id | type << 16;
}

static int join_fanout(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	if (options->fanout == TPACKET_FANOUT_NONE)
		return 0;

	/* Exactly 4 bytes: kernels before 5.10 do not take struct fanout_args. */
	uint32_t argument = fanout_argument(options);
	if (setsockopt(handle->fd, SOL_PACKET, PACKET_FANOUT, &argument, sizeof(argument)) < 0)
		return tpk_error(ret_error, -errno, "fanout: type %d, flags 0x%x, id %u: %s", (int)options->fanout,
			options->fanout_flags, options->fanout_id,
			handle->link.is_down ? "this kernel cannot join while the interface is down"
					     : "all members need the same type, flags and protocol");
	socklen_t length = sizeof(argument);
	if (getsockopt(handle->fd, SOL_PACKET, PACKET_FANOUT, &argument, &length) < 0)
		return tpk_error(ret_error, -errno, "fanout: reading the id back");
	handle->fanout_id = (int)(argument & 0xffff);
	return 0;
}

static int set_up(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	int r = open_socket(handle, options, ret_error);
	if (r < 0)
		return r;
	r = open_wake(handle, ret_error);
	if (r < 0)
		return r;
	r = tpk_link_find(handle->fd, options->interface, &handle->link.index);
	if (r < 0)
		return tpk_error(ret_error, r, "interface: '%s'", options->interface);
	r = set_layout(handle, options, ret_error);
	if (r < 0)
		return r;
	r = set_filters(handle, options, ret_error);
	if (r < 0)
		return r;
	r = tpk_ring_map(handle, options, ret_error);
	if (r < 0)
		return r;
	r = attach_link(handle, options, ret_error);
	if (r < 0)
		return r;
	return join_fanout(handle, options, ret_error);
}

int tpacket_open(const struct tpacket_options *options, struct tpacket **ret_handle, struct tpacket_error *ret_error)
{
	const struct tpk_ring_ops *ops = tpk_ring_ops_find(options->version);
	if (!ops)
		return tpk_error(ret_error, -EPROTONOSUPPORT,
			"version: %d: only %d (TPACKET_V3) or %d (automatic) for now", (int)options->version,
			TPACKET_VERSION_3, TPACKET_VERSION_AUTO);
	int r = tpk_options_check(options, ops, ret_error);
	if (r < 0)
		return r;

	struct tpacket *handle = calloc(1, sizeof(*handle));
	if (!handle)
		return tpk_error(ret_error, -ENOMEM, "handle");
	handle->ops = ops;
	handle->fd = -1;
	handle->wake_fd = -1;
	handle->fanout_id = -ENOENT;
	handle->retire_ms = options->retire_ms;
	handle->snap_length = options->snap_length;
	handle->link.hardware_type = ARPHRD_VOID;

	r = set_up(handle, options, ret_error);
	if (r < 0) {
		tpacket_close(handle); /* takes a handle that is set up half */
		return r;
	}
	*ret_handle = handle;
	return 0;
}

void tpacket_close(struct tpacket *handle)
{
	if (!handle)
		return;
	/* The mapping first: the socket stays attached to the interface as long as the ring is mapped. */
	tpk_ring_unmap(handle);
	if (handle->wake_fd >= 0)
		close(handle->wake_fd);
	if (handle->fd >= 0)
		close(handle->fd);
	free(handle->filter);
	free(handle);
}

enum tpacket_version tpacket_version_in_use(const struct tpacket *handle)
{
	return handle->ops->version;
}

void tpacket_geometry(const struct tpacket *handle, struct tpacket_geometry *ret_geometry)
{
	*ret_geometry = handle->geometry;
}

int tpacket_fd(const struct tpacket *handle)
{
	return handle->fd;
}

unsigned int tpacket_interface_index(const struct tpacket *handle)
{
	return handle->link.index;
}

uint16_t tpacket_hardware_type(const struct tpacket *handle)
{
	return handle->link.hardware_type;
}

int tpacket_fanout_id(const struct tpacket *handle)
{
	return handle->fanout_id;
}
