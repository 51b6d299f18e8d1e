/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_offset.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* Digits that end at `end`. */
static bool parse_digits(const char *text, const char *end, int64_t max, int64_t *ret_value)
{
	int64_t value = 0;

	if (text == end)
		return false;
	for (; text < end; text++) {
		if (!isdigit((unsigned char)*text) || value > (max - (*text - '0')) / 10)
			return false;
		value = value * 10 + (*text - '0');
	}
	*ret_value = value;
	return true;
}

static bool is_word(const char *text, const char *end, const char *word)
{
	return (size_t)(end - text) == strlen(word) && strncmp(text, word, strlen(word)) == 0;
}

static bool parse_place(const char *text, const char *end, struct wb_kafka_offset *ret_offset)
{
	ret_offset->number = 0;
	if (is_word(text, end, "earliest") || is_word(text, end, "beginning")) {
		ret_offset->kind = WB_KAFKA_OFFSET_EARLIEST;
		return true;
	}
	if (is_word(text, end, "latest") || is_word(text, end, "end")) {
		ret_offset->kind = WB_KAFKA_OFFSET_LATEST;
		return true;
	}
	ret_offset->kind = *text == '-' ? WB_KAFKA_OFFSET_FROM_END : WB_KAFKA_OFFSET_NUMBER;
	return parse_digits(text + (*text == '-'), end, INT64_MAX, &ret_offset->number);
}

/* One of the list; with a partition when there is a colon. */
static bool parse_one(const char *text, const char *end, struct wb_kafka_offset *ret_offset)
{
	const char *colon = memchr(text, ':', (size_t)(end - text));
	int64_t partition;

	ret_offset->partition = -1;
	if (!colon)
		return parse_place(text, end, ret_offset);
	if (!parse_digits(text, colon, INT32_MAX, &partition))
		return false;
	ret_offset->partition = (int32_t)partition;
	return parse_place(colon + 1, end, ret_offset);
}

/* One for all, or one for each of several partitions, each once. */
static bool is_consistent(const struct wb_kafka_offsets *offsets)
{
	for (size_t i = 0; i < offsets->count; i++) {
		if (offsets->count > 1 && offsets->list[i].partition < 0)
			return false;
		for (size_t j = 0; j < i; j++)
			if (offsets->list[i].partition == offsets->list[j].partition)
				return false;
	}
	return true;
}

int wb_kafka_offsets_parse(const char *text, struct wb_kafka_offsets *ret_offsets, struct wb_error *ret_error)
{
	struct wb_kafka_offsets offsets = {0};
	const char *at = text;
	size_t commas = 0;
	bool good = true;

	for (const char *c = text; *c; c++)
		commas += *c == ',';
	offsets.list = calloc(commas + 1, sizeof(*offsets.list));
	if (!offsets.list)
		return wb_fail(ret_error, -ENOMEM, "offset '%s': out of memory", text);
	while (good && offsets.count <= commas) {
		const char *end = strchrnul(at, ',');

		good = parse_one(at, end, &offsets.list[offsets.count++]);
		at = end + (*end == ',');
	}
	if (good && is_consistent(&offsets)) {
		*ret_offsets = offsets;
		return 0;
	}
	free(offsets.list);
	return wb_fail(ret_error, -EINVAL,
		"offset '%s': must be earliest, latest, a number, -N for N before the end, or PARTITION:OFFSET,... "
		"with each "
		"partition once",
		text);
}

void wb_kafka_offsets_fini(struct wb_kafka_offsets *offsets)
{
	free(offsets->list);
	*offsets = (struct wb_kafka_offsets){0};
}

const struct wb_kafka_offset *wb_kafka_offset_of(const struct wb_kafka_offsets *offsets, int32_t partition)
{
	for (size_t i = 0; i < offsets->count; i++)
		if (offsets->list[i].partition == -1 || offsets->list[i].partition == partition)
			return &offsets->list[i];
	return NULL;
}

int64_t wb_kafka_offset_resolve(const struct wb_kafka_offset *offset, int64_t low, int64_t high, int64_t *ret_lost)
{
	*ret_lost = 0;
	switch (offset->kind) {
	case WB_KAFKA_OFFSET_LATEST:
		return high;
	case WB_KAFKA_OFFSET_FROM_END:
		return high - low > offset->number ? high - offset->number : low;
	case WB_KAFKA_OFFSET_NUMBER:
		if (offset->number >= low)
			return offset->number;
		*ret_lost = low - offset->number;
		return low;
	default:
		return low;
	}
}
