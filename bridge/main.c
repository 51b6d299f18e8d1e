/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "log.h"
#include "suggest.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
};

static const struct command commands[] = {
	{"run", wb_cmd_run, "capture packets from interfaces and publish them on a bus"},
	{"send", wb_cmd_send, "publish the packets of capture files on a bus"},
	{"cat", wb_cmd_cat, "print packets from a bus or from files as text, JSON, pcap or pcapng"},
	{"replay", wb_cmd_replay, "send captured packets again: onto an interface, another bus, or into a file"},
	{"verify", wb_cmd_verify, "state what was received, what was lost, and where"},
	{"extcap", wb_cmd_extcap, "show topics and streams to Wireshark as capture interfaces"},
	{"check", wb_cmd_check, "check a configuration file"},
	{"schema", wb_cmd_schema, "print the message formats"},
	{"keygen", wb_cmd_keygen, "make a pair of keys that encrypt and authenticate ZeroMQ"},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *stream)
{
	fprintf(stream, "Usage: wirebus COMMAND [OPTION...]\n"
			"Packets from a network interface onto a message bus and back.\n\nCommands:\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(stream, "  %-8s  %s\n", commands[i].name, commands[i].help);
	fprintf(stream, "\n'wirebus help COMMAND' tells the options of a command; 'wirebus --version' the version.\n"
			"Exit code: 0 done, 1 failed at run time, 2 wrong usage.\n");
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int unknown(const char *name)
{
	struct wb_suggest suggest;
	struct wb_error error;

	wb_suggest_init(&suggest, name);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		wb_suggest_offer(&suggest, commands[i].name);
	if (suggest.best)
		wb_fail(&error, 0, "'%.200s' is not a command: did you mean '%s'?", name, suggest.best);
	else
		wb_fail(&error, 0, "'%.200s' is not a command: 'wirebus --help' lists them", name);
	fprintf(stderr, "wirebus: %s\n", error.message);
	return WB_EXIT_USAGE;
}

static int finish_output(void)
{
	return fflush(stdout) == 0 && !ferror(stdout) ? WB_EXIT_OK : WB_EXIT_FAILED;
}

static int help(int argc, char **argv)
{
	char option[] = "--help";
	const struct command *command;
	char *arguments[3];

	if (argc < 2) {
		print_help(stdout);
		return finish_output();
	}
	command = find(argv[1]);
	if (!command)
		return unknown(argv[1]);
	arguments[0] = argv[1];
	arguments[1] = option;
	arguments[2] = NULL;
	return command->run(2, arguments);
}

/* Wireshark runs every program in its folder, and has no way to give it a command. */
static bool is_extcap(const char *program)
{
	const char *slash = strrchr(program, '/');

	return strcmp(slash ? slash + 1 : program, "wirebus-extcap") == 0;
}

/*
 * What is opened later must not become standard output or error by being opened: messages would go into it. To use one
 * that was closed fails as before, as it is opened the other way around.
 */
static void fill_standard_descriptors(void)
{
	static const int modes[] = {[STDIN_FILENO] = O_WRONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_RDONLY};

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd)
			return;
}

int main(int argc, char **argv)
{
	const struct command *command;

	fill_standard_descriptors();
	/* A limit on the size of files is EFBIG, an error of the write like a full disk's, for every command. */
	signal(SIGXFSZ, SIG_IGN);
	if (argc > 0 && is_extcap(argv[0]))
		return wb_cmd_extcap(argc, argv);

	if (argc < 2) {
		fprintf(stderr, "wirebus: a command is missing: 'wirebus --help' lists them\n");
		return WB_EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
		return help(argc - 1, argv + 1);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("wirebus %s\n", WIREBUS_VERSION);
		return finish_output();
	}
	command = find(argv[1]);
	return command ? command->run(argc - 1, argv + 1) : unknown(argv[1]);
}
