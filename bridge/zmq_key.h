/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CURVE keys of ZeroMQ in files: 40 characters of Z85 on a line, as other programs write them too. Empty lines and
 * those that begin with '#' are comments, and so is what follows a key after a space and '#'.
 *
 *	struct wb_zmq_key_file file;
 *	r = wb_zmq_key_file_read(path, WB_ZMQ_KEY_PUBLIC, &file, &error);
 *	while (r >= 0 && (r = wb_zmq_key_file_next(&file, &key, &error)) > 0)
 *		use(key.text);
 *	wb_zmq_key_file_fini(&file);
 */
#ifndef WB_ZMQ_KEY_H
#define WB_ZMQ_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "wirebus/option.h"

#define WB_ZMQ_KEY_CHARS 40
#define WB_ZMQ_KEY_BYTES 32

struct wb_zmq_key {
	char text[WB_ZMQ_KEY_CHARS + 1];
};

/*
 * Of a secret file nothing is quoted, and nobody but its owner and its group may be able to read it. What has public
 * keys must not be writable by everybody.
 */
enum wb_zmq_key_kind { WB_ZMQ_KEY_PUBLIC, WB_ZMQ_KEY_SECRET };

/* A file's content. The members are the parser's own. */
struct wb_zmq_key_file {
	const char *path; /* the caller's */
	enum wb_zmq_key_kind kind;
	char *data;
	size_t size;
	size_t at;
	size_t line; /* of the key that was returned last, from 1 */
};

/*
 * Read a whole file. Never waits: what is not a regular file is refused, and so is one of more than 4 MiB.
 * Errors: negative errno with a message that quotes the path; then there is nothing to be freed.
 */
int wb_zmq_key_file_read(
	const char *path, enum wb_zmq_key_kind kind, struct wb_zmq_key_file *ret_file, struct wb_error *ret_error);
/* 1: the next key. 0: no more. -EINVAL: a line that is neither key nor comment; the message has its number. */
int wb_zmq_key_file_next(struct wb_zmq_key_file *file, struct wb_zmq_key *ret_key, struct wb_error *ret_error);
/* Overwrites the content and frees it. */
void wb_zmq_key_file_fini(struct wb_zmq_key_file *file);

/* The one key of a file. Errors: as above, and -EINVAL when there is none, or more than one. */
int wb_zmq_key_read(
	const char *path, enum wb_zmq_key_kind kind, struct wb_zmq_key *ret_key, struct wb_error *ret_error);

/* Whether a file or directory of public keys has a mode that lets nobody add to it. Errors: -EACCES with a message. */
int wb_zmq_key_check_writable(const char *path, unsigned int mode, struct wb_error *ret_error);

/* Make a pair. Errors: -ENOTSUP: libzmq was built without CURVE. */
int wb_zmq_key_pair(struct wb_zmq_key *ret_public, struct wb_zmq_key *ret_secret, struct wb_error *ret_error);
/* What CURVE is asked with: whether libzmq has it. */
bool wb_zmq_key_supported(void);

#endif
