/* SPDX-License-Identifier: Apache-2.0 */
/* Interpreter of option tables (wirebus/option.h). */
#ifndef WB_OPTION_H
#define WB_OPTION_H

#include "wirebus/option.h"

#include <stdbool.h>

/* Set every member that a row describes to its default. Errors: -ENOMEM; a default that breaks its own rule asserts. */
int wb_options_init(const struct wb_option_row *rows, void *options);
/* Free the strings and set them to NULL; the structure itself stays the caller's. */
void wb_options_fini(const struct wb_option_row *rows, void *options);
/* Find a row. NULL: no such key; then ret_suggestion (nullable) is the nearest key, or NULL when none is near. */
const struct wb_option_row *wb_option_find(
	const struct wb_option_row *rows, const char *key, const char **ret_suggestion);
/* Parse value and store it. Errors: -EINVAL with a message that quotes key, value and rule; -ENOMEM. */
int wb_option_set(const struct wb_option_row *row, void *options, const char *value, struct wb_error *ret_error);
/*
 * The same, for messages that name the option as the user wrote it ("--workers"; NULL: the key) and show something else
 * than the value (what the value was made from; NULL: the value).
 */
int wb_option_set_as(const struct wb_option_row *row, void *options, const char *value, const char *name,
	const char *shown, struct wb_error *ret_error);

/* What the row takes: "a whole number from 1 to 256", "one of block, drop". */
void wb_option_rule(const struct wb_option_row *row, char *buffer, size_t size);
/* Word for its value in --help: "SIZE", "TIME", "block|drop"; NULL for bool. */
const char *wb_option_placeholder(const struct wb_option_row *row);

/* Print the rows for --help: key, default, range, help; each line begins with indent. */
struct _IO_FILE;
void wb_options_help(const struct wb_option_row *rows, struct _IO_FILE *stream, const char *indent);
/*
 * Print one entry of --help: what is given in its column, then the row's help (or, without row, help alone).
 */
void wb_option_help_entry(struct _IO_FILE *stream, const char *indent, const char *given,
	const struct wb_option_row *row, const char *help);

#endif
