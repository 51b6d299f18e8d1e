/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transport to ZeroMQ: zmq+pub (every subscriber gets every message that it keeps up with) and zmq+push (each message
 * goes to one consumer, and waits while there is none).
 *
 * ZeroMQ does not acknowledge. A batch is settled as handed over when libzmq has released its memory: it was written to
 * a connection, nobody wanted it, or it was lost with its peer. See zmq_send.c.
 *
 * One thread owns the socket; each worker gives its batches to a bounded queue of its own, without locks.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "registry.h"
#include "zmq_internal.h"

static const struct wb_option_row rows[] = {
	{
		.key = "bind",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct wb_zmq_options, bind),
		.default_value = "auto",
		.choices = "auto|yes|no",
		.help = "Whether to bind to the address or to connect to it; auto binds",
	},
	{
		.key = "insecure",
		.type = WB_OPTION_BOOL,
		.offset = offsetof(struct wb_zmq_options, insecure),
		.default_value = "false",
		.help = "Allow binding to addresses that other hosts reach, without authentication or encryption",
	},
	WB_ZMQ_CURVE_ROWS(struct wb_zmq_options),
	{
		.key = "slow",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct wb_zmq_options, slow),
		.default_value = "drop",
		.choices = "drop|wait",
		.help = "What PUB does about a subscriber for which sndhwm messages wait: drop further ones for it "
			"alone, or wait, which holds up all subscribers and then the capture (on_full); PUSH always "
			"waits",
	},
	{
		.key = "sndhwm",
		.type = WB_OPTION_UINT,
		.offset = offsetof(struct wb_zmq_options, sndhwm),
		.default_value = "64",
		.min = 1,
		.max = 100000,
		.unit = "messages",
		.help = "How many messages may wait for each peer; PUB drops further ones for that peer, PUSH waits",
	},
	{
		.key = "linger",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct wb_zmq_options, linger_ms),
		.default_value = "2s",
		.max = 60000,
		.help = "How long to go on sending what waits for peers when closing",
	},
	{
		.key = "subscribers",
		.type = WB_OPTION_UINT,
		.offset = offsetof(struct wb_zmq_options, subscribers),
		.default_value = "8",
		.min = 1,
		.max = 10000,
		.unit = "subscribers",
		.help = "How many subscribers of PUB may stop reading at once before batches are dropped; bounds the "
			"memory",
	},
	{0},
};

static int find_address(
	const struct wb_transport_args *args, struct wb_zmq_address *ret_address, struct wb_error *ret_error)
{
	const struct wb_zmq_options *options = args->options;
	const struct wb_zmq_place place = {
		.url = args->url,
		.address = args->address,
		.bind = options->bind,
		.producer = true,
		.insecure = options->insecure || wb_zmq_curve_used(&options->curve),
	};
	int r;

	r = wb_zmq_address(&place, ret_address, ret_error);
	return r < 0 ? r : wb_zmq_curve_check(args->url, &options->curve, ret_address->bind, ret_error);
}

static int zmq_check(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	struct wb_zmq_address address;

	*ret_max_batch_bytes = SIZE_MAX;
	return find_address(args, &address, ret_error);
}

static int init_flush(struct wb_transport *transport)
{
	pthread_condattr_t attributes;
	int r;

	r = pthread_mutex_init(&transport->flush_lock, NULL);
	if (r != 0)
		return -r;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	r = pthread_cond_init(&transport->flush_done, &attributes);
	pthread_condattr_destroy(&attributes);
	if (r != 0)
		pthread_mutex_destroy(&transport->flush_lock);
	return -r;
}

static int init_members(
	struct wb_transport *transport, const struct wb_transport_args *args, struct wb_error *ret_error)
{
	int length;

	transport->pub = strcmp(args->scheme, "zmq+pub") == 0;
	transport->options = *(const struct wb_zmq_options *)args->options;
	transport->wait = transport->pub && transport->options.slow == WB_ZMQ_SLOW_WAIT;
	transport->max_batch_bytes = args->max_batch_bytes;
	transport->max_copies = (transport->options.sndhwm + 1) * transport->options.subscribers;
	transport->log = args->log;
	transport->log_context = args->log_context;
	transport->max_lanes = args->lanes;
	wb_zmq_own_init(&transport->own, args);
	atomic_init(&transport->linger_end_ns, WB_ZMQ_NEVER);
	length = snprintf(transport->topic_head, sizeof(transport->topic_head), "wb1/%s/", args->node);
	if (length < 0 || (size_t)length >= sizeof(transport->topic_head))
		return wb_fail(ret_error, -EINVAL, "the node name '%s' is longer than %zu bytes", args->node,
			sizeof(transport->topic_head) - sizeof("wb1//"));
	return 0;
}

