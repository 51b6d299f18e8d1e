/* SPDX-License-Identifier: Apache-2.0 */
/* `wirebus extcap`, which Wireshark runs under the name wirebus-extcap. */
#include <errno.h>
#include <string.h>

#include "args.h"
#include "command.h"
#include "display_filter.h"
#include "extcap.h"
#include "log.h"
#include "option.h"

enum arg_id {
	ARG_INTERFACES = 1,
	ARG_VERSION,
	ARG_INTERFACE,
	ARG_DLTS,
	ARG_CONFIG,
	ARG_CAPTURE,
	ARG_FIFO,
	ARG_FILTER,
	ARG_RELOAD,
	ARG_CONTROL,
};

static const struct wb_arg args[] = {
	{.name = "extcap-interfaces", .id = ARG_INTERFACES, .help = "List the interfaces"},
	{.name = "extcap-version", .value = "VERSION", .id = ARG_VERSION, .help = "Wireshark's version; not used"},
	{.name = "extcap-interface", .value = "NAME", .id = ARG_INTERFACE, .help = "The interface that is meant"},
	{.name = "extcap-dlts", .id = ARG_DLTS, .help = "List its link types"},
	{.name = "extcap-config", .id = ARG_CONFIG, .help = "List its options"},
	{.name = "capture", .id = ARG_CAPTURE, .help = "Capture, until SIGTERM or until the reader goes"},
	{.name = "fifo", .value = "PATH", .id = ARG_FIFO, .help = "Where to write the packets, as pcapng"},
	{.name = "extcap-capture-filter",
		.value = "FILTER",
		.id = ARG_FILTER,
		.help = "A tcpdump expression; without --capture: say what is wrong with it"},
	{.name = "extcap-reload-option", .value = "OPTION", .id = ARG_RELOAD, .help = "Not used"},
	{.name = "extcap-control-in", .value = "PATH", .id = ARG_CONTROL, .help = "Not used"},
	{.name = "extcap-control-out", .value = "PATH", .id = ARG_CONTROL, .help = "Not used"},
	{0},
};

/* What was asked for. */
struct request {
	struct wb_extcap_options options;
	int action;       /* what to do, as an argument's id; 0: not said */
	int other_action; /* 0: one only was said */
	const char *interface;
	const char *fifo;
	const char *filter;
	const struct wb_option_row *given[32]; /* the options given, each once, without those that are empty */
	size_t given_count;
	bool opened; /* the capture has opened the FIFO, or tried to */
};

static int usage(const char *text)
{
	fprintf(stderr, "wirebus extcap: %s\n", text);
	return WB_EXIT_USAGE;
}

static void note_action(struct request *request, int id)
{
	if (request->action && request->action != id)
		request->other_action = id;
	else
		request->action = id;
}

static void note_given(struct request *request, const struct wb_option_row *row)
{
	for (size_t i = 0; i < request->given_count; i++)
		if (request->given[i] == row)
			return;
	if (request->given_count < sizeof(request->given) / sizeof(request->given[0]))
		request->given[request->given_count++] = row;
}

static void note(struct request *request, const struct wb_arg_match *match)
{
	switch (match->id) {
	case ARG_INTERFACES:
	case ARG_DLTS:
	case ARG_CONFIG:
	case ARG_CAPTURE:
		note_action(request, match->id);
		break;
	case ARG_INTERFACE:
		request->interface = match->value;
		break;
	case ARG_FIFO:
		request->fifo = match->value;
		break;
	case ARG_FILTER:
		request->filter = match->value;
		break;
	case WB_ARG_ROW:
		if (*match->value)
			note_given(request, match->row);
		break;
	default:
		break;
	}
}

/* -1: go on; otherwise the exit code. */
static int parse_arguments(int argc, char **argv, struct request *request)
{
	const struct wb_arg_rows rows[] = {{wb_extcap_rows, &request->options, "Options of the interfaces"}, {0}};
	const struct wb_arg_command command = {
		.name = "wirebus extcap",
		.usage = "--extcap-interfaces\n"
			 "       wirebus extcap --extcap-interface NAME --extcap-config | --extcap-dlts\n"
			 "       wirebus extcap --extcap-interface NAME --capture --fifo PATH [OPTION...]",
		.about = "Topics and streams as capture interfaces of Wireshark and tshark, which run this by the name "
			 "of\n"
			 "wirebus-extcap. More interfaces, with names of their own, come from "
			 "~/.config/wirebus/extcap.yaml.",
		.args = args,
		.rows = rows,
	};
	struct wb_arg_match match;
	struct wb_error error;
	struct wb_args parser;
	int r;

	wb_args_init(&parser, &command, argc, argv);
	while ((r = wb_args_next(&parser, &match, &error)) > 0) {
		if (match.id == WB_ARG_HELP)
			return wb_args_help(&command, stdout) < 0 ? WB_EXIT_FAILED : WB_EXIT_OK;
		note(request, &match);
	}
	if (r == 0)
		return -1;
	fprintf(stderr, "%s\n", error.message);
	return WB_EXIT_USAGE;
}

