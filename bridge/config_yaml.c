/* SPDX-License-Identifier: Apache-2.0 */
/* From a YAML tree to a configuration. */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config_loader.h"
#include "log.h"
#include "option.h"
#include "suggest.h"

#define CAPTURES_MAX 256
#define REPORTS_MAX 100

void wb_loader_report(void *context, size_t line, size_t column, const char *message)
{
	struct wb_loader *loader = context;

	if (loader->reports < REPORTS_MAX)
		loader->report(loader->context, loader->path, line, column, message);
	else if (loader->reports == REPORTS_MAX)
		loader->report(
			loader->context, loader->path, line, column, "there are more errors, which are not shown");
	loader->reports++;
}

void wb_loader_report_key(struct wb_loader *loader, const struct wb_yaml_node *entry, const char *message)
{
	wb_loader_report(loader, entry->key_line, entry->key_column, message);
}

void wb_loader_report_failure(
	struct wb_loader *loader, const struct wb_yaml_node *node, int code, const struct wb_error *error)
{
	if (code == -ENOMEM)
		loader->result = code;
	else
		wb_loader_report(loader, node->line, node->column, error->message);
}

void wb_loader_report_duplicates(struct wb_loader *loader, const struct wb_yaml_node *map)
{
	struct wb_error error;

	for (const struct wb_yaml_node *entry = map->first; entry; entry = entry->next) {
		const struct wb_yaml_node *earlier = wb_yaml_find(map, entry->key);

		if (earlier == entry)
			continue;
		wb_fail(&error, 0, "%.80s: given twice, first in line %zu", entry->key, earlier->key_line);
		wb_loader_report_key(loader, entry, error.message);
	}
}

bool wb_loader_value(
	struct wb_loader *loader, const struct wb_yaml_node *node, const char *name, struct wb_loader_value *ret_value)
{
	struct wb_error error, why;
	bool changed;
	int r;

	if (node->kind == WB_YAML_BAD)
		return false;
	if (node->kind != WB_YAML_SCALAR || wb_yaml_is_null(node)) {
		wb_fail(&error, 0, "%.80s: %s", name,
			node->kind == WB_YAML_LIST  ? "a single value is needed, not a list"
			: node->kind == WB_YAML_MAP ? "a single value is needed, not a mapping"
						    : "it has no value");
		wb_loader_report(loader, node->line, node->column, error.message);
		return false;
	}
	r = wb_substitute(&loader->substitute, node->text, &ret_value->text, &changed, &why);
	if (r < 0) {
		wb_fail(&error, r, "%.80s: %s", name, why.message);
		wb_loader_report_failure(loader, node, r, &error);
		return false;
	}
	ret_value->shown = changed ? node->text : NULL;
	return true;
}

bool wb_loader_set_row(
	struct wb_loader *loader, const struct wb_option_row *row, void *options, const struct wb_yaml_node *node)
{
	struct wb_loader_value value;
	struct wb_error error;
	int r;

	if (!wb_loader_value(loader, node, row->key, &value))
		return false;
	r = wb_option_set_as(row, options, value.text, NULL, value.shown, &error);
	free(value.text);
	if (r < 0)
		wb_loader_report_failure(loader, node, r, &error);
	return r == 0;
}

void wb_loader_report_unknown(struct wb_loader *loader, const struct wb_yaml_node *entry, const char *suggestion)
{
	struct wb_error error;

	if (suggestion)
		wb_fail(&error, 0, "unknown key '%.80s'; did you mean '%s'?", entry->key, suggestion);
	else
		wb_fail(&error, 0, "unknown key '%.80s'", entry->key);
	wb_loader_report_key(loader, entry, error.message);
}

/* ---- captures ---- */

/* A list of numbers and ranges becomes the text that the command line would take. */
static void take_cpus(struct wb_loader *loader, struct wb_capture_config *capture, const struct wb_option_row *row,
	const struct wb_yaml_node *list)
{
	struct wb_error error;
	char *text = strdup("");
	int r = 0;

	for (const struct wb_yaml_node *entry = list->first; text && entry; entry = entry->next) {
		struct wb_loader_value value;
		char *longer;

		if (!wb_loader_value(loader, entry, row->key, &value)) {
			free(text);
			return;
		}
		if (asprintf(&longer, "%s%s%s", text, text[0] ? "," : "", value.text) < 0)
			longer = NULL;
		free(value.text);
		free(text);
		text = longer;
	}
	r = text ? wb_option_set_as(row, capture, text, NULL, NULL, &error) : -ENOMEM;
	free(text);
	if (r < 0)
		wb_loader_report_failure(loader, list, r, &error);
}

