/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that are used after they became invalid. A debug build overwrites their bytes, so that nobody takes them for
 * a packet; with AddressSanitizer using them is an error, as use after free is. The kernel writes through a mapping of
 * its own and is not affected. With NDEBUG nothing is overwritten.
 */
#ifndef TPACKET_POISON_H
#define TPACKET_POISON_H

#include <stddef.h>
#include <string.h>

/* What stands in a packet that is not valid any more. */
#define TPK_INVALID_BYTE 0xdb

/* gcc says it in the one way, clang in the other, and newer gcc in both. */
#if defined(__SANITIZE_ADDRESS__)
#define TPK_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TPK_HAS_ASAN 1
#endif
#endif

#ifdef TPK_HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* Whole granules of 8 bytes inside the region; never a byte outside of it. */
static inline void tpk_poison(const void *memory, size_t bytes)
{
#ifdef TPK_HAS_ASAN
	__asan_poison_memory_region(memory, bytes);
#endif
}

static inline void tpk_unpoison(const void *memory, size_t bytes)
{
#ifdef TPK_HAS_ASAN
	__asan_unpoison_memory_region(memory, bytes);
#endif
}

/* To be followed by poisoning the same bytes. */
static inline void tpk_overwrite(void *memory, size_t bytes)
{
#ifndef NDEBUG
	tpk_unpoison(memory, bytes);
	memset(memory, TPK_INVALID_BYTE, bytes);
#endif
}

#endif
