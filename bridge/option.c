/* SPDX-License-Identifier: Apache-2.0 */
#include "option.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "secret.h"
#include "suggest.h"

/* Of a value that a message quotes; the rest is left out. */
#define SHOWN_BYTES 120

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit byte_units[] = {
	{"", 1},
	{"KiB", UINT64_C(1) << 10},
	{"MiB", UINT64_C(1) << 20},
	{"GiB", UINT64_C(1) << 30},
	{"K", UINT64_C(1) << 10},
	{"M", UINT64_C(1) << 20},
	{"G", UINT64_C(1) << 30},
	{NULL, 0},
};

static const struct unit duration_units[] = {
	{"", 1},
	{"ms", 1},
	{"s", 1000},
	{"m", 60000},
	{"h", 3600000},
	{NULL, 0},
};

static const struct unit plain_units[] = {{"", 1}, {NULL, 0}};

static void *member(const struct wb_option_row *row, void *options)
{
	return (char *)options + row->offset;
}

/* Decimal digits and one of the units. No sign, no blanks, no fractions: a value is never rounded silently. */
static int parse_number(const char *text, const struct unit *units, uint64_t *ret_number)
{
	uint64_t number = 0;
	const char *c = text;

	for (; *c >= '0' && *c <= '9'; c++) {
		uint64_t digit = (uint64_t)(*c - '0');

		if (number > (UINT64_MAX - digit) / 10)
			return -EINVAL;
		number = number * 10 + digit;
	}
	if (c == text)
		return -EINVAL;
	for (; units->name; units++) {
		if (strcmp(c, units->name) != 0)
			continue;
		if (number > UINT64_MAX / units->factor)
			return -EINVAL;
		*ret_number = number * units->factor;
		return 0;
	}
	return -EINVAL;
}

static int set_number(const struct wb_option_row *row, void *options, const char *value)
{
	const struct unit *units = row->type == WB_OPTION_BYTES      ? byte_units
	                           : row->type == WB_OPTION_DURATION ? duration_units
	                                                             : plain_units;
	uint64_t number;

	if (parse_number(value, units, &number) < 0 || number < row->min || (row->max && number > row->max))
		return -EINVAL;
	*(uint64_t *)member(row, options) = number;
	return 0;
}

static int set_bool(const struct wb_option_row *row, void *options, const char *value)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(value, words[i]) == 0) {
			*(bool *)member(row, options) = i % 2;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_choice(const struct wb_option_row *row, void *options, const char *value)
{
	size_t value_length = strlen(value);
	const char *choice = row->choices;

	for (unsigned int i = 0;; i++) {
		size_t length = strcspn(choice, "|");

		if (length == value_length && memcmp(choice, value, length) == 0) {
			*(unsigned int *)member(row, options) = i;
			return 0;
		}
		if (!choice[length])
			return -EINVAL;
		choice += length + 1;
	}
}

static int set_string(const struct wb_option_row *row, void *options, const char *value)
{
	char **string = (char **)member(row, options);
	size_t length = strlen(value);
	char *copy;

	if (length < row->min || (row->max && length > row->max))
		return -EINVAL;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*string);
	*string = copy;
	return 0;
}

static int store(const struct wb_option_row *row, void *options, const char *value)
{
	switch (row->type) {
	case WB_OPTION_BOOL:
		return set_bool(row, options, value);
	case WB_OPTION_UINT:
	case WB_OPTION_BYTES:
	case WB_OPTION_DURATION:
		return set_number(row, options, value);
	case WB_OPTION_CHOICE:
		return set_choice(row, options, value);
	case WB_OPTION_STRING:
		return set_string(row, options, value);
	}
	assert(!"an option row of unknown type");
	return -EINVAL;
}

int wb_option_set_as(const struct wb_option_row *row, void *options, const char *value, const char *name,
	const char *shown, struct wb_error *ret_error)
{
	char rule[256];
	int r = store(row, options, value);

	if (r != -EINVAL)
		return r < 0 ? wb_fail(ret_error, r, "%s: out of memory", name ? name : row->key) : 0;
	if (wb_secret_name(row->key))
		shown = WB_SECRET_MASK;
	else if (!shown)
		shown = value;
	wb_option_rule(row, rule, sizeof(rule));
	return wb_fail(ret_error, r, "%s: '%.*s' is not %s", name ? name : row->key, SHOWN_BYTES, shown, rule);
}

int wb_option_set(const struct wb_option_row *row, void *options, const char *value, struct wb_error *ret_error)
{
	return wb_option_set_as(row, options, value, NULL, NULL, ret_error);
}

static void clear(const struct wb_option_row *row, void *options)
{
	switch (row->type) {
	case WB_OPTION_BOOL:
		*(bool *)member(row, options) = false;
		break;
	case WB_OPTION_UINT:
	case WB_OPTION_BYTES:
	case WB_OPTION_DURATION:
		*(uint64_t *)member(row, options) = 0;
		break;
	case WB_OPTION_CHOICE:
		*(unsigned int *)member(row, options) = 0;
		break;
	case WB_OPTION_STRING:
		*(char **)member(row, options) = NULL;
		break;
	}
}

int wb_options_init(const struct wb_option_row *rows, void *options)
{
	const struct wb_option_row *row;

	for (row = rows; row->key; row++)
		clear(row, options);
	for (row = rows; row->key; row++) {
		int r = row->default_value ? store(row, options, row->default_value) : 0;

		assert(r != -EINVAL);
		if (r < 0) {
			wb_options_fini(rows, options);
			return r;
		}
	}
	return 0;
}

void wb_options_fini(const struct wb_option_row *rows, void *options)
{
	for (const struct wb_option_row *row = rows; row->key; row++) {
		if (row->type == WB_OPTION_STRING) {
			free(*(char **)member(row, options));
			*(char **)member(row, options) = NULL;
		}
	}
}

const struct wb_option_row *wb_option_find(
	const struct wb_option_row *rows, const char *key, const char **ret_suggestion)
{
	struct wb_suggest suggest;

	wb_suggest_init(&suggest, key);
	for (const struct wb_option_row *row = rows; row->key; row++) {
		if (strcmp(row->key, key) == 0)
			return row;
		wb_suggest_offer(&suggest, row->key);
	}
	if (ret_suggestion)
		*ret_suggestion = suggest.best;
	return NULL;
}
