/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "log.h"
#include "source_kafka_internal.h"

/* One request to the broker waits no longer, so that signals are heard. */
#define REQUEST_MS 1000
/* Before asking again for what is not there yet. */
#define RETRY_MS 200

void wb_kafka_note_error(struct wb_source *source, const char *reason)
{
	snprintf(source->reason, sizeof(source->reason), "%s", reason);
	source->waiting_code = -ETIMEDOUT;
	if (source->waiting_since_ms == 0)
		source->waiting_since_ms = (int64_t)wb_monotonic_ms();
}

void wb_kafka_note_progress(struct wb_source *source)
{
	if (source->told_waiting)
		wb_log(WB_LOG_INFO, "%s: reading again", source->url);
	source->told_waiting = false;
	source->waiting_since_ms = 0;
	source->reason[0] = '\0';
}

/* Whether to wait however long it takes. */
static bool is_patient(const struct wb_source *source)
{
	return source->follow && (source->started || !source->give_up);
}

/* Nothing came. 0: go on waiting; otherwise the wait was too long. */
int wb_kafka_check_wait(struct wb_source *source, struct wb_error *ret_error)
{
	const char *reason = source->reason[0] ? source->reason : "no answer";

	if (source->waiting_since_ms == 0 ||
		(int64_t)wb_monotonic_ms() - source->waiting_since_ms < (int64_t)source->wait_ms)
		return 0;
	if (is_patient(source)) {
		if (!source->told_waiting)
			wb_log(WB_LOG_WARNING, "%s: no messages from topic %s at %s: %s; waiting", source->url,
				source->topic_name, source->brokers, reason);
		source->told_waiting = true;
		return 0;
	}
	if (source->waiting_code == -ENOENT)
		return wb_fail(ret_error, -ENOENT, "%s: there is no topic %s at %s (%s)", source->url,
			source->topic_name, source->brokers, reason);
	return wb_fail(ret_error, -ETIMEDOUT, "%s: cannot read topic %s at %s within %g s: %s", source->url,
		source->topic_name, source->brokers, source->wait_ms / 1000.0, reason);
}

/* How long a request may take now. */
static int request_ms(const struct wb_source *source)
{
	int64_t left = source->waiting_since_ms + source->wait_ms - (int64_t)wb_monotonic_ms();

	if (is_patient(source) || left > REQUEST_MS)
		return REQUEST_MS;
	return left > 1 ? (int)left : 1;
}

/* A request failed, in a way that may pass: 0. Otherwise an error. */
static int retry_later(struct wb_source *source, rd_kafka_resp_err_t code, int timeout_ms, struct wb_error *ret_error)
{
	const char *text = rd_kafka_err2str(code);

	if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
		return wb_fail(ret_error, -EACCES, "%s: topic %s at %s: %s", source->url, source->topic_name,
			source->brokers, text);
	/* The errors of connections say more than that a request had none. */
	rd_kafka_poll(source->client, timeout_ms < 0 || timeout_ms > RETRY_MS ? RETRY_MS : timeout_ms);
	if (code != RD_KAFKA_RESP_ERR__TRANSPORT && code != RD_KAFKA_RESP_ERR__TIMED_OUT)
		snprintf(source->reason, sizeof(source->reason), "%s", text);
	source->waiting_code = code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ? -ENOENT : -ETIMEDOUT;
	if (source->waiting_code == -ENOENT && source->may_be_absent)
		return wb_fail(ret_error, -ENOENT, "%s: there is no topic %s at %s", source->url, source->topic_name,
			source->brokers);
	return wb_kafka_check_wait(source, ret_error);
}

