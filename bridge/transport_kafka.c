/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kafka, through librdkafka. Workers produce directly; one thread for each producer reads the delivery reports.
 *
 * Values go by reference: librdkafka keeps a pointer into the batch's buffer until its delivery report, which is where
 * the batch is settled. Nothing times out inside the client: memory is bounded by the worker's pool, so a batch is held
 * until the broker takes it, or until close() gives it up. A client that ends with a fatal error is replaced, see
 * kafka_renew.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kafka_config.h"
#include "kafka_internal.h"
#include "log.h"
#include "registry.h"

/* Node and interface are not known yet, so something stands for them. */
static int kafka_check(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	struct wb_transport_args known = *args;
	rd_kafka_conf_t *conf;
	char *topic;
	int r;

	if (!known.node)
		known.node = "n";
	if (!known.interface)
		known.interface = "i";
	r = wb_kafka_producer_conf(&known, &conf, &topic, ret_max_batch_bytes, ret_error);
	if (r < 0)
		return r;
	rd_kafka_conf_destroy(conf);
	free(topic);
	return 0;
}

/* Everything but clients and threads. */
static int prepare(struct wb_transport *transport, const struct wb_transport_args *args, struct wb_error *ret_error)
{
	const struct wb_kafka_options *options = args->options;
	int r;

	transport->log = args->log;
	transport->log_context = args->log_context;
	wb_kafka_own_init(&transport->own, args);
	transport->fatal_retries = options->fatal_retries;
	transport->gap_quiet_ms = WB_KAFKA_GAP_QUIET_MS;
	transport->url = strdup(args->url);
	transport->lanes = calloc(args->lanes ? args->lanes : 1, sizeof *transport->lanes);
	transport->producers = calloc(options->producers, sizeof *transport->producers);
	if (!transport->url || !transport->lanes || !transport->producers)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < options->producers; i++) {
		transport->producers[i].transport = transport;
		pthread_mutex_init(&transport->producers[i].lock, NULL);
	}
	transport->producer_count = (unsigned int)options->producers;
	transport->lane_room = args->lanes ? args->lanes : 1;
	for (unsigned int i = 0; i < transport->lane_room; i++) {
		transport->lanes[i].producer = &transport->producers[i % transport->producer_count];
		pthread_mutex_init(&transport->lanes[i].lock, NULL);
	}
	r = wb_kafka_schema_init(options, args->url, &transport->schema, ret_error);
	if (r == 0)
		r = wb_kafka_producer_conf(
			args, &transport->conf, &transport->topic, &transport->max_batch_bytes, ret_error);
	return r;
}

struct wb_kafka_own *wb_kafka_own_of(void *opaque)
{
	struct wb_kafka_producer *producer = opaque;

	return &producer->transport->own;
}

static int producer_start(struct wb_kafka_producer *producer, struct wb_error *ret_error)
{
	int r = -pthread_create(&producer->thread, NULL, wb_kafka_reports_main, producer);

	if (r < 0)
		return wb_fail(ret_error, r, "%s: cannot start a thread: %s", producer->transport->url, strerror(-r));
	pthread_setname_np(producer->thread, "kafka-reports");
	producer->thread_started = true;
	return 0;
}

static void kafka_close(struct wb_transport *transport);

static int kafka_open(
	const struct wb_transport_args *args, struct wb_transport **ret_transport, struct wb_error *ret_error)
{
	struct wb_transport *transport = calloc(1, sizeof *transport);
	char reason[256] = "";
	int r;

	if (!transport)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	r = prepare(transport, args, ret_error);
	for (unsigned int i = 0; r == 0 && i < transport->producer_count; i++) {
		r = wb_kafka_client_open(&transport->producers[i], reason, sizeof reason);
		if (r < 0)
			wb_fail(ret_error, r, "%s: %s", args->url, reason);
		else
			r = producer_start(&transport->producers[i], ret_error);
	}
	if (r < 0) {
		kafka_close(transport);
		return r;
	}
	*ret_transport = transport;
	return 0;
}

static int kafka_lane(struct wb_transport *transport, unsigned int (*free_buffers)(void *context), void *context,
	unsigned int total_buffers, struct wb_lane **ret_lane)
{
	if (transport->lane_count == transport->lane_room)
		return -ENOSPC;
	*ret_lane = &transport->lanes[transport->lane_count++];
	return 0;
}

static int publish_error(rd_kafka_resp_err_t error)
{
	switch (error) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		return 0;
	case RD_KAFKA_RESP_ERR__QUEUE_FULL:
	/* The topic may be created yet, or the right to write to it granted. */
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	/* The reports' thread is about to replace the client. */
	case RD_KAFKA_RESP_ERR__FATAL:
		return -EAGAIN;
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		return -EMSGSIZE;
	default:
		return -ESHUTDOWN;
	}
}

