/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches from all partitions of a Kafka topic, without a consumer group: nothing is committed, nothing is shared with
 * other readers. Each partition is read from its beginning, from an offset, or from where the first packet of a time
 * range can be, to where it ended when the source was opened, or for ever with follow. Which one is read next is
 * decided by the time that each was read up to. Partitions that are added to the topic later are not read.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka_address.h"
#include "kafka_consumer.h"
#include "kafka_schema.h"
#include "kafka_topic.h"
#include "log.h"
#include "registry.h"
#include "source_kafka_internal.h"
#include "wbproto.h"

/* How long the question where to go on behind a gap may take; with follow it is asked again, and signals are heard. */
#define GAP_QUERY_MS 5000
#define GAP_QUERY_FOLLOW_MS 1000
#define GAP_RETRY_MS 1000

struct kafka_options {
	char *offset;
	char *properties_file;
};

static const struct wb_option_row kafka_rows[] = {
	{.key = "offset",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct kafka_options, offset),
		.default_value = "earliest",
		.min = 1,
		.unit = "OFFSET",
		.help = "Where to begin in each partition: earliest, latest, a number, -N for N before the end, or "
			"PARTITION:OFFSET,... for those that are to be read"},
	{.key = "properties_file",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct kafka_options, properties_file),
		.min = 1,
		.unit = "FILE",
		.help = "File with properties of librdkafka, NAME=VALUE in each line, so that a password is in no "
			"command "
			"line"},
	{.key = NULL},
};

/* Runs in rd_kafka_poll(), so in the reader's thread. */
static void on_error(rd_kafka_t *client, int code, const char *reason, void *context)
{
	struct wb_source *source = context;

	/* This one has no reason of its own: the brokers' errors came before it. */
	if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && source->reason[0] != '\0')
		reason = NULL;
	if (reason)
		wb_kafka_note_error(source, reason);
	wb_log(WB_LOG_DEBUG, "%s: %s", source->url, reason ? reason : rd_kafka_err2str(code));
}

static enum wb_message_kind kind_of(const rd_kafka_message_t *message)
{
	static const char record[] = "message=wirebus.v1.PacketRecord";
	struct wbproto_record unused;
	rd_kafka_headers_t *headers;
	const void *value;
	size_t size;

	/* Records have no headers. No batch can be taken for one: the fields of its interfaces and packets are others.
	 */
	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
		rd_kafka_header_get_last(headers, "content-type", &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR ||
		!value)
		return wbproto_record_read(message->payload, message->len, &unused) == 0 ? WB_MESSAGE_RECORD
		                                                                         : WB_MESSAGE_BATCH;
	return memmem(value, size, record, sizeof(record) - 1) ? WB_MESSAGE_RECORD : WB_MESSAGE_BATCH;
}

/* Where to go on behind a gap is not known. Who follows asks again. */
static int put_off_gap(struct wb_source *source, int32_t id, rd_kafka_resp_err_t code, struct wb_error *ret_error)
{
	struct wb_kafka_partition *partition = &source->partitions[id];

	if (!source->follow)
		return wb_fail(ret_error, -EIO,
			"%s: %s[%" PRId32 "]@%" PRId64
			": the broker has no such message any more, and does not say which ones it has: %s",
			source->url, source->topic_name, id, partition->position, rd_kafka_err2str(code));
	if (partition->ask_ms == 0) {
		source->asking_count++;
		wb_log(WB_LOG_WARNING,
			"%s: %s[%" PRId32 "]@%" PRId64
			": the broker has no such message any more, and does not say which ones it has (%s); trying "
			"again",
			source->url, source->topic_name, id, partition->position, rd_kafka_err2str(code));
	}
	partition->ask_ms = (int64_t)wb_monotonic_ms() + GAP_RETRY_MS;
	return 0;
}

/* The messages that would be next are gone: retention was faster than the reader, or the topic was made anew. */
static int skip_gap(struct wb_source *source, int32_t id, struct wb_error *ret_error)
{
	struct wb_kafka_partition *partition = &source->partitions[id];
	int64_t low, high, from = partition->position;
	rd_kafka_resp_err_t code;
	int r;

	wb_kafka_stop_partition(source, id);
	code = rd_kafka_query_watermark_offsets(source->client, source->topic_name, id, &low, &high,
		source->follow ? GAP_QUERY_FOLLOW_MS : GAP_QUERY_MS);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return put_off_gap(source, id, code, ret_error);
	source->asking_count -= partition->ask_ms != 0;
	partition->ask_ms = 0;
	partition->position = from < low ? low : high;
	source->is_cut = true;
	r = wb_kafka_start_partition(source, id, ret_error);
	if (r < 0)
		return r;
	return wb_fail(ret_error, -EBADMSG,
		"%s: %s[%" PRId32 "]@%" PRId64 ": the broker has no such message any more; continued at %" PRId64
		": the offsets in between are gone",
		source->url, source->topic_name, id, from, partition->position);
}

