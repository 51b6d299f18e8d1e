/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interfaces from a file:
 *
 *	interfaces:
 *	  packets: kafka://broker1:9092,broker2:9092/packets
 *	  lab: {url: "zmq+sub://192.0.2.1:5555", filter: tcp port 443}
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_loader.h"
#include "display_filter.h"
#include "extcap.h"
#include "log.h"
#include "secret.h"
#include "source_setup.h"
#include "suggest.h"
#include "url.h"

#define ROOT_KEY "interfaces"
#define NAME_PREFIX "wirebus-"
#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define NAME_BYTES_MAX 64
#define INTERFACES_MAX 1000

/* The file while it is read. */
struct load {
	struct wb_loader loader;
	struct wb_extcap_interfaces *interfaces;
	FILE *reports;     /* NULL: not shown */
	char *problem;     /* the first report */
	unsigned int mode; /* of the file */
};

static const char *const entry_keys[] = {"url", "since", "filter", "properties"};
#define ENTRY_KEY_COUNT (sizeof(entry_keys) / sizeof(entry_keys[0]))

/* wb_config_report */
static void report(void *context, const char *path, size_t line, size_t column, const char *message)
{
	struct load *load = context;
	const char *slash = strrchr(path, '/');
	char where[48] = "";

	if (line)
		snprintf(where, sizeof(where), "%zu:%zu:", line, column);
	if (load->reports)
		fprintf(load->reports, "%s:%s %s\n", path, where, message);
	if (!load->problem &&
		asprintf(&load->problem, "wirebus: %s:%s %s", slash ? slash + 1 : path, where, message) < 0)
		load->problem = NULL;
}

static void set_no_memory(struct load *load)
{
	load->loader.result = -ENOMEM;
}

/* A value of the file, owned by the caller. NULL: none; that was reported. */
static char *value_of(struct load *load, const struct wb_yaml_node *node, const char *name)
{
	struct wb_loader_value value;

	return wb_loader_value(&load->loader, node, name, &value) ? value.text : NULL;
}

/* Whether length bytes of a value stand in the file themselves, and not for what is elsewhere. */
static bool is_inline(const char *value, size_t length)
{
	return length > 0 && !(length > 2 && memcmp(value, "${", 2) == 0 && value[length - 1] == '}');
}

/* A secret in the file is for those who may read it: as with keys and files of properties, not for everybody. */
static void report_exposed(struct load *load, const struct wb_yaml_node *node, const char *name)
{
	struct wb_error error;

	if (!wb_secret_is_exposed(load->mode))
		return;
	wb_fail(&error, -EACCES,
		"%.80s: it is a secret and the file has mode %04o: others must not have access to it, nor its group "
		"write to it: chmod 600, or put ${file:PATH} here",
		name, load->mode);
	wb_loader_report(&load->loader, node->line, node->column, error.message);
}

/* Look for secrets in a URL as it stands in the file. What is wrong with it is for others to say. */
static void check_url_secrets(struct load *load, const struct wb_yaml_node *node)
{
	const char *begin, *end;
	struct wb_url url;

	if (node->kind != WB_YAML_SCALAR || wb_url_parse(node->text, &url, NULL) < 0)
		return;
	if (url.encoded_address &&
		wb_url_find_password(url.encoded_address, strlen(url.encoded_address), &begin, &end) &&
		is_inline(begin, (size_t)(end - begin)))
		report_exposed(load, node, "password");
	for (size_t i = 0; i < url.query_count; i++)
		if (wb_secret_name(url.query[i].key) && is_inline(url.query[i].value, strlen(url.query[i].value)))
			report_exposed(load, node, url.query[i].key);
	wb_url_fini(&url);
}

static void take_properties(struct load *load, struct wb_extcap_interface *interface, const struct wb_yaml_node *map)
{
	if (map->kind != WB_YAML_MAP) {
		if (map->kind != WB_YAML_BAD)
			wb_loader_report(&load->loader, map->line, map->column,
				"properties: a mapping of names to values is needed");
		return;
	}
	wb_loader_report_duplicates(&load->loader, map);
	for (const struct wb_yaml_node *entry = map->first; entry; entry = entry->next) {
		char *value = value_of(load, entry, entry->key);

		if (value && wb_secret_name(entry->key) && is_inline(entry->text, strlen(entry->text)))
			report_exposed(load, entry, entry->key);
		if (value &&
			wb_properties_add(&interface->properties, &interface->property_count, entry->key, value) < 0)
			set_no_memory(load);
		free(value);
	}
}

