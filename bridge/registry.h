/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transports and sources that there are, and how a URL finds one. A new one that is built in is one file and one
 * row here; a plugin registers its own.
 */
#ifndef WB_REGISTRY_H
#define WB_REGISTRY_H

#include "source.h"
#include "url.h"
#include "wirebus/transport.h"

extern const struct wb_transport_ops wb_transport_null;
extern const struct wb_transport_ops wb_transport_file;
extern const struct wb_transport_ops wb_transport_zmq;
extern const struct wb_transport_ops wb_transport_kafka;

extern const struct wb_source_ops wb_source_file;
extern const struct wb_source_ops wb_source_capture; /* without a scheme: source_setup.c chooses it */
extern const struct wb_source_ops wb_source_zmq;
extern const struct wb_source_ops wb_source_kafka;

/* All sources, NULL-terminated. */
extern const struct wb_source_ops *const wb_sources[];
/* All transports: those that are built in, then those of plugins. NULL: i is behind the last one. */
const struct wb_transport_ops *wb_transport_at(size_t i);

/* Whose a scheme is: the name of a transport or a source. NULL: nobody's. */
const char *wb_scheme_owner(const char *scheme);
/*
 * Add a plugin's transport, whose descriptor was checked. Lifetime: of the process. Threads: the main one, before
 * others are started. Errors: -ENOSPC, when there are WB_PLUGINS_MAX.
 */
#define WB_PLUGINS_MAX 16
int wb_transport_register(const struct wb_transport_ops *ops);

/* By scheme. NULL: none, with a message that lists those there are. */
const struct wb_transport_ops *wb_transport_find(const struct wb_url *url, struct wb_error *ret_error);
const struct wb_source_ops *wb_source_find(const struct wb_url *url, struct wb_error *ret_error);

/* A URL made ready for a transport: parsed, options filled and checked. */
struct wb_transport_setup {
	const struct wb_transport_ops *ops;
	struct wb_url url;
	void *options;
	struct wb_property *properties;
	size_t property_count;
	size_t max_batch_bytes; /* what the bus takes */
};
/* more: further settings, as if in the query; nullable with count 0. Errors: negative errno with a message. */
int wb_transport_setup_init(const char *url, const struct wb_property *more, size_t more_count,
	struct wb_transport_setup *ret_setup, struct wb_error *ret_error);
void wb_transport_setup_fini(struct wb_transport_setup *setup);
/* Fill the members of args that come from the setup. */
void wb_transport_setup_args(const struct wb_transport_setup *setup, struct wb_transport_args *ret_args);

#endif
