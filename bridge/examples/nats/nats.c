/* SPDX-License-Identifier: Apache-2.0 */
#include "nats.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define SETTING(name) .offset = offsetof(struct nats_settings, name)

static const struct wb_option_row rows[] = {
	{.key = "jetstream",
		.type = WB_OPTION_BOOL,
		SETTING(jetstream),
		.default_value = "false",
		.help = "Wait for JetStream to acknowledge each batch; a stream must take the subject"},
	{.key = "max_payload",
		.type = WB_OPTION_BYTES,
		SETTING(max_payload),
		.default_value = "1MiB",
		.min = 8192,
		.max = 64 << 20,
		.help = "Largest message that the server takes (its max_payload)"},
	{.key = "timeout",
		.type = WB_OPTION_DURATION,
		SETTING(timeout_ms),
		.default_value = "5s",
		.min = 100,
		.max = 60000,
		.help = "Time without an answer after which a connection is given up, and all without an answer sent "
			"again"},
	{.key = "connect_timeout",
		.type = WB_OPTION_DURATION,
		SETTING(connect_timeout_ms),
		.default_value = "2s",
		.min = 100,
		.max = 10000,
		.help = "Time for a server to take a connection"},
	{.key = "user",
		.type = WB_OPTION_STRING,
		SETTING(user),
		.min = 1,
		.unit = "NAME",
		.help = "Name to log in with"},
	{.key = "password", .type = WB_OPTION_STRING, SETTING(password), .help = "Password of the user"},
	{.key = "token", .type = WB_OPTION_STRING, SETTING(token), .min = 1, .help = "Token to log in with"},
	{.key = "tls",
		.type = WB_OPTION_BOOL,
		SETTING(tls),
		.default_value = "false",
		.help = "Encrypt, and check the server's certificate"},
	{.key = "ca",
		.type = WB_OPTION_STRING,
		SETTING(ca),
		.min = 1,
		.unit = "FILE",
		.help = "File with the certificates that the server's is checked against; without it the system's"},
	{.key = NULL},
};

static int check(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	const struct nats_settings *settings = args->options;
	struct nats_address address;
	int r = nats_parse_address(args->address, &address, ret_error);

	if (r == 0)
		r = nats_check_settings(settings, ret_error);
	*ret_max_batch_bytes = settings->max_payload - (settings->jetstream ? HEADER_BYTES : 0);
	return r;
}

static natsStatus set_login(natsOptions *options, const struct nats_settings *settings)
{
	natsStatus s = NATS_OK;

	if (settings->user)
		s = natsOptions_SetUserInfo(options, settings->user, settings->password ? settings->password : "");
	if (s == NATS_OK && settings->token)
		s = natsOptions_SetToken(options, settings->token);
	if (s == NATS_OK && settings->tls)
		s = natsOptions_SetSecure(options, true);
	if (s == NATS_OK && settings->ca)
		s = natsOptions_LoadCATrustedCertificates(options, settings->ca);
	return s;
}

static natsStatus make_options(struct wb_transport *transport, const struct nats_settings *settings)
{
	const char *servers[SERVERS_MAX];
	natsOptions *options;
	natsStatus s = natsOptions_Create(&transport->options);

	for (unsigned int i = 0; i < transport->address.server_count; i++)
		servers[i] = transport->address.servers[i];
	options = transport->options;
	if (s == NATS_OK)
		s = natsOptions_SetServers(options, servers, (int)transport->address.server_count);
	if (s == NATS_OK)
		s = natsOptions_SetName(options, "wirebus");
	if (s == NATS_OK)
		s = natsOptions_SetAllowReconnect(options, false);
	if (s == NATS_OK)
		s = natsOptions_SetTimeout(options, (int64_t)settings->connect_timeout_ms);
	if (s == NATS_OK)
		s = natsOptions_SetWriteDeadline(options, (int64_t)settings->timeout_ms);
	if (s == NATS_OK)
		s = natsOptions_SetSendAsap(options, true);
	if (s == NATS_OK)
		s = natsOptions_SetNoEcho(options, true);
	return s == NATS_OK ? set_login(options, settings) : s;
}