/* The lane's lock is held. */
static int publish_locked(struct wb_lane *lane, struct wb_kafka_flight *flight)
{
	struct wb_kafka_producer *producer = lane->producer;
	struct wb_transport *transport = producer->transport;
	rd_kafka_resp_err_t error;
	int r;

	switch ((enum wb_kafka_state)atomic_load(&producer->state)) {
	case WB_KAFKA_RUNNING:
		break;
	case WB_KAFKA_RENEWING:
		return -EAGAIN;
	case WB_KAFKA_FAILED:
		return -ESHUTDOWN;
	}
	flight->serial = atomic_fetch_add_explicit(&transport->serial, 1, memory_order_relaxed);
	error = wb_kafka_flight_produce(producer, flight);
	r = publish_error(error);
	if (r == -ESHUTDOWN && !atomic_exchange(&producer->refuses, true))
		transport->log(transport->log_context, WB_LOG_ERROR, "%s: cannot publish any more: %s", transport->url,
			rd_kafka_err2str(error));
	return r;
}

static int kafka_publish(struct wb_lane *lane, struct wb_batch *batch, const struct wb_route *route)
{
	struct wb_transport *transport = lane->producer->transport;
	struct wb_kafka_flight *flight;
	int r;

	if (!batch->record_count && batch->size > transport->max_batch_bytes)
		return -EMSGSIZE;
	flight = wb_kafka_flight_create(batch, route, transport->topic);
	if (!flight)
		return -EAGAIN;
	/* The reports' thread reads the count: it is raised before the report can come. */
	atomic_fetch_add_explicit(&transport->published, 1, memory_order_relaxed);
	pthread_mutex_lock(&lane->lock);
	r = publish_locked(lane, flight);
	pthread_mutex_unlock(&lane->lock);
	if (r == 0)
		return 0;
	free(flight);
	atomic_fetch_sub_explicit(&transport->published, 1, memory_order_relaxed);
	if (r == -EAGAIN)
		atomic_fetch_add_explicit(&transport->again, 1, memory_order_relaxed);
	return r;
}

/* The reports' threads do it; here it is only waited for. */
static int kafka_flush(struct wb_transport *transport, int timeout_ms)
{
	uint64_t until = wb_monotonic_ms() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);

	while (atomic_load(&transport->settled) < atomic_load(&transport->published)) {
		struct timespec pause = {.tv_nsec = 1000000};

		for (unsigned int i = 0; i < transport->producer_count; i++)
			atomic_store(&transport->producers[i].flushing, true);
		if (wb_monotonic_ms() >= until)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static void kafka_stats(struct wb_transport *transport, struct wb_transport_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof *ret_stats);
	ret_stats->connected = true;
	for (unsigned int i = 0; i < transport->producer_count; i++) {
		struct wb_kafka_producer *producer = &transport->producers[i];

		ret_stats->connected = ret_stats->connected && atomic_load(&producer->connected);
		ret_stats->failed = ret_stats->failed || atomic_load(&producer->refuses) ||
		                    atomic_load(&producer->state) == WB_KAFKA_FAILED;
	}
	ret_stats->settled = atomic_load(&transport->settled);
	ret_stats->published = atomic_load(&transport->published);
	ret_stats->bytes = atomic_load(&transport->bytes);
	ret_stats->again = atomic_load(&transport->again);
	ret_stats->reconnects = atomic_load(&transport->reconnects);
	ret_stats->renewed = atomic_load(&transport->renewed);
	ret_stats->republished = atomic_load(&transport->republished);
	ret_stats->possible_duplicates = atomic_load(&transport->possible_duplicates);
}

static void kafka_close(struct wb_transport *transport)
{
	if (!transport)
		return;
	for (unsigned int i = 0; i < transport->producer_count; i++)
		atomic_store(&transport->producers[i].stop, true);
	for (unsigned int i = 0; i < transport->producer_count; i++) {
		if (transport->producers[i].thread_started)
			pthread_join(transport->producers[i].thread, NULL);
		wb_kafka_client_close(&transport->producers[i]);
		pthread_mutex_destroy(&transport->producers[i].lock);
	}
	for (unsigned int i = 0; i < transport->lane_room; i++)
		pthread_mutex_destroy(&transport->lanes[i].lock);
	if (transport->conf)
		rd_kafka_conf_destroy(transport->conf);
	wb_kafka_own_fini(&transport->own);
	free(transport->producers);
	free(transport->lanes);
	free(transport->topic);
	free(transport->url);
	free(transport);
}

static const char *const schemes[] = {"kafka", NULL};

const struct wb_transport_ops wb_transport_kafka = {
	.abi = WB_TRANSPORT_ABI,
	.name = "Kafka",
	.schemes = schemes,
	.capabilities = WB_TRANSPORT_ORDERED | WB_TRANSPORT_ACKNOWLEDGES | WB_TRANSPORT_RECORDS,
	.rows = wb_kafka_rows,
	.options_size = sizeof(struct wb_kafka_options),
	.takes_properties = true,
	.limit_name = "max_message_bytes",
	.check = kafka_check,
	.open = kafka_open,
	.lane = kafka_lane,
	.publish = kafka_publish,
	.flush = kafka_flush,
	.stats = kafka_stats,
	.close = kafka_close,
};
