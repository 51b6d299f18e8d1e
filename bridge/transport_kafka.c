/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kafka, through librdkafka. Workers produce directly; one thread for each producer reads the delivery reports.
 *
 * Values go by reference: librdkafka keeps a pointer into the batch's buffer until its delivery report, which is where
 * the batch is settled. Nothing times out inside the client: memory is bounded by the worker's pool, so a batch is held
 * until the broker takes it, or until close() gives it up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kafka_config.h"
#include "kafka_internal.h"
#include "log.h"
#include "registry.h"

static int kafka_check(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	rd_kafka_conf_t *conf;
	char *topic;
	int r = wb_kafka_producer_conf(args, &conf, &topic, ret_max_batch_bytes, ret_error);

	if (r < 0)
		return r;
	rd_kafka_conf_destroy(conf);
	free(topic);
	return 0;
}

static int producer_open(
	struct wb_kafka_producer *producer, const struct wb_transport_args *args, struct wb_error *ret_error)
{
	struct wb_transport *transport = producer->transport;
	rd_kafka_conf_t *conf;
	char reason[256];
	int r;

	free(transport->topic);
	transport->topic = NULL;
	r = wb_kafka_producer_conf(args, &conf, &transport->topic, &transport->max_batch_bytes, ret_error);
	if (r < 0)
		return r;
	wb_kafka_events_attach(conf, producer);
	producer->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
	if (!producer->client) {
		rd_kafka_conf_destroy(conf);
		return wb_fail(ret_error, -EINVAL, "%s: %s", args->url, reason);
	}
	return 0;
}

static int producer_start(
	struct wb_kafka_producer *producer, const struct wb_transport_args *args, struct wb_error *ret_error)
{
	int r = -pthread_create(&producer->thread, NULL, wb_kafka_reports_main, producer);

	if (r < 0)
		return wb_fail(ret_error, r, "%s: cannot start a thread: %s", args->url, strerror(-r));
	pthread_setname_np(producer->thread, "kafka-reports");
	producer->thread_started = true;
	return 0;
}

static void kafka_close(struct wb_transport *transport);

static int kafka_open(
	const struct wb_transport_args *args, struct wb_transport **ret_transport, struct wb_error *ret_error)
{
	const struct wb_kafka_options *options = args->options;
	struct wb_transport *transport = calloc(1, sizeof *transport);
	int r = -ENOMEM;

	if (!transport)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	transport->log = args->log;
	transport->log_context = args->log_context;
	transport->url = strdup(args->url);
	transport->lane_room = args->lanes ? args->lanes : 1;
	transport->lanes = calloc(transport->lane_room, sizeof *transport->lanes);
	transport->producers = calloc(options->producers, sizeof *transport->producers);
	if (!transport->url || !transport->lanes || !transport->producers) {
		wb_fail(ret_error, r, "out of memory");
		goto close_transport;
	}
	for (unsigned int i = 0; i < options->producers; i++) {
		transport->producers[i].transport = transport;
		pthread_mutex_init(&transport->producers[i].lock, NULL);
		transport->producer_count++;
		r = producer_open(&transport->producers[i], args, ret_error);
		if (r < 0)
			goto close_transport;
	}
	/* Afterwards: each producer sets the topic once more, and the threads read it. */
	for (unsigned int i = 0; i < options->producers; i++) {
		r = producer_start(&transport->producers[i], args, ret_error);
		if (r < 0)
			goto close_transport;
	}
	*ret_transport = transport;
	return 0;
close_transport:
	kafka_close(transport);
	return r;
}

static int kafka_lane(struct wb_transport *transport, unsigned int (*free_buffers)(void *context), void *context,
	unsigned int total_buffers, struct wb_lane **ret_lane)
{
	struct wb_lane *lane;

	if (transport->lane_count == transport->lane_room)
		return -ENOSPC;
	lane = &transport->lanes[transport->lane_count];
	lane->transport = transport;
	lane->producer = &transport->producers[transport->lane_count % transport->producer_count];
	transport->lane_count++;
	*ret_lane = lane;
	return 0;
}

