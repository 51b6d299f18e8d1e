/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads what the tests need of capture files: pcapng (draft-ietf-opsawg-pcapng) with Enhanced Packet Blocks, and
 * classic pcap with nanoseconds. Strict on purpose: what a correct writer would not write is an error. Little-endian
 * hosts only.
 */
#ifndef CAPFILE_H
#define CAPFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct capfile_packet {
	uint64_t time_ns;
	const uint8_t *data; /* valid until the next call */
	uint32_t captured;
	uint32_t original;
	const char *interface; /* "" when the file does not say */
	uint32_t link_type;
	bool has_flags;
	uint32_t flags; /* epb_flags */
};

struct capfile;

/* NULL: not a capture file that this reads; a message was printed. */
struct capfile *capfile_open(FILE *stream);
/* 1: a packet; 0: the end, at the end of a block; -1: damaged, a message was printed. */
int capfile_next(struct capfile *file, struct capfile_packet *ret_packet);
void capfile_close(struct capfile *file);

#endif
