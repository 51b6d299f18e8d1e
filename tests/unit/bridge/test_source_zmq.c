/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves the ZeroMQ source against sockets that know nothing of wirebus: whole messages come out as they were sent,
 * anything else is refused, and who is missing is waited for or told.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "source_rig.h"

static char directory[] = "/tmp/wirebus-zmq-XXXXXX";

/* A socket of the other side. */
struct peer {
	void *context, *socket;
	char address[128]; /* as in a URL */
};

static void peer_init(struct peer *peer, int type)
{
	int zero = 0;

	memset(peer, 0, sizeof(*peer));
	peer->context = zmq_ctx_new();
	peer->socket = zmq_socket(peer->context, type);
	assert_non_null(peer->socket);
	zmq_setsockopt(peer->socket, ZMQ_LINGER, &zero, sizeof(zero));
}

/* At a port that the kernel chooses, or at the one given. */
static void peer_bind(struct peer *peer, int type, const char *endpoint)
{
	size_t size = sizeof(peer->address);
	char bound[128];
	int r = -1;

	peer_init(peer, type);
	/* The port of a peer that has just gone may be in use for a moment. */
	for (int i = 0; i < 200 && r < 0; i++) {
		r = zmq_bind(peer->socket, endpoint);
		if (r < 0)
			rig_sleep_ms(10);
	}
	assert_int_equal(r, 0);
	assert_int_equal(zmq_getsockopt(peer->socket, ZMQ_LAST_ENDPOINT, bound, &size), 0);
	snprintf(peer->address, sizeof(peer->address), "%s", strstr(bound, "://") + 3);
}

static void peer_fini(struct peer *peer)
{
	zmq_close(peer->socket);
	zmq_ctx_term(peer->context);
}

static void send_frame(struct peer *peer, const void *data, size_t size, bool more)
{
	assert_int_equal(zmq_send(peer->socket, data, size, more ? ZMQ_SNDMORE : 0), size);
}

static void send_batch(struct peer *peer, const char *topic, uint64_t sequence, size_t size)
{
	struct rig_batch batch;

	rig_batch_init(&batch, 1, sequence, size);
	send_frame(peer, topic, strlen(topic), true);
	send_frame(peer, batch.batch.data, batch.batch.size, false);
	rig_batch_fini(&batch);
}

static void source_open(struct rig_source *source, const char *scheme, const char *address, const char *query,
	bool follow, unsigned int wait_ms)
{
	char url[256];

	snprintf(url, sizeof(url), "%s://%s%s", scheme, address, query);
	if (rig_source_open(source, url, follow, wait_ms) < 0)
		fail_msg("%s", source->error.message);
}

static void expect_batch(struct rig_source *source, uint64_t sequence, size_t size)
{
	int r = rig_source_next(source, 10000);

	if (r != 1)
		fail_msg("batch %llu: %d %s", (unsigned long long)sequence, r, source->error.message);
	assert_int_equal(source->message.kind, WB_MESSAGE_BATCH);
	assert_int_equal(source->message.size, size);
	assert_int_equal(rig_check(source->message.data, source->message.size, NULL), sequence);
}

static void expect_error(struct rig_source *source, int code, const char *text)
{
	assert_int_equal(rig_source_next(source, 10000), code);
	if (!strstr(source->error.message, text))
		fail_msg("\"%s\" does not say \"%s\"", source->error.message, text);
}

/* Until a subscription has arrived PUB sends to nobody: repeat a message until it is seen, and read the repeats away.
 */
static void synchronize(struct peer *pub, struct rig_source *source, const char *topic)
{
	struct rig_batch batch;
	bool seen = false;

	rig_batch_init(&batch, 1, 0, 16);
	for (int i = 0; i < 500 && !seen; i++) {
		send_frame(pub, topic, strlen(topic), true);
		send_frame(pub, batch.batch.data, 16, false);
		seen = rig_source_next(source, 20) == 1;
	}
	assert_true(seen);
	while (rig_source_next(source, 200) == 1)
		assert_int_equal(rig_check(source->message.data, source->message.size, NULL), 0);
	rig_batch_fini(&batch);
}

