/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance ROW                     run every case that applies to a transport; exit 0, 1, or 77 when it cannot be
 * had conformance ROW --fault QUERY TEXT  break the fake transport with a query; exit 0 only if the suite notices, with
 * TEXT
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

int main(int argc, char **argv)
{
	const bool fault = argc == 5 && strcmp(argv[2], "--fault") == 0;
	const char *expected = fault ? argv[4] : NULL;
	const struct conf_row *row = argc >= 2 ? conf_row_find(argv[1]) : NULL;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!row || (argc != 2 && !fault)) {
		fprintf(stderr, "usage: conformance ROW [--fault QUERY TEXT]\nrows:\n");
		conf_rows_list();
		return 2;
	}
	if (fault)
		conf_fake_set_fault(argv[3]);
	if (probe(row) == CONF_EXIT_SKIP) {
		printf("skipped: %s cannot be had here\n", row->name);
		return CONF_EXIT_SKIP;
	}
	run_cases(row, conf_cases_basic, expected);
	run_cases(row, conf_cases_flow, expected);
	run_cases(row, conf_cases_zmq, expected);
	if (!fault)
		return conf_failures() ? 1 : 0;
	if (conf_failed_with(expected))
		return 0;
	printf("the suite did not notice '%s': expected a failure with '%s'\n", argv[3], expected);
	return 1;
}
