/* SPDX-License-Identifier: Apache-2.0 */
/* What only ZeroMQ does: stalled subscribers, peers that speak something else, addresses that are taken. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "conformance.h"

#define STALLED 4

static bool wait_peers(struct conf_session *session, uint64_t wanted, int timeout_ms)
{
	const int64_t end = conf_now_ms() + timeout_ms;
	struct wb_transport_stats stats;

	do {
		session->row->ops->stats(session->transport, &stats);
		if (stats.peers == wanted)
			return true;
		conf_pause_ms(10);
	} while (conf_now_ms() < end);
	conf_fail("%" PRIu64 " peers instead of %" PRIu64, stats.peers, wanted);
	return false;
}

/* Publish one as a worker does that waits for a buffer. False: no buffer came back in time. */
static bool publish_next(struct conf_session *session, uint64_t seq, size_t size)
{
	const int64_t end = conf_now_ms() + 2000;
	struct conf_batch *batch;

	while (!(batch = conf_pool_take(&session->pools[0]))) {
		if (conf_now_ms() >= end) {
			conf_fail("batch %" PRIu64 " found no buffer in 2 s", seq);
			return false;
		}
		conf_pause_ms(1);
	}
	conf_fill(batch, 0, seq, size);
	return conf_session_publish_wait(session, 0, batch, 2000) == 0;
}

/* Read what is there; returns whether the message with this sequence number was among it. */
static bool read_until(struct conf_session *session, uint64_t wanted, int timeout_ms)
{
	const void *data;
	uint32_t lane;
	uint64_t seq;
	size_t size;

	while (session->row->peer->receive(session->peer, timeout_ms, &data, &size) == 1) {
		if (!conf_verify(data, size, &lane, &seq))
			conf_fail("a message is not what was published");
		else if (lane == 0 && seq == wanted)
			return true;
	}
	return false;
}

/*
 * Open subscribers that do not read, each after the one before has stalled: so each holds other messages than the
 * others. Messages go on to the peer of the session meanwhile. Returns how many were published.
 */
static uint64_t open_stalled(struct conf_session *session, void **peers, uint64_t each)
{
	const uint64_t others = session->peer ? 1 : 0;
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < STALLED; i++) {
		peers[i] = session->row->peer->open(&session->bus, true);
		if (!peers[i])
			abort();
		wait_peers(session, i + 1 + others, 5000);
		for (; n < (i + 1) * each && publish_next(session, n, 65536); n++) {
			if (session->peer)
				read_until(session, n, 0);
			conf_pause_ms(n % 10 == 0);
		}
	}
	CONF_CHECK(n == STALLED * each, "publishing stopped after %" PRIu64 " batches", n);
	return n;
}

static void close_stalled(struct conf_session *session, void **peers)
{
	unsigned int i;

	for (i = 0; i < STALLED; i++)
		session->row->peer->close(peers[i]);
}

static void check_buffers_back(struct conf_session *session)
{
	const int64_t end = conf_now_ms() + 1000;

	while (conf_session_held(session) > 0 && conf_now_ms() < end)
		conf_pause_ms(5);
	CONF_CHECK(conf_session_held(session) == 0, "%" PRIu64 " buffers are still held 1 s after the subscribers left",
		conf_session_held(session));
}

/* Four subscribers stop reading: publishing goes on, one that reads gets its messages, and the buffers come back. */
static void run_stalled(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 64, .capacity = 65536, .query = "sndhwm=64&subscribers=5"};
	struct wb_transport_stats stats;
	struct conf_session session;
	void *peers[STALLED];
	uint64_t i;

	if (!conf_session_open(&session, row, &setup) || !conf_session_connect(&session))
		goto close;
	i = open_stalled(&session, peers, 300);
	row->ops->stats(session.transport, &stats);
	CONF_CHECK(stats.copied > 0, "nothing was copied");
	CONF_CHECK(stats.peer_drops > 0, "four subscribers lost messages, none is counted");
	CONF_CHECK(conf_session_held(&session) > 0, "no buffers are held: the subscribers do not stall");
	CONF_CHECK(conf_session_settled(&session, WB_RESULT_FAILED) == 0, "%u batches failed",
		conf_session_settled(&session, WB_RESULT_FAILED));
	/* It may have been behind too, and lost some: once it has caught up it gets what comes next. */
	read_until(&session, UINT64_MAX, 300);
	CONF_CHECK(publish_next(&session, i, 1000) && read_until(&session, i, 5000),
		"the subscriber that reads misses the last");
	close_stalled(&session, peers);
	check_buffers_back(&session);
	wait_peers(&session, 1, 5000);