static int allocate(const struct wb_transport_args *args, struct wb_transport **ret_transport)
{
	struct wb_transport *transport;
	int r;

	transport = aligned_alloc(WB_ZMQ_CACHE_LINE, sizeof(*transport));
	if (!transport)
		return -ENOMEM;
	memset(transport, 0, sizeof(*transport));
	transport->lanes = calloc(args->lanes ? args->lanes : 1, sizeof(struct wb_lane *));
	r = transport->lanes ? init_flush(transport) : -ENOMEM;
	if (r < 0) {
		free(transport->lanes);
		free(transport);
		return r;
	}
	*ret_transport = transport;
	return 0;
}

static void deallocate(struct wb_transport *transport)
{
	unsigned int i;

	wb_zmq_own_fini(&transport->own);
	for (i = 0; i < atomic_load(&transport->lane_count); i++) {
		free(transport->lanes[i]->slots);
		free(transport->lanes[i]);
	}
	wb_zmq_connections_fini(&transport->connections);
	pthread_cond_destroy(&transport->flush_done);
	pthread_mutex_destroy(&transport->flush_lock);
	free(transport->lanes);
	free(transport);
}

/* Waits until libzmq has sent, or thrown away after the linger time, all that it holds. */
static void end_libzmq(struct wb_transport *transport)
{
	while (zmq_ctx_term(transport->zmq) < 0 && errno == EINTR)
		;
	wb_zmq_zap_join(transport->zap);
}

static void init_handshakes(struct wb_transport *transport)
{
	transport->handshakes = (struct wb_zmq_handshakes){
		.endpoint = transport->address.endpoint,
		.peer_type = transport->pub ? "SUB" : "PULL",
		.curve = wb_zmq_curve_used(&transport->options.curve),
		.bind = transport->address.bind,
		.log = transport->log,
		.log_context = transport->log_context,
	};
}

/* The socket, and before it the thread that says who may connect to it. */
static int open_socket(struct wb_transport *transport, struct wb_error *ret_error)
{
	const struct wb_zmq_zap_args args = {
		.context = transport->zmq,
		.allow = transport->options.curve.allow,
		.endpoint = transport->address.endpoint,
		.log = transport->log,
		.log_context = transport->log_context,
	};
	int r = 0;

	init_handshakes(transport);
	if (wb_zmq_curve_used(&transport->options.curve) && transport->address.bind)
		r = wb_zmq_zap_start(&args, &transport->zap, ret_error);
	if (r == 0)
		r = wb_zmq_socket_open(transport, ret_error);
	transport->options.curve = (struct wb_zmq_curve_options){0};
	return r;
}

static int zmq_open(
	const struct wb_transport_args *args, struct wb_transport **ret_transport, struct wb_error *ret_error)
{
	struct wb_transport *transport;
	int r;

	r = allocate(args, &transport);
	if (r < 0)
		return wb_fail(ret_error, r, "%s: %s", args->url, strerror(-r));
	r = init_members(transport, args, ret_error);
	if (r == 0)
		r = find_address(args, &transport->address, ret_error);
	if (r < 0)
		goto free_transport;
	transport->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (transport->wakeup < 0) {
		r = wb_fail(ret_error, -errno, "%s: eventfd: %s", args->url, strerror(errno));
		goto free_transport;
	}
	transport->zmq = zmq_ctx_new();
	if (!transport->zmq) {
		r = wb_fail(ret_error, -errno, "%s: %s", args->url, zmq_strerror(errno));
		goto close_wakeup;
	}
	r = open_socket(transport, ret_error);
	if (r < 0)
		goto term_context;
	r = wb_zmq_thread_start(transport);
	if (r < 0) {
		wb_fail(ret_error, r, "%s: cannot start a thread: %s", args->url, strerror(-r));
		goto close_socket;
	}
	*ret_transport = transport;
	return 0;

close_socket:
	wb_zmq_socket_close(transport);
term_context:
	end_libzmq(transport);
close_wakeup:
	close(transport->wakeup);
free_transport:
	deallocate(transport);
	return r;
}

static int zmq_lane(struct wb_transport *transport, unsigned int (*free_buffers)(void *context), void *context,
	unsigned int total_buffers, struct wb_lane **ret_lane)
{
	const unsigned int index = atomic_load(&transport->lane_count);
	struct wb_lane *lane;
	size_t slots = 1;

	assert(index < transport->max_lanes);
	while (slots < total_buffers)
		slots *= 2;
	lane = aligned_alloc(WB_ZMQ_CACHE_LINE, sizeof(*lane));
	if (!lane)
		return -ENOMEM;
	memset(lane, 0, sizeof(*lane));
	lane->transport = transport;
	lane->free_buffers = free_buffers;
	lane->context = context;
	lane->total_buffers = total_buffers;
	lane->mask = slots - 1;
	lane->slots = calloc(slots, sizeof(struct wb_batch *));
	if (!lane->slots) {
		free(lane);
		return -ENOMEM;
	}
	transport->lanes[index] = lane;
	atomic_store_explicit(&transport->lane_count, index + 1, memory_order_release);
	*ret_lane = lane;
	return 0;
}

