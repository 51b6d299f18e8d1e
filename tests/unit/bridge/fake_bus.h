/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scripted, faulty transport. It keeps a copy of every batch that it takes, and answers as the test says: settle at
 * once, settle later on a thread of its own, hold, or refuse with an error.
 */
#ifndef TEST_FAKE_BUS_H
#define TEST_FAKE_BUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wirebus/transport.h"

enum fake_settling {
	FAKE_SETTLE_NOW,   /* inside publish() */
	FAKE_SETTLE_LATER, /* on the bus's own thread, soon */
	FAKE_HOLD,         /* not before fake_bus_release() */
};

#define FAKE_FOR_EVER UINT64_MAX

/* What publish() was given. */
struct fake_message {
	uint8_t *data;         /* copy */
	struct wb_batch batch; /* its data and session_id must not be followed: use the copies */
	uint8_t session_id[16];
	struct wb_record *records; /* copy; NULL: not in record mode */
	char key[128];
	char topic_suffix[16];
	size_t key_size;
	bool default_topic;
	int32_t partition;
	uint64_t published_ns; /* monotonic */
};

struct wb_lane {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC */
	pthread_t thread;
	bool stop;
	enum fake_settling settling;
	enum wb_result result;
	enum wb_cause cause;
	unsigned int fail_every;  /* record mode: so many records fail, each is settled by itself; 0: all at once */
	enum wb_cause fail_cause; /* of these */
	int error;                /* publish() says so error_count times more */
	uint64_t error_count;
	struct fake_message *messages;
	size_t message_count;
	size_t message_room;
	struct wb_batch **held; /* in order; as many as messages at most */
	size_t *held_message;
	size_t held_count;
	size_t most_held;
	uint64_t refused;
	bool damaged; /* a batch changed while the bus held it */
};

extern const struct wb_transport_ops fake_bus_ops;

void fake_bus_init(struct wb_lane *bus);
/* Every batch must have been settled. */
void fake_bus_fini(struct wb_lane *bus);

void fake_bus_set_settling(struct wb_lane *bus, enum fake_settling settling);
/* From now on answer `error` to the next `count` calls. */
void fake_bus_refuse(struct wb_lane *bus, int error, uint64_t count);
/* Settle up to count of the batches held, oldest first. Returns how many. */
size_t fake_bus_release(struct wb_lane *bus, size_t count);

size_t fake_bus_messages(struct wb_lane *bus);
uint64_t fake_bus_refused(struct wb_lane *bus);
/* Wait until so many messages were taken, or refused. */
bool fake_bus_wait_messages(struct wb_lane *bus, size_t count, int timeout_ms);
bool fake_bus_wait_refused(struct wb_lane *bus, uint64_t count, int timeout_ms);

#endif
