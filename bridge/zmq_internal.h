/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the ZeroMQ transport share.
 *
 *   transport_zmq.c  the operations; runs in the callers' threads
 *   zmq_address.c    address and options to an endpoint, and which endpoints are refused
 *   zmq_curve.c      keys from files (zmq_key.c) to the socket; who may connect: zmq_zap.c, zmq_allow.c
 *   zmq_socket.c     makes the socket and its monitor
 *   zmq_own.c        tells the host which connections are the socket's
 *   zmq_peers.c      reads the monitor (zmq_monitor.c): who is connected
 *   zmq_send.c       one batch onto the socket, and what libzmq gives back
 *   zmq_thread.c     the thread that owns the socket
 */
#ifndef WB_ZMQ_INTERNAL_H
#define WB_ZMQ_INTERNAL_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zmq.h>

#include "clock.h"
#include "wirebus/transport.h"
#include "zmq_address.h"
#include "zmq_connections.h"
#include "zmq_curve.h"
#include "zmq_monitor.h"
#include "zmq_own.h"
#include "zmq_zap.h"

#define WB_ZMQ_CACHE_LINE 64
#define WB_ZMQ_TOPIC_BYTES 320
#define WB_ZMQ_NEVER INT64_MAX

struct wb_zmq_options {
	unsigned int bind; /* enum wb_zmq_bind */
	bool insecure;
	uint64_t sndhwm; /* messages for each peer */
	uint64_t linger_ms;
	uint64_t subscribers;
	unsigned int slow;                 /* enum wb_zmq_slow */
	struct wb_zmq_curve_options curve; /* the strings are the caller's of open(), and gone afterwards */
};

/* What PUB does about a subscriber that is full. */
enum wb_zmq_slow { WB_ZMQ_SLOW_DROP, WB_ZMQ_SLOW_WAIT };

/*
 * What goes through libzmq with a message, and comes back when libzmq needs the memory no more. Without a batch it is
 * a copy, whose batch was settled when it was made.
 */
struct wb_zmq_ticket {
	struct wb_transport *transport;
	struct wb_batch *batch;
	enum wb_result result; /* to settle with */
	enum wb_cause cause;
	/*
	 * Stored (release) before the message is given to libzmq and loaded (acquire) when it is given back. libzmq
	 * orders the two itself, but with instructions that ThreadSanitizer does not see.
	 */
	atomic_bool given;
	uint8_t copy[];
};

/* One worker's queue: the worker puts in, the socket's thread takes out. Indexes count up and wrap with size_t. */
struct wb_lane {
	alignas(WB_ZMQ_CACHE_LINE) atomic_size_t tail; /* written by the worker, and what follows */
	size_t head_seen;
	atomic_uint_fast64_t published;
	atomic_uint_fast64_t again;

	alignas(WB_ZMQ_CACHE_LINE) atomic_size_t head; /* written by the socket's thread */

	alignas(WB_ZMQ_CACHE_LINE) struct wb_transport *transport; /* constant from here */
	unsigned int (*free_buffers)(void *context);
	void *context;
	unsigned int total_buffers;
	size_t mask;
	struct wb_batch **slots;
};