/* Ask again where to go on, if it is time. */
static int ask_again(struct wb_source *source, struct wb_error *ret_error)
{
	int64_t now_ms = (int64_t)wb_monotonic_ms();
	int r = 0;

	for (int32_t i = 0; r == 0 && source->asking_count > 0 && i < source->partition_count; i++)
		if (source->partitions[i].ask_ms != 0 && source->partitions[i].ask_ms <= now_ms)
			r = skip_gap(source, i, ret_error);
	return r;
}

/* A record that cannot be read is skipped by librdkafka; if it is not, do not report it for ever. */
static int report_damage(struct wb_source *source, const rd_kafka_message_t *message, struct wb_error *ret_error)
{
	bool again = source->bad_partition == message->partition && source->bad_offset == message->offset;

	source->bad_partition = message->partition;
	source->bad_offset = message->offset;
	return wb_fail(ret_error, again ? -EIO : -EBADMSG, "%s: %s[%" PRId32 "]@%" PRId64 ": %s", source->url,
		source->topic_name, message->partition, message->offset, rd_kafka_message_errstr(message));
}

/* What came in place of a message. 0: go on. */
static int take_event(struct wb_source *source, const rd_kafka_message_t *message, struct wb_error *ret_error)
{
	/* Errors of the topic as a whole come without a partition. */
	bool is_partition = message->partition >= 0 && message->partition < source->partition_count;

	switch (message->err) {
	case RD_KAFKA_RESP_ERR__PARTITION_EOF:
		wb_kafka_note_progress(source);
		if (is_partition)
			source->partitions[message->partition].at_edge = true;
		if (!source->follow && is_partition)
			wb_kafka_stop_partition(source, message->partition);
		return 0;
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		if (is_partition)
			return skip_gap(source, message->partition, ret_error);
		break;
	case RD_KAFKA_RESP_ERR__BAD_MSG:
	case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
	case RD_KAFKA_RESP_ERR__UNDERFLOW:
	case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
	case RD_KAFKA_RESP_ERR_INVALID_MSG:
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		return report_damage(source, message, ret_error);
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
		return wb_fail(ret_error, -ENOENT, "%s: %s[%" PRId32 "]: %s", source->url, source->topic_name,
			message->partition, rd_kafka_message_errstr(message));
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		return wb_fail(ret_error, -EACCES, "%s: %s: %s", source->url, source->topic_name,
			rd_kafka_message_errstr(message));
	default:
		break;
	}
	wb_kafka_note_error(source, rd_kafka_message_errstr(message));
	return 0;
}

