/* SPDX-License-Identifier: Apache-2.0 */
/* What option rows look like to people: rules in messages, entries of --help. */
#include "option.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 30
#define HELP_WIDTH 100

struct scale {
	uint64_t factor;
	const char *unit;
};

/* As the user would write it, in the largest unit that divides it. */
static void format_number(const struct wb_option_row *row, uint64_t number, char *buffer, size_t size)
{
	static const struct scale bytes[] = {
		{UINT64_C(1) << 30, "GiB"}, {UINT64_C(1) << 20, "MiB"}, {UINT64_C(1) << 10, "KiB"}, {1, ""}};
	static const struct scale times[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
	static const struct scale plain[] = {{1, ""}};
	const struct scale *scale = row->type == WB_OPTION_BYTES      ? bytes
	                            : row->type == WB_OPTION_DURATION ? times
	                                                              : plain;

	while (scale->factor != 1 && (number == 0 || number % scale->factor))
		scale++;
	snprintf(buffer, size, "%" PRIu64 "%s", number / scale->factor, number ? scale->unit : "");
}

/* " from 1 to 256", " of at least 4", "" */
static void format_range(const struct wb_option_row *row, char *buffer, size_t size)
{
	char least[32], greatest[32];

	format_number(row, row->min, least, sizeof(least));
	format_number(row, row->max, greatest, sizeof(greatest));
	buffer[0] = '\0';
	if (row->max)
		snprintf(buffer, size, " from %s to %s", least, greatest);
	else if (row->min)
		snprintf(buffer, size, " of at least %s", least);
}

static void list_choices(const struct wb_option_row *row, char *buffer, size_t size)
{
	size_t used = (size_t)snprintf(buffer, size, "one of ");

	for (const char *c = row->choices; *c && used + 3 < size; c++) {
		buffer[used++] = *c == '|' ? ',' : *c;
		if (*c == '|')
			buffer[used++] = ' ';
	}
	buffer[used] = '\0';
}

void wb_option_rule(const struct wb_option_row *row, char *buffer, size_t size)
{
	char range[80];

	format_range(row, range, sizeof(range));
	switch (row->type) {
	case WB_OPTION_BOOL:
		snprintf(buffer, size, "true or false");
		break;
	case WB_OPTION_UINT:
		snprintf(buffer, size, "a whole number%s", range);
		break;
	case WB_OPTION_BYTES:
		snprintf(buffer, size, "a size%s (such as 65536, 64KiB, 1MiB)", range);
		break;
	case WB_OPTION_DURATION:
		snprintf(buffer, size, "a time%s (such as 500ms, 10s, 5m)", range);
		break;
	case WB_OPTION_CHOICE:
		list_choices(row, buffer, size);
		break;
	case WB_OPTION_STRING:
		snprintf(buffer, size, "a text%s%s", range, range[0] ? " bytes long" : "");
		break;
	}
}

const char *wb_option_placeholder(const struct wb_option_row *row)
{
	switch (row->type) {
	case WB_OPTION_BOOL:
		return NULL;
	case WB_OPTION_UINT:
		return "N";
	case WB_OPTION_BYTES:
		return "SIZE";
	case WB_OPTION_DURATION:
		return "TIME";
	case WB_OPTION_CHOICE:
		return row->choices;
	case WB_OPTION_STRING:
		return row->unit ? row->unit : "TEXT";
	}
	return NULL;
}

/* Default and range, as they stand behind the help: " [262144; 1 to 262144 bytes]". */
static void format_facts(const struct wb_option_row *row, char *buffer, size_t size)
{
	bool number = row->type == WB_OPTION_UINT || row->type == WB_OPTION_BYTES || row->type == WB_OPTION_DURATION;
	const char *unit = number && row->unit ? row->unit : NULL;
	const char *value = row->default_value;
	char range[80] = "";
	size_t used;

	if (number)
		format_range(row, range, sizeof(range));
	if (!value && !range[0])
		return;
	used = (size_t)snprintf(buffer, size, " [");
	if (value)
		used += (size_t)snprintf(buffer + used, size - used, "default %s%s", value, range[0] ? ";" : "");
	snprintf(buffer + used, size - used, "%s%s%s]", range[0] && !value ? range + 1 : range, unit ? " " : "",
		unit ? unit : "");
}

/* Print text from column on, broken between words. */
static void print_wrapped(FILE *stream, const char *indent, int column, const char *text)
{
	size_t width = HELP_WIDTH - HELP_COLUMN;

	while (strlen(text) > width) {
		size_t end = width;

		while (end > 0 && text[end] != ' ')
			end--;
		if (end == 0)
			end = strcspn(text, " ");
		if (!text[end])
			break;
		fprintf(stream, "%*s%.*s\n", column, "", (int)end, text);
		text += end + 1;
		column = HELP_COLUMN + (int)strlen(indent);
	}
	fprintf(stream, "%*s%s\n", column, "", text);
}

void wb_option_help_entry(
	FILE *stream, const char *indent, const char *given, const struct wb_option_row *row, const char *help)
{
	char facts[256] = "", text[768];
	int length = (int)strlen(given);
	int column = HELP_COLUMN - length;

	if (row)
		format_facts(row, facts, sizeof(facts));
	snprintf(text, sizeof(text), "%s%s", help ? help : row && row->help ? row->help : "", facts);
	fprintf(stream, "%s%s", indent, given);
	if (column < 2) {
		fputc('\n', stream);
		column = HELP_COLUMN + (int)strlen(indent);
	}
	print_wrapped(stream, indent, column, text);
}

void wb_options_help(const struct wb_option_row *rows, FILE *stream, const char *indent)
{
	for (const struct wb_option_row *row = rows; row->key; row++) {
		const char *placeholder = wb_option_placeholder(row);
		char given[160];

		snprintf(given, sizeof(given), "%s=%s", row->key, placeholder ? placeholder : "true|false");
		wb_option_help_entry(stream, indent, given, row, NULL);
	}
}