static rd_kafka_resp_err_t find_partitions(struct wb_source *source)
{
	const struct rd_kafka_metadata *metadata;
	const struct rd_kafka_metadata_topic *topic;
	rd_kafka_resp_err_t code;

	code = rd_kafka_metadata(source->client, 0, source->topic, &metadata, request_ms(source));
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return code;
	topic = &metadata->topics[0];
	if (metadata->topic_cnt == 1 && topic->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		code = topic->err;
	else if (metadata->topic_cnt != 1 || topic->partition_cnt <= 0)
		code = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	else
		source->partitions = calloc((size_t)topic->partition_cnt, sizeof(*source->partitions));
	if (source->partitions)
		source->partition_count = topic->partition_cnt;
	source->broker_count = (unsigned int)metadata->broker_cnt;
	rd_kafka_metadata_destroy(metadata);
	return code;
}

static rd_kafka_resp_err_t find_ends(struct wb_source *source)
{
	for (int32_t i = 0; i < source->partition_count; i++) {
		struct wb_kafka_partition *partition = &source->partitions[i];
		rd_kafka_resp_err_t code;
		int64_t low, high;

		if (partition->is_known)
			continue;
		code = rd_kafka_query_watermark_offsets(
			source->client, source->topic_name, i, &low, &high, request_ms(source));
		if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
			return code;
		partition->low = low;
		partition->end = high;
		partition->is_known = true;
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Where the offsets that were given say. */
static void place_by_offset(struct wb_source *source, int32_t id)
{
	struct wb_kafka_partition *partition = &source->partitions[id];
	const struct wb_kafka_offset *offset = wb_kafka_offset_of(&source->offsets, id);

	partition->is_left_out = !offset;
	partition->position = offset ? wb_kafka_offset_resolve(offset, partition->low, partition->end, &partition->lost)
	                             : partition->end;
	if (partition->position > partition->end) {
		wb_log(WB_LOG_WARNING,
			"%s: %s[%" PRId32 "]: offset %" PRId64 " is beyond the end, %" PRId64 ": reading from there",
			source->url, source->topic_name, id, partition->position, partition->end);
		partition->position = partition->end;
	}
}

static void tell_lost(const struct wb_source *source, int32_t id)
{
	const struct wb_kafka_partition *partition = &source->partitions[id];

	if (partition->lost > 0)
		wb_log(WB_LOG_WARNING,
			"%s: %s[%" PRId32 "]: offsets %" PRId64 " to %" PRId64
			" are gone, the broker keeps none so old; reading from %" PRId64,
			source->url, source->topic_name, id, partition->low - partition->lost, partition->low - 1,
			partition->low);
}

/* Not before the first message that was written for a packet of the range. found: -1: there is none. */
static void place_by_time(struct wb_source *source, int32_t id, int64_t found)
{
	struct wb_kafka_partition *partition = &source->partitions[id];

	if (found < 0 || found > partition->end)
		found = partition->end;
	if (found > partition->position)
		partition->position = found;
	else if (partition->low > 0 && partition->position == partition->low && found == partition->low &&
		 !partition->is_left_out)
		wb_log(WB_LOG_WARNING,
			"%s: %s[%" PRId32 "]: offsets before %" PRId64
			" are gone, the broker keeps none so old: packets of the time range may have been among them",
			source->url, source->topic_name, id, partition->low);
}

/*
 * The timestamp of a message is the time of its latest packet in milliseconds, rounded down, and so is what is asked
 * for here: no message with a packet of the range comes before what is found, whatever the order.
 */
static rd_kafka_resp_err_t find_times(struct wb_source *source)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(source->partition_count);
	rd_kafka_resp_err_t code;

	for (int32_t i = 0; i < source->partition_count; i++)
		rd_kafka_topic_partition_list_add(list, source->topic_name, i)->offset =
			(int64_t)(source->since_ns / 1000000);
	code = rd_kafka_offsets_for_times(source->client, list, request_ms(source));
	for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++)
		code = list->elems[i].err;
	for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++)
		place_by_time(source, list->elems[i].partition, list->elems[i].offset);
	rd_kafka_topic_partition_list_destroy(list);
	return code;
}

