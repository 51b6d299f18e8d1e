/* SPDX-License-Identifier: Apache-2.0 */
/* What the transports tell of their connections: both ends, before they are made, and each end of one once. */
#include "testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "clock.h"
#include "own_address.h"
#include "registry.h"
#include "zmq_own.h"

#define PATIENCE_MS 20000
#define MOST 256

/* What was told. */
static struct {
	pthread_mutex_t lock;
	struct {
		union wb_own_address local;
		union wb_own_address remote;
		bool listens;
		bool open;
	} ends[MOST];
	size_t count;
	size_t unknown; /* closed without having been opened */
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void copy(union wb_own_address *to, const struct sockaddr *from)
{
	memset(to, 0, sizeof *to);
	memcpy(to, from, wb_own_size(from));
}

static void report(void *context, bool open, const struct sockaddr *local, const struct sockaddr *remote)
{
	union wb_own_address ends[2] = {0};
	size_t i;

	assert_ptr_equal(context, &told);
	copy(&ends[0], local);
	if (remote)
		copy(&ends[1], remote);
	pthread_mutex_lock(&told.lock);
	for (i = 0; i < told.count; i++)
		if (told.ends[i].open && told.ends[i].listens == !remote &&
			wb_own_same(&told.ends[i].local, &ends[0]) &&
			(!remote || wb_own_same(&told.ends[i].remote, &ends[1])))
			break;
	if (!open && i < told.count) {
		told.ends[i].open = false;
	} else if (!open) {
		told.unknown++;
	} else if (told.count < MOST) {
		told.ends[told.count].local = ends[0];
		told.ends[told.count].remote = ends[1];
		told.ends[told.count].listens = !remote;
		told.ends[told.count++].open = true;
	}
	pthread_mutex_unlock(&told.lock);
}

static size_t open_count(void)
{
	size_t count = 0;

	pthread_mutex_lock(&told.lock);
	for (size_t i = 0; i < told.count; i++)
		count += told.ends[i].open;
	pthread_mutex_unlock(&told.lock);
	return count;
}

static size_t told_count(void)
{
	size_t count;

	pthread_mutex_lock(&told.lock);
	count = told.count;
	pthread_mutex_unlock(&told.lock);
	return count;
}

static int reset(void **state)
{
	told.count = 0;
	told.unknown = 0;
	return 0;
}

static void log_nothing(void *context, int level, const char *format, ...)
{
}

/* ---- transports ---- */

static struct wb_transport_setup bus;

static struct wb_transport *open_bus(const char *url)
{
	struct wb_transport_args args = {.node = "n",
		.lanes = 1,
		.buffers = 4,
		.log = log_nothing,
		.own_connection = report,
		.own_context = &told};
	struct wb_transport *transport;
	struct wb_error error = {""};

	assert_int_equal(wb_transport_setup_init(url, NULL, 0, &bus, &error), 0);
	wb_transport_setup_args(&bus, &args);
	assert_int_equal(bus.ops->open(&args, &transport, &error), 0);
	return transport;
}

static void close_bus(struct wb_transport *transport)
{
	bus.ops->close(transport);
	wb_transport_setup_fini(&bus);
	assert_int_equal(open_count(), 0);
	assert_int_equal(told.unknown, 0);
}

static void wait_connected(struct wb_transport *transport, bool connected)
{
	struct wb_transport_stats stats;
	uint64_t end_ms = wb_monotonic_ms() + PATIENCE_MS;

	do {
		bus.ops->stats(transport, &stats);
		usleep(2000);
	} while (stats.connected != connected && wb_monotonic_ms() < end_ms);
	assert_int_equal(stats.connected, connected);
}

static void kafka_tells_each_connection(void **state)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_mock_cluster_t *mock;
	rd_kafka_t *client;
	struct wb_transport *transport;
	uint64_t end_ms = wb_monotonic_ms() + PATIENCE_MS;
	char text[512];
	size_t before;

