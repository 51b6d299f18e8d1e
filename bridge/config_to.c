/* SPDX-License-Identifier: Apache-2.0 */
/* `to:` of a capture in the configuration file: a URL, or a mapping of the URL, options and properties. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_loader.h"
#include "log.h"
#include "option.h"
#include "registry.h"

#define PROPERTY_PREFIX "properties."

/* "properties.NAME" of the entries of `properties:`. */
static void take_properties(struct wb_loader *loader, struct wb_capture_config *capture, const struct wb_yaml_node *map)
{
	struct wb_error error;

	if (map->kind != WB_YAML_MAP) {
		if (map->kind != WB_YAML_BAD)
			wb_loader_report(
				loader, map->line, map->column, "properties: a mapping of names to values is needed");
		return;
	}
	wb_loader_report_duplicates(loader, map);
	for (const struct wb_yaml_node *entry = map->first; entry; entry = entry->next) {
		struct wb_loader_value value;
		char *key;

		if (!entry->key[0]) {
			wb_fail(&error, 0, "properties: a name is empty");
			wb_loader_report_key(loader, entry, error.message);
			continue;
		}
		if (!wb_loader_value(loader, entry, entry->key, &value))
			continue;
		if (asprintf(&key, PROPERTY_PREFIX "%s", entry->key) < 0) {
			loader->result = -ENOMEM;
		} else {
			if (wb_config_add_to_option(capture, key, value.text) < 0)
				loader->result = -ENOMEM;
			free(key);
		}
		free(value.text);
	}
}

/* The transport of a URL that was stored. NULL: none; reported at the URL's place. */
static const struct wb_transport_ops *find_transport(
	struct wb_loader *loader, const char *url, const struct wb_yaml_node *place)
{
	const struct wb_transport_ops *ops = NULL;
	struct wb_error error, why;
	struct wb_url parsed;
	int r = wb_url_parse(url, &parsed, &why);

	if (r == 0) {
		ops = wb_transport_find(&parsed, &why);
		wb_url_fini(&parsed);
	}
	if (!ops) {
		wb_fail(&error, 0, "to: %s", why.message);
		wb_substitute_redact(&loader->substitute, &error);
		wb_loader_report_failure(loader, place, r, &error);
	}
	return ops;
}

/* Find the row of an option. NULL: there is none; reported. */
static const struct wb_option_row *find_row(
	struct wb_loader *loader, const struct wb_transport_ops *ops, const struct wb_yaml_node *entry)
{
	static const struct wb_option_row own[] = {{.key = "url"}, {.key = "properties"}, {.key = NULL}};
	const struct wb_option_row *row = NULL;
	const char *suggestion = NULL;

	if (ops->rows)
		row = wb_option_find(ops->rows, entry->key, &suggestion);
	if (!row && !suggestion)
		wb_option_find(own, entry->key, &suggestion);
	if (!row)
		wb_loader_report_unknown(loader, entry, suggestion);
	return row;
}

/* Check an option where its place is known; the transport sees them all together, later. ops: nullable. */
static void take_to_option(struct wb_loader *loader, struct wb_capture_config *capture,
	const struct wb_transport_ops *ops, void *options, const struct wb_yaml_node *entry)
{
	const struct wb_option_row *row = NULL;
	struct wb_loader_value value;
	struct wb_error error;
	int r = 0;

	if (ops && strncmp(entry->key, PROPERTY_PREFIX, sizeof(PROPERTY_PREFIX) - 1) != 0) {
		row = find_row(loader, ops, entry);
		if (!row)
			return;
	}
	if (!wb_loader_value(loader, entry, entry->key, &value))
		return;
	if (row)
		r = wb_option_set_as(row, options, value.text, NULL, value.shown, &error);
	if (r == 0)
		r = wb_config_add_to_option(capture, entry->key, value.text);
	free(value.text);
	if (r < 0)
		wb_loader_report_failure(loader, entry, r, &error);
}

static void take_to_options(struct wb_loader *loader, struct wb_capture_config *capture,
	const struct wb_transport_ops *ops, const struct wb_yaml_node *map)
{
	void *options = NULL;

	if (ops) {
		options = calloc(1, ops->options_size + 1);
		if (!options || (ops->rows && wb_options_init(ops->rows, options) < 0)) {
			loader->result = -ENOMEM;
			free(options);
			return;
		}
	}
	for (const struct wb_yaml_node *entry = map->first; entry; entry = entry->next) {
		if (strcmp(entry->key, "url") == 0)
			continue;
		if (strcmp(entry->key, "properties") == 0)
			take_properties(loader, capture, entry);
		else
			take_to_option(loader, capture, ops, options, entry);
	}
	if (ops && ops->rows)
		wb_options_fini(ops->rows, options);
	free(options);
}

void wb_loader_take_to(struct wb_loader *loader, struct wb_capture_config *capture, const struct wb_option_row *row,
	const struct wb_yaml_node *node)
{
	const struct wb_transport_ops *ops = NULL;
	const struct wb_yaml_node *url = node;

	if (node->kind == WB_YAML_SCALAR && wb_yaml_is_null(node)) {
		wb_loader_report(loader, node->line, node->column,
			"to: it has no value; the transport that keeps nothing is written \"null:\", in quotes");
		return;
	}
	if (node->kind == WB_YAML_MAP) {
		wb_loader_report_duplicates(loader, node);
		url = wb_yaml_find(node, "url");
	}
	if (!url)
		wb_loader_report(loader, node->line, node->column, "to: the key 'url' is missing");
	else if (wb_loader_set_row(loader, row, capture, url))
		ops = find_transport(loader, capture->to, url);
	if (node->kind == WB_YAML_MAP)
		take_to_options(loader, capture, ops, node);
}
