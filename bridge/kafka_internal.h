/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Kafka transport share. */
#ifndef WB_KAFKA_INTERNAL_H
#define WB_KAFKA_INTERNAL_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "clock.h"
#include "kafka_flight.h"
#include "kafka_own.h"
#include "kafka_schema.h"
#include "wirebus/transport.h"

/* How long the reports' thread sleeps in librdkafka at most. */
#define WB_KAFKA_POLL_MS 100
/* Without a refused batch for so long, a client is a strict one again: a row of them is over. */
#define WB_KAFKA_GAP_QUIET_MS 60000

enum wb_kafka_state {
	WB_KAFKA_RUNNING,
	WB_KAFKA_RENEWING, /* the client is replaced: until the next one has what the last one did not deliver */
	WB_KAFKA_FAILED,   /* for good */
};

/* Messages of one partition that were refused as too large: of one request, unless several are on their way at a time.
 */
struct wb_kafka_crowd {
	const rd_kafka_topic_t *topic;
	int32_t partition;
	size_t bytes; /* 0: there are none */
};

/*
 * One connection set: its own socket, queue and thread. Lanes are spread over the producers. The client is the reports'
 * thread's own; lanes may use it under their lock while the state is WB_KAFKA_RUNNING.
 */
struct wb_kafka_producer {
	struct wb_transport *transport;
	rd_kafka_t *client;
	atomic_int state; /* enum wb_kafka_state */
	pthread_t thread;
	bool thread_started;
	atomic_bool stop;
	atomic_bool flushing;  /* somebody waits for the reports of everything that was published */
	atomic_bool connected; /* read by stats() */
	atomic_bool refuses;   /* to take a batch, for a reason that does not pass */
	bool ever_connected;   /* the thread's own, as the next ones */
	bool told_down;
	char reason[160]; /* why the last connection failed */
	bool topic_known; /* the broker has it */
	bool told_topic;
	uint64_t started_ms;
	uint64_t probed_ms;
	rd_kafka_resp_err_t replace;     /* why the client is replaced; 0: it is not */
	bool strict;                     /* the client rather ends than sends anything newer after a failure */
	unsigned int gaps;               /* clients that ended so although the batch was refused, in a row of such */
	uint64_t gap_ms;                 /* when a batch was refused last; 0: none was */
	size_t batch_bytes;              /* at most in a request for a partition; 0: the client's own limit */
	struct wb_kafka_crowd crowd;     /* what was too large together */
	uint64_t failed_in_row;          /* clients that were replaced since anything was delivered */
	struct wb_kafka_flights backlog; /* what the next client is to publish */

	pthread_mutex_t lock;         /* of the next ones */
	uint64_t refused;             /* batches that failed since it was told last */
	uint64_t told_refused_ms;     /* 0: not yet */
	struct wb_kafka_flights left; /* by lanes, for the backlog */
};

struct wb_lane {
	struct wb_kafka_producer *producer;
	pthread_mutex_t lock; /* taken by its worker and, to replace the client, by the reports' thread */
};

struct wb_transport {
	char *url;
	char *topic;
	rd_kafka_conf_t *conf; /* of every client */
	struct wb_kafka_schema schema;
	size_t max_batch_bytes;
	uint64_t fatal_retries;
	uint64_t gap_quiet_ms; /* WB_KAFKA_GAP_QUIET_MS */
	void (*log)(void *context, int level, const char *format, ...);
	void *log_context;
	struct wb_kafka_producer *producers;
	unsigned int producer_count;
	struct wb_lane *lanes;
	unsigned int lane_count; /* given out */
	unsigned int lane_room;
	atomic_ullong serial; /* of the next batch */
	atomic_ullong published;
	atomic_ullong settled;
	atomic_ullong bytes;
	atomic_ullong again;
	atomic_ullong reconnects;
	atomic_ullong renewed;
	atomic_ullong republished;
	atomic_ullong possible_duplicates;
	struct wb_kafka_own own;
};

/* ---- kafka_records.c: record mode ---- */

/*
 * Give the records of a flight that are pending to the producer's client. Without an error it comes back with the
 * reports, or when the client is replaced; what the client refuses in the middle, or for its size, is settled as
 * failed. With an error the client has none of them.
 */
rd_kafka_resp_err_t wb_kafka_records_produce(struct wb_kafka_producer *producer, struct wb_kafka_flight *flight);
/* The outcome of one record. Threads: the reports' thread, and close(). */
void wb_kafka_record_reported(
	struct wb_kafka_producer *producer, rd_kafka_t *client, const rd_kafka_message_t *message);
/* Take in what lanes had to leave to the next client. No lane uses the client. */
void wb_kafka_records_collect(struct wb_kafka_producer *producer);

/* ---- kafka_events.c: the reports' thread ---- */

/* The thread that reads a producer's reports, until its `stop`; its argument is the producer. */
void *wb_kafka_reports_main(void *producer);
/*
 * Ask for the topic's metadata, unless it is known: whether a broker answers, and whether the topic can be written to.
 * Threads: the reports' thread.
 */
void wb_kafka_probe(struct wb_kafka_producer *producer);
/* A batch, or a record of it, failed, by_client: without having been sent: tell the user, not too often. Threads: any.
 */
void wb_kafka_note_refused(
	struct wb_kafka_producer *producer, const struct wb_batch *batch, rd_kafka_resp_err_t error, bool by_client);
/* Whether a message that was not delivered is for the next client, as this one has to be replaced. */
bool wb_kafka_is_kept(struct wb_kafka_producer *producer, rd_kafka_t *client, const rd_kafka_message_t *message);

/* Whether a request was larger than the topic takes. */
bool wb_kafka_too_large(rd_kafka_resp_err_t error);

/* ---- kafka_renew.c: clients, one after the other ---- */

/*
 * Make the producer's client. reason: why that failed. Errors: -EINVAL, -ENOMEM.
 */
int wb_kafka_client_open(struct wb_kafka_producer *producer, char *reason, size_t size);
/*
 * After a fatal error, or one for which `replace` is set: end the client, make a new one, publish again what was not
 * delivered. Returns when that is done, when it is given up (WB_KAFKA_FAILED, everything settled), or at the `stop`.
 */
void wb_kafka_renew(struct wb_kafka_producer *producer);
/* A batch was refused for a reason of its own. Threads: the reports' thread, and close(). */
void wb_kafka_note_gap(struct wb_kafka_producer *producer);
/* Whether the client, which has just delivered something, should make way for a strict one. Threads: as above. */
bool wb_kafka_may_be_strict(const struct wb_kafka_producer *producer);
/* Settle everything that is still held, destroy the client. Afterwards the producer's thread has ended. */
void wb_kafka_client_close(struct wb_kafka_producer *producer);
/* Let reports, errors and log lines of the client that conf makes come to the producer. */
void wb_kafka_events_attach(rd_kafka_conf_t *conf, struct wb_kafka_producer *producer);

#endif