static void messages_come_out_as_sent(void **state)
{
	const size_t sizes[] = {16, 17, 100, 65536, 262144, RIG_MAX_MESSAGE};
	struct rig_source source;
	struct peer push;

	peer_bind(&push, ZMQ_PUSH, "tcp://127.0.0.1:*");
	source_open(&source, "zmq+pull", push.address, "", false, 5000);
	for (uint64_t i = 0; i < 60; i++)
		send_batch(&push, "wb1/node/1/", i, sizes[i % 6]);
	for (uint64_t i = 0; i < 60; i++)
		expect_batch(&source, i, sizes[i % 6]);
	assert_non_null(strstr(source.message.origin, "wb1/node/1/#60"));
	assert_int_equal(rig_source_next(&source, 100), 0);
	rig_source_close(&source);
	peer_fini(&push);
}

static void only_the_topic_is_subscribed(void **state)
{
	struct rig_source source;
	struct peer pub;

	peer_bind(&pub, ZMQ_PUB, "tcp://127.0.0.1:*");
	source_open(&source, "zmq+sub", pub.address, "?topic=wb1/node/1/", false, 5000);
	synchronize(&pub, &source, "wb1/node/1/");
	send_batch(&pub, "wb1/node/10/", 1, 100);
	send_batch(&pub, "wb1/other/1/", 2, 100);
	send_batch(&pub, "wb1/node/1/", 3, 100);
	expect_batch(&source, 3, 100);
	rig_source_close(&source);
	source_open(&source, "zmq+sub", pub.address, "", false, 5000);
	synchronize(&pub, &source, "wb1/other/1/");
	send_batch(&pub, "wb1/node/10/", 4, 100);
	expect_batch(&source, 4, 100);
	rig_source_close(&source);
	peer_fini(&pub);
}

/* Whatever comes before and after, good messages arrive. */
static void hostile_messages_are_refused(void **state)
{
	struct rig_source source;
	struct peer push;
	char big[2000];

	peer_bind(&push, ZMQ_PUSH, "tcp://127.0.0.1:*");
	source_open(&source, "zmq+pull", push.address, "", false, 5000);
	send_frame(&push, "wb1/node/1/", 11, false);
	expect_error(&source, -EBADMSG, "a message of 1 frames");
	send_frame(&push, "", 0, false);
	expect_error(&source, -EBADMSG, "a message of 1 frames");
	for (int i = 0; i < 1000; i++)
		send_frame(&push, "wb1/node/1/", 11, i < 999);
	expect_error(&source, -EBADMSG, "a message of 1000 frames");
	send_frame(&push, "wb1/n/1/", 8, true);
	send_frame(&push, "data", 4, true);
	send_frame(&push, "more", 4, false);
	expect_error(&source, -EBADMSG, "a message of 3 frames");
	send_batch(&push, "wb1/node/1/", 1, 1000);
	expect_batch(&source, 1, 1000);
	send_batch(&push, "wb2/node/1/", 2, 1000);
	expect_error(&source, -EBADMSG, "does not begin with wb1/");
	send_batch(&push, "wb1", 3, 1000);
	expect_error(&source, -EBADMSG, "does not begin with wb1/");
	send_batch(&push, "", 4, 1000);
	expect_error(&source, -EBADMSG, "does not begin with wb1/");
	/* What would change the terminal's colours or title is not shown. */
	send_batch(&push, "\x1b]0;owned\x07\x1b[31m", 5, 1000);
	expect_error(&source, -EBADMSG, "?]0;owned??[31m#");
	assert_null(strchr(source.error.message, '\x1b'));
	/* A topic that is longer than what is shown of it. */
	memset(big, 'x', sizeof(big));
	memcpy(big, "wb1/", 4);
	send_frame(&push, big, sizeof(big), true);
	send_frame(&push, "0123456789abcdef", 16, false);
	assert_int_equal(rig_source_next(&source, 5000), 1);
	assert_int_equal(source.message.size, 16);
	assert_true(strlen(source.message.origin) < sizeof(source.message.origin));
	/* A batch without content is for the reader of batches to refuse. */
	send_frame(&push, "wb1/n/1/", 8, true);
	send_frame(&push, "", 0, false);
	assert_int_equal(rig_source_next(&source, 5000), 1);
	assert_int_equal(source.message.size, 0);
	send_batch(&push, "wb1/node/1/", 6, 1000);
	expect_batch(&source, 6, 1000);
	rig_source_close(&source);
	peer_fini(&push);
}

