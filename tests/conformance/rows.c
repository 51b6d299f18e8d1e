/* SPDX-License-Identifier: Apache-2.0 */
/* The transports that the suite runs over. A new transport is a row here and, unless it has one, a peer. */
#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conformance.h"
#include "registry.h"

/* A port that nobody has just now. */
static unsigned int free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	unsigned int port = 0;
	int fd;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	if (bind(fd, (struct sockaddr *)&address, size) == 0 &&
		getsockname(fd, (struct sockaddr *)&address, &size) == 0)
		port = ntohs(address.sin_port);
	close(fd);
	return port;
}

static int make_directory(struct conf_bus *bus)
{
	char *path = strdup("/tmp/wirebus-conformance-XXXXXX");

	if (!path || !mkdtemp(path)) {
		free(path);
		return -1;
	}
	bus->owned = path;
	return 0;
}

static void remove_directory(struct conf_bus *bus)
{
	struct dirent *entry;
	DIR *directory;

	if (!bus->owned)
		return;
	directory = opendir(bus->owned);
	while (directory && (entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory)
		closedir(directory);
	rmdir(bus->owned);
	free(bus->owned);
	bus->owned = NULL;
}

static int open_null(struct conf_bus *bus, const struct conf_row *row)
{
	(void)row;
	snprintf(bus->url, sizeof(bus->url), "null:");
	return 0;
}

static int open_file(struct conf_bus *bus, const struct conf_row *row)
{
	(void)row;
	if (make_directory(bus) < 0)
		return -1;
	snprintf(bus->url, sizeof(bus->url), "file://%s", (const char *)bus->owned);
	snprintf(bus->address, sizeof(bus->address), "%s", (const char *)bus->owned);
	return 0;
}

static int open_tcp(struct conf_bus *bus, const struct conf_row *row)
{
	const unsigned int port = free_port();

	bus->peer_binds = !(row->flags & CONF_BINDS);
	snprintf(bus->url, sizeof(bus->url), "%s://127.0.0.1:%u%s", row->scheme, port,
		bus->peer_binds ? "?bind=no" : "");
	snprintf(bus->address, sizeof(bus->address), "tcp://127.0.0.1:%u", port);
	return port ? 0 : -1;
}

static int open_tcp6(struct conf_bus *bus, const struct conf_row *row)
{
	const struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	const unsigned int port = free_port();
	int fd, r;

	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return CONF_EXIT_SKIP;
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	close(fd);
	if (r < 0)
		return CONF_EXIT_SKIP;
	snprintf(bus->url, sizeof(bus->url), "%s://[::1]:%u", row->scheme, port);
	snprintf(bus->address, sizeof(bus->address), "tcp://[::1]:%u", port);
	return port ? 0 : -1;
}

static int open_ipc(struct conf_bus *bus, const struct conf_row *row)
{
	if (make_directory(bus) < 0)
		return -1;
	snprintf(bus->url, sizeof(bus->url), "%s://%s/bus", row->scheme, (const char *)bus->owned);
	snprintf(bus->address, sizeof(bus->address), "ipc://%s/bus", (const char *)bus->owned);
	return 0;
}

static int open_tcp_curve(struct conf_bus *bus, const struct conf_row *row)
{
	const int r = make_directory(bus) < 0 ? -1 : open_tcp(bus, row);

	return r < 0 ? r : conf_curve_keys(bus);
}

static int open_ipc_curve(struct conf_bus *bus, const struct conf_row *row)
{
	const int r = open_ipc(bus, row);

	return r < 0 ? r : conf_curve_keys(bus);
}

static int open_tcp_wait(struct conf_bus *bus, const struct conf_row *row)
{
	const int r = open_tcp(bus, row);

	strcat(bus->url, "?slow=wait");
	return r;
}

#define LONG_NAME                                                                                                      \
	"/tmp/"                                                                                                        \
	"0123456789a0123456789b01234567890123456789012345678901234567890123456789012345678901234567890123456789012345" \
	"6789"

#define BAD_ZMQ(scheme)                                                                                                \
	{                                                                                                              \
		{scheme "://0.0.0.0:5555", "0.0.0.0:5555"}, {scheme "://*:5555", "*:5555"},                            \
			{scheme "://*:5555?bind=no", "*:5555"}, {scheme "://192.0.2.1:5555", "192.0.2.1:5555"},        \
			{scheme "://[2001:db8::1]:5555", "[2001:db8::1]:5555"},                                        \
			{scheme "://128.0.0.1:5555", "128.0.0.1:5555"},                                                \
			{scheme "://[::ffff:127.0.0.1]:5555", "::ffff:127.0.0.1"},                                     \
			{scheme "://127.0.0.1", "127.0.0.1"}, {scheme "://127.0.0.1:0", "127.0.0.1:0"},                \
			{scheme "://127.0.0.1:65536", "65536"}, {scheme "://127.0.0.1:port", "port"},                  \
			{scheme "://::1:5555", "::1:5555"}, {scheme "://", ""}, {scheme "://" LONG_NAME, LONG_NAME},   \
			{scheme ":///tmp/", "/tmp/"}, {scheme "://127.0.0.1:5555?sndhwm=0", "sndhwm"},                 \
			{scheme "://127.0.0.1:5555?sndhwm=-1", "-1"}, {scheme "://127.0.0.1:5555?linger=2y", "2y"},    \
			{scheme "://127.0.0.1:5555?bind=maybe", "maybe"},                                              \
			{scheme "://127.0.0.1:5555?sndhvm=5", "sndhvm"},                                               \
			{scheme "://127.0.0.1:5555?slow=down", "down"},                                                \
			{scheme "://127.0.0.1:5555?curve_key=k", "needs curve_allow"},                                 \
			{scheme "://127.0.0.1:5555?curve_allow=a", "needs curve_key"},                                 \
			{scheme "://127.0.0.1:5555?curve_key=k&curve_allow=a&curve_server_key=s",                      \
				"curve_server_key is not for the side that binds"},                                    \
			{scheme "://127.0.0.1:5555?bind=no&curve_key=k", "needs curve_server_key"},                    \
			{scheme "://127.0.0.1:5555?bind=no&curve_server_key=s", "needs curve_key"},                    \
			{scheme "://127.0.0.1:5555?bind=no&curve_key=k&curve_allow=a",                                 \
				"curve_allow is not for the side that connects"},                                      \
		{                                                                                                      \
			NULL, NULL                                                                                     \
		}                                                                                                      \
	}

static const struct conf_bad bad_pub[] = BAD_ZMQ("zmq+pub");
static const struct conf_bad bad_push[] = BAD_ZMQ("zmq+push");
static const struct conf_bad bad_null[] = {{"null:?colour=red", "colour"}, {NULL, NULL}};
static const struct conf_bad bad_file[] = {{"file:///tmp/x?colour=red", "colour"}, {"file://", ""}, {NULL, NULL}};
static const struct conf_bad bad_kafka[] = {
	{"kafka://127.0.0.1:9092/t?colour=red", "colour"},
	{"kafka://127.0.0.1:9092", "127.0.0.1:9092"},
	{"kafka:///t", ""},
	{"kafka://127.0.0.1:9092/t?properties.no.such.property=1", "no.such.property"},
	{NULL, NULL},
};
static const struct conf_bad bad_fake[] = {
	{"fake:?colour=red", "colour"}, {"fake:?capacity=0", "capacity"}, {NULL, NULL}};

#define PUB_FLAGS (CONF_ZMQ | CONF_LOSSY | CONF_STALLED_PEERS)
#define PUSH_FLAGS (CONF_ZMQ | CONF_WAITS_FOR_PEER | CONF_BOUNDED)
#define ROOMY "sndhwm=100000"

static const struct conf_row rows[] = {
	{.name = "null",
		.scheme = "null",
		.ops = &wb_transport_null,
		.slow = "delay=1000",
		.bad = bad_null,
		.bus_open = open_null},
	{.name = "file",
		.scheme = "file",
		.ops = &wb_transport_file,
		.peer = &conf_peer_file,
		.bad = bad_file,
		.bus_open = open_file,
		.bus_close = remove_directory},
	{.name = "zmq-pub-tcp",
		.scheme = "zmq+pub",
		.ops = &wb_transport_zmq,
		.peer = &conf_peer_zmq_sub,
		.flags = PUB_FLAGS | CONF_BINDS,
		.roomy = ROOMY,
		.bad = bad_pub,
		.bus_open = open_tcp},
	{.name = "zmq-pub-tcp6",
		.scheme = "zmq+pub",
		.ops = &wb_transport_zmq,
		.peer = &conf_peer_zmq_sub,
		.flags = PUB_FLAGS | CONF_BINDS,
		.roomy = ROOMY,
		.bad = bad_pub,
		.bus_open = open_tcp6},
	{.name = "zmq-pub-ipc",
		.scheme = "zmq+pub",
		.ops = &wb_transport_zmq,
		.peer = &conf_peer_zmq_sub,
		.flags = PUB_FLAGS | CONF_BINDS,
		.roomy = ROOMY,
		.bad = bad_pub,
		.bus_open = open_ipc,
		.bus_close = remove_directory},
	{.name = "zmq-pub-connect",
		.scheme = "zmq+pub",
		.ops = &wb_transport_zmq,
		.peer = &conf_peer_zmq_sub,
		.flags = CONF_ZMQ | CONF_LOSSY,
		.roomy = ROOMY,
		.bad = bad_pub,
		.bus_open = open_tcp},
	{.name = "zmq-pub-curve",
		.scheme = "zmq+pub",
		.ops = &wb_transport_zmq,
		.peer = &conf_peer_zmq_sub,
		.flags = PUB_FLAGS | CONF_BINDS | CONF_CURVE,
		.roomy = ROOMY,
		.bad = bad_pub,
		.bus_open = open_tcp_curve,
		.bus_close = remove_directory},
	{.name = "zmq-pub-wait",
		.scheme = "zmq+pub",
		.ops = &wb_transport_zmq,
		.peer = &conf_peer_zmq_sub,
		.flags = CONF_ZMQ | CONF_LOSSY | CONF_BINDS | CONF_HELD_UP,
		.bad = bad_pub,
		.bus_open = open_tcp_wait},
	{.name = "zmq-push-tcp",
		.scheme = "zmq+push",
		.ops = &wb_transport_zmq,
		.peer = &conf_peer_zmq_pull,
		.flags = PUSH_FLAGS | CONF_BINDS,
		.bad = bad_push,
		.bus_open = open_tcp},
	{.name = "zmq-push-ipc",
		.scheme = "zmq+push",
		.ops = &wb_transport_zmq,
		.peer = &conf_peer_zmq_pull,
		.flags = PUSH_FLAGS | CONF_BINDS,
		.bad = bad_push,
		.bus_open = open_ipc,
		.bus_close = remove_directory},
	{.name = "zmq-push-connect",
		.scheme = "zmq+push",
		.ops = &wb_transport_zmq,
		.peer = &conf_peer_zmq_pull,
		.flags = PUSH_FLAGS,
		.bad = bad_push,
		.bus_open = open_tcp},
	{.name = "zmq-push-curve",
		.scheme = "zmq+push",
		.ops = &wb_transport_zmq,
		.peer = &conf_peer_zmq_pull,
		.flags = PUSH_FLAGS | CONF_BINDS | CONF_CURVE,
		.bad = bad_push,
		.bus_open = open_ipc_curve,
		.bus_close = remove_directory},
	{.name = "zmq-push-curve-connect",
		.scheme = "zmq+push",
		.ops = &wb_transport_zmq,
		.peer = &conf_peer_zmq_pull,
		.flags = PUSH_FLAGS,
		.bad = bad_push,
		.bus_open = open_tcp_curve,
		.bus_close = remove_directory},
	{.name = "kafka-mock",
		.scheme = "kafka",
		.ops = &wb_transport_kafka,
		.peer = &conf_peer_kafka,
		.offline = "kafka://127.0.0.1:1/nobody",
		.bad = bad_kafka,
		.bus_open = conf_bus_open_kafka_mock,
		.bus_close = conf_bus_close_kafka},
	{.name = "kafka",
		.flags = CONF_REAL_KAFKA,
		.scheme = "kafka",
		.ops = &wb_transport_kafka,
		.peer = &conf_peer_kafka,
		.offline = "kafka://127.0.0.1:1/nobody",
		.bad = bad_kafka,
		.bus_open = conf_bus_open_kafka_real,
		.bus_close = conf_bus_close_kafka},
	{.name = "fake",
		.scheme = "fake",
		.ops = &conf_transport_fake,
		.peer = &conf_peer_fake,
		.flags = CONF_BOUNDED,
		.roomy = "drop_every=9",
		.slow = "delay_ms=30",
		.bad = bad_fake,
		.bus_open = conf_bus_open_fake},
};

const struct conf_row *conf_row_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

void conf_rows_list(void)
{
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		fprintf(stderr, "  %s\n", rows[i].name);
}
