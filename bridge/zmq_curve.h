/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CURVE, the encryption and authentication of ZeroMQ, for its transports and sources. Who binds is CURVE's server, who
 * connects its client, whichever way the packets go. Ref: zmq_curve(7).
 */
#ifndef WB_ZMQ_CURVE_H
#define WB_ZMQ_CURVE_H

#include <stdbool.h>

#include "wirebus/option.h"

/* Paths; NULL: not given. */
struct wb_zmq_curve_options {
	char *key;        /* this side's secret key */
	char *server_key; /* who connects: the public key of the other side */
	char *allow;      /* who binds: the public keys of the other sides; "*": any */
};

/* The rows of these, for a structure that has them as its member `curve`. */
/* clang-format off */
#define WB_ZMQ_CURVE_ROWS(structure)                                                                                   \
	{.key = "curve_key",                                                                                           \
		.type = WB_OPTION_STRING,                                                                              \
		.offset = offsetof(structure, curve.key),                                                              \
		.min = 1,                                                                                              \
		.unit = "FILE",                                                                                        \
		.help = "File with the secret key of this side, made by 'wirebus keygen': encrypts and authenticates"},\
	{.key = "curve_server_key",                                                                                    \
		.type = WB_OPTION_STRING,                                                                              \
		.offset = offsetof(structure, curve.server_key),                                                       \
		.min = 1,                                                                                              \
		.unit = "FILE",                                                                                        \
		.help = "File with the public key of the side that binds; for the side that connects"},                \
	{.key = "curve_allow",                                                                                         \
		.type = WB_OPTION_STRING,                                                                              \
		.offset = offsetof(structure, curve.allow),                                                            \
		.min = 1,                                                                                              \
		.unit = "FILE",                                                                                        \
		.help = "Who may connect, for the side that binds: a file with one public key a line, a directory of " \
			"files NAME.pub, or * for all who have this side's public key"}
/* clang-format on */

static inline bool wb_zmq_curve_used(const struct wb_zmq_curve_options *options)
{
	return options->key;
}

/* Whether the options fit together, and to a side that binds or connects; reads nothing. Errors: -EINVAL. */
int wb_zmq_curve_check(
	const char *url, const struct wb_zmq_curve_options *options, bool bind, struct wb_error *ret_error);
/*
 * Read the key files and set the socket's options. Does nothing when CURVE is not used. A socket that binds needs the
 * thread of zmq_zap.h as well, from before. Errors: negative errno with a message that quotes path and rule, never a
 * key.
 */
int wb_zmq_curve_apply(const struct wb_zmq_curve_options *options, bool bind, void *socket, struct wb_error *ret_error);

#endif
