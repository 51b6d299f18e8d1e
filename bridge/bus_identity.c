/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_identity.h"

#include <stdlib.h>
#include <string.h>

#include "secret.h"

#define SEPARATOR "://"

/* An identity while it is put together. */
struct builder {
	char *text; /* WB_BUS_IDENTITY_BYTES */
	size_t used;
	bool escapes; /* what is appended has %XX for characters */
};

static void append_char(struct builder *builder, char c)
{
	if (builder->used < WB_BUS_IDENTITY_BYTES - 1)
		builder->text[builder->used++] = c;
}

/* Append what stands there for the user; an identity is a line, so escaped control characters stay so. */
static void append(struct builder *builder, const char *from, const char *end)
{
	while (from < end) {
		char digits[3] = "";
		unsigned long c;

		if (*from != '%' || !builder->escapes || end - from < 3) {
			append_char(builder, *from++);
			continue;
		}
		memcpy(digits, from + 1, 2);
		c = strtoul(digits, NULL, 16);
		if (c >= 0x20 && c != 0x7f) {
			append_char(builder, (char)c);
			from += 3;
		} else {
			append_char(builder, *from++);
		}
	}
}

static void append_text(struct builder *builder, const char *text)
{
	append(builder, text, text + strlen(text));
}

/* From one part of a list, separated by commas, to the next. */
static const char *after(const char *part, const char *end)
{
	const char *comma = memchr(part, ',', (size_t)(end - part));

	return comma ? comma + 1 : end;
}

/*
 * Whether it is not certain which '@' is in front of a host: a '/' or ',' before it may be in a password as well.
 * ret_begin, ret_end: all that may be one.
 */
static bool is_unclear(const char *address, const char **ret_begin, const char **ret_end)
{
	const char *begin, *end;

	if (!wb_url_find_password(address, strlen(address), &begin, &end))
		return false;
	*ret_begin = begin;
	*ret_end = end;
	if (memchr(begin, '/', (size_t)(end - begin)))
		return true;
	for (const char *part = address, *next; part <= end; part = next) {
		next = after(part, end + 1);
		if (memchr(part, ':', (size_t)(next - part)) && !memchr(part, '@', (size_t)(next - part)))
			return true;
	}
	return false;
}

/* Each host without what is in front of its '@', then the path. */
static void append_address(struct builder *builder, const char *address)
{
	const char *path = strchrnul(address, '/');

	while (address < path) {
		const char *next = after(address, path);
		const char *at = memrchr(address, '@', (size_t)(next - address));

		append(builder, at ? at + 1 : address, next);
		address = next;
	}
	append_text(builder, path);
}

void wb_bus_identity(const struct wb_url *url, char *ret_identity)
{
	struct builder builder = {.text = ret_identity, .escapes = url->encoded_address != NULL};
	const char *address = url->encoded_address ? url->encoded_address : url->address;
	const char *begin, *end;

	append_text(&builder, url->scheme);
	append_text(&builder, SEPARATOR);
	if (is_unclear(address, &begin, &end)) {
		append(&builder, address, begin);
		append_text(&builder, WB_SECRET_MASK);
		append_text(&builder, end);
	} else {
		append_address(&builder, address);
	}
	ret_identity[builder.used] = '\0';
}

/* The hosts, and what is behind them. */
struct parts {
	const char *hosts;
	size_t hosts_length;
	const char *path;
	size_t scheme_length;
};

static bool split(const char *identity, struct parts *ret_parts)
{
	const char *hosts = strstr(identity, SEPARATOR);

	if (!hosts)
		return false;
	ret_parts->scheme_length = (size_t)(hosts - identity);
	ret_parts->hosts = hosts + strlen(SEPARATOR);
	ret_parts->path = strchrnul(ret_parts->hosts, '/');
	ret_parts->hosts_length = (size_t)(ret_parts->path - ret_parts->hosts);
	return true;
}

static bool has_host(const struct parts *parts, const char *host, size_t length)
{
	const char *at = parts->hosts, *end = at + parts->hosts_length;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t n = (size_t)((comma ? comma : end) - at);

		if (n == length && memcmp(at, host, n) == 0)
			return true;
		at += n + 1;
	}
	return false;
}

static bool have_common_host(const struct parts *a, const struct parts *b)
{
	const char *at = a->hosts, *end = at + a->hosts_length;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t n = (size_t)((comma ? comma : end) - at);

		if (has_host(b, at, n))
			return true;
		at += n + 1;
	}
	return false;
}

bool wb_bus_is_same(const char *identity, const char *other)
{
	struct parts a, b;

	if (strcmp(identity, other) == 0)
		return true;
	return split(identity, &a) && split(other, &b) && a.scheme_length == b.scheme_length &&
	       memcmp(identity, other, a.scheme_length) == 0 && strcmp(a.path, b.path) == 0 && have_common_host(&a, &b);
}
