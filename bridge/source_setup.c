/* SPDX-License-Identifier: Apache-2.0 */
#include "source_setup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture_file.h"
#include "log.h"
#include "option.h"
#include "registry.h"

/* A bus's own library may quote in its messages what must not be shown. */
static void redact(const struct wb_source_setup *setup, struct wb_error *error)
{
	wb_properties_redact(setup->properties, setup->property_count, error);
	wb_url_redact(&setup->url, error);
}

/* Hand on what went wrong, with the URL in front unless the message has it. */
static int fail(const struct wb_source_setup *setup, int code, struct wb_error *error, struct wb_error *ret_error)
{
	if (!error->message[0])
		wb_fail(error, code, "%s", strerror(-code));
	redact(setup, error);
	if (strstr(error->message, setup->url.text))
		return wb_fail(ret_error, code, "%s", error->message);
	return wb_fail(ret_error, code, "%.200s: %s", setup->url.text, error->message);
}

static int fill_options(struct wb_source_setup *setup, struct wb_error *ret_error)
{
	static const struct wb_option_row no_rows[] = {{.key = NULL}};
	const struct wb_option_row *rows = setup->ops->rows ? setup->ops->rows : no_rows;
	int r;

	/* One byte at least, as calloc() of nothing may give NULL. */
	setup->options = calloc(1, setup->ops->options_size ? setup->ops->options_size : 1);
	r = setup->options ? wb_options_init(rows, setup->options) : -ENOMEM;
	if (r < 0) {
		/* Without its defaults there is nothing in it that could be freed. */
		free(setup->options);
		setup->options = NULL;
		return r;
	}
	r = wb_url_options(&setup->url, rows, setup->options, &setup->properties, &setup->property_count, ret_error);
	if (r < 0)
		return r;
	if (setup->property_count && !setup->ops->takes_properties)
		return wb_fail(ret_error, -EINVAL, "unknown option 'properties.%.80s': %s takes no properties",
			setup->properties[0].key, setup->ops->name);
	return 0;
}

/* Whether wb_url_parse() takes it for a path, or it can be nothing but a URL. */
static bool is_url(const char *url)
{
	return url[0] == '/' || strncmp(url, "./", 2) == 0 || strncmp(url, "../", 3) == 0 || strstr(url, "://");
}

/* A URL, the name of a file, or "-". */
static int parse(const char *url, struct wb_url *ret_url, struct wb_error *ret_error)
{
	bool is_here = strcmp(url, "-") == 0 || access(url, F_OK) == 0;

	/* What may have a password in it is for wb_url_parse() to quote. */
	if (is_url(url) || (!is_here && strpbrk(url, "?@")))
		return wb_url_parse(url, ret_url, ret_error);
	if (!is_here) {
		wb_fail(ret_error, -ENOENT, "'%.200s': no such file, and not a URL (scheme://address)", url);
		return -ENOENT;
	}
	*ret_url = (struct wb_url){.text = strdup(url), .scheme = strdup("file")};
	if (strcmp(url, "-") == 0)
		ret_url->address = strdup(url);
	else if (asprintf(&ret_url->address, "./%s", url) < 0)
		ret_url->address = NULL;
	if (ret_url->text && ret_url->scheme && ret_url->address)
		return 0;
	wb_url_fini(ret_url);
	return wb_fail(ret_error, -ENOMEM, "out of memory");
}

/* What is in a file says who reads it. */
static const struct wb_source_ops *find(const struct wb_url *url, struct wb_error *ret_error)
{
	const struct wb_source_ops *ops = wb_source_find(url, ret_error);

	if (ops && strcmp(url->scheme, "file") == 0 && wb_capture_file_is(url->address))
		return &wb_source_capture;
	return ops;
}

int wb_source_setup_init(const char *url, struct wb_source_setup *ret_setup, struct wb_error *ret_error)
{
	struct wb_error error = {""};
	int r;

	*ret_setup = (struct wb_source_setup){0};
	r = parse(url, &ret_setup->url, ret_error);
	if (r < 0)
		return r;
	ret_setup->ops = find(&ret_setup->url, ret_error);
	r = ret_setup->ops ? fill_options(ret_setup, &error) : -EINVAL;
	if (r < 0) {
		if (ret_setup->ops)
			fail(ret_setup, r, &error, ret_error);
		wb_source_setup_fini(ret_setup);
	}
	return r;
}

void wb_source_setup_fini(struct wb_source_setup *setup)
{
	if (setup->ops && setup->options && setup->ops->rows)
		wb_options_fini(setup->ops->rows, setup->options);
	free(setup->options);
	wb_properties_free(setup->properties, setup->property_count);
	wb_url_fini(&setup->url);
	*setup = (struct wb_source_setup){0};
}

int wb_source_setup_open(const struct wb_source_setup *setup, const struct wb_source_args *args,
	struct wb_source **ret_source, struct wb_error *ret_error)
{
	struct wb_source_args full = *args;
	struct wb_error error = {""};
	int r;

	full.url = setup->url.text;
	full.scheme = setup->url.scheme;
	full.address = setup->url.address;
	full.options = setup->options;
	full.properties = setup->properties;
	full.property_count = setup->property_count;
	if (args->offset && !setup->ops->takes_offset)
		return wb_fail(ret_error, -EINVAL, "%.200s: %s:// has no offsets to begin at", setup->url.text,
			setup->url.scheme);
	r = setup->ops->open(&full, ret_source, &error);
	return r < 0 ? fail(setup, r, &error, ret_error) : r;
}

/* Whether there is a regular file at path. fd: what "-" stands for. */
static bool find_file(const char *path, int fd, struct stat *ret)
{
	return (strcmp(path, "-") == 0 ? fstat(fd, ret) : stat(path, ret)) == 0 && S_ISREG(ret->st_mode);
}

int wb_source_setup_check_output(const char *from, const char *path, struct wb_error *ret_error)
{
	struct stat input, output;
	struct wb_error error;
	struct wb_url url;
	bool same;

	if (parse(from, &url, &error) < 0)
		return 0;
	if (!path)
		path = "-";
	same = strcmp(url.scheme, "file") == 0 && find_file(url.address, STDIN_FILENO, &input) &&
	       find_file(path, STDOUT_FILENO, &output) && input.st_dev == output.st_dev &&
	       input.st_ino == output.st_ino;
	wb_url_fini(&url);
	return same ? wb_fail(ret_error, -EINVAL, "%.200s: is read and written: name another file to write to",
			      strcmp(path, "-") == 0 ? "standard output" : path)
	            : 0;
}
