/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "utf8.h"

#define LINE_BYTES 2048

static _Atomic int log_level = WB_LOG_INFO;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void wb_log_set_level(int level)
{
	atomic_store_explicit(&log_level, level, memory_order_relaxed);
}

/*
 * What a message quotes may come from anywhere: keep it on one line and away from the terminal's controls, which are
 * not in ASCII alone.
 */
static void make_printable(char *text)
{
	size_t length = strlen(text);

	while (length > 0) {
		uint32_t character;
		size_t bytes = wb_utf8_decode((const uint8_t *)text, length, &character);

		if (bytes == 0 || !wb_utf8_harmless(character)) {
			bytes = bytes ? bytes : 1;
			memset(text, '?', bytes);
		}
		text += bytes;
		length -= bytes;
	}
}

/* Remove the beginning of a UTF-8 character whose rest was cut off. */
static void trim_partial_character(char *text, size_t length)
{
	size_t i = length;
	unsigned char lead;

	while (i > 0 && length - i < 3 && ((unsigned char)text[i - 1] & 0xc0) == 0x80)
		i--;
	if (i == 0)
		return;
	lead = (unsigned char)text[i - 1];
	if (lead >= 0xc0 && length - i < (lead >= 0xf0 ? 3u : lead >= 0xe0 ? 2u : 1u))
		text[i - 1] = '\0';
}

__attribute__((format(printf, 3, 0))) static size_t format_text(
	char *buffer, size_t size, const char *format, va_list arguments)
{
	int length = vsnprintf(buffer, size, format, arguments);

	if (length < 0)
		buffer[0] = '\0';
	else if ((size_t)length >= size)
		trim_partial_character(buffer, size - 1);
	make_printable(buffer);
	return strlen(buffer);
}

__attribute__((format(printf, 2, 0))) static void log_line(int level, const char *format, va_list arguments)
{
	char line[LINE_BYTES];
	struct timespec now;
	struct tm utc;
	size_t used;

	if (level > atomic_load_explicit(&log_level, memory_order_relaxed))
		return;
	if (level < WB_LOG_ERROR)
		level = WB_LOG_ERROR;
	if (level > WB_LOG_DEBUG)
		level = WB_LOG_DEBUG;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	used = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &utc);
	used += (size_t)snprintf(
		line + used, sizeof(line) - used, ".%03ldZ %s: ", now.tv_nsec / 1000000, level_names[level]);
	used += format_text(line + used, sizeof(line) - used - 1, format, arguments);
	line[used++] = '\n';
	/* One call, so that lines of several threads do not mix. Nobody can be told when it fails. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

void wb_log(int level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_line(level, format, arguments);
	va_end(arguments);
}

void wb_log_transport(void *context, int level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_line(level, format, arguments);
	va_end(arguments);
}

int wb_fail(struct wb_error *error, int code, const char *format, ...)
{
	va_list arguments;

	if (!error)
		return code;
	va_start(arguments, format);
	format_text(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	return code;
}
