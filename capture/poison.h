/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With AddressSanitizer: a packet that is used after its block was given back is an error, as use after free is. The
 * kernel writes through a mapping of its own and is not affected. Without it: nothing.
 */
#ifndef TPACKET_POISON_H
#define TPACKET_POISON_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TPK_HAS_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define TPK_HAS_ASAN 1
#endif

#ifdef TPK_HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

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

#endif
