/* SPDX-License-Identifier: Apache-2.0 */
/* How fast `send` and `replay` go, as said on their command lines: one way of four. */
#ifndef WB_PACE_OPTIONS_H
#define WB_PACE_OPTIONS_H

#include <stdbool.h>

#include "pace.h"

struct wb_pace_options {
	char *multiplier, *pps, *mbps;
	bool topspeed;
};

extern const struct wb_option_row wb_pace_option_rows[];

/* In the command's table of struct wb_arg: the letters. */
/* clang-format off */
#define WB_PACE_ARGS                                                                                                   \
	{.letter = 'x', .key = "multiplier"},                                                                          \
	{.letter = 'p', .key = "pps"},                                                                                 \
	{.letter = 'M', .key = "mbps"},                                                                                \
	{.letter = 't', .key = "topspeed"}
/* clang-format on */

/*
 * Set the mode and the value of pace; both stay as they are when no way was given. Errors: -EINVAL: more than one was
 * given, or the value is no number above 0; the message names the options.
 */
int wb_pace_options_choose(
	const struct wb_pace_options *options, struct wb_pace_args *pace, struct wb_error *ret_error);

#endif
