/* SPDX-License-Identifier: Apache-2.0 */
/* Writing varints and little-endian integers. The caller has made sure that there is room. */
#ifndef WBPROTO_VARINT_H
#define WBPROTO_VARINT_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define WBP_VARINT32_MAX_BYTES 5
#define WBP_VARINT64_MAX_BYTES 10

/* Bytes of the shortest varint of value: one for each 7 bits begun, without a loop or a division. */
static inline uint32_t wbp_varint_bytes(uint64_t value)
{
	uint32_t top_bit = 63 - (uint32_t)__builtin_clzll(value | 1);

	return (top_bit * 9 + 73) / 64;
}

static inline uint8_t *wbp_put_varint(uint8_t *out, uint64_t value)
{
	while (value >= 0x80) {
		*out++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*out++ = (uint8_t)value;
	return out;
}

static inline uint8_t *wbp_put_le64(uint8_t *out, uint64_t value)
{
	value = htole64(value);
	memcpy(out, &value, sizeof(value));
	return out + sizeof(value);
}

static inline uint8_t *wbp_put_le32(uint8_t *out, uint32_t value)
{
	value = htole32(value);
	memcpy(out, &value, sizeof(value));
	return out + sizeof(value);
}

#endif
