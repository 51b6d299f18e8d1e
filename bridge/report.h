/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of what commands say at their end, for people and as JSON. */
#ifndef WB_REPORT_H
#define WB_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "wbproto.h"

#define WB_REPORT_SESSION_BYTES 40

/* A session's name in RFC 9562's text form. */
void wb_report_session(const uint8_t *id, char ret_text[WB_REPORT_SESSION_BYTES]);

/* Members of a JSON object, each with a comma behind it: "name":value, and "counters":{...}, */
void wb_report_u64(FILE *stream, const char *name, uint64_t value);
void wb_report_counters(FILE *stream, const struct wbproto_counters *counters);
/* A JSON string of bytes that came with a message. */
void wb_report_text(FILE *stream, const char *text, size_t length);

#endif
