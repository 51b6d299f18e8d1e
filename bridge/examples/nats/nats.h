/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transport for NATS, as a plugin. What goes where:
 *
 *   nats.c          the descriptor, opening, lanes, publish(), flush(), stats(), close()
 *   nats_check.c    servers, subject, options: what can be wrong without asking anybody
 *   nats_sender.c   the one thread that talks to the server: takes batches from the lanes, settles them
 *   nats_link.c     one connection: publish a batch, find out whether the server has it
 *   nats_guard.c    makes a connection, in bounded time, and tells the host of it
 *
 * publish() only puts a batch into its lane's queue, as the library's own publish call may wait for the network. The
 * sender publishes a window of batches, then waits until the server has confirmed all of them: with a PONG, which
 * follows everything that was sent before the PING, or with an acknowledgement of JetStream for each. Until then it
 * keeps them, so that they can be sent again, in their order, when the connection breaks. Every connection is a new
 * one: the library's reconnection would send what it has buffered, out of order with what is sent again.
 */
#ifndef WIREBUS_NATS_H
#define WIREBUS_NATS_H

#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <wirebus/transport.h>

#define SERVERS_MAX 8
#define SERVER_BYTES 280
#define SUBJECT_BYTES 256
#define WINDOW_BATCHES 64u
#define WINDOW_BYTES ((size_t)8 << 20)
/* Of JetStream's message header, which counts against the server's limit: "NATS/1.0", "Nats-Msg-Id: ..." */
#define HEADER_BYTES ((size_t)256)

struct nats_settings {
	bool jetstream, tls;
	uint64_t max_payload, timeout_ms, connect_timeout_ms;
	char *user, *password, *token, *ca;
};

/* Where to: from the URL. */
struct nats_address {
	char servers[SERVERS_MAX][SERVER_BYTES]; /* "nats://host:port" */
	unsigned int server_count;
	char subject[SUBJECT_BYTES]; /* with {node} and {stream} in it */
};

struct item {
	struct wb_batch *batch; /* NULL: settled */
	bool sent;              /* at least once: without an answer its outcome is unknown */
	char subject[SUBJECT_BYTES];
};

struct wb_lane {
	struct wb_transport *transport;
	struct wb_lane *next;
	/* A queue from the worker to the sender: each side writes its own counter only. */
	struct item *items;
	unsigned int capacity;
	_Atomic uint64_t pushed, popped;
	_Atomic uint64_t published, again;
};

/* Both ends of the connection, as they were told to the host. */
struct nats_ends {
	bool told;
	struct sockaddr_storage local, remote;
};

struct wb_transport {
	/* Fixed after open(). */
	struct nats_address address;
	char *url, *node;
	natsOptions *options;
	bool jetstream;
	size_t max_batch_bytes;
	unsigned int buffers;
	uint64_t timeout_ms, connect_timeout_ms;
	void (*log)(void *log_context, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
	void *log_context;
	void (*own_connection)(
		void *own_context, bool open, const struct sockaddr *local, const struct sockaddr *remote);
	void *own_context;

	/* Shared. */
	_Atomic(struct wb_lane *) lanes;
	int wake_fd;
	atomic_bool awake, stop, connected;
	_Atomic uint64_t settled, bytes, connects, copied;
	pthread_t sender;
	pthread_mutex_t lock; /* of the condition alone */
	pthread_cond_t settled_some;

	/* The sender's. */
	struct item window[WINDOW_BATCHES];
	unsigned int window_count;
	natsConnection *connection; /* NULL: none */
	struct nats_ends ends;
	natsSubscription *acknowledgements;
	char inbox[64];
	char reason[256]; /* why the connection was given up, or could not be made */
	char reported[256];
	uint64_t next_attempt_ms, retry_ms;
};

/* nats_check.c */
int nats_fail(struct wb_error *ret_error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int nats_parse_address(const char *text, struct nats_address *ret_address, struct wb_error *ret_error);
/* Check it all. Errors: -EINVAL with a message. */
int nats_check_settings(const struct nats_settings *settings, struct wb_error *ret_error);
/* What a batch is published under: the topic, if there is one, else the URL's subject with its names filled in. */
void nats_subject(const struct wb_transport *transport, const struct wb_batch *batch, const char *topic,
	char subject[SUBJECT_BYTES]);

/* nats_link.c: false: the connection is of no use any more, and transport->reason says why. */
bool nats_connect(struct wb_transport *transport);
void nats_disconnect(struct wb_transport *transport);
bool nats_alive(struct wb_transport *transport);
/* Publish what the window has that is not settled. */
bool nats_send_window(struct wb_transport *transport);
/* Wait until it is all settled, or the transport stops. */
bool nats_confirm_window(struct wb_transport *transport);

/* nats_guard.c: natsConnection_Connect() into transport->connection. */
natsStatus nats_connect_guarded(struct wb_transport *transport);
/* Tell the host that the connection is closed. */
void nats_untell(struct wb_transport *transport);

/* nats_sender.c */
void *nats_send(void *transport);
void nats_wake(struct wb_transport *transport);
struct item *nats_front(struct wb_lane *lane);
void nats_settle(struct wb_transport *transport, struct item *item, enum wb_result result, enum wb_cause cause);
uint64_t nats_now_ms(void);

#endif
