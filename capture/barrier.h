/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All memory ordering of the library.
 *
 * The status word of a block (V3) or frame (V1, V2) passes the ownership of the memory behind it back and forth between
 * the kernel and one reader.
 *
 * Kernel to user: the kernel writes packets and headers, then smp_wmb(), then the status with TP_STATUS_USER
 * (net/packet/af_packet.c, prb_flush_block() and __packet_set_status()). The reader's load of the status is an acquire:
 * what it reads afterwards, offset_to_first_pkt and num_pkts included, is what the kernel wrote before. A plain load
 * would let the compiler or the CPU fetch those fields before the status, from the block's previous life.
 *
 * User to kernel: the reader's loads of packet bytes must be complete before the kernel may write there again. The
 * store of TP_STATUS_KERNEL is a release, which orders earlier loads and stores before it. With a plain store the
 * kernel on another CPU could overwrite bytes that are still to be read.
 *
 * The wake flag is raised by any thread and taken by the reader. Raising is a release and taking an acquire, so that
 * what the waking thread wrote before (a stop flag, for instance) is seen by the reader that was woken.
 *
 * Calls and close share one word (struct tpk_life). A call sets TPK_BUSY, close sets TPK_CLOSING, each with an atomic
 * read-modify-write that tells what was set before; of two such operations on one word one comes first, so either the
 * call sees TPK_CLOSING and turns back, or close sees TPK_BUSY and waits. Setting is an acquire and a release: what the
 * closing thread wrote before is seen by the call that turns back. Clearing TPK_BUSY is a release, and the closing
 * thread looks with an acquire, so that all that the call did lies before the memory is freed. References: giving one
 * back is a release and, for the one who gave back the last and frees, an acquire. Taking one more needs no order, as
 * whoever takes it has one already.
 *
 * Lengths and offsets in the ring are fetched once, each by one relaxed load: what was checked is what is used,
 * whatever becomes of the memory meanwhile. A plain load the compiler is free to repeat.
 *
 * The words lie in memory shared with the kernel, which knows nothing of _Atomic; so the compiler's __atomic operations
 * on plain integers are used. On x86-64 both block operations are ordinary moves.
 */
#ifndef TPACKET_BARRIER_H
#define TPACKET_BARRIER_H

#include <stdbool.h>
#include <stdint.h>

static inline uint32_t tpk_load_acquire(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void tpk_store_release(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

#define tpk_fetch(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* V1: the status is as wide as a long. */
static inline unsigned long tpk_load_acquire_long(const unsigned long *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void tpk_store_release_long(unsigned long *word, unsigned long value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline void tpk_flag_raise(bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_RELEASE);
}

/* Lower the flag and tell whether it was up. The first load spares the locked exchange when it was not. */
static inline bool tpk_flag_take(bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED) && __atomic_exchange_n(flag, false, __ATOMIC_ACQUIRE);
}

/* Only a hint that there is something to look at, which is then done in order. */
static inline bool tpk_flag_is_up(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

/* Set bits; returns what was set before. */
static inline uint32_t tpk_bits_set(uint32_t *word, uint32_t bits)
{
	return __atomic_fetch_or(word, bits, __ATOMIC_ACQ_REL);
}

static inline void tpk_bits_clear(uint32_t *word, uint32_t bits)
{
	__atomic_fetch_and(word, ~bits, __ATOMIC_RELEASE);
}

/* Set the word to 0 if nothing but these bits is set in it; returns whether it was so. */
static inline bool tpk_bits_clear_only(uint32_t *word, uint32_t bits)
{
	return __atomic_compare_exchange_n(word, &bits, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

static inline void tpk_reference_take(uint32_t *references)
{
	__atomic_fetch_add(references, 1, __ATOMIC_RELAXED);
}

/* Returns whether it was the last one. */
static inline bool tpk_reference_drop(uint32_t *references)
{
	return __atomic_fetch_sub(references, 1, __ATOMIC_ACQ_REL) == 1;
}

#endif
