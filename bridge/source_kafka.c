/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches from all partitions of a Kafka topic, without a consumer group: nothing is committed, nothing is shared with
 * other readers. Each partition is read from its beginning to where it ended when the source was opened, or for ever
 * with follow. Partitions that are added to the topic later are not read.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka_address.h"
#include "kafka_consumer.h"
#include "log.h"
#include "registry.h"
#include "source_kafka_internal.h"

#define GAP_QUERY_MS 5000
/* See wake_fetchers(). */
#define WAKE_BYTES (32u << 20)
#define WAKE_WAIT_MS 20

struct kafka_options {
	unsigned int offset;
};

static const struct wb_option_row kafka_rows[] = {
	{.key = "offset",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct kafka_options, offset),
		.default_value = "beginning",
		.choices = "beginning|end",
		.help = "Where to begin in each partition"},
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
	rd_kafka_headers_t *headers;
	const void *value;
	size_t size;

	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
		rd_kafka_header_get_last(headers, "content-type", &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR ||
		!value)
		return WB_MESSAGE_BATCH;
	return memmem(value, size, record, sizeof(record) - 1) ? WB_MESSAGE_RECORD : WB_MESSAGE_BATCH;
}

/* The messages that would be next are gone: retention was faster than the reader, or the topic was made anew. */
static int skip_gap(struct wb_source *source, int32_t id, struct wb_error *ret_error)
{
	struct wb_kafka_partition *partition = &source->partitions[id];
	int64_t low, high, from = partition->position;
	rd_kafka_resp_err_t code;
	int r;

	wb_kafka_stop_partition(source, id);
	code = rd_kafka_query_watermark_offsets(source->client, source->topic_name, id, &low, &high, GAP_QUERY_MS);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return wb_fail(ret_error, -EIO, "%s: %s[%" PRId32 "]: %s", source->url, source->topic_name, id,
			rd_kafka_err2str(code));
	partition->position = from < low ? low : high;
	r = wb_kafka_start_partition(source, id, ret_error);
	if (r < 0)
		return r;
	return wb_fail(ret_error, -EBADMSG,
		"%s: %s[%" PRId32 "]@%" PRId64 ": the broker has no such message any more; continued at %" PRId64,
		source->url, source->topic_name, id, from, partition->position);
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

/* 1: ret_message is set. 0: the message is beyond the end. */
static int take_message(struct wb_source *source, const rd_kafka_message_t *message, struct wb_message *ret_message,
	struct wb_error *ret_error)
{
	struct wb_kafka_partition *partition = &source->partitions[message->partition];

	if (source->waiting_since_ms != 0)
		wb_kafka_note_progress(source);
	source->unwoken_bytes += message->len;
	partition->position = message->offset + 1;
	if (!source->follow && partition->position >= partition->end)
		wb_kafka_stop_partition(source, message->partition);
	if (!source->follow && partition->position > partition->end)
		return 0;
	if (!message->payload || message->len > source->max_message_bytes)
		return wb_fail(ret_error, -EBADMSG, "%s: %s[%" PRId32 "]@%" PRId64 ": %zu bytes, must be 1 to %zu",
			source->url, source->topic_name, message->partition, message->offset, message->len,
			source->max_message_bytes);
	ret_message->data = message->payload;
	ret_message->size = message->len;
	ret_message->kind = kind_of(message);
	snprintf(ret_message->origin, sizeof(ret_message->origin), "%.150s[%" PRId32 "]@%" PRId64, source->topic_name,
		message->partition, message->offset);
	return 1;
}

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

static rd_kafka_message_t *consume(struct wb_source *source, int timeout_ms)
{
	rd_kafka_message_t *message;
	int64_t end = (int64_t)wb_monotonic_ms() + timeout_ms;

	message = rd_kafka_consume_queue(source->queue, 0);
	while (!message) {
		int wait = timeout_ms;

		wake_fetchers(source);
		if (source->wakes > 0 && (wait < 0 || wait > WAKE_WAIT_MS))
			wait = WAKE_WAIT_MS;
		message = rd_kafka_consume_queue(source->queue, wait);
		if (timeout_ms >= 0 && (int64_t)wb_monotonic_ms() >= end)
			break;
	}
	return message;
}

static int read_next(
	struct wb_source *source, int timeout_ms, struct wb_message *ret_message, struct wb_error *ret_error)
{
	rd_kafka_message_t *message;
	int r = 0;

	while (r == 0) {
		if (source->active_count == 0)
			return -ENODATA;
		message = consume(source, timeout_ms);
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

static void kafka_close(struct wb_source *source)
{
	if (!source)
		return;
	if (source->message)
		rd_kafka_message_destroy(source->message);
	for (int32_t i = 0; i < source->partition_count; i++)
		wb_kafka_stop_partition(source, i);
	if (source->queue)
		rd_kafka_queue_destroy(source->queue);
	if (source->topic)
		rd_kafka_topic_destroy(source->topic);
	if (source->client)
		rd_kafka_destroy(source->client);
	free(source->partitions);
	free(source->topic_name);
	free(source->brokers);
	free(source->url);
	free(source);
}

/* All but the network: librdkafka connects on its own, and next() waits for it. */
static int open_client(struct wb_source *source, const struct wb_source_args *args, struct wb_error *ret_error)
{
	rd_kafka_conf_t *conf;
	char reason[256];
	int r;

	r = wb_kafka_consumer_conf(args, source->brokers, &conf, ret_error);
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
	source->wait_ms = args->wait_ms;
	source->offset = options->offset;
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
	.name = "kafka",
	.schemes = kafka_schemes,
	.rows = kafka_rows,
	.options_size = sizeof(struct kafka_options),
	.takes_properties = true,
	.finite = true,
	.open = kafka_open,
	.next = kafka_next,
	.close = kafka_close,
};
