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

/* What a user can do about it, where the error's own text leaves that open. */
static const char *advice(rd_kafka_resp_err_t error, bool by_client)
{
	switch (error) {
	case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
		return " (the clock of this host, which the packets are stamped with, differs too much from the "
		       "broker's: "
		       "set it, or the topic's message.timestamp.after.max.ms)";
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
		return by_client ? " (max_message_bytes is less now than when it was captured: raise it again)"
		                 : " (the topic's max.message.bytes is less than max_message_bytes here: raise it, or "
		                   "lower this)";
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		return " (this user needs the right to write to the topic)";
	default:
		return "";
	}
}

/* A broker that refuses one batch often refuses all that follow. */
void wb_kafka_note_refused(
	struct wb_kafka_producer *producer, const struct wb_batch *batch, rd_kafka_resp_err_t error, bool by_client)
{
	struct wb_transport *transport = producer->transport;
	uint64_t refused, now_ms = wb_monotonic_ms();
	bool due;

	pthread_mutex_lock(&producer->lock);
	refused = ++producer->refused;
	due = !producer->told_refused_ms || now_ms - producer->told_refused_ms >= REFUSED_LOG_MS;
	if (due) {
		producer->refused = 0;
		producer->told_refused_ms = now_ms;
	}
	pthread_mutex_unlock(&producer->lock);
	if (due && batch->record_count)
		transport->log(transport->log_context, WB_LOG_ERROR,
			"%s: a record of stream %u: %s%s; %" PRIu64 " failed since this was said last", transport->url,
			batch->stream_id, rd_kafka_err2str(error), advice(error, by_client), refused);
	else if (due)
		transport->log(transport->log_context, WB_LOG_ERROR,
			"%s: batch %" PRIu64 " of stream %u with %u packets: %s%s; %" PRIu64
			" failed since this was said last",
			transport->url, batch->batch_seq, batch->stream_id, batch->packets, rd_kafka_err2str(error),
			advice(error, by_client), refused);
}

bool wb_kafka_too_large(rd_kafka_resp_err_t error)
{
	return error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || error == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE;
}

/* Whether a message failed for a reason of its own, so that the next client would not deliver it either. */
static bool is_refused(const struct wb_kafka_producer *producer, const rd_kafka_message_t *message)
{
	switch (message->err) {
	/* Unless it was too large only together with others: what fills a request by itself was alone in it. */
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
		return producer->batch_bytes && message->len >= producer->batch_bytes;
	case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
	case RD_KAFKA_RESP_ERR_INVALID_RECORD:
	case RD_KAFKA_RESP_ERR_INVALID_MSG:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		return true;
	default:
		return false;
	}
}

/* Errors that librdkafka does not try again after, although they say nothing about the batch: a new client may deliver
 * it. */
static bool may_pass(rd_kafka_resp_err_t error)
{
	switch (error) {
	/* The broker does not know the client any more, and librdkafka keeps its id. */
	case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING:
	case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
	case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
	case RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID:
	case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
	/* librdkafka forgot the partition for a moment, and with it what was queued. */
	case RD_KAFKA_RESP_ERR__DESTROY:
	/* The cluster is in trouble. */
	case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
	case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
	case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
	case RD_KAFKA_RESP_ERR_UNKNOWN:
		return true;
	default:
		return false;
	}
}

