/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kafka, through librdkafka. Workers produce directly; one thread for each producer reads the delivery reports.
 *
 * Values go by reference: librdkafka keeps a pointer into the batch's buffer until its delivery report, which is where
 * the batch is settled. Nothing times out inside the client: memory is bounded by the worker's pool, so a batch is held
 * until the broker takes it, or until close() gives it up.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kafka_config.h"
#include "log.h"
#include "registry.h"

/* How often to ask for the broker while none answers. */
#define PROBE_MS 1000
#define REPORT_POLL_MS 100
/* Between messages about batches that failed. */
#define REFUSED_LOG_MS 10000
/* How long no broker may answer, after the start, before the user is told; a refused connection is told at once. */
#define PATIENCE_MS 3000

/* One connection set: its own socket, queue and thread. Lanes are spread over the producers. */
struct producer {
	struct wb_transport *transport;
	rd_kafka_t *client;
	pthread_t thread;
	bool thread_started;
	atomic_bool stop;
	atomic_bool connected;
	atomic_bool failed;	    /* a fatal error: the client takes nothing more */
	atomic_bool ever_connected; /* callbacks run on this thread and on the one that flushes, hence atomic */
	atomic_bool told_down;
	pthread_mutex_t lock;	  /* of the next three */
	char reason[160];	  /* why the last connection failed */
	uint64_t refused;	  /* batches that failed since it was told last */
	uint64_t told_refused_ms; /* 0: not yet */
	atomic_bool topic_known;  /* the broker has it */
	bool told_topic;	  /* the thread's own, as the next ones */
	uint64_t started_ms;
	uint64_t probed_ms;
};

struct wb_lane {
	struct wb_transport *transport;
	struct producer *producer;
};

struct wb_transport {
	char *url;
	char *topic;
	size_t max_batch_bytes;
	void (*log)(void *context, int level, const char *format, ...);
	void *log_context;
	struct producer *producers;
	unsigned int producer_count;
	struct wb_lane *lanes;
	unsigned int lane_count;
	unsigned int lane_room;
	atomic_ullong published;
	atomic_ullong settled;
	atomic_ullong bytes;
	atomic_ullong again;
	atomic_ullong reconnects;
};

static uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* The broker answered: say so if it had been said that none does. */
static void mark_connected(struct producer *producer)
{
	struct wb_transport *transport = producer->transport;

	if (atomic_exchange(&producer->connected, true))
		return;
	if (producer->ever_connected)
		atomic_fetch_add(&transport->reconnects, 1);
	if (producer->told_down)
		transport->log(transport->log_context, WB_LOG_WARNING, "%s: a broker answers again", transport->url);
	else if (!producer->ever_connected)
		transport->log(transport->log_context, WB_LOG_INFO, "%s: connected", transport->url);
	producer->ever_connected = true;
	producer->told_down = false;
}

static void mark_down(struct producer *producer, const char *reason)
{
	struct wb_transport *transport = producer->transport;

	atomic_store(&producer->connected, false);
	if (producer->told_down)
		return;
	producer->told_down = true;
	transport->log(transport->log_context, WB_LOG_WARNING,
		"%s: no broker answers (%s); the capture goes on, batches are kept in memory and the connection is "
		"tried again",
		transport->url, reason);
}

/* A broker that refuses one batch often refuses all that follow. */
static void tell_refused(struct producer *producer, const struct wb_batch *batch, rd_kafka_resp_err_t error)
{
	struct wb_transport *transport = producer->transport;
	uint64_t refused, now = monotonic_ms();
	bool due;

	pthread_mutex_lock(&producer->lock);
	refused = ++producer->refused;
	due = !producer->told_refused_ms || now - producer->told_refused_ms >= REFUSED_LOG_MS;
	if (due) {
		producer->refused = 0;
		producer->told_refused_ms = now;
	}
	pthread_mutex_unlock(&producer->lock);
	if (due)
		transport->log(transport->log_context, WB_LOG_ERROR,
			"%s: batch %" PRIu64 " of stream %u with %u packets: %s; %" PRIu64 " failed since this was "
			"said last",
			transport->url, batch->batch_seq, batch->stream_id, batch->packets, rd_kafka_err2str(error),
			refused);
}

