/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plugin's descriptor must be. It is trusted not to be malicious, as its code runs in the process, but not to be
 * right: what is wrong with it should be told when it is loaded, not show as a crash later.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "option.h"
#include "plugin.h"
#include "registry.h"

#define NAME_BYTES 63
#define SCHEME_BYTES 31
#define SCHEMES_MAX 16
#define KEY_BYTES 63
#define ROWS_MAX 256
#define OPTIONS_BYTES_MAX ((size_t)1 << 20)

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

/* What a member of each type takes. */
static size_t size_of(enum wb_option_type type)
{
	switch (type) {
	case WB_OPTION_BOOL:
		return sizeof(bool);
	case WB_OPTION_UINT:
	case WB_OPTION_BYTES:
	case WB_OPTION_DURATION:
		return sizeof(uint64_t);
	case WB_OPTION_STRING:
		return sizeof(char *);
	case WB_OPTION_CHOICE:
		return sizeof(unsigned int);
	}
	return 0;
}

/* Whether text consists of so many of these characters. */
static bool is_word(const char *text, const char *characters, size_t max_bytes)
{
	size_t length = strnlen(text, max_bytes + 1);

	return length > 0 && length <= max_bytes && strspn(text, characters) == length;
}

static int check_name(const struct wb_transport_ops *ops, struct wb_error *ret_error)
{
	if (!ops->name)
		return wb_fail(ret_error, -EINVAL, "it has no name");
	if (!is_word(ops->name, LOWER UPPER DIGIT "._+-", NAME_BYTES))
		return wb_fail(ret_error, -EINVAL,
			"its name '%.80s' is not 1 to %d letters, digits, '.', '_', '+' or '-'", ops->name, NAME_BYTES);
	for (size_t i = 0; wb_transport_at(i); i++) {
		if (strcmp(wb_transport_at(i)->name, ops->name) == 0)
			return wb_fail(ret_error, -EINVAL, "there is a transport of its name already: '%s'", ops->name);
	}
	return 0;
}

static int check_scheme(const struct wb_transport_ops *ops, size_t i, struct wb_error *ret_error)
{
	const char *scheme = ops->schemes[i];
	const char *owner;

	if (!is_word(scheme, LOWER DIGIT "+.-", SCHEME_BYTES) || !strchr(LOWER, scheme[0]))
		return wb_fail(ret_error, -EINVAL,
			"its scheme '%.80s' is not a small letter and up to %d small letters, digits, '+', '.' or '-'",
			scheme, SCHEME_BYTES - 1);
	for (size_t j = 0; j < i; j++) {
		if (strcmp(ops->schemes[j], scheme) == 0)
			return wb_fail(ret_error, -EINVAL, "its scheme '%s' is listed twice", scheme);
	}
	owner = wb_scheme_owner(scheme);
	if (owner)
		return wb_fail(ret_error, -EINVAL, "its scheme '%s' is taken by '%s'", scheme, owner);
	return 0;
}

