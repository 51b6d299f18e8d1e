/* SPDX-License-Identifier: Apache-2.0 */
#include "utf8.h"

size_t wb_utf8_decode(const uint8_t *data, size_t length, uint32_t *ret_character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t c = data[0];
	size_t n;

	if (c < 0x80) {
		*ret_character = c;
		return 1;
	}
	if (c >= 0xc2 && c <= 0xdf)
		n = 2;
	else if ((c & 0xf0) == 0xe0)
		n = 3;
	else if (c >= 0xf0 && c <= 0xf4)
		n = 4;
	else
		return 0;
	if (n > length)
		return 0;
	c &= 0x7fu >> n;
	for (size_t i = 1; i < n; i++) {
		if ((data[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (data[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret_character = c;
	return n;
}

size_t wb_utf8_cut(const uint8_t *data, size_t length, size_t max)
{
	if (length <= max)
		return length;
	/* A character has at most three continuation bytes; more of them are not UTF-8 and may be cut anywhere. */
	for (size_t back = 0; back < 4 && back < max; back++)
		if ((data[max - back] & 0xc0) != 0x80)
			return max - back;
	return max;
}

bool wb_utf8_harmless(uint32_t character)
{
	if (character < 0x20 || (character >= 0x7f && character < 0xa0))
		return false;
	/* Marks and overrides of the writing direction, line and paragraph separators, the byte order mark. */
	return !((character >= 0x200e && character <= 0x200f) || (character >= 0x2028 && character <= 0x202e) ||
		 (character >= 0x2066 && character <= 0x2069) || character == 0x061c || character == 0xfeff);
}
