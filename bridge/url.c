/* SPDX-License-Identifier: Apache-2.0 */
#include "url.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "option.h"
#include "secret.h"

#define PROPERTY_PREFIX "properties."

/* Of a URL that a message quotes. */
#define SHOWN_BYTES 200

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Copy length bytes with %XX replaced. Errors: -EINVAL for a wrong or zero escape. */
static int decode(const char *text, size_t length, char **ret_decoded)
{
	char *decoded = malloc(length + 1);
	size_t used = 0;

	if (!decoded)
		return -ENOMEM;
	for (size_t i = 0; i < length; i++) {
		int high, low;

		if (text[i] != '%') {
			decoded[used++] = text[i];
			continue;
		}
		high = i + 1 < length ? hex_digit(text[i + 1]) : -1;
		low = i + 2 < length ? hex_digit(text[i + 2]) : -1;
		if (high < 0 || low < 0 || high + low == 0) {
			free(decoded);
			return -EINVAL;
		}
		decoded[used++] = (char)(high * 16 + low);
		i += 2;
	}
	decoded[used] = '\0';
	*ret_decoded = decoded;
	return 0;
}

/* Where the masked text is written to; it has room for everything. */
static void append(char **end, const char *text, size_t length)
{
	memcpy(*end, text, length);
	*end += length;
	**end = '\0';
}

static void append_mask(char **end)
{
	append(end, WB_SECRET_MASK, sizeof(WB_SECRET_MASK) - 1);
}

/* Append "key=value"; the value masked when the key, decoded, names a secret. */
static int append_item(char **end, const char *item, size_t length)
{
	size_t key_length = 0;
	char *key = NULL;
	int r;

	while (key_length < length && item[key_length] != '=')
		key_length++;
	r = decode(item, key_length, &key);
	if (r == -ENOMEM)
		return r;
	/* A key that cannot be decoded is no known one: then better nothing is shown. */
	if (key_length < length && (r < 0 || wb_secret_name(key))) {
		append(end, item, key_length + 1);
		append_mask(end);
	} else {
		append(end, item, length);
	}
	free(key);
	return 0;
}

bool wb_url_find_password(const char *address, size_t length, const char **ret_begin, const char **ret_end)
{
	const char *end = address + length, *colon = memchr(address, ':', length), *at = NULL;
	bool path = false;

	if (!colon || memchr(address, '/', (size_t)(colon - address)))
		return false;
	/* A host has no '@', so that an escaped one is in front of it as well. */
	for (const char *c = colon; c < end; c++) {
		path = path || *c == '/';
		if (*c == '@' || (!path && end - c >= 3 && strncmp(c, "%40", 3) == 0))
			at = c;
	}
	if (!at)
		return false;
	*ret_begin = colon + 1;
	*ret_end = at;
	return true;
}

/* Append what stands before the query: "scheme://user:password@host" with the password masked. */
static void append_address(char **end, const char *url, size_t length)
{
	const char *authority = strstr(url, "://");
	const char *password, *at;

	authority = authority && authority < url + length ? authority + 3 : url;
	if (!wb_url_find_password(authority, (size_t)(url + length - authority), &password, &at)) {
		append(end, url, length);
		return;
	}
	append(end, url, (size_t)(password - url));
	append_mask(end);
	append(end, at, (size_t)(url + length - at));
}

/* The URL without what must not be shown. Works on any text, as messages about wrong URLs quote it. NULL: no memory. */
static char *mask(const char *url)
{
	size_t items = 2;
	size_t length = strcspn(url, "?");
	const char *item = url + length;
	char *text, *end;

	for (const char *c = url; *c; c++)
		items += *c == '&';
	text = end = malloc(strlen(url) + items * sizeof(WB_SECRET_MASK) + 1);
	if (!text)
		return NULL;
	append_address(&end, url, length);
	while (*item) {
		append(&end, item++, 1);
		length = strcspn(item, "&");
		if (append_item(&end, item, length) < 0) {
			free(text);
			return NULL;
		}
		item += length;
	}
	return text;
}