static void take_unknown(struct load *load, const struct wb_yaml_node *entry)
{
	struct wb_suggest suggest;

	wb_suggest_init(&suggest, entry->key);
	for (size_t i = 0; i < ENTRY_KEY_COUNT; i++)
		wb_suggest_offer(&suggest, entry_keys[i]);
	wb_loader_report_unknown(&load->loader, entry, suggest.best);
}

static void take_map(struct load *load, struct wb_extcap_interface *interface, const struct wb_yaml_node *map)
{
	wb_loader_report_duplicates(&load->loader, map);
	for (const struct wb_yaml_node *entry = map->first; entry; entry = entry->next) {
		char **member = NULL;

		if (strcmp(entry->key, "url") == 0)
			member = &interface->url;
		else if (strcmp(entry->key, "since") == 0)
			member = &interface->since;
		else if (strcmp(entry->key, "filter") == 0)
			member = &interface->filter;
		if (member) {
			free(*member);
			*member = value_of(load, entry, entry->key);
		} else if (strcmp(entry->key, "properties") == 0) {
			take_properties(load, interface, entry);
		} else {
			take_unknown(load, entry);
		}
	}
}

/* Report what is wrong with the value of node, in a message that says which it is. */
static void report_value(struct load *load, const struct wb_yaml_node *node, int code, struct wb_error *error)
{
	wb_substitute_redact(&load->loader.substitute, error);
	wb_loader_report_failure(&load->loader, node, code, error);
}

/* What the source will say to it, apart from what needs the bus. Sets what is shown of it. */
static void check_url(struct load *load, struct wb_extcap_interface *interface, const struct wb_yaml_node *place)
{
	struct wb_source_setup setup;
	struct wb_error error;
	int r = wb_source_setup_init(interface->url, &setup, &error);

	if (r == 0) {
		interface->takes_properties = setup.ops->takes_properties;
		if (asprintf(&interface->display, "wirebus: %s (%.*s)", interface->name + strlen(NAME_PREFIX),
			    (int)strcspn(setup.url.text, "?"), setup.url.text) < 0)
			interface->display = NULL;
		if (!interface->display)
			set_no_memory(load);
		if (interface->property_count && !setup.ops->takes_properties)
			r = wb_fail(&error, -EINVAL, "%s takes no properties", setup.ops->name);
		wb_source_setup_fini(&setup);
	}
	if (r < 0)
		report_value(load, place, r, &error);
}

static void check_filter(
	struct load *load, const struct wb_extcap_interface *interface, const struct wb_yaml_node *place)
{
	struct wb_display_filter *filter = NULL;
	struct wb_error error;
	int r = wb_display_filter_create(interface->filter, &filter, &error);

	if (r < 0)
		report_value(load, place, r, &error);
	wb_display_filter_destroy(filter);
}

static void check_since(
	struct load *load, const struct wb_extcap_interface *interface, const struct wb_yaml_node *place)
{
	struct wb_error error;
	const char *offset;
	uint64_t time_ns;
	int r = wb_extcap_since(interface->since, &offset, &time_ns, &error);

	if (r < 0)
		report_value(load, place, r, &error);
}

static bool check_name(struct load *load, const struct wb_yaml_node *entry)
{
	size_t length = strlen(entry->key);
	struct wb_error error;

	if (length == 0 || length > NAME_BYTES_MAX || strspn(entry->key, NAME_LETTERS) != length)
		wb_fail(&error, 0, "'%.80s' is no name: 1 to %d letters, digits, '.', '_' or '-'", entry->key,
			NAME_BYTES_MAX);
	else if (strcmp(entry->key, "kafka") == 0 || strcmp(entry->key, "zmq") == 0 ||
		 strcmp(entry->key, &WB_EXTCAP_BROKEN_NAME[strlen(NAME_PREFIX)]) == 0)
		wb_fail(&error, 0, "the name '%s' is taken by wirebus itself", entry->key);
	else
		return true;
	wb_loader_report_key(&load->loader, entry, error.message);
	return false;
}

