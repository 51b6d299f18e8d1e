/* SPDX-License-Identifier: Apache-2.0 */
/* The public keys of those who may connect: a file of them, or a directory of files NAME.pub. One thread. */
#ifndef WB_ZMQ_ALLOW_H
#define WB_ZMQ_ALLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zmq_key.h"

struct wb_zmq_allow {
	char *path;
	uint8_t (*keys)[WB_ZMQ_KEY_BYTES]; /* sorted */
	size_t count;
	uint64_t signature; /* of the files as they were when they were read */
};

/* Errors: negative errno with a message; -EINVAL also when there is no key at all. Then nothing is left to be freed. */
int wb_zmq_allow_load(const char *path, struct wb_zmq_allow *ret_allow, struct wb_error *ret_error);
/*
 * Read it again if a file has changed. 1: it was read, and may be empty now. 0: nothing has changed. Errors: negative
 * errno with a message; the list stays as it was, until the next change.
 */
int wb_zmq_allow_refresh(struct wb_zmq_allow *allow, struct wb_error *ret_error);
/* key: WB_ZMQ_KEY_BYTES, as on the wire. */
bool wb_zmq_allow_has(const struct wb_zmq_allow *allow, const void *key);
void wb_zmq_allow_fini(struct wb_zmq_allow *allow);

#endif
