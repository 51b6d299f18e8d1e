/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that key files are read as documented, that a secret key which others can read is refused and never quoted,
 * and that lists of allowed keys are read whole or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zmq.h>

#include "testing.h"

#include "command.h"
#include "zmq_allow.h"
#include "zmq_key.h"

/* Any 40 characters of Z85 whose groups of five stay below 2^32. */
#define KEY_A "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define KEY_B "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"

static char directory[] = "/tmp/wirebus-keys-XXXXXX";

static const char *path_of(const char *name)
{
	static char paths[4][160];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static const char *write_file(const char *name, const char *content, size_t size, mode_t mode)
{
	const char *path = path_of(name);
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, size), size);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static const char *write_text(const char *name, const char *content)
{
	return write_file(name, content, strlen(content), 0600);
}

static void expect_read(const char *path, enum wb_zmq_key_kind kind, int code, const char *text)
{
	struct wb_error error = {""};
	struct wb_zmq_key key;
	int r = wb_zmq_key_read(path, kind, &key, &error);

	if (r != code)
		fail_msg("%s: %d instead of %d: %s", path, r, code, error.message);
	if (r < 0 && !strstr(error.message, text))
		fail_msg("\"%s\" does not say \"%s\"", error.message, text);
	if (r == 0)
		assert_string_equal(key.text, text);
	else
		assert_null(strstr(error.message, KEY_A));
}

static void one_key_is_read(void **state)
{
	static const char *const files[] = {KEY_A, KEY_A "\n", "# about\n\n" KEY_A "\n", "  " KEY_A "\t\r\n\r\n",
		KEY_A " # whose it is\n", "#" KEY_A "\n#\n" KEY_A,
		("########################################\n" KEY_A)};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		expect_read(write_text("key", files[i]), WB_ZMQ_KEY_SECRET, 0, KEY_A);
}

static void other_content_is_refused(void **state)
{
	char nul[] = KEY_A;

	expect_read(write_text("key", ""), WB_ZMQ_KEY_PUBLIC, -EINVAL, "has no key in it");
	expect_read(write_text("key", "# nothing\n"), WB_ZMQ_KEY_PUBLIC, -EINVAL, "has no key in it");
	expect_read(write_text("key", KEY_A "\n" KEY_B), WB_ZMQ_KEY_PUBLIC, -EINVAL, "more than one key");
	expect_read(write_text("key", "# a\nshort\n"), WB_ZMQ_KEY_PUBLIC, -EINVAL, "line 2: 'short' is not a key");
	expect_read(write_text("key", KEY_A "x\n"), WB_ZMQ_KEY_SECRET, -EINVAL, "line 1 is not a key");
	expect_read(write_text("key", KEY_A " " KEY_B), WB_ZMQ_KEY_SECRET, -EINVAL, "line 1 is not a key");
	expect_read(
		write_text("key", "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI~"), WB_ZMQ_KEY_PUBLIC, -EINVAL, "line 1");
	/* Beyond 2^32. */
	expect_read(
		write_text("key", "$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$"), WB_ZMQ_KEY_PUBLIC, -EINVAL, "line 1");
	nul[20] = '\0';
	expect_read(write_file("key", nul, 40, 0600), WB_ZMQ_KEY_PUBLIC, -EINVAL, "line 1");
	/* What would change the terminal's colours is not shown. */
	expect_read(write_text("key", "\x1b[31mred"), WB_ZMQ_KEY_PUBLIC, -EINVAL, "'?[31mred'");
}

static void secret_key_that_others_can_read_is_refused(void **state)
{
	static const struct {
		mode_t mode;
		const char *shown;
	} bad[] = {{0644, "mode 0644"}, {0604, "mode 0604"}, {0602, "mode 0602"}, {0601, "mode 0601"},
		{0660, "mode 0660"}, {0777, "mode 0777"}};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *path = write_file("secret.key", KEY_A, 40, bad[i].mode);

		expect_read(path, WB_ZMQ_KEY_SECRET, -EACCES, bad[i].shown);
		expect_read(path, WB_ZMQ_KEY_SECRET, -EACCES, path);
		if (bad[i].mode & 02)
			expect_read(path, WB_ZMQ_KEY_PUBLIC, -EACCES, "anybody could write a key into it");
		else
			expect_read(path, WB_ZMQ_KEY_PUBLIC, 0, KEY_A);
	}
	expect_read(write_file("secret.key", KEY_A, 40, 0400), WB_ZMQ_KEY_SECRET, 0, KEY_A);
	/* A service's group may read it. */
	expect_read(write_file("secret.key", KEY_A, 40, 0640), WB_ZMQ_KEY_SECRET, 0, KEY_A);
}