/* -1: go on; otherwise the exit code. */
static int check_given(const struct request *request, const struct wb_extcap_interface *interface)
{
	struct wb_error error;
	char name[64];

	for (size_t i = 0; i < request->given_count; i++) {
		if (wb_extcap_takes(interface, request->given[i]->key))
			continue;
		snprintf(name, sizeof(name), "%s", request->given[i]->key);
		for (char *c = name; *c; c++)
			*c = *c == '_' ? '-' : *c;
		wb_fail(&error, -EINVAL, "the interface %s has no option '--%s'; --extcap-config lists its options",
			interface->name, name);
		return usage(error.message);
	}
	return -1;
}

static int finish_output(void)
{
	return fflush(stdout) == 0 && !ferror(stdout) ? WB_EXIT_OK : WB_EXIT_FAILED;
}

static int capture(struct request *request, const struct wb_extcap_interface *interface)
{
	const struct wb_extcap_capture capture_args = {
		.interface = interface,
		.options = &request->options,
		.fifo = request->fifo,
		.filter = request->filter,
	};
	int code = check_given(request, interface);

	if (code >= 0)
		return code;
	if (!request->fifo || !*request->fifo)
		return usage("--fifo is missing: --capture needs to know where to write the packets");
	if (interface->kind == WB_EXTCAP_BROKEN)
		return WB_EXIT_FAILED; /* what is wrong was told when it was read */
	request->opened = true;
	return wb_extcap_capture(&capture_args);
}

/* Wireshark asks while it is typed: nothing means that it is good. */
static int verify_filter(const char *expression)
{
	struct wb_display_filter *filter = NULL;
	struct wb_error error;

	if (wb_display_filter_create(expression, &filter, &error) < 0)
		printf("%s\n", error.message);
	wb_display_filter_destroy(filter);
	return finish_output();
}

static int with_interface(struct request *request, const struct wb_extcap_interface *interface)
{
	if (request->action == ARG_CAPTURE)
		return capture(request, interface);
	if (request->action == ARG_CONFIG)
		wb_extcap_print_config(interface, stdout);
	else if (request->action == ARG_DLTS)
		wb_extcap_print_dlts(stdout);
	else if (request->filter)
		return verify_filter(request->filter);
	else
		return usage("say what to do with the interface: --extcap-config, --extcap-dlts or --capture");
	return finish_output();
}

static int act(struct request *request, const struct wb_extcap_interfaces *interfaces)
{
	const struct wb_extcap_interface *interface;
	struct wb_error error;

	if (request->action == ARG_INTERFACES) {
		wb_extcap_print_interfaces(interfaces, stdout);
		return finish_output();
	}
	interface = wb_extcap_interface_find(interfaces, request->interface, &error);
	return interface ? with_interface(request, interface) : usage(error.message);
}

/*
 * Whether the errors of the file of interfaces are to be shown: to who captures from what stands for them. With any
 * other interface they would pass for its own, and with the list tshark would show them whatever it was started for.
 */
static bool shows_reports(const struct request *request)
{
	return request->action == ARG_CAPTURE && request->interface &&
	       strcmp(request->interface, WB_EXTCAP_BROKEN_NAME) == 0;
}

static const char *action_name(int id)
{
	const struct wb_arg *arg = args;

	while (arg->id != id)
		arg++;
	return arg->name;
}

static int check_action(const struct request *request)
{
	struct wb_error error;

	if (!request->other_action)
		return -1;
	wb_fail(&error, -EINVAL, "--%s and --%s are two things to do: say one of them", action_name(request->action),
		action_name(request->other_action));
	return usage(error.message);
}

static int run(struct request *request)
{
	struct wb_extcap_interfaces interfaces;
	int code = check_action(request);

	if (code >= 0)
		return code;
	if (request->action != ARG_INTERFACES && !request->interface)
		return usage("say what to do: --extcap-interfaces, or --extcap-interface NAME and what to do with it");
	if (wb_extcap_interfaces_load(&interfaces, shows_reports(request) ? stderr : NULL) < 0) {
		fprintf(stderr, "wirebus extcap: out of memory\n");
		return WB_EXIT_FAILED;
	}
	code = act(request, &interfaces);
	wb_extcap_interfaces_fini(&interfaces);
	return code;
}

/* Where the FIFO is, also when the arguments cannot be understood. NULL: there is none. */
static const char *find_fifo(int argc, char **argv)
{
	const char *fifo = NULL;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--fifo=", 7) == 0)
			fifo = argv[i] + 7;
		else if (strcmp(argv[i], "--fifo") == 0 && i + 1 < argc)
			fifo = argv[++i];
	}
	return fifo;
}

int wb_cmd_extcap(int argc, char **argv)
{
	const char *fifo = find_fifo(argc, argv);
	struct request request = {0};
	int code = WB_EXIT_FAILED;

	if (wb_options_init(wb_extcap_rows, &request.options) < 0)
		fprintf(stderr, "wirebus extcap: out of memory\n");
	else
		code = parse_arguments(argc, argv, &request);
	if (code < 0)
		code = run(&request);
	wb_options_fini(wb_extcap_rows, &request.options);
	if (fifo && code != WB_EXIT_OK && !request.opened)
		wb_extcap_refuse(fifo);
	return code;
}
