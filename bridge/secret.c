/* SPDX-License-Identifier: Apache-2.0 */
#include "secret.h"

#include <string.h>
#include <strings.h>

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

void wb_secret_redact(char *text, size_t size, const char *secret)
{
	const size_t mask_length = sizeof(WB_SECRET_MASK) - 1;
	size_t secret_length = strlen(secret);
	char *at = text;

	if (secret_length == 0)
		return;
	while ((at = strstr(at, secret))) {
		size_t room = size - (size_t)(at - text);
		size_t rest = strlen(at + secret_length) + 1;

		if (room <= mask_length) {
			*at = '\0';
			return;
		}
		if (rest > room - mask_length)
			rest = room - mask_length;
		memmove(at + mask_length, at + secret_length, rest);
		memcpy(at, WB_SECRET_MASK, mask_length);
		text[size - 1] = '\0';
		at += mask_length;
	}
}