static void what_is_no_file_is_refused(void **state)
{
	const char *pipe_path = path_of("pipe");

	expect_read(path_of("nosuch"), WB_ZMQ_KEY_SECRET, -ENOENT, "nosuch': No such file");
	expect_read(KEY_A, WB_ZMQ_KEY_SECRET, -ENOENT, "and a key was given");
	expect_read(directory, WB_ZMQ_KEY_SECRET, -EINVAL, "is not a file");
	/* Nobody writes to it, and it is not waited for. */
	assert_int_equal(mkfifo(pipe_path, 0600), 0);
	expect_read(pipe_path, WB_ZMQ_KEY_SECRET, -EINVAL, "is not a file");
	assert_int_equal(unlink(pipe_path), 0);
	assert_int_equal(truncate(write_text("key", ""), 5 << 20), 0);
	expect_read(path_of("key"), WB_ZMQ_KEY_PUBLIC, -EFBIG, "has 5242880 bytes");
}

static void expect_allowed(const struct wb_zmq_allow *allow, const char *text, bool wanted)
{
	uint8_t key[WB_ZMQ_KEY_BYTES];

	assert_non_null(zmq_z85_decode(key, text));
	assert_int_equal(wb_zmq_allow_has(allow, key), wanted);
}

static void expect_list_refused(const char *path, int code, const char *text)
{
	struct wb_error error = {""};
	struct wb_zmq_allow allow;

	assert_int_equal(wb_zmq_allow_load(path, &allow, &error), code);
	if (!strstr(error.message, text))
		fail_msg("\"%s\" does not say \"%s\"", error.message, text);
}

static void list_of_keys_is_read(void **state)
{
	struct wb_zmq_allow allow;
	struct wb_error error;

	assert_int_equal(
		wb_zmq_allow_load(write_text("list", "# all\n" KEY_B " # b\n\n" KEY_B "\n"), &allow, &error), 0);
	expect_allowed(&allow, KEY_B, true);
	expect_allowed(&allow, KEY_A, false);
	wb_zmq_allow_fini(&allow);
	expect_list_refused(write_text("list", KEY_A "\n# x\n  who\n" KEY_B), -EINVAL, "line 3: 'who' is not a key");
	expect_list_refused(write_text("list", "# nobody\n"), -EINVAL, "has no public key in it");
	expect_list_refused(path_of("nosuch"), -ENOENT, "nosuch': No such file");
}

static void long_list_is_searched(void **state)
{
	enum { COUNT = 1000 };
	char(*secret)[41] = calloc(COUNT, 41), (*public)[41] = calloc(COUNT, 41);
	FILE *stream = fopen(path_of("long"), "we");
	struct wb_zmq_allow allow;
	struct wb_error error;

	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(zmq_curve_keypair(public[i], secret[i]), 0);
		fprintf(stream, "%s\n", public[i]);
	}
	fclose(stream);
	assert_int_equal(wb_zmq_allow_load(path_of("long"), &allow, &error), 0);
	assert_int_equal(allow.count, COUNT);
	for (int i = 0; i < COUNT; i++) {
		expect_allowed(&allow, public[i], true);
		expect_allowed(&allow, secret[i], false);
	}
	wb_zmq_allow_fini(&allow);
	free(secret);
	free(public);
	unlink(path_of("long"));
}

static void directory_of_keys_is_read(void **state)
{
	struct wb_zmq_allow allow;
	struct wb_error error;
	char folder[160];

	snprintf(folder, sizeof(folder), "%s/allow", directory);
	assert_int_equal(mkdir(folder, 0700), 0);
	expect_list_refused(folder, -EINVAL, "has no public key in it");
	assert_int_equal(chmod(folder, 01777), 0);
	expect_list_refused(folder, -EACCES, "has mode 1777: anybody could write a key into it");
	assert_int_equal(chmod(folder, 0700), 0);
	write_text("allow/a.pub", KEY_A);
	write_text("allow/b.key", "other files are not looked at");
	write_text("allow/.c.pub", "nor hidden ones");
	assert_int_equal(wb_zmq_allow_load(folder, &allow, &error), 0);
	expect_allowed(&allow, KEY_A, true);
	expect_allowed(&allow, KEY_B, false);
	assert_int_equal(wb_zmq_allow_refresh(&allow, &error), 0);
	/* A new file, and one that is changed in its place. */
	write_text("allow/b.pub", KEY_B);
	assert_int_equal(wb_zmq_allow_refresh(&allow, &error), 1);
	expect_allowed(&allow, KEY_B, true);
	write_text("allow/a.pub", "nonsense");
	assert_int_equal(wb_zmq_allow_refresh(&allow, &error), -EINVAL);
	assert_non_null(strstr(error.message, "a.pub' line 1: 'nonsense'"));
	expect_allowed(&allow, KEY_A, true);
	assert_int_equal(wb_zmq_allow_refresh(&allow, &error), 0); /* said once */
	assert_int_equal(unlink(path_of("allow/a.pub")), 0);
	assert_int_equal(wb_zmq_allow_refresh(&allow, &error), 1);
	expect_allowed(&allow, KEY_A, false);
	expect_allowed(&allow, KEY_B, true);
	/* Who takes away the last one wants nobody to come in any more. */
	assert_int_equal(unlink(path_of("allow/b.pub")), 0);
	assert_int_equal(wb_zmq_allow_refresh(&allow, &error), 1);
	expect_allowed(&allow, KEY_B, false);
	wb_zmq_allow_fini(&allow);
	unlink(path_of("allow/b.key"));
	unlink(path_of("allow/.c.pub"));
	assert_int_equal(rmdir(folder), 0);
}