close:
	conf_session_close(&session);
}

/* More of them than allowed: batches fail rather than memory growing, and it is over when they leave. */
static void run_too_many_stalled(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 16, .capacity = 65536, .query = "sndhwm=16&subscribers=1"};
	struct conf_session session;
	unsigned int failed;
	void *peers[STALLED];
	uint64_t i;

	if (!conf_session_open(&session, row, &setup))
		goto close;
	i = open_stalled(&session, peers, 250);
	/* Four times 16 want to wait: 12 may by reference, 17 as copies. */
	CONF_CHECK(conf_session_settled(&session, WB_RESULT_FAILED) > 0, "nothing failed: the memory is not bounded");
	close_stalled(&session, peers);
	check_buffers_back(&session);
	failed = conf_session_settled(&session, WB_RESULT_FAILED);
	conf_pause_ms(200);
	publish_next(&session, i, 1000);
	CONF_CHECK(row->ops->flush(session.transport, 2000) == 0, "flush() failed");
	CONF_CHECK(
		conf_session_settled(&session, WB_RESULT_FAILED) == failed, "batches fail after the subscribers left");
close:
	conf_session_close(&session);
}

/* Publish until nothing more is taken: no buffer comes back for a while. Returns how many were published. */
static uint64_t publish_until_held_up(struct conf_session *session, size_t size)
{
	struct conf_batch *batch;
	int64_t end = conf_now_ms() + 1000;
	uint64_t n = 0;

	while (conf_now_ms() < end && n < 100000) {
		batch = conf_pool_take(&session->pools[0]);
		if (!batch) {
			conf_pause_ms(1);
			continue;
		}
		conf_fill(batch, 0, n, size);
		if (conf_session_publish_wait(session, 0, batch, 1000) != 0)
			break;
		n++;
		end = conf_now_ms() + 1000;
	}
	return n;
}

/* The messages up to a number, none missing; returns how many of them there were. */
static uint64_t read_in_order(struct conf_session *session, void *peer, uint64_t first, uint64_t end, int timeout_ms)
{
	const void *data;
	uint32_t lane;
	uint64_t seq;
	size_t size;

	while (first < end && session->row->peer->receive(peer, timeout_ms, &data, &size) == 1) {
		if (!conf_verify(data, size, &lane, &seq)) {
			conf_fail("a message is not what was published");
			break;
		}
		if (lane == CONF_SYNC_LANE)
			continue;
		if (seq != first) {
			conf_fail("message %" PRIu64 " came instead of %" PRIu64, seq, first);
			break;
		}
		first++;
	}
	return first;
}

/* One subscriber stops reading: all wait, nothing is copied or dropped, and when it reads on both miss nothing. */
static void run_held_up(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 48, .capacity = 65536, .query = "sndhwm=16"};
	struct wb_transport_stats stats;
	struct conf_session session;
	uint64_t n, got, next;
	void *stalled;

	if (!conf_session_open(&session, row, &setup) || !conf_session_connect(&session))
		goto close;
	stalled = row->peer->open(&session.bus, true);
	wait_peers(&session, 2, 5000);
	/* Until its subscription is in effect nothing waits for it: it misses the first ones. */
	conf_session_reach(&session, stalled);
	n = publish_until_held_up(&session, 65536);
	row->ops->stats(session.transport, &stats);
	CONF_CHECK(n < 100000 && conf_session_held(&session) > 0, "%" PRIu64 " batches went out: nothing waits", n);
	CONF_CHECK(stats.copied == 0 && stats.peer_drops == 0, "%" PRIu64 " copies, %" PRIu64 " drops", stats.copied,
		stats.peer_drops);
	next = read_in_order(&session, session.peer, 0, n, 200);
	CONF_CHECK(next < n, "the one that reads was not held up");
	got = read_in_order(&session, stalled, 0, n, 5000);
	CONF_CHECK(got == n, "the slow one got %" PRIu64 " of %" PRIu64, got, n);
	got = read_in_order(&session, session.peer, next, n, 5000);
	CONF_CHECK(got == n, "the fast one got %" PRIu64 " of %" PRIu64, got, n);
	CONF_CHECK(row->ops->flush(session.transport, 5000) == 0, "flush() failed");
	CONF_CHECK(conf_session_settled(&session, WB_RESULT_FAILED) == 0, "batches failed");
	row->peer->close(stalled);
