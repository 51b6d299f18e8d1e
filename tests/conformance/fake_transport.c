/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scripted transport. Well behaved it proves that the suite is fair; with a fault it proves that the suite notices.
 *
 * publish() puts batches into a bounded queue; a thread delivers a copy of the content to an in-memory bus after a
 * delay, and settles. Every again_every-th call is refused, every drop_every-th batch settled as failed.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conformance.h"

enum fault {
	FAULT_NONE,
	FAULT_LOST_SETTLE,
	FAULT_DOUBLE_SETTLE,
	FAULT_SETTLE_AFTER_AGAIN,
	FAULT_USE_AFTER_SETTLE,
	FAULT_BLOCK,
	FAULT_FLUSH_LIES,
	FAULT_REORDER,
	FAULT_STATS,
	FAULT_LATE_SETTLE,
	FAULT_CLAIM_DELIVERED,
	FAULT_ACCEPT_OVERSIZE,
	FAULT_LOST_RECORD,
	FAULT_DOUBLE_RECORD,
	FAULT_SETTLE_AFTER_CLOSE,
	FAULT_SIZE_AFTER_SETTLE,
	FAULT_WRITE_BATCH,
};

struct fake_options {
	unsigned int fault;
	uint64_t delay_ms, again_every, drop_every, capacity;
};

static const struct wb_option_row rows[] = {
	{.key = "fault",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct fake_options, fault),
		.default_value = "none",
		.choices = "none|lost_settle|double_settle|settle_after_again|use_after_settle|block|flush_lies|"
			   "reorder|stats|late_settle|claim_delivered|accept_oversize|lost_record|double_record|"
			   "settle_after_close|size_after_settle|write_batch",
		.help = "Which promise to break, for every 16th batch"},
	{.key = "delay_ms",
		.type = WB_OPTION_UINT,
		.offset = offsetof(struct fake_options, delay_ms),
		.default_value = "0",
		.min = 0,
		.help = "How long a batch is held"},
	{.key = "again_every",
		.type = WB_OPTION_UINT,
		.offset = offsetof(struct fake_options, again_every),
		.default_value = "7",
		.min = 0,
		.help = "Refuse every so many calls"},
	{.key = "drop_every",
		.type = WB_OPTION_UINT,
		.offset = offsetof(struct fake_options, drop_every),
		.default_value = "0",
		.min = 0,
		.help = "Fail every so many batches"},
	{.key = "capacity",
		.type = WB_OPTION_UINT,
		.offset = offsetof(struct fake_options, capacity),
		.default_value = "64",
		.min = 1,
		.help = "Batches held at most"},
	{.key = NULL},
};

/* The bus: messages in the order of their delivery. */
struct message {
	struct message *next;
	size_t size;
	uint8_t data[];
};

static struct {
	pthread_mutex_t lock;
	struct message *first, **last;
} fake_bus = {.lock = PTHREAD_MUTEX_INITIALIZER, .last = &fake_bus.first};

struct wb_lane {
	struct wb_transport *transport;
};

struct wb_transport {
	struct fake_options options;
	size_t max_batch_bytes;
	struct wb_lane lanes[CONF_LANES];
	unsigned int lane_count;
	pthread_t thread;
	pthread_mutex_t lock; /* of everything below */
	pthread_cond_t changed;
	struct wb_batch **queue; /* of options.capacity */
	size_t first, count;
	bool busy; /* with one that is not in the queue any more */
	bool stop;
	uint64_t calls;
	struct wb_transport_stats stats;
};

static void deliver(const void *data, size_t size)
{
	struct message *message = malloc(sizeof(*message) + size);

	if (!message)
		abort();
	message->next = NULL;
	message->size = size;
	memcpy(message->data, data, size);
	pthread_mutex_lock(&fake_bus.lock);
	*fake_bus.last = message;
	fake_bus.last = &message->next;
	pthread_mutex_unlock(&fake_bus.lock);
}

