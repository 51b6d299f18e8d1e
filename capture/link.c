/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface under the ring: finding it, and noticing that it went down or away.
 *
 * The kernel reports a link that goes down as POLLERR with ENETDOWN in SO_ERROR, once; until SO_ERROR is read, poll(2)
 * returns at once. When the link comes up again the kernel resumes by itself. When the interface is deleted, or moves
 * to another network namespace, there is no further event: the socket's address then has the index -1 for ever.
 * Asking the socket, not the namespace, is right even if this thread has changed to another namespace meanwhile.
 */
#include "internal.h"

#include <net/if.h>
#include <net/if_arp.h>
#include <arpa/inet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define CHECK_UP_NS (1 * NS_PER_S)
#define CHECK_DOWN_NS (100 * NS_PER_MS)

/* The last block is handed over by its retire timer; twice the time, as the timer may just have been started anew. */
#define GONE_RETIRE_TIMES 2

int tpk_link_find(int fd, const char *name, unsigned int *ret_index)
{
	struct ifreq request = {0};

	*ret_index = 0;
	if (!name || !name[0])
		return 0;
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCGIFINDEX, &request) < 0)
		return -errno;
	*ret_index = (unsigned int)request.ifr_ifindex;
	return 0;
}

static int socket_address(int fd, struct sockaddr_ll *ret_address)
{
	socklen_t length = sizeof(*ret_address);

	memset(ret_address, 0, sizeof(*ret_address));
	return getsockname(fd, (struct sockaddr *)ret_address, &length) < 0 ? -errno : 0;
}

static bool link_is_gone(const struct tpacket *handle)
{
	struct sockaddr_ll address;

	return socket_address(handle->fd, &address) == 0 && (unsigned int)address.sll_ifindex != handle->link.index;
}

static bool link_is_up(const struct tpacket *handle)
{
	struct ifreq request = {.ifr_ifindex = (int)handle->link.index};

	return ioctl(handle->fd, SIOCGIFNAME, &request) == 0 && ioctl(handle->fd, SIOCGIFFLAGS, &request) == 0 &&
	       (request.ifr_flags & IFF_UP);
}

int tpk_link_socket_error(int fd)
{
	int error = 0;
	socklen_t length = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? -errno : -error;
}

int tpk_link_bind(struct tpacket *handle, const struct tpacket_options *options)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(options->protocol),
		.sll_ifindex = (int)handle->link.index,
	};
	if (bind(handle->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;

	/* bind(2) succeeds on a link that is down, and leaves the error for later. */
	int r = tpk_link_socket_error(handle->fd);
	if (r == -ENETDOWN) {
		handle->link.is_down = true;
		handle->link.report_down = true;
	} else if (r < 0) {
		return r;
	}
	if (handle->link.index == 0)
		return 0;
	r = socket_address(handle->fd, &address);
	if (r < 0)
		return r;
	handle->link.hardware_type = address.sll_hatype;
	return 0;
}

static int add_membership(const struct tpacket *handle, unsigned short type)
{
	struct packet_mreq request = {.mr_ifindex = (int)handle->link.index, .mr_type = type};

	return setsockopt(handle->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request)) < 0 ? -errno : 0;
}

/* The kernel takes the memberships back when the socket is closed. */
int tpk_link_memberships(struct tpacket *handle, const struct tpacket_options *options)
{
	int r = options->promiscuous ? add_membership(handle, PACKET_MR_PROMISC) : 0;

	if (r == 0 && options->all_multicast)
		r = add_membership(handle, PACKET_MR_ALLMULTI);
	return r;
}

/* Ask the kernel how the interface is, when it is time to. */
static void look_at_link(struct tpacket *handle, int64_t now_ns)
{
	struct tpk_link *link = &handle->link;

	if (link->index == 0 || link->is_gone || now_ns < link->next_check_ns)
		return;
	if (link_is_gone(handle)) {
		link->is_gone = true;
		link->gone_final_ns = now_ns + GONE_RETIRE_TIMES * (int64_t)handle->retire_ms * NS_PER_MS;
		return;
	}
	if (link->is_down && link_is_up(handle))
		link->is_down = false;
	link->next_check_ns = now_ns + (link->is_down ? CHECK_DOWN_NS : CHECK_UP_NS);
}

static int read_error(struct tpacket *handle, bool *ret_is_sticky)
{
	int r = tpk_link_socket_error(handle->fd);

	if (r == 0)
		*ret_is_sticky = true;
	if (r != -ENETDOWN)
		return r;
	handle->link.is_down = true;
	handle->link.report_down = true;
	handle->link.next_check_ns = 0;
	return 0;
}

int tpk_link_check(struct tpacket *handle, bool has_error, int64_t now_ns, bool *ret_is_sticky)
{
	struct tpk_link *link = &handle->link;
	bool is_from_open = link->report_down && !has_error;

	*ret_is_sticky = false;
	if (has_error) {
		int r = read_error(handle, ret_is_sticky);
		if (r < 0)
			return r;
	}
	look_at_link(handle, now_ns);
	if (link->is_gone)
		return now_ns >= link->gone_final_ns ? -ENODEV : 0;
	if (!link->report_down)
		return 0;
	link->report_down = false;
	/* It was down at the open and came up before anybody asked: nothing was missed that could have been had. */
	if (is_from_open && !link->is_down)
		return 0;
	handle->counters.link_down++;
	return -ENETDOWN;
}
