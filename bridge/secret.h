/* SPDX-License-Identifier: Apache-2.0 */
/* What must not be shown to people. */
#ifndef WB_SECRET_H
#define WB_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#define WB_SECRET_MASK "****"

/*
 * Whether the value of an option or property of this name is shown as "****": names that end, in any case of letters,
 * in .key, .pem, secret_key, password, secret or token. (Not "key" alone: that is how messages are keyed.)
 */
bool wb_secret_name(const char *name);

/*
 * Whether a file of this mode is no place for a secret: others have access to it, or its group may write to it.
 * Whatever group a service runs in may read it.
 */
bool wb_secret_is_exposed(unsigned int mode);

/* Replace every occurrence of secret in text, which has room for size bytes; what no longer fits is cut off. */
void wb_secret_redact(char *text, size_t size, const char *secret);

/*
 * Replace what stands in single quotes and is secret or a piece of it, also one that the end of text cuts, or with
 * characters shown as '?' that are not for a terminal: for messages that take apart what a secret is somewhere in.
 */
void wb_secret_redact_quotes(char *text, size_t size, const char *secret);

#endif