/* Too long for us: libzmq ends the connection before it allocates memory, for good, and we begin another. */
static void too_long_message_is_not_taken(void **state)
{
	struct rig_source source;
	struct peer push;

	peer_bind(&push, ZMQ_PUSH, "tcp://127.0.0.1:*");
	source_open(&source, "zmq+pull", push.address, "", false, 5000);
	send_batch(&push, "wb1/node/1/", 1, 1000);
	expect_batch(&source, 1, 1000);
	rig_log_begin();
	send_batch(&push, "wb1/node/1/", 2, RIG_MAX_MESSAGE + 1);
	assert_int_equal(rig_source_next(&source, 3000), 0);
	send_batch(&push, "wb1/node/1/", 3, 1000);
	expect_batch(&source, 3, 1000);
	assert_int_equal(rig_log_count("connection was lost"), 0); /* it came back before that was worth a word */
	assert_int_equal(rig_log_count("messages longer than 4194304 bytes"), 1);
	rig_log_end();
	rig_source_close(&source);
	peer_fini(&push);
}

/* Something that is no ZeroMQ connects to our socket and talks, again and again. */
static void strangers_do_not_disturb(void **state)
{
	static const char *const talk[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x03", "\x16\x03\x01\x02", "\x01", ""};
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct rig_source source;
	struct peer push, probe;
	char endpoint[160];

	/* A port that was free a moment ago. */
	peer_bind(&probe, ZMQ_PUSH, "tcp://127.0.0.1:*");
	peer_fini(&probe);
	source_open(&source, "zmq+pull", probe.address, "?bind=yes", false, 20000);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)atoi(strchr(probe.address, ':') + 1));
	peer_init(&push, ZMQ_PUSH);
	snprintf(endpoint, sizeof(endpoint), "tcp://%s", probe.address);
	assert_int_equal(zmq_connect(push.socket, endpoint), 0);
	rig_log_begin();
	for (uint64_t i = 0; i < 20; i++) {
		const char *words = talk[i % 5];
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_int_equal(send(fd, words, strlen(words), MSG_NOSIGNAL), strlen(words));
		send_batch(&push, "wb1/node/1/", i, 1000);
		expect_batch(&source, i, 1000);
		close(fd);
	}
	assert_int_equal(rig_source_next(&source, 300), 0);
	/* The only publisher was there all the time. */
	assert_int_equal(rig_log_count("connection was lost"), 0);
	rig_log_end();
	rig_source_close(&source);
	peer_fini(&push);
}

/* Something else had the port when we came; the publisher is there later. */
static void stranger_at_the_port_gives_way(void **state)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	struct rig_source source;
	struct peer pub;
	char endpoint[64];
	int fd, client;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	snprintf(endpoint, sizeof(endpoint), "tcp://127.0.0.1:%u", ntohs(address.sin_port));
	rig_log_begin();
	source_open(&source, "zmq+sub", endpoint + 6, "", false, 20000);
	client = accept(fd, NULL, NULL);
	assert_true(client >= 0);
	assert_int_equal(send(client, answer, strlen(answer), MSG_NOSIGNAL), strlen(answer));
	assert_int_equal(rig_source_next(&source, 200), 0);
	close(client);
	close(fd);
	peer_bind(&pub, ZMQ_PUB, endpoint);
	assert_int_equal(rig_source_next(&source, 1500), 0);
	synchronize(&pub, &source, "wb1/node/1/");
	send_batch(&pub, "wb1/node/1/", 1, 100);
	expect_batch(&source, 1, 100);
	rig_log_end();
	rig_source_close(&source);
	peer_fini(&pub);
}

