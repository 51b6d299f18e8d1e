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

static inline void tpk_flag_raise(bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_RELEASE);
}

/* Lower the flag and tell whether it was up. The first load spares the locked exchange when it was not. */
static inline bool tpk_flag_take(bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED) && __atomic_exchange_n(flag, false, __ATOMIC_ACQUIRE);
}

#endif
