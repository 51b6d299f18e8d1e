/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface under the ring: finding it, and noticing that it went down or away.
 *
 * The kernel reports a link that goes down as POLLERR with ENETDOWN in SO_ERROR, once; until SO_ERROR is read, poll(2)
 * returns at once. When the link comes up again the kernel resumes by itself. When the interface is deleted, or moves
 * to another network namespace, there is no further event: the socket's address then has the index -1 for ever.
 * Asking the socket, not the namespace, is right even if this thread has changed to another namespace meanwhile.
 *
 * struct tpk_link is the reader's, and while the handle is parked it is changed under the group's mutex. Only index and
 * hardware_type are read by other threads, too.
 */
#include "internal.h"
#include "barrier.h"

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

static void set_index(struct tpk_link *link, unsigned int index)
{
	__atomic_store_n(&link->index, index, __ATOMIC_RELAXED);
}

static void set_hardware_type(struct tpk_link *link, uint16_t type)
{
	__atomic_store_n(&link->hardware_type, type, __ATOMIC_RELAXED);
}

void tpk_link_begin(struct tpacket *handle, unsigned int index)
{
	struct tpk_link *link = &handle->link;

	set_index(link, index);
	set_hardware_type(link, ARPHRD_VOID);
	link->is_down = false;
	link->report_down = false;
	link->is_gone = false;
	tpk_flag_take(&link->sender_saw_down);
	link->name[0] = '\0';
	link->next_check_ns = 0;
	link->gone_final_ns = 0;
}

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

bool tpk_link_is_gone(const struct tpacket *handle)
{
	struct sockaddr_ll address;

	return socket_address(handle->fd, &address) == 0 &&
	       (unsigned int)address.sll_ifindex != tpacket_interface_index(handle);
}

static int name_of_index(const struct tpacket *handle, char *ret_name)
{
	struct ifreq request = {.ifr_ifindex = (int)tpacket_interface_index(handle)};

	if (ioctl(handle->fd, SIOCGIFNAME, &request) < 0)
		return -errno;
	memcpy(ret_name, request.ifr_name, IFNAMSIZ);
	ret_name[IFNAMSIZ - 1] = '\0';
	return 0;
}

/* The index may be in use again for another interface. */
int tpk_link_name(const struct tpacket *handle, char *ret_name)
{
	return tpk_link_is_gone(handle) ? -ENODEV : name_of_index(handle, ret_name);
}

static bool link_is_up(const struct tpacket *handle)
{
	struct ifreq request = {0};

	memcpy(request.ifr_name, handle->link.name, IFNAMSIZ);
	return ioctl(handle->fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP);
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
	set_hardware_type(&handle->link, address.sll_hatype);
	/* Not what the options say: that may be one of its alternative names. */
	r = name_of_index(handle, handle->link.name);
	if (r < 0)
		return r;
	handle->link.last_seen_ns = tpk_now_ns();
	return 0;
}

static int change_membership(const struct tpacket *handle, int option, unsigned short type)
{
	struct packet_mreq request = {.mr_ifindex = (int)tpacket_interface_index(handle), .mr_type = type};

	return setsockopt(handle->fd, SOL_PACKET, option, &request, sizeof(request)) < 0 ? -errno : 0;
}

/* The kernel takes the memberships back when the socket is closed. */
int tpk_link_memberships(struct tpacket *handle, const struct tpacket_options *options)
{
	int r = options->promiscuous ? change_membership(handle, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC) : 0;

	if (r == 0 && options->all_multicast)
		r = change_membership(handle, PACKET_ADD_MEMBERSHIP, PACKET_MR_ALLMULTI);
	return r;
}

/* Those that it does not have are refused, which is as good. */
void tpk_link_end_memberships(const struct tpacket *handle, const struct tpacket_options *options)
{
	if (options->promiscuous)
		change_membership(handle, PACKET_DROP_MEMBERSHIP, PACKET_MR_PROMISC);
	if (options->all_multicast)
		change_membership(handle, PACKET_DROP_MEMBERSHIP, PACKET_MR_ALLMULTI);
}

/* An interface that has just gone away has no memberships, and what is set applies to the one that comes back. */
static int set_membership(struct tpacket *handle, bool *option, bool is_on, unsigned short type)
{
	int r = handle->is_open && *option != is_on
	                ? change_membership(handle, is_on ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP, type)
	                : 0;

	if ((r == -ENODEV && handle->options.reopen) || (r == -EADDRNOTAVAIL && !is_on))
		r = 0;
	if (r == 0)
		*option = is_on;
	return r;
}

static int set_mode(struct tpacket *handle, bool *option, bool is_on, unsigned short type)
{
	if (!handle->options.interface[0])
		return -EINVAL;
	pthread_mutex_lock(&handle->lock);
	int r = tpk_is_closing(handle) ? -ESHUTDOWN : set_membership(handle, option, is_on, type);
	pthread_mutex_unlock(&handle->lock);
	return r;
}

int tpacket_set_promiscuous(struct tpacket *handle, bool on)
{
	return set_mode(handle, &handle->options.promiscuous, on, PACKET_MR_PROMISC);
}

int tpacket_set_all_multicast(struct tpacket *handle, bool on)
{
	return set_mode(handle, &handle->options.all_multicast, on, PACKET_MR_ALLMULTI);
}

static void look_at_name(struct tpacket *handle)
{
	struct tpk_link *link = &handle->link;
	char name[IFNAMSIZ];

	if (name_of_index(handle, name) < 0 || !strcmp(name, link->name))
		return;
	memcpy(link->name, name, sizeof(name));
	tpk_count(&handle->counters.renames, 1);
}

void tpk_link_look(struct tpacket *handle, int64_t now_ns)
{
	struct tpk_link *link = &handle->link;

	if (link->index == 0 || link->is_gone || now_ns < link->next_check_ns)
		return;
	if (tpk_link_is_gone(handle)) {
		link->is_gone = true;
		link->gone_final_ns = now_ns + GONE_RETIRE_TIMES * (int64_t)handle->retire_ms * NS_PER_MS;
		return;
	}
	link->last_seen_ns = now_ns;
	look_at_name(handle);
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

/* Each time it goes down is reported once: not if that is known. */
static void look_at_senders(struct tpk_link *link)
{
	if (!tpk_flag_take(&link->sender_saw_down) || link->is_down)
		return;
	link->is_down = true;
	link->report_down = true;
	link->next_check_ns = 0;
}

int tpk_link_check(struct tpacket *handle, bool has_error, int64_t now_ns, bool *ret_is_sticky)
{
	struct tpk_link *link = &handle->link;
	bool is_from_open = link->report_down && !has_error;

	*ret_is_sticky = false;
	look_at_senders(link);
	if (has_error) {
		int r = read_error(handle, ret_is_sticky);
		if (r < 0)
			return r;
	}
	tpk_link_look(handle, now_ns);
	if (link->is_gone)
		return now_ns >= link->gone_final_ns ? -ENODEV : 0;
	if (!link->report_down)
		return 0;
	link->report_down = false;
	/* It was down at the open and came up before anybody asked: nothing was missed that could have been had. */
	if (is_from_open && !link->is_down)
		return 0;
	tpk_count(&handle->counters.link_down, 1);
	return -ENETDOWN;
}
