/* SPDX-License-Identifier: Apache-2.0 */
#include "zmq_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "url.h"

static bool is_loopback(const char *host)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static int path_address(const struct wb_zmq_place *place, struct wb_zmq_address *address, struct wb_error *ret_error)
{
	const size_t limit = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	const size_t length = strlen(place->address);

	if (length > limit)
		return wb_fail(ret_error, -EINVAL, "%s: the path '%s' has %zu bytes: a Unix socket's has at most %zu",
			place->url, place->address, length, limit);
	if (place->address[length - 1] == '/')
		return wb_fail(ret_error, -EINVAL, "%s: '%s' is a directory: name the socket in it", place->url,
			place->address);
	snprintf(address->endpoint, sizeof(address->endpoint), "ipc://%s", place->address);
	address->path = address->endpoint + strlen("ipc://");
	return 0;
}

static int tcp_address(const struct wb_zmq_place *place, struct wb_zmq_address *address, struct wb_error *ret_error)
{
	const char *name;
	unsigned int port;
	char host[256];
	int r;

	r = wb_url_split_host_port(place->address, host, sizeof(host), &port, ret_error);
	if (r < 0)
		return r;
	if (port == 0)
		return wb_fail(ret_error, -EINVAL, "%s: port 0 in '%s': give a port from 1 to 65535", place->url,
			place->address);
	if (strcmp(host, "*") == 0 && !address->bind)
		return wb_fail(ret_error, -EINVAL,
			"%s: '*' in '%s' is an address to bind to: leave out bind=no, or name the"
			" host to connect to",
			place->url, place->address);
	if (address->bind && !is_loopback(host) && !place->insecure)
		return wb_fail(ret_error, -EINVAL,
			"%s: binding to '%s' lets every host that reaches it %s packets,"
			" without authentication or encryption: use 127.0.0.1, give curve_key"
			" and curve_allow, or say insecure=true",
			place->url, place->address, place->producer ? "read the" : "send");
	/* libzmq resolves names when it connects, and takes addresses only when it binds. */
	name = address->bind && strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
	address->ipv6 = strchr(name, ':') != NULL;
	snprintf(address->endpoint, sizeof(address->endpoint), address->ipv6 ? "tcp://[%s]:%u" : "tcp://%s:%u", name,
		port);
	return 0;
}

int wb_zmq_address(const struct wb_zmq_place *place, struct wb_zmq_address *ret_address, struct wb_error *ret_error)
{
	const bool any_host = strncmp(place->address, "*:", 2) == 0;

	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->bind =
		place->bind == WB_ZMQ_BIND_YES || (place->bind == WB_ZMQ_BIND_AUTO && (place->producer || any_host));
	if (place->address[0] == '/')
		return path_address(place, ret_address, ret_error);
	return tcp_address(place, ret_address, ret_error);
}

/* Whether somebody accepts connections at a Unix socket. */
static bool is_served(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	bool served;
	int fd;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	memcpy(address.sun_path, path, strlen(path) + 1);
	served = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN;
	close(fd);
	return served;
}

int wb_zmq_check_path(const char *path, struct wb_error *ret_error)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return 0;
	if (!S_ISSOCK(status.st_mode))
		return wb_fail(
			ret_error, -EEXIST, "cannot bind to '%s': there is something there that is not a socket", path);
	if (is_served(path))
		return wb_fail(ret_error, -EADDRINUSE, "cannot bind to '%s': another process serves this socket", path);
	return 0;
}
