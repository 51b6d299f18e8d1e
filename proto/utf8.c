/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 check. protobuf parsers refuse a whole message for one string that is not UTF-8, so none may be written. */
#include "utf8.h"

#include <stdint.h>

/*
 * Length of the sequence that begins at s, of which left bytes are there; 0 when it is not valid.
 * Ref: RFC 3629 section 4; the second byte's range is what excludes overlong forms, surrogates and too large values.
 */
static size_t sequence_bytes(const uint8_t *s, size_t left)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t bytes;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		bytes = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		bytes = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		bytes = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (left < bytes || s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < bytes; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return bytes;
}

bool wbp_utf8_valid(struct wbproto_view text)
{
	const uint8_t *s = text.data;

	for (size_t at = 0, step; at < text.length; at += step) {
		step = sequence_bytes(s + at, text.length - at);
		if (step == 0)
			return false;
	}
	return true;
}