/* Whether a client that has ended over another message gave this one up. */
static bool is_bystander(rd_kafka_resp_err_t error)
{
	return error < RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The crowd of the first message that was too large. */
static void join_crowd(struct wb_kafka_crowd *crowd, const rd_kafka_message_t *message)
{
	if (!crowd->bytes) {
		crowd->topic = message->rkt;
		crowd->partition = message->partition;
	}
	if (crowd->topic == message->rkt && crowd->partition == message->partition)
		crowd->bytes += message->len + message->key_len;
}

/* Whether it is for a failure that the client has to be replaced. */
static bool has_failed(const struct wb_kafka_producer *producer)
{
	return producer->replace && producer->replace != RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE;
}

/* From now on lanes give the client nothing newer. why: __GAPLESS_GUARANTEE: only so that a strict one takes over. */
static void replace_client(struct wb_kafka_producer *producer, rd_kafka_resp_err_t why)
{
	if (!has_failed(producer))
		producer->replace = why;
	atomic_store(&producer->state, WB_KAFKA_RENEWING);
}

/*
 * Once a client has to be replaced, what it did not deliver is for the next one. At the end there is no next one.
 * Newer batches must not overtake. A strict client has ended before it could send any; of another the queue is emptied
 * at once.
 */
bool wb_kafka_is_kept(struct wb_kafka_producer *producer, rd_kafka_t *client, const rd_kafka_message_t *message)
{
	bool temporary = wb_kafka_too_large(message->err) || may_pass(message->err);
	rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(client, NULL, 0);

	if (atomic_load(&producer->stop))
		return false;
	if (is_refused(producer, message)) {
		wb_kafka_note_gap(producer);
		return false;
	}
	if (wb_kafka_too_large(message->err))
		join_crowd(&producer->crowd, message);
	if (fatal && fatal != RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE) {
		replace_client(producer, RD_KAFKA_RESP_ERR__FATAL);
	} else if (temporary) {
		bool first = !has_failed(producer);

		replace_client(producer, message->err);
		if (first && !fatal)
			rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
	} else if (fatal) {
		return is_bystander(message->err);
	}
	return producer->replace != RD_KAFKA_RESP_ERR_NO_ERROR;
}

/*
 * The client has delivered something. If it is not strict and can be again, it goes. Its queue is emptied only once no
 * lane uses it, or what a lane gives it meanwhile would overtake.
 */
static void make_strict(struct wb_kafka_producer *producer)
{
	if (atomic_load(&producer->stop) || producer->replace || !wb_kafka_may_be_strict(producer))
		return;
	replace_client(producer, RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE);
}

static bool keep(struct wb_kafka_producer *producer, rd_kafka_t *client, const rd_kafka_message_t *message)
{
	struct wb_kafka_flight *flight = message->_private;

	if (!wb_kafka_is_kept(producer, client, message))
		return false;
	/* One that was never sent is not the cause. */
	flight->tries += message->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE;
	if (rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED)
		flight->maybe_delivered = true;
	wb_kafka_flights_append(&producer->backlog, flight);
	return true;
}

static void on_batch_report(struct wb_kafka_producer *producer, rd_kafka_t *client, const rd_kafka_message_t *message)
{
	struct wb_kafka_flight *flight = message->_private;
	enum wb_cause cause = wb_kafka_cause(message->err);

	if (!message->err) {
		wb_kafka_flight_settle(producer, flight, WB_RESULT_DELIVERED, WB_CAUSE_NONE);
		return;
	}
	if (keep(producer, client, message))
		return;
	if (cause != WB_CAUSE_SHUTDOWN)
		wb_kafka_note_refused(producer, flight->batch, message->err, false);
	if (rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED)
		wb_kafka_flight_settle(producer, flight, WB_RESULT_UNKNOWN, WB_CAUSE_NONE);
	else
		wb_kafka_flight_settle(producer, flight, WB_RESULT_FAILED, cause);
}

/*
 * The delivery report: the only place where a batch, or a record, that librdkafka took is settled, or kept for the next
 * client. Runs in the reports' thread, and in close().
 */
static void on_report(rd_kafka_t *client, const rd_kafka_message_t *message, void *context)
{
	struct wb_kafka_producer *producer = context;
	const struct wb_kafka_flight *flight = message->_private;

	if (!message->err) {
		producer->failed_in_row = 0;
		producer->topic_known = true;
		mark_connected(producer);
		make_strict(producer);
	} else if (message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
		/* Look again, until the right is there. */
		producer->topic_known = false;
	}
	if (flight->record_count)
		wb_kafka_record_reported(producer, client, message);
	else
		on_batch_report(producer, client, message);
}

static void on_error(rd_kafka_t *client, int code, const char *reason, void *context)
{
	struct wb_kafka_producer *producer = context;
	struct wb_transport *transport = producer->transport;

	switch ((rd_kafka_resp_err_t)code) {
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
		mark_down(producer, producer->reason[0] ? producer->reason : reason);
		break;
	case RD_KAFKA_RESP_ERR__TRANSPORT:
		snprintf(producer->reason, sizeof producer->reason, "%s", reason);
		transport->log(transport->log_context, WB_LOG_DEBUG, "%s: %s", transport->url, reason);
		break;
	case RD_KAFKA_RESP_ERR__FATAL:
		/* The reports' thread sees it next. */
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
		producer->topic_known = true;
		return;
	}
	if (producer->told_topic || wb_monotonic_ms() - producer->started_ms < PATIENCE_MS)
		return;
	producer->told_topic = true;
	transport->log(transport->log_context, WB_LOG_ERROR,
		"%s: topic '%s': %s; it is tried again until it can be written to", transport->url, transport->topic,
		rd_kafka_err2str(topic->err));
}

void wb_kafka_probe(struct wb_kafka_producer *producer)
{
	struct wb_transport *transport = producer->transport;
	const struct rd_kafka_metadata *metadata;
	uint64_t now = wb_monotonic_ms();
	rd_kafka_topic_t *topic;
	rd_kafka_resp_err_t error;

	if (atomic_load(&producer->connected) && producer->topic_known)
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

/* Serve reports for a while; when somebody waits for all of them, without lingering. */
static void serve(struct wb_kafka_producer *producer)
{
	if (!atomic_load(&producer->flushing))
		rd_kafka_poll(producer->client, WB_KAFKA_POLL_MS);
	else if (rd_kafka_flush(producer->client, WB_KAFKA_POLL_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
		atomic_store(&producer->flushing, false);
}

void *wb_kafka_reports_main(void *context)
{
	struct wb_kafka_producer *producer = context;

	producer->started_ms = wb_monotonic_ms();
	while (!atomic_load(&producer->stop)) {
		serve(producer);
		if (producer->replace || rd_kafka_fatal_error(producer->client, NULL, 0))
			wb_kafka_renew(producer);
		if (atomic_load(&producer->state) != WB_KAFKA_RUNNING)
			break;
		wb_kafka_probe(producer);
	}
	return NULL;
}
