/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may connect to a CURVE socket that was bound: the thread that libzmq asks, for each connection, whether its key
 * is allowed. Ref: RFC 27 of ZeroMQ (ZAP).
 */
#ifndef WB_ZMQ_ZAP_H
#define WB_ZMQ_ZAP_H

#include "wirebus/option.h"

/* The domain that a socket must name, or libzmq would let everybody in (ZMQ_ZAP_DOMAIN). */
#define WB_ZMQ_ZAP_DOMAIN "wirebus"

struct wb_zmq_zap;

struct wb_zmq_zap_args {
	void *context;        /* of libzmq: the thread serves all its sockets */
	const char *allow;    /* file or directory of public keys; "*": any key */
	const char *endpoint; /* for messages */
	void (*log)(void *log_context, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
	void *log_context;
};

/* Before any socket of the context is bound. Errors: negative errno with a message. */
int wb_zmq_zap_start(const struct wb_zmq_zap_args *args, struct wb_zmq_zap **ret_zap, struct wb_error *ret_error);
/* After zmq_ctx_term(), which ends the thread. NULL is allowed. */
void wb_zmq_zap_join(struct wb_zmq_zap *zap);

#endif
