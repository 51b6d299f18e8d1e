/* SPDX-License-Identifier: Apache-2.0 */
#include "properties_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "secret.h"
#include "url.h"

#define SPACE " \t\r"

static int read_all(int fd, char *data, size_t size, size_t *ret_length)
{
	size_t length = 0;
	ssize_t r;

	while ((r = read(fd, data + length, size - length)) != 0) {
		if (r < 0 && errno != EINTR)
			return -errno;
		length += r > 0 ? (size_t)r : 0;
	}
	*ret_length = length;
	return 0;
}

static int read_file(const char *path, char *data, size_t size, unsigned int *ret_mode, struct wb_error *ret_error)
{
	/* Opening a pipe would wait for somebody who writes to it. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	size_t length = 0;
	int r = 0;

	if (fd < 0)
		return wb_fail(ret_error, -errno, "'%.200s': %s", path, strerror(errno));
	if (fstat(fd, &status) < 0)
		r = wb_fail(ret_error, -errno, "'%.200s': %s", path, strerror(errno));
	else if (!S_ISREG(status.st_mode))
		r = wb_fail(ret_error, -EINVAL, "'%.200s' is not a file", path);
	if (r == 0) {
		r = read_all(fd, data, size, &length);
		if (r < 0)
			wb_fail(ret_error, r, "'%.200s': %s", path, strerror(-r));
	}
	close(fd);
	if (r < 0)
		return r;
	if (length == size)
		return wb_fail(ret_error, -EFBIG, "'%.200s' is longer than %zu bytes", path, size - 1);
	data[length] = '\0';
	if (strlen(data) != length)
		return wb_fail(ret_error, -EINVAL, "'%.200s' has a zero byte", path);
	*ret_mode = status.st_mode & 07777;
	return 0;
}

/* Without white space at both ends; text is cut. */
static char *trim(char *text)
{
	size_t length;

	text += strspn(text, SPACE);
	length = strlen(text);
	while (length > 0 && strchr(SPACE, text[length - 1]))
		text[--length] = '\0';
	return text;
}

/* ret_secret: set when the line has one. */
static int take_line(
	char *line, struct wb_property **properties, size_t *count, bool *ret_secret, struct wb_error *ret_error)
{
	char *key = trim(line), *value;

	if (!*key || *key == '#')
		return 0;
	value = strchr(key, '=');
	if (!value || value == key)
		return wb_fail(ret_error, -EINVAL, "NAME=VALUE is needed");
	*value++ = '\0';
	key = trim(key);
	*ret_secret = *ret_secret || wb_secret_name(key);
	return wb_properties_add(properties, count, key, trim(value)) < 0 ? wb_fail(ret_error, -ENOMEM, "out of memory")
	                                                                  : 0;
}

static int take_lines(const char *path, char *text, struct wb_property **properties, size_t *count, bool *ret_secret,
	struct wb_error *ret_error)
{
	struct wb_error error;
	char *line;

	for (size_t number = 1; (line = strsep(&text, "\n")); number++) {
		int r = take_line(line, properties, count, ret_secret, &error);

		if (r < 0)
			return wb_fail(ret_error, r, "'%.200s', line %zu: %s", path, number, error.message);
	}
	return 0;
}

int wb_properties_file_read(
	const char *path, struct wb_property **properties, size_t *count, struct wb_error *ret_error)
{
	char *text = malloc(WB_PROPERTIES_FILE_BYTES_MAX + 1);
	unsigned int mode = 0;
	bool secret = false;
	int r;

	if (!text)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	r = read_file(path, text, WB_PROPERTIES_FILE_BYTES_MAX + 1, &mode, ret_error);
	if (r == 0)
		r = take_lines(path, text, properties, count, &secret, ret_error);
	explicit_bzero(text, WB_PROPERTIES_FILE_BYTES_MAX + 1);
	free(text);
	if (r == 0 && secret && wb_secret_is_exposed(mode))
		return wb_fail(ret_error, -EACCES,
			"'%.200s' holds a secret and has mode %04o: others must not have access to it, nor its group"
			" write to it: chmod 600",
			path, mode);
	return r;
}
