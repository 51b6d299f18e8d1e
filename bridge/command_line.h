/* SPDX-License-Identifier: Apache-2.0 */
/* What the command lines of commands with a bus have in common: plugins, and --help with the options of URLs. */
#ifndef WB_COMMAND_LINE_H
#define WB_COMMAND_LINE_H

#include "args.h"

/* Kinds of URLs that a command takes. */
enum {
	WB_URLS_READ = 1,      /* those of sources */
	WB_URLS_SEND = 2,      /* those of transports */
	WB_URLS_INTERFACE = 4, /* iface:// */
};

/* Print the command's options, and those of its kinds of URLs. Returns the exit code. */
int wb_command_line_help(const struct wb_arg_command *command, unsigned int urls);

/*
 * Take all arguments. Plugins are loaded at once, since URLs and the help speak of their schemes; the help is printed
 * when all were taken. take: is given each option; nullable.
 * Returns -1: go on; otherwise the exit code, and what there is to say was said.
 */
int wb_command_line_take(const struct wb_arg_command *command, unsigned int urls, int argc, char **argv,
	void (*take)(void *context, const struct wb_arg_match *match), void *context);

#endif
