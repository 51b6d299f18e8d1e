/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients, one after the other. librdkafka gives a client up after an error that leaves it in doubt what the broker
 * has. The next one takes over with the same batches, in their order, before anything newer: sessions and sequence
 * numbers are wirebus's own, so a reader sees at most a batch twice, and knows it by its number.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kafka_config.h"
#include "kafka_internal.h"

/* How long a client that has failed may wait for answers: each is a batch that need not be sent twice. */
#define ANSWERS_MS 2000
/* Before the second client in a row, doubled with each further one. */
#define BACKOFF_MS 100
#define BACKOFF_MAX_MS 5000
/* Strict clients in a row that end because a batch was refused: then one that goes on, as it is likely to be refused
 * more. A time without any ends the row. */
#define GAPS_MAX 8

static bool stopped(struct wb_kafka_producer *producer)
{
	return atomic_load(&producer->stop);
}

static bool is_quiet(const struct wb_kafka_producer *producer)
{
	return wb_monotonic_ms() - producer->gap_ms >= producer->transport->gap_quiet_ms;
}

void wb_kafka_note_gap(struct wb_kafka_producer *producer)
{
	/* The row that cost a client its strictness lasts until the next one. */
	if (producer->strict && is_quiet(producer))
		producer->gaps = 0;
	producer->gap_ms = wb_monotonic_ms();
}

bool wb_kafka_may_be_strict(const struct wb_kafka_producer *producer)
{
	return !producer->strict && producer->gaps >= GAPS_MAX && is_quiet(producer);
}

/*
 * librdkafka gives the messages of a request up and sends those that are queued behind it, before anybody can know. A
 * strict client ends instead. It does so for a batch that was refused as well, where there is no need to; who has many
 * of them is spared that.
 */
static void shape(struct wb_kafka_producer *producer, rd_kafka_conf_t *conf)
{
	char text[24] = "";
	size_t size = sizeof text;

	producer->strict = producer->gaps < GAPS_MAX &&
	                   rd_kafka_conf_get(conf, "enable.idempotence", text, &size) == RD_KAFKA_CONF_OK &&
	                   strcmp(text, "true") == 0 &&
	                   rd_kafka_conf_set(conf, "enable.gapless.guarantee", "true", NULL, 0) == RD_KAFKA_CONF_OK;
	if (!producer->batch_bytes)
		return;
	snprintf(text, sizeof text, "%zu", producer->batch_bytes);
	rd_kafka_conf_set(conf, "batch.size", text, NULL, 0);
}

int wb_kafka_client_open(struct wb_kafka_producer *producer, char *reason, size_t size)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_dup(producer->transport->conf);

	wb_kafka_events_attach(conf, producer);
	wb_kafka_own_attach(conf, &producer->transport->own);
	shape(producer, conf);
	producer->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, size);
	if (producer->client)
		return 0;
	rd_kafka_conf_destroy(conf);
	return rd_kafka_last_error() == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE ? -ENOMEM : -EINVAL;
}

/* From here on no lane uses the client. */
static void hold_lanes(struct wb_kafka_producer *producer)
{
	struct wb_transport *transport = producer->transport;

	atomic_store(&producer->state, WB_KAFKA_RENEWING);
	atomic_store(&producer->connected, false);
	for (unsigned int i = 0; i < transport->lane_room; i++) {
		if (transport->lanes[i].producer != producer)
			continue;
		pthread_mutex_lock(&transport->lanes[i].lock);
		pthread_mutex_unlock(&transport->lanes[i].lock);
	}
}

