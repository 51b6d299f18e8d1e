/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A capture worker: one thread with its own ring, streams, buffer pools and lane. It never sleeps on the bus. When no
 * buffer is free it waits for one or for the stop, never on the ring, and the ring absorbs what arrives.
 *
 * It has one stream, or with key `flow` one for each bucket of flows.
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
	uint32_t flow_bucket_plus_one; /* 0: no flow mode */
	uint64_t batch_seq;            /* of the next message */
	uint64_t next_packet_seq;      /* of the next packet */
	char key[96];                  /* message key; empty: none */
	struct wbproto_encoder *encoder;
	struct wb_buffer *open; /* the open batch; NULL: none */
	uint64_t opened_ns;     /* monotonic */
	uint64_t published_ns;  /* when something was last published, in record mode a heartbeat; monotonic */
	atomic_bool has_end;    /* the bus or the spool has its end */
};

struct wb_previous;
struct wb_spool_queue;
struct wb_state_left;
struct wb_state_slot;
struct wb_worker_spool;

struct wb_worker {
	/* Given before wb_worker_start(), constant afterwards. */
	const struct wb_capture_config *config;
	const uint8_t *session_id;
	const char *node;
	uint32_t worker_id;
	uint32_t first_stream_id; /* of as many as wb_capture_streams() says */
	int cpu;                  /* -1: not pinned */
	uint64_t flush_ms;
	size_t max_batch_bytes;             /* of a frame that travels alone */
	struct wbproto_interface interface; /* of a publisher: the one of the packet at hand */
	const struct wb_transport_ops *ops;
	struct wb_lane *lane;
	struct tpacket *ring;    /* NULL: a publisher gives the packets, and there is no thread */
	size_t interfaces_bytes; /* most that a publisher's interfaces take in a message */
	/*
	 * The interface is back, and its frames are of another LINKTYPE_ than before: make the ring's filter fit. NULL:
	 * there is nothing to do. Errors: negative errno with a message; the worker ends. Threads: the worker.
	 */
	int (*relink)(void *context, struct tpacket *ring, uint32_t link_type, struct wb_error *ret_error);
	void *relink_context;

