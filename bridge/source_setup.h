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

/* Errors: -EINVAL, -ENOMEM, or -ENOENT (neither a URL nor a file), with a message; there is nothing to free then. */
int wb_source_setup_init(const char *url, struct wb_source_setup *ret_setup, struct wb_error *ret_error);
void wb_source_setup_fini(struct wb_source_setup *setup);

/*
 * Open the source of setup, which must live as long as it. args: all but what setup has.
 * Errors: as the source's open(), always with a message that names the URL.
 */
int wb_source_setup_open(const struct wb_source_setup *setup, const struct wb_source_args *args,
	struct wb_source **ret_source, struct wb_error *ret_error);

/*
 * Opening the output must not destroy what is to be read. from: the URL of the source; path: the output's, NULL or "-"
 * for standard output. -EINVAL with a message: both are one regular file. 0 also when `from` is no valid URL, which
 * wb_source_setup_init() tells.
 */
int wb_source_setup_check_output(const char *from, const char *path, struct wb_error *ret_error);

#endif
