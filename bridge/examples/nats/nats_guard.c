/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting in bounded time. A server that hangs after its greeting makes natsConnection_Connect() of libnats
 * before 3.9 ask for the missing answer for ever, without a pause, whatever its timeout is, and there is no way to its
 * socket. So a thread looks for it while a connection is being made, among the descriptors that this process has opened
 * since, and shuts it down when it is too old. What is found when the connection stands is told to the host.
 */
#include <dirent.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "nats.h"

#define LOOK_MS 200
#define SOCKETS_MAX 256

struct sockets {
	ino_t inodes[SOCKETS_MAX];
	unsigned int count;
};

struct guard {
	struct wb_transport *transport;
	struct sockets before;
	ino_t watched; /* the socket of this attempt; 0: none yet */
	uint64_t since_ms;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
};

/* One connection at a time is made in this process, so a socket that is new is that one's. */
static pthread_mutex_t connecting = PTHREAD_MUTEX_INITIALIZER;

static bool is_server_port(const struct wb_transport *transport, in_port_t port)
{
	for (unsigned int i = 0; i < transport->address.server_count; i++) {
		const char *colon = strrchr(transport->address.servers[i], ':');

		if (colon && strtoul(colon + 1, NULL, 10) == ntohs(port))
			return true;
	}
	return false;
}

/* Whether a descriptor is a connection to one of the servers' ports, and its inode, which no other socket has. */
static bool is_connection(const struct wb_transport *transport, int fd, ino_t *ret_inode)
{
	struct sockaddr_in6 peer; /* the port is where that of IPv4 is */
	socklen_t size = sizeof(peer);
	struct stat status;

	memset(&peer, 0, sizeof(peer));
	if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0 || fstat(fd, &status) < 0)
		return false;
	*ret_inode = status.st_ino;
	return (peer.sin6_family == AF_INET || peer.sin6_family == AF_INET6) &&
	       is_server_port(transport, peer.sin6_port);
}

static bool contains(const struct sockets *sockets, ino_t inode)
{
	for (unsigned int i = 0; i < sockets->count; i++) {
		if (sockets->inodes[i] == inode)
			return true;
	}
	return false;
}

/* A new connection: watch it, and end it when it is too old. */
static void look_at(struct guard *guard, int fd, ino_t inode)
{
	const uint64_t now_ms = nats_now_ms();

	if (inode != guard->watched) {
		guard->watched = inode;
		guard->since_ms = now_ms;
	} else if (now_ms - guard->since_ms > guard->transport->connect_timeout_ms) {
		shutdown(fd, SHUT_RDWR);
	}
}

/* first: note what is there; else look for what is not noted. */
static void scan(struct guard *guard, bool first)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	ino_t inode;

	while (folder && (entry = readdir(folder))) {
		int fd = (int)strtol(entry->d_name, NULL, 10);

		if (entry->d_name[0] == '.' || !is_connection(guard->transport, fd, &inode))
			continue;
		if (!first && !contains(&guard->before, inode))
			look_at(guard, fd, inode);
		else if (first && guard->before.count < SOCKETS_MAX)
			guard->before.inodes[guard->before.count++] = inode;
	}
	if (folder)
		closedir(folder);
}

static void *watch(void *argument)
{
	struct guard *guard = argument;
	struct timespec until;

	pthread_mutex_lock(&guard->lock);
	while (!guard->done) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += LOOK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (pthread_cond_timedwait(&guard->changed, &guard->lock, &until) != 0 && !guard->done)
			scan(guard, false);
	}
	pthread_mutex_unlock(&guard->lock);
	return NULL;
}

/*
 * Tell the host both ends of the connection that was made, so that captures leave it out. The library binds its
 * sockets itself, so the first packets, which carry nothing that was captured, may be captured.
 */
static void tell(struct guard *guard)
{
	struct wb_transport *transport = guard->transport;
	struct nats_ends *ends = &transport->ends;
	struct dirent *entry;
	DIR *folder;
	ino_t inode;

	if (!transport->own_connection)
		return;
	folder = opendir("/proc/self/fd");
	while (folder && !ends->told && (entry = readdir(folder))) {
		int fd = (int)strtol(entry->d_name, NULL, 10);
		socklen_t local = sizeof(ends->local), remote = sizeof(ends->remote);

		if (entry->d_name[0] == '.' || !is_connection(transport, fd, &inode) || contains(&guard->before, inode))
			continue;
		ends->told = getsockname(fd, (struct sockaddr *)&ends->local, &local) == 0 &&
		             getpeername(fd, (struct sockaddr *)&ends->remote, &remote) == 0;
	}
	if (folder)
		closedir(folder);
	if (ends->told)
		transport->own_connection(transport->own_context, true, (struct sockaddr *)&ends->local,
			(struct sockaddr *)&ends->remote);
}

void nats_untell(struct wb_transport *transport)
{
	struct nats_ends *ends = &transport->ends;

	if (ends->told && transport->own_connection)
		transport->own_connection(transport->own_context, false, (struct sockaddr *)&ends->local,
			(struct sockaddr *)&ends->remote);
	ends->told = false;
}

natsStatus nats_connect_guarded(struct wb_transport *transport)
{
	struct guard guard = {
		.transport = transport, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	natsStatus s = NATS_NO_MEMORY;
	pthread_t thread;

	pthread_mutex_lock(&connecting);
	scan(&guard, true);
	if (pthread_create(&thread, NULL, watch, &guard) == 0) {
		s = natsConnection_Connect(&transport->connection, transport->options);
		pthread_mutex_lock(&guard.lock);
		guard.done = true;
		pthread_cond_signal(&guard.changed);
		pthread_mutex_unlock(&guard.lock);
		pthread_join(thread, NULL);
		if (s == NATS_OK)
			tell(&guard);
	}
	pthread_mutex_unlock(&connecting);
	return s;
}
