/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading wire format from untrusted bytes. Each function reads at p, never at or beyond end, and returns where the
 * next item begins, or NULL when the bytes are not valid.
 */
#ifndef WBPROTO_WIRE_H
#define WBPROTO_WIRE_H

#include "wbproto.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* A varint of any length; the value must fit into 64 bits and the varint into 10 bytes. */
const uint8_t *wbp_get_long_varint(const uint8_t *p, const uint8_t *end, uint64_t *ret_value);
/* As parsers of protobuf have it, tags and lengths take at most 5 bytes and messages are shorter than 2 GiB. */
const uint8_t *wbp_get_long_tag(const uint8_t *p, const uint8_t *end, uint32_t *ret_tag);
const uint8_t *wbp_get_long_length(const uint8_t *p, const uint8_t *end, uint32_t *ret_length);
/* Skip the value of an unknown field. NULL for fields of which `known` has the bit: they have another wire type. */
const uint8_t *wbp_skip(const uint8_t *p, const uint8_t *end, uint32_t tag, uint32_t known);

static inline const uint8_t *wbp_get_u64(const uint8_t *p, const uint8_t *end, uint64_t *ret_value)
{
	if (p < end && p[0] < 0x80) {
		*ret_value = p[0];
		return p + 1;
	}
	if (end - p >= 2 && p[1] < 0x80) {
		*ret_value = (p[0] & 0x7fu) | (uint64_t)p[1] << 7;
		return p + 2;
	}
	return wbp_get_long_varint(p, end, ret_value);
}

/* A varint of at most `max`. */
static inline const uint8_t *wbp_get_bounded(const uint8_t *p, const uint8_t *end, uint64_t max, uint64_t *ret_value)
{
	p = wbp_get_u64(p, end, ret_value);
	return p && *ret_value <= max ? p : NULL;
}

static inline const uint8_t *wbp_get_u32(const uint8_t *p, const uint8_t *end, uint32_t *ret_value)
{
	uint64_t value;

	p = wbp_get_bounded(p, end, UINT32_MAX, &value);
	if (p)
		*ret_value = (uint32_t)value;
	return p;
}

static inline const uint8_t *wbp_get_u16(const uint8_t *p, const uint8_t *end, uint16_t *ret_value)
{
	uint64_t value;

	p = wbp_get_bounded(p, end, UINT16_MAX, &value);
	if (p)
		*ret_value = (uint16_t)value;
	return p;
}

static inline const uint8_t *wbp_get_bool(const uint8_t *p, const uint8_t *end, bool *ret_value)
{
	uint64_t value;

	p = wbp_get_u64(p, end, &value);
	if (p)
		*ret_value = value != 0;
	return p;
}

static inline const uint8_t *wbp_get_fixed64(const uint8_t *p, const uint8_t *end, uint64_t *ret_value)
{
	uint64_t value;

	if ((size_t)(end - p) < sizeof(value))
		return NULL;
	memcpy(&value, p, sizeof(value));
	*ret_value = le64toh(value);
	return p + sizeof(value);
}

static inline const uint8_t *wbp_get_fixed32(const uint8_t *p, const uint8_t *end, uint32_t *ret_value)
{
	uint32_t value;

	if ((size_t)(end - p) < sizeof(value))
		return NULL;
	memcpy(&value, p, sizeof(value));
	*ret_value = le32toh(value);
	return p + sizeof(value);
}

static inline const uint8_t *wbp_get_tag(const uint8_t *p, const uint8_t *end, uint32_t *ret_tag)
{
	if (p < end && *p < 0x80) {
		*ret_tag = *p;
		return p + 1;
	}
	return wbp_get_long_tag(p, end, ret_tag);
}

/* A length and as many bytes, which are left where they are. */
static inline const uint8_t *wbp_get_bytes(
	const uint8_t *p, const uint8_t *end, const uint8_t **ret_data, uint32_t *ret_length)
{
	uint32_t length;

	if (p < end && p[0] < 0x80) {
		length = *p++;
	} else if (end - p >= 2 && p[1] < 0x80) {
		length = (p[0] & 0x7fu) | (uint32_t)p[1] << 7;
		p += 2;
	} else {
		p = wbp_get_long_length(p, end, &length);
	}
	if (!p || (size_t)(end - p) < length)
		return NULL;
	*ret_data = p;
	*ret_length = length;
	return p + length;
}

static inline const uint8_t *wbp_get_view(const uint8_t *p, const uint8_t *end, struct wbproto_view *ret_view)
{
	const uint8_t *data;
	uint32_t length;

	p = wbp_get_bytes(p, end, &data, &length);
	if (p)
		*ret_view = (struct wbproto_view){.data = data, .length = length};
	return p;
}

#endif
