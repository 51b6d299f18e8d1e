/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening handles once more, all of a group or none. First each gets its socket, ring and interface; only when that
 * worked for all they join the fanout group, since from there a socket cannot be used for another try; and only when
 * all have joined they let packets pass, so that none is seen twice. Other threads find all of it done or nothing: a
 * new filter attached in between would let packets pass before the socket has joined.
 */
#include "internal.h"

#include <unistd.h>

/* A new socket where privileges still allow it. Checks that the interface is there before the reserve is touched. */
static int take_socket(struct tpacket *handle)
{
	const struct tpacket_options *options = &handle->options;
	unsigned int index;
	int type = tpk_socket_type(options);
	int fd = options->netns ? tpk_netns_socket(options->netns, type, NULL)
	                        : tpk_netns_socket_at(handle->netns_fd, type, NULL);

	/* Whatever prevents it (no privileges, the namespace's path is out of reach): the reserve is where it should
	 * be. */
	if (fd >= 0 || (fd != -EPERM && fd != -EACCES && !handle->reserve_count))
		return fd;
	fd = tpk_reserve_take(handle);
	if (fd < 0)
		return fd;
	int r = tpk_link_find(fd, options->interface, &index);
	if (r == 0)
		return fd;
	tpk_reserve_put_back(handle);
	return r;
}

static int set_up(struct tpacket *handle)
{
	int r = take_socket(handle);

	return r < 0 ? r : tpk_socket_set_up(handle, r, NULL);
}

/* Who joins a running group and was not started joins at the start. */
static int join(struct tpacket *handle)
{
	if (handle->options.fanout_join_running && !handle->is_started)
		return 0;
	return tpk_fanout_join(handle, NULL);
}

static int start(struct tpacket *handle)
{
	return handle->is_started ? tpk_filter_attach(handle) : 0;
}

static int for_each(struct tpacket *members, int (*step)(struct tpacket *handle))
{
	int r = 0;

	for (struct tpacket *member = members; member && r == 0; member = member->park.next_member)
		r = step(member);
	return r;
}

/* With an id that the kernel chooses: the first member asks for it, the others join that. */
static int join_all(struct tpacket *members, bool has_unique_id)
{
	int r = 0;

	for (struct tpacket *member = members; member && r == 0; member = member->park.next_member) {
		bool asks = has_unique_id && member == members;
		if (has_unique_id)
			tpk_handle_choose_id(member, asks ? -1 : members->fanout_id);
		r = join(member);
	}
	return r;
}

static int tear_down(struct tpacket *handle)
{
	tpk_socket_tear_down(handle);
	return 0;
}

/* Went away again meanwhile. Then the kernel may have refused some other step for a reason that only seems to be one.
 */
static bool is_gone_again(const struct tpacket *members)
{
	for (const struct tpacket *member = members; member; member = member->park.next_member)
		if (member->is_open && member->link.name[0] && tpk_link_is_gone(member))
			return true;
	return false;
}

static int lock(struct tpacket *handle)
{
	return pthread_mutex_lock(&handle->lock);
}

static int unlock(struct tpacket *handle)
{
	return pthread_mutex_unlock(&handle->lock);
}

int tpk_reopen_all(struct tpacket *members, bool has_unique_id)
{
	/* Nobody else takes a second lock, so their order does not matter. */
	for_each(members, lock);
	int r = for_each(members, set_up);
	if (r == 0)
		r = join_all(members, has_unique_id);
	if (r == 0)
		r = for_each(members, start);
	if (r < 0 && is_gone_again(members))
		r = -ENODEV;
	if (r < 0)
		for_each(members, tear_down);
	for_each(members, unlock);
	return r;
}
