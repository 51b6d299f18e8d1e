/* SPDX-License-Identifier: Apache-2.0 */
/* `wirebus schema`: the message formats, for those who have no source tree. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "command.h"
#include "wbproto.h"

enum { ARG_WRITE = 1 };

static const struct wb_arg args[] = {
	{.letter = 'w',
		.name = "write",
		.value = "FILE",
		.id = ARG_WRITE,
		.help = "Write to FILE; - is standard output"},
	{0},
};
static const struct wb_arg_command command = {
	.name = "wirebus schema",
	.usage = "print [packet_batch.proto|packet_record.proto] | descriptor [-w FILE]",
	.about = "Print the .proto files of the messages, or their serialized FileDescriptorSet.",
	.args = args,
	.operands = true,
};

static const char *const file_names[] = {"packet_batch.proto", "packet_record.proto"};

struct request {
	const char *what;
	const char *name; /* NULL: none */
	const char *path; /* NULL: standard output */
};

/* -1: go on; otherwise the exit code. */
static int parse(int argc, char **argv, struct request *request)
{
	struct wb_arg_match match;
	struct wb_error error;
	struct wb_args parser;
	int r;

	wb_args_init(&parser, &command, argc, argv);
	while ((r = wb_args_next(&parser, &match, &error)) > 0) {
		if (match.id == WB_ARG_HELP)
			return wb_args_help(&command, stdout) < 0 ? WB_EXIT_FAILED : WB_EXIT_OK;
		if (match.id == ARG_WRITE) {
			request->path = strcmp(match.value, "-") == 0 ? NULL : match.value;
		} else if (!request->what) {
			request->what = match.value;
		} else if (!request->name) {
			request->name = match.value;
		} else {
			fprintf(stderr, "wirebus schema: '%s' is one argument too many\n", match.value);
			return WB_EXIT_USAGE;
		}
	}
	if (r < 0) {
		fprintf(stderr, "%s\n", error.message);
		return WB_EXIT_USAGE;
	}
	return -1;
}

/* 0 or -errno. */
static int print_files(const char *name, FILE *stream)
{
	const size_t count = sizeof(file_names) / sizeof(file_names[0]);

	errno = 0;
	if (name) {
		fputs(wbproto_schema_text(name), stream);
	} else {
		for (size_t i = 0; i < count; i++)
			fprintf(stream, "%s// file: %s\n%s", i ? "\n" : "", file_names[i],
				wbproto_schema_text(file_names[i]));
	}
	return ferror(stream) ? -(errno ? errno : EIO) : 0;
}

static int print_descriptor(FILE *stream)
{
	size_t size;
	const void *set = wbproto_schema_descriptor_set(&size);

	errno = 0;
	return fwrite(set, 1, size, stream) == size ? 0 : -(errno ? errno : EIO);
}

static int write_out(const struct request *request, bool descriptor)
{
	FILE *stream = request->path ? fopen(request->path, "we") : stdout;
	int r, closed;

	if (!stream) {
		r = -errno;
	} else {
		r = descriptor ? print_descriptor(stream) : print_files(request->name, stream);
		closed = request->path ? fclose(stream) : fflush(stream);
		if (closed != 0 && r == 0)
			r = -errno;
	}
	if (r < 0) {
		fprintf(stderr, "wirebus schema: cannot write to %s: %s\n",
			request->path ? request->path : "standard output", strerror(-r));
		return WB_EXIT_FAILED;
	}
	return WB_EXIT_OK;
}

int wb_cmd_schema(int argc, char **argv)
{
	struct request request = {0};
	int code = parse(argc, argv, &request);
	bool descriptor;

	if (code >= 0)
		return code;
	descriptor = request.what && strcmp(request.what, "descriptor") == 0;
	if (!request.what) {
		fprintf(stderr, "wirebus schema: say what: print or descriptor\n");
		return WB_EXIT_USAGE;
	}
	if (!descriptor && strcmp(request.what, "print") != 0) {
		fprintf(stderr, "wirebus schema: '%s' is not known: say print or descriptor\n", request.what);
		return WB_EXIT_USAGE;
	}
	if (request.name && (descriptor || !wbproto_schema_text(request.name))) {
		fprintf(stderr, "wirebus schema: '%s' is not known: %s\n", request.name,
			descriptor ? "descriptor takes no name, it has both files"
				   : "there are packet_batch.proto and packet_record.proto");
		return WB_EXIT_USAGE;
	}
	if (descriptor && !request.path && isatty(STDOUT_FILENO)) {
		fprintf(stderr,
			"wirebus schema: the descriptor is binary, not for a terminal: use -w FILE, or a pipe\n");
		return WB_EXIT_USAGE;
	}
	return write_out(&request, descriptor);
}
