/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves the ZeroMQ source with CURVE against sockets that know nothing of wirebus: with the right keys messages come,
 * with wrong ones the user is told within seconds what is wrong, and nobody comes in who may not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zmq.h>

#include "source_rig.h"

static char directory[] = "/tmp/wirebus-curve-XXXXXX";

/* Of the tests' own sockets, of the source, and of a third. */
static struct pair {
	char public_key[41], secret_key[41];
} peer_keys, own_keys, other_keys;

static void write_key(const char *name, const char *key)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, key, 40), 40);
	close(fd);
}

/* A publisher. curve: whether it uses CURVE, as its server. */
struct peer {
	void *context, *socket;
	char address[128];
};

static void peer_open(struct peer *peer, bool curve)
{
	size_t size = sizeof(peer->address);
	const int zero = 0, one = 1;
	char bound[128];

	peer->context = zmq_ctx_new();
	peer->socket = zmq_socket(peer->context, ZMQ_PUSH);
	zmq_setsockopt(peer->socket, ZMQ_LINGER, &zero, sizeof(zero));
	if (curve) {
		zmq_setsockopt(peer->socket, ZMQ_CURVE_SERVER, &one, sizeof(one));
		zmq_setsockopt(peer->socket, ZMQ_CURVE_SECRETKEY, peer_keys.secret_key, 41);
	}
	assert_int_equal(zmq_bind(peer->socket, "tcp://127.0.0.1:*"), 0);
	assert_int_equal(zmq_getsockopt(peer->socket, ZMQ_LAST_ENDPOINT, bound, &size), 0);
	snprintf(peer->address, sizeof(peer->address), "%s", strstr(bound, "://") + 3);
}

static void peer_close(struct peer *peer)
{
	zmq_close(peer->socket);
	zmq_ctx_term(peer->context);
}

static void send_batch(void *socket, uint64_t sequence)
{
	struct rig_batch batch;

	rig_batch_init(&batch, 1, sequence, 1000);
	assert_int_equal(zmq_send(socket, "wb1/node/1/", 11, ZMQ_SNDMORE), 11);
	assert_int_equal(zmq_send(socket, batch.batch.data, batch.batch.size, 0), batch.batch.size);
	rig_batch_fini(&batch);
}

static void expect_batch(struct rig_source *source, uint64_t sequence)
{
	int r = rig_source_next(source, 10000);

	if (r != 1)
		fail_msg("batch %llu: %d %s", (unsigned long long)sequence, r, source->error.message);
	assert_int_equal(rig_check(source->message.data, source->message.size, NULL), sequence);
}

static int connect_source(
	struct rig_source *source, const struct peer *peer, const char *key, const char *server, unsigned int wait_ms)
{
	char url[512];
	int length;

	length = snprintf(url, sizeof(url), "zmq+pull://%s", peer->address);
	if (key)
		snprintf(url + length, sizeof(url) - (size_t)length, "?curve_key=%s/%s&curve_server_key=%s/%s",
			directory, key, directory, server);
	return rig_source_open(source, url, false, wait_ms);
}

static void right_keys_let_messages_through(void **state)
{
	struct rig_source source;
	struct peer peer;

	peer_open(&peer, true);
	assert_int_equal(connect_source(&source, &peer, "own.key", "peer.pub", 5000), 0);
	for (uint64_t i = 0; i < 20; i++)
		send_batch(peer.socket, i);
	for (uint64_t i = 0; i < 20; i++)
		expect_batch(&source, i);
	rig_source_close(&source);
	peer_close(&peer);
}

/* It says why while it waits, once (or twice, as the reason and as nothing but the end), and again in the end. */
static void expect_told(const struct peer *peer, const char *key, const char *server, const char *text)
{
	struct rig_source source;
	int64_t start = rig_now_ms();
	unsigned int said;

	rig_log_begin();
	assert_int_equal(connect_source(&source, peer, key, server, 2500), 0);
	assert_int_equal(rig_source_next(&source, 20000), -ETIMEDOUT);
	said = rig_log_count(text);
	rig_log_end();
	if (!strstr(source.error.message, text) || said < 1 || said > 2)
		fail_msg("\"%s\" does not say \"%s\"; %u times in the log", source.error.message, text, said);
	assert_in_range(rig_now_ms() - start, 2500, 10000);
	rig_source_close(&source);
}

static void wrong_keys_are_told(void **state)
{
	struct peer peer, plain;

	peer_open(&peer, true);
	peer_open(&plain, false);
	expect_told(&peer, "own.key", "other.pub", "curve_server_key is not its public key");
	expect_told(&peer, NULL, NULL, "this side has no curve_key");
	expect_told(&plain, "own.key", "peer.pub", "does not use CURVE");
	peer_close(&peer);
	peer_close(&plain);
}

/* A publisher that connects to a source which binds, with CURVE as its client. */
static void *client_open(struct peer *peer, const char *address, const char *server, const struct pair *keys)
{
	const int zero = 0, one = 1;
	char endpoint[160];

	peer->context = zmq_ctx_new();
	peer->socket = zmq_socket(peer->context, ZMQ_PUSH);
	zmq_setsockopt(peer->socket, ZMQ_LINGER, &zero, sizeof(zero));
	zmq_setsockopt(peer->socket, ZMQ_IMMEDIATE, &one, sizeof(one));
	if (keys) {
		zmq_setsockopt(peer->socket, ZMQ_CURVE_SERVERKEY, server, 41);
		zmq_setsockopt(peer->socket, ZMQ_CURVE_PUBLICKEY, keys->public_key, 41);
		zmq_setsockopt(peer->socket, ZMQ_CURVE_SECRETKEY, keys->secret_key, 41);
	}
	snprintf(endpoint, sizeof(endpoint), "tcp://%s", address);
	assert_int_equal(zmq_connect(peer->socket, endpoint), 0);
	return peer->socket;
}