/* One entry: taken if nothing in it is wrong. */
static void take_entry(struct load *load, const struct wb_yaml_node *entry)
{
	struct wb_extcap_interface interface = {.kind = WB_EXTCAP_NAMED};
	const struct wb_yaml_node *url = entry->kind == WB_YAML_MAP ? wb_yaml_find(entry, "url") : entry;
	size_t reports = load->loader.reports;

	if (!check_name(load, entry))
		return;
	if (asprintf(&interface.name, NAME_PREFIX "%s", entry->key) < 0) {
		interface.name = NULL;
		set_no_memory(load);
	} else if (entry->kind == WB_YAML_MAP) {
		take_map(load, &interface, entry);
	} else {
		interface.url = value_of(load, entry, entry->key);
	}
	if (!url)
		wb_loader_report_key(&load->loader, entry, "the key 'url' is missing");
	else if (interface.url)
		check_url(load, &interface, url);
	if (url)
		check_url_secrets(load, url);
	if (interface.filter)
		check_filter(load, &interface, wb_yaml_find(entry, "filter"));
	if (interface.since)
		check_since(load, &interface, wb_yaml_find(entry, "since"));
	if (load->loader.reports > reports || load->loader.result < 0) {
		wb_extcap_interface_fini(&interface);
	} else if (wb_extcap_interfaces_add(load->interfaces, &interface) < 0) {
		set_no_memory(load);
	}
}

static void take_interfaces(struct load *load, const struct wb_yaml_node *map)
{
	size_t count = 0;

	if (map->kind != WB_YAML_MAP) {
		if (map->kind != WB_YAML_BAD)
			wb_loader_report(&load->loader, map->line, map->column,
				ROOT_KEY ": a mapping of names to URLs is needed");
		return;
	}
	wb_loader_report_duplicates(&load->loader, map);
	for (const struct wb_yaml_node *entry = map->first; entry; entry = entry->next) {
		if (wb_yaml_find(map, entry->key) != entry)
			continue;
		if (++count > INTERFACES_MAX) {
			wb_loader_report_key(&load->loader, entry, "there are more than 1000 interfaces");
			return;
		}
		take_entry(load, entry);
	}
}

static void take_root(struct load *load, const struct wb_yaml_node *root)
{
	if (!root || root->kind == WB_YAML_BAD || (root->kind == WB_YAML_SCALAR && wb_yaml_is_null(root)))
		return;
	if (root->kind != WB_YAML_MAP) {
		wb_loader_report(&load->loader, root->line, root->column,
			"the file must be a mapping with the key '" ROOT_KEY "'");
		return;
	}
	for (const struct wb_yaml_node *entry = root->first; entry; entry = entry->next) {
		if (strcmp(entry->key, ROOT_KEY) == 0)
			take_interfaces(load, entry);
		else
			wb_loader_report_unknown(&load->loader, entry, ROOT_KEY);
	}
}

static int add_broken(struct load *load)
{
	struct wb_extcap_interface interface = {
		.kind = WB_EXTCAP_BROKEN,
		.name = strdup(WB_EXTCAP_BROKEN_NAME),
		.display = load->problem,
	};

	load->problem = NULL;
	return wb_extcap_interfaces_add(load->interfaces, &interface);
}

static int load_text(struct load *load, const char *text, size_t length)
{
	struct wb_yaml_node *root = NULL;
	int r = wb_yaml_parse(text, length, &root, wb_loader_report, &load->loader);

	if (r == 0)
		take_root(load, root);
	wb_yaml_free(root);
	return r == -ENOMEM ? r : load->loader.result;
}

int wb_extcap_file_load(const char *path, struct wb_extcap_interfaces *interfaces, FILE *reports)
{
	struct load load = {.interfaces = interfaces, .reports = reports};
	char *text = NULL;
	struct wb_error error;
	size_t length;
	int r;

	load.loader = (struct wb_loader){.path = path, .report = report, .context = &load};
	load.loader.substitute.folder = wb_loader_folder(path);
	r = load.loader.substitute.folder ? wb_loader_read(path, &text, &length, &load.mode) : -ENOMEM;
	if (r == 0) {
		r = load_text(&load, text, length);
	} else if (r == -ENOENT || r == -ENOTDIR) {
		r = 0;
	} else if (r != -ENOMEM) {
		wb_fail(&error, r, "cannot be read: %s", strerror(-r));
		wb_loader_report(&load.loader, 0, 0, error.message);
		r = 0;
	}
	if (r == 0 && load.loader.reports)
		r = add_broken(&load);
	free((char *)load.loader.substitute.folder);
	wb_substitute_fini(&load.loader.substitute);
	free(load.problem);
	free(text);
	return r;
}
