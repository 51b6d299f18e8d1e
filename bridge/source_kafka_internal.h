/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Kafka source share: source_kafka.c reads, source_kafka_queue.c
 * chooses what is read next, source_kafka_start.c finds what there is to read. */
#ifndef WB_SOURCE_KAFKA_INTERNAL_H
#define WB_SOURCE_KAFKA_INTERNAL_H

#include <librdkafka/rdkafka.h>

#include "clock.h"
#include "kafka_offset.h"
#include "source.h"

/* With more partitions all are read as they come: what is fetched ahead is bounded for each queue. */
#define WB_KAFKA_MAX_QUEUES 64

struct wb_kafka_partition {
	int64_t low, end;        /* watermarks when the source was opened, or extended last */
	int64_t first;           /* where to begin */
	int64_t position;        /* of the next message */
	int64_t lost;            /* offsets that were asked for, and are gone */
	bool is_known;           /* the watermarks are set */
	bool is_left_out;        /* by the offsets that were given */
	bool active;             /* is being read */
	bool at_edge;            /* with follow: all that was there has been read */
	uint64_t time_ns;        /* what was read is known up to this time; 0: nothing was noted */
	int64_t ask_ms;          /* with follow: when to ask again where to go on; 0: that is known */
	int64_t starved_ms;      /* since when it was waited for in vain; 0: it was not */
	rd_kafka_queue_t *queue; /* what was fetched */
};

struct wb_source {
	char *url, *brokers, *topic_name;
	bool follow, may_be_absent;
	bool give_up; /* as long as it has not started */
	unsigned int wait_ms;
	struct wb_kafka_offsets offsets;
	uint64_t since_ns, stop_ns; /* as in wb_source_args */
	size_t max_message_bytes;
	rd_kafka_t *client;
	rd_kafka_topic_t *topic;
	/*
	 * Each partition has its own queue, so that the one that is furthest behind can be read. With follow, when all
	 * that was there has been read, all are forwarded to this one.
	 */
	rd_kafka_queue_t *queue;
	bool is_live; /* they are */
	bool stalled; /* a partition was waited for in vain */
	bool told_append_time;
	rd_kafka_message_t *message; /* given out, valid until the next call */

	struct wb_kafka_partition *partitions;
	int32_t partition_count; /* 0: the topic was not found yet */
	int32_t active_count;
	int32_t asking_count; /* partitions that have to wait for where to go on */
	bool is_placed;       /* where to begin is known of each */
	bool started;
	bool is_cut; /* what was first in a partition is gone, or was not to be read */
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
/* Nothing came. 0: go on waiting; -ETIMEDOUT, -ENOENT with a message: that was too long. With follow it never is,
 * unless wb_source_args.give_up says so. */
int wb_kafka_check_wait(struct wb_source *source, struct wb_error *ret_error);

/*
 * Look up the partitions and their ends, and begin to read them. Blocks up to a second, or up to socket.timeout.ms when
 * a broker is connected and does not answer. 1: done. 0: call again. Errors: as wb_kafka_check_wait(), -EACCES, -EIO,
 * -ENOMEM.
 */
int wb_kafka_start(struct wb_source *source, int timeout_ms, struct wb_error *ret_error);
/* All that was there has been read of every partition: from now on whatever comes is read at once. */
void wb_kafka_go_live(struct wb_source *source);
/* Read a partition from its position, unless that is its end; stop reading it. */
int wb_kafka_start_partition(struct wb_source *source, int32_t id, struct wb_error *ret_error);
void wb_kafka_stop_partition(struct wb_source *source, int32_t id);

/* The next message or event, of the partition that is furthest behind. NULL: nothing within timeout_ms. */
rd_kafka_message_t *wb_kafka_consume(struct wb_source *source, int timeout_ms);
/* The partition that is furthest behind, whether or not it can be read. NULL: none has more now. */
struct wb_kafka_partition *wb_kafka_furthest_behind(const struct wb_source *source);

#endif
