/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"
#include "source_file_internal.h"

static int file_fail(const struct wb_source *source, int code, const char *path, struct wb_error *ret_error)
{
	/* A path that the URL has need not be said twice. */
	if (strstr(source->url, path))
		return wb_fail(ret_error, code, "%s: %s", source->url, strerror(-code));
	return wb_fail(ret_error, code, "%s: %s: %s", source->url, path, strerror(-code));
}

/* Position of the first input whose name is not less. */
static size_t position_of(const struct wb_source *source, const char *name)
{
	size_t low = 0, high = source->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(source->inputs[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add_input(struct wb_source *source, const char *path, const char *name)
{
	size_t at = position_of(source, name);
	struct wb_file_input *input, *inputs;

	if (at < source->count && strcmp(source->inputs[at].name, name) == 0)
		return 0;
	if (source->count == source->capacity) {
		size_t capacity = source->capacity ? 2 * source->capacity : 64;

		inputs = realloc(source->inputs, capacity * sizeof(*inputs));
		if (!inputs)
			return -ENOMEM;
		source->inputs = inputs;
		source->capacity = capacity;
	}
	input = &source->inputs[at];
	memmove(input + 1, input, (source->count - at) * sizeof(*input));
	*input = (struct wb_file_input){.path = strdup(path)};
	if (!input->path) {
		memmove(input, input + 1, (source->count - at) * sizeof(*input));
		return -ENOMEM;
	}
	input->name = input->path + (strlen(path) - strlen(name));
	source->count++;
	return 0;
}

static bool is_container_name(const char *name)
{
	size_t length = strlen(name);

	return length > 4 && strcmp(name + length - 4, ".wbs") == 0;
}

static int add_directory(struct wb_source *source, struct wb_error *ret_error)
{
	struct dirent *entry;
	char *path;
	DIR *directory;
	int r = 0;

	directory = opendir(source->path);
	if (!directory)
		return file_fail(source, -errno, source->path, ret_error);
	while (r == 0 && (errno = 0, entry = readdir(directory))) {
		if (!is_container_name(entry->d_name))
			continue;
		r = -ENOMEM;
		if (asprintf(&path, "%s/%s", source->path, entry->d_name) >= 0) {
			r = add_input(source, path, entry->d_name);
			free(path);
		}
	}
	if (r == 0 && errno != 0)
		r = -errno;
	closedir(directory);
	return r < 0 ? file_fail(source, r, source->path, ret_error) : 0;
}

/* Whether b comes from the same worker as a, by the names that the file transport gives: session-worker-segment. */
static bool is_related(const char *a, const char *b)
{
	const char *end = strrchr(a, '-');

	return strspn(a, "0123456789abcdef") == 32 && a[32] == '-' && end > a + 32 &&
	       strncmp(a, b, (size_t)(end - a) + 1) == 0;
}

static int add_channel(struct wb_source *source, const struct wb_file_channel *channel)
{
	struct wb_file_channel *channels;

	if (source->channel_count == source->channel_capacity) {
		size_t capacity = source->channel_capacity ? 2 * source->channel_capacity : 16;

		channels = realloc(source->channels, capacity * sizeof(*channels));
		if (!channels)
			return -ENOMEM;
		source->channels = channels;
		source->channel_capacity = capacity;
	}
	source->channels[source->channel_count++] = *channel;
	return 0;
}

/* The channels of a pass: files of one worker stand next to each other. */
static int find_channels(struct wb_source *source)
{
	int r = 0;

	source->channel_count = source->current = 0;
	for (size_t i = 0; r == 0 && i < source->count;) {
		struct wb_file_channel channel = {.at = i};

		do {
			if (source->inputs[i].time_ns > channel.time_ns)
				channel.time_ns = source->inputs[i].time_ns;
			i++;
		} while (i < source->count && is_related(source->inputs[i - 1].name, source->inputs[i].name));
		channel.end = i;
		r = add_channel(source, &channel);
	}
	source->open_channels = source->channel_count;
	return r;
}

/* Begin a pass. Names were collected before: a file with a successor is not written to after its size is read here. */
static int measure(struct wb_source *source)
{
	struct stat status;
	bool first = source->bytes == 0;

	for (size_t i = 0; i < source->count; i++) {
		struct wb_file_input *input = &source->inputs[i];

		if (input->over)
			continue;
		input->superseded = i + 1 < source->count && is_related(input->name, source->inputs[i + 1].name);
		/* A file that has gone is reported when it is opened. */
		input->size = stat(input->path, &status) == 0 ? (uint64_t)status.st_size : UINT64_MAX;
		if (first && input->size != UINT64_MAX)
			source->bytes += input->size;
	}
	return find_channels(source);
}

int wb_file_scan(struct wb_source *source, struct wb_error *ret_error)
{
	const char *slash = strrchr(source->path, '/');
	struct stat status;
	int r;

	if (stat(source->path, &status) < 0) {
		if (!source->follow || errno != ENOENT)
			return file_fail(source, -errno, source->path, ret_error);
		if (!source->told_missing)
			wb_log(WB_LOG_WARNING, "%s: there is no %s yet; waiting for it", source->url, source->path);
		source->told_missing = true;
		return 0;
	}
	source->is_single = !S_ISDIR(status.st_mode);
	if (source->is_single)
		r = add_input(source, source->path, slash ? slash + 1 : source->path);
	else
		r = add_directory(source, ret_error);
	if (r == -ENOMEM)
		wb_fail(ret_error, r, "%s: out of memory", source->url);
	if (r < 0)
		return r;
	if (source->count == 0 && !source->told_missing) {
		wb_log(WB_LOG_WARNING, "%s: there are no .wbs files in %s%s", source->url, source->path,
			source->follow ? " yet; waiting for them" : "");
		source->told_missing = true;
	}
	if (measure(source) < 0)
		return wb_fail(ret_error, -ENOMEM, "%s: out of memory", source->url);
	return 1;
}

void wb_file_list_fini(struct wb_source *source)
{
	for (size_t i = 0; i < source->count; i++)
		free(source->inputs[i].path);
	free(source->inputs);
	free(source->channels);
}