	rd_kafka_conf_set(conf, "log_level", "0", text, sizeof text);
	client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
	assert_non_null(client);
	mock = rd_kafka_mock_cluster_new(client, 1);
	assert_non_null(mock);
	assert_int_equal(rd_kafka_mock_topic_create(mock, "t", 1, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
	snprintf(text, sizeof text, "kafka://%s/t", rd_kafka_mock_cluster_bootstraps(mock));
	transport = open_bus(text);
	wait_connected(transport, true);
	before = told_count();
	assert_true(before > 0);
	/* The broker goes and comes: other connections. */
	rd_kafka_mock_broker_set_down(mock, 1);
	while (told_count() < before + 2 && wb_monotonic_ms() < end_ms)
		usleep(2000);
	rd_kafka_mock_broker_set_up(mock, 1);
	while (open_count() == 0 && wb_monotonic_ms() < end_ms)
		usleep(2000);
	assert_true(told_count() >= before + 2);
	close_bus(transport);
	for (size_t i = 0; i < told.count; i++) {
		assert_false(told.ends[i].listens);
		assert_int_equal(told.ends[i].local.v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
		assert_int_not_equal(wb_own_port(&told.ends[i].local), 0);
		assert_int_equal(told.ends[i].remote.v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
		assert_true(strstr(rd_kafka_mock_cluster_bootstraps(mock), "127.0.0.1"));
	}
	rd_kafka_mock_cluster_destroy(mock);
	rd_kafka_destroy(client);
}

/* A listening socket at a port that nobody has. */
static int listen_somewhere(unsigned int *ret_port)
{
	union wb_own_address address = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, &address.any, sizeof address.v4), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(wb_own_local(fd, &address), 0);
	*ret_port = ntohs(wb_own_port(&address));
	return fd;
}

/* The peer sees the connection come from the port that was told, each time; a port that does not come through again is
 * replaced. */
static void zeromq_connects_from_what_it_told(void **state)
{
	/* ZMTP 3.0 with a mechanism that does not exist. */
	static const uint8_t greeting[64] = {0xff, [9] = 0x7f, 3, 0, 'N', 'O', 'N', 'E'};
	struct wb_transport *transport;
	unsigned int port;
	int server = listen_somewhere(&port);
	char url[64];

	snprintf(url, sizeof url, "zmq+push://127.0.0.1:%u?bind=no", port);
	transport = open_bus(url);
	assert_int_equal(told_count(), 1);
	for (size_t i = 0; i < 2; i++) {
		union wb_own_address peer;
		socklen_t size = sizeof peer;
		uint64_t end_ms;
		int fd = accept4(server, &peer.any, &size, SOCK_CLOEXEC);
		size_t last;

		assert_true(fd >= 0);
		pthread_mutex_lock(&told.lock);
		last = told.count - 1;
		assert_true(wb_own_same(&peer, &told.ends[last].local));
		assert_int_equal(ntohs(wb_own_port(&told.ends[last].remote)), port);
		pthread_mutex_unlock(&told.lock);
		/* The transport's end is the first to close. Then nobody answers for a while. */
		close(server);
		assert_int_equal(send(fd, greeting, sizeof greeting, MSG_NOSIGNAL), sizeof greeting);
		while (recv(fd, url, sizeof url, 0) > 0)
			;
		close(fd);
		end_ms = wb_monotonic_ms() + PATIENCE_MS;
		while (told_count() == last + 1 && wb_monotonic_ms() < end_ms)
			usleep(2000);
		assert_int_equal(told_count(), last + 2);
		assert_int_equal(open_count(), 1);
		server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
		peer = (union wb_own_address){.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
		wb_own_set_port(&peer, htons((uint16_t)port));
		assert_int_equal(bind(server, &peer.any, sizeof peer.v4), 0);
		assert_int_equal(listen(server, 4), 0);
	}
	close(server);
	close_bus(transport);
}

static void zeromq_tells_where_it_listens(void **state)
{
	struct wb_transport *transport;
	unsigned int port;
	char url[80];
	bool loopback = false;

	close(listen_somewhere(&port));
	snprintf(url, sizeof url, "zmq+pub://127.0.0.1:%u", port);
	transport = open_bus(url);
	assert_int_equal(told.count, 1);
	assert_true(told.ends[0].listens);
	assert_int_equal(ntohs(wb_own_port(&told.ends[0].local)), port);
	close_bus(transport);
	reset(NULL);
	/* Every address that this host has. */
	snprintf(url, sizeof url, "zmq+pub://*:%u?insecure=true", port);
	transport = open_bus(url);
	for (size_t i = 0; i < told.count; i++) {
		assert_true(told.ends[i].listens && !wb_own_is_any(&told.ends[i].local));
		assert_int_equal(ntohs(wb_own_port(&told.ends[i].local)), port);
		loopback = loopback || told.ends[i].local.v4.sin_addr.s_addr == htonl(INADDR_LOOPBACK);
	}
	assert_true(loopback);
	close_bus(transport);
}

static void unix_sockets_have_nothing_to_tell(void **state)
{
	char url[64];
	struct wb_transport *transport;

	snprintf(url, sizeof url, "zmq+push:///tmp/wb-own-%d?bind=no", (int)getpid());
	transport = open_bus(url);
	close_bus(transport);
	snprintf(url, sizeof url, "zmq+push:///tmp/wb-own-%d", (int)getpid());
	transport = open_bus(url);
	close_bus(transport);
	assert_int_equal(told.count, 0);
}

/* ---- endpoints ---- */

static void source_ports_stand_in_the_endpoint(void **state)
{
	static const struct {
		const char *endpoint;
		const char *before;
		const char *after;
		int family;
		bool any;
	} rows[] = {
		{"tcp://192.0.2.1:5555", "tcp://0.0.0.0:", ";192.0.2.1:5555", AF_INET, false},
		{"tcp://[2001:db8::1]:5555", "tcp://[::]:", ";[2001:db8::1]:5555", AF_INET6, false},
		{"tcp://name.example:5555", "tcp://0.0.0.0:", ";name.example:5555", AF_INET, true},
	};
	const struct wb_transport_args args = {.own_connection = report, .own_context = &told};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct wb_zmq_own own;
		char expected[128];
		const char *endpoint;

		reset(NULL);
		wb_zmq_own_init(&own, &args);
		endpoint = wb_zmq_own_endpoint(&own, rows[i].endpoint);
		if (rows[i].family == AF_INET6 && told.count == 0)
			continue; /* a host without IPv6 */
		assert_int_equal(told.count, 1);
		snprintf(expected, sizeof expected, "%s%u%s", rows[i].before, ntohs(wb_own_port(&told.ends[0].local)),
			rows[i].after);
		assert_string_equal(endpoint, expected);
		assert_int_equal(told.ends[0].remote.any.sa_family, rows[i].family);
		assert_int_equal(wb_own_is_any(&told.ends[0].remote), rows[i].any);
		assert_int_equal(ntohs(wb_own_port(&told.ends[0].remote)), 5555);
		if (rows[i].any)
			assert_true(wb_own_is_any(&told.ends[0].local));
		wb_zmq_own_fini(&own);
		assert_int_equal(open_count(), 0);
	}
}

static void nobody_asks_nothing_changes(void **state)
{
	const struct wb_transport_args args = {0};
	struct wb_zmq_own own;

	wb_zmq_own_init(&own, &args);
	assert_string_equal(wb_zmq_own_endpoint(&own, "tcp://192.0.2.1:5555"), "tcp://192.0.2.1:5555");
	wb_zmq_own_bound(&own, "tcp://127.0.0.1:5555");
	wb_zmq_own_event(&own, ZMQ_EVENT_ACCEPTED, 0);
	assert_false(wb_zmq_own_wants_port(&own, INT64_MAX));
	wb_zmq_own_fini(&own);
	assert_int_equal(told.count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
		TEST(kafka_tells_each_connection),
		TEST(zeromq_connects_from_what_it_told),
		TEST(zeromq_tells_where_it_listens),
		TEST(unix_sockets_have_nothing_to_tell),
		TEST(source_ports_stand_in_the_endpoint),
		TEST(nobody_asks_nothing_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
