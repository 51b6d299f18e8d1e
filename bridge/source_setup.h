/* SPDX-License-Identifier: Apache-2.0 */
/* From a URL to an open source. */
#ifndef WB_SOURCE_SETUP_H
#define WB_SOURCE_SETUP_H

#include "source.h"
#include "url.h"

/* A URL made ready for a source: parsed, options filled. */
struct wb_source_setup {
	const struct wb_source_ops *ops;
	struct wb_url url;
	void *options;
	struct wb_property *properties;
	size_t property_count;
};

/* Errors: -EINVAL or -ENOMEM with a message; there is nothing to free then. */
int wb_source_setup_init(const char *url, struct wb_source_setup *ret_setup, struct wb_error *ret_error);
void wb_source_setup_fini(struct wb_source_setup *setup);

/*
 * Open the source of setup, which must live as long as it. args: follow, wait_ms and max_message_bytes are used.
 * Errors: as the source's open(), always with a message that names the URL.
 */
int wb_source_setup_open(const struct wb_source_setup *setup, const struct wb_source_args *args,
	struct wb_source **ret_source, struct wb_error *ret_error);

#endif