close:
	conf_session_close(&session);
}

/* It leaves instead of reading on: the others get everything, at once. */
static void run_held_up_leaves(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 48, .capacity = 65536, .query = "sndhwm=16"};
	struct conf_session session;
	uint64_t n, got;
	void *stalled;

	if (!conf_session_open(&session, row, &setup) || !conf_session_connect(&session))
		goto close;
	stalled = row->peer->open(&session.bus, true);
	wait_peers(&session, 2, 5000);
	conf_session_reach(&session, stalled);
	n = publish_until_held_up(&session, 65536);
	CONF_CHECK(conf_session_held(&session) > 0, "nothing waits");
	row->peer->close(stalled);
	check_buffers_back(&session);
	got = read_in_order(&session, session.peer, 0, n, 2000);
	CONF_CHECK(got == n, "the one that reads got %" PRIu64 " of %" PRIu64, got, n);
close:
	conf_session_close(&session);
}

/* A consumer that does not read: what libzmq still has after the linger time may or may not have been sent. */
static void run_linger(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 250, .capacity = 65536, .query = "linger=300ms&sndhwm=200"};
	struct conf_session session;
	int64_t begin;
	uint64_t i;
	void *peer;

	if (!conf_session_open(&session, row, &setup))
		goto close;
	peer = row->peer->open(&session.bus, true);
	wait_peers(&session, 1, 5000);
	for (i = 0; i < 240; i++) {
		conf_fill(&session.pools[0].batches[i], 0, i, 65536);
		conf_session_publish_wait(&session, 0, &session.pools[0].batches[i], 1000);
	}
	conf_pause_ms(300);
	CONF_CHECK(conf_session_held(&session) > 0, "no buffers are held: the consumer does not stall");
	begin = conf_now_ms();
	conf_session_close_transport(&session);
	CONF_CHECK(conf_now_ms() - begin >= 290 && conf_now_ms() - begin < 3000,
		"close() took %" PRId64 " ms, linger is 300", conf_now_ms() - begin);
	CONF_CHECK(conf_session_settled(&session, WB_RESULT_UNKNOWN) > 0,
		"nothing settled as unknown after the linger time");
	row->peer->close(peer);
close:
	conf_session_close(&session);
}

/* Peers are counted when they come and when they go. */
static void run_peers(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 4, .capacity = 1000};
	struct wb_transport_stats stats;
	struct conf_session session;
	unsigned int i;
	void *peer;

	if (!conf_session_open(&session, row, &setup))
		goto close;
	row->ops->stats(session.transport, &stats);
	CONF_CHECK(stats.connected == (row->flags & CONF_LOSSY && row->flags & CONF_BINDS), "connected without a peer");
	for (i = 0; i < 2; i++) {
		peer = row->peer->open(&session.bus, false);
		if (!peer)
			goto close;
		wait_peers(&session, 1, 10000);
		row->ops->stats(session.transport, &stats);
		CONF_CHECK(stats.connected, "a peer, but not connected");
		row->peer->close(peer);
		wait_peers(&session, 0, 5000);
	}
	row->ops->stats(session.transport, &stats);
	CONF_CHECK(stats.disconnects == 2, "%" PRIu64 " disconnects", stats.disconnects);
	CONF_CHECK(stats.reconnects == (row->flags & CONF_BINDS ? 0 : 1), "%" PRIu64 " reconnects", stats.reconnects);
close:
	conf_session_close(&session);
}