static rd_kafka_resp_err_t find_places(struct wb_source *source)
{
	rd_kafka_resp_err_t code;

	for (int32_t i = 0; i < source->partition_count; i++)
		place_by_offset(source, i);
	code = source->since_ns ? find_times(source) : RD_KAFKA_RESP_ERR_NO_ERROR;
	for (int32_t i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < source->partition_count; i++) {
		struct wb_kafka_partition *partition = &source->partitions[i];

		tell_lost(source, i);
		partition->first = partition->position;
		source->is_cut = source->is_cut || partition->is_left_out || partition->position > 0;
	}
	source->is_placed = code == RD_KAFKA_RESP_ERR_NO_ERROR;
	return code;
}

static int check_partitions(const struct wb_source *source, struct wb_error *ret_error)
{
	for (size_t i = 0; i < source->offsets.count; i++)
		if (source->offsets.list[i].partition >= source->partition_count)
			return wb_fail(ret_error, -EINVAL,
				"%s: there is no partition %" PRId32 ": topic %s has %" PRId32, source->url,
				source->offsets.list[i].partition, source->topic_name, source->partition_count);
	return 0;
}

void wb_kafka_go_live(struct wb_source *source)
{
	for (int32_t i = 0; i < source->partition_count; i++)
		if (source->partitions[i].queue)
			rd_kafka_queue_forward(source->partitions[i].queue, source->queue);
	source->is_live = true;
}

static int make_queue(struct wb_source *source, struct wb_kafka_partition *partition)
{
	if (partition->queue)
		return 0;
	partition->queue = rd_kafka_queue_new(source->client);
	if (!partition->queue)
		return -ENOMEM;
	if (source->is_live)
		rd_kafka_queue_forward(partition->queue, source->queue);
	return 0;
}

int wb_kafka_start_partition(struct wb_source *source, int32_t id, struct wb_error *ret_error)
{
	struct wb_kafka_partition *partition = &source->partitions[id];

	if (partition->is_left_out || (!source->follow && partition->position >= partition->end))
		return 0;
	if (make_queue(source, partition) < 0)
		return wb_fail(ret_error, -ENOMEM, "%s: out of memory", source->url);
	if (rd_kafka_consume_start_queue(source->topic, id, partition->position, partition->queue) < 0)
		return wb_fail(ret_error, -EIO, "%s: %s[%" PRId32 "]: %s", source->url, source->topic_name, id,
			rd_kafka_err2str(rd_kafka_last_error()));
	partition->at_edge = source->follow && partition->position >= partition->end;
	partition->active = true;
	source->active_count++;
	return 0;
}

void wb_kafka_stop_partition(struct wb_source *source, int32_t id)
{
	if (!source->partitions[id].active)
		return;
	rd_kafka_consume_stop(source->topic, id);
	source->partitions[id].active = false;
	source->active_count--;
}

/* 1: all partitions are being read. 0: call again. */
int wb_kafka_start(struct wb_source *source, int timeout_ms, struct wb_error *ret_error)
{
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	int r;

	if (source->partition_count == 0)
		code = find_partitions(source);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && source->partition_count == 0)
		return wb_fail(ret_error, -ENOMEM, "%s: out of memory", source->url);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = find_ends(source);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && !source->is_placed) {
		r = check_partitions(source, ret_error);
		if (r < 0)
			return r;
		code = find_places(source);
	}
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return retry_later(source, code, timeout_ms, ret_error);
	for (int32_t i = 0; i < source->partition_count; i++) {
		r = wb_kafka_start_partition(source, i, ret_error);
		if (r < 0)
			return r;
	}
	/* More of them would be held in memory than is good. */
	if (source->partition_count > WB_KAFKA_MAX_QUEUES)
		wb_kafka_go_live(source);
	wb_kafka_note_progress(source);
	source->started = true;
	return 1;
}
