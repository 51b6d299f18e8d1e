/* SPDX-License-Identifier: Apache-2.0 */
#include "yaml_node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "log.h"

struct reader {
	yaml_parser_t parser;
	const char *text;
	wb_yaml_report report;
	void *context;
	size_t nodes;
};

static void report_at(struct reader *reader, const yaml_mark_t *mark, const char *message)
{
	reader->report(reader->context, mark->line + 1, mark->column + 1, message);
}

/* An error in the encoding has an offset in place of a mark. */
static yaml_mark_t mark_of_offset(const char *text, size_t offset)
{
	yaml_mark_t mark = {.index = offset};

	for (size_t i = 0; i < offset; i++) {
		mark.column++;
		if (text[i] == '\n') {
			mark.line++;
			mark.column = 0;
		}
	}
	return mark;
}

static int report_syntax(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *context = parser->context;
	yaml_mark_t mark = parser->problem_mark;
	struct wb_error error;

	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR)
		mark = mark_of_offset(reader->text, parser->problem_offset);
	wb_fail(&error, 0, "not valid YAML: %s%s%s%s", parser->problem ? parser->problem : "unknown error",
		context ? " (" : "", context ? context : "", context ? ")" : "");
	report_at(reader, &mark, error.message);
	return -EINVAL;
}

static int next_event(struct reader *reader, yaml_event_t *event)
{
	return yaml_parser_parse(&reader->parser, event) ? 0 : report_syntax(reader);
}

static int parse_node(struct reader *reader, yaml_event_t *event, unsigned int depth, struct wb_yaml_node **ret_node);

static int take_text(struct reader *reader, const yaml_event_t *event, char **ret_text)
{
	const char *value = (const char *)event->data.scalar.value;
	char *text = strdup(value);

	if (!text)
		return -ENOMEM;
	if (strlen(text) != event->data.scalar.length) {
		report_at(reader, &event->start_mark, "a value has a zero byte");
		text[0] = '\0';
	}
	*ret_text = text;
	return 0;
}

/* Read and forget the node that begins with event. */
static int skip_node(struct reader *reader, yaml_event_t *event, unsigned int depth)
{
	struct wb_yaml_node *node = NULL;
	int r = parse_node(reader, event, depth, &node);

	wb_yaml_free(node);
	return r;
}

/* The key that event is; NULL when it is none that could be used, then it was reported. */
static int parse_key(struct reader *reader, yaml_event_t *event, unsigned int depth, char **ret_key)
{
	int r;

	*ret_key = NULL;
	if (event->type == YAML_SCALAR_EVENT && !event->data.scalar.anchor) {
		r = take_text(reader, event, ret_key);
		yaml_event_delete(event);
		return r;
	}
	report_at(reader, &event->start_mark, "a key must be a plain word");
	return skip_node(reader, event, depth);
}

static int parse_entry(
	struct reader *reader, yaml_event_t *event, bool map, unsigned int depth, struct wb_yaml_node **ret_node)
{
	yaml_mark_t mark = event->start_mark;
	char *key = NULL;
	int r = 0;

	*ret_node = NULL;
	if (map) {
		r = parse_key(reader, event, depth, &key);
		if (r == 0)
			r = next_event(reader, event);
	}
	if (r == 0)
		r = parse_node(reader, event, depth, ret_node);
	if (r < 0 || !*ret_node || (map && !key)) {
		free(key);
		wb_yaml_free(*ret_node);
		*ret_node = NULL;
		return r;
	}
	(*ret_node)->key = key;
	(*ret_node)->key_line = mark.line + 1;
	(*ret_node)->key_column = mark.column + 1;
	return 0;
}

static int parse_entries(struct reader *reader, struct wb_yaml_node *node, unsigned int depth)
{
	bool map = node->kind == WB_YAML_MAP;
	yaml_event_type_t end = map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
	struct wb_yaml_node **link = &node->first;
	yaml_event_t event;

	for (;;) {
		int r = next_event(reader, &event);

		if (r < 0)
			return r;
		if (event.type == end) {
			yaml_event_delete(&event);
			return 0;
		}
		r = parse_entry(reader, &event, map, depth, link);
		if (r < 0)
			return r;
		if (*link)
			link = &(*link)->next;
	}
}

static void refuse_decoration(struct reader *reader, const yaml_event_t *event)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (event->type == YAML_SCALAR_EVENT) {
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
	} else if (event->type == YAML_MAPPING_START_EVENT) {
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
	}
	if (anchor)
		report_at(reader, &event->start_mark, "anchors (&name) are not supported");
	if (tag)
		report_at(reader, &event->start_mark,
			"tags (!name) are not supported; put text that begins with '!' in quotes");
}

