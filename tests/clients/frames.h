/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames with known content: everything in a frame is a function of (plan, sequence number), so whoever receives one
 * can make the whole frame again and compare. Frame number seq belongs to flow seq % flows and is number seq / flows
 * of that flow. Layout: Ethernet, VLAN tag if the plan has one, IPv4, UDP (TCP in super-frames), then
 * magic (2 bytes), sequence (8), flow (4), sequence in the flow (4), all big-endian, then pseudo-random bytes.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MIN_BYTES 60
#define FRAME_MAX_BYTES 65549 /* Ethernet and the longest IPv4 packet */
#define FRAME_GSO_SEGMENT 1448

struct frame_plan {
	uint64_t seed;
	uint64_t count;
	uint32_t flows;
	uint32_t size;      /* bytes with the Ethernet header, without the tag; 0: mixed, 60 to 1514 */
	bool tcp;           /* super-frames to be cut into segments by the kernel */
	bool reverse;       /* what the other end of each flow sends */
	uint16_t vlan_tpid; /* 0: no tag */
	uint16_t vlan_tci;
};

struct frame_id {
	uint64_t seq;
	uint32_t flow;
	uint32_t flow_seq;
};

void frame_plan_init(struct frame_plan *plan);
/*
 * Set one member from a command line: seed, count, flows, sizes (mixed, BYTES, or gso:BYTES), vlan (TCI or TPID:TCI),
 * reverse (0 or 1).
 * Returns 0, or -EINVAL: the name is none of these, or the value is wrong.
 */
int frame_plan_set(struct frame_plan *plan, const char *name, const char *value);
/* Length of frame seq in bytes, with the tag. */
uint32_t frame_size(const struct frame_plan *plan, uint64_t seq);
/* Write frame seq to out (FRAME_MAX_BYTES + 4 bytes); returns its length. */
uint32_t frame_make(const struct frame_plan *plan, uint64_t seq, uint8_t *out);
/* Find out which frame of the plan this is, from its first bytes. false: none. */
bool frame_identify(const struct frame_plan *plan, const uint8_t *data, size_t length, struct frame_id *ret_id);

#endif
