/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of buses, files and interfaces: scheme://address[?key=value[&key=value]]. */
#ifndef WB_URL_H
#define WB_URL_H

#include "wirebus/option.h"

struct wb_url {
	char *text; /* as given, with the values of secret keys masked */
	char *scheme;
	char *address;             /* percent-decoded; may be empty */
	struct wb_property *query; /* percent-decoded, in order */
	size_t query_count;
};

/*
 * Parse. "null:" is allowed without slashes; a plain path (one that begins with '/', './' or '../') is file://path.
 * Ownership: free with wb_url_fini(). Errors: -EINVAL with a message that quotes the URL and the rule; -ENOMEM.
 */
int wb_url_parse(const char *text, struct wb_url *ret_url, struct wb_error *ret_error);
void wb_url_fini(struct wb_url *url);

/*
 * Apply the query to an options structure: a key that is a row's is set, and "properties.NAME" is appended to
 * *properties (grown with realloc; key and value are owned copies: free with wb_properties_free()). Errors: -EINVAL,
 * unknown keys and those given twice too, with a suggestion; -ENOMEM. What was stored before stays.
 */
int wb_url_options(const struct wb_url *url, const struct wb_option_row *rows, void *options,
	struct wb_property **properties, size_t *property_count, struct wb_error *ret_error);

/* Append copies. Errors: -ENOMEM. */
int wb_properties_add(struct wb_property **properties, size_t *count, const char *key, const char *value);
void wb_properties_free(struct wb_property *properties, size_t count);

/* Split "host:port" or "[v6]:port". Errors: -EINVAL with a message. */
int wb_url_split_host_port(
	const char *text, char *host, size_t host_size, unsigned int *ret_port, struct wb_error *ret_error);

#endif