/* A heartbeat has the time at which it was sent, which of a capture file's packets says nothing. */
static bool has_no_packets(const rd_kafka_message_t *message)
{
	rd_kafka_headers_t *headers;
	const void *value;
	size_t size;

	return rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
	       rd_kafka_header_get_last(headers, "wb-packets", &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR && value &&
	       size == 1 && *(const char *)value == '0';
}

/* Whether the reading of the partition is over with this message, which is not given on then. */
static bool is_past_range(struct wb_source *source, const rd_kafka_message_t *message)
{
	rd_kafka_timestamp_type_t type;
	int64_t time_ms = rd_kafka_message_timestamp(message, &type);

	if (type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME && (source->since_ns || source->stop_ns) &&
		!source->told_append_time) {
		wb_log(WB_LOG_WARNING,
			"%s: topic %s has the broker's timestamps (message.timestamp.type=LogAppendTime): a time range "
			"is "
			"found only as far as its clock agrees with the packets'",
			source->url, source->topic_name);
		source->told_append_time = true;
	}
	return !source->follow && source->stop_ns && !has_no_packets(message) &&
	       type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && time_ms >= 0 &&
	       (uint64_t)time_ms >= source->stop_ns / 1000000 + 1;
}

/* 1: ret_message is set. 0: the message is beyond the end. */
static int take_message(struct wb_source *source, const rd_kafka_message_t *message, struct wb_message *ret_message,
	struct wb_error *ret_error)
{
	struct wb_kafka_partition *partition = &source->partitions[message->partition];
	size_t prefix;

	if (source->waiting_since_ms != 0)
		wb_kafka_note_progress(source);
	source->unwoken_bytes += message->len;
	/* Behind a gap, as control records leave, the first message may be beyond the end: that is for extend(). */
	if (!source->follow && message->offset >= partition->end) {
		wb_kafka_stop_partition(source, message->partition);
		return 0;
	}
	partition->position = message->offset + 1;
	/* Of a partition that is always written to, the event of its end may never come. */
	if (source->follow && partition->position >= partition->end)
		partition->at_edge = true;
	if (!source->follow && partition->position >= partition->end)
		wb_kafka_stop_partition(source, message->partition);
	if (is_past_range(source, message)) {
		wb_kafka_stop_partition(source, message->partition);
		return 0;
	}
	if (!message->payload || message->len > source->max_message_bytes)
		return wb_fail(ret_error, -EBADMSG, "%s: %s[%" PRId32 "]@%" PRId64 ": %zu bytes, must be 1 to %zu",
			source->url, source->topic_name, message->partition, message->offset, message->len,
			source->max_message_bytes);
	prefix = wb_kafka_schema_skip(message->payload, message->len);
	ret_message->data = (const uint8_t *)message->payload + prefix;
	ret_message->size = message->len - prefix;
	ret_message->kind = kind_of(message);
	ret_message->channel = (uint32_t)message->partition;
	snprintf(ret_message->origin, sizeof(ret_message->origin), "%.150s[%" PRId32 "]@%" PRId64, source->topic_name,
		message->partition, message->offset);
	return 1;
}

static int read_next(
	struct wb_source *source, int timeout_ms, struct wb_message *ret_message, struct wb_error *ret_error)
{
	rd_kafka_message_t *message;
	int r = ask_again(source, ret_error);

	while (r == 0) {
		if (source->active_count == 0 && source->asking_count == 0)
			return -ENODATA;
		message = wb_kafka_consume(source, timeout_ms);
		if (!message) {
			rd_kafka_poll(source->client, 0);
			return wb_kafka_check_wait(source, ret_error);
		}
		if (message->err)
			r = take_event(source, message, ret_error);
		else
			r = take_message(source, message, ret_message, ret_error);
		if (r == 1)
			source->message = message;
		else
			rd_kafka_message_destroy(message);
	}
	return r;
}

static int kafka_next(
	struct wb_source *source, int timeout_ms, struct wb_message *ret_message, struct wb_error *ret_error)
{
	int r;

	if (source->message)
		rd_kafka_message_destroy(source->message);
	source->message = NULL;
	rd_kafka_poll(source->client, 0);
	if (!source->started) {
		r = wb_kafka_start(source, timeout_ms, ret_error);
		if (r <= 0)
			return r;
	}
	return read_next(source, timeout_ms, ret_message, ret_error);
}

static void kafka_note_time(struct wb_source *source, uint32_t channel, uint64_t time_unix_ns)
{
	if (channel < (uint32_t)source->partition_count && time_unix_ns > source->partitions[channel].time_ns)
		source->partitions[channel].time_ns = time_unix_ns;
}

static uint64_t kafka_behind(const struct wb_source *source)
{
	const struct wb_kafka_partition *partition;

	if (!source->started)
		return 0;
	if (source->is_live && source->follow)
		return UINT64_MAX;
	partition = wb_kafka_furthest_behind(source);
	return partition ? partition->time_ns : UINT64_MAX;
}

static void kafka_progress(const struct wb_source *source, uint64_t *ret_done, uint64_t *ret_total)
{
	*ret_done = *ret_total = 0;
	for (int32_t i = 0; !source->follow && i < source->partition_count; i++) {
		const struct wb_kafka_partition *partition = &source->partitions[i];

		if (partition->end <= partition->first)
			continue;
		*ret_total += (uint64_t)(partition->end - partition->first);
		*ret_done += (uint64_t)((partition->active ? partition->position : partition->end) - partition->first);
	}
}

static bool kafka_from_start(const struct wb_source *source)
{
	return source->started && !source->is_cut;
}

/* The positions stay. */
static void kafka_extend(struct wb_source *source)
{
	for (int32_t i = 0; i < source->partition_count; i++)
		source->partitions[i].is_known = source->partitions[i].at_edge = false;
	source->started = false;
	source->waiting_since_ms = (int64_t)wb_monotonic_ms();
	source->waiting_code = -ETIMEDOUT;
}

static void kafka_close(struct wb_source *source)
{
	if (!source)
		return;
	if (source->message)
		rd_kafka_message_destroy(source->message);
	for (int32_t i = 0; i < source->partition_count; i++) {
		wb_kafka_stop_partition(source, i);
		if (source->partitions[i].queue)
			rd_kafka_queue_destroy(source->partitions[i].queue);
	}
	if (source->queue)
		rd_kafka_queue_destroy(source->queue);
	if (source->topic)
		rd_kafka_topic_destroy(source->topic);
	if (source->client)
		rd_kafka_destroy(source->client);
	wb_kafka_offsets_fini(&source->offsets);
	free(source->partitions);
	free(source->topic_name);
	free(source->brokers);
	free(source->url);
	free(source);
}

/* All but the network: librdkafka connects on its own, and next() waits for it. */
static int open_client(struct wb_source *source, const struct wb_source_args *args, struct wb_error *ret_error)
{
	const struct kafka_options *options = args->options;
	rd_kafka_conf_t *conf;
	char reason[256];
	int r;

	r = wb_kafka_consumer_conf(args, source->brokers, options->properties_file, &conf, ret_error);
	if (r < 0)
		return r;
	rd_kafka_conf_set_opaque(conf, source);
	rd_kafka_conf_set_error_cb(conf, on_error);
	source->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
	if (!source->client) {
		rd_kafka_conf_destroy(conf);
		return wb_fail(ret_error, -EINVAL, "%s: %s", args->url, reason);
	}
	source->topic = rd_kafka_topic_new(source->client, source->topic_name, NULL);
	source->queue = rd_kafka_queue_new(source->client);
	if (!source->topic || !source->queue)
		return wb_fail(ret_error, -EINVAL, "%s: topic %s: %s", args->url, source->topic_name,
			rd_kafka_err2str(rd_kafka_last_error()));
	return 0;
}

static int kafka_open(const struct wb_source_args *args, struct wb_source **ret_source, struct wb_error *ret_error)
{
	const struct kafka_options *options = args->options;
	struct wb_source *source;
	int r;

	source = calloc(1, sizeof(*source));
	if (!source)
		return wb_fail(ret_error, -ENOMEM, "%s: out of memory", args->url);
	source->follow = args->follow;
	source->may_be_absent = args->may_be_absent;
	source->give_up = args->give_up;
	source->wait_ms = args->wait_ms;
	source->since_ns = args->since_ns;
	source->stop_ns = args->stop_ns;
	source->max_message_bytes = args->max_message_bytes;
	source->waiting_since_ms = (int64_t)wb_monotonic_ms();
	source->waiting_code = -ETIMEDOUT;
	source->bad_partition = -1;
	source->url = strdup(args->url);
	if (!source->url) {
		r = wb_fail(ret_error, -ENOMEM, "%s: out of memory", args->url);
		goto fail;
	}
	r = wb_kafka_address(args->url, args->address, &source->brokers, &source->topic_name, ret_error);
	if (r < 0) {
		source->brokers = source->topic_name = NULL;
		goto fail;
	}
	r = wb_kafka_topic_check(args->url, source->topic_name, ret_error);
	if (r < 0)
		goto fail;
	r = wb_kafka_offsets_parse(args->offset ? args->offset : options->offset, &source->offsets, ret_error);
	if (r < 0)
		goto fail;
	r = open_client(source, args, ret_error);
	if (r < 0)
		goto fail;
	*ret_source = source;
	return 0;
fail:
	kafka_close(source);
	return r;
}

static const char *const kafka_schemes[] = {"kafka", NULL};

const struct wb_source_ops wb_source_kafka = {
	.name = "Kafka",
	.schemes = kafka_schemes,
	.rows = kafka_rows,
	.options_size = sizeof(struct kafka_options),
	.takes_properties = true,
	.takes_offset = true,
	.finite = true,
	.open = kafka_open,
	.next = kafka_next,
	.note_time = kafka_note_time,
	.behind = kafka_behind,
	.progress = kafka_progress,
	.from_start = kafka_from_start,
	.extend = kafka_extend,
	.close = kafka_close,
};