static void deliver_records(const struct wb_batch *batch)
{
	uint32_t i;

	for (i = 0; i < batch->record_count; i++) {
		size_t size;
		const uint8_t *record = wb_batch_record(batch, i, &size);

		deliver(record, size);
	}
}

/* In two parts, as if their reports had come one after the other. */
static void settle_parts(struct wb_batch *batch, enum wb_result result, enum wb_cause cause, enum fault fault)
{
	const uint32_t count = batch->record_count, first = count / 2;

	if (first)
		batch->settle_records(batch, 0, first, result, cause);
	if (fault == FAULT_DOUBLE_RECORD)
		batch->settle_records(batch, first ? first - 1 : 0, count - first + 1, result, cause);
	else if (fault != FAULT_LOST_RECORD)
		batch->settle_records(batch, first, count - first, result, cause);
	else if (count - first > 1)
		batch->settle_records(batch, first, count - first - 1, result, cause);
}

/* Settle one batch, or break a promise about it. Without the lock. */
static void finish(struct wb_transport *transport, struct wb_batch *batch, uint64_t number)
{
	const bool drop = transport->options.drop_every && number % transport->options.drop_every == 0;
	const enum fault fault = number % 16 == 0 ? transport->options.fault : FAULT_NONE;
	const size_t size = batch->size;
	const uint8_t *data = batch->data;

	if (fault == FAULT_LOST_SETTLE)
		return;
	if (fault == FAULT_WRITE_BATCH)
		((uint8_t *)(uintptr_t)data)[size - 1] ^= 1;
	if (batch->record_count && !drop)
		deliver_records(batch);
	else if (!drop && fault != FAULT_USE_AFTER_SETTLE && fault != FAULT_CLAIM_DELIVERED)
		deliver(data, size);
	pthread_mutex_lock(&transport->lock);
	if (fault != FAULT_STATS) {
		transport->stats.settled++;
		transport->stats.bytes += drop || fault == FAULT_SIZE_AFTER_SETTLE ? 0 : size;
	}
	pthread_mutex_unlock(&transport->lock);
	if (batch->record_count) {
		settle_parts(batch, drop ? WB_RESULT_FAILED : WB_RESULT_DELIVERED,
			drop ? WB_CAUSE_REFUSED : WB_CAUSE_NONE, fault);
		return;
	}
	batch->settle(batch, drop ? WB_RESULT_FAILED : WB_RESULT_DELIVERED, drop ? WB_CAUSE_REFUSED : WB_CAUSE_NONE);
	if (fault == FAULT_DOUBLE_SETTLE)
		batch->settle(batch, WB_RESULT_DELIVERED, WB_CAUSE_NONE);
	if (fault == FAULT_USE_AFTER_SETTLE)
		deliver(data, size);
	if (fault == FAULT_SIZE_AFTER_SETTLE) {
		pthread_mutex_lock(&transport->lock);
		transport->stats.bytes += batch->size;
		pthread_mutex_unlock(&transport->lock);
	}
}

/* With the lock. */
static struct wb_batch *take(struct wb_transport *transport)
{
	struct wb_batch **queue = transport->queue;
	const size_t capacity = transport->options.capacity;
	struct wb_batch *batch = queue[transport->first];

	if (transport->options.fault == FAULT_REORDER && transport->count >= 3) {
		/* The third goes first. */
		const size_t second = (transport->first + 1) % capacity, third = (transport->first + 2) % capacity;

		batch = queue[third];
		queue[third] = queue[second];
		queue[second] = queue[transport->first];
	}
	transport->first = (transport->first + 1) % capacity;
	transport->count--;
	transport->busy = true;
	return batch;
}

