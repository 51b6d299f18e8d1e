/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "extcap.h"
#include "option.h"
#include "utf8.h"

/* LINKTYPE_USER0: what each packet's link type is, the blocks of its own interface say. */
#define DLT_NUMBER 147
#define GROUP_ACCESS "Authentication"

/* An option as Wireshark's dialog shows it, in this order. The rest is in the option's row. */
struct argument {
	const char *key;
	unsigned int kinds; /* enum wb_extcap_kind */
	const char *display;
	const char *type;
	const char *group;       /* its tab; NULL: the first one */
	const char *placeholder; /* shown where nothing was entered; NULL: nothing */
	bool required;
};

static const struct argument arguments[] = {
	{.key = "brokers",
		.kinds = WB_EXTCAP_KAFKA,
		.display = "Brokers",
		.type = "string",
		.placeholder = "broker1:9092,broker2:9092",
		.required = true},
	{.key = "topic",
		.kinds = WB_EXTCAP_KAFKA,
		.display = "Topic",
		.type = "string",
		.placeholder = "packets",
		.required = true},
	{.key = "endpoint",
		.kinds = WB_EXTCAP_ZMQ,
		.display = "Endpoint",
		.type = "string",
		.placeholder = "192.0.2.1:5555",
		.required = true},
	{.key = "mode", .kinds = WB_EXTCAP_ZMQ, .display = "Mode", .type = "selector"},
	{.key = "node", .kinds = WB_EXTCAP_ZMQ, .display = "Node", .type = "string", .placeholder = "all nodes"},
	{.key = "since", .kinds = WB_EXTCAP_KAFKA | WB_EXTCAP_NAMED, .display = "Since", .type = "string"},
	{.key = "filter",
		.kinds = WB_EXTCAP_KAFKA | WB_EXTCAP_ZMQ | WB_EXTCAP_NAMED,
		.display = "Filter",
		.type = "string",
		.placeholder = "tcp port 443"},
	{.key = "wait",
		.kinds = WB_EXTCAP_KAFKA | WB_EXTCAP_ZMQ | WB_EXTCAP_NAMED,
		.display = "Wait for the bus",
		.type = "string"},
	{.key = "properties",
		.kinds = WB_EXTCAP_KAFKA | WB_EXTCAP_NAMED,
		.display = "File of properties",
		.type = "fileselect",
		.group = GROUP_ACCESS},
	{.key = "curve_key",
		.kinds = WB_EXTCAP_ZMQ,
		.display = "Own secret key",
		.type = "fileselect",
		.group = GROUP_ACCESS},
	{.key = "curve_server_key",
		.kinds = WB_EXTCAP_ZMQ,
		.display = "Public key of the side that binds",
		.type = "fileselect",
		.group = GROUP_ACCESS},
	{.key = "curve_allow",
		.kinds = WB_EXTCAP_ZMQ,
		.display = "Public keys of those who may connect",
		.type = "string",
		.group = GROUP_ACCESS},
};
#define ARGUMENT_COUNT (sizeof(arguments) / sizeof(arguments[0]))

static bool takes(const struct wb_extcap_interface *interface, const struct argument *argument)
{
	if (!(argument->kinds & interface->kind))
		return false;
	return interface->kind != WB_EXTCAP_NAMED || strcmp(argument->key, "properties") != 0 ||
	       interface->takes_properties;
}

bool wb_extcap_takes(const struct wb_extcap_interface *interface, const char *key)
{
	for (size_t i = 0; i < ARGUMENT_COUNT; i++)
		if (strcmp(arguments[i].key, key) == 0)
			return takes(interface, &arguments[i]);
	return false;
}

/* {key=value}. Braces end a value, and Wireshark drops a sentence that is not UTF-8: such characters become '_'. */
static void print_value(FILE *stream, const char *key, const char *value)
{
	size_t length = strlen(value);

	fprintf(stream, "{%s=", key);
	while (length > 0) {
		uint32_t character;
		size_t bytes = wb_utf8_decode((const uint8_t *)value, length, &character);
		bool good = bytes && wb_utf8_harmless(character) && character != '{' && character != '}';

		if (good)
			fwrite(value, 1, bytes, stream);
		else
			fputc('_', stream);
		bytes = bytes ? bytes : 1;
		value += bytes;
		length -= bytes;
	}
	fputc('}', stream);
}

void wb_extcap_print_interfaces(const struct wb_extcap_interfaces *interfaces, FILE *stream)
{
	fprintf(stream, "extcap {version=%s}{display=wirebus}\n", WIREBUS_VERSION);
	for (size_t i = 0; i < interfaces->count; i++) {
		fputs("interface ", stream);
		print_value(stream, "value", interfaces->list[i].name);
		print_value(stream, "display", interfaces->list[i].display);
		fputc('\n', stream);
	}
}

void wb_extcap_print_dlts(FILE *stream)
{
	fprintf(stream, "dlt {number=%d}{name=WIREBUS}{display=The link types of the captured interfaces}\n",
		DLT_NUMBER);
}

/* What the file of interfaces says counts as the default of the interface. */
static const char *default_of(const struct wb_extcap_interface *interface, const struct wb_option_row *row)
{
	if (strcmp(row->key, "since") == 0)
		return interface->since ? interface->since : WB_EXTCAP_SINCE;
	if (strcmp(row->key, "filter") == 0 && interface->filter)
		return interface->filter;
	return row->default_value;
}

static void print_choices(const struct wb_option_row *row, int number, FILE *stream)
{
	const char *choice = row->choices;

	while (*choice) {
		size_t length = strcspn(choice, "|");
		bool is_default = row->default_value && strlen(row->default_value) == length &&
		                  strncmp(choice, row->default_value, length) == 0;

		fprintf(stream, "value {arg=%d}{value=%.*s}{display=%.*s}{default=%s}\n", number, (int)length, choice,
			(int)length, choice, is_default ? "true" : "false");
		choice += length + (choice[length] == '|');
	}
}

static void print_argument(
	const struct wb_extcap_interface *interface, const struct argument *argument, int number, FILE *stream)
{
	const struct wb_option_row *row = wb_option_find(wb_extcap_rows, argument->key, NULL);
	const char *value = default_of(interface, row);

	fprintf(stream, "arg {number=%d}{call=--", number);
	for (const char *c = argument->key; *c; c++)
		fputc(*c == '_' ? '-' : *c, stream);
	fputc('}', stream);
	print_value(stream, "display", argument->display);
	print_value(stream, "tooltip", row->help);
	print_value(stream, "type", argument->type);
	if (argument->required)
		print_value(stream, "required", "true");
	if (argument->placeholder)
		print_value(stream, "placeholder", argument->placeholder);
	if (argument->group)
		print_value(stream, "group", argument->group);
	if (value && row->type != WB_OPTION_CHOICE)
		print_value(stream, "default", value);
	fputc('\n', stream);
	if (row->type == WB_OPTION_CHOICE)
		print_choices(row, number, stream);
}

void wb_extcap_print_config(const struct wb_extcap_interface *interface, FILE *stream)
{
	int number = 0;

	for (size_t i = 0; i < ARGUMENT_COUNT; i++)
		if (takes(interface, &arguments[i]))
			print_argument(interface, &arguments[i], number++, stream);
}