/* What different threads write is kept on different cache lines. */
/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct wb_transport {
	/* constant after open() */
	struct wb_zmq_options options;
	struct wb_zmq_address address;
	char topic_head[WB_ZMQ_TOPIC_BYTES - 16]; /* "wb1/<node>/" */
	size_t max_batch_bytes;                   /* 0: no limit */
	uint64_t max_copies;
	void (*log)(void *log_context, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
	void *log_context;
	void *zmq;              /* context */
	int wakeup;             /* eventfd */
	struct wb_zmq_zap *zap; /* NULL: nobody is authenticated */
	struct wb_lane **lanes;
	pthread_t thread;
	unsigned int max_lanes;
	bool pub;
	bool wait; /* PUB that waits for full subscribers */

	/* shared */
	alignas(WB_ZMQ_CACHE_LINE) atomic_uint lane_count;
	atomic_bool stop;
	atomic_bool failed;
	atomic_bool sleeping; /* the thread wants the eventfd after the next publish() */
	alignas(WB_ZMQ_CACHE_LINE) atomic_uint_fast64_t settled;
	atomic_uint_fast64_t bytes;
	atomic_uint_fast64_t copies; /* copies that libzmq holds now */
	atomic_int_fast64_t linger_end_ns;
	atomic_uint_fast64_t peers;
	atomic_uint_fast64_t reconnects;
	atomic_uint_fast64_t disconnects;
	atomic_uint_fast64_t auth_failures;
	atomic_uint_fast64_t protocol_failures;
	atomic_uint_fast64_t peer_drops;
	atomic_uint_fast64_t copied;
	atomic_bool flushing;
	pthread_mutex_t flush_lock;
	pthread_cond_t flush_done;

	/* of the thread alone */
	alignas(WB_ZMQ_CACHE_LINE) void *socket;
	void *monitor;
	zmq_msg_t message;          /* valid while held is not NULL */
	struct wb_zmq_ticket *held; /* of a message that libzmq did not take yet */
	char topic[WB_ZMQ_TOPIC_BYTES];
	bool bounced; /* libzmq gave the held message back instead of sending it */
	struct wb_zmq_connections connections;
	struct wb_zmq_handshakes handshakes;
	int64_t retry_due_ns; /* 0: libzmq connects again by itself. Otherwise the time to do it for it */
	bool had_peer;
	bool told_alone; /* that nobody is connected */
	int64_t alone_since_ns;
	bool bound;
	uint64_t refused; /* batches, since they were logged last */
	int64_t next_refused_log_ns;
	int64_t next_drop_log_ns;
	int64_t next_wait_log_ns;
	struct wb_zmq_own own;
};

/* Make the socket and its monitor; bind or connect. Errors: negative errno with a message, nothing is left open. */
int wb_zmq_socket_open(struct wb_transport *transport, struct wb_error *ret_error);
/* Connect from another port if the old one may not be of use any more, see zmq_own.c. */
void wb_zmq_socket_renew(struct wb_transport *transport);
/* End the connection and make another one, from another port if the host wants to know it. Errors: negative errno. */
int wb_zmq_socket_reconnect(struct wb_transport *transport);
/* Close both. Messages that libzmq holds get the linger time from now. */
void wb_zmq_socket_close(struct wb_transport *transport);

/* Read what the monitor has to tell, a bounded number of events. */
void wb_zmq_peers_read(struct wb_transport *transport);
/* Connect again where libzmq has given up. 0 or -errno. */
int wb_zmq_peers_retry(struct wb_transport *transport);
/* Say, once each time, that nobody has been there for a while to take the batches. PUB that binds needs nobody. */
void wb_zmq_peers_missing(struct wb_transport *transport);

/*
 * Send one batch of a lane, or the one that is held when batch is NULL. 0: settled, or will be. -EAGAIN: it is held
 * now, call again with NULL. Other: the socket is of no more use, the batch was settled.
 */
int wb_zmq_send(struct wb_transport *transport, struct wb_lane *lane, struct wb_batch *batch);
/* Give up the held message, if there is one. */
void wb_zmq_send_abandon(struct wb_transport *transport, enum wb_cause cause);
void wb_zmq_settle(struct wb_transport *transport, struct wb_batch *batch, enum wb_result result, enum wb_cause cause);

/* Take the oldest batch of a lane. NULL: there is none. */
struct wb_batch *wb_zmq_lane_take(struct wb_lane *lane);
bool wb_zmq_lane_empty(struct wb_lane *lane);

/* Start the thread that owns the socket; wake it; set stop, wake and join it. */
int wb_zmq_thread_start(struct wb_transport *transport);
void wb_zmq_thread_wake(struct wb_transport *transport);
void wb_zmq_thread_stop(struct wb_transport *transport);

#endif
