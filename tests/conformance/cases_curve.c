/* SPDX-License-Identifier: Apache-2.0 */
/* Who may not connect to a ZeroMQ socket with CURVE, does not: nothing reaches them, and each is counted. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <zmq.h>

#include "conformance.h"

enum kind { RIGHT, WRONG_SERVER_KEY, NOT_ALLOWED, NULL_MECHANISM, PLAIN_MECHANISM, KINDS };

/* A consumer of libzmq's own. */
struct client {
	void *context, *socket;
};

static void set_keys(struct client *client, const struct conf_bus *bus, const char *server, const char *public_key,
	const char *secret)
{
	zmq_setsockopt(client->socket, ZMQ_CURVE_SERVERKEY, server, 41);
	zmq_setsockopt(client->socket, ZMQ_CURVE_PUBLICKEY, public_key, 41);
	zmq_setsockopt(client->socket, ZMQ_CURVE_SECRETKEY, secret, 41);
}

static void client_open(struct client *client, const struct conf_session *session, enum kind kind)
{
	const struct conf_bus *bus = &session->bus;
	char public_key[41], secret_key[41];
	const int none = 0;

	zmq_curve_keypair(public_key, secret_key);
	client->context = zmq_ctx_new();
	client->socket = zmq_socket(client->context, session->row->flags & CONF_LOSSY ? ZMQ_SUB : ZMQ_PULL);
	zmq_setsockopt(client->socket, ZMQ_LINGER, &none, sizeof(none));
	if (session->row->flags & CONF_LOSSY)
		zmq_setsockopt(client->socket, ZMQ_SUBSCRIBE, "", 0);
	if (kind == RIGHT)
		set_keys(client, bus, bus->public_key, bus->peer_public_key, bus->peer_secret_key);
	else if (kind == WRONG_SERVER_KEY)
		set_keys(client, bus, public_key, bus->peer_public_key, bus->peer_secret_key);
	else if (kind == NOT_ALLOWED)
		set_keys(client, bus, bus->public_key, public_key, secret_key);
	else if (kind == PLAIN_MECHANISM)
		zmq_setsockopt(client->socket, ZMQ_PLAIN_USERNAME, "admin", 5);
	if (zmq_connect(client->socket, bus->address) < 0)
		conf_fail("zmq_connect(): %s", zmq_strerror(zmq_errno()));
}

static void client_close(struct client *client)
{
	zmq_close(client->socket);
	zmq_ctx_term(client->context);
}

static bool client_receives(struct client *client, int timeout_ms)
{
	char data[64];

	zmq_setsockopt(client->socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
	return zmq_recv(client->socket, data, sizeof(data), 0) >= 0;
}

/* Whether so many were refused, at last. One without CURVE may leave before the reason is seen. */
static bool wait_refused(struct conf_session *session, uint64_t wanted)
{
	const int64_t end = conf_now_ms() + 10000;
	struct wb_transport_stats stats;

	do {
		session->row->ops->stats(session->transport, &stats);
		if (stats.auth_failures + stats.protocol_failures >= wanted)
			return true;
		conf_pause_ms(10);
	} while (conf_now_ms() < end);
	conf_fail("%" PRIu64 " and %" PRIu64 " refused instead of %" PRIu64, stats.auth_failures,
		stats.protocol_failures, wanted);
	return false;
}

static void publish_some(struct conf_session *session, unsigned int count)
{
	struct conf_batch *batch;

	while (count > 0 && (batch = conf_pool_take(&session->pools[0]))) {
		conf_fill(batch, CONF_SYNC_LANE, count--, 1000);
		conf_session_publish(session, 0, batch);
	}
}

static void run_refused(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 64, .capacity = 20000, .query = row->roomy};
	struct client clients[KINDS];
	struct wb_transport_stats stats;
	struct conf_session session;
	unsigned int kind;

	if (!conf_session_open(&session, row, &setup))
		goto close;
	for (kind = WRONG_SERVER_KEY; kind < KINDS; kind++) {
		client_open(&clients[kind], &session, (enum kind)kind);
		wait_refused(&session, kind);
	}
	/* Nobody was let in, so PUSH keeps it and PUB drops it. */
	publish_some(&session, 20);
	for (kind = WRONG_SERVER_KEY; kind < KINDS; kind++) {
		CONF_CHECK(!client_receives(&clients[kind], 300), "a stranger of kind %u receives", kind);
		client_close(&clients[kind]);
	}
	row->ops->stats(session.transport, &stats);
	CONF_CHECK(stats.peers == 0, "%" PRIu64 " peers", stats.peers);
	CONF_CHECK(stats.auth_failures >= 2, "%" PRIu64 " wrong keys are counted", stats.auth_failures);
	if (conf_session_connect(&session)) {
		conf_session_publish_range(&session, 1, 0, 50);
		conf_session_receive(&session, 50, 10000);
		row->ops->stats(session.transport, &stats);
		CONF_CHECK(stats.peers == 1, "%" PRIu64 " peers", stats.peers);
	}
close:
	conf_session_close(&session);
}