static void missing_publisher_is_told(void **state)
{
	struct rig_source source;
	struct peer probe;
	char text[200];
	int64_t start;

	peer_bind(&probe, ZMQ_PUB, "tcp://127.0.0.1:*");
	peer_fini(&probe);
	start = rig_now_ms();
	source_open(&source, "zmq+sub", probe.address, "", false, 1000);
	snprintf(text, sizeof(text), "no publisher at tcp://%s within 1 s", probe.address);
	expect_error(&source, -ETIMEDOUT, text);
	assert_in_range(rig_now_ms() - start, 1000, 3000);
	rig_source_close(&source);
	/* Something that accepts connections is not yet a publisher. */
	peer_bind(&probe, ZMQ_STREAM, "tcp://127.0.0.1:*");
	source_open(&source, "zmq+sub", probe.address, "", false, 300);
	expect_error(&source, -ETIMEDOUT, "within 0.3 s");
	rig_source_close(&source);
	peer_fini(&probe);
	/* With follow it is waited for. */
	source_open(&source, "zmq+sub", "127.0.0.1:1", "", true, 10);
	assert_int_equal(rig_source_next(&source, 500), 0);
	rig_source_close(&source);
}

/* One that is connected and says nothing is no reason to give up. */
static void silent_publisher_is_waited_for(void **state)
{
	struct rig_source source;
	struct peer pub;

	peer_bind(&pub, ZMQ_PUB, "tcp://127.0.0.1:*");
	source_open(&source, "zmq+sub", pub.address, "", false, 300);
	assert_int_equal(rig_source_next(&source, 1000), 0);
	synchronize(&pub, &source, "wb1/node/1/");
	rig_source_close(&source);
	peer_fini(&pub);
}

static void publisher_may_come_late_and_come_back(void **state)
{
	struct rig_source source;
	struct peer pub;
	char endpoint[160], address[128];

	peer_bind(&pub, ZMQ_PUB, "tcp://127.0.0.1:*");
	memcpy(address, pub.address, sizeof(address));
	peer_fini(&pub);
	source_open(&source, "zmq+sub", address, "", false, 10000);
	assert_int_equal(rig_source_next(&source, 300), 0);
	snprintf(endpoint, sizeof(endpoint), "tcp://%s", address);
	rig_log_begin();
	for (uint64_t i = 1; i <= 3; i++) {
		peer_bind(&pub, ZMQ_PUB, endpoint);
		synchronize(&pub, &source, "wb1/node/1/");
		send_batch(&pub, "wb1/node/1/", i, 1000);
		expect_batch(&source, i, 1000);
		peer_fini(&pub);
		assert_int_equal(rig_source_next(&source, 2500), 0);
		assert_int_equal(rig_log_count("connection was lost"), i);
		assert_int_equal(rig_log_count("connected again"), i - 1);
	}
	rig_log_end();
	rig_source_close(&source);
}