/* One that only makes way for a strict one has all the time it needs: nothing of it is published twice. */
static bool in_a_hurry(const struct wb_kafka_producer *producer)
{
	return producer->replace != RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE ||
	       rd_kafka_fatal_error(producer->client, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Collect what the client has not delivered in the backlog, and end it. At the stop it is left to close(). */
static void retire(struct wb_kafka_producer *producer)
{
	rd_kafka_t *client = producer->client;
	uint64_t until_ms = wb_monotonic_ms() + ANSWERS_MS;

	rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE);
	while (rd_kafka_outq_len(client) > 0 && (!in_a_hurry(producer) || wb_monotonic_ms() < until_ms) &&
		!stopped(producer))
		rd_kafka_flush(client, WB_KAFKA_POLL_MS);
	while (rd_kafka_outq_len(client) > 0 && !stopped(producer)) {
		rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
		rd_kafka_flush(client, WB_KAFKA_POLL_MS);
	}
	if (stopped(producer))
		return;
	producer->client = NULL;
	rd_kafka_destroy(client);
}

static void settle_backlog(struct wb_kafka_producer *producer, enum wb_cause cause)
{
	struct wb_kafka_flight *flight;

	while ((flight = wb_kafka_flights_take_first(&producer->backlog)))
		wb_kafka_flight_settle(producer, flight, WB_RESULT_FAILED, cause);
}

/* A batch with which client after client has ended is not tried for ever, whatever else was delivered meanwhile. */
static void drop_hopeless(struct wb_kafka_producer *producer, enum wb_cause cause)
{
	struct wb_kafka_flights all = producer->backlog;
	struct wb_kafka_flight *flight;

	producer->backlog = (struct wb_kafka_flights){0};
	while ((flight = wb_kafka_flights_take_first(&all))) {
		if (flight->tries > producer->transport->fatal_retries)
			wb_kafka_flight_settle(producer, flight, WB_RESULT_FAILED, cause);
		else
			wb_kafka_flights_append(&producer->backlog, flight);
	}
}

static void tell(struct wb_kafka_producer *producer, int level, const char *text)
{
	struct wb_transport *transport = producer->transport;
	size_t maybe = 0;

	for (const struct wb_kafka_flight *flight = producer->backlog.first; flight; flight = flight->next)
		maybe += flight->maybe_delivered;
	transport->log(transport->log_context, level,
		"%s: the client is replaced (%s); a new one takes over and publishes %zu batches again, of which %zu "
		"may be "
		"on the bus twice",
		transport->url, text, producer->backlog.count, maybe);
}

static void give_up(struct wb_kafka_producer *producer, const char *text, enum wb_cause cause)
{
	struct wb_transport *transport = producer->transport;

	transport->log(transport->log_context, WB_LOG_ERROR,
		"%s: cannot publish any more: %" PRIu64 " clients in a row have failed, the last one with: %s",
		transport->url, producer->failed_in_row, text);
	/* It is the clients that were refused: a spool keeps the batches for the next start. */
	settle_backlog(producer, cause == WB_CAUSE_DENIED ? cause : WB_CAUSE_SHUTDOWN);
	atomic_store(&producer->state, WB_KAFKA_FAILED);
}

/* Wait before the next client, longer with each that failed. */
static void pause_before_next(struct wb_kafka_producer *producer)
{
	uint64_t wait_ms = producer->failed_in_row > 1 ? BACKOFF_MS : 0;
	uint64_t until_ms;

	for (uint64_t i = 2; i < producer->failed_in_row && wait_ms < BACKOFF_MAX_MS; i++)
		wait_ms *= 2;
	until_ms = wb_monotonic_ms() + (wait_ms < BACKOFF_MAX_MS ? wait_ms : BACKOFF_MAX_MS);
	while (!stopped(producer) && wb_monotonic_ms() < until_ms) {
		struct timespec step = {.tv_nsec = 10000000};

		nanosleep(&step, NULL);
	}
}

/* Give the backlog to the new client. Whether it took all of it; if not, it has failed as well, or this is the end. */
static bool republish(struct wb_kafka_producer *producer)
{
	struct wb_transport *transport = producer->transport;

	while (producer->backlog.first && !stopped(producer)) {
		struct wb_kafka_flight *flight = producer->backlog.first;
		/* Reports come in this thread only, so the flight is there until the client is polled. */
		rd_kafka_resp_err_t error = wb_kafka_flight_produce(producer, flight);

		if (error) {
			rd_kafka_poll(producer->client, WB_KAFKA_POLL_MS);
			if (producer->replace || rd_kafka_fatal_error(producer->client, NULL, 0))
				return false;
			/* The topic may be made yet, or the right to write to it granted. */
			wb_kafka_probe(producer);
			continue;
		}
		wb_kafka_flights_take_first(&producer->backlog);
		atomic_fetch_add(&transport->republished, 1);
		if (flight->maybe_delivered)
			atomic_fetch_add(&transport->possible_duplicates, 1);
	}
	return !stopped(producer);
}

/*
 * What was too large together is sent again in requests of half the size, until it fits, or fills a request by itself.
 * The limit is not asked for, as another topic may have another and it may be lowered; nor tried from below, as it is
 * at most twice what works.
 */
static void shrink(struct wb_kafka_producer *producer, char *text, size_t size)
{
	size_t length = strlen(text);

	if (!producer->crowd.bytes)
		return;
	/* The crowd may have been in two requests, one of which was on its way when the other failed. */
	if (!producer->batch_bytes || producer->crowd.bytes < producer->batch_bytes)
		producer->batch_bytes = producer->crowd.bytes;
	producer->batch_bytes = producer->batch_bytes > 2 ? producer->batch_bytes / 2 : 1;
	producer->crowd = (struct wb_kafka_crowd){.bytes = 0};
	snprintf(text + length, size - length,
		": from now on a request has at most %zu bytes for a partition, or one message; max_message_bytes is "
		"better set to what the topic takes",
		producer->batch_bytes);
}

/* How the client has failed, with the reason in words. 0: it has not, or only at what it was given. */
static rd_kafka_resp_err_t failure(struct wb_kafka_producer *producer, char *text, size_t size)
{
	rd_kafka_resp_err_t fatal;

	if (!producer->client) {
		snprintf(text, size, "a client cannot be made");
		return RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
	}
	fatal = rd_kafka_fatal_error(producer->client, text, size);
	return fatal == RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE ? RD_KAFKA_RESP_ERR_NO_ERROR : fatal;
}

/* All reports of the last client are there: count what it came to. Returns the level to tell it with. */
static int judge(struct wb_kafka_producer *producer, rd_kafka_resp_err_t failed, char *text, size_t size)
{
	bool refused = !failed && !producer->replace;
	bool relaxed = !failed && producer->replace == RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE;

	producer->failed_in_row = refused || relaxed ? 0 : producer->failed_in_row + 1;
	producer->gaps = refused ? producer->gaps + 1 : 0;
	if (relaxed)
		snprintf(text, size, "no batch was refused for a while, so that a strict one is affordable");
	else if (!failed)
		snprintf(text, size, "%s", refused ? "a batch was refused" : rd_kafka_err2str(producer->replace));
	shrink(producer, text, size);
	return refused || relaxed ? WB_LOG_DEBUG : WB_LOG_WARNING;
}

/* One more client. Whether it has taken over. */
static bool take_over(struct wb_kafka_producer *producer)
{
	struct wb_transport *transport = producer->transport;
	char text[512] = "";
	rd_kafka_resp_err_t failed = failure(producer, text, sizeof text);
	enum wb_cause cause;
	int level;

	if (producer->client)
		retire(producer);
	if (stopped(producer))
		return false;
	level = judge(producer, failed, text, sizeof text);
	cause = wb_kafka_cause(failed ? failed : producer->replace);
	producer->replace = RD_KAFKA_RESP_ERR_NO_ERROR;
	wb_kafka_flights_sort(&producer->backlog);
	if (failed && producer->failed_in_row > transport->fatal_retries) {
		give_up(producer, text, cause);
		return false;
	}
	drop_hopeless(producer, cause);
	tell(producer, level, text);
	pause_before_next(producer);
	if (stopped(producer) || wb_kafka_client_open(producer, text, sizeof text) < 0)
		return false;
	atomic_fetch_add(&transport->renewed, 1);
	return republish(producer);
}

void wb_kafka_renew(struct wb_kafka_producer *producer)
{
	hold_lanes(producer);
	wb_kafka_records_collect(producer);
	while (!stopped(producer) && atomic_load(&producer->state) == WB_KAFKA_RENEWING)
		if (take_over(producer))
			atomic_store(&producer->state, WB_KAFKA_RUNNING);
}

/* rd_kafka_destroy() alone would report nothing for what is still queued: purge, then collect the reports. */
void wb_kafka_client_close(struct wb_kafka_producer *producer)
{
	while (producer->client && rd_kafka_outq_len(producer->client) > 0) {
		rd_kafka_purge(producer->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
		rd_kafka_flush(producer->client, WB_KAFKA_POLL_MS);
	}
	if (producer->client)
		rd_kafka_destroy(producer->client);
	producer->client = NULL;
	wb_kafka_records_collect(producer);
	settle_backlog(producer, WB_CAUSE_SHUTDOWN);
}
