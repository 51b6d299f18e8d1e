/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Kafka source share: source_kafka.c reads, source_kafka_start.c finds what there is to read. */
#ifndef WB_SOURCE_KAFKA_INTERNAL_H
#define WB_SOURCE_KAFKA_INTERNAL_H

#include <librdkafka/rdkafka.h>

#include "clock.h"
#include "source.h"

enum kafka_offset { KAFKA_OFFSET_BEGINNING, KAFKA_OFFSET_END };

struct wb_kafka_partition {
	int64_t position; /* of the next message; at first where to begin */
	int64_t end;      /* high watermark when the source was opened */
	bool is_known;    /* the two above are set */
	bool active;      /* is being read */
};

struct wb_source {
	char *url, *brokers, *topic_name;
	bool follow;
	unsigned int wait_ms;
	unsigned int offset; /* enum kafka_offset */
	size_t max_message_bytes;
	rd_kafka_t *client;
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *queue;     /* of all partitions */
	rd_kafka_message_t *message; /* given out, valid until the next call */

	struct wb_kafka_partition *partitions;
	int32_t partition_count; /* 0: the topic was not found yet */
	int32_t active_count;
	bool started;
	unsigned int broker_count;
	uint64_t unwoken_bytes; /* taken since the fetchers were woken last */
	unsigned int wakes;     /* how often still to wake them */

	int64_t waiting_since_ms; /* 0: not waiting. At the start, or since an error without any message after it */
	int waiting_code;         /* what to say when the wait is over */
	bool told_waiting;
	char reason[256];   /* librdkafka's last */
	int64_t bad_offset; /* of the last damage, and its partition */
	int32_t bad_partition;
};

/* The bus failed; from now on its answer is waited for. Then: it answered. */
void wb_kafka_note_error(struct wb_source *source, const char *reason);
void wb_kafka_note_progress(struct wb_source *source);
/* Nothing came. 0: go on waiting; -ETIMEDOUT, -ENOENT with a message: that was too long. With follow it never is. */
int wb_kafka_check_wait(struct wb_source *source, struct wb_error *ret_error);

/*
 * Look up the partitions and their ends, and begin to read them. Blocks up to a second, or up to socket.timeout.ms when
 * a broker is connected and does not answer. 1: done. 0: call again. Errors: as wb_kafka_check_wait(), -EACCES, -EIO,
 * -ENOMEM.
 */
int wb_kafka_start(struct wb_source *source, int timeout_ms, struct wb_error *ret_error);
/* Read a partition from its position, unless that is its end; stop reading it. */
int wb_kafka_start_partition(struct wb_source *source, int32_t id, struct wb_error *ret_error);
void wb_kafka_stop_partition(struct wb_source *source, int32_t id);

#endif