static int raw_connect(const struct conf_bus *bus)
{
	struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	const bool ipc = strncmp(bus->address, "ipc://", 6) == 0;
	int fd, r;

	fd = socket(ipc ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (ipc) {
		snprintf(local.sun_path, sizeof(local.sun_path), "%.100s", bus->address + 6);
		r = connect(fd, (const struct sockaddr *)&local, sizeof(local));
	} else {
		inet.sin_port = htons((uint16_t)strtoul(strrchr(bus->address, ':') + 1, NULL, 10));
		r = connect(fd, (const struct sockaddr *)&inet, sizeof(inet));
	}
	if (r < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Until so many strangers are counted, or it takes too long. */
static void wait_failures(struct conf_session *session, uint64_t wanted, struct wb_transport_stats *ret_stats)
{
	const int64_t end = conf_now_ms() + 10000;

	do {
		session->row->ops->stats(session->transport, ret_stats);
		conf_pause_ms(10);
	} while (ret_stats->protocol_failures + ret_stats->auth_failures < wanted && conf_now_ms() < end);
}

/* Port scans, web browsers, random bytes, and one that begins like ZeroMQ and stops: none disturbs those who belong. */
static void run_strangers(const struct conf_row *row)
{
	static const char *const greetings[] = {"", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"\xff\x01\x01\x01\x01\x01\x01\x01\x01\x7f", "\xff\xff\xff\xff\xff\xff"};
	const struct conf_setup setup = {.buffers = 64, .capacity = 20000, .query = row->roomy};
	struct wb_transport_stats stats;
	struct conf_session session;
	char noise[4096];
	unsigned int i;
	int fd;

	for (i = 0; i < sizeof(noise); i++)
		noise[i] = (char)(i * i * 7 + i / 3);
	if (!conf_session_open(&session, row, &setup) || strchr(session.bus.address, '['))
		goto close;
	for (i = 0; i < 12; i++) {
		fd = raw_connect(&session.bus);
		CONF_CHECK(fd >= 0, "cannot connect: %s", strerror(errno));
		if (fd < 0)
			continue;
		send(fd, greetings[i % 4], strlen(greetings[i % 4]), MSG_NOSIGNAL);
		if (i >= 4)
			send(fd, noise + i, sizeof(noise) - i, MSG_NOSIGNAL);
		close(fd);
	}
	if (conf_session_connect(&session)) {
		wait_peers(&session, 1, 5000);
		conf_session_publish_range(&session, 1, 0, 50);
		conf_session_receive(&session, 50, 10000);
		wait_peers(&session, 1, 1000);
		wait_failures(&session, 12, &stats);
		CONF_CHECK(stats.protocol_failures + stats.auth_failures == 12 && stats.disconnects == 0,
			"of 12 strangers %" PRIu64 " and %" PRIu64 " are counted, and %" PRIu64 " peers that left",
			stats.protocol_failures, stats.auth_failures, stats.disconnects);
	}
close:
	conf_session_close(&session);
}

static void expect_refusal(struct conf_session *session, int wanted)
{
	struct wb_transport *second = NULL;
	struct wb_error error = {""};
	int r;

	r = session->row->ops->open(&session->args, &second, &error);
	CONF_CHECK(r == wanted, "open() returned %d instead of %d", r, wanted);
	CONF_CHECK(r == 0 || error.message[0], "no message");
	if (r == 0)
		session->row->ops->close(second);
}

/* What is taken is not taken over. */
static void run_address_taken(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 4, .capacity = 1000};
	struct conf_session session;
	struct stat status;
	const char *path;
	int fd;

	if (!conf_session_open(&session, row, &setup))
		goto close;
	expect_refusal(&session, -EADDRINUSE);
	if (strncmp(session.bus.address, "ipc://", 6) != 0)
		goto close;
	path = session.bus.address + 6;
	CONF_CHECK(stat(path, &status) == 0 && (status.st_mode & 0777) == 0660, "the socket's mode is %o",
		status.st_mode & 0777);
	conf_session_close_transport(&session);
	CONF_CHECK(stat(path, &status) < 0, "the socket was left behind");
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CONF_CHECK(fd >= 0, "%s: %s", path, strerror(errno));
	close(fd);
	expect_refusal(&session, -EEXIST);
	CONF_CHECK(stat(path, &status) == 0 && S_ISREG(status.st_mode), "a file was removed");
close:
	conf_session_close(&session);
}

const struct conf_case conf_cases_zmq[] = {
	{.name = "zmq-stalled", .needs = CONF_STALLED_PEERS, .run = run_stalled},
	{.name = "zmq-too-many-stalled", .needs = CONF_STALLED_PEERS, .run = run_too_many_stalled},
	{.name = "zmq-held-up", .needs = CONF_HELD_UP, .run = run_held_up},
	{.name = "zmq-held-up-leaves", .needs = CONF_HELD_UP, .run = run_held_up_leaves},
	{.name = "zmq-linger", .needs = CONF_ZMQ | CONF_WAITS_FOR_PEER, .run = run_linger},
	{.name = "zmq-peers", .needs = CONF_ZMQ, .run = run_peers},
	{.name = "zmq-strangers", .needs = CONF_ZMQ | CONF_BINDS, .run = run_strangers},
	{.name = "zmq-address-taken", .needs = CONF_ZMQ | CONF_BINDS, .run = run_address_taken},
	{.name = NULL},
};