static void init_lock(struct wb_transport *transport)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&transport->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&transport->settled_some, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

/* The library starts threads of its own here. */
static int start(struct wb_transport *transport, const struct nats_settings *settings, struct wb_error *ret_error)
{
	natsStatus s = make_options(transport, settings);
	int r;

	if (s != NATS_OK) {
		const char *text = nats_GetLastError(&s);

		return nats_fail(ret_error, -EINVAL, "%.200s: %.200s", transport->url,
			text && text[0] ? text : natsStatus_GetText(s));
	}
	r = -pthread_create(&transport->sender, NULL, nats_send, transport);
	return r < 0 ? nats_fail(ret_error, r, "%.200s: cannot start a thread: %s", transport->url, strerror(-r)) : 0;
}

static void free_transport(struct wb_transport *transport)
{
	struct wb_lane *lane, *next;

	for (lane = atomic_load(&transport->lanes); lane; lane = next) {
		next = lane->next;
		free(lane->items);
		free(lane);
	}
	natsOptions_Destroy(transport->options);
	pthread_cond_destroy(&transport->settled_some);
	pthread_mutex_destroy(&transport->lock);
	if (transport->wake_fd >= 0)
		close(transport->wake_fd);
	free(transport->url);
	free(transport->node);
	free(transport);
}

static int open_transport(
	const struct wb_transport_args *args, struct wb_transport **ret_transport, struct wb_error *ret_error)
{
	const struct nats_settings *settings = args->options;
	struct wb_transport *transport = calloc(1, sizeof(*transport));
	sigset_t all, before;
	int r;

	if (!transport)
		return nats_fail(ret_error, -ENOMEM, "%.200s: out of memory", args->url);
	init_lock(transport);
	transport->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = transport->wake_fd < 0 ? nats_fail(ret_error, -errno, "%.200s: eventfd: %s", args->url, strerror(errno))
	                           : 0;
	transport->url = strdup(args->url);
	transport->node = strdup(args->node ? args->node : "");
	transport->jetstream = settings->jetstream;
	transport->timeout_ms = settings->timeout_ms;
	transport->connect_timeout_ms = settings->connect_timeout_ms;
	transport->max_batch_bytes = settings->max_payload - (settings->jetstream ? HEADER_BYTES : 0);
	if (args->max_batch_bytes && args->max_batch_bytes < transport->max_batch_bytes)
		transport->max_batch_bytes = args->max_batch_bytes;
	transport->buffers = args->buffers;
	transport->log = args->log;
	transport->log_context = args->log_context;
	transport->own_connection = args->own_connection;
	transport->own_context = args->own_context;
	if (r == 0 && (!transport->url || !transport->node))
		r = nats_fail(ret_error, -ENOMEM, "%.200s: out of memory", args->url);
	if (r == 0)
		r = nats_parse_address(args->address, &transport->address, ret_error);
	if (r == 0) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		r = start(transport, settings, ret_error);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (r < 0)
		free_transport(transport);
	else
		*ret_transport = transport;
	return r;
}

static int open_lane(struct wb_transport *transport, unsigned int (*free_buffers)(void *context), void *context,
	unsigned int total_buffers, struct wb_lane **ret_lane)
{
	struct wb_lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return -ENOMEM;
	lane->capacity = total_buffers ? total_buffers : transport->buffers;
	if (lane->capacity == 0)
		lane->capacity = 1;
	lane->items = calloc(lane->capacity, sizeof(*lane->items));
	if (!lane->items) {
		free(lane);
		return -ENOMEM;
	}
	lane->transport = transport;
	lane->next = atomic_load(&transport->lanes);
	atomic_store(&transport->lanes, lane);
	*ret_lane = lane;
	return 0;
}

