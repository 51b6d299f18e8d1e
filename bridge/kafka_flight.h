/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch that was published, until it is settled: what is needed to publish it once more, should the client have
 * to be replaced before the broker has acknowledged it.
 */
#ifndef WB_KAFKA_FLIGHT_H
#define WB_KAFKA_FLIGHT_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#include "wirebus/transport.h"

struct wb_kafka_producer;

struct wb_kafka_flight {
	struct wb_kafka_flight *next;
	struct wb_batch *batch;
	uint64_t serial;      /* order of publication */
	uint64_t tries;       /* clients that had to be replaced while they had it */
	bool maybe_delivered; /* by one of them */
	int32_t partition;
	/* Record mode: records with the client, and one more while some are given to it; kafka_records.c. */
	uint32_t record_count; /* 0: the batch is one message */
	bool was_sent;         /* by the client that failed; reports' thread */
	atomic_uint outstanding;
	uint8_t *pending; /* a byte for each record: 1: the client does not have it, and it has no outcome */
	char *topic;
	size_t key_size; /* of `bytes`, in which topic and pending follow */
	const void *key; /* NULL: none */
	uint8_t bytes[];
};

/* A list, sorted or not. Zeroed: empty. */
struct wb_kafka_flights {
	struct wb_kafka_flight *first, *last;
	size_t count;
};

/* Copy what the route says; topic: where the route names none. NULL: no memory. Ownership: free it with free(3). */
struct wb_kafka_flight *wb_kafka_flight_create(struct wb_batch *batch, const struct wb_route *route, const char *topic);
/* Give it to the producer's client. On success it comes back as the opaque of its report. */
rd_kafka_resp_err_t wb_kafka_flight_produce(struct wb_kafka_producer *producer, struct wb_kafka_flight *flight);
/* Settle the batch, free the flight, count. A failure is uncertain if an earlier client may have delivered the batch.
 */
void wb_kafka_flight_settle(
	struct wb_kafka_producer *producer, struct wb_kafka_flight *flight, enum wb_result result, enum wb_cause cause);
/* Record mode: settle those of the records from number `begin` to before `end` that are pending. */
void wb_kafka_flight_settle_pending(struct wb_kafka_producer *producer, struct wb_kafka_flight *flight, uint32_t begin,
	uint32_t end, enum wb_result result, enum wb_cause cause);

void wb_kafka_flights_append(struct wb_kafka_flights *flights, struct wb_kafka_flight *flight);
/* NULL: the list is empty. */
struct wb_kafka_flight *wb_kafka_flights_take_first(struct wb_kafka_flights *flights);
/* In the order of publication. */
void wb_kafka_flights_sort(struct wb_kafka_flights *flights);

#endif