static int publish_error(rd_kafka_resp_err_t error)
{
	switch (error) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		return 0;
	case RD_KAFKA_RESP_ERR__QUEUE_FULL:
	/* The topic may be created yet, and its loss is no reason to end other captures. */
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		return -EAGAIN;
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		return -EMSGSIZE;
	default:
		return -ESHUTDOWN;
	}
}

static int kafka_publish(struct wb_lane *lane, struct wb_batch *batch, const struct wb_route *route)
{
	struct wb_transport *transport = lane->transport;
	const char *topic = route->topic ? route->topic : transport->topic;
	rd_kafka_headers_t *headers;
	rd_kafka_resp_err_t error;
	int r;

	if (batch->size > transport->max_batch_bytes)
		return -EMSGSIZE;
	headers = wb_kafka_headers(batch);
	/* The reports' thread reads the count: it is raised before the report can come. */
	atomic_fetch_add_explicit(&transport->published, 1, memory_order_relaxed);
	error = rd_kafka_producev(lane->producer->client, RD_KAFKA_V_TOPIC(topic),
		RD_KAFKA_V_PARTITION(route->partition < 0 ? RD_KAFKA_PARTITION_UA : route->partition),
		RD_KAFKA_V_MSGFLAGS(0), RD_KAFKA_V_VALUE((void *)batch->data, batch->size),
		RD_KAFKA_V_KEY(route->key, route->key_size), RD_KAFKA_V_TIMESTAMP(batch->max_time_ms),
		RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(batch), RD_KAFKA_V_END);
	r = publish_error(error);
	if (r == 0)
		return 0;
	/* librdkafka took neither the value nor the headers. */
	rd_kafka_headers_destroy(headers);
	atomic_fetch_sub_explicit(&transport->published, 1, memory_order_relaxed);
	if (r == -EAGAIN)
		atomic_fetch_add_explicit(&transport->again, 1, memory_order_relaxed);
	if (r == -ESHUTDOWN && !atomic_exchange(&lane->producer->failed, true))
		transport->log(transport->log_context, WB_LOG_ERROR, "%s: cannot publish any more: %s", transport->url,
			rd_kafka_err2str(error));
	return r;
}

static int kafka_flush(struct wb_transport *transport, int timeout_ms)
{
	uint64_t until = wb_monotonic_ms() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);

	for (unsigned int i = 0; i < transport->producer_count; i++) {
		uint64_t now = wb_monotonic_ms();

		if (rd_kafka_flush(transport->producers[i].client, now < until ? (int)(until - now) : 0))
			return -ETIMEDOUT;
	}
	/* A report may be in the hands of its thread still: the queue is empty before the batch is settled. */
	while (atomic_load(&transport->settled) < atomic_load(&transport->published)) {
		struct timespec pause = {.tv_nsec = 1000000};

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
		ret_stats->connected = ret_stats->connected && atomic_load(&transport->producers[i].connected);
		ret_stats->failed = ret_stats->failed || atomic_load(&transport->producers[i].failed);
	}
	ret_stats->settled = atomic_load(&transport->settled);
	ret_stats->published = atomic_load(&transport->published);
	ret_stats->bytes = atomic_load(&transport->bytes);
	ret_stats->again = atomic_load(&transport->again);
	ret_stats->reconnects = atomic_load(&transport->reconnects);
}

/* rd_kafka_destroy() alone would report nothing for what is still queued: purge, then collect the reports. */
static void producer_close(struct wb_kafka_producer *producer)
{
	atomic_store(&producer->stop, true);
	if (producer->thread_started)
		pthread_join(producer->thread, NULL);
	while (producer->client && rd_kafka_outq_len(producer->client) > 0) {
		rd_kafka_purge(producer->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
		rd_kafka_flush(producer->client, WB_KAFKA_POLL_MS);
	}
	if (producer->client)
		rd_kafka_destroy(producer->client);
	pthread_mutex_destroy(&producer->lock);
}

static void kafka_close(struct wb_transport *transport)
{
	if (!transport)
		return;
	for (unsigned int i = 0; i < transport->producer_count; i++)
		producer_close(&transport->producers[i]);
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
	.capabilities = WB_TRANSPORT_ORDERED | WB_TRANSPORT_ACKNOWLEDGES,
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
