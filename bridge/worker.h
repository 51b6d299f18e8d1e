/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A capture worker: one thread with its own ring, encoder, open batch, buffer pools and lane. It never sleeps on the
 * bus. When no buffer is free it waits for one or for the stop, never on the ring, and the ring absorbs what arrives.
 */
#ifndef WB_WORKER_H
#define WB_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "clock.h"
#include "config.h"
#include "ledger.h"
#include "pool.h"
#include "tpacket.h"
#include "wbproto.h"
#include "wirebus/transport.h"

/* One sequence of batches on one route. */
struct wb_stream {
	uint32_t stream_id;
	uint64_t batch_seq;       /* of the next batch */
	uint64_t next_packet_seq; /* of the next packet */
	char key[96];             /* message key */
	struct wb_buffer *open;   /* the open batch; NULL: none */
	uint64_t opened_ns;       /* monotonic */
	uint64_t published_ns;    /* when something was last published, monotonic */
};

struct wb_worker {
	/* Given before wb_worker_start(), constant afterwards. */
	const struct wb_capture_config *config;
	const uint8_t *session_id;
	const char *node;
	uint32_t worker_id;
	int cpu; /* -1: not pinned */
	uint64_t flush_ms;
	size_t max_batch_bytes; /* of a frame that travels alone */
	struct wbproto_interface interface;
	const struct wb_transport_ops *ops;
	struct wb_lane *lane;
	struct tpacket *ring;

	/* The worker's own. */
	struct wbproto_encoder *encoder;
	struct wb_stream stream;
	struct wb_pool_wake wake;
	struct wb_pool pool;
	struct wb_pool oversize; /* for frames that do not fit into a batch of the target size */
	struct wb_pool control;  /* for heartbeats and the end of stream: they must not wait for data */
	struct wb_ledger ledger;
	uint64_t unbooked_packets; /* accepted since the ledger was last told */
	uint64_t unbooked_truncated;
	bool transport_failed;
	bool link_down;
	pthread_t thread;
	bool started;

	/* Shared. */
	int stop_fd; /* eventfd, readable from the stop on */
	atomic_bool stopping;
	atomic_ullong give_up_ns; /* monotonic: from then on nothing waits for the bus; UINT64_MAX until the stop */
	atomic_int exit_code;     /* negative errno when the worker ended by itself */
	atomic_bool ended;
};

/*
 * Make what the worker needs; the "given" members are set, all others zero. On failure nothing is left behind.
 * Errors: -ENOMEM and others, with a message.
 */
int wb_worker_init(struct wb_worker *worker, struct wb_error *ret_error);
int wb_worker_start(struct wb_worker *worker, struct wb_error *ret_error);
/* Begin the graceful end: stop the capture, drain the ring, seal and publish, end of stream. Threads: any. */
void wb_worker_stop(struct wb_worker *worker);
/* From now on wait for nothing. */
void wb_worker_give_up(struct wb_worker *worker);
void wb_worker_join(struct wb_worker *worker);
/* After the transport was closed. */
void wb_worker_fini(struct wb_worker *worker);

/*
 * Buffers that the worker can still take. None when one of its small pools is about to run dry: a frame that travels
 * alone, a heartbeat or the end of stream would have to wait for what a bus that has stalled holds, although the large
 * pool is free. Signature of wb_transport_ops.lane's callback.
 */
unsigned int wb_worker_free_buffers(void *worker);

/* Name of a worker in messages and of its thread. */
void wb_worker_name(const struct wb_worker *worker, char *name, size_t size);

/* ---- worker_batch.c: from packets to published batches ---- */

/* Append one packet to the stream's open batch; seals, publishes, waits for buffers and drops as configured. */
void wb_worker_append(struct wb_worker *worker, const struct wbproto_packet *packet);
/* Tell the ledger what was appended since it was last told. */
void wb_worker_book(struct wb_worker *worker);
/* Seal and publish the open batch, if any. */
void wb_worker_seal(struct wb_worker *worker, uint32_t flags);
/* Publish a batch without packets: heartbeat or end of stream. 0, or -EAGAIN when there was no buffer or room for it.
 */
int wb_worker_publish_empty(struct wb_worker *worker, uint32_t flags);
/* Read the ring's counters into the ledger. */
void wb_worker_read_kernel(struct wb_worker *worker);

#endif