/* The list is read again when it changes: who is added gets in, and who is removed does not come back. */
static void run_list_changes(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 64, .capacity = 20000};
	struct wb_transport_stats stats;
	struct conf_session session;
	struct client client;
	char lines[128];
	int i;

	if (!conf_session_open(&session, row, &setup))
		goto close;
	conf_curve_write(&session.bus, "peer.pub", "# nobody");
	client_open(&client, &session, RIGHT);
	wait_refused(&session, 1);
	client_close(&client);
	/* A list that cannot be read changes nothing. */
	conf_curve_write(&session.bus, "peer.pub", "nonsense");
	client_open(&client, &session, RIGHT);
	wait_refused(&session, 2);
	client_close(&client);
	snprintf(lines, sizeof(lines), "# somebody\n\n%s # the peer", session.bus.peer_public_key);
	conf_curve_write(&session.bus, "peer.pub", lines);
	client_open(&client, &session, RIGHT);
	for (i = 0; i < 100; i++) {
		publish_some(&session, 1);
		if (client_receives(&client, 50))
			break;
	}
	CONF_CHECK(i < 100, "a client that was added receives nothing");
	client_close(&client);
	row->ops->stats(session.transport, &stats);
	CONF_CHECK(stats.auth_failures >= 2 && stats.auth_failures < 20, "%" PRIu64 " refused", stats.auth_failures);
close:
	conf_session_close(&session);
}

static int raw_connect(const struct conf_bus *bus)
{
	const bool ipc = strncmp(bus->address, "ipc://", 6) == 0;
	struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	int fd, r;

	fd = socket(ipc ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ipc) {
		snprintf(local.sun_path, sizeof(local.sun_path), "%.100s", bus->address + 6);
		r = connect(fd, (const struct sockaddr *)&local, sizeof(local));
	} else {
		inet.sin_port = htons((uint16_t)strtoul(strrchr(bus->address, ':') + 1, NULL, 10));
		r = connect(fd, (const struct sockaddr *)&inet, sizeof(inet));
	}
	CONF_CHECK(r == 0, "cannot connect");
	return fd;
}

/* Greetings of protocols before CURVE, which a socket could take for a reason to do without it. */
static void run_old_protocols(const struct conf_row *row)
{
	/* Signature, revision 1 (ZMTP 2.0), socket type, identity, and subscription to everything; ZMTP 1.0: unsigned.
	 */
	static const char two_sub[] = "\xff\0\0\0\0\0\0\0\x01\x7f\x01\x02\0\0\0\x01\x01";
	static const char two_pull[] = "\xff\0\0\0\0\0\0\0\x01\x7f\x01\x07\0\0";
	static const char one[] = "\x01\0\x02\0\x01";
	const struct conf_setup setup = {.buffers = 64, .capacity = 20000};
	struct conf_session session;
	char answer[4096];
	unsigned int i;
	ssize_t length, total;
	int fd;

	if (!conf_session_open(&session, row, &setup))
		goto close;
	for (i = 0; i < 3; i++) {
		const struct timeval wait = {.tv_sec = 10};

		fd = raw_connect(&session.bus);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
		if (i == 0)
			send(fd, two_sub, sizeof(two_sub) - 1, MSG_NOSIGNAL);
		else if (i == 1)
			send(fd, two_pull, sizeof(two_pull) - 1, MSG_NOSIGNAL);
		else
			send(fd, one, sizeof(one) - 1, MSG_NOSIGNAL);
		publish_some(&session, 5);
		total = 0;
		while ((length = recv(fd, answer, sizeof(answer), 0)) > 0)
			total += length;
		/* Its own greeting is 64 bytes at the most. */
		CONF_CHECK(total <= 64, "protocol %u got %zd bytes", i, total);
		CONF_CHECK(length == 0 || errno == ECONNRESET, "protocol %u stays connected", i);
		close(fd);
	}
close:
	conf_session_close(&session);
}

