/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of ZeroMQ sockets: host:port, [v6]:port, or the path of a Unix socket; and whether to bind or to connect.
 */
#ifndef WB_ZMQ_ADDRESS_H
#define WB_ZMQ_ADDRESS_H

#include <stdbool.h>

#include "wirebus/option.h"

/* The option `bind`. auto: producers bind, consumers connect, and '*' is always bound to. */
enum wb_zmq_bind { WB_ZMQ_BIND_AUTO, WB_ZMQ_BIND_YES, WB_ZMQ_BIND_NO };

/* What the user gave. */
struct wb_zmq_place {
	const char *url; /* for messages */
	const char *address;
	unsigned int bind; /* enum wb_zmq_bind */
	bool producer;
	bool insecure; /* other hosts may come, because CURVE keeps strangers out or the user says so */
};

struct wb_zmq_address {
	char endpoint[320]; /* as libzmq takes it */
	const char *path;   /* into endpoint; NULL: not ipc */
	bool bind;
	bool ipv6;
};

/*
 * Parse and check. Binding to anything but loopback or a path needs `insecure`.
 * ret_address must not be moved: path leads into it. Errors: -EINVAL with a message.
 */
int wb_zmq_address(const struct wb_zmq_place *place, struct wb_zmq_address *ret_address, struct wb_error *ret_error);

/*
 * Whether a Unix socket can be bound to: libzmq removes whatever has the name, another process's socket or a file.
 * Errors: -EEXIST, -EADDRINUSE with a message.
 */
int wb_zmq_check_path(const char *path, struct wb_error *ret_error);

#endif
