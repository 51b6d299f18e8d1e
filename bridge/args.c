/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "option.h"
#include "suggest.h"

#define NAME_BYTES 64

/* An option as it was found in the tables. */
struct option {
	const struct wb_arg *arg;        /* NULL: a row's own name */
	const struct wb_option_row *row; /* NULL: the command's own option, or help */
	size_t table;
	bool help;
	bool negated; /* --no-KEY */
};

void wb_args_init(struct wb_args *parser, const struct wb_arg_command *command, int argc, char **argv)
{
	*parser = (struct wb_args){.command = command, .argv = argv, .argc = argc, .next = 1};
}

static bool is_end(const struct wb_arg *arg)
{
	return !arg->letter && !arg->name && !arg->key;
}

/* Whether name, as written behind "--", is this key: '-' stands for '_'. */
static bool is_key(const char *name, const char *key)
{
	while (*name && *key && (*name == *key || (*name == '-' && *key == '_'))) {
		name++;
		key++;
	}
	return *name == *key;
}

static void dashed(const char *key, char *ret_name, size_t size)
{
	size_t i;

	for (i = 0; key[i] && i + 1 < size; i++)
		ret_name[i] = key[i] == '_' ? '-' : key[i];
	ret_name[i] = '\0';
}

/* Find a row by its key, or as written behind "--". */
static bool find_row(const struct wb_arg_command *command, const char *key, struct option *ret_option)
{
	for (size_t table = 0; command->rows && command->rows[table].rows; table++) {
		for (const struct wb_option_row *row = command->rows[table].rows; row->key; row++) {
			if (is_key(key, row->key)) {
				ret_option->row = row;
				ret_option->table = table;
				return true;
			}
		}
	}
	return false;
}

/* The command's own option, or another name of a row. false: no table has that row. */
static bool take_arg(const struct wb_arg_command *command, const struct wb_arg *arg, struct option *ret_option)
{
	ret_option->arg = arg;
	return !arg->key || find_row(command, arg->key, ret_option);
}

static bool find_letter(const struct wb_arg_command *command, char letter, struct option *ret_option)
{
	*ret_option = (struct option){0};
	for (const struct wb_arg *arg = command->args; !is_end(arg); arg++) {
		if (arg->letter == letter)
			return take_arg(command, arg, ret_option);
	}
	ret_option->help = letter == 'h';
	return ret_option->help;
}

static bool find_name(const struct wb_arg_command *command, const char *name, struct option *ret_option)
{
	*ret_option = (struct option){0};
	for (const struct wb_arg *arg = command->args; !is_end(arg); arg++) {
		if (arg->name && strcmp(arg->name, name) == 0)
			return take_arg(command, arg, ret_option);
	}
	if (strcmp(name, "help") == 0) {
		ret_option->help = true;
		return true;
	}
	if (find_row(command, name, ret_option))
		return true;
	if (strncmp(name, "no-", 3) == 0 && find_row(command, name + 3, ret_option)) {
		ret_option->negated = true;
		return ret_option->row->type == WB_OPTION_BOOL;
	}
	return false;
}

static int fail_unknown(const struct wb_arg_command *command, const char *name, struct wb_error *ret_error)
{
	struct wb_suggest suggest;
	char best[NAME_BYTES];

	wb_suggest_init(&suggest, name);
	wb_suggest_offer(&suggest, "help");
	for (const struct wb_arg *arg = command->args; !is_end(arg); arg++) {
		if (arg->name)
			wb_suggest_offer(&suggest, arg->name);
	}
	for (const struct wb_arg_rows *table = command->rows; table && table->rows; table++) {
		for (const struct wb_option_row *row = table->rows; row->key; row++)
			wb_suggest_offer(&suggest, row->key);
	}
	if (!suggest.best)
		return wb_fail(ret_error, -EINVAL, "%s: unknown option '--%s'; see --help", command->name, name);
	dashed(suggest.best, best, sizeof(best));
	return wb_fail(
		ret_error, -EINVAL, "%s: unknown option '--%s'; did you mean '--%s'?", command->name, name, best);
}

static bool takes_value(const struct option *option)
{
	if (option->row)
		return option->row->type != WB_OPTION_BOOL;
	return option->arg && option->arg->value;
}

/* Fill the match and store the value. attached: what stood behind '='; NULL: nothing. */
static int finish(struct wb_args *parser, const struct option *option, const char *attached,
	struct wb_arg_match *ret_match, struct wb_error *ret_error)
{
	const struct wb_arg_command *command = parser->command;
	bool bool_row = option->row && option->row->type == WB_OPTION_BOOL;
	struct wb_error error;
	int r;

	ret_match->row = option->row;
	ret_match->table = option->table;
	ret_match->id = option->help ? WB_ARG_HELP : option->row ? WB_ARG_ROW : option->arg->id;
	ret_match->value = attached;
	if (takes_value(option)) {
		if (!attached && parser->next < parser->argc)
			ret_match->value = parser->argv[parser->next++];
		if (!ret_match->value)
			return wb_fail(
				ret_error, -EINVAL, "%s: option '%s' needs a value", command->name, ret_match->given);
	} else if (attached && (!bool_row || option->negated)) {
		return wb_fail(ret_error, -EINVAL, "%s: option '%s' takes no value", command->name, ret_match->given);
	} else if (bool_row && !attached) {
		ret_match->value = option->negated ? "false" : "true";
	}
	if (!option->row || !command->rows[option->table].options)
		return 1;
	r = wb_option_set_as(
		option->row, command->rows[option->table].options, ret_match->value, ret_match->given, NULL, &error);
	if (r < 0)
		return wb_fail(ret_error, r, "%s: %s", command->name, error.message);
	return 1;
}

