/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_topic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* Kafka's limit on the length of a topic's name, and what it may consist of. */
#define TOPIC_MAX 249
#define TOPIC_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
/* Of a wrong topic or placeholder that a message quotes. */
#define SHOWN_BYTES 260

struct name {
	const char *placeholder;
	const char *value; /* NULL: there is none */
};

/* Where the topic grows. What does not fit is too long in any case, so the rest is left out. */
struct text {
	char bytes[TOPIC_MAX + 2];
	size_t length;
};

static void put(struct text *text, char c)
{
	if (text->length < sizeof(text->bytes) - 1)
		text->bytes[text->length++] = c;
}

int wb_kafka_topic_check(const char *url, const char *topic, struct wb_error *ret_error)
{
	size_t length = strlen(topic);

	if (length >= 1 && length <= TOPIC_MAX && strspn(topic, TOPIC_LETTERS) == length && strcmp(topic, ".") != 0 &&
		strcmp(topic, "..") != 0)
		return 0;
	return wb_fail(ret_error, -EINVAL,
		"'%s': topic '%.*s' must be 1 to %d letters, digits, '.', '_' or '-', and neither '.' nor '..'", url,
		SHOWN_BYTES, topic, TOPIC_MAX);
}

int wb_kafka_topic_check_suffix(const char *topic, const char *suffix, struct wb_error *ret_error)
{
	size_t length = strlen(topic), room = TOPIC_MAX - strlen(suffix);

	if (length <= room)
		return 0;
	return wb_fail(ret_error, -EINVAL,
		"topic '%.*s' has %zu characters: in mode 'record' it may have %zu, as the topic of its ledger has "
		"'%s' at the end and Kafka allows %d",
		SHOWN_BYTES, topic, length, room, suffix, TOPIC_MAX);
}

/* The placeholder at text, which begins with '{'. ret_length: what it takes up. */
static int replace(const char *url, const char *text, const struct name *names, struct text *topic, size_t *ret_length,
	struct wb_error *ret_error)
{
	const char *close = strchr(text, '}');

	if (!close)
		return wb_fail(ret_error, -EINVAL, "'%s': '%.*s' in the topic has no '}'", url, SHOWN_BYTES, text);
	*ret_length = (size_t)(close - text) + 1;
	for (; names->placeholder; names++) {
		if (strlen(names->placeholder) != *ret_length || memcmp(names->placeholder, text, *ret_length) != 0)
			continue;
		if (!names->value)
			return wb_fail(ret_error, -EINVAL, "'%s': nothing is known here that %s could stand for", url,
				names->placeholder);
		for (const char *c = names->value; *c; c++)
			put(topic, strchr(TOPIC_LETTERS, *c) ? *c : '_');
		return 0;
	}
	return wb_fail(ret_error, -EINVAL,
		"'%s': unknown placeholder '%.*s' in the topic; there are {node} and {interface}", url,
		(int)(*ret_length < SHOWN_BYTES ? *ret_length : SHOWN_BYTES), text);
}

int wb_kafka_topic_expand(const char *url, const char *template, const char *node, const char *interface,
	char **ret_topic, struct wb_error *ret_error)
{
	const struct name names[] = {{"{node}", node}, {"{interface}", interface}, {NULL, NULL}};
	struct text topic = {.length = 0};
	size_t length = 0;
	int r;

	while (*template) {
		if (*template != '{') {
			put(&topic, *template ++);
			continue;
		}
		r = replace(url, template, names, &topic, &length, ret_error);
		if (r < 0)
			return r;
		template += length;
	}
	topic.bytes[topic.length] = '\0';
	r = wb_kafka_topic_check(url, topic.bytes, ret_error);
	if (r < 0)
		return r;
	*ret_topic = strdup(topic.bytes);
	return *ret_topic ? 0 : wb_fail(ret_error, -ENOMEM, "out of memory");
}