static void all_kinds_of_addresses_work(void **state)
{
	char path[128], endpoint[160];
	struct rig_source source;
	struct peer push;

	/* A Unix socket, served by the publisher. */
	snprintf(path, sizeof(path), "%s/bus", directory);
	snprintf(endpoint, sizeof(endpoint), "ipc://%s", path);
	peer_bind(&push, ZMQ_PUSH, endpoint);
	source_open(&source, "zmq+pull", path, "", false, 5000);
	send_batch(&push, "wb1/node/1/", 1, 100000);
	expect_batch(&source, 1, 100000);
	rig_source_close(&source);
	/* It is not taken away from him. */
	snprintf(endpoint, sizeof(endpoint), "zmq+pull://%s?bind=yes", path);
	assert_int_equal(rig_source_open(&source, endpoint, false, 100), -EADDRINUSE);
	rig_source_close(&source);
	peer_fini(&push);
	unlink(path);

	/* One that the source serves. */
	source_open(&source, "zmq+pull", path, "?bind=yes", false, 5000);
	peer_init(&push, ZMQ_PUSH);
	snprintf(endpoint, sizeof(endpoint), "ipc://%s", path);
	assert_int_equal(zmq_connect(push.socket, endpoint), 0);
	send_batch(&push, "wb1/node/1/", 2, 100000);
	expect_batch(&source, 2, 100000);
	rig_source_close(&source);
	peer_fini(&push);
	unlink(path);

	/* IPv6; hosts without it cannot be tested. */
	peer_init(&push, ZMQ_PUSH);
	zmq_setsockopt(push.socket, ZMQ_IPV6, &(int){1}, sizeof(int));
	if (zmq_bind(push.socket, "tcp://[::1]:*") == 0) {
		size_t size = sizeof(endpoint);

		assert_int_equal(zmq_getsockopt(push.socket, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
		source_open(&source, "zmq+pull", strstr(endpoint, "://") + 3, "", false, 5000);
		send_batch(&push, "wb1/node/1/", 3, 100);
		expect_batch(&source, 3, 100);
		rig_source_close(&source);
	} else {
		print_message("no IPv6 loopback here: not tested\n");
	}
	peer_fini(&push);
}

static void wrong_urls_are_refused(void **state)
{
	struct peer taken;
	struct rig_source source;
	char file[128], url[192];
	FILE *stream;
	struct {
		const char *url;
		int code;
		const char *text;
	} cases[] = {
		{"zmq+sub://*:5555", -EINVAL, "insecure=true"},
		{"zmq+pull://0.0.0.0:5555?bind=yes", -EINVAL, "insecure=true"},
		{"zmq+pull://[::]:5555?bind=yes", -EINVAL, "insecure=true"},
		{"zmq+sub://*:5555?bind=no", -EINVAL, "'*'"},
		{"zmq+sub://localhost", -EINVAL, "localhost"},
		{"zmq+sub://localhost:0", -EINVAL, "localhost:0"},
		{"zmq+sub://localhost:70000", -EINVAL, "70000"},
		{"zmq+sub://localhost:5555?topic=packets", -EINVAL, "wb1/NODE/STREAM/"},
		{"zmq+sub://localhost:5555?rcvhwm=0", -EINVAL, "rcvhwm"},
		{"zmq+sub://localhost:5555?bind=maybe", -EINVAL, "maybe"},
		{"zmq+sub://localhost:5555?topicc=wb1/", -EINVAL, "topic"},
		{"zmq+sub://localhost:5555?properties.x=1", -EINVAL, "properties"},
		{url, -EADDRINUSE, "cannot bind"},
		{file, -EEXIST, "not a socket"},
	};

	peer_bind(&taken, ZMQ_PUB, "tcp://127.0.0.1:*");
	snprintf(url, sizeof(url), "zmq+sub://%s?bind=yes", taken.address);
	snprintf(file, sizeof(file), "%s/file", directory);
	stream = fopen(file, "we");
	assert_non_null(stream);
	fclose(stream);
	snprintf(file, sizeof(file), "zmq+pull://%s/file?bind=yes", directory);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = rig_source_open(&source, cases[i].url, false, 100);

		if (r != cases[i].code || !strstr(source.error.message, cases[i].text))
			fail_msg("%s: %d \"%s\"", cases[i].url, r, source.error.message);
		rig_source_close(&source);
	}
	snprintf(file, sizeof(file), "%s/file", directory);
	assert_int_equal(unlink(file), 0);
	peer_fini(&taken);
}

static int set_up(void **state)
{
	return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_out_as_sent),
		cmocka_unit_test(only_the_topic_is_subscribed),
		cmocka_unit_test(hostile_messages_are_refused),
		cmocka_unit_test(too_long_message_is_not_taken),
		cmocka_unit_test(strangers_do_not_disturb),
		cmocka_unit_test(stranger_at_the_port_gives_way),
		cmocka_unit_test(missing_publisher_is_told),
		cmocka_unit_test(silent_publisher_is_waited_for),
		cmocka_unit_test(publisher_may_come_late_and_come_back),
		cmocka_unit_test(all_kinds_of_addresses_work),
		cmocka_unit_test(wrong_urls_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
