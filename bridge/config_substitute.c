/* SPDX-License-Identifier: Apache-2.0 */
#include "config_substitute.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "secret.h"

#define FILE_PREFIX "file:"
#define SHOWN_BYTES 120

/* Grows up to WB_SUBSTITUTE_BYTES_MAX. */
struct text {
	char *data;
	size_t used;
	size_t room;
};

static int append(struct text *text, const char *data, size_t length, struct wb_error *ret_error)
{
	if (length >= WB_SUBSTITUTE_BYTES_MAX - text->used)
		return wb_fail(ret_error, -EINVAL, "the value becomes longer than %u bytes", WB_SUBSTITUTE_BYTES_MAX);
	if (text->used + length + 1 > text->room) {
		size_t room = 2 * (text->used + length + 1);
		char *grown = realloc(text->data, room);

		if (!grown)
			return wb_fail(ret_error, -ENOMEM, "out of memory");
		text->data = grown;
		text->room = room;
	}
	memcpy(text->data + text->used, data, length);
	text->used += length;
	text->data[text->used] = '\0';
	return 0;
}

/* Keep the content, so that it can be taken out of messages. */
static int remember(struct wb_substitute *substitute, char *content)
{
	char **grown = realloc(substitute->contents, (substitute->content_count + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	substitute->contents = grown;
	grown[substitute->content_count++] = content;
	return 0;
}

static int read_all(FILE *stream, char *buffer, size_t size, const char *path, struct wb_error *ret_error)
{
	size_t length;

	errno = 0;
	length = fread(buffer, 1, size, stream);
	if (ferror(stream))
		return wb_fail(ret_error, -EINVAL, "file '%.200s': %s", path, strerror(errno));
	if (length == size)
		return wb_fail(ret_error, -EINVAL, "file '%.200s' is longer than %zu bytes", path, size - 1);
	buffer[length] = '\0';
	if (strlen(buffer) != length)
		return wb_fail(ret_error, -EINVAL, "file '%.200s' has a zero byte", path);
	if (length > 0 && buffer[length - 1] == '\n')
		buffer[length - 1] = '\0';
	return 0;
}

static int read_file(const char *path, char *buffer, size_t size, struct wb_error *ret_error)
{
	FILE *stream = fopen(path, "re");
	int r;

	if (!stream)
		return wb_fail(ret_error, -EINVAL, "file '%.200s': %s", path, strerror(errno));
	r = read_all(stream, buffer, size, path, ret_error);
	fclose(stream);
	return r;
}

static int insert_file(
	struct wb_substitute *substitute, const char *path, struct text *text, struct wb_error *ret_error)
{
	char *full = NULL, *content;
	int r;

	if (!*path)
		return wb_fail(ret_error, -EINVAL, "'${file:}' names no file");
	if (substitute->content_count == WB_SUBSTITUTE_FILES_MAX)
		return wb_fail(ret_error, -EINVAL, "more than %d files are put in", WB_SUBSTITUTE_FILES_MAX);
	if (asprintf(&full, "%s%s%s", *path == '/' ? "" : substitute->folder, *path == '/' ? "" : "/", path) < 0)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	content = malloc(WB_SUBSTITUTE_FILE_BYTES_MAX + 1);
	if (!content || remember(substitute, content) < 0) {
		free(content);
		free(full);
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	}
	r = read_file(full, content, WB_SUBSTITUTE_FILE_BYTES_MAX + 1, ret_error);
	free(full);
	/* What is refused may be without its end, and is shown nowhere. */
	if (r < 0)
		content[0] = '\0';
	return r < 0 ? r : append(text, content, strlen(content), ret_error);
}

static int insert_variable(const char *name, struct text *text, struct wb_error *ret_error)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	const char *value;

	if (!*name || name[strspn(name, letters)] || strchr("0123456789", *name))
		return wb_fail(ret_error, -EINVAL,
			"'${%.*s}' is neither ${NAME} nor ${file:PATH}; write $${ for the text ${", SHOWN_BYTES, name);
	value = getenv(name);
	if (!value)
		return wb_fail(ret_error, -EINVAL, "the environment has no variable '%.*s'", SHOWN_BYTES, name);
	return append(text, value, strlen(value), ret_error);
}

/* at leads to "${". Returns how many bytes of the value were used. */
static int replace(struct wb_substitute *substitute, const char *at, struct text *text, struct wb_error *ret_error)
{
	const char *end = strchr(at, '}');
	char *name;
	int r;

	if (!end)
		return wb_fail(ret_error, -EINVAL, "'${' without its '}'; write $${ for the text ${");
	name = strndup(at + 2, (size_t)(end - at - 2));
	if (!name)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	if (strncmp(name, FILE_PREFIX, sizeof(FILE_PREFIX) - 1) == 0)
		r = insert_file(substitute, name + sizeof(FILE_PREFIX) - 1, text, ret_error);
	else
		r = insert_variable(name, text, ret_error);
	free(name);
	return r < 0 ? r : (int)(end + 1 - at);
}

int wb_substitute(struct wb_substitute *substitute, const char *text, char **ret_text, bool *ret_changed,
	struct wb_error *ret_error)
{
	struct text result = {0};
	int r = append(&result, "", 0, ret_error);

	*ret_changed = false;
	while (r >= 0 && *text) {
		size_t length = strcspn(text, "$");

		if (strncmp(text + length, "$${", 3) == 0) {
			r = append(&result, text, length, ret_error);
			if (r >= 0)
				r = append(&result, "${", 2, ret_error);
			text += length + 3;
			continue;
		}
		if (text[length] == '$' && text[length + 1] != '{')
			length++;
		r = append(&result, text, length, ret_error);
		text += length;
		if (r < 0 || strncmp(text, "${", 2) != 0)
			continue;
		*ret_changed = true;
		r = replace(substitute, text, &result, ret_error);
		text += r > 0 ? r : 0;
	}
	if (r < 0)
		free(result.data);
	else
		*ret_text = result.data;
	return r < 0 ? r : 0;
}

void wb_substitute_redact(const struct wb_substitute *substitute, struct wb_error *message)
{
	for (size_t i = 0; i < substitute->content_count; i++)
		wb_secret_redact(message->message, sizeof(message->message), substitute->contents[i]);
}

void wb_substitute_fini(struct wb_substitute *substitute)
{
	for (size_t i = 0; i < substitute->content_count; i++)
		free(substitute->contents[i]);
	free(substitute->contents);
	substitute->contents = NULL;
	substitute->content_count = 0;
}