	/* The worker's own. */
	struct wb_stream *streams;
	unsigned int stream_count;
	bool records; /* record mode */
	struct wb_pool_wake wake;
	struct wb_pool pool;
	struct wb_pool oversize; /* for frames that do not fit into a batch of the target size */
	struct wb_pool control;  /* for heartbeats and the end of stream: they must not wait for data */
	struct wb_ledger ledger;
	struct wb_worker_spool *spool; /* worker_spool.c; NULL: without */
	struct wb_state_slot *state;   /* worker_state.c, as the next ones; NULL: without */
	struct wb_previous *previous;  /* ends of earlier sessions that are to be published */
	uint64_t previous_retry_ns;    /* monotonic: none of them before */
	uint64_t unbooked_packets;     /* accepted since the ledger was last told */
	uint64_t unbooked_truncated;
	uint64_t unbooked_lost;                     /* a publisher's: packets that whoever captured them has lost */
	const struct wbproto_interface *interfaces; /* a publisher's: those that batches name; NULL: `interface` */
	size_t interface_count;
	bool backlog;       /* the spool has batches to be published */
	bool backlog_ready; /* and the bus has taken those that were offered last: there may be more at once */
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

/* ---- worker_stream.c: the streams, and when something of them is due ---- */

/* Make the streams. Errors: -ENOMEM; wb_worker_fini_streams() cleans up. */
int wb_worker_init_streams(struct wb_worker *worker);
void wb_worker_fini_streams(struct wb_worker *worker);
/* The one that a packet belongs to. */
struct wb_stream *wb_worker_stream_of(struct wb_worker *worker, const struct wbproto_packet *packet);
/* The one with the greatest open batch; NULL: none is open. */
struct wb_stream *wb_worker_fullest(struct wb_worker *worker);
/* From now on heartbeats are due. */
void wb_worker_start_heartbeats(struct wb_worker *worker);
/* How long the ring may be waited for until an open batch is due, or a heartbeat. */
int wb_worker_until_due_ms(const struct wb_worker *worker);
/* Publish what is due. quiet: the ring was found empty, so nothing older than a heartbeat's watermark can be in it. */
void wb_worker_publish_due(struct wb_worker *worker, bool quiet);
/* Seal and publish every open batch. */
void wb_worker_seal_all(struct wb_worker *worker);

/* ---- worker_batch.c: from packets to sealed batches ---- */

/* Append one packet to the stream's open batch; seals, publishes, waits for buffers and drops as configured. */
void wb_worker_append(struct wb_worker *worker, struct wb_stream *stream, const struct wbproto_packet *packet);
/* Tell the ledger what was appended since it was last told. */
void wb_worker_book(struct wb_worker *worker);
/* Seal and publish the stream's open batch, if any. */
void wb_worker_seal(struct wb_worker *worker, struct wb_stream *stream);
/* Bytes in the stream's open batch. */
size_t wb_worker_open_bytes(const struct wb_worker *worker, const struct wb_stream *stream);
/*
 * Publish a batch without packets: heartbeat, end of stream, or in record mode the counters alone. 0, or -EAGAIN when
 * there was no buffer or room for it. The stream has no open batch.
 */
int wb_worker_publish_empty(struct wb_worker *worker, struct wb_stream *stream, uint32_t flags);
/* Read the ring's counters into the ledger. */
void wb_worker_read_kernel(struct wb_worker *worker);
/*
 * A copy of the ledger with the ring's counters of now. They are read last, so that no more was read than the kernel
 * had seen. Threads: any.
 */
void wb_worker_totals(struct wb_worker *worker, struct wb_ledger_totals *ret_totals);

/* ---- worker_end.c ---- */

/*
 * Publish what is open, wait for the bus for up to half of the time that is left, end every stream. The worker was told
 * to stop. Threads: the worker's.
 */
void wb_worker_end(struct wb_worker *worker);

/* ---- worker_publish.c: buffers and sealed batches ---- */

/* A buffer of the pool; waits for one if that is the policy. NULL: the packets must be dropped. */
struct wb_buffer *wb_worker_take_buffer(struct wb_worker *worker, struct wb_pool *pool);
/* Why packets are dropped now. */
enum wb_drop wb_worker_drop_cause(const struct wb_worker *worker, enum wb_drop usual);
/* Give a sealed batch up. */
void wb_worker_drop_batch(struct wb_worker *worker, struct wb_buffer *buffer, enum wb_drop cause);
/* Publish a sealed batch, or write it to the spool, waiting as the policy says; drop it when neither can be. */
void wb_worker_publish(struct wb_worker *worker, struct wb_stream *stream, struct wb_buffer *buffer);
/*
 * Offer a batch without packets. behind: others are in the spool. The last one of a stream follows them. 0; or as
 * publish(), and the buffer is still the caller's.
 */
int wb_worker_offer_empty(struct wb_worker *worker, struct wb_stream *stream, struct wb_buffer *buffer, bool behind);

/* ---- worker_spool.c: what the bus does not take goes to disk, and is published from there ---- */

/* After wb_worker_init(), before the lane is made. Errors: negative errno, with a message. */
int wb_worker_spool_init(struct wb_worker *worker, struct wb_spool_queue *queue, struct wb_error *ret_error);
/* Without a queue: only ends of stream and of earlier sessions are followed. */
void wb_worker_follow(struct wb_worker *worker);
unsigned int wb_worker_spool_buffers(const struct wb_worker *worker);
/* As wb_worker_free_buffers(), for the buffers that batches are read into. */
bool wb_worker_spool_short(const struct wb_worker *worker);
/* Whether a sealed batch has to go to the spool, as older ones are there or the buffers are running out. */
bool wb_worker_spool_first(struct wb_worker *worker, const struct wb_buffer *buffer);
/* Write a sealed batch, and give its buffer back. 0; or negative errno: the buffer is still the caller's. */
int wb_worker_spool_store(struct wb_worker *worker, struct wb_buffer *buffer, const struct wb_route *route);
/* Take in what came back, and publish what the bus takes now, in turn with the ring. Whether there is more to be
 * published. */
bool wb_worker_spool_work(struct wb_worker *worker);
/* Publish what there is besides captured packets: of the spool, and of earlier sessions. */
void wb_worker_publish_rest(struct wb_worker *worker);
/* Whether anything of the stream is there still. */
bool wb_worker_spool_holds(const struct wb_worker *worker, const uint8_t session_id[16], uint32_t stream_id);
/* After the transport was closed: what it gave up goes to the spool. Threads: whoever closed it. */
void wb_worker_spool_finish(struct wb_worker *worker);
/* Errors of wb_worker_init() included. */
void wb_worker_spool_fini(struct wb_worker *worker);

/* ---- worker_state.c: what the next start has to know ---- */

/* The worker's numbers go into the slot from now on. */
void wb_worker_state_init(struct wb_worker *worker, struct wb_state_slot *slot);
/* Store the worker's numbers. counters: NULL: as in the ledger now. */
void wb_worker_state_store(struct wb_worker *worker, const struct wbproto_counters *counters);
/* After the transport was closed. */
void wb_worker_state_finish(struct wb_worker *worker);
/* The worker is to publish the end of this stream of an earlier session. Errors: -ENOMEM. */
int wb_worker_previous_add(struct wb_worker *worker, const struct wb_state_left *left);
/* Publish those whose packets have all reached the bus. */
void wb_worker_previous_work(struct wb_worker *worker);
/* Such an end was settled. Threads: any. */
void wb_worker_previous_settled(struct wb_buffer *buffer, bool done);
/* Those that were not published stay for the next start. */
void wb_worker_previous_fini(struct wb_worker *worker);

#endif
