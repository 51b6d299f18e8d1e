/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pool of batch buffers of one worker. Only the worker takes buffers; any thread may return them.
 *
 * Returning pushes onto a list by compare-and-exchange; taking empties that list by one exchange. Nothing is ever
 * popped from a list that others push to, so there is no ABA problem and no lock.
 */
#ifndef WB_POOL_H
#define WB_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wirebus/transport.h"

struct wb_buffer;
struct wb_ledger;
struct wb_outcomes;
struct wb_pool;
struct wb_previous;
struct wb_spool_entry;

/* How a worker sleeps until a buffer returns; shared by its pools. */
struct wb_pool_wake {
	int fd; /* eventfd, non-blocking */
	atomic_bool waiting;
};

struct wb_buffer {
	struct wb_batch batch; /* what the transport sees; first member */
	struct wb_pool *pool;
	struct wb_buffer *next;
	atomic_uint references;
	uint8_t *memory; /* pool->buffer_bytes; in front of it WB_BATCH_HEADROOM_BYTES for the transport */
	/* Record mode, of a sealed batch: batch.records, which have the outcomes, and how many have none. */
	struct wb_record *records;
	atomic_uint unsettled;
	/* For whoever takes part in settling (wb_pool.settled): where the batch came from, and where it went. */
	struct wb_route route;        /* key and topic live as long as the worker's streams */
	struct wb_spool_entry *entry; /* the spool's; NULL: it is in memory alone */
	struct wb_previous *previous; /* the end of an earlier session; NULL: something else */
	uint8_t session_id[16];       /* of a batch of an earlier session: batch.session_id leads here */
	bool again;                   /* it is to be sent again */
};

/* Called when a batch is settled, on any thread. True: it has booked the outcome, and the reference is its own. */
typedef bool (*wb_pool_settled)(void *context, struct wb_buffer *buffer, enum wb_result result, enum wb_cause cause);
/* The same for a batch of records of which the last now has its outcome. */
typedef bool (*wb_pool_records_settled)(void *context, struct wb_buffer *buffer);

struct wb_pool {
	struct wb_buffer *free;               /* the worker's own */
	_Atomic(struct wb_buffer *) returned; /* anyone pushes */
	atomic_uint free_count;
	struct wb_pool_wake *wake;
	struct wb_ledger *ledger; /* booked when a batch is settled */
	wb_pool_settled settled;  /* asked first; NULL: nobody */
	wb_pool_records_settled records_settled;
	void *settled_context;
	struct wb_buffer *buffers;
	unsigned int count;
	size_t buffer_bytes;
	void *mapping;
	size_t mapping_bytes;
};

int wb_pool_wake_init(struct wb_pool_wake *wake);
void wb_pool_wake_fini(struct wb_pool_wake *wake);

/*
 * Make count buffers of buffer_bytes each; memory becomes resident when it is first written.
 * Errors: -ENOMEM. wake and ledger stay the caller's and must outlive every reference.
 */
int wb_pool_init(struct wb_pool *pool, unsigned int count, size_t buffer_bytes, struct wb_pool_wake *wake,
	struct wb_ledger *ledger);
/* Free; every buffer must have been returned. Zeroed pools are allowed. */
void wb_pool_fini(struct wb_pool *pool);

/* Take a buffer with one reference. NULL: all are out. Threads: the worker only. */
struct wb_buffer *wb_pool_take(struct wb_pool *pool);

/* References. The last put returns the buffer to its pool and wakes the worker if it waits. Threads: any. */
void wb_buffer_get(struct wb_buffer *buffer);
void wb_buffer_put(struct wb_buffer *buffer);

/*
 * Record mode: say that the batch consists of these records, all without an outcome, before it is published. They lie
 * in the buffer. 0: it is one message.
 */
void wb_buffer_expect_records(struct wb_buffer *buffer, struct wb_record *records, uint32_t count);
/* Whether the record has an outcome, and which. */
bool wb_record_outcome(const struct wb_record *record, enum wb_result *ret_result, enum wb_cause *ret_cause);
/* Add up the outcomes of those records that have one. */
void wb_buffer_outcomes(const struct wb_buffer *buffer, struct wb_outcomes *ret_outcomes);
/* Wake the worker if it waits. Threads: any. */
void wb_pool_wake(struct wb_pool_wake *wake);

/* Buffers that can be taken now; from any thread. Signature of wb_transport_ops.lane's callback. */
unsigned int wb_pool_free_count(void *pool);

/*
 * Sleep until a buffer of one of the pools that share wake has returned since wb_pool_wait_begin(), stop_fd is
 * readable, or timeout_ms is over. Call begin, check what is awaited once more, then wait.
 */
void wb_pool_wait_begin(struct wb_pool_wake *wake);
void wb_pool_wait(struct wb_pool_wake *wake, int stop_fd, int timeout_ms);
void wb_pool_wait_end(struct wb_pool_wake *wake);

#endif
