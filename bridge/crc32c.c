/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli): with the processor's instruction where there is one, otherwise with tables. */
#include <string.h>

#include "container.h"

/*
 * The tables for eight bytes at a time ("slicing by 8"). A CRC is linear: the entry for a byte is the exclusive or of
 * the entries of its bits. So each table is spelled by its eight single-bit entries and filled in by the compiler.
 */
#define BIT(i, bit, value) (((i) >> (bit)&1) * (value))
#define CRC(i, a, b, c, d, e, f, g, h)                                                                                 \
	(BIT(i, 0, a) ^ BIT(i, 1, b) ^ BIT(i, 2, c) ^ BIT(i, 3, d) ^ BIT(i, 4, e) ^ BIT(i, 5, f) ^ BIT(i, 6, g) ^      \
		BIT(i, 7, h))
#define FOUR(i, ...) CRC(i, __VA_ARGS__), CRC(i + 1u, __VA_ARGS__), CRC(i + 2u, __VA_ARGS__), CRC(i + 3u, __VA_ARGS__)
#define SIXTEEN(i, ...)                                                                                                \
	FOUR(i, __VA_ARGS__), FOUR(i + 4u, __VA_ARGS__), FOUR(i + 8u, __VA_ARGS__), FOUR(i + 12u, __VA_ARGS__)
#define SIXTY_FOUR(i, ...)                                                                                             \
	SIXTEEN(i, __VA_ARGS__), SIXTEEN(i + 16u, __VA_ARGS__), SIXTEEN(i + 32u, __VA_ARGS__),                         \
		SIXTEEN(i + 48u, __VA_ARGS__)
#define TABLE(...)                                                                                                     \
	{                                                                                                              \
		SIXTY_FOUR(0u, __VA_ARGS__), SIXTY_FOUR(64u, __VA_ARGS__), SIXTY_FOUR(128u, __VA_ARGS__),              \
			SIXTY_FOUR(192u, __VA_ARGS__)                                                                  \
	}

/* tables[n][i]: the CRC register after byte i and n zero bytes, starting from 0. Polynomial 0x82f63b78 (reflected). */
/* clang-format off */
static const uint32_t tables[8][256] = {
	TABLE(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78),
	TABLE(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9),
	TABLE(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743),
	TABLE(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f),
	TABLE(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c),
	TABLE(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6),
	TABLE(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4),
	TABLE(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664),
};
/* clang-format on */

static uint32_t load_le32(const uint8_t *bytes)
{
	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

uint32_t wb_crc32c_portable(uint32_t crc, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	crc = ~crc;
	for (; length >= 8; length -= 8, bytes += 8) {
		uint32_t low = crc ^ load_le32(bytes), high = load_le32(bytes + 4);

		crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
		      tables[4][low >> 24] ^ tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^
		      tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
	}
	for (; length > 0; length--, bytes++)
		crc = tables[0][(crc ^ *bytes) & 0xff] ^ crc >> 8;
	return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint64_t wide = (uint32_t)~crc;

	for (; length >= 8; length -= 8, bytes += 8) {
		uint64_t word;

		memcpy(&word, bytes, sizeof(word));
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; length > 0; length--, bytes++)
		crc = __builtin_ia32_crc32qi(crc, *bytes);
	return ~crc;
}
#endif

uint32_t wb_crc32c(uint32_t crc, const void *data, size_t length)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, data, length);
#endif
	return wb_crc32c_portable(crc, data, length);
}