static int check_schemes(const struct wb_transport_ops *ops, struct wb_error *ret_error)
{
	int r;

	if (!ops->schemes || !ops->schemes[0])
		return wb_fail(ret_error, -EINVAL, "it has no scheme");
	for (size_t i = 0; ops->schemes[i]; i++) {
		if (i == SCHEMES_MAX)
			return wb_fail(ret_error, -EINVAL,
				"it has more than %d schemes; or does the list not end with NULL?", SCHEMES_MAX);
		r = check_scheme(ops, i, ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_operations(const struct wb_transport_ops *ops, struct wb_error *ret_error)
{
	const char *missing = !ops->check     ? "check"
	                      : !ops->open    ? "open"
	                      : !ops->lane    ? "lane"
	                      : !ops->publish ? "publish"
	                      : !ops->flush   ? "flush"
	                      : !ops->stats   ? "stats"
	                      : !ops->close   ? "close"
	                                      : NULL;

	if (missing)
		return wb_fail(ret_error, -EINVAL, "its operation %s() is missing", missing);
	for (size_t i = 0; i < sizeof(ops->reserved) / sizeof(ops->reserved[0]); i++) {
		if (ops->reserved[i])
			return wb_fail(ret_error, -EINVAL, "reserved[%zu] is not NULL", i);
	}
	return 0;
}

/* The member lies within the options, is aligned, and is no other row's. */
static int check_member(const struct wb_transport_ops *ops, size_t i, struct wb_error *ret_error)
{
	const struct wb_option_row *row = &ops->rows[i];
	size_t size = size_of(row->type);

	if (size == 0)
		return wb_fail(
			ret_error, -EINVAL, "option '%s': type %u is unknown", row->key, (unsigned int)row->type);
	if (row->offset > ops->options_size || size > ops->options_size - row->offset)
		return wb_fail(ret_error, -EINVAL,
			"option '%s': offset %zu and size %zu lead out of the options, which have %zu bytes", row->key,
			row->offset, size, ops->options_size);
	if (row->offset % size)
		return wb_fail(ret_error, -EINVAL,
			"option '%s': offset %zu is not a multiple of the member's size, %zu", row->key, row->offset,
			size);
	for (size_t j = 0; j < i; j++) {
		const struct wb_option_row *other = &ops->rows[j];

		if (strcmp(row->key, other->key) == 0)
			return wb_fail(ret_error, -EINVAL, "option '%s' is described twice", row->key);
		if (row->offset < other->offset + size_of(other->type) && other->offset < row->offset + size)
			return wb_fail(ret_error, -EINVAL, "options '%s' and '%s' have the same member, at offset %zu",
				other->key, row->key, row->offset);
	}
	return 0;
}

/* "a|b|c": none is empty. */
static bool is_choice_list(const char *choices)
{
	size_t length = choices ? strlen(choices) : 0;

	return length > 0 && choices[0] != '|' && choices[length - 1] != '|' && !strstr(choices, "||");
}

static int check_row(const struct wb_transport_ops *ops, size_t i, void *options, struct wb_error *ret_error)
{
	const struct wb_option_row *row = &ops->rows[i];
	struct wb_error why;
	int r;

	if (!is_word(row->key, LOWER DIGIT "_", KEY_BYTES))
		return wb_fail(ret_error, -EINVAL,
			"option '%.80s': the key is not 1 to %d small letters, digits or '_'", row->key, KEY_BYTES);
	if (strcmp(row->key, "url") == 0 || strcmp(row->key, "properties") == 0)
		return wb_fail(ret_error, -EINVAL, "option '%s': this key is the configuration file's", row->key);
	r = check_member(ops, i, ret_error);
	if (r < 0)
		return r;
	if (!row->help || !row->help[0])
		return wb_fail(ret_error, -EINVAL, "option '%s' has no help", row->key);
	if (row->max && row->min > row->max)
		return wb_fail(ret_error, -EINVAL, "option '%s': its least value is above its greatest", row->key);
	if (row->type == WB_OPTION_CHOICE && !is_choice_list(row->choices))
		return wb_fail(ret_error, -EINVAL, "option '%s': '%.120s' is no list such as \"a|b\"", row->key,
			row->choices ? row->choices : "");
	if (!row->default_value)
		return 0;
	r = wb_option_set(row, options, row->default_value, &why);
	return r < 0 ? wb_fail(ret_error, r, "the default of option %s", why.message) : 0;
}

static int check_rows(const struct wb_transport_ops *ops, struct wb_error *ret_error)
{
	size_t count = 0;
	void *options;
	int r = 0;

	if (ops->options_size > OPTIONS_BYTES_MAX)
		return wb_fail(ret_error, -EINVAL, "options_size: %zu is larger than %zu", ops->options_size,
			OPTIONS_BYTES_MAX);
	if (!ops->rows)
		return 0;
	options = calloc(1, ops->options_size ? ops->options_size : 1);
	if (!options)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	while (r == 0 && ops->rows[count].key) {
		if (count == ROWS_MAX)
			r = wb_fail(ret_error, -EINVAL,
				"it has more than %d options; or does the table not end with .key = NULL?", ROWS_MAX);
		else
			r = check_row(ops, count, options, ret_error);
		count += r == 0;
	}
	/* Only rows that were found right have a member that may hold a string. */
	for (size_t i = 0; i < count; i++) {
		if (ops->rows[i].type == WB_OPTION_STRING)
			free(*(char **)((char *)options + ops->rows[i].offset));
	}
	free(options);
	return r;
}

int wb_plugin_check(const struct wb_transport_ops *ops, struct wb_error *ret_error)
{
	int r;

	/* First: with another number, the members may be others. */
	if (ops->abi != WB_TRANSPORT_ABI)
		return wb_fail(ret_error, -EINVAL,
			"it was built for transport ABI %u, and this wirebus has %u; build it with this version's "
			"headers",
			ops->abi, WB_TRANSPORT_ABI);
	r = check_name(ops, ret_error);
	if (r == 0)
		r = check_schemes(ops, ret_error);
	if (r == 0)
		r = check_operations(ops, ret_error);
	if (r == 0)
		r = check_rows(ops, ret_error);
	return r;
}
