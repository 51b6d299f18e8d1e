/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WBPROTO_UTF8_H
#define WBPROTO_UTF8_H

#include "wbproto.h"

#include <stdbool.h>

/* Whether the text is UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool wbp_utf8_valid(struct wbproto_view text);

#endif
