/* SPDX-License-Identifier: Apache-2.0 */
/* `wirebus keygen`: a pair of keys for CURVE, ZeroMQ's encryption and authentication. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "args.h"
#include "command.h"
#include "log.h"
#include "zmq_key.h"

#define DEFAULT_NAME "wirebus"
#define PATH_BYTES 4096

enum { ARG_OUTPUT = 1 };

static const struct wb_arg args[] = {
	{.letter = 'o',
		.name = "output",
		.value = "NAME",
		.id = ARG_OUTPUT,
		.help = "Write NAME.key, the secret key, and NAME.pub, the public key; the default is " DEFAULT_NAME},
	{0},
};
static const struct wb_arg_command command = {
	.name = "wirebus keygen",
	.usage = "[-o NAME]",
	.about = "Make a pair of CURVE keys for ZeroMQ. NAME.key is secret and stays with its owner (curve_key);\n"
		 "NAME.pub goes to the others (curve_server_key, curve_allow). Nothing that exists is overwritten.",
	.args = args,
};

/* -1: go on; otherwise the exit code. */
static int parse(int argc, char **argv, const char **ret_name)
{
	struct wb_arg_match match;
	struct wb_error error;
	struct wb_args parser;
	int r;

	*ret_name = DEFAULT_NAME;
	wb_args_init(&parser, &command, argc, argv);
	while ((r = wb_args_next(&parser, &match, &error)) > 0) {
		if (match.id == WB_ARG_HELP)
			return wb_args_help(&command, stdout) < 0 ? WB_EXIT_FAILED : WB_EXIT_OK;
		*ret_name = match.value;
	}
	if (r < 0) {
		fprintf(stderr, "%s\n", error.message);
		return WB_EXIT_USAGE;
	}
	if (!**ret_name || (*ret_name)[strlen(*ret_name) - 1] == '/' || strlen(*ret_name) > PATH_BYTES - 8) {
		fprintf(stderr, "wirebus keygen: -o '%.200s': the beginning of a file's name is needed\n", *ret_name);
		return WB_EXIT_USAGE;
	}
	return -1;
}

static int write_all(int fd, const char *text, size_t length)
{
	ssize_t r;

	while (length > 0) {
		r = write(fd, text, length);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0) {
			text += r;
			length -= (size_t)r;
		}
	}
	return 0;
}

/* A new file, which must not exist, with exactly this mode from its first byte on. */
static int write_file(const char *path, mode_t mode, const char *about, const struct wb_zmq_key *key)
{
	char text[160];
	int fd, length, r;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	length = snprintf(text, sizeof(text), "# %s\n%s\n", about, key->text);
	r = fchmod(fd, mode) < 0 ? -errno : write_all(fd, text, (size_t)length);
	if (r == 0 && fsync(fd) < 0 && errno != EINVAL)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r < 0)
		unlink(path);
	explicit_bzero(text, sizeof(text));
	return r;
}

static int fail(const char *path, int code, struct wb_error *ret_error)
{
	if (code == -EEXIST)
		return wb_fail(ret_error, code,
			"'%.200s' exists: keys are never overwritten; remove it, or give another name with -o", path);
	return wb_fail(ret_error, code, "cannot write '%.200s': %s", path, strerror(-code));
}

static int write_pair(
	const char *name, const struct wb_zmq_key *public, const struct wb_zmq_key *secret, struct wb_error *ret_error)
{
	char key_path[PATH_BYTES], pub_path[PATH_BYTES];
	int r;

	snprintf(key_path, sizeof(key_path), "%s.key", name);
	snprintf(pub_path, sizeof(pub_path), "%s.pub", name);
	r = write_file(key_path, 0600, "CURVE secret key of wirebus: let nobody else read it", secret);
	if (r < 0)
		return fail(key_path, r, ret_error);
	r = write_file(pub_path, 0644, "CURVE public key of wirebus", public);
	if (r < 0) {
		unlink(key_path);
		return fail(pub_path, r, ret_error);
	}
	fprintf(stderr, "wrote %s (secret, stays here) and %s (public, for the other side)\n", key_path, pub_path);
	return 0;
}

int wb_cmd_keygen(int argc, char **argv)
{
	struct wb_zmq_key public, secret;
	struct wb_error error;
	const char *name;
	int code = parse(argc, argv, &name);
	int r;

	if (code >= 0)
		return code;
	r = wb_zmq_key_pair(&public, &secret, &error);
	if (r == 0)
		r = write_pair(name, &public, &secret, &error);
	explicit_bzero(&secret, sizeof(secret));
	if (r < 0)
		fprintf(stderr, "wirebus keygen: %s\n", error.message);
	return r < 0 ? WB_EXIT_FAILED : WB_EXIT_OK;
}
