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

/* Replace every occurrence of secret in text, which has room for size bytes; what no longer fits is cut off. */
void wb_secret_redact(char *text, size_t size, const char *secret);

#endif
