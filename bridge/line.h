/* SPDX-License-Identifier: Apache-2.0 */
/* One line of text, built piece by piece in bounded memory. What does not fit is left out. */
#ifndef WB_LINE_H
#define WB_LINE_H

#include <stddef.h>

#include "wbproto.h"

#define WB_LINE_BYTES 2048

struct wb_line {
	size_t length;
	char text[WB_LINE_BYTES]; /* always terminated */
};

void wb_line_clear(struct wb_line *line);
void wb_line_add(struct wb_line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
/*
 * Add a string that came with a message: at most max bytes of it, with everything that could steer a terminal, and
 * every byte that is not UTF-8, written as \xNN, and the backslash doubled.
 */
void wb_line_add_untrusted(struct wb_line *line, struct wbproto_view text, size_t max);

#endif
