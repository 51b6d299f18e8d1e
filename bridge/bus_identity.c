/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_identity.h"

#include <string.h>

#define SEPARATOR "://"

/* Append as much as there is room for. */
static size_t append(char *text, size_t used, const char *from, size_t length)
{
	if (length > WB_BUS_IDENTITY_BYTES - 1 - used)
		length = WB_BUS_IDENTITY_BYTES - 1 - used;
	memcpy(text + used, from, length);
	return used + length;
}

void wb_bus_identity(const char *scheme, const char *address, char *ret_identity)
{
	const char *path = strchrnul(address, '/');
	size_t used = append(ret_identity, 0, scheme, strlen(scheme));

	used = append(ret_identity, used, SEPARATOR, strlen(SEPARATOR));
	while (address < path) {
		const char *end = memchr(address, ',', (size_t)(path - address));
		const char *next = end ? end + 1 : path;
		const char *at = memrchr(address, '@', (size_t)(next - address));

		if (at)
			address = at + 1;
		used = append(ret_identity, used, address, (size_t)(next - address));
		address = next;
	}
	used = append(ret_identity, used, path, strlen(path));
	ret_identity[used] = '\0';
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
