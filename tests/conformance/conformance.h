/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One suite over every transport: what transport.h promises is checked here, once, for all of them.
 *
 *   main.c               picks a row, runs the cases, says how it went
 *   report.c             notes what is wrong
 *   batches.c            batches that notice when they are settled twice, never, or touched afterwards
 *   session.c            a transport opened for one case, its lanes and its peer
 *   cases_*.c            the cases
 *   curve_keys.c         keys in files, for rows with CURVE
 *   rows.c, peer_*.c     the transports, and for each a reader that uses none of its code
 *   fake_transport.c     a scripted transport, which can also be made to break each promise
 *   external.c           a plugin, described on the command line; peer_command.c: a program that reads its bus
 */
#ifndef WB_CONFORMANCE_H
#define WB_CONFORMANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wirebus/transport.h"

#define CONF_NODE "conformance-node"
#define CONF_LANES 2
#define CONF_SYNC_LANE UINT32_MAX /* in messages that only find out whether the peer is there */
#define CONF_EXIT_SKIP 77

/* --- report.c --- */

/* Note that something is wrong; the case goes on. Any thread. */
void conf_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define CONF_CHECK(condition, ...) ((condition) ? (void)0 : conf_fail(__VA_ARGS__))
void conf_set_case(const char *name);
unsigned int conf_failures(void);
/* Whether a failure so far contains a text. */
bool conf_failed_with(const char *text);
int64_t conf_now_ms(void);
void conf_pause_ms(int ms);

/* --- batches.c --- */

enum conf_state { CONF_FREE, CONF_HELD, CONF_SETTLING, CONF_SETTLED, CONF_REFUSED };

struct conf_pool;
struct conf_batch {
	struct wb_batch batch; /* first: settle() gets this */
	struct conf_pool *pool;
	atomic_int state;  /* enum conf_state */
	atomic_int result; /* enum wb_result, once settled */
	atomic_int cause;
	uint32_t lane;
	uint64_t seq;
	size_t size;
	size_t capacity;
	uint8_t *data;
	atomic_bool arrived;
	/* Of several messages: where they end, how many have no outcome yet, and the outcomes by enum wb_result. */
	struct wb_record *records;
	atomic_uint unsettled;
	atomic_uint outcomes[4];
};

struct conf_pool {
	struct conf_batch *batches;
	unsigned int count;
	unsigned int next;                               /* where conf_pool_take() looks first */
	atomic_bool closed;                              /* close() has returned: nothing may be settled any more */
	atomic_uint held;                                /* by the transport */
	atomic_ullong published, settled, settled_bytes; /* the last one: of those delivered or handed over */
	atomic_ullong results[4];                        /* by enum wb_result */
};

/* Give the batches that are filled from now on another session's identity. */
void conf_new_session(void);
int conf_pool_init(struct conf_pool *pool, unsigned int count, size_t capacity);
void conf_pool_fini(struct conf_pool *pool);
unsigned int conf_pool_free_buffers(void *pool);
/* A batch that the transport does not hold. NULL: it holds all. */
struct conf_batch *conf_pool_take(struct conf_pool *pool);
/* Content that says what it is and proves that it is whole. Size: at least CONF_MIN_SIZE. */
#define CONF_MIN_SIZE 32
void conf_fill(struct conf_batch *batch, uint32_t lane, uint64_t seq, size_t size);
/* The same as so many messages, numbered from seq on, of size bytes each. */
void conf_fill_records(struct conf_batch *batch, uint32_t lane, uint64_t seq, uint32_t count, size_t size);
/* Whether a received message is whole, and which it is. */
bool conf_verify(const void *data, size_t size, uint32_t *ret_lane, uint64_t *ret_seq);
/* Every batch of the pool that was published is settled. */
void conf_pool_check_settled(struct conf_pool *pool);

/* --- rows.c, peer_*.c --- */

/* Where a row's messages go for one case. */
struct conf_bus {
	char url[512];
	char address[256]; /* for the peer */
	bool peer_binds;
	void *owned; /* the row's */
	/* With CURVE; empty: without. */
	char public_key[41]; /* of the transport */
	char peer_public_key[41], peer_secret_key[41];
};

struct conf_peer_ops {
	void *(*open)(const struct conf_bus *bus, bool stalled);
	/* 1: a message, valid until the next call. 0: none in that time. */
	int (*receive)(void *peer, int timeout_ms, const void **ret_data, size_t *ret_size);
	void (*close)(void *peer);
};

#define CONF_WAITS_FOR_PEER 1u /* batches stay unsettled while nobody reads */
#define CONF_LOSSY 2u          /* what is published before the peer is there is lost */
#define CONF_STALLED_PEERS 4u  /* readers that do not read hold batches, up to a limit */
#define CONF_ZMQ 8u
#define CONF_BINDS 16u
#define CONF_BOUNDED 32u        /* refuses with -EAGAIN when it holds as much as it was told */
#define CONF_REFUSES_ALONE 512u /* takes nothing while nobody reads */
#define CONF_HANDS_OVER 1024u   /* as configured, the bus does not acknowledge, although it can */
#define CONF_REAL_KAFKA 64u
#define CONF_HELD_UP 128u /* one reader that does not read holds up all */
#define CONF_CURVE 256u

