/* SPDX-License-Identifier: Apache-2.0 */
/* ${NAME} and ${file:PATH} in values of the configuration file. */
#ifndef WB_CONFIG_SUBSTITUTE_H
#define WB_CONFIG_SUBSTITUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "wirebus/option.h"

#define WB_SUBSTITUTE_FILE_BYTES_MAX (64u << 10)
#define WB_SUBSTITUTE_FILES_MAX 256
#define WB_SUBSTITUTE_BYTES_MAX (256u << 10)

struct wb_substitute {
	const char *folder; /* that relative paths begin at */
	char **contents;    /* of the files that were read: must not be shown */
	size_t content_count;
};

/* Frees what was collected. */
void wb_substitute_fini(struct wb_substitute *substitute);

/*
 * Replace. ret_text: a new string, also when nothing is replaced; the result is not looked through again.
 * ret_changed: whether something was replaced. Errors: -EINVAL with a message, -ENOMEM.
 */
int wb_substitute(struct wb_substitute *substitute, const char *text, char **ret_text, bool *ret_changed,
	struct wb_error *ret_error);

/* Take the content of the files out of a message. */
void wb_substitute_redact(const struct wb_substitute *substitute, struct wb_error *message);

#endif