/* Run `wirebus keygen`; what it says goes to a file. */
static int keygen(const char *name, const char **ret_said)
{
	static char said[1024];
	char program[] = "keygen", option[] = "-o", value[200];
	char *arguments[] = {program, option, value, NULL};
	FILE *stream = tmpfile();
	int saved = dup(STDERR_FILENO), code;
	ssize_t length;

	snprintf(value, sizeof(value), "%s", name);
	fflush(stderr);
	dup2(fileno(stream), STDERR_FILENO);
	code = wb_cmd_keygen(3, arguments);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	length = pread(fileno(stream), said, sizeof(said) - 1, 0);
	said[length > 0 ? length : 0] = '\0';
	fclose(stream);
	*ret_said = said;
	return code;
}

static unsigned int mode_of(const char *path)
{
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	return status.st_mode & 07777;
}

static void keygen_makes_a_pair(void **state)
{
	struct wb_zmq_key secret, public, derived;
	struct wb_error error;
	mode_t mask = umask(0);
	const char *said;

	assert_int_equal(keygen(path_of("new"), &said), WB_EXIT_OK);
	umask(0777);
	assert_int_equal(keygen(path_of("second"), &said), WB_EXIT_OK);
	umask(mask);
	assert_int_equal(mode_of(path_of("new.key")), 0600);
	assert_int_equal(mode_of(path_of("new.pub")), 0644);
	assert_int_equal(mode_of(path_of("second.key")), 0600);
	assert_int_equal(mode_of(path_of("second.pub")), 0644);
	assert_int_equal(wb_zmq_key_read(path_of("new.key"), WB_ZMQ_KEY_SECRET, &secret, &error), 0);
	assert_int_equal(wb_zmq_key_read(path_of("new.pub"), WB_ZMQ_KEY_PUBLIC, &public, &error), 0);
	assert_int_equal(zmq_curve_public(derived.text, secret.text), 0);
	assert_string_equal(public.text, derived.text);
	assert_null(strstr(said, secret.text));
}

static void keygen_overwrites_nothing(void **state)
{
	const char *said;

	write_text("taken.key", "mine");
	assert_int_equal(keygen(path_of("taken"), &said), WB_EXIT_FAILED);
	assert_non_null(strstr(said, "taken.key' exists: keys are never overwritten"));
	assert_int_equal(access(path_of("taken.pub"), F_OK), -1);
	/* Half a pair is not left behind. */
	write_text("half.pub", "mine");
	assert_int_equal(keygen(path_of("half"), &said), WB_EXIT_FAILED);
	assert_non_null(strstr(said, "half.pub' exists"));
	assert_int_equal(access(path_of("half.key"), F_OK), -1);
	assert_int_equal(keygen(path_of("nosuch/name"), &said), WB_EXIT_FAILED);
	assert_non_null(strstr(said, "nosuch/name.key': No such file or directory"));
	assert_int_equal(keygen("", &said), WB_EXIT_USAGE);
	assert_int_equal(keygen(path_of("folder/"), &said), WB_EXIT_USAGE);
	/* Nor does a link lead it elsewhere. */
	assert_int_equal(symlink(path_of("target"), path_of("link.key")), 0);
	assert_int_equal(keygen(path_of("link"), &said), WB_EXIT_FAILED);
	assert_int_equal(access(path_of("target"), F_OK), -1);
}

static int set_up(void **state)
{
	return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"key", "secret.key", "list", "new.key", "new.pub", "second.key",
		"second.pub", "taken.key", "half.pub", "link.key"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_key_is_read),
		cmocka_unit_test(other_content_is_refused),
		cmocka_unit_test(secret_key_that_others_can_read_is_refused),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(list_of_keys_is_read),
		cmocka_unit_test(long_list_is_searched),
		cmocka_unit_test(directory_of_keys_is_read),
		cmocka_unit_test(keygen_makes_a_pair),
		cmocka_unit_test(keygen_overwrites_nothing),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
