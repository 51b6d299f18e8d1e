/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_flight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka_config.h"
#include "kafka_internal.h"

struct wb_kafka_flight *wb_kafka_flight_create(struct wb_batch *batch, const struct wb_route *route, const char *topic)
{
	const char *name = route->topic ? route->topic : topic;
	const char *suffix = route->topic_suffix ? route->topic_suffix : "";
	size_t key_size = route->key ? route->key_size : 0;
	size_t topic_size = strlen(name) + strlen(suffix) + 1;
	struct wb_kafka_flight *flight = malloc(sizeof *flight + key_size + topic_size + batch->record_count);

	if (!flight)
		return NULL;
	*flight = (struct wb_kafka_flight){
		.batch = batch, .partition = route->partition, .record_count = batch->record_count};
	if (route->key) {
		memcpy(flight->bytes, route->key, key_size);
		flight->key = flight->bytes;
		flight->key_size = key_size;
	}
	flight->topic = (char *)flight->bytes + key_size;
	snprintf(flight->topic, topic_size, "%s%s", name, suffix);
	flight->pending = flight->bytes + key_size + topic_size;
	memset(flight->pending, 1, batch->record_count);
	return flight;
}

rd_kafka_resp_err_t wb_kafka_flight_produce(struct wb_kafka_producer *producer, struct wb_kafka_flight *flight)
{
	struct wb_transport *transport = producer->transport;
	const struct wb_batch *batch = flight->batch;
	rd_kafka_headers_t *headers;
	rd_kafka_resp_err_t error;
	const uint8_t *value;
	size_t size;

	if (batch->record_count)
		return wb_kafka_records_produce(producer, flight);
	headers = wb_kafka_headers(batch);
	wb_kafka_schema_add_header(&transport->schema, headers);
	value = wb_kafka_schema_value(&transport->schema, batch, &size);
	error = rd_kafka_producev(producer->client, RD_KAFKA_V_TOPIC(flight->topic),
		RD_KAFKA_V_PARTITION(flight->partition < 0 ? RD_KAFKA_PARTITION_UA : flight->partition),
		RD_KAFKA_V_MSGFLAGS(0), RD_KAFKA_V_VALUE((void *)value, size),
		RD_KAFKA_V_KEY(flight->key, flight->key_size), RD_KAFKA_V_TIMESTAMP(batch->max_time_ms),
		RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(flight), RD_KAFKA_V_END);
	/* librdkafka took neither the value nor the headers. */
	if (error)
		rd_kafka_headers_destroy(headers);
	return error;
}

void wb_kafka_flight_settle_pending(struct wb_kafka_producer *producer, struct wb_kafka_flight *flight, uint32_t begin,
	uint32_t end, enum wb_result result, enum wb_cause cause)
{
	/* With the last record the batch is somebody else's; then none is pending. */
	struct wb_batch *batch = flight->batch;

	for (uint32_t i = begin; i < end; i++) {
		if (!flight->pending[i])
			continue;
		flight->pending[i] = 0;
		/* Counted afterwards: a flush that finds everything counted must find it settled. */
		if (batch->settle_records(batch, i, 1, result, cause))
			atomic_fetch_add_explicit(&producer->transport->settled, 1, memory_order_release);
	}
}

void wb_kafka_flight_settle(
	struct wb_kafka_producer *producer, struct wb_kafka_flight *flight, enum wb_result result, enum wb_cause cause)
{
	struct wb_transport *transport = producer->transport;
	struct wb_batch *batch = flight->batch;

	if (result == WB_RESULT_FAILED && flight->maybe_delivered) {
		result = WB_RESULT_UNKNOWN;
		cause = WB_CAUSE_NONE;
	}
	if (result == WB_RESULT_DELIVERED)
		atomic_fetch_add_explicit(&transport->bytes, batch->size, memory_order_relaxed);
	if (batch->record_count) {
		wb_kafka_flight_settle_pending(producer, flight, 0, flight->record_count, result, cause);
		free(flight);
		return;
	}
	free(flight);
	batch->settle(batch, result, cause);
	/* Afterwards: a flush that finds everything counted must find it settled. */
	atomic_fetch_add_explicit(&transport->settled, 1, memory_order_release);
}

void wb_kafka_flights_append(struct wb_kafka_flights *flights, struct wb_kafka_flight *flight)
{
	flight->next = NULL;
	if (flights->last)
		flights->last->next = flight;
	else
		flights->first = flight;
	flights->last = flight;
	flights->count++;
}

struct wb_kafka_flight *wb_kafka_flights_take_first(struct wb_kafka_flights *flights)
{
	struct wb_kafka_flight *flight = flights->first;

	if (!flight)
		return NULL;
	flights->first = flight->next;
	if (!flights->first)
		flights->last = NULL;
	flights->count--;
	return flight;
}

/* Two sorted lists become one. */
static struct wb_kafka_flights merge(struct wb_kafka_flights a, struct wb_kafka_flights b)
{
	struct wb_kafka_flights merged = {0};

	while (a.first && b.first)
		wb_kafka_flights_append(
			&merged, wb_kafka_flights_take_first(a.first->serial < b.first->serial ? &a : &b));
	while (a.first)
		wb_kafka_flights_append(&merged, wb_kafka_flights_take_first(&a));
	while (b.first)
		wb_kafka_flights_append(&merged, wb_kafka_flights_take_first(&b));
	return merged;
}

/* Merge sort from the bottom, without memory: runs[i] is empty or has about 2^i flights. */
void wb_kafka_flights_sort(struct wb_kafka_flights *flights)
{
	struct wb_kafka_flights runs[32] = {{0}};
	struct wb_kafka_flights sorted = {0};
	struct wb_kafka_flight *flight;

	while ((flight = wb_kafka_flights_take_first(flights))) {
		struct wb_kafka_flights run = {0};
		size_t i = 0;

		wb_kafka_flights_append(&run, flight);
		for (; runs[i].first && i < sizeof runs / sizeof runs[0] - 1; i++) {
			run = merge(runs[i], run);
			runs[i] = (struct wb_kafka_flights){0};
		}
		runs[i] = runs[i].first ? merge(runs[i], run) : run;
	}
	for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
		sorted = merge(runs[i], sorted);
	*flights = sorted;
}
