/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of buses, files and interfaces: scheme://address[?key=value[&key=value]]. */
#ifndef WB_URL_H
#define WB_URL_H

#include <stdbool.h>

#include "wirebus/option.h"

struct wb_url {
	char *text; /* as given, with the values of secret keys masked */
	char *scheme;
	char *address;             /* percent-decoded; may be empty */
	char *encoded_address;     /* as given; NULL: a plain path, which has no escapes */
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
 * Where the password is in an address, or in any text of length bytes that may be meant as one: from the first ':' on,
 * unless a '/' is before it, to the last '@'. So one that was written without escapes, with '@', '/' or ',' in it, is
 * found whole; and "host:1/a@b" is taken to have one. false: there is none.
 */
bool wb_url_find_password(const char *address, size_t length, const char **ret_begin, const char **ret_end);

/* Take the values of secret keys and passwords of the URL, and of secret properties, out of a message. */
void wb_url_redact(const struct wb_url *url, struct wb_error *message);
void wb_properties_redact(const struct wb_property *properties, size_t count, struct wb_error *message);

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
