/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of a command: a table of its own options, and any number of option tables whose every row can be given as
 * --key-with-dashes VALUE (rows of type bool: --key, --no-key or --key=VALUE).
 *
 *	static const struct wb_arg args[] = {
 *		{.letter = 'c', .name = "config", .value = "FILE", .id = ARG_CONFIG, .help = "Read FILE"},
 *		{.letter = 'i', .key = "interface"}, // another name of the row's --interface
 *		{0},
 *	};
 *	const struct wb_arg_rows rows[] = {{wb_capture_config_rows, capture, "Capture"}, {0}};
 *	const struct wb_arg_command command = {
 *		.name = "wirebus run", .usage = "-i INTERFACE --to URL", .args = args, .rows = rows};
 *
 *	wb_args_init(&parser, &command, argc, argv);
 *	while ((r = wb_args_next(&parser, &match, &error)) > 0) {
 *		if (match.id == WB_ARG_HELP)
 *			return wb_args_help(&command, stdout) < 0 ? WB_EXIT_FAILED : WB_EXIT_OK;
 *		if (match.id == ARG_CONFIG)
 *			path = match.value;
 *	}
 *	if (r < 0) // the message is a line for standard error
 *		return WB_EXIT_USAGE;
 */
#ifndef WB_ARGS_H
#define WB_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "wirebus/option.h"

enum {
	WB_ARG_ROW = 0,      /* a row of a table was given */
	WB_ARG_HELP = -1,    /* -h or --help: known to every command */
	WB_ARG_OPERAND = -2, /* an argument that is not an option */
};

/* One option of a command. The table ends with a row of zeros. */
struct wb_arg {
	char letter;       /* 'c' for -c; 0: none */
	const char *name;  /* "config" for --config; NULL: none, or the key's */
	const char *value; /* what --help calls its value; NULL: it takes none. With a key: NULL is "VALUE" */
	const char *key;   /* other name of this key's row, which .rows must have; NULL: the command's own option */
	int id;            /* of the command's own options: from 1 */
	const char *help;  /* own options: one sentence without its full stop */
};

/* A table of options that the command takes as well. The list ends with rows NULL. */
struct wb_arg_rows {
	const struct wb_option_row *rows;
	void *options;     /* where values are stored at once; NULL: they are returned by wb_args_next() only */
	const char *title; /* heading in --help */
};

struct wb_arg_command {
	const char *name;  /* "wirebus run": begins every message */
	const char *usage; /* what follows the name in --help's first line */
	const char *about; /* a sentence or more below it; lines are printed as they are */
	const struct wb_arg *args;
	const struct wb_arg_rows *rows; /* NULL: none */
	bool operands;                  /* arguments that are no options are allowed, and returned as WB_ARG_OPERAND */
};

struct wb_arg_match {
	int id;                          /* WB_ARG_*, or that of the command's own option */
	const char *value;               /* NULL: takes none. Bool rows: "true" or "false" when nothing was written */
	const struct wb_option_row *row; /* WB_ARG_ROW only */
	size_t table;                    /* WB_ARG_ROW only: position in .rows */
	char given[80];                  /* the option as it was written, for messages: "--workers", "-w" */
};

/* The members are the parser's own. */
struct wb_args {
	const struct wb_arg_command *command;
	char **argv;
	int argc;
	int next;
	const char *cluster; /* rest of "-abc" */
	bool operands_only;  /* "--" was seen */
};

/* Begin behind argv[0]. All arguments must live as long as the parser is used. */
void wb_args_init(struct wb_args *parser, const struct wb_arg_command *command, int argc, char **argv);

/*
 * Take the next option: "--name value", "--name=value", "-n value", "-nvalue", or letters without value together. After
 * "--" everything is an operand. The last one given counts.
 * Returns 1: ret_match is set, valid as long as argv; 0: no more.
 * Errors: -EINVAL (unknown, with a suggestion; value missing, unexpected or refused by the row), -ENOMEM. The message
 * is a whole line that begins with the command's name.
 */
int wb_args_next(struct wb_args *parser, struct wb_arg_match *ret_match, struct wb_error *ret_error);

/* Print what --help says. Errors: -EIO, when the stream failed. */
struct _IO_FILE;
int wb_args_help(const struct wb_arg_command *command, struct _IO_FILE *stream);

/*
 * Print the options of one kind of URL, for --help. purpose: what the URL is for, such as "to send to", where a command
 * takes them for several; NULL: none. properties: whether it takes properties.NAME. Prints nothing when there are none.
 */
void wb_args_help_url(const char *name, const char *purpose, const struct wb_option_row *rows, bool properties,
	struct _IO_FILE *stream);

#endif
