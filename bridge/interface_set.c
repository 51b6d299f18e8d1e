/* SPDX-License-Identifier: Apache-2.0 */
#include "interface_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* Of an interface in a message, beside its texts: tags, lengths and numbers. */
#define NUMBERS_BYTES 64u

int wb_interface_set_init(struct wb_interface_set *set, size_t max_bytes)
{
	*set = (struct wb_interface_set){.max_bytes = max_bytes};
	if (set->max_bytes < WB_INTERFACE_SET_MIN_BYTES)
		set->max_bytes = WB_INTERFACE_SET_MIN_BYTES;
	set->texts = malloc(set->max_bytes);
	return set->texts ? 0 : -ENOMEM;
}

void wb_interface_set_fini(struct wb_interface_set *set)
{
	free(set->texts);
	*set = (struct wb_interface_set){0};
}

void wb_interface_set_clear(struct wb_interface_set *set)
{
	set->count = 0;
	set->used = 0;
	set->last = 0;
}

const struct wbproto_interface *wb_interface_set_find(struct wb_interface_set *set, uint32_t index)
{
	if (set->last < set->count && set->items[set->last].index == index)
		return &set->items[set->last];
	for (size_t i = 0; i < set->count; i++) {
		if (set->items[i].index == index) {
			set->last = i;
			return &set->items[i];
		}
	}
	return NULL;
}

/* Copy text as UTF-8 of the same length: '?' for each byte that is not part of a character. */
static struct wbproto_view copy(struct wb_interface_set *set, struct wbproto_view text)
{
	struct wbproto_view copied = {set->texts + set->used, text.length};
	const uint8_t *from = text.data;
	char *to = set->texts + set->used;
	uint32_t character;

	for (size_t left = text.length; left > 0;) {
		size_t taken = wb_utf8_decode(from, left, &character);

		if (taken)
			memcpy(to, from, taken);
		else
			*to = '?';
		taken += !taken;
		from += taken;
		to += taken;
		left -= taken;
	}
	set->used += text.length;
	return copied;
}

int wb_interface_set_add(struct wb_interface_set *set, const struct wbproto_interface *interface)
{
	struct wbproto_interface item = *interface;
	size_t needed;

	if (item.name.length > WB_INTERFACE_NAME_BYTES)
		item.name.length = wb_utf8_cut(item.name.data, item.name.length, WB_INTERFACE_NAME_BYTES);
	if (NUMBERS_BYTES + item.name.length + item.filter.length > set->max_bytes)
		item.filter.length = 0;
	needed = NUMBERS_BYTES + item.name.length + item.filter.length;
	if (set->count == WB_INTERFACE_SET_COUNT || set->count * NUMBERS_BYTES + set->used + needed > set->max_bytes)
		return -ENOSPC;
	item.name = copy(set, item.name);
	item.filter = copy(set, item.filter);
	set->last = set->count;
	set->items[set->count++] = item;
	return 0;
}
