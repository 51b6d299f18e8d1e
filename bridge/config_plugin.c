/* SPDX-License-Identifier: Apache-2.0 */
/* `plugin:` of the configuration file: a path, paths separated by ',', or a list of such texts. */
#include <errno.h>
#include <stdlib.h>

#include "config_loader.h"
#include "plugin.h"

#define KEY "plugin"

static void take_value(struct wb_loader *loader, const struct wb_yaml_node *node)
{
	struct wb_loader_value value;
	struct wb_error error;
	int r;

	if (!wb_loader_value(loader, node, KEY, &value))
		return;
	r = wb_plugins_load(value.text, loader->substitute.folder, &error);
	free(value.text);
	if (r == 0)
		return;
	wb_substitute_redact(&loader->substitute, &error);
	wb_loader_report_failure(loader, node, r, &error);
}

void wb_loader_take_plugins(struct wb_loader *loader)
{
	const struct wb_yaml_node *node = wb_yaml_find(loader->root, KEY);

	if (!node)
		return;
	if (node->kind != WB_YAML_LIST) {
		take_value(loader, node);
		return;
	}
	for (const struct wb_yaml_node *entry = node->first; entry; entry = entry->next)
		take_value(loader, entry);
}
