/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the program. Each parses its own arguments (argv[0] is the command) and returns the exit code. */
#ifndef WB_COMMAND_H
#define WB_COMMAND_H

enum { WB_EXIT_OK = 0, WB_EXIT_FAILED = 1, WB_EXIT_USAGE = 2 };

int wb_cmd_run(int argc, char **argv);
int wb_cmd_send(int argc, char **argv);
int wb_cmd_cat(int argc, char **argv);
int wb_cmd_replay(int argc, char **argv);
int wb_cmd_verify(int argc, char **argv);
int wb_cmd_extcap(int argc, char **argv);
int wb_cmd_check(int argc, char **argv);
int wb_cmd_schema(int argc, char **argv);
int wb_cmd_keygen(int argc, char **argv);

#endif
