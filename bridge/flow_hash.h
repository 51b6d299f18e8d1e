/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which flow a frame belongs to, as a number that is the same for both directions, in every worker and on every node.
 * The kernel's flow hash is seeded at boot and cannot be that.
 *
 * The function has no seed and will not change, so that others can compute a flow's bucket. With unsigned 64-bit
 * numbers, addresses read as big-endian ones,
 *
 *	mix(x)                twice (x ^= x >> 32; x *= 0xd6e8feb86659fd93), then x ^= x >> 32
 *	end4(address, port)   mix(address << 16 | port)
 *	end6(high, low, port) mix((mix(high) ^ low) + port)
 *	end2(MAC address)     mix(address)
 *	hash                  the low 32 bits of mix(end of the source + end of the destination + protocol)
 *	bucket                hash modulo flow_buckets
 *
 * - IPv4 and IPv6, behind up to four VLAN tags: protocol is that of the header behind the extension headers (at most
 *   eight). Ports are those of TCP, UDP, UDP-Lite, SCTP and DCCP, 0 for all others.
 * - Fragments of a datagram must not part: their ports are taken as 0, those of the first fragment too, and in IPv6
 *   protocol is 44, as their next header need not be the same.
 * - Everything else by its MAC addresses, with protocol 0; 802.11 frames by addresses 1 and 2.
 * - 0 when the frame is too short even for that.
 *
 * What lies in a tunnel is not looked at.
 */
#ifndef WB_FLOW_HASH_H
#define WB_FLOW_HASH_H

#include <stddef.h>
#include <stdint.h>

/*
 * link_type: LINKTYPE_* as in Interface.link_type. frame: length bytes as captured, of which nothing is trusted.
 * Threads: any. Blocks: never.
 */
uint32_t wb_flow_hash(uint32_t link_type, const void *frame, size_t length);

#endif
