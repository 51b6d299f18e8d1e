/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of this folder write. Records: one for each packet, the head below and then captured_length bytes,
 * all little-endian. Standard output: "ready" once the ring receives; at the end one line of JSON with packets, bytes,
 * touched (sum of first byte and both lengths of each packet), dropped, polls, and cpu_ns, the process's CPU time from
 * "ready" to the last packet. user_ns is the part of it in user mode, as the kernel divides it, which may be by the
 * tick.
 */
#ifndef READER_H
#define READER_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct record_head {
	uint64_t time_ns;
	uint32_t captured_length;
	uint32_t original_length;
	uint32_t interface_index;
	uint32_t status;  /* TPACKET_STATUS_*; gopacket has none: 0 */
	int32_t vlan_tci; /* -1: none was told */
	uint32_t vlan_tpid;
};

_Static_assert(sizeof(struct record_head) == 32, "as the other programs read and write it");

static inline int record_write(FILE *file, const struct record_head *head, const void *data)
{
	if (fwrite(head, sizeof(*head), 1, file) != 1)
		return -1;
	return fwrite(data, 1, head->captured_length, file) == head->captured_length ? 0 : -1;
}

#endif