struct conf_bad {
	const char *url;
	const char *quoted; /* must occur in the message */
};

struct conf_row {
	const char *name;
	const struct wb_transport_ops *ops;
	const struct conf_peer_ops *peer; /* NULL: nothing to read */
	unsigned int flags;
	const char *roomy;   /* query under which nothing that a reading peer wants is dropped; or NULL */
	const char *slow;    /* query under which batches are not settled at once; or NULL */
	const char *offline; /* URL of a bus that is not there; NULL: the bus's own, without a peer */
	const struct conf_bad *bad;
	/* 0; CONF_EXIT_SKIP: not possible here; else it failed. */
	int (*bus_open)(struct conf_bus *bus, const struct conf_row *row);
	void (*bus_close)(struct conf_bus *bus);
	const char *scheme;
};

const struct conf_row *conf_row_find(const char *name);
void conf_rows_list(void);
extern const struct conf_peer_ops conf_peer_zmq_sub, conf_peer_zmq_pull, conf_peer_file, conf_peer_kafka,
	conf_peer_fake;
int conf_bus_open_kafka_mock(struct conf_bus *bus, const struct conf_row *row);
int conf_bus_open_kafka_real(struct conf_bus *bus, const struct conf_row *row);
void conf_bus_close_kafka(struct conf_bus *bus);
int conf_bus_open_fake(struct conf_bus *bus, const struct conf_row *row);
/* Make keys for both sides, write files into the bus's folder `owned`, and add them to the URL. */
int conf_curve_keys(struct conf_bus *bus);
/* Write a key, or several lines, into a file of the bus's folder. */
int conf_curve_write(const struct conf_bus *bus, const char *name, const char *text);
extern const struct wb_transport_ops conf_transport_fake;
/*
 * A row for a plugin, from the command line: "--plugin PATH --url URL ...". NULL: the arguments are wrong; said.
 * ret_expected: text of the failure that there must be; NULL: there must be none.
 */
const struct conf_row *conf_external(int argc, char **argv, const char **ret_expected);
extern const char conf_external_usage[];
extern const struct conf_peer_ops conf_peer_command;
/* What reads the bus, for sh -c: it writes each message to its standard output, after its length in 4 bytes. */
void conf_peer_command_set(const char *command);
/* Query that makes the fake transport break a promise, added to its URLs; NULL: it behaves. */
void conf_fake_set_fault(const char *query);

/* --- session.c --- */

struct conf_session {
	const struct conf_row *row;
	struct conf_bus bus;
	void *options;
	struct wb_property *properties;
	size_t property_count;
	struct wb_transport_args args;
	size_t max_batch_bytes; /* from check() */
	struct wb_transport *transport;
	struct wb_lane *lanes[CONF_LANES];
	struct conf_pool pools[CONF_LANES];
	void *peer;
	atomic_ullong again; /* refusals */
};

struct conf_setup {
	const char *query;    /* added to the URL; NULL: none */
	const char *url;      /* instead of the bus's; NULL: the bus's */
	unsigned int buffers; /* of each lane */
	unsigned int told;    /* how many the transport is told of; 0: all of them */
	size_t capacity;      /* bytes of each buffer */
	size_t max_batch_bytes;
	bool records; /* batches of several messages will follow */
};

/* Open bus, transport and lanes. False: reported. */
bool conf_session_open(struct conf_session *session, const struct conf_row *row, const struct conf_setup *setup);
/* Parse a URL and check it as the program does. Negative errno with a message. */
int conf_session_parse(struct conf_session *session, const char *url, struct wb_error *ret_error);
/* Open a peer and wait until what is published reaches it. False: reported. */
bool conf_session_connect(struct conf_session *session);
/* Publish until something of it reaches this peer. False: reported. */
bool conf_session_reach(struct conf_session *session, void *peer);
/* Publish; reports a call that blocks, and a settled batch that was refused. Returns what publish() returned. */
int conf_session_publish(struct conf_session *session, unsigned int lane, struct conf_batch *batch);
/* The same until it is taken, for at most timeout_ms. */
int conf_session_publish_wait(
	struct conf_session *session, unsigned int lane, struct conf_batch *batch, int timeout_ms);
/* Publish batches first to last - 1 of the lane's pool, which are filled here with a mix of sizes. */
bool conf_session_publish_range(struct conf_session *session, unsigned int lane, unsigned int first, unsigned int last);
/*
 * Receive so many messages, and check that each is a batch that was published, whole, once and in the order of its
 * lane. timeout_ms: without any message.
 */
void conf_session_receive(struct conf_session *session, unsigned int expected, int timeout_ms);
/* Batches settled so far with a result. */
unsigned int conf_session_settled(struct conf_session *session, enum wb_result result);
uint64_t conf_session_held(struct conf_session *session);
/* Close the transport only, and check that every batch is settled. */
void conf_session_close_transport(struct conf_session *session);
void conf_session_close(struct conf_session *session);

/* --- cases_*.c --- */

struct conf_case {
	const char *name;
	unsigned int needs; /* flags that the row must have */
	bool needs_peer;
	void (*run)(const struct conf_row *row);
};
extern const struct conf_case conf_cases_basic[], conf_cases_flow[], conf_cases_records[], conf_cases_zmq[],
	conf_cases_kafka[], conf_cases_curve[];

#endif
