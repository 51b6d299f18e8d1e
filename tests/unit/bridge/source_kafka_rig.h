/* SPDX-License-Identifier: Apache-2.0 */
/* The Kafka source against the cluster that librdkafka simulates: one with a topic and a producer for each test. */
#ifndef TEST_SOURCE_KAFKA_RIG_H
#define TEST_SOURCE_KAFKA_RIG_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "source_rig.h"

#define PARTITIONS 4
#define BROKERS 3
/* Of the partition. Brokers count from 1. */
#define LEADER(partition) (1 + (partition) % BROKERS)

struct cluster {
	rd_kafka_t *host, *producer;
	rd_kafka_mock_cluster_t *mock;
	char url[192]; /* of the topic, "packets" */
};

/* cmocka's setup and teardown: *state is a struct cluster. */
int cluster_set_up(void **state);
int cluster_tear_down(void **state);

/* A message; what is not said is left out. */
struct rig_given {
	int32_t partition;
	uint64_t sequence; /* of the batch, see rig_batch_init(); the partition is its worker */
	size_t size;       /* 0: a record without a value */
	const char *content_type;
	const char *packets; /* the header wb-packets */
	int64_t time_ms;
};
void produce_given(struct cluster *cluster, const struct rig_given *given);
void produce(struct cluster *cluster, int32_t partition, uint64_t sequence, size_t size, const char *content_type);
/* Wait until everything is in the topic. */
void flush(struct cluster *cluster);
/* What the end of a transaction leaves in a partition: it takes an offset, and no reader is given it. */
void produce_marker(struct cluster *cluster, int32_t partition);

/* The source, or the test has failed. */
void source_open(struct rig_source *source, const char *url, bool follow, unsigned int wait_ms);
/* The next batch of whichever partition: next[] says what each has to bring, which is its offset as well. */
void expect_batch(struct rig_source *source, uint64_t *next);

#endif