static void *run(void *argument)
{
	struct wb_transport *transport = argument;
	struct wb_batch *batch;
	uint64_t number = 0;
	int delay_ms;

	pthread_mutex_lock(&transport->lock);
	for (;;) {
		while (transport->count == 0 && !transport->stop)
			pthread_cond_wait(&transport->changed, &transport->lock);
		if (transport->count == 0)
			break;
		if (transport->stop && (transport->options.fault == FAULT_LATE_SETTLE ||
					       transport->options.fault == FAULT_SETTLE_AFTER_CLOSE))
			break;
		batch = take(transport);
		delay_ms = transport->stop ? 0 : (int)transport->options.delay_ms;
		pthread_mutex_unlock(&transport->lock);
		conf_pause_ms(delay_ms);
		finish(transport, batch, ++number);
		pthread_mutex_lock(&transport->lock);
		transport->busy = false;
		pthread_cond_broadcast(&transport->changed);
	}
	pthread_mutex_unlock(&transport->lock);
	return NULL;
}

static int fake_check(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	(void)args;
	(void)ret_error;
	*ret_max_batch_bytes = 1000000;
	return 0;
}

static int fake_open(
	const struct wb_transport_args *args, struct wb_transport **ret_transport, struct wb_error *ret_error)
{
	struct wb_transport *transport = calloc(1, sizeof(*transport));

	(void)ret_error;
	if (!transport)
		abort();
	transport->options = *(const struct fake_options *)args->options;
	transport->max_batch_bytes = args->max_batch_bytes ? args->max_batch_bytes : 1000000;
	transport->queue = calloc(transport->options.capacity, sizeof(struct wb_batch *));
	pthread_mutex_init(&transport->lock, NULL);
	pthread_cond_init(&transport->changed, NULL);
	if (!transport->queue || pthread_create(&transport->thread, NULL, run, transport) != 0)
		abort();
	*ret_transport = transport;
	return 0;
}

static int fake_lane(struct wb_transport *transport, unsigned int (*free_buffers)(void *context), void *context,
	unsigned int total_buffers, struct wb_lane **ret_lane)
{
	(void)free_buffers;
	(void)context;
	(void)total_buffers;
	*ret_lane = &transport->lanes[transport->lane_count++];
	(*ret_lane)->transport = transport;
	return 0;
}

/* With the lock. */
static int accept_batch(struct wb_transport *transport, struct wb_batch *batch)
{
	const uint64_t again_every = transport->options.again_every;

	if (batch->size > transport->max_batch_bytes && transport->options.fault != FAULT_ACCEPT_OVERSIZE)
		return -EMSGSIZE;
	if (transport->count == transport->options.capacity || (again_every && ++transport->calls % again_every == 0)) {
		transport->stats.again++;
		return -EAGAIN;
	}
	transport->queue[(transport->first + transport->count++) % transport->options.capacity] = batch;
	transport->stats.published++;
	pthread_cond_broadcast(&transport->changed);
	return 0;
}

static int fake_publish(struct wb_lane *lane, struct wb_batch *batch, const struct wb_route *route)
{
	struct wb_transport *transport = lane->transport;
	int r;

	(void)route;
	if (transport->options.fault == FAULT_BLOCK)
		conf_pause_ms(60);
	pthread_mutex_lock(&transport->lock);
	r = accept_batch(transport, batch);
	pthread_mutex_unlock(&transport->lock);
	if (r == -EAGAIN && transport->options.fault == FAULT_SETTLE_AFTER_AGAIN)
		batch->settle(batch, WB_RESULT_FAILED, WB_CAUSE_IO);
	return r;
}

static int fake_flush(struct wb_transport *transport, int timeout_ms)
{
	struct timespec until;
	int r = 0;

	if (transport->options.fault == FAULT_FLUSH_LIES)
		return 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&transport->lock);
	while ((transport->count > 0 || transport->busy) && r == 0)
		r = pthread_cond_timedwait(&transport->changed, &transport->lock, &until);
	r = transport->count > 0 || transport->busy ? -ETIMEDOUT : 0;
	pthread_mutex_unlock(&transport->lock);
	return r;
}

static void fake_stats(struct wb_transport *transport, struct wb_transport_stats *ret_stats)
{
	pthread_mutex_lock(&transport->lock);
	*ret_stats = transport->stats;
	pthread_mutex_unlock(&transport->lock);
	ret_stats->connected = true;
}

