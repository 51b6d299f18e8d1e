/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 in strings that came with a message: they are untrusted, whatever the schema promises. */
#ifndef WB_UTF8_H
#define WB_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Decode the character at the beginning of length bytes (at least 1). Returns the bytes it takes, or 0 when they are
 * not UTF-8 as RFC 3629 has it (overlong forms, surrogates and values beyond U+10FFFF are not).
 */
size_t wb_utf8_decode(const uint8_t *data, size_t length, uint32_t *ret_character);

/* How many of the first max bytes can be kept without cutting a character in two. length bytes are there. */
size_t wb_utf8_cut(const uint8_t *data, size_t length, size_t max);

/* Whether a terminal shows the character and does nothing else: no control, no change of writing direction. */
bool wb_utf8_harmless(uint32_t character);

#endif
