/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nats.h"

#define DEFAULT_SUBJECT "wirebus.{node}.{stream}"

int nats_fail(struct wb_error *ret_error, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(ret_error->message, sizeof(ret_error->message), format, arguments);
	va_end(arguments);
	return code;
}

/* host:port, or [IPv6]:port. */
static bool is_server(const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t host = colon ? (size_t)(colon - text) : 0;
	char *end;
	long port;

	if (host == 0 || strpbrk(text, " /@?\"") || strlen(text) + sizeof("nats://") > SERVER_BYTES)
		return false;
	if (text[0] == '[' ? text[host - 1] != ']' || host < 4 : memchr(text, ':', host) != NULL)
		return false;
	if (colon[1] < '0' || colon[1] > '9')
		return false;
	port = strtol(colon + 1, &end, 10);
	return *end == '\0' && port >= 1 && port <= 65535;
}

static int parse_servers(char *list, struct nats_address *address, struct wb_error *ret_error)
{
	char *server;

	while ((server = strsep(&list, ","))) {
		if (!is_server(server))
			return nats_fail(ret_error, -EINVAL,
				"'%.200s' is not a server: host:port or [IPv6]:port, with a port from 1 to 65535",
				server);
		if (address->server_count == SERVERS_MAX)
			return nats_fail(ret_error, -EINVAL, "there are more than %d servers", SERVERS_MAX);
		snprintf(address->servers[address->server_count++], SERVER_BYTES, "nats://%s", server);
	}
	return 0;
}

/* Words separated by single dots, without the signs that mean something to a subscriber. */
static bool is_subject(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || text[0] == '.' || text[length - 1] == '.' || strstr(text, "..") || text[0] == '$')
		return false;
	for (; *text; text++) {
		if ((unsigned char)*text <= ' ' || *text == 0x7f || *text == '*' || *text == '>')
			return false;
	}
	return true;
}

static int check_subject(const char *subject, struct wb_error *ret_error)
{
	/* The longest that {node} and {stream} can become is not known yet; what is too long is cut then. */
	if (!is_subject(subject) || strlen(subject) >= SUBJECT_BYTES / 2)
		return nats_fail(ret_error, -EINVAL,
			"'%.200s' is not a subject: up to %d bytes, words separated by single dots, without blanks, "
			"'*', "
			"'>', and no '$' at the beginning",
			subject, SUBJECT_BYTES / 2 - 1);
	for (const char *name = strchr(subject, '{'); name; name = strchr(name + 1, '{')) {
		if (strncmp(name, "{node}", 6) != 0 && strncmp(name, "{stream}", 8) != 0)
			return nats_fail(
				ret_error, -EINVAL, "'%.200s': there are only the names {node} and {stream}", subject);
	}
	return 0;
}

int nats_parse_address(const char *text, struct nats_address *ret_address, struct wb_error *ret_error)
{
	const char *slash = strchr(text, '/');
	const char *subject = slash && slash[1] ? slash + 1 : DEFAULT_SUBJECT;
	char *servers = slash ? strndup(text, (size_t)(slash - text)) : strdup(text);
	int r;

	memset(ret_address, 0, sizeof(*ret_address));
	if (!servers)
		return nats_fail(ret_error, -ENOMEM, "out of memory");
	r = parse_servers(servers, ret_address, ret_error);
	free(servers);
	if (r == 0)
		r = check_subject(subject, ret_error);
	if (r == 0)
		snprintf(ret_address->subject, SUBJECT_BYTES, "%s", subject);
	return r;
}

int nats_check_settings(const struct nats_settings *settings, struct wb_error *ret_error)
{
	if (settings->password && !settings->user)
		return nats_fail(ret_error, -EINVAL, "password: it needs a user");
	if (settings->user && settings->token)
		return nats_fail(ret_error, -EINVAL, "token: '****' and a user; give one of them");
	if (settings->ca && !settings->tls)
		return nats_fail(ret_error, -EINVAL, "ca: '%.200s' is of use with tls=true only", settings->ca);
	return 0;
}

/* Append, with what a subject cannot have replaced. dots: they separate words, and stay. */
static size_t append(char subject[SUBJECT_BYTES], size_t used, const char *text, size_t length, bool dots)
{
	for (size_t i = 0; i < length && used + 1 < SUBJECT_BYTES; i++) {
		unsigned char c = (unsigned char)text[i];
		bool bad = c <= ' ' || c == 0x7f || c == '*' || c == '>' || (c == '.' && !dots);

		subject[used++] = bad ? '_' : (char)c;
	}
	subject[used] = '\0';
	return used;
}

static void fill_in(const struct wb_transport *transport, uint32_t stream, char subject[SUBJECT_BYTES])
{
	const char *text = transport->address.subject;
	char number[16];
	size_t used = 0;

	snprintf(number, sizeof(number), "%u", stream);
	while (*text) {
		size_t length = strcspn(text, "{");

		used = append(subject, used, text, length, true);
		text += length;
		if (strncmp(text, "{node}", 6) == 0) {
			used = append(subject, used, transport->node, strlen(transport->node), false);
			text += 6;
		} else if (*text) {
			used = append(subject, used, number, strlen(number), false);
			text += 8;
		}
	}
}

void nats_subject(const struct wb_transport *transport, const struct wb_batch *batch, const char *topic,
	char subject[SUBJECT_BYTES])
{
	subject[0] = '\0';
	if (topic)
		append(subject, 0, topic, strlen(topic), true);
	if (!is_subject(subject))
		fill_in(transport, batch->stream_id, subject);
}
