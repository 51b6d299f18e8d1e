/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML document as a tree with the place of everything in it. Plain data only: anchors, aliases and tags are refused,
 * so that a small file stays a small tree; depth, number of nodes and size are limited.
 */
#ifndef WB_YAML_NODE_H
#define WB_YAML_NODE_H

#include <stdbool.h>
#include <stddef.h>

#define WB_YAML_BYTES_MAX (1u << 20)
#define WB_YAML_NODES_MAX 10000
#define WB_YAML_DEPTH_MAX 16

enum wb_yaml_kind {
	WB_YAML_SCALAR,
	WB_YAML_LIST,
	WB_YAML_MAP,
	WB_YAML_BAD, /* was reported already: to be skipped */
};

struct wb_yaml_node {
	enum wb_yaml_kind kind;
	size_t line, column; /* from 1 */
	char *key;           /* of an entry of a map; NULL otherwise */
	size_t key_line, key_column;
	char *text;                 /* scalars: without zero bytes */
	bool plain;                 /* scalars: without quotes */
	struct wb_yaml_node *first; /* of the entries */
	struct wb_yaml_node *next;  /* entry of the same list or map */
};

typedef void (*wb_yaml_report)(void *context, size_t line, size_t column, const char *message);

/*
 * Parse length bytes. Reports errors; what can be understood beside them is in the tree (NULL: an empty document).
 * Ownership: free with wb_yaml_free(). Returns 0, also when something was reported; -EINVAL: no use in looking at the
 * tree, it is not whole (reported); -ENOMEM.
 */
int wb_yaml_parse(
	const char *text, size_t length, struct wb_yaml_node **ret_root, wb_yaml_report report, void *context);
void wb_yaml_free(struct wb_yaml_node *node);

/* Entry of a map. NULL: none, or not a map. */
const struct wb_yaml_node *wb_yaml_find(const struct wb_yaml_node *map, const char *key);
/* Whether a scalar is what YAML calls null: nothing, ~, null. */
bool wb_yaml_is_null(const struct wb_yaml_node *node);

#endif