/* Add to a counter that only the calling thread writes. */
static void count_one(atomic_uint_fast64_t *counter)
{
	const uint_fast64_t value = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

/* The route is not used: the topic of a message is made from node and stream, so that consumers can rely on it. */
static int zmq_publish(struct wb_lane *lane, struct wb_batch *batch, const struct wb_route *route)
{
	const size_t tail = atomic_load_explicit(&lane->tail, memory_order_relaxed);
	struct wb_transport *transport = lane->transport;

	(void)route;
	if (transport->max_batch_bytes && batch->size > transport->max_batch_bytes)
		return -EMSGSIZE;
	if (atomic_load_explicit(&transport->failed, memory_order_relaxed))
		return -ESHUTDOWN;
	if (tail - lane->head_seen > lane->mask) {
		lane->head_seen = atomic_load_explicit(&lane->head, memory_order_acquire);
		if (tail - lane->head_seen > lane->mask) {
			count_one(&lane->again);
			return -EAGAIN;
		}
	}
	lane->slots[tail & lane->mask] = batch;
	count_one(&lane->published);
	/* Sequentially consistent: see wait_for_work(). */
	atomic_store(&lane->tail, tail + 1);
	if (atomic_load(&transport->sleeping) && atomic_exchange(&transport->sleeping, false))
		wb_zmq_thread_wake(transport);
	return 0;
}

static uint64_t published_total(struct wb_transport *transport)
{
	const unsigned int count = atomic_load_explicit(&transport->lane_count, memory_order_acquire);
	uint64_t total = 0;
	unsigned int i;

	for (i = 0; i < count; i++)
		total += atomic_load_explicit(&transport->lanes[i]->published, memory_order_relaxed);
	return total;
}

static int zmq_flush(struct wb_transport *transport, int timeout_ms)
{
	const int64_t end = (int64_t)wb_monotonic_ns() + (int64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000;
	const struct timespec until = {.tv_sec = end / 1000000000, .tv_nsec = end % 1000000000};
	const uint64_t published = published_total(transport);
	int r = 0;

	pthread_mutex_lock(&transport->flush_lock);
	/* Stored before `settled` is loaded; settling adds to `settled` before it loads this. */
	atomic_store(&transport->flushing, true);
	while (atomic_load(&transport->settled) < published && r == 0)
		r = pthread_cond_timedwait(&transport->flush_done, &transport->flush_lock, &until);
	atomic_store(&transport->flushing, false);
	pthread_mutex_unlock(&transport->flush_lock);
	return atomic_load(&transport->settled) < published ? -ETIMEDOUT : 0;
}

static void zmq_stats(struct wb_transport *transport, struct wb_transport_stats *ret_stats)
{
	const unsigned int count = atomic_load_explicit(&transport->lane_count, memory_order_acquire);
	unsigned int i;

	memset(ret_stats, 0, sizeof(*ret_stats));
	ret_stats->settled = atomic_load(&transport->settled); /* first: never more than published */
	ret_stats->published = published_total(transport);
	for (i = 0; i < count; i++)
		ret_stats->again += atomic_load_explicit(&transport->lanes[i]->again, memory_order_relaxed);
	ret_stats->bytes = atomic_load_explicit(&transport->bytes, memory_order_relaxed);
	ret_stats->peers = atomic_load_explicit(&transport->peers, memory_order_relaxed);
	ret_stats->reconnects = atomic_load_explicit(&transport->reconnects, memory_order_relaxed);
	ret_stats->disconnects = atomic_load_explicit(&transport->disconnects, memory_order_relaxed);
	ret_stats->auth_failures = atomic_load_explicit(&transport->auth_failures, memory_order_relaxed);
	ret_stats->protocol_failures = atomic_load_explicit(&transport->protocol_failures, memory_order_relaxed);
	ret_stats->peer_drops = atomic_load_explicit(&transport->peer_drops, memory_order_relaxed);
	ret_stats->copied = atomic_load_explicit(&transport->copied, memory_order_relaxed);
	ret_stats->failed = atomic_load_explicit(&transport->failed, memory_order_relaxed);
	/* PUB needs nobody to be of use. */
	ret_stats->connected =
		!ret_stats->failed && (ret_stats->peers > 0 || (transport->pub && transport->address.bind));
}

static void zmq_close_transport(struct wb_transport *transport)
{
	if (!transport)
		return;
	wb_zmq_thread_stop(transport);
	end_libzmq(transport);
	assert(atomic_load(&transport->settled) == published_total(transport));
	close(transport->wakeup);
	deallocate(transport);
}

static const char *const schemes[] = {"zmq+pub", "zmq+push", NULL};

const struct wb_transport_ops wb_transport_zmq = {
	.abi = WB_TRANSPORT_ABI,
	.name = "ZeroMQ",
	.schemes = schemes,
	.capabilities = WB_TRANSPORT_ORDERED,
	.rows = rows,
	.options_size = sizeof(struct wb_zmq_options),
	.check = zmq_check,
	.open = zmq_open,
	.lane = zmq_lane,
	.publish = zmq_publish,
	.flush = zmq_flush,
	.stats = zmq_stats,
	.close = zmq_close_transport,
};