static int fail_url(const struct wb_url *url, struct wb_error *ret_error, const char *rule)
{
	return wb_fail(ret_error, -EINVAL, "'%.*s' %s", SHOWN_BYTES, url->text, rule);
}

/* Scheme and address up to the query. */
static int parse_address(const char *text, size_t length, struct wb_url *url, struct wb_error *ret_error)
{
	size_t scheme_length = 0;
	const char *address;
	int r;

	if (text[0] == '/' || strncmp(text, "./", 2) == 0 || strncmp(text, "../", 3) == 0) {
		url->scheme = strdup("file");
		url->address = strndup(text, length);
		return url->scheme && url->address ? 0 : -ENOMEM;
	}
	while (isalnum((unsigned char)text[scheme_length]) ||
		(scheme_length > 0 && strchr("+-.", text[scheme_length]) && text[scheme_length]))
		scheme_length++;
	if (scheme_length == 0 || !isalpha((unsigned char)text[0]) || text[scheme_length] != ':')
		return fail_url(
			url, ret_error, "is not a URL: scheme://address is needed, or a path that begins with / or ./");
	url->scheme = strndup(text, scheme_length);
	if (!url->scheme)
		return -ENOMEM;
	for (char *c = url->scheme; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	address = text + scheme_length + 1;
	if (strncmp(address, "//", 2) == 0)
		address += 2;
	else if (address != text + length)
		return fail_url(url, ret_error, "is not a URL: '//' must follow the scheme and its colon");
	url->encoded_address = strndup(address, (size_t)(text + length - address));
	if (!url->encoded_address)
		return -ENOMEM;
	r = decode(address, (size_t)(text + length - address), &url->address);
	return r == -EINVAL
	               ? fail_url(url, ret_error, "has a '%' that two hexadecimal digits other than 00 must follow")
	               : r;
}

static int add_property(struct wb_property **properties, size_t *count, char *key, char *value)
{
	struct wb_property *grown = realloc(*properties, (*count + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*properties = grown;
	grown[(*count)++] = (struct wb_property){key, value};
	return 0;
}

static int parse_item(const char *item, size_t length, struct wb_url *url, struct wb_error *ret_error)
{
	const char *equals = memchr(item, '=', length);
	char *key = NULL, *value = NULL;
	int r;

	if (!equals || equals == item)
		return fail_url(url, ret_error, "has an option that is not of the form key=value");
	r = decode(item, (size_t)(equals - item), &key);
	if (r == 0)
		r = decode(equals + 1, length - (size_t)(equals + 1 - item), &value);
	if (r == 0)
		r = add_property(&url->query, &url->query_count, key, value);
	if (r == 0)
		return 0;
	free(key);
	free(value);
	return r == -EINVAL
	               ? fail_url(url, ret_error, "has a '%' that two hexadecimal digits other than 00 must follow")
	               : r;
}

int wb_url_parse(const char *text, struct wb_url *ret_url, struct wb_error *ret_error)
{
	size_t length = strcspn(text, "?");
	const char *item = text + length;
	int r;

	*ret_url = (struct wb_url){.text = mask(text)};
	r = ret_url->text ? 0 : -ENOMEM;
	for (const char *c = text; *c && r == 0; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			r = fail_url(ret_url, ret_error, "has a control character; write it as %XX");
	}
	if (r == 0)
		r = parse_address(text, length, ret_url, ret_error);
	while (r == 0 && *item) {
		item++;
		length = strcspn(item, "&");
		r = parse_item(item, length, ret_url, ret_error);
		item += length;
	}
	if (r == -ENOMEM)
		wb_fail(ret_error, r, "out of memory");
	if (r < 0)
		wb_url_fini(ret_url);
	return r;
}

void wb_url_fini(struct wb_url *url)
{
	free(url->text);
	free(url->scheme);
	free(url->address);
	free(url->encoded_address);
	wb_properties_free(url->query, url->query_count);
	*url = (struct wb_url){0};
}

void wb_properties_free(struct wb_property *properties, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free((void *)properties[i].key);
		free((void *)properties[i].value);
	}
	free(properties);
}

void wb_properties_redact(const struct wb_property *properties, size_t count, struct wb_error *message)
{
	for (size_t i = 0; i < count; i++)
		if (wb_secret_name(properties[i].key))
			wb_secret_redact(message->message, sizeof(message->message), properties[i].value);
}

/* A bus's address is quoted whole or in pieces, decoded: how much of the password is in them nobody can tell. */
void wb_url_redact(const struct wb_url *url, struct wb_error *message)
{
	const char *begin, *end;

	wb_properties_redact(url->query, url->query_count, message);
	if (url->address && wb_url_find_password(url->address, strlen(url->address), &begin, &end))
		wb_secret_redact_quotes(message->message, sizeof(message->message), url->address);
}

int wb_properties_add(struct wb_property **properties, size_t *count, const char *key, const char *value)
{
	char *key_copy = strdup(key);
	char *value_copy = strdup(value);

	if (key_copy && value_copy && add_property(properties, count, key_copy, value_copy) == 0)
		return 0;
	free(key_copy);
	free(value_copy);
	return -ENOMEM;
}

static int apply(const struct wb_property *setting, const struct wb_option_row *rows, void *options,
	struct wb_property **properties, size_t *property_count, struct wb_error *ret_error)
{
	const size_t prefix = sizeof(PROPERTY_PREFIX) - 1;
	const struct wb_option_row *row;
	const char *suggestion;
	int r;

	if (strncmp(setting->key, PROPERTY_PREFIX, prefix) == 0 && setting->key[prefix]) {
		r = wb_properties_add(properties, property_count, setting->key + prefix, setting->value);
		return r < 0 ? wb_fail(ret_error, r, "out of memory") : 0;
	}
	row = wb_option_find(rows, setting->key, &suggestion);
	if (row)
		return wb_option_set(row, options, setting->value, ret_error);
	if (suggestion)
		return wb_fail(
			ret_error, -EINVAL, "unknown option '%.80s'; did you mean '%s'?", setting->key, suggestion);
	return wb_fail(ret_error, -EINVAL, "unknown option '%.80s'", setting->key);
}

int wb_url_options(const struct wb_url *url, const struct wb_option_row *rows, void *options,
	struct wb_property **properties, size_t *property_count, struct wb_error *ret_error)
{
	for (size_t i = 0; i < url->query_count; i++) {
		int r;

		for (size_t j = 0; j < i; j++) {
			if (strcmp(url->query[i].key, url->query[j].key) == 0)
				return wb_fail(ret_error, -EINVAL, "option '%.80s' is given twice", url->query[i].key);
		}
		r = apply(&url->query[i], rows, options, properties, property_count, ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}

int wb_url_split_host_port(
	const char *text, char *host, size_t host_size, unsigned int *ret_port, struct wb_error *ret_error)
{
	bool bracket = text[0] == '[';
	const char *first = bracket ? text + 1 : text;
	const char *end = bracket ? strchr(text, ']') : strrchr(text, ':');
	const char *digits;
	unsigned int port = 0;
	size_t length;

	/* An IPv6 address needs its brackets: where else would it end? */
	if (!end || end == first || (bracket && end[1] != ':') || (!bracket && memchr(text, ':', (size_t)(end - text))))
		goto refuse;
	digits = bracket ? end + 2 : end + 1;
	if (strlen(digits) == 0 || strlen(digits) > 5)
		goto refuse;
	for (; *digits; digits++) {
		if (!isdigit((unsigned char)*digits))
			goto refuse;
		port = port * 10 + (unsigned int)(*digits - '0');
	}
	if (port == 0 || port > 65535)
		goto refuse;
	length = (size_t)(end - first);
	if (length >= host_size)
		return wb_fail(ret_error, -EINVAL, "'%.120s': the name of the host is longer than %zu bytes", text,
			host_size - 1);
	memcpy(host, first, length);
	host[length] = '\0';
	*ret_port = port;
	return 0;
refuse:
	return wb_fail(
		ret_error, -EINVAL, "'%.120s' is not host:port or [IPv6]:port with a port from 1 to 65535", text);
}
