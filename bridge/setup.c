/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "option.h"
#include "registry.h"

/* A bus's own library may quote in its messages what must not be shown. */
static void redact(const struct wb_transport_setup *setup, struct wb_error *error)
{
	wb_properties_redact(setup->properties, setup->property_count, error);
	wb_url_redact(&setup->url, error);
}

static int fill_options(struct wb_transport_setup *setup, struct wb_error *ret_error)
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
		return wb_fail(ret_error, r, "out of memory");
	}
	r = wb_url_options(&setup->url, rows, setup->options, &setup->properties, &setup->property_count, ret_error);
	if (r < 0)
		return r;
	if (setup->property_count && !setup->ops->takes_properties)
		return wb_fail(ret_error, -EINVAL, "unknown option 'properties.%.80s': %s takes no properties",
			setup->properties[0].key, setup->ops->name);
	return 0;
}

/* Hand on what went wrong, with the URL in front unless the message has it. */
static void fail_with_url(
	const struct wb_transport_setup *setup, int code, struct wb_error *error, struct wb_error *ret_error)
{
	redact(setup, error);
	if (strstr(error->message, setup->url.text))
		wb_fail(ret_error, code, "%s", error->message);
	else
		wb_fail(ret_error, code, "%.200s: %s", setup->url.text, error->message);
}

static int check(struct wb_transport_setup *setup, struct wb_error *ret_error)
{
	struct wb_transport_args args = {.log = wb_log_transport, .lanes = 1};

	wb_transport_setup_args(setup, &args);
	args.max_batch_bytes = 0;
	return setup->ops->check(&args, &setup->max_batch_bytes, ret_error);
}

int wb_transport_setup_init(const char *url, const struct wb_property *more, size_t more_count,
	struct wb_transport_setup *ret_setup, struct wb_error *ret_error)
{
	struct wb_error error = {""};
	int r;

	*ret_setup = (struct wb_transport_setup){0};
	r = wb_url_parse(url, &ret_setup->url, ret_error);
	if (r < 0)
		return r;
	ret_setup->ops = wb_transport_find(&ret_setup->url, ret_error);
	if (!ret_setup->ops) {
		r = -EINVAL;
		goto fail;
	}
	for (size_t i = 0; i < more_count; i++) {
		r = wb_properties_add(&ret_setup->url.query, &ret_setup->url.query_count, more[i].key, more[i].value);
		if (r < 0) {
			wb_fail(ret_error, r, "out of memory");
			goto fail;
		}
	}
	r = fill_options(ret_setup, &error);
	if (r == 0)
		r = check(ret_setup, &error);
	if (r < 0) {
		fail_with_url(ret_setup, r, &error, ret_error);
		goto fail;
	}
	return 0;
fail:
	wb_transport_setup_fini(ret_setup);
	return r;
}

void wb_transport_setup_fini(struct wb_transport_setup *setup)
{
	if (setup->options && setup->ops && setup->ops->rows)
		wb_options_fini(setup->ops->rows, setup->options);
	free(setup->options);
	wb_properties_free(setup->properties, setup->property_count);
	wb_url_fini(&setup->url);
	*setup = (struct wb_transport_setup){0};
}

void wb_transport_setup_args(const struct wb_transport_setup *setup, struct wb_transport_args *ret_args)
{
	ret_args->url = setup->url.text;
	ret_args->scheme = setup->url.scheme;
	ret_args->address = setup->url.address;
	ret_args->options = setup->options;
	ret_args->properties = setup->properties;
	ret_args->property_count = setup->property_count;
	ret_args->max_batch_bytes = setup->max_batch_bytes;
}
