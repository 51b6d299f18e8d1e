/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface between wirebus and a message bus. Kafka, ZeroMQ, files and null are built in; a plugin brings another
 * one. It is a shared object that defines
 *
 *	const struct wb_transport_ops wirebus_transport = {
 *		.abi = WB_TRANSPORT_ABI, .name = "mybus", .schemes = my_schemes, .check = my_check, ...};
 *
 * and is loaded with `wirebus run --plugin PATH.so --to mybus://...`. TRANSPORTS.md tells how to write and test one.
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

/* In front of every batch's data: so many bytes that are the transport's to write while it holds the batch. */
#define WB_BATCH_HEADROOM_BYTES 16

/* How a batch ended. */
enum wb_result {
	WB_RESULT_DELIVERED,   /* acknowledged by the bus */
	WB_RESULT_HANDED_OVER, /* given to a bus that does not acknowledge */
	WB_RESULT_FAILED,      /* certainly not on the bus; the cause says why */
	WB_RESULT_UNKNOWN,     /* sent, and no answer will come */
	WB_RESULT_COUNT,
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

/* One message of several in a batch. */
struct wb_record {
	int64_t time_ms; /* of the packet, ms since the Unix epoch, rounded down */
	uint32_t end;    /* where it ends in the batch's data; it begins where the one before ends */
	uint32_t host;   /* the host's own */
};

/*
 * A sealed batch: one message for the bus; in record mode several, see `record_count`. Read-only for the transport but
 * for the headroom, valid until it calls settle().
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
	/*
	 * Record mode, for transports with WB_TRANSPORT_RECORDS: data is so many messages back to back, each a
	 * PacketRecord. 0: data is one message, a PacketBatch.
	 */
	uint32_t record_count;
	const struct wb_record *records;
	/*
	 * With record_count, instead of settle(): give the outcome of the records first to first + count - 1, numbered
	 * from 0, from any thread, until each of the record_count has one. Returns whether these were the last: then
	 * the reference is given back, and `data` and the batch are not the transport's any more.
	 */
	bool (*settle_records)(
		struct wb_batch *batch, uint32_t first, uint32_t count, enum wb_result result, enum wb_cause cause);
};

/* Record number i, from 0, of a batch in record mode. */
static inline const uint8_t *wb_batch_record(const struct wb_batch *batch, uint32_t i, size_t *ret_size)
{
	uint32_t begin = i ? batch->records[i - 1].end : 0;

	*ret_size = batch->records[i].end - begin;
	return batch->data + begin;
}

/* The topic beside that of the records. */
#define WB_LEDGER_SUFFIX ".ledger"

/* Where a batch goes. Valid during publish() only. */
struct wb_route {
	const char *topic; /* NULL: the one of the URL */
	/*
	 * NULL, or WB_LEDGER_SUFFIX: the message is about the records of a stream and not for those who read these. A
	 * bus with topics adds it to the topic's name.
	 */
	const char *topic_suffix;
	const void *key;   /* NULL: none */
	size_t key_size;   /* bytes */
	int32_t partition; /* -1: by key, or as the bus likes */
};

#define WB_LOG_ERROR 0
#define WB_LOG_WARNING 1
#define WB_LOG_INFO 2
#define WB_LOG_DEBUG 3

struct sockaddr;     /* <sys/socket.h> */
struct wb_transport; /* the transport's own */
struct wb_lane;      /* the transport's own */

/*
 * What check() and open() are given. Everything lives until they return, unless it says otherwise. Members may be added
 * behind the last one.
 */
