/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kafka transport against the cluster that librdkafka simulates: batches that remember how they were settled, and a
 * reader that says what the topic holds, in order.
 */
#ifndef WB_TEST_KAFKA_RIG_H
#define WB_TEST_KAFKA_RIG_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdatomic.h>

#include "kafka_internal.h"
#include "registry.h"
#include "testing.h"

#define RIG_BROKERS 3
#define RIG_PARTITIONS 4
#define RIG_BATCHES 512
#define RIG_BATCH_BYTES 200
#define RIG_LANES 2
/* In record mode, of a batch. */
#define RIG_RECORDS 10
#define RIG_RECORD_BYTES (RIG_BATCH_BYTES / RIG_RECORDS)
#define RIG_TOPIC "packets"

/* Of Kafka's protocol. */
enum { API_PRODUCE = 0, API_METADATA = 3, API_INIT_PRODUCER_ID = 22 };

struct rig_kafka_batch {
	struct wb_batch batch; /* first member */
	struct kafka_rig *rig;
	atomic_int settled; /* how often */
	enum wb_result result;
	enum wb_cause cause;
	/* Record mode */
	struct wb_record notes[RIG_RECORDS];
	atomic_uint outcomes[4]; /* of its records, by enum wb_result */
	atomic_uint open;        /* records without one */
	uint8_t room[WB_BATCH_HEADROOM_BYTES];
	uint8_t data[RIG_BATCH_BYTES];
};

/* A message of the topic. */
struct rig_record {
	uint32_t stream;
	uint64_t seq; /* of the batch; in record mode, of the record */
	int32_t partition;
};

struct kafka_rig {
	bool record_mode;   /* each batch is RIG_RECORDS messages */
	bool of_batch_mode; /* the transport, whatever is published: a spool gives out what another session made */
	unsigned int told;  /* batches that the transport is told to expect; 0: RIG_BATCHES */
	bool keyless;       /* what is published has no key */
	bool one_key;       /* of all lanes */
	rd_kafka_t *host;
	rd_kafka_mock_cluster_t *mock;
	struct wb_transport *transport;
	struct wb_lane *lanes[RIG_LANES];
	struct rig_kafka_batch batches[RIG_BATCHES];
	size_t published;
	int64_t began_ms; /* the packets' time: a minute later for each batch of a stream */
	uint64_t next_seq[RIG_LANES];
	atomic_uint settled;
	atomic_uint results[4]; /* by enum wb_result; of records in record mode */
	atomic_uint causes[WB_CAUSE_COUNT];
	char log[8192]; /* what the user was told, of level WARNING and ERROR */
	pthread_mutex_t log_lock;
	struct rig_record records[8 * RIG_BATCHES];
	size_t record_count;
	bool order_may_break; /* the client is not a strict one, kafka_renew.c */
	size_t overtaken;     /* records that came after newer ones, as kafka_rig_check_records() has seen it */
	rd_kafka_t *reader;   /* a test's own */
};

/* cmocka's setup and teardown: *state is a struct kafka_rig with a cluster and no transport. */
int kafka_rig_set_up(void **state);
int kafka_rig_tear_down(void **state);
/* query: options as in a URL, "a=b&properties.c=d", or NULL. */
void kafka_rig_open(struct kafka_rig *rig, const char *query);
void kafka_rig_close(struct kafka_rig *rig);
/* Publish the lane's next batch; its stream is the lane's number. */
int kafka_rig_publish(struct kafka_rig *rig, unsigned int lane);
/* The same count times, over the lanes in turn; each must be taken within 10 s. */
void kafka_rig_publish_all(struct kafka_rig *rig, size_t count);
/* Wait up to 30 s until so many batches are settled. */
void kafka_rig_wait_settled(struct kafka_rig *rig, unsigned int count);
/* Read all records of the topic into `records`, partition by partition. */
void kafka_rig_read(struct kafka_rig *rig);
/*
 * Of each stream: every delivered batch, or record, is there, those that certainly failed are not, and, unless
 * order_may_break, none comes after a newer one for the first time. Returns how many were there more than once.
 * Nor is order asserted once a client was replaced: librdkafka empties its queue a moment after the error, and now and
 * then one more request leaves. A broker refuses that, as its sequence number does not follow; the simulated cluster
 * does not look at these. Who cares tries again, and looks at `overtaken`.
 */
unsigned int kafka_rig_check_records(struct kafka_rig *rig);
/* Everything was delivered, with so many duplicates. */
void kafka_rig_assert_all_delivered(struct kafka_rig *rig, unsigned int duplicates);
struct wb_transport_stats kafka_rig_stats(struct kafka_rig *rig);
/* End the first producer's client with a fatal error. */
void kafka_rig_make_fatal(struct kafka_rig *rig);
/* Wait until so many clients were replaced, and the last one has taken over. */
void kafka_rig_wait_renewed(struct kafka_rig *rig, uint64_t count);
bool kafka_rig_logged(struct kafka_rig *rig, const char *text);
void kafka_rig_pause_ms(int ms);
/* Each broker's answers to so many requests of producers come after this time; what was in them is stored at once. */
void kafka_rig_delay_answers(struct kafka_rig *rig, unsigned int requests, int ms);
/* Read until there are more messages than these, and no further ones come. */
void kafka_rig_wait_stored(struct kafka_rig *rig, size_t messages);

#endif