static int check_limits(struct reader *reader, const yaml_event_t *event, unsigned int depth)
{
	struct wb_error error;

	if (depth > WB_YAML_DEPTH_MAX) {
		wb_fail(&error, 0, "lists and mappings are nested more than %d deep", WB_YAML_DEPTH_MAX);
	} else if (++reader->nodes > WB_YAML_NODES_MAX) {
		wb_fail(&error, 0, "the file has more than %d values", WB_YAML_NODES_MAX);
	} else {
		return 0;
	}
	report_at(reader, &event->start_mark, error.message);
	return -EINVAL;
}

static int fill_node(struct reader *reader, const yaml_event_t *event, struct wb_yaml_node *node)
{
	if (event->type == YAML_SCALAR_EVENT) {
		node->kind = WB_YAML_SCALAR;
		node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		return take_text(reader, event, &node->text);
	}
	if (event->type == YAML_SEQUENCE_START_EVENT) {
		node->kind = WB_YAML_LIST;
	} else if (event->type == YAML_MAPPING_START_EVENT) {
		node->kind = WB_YAML_MAP;
	} else {
		node->kind = WB_YAML_BAD;
		report_at(reader, &event->start_mark,
			"aliases (*name) are not supported; put text that begins with '*' in quotes");
	}
	return 0;
}

/* Takes over the event. */
static int parse_node(struct reader *reader, yaml_event_t *event, unsigned int depth, struct wb_yaml_node **ret_node)
{
	struct wb_yaml_node *node = NULL;
	int r = check_limits(reader, event, depth);

	if (r < 0)
		goto out;
	node = calloc(1, sizeof(*node));
	if (!node) {
		r = -ENOMEM;
		goto out;
	}
	node->line = event->start_mark.line + 1;
	node->column = event->start_mark.column + 1;
	refuse_decoration(reader, event);
	r = fill_node(reader, event, node);
out:
	yaml_event_delete(event);
	if (r == 0 && (node->kind == WB_YAML_LIST || node->kind == WB_YAML_MAP))
		r = parse_entries(reader, node, depth + 1);
	if (r < 0) {
		wb_yaml_free(node);
		node = NULL;
	}
	*ret_node = node;
	return r;
}

/* Everything from the stream's start to its end: one document or none. */
static int parse_stream(struct reader *reader, struct wb_yaml_node **ret_root)
{
	bool seen = false;
	yaml_event_t event;

	for (;;) {
		int r = next_event(reader, &event);
		yaml_event_type_t type;

		if (r < 0)
			return r;
		type = event.type;
		if (type == YAML_DOCUMENT_START_EVENT && seen)
			report_at(reader, &event.start_mark, "a second document begins; there must be only one");
		if (type == YAML_STREAM_END_EVENT || (type == YAML_DOCUMENT_START_EVENT && seen)) {
			yaml_event_delete(&event);
			return 0;
		}
		if (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_END_EVENT) {
			yaml_event_delete(&event);
			continue;
		}
		if (type == YAML_DOCUMENT_START_EVENT) {
			yaml_event_delete(&event);
			seen = true;
			continue;
		}
		r = parse_node(reader, &event, 1, ret_root);
		if (r < 0)
			return r;
	}
}

int wb_yaml_parse(const char *text, size_t length, struct wb_yaml_node **ret_root, wb_yaml_report report, void *context)
{
	struct reader reader = {.text = text, .report = report, .context = context};
	int r;

	*ret_root = NULL;
	if (!yaml_parser_initialize(&reader.parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, length);
	r = parse_stream(&reader, ret_root);
	yaml_parser_delete(&reader.parser);
	if (r < 0) {
		wb_yaml_free(*ret_root);
		*ret_root = NULL;
	}
	return r;
}

void wb_yaml_free(struct wb_yaml_node *node)
{
	while (node) {
		struct wb_yaml_node *next = node->next;

		wb_yaml_free(node->first);
		free(node->key);
		free(node->text);
		free(node);
		node = next;
	}
}

const struct wb_yaml_node *wb_yaml_find(const struct wb_yaml_node *map, const char *key)
{
	const struct wb_yaml_node *entry = map && map->kind == WB_YAML_MAP ? map->first : NULL;

	while (entry && strcmp(entry->key, key) != 0)
		entry = entry->next;
	return entry;
}

bool wb_yaml_is_null(const struct wb_yaml_node *node)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};

	for (size_t i = 0; node->plain && i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(node->text, words[i]) == 0)
			return true;
	}
	return false;
}
