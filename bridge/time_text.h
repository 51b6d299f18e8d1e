/* SPDX-License-Identifier: Apache-2.0 */
/* Times as people write them. */
#ifndef WB_TIME_TEXT_H
#define WB_TIME_TEXT_H

#include <stdint.h>

#include "wirebus/option.h"

/*
 * Unix time in nanoseconds of:
 *	2026-11-30T14:05:09.123456789Z, ...+01:00	RFC 3339; with a blank for the T, too
 *	2026-11-30T14:05				local time; seconds and their fraction may be left out of both
 *	2026-11-30					a day: its first moment in local time
 *	14:05, 14:05:09.5				today, local time
 *	1795486065, 1795486065.25, @1795486065		seconds since 1970
 *	now, today, yesterday
 *	10 minutes ago, 2h ago, -10m, -1.5h		before now: ns, us, ms, s, m, h, d, w, and their names
 * now_ns: what is now. Errors: -EINVAL with a message that quotes the text.
 */
int wb_time_parse(const char *text, uint64_t now_ns, uint64_t *ret_time_ns, struct wb_error *ret_error);

#endif