struct wb_transport_args {
	const char *url;     /* as the user wrote it, passwords masked: for messages */
	const char *scheme;  /* "kafka", "zmq+pub", ... */
	const char *address; /* between "scheme://" and '?': "b1:9092,b2:9092/packets", "127.0.0.1:5555", "/run/x" */
	const void *options; /* options_size bytes, filled according to the rows */
	const struct wb_property *properties; /* the free-form properties */
	size_t property_count;
	const char *node;       /* NULL: not known yet (check) */
	const char *interface;  /* what is captured; NULL: not known yet (check), or no interface */
	unsigned int lanes;     /* how many lane() calls will follow at most */
	unsigned int buffers;   /* batches that all lanes together can have outstanding */
	size_t max_batch_bytes; /* no larger batch will be published; 0: not known yet (check) */
	bool records;           /* record mode: messages are many and small */
	/* Tell the user, one line; any thread; lives until close(). The host repeats nothing and limits no rate. */
	void (*log)(void *log_context, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
	void *log_context;
	/*
	 * Tell the host of a connection of the transport's, so that its packets are left out of the captures: open
	 * before the first packet, which is before connect(2) (bind(2) gives the port), then once more, with the same
	 * ends, when it is closed. A client library that lets nobody bind its sockets is asked for its ends as soon as
	 * it is connected. NULL: nobody wants to know. local, remote: IPv4 or IPv6 with a port; address 0: not
	 * known. remote NULL: a listener's, all connections of that local end. Copied. Threads: any. Blocks: some
	 * milliseconds for each ring. Lives until close().
	 */
	void (*own_connection)(
		void *own_context, bool open, const struct sockaddr *local, const struct sockaddr *remote);
	void *own_context;
};

/* Gauges and counters, for any thread to read at any time. Zeroed by the caller; members may be added behind the last
 * one. */
struct wb_transport_stats {
	bool connected;     /* the bus answers (Kafka), has a peer (ZeroMQ), is open (file) */
	bool failed;        /* for good: publish() will return -ESHUTDOWN; restart to recover */
	uint64_t published; /* batches taken by publish() */
	uint64_t settled;   /* batches settled */
	uint64_t bytes;     /* of batches settled as delivered or handed over */
	uint64_t again;     /* publish() returned -EAGAIN */
	uint64_t reconnects;
	uint64_t peers;               /* connected now, where the bus knows peers */
	uint64_t peer_drops;          /* messages that the bus is known to have dropped for single peers */
	uint64_t copied;              /* batches that were copied rather than sent by reference */
	uint64_t renewed;             /* clients that were replaced after a fatal error */
	uint64_t republished;         /* batches that were published again by the next client */
	uint64_t possible_duplicates; /* of these: the last client may have delivered them, too */
	uint64_t disconnects;         /* peers that were connected and are not any more */
	uint64_t auth_failures; /* connections refused for who the peer is: no key, a wrong one, or one not allowed */
	uint64_t protocol_failures; /* connections that failed otherwise before the peer was one */
};

/* Capabilities */
#define WB_TRANSPORT_ORDERED 1u      /* what one lane publishes on one route arrives in that order */
#define WB_TRANSPORT_ACKNOWLEDGES 2u /* settles as delivered, unless it was configured otherwise */
#define WB_TRANSPORT_RECORDS 4u      /* takes batches of several messages, see wb_batch.record_count */

struct wb_transport_ops {
	unsigned int abi;           /* WB_TRANSPORT_ABI */
	const char *name;           /* for people */
	const char *const *schemes; /* NULL-terminated */
	unsigned int capabilities;
	const struct wb_option_row *rows; /* options as ?key=value or in the configuration's `to:` */
	size_t options_size;              /* of the structure that the rows' offsets lead into */
	bool takes_properties;            /* free-form properties are passed on, otherwise refused */

	/*
	 * All operations but publish() and stats() are called by one thread at a time. None may end the process, change
	 * its signals or its directory; threads that they start block every signal. ret_error is never NULL.
	 *
	 * Check address, options and properties without touching the network or the disk. ret_max_batch_bytes: the
	 * largest message that the bus takes as configured, SIZE_MAX for no limit.
	 * Blocks: never. Errors: -EINVAL with a message that quotes the value and the rule; -ENOMEM.
	 */
	int (*check)(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error);
	/*
	 * Open. Connects lazily: an absent broker is not an error, a wrong configuration is, and so is a local resource
	 * that cannot be had (a port in use, a directory that cannot be written).
	 * Ownership: *ret_transport is the caller's until close(). Blocks: not on the bus. Errors: negative errno with
	 * a message; then there is nothing to close.
	 */
	int (*open)(
		const struct wb_transport_args *args, struct wb_transport **ret_transport, struct wb_error *ret_error);
	/*
	 * Make what one worker publishes through. No lock is shared between lanes. free_buffers(context): how many
	 * buffers the worker's pool has left, callable from any thread until close(); of total_buffers.
	 * Ownership: the lane ends with the transport. Blocks: never. Errors: -ENOMEM.
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
	 * Blocks: up to timeout_ms. */
	int (*flush)(struct wb_transport *transport, int timeout_ms);
	/* Threads: any, at any time between open() and close(). Blocks: never. */
	void (*stats)(struct wb_transport *transport, struct wb_transport_stats *ret_stats);
	/* Settle what is still held, end the threads, free the lanes. Cannot fail; NULL is allowed. Afterwards nothing
	 * is settled, logged or asked for free buffers any more. Blocks: a few seconds at the most. */
	void (*close)(struct wb_transport *transport);

	const char *limit_name; /* the setting that raises check()'s limit, for messages; NULL: there is none */

	/* For operations that are added without a new ABI number: NULL, as the compiler leaves them. */
	void *reserved[8];
};

/* What a plugin exports: declared here, so that its definition has this type, C linkage and is visible. */
#define WB_TRANSPORT_SYMBOL "wirebus_transport"
extern const struct wb_transport_ops wirebus_transport __attribute__((visibility("default")));

#ifdef __cplusplus
}
#endif
#endif
