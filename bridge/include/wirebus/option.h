/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options described as data. A module states each option once, in a table of rows; command line, configuration file,
 * URL query, validation, --help, the manual and the example file are all made from the rows.
 */
#ifndef WIREBUS_OPTION_H
#define WIREBUS_OPTION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What went wrong, for people: quotes the value and states the rule. One line, no newline at its end. */
struct wb_error {
	char message[512];
};

enum wb_option_type {
	WB_OPTION_BOOL,     /* bool: true, false, yes, no, on, off, 1, 0 */
	WB_OPTION_UINT,     /* uint64_t: decimal */
	WB_OPTION_BYTES,    /* uint64_t: decimal with an optional KiB, MiB, GiB (or K, M, G: the same powers of 1024) */
	WB_OPTION_DURATION, /* uint64_t milliseconds: decimal with ms, s, m or h; no unit: ms */
	WB_OPTION_STRING,   /* char *: owned by the structure that it was stored into */
	WB_OPTION_CHOICE,   /* unsigned int: position in `choices` */
};

/* One option. A table ends with a row whose key is NULL. */
struct wb_option_row {
	const char *key; /* [a-z0-9_]+ */
	enum wb_option_type type;
	size_t offset;             /* of the member in the options structure */
	const char *default_value; /* as a user would write it; NULL: string absent (NULL), number 0 */
	uint64_t min;              /* numbers: least value allowed; strings: least length */
	uint64_t max;              /* numbers: greatest value allowed; strings: greatest length. 0: not limited */
	const char *choices;       /* WB_OPTION_CHOICE: names separated by '|' */
	const char *unit;          /* what a number counts, or --help calls a string; NULL where the type says it */
	const char *help;          /* one sentence without its full stop */
};

/* A property that is passed on without being understood. */
struct wb_property {
	const char *key;
	const char *value;
};

#ifdef __cplusplus
}
#endif
#endif