static int next_long(
	struct wb_args *parser, const char *text, struct wb_arg_match *ret_match, struct wb_error *ret_error)
{
	size_t length = strcspn(text, "=");
	struct option option;
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "%.*s", (int)(length < NAME_BYTES ? length : NAME_BYTES), text);
	if (!find_name(parser->command, name, &option))
		return fail_unknown(parser->command, name, ret_error);
	snprintf(ret_match->given, sizeof(ret_match->given), "--%s", name);
	return finish(parser, &option, text[length] ? text + length + 1 : NULL, ret_match, ret_error);
}

/* parser->cluster leads to the letter. */
static int next_letter(struct wb_args *parser, struct wb_arg_match *ret_match, struct wb_error *ret_error)
{
	char letter = *parser->cluster++;
	struct option option;
	const char *attached = NULL;

	if (!find_letter(parser->command, letter, &option))
		return wb_fail(
			ret_error, -EINVAL, "%s: unknown option '-%c'; see --help", parser->command->name, letter);
	snprintf(ret_match->given, sizeof(ret_match->given), "-%c", letter);
	if (*parser->cluster && takes_value(&option)) {
		attached = parser->cluster;
		parser->cluster = NULL;
	}
	return finish(parser, &option, attached, ret_match, ret_error);
}

int wb_args_next(struct wb_args *parser, struct wb_arg_match *ret_match, struct wb_error *ret_error)
{
	const char *text;

	*ret_match = (struct wb_arg_match){0};
	if (parser->cluster && *parser->cluster)
		return next_letter(parser, ret_match, ret_error);
	if (parser->next >= parser->argc)
		return 0;
	text = parser->argv[parser->next++];
	if (!parser->operands_only && strcmp(text, "--") == 0) {
		parser->operands_only = true;
		if (parser->next >= parser->argc)
			return 0;
		text = parser->argv[parser->next++];
	}
	if (!parser->operands_only && strncmp(text, "--", 2) == 0)
		return next_long(parser, text + 2, ret_match, ret_error);
	if (!parser->operands_only && text[0] == '-' && text[1]) {
		parser->cluster = text + 1;
		return next_letter(parser, ret_match, ret_error);
	}
	if (!parser->command->operands)
		return wb_fail(
			ret_error, -EINVAL, "%s: unexpected argument '%s'; see --help", parser->command->name, text);
	ret_match->id = WB_ARG_OPERAND;
	ret_match->value = text;
	return 1;
}

/* "  -w, --workers N": the letter and value come from the command's table when it names the row. */
static void print_row(const struct wb_arg_command *command, const struct wb_option_row *row, FILE *stream)
{
	const char *value = wb_option_placeholder(row);
	char name[NAME_BYTES], given[160];
	const struct wb_arg *arg;

	for (arg = command->args; !is_end(arg); arg++) {
		if (arg->key && strcmp(arg->key, row->key) == 0)
			break;
	}
	if (arg->value)
		value = arg->value;
	dashed(arg->name ? arg->name : row->key, name, sizeof(name));
	snprintf(given, sizeof(given), "%c%c%s--%s%s%s%s", arg->letter ? '-' : ' ', arg->letter ? arg->letter : ' ',
		arg->letter ? ", " : "  ", row->type == WB_OPTION_BOOL ? "[no-]" : "", name, value ? " " : "",
		value ? value : "");
	wb_option_help_entry(stream, "  ", given, row, arg->help);
}

static void print_own(const struct wb_arg *arg, FILE *stream)
{
	char given[160];

	snprintf(given, sizeof(given), "%c%c%s%s%s%s%s", arg->letter ? '-' : ' ', arg->letter ? arg->letter : ' ',
		arg->letter && arg->name ? ", " : "  ", arg->name ? "--" : "", arg->name ? arg->name : "",
		arg->value ? " " : "", arg->value ? arg->value : "");
	wb_option_help_entry(stream, "  ", given, NULL, arg->help);
}

int wb_args_help(const struct wb_arg_command *command, FILE *stream)
{
	static const struct wb_arg help = {.letter = 'h', .name = "help", .help = "Show this"};

	fprintf(stream, "Usage: %s %s\n", command->name, command->usage);
	if (command->about)
		fprintf(stream, "\n%s\n", command->about);
	fprintf(stream, "\nOptions\n");
	for (const struct wb_arg *arg = command->args; !is_end(arg); arg++) {
		if (!arg->key)
			print_own(arg, stream);
	}
	print_own(&help, stream);
	for (const struct wb_arg_rows *table = command->rows; table && table->rows; table++) {
		fprintf(stream, "\n%s\n", table->title);
		for (const struct wb_option_row *row = table->rows; row->key; row++)
			print_row(command, row, stream);
	}
	return fflush(stream) == 0 && !ferror(stream) ? 0 : -EIO;
}

void wb_args_help_url(
	const char *name, const char *purpose, const struct wb_option_row *rows, bool properties, FILE *stream)
{
	if (!rows || !rows[0].key)
		return;
	fprintf(stream, "\nOptions of %s URLs%s%s, as ?key=value&key=value%s\n", name, purpose ? " " : "",
		purpose ? purpose : "", properties ? ";\nproperties.NAME=value goes to the client library" : "");
	wb_options_help(rows, stream, "  ");
}
