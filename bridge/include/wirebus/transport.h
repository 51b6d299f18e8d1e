/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface between wirebus and a message bus. Kafka, ZeroMQ, files and null are built in.
 *
 * A transport takes sealed batches and settles each exactly once. wirebus calls open() once, lane() once for each
 * worker, publish() from the workers, then flush() and close(). A batch is memory of the worker's pool: what a
 * transport holds, the worker cannot fill again, so it settles as soon as it knows the outcome.
 */
#ifndef WIREBUS_TRANSPORT_H
#define WIREBUS_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wirebus/option.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WB_TRANSPORT_ABI 1

/* How a batch ended. */
enum wb_result {
	WB_RESULT_DELIVERED,   /* acknowledged by the bus */
	WB_RESULT_HANDED_OVER, /* given to a bus that does not acknowledge */
	WB_RESULT_FAILED,      /* certainly not on the bus; the cause says why */
	WB_RESULT_UNKNOWN,     /* sent, and no answer will come */
};

/* Why a batch failed. Meaningful with WB_RESULT_FAILED only. */
enum wb_cause {
	WB_CAUSE_NONE,
	WB_CAUSE_TIMEOUT,
	WB_CAUSE_TOO_LARGE,
	WB_CAUSE_DENIED,   /* authentication or authorization */
	WB_CAUSE_REFUSED,  /* the bus rejected it for another reason */
	WB_CAUSE_IO,       /* this host's resources: disk, memory, sockets */
	WB_CAUSE_SHUTDOWN, /* given up because of close() */
	WB_CAUSE_COUNT,
};

/*
 * A sealed batch: one message for the bus. Read-only for the transport, valid until it calls settle().
 */
struct wb_batch {
	const uint8_t *data;
	size_t size; /* bytes */
	uint32_t packets;
	uint32_t flags;            /* PacketBatch.flags */
	const uint8_t *session_id; /* 16 bytes */
	uint32_t worker_id;
	uint32_t stream_id;
	uint64_t batch_seq;
	uint64_t first_packet_seq;
	int64_t max_time_ms; /* greatest packet time, ms since the Unix epoch, rounded down; without packets the time of
	                        sealing */
	/*
	 * Give the reference back, once, from any thread. Lock-free but for one short critical section of the worker's
	 * ledger; never blocks on the bus. Afterwards `data` and the batch itself are not the transport's any more.
	 */
	void (*settle)(struct wb_batch *batch, enum wb_result result, enum wb_cause cause);
};

/* Where a batch goes. Valid during publish() only. */
struct wb_route {
	const char *topic; /* NULL: the one of the URL */
	const void *key;   /* NULL: none */
	size_t key_size;   /* bytes */
	int32_t partition; /* -1: by key, or as the bus likes */
};

#define WB_LOG_ERROR 0
#define WB_LOG_WARNING 1
#define WB_LOG_INFO 2
#define WB_LOG_DEBUG 3

struct wb_transport; /* the transport's own */
struct wb_lane;      /* the transport's own */

/* What open() is given. Everything lives until open() returns, unless it says otherwise. */
struct wb_transport_args {
	const char *url;     /* as the user wrote it, passwords masked: for messages */
	const char *scheme;  /* "kafka", "zmq+pub", ... */
	const char *address; /* between "scheme://" and '?': "b1:9092,b2:9092/packets", "127.0.0.1:5555", "/run/x" */
	const void *options; /* options_size bytes, filled according to the rows */
	const struct wb_property *properties; /* the free-form properties */
	size_t property_count;
	const char *node;
	unsigned int lanes;     /* how many lane() calls will follow at most */
	unsigned int buffers;   /* batches that all lanes together can have outstanding */
	size_t max_batch_bytes; /* no larger batch will be published; 0: not known yet (check) */
	/* Tell the user, one line; any thread; lives until close(). The host repeats nothing and limits no rate. */
	void (*log)(void *log_context, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
	void *log_context;
};

/* Gauges and counters, for any thread to read at any time. */
struct wb_transport_stats {
	bool connected;     /* the bus answers (Kafka), has a peer (ZeroMQ), is open (file) */
	bool failed;        /* for good: publish() will return -ESHUTDOWN; restart to recover */
	uint64_t published; /* batches taken by publish() */
	uint64_t settled;   /* batches settled */
	uint64_t bytes;     /* of batches settled as delivered or handed over */
	uint64_t again;     /* publish() returned -EAGAIN */
	uint64_t reconnects;
	uint64_t peers;      /* connected now, where the bus knows peers */
	uint64_t peer_drops; /* messages that the bus is known to have dropped for single peers */
	uint64_t copied;     /* batches that were copied rather than sent by reference */
};

/* Capabilities */
#define WB_TRANSPORT_ORDERED 1u      /* what one lane publishes on one route arrives in that order */
#define WB_TRANSPORT_ACKNOWLEDGES 2u /* settles as delivered */

struct wb_transport_ops {
	unsigned int abi;           /* WB_TRANSPORT_ABI */
	const char *name;           /* for people */
	const char *const *schemes; /* NULL-terminated */
	unsigned int capabilities;
	const struct wb_option_row *rows; /* options as ?key=value or in the configuration's `to:` */
	size_t options_size;              /* of the structure that the rows' offsets lead into */
	bool takes_properties;            /* free-form properties are passed on, otherwise refused */

	/*
	 * Check address, options and properties without touching the network or the disk. ret_max_batch_bytes: the
	 * largest message that the bus takes as configured, SIZE_MAX for no limit.
	 * Errors: -EINVAL with a message.
	 */
	int (*check)(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error);
	/*
	 * Open. Connects lazily: an absent broker is not an error, a wrong configuration is, and so is a local resource
	 * that cannot be had (a port in use, a directory that cannot be written).
	 * Errors: negative errno with a message.
	 */
	int (*open)(
		const struct wb_transport_args *args, struct wb_transport **ret_transport, struct wb_error *ret_error);
	/*
	 * Make what one worker publishes through. No lock is shared between lanes. free_buffers(context): how many
	 * buffers the worker's pool has left, callable from any thread until close(); of total_buffers.
	 */
	int (*lane)(struct wb_transport *transport, unsigned int (*free_buffers)(void *context), void *context,
		unsigned int total_buffers, struct wb_lane **ret_lane);
	/*
	 * Never blocks. 0: the transport holds the batch and will settle it exactly once, possibly before publish()
	 * returns and possibly on another thread. Otherwise it holds nothing:
	 * -EAGAIN: full, try later; -EMSGSIZE: the bus never takes this one; -ESHUTDOWN: it will take none any more.
	 * Threads: one per lane.
	 */
	int (*publish)(struct wb_lane *lane, struct wb_batch *batch, const struct wb_route *route);
	/* Wait up to timeout_ms until everything published so far is settled. 0 or -ETIMEDOUT. No publish() meanwhile.
	 */
	int (*flush)(struct wb_transport *transport, int timeout_ms);
	void (*stats)(struct wb_transport *transport, struct wb_transport_stats *ret_stats);
	/* Settle what is still held, end the threads, free the lanes. Cannot fail; NULL is allowed. */
	void (*close)(struct wb_transport *transport);

	const char *limit_name; /* the setting that raises check()'s limit, for messages; NULL: there is none */
};

/* What a plugin exports. */
#define WB_TRANSPORT_SYMBOL "wirebus_transport"

#ifdef __cplusplus
}
#endif
#endif