static void take_capture_entry(
	struct wb_loader *loader, struct wb_capture_config *capture, const struct wb_yaml_node *entry)
{
	const char *suggestion;
	const struct wb_option_row *row = wb_option_find(wb_capture_config_rows, entry->key, &suggestion);
	struct wb_error error;

	if (row && strcmp(row->key, "to") == 0) {
		wb_loader_take_to(loader, capture, row, entry);
	} else if (row && strcmp(row->key, "cpus") == 0 && entry->kind == WB_YAML_LIST) {
		take_cpus(loader, capture, row, entry);
	} else if (row) {
		wb_loader_set_row(loader, row, capture, entry);
	} else if (wb_option_find(wb_config_rows, entry->key, NULL)) {
		wb_fail(&error, 0, "key '%s' is not a capture's; it belongs to the top of the file", entry->key);
		wb_loader_report_key(loader, entry, error.message);
	} else {
		wb_loader_report_unknown(loader, entry, suggestion);
	}
}

static void take_capture(struct wb_loader *loader, struct wb_config *config, const struct wb_yaml_node *node)
{
	struct wb_loader_capture *place;
	struct wb_capture_config *capture;
	size_t reports;

	if (node->kind != WB_YAML_MAP) {
		if (node->kind != WB_YAML_BAD)
			wb_loader_report(loader, node->line, node->column,
				"captures: each entry must be a mapping of keys to values");
		return;
	}
	if (config->capture_count == CAPTURES_MAX) {
		wb_loader_report(loader, node->line, node->column, "captures: there are more than 256");
		return;
	}
	if (wb_config_add_capture(config, &capture) < 0) {
		loader->result = -ENOMEM;
		return;
	}
	place = &loader->captures[config->capture_count - 1];
	*place = (struct wb_loader_capture){.node = node};
	reports = loader->reports;
	wb_loader_report_duplicates(loader, node);
	for (const struct wb_yaml_node *entry = node->first; entry; entry = entry->next)
		take_capture_entry(loader, capture, entry);
	place->faulty = loader->faulty || loader->reports != reports;
}

static void take_captures(struct wb_loader *loader, struct wb_config *config, const struct wb_yaml_node *list)
{
	if (list->kind == WB_YAML_BAD)
		return;
	if (list->kind != WB_YAML_LIST) {
		wb_loader_report(
			loader, list->line, list->column, "captures: a list is needed; begin each capture with '- '");
		return;
	}
	for (const struct wb_yaml_node *node = list->first; node && config->capture_count <= CAPTURES_MAX;
		node = node->next)
		take_capture(loader, config, node);
}

/* ---- the file ---- */

static void take_root_entry(struct wb_loader *loader, struct wb_config *config, const struct wb_yaml_node *entry)
{
	const struct wb_option_row *row;
	struct wb_suggest suggest;
	struct wb_error error;

	if (strcmp(entry->key, "captures") == 0) {
		/* Of two, which is reported elsewhere, the first counts: it alone is looked at when rules are checked.
		 */
		if (entry == wb_yaml_find(loader->root, "captures"))
			take_captures(loader, config, entry);
		return;
	}
	if (strcmp(entry->key, "plugin") == 0) /* taken already */
		return;
	row = wb_option_find(wb_config_rows, entry->key, NULL);
	if (row) {
		wb_loader_set_row(loader, row, config, entry);
		return;
	}
	if (wb_option_find(wb_capture_config_rows, entry->key, NULL)) {
		wb_fail(&error, 0, "key '%s' belongs to a capture; put it into an entry of 'captures:'", entry->key);
		wb_loader_report_key(loader, entry, error.message);
		return;
	}
	wb_suggest_init(&suggest, entry->key);
	wb_suggest_offer(&suggest, "captures");
	for (row = wb_config_rows; row->key; row++)
		wb_suggest_offer(&suggest, row->key);
	wb_loader_report_unknown(loader, entry, suggest.best);
}

