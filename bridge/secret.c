/* SPDX-License-Identifier: Apache-2.0 */
#include "secret.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

bool wb_secret_name(const char *name)
{
	static const char *const endings[] = {".key", ".pem", "secret_key", "password", "secret", "token"};
	size_t length = strlen(name);

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t ending = strlen(endings[i]);

		if (length >= ending && strcasecmp(name + length - ending, endings[i]) == 0)
			return true;
	}
	return false;
}

bool wb_secret_is_exposed(unsigned int mode)
{
	return mode & (S_IRWXO | S_IWGRP);
}

/* Put the mask in place of length bytes at a place of text. Returns what is behind it. */
static char *replace(char *text, size_t size, char *at, size_t length)
{
	const size_t mask_length = sizeof(WB_SECRET_MASK) - 1;
	size_t room = size - (size_t)(at - text);
	size_t rest = strlen(at + length) + 1;

	if (room <= mask_length) {
		*at = '\0';
		return at;
	}
	if (rest > room - mask_length)
		rest = room - mask_length;
	memmove(at + mask_length, at + length, rest);
	memcpy(at, WB_SECRET_MASK, mask_length);
	text[size - 1] = '\0';
	return at + mask_length;
}

void wb_secret_redact(char *text, size_t size, const char *secret)
{
	size_t length = strlen(secret);
	char *at = text;

	while (length && (at = strstr(at, secret)))
		at = replace(text, size, at, length);
}

static bool is_shown_as(char c, char shown)
{
	return c == shown || (shown == '?' && ((unsigned char)c < 0x20 || (unsigned char)c >= 0x7f));
}

/* How much of text is a piece of secret: the longest one. */
static size_t piece_length(const char *text, const char *secret)
{
	size_t longest = 0;

	for (; *secret; secret++) {
		size_t length = 0;

		while (secret[length] && is_shown_as(secret[length], text[length]))
			length++;
		if (length > longest)
			longest = length;
	}
	return longest;
}

void wb_secret_redact_quotes(char *text, size_t size, const char *secret)
{
	char *quote = strchr(text, '\'');

	while (quote) {
		size_t length = piece_length(quote + 1, secret);
		char end = quote[1 + length];

		if (length > 0 && (end == '\'' || end == '\0'))
			quote = replace(text, size, quote + 1, length);
		quote = strchr(quote + (*quote != '\0'), '\'');
	}
}