static void only_allowed_keys_come_in(void **state)
{
	struct peer probe, right, unlisted, wrong, plain;
	struct rig_source source;
	char url[512], address[128];
	int i;

	peer_open(&probe, false);
	memcpy(address, probe.address, sizeof(address));
	peer_close(&probe);
	snprintf(url, sizeof(url), "zmq+pull://%s?bind=yes&curve_key=%s/own.key&curve_allow=%s/peer.pub", address,
		directory, directory);
	rig_log_begin();
	for (i = 0; i < 200 && rig_source_open(&source, url, false, 20000) < 0; i++)
		rig_sleep_ms(10);
	assert_true(i < 200);
	client_open(&unlisted, address, own_keys.public_key, &other_keys);
	client_open(&wrong, address, other_keys.public_key, &peer_keys);
	client_open(&plain, address, NULL, NULL);
	for (i = 0; i < 200 && (!rig_log_count("does not use CURVE") || !rig_log_count("curve_allow does not have") ||
				       !rig_log_count("another curve_server_key"));
		i++)
		assert_int_equal(rig_source_next(&source, 50), 0);
	assert_true(i < 200);
	/* The one that was refused is named by its public key. */
	assert_int_equal(rig_log_count(other_keys.public_key), 1);
	rig_log_end();
	assert_int_equal(zmq_send(unlisted.socket, "x", 1, ZMQ_DONTWAIT), -1);
	assert_int_equal(zmq_send(wrong.socket, "x", 1, ZMQ_DONTWAIT), -1);
	assert_int_equal(zmq_send(plain.socket, "x", 1, ZMQ_DONTWAIT), -1);
	client_open(&right, address, own_keys.public_key, &peer_keys);
	send_batch(right.socket, 7);
	expect_batch(&source, 7);
	peer_close(&unlisted);
	peer_close(&wrong);
	peer_close(&plain);
	peer_close(&right);
	rig_source_close(&source);
}

/* With "*", whoever has the public key may come. */
static void anybody_may_be_allowed(void **state)
{
	struct rig_source source;
	struct peer probe, other;
	char url[512];
	int i;

	peer_open(&probe, false);
	snprintf(url, sizeof(url), "zmq+pull://%s?bind=yes&curve_key=%s/own.key&curve_allow=*", probe.address,
		directory);
	peer_close(&probe);
	for (i = 0; i < 200 && rig_source_open(&source, url, false, 20000) < 0; i++)
		rig_sleep_ms(10);
	assert_true(i < 200);
	client_open(&other, probe.address, own_keys.public_key, &other_keys);
	send_batch(other.socket, 3);
	expect_batch(&source, 3);
	peer_close(&other);
	rig_source_close(&source);
}

static void wrong_options_are_refused(void **state)
{
	static const struct {
		const char *query;
		int code;
		const char *text;
	} cases[] = {
		{"curve_key=/nosuch/key", -EINVAL, "needs curve_server_key"},
		{"curve_server_key=/nosuch/key", -EINVAL, "needs curve_key"},
		{"curve_key=k&curve_server_key=s&curve_allow=a", -EINVAL,
			"curve_allow is not for the side that connects"},
		{"bind=yes&curve_key=k", -EINVAL, "needs curve_allow"},
		{"bind=yes&curve_key=k&curve_allow=a&curve_server_key=s", -EINVAL, "not for the side that binds"},
		{"curve_key=/nosuch/key&curve_server_key=s", -ENOENT, "curve_key: '/nosuch/key'"},
		{"bind=yes&curve_key=/nosuch/key&curve_allow=/nosuch/list", -ENOENT, "curve_allow: '/nosuch/list'"},
		{"curve_key=&curve_server_key=s", -EINVAL, "curve_key"},
	};
	struct rig_source source;
	char url[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r;

		snprintf(url, sizeof(url), "zmq+pull://127.0.0.1:5999?%s", cases[i].query);
		r = rig_source_open(&source, url, false, 100);
		if (r != cases[i].code || !strstr(source.error.message, cases[i].text))
			fail_msg("%s: %d \"%s\"", url, r, source.error.message);
		rig_source_close(&source);
	}
	/* With CURVE other hosts may come. */
	snprintf(url, sizeof(url), "zmq+pull://*:5999?curve_key=%s/own.key&curve_allow=*", directory);
	if (rig_source_open(&source, url, false, 100) < 0)
		fail_msg("%s", source.error.message);
	rig_source_close(&source);
}

static int set_up(void **state)
{
	if (!mkdtemp(directory) || zmq_curve_keypair(peer_keys.public_key, peer_keys.secret_key) < 0 ||
		zmq_curve_keypair(own_keys.public_key, own_keys.secret_key) < 0 ||
		zmq_curve_keypair(other_keys.public_key, other_keys.secret_key) < 0)
		return -1;
	write_key("own.key", own_keys.secret_key);
	write_key("peer.pub", peer_keys.public_key);
	write_key("other.pub", other_keys.public_key);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"own.key", "peer.pub", "other.pub"};
	char path[160];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		unlink(path);
	}
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_keys_let_messages_through),
		cmocka_unit_test(wrong_keys_are_told),
		cmocka_unit_test(only_allowed_keys_come_in),
		cmocka_unit_test(anybody_may_be_allowed),
		cmocka_unit_test(wrong_options_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
