/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "extcap.h"
#include "log.h"

/* Needed as they are, and without a meaning of their own in an address or a value. By '@' a password is recognized. */
#define PLAIN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:,[]*@"
/* How ZeroMQ itself writes its endpoints. */
#define TCP_PREFIX "tcp://"
#define IPC_PREFIX "ipc://"

static void encode(FILE *stream, const char *text)
{
	for (; *text; text++) {
		if (strchr(PLAIN, *text))
			fputc(*text, stream);
		else
			fprintf(stream, "%%%02X", (unsigned char)*text);
	}
}

static bool given(const char *value)
{
	return value && *value;
}

/* separator: '?' before the first option of the query, then '&'. */
static void print_option(FILE *stream, char *separator, const char *key, const char *value)
{
	if (!given(value))
		return;
	fprintf(stream, "%c%s=", *separator, key);
	encode(stream, value);
	*separator = '&';
}

static void print_kafka(const struct wb_extcap_options *options, FILE *stream)
{
	char separator = '?';

	fputs("kafka://", stream);
	encode(stream, options->brokers);
	fputc('/', stream);
	encode(stream, options->topic);
	print_option(stream, &separator, "properties_file", options->properties);
}

static const char *without(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) == 0 ? text + length : text;
}

static void print_zmq(const struct wb_extcap_options *options, FILE *stream)
{
	char separator = '?';

	fputs(options->mode == WB_EXTCAP_PULL ? "zmq+pull://" : "zmq+sub://", stream);
	encode(stream, without(without(options->endpoint, TCP_PREFIX), IPC_PREFIX));
	if (given(options->node)) {
		fputs("?topic=wb1/", stream);
		encode(stream, options->node);
		fputc('/', stream);
		separator = '&';
	}
	print_option(stream, &separator, "curve_key", options->curve_key);
	print_option(stream, &separator, "curve_server_key", options->curve_server_key);
	print_option(stream, &separator, "curve_allow", options->curve_allow);
}

static void print_named(
	const struct wb_extcap_interface *interface, const struct wb_extcap_options *options, FILE *stream)
{
	char separator = strchr(interface->url, '?') ? '&' : '?';

	fputs(interface->url, stream);
	print_option(stream, &separator, "properties_file", options->properties);
}

static int missing(const struct wb_extcap_interface *interface, const char *option, struct wb_error *ret_error)
{
	return wb_fail(ret_error, -EINVAL,
		"%s: %s is missing: set it in the interface's options (tshark: -o extcap.%s.%s:VALUE)", interface->name,
		option, interface->kind == WB_EXTCAP_KAFKA ? "wirebus_kafka" : "wirebus_zmq", option + 2);
}

static int check(const struct wb_extcap_interface *interface, const struct wb_extcap_options *options,
	struct wb_error *ret_error)
{
	if (interface->kind == WB_EXTCAP_KAFKA && !given(options->brokers))
		return missing(interface, "--brokers", ret_error);
	if (interface->kind == WB_EXTCAP_KAFKA && !given(options->topic))
		return missing(interface, "--topic", ret_error);
	if (interface->kind == WB_EXTCAP_ZMQ && !given(options->endpoint))
		return missing(interface, "--endpoint", ret_error);
	if (interface->kind == WB_EXTCAP_ZMQ && options->mode == WB_EXTCAP_PULL && given(options->node))
		return wb_fail(ret_error, -EINVAL, "%s: --node '%s' is for --mode sub: a PULL socket cannot choose",
			interface->name, options->node);
	return 0;
}

int wb_extcap_url(const struct wb_extcap_interface *interface, const struct wb_extcap_options *options, char **ret_url,
	struct wb_error *ret_error)
{
	char *text = NULL;
	size_t size;
	FILE *stream;
	int r = check(interface, options, ret_error);

	if (r < 0)
		return r;
	stream = open_memstream(&text, &size);
	if (!stream)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	if (interface->kind == WB_EXTCAP_KAFKA)
		print_kafka(options, stream);
	else if (interface->kind == WB_EXTCAP_ZMQ)
		print_zmq(options, stream);
	else
		print_named(interface, options, stream);
	if (fclose(stream) != 0) {
		free(text);
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	}
	*ret_url = text;
	return 0;
}