struct leftover {
	size_t count;
	struct wb_batch *batches[];
};

static void *settle_leftover(void *argument)
{
	struct leftover *leftover = argument;
	size_t i;

	conf_pause_ms(20);
	for (i = 0; i < leftover->count; i++)
		leftover->batches[i]->settle(leftover->batches[i], WB_RESULT_UNKNOWN, WB_CAUSE_NONE);
	free(leftover);
	return NULL;
}

/* What is still in the queue is settled by a thread that close() does not wait for. */
static void settle_after_close(const struct wb_transport *transport)
{
	struct leftover *leftover = calloc(1, sizeof(*leftover) + transport->count * sizeof(leftover->batches[0]));
	pthread_t thread;
	size_t i;

	if (!leftover)
		abort();
	leftover->count = transport->count;
	for (i = 0; i < transport->count; i++)
		leftover->batches[i] = transport->queue[(transport->first + i) % transport->options.capacity];
	if (pthread_create(&thread, NULL, settle_leftover, leftover) != 0)
		abort();
	pthread_detach(thread);
}

static void fake_close(struct wb_transport *transport)
{
	if (!transport)
		return;
	pthread_mutex_lock(&transport->lock);
	transport->stop = true;
	pthread_cond_broadcast(&transport->changed);
	pthread_mutex_unlock(&transport->lock);
	pthread_join(transport->thread, NULL);
	if (transport->options.fault == FAULT_SETTLE_AFTER_CLOSE)
		settle_after_close(transport);
	pthread_cond_destroy(&transport->changed);
	pthread_mutex_destroy(&transport->lock);
	free(transport->queue);
	free(transport);
}

static const char *const schemes[] = {"fake", NULL};

const struct wb_transport_ops conf_transport_fake = {
	.abi = WB_TRANSPORT_ABI,
	.name = "fake",
	.schemes = schemes,
	.capabilities = WB_TRANSPORT_ORDERED | WB_TRANSPORT_ACKNOWLEDGES | WB_TRANSPORT_RECORDS,
	.rows = rows,
	.options_size = sizeof(struct fake_options),
	.check = fake_check,
	.open = fake_open,
	.lane = fake_lane,
	.publish = fake_publish,
	.flush = fake_flush,
	.stats = fake_stats,
	.close = fake_close,
};

/* --- the reader --- */

static const char *fault_query;

void conf_fake_set_fault(const char *query)
{
	fault_query = query;
}

static struct message *pop(void)
{
	struct message *message;

	pthread_mutex_lock(&fake_bus.lock);
	message = fake_bus.first;
	if (message) {
		fake_bus.first = message->next;
		if (!fake_bus.first)
			fake_bus.last = &fake_bus.first;
	}
	pthread_mutex_unlock(&fake_bus.lock);
	return message;
}

int conf_bus_open_fake(struct conf_bus *bus, const struct conf_row *row)
{
	struct message *message;

	(void)row;
	while ((message = pop()))
		free(message);
	snprintf(bus->url, sizeof(bus->url), "fake:%s%s", fault_query ? "?" : "", fault_query ? fault_query : "");
	return 0;
}

struct peer {
	struct message *message;
};

static void *open_peer(const struct conf_bus *bus, bool stalled)
{
	(void)bus;
	(void)stalled;
	return calloc(1, sizeof(struct peer));
}

static int receive(void *context, int timeout_ms, const void **ret_data, size_t *ret_size)
{
	const int64_t end = conf_now_ms() + timeout_ms;
	struct peer *peer = context;

	free(peer->message);
	for (;;) {
		peer->message = pop();
		if (peer->message || conf_now_ms() >= end)
			break;
		conf_pause_ms(1);
	}
	if (!peer->message)
		return 0;
	*ret_data = peer->message->data;
	*ret_size = peer->message->size;
	return 1;
}

static void close_peer(void *context)
{
	struct peer *peer = context;

	free(peer->message);
	free(peer);
}

const struct conf_peer_ops conf_peer_fake = {.open = open_peer, .receive = receive, .close = close_peer};
