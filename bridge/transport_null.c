/* SPDX-License-Identifier: Apache-2.0 */
/* The bus that takes everything and keeps nothing: to measure what comes before it, and to test. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "registry.h"

struct null_options {
	unsigned int result;
	uint64_t delay_ms;
};

static const struct wb_option_row null_rows[] = {
	{.key = "result",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct null_options, result),
		.default_value = "delivered",
		.choices = "delivered|handed_over",
		.help = "How batches are settled"},
	{.key = "delay",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct null_options, delay_ms),
		.default_value = "0",
		.max = 3600000,
		.help = "Hold each batch for so long before it is settled"},
	{.key = NULL},
};

struct wb_lane {
	struct wb_transport *transport;
	_Atomic uint64_t published, settled, bytes, again;
	struct wb_lane *next;
};

struct held {
	struct wb_batch *batch;
	struct wb_lane *lane;
	struct timespec due;
};

struct wb_transport {
	enum wb_result result;
	uint64_t delay_ms;
	_Atomic(struct wb_lane *) lanes;
	/* With a delay only. */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct held *held; /* a ring, in the order of publishing and so of the time due */
	unsigned int capacity, first, count;
	bool settling; /* the thread is just settling one that is not in the ring any more */
	bool stop;
};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void settle(struct wb_lane *lane, struct wb_batch *batch, enum wb_result result, enum wb_cause cause)
{
	uint64_t size = result == WB_RESULT_FAILED ? 0 : batch->size;

	batch->settle(batch, result, cause);
	add(&lane->bytes, size);
	add(&lane->settled, 1);
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static struct timespec ms_from_now(uint64_t ms)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += (time_t)(ms / 1000);
	time.tv_nsec += (long)(ms % 1000) * 1000000;
	if (time.tv_nsec >= 1000000000) {
		time.tv_nsec -= 1000000000;
		time.tv_sec++;
	}
	return time;
}

/* Take the oldest batch out and settle it. Called and left with the lock held. */
static void settle_first(struct wb_transport *transport, enum wb_result result, enum wb_cause cause)
{
	struct held held = transport->held[transport->first];

	transport->first = (transport->first + 1) % transport->capacity;
	transport->count--;
	transport->settling = true;
	pthread_mutex_unlock(&transport->lock);
	settle(held.lane, held.batch, result, cause);
	pthread_mutex_lock(&transport->lock);
	transport->settling = false;
	pthread_cond_broadcast(&transport->changed);
}

