/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <stdarg.h>
#include <stdio.h>

#include "utf8.h"

void wb_line_clear(struct wb_line *line)
{
	line->length = 0;
	line->text[0] = '\0';
}

void wb_line_add(struct wb_line *line, const char *format, ...)
{
	size_t room = sizeof(line->text) - line->length;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line->text + line->length, room, format, args);
	va_end(args);
	if (n < 0)
		line->text[line->length] = '\0';
	else
		line->length += (size_t)n < room ? (size_t)n : room - 1;
}

void wb_line_add_untrusted(struct wb_line *line, struct wbproto_view text, size_t max)
{
	const uint8_t *at = text.data;
	size_t left = text.length ? wb_utf8_cut(at, text.length, max) : 0;

	while (left > 0) {
		uint32_t character = 0;
		size_t n = wb_utf8_decode(at, left, &character);
		size_t bytes = n ? n : 1;

		if (n && character == '\\')
			wb_line_add(line, "\\\\");
		else if (n && wb_utf8_harmless(character))
			wb_line_add(line, "%.*s", (int)n, (const char *)at);
		else
			for (size_t i = 0; i < bytes; i++)
				wb_line_add(line, "\\x%02x", at[i]);
		at += bytes;
		left -= bytes;
	}
	if (text.length > max)
		wb_line_add(line, "...");
}