static void take_root(struct wb_loader *loader, struct wb_config *config)
{
	const struct wb_yaml_node *root = loader->root;

	if (!root || root->kind == WB_YAML_BAD || (root->kind == WB_YAML_SCALAR && wb_yaml_is_null(root)))
		return;
	if (root->kind != WB_YAML_MAP) {
		wb_loader_report(loader, root->line, root->column, "the file must be a mapping of keys to values");
		return;
	}
	wb_loader_report_duplicates(loader, root);
	wb_loader_take_plugins(loader);
	for (const struct wb_yaml_node *entry = root->first; entry; entry = entry->next)
		take_root_entry(loader, config, entry);
}

/*
 * Put a broken rule at the place of its key, or else of its capture. Where a value was wrong, rules are not looked at:
 * they would blame what is there in its place.
 */
static void report_broken(void *context, size_t capture, const char *key, const char *message)
{
	struct wb_loader *loader = context;
	bool whole = capture == SIZE_MAX;
	const struct wb_yaml_node *map = whole ? loader->root : loader->captures[capture].node;
	const struct wb_yaml_node *place = wb_yaml_find(map, key);
	struct wb_error error;

	if (whole ? loader->faulty : loader->captures[capture].faulty)
		return;
	if (!place)
		place = map;
	wb_fail(&error, 0, "%s", message);
	wb_substitute_redact(&loader->substitute, &error);
	wb_loader_report(loader, place ? place->line : 1, place ? place->column : 1, error.message);
}

/* Everything from the tree; the errors are counted in loader->reports. */
static int load_tree(struct wb_loader *loader, struct wb_config *config)
{
	int r;

	loader->captures = calloc(CAPTURES_MAX, sizeof(*loader->captures));
	if (!loader->captures)
		return -ENOMEM;
	loader->faulty = loader->reports > 0;
	take_root(loader, config);
	loader->faulty = loader->reports > 0;
	r = wb_config_check_all(config, report_broken, loader);
	free(loader->captures);
	if (loader->result < 0 || r == -ENOMEM)
		return -ENOMEM;
	return loader->reports ? -EINVAL : 0;
}

static int load_text(struct wb_loader *loader, const char *text, size_t length, struct wb_config *config)
{
	struct wb_yaml_node *root;
	int r = wb_yaml_parse(text, length, &root, wb_loader_report, loader);

	if (r < 0)
		return r;
	loader->root = root;
	r = load_tree(loader, config);
	wb_yaml_free(root);
	return r;
}

int wb_loader_read(const char *path, char **ret_text, size_t *ret_length, unsigned int *ret_mode)
{
	char *text = malloc(WB_YAML_BYTES_MAX + 1);
	FILE *stream = text ? fopen(path, "re") : NULL;
	struct stat status;
	int r = 0;

	errno = text ? errno : ENOMEM;
	if (!stream) {
		r = -errno;
		free(text);
		return r;
	}
	errno = 0;
	*ret_length = fread(text, 1, WB_YAML_BYTES_MAX + 1, stream);
	if (ferror(stream))
		r = errno ? -errno : -EIO;
	else if (*ret_length > WB_YAML_BYTES_MAX)
		r = -EFBIG;
	else if (fstat(fileno(stream), &status) < 0)
		r = -errno;
	else if (ret_mode)
		*ret_mode = status.st_mode & 07777;
	fclose(stream);
	if (r < 0)
		free(text);
	else
		*ret_text = text;
	return r;
}

char *wb_loader_folder(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

int wb_config_load(const char *path, struct wb_config *ret_config, wb_config_report report, void *context)
{
	struct wb_loader loader = {.path = path, .report = report, .context = context};
	char *folder = wb_loader_folder(path), *text = NULL;
	struct wb_error error;
	size_t length = 0;
	int r;

	*ret_config = (struct wb_config){0};
	loader.substitute.folder = folder;
	r = folder ? wb_loader_read(path, &text, &length, NULL) : -ENOMEM;
	if (r < 0) {
		wb_fail(&error, r, "cannot be read: %s", strerror(-r));
		wb_loader_report(&loader, 0, 0, error.message);
		goto out;
	}
	r = wb_config_init(ret_config);
	if (r == 0)
		r = load_text(&loader, text, length, ret_config);
	if (r == -ENOMEM)
		wb_loader_report(&loader, 0, 0, "out of memory");
	if (r < 0)
		wb_config_fini(ret_config);
out:
	wb_substitute_fini(&loader.substitute);
	free(text);
	free(folder);
	return r;
}
