/* SPDX-License-Identifier: Apache-2.0 */
/* Which partition is read next. */
#include <poll.h>

#include "source_kafka_internal.h"

/* See wake_fetchers(). */
#define WAKE_BYTES (8u << 20)
#define WAKE_WAIT_MS 20
/* See is_stalled(). */
#define STALLED_MS 5000
#define STALLED_POLL_MS 20

/*
 * When as much was fetched ahead as is allowed, librdkafka (before 2.2) looks again only after a second, however fast
 * the reader was meanwhile. A request to the broker wakes its thread earlier; which broker that is cannot be chosen, so
 * there is one for each. The answer is of no interest.
 */
static void wake_fetchers(struct wb_source *source)
{
	const struct rd_kafka_metadata *metadata;

	if (source->unwoken_bytes >= WAKE_BYTES) {
		source->unwoken_bytes = 0;
		source->wakes = source->broker_count < 32 ? source->broker_count : 32;
	}
	if (source->wakes == 0)
		return;
	source->wakes--;
	if (rd_kafka_metadata(source->client, 0, source->topic, &metadata, 1) == RD_KAFKA_RESP_ERR_NO_ERROR)
		rd_kafka_metadata_destroy(metadata);
}

/*
 * Nothing came of it for a while, though there must be more: its broker may be away. Or where to go on is not known.
 * The others go on without it.
 */
static bool is_stalled(const struct wb_kafka_partition *partition)
{
	if (partition->ask_ms != 0)
		return true;
	return partition->starved_ms != 0 && (int64_t)wb_monotonic_ms() - partition->starved_ms > STALLED_MS;
}

static bool has_more(const struct wb_kafka_partition *partition)
{
	return (partition->active || partition->ask_ms != 0) && !partition->at_edge;
}

/* Of those that have more, the one that is furthest behind. */
static struct wb_kafka_partition *choose(const struct wb_source *source, bool with_stalled)
{
	struct wb_kafka_partition *chosen = NULL;

	for (int32_t i = 0; i < source->partition_count; i++) {
		struct wb_kafka_partition *partition = &source->partitions[i];

		if (has_more(partition) && (!chosen || partition->time_ns < chosen->time_ns) &&
			(with_stalled || !is_stalled(partition)))
			chosen = partition;
	}
	return chosen;
}

struct wb_kafka_partition *wb_kafka_furthest_behind(const struct wb_source *source)
{
	return choose(source, true);
}

/* Of those that are as far behind as this one, one that has something now; otherwise this one. */
static struct wb_kafka_partition *prefer_ready(const struct wb_source *source, struct wb_kafka_partition *chosen)
{
	if (rd_kafka_queue_length(chosen->queue) > 0)
		return chosen;
	for (int32_t i = 0; i < source->partition_count; i++) {
		struct wb_kafka_partition *partition = &source->partitions[i];

		if (partition->active && !partition->at_edge && partition->time_ns == chosen->time_ns &&
			rd_kafka_queue_length(partition->queue) > 0)
			return partition;
	}
	return chosen;
}

/* Something of whichever partition has it, when the one that should be next has been waited for long enough. */
static rd_kafka_message_t *consume_any(struct wb_source *source)
{
	for (int32_t i = 0; i < source->partition_count; i++) {
		struct wb_kafka_partition *partition = &source->partitions[i];
		rd_kafka_message_t *message = NULL;

		if (partition->active && is_stalled(partition))
			message = rd_kafka_consume_queue(partition->queue, 0);
		if (message) {
			partition->starved_ms = 0;
			return message;
		}
	}
	return NULL;
}

/* From the queue that is to be read next. */
static rd_kafka_message_t *consume_next(struct wb_source *source, int timeout_ms)
{
	struct wb_kafka_partition *partition;
	rd_kafka_message_t *message;

	if (source->is_live)
		return rd_kafka_consume_queue(source->queue, timeout_ms);
	message = source->stalled ? consume_any(source) : NULL;
	if (message)
		return message;
	partition = choose(source, false);
	if (!partition) {
		if (source->follow)
			wb_kafka_go_live(source);
		poll(NULL, 0, timeout_ms < 0 || timeout_ms > STALLED_POLL_MS ? STALLED_POLL_MS : timeout_ms);
		return NULL;
	}
	partition = prefer_ready(source, partition);
	message = rd_kafka_consume_queue(partition->queue, timeout_ms);
	if (message)
		partition->starved_ms = 0;
	else if (partition->starved_ms == 0)
		partition->starved_ms = (int64_t)wb_monotonic_ms();
	source->stalled = source->stalled || is_stalled(partition);
	return message;
}

rd_kafka_message_t *wb_kafka_consume(struct wb_source *source, int timeout_ms)
{
	rd_kafka_message_t *message;
	int64_t end = (int64_t)wb_monotonic_ms() + timeout_ms;

	/* Not only when there is nothing any more: the fetching would begin too late. */
	if (source->unwoken_bytes >= WAKE_BYTES)
		wake_fetchers(source);
	message = consume_next(source, 0);
	while (!message) {
		int wait = timeout_ms;

		wake_fetchers(source);
		if (source->wakes > 0 && (wait < 0 || wait > WAKE_WAIT_MS))
			wait = WAKE_WAIT_MS;
		message = consume_next(source, wait);
		if (timeout_ms >= 0 && (int64_t)wb_monotonic_ms() >= end)
			break;
	}
	return message;
}
