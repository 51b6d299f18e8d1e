/* SPDX-License-Identifier: Apache-2.0 */
/* What a ZeroMQ socket's monitor reports: its events, and what a failed handshake means. */
#ifndef WB_ZMQ_MONITOR_H
#define WB_ZMQ_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include <zmq.h>

#define WB_ZMQ_HANDSHAKE_FAILED                                                                                        \
	(ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
/* Those that are read. */
#define WB_ZMQ_EVENTS                                                                                                  \
	(ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |           \
		ZMQ_EVENT_CONNECT_RETRIED | WB_ZMQ_HANDSHAKE_FAILED)

struct wb_zmq_event {
	unsigned int number; /* ZMQ_EVENT_ */
	uint32_t value;
};

/* False: there is none. Ref: zmq_socket_monitor(3). */
bool wb_zmq_monitor_next(void *monitor, struct wb_zmq_event *ret_event);

/* Why a handshake failed, as far as this side can see. */
enum wb_zmq_problem {
	WB_ZMQ_PROBLEM_KEY,       /* one side does not allow the other's key */
	WB_ZMQ_PROBLEM_CRYPTO,    /* what came was encrypted for another key */
	WB_ZMQ_PROBLEM_MECHANISM, /* one side uses CURVE, the other does not */
	WB_ZMQ_PROBLEM_ENDED,     /* the peer ended it, or was silent */
	WB_ZMQ_PROBLEM_PROTOCOL,  /* anything else */
	WB_ZMQ_PROBLEMS,
};

/* Counts failed handshakes and tells of them, each problem once a minute at the most. */
struct wb_zmq_handshakes {
	/* set by the user */
	const char *endpoint;
	const char *peer_type; /* "SUB": what the peer must be */
	bool curve, bind;
	void (*log)(void *log_context, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
	void *log_context;
	/* zeroed by the user */
	uint64_t untold[WB_ZMQ_PROBLEMS];
	int64_t next_log_ns[WB_ZMQ_PROBLEMS];
	const char *last; /* what the last one meant, for people; NULL: there was none */
};

enum wb_zmq_problem wb_zmq_handshake_problem(const struct wb_zmq_event *event);
/* Whether the problem is one of who the peer is, rather than of what it speaks. */
bool wb_zmq_problem_is_authentication(enum wb_zmq_problem problem);
/* Take note of an event out of WB_ZMQ_HANDSHAKE_FAILED, or of an end that nothing explains. */
enum wb_zmq_problem wb_zmq_handshakes_note(struct wb_zmq_handshakes *handshakes, const struct wb_zmq_event *event);
/* Tell of those that have not been told. */
void wb_zmq_handshakes_end(struct wb_zmq_handshakes *handshakes);

#endif
