/* SPDX-License-Identifier: Apache-2.0 */
#include "zmq_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zmq.h>

#include "log.h"
#include "secret.h"

#define MAX_FILE_BYTES ((size_t)4 << 20)
#define NOT_A_KEY "is not a key: 40 characters of Z85 are needed, as 'wirebus keygen' writes them"

int wb_zmq_key_check_writable(const char *path, unsigned int mode, struct wb_error *ret_error)
{
	if (!(mode & S_IWOTH))
		return 0;
	return wb_fail(ret_error, -EACCES, "'%.200s' has mode %04o: anybody could write a key into it: chmod o-w", path,
		mode & 07777);
}

static int check_mode(
	const char *path, enum wb_zmq_key_kind kind, const struct stat *status, struct wb_error *ret_error)
{
	const unsigned int mode = status->st_mode & 07777;

	if (kind == WB_ZMQ_KEY_PUBLIC)
		return wb_zmq_key_check_writable(path, status->st_mode, ret_error);
	if (!wb_secret_is_exposed(mode))
		return 0;
	return wb_fail(ret_error, -EACCES,
		"the secret key '%.200s' has mode %04o: others must not have access to it, nor its group write to it:"
		" chmod 600",
		path, mode);
}

static int read_all(int fd, char *data, size_t size, size_t *ret_used)
{
	size_t used = 0;
	ssize_t r;

	while (used < size) {
		r = read(fd, data + used, size - used);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		used += (size_t)r;
	}
	*ret_used = used;
	return 0;
}

static int read_content(int fd, struct wb_zmq_key_file *file, struct wb_error *ret_error)
{
	struct stat status;
	size_t size;
	int r;

	if (fstat(fd, &status) < 0)
		return wb_fail(ret_error, -errno, "'%.200s': %s", file->path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return wb_fail(ret_error, -EINVAL, "'%.200s' is not a file", file->path);
	r = check_mode(file->path, file->kind, &status, ret_error);
	if (r < 0)
		return r;
	if (status.st_size > (off_t)MAX_FILE_BYTES)
		return wb_fail(ret_error, -EFBIG, "'%.200s' has %lld bytes: a file of keys has at most %zu", file->path,
			(long long)status.st_size, MAX_FILE_BYTES);
	size = (size_t)status.st_size;
	file->data = malloc(size ? size : 1);
	r = file->data ? read_all(fd, file->data, size, &file->size) : -ENOMEM;
	return r < 0 ? wb_fail(ret_error, r, "'%.200s': %s", file->path, strerror(-r)) : 0;
}

static bool take_key(const char *text, size_t length, struct wb_zmq_key *ret_key)
{
	uint8_t bytes[WB_ZMQ_KEY_BYTES];
	bool valid;

	if (length != WB_ZMQ_KEY_CHARS || memchr(text, '\0', length))
		return false;
	memcpy(ret_key->text, text, length);
	ret_key->text[length] = '\0';
	valid = zmq_z85_decode(bytes, ret_key->text);
	explicit_bzero(bytes, sizeof(bytes));
	return valid;
}

/* Nothing is quoted that may be a key itself, written where its file's name belongs. */
static int fail_open(const char *path, int code, struct wb_error *ret_error)
{
	struct wb_zmq_key key;

	if (!take_key(path, strlen(path), &key))
		return wb_fail(ret_error, code, "'%.200s': %s", path, strerror(-code));
	explicit_bzero(&key, sizeof(key));
	return wb_fail(ret_error, code, "the name of a file is needed, and a key was given");
}

int wb_zmq_key_file_read(
	const char *path, enum wb_zmq_key_kind kind, struct wb_zmq_key_file *ret_file, struct wb_error *ret_error)
{
	int fd, r;

	*ret_file = (struct wb_zmq_key_file){.path = path, .kind = kind};
	/* Opening a pipe would wait for somebody who writes to it. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fail_open(path, -errno, ret_error);
	r = read_content(fd, ret_file, ret_error);
	close(fd);
	if (r < 0)
		wb_zmq_key_file_fini(ret_file);
	return r;
}

void wb_zmq_key_file_fini(struct wb_zmq_key_file *file)
{
	if (file->data)
		explicit_bzero(file->data, file->size);
	free(file->data);
	file->data = NULL;
	file->size = file->at = 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static size_t skip(const char *text, size_t length, bool space)
{
	size_t i = 0;

	while (i < length && is_space(text[i]) == space)
		i++;
	return i;
}

static int bad_line(const struct wb_zmq_key_file *file, const char *text, size_t length, struct wb_error *ret_error)
{
	if (file->kind == WB_ZMQ_KEY_SECRET)
		return wb_fail(ret_error, -EINVAL, "'%.200s' line %zu " NOT_A_KEY, file->path, file->line);
	return wb_fail(ret_error, -EINVAL, "'%.200s' line %zu: '%.*s' " NOT_A_KEY, file->path, file->line,
		(int)(length < 60 ? length : 60), text);
}

/* '#' is a character of Z85, but no valid key begins with it: the first five would be more than 32 bits. */
int wb_zmq_key_file_next(struct wb_zmq_key_file *file, struct wb_zmq_key *ret_key, struct wb_error *ret_error)
{
	while (file->at < file->size) {
		const char *text = file->data + file->at;
		const char *end = memchr(text, '\n', file->size - file->at);
		size_t length = end ? (size_t)(end - text) : file->size - file->at;
		size_t word, rest;

		file->at += length + (end ? 1 : 0);
		file->line++;
		rest = skip(text, length, true);
		text += rest;
		length -= rest;
		if (length == 0)
			continue;
		word = skip(text, length, false);
		rest = word + skip(text + word, length - word, true);
		if (text[0] == '#')
			continue;
		if (take_key(text, word, ret_key) && (rest == length || text[rest] == '#'))
			return 1;
		return bad_line(file, text, length, ret_error);
	}
	return 0;
}

int wb_zmq_key_read(const char *path, enum wb_zmq_key_kind kind, struct wb_zmq_key *ret_key, struct wb_error *ret_error)
{
	struct wb_zmq_key_file file;
	struct wb_zmq_key second = {""};
	int r;

	r = wb_zmq_key_file_read(path, kind, &file, ret_error);
	if (r < 0)
		return r;
	r = wb_zmq_key_file_next(&file, ret_key, ret_error);
	if (r == 0)
		r = wb_fail(ret_error, -EINVAL, "'%.200s' has no key in it", path);
	else if (r > 0)
		r = wb_zmq_key_file_next(&file, &second, ret_error);
	if (r > 0)
		r = wb_fail(ret_error, -EINVAL, "'%.200s' has more than one key in it", path);
	wb_zmq_key_file_fini(&file);
	explicit_bzero(&second, sizeof(second));
	if (r < 0)
		explicit_bzero(ret_key, sizeof(*ret_key));
	return r;
}

bool wb_zmq_key_supported(void)
{
	return zmq_has("curve");
}

int wb_zmq_key_pair(struct wb_zmq_key *ret_public, struct wb_zmq_key *ret_secret, struct wb_error *ret_error)
{
	if (zmq_curve_keypair(ret_public->text, ret_secret->text) < 0)
		return wb_fail(ret_error, -errno, "cannot make a pair of CURVE keys: %s", zmq_strerror(errno));
	return 0;
}
