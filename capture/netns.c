/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket in another network namespace. It stays in the namespace that its thread was in when it was made, so a thread
 * of its own goes there, makes it, and ends. The calling thread never changes its namespace, and nothing has to be put
 * back that could fail.
 */
#include "internal.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_NAMESPACE "/proc/thread-self/ns/net"

struct visit {
	int netns_fd;
	int family;
	int type;
	bool was_there;
	int result; /* descriptor or negative errno */
};

static int open_socket(int family, int type)
{
	/* Protocol 0: a packet socket receives nothing until it is bound; rtnetlink's (NETLINK_ROUTE). */
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static void *visit_run(void *argument)
{
	struct visit *visit = argument;

	if (setns(visit->netns_fd, CLONE_NEWNET) < 0) {
		visit->result = -errno;
		return NULL;
	}
	visit->was_there = true;
	visit->result = open_socket(visit->family, visit->type);
	return NULL;
}

/* No signal of the program may be handled by the thread. */
static int visit_in_thread(struct visit *visit)
{
	sigset_t all, old;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = -pthread_create(&thread, NULL, visit_run, visit);
	if (r == 0)
		pthread_join(thread, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

static int socket_error(int error, struct tpacket_error *ret_error)
{
	return tpk_error(ret_error, error, error == -EPERM ? "packet socket: needs CAP_NET_RAW" : "packet socket");
}

static int visit_error(const char *name, int error, struct tpacket_error *ret_error)
{
	switch (error) {
	case -EINVAL:
		return tpk_error(ret_error, error, "netns: '%.100s': is no network namespace", name);
	case -EPERM:
		return tpk_error(ret_error, error, "netns: '%.100s': entering it needs CAP_SYS_ADMIN", name);
	default:
		return tpk_error(ret_error, error, "netns: '%.100s': setns", name);
	}
}

static int socket_there(int netns_fd, const char *name, int family, int type, struct tpacket_error *ret_error)
{
	struct visit visit = {.netns_fd = netns_fd, .family = family, .type = type};

	int r = visit_in_thread(&visit);
	if (r < 0)
		return tpk_error(ret_error, r, "netns: '%.100s': thread", name);
	if (visit.result >= 0)
		return visit.result;
	return visit.was_there ? socket_error(visit.result, ret_error) : visit_error(name, visit.result, ret_error);
}

static int socket_here(int family, int type, struct tpacket_error *ret_error)
{
	int fd = open_socket(family, type);

	return fd < 0 ? socket_error(fd, ret_error) : fd;
}

/* Going to the namespace where one is already needs privileges, too. unknown: what to take it for without /proc. */
static bool is_here(int netns_fd, bool unknown)
{
	struct stat there, here;

	if (fstat(netns_fd, &there) < 0 || stat(OWN_NAMESPACE, &here) < 0)
		return unknown;
	return there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

int tpk_netns_current(void)
{
	int fd = open(OWN_NAMESPACE, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int tpk_netns_socket_at(int netns_fd, int type, struct tpacket_error *ret_error)
{
	if (netns_fd < 0 || is_here(netns_fd, true))
		return socket_here(AF_PACKET, type, ret_error);
	return socket_there(netns_fd, "(where it was opened)", AF_PACKET, type, ret_error);
}

static int socket_at_path(const char *netns, int family, int type, struct tpacket_error *ret_error)
{
	if (!netns)
		return socket_here(family, type, ret_error);
	int netns_fd = open(netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (netns_fd < 0)
		return tpk_error(ret_error, -errno, "netns: '%.100s': open", netns);
	/* Who names a namespace gets none but that. */
	int fd = is_here(netns_fd, false) ? socket_here(family, type, ret_error)
	                                  : socket_there(netns_fd, netns, family, type, ret_error);
	close(netns_fd);
	return fd;
}

int tpk_netns_socket(const char *netns, int type, struct tpacket_error *ret_error)
{
	return socket_at_path(netns, AF_PACKET, type, ret_error);
}

int tpk_netns_route_socket(const char *netns, struct tpacket_error *ret_error)
{
	return socket_at_path(netns, AF_NETLINK, SOCK_RAW, ret_error);
}