static int publish(struct wb_lane *lane, struct wb_batch *batch, const struct wb_route *route)
{
	const uint64_t pushed = atomic_load_explicit(&lane->pushed, memory_order_relaxed);
	struct wb_transport *transport = lane->transport;
	struct item *item = &lane->items[pushed % lane->capacity];

	if (batch->size > transport->max_batch_bytes)
		return -EMSGSIZE;
	if (pushed - atomic_load_explicit(&lane->popped, memory_order_acquire) == lane->capacity) {
		atomic_fetch_add_explicit(&lane->again, 1, memory_order_relaxed);
		return -EAGAIN;
	}
	item->batch = batch;
	item->sent = false;
	nats_subject(transport, batch, route->topic, item->subject);
	/* First counted: nobody sees more batches settled than published. */
	atomic_fetch_add_explicit(&lane->published, 1, memory_order_relaxed);
	atomic_store_explicit(&lane->pushed, pushed + 1, memory_order_release);
	nats_wake(transport);
	return 0;
}

static void stats(struct wb_transport *transport, struct wb_transport_stats *ret_stats)
{
	const uint64_t connects = atomic_load(&transport->connects);

	*ret_stats = (struct wb_transport_stats){
		.connected = atomic_load(&transport->connected),
		.settled = atomic_load(&transport->settled),
		.bytes = atomic_load(&transport->bytes),
		.reconnects = connects > 0 ? connects - 1 : 0,
		.copied = atomic_load(&transport->copied),
	};
	for (struct wb_lane *lane = atomic_load(&transport->lanes); lane; lane = lane->next) {
		ret_stats->published += atomic_load_explicit(&lane->published, memory_order_relaxed);
		ret_stats->again += atomic_load_explicit(&lane->again, memory_order_relaxed);
	}
}

static bool is_all_settled(struct wb_transport *transport)
{
	struct wb_transport_stats now;

	stats(transport, &now);
	return now.settled >= now.published;
}

static int flush(struct wb_transport *transport, int timeout_ms)
{
	const int64_t ms = timeout_ms > 0 ? timeout_ms : 0;
	struct timespec deadline;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_nsec += ms % 1000 * 1000000;
	deadline.tv_sec += ms / 1000 + deadline.tv_nsec / 1000000000;
	deadline.tv_nsec %= 1000000000;
	pthread_mutex_lock(&transport->lock);
	while (!is_all_settled(transport) && r == 0)
		r = pthread_cond_timedwait(&transport->settled_some, &transport->lock, &deadline);
	pthread_mutex_unlock(&transport->lock);
	return is_all_settled(transport) ? 0 : -ETIMEDOUT;
}

static void close_transport(struct wb_transport *transport)
{
	struct item *item;

	if (!transport)
		return;
	atomic_store(&transport->stop, true);
	nats_wake(transport);
	pthread_join(transport->sender, NULL);
	for (struct wb_lane *lane = atomic_load(&transport->lanes); lane; lane = lane->next) {
		while ((item = nats_front(lane))) {
			nats_settle(transport, item, WB_RESULT_FAILED, WB_CAUSE_SHUTDOWN);
			atomic_fetch_add(&lane->popped, 1);
		}
	}
	free_transport(transport);
}

static const char *const schemes[] = {"nats", NULL};

const struct wb_transport_ops wirebus_transport = {
	.abi = WB_TRANSPORT_ABI,
	.name = "NATS",
	.schemes = schemes,
	.capabilities = WB_TRANSPORT_ORDERED | WB_TRANSPORT_ACKNOWLEDGES,
	.rows = rows,
	.options_size = sizeof(struct nats_settings),
	.limit_name = "max_payload",
	.check = check,
	.open = open_transport,
	.lane = open_lane,
	.publish = publish,
	.flush = flush,
	.stats = stats,
	.close = close_transport,
};
