/* SPDX-License-Identifier: Apache-2.0 */
/* What librdkafka tells a producer: the outcome of each batch, and whether brokers and topic are there. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "kafka_config.h"
#include "kafka_internal.h"

/* How often to ask for the broker while none answers. */
#define PROBE_MS 1000
/* Between messages about batches that failed. */
#define REFUSED_LOG_MS 10000
/* How long no broker may answer, after the start, before the user is told; a refused connection is told at once. */
#define PATIENCE_MS 3000

/* The broker answered: say so if it had been said that none does. */
static void mark_connected(struct wb_kafka_producer *producer)
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

static void mark_down(struct wb_kafka_producer *producer, const char *reason)
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
static void tell_refused(struct wb_kafka_producer *producer, const struct wb_batch *batch, rd_kafka_resp_err_t error)
{
	struct wb_transport *transport = producer->transport;
	uint64_t refused, now = wb_monotonic_ms();
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
	struct wb_kafka_producer *producer = context;
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
	struct wb_kafka_producer *producer = context;
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
	struct wb_kafka_producer *producer = rd_kafka_opaque(client);

	producer->transport->log(producer->transport->log_context, WB_LOG_DEBUG, "librdkafka: %s: %s", facility, text);
}

/* A broker that creates topics has it at the second look, so the user is told later, and once. */
static void look_at_topic(struct wb_kafka_producer *producer, const struct rd_kafka_metadata_topic *topic)
{
	struct wb_transport *transport = producer->transport;

	if (!topic->err) {
		atomic_store(&producer->topic_known, true);
		return;
	}
	if (producer->told_topic || wb_monotonic_ms() - producer->started_ms < PATIENCE_MS)
		return;
	producer->told_topic = true;
	transport->log(transport->log_context, WB_LOG_ERROR,
		"%s: topic '%s': %s; it is tried again until it can be written to", transport->url, transport->topic,
		rd_kafka_err2str(topic->err));
}

/* Ask for the topic's metadata: whether a broker answers, and whether it has the topic. */
static void probe(struct wb_kafka_producer *producer)
{
	struct wb_transport *transport = producer->transport;
	const struct rd_kafka_metadata *metadata;
	uint64_t now = wb_monotonic_ms();
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
	producer->probed_ms = wb_monotonic_ms();
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

void wb_kafka_events_attach(rd_kafka_conf_t *conf, struct wb_kafka_producer *producer)
{
	rd_kafka_conf_set_opaque(conf, producer);
	rd_kafka_conf_set_dr_msg_cb(conf, on_report);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, on_log);
}

void *wb_kafka_reports_main(void *context)
{
	struct wb_kafka_producer *producer = context;

	producer->started_ms = wb_monotonic_ms();
	while (!atomic_load(&producer->stop)) {
		rd_kafka_poll(producer->client, WB_KAFKA_POLL_MS);
		probe(producer);
	}
	return NULL;
}
