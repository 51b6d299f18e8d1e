/* SPDX-License-Identifier: Apache-2.0 */
#include "pace_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define OPTION(member) .offset = offsetof(struct wb_pace_options, member)

const struct wb_option_row wb_pace_option_rows[] = {
	{.key = "multiplier",
		.type = WB_OPTION_STRING,
		OPTION(multiplier),
		.min = 1,
		.unit = "FACTOR",
		.help = "So many times as fast as the packets were captured; 1 is the original timing"},
	{.key = "pps",
		.type = WB_OPTION_STRING,
		OPTION(pps),
		.min = 1,
		.unit = "RATE",
		.help = "So many packets a second"},
	{.key = "mbps",
		.type = WB_OPTION_STRING,
		OPTION(mbps),
		.min = 1,
		.unit = "RATE",
		.help = "So many million bits a second, of the packets as they were on the wire, link headers counted"},
	{.key = "topspeed",
		.type = WB_OPTION_BOOL,
		OPTION(topspeed),
		.default_value = "false",
		.help = "As fast as they are taken"},
	{.key = NULL},
};

/* A decimal number, as --help calls it; written in C's own notation whatever the locale. */
static int parse_speed(const char *name, const char *text, double *ret_value, struct wb_error *ret_error)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (strspn(text, "0123456789.") != strlen(text) || end == text || *end || errno || !(value > 0) || value > 1e12)
		return wb_fail(
			ret_error, -EINVAL, "%s: '%.60s' is not a number above 0, such as 2, 0.5 or 1000", name, text);
	*ret_value = value;
	return 0;
}

int wb_pace_options_choose(const struct wb_pace_options *options, struct wb_pace_args *pace, struct wb_error *ret_error)
{
	const struct {
		const char *name, *text;
		enum wb_pace_mode mode;
	} ways[] = {
		{"--multiplier", options->multiplier, WB_PACE_TIMES},
		{"--pps", options->pps, WB_PACE_PPS},
		{"--mbps", options->mbps, WB_PACE_MBPS},
		{"--topspeed", options->topspeed ? "1" : NULL, WB_PACE_TOPSPEED},
	};
	const char *chosen = NULL;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (!ways[i].text)
			continue;
		if (chosen)
			return wb_fail(
				ret_error, -EINVAL, "%s and %s: only one of them can be given", chosen, ways[i].name);
		chosen = ways[i].name;
		pace->mode = ways[i].mode;
		int r = parse_speed(ways[i].name, ways[i].text, &pace->value, ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}
