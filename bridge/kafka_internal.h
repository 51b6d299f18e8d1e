/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Kafka transport share. */
#ifndef WB_KAFKA_INTERNAL_H
#define WB_KAFKA_INTERNAL_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "clock.h"
#include "wirebus/transport.h"

/* How long the reports' thread sleeps in librdkafka at most. */
#define WB_KAFKA_POLL_MS 100

/* One connection set: its own socket, queue and thread. Lanes are spread over the producers. */
struct wb_kafka_producer {
	struct wb_transport *transport;
	rd_kafka_t *client;
	pthread_t thread;
	bool thread_started;
	atomic_bool stop;
	atomic_bool connected;
	atomic_bool failed;         /* a fatal error: the client takes nothing more */
	atomic_bool ever_connected; /* callbacks run on this thread and on the one that flushes, hence atomic */
	atomic_bool told_down;
	pthread_mutex_t lock;     /* of the next three */
	char reason[160];         /* why the last connection failed */
	uint64_t refused;         /* batches that failed since it was told last */
	uint64_t told_refused_ms; /* 0: not yet */
	atomic_bool topic_known;  /* the broker has it */
	bool told_topic;          /* the thread's own, as the next ones */
	uint64_t started_ms;
	uint64_t probed_ms;
};

struct wb_lane {
	struct wb_transport *transport;
	struct wb_kafka_producer *producer;
};

struct wb_transport {
	char *url;
	char *topic;
	size_t max_batch_bytes;
	void (*log)(void *context, int level, const char *format, ...);
	void *log_context;
	struct wb_kafka_producer *producers;
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

/* Let reports, errors and log lines of the client that conf makes come to the producer. */
void wb_kafka_events_attach(rd_kafka_conf_t *conf, struct wb_kafka_producer *producer);
/* The thread that reads a producer's reports, until its `stop`; its argument is the producer. */
void *wb_kafka_reports_main(void *producer);

#endif