static void *settle_late(void *argument)
{
	struct wb_transport *transport = argument;
	struct timespec now;

	pthread_mutex_lock(&transport->lock);
	while (!transport->stop) {
		if (transport->count == 0) {
			pthread_cond_wait(&transport->changed, &transport->lock);
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (is_before(&now, &transport->held[transport->first].due))
			pthread_cond_timedwait(
				&transport->changed, &transport->lock, &transport->held[transport->first].due);
		else
			settle_first(transport, transport->result, WB_CAUSE_NONE);
	}
	while (transport->count > 0)
		settle_first(transport, WB_RESULT_FAILED, WB_CAUSE_SHUTDOWN);
	pthread_mutex_unlock(&transport->lock);
	return NULL;
}

static int null_check(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	if (args->address && args->address[0] != '\0')
		return wb_fail(ret_error, -EINVAL, "%s: null: has no address", args->url);
	*ret_max_batch_bytes = SIZE_MAX;
	return 0;
}

static int start_delay(struct wb_transport *transport, unsigned int buffers)
{
	pthread_condattr_t monotonic;
	int r;

	transport->capacity = buffers > 0 ? buffers : 1;
	transport->held = calloc(transport->capacity, sizeof(*transport->held));
	if (!transport->held)
		return -ENOMEM;
	pthread_mutex_init(&transport->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&transport->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	r = pthread_create(&transport->thread, NULL, settle_late, transport);
	if (r == 0)
		return 0;
	pthread_cond_destroy(&transport->changed);
	pthread_mutex_destroy(&transport->lock);
	return -r;
}

static void free_transport(struct wb_transport *transport)
{
	struct wb_lane *lane = atomic_load(&transport->lanes), *next;

	for (; lane; lane = next) {
		next = lane->next;
		free(lane);
	}
	free(transport->held);
	free(transport);
}

static int null_open(
	const struct wb_transport_args *args, struct wb_transport **ret_transport, struct wb_error *ret_error)
{
	const struct null_options *options = args->options;
	struct wb_transport *transport;
	size_t unlimited;
	int r;

	r = null_check(args, &unlimited, ret_error);
	if (r < 0)
		return r;
	transport = calloc(1, sizeof(*transport));
	if (!transport)
		return wb_fail(ret_error, -ENOMEM, "%s: out of memory", args->url);
	transport->result = options->result == 1 ? WB_RESULT_HANDED_OVER : WB_RESULT_DELIVERED;
	transport->delay_ms = options->delay_ms;
	if (transport->delay_ms > 0) {
		r = start_delay(transport, args->buffers);
		if (r < 0) {
			free_transport(transport);
			return wb_fail(ret_error, r, "%s: cannot start: %s", args->url, strerror(-r));
		}
	}
	*ret_transport = transport;
	return 0;
}

static int null_lane(struct wb_transport *transport, unsigned int (*free_buffers)(void *context), void *context,
	unsigned int total_buffers, struct wb_lane **ret_lane)
{
	struct wb_lane *lane;

	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return -ENOMEM;
	lane->transport = transport;
	lane->next = atomic_load(&transport->lanes);
	atomic_store(&transport->lanes, lane);
	*ret_lane = lane;
	return 0;
}

static int publish_late(struct wb_lane *lane, struct wb_batch *batch)
{
	struct wb_transport *transport = lane->transport;
	unsigned int last;
	int r = -EAGAIN;

	pthread_mutex_lock(&transport->lock);
	if (transport->count < transport->capacity) {
		last = (transport->first + transport->count++) % transport->capacity;
		transport->held[last] = (struct held){batch, lane, ms_from_now(transport->delay_ms)};
		add(&lane->published, 1);
		pthread_cond_broadcast(&transport->changed);
		r = 0;
	}
	pthread_mutex_unlock(&transport->lock);
	if (r < 0)
		add(&lane->again, 1);
	return r;
}

static int null_publish(struct wb_lane *lane, struct wb_batch *batch, const struct wb_route *route)
{
	if (lane->transport->delay_ms > 0)
		return publish_late(lane, batch);
	add(&lane->published, 1);
	settle(lane, batch, lane->transport->result, WB_CAUSE_NONE);
	return 0;
}

static int null_flush(struct wb_transport *transport, int timeout_ms)
{
	struct timespec deadline = ms_from_now(timeout_ms > 0 ? (uint64_t)timeout_ms : 0);
	int r = 0;

	if (transport->delay_ms == 0)
		return 0;
	pthread_mutex_lock(&transport->lock);
	while ((transport->count > 0 || transport->settling) && r == 0)
		r = pthread_cond_timedwait(&transport->changed, &transport->lock, &deadline);
	if (transport->count == 0 && !transport->settling)
		r = 0;
	pthread_mutex_unlock(&transport->lock);
	return -r;
}

static void null_stats(struct wb_transport *transport, struct wb_transport_stats *ret_stats)
{
	*ret_stats = (struct wb_transport_stats){.connected = true};
	for (struct wb_lane *lane = atomic_load(&transport->lanes); lane; lane = lane->next) {
		ret_stats->settled += atomic_load_explicit(&lane->settled, memory_order_relaxed);
		ret_stats->published += atomic_load_explicit(&lane->published, memory_order_relaxed);
		ret_stats->bytes += atomic_load_explicit(&lane->bytes, memory_order_relaxed);
		ret_stats->again += atomic_load_explicit(&lane->again, memory_order_relaxed);
	}
}

static void null_close(struct wb_transport *transport)
{
	if (!transport)
		return;
	if (transport->delay_ms > 0) {
		pthread_mutex_lock(&transport->lock);
		transport->stop = true;
		pthread_cond_broadcast(&transport->changed);
		pthread_mutex_unlock(&transport->lock);
		pthread_join(transport->thread, NULL);
		pthread_cond_destroy(&transport->changed);
		pthread_mutex_destroy(&transport->lock);
	}
	free_transport(transport);
}

static const char *const null_schemes[] = {"null", NULL};

const struct wb_transport_ops wb_transport_null = {
	.abi = WB_TRANSPORT_ABI,
	.name = "null",
	.schemes = null_schemes,
	.capabilities = WB_TRANSPORT_ORDERED | WB_TRANSPORT_ACKNOWLEDGES | WB_TRANSPORT_RECORDS,
	.rows = null_rows,
	.options_size = sizeof(struct null_options),
	.check = null_check,
	.open = null_open,
	.lane = null_lane,
	.publish = null_publish,
	.flush = null_flush,
	.stats = null_stats,
	.close = null_close,
};
