/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the configuration file's loader share. */
#ifndef WB_CONFIG_LOADER_H
#define WB_CONFIG_LOADER_H

#include "config.h"
#include "config_substitute.h"
#include "yaml_node.h"

/* Where a capture of the configuration stands. */
struct wb_loader_capture {
	const struct wb_yaml_node *node;
	bool faulty; /* something in it was reported */
};

struct wb_loader {
	const char *path;
	wb_config_report report;
	void *context;
	size_t reports;
	struct wb_substitute substitute;
	const struct wb_yaml_node *root;
	struct wb_loader_capture *captures; /* of each of the configuration's */
	bool faulty;                        /* something was reported before the rules were checked */
	int result;                         /* -ENOMEM, or 0 */
};

/* A value with its substitutions made. */
struct wb_loader_value {
	char *text;
	const char *shown; /* what messages quote; NULL: the text */
};

/* Report an error at its place. context: the loader. */
void wb_loader_report(void *context, size_t line, size_t column, const char *message);
/* Report at the key of an entry. */
void wb_loader_report_key(struct wb_loader *loader, const struct wb_yaml_node *entry, const char *message);
/* Report at the value, or keep in mind that there is no memory. */
void wb_loader_report_failure(
	struct wb_loader *loader, const struct wb_yaml_node *node, int code, const struct wb_error *error);
void wb_loader_report_duplicates(struct wb_loader *loader, const struct wb_yaml_node *map);
/* suggestion: nullable */
void wb_loader_report_unknown(struct wb_loader *loader, const struct wb_yaml_node *entry, const char *suggestion);

/* The text of a scalar, to be freed. false: it is none, or cannot be substituted; that was reported. */
bool wb_loader_value(
	struct wb_loader *loader, const struct wb_yaml_node *node, const char *name, struct wb_loader_value *ret_value);
/* Store a value, or report. false: not stored. */
bool wb_loader_set_row(
	struct wb_loader *loader, const struct wb_option_row *row, void *options, const struct wb_yaml_node *node);

/*
 * The whole file; free(3) it. ret_mode: nullable. Errors: negative errno; -EFBIG: more than WB_YAML_BYTES_MAX.
 */
int wb_loader_read(const char *path, char **ret_text, size_t *ret_length, unsigned int *ret_mode);
/* Where relative paths in the file begin; free(3) it. NULL: no memory. */
char *wb_loader_folder(const char *path);

/* config_plugin.c: load what the file's `plugin:` names, before URLs are looked at. */
void wb_loader_take_plugins(struct wb_loader *loader);
/* config_to.c */
void wb_loader_take_to(struct wb_loader *loader, struct wb_capture_config *capture, const struct wb_option_row *row,
	const struct wb_yaml_node *node);

#endif
