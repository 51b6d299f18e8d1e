/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record mode: the records of a batch as messages of their own. Each points into the batch's buffer until its report,
 * and all of them have the flight of their batch as their opaque.
 *
 * They have a time, which rd_kafka_produce_batch() cannot give them, and no headers but what a schema registry asks
 * for: a list of them for each of millions of messages costs more than all the rest, and what they would say is in the
 * record.
 *
 * A flight counts its records with the client, and one more while a thread gives some to it. Who takes the count to 0
 * ends it: what is pending then, after a fatal error, is for the next client.
 */
#include <stdlib.h>

#include "kafka_config.h"
#include "kafka_internal.h"

static bool has_pending(const struct wb_kafka_flight *flight)
{
	for (uint32_t i = 0; i < flight->record_count; i++)
		if (flight->pending[i])
			return true;
	return false;
}

/* One record less. ret_list: where to put the flight if that was the last one, and some are pending. */
static void release(struct wb_kafka_flight *flight, struct wb_kafka_flights *ret_list)
{
	if (atomic_fetch_sub(&flight->outstanding, 1) != 1)
		return;
	if (!has_pending(flight)) {
		free(flight);
		return;
	}
	flight->tries += flight->was_sent;
	flight->was_sent = false;
	wb_kafka_flights_append(ret_list, flight);
}

/* Give one record, which is pending, to the client. With an error it is pending still. */
static rd_kafka_resp_err_t produce_one(
	struct wb_kafka_producer *producer, rd_kafka_topic_t *topic, struct wb_kafka_flight *flight, uint32_t i)
{
	int32_t partition = flight->partition < 0 ? RD_KAFKA_PARTITION_UA : flight->partition;
	const struct wb_batch *batch = flight->batch;
	rd_kafka_headers_t *headers = wb_kafka_schema_headers(&producer->transport->schema);
	rd_kafka_resp_err_t error;
	size_t size;
	const uint8_t *record = wb_batch_record(batch, i, &size);

	flight->pending[i] = 0;
	atomic_fetch_add_explicit(&flight->outstanding, 1, memory_order_relaxed);
	error = rd_kafka_producev(producer->client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(partition),
		RD_KAFKA_V_MSGFLAGS(0), RD_KAFKA_V_VALUE((void *)record, size),
		RD_KAFKA_V_KEY(flight->key, flight->key_size), RD_KAFKA_V_TIMESTAMP(batch->records[i].time_ms),
		RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(flight), RD_KAFKA_V_END);
	if (!error)
		return error;
	if (headers)
		rd_kafka_headers_destroy(headers);
	flight->pending[i] = 1;
	atomic_fetch_sub_explicit(&flight->outstanding, 1, memory_order_relaxed);
	return error;
}

/* Some are under way, and the reports' thread's; the batch cannot be given back: those from begin on have failed. */
static void fail(struct wb_kafka_producer *producer, struct wb_kafka_flight *flight, uint32_t begin, uint32_t end,
	rd_kafka_resp_err_t error)
{
	wb_kafka_note_refused(producer, flight->batch, error, true);
	wb_kafka_flight_settle_pending(producer, flight, begin, end, WB_RESULT_FAILED, wb_kafka_cause(error));
}

/*
 * Give what is pending to the client. What it never takes, as a spool may have records of a session with a larger
 * limit, has failed, and nothing else for that. Returns how many are not pending any more; ret_error says why no
 * more, ret_end where that was.
 */
static uint32_t produce(struct wb_kafka_producer *producer, rd_kafka_topic_t *topic, struct wb_kafka_flight *flight,
	rd_kafka_resp_err_t *ret_error, uint32_t *ret_end)
{
	uint32_t gone = 0;

	*ret_error = RD_KAFKA_RESP_ERR_NO_ERROR;
	/* Once none is pending all reports may have come, and the batch be somebody else's. */
	for (uint32_t i = 0; i < flight->record_count; i++) {
		rd_kafka_resp_err_t error;

		if (!flight->pending[i])
			continue;
		error = produce_one(producer, topic, flight, i);
		if (error && error != RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
			*ret_error = error;
			*ret_end = i;
			break;
		}
		if (error)
			fail(producer, flight, i, i + 1, error);
		gone++;
	}
	return gone;
}

rd_kafka_resp_err_t wb_kafka_records_produce(struct wb_kafka_producer *producer, struct wb_kafka_flight *flight)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(producer->client, flight->topic, NULL);
	rd_kafka_resp_err_t error;
	uint32_t gone, end = 0;

	if (!topic)
		return rd_kafka_last_error();
	atomic_store(&flight->outstanding, 1);
	gone = produce(producer, topic, flight, &error, &end);
	rd_kafka_topic_destroy(topic);
	if (gone == 0 && error)
		return error;
	/* After a fatal error the next client gets them. */
	if (error && error != RD_KAFKA_RESP_ERR__FATAL)
		fail(producer, flight, end, flight->record_count, error);
	pthread_mutex_lock(&producer->lock);
	release(flight, &producer->left);
	pthread_mutex_unlock(&producer->lock);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Which record of its batch it is. */
static uint32_t record_at(const struct wb_batch *batch, const void *value)
{
	size_t offset = (size_t)((const uint8_t *)value - batch->data);
	uint32_t low = 0, high = batch->record_count - 1;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (batch->records[middle].end > offset)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* What became of a record that is not kept. */
static enum wb_result outcome(
	const struct wb_kafka_flight *flight, const rd_kafka_message_t *message, enum wb_cause *ret_cause)
{
	*ret_cause = WB_CAUSE_NONE;
	if (!message->err)
		return WB_RESULT_DELIVERED;
	if (rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED || flight->maybe_delivered)
		return WB_RESULT_UNKNOWN;
	*ret_cause = wb_kafka_cause(message->err);
	return WB_RESULT_FAILED;
}

void wb_kafka_record_reported(struct wb_kafka_producer *producer, rd_kafka_t *client, const rd_kafka_message_t *message)
{
	struct wb_transport *transport = producer->transport;
	struct wb_kafka_flight *flight = message->_private;
	struct wb_batch *batch = flight->batch;
	uint32_t number = record_at(batch, message->payload);
	enum wb_result result;
	enum wb_cause cause;

	if (message->err && wb_kafka_is_kept(producer, client, message)) {
		if (rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED)
			flight->maybe_delivered = true;
		/* What was never sent is not the cause. */
		if (message->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE)
			flight->was_sent = true;
		flight->pending[number] = 1;
		release(flight, &producer->backlog);
		return;
	}
	result = outcome(flight, message, &cause);
	if (message->err && wb_kafka_cause(message->err) != WB_CAUSE_SHUTDOWN)
		wb_kafka_note_refused(producer, batch, message->err, false);
	if (!message->err)
		atomic_fetch_add_explicit(&transport->bytes, message->len, memory_order_relaxed);
	/* Afterwards: a flush that finds everything counted must find it settled. */
	if (batch->settle_records(batch, number, 1, result, cause))
		atomic_fetch_add_explicit(&transport->settled, 1, memory_order_release);
	release(flight, &producer->backlog);
}

void wb_kafka_records_collect(struct wb_kafka_producer *producer)
{
	struct wb_kafka_flight *flight;

	pthread_mutex_lock(&producer->lock);
	while ((flight = wb_kafka_flights_take_first(&producer->left)))
		wb_kafka_flights_append(&producer->backlog, flight);
	pthread_mutex_unlock(&producer->lock);
}
