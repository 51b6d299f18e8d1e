/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of reading wire format that are rare or long. */
#include "wire.h"
#include "fields.h"
#include "varint.h"

#define LENGTH_MAX ((uint64_t)INT32_MAX)
#define KNOWN_BITS 32

static inline const uint8_t *get_varint(
	const uint8_t *p, const uint8_t *end, unsigned int max_bytes, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < max_bytes && p < end; i++) {
		uint64_t byte = *p++;

		/* The tenth byte has room for one bit only. */
		if (i == WBP_VARINT64_MAX_BYTES - 1 && byte > 1)
			return NULL;
		value |= (byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			*ret_value = value;
			return value <= max ? p : NULL;
		}
	}
	return NULL;
}

const uint8_t *wbp_get_long_varint(const uint8_t *p, const uint8_t *end, uint64_t *ret_value)
{
	return get_varint(p, end, WBP_VARINT64_MAX_BYTES, UINT64_MAX, ret_value);
}

const uint8_t *wbp_get_long_tag(const uint8_t *p, const uint8_t *end, uint32_t *ret_tag)
{
	uint64_t value;

	p = get_varint(p, end, WBP_VARINT32_MAX_BYTES, UINT32_MAX, &value);
	if (p)
		*ret_tag = (uint32_t)value;
	return p;
}

const uint8_t *wbp_get_long_length(const uint8_t *p, const uint8_t *end, uint32_t *ret_length)
{
	uint64_t value;

	p = get_varint(p, end, WBP_VARINT32_MAX_BYTES, LENGTH_MAX, &value);
	if (p)
		*ret_length = (uint32_t)value;
	return p;
}

const uint8_t *wbp_skip(const uint8_t *p, const uint8_t *end, uint32_t tag, uint32_t known)
{
	uint32_t field = tag >> 3, length;
	const uint8_t *data;
	uint64_t value;

	if (field == 0 || (field < KNOWN_BITS && known & WBP_FIELD_BIT(field)))
		return NULL;
	switch (tag & 7) {
	case WBP_VARINT:
		return wbp_get_u64(p, end, &value);
	case WBP_FIXED64:
		return wbp_get_fixed64(p, end, &value);
	case WBP_BYTES:
		return wbp_get_bytes(p, end, &data, &length);
	case WBP_FIXED32:
		return wbp_get_fixed32(p, end, &length);
	default: /* groups, which proto3 does not have, and the two types that do not exist */
		return NULL;
	}
}