static void expect_open(struct conf_session *session, const char *url, int wanted, const char *text)
{
	struct wb_transport *transport = NULL;
	struct wb_error error = {""};
	int r;

	r = conf_session_parse(session, url, &error);
	if (r == 0)
		r = session->row->ops->open(&session->args, &transport, &error);
	CONF_CHECK(r == wanted && strstr(error.message, text), "%s: %d %s", url, r, error.message);
	CONF_CHECK(!strstr(error.message, session->bus.peer_secret_key), "a secret key is shown: %s", error.message);
	if (r == 0)
		session->row->ops->close(transport);
}

/* Files that are not what they should be: open() says which and why, and opens nothing. */
static void run_bad_files(const struct conf_row *row)
{
	static const struct {
		const char *key, *allow;
		int code;
		const char *text;
	} cases[] = {
		{"/nosuch", "/peer.pub", -ENOENT, "/nosuch'"},
		{"/open.key", "/peer.pub", -EACCES, "mode 0644"},
		{"", "/peer.pub", -EINVAL, "is not a file"},
		{"/bad.key", "/peer.pub", -EINVAL, "line 2 is not a key"},
		{"/empty.key", "/peer.pub", -EINVAL, "no key in it"},
		{"/good.key", "/nosuch", -ENOENT, "/nosuch'"},
		{"/good.key", "/empty.key", -EINVAL, "no public key in it"},
		{"/good.key", "/bad.pub", -EINVAL, "line 3: 'nonsense'"},
	};
	struct conf_session session = {.row = row};
	char url[900], lines[200];
	size_t i;

	if (row->bus_open(&session.bus, row) != 0) {
		conf_fail("the bus could not be opened");
		return;
	}
	conf_curve_write(&session.bus, "good.key", session.bus.peer_secret_key);
	conf_curve_write(&session.bus, "open.key", session.bus.peer_secret_key);
	snprintf(lines, sizeof(lines), "%s/open.key", (const char *)session.bus.owned);
	CONF_CHECK(chmod(lines, 0644) == 0, "chmod");
	snprintf(lines, sizeof(lines), "# a key and something after it\n%s?", session.bus.peer_secret_key);
	conf_curve_write(&session.bus, "bad.key", lines);
	conf_curve_write(&session.bus, "empty.key", "# nothing");
	snprintf(lines, sizeof(lines), "%s\n\nnonsense", session.bus.peer_public_key);
	conf_curve_write(&session.bus, "bad.pub", lines);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(url, sizeof(url), "%.*s?curve_key=%s%s&curve_allow=%s%s", (int)strcspn(session.bus.url, "?"),
			session.bus.url, (const char *)session.bus.owned, cases[i].key, (const char *)session.bus.owned,
			cases[i].allow);
		expect_open(&session, url, cases[i].code, cases[i].text);
	}
	conf_session_close(&session);
}

const struct conf_case conf_cases_curve[] = {
	{.name = "curve-refused", .needs = CONF_CURVE, .needs_peer = true, .run = run_refused},
	{.name = "curve-list-changes", .needs = CONF_CURVE, .run = run_list_changes},
	{.name = "curve-old-protocols", .needs = CONF_CURVE, .run = run_old_protocols},
	{.name = "curve-bad-files", .needs = CONF_CURVE, .run = run_bad_files},
	{.name = NULL},
};
