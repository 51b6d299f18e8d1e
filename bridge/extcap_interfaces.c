/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "extcap.h"
#include "log.h"
#include "suggest.h"
#include "url.h"

void wb_extcap_interface_fini(struct wb_extcap_interface *interface)
{
	free(interface->name);
	free(interface->display);
	free(interface->url);
	free(interface->since);
	free(interface->filter);
	wb_properties_free(interface->properties, interface->property_count);
}

void wb_extcap_interfaces_fini(struct wb_extcap_interfaces *interfaces)
{
	for (size_t i = 0; i < interfaces->count; i++)
		wb_extcap_interface_fini(&interfaces->list[i]);
	free(interfaces->list);
	*interfaces = (struct wb_extcap_interfaces){0};
}

int wb_extcap_interfaces_add(struct wb_extcap_interfaces *interfaces, struct wb_extcap_interface *interface)
{
	struct wb_extcap_interface *grown = NULL;

	if (interface->name && interface->display)
		grown = realloc(interfaces->list, (interfaces->count + 1) * sizeof(*grown));
	if (!grown) {
		wb_extcap_interface_fini(interface);
		return -ENOMEM;
	}
	interfaces->list = grown;
	grown[interfaces->count++] = *interface;
	return 0;
}

static int add_fixed(
	struct wb_extcap_interfaces *interfaces, enum wb_extcap_kind kind, const char *name, const char *display)
{
	struct wb_extcap_interface interface = {
		.kind = kind,
		.name = strdup(name),
		.display = strdup(display),
		.takes_properties = kind == WB_EXTCAP_KAFKA,
	};

	return wb_extcap_interfaces_add(interfaces, &interface);
}

/* NULL: $HOME is not known either. */
static char *file_path(void)
{
	const char *folder = getenv("XDG_CONFIG_HOME");
	char *path = NULL;
	int r;

	if (folder && folder[0] == '/')
		r = asprintf(&path, "%s/wirebus/extcap.yaml", folder);
	else if ((folder = getenv("HOME")) && folder[0] == '/')
		r = asprintf(&path, "%s/.config/wirebus/extcap.yaml", folder);
	else
		return NULL;
	return r < 0 ? NULL : path;
}

int wb_extcap_interfaces_load(struct wb_extcap_interfaces *ret_interfaces, FILE *reports)
{
	char *path = file_path();
	int r;

	*ret_interfaces = (struct wb_extcap_interfaces){0};
	r = add_fixed(ret_interfaces, WB_EXTCAP_KAFKA, "wirebus-kafka", "wirebus: Kafka topic");
	if (r == 0)
		r = add_fixed(ret_interfaces, WB_EXTCAP_ZMQ, "wirebus-zmq", "wirebus: ZeroMQ stream");
	if (r == 0 && path)
		r = wb_extcap_file_load(path, ret_interfaces, reports);
	free(path);
	if (r < 0)
		wb_extcap_interfaces_fini(ret_interfaces);
	return r;
}

const struct wb_extcap_interface *wb_extcap_interface_find(
	const struct wb_extcap_interfaces *interfaces, const char *name, struct wb_error *ret_error)
{
	struct wb_suggest suggest;

	wb_suggest_init(&suggest, name);
	for (size_t i = 0; i < interfaces->count; i++) {
		if (strcmp(interfaces->list[i].name, name) == 0)
			return &interfaces->list[i];
		wb_suggest_offer(&suggest, interfaces->list[i].name);
	}
	if (suggest.best)
		wb_fail(ret_error, -ENOENT, "there is no interface '%.100s'; did you mean '%s'?", name, suggest.best);
	else
		wb_fail(ret_error, -ENOENT, "there is no interface '%.100s'; --extcap-interfaces lists them", name);
	return NULL;
}