/* The delivery report: the only place where a batch that librdkafka took is settled. */
static void on_report(rd_kafka_t *client, const rd_kafka_message_t *message, void *context)
{
	struct producer *producer = context;
	struct wb_transport *transport = producer->transport;
	struct wb_batch *batch = message->_private;
	enum wb_result result = WB_RESULT_FAILED;
	enum wb_cause cause = WB_CAUSE_NONE;

	if (!message->err) {
		result = WB_RESULT_DELIVERED;
		mark_connected(producer);
		atomic_store_explicit(&producer->topic_known, true, memory_order_relaxed);
		atomic_fetch_add_explicit(&transport->bytes, batch->size, memory_order_relaxed);
	} else if (rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED) {
		result = WB_RESULT_UNKNOWN;
	} else {
		cause = wb_kafka_cause(message->err);
	}
	if (message->err && cause != WB_CAUSE_SHUTDOWN && message->err != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
		tell_refused(producer, batch, message->err);
	batch->settle(batch, result, cause);
	/* Afterwards: a flush that finds everything counted must find it settled. */
	atomic_fetch_add_explicit(&transport->settled, 1, memory_order_release);
}

static void on_error(rd_kafka_t *client, int code, const char *reason, void *context)
{
	struct producer *producer = context;
	struct wb_transport *transport = producer->transport;
	char text[256];

	switch ((rd_kafka_resp_err_t)code) {
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
		pthread_mutex_lock(&producer->lock);
		snprintf(text, sizeof text, "%s", producer->reason[0] ? producer->reason : reason);
		pthread_mutex_unlock(&producer->lock);
		mark_down(producer, text);
		break;
	case RD_KAFKA_RESP_ERR__TRANSPORT:
		pthread_mutex_lock(&producer->lock);
		snprintf(producer->reason, sizeof producer->reason, "%s", reason);
		pthread_mutex_unlock(&producer->lock);
		transport->log(transport->log_context, WB_LOG_DEBUG, "%s: %s", transport->url, reason);
		break;
	case RD_KAFKA_RESP_ERR__FATAL:
		atomic_store(&producer->failed, true);
		rd_kafka_fatal_error(client, text, sizeof text);
		transport->log(transport->log_context, WB_LOG_ERROR, "%s: fatal: %s", transport->url, text);
		break;
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR__SSL:
	case RD_KAFKA_RESP_ERR__RESOLVE:
		mark_down(producer, reason);
		break;
	default:
		transport->log(transport->log_context, WB_LOG_DEBUG, "%s: %s", transport->url, reason);
	}
}

/* librdkafka's own lines; what a user must know comes through on_error(). */
static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	struct producer *producer = rd_kafka_opaque(client);

	producer->transport->log(producer->transport->log_context, WB_LOG_DEBUG, "librdkafka: %s: %s", facility, text);
}

/* A broker that creates topics has it at the second look, so the user is told later, and once. */
static void look_at_topic(struct producer *producer, const struct rd_kafka_metadata_topic *topic)
{
	struct wb_transport *transport = producer->transport;

	if (!topic->err) {
		atomic_store(&producer->topic_known, true);
		return;
	}
	if (producer->told_topic || monotonic_ms() - producer->started_ms < PATIENCE_MS)
		return;
	producer->told_topic = true;
	transport->log(transport->log_context, WB_LOG_ERROR,
		"%s: topic '%s': %s; it is tried again until it can be written to", transport->url, transport->topic,
		rd_kafka_err2str(topic->err));
}

/* Ask for the topic's metadata: whether a broker answers, and whether it has the topic. */
static void probe(struct producer *producer)
{
	struct wb_transport *transport = producer->transport;
	const struct rd_kafka_metadata *metadata;
	uint64_t now = monotonic_ms();
	rd_kafka_topic_t *topic;
	rd_kafka_resp_err_t error;

	if (atomic_load(&producer->connected) && atomic_load(&producer->topic_known))
		return;
	if (now - producer->probed_ms < PROBE_MS)
		return;
	topic = rd_kafka_topic_new(producer->client, transport->topic, NULL);
	if (!topic)
		return;
	error = rd_kafka_metadata(producer->client, 0, topic, &metadata, PROBE_MS / 2);
	rd_kafka_topic_destroy(topic);
	producer->probed_ms = monotonic_ms();
	if (error) {
		if (now - producer->started_ms >= PATIENCE_MS)
			mark_down(producer, rd_kafka_err2str(error));
		return;
	}
	mark_connected(producer);
	if (metadata->topic_cnt == 1)
		look_at_topic(producer, &metadata->topics[0]);
	rd_kafka_metadata_destroy(metadata);
}

static void *report_main(void *context)
{
	struct producer *producer = context;

	producer->started_ms = monotonic_ms();
	while (!atomic_load(&producer->stop)) {
		rd_kafka_poll(producer->client, REPORT_POLL_MS);
		probe(producer);
	}
	return NULL;
}

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

static int producer_open(struct producer *producer, const struct wb_transport_args *args, struct wb_error *ret_error)
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
	rd_kafka_conf_set_opaque(conf, producer);
	rd_kafka_conf_set_dr_msg_cb(conf, on_report);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, on_log);
	producer->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
	if (!producer->client) {
		rd_kafka_conf_destroy(conf);
		return wb_fail(ret_error, -EINVAL, "%s: %s", args->url, reason);
	}
	return 0;
}

static int producer_start(struct producer *producer, const struct wb_transport_args *args, struct wb_error *ret_error)
{
	int r = -pthread_create(&producer->thread, NULL, report_main, producer);

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
	uint64_t until = monotonic_ms() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);

	for (unsigned int i = 0; i < transport->producer_count; i++) {
		uint64_t now = monotonic_ms();

		if (rd_kafka_flush(transport->producers[i].client, now < until ? (int)(until - now) : 0))
			return -ETIMEDOUT;
	}
	/* A report may be in the hands of its thread still: the queue is empty before the batch is settled. */
	while (atomic_load(&transport->settled) < atomic_load(&transport->published)) {
		struct timespec pause = {.tv_nsec = 1000000};

		if (monotonic_ms() >= until)
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
static void producer_close(struct producer *producer)
{
	atomic_store(&producer->stop, true);
	if (producer->thread_started)
		pthread_join(producer->thread, NULL);
	while (producer->client && rd_kafka_outq_len(producer->client) > 0) {
		rd_kafka_purge(producer->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
		rd_kafka_flush(producer->client, REPORT_POLL_MS);
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
