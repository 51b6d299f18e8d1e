/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance ROW
 *	Run every case that applies to a transport; exit 0, 1, or 77 when it cannot be had.
 * conformance ROW --fault QUERY TEXT
 *	Break the fake transport with a query; exit 0 only if the suite notices, with TEXT.
 * conformance --plugin PATH --url URL ...
 *	Run every case that applies to a plugin; see external.c.
 */
#include <stdio.h>
#include <string.h>

#include "conformance.h"

/* expected: stop once there is a failure with this text; nullable. */
static void run_cases(const struct conf_row *row, const struct conf_case *cases, const char *expected)
{
	unsigned int before;

	for (; cases->name && !(expected && conf_failed_with(expected)); cases++) {
		if ((cases->needs & row->flags) != cases->needs || (cases->needs_peer && !row->peer))
			continue;
		before = conf_failures();
		conf_set_case(cases->name);
		cases->run(row);
		printf("%s %s\n", conf_failures() == before ? "ok  " : "FAIL", cases->name);
	}
}

/* Whether the row's bus can be had at all. */
static int probe(const struct conf_row *row)
{
	struct conf_bus bus = {.url = ""};
	int r;

	r = row->bus_open(&bus, row);
	if (r == 0 && row->bus_close)
		row->bus_close(&bus);
	return r;
}

static int usage(void)
{
	fprintf(stderr, "usage: conformance ROW [--fault QUERY TEXT]\n%srows:\n", conf_external_usage);
	conf_rows_list();
	return 2;
}

/* what: that was to make the suite fail; NULL: nothing was. */
static int exit_code(const char *what, const char *expected)
{
	if (!what)
		return conf_failures() ? 1 : 0;
	if (conf_failed_with(expected))
		return 0;
	printf("the suite did not notice '%s': expected a failure with '%s'\n", what, expected);
	return 1;
}

static int run_external(int argc, char **argv)
{
	const char *expected = NULL;
	const struct conf_row *row = conf_external(argc, argv, &expected);

	if (!row)
		return usage();
	run_cases(row, conf_cases_basic, expected);
	run_cases(row, conf_cases_flow, expected);
	return exit_code(expected ? row->name : NULL, expected);
}

int main(int argc, char **argv)
{
	const bool fault = argc == 5 && strcmp(argv[2], "--fault") == 0;
	const char *expected = fault ? argv[4] : NULL;
	const struct conf_row *row = argc >= 2 ? conf_row_find(argv[1]) : NULL;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc >= 2 && strncmp(argv[1], "--", 2) == 0)
		return run_external(argc, argv);
	if (!row || (argc != 2 && !fault))
		return usage();
	if (fault)
		conf_fake_set_fault(argv[3]);
	if (probe(row) == CONF_EXIT_SKIP) {
		printf("skipped: %s cannot be had here\n", row->name);
		return CONF_EXIT_SKIP;
	}
	run_cases(row, conf_cases_basic, expected);
	run_cases(row, conf_cases_flow, expected);
	run_cases(row, conf_cases_records, expected);
	run_cases(row, conf_cases_zmq, expected);
	run_cases(row, conf_cases_kafka, expected);
	run_cases(row, conf_cases_curve, expected);
	return exit_code(fault ? argv[3] : NULL, expected);
}
