/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "suggest.h"

static const struct wb_transport_ops *const built_in[] = {
	&wb_transport_kafka,
	&wb_transport_zmq,
	&wb_transport_file,
	&wb_transport_null,
};
#define BUILT_IN_COUNT (sizeof(built_in) / sizeof(built_in[0]))

static struct {
	const struct wb_transport_ops *ops[WB_PLUGINS_MAX];
	size_t count;
} plugins;

const struct wb_source_ops *const wb_sources[] = {
	&wb_source_kafka,
	&wb_source_zmq,
	&wb_source_file,
	NULL,
};

const struct wb_transport_ops *wb_transport_at(size_t i)
{
	if (i < BUILT_IN_COUNT)
		return built_in[i];
	return i - BUILT_IN_COUNT < plugins.count ? plugins.ops[i - BUILT_IN_COUNT] : NULL;
}

int wb_transport_register(const struct wb_transport_ops *ops)
{
	if (plugins.count == WB_PLUGINS_MAX)
		return -ENOSPC;
	plugins.ops[plugins.count++] = ops;
	return 0;
}

static bool has_scheme(const char *const *schemes, const char *scheme)
{
	for (; *schemes; schemes++) {
		if (strcmp(*schemes, scheme) == 0)
			return true;
	}
	return false;
}

const char *wb_scheme_owner(const char *scheme)
{
	const struct wb_transport_ops *ops;

	for (size_t i = 0; (ops = wb_transport_at(i)); i++) {
		if (has_scheme(ops->schemes, scheme))
			return ops->name;
	}
	for (size_t i = 0; wb_sources[i]; i++) {
		if (has_scheme(wb_sources[i]->schemes, scheme))
			return wb_sources[i]->name;
	}
	return NULL;
}

/* Collects the schemes that there are, for the message when none of them fits. */
struct search {
	struct wb_suggest suggest;
	char known[256];
	size_t used;
};

static void search_init(struct search *search, const char *scheme)
{
	*search = (struct search){0};
	wb_suggest_init(&search->suggest, scheme);
}

static bool search_schemes(struct search *search, const char *const *schemes)
{
	for (; *schemes; schemes++) {
		int length;

		if (strcmp(*schemes, search->suggest.word) == 0)
			return true;
		wb_suggest_offer(&search->suggest, *schemes);
		length = snprintf(search->known + search->used, sizeof(search->known) - search->used, "%s%s",
			search->used ? ", " : "", *schemes);
		if (length > 0 && (size_t)length < sizeof(search->known) - search->used)
			search->used += (size_t)length;
	}
	return false;
}

static void search_fail(
	const struct search *search, const char *what, const struct wb_url *url, struct wb_error *ret_error)
{
	const char *best = search->suggest.best;

	wb_fail(ret_error, -EINVAL, "'%.200s': %s '%.40s' is unknown; %s%s%sknown are %s", url->text, what, url->scheme,
		best ? "did you mean '" : "", best ? best : "", best ? "'? " : "", search->known);
}

const struct wb_transport_ops *wb_transport_find(const struct wb_url *url, struct wb_error *ret_error)
{
	const struct wb_transport_ops *ops;
	struct search search;

	search_init(&search, url->scheme);
	for (size_t i = 0; (ops = wb_transport_at(i)); i++) {
		if (search_schemes(&search, ops->schemes))
			return ops;
	}
	search_fail(&search, "the transport", url, ret_error);
	return NULL;
}

const struct wb_source_ops *wb_source_find(const struct wb_url *url, struct wb_error *ret_error)
{
	struct search search;

	search_init(&search, url->scheme);
	for (size_t i = 0; wb_sources[i]; i++) {
		if (search_schemes(&search, wb_sources[i]->schemes))
			return wb_sources[i];
	}
	search_fail(&search, "the source", url, ret_error);
	return NULL;
}
