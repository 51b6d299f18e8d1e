/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <inttypes.h>

#include "utf8.h"

void wb_report_session(const uint8_t *id, char ret_text[WB_REPORT_SESSION_BYTES])
{
	size_t n = 0;

	for (size_t i = 0; i < WBPROTO_SESSION_ID_BYTES; i++)
		n += (size_t)snprintf(ret_text + n, WB_REPORT_SESSION_BYTES - n, "%s%02x",
			i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
}

void wb_report_u64(FILE *stream, const char *name, uint64_t value)
{
	fprintf(stream, "\"%s\":%" PRIu64 ",", name, value);
}

void wb_report_text(FILE *stream, const char *text, size_t length)
{
	const uint8_t *at = (const uint8_t *)text;

	fputc('"', stream);
	while (length > 0) {
		uint32_t character = 0;
		size_t n = wb_utf8_decode(at, length, &character);

		if (!n)
			fputs("\xef\xbf\xbd", stream);
		else if (character == '"' || character == '\\')
			fprintf(stream, "\\%c", (char)character);
		else if (wb_utf8_harmless(character))
			fwrite(at, 1, n, stream);
		else
			fprintf(stream, "\\u%04x", (unsigned int)(character & 0xffff));
		at += n ? n : 1;
		length -= n ? n : 1;
	}
	fputc('"', stream);
}

void wb_report_counters(FILE *stream, const struct wbproto_counters *counters)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{"kernel_seen", counters->kernel_seen},
		{"kernel_dropped", counters->kernel_dropped},
		{"read", counters->read},
		{"filtered", counters->filtered},
		{"sampled_out", counters->sampled_out},
		{"accepted", counters->accepted},
		{"truncated", counters->truncated},
		{"recovered", counters->recovered},
		{"delivered", counters->delivered},
		{"handed_over", counters->handed_over},
		{"failed", counters->failed},
		{"unknown", counters->unknown},
		{"dropped", counters->dropped},
		{"open", counters->open},
		{"in_flight", counters->in_flight},
		{"spooled", counters->spooled},
		{"kernel_freezes", counters->kernel_freezes},
		{"dropped_too_large", counters->dropped_too_large},
		{"dropped_no_buffer", counters->dropped_no_buffer},
		{"dropped_bus_full", counters->dropped_bus_full},
		{"dropped_shutdown", counters->dropped_shutdown},
		{"dropped_spool_full", counters->dropped_spool_full},
		{"interface_gaps", counters->interface_gaps},
		{"interface_gap_nano", counters->interface_gap_ns},
	};

	fputs("\"counters\":{", stream);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		fprintf(stream, "%s\"%s\":%" PRIu64, i ? "," : "", rows[i].name, rows[i].value);
	fputs("},", stream);
}
