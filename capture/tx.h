/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending ring, as tx.c (open and close), tx_ring.c (frames) and tx_wait.c (interface, waiting) share it.
 *
 * Frames are numbered as they are committed; an entry tells what became of each. Places are numbered, too: place p lies
 * in slot p modulo the number of slots. The kernel takes the places one after the other and can skip none: at a frame
 * with an error it stays until something that can be sent lies there. So a frame may move to an earlier place before it
 * is shown to the kernel:
 *
 *	places         taken  |  shown  |  (left by failed frames)  queued  |  free
 *	      base_place  take_place  show_place                            tail_place
 *	frames    head_frame  take_frame  show_frame                        tail_frame
 */
#ifndef TPACKET_TX_INTERNAL_H
#define TPACKET_TX_INTERNAL_H

#include "internal.h"
#include "tpacket_tx.h"

enum tpk_tx_state {
	TPK_TX_QUEUED, /* shown to the kernel or not, but not taken */
	TPK_TX_TAKEN,  /* sent or on its way: its slot's status tells */
	TPK_TX_FAILED, /* has no place any more */
};

struct tpk_tx_entry {
	uint64_t cookie;
	uint64_t place;
	uint32_t bytes;
	int32_t error;
	enum tpk_tx_state state;
};

struct tpacket_tx {
	uint8_t *ring;
	struct tpk_tx_entry *entries; /* frame_count */
	uint32_t frame_count;
	uint32_t frames_per_block;
	uint32_t block_bytes;
	uint32_t slot_bytes;
	uint32_t data_offset; /* of the frame in its slot: the kernel's header has this size */
	uint32_t vnet_header_bytes;
	bool is_v3;
	bool is_reserved;
	uint64_t head_frame; /* oldest whose result was not collected */
	uint64_t take_frame; /* oldest that the kernel may not have taken */
	uint64_t show_frame; /* first that was not shown to the kernel */
	uint64_t tail_frame; /* next to be committed */
	uint64_t base_place; /* of the oldest frame on its way whose result was not collected; none: take_place */
	uint64_t take_place; /* where the kernel looks next */
	uint64_t show_place;
	uint64_t tail_place;
	uint32_t queued;
	uint32_t window; /* how many frames are shown at once; small after a failed one */
	int stopped;     /* why the last send stopped before the end; 0: it did not */
	int64_t stopped_ns;
	struct tpacket_tx_counters counters; /* tpk_count() */

	/* The interface under it. tx_wait.c */
	uint32_t mtu;
	unsigned int index;
	uint16_t hardware_type;
	bool is_down;
	bool is_gone;
	int64_t next_look_ns;

	int fd;
	int wake_fd;
	int epoll_fd;
	bool woken; /* atomic */
	size_t map_bytes;
	uint32_t block_count;
};

/* tx_wait.c. Ask the kernel for MTU, state and type of the interface. 0 or -ENODEV: it is gone. */
int tpk_tx_look(struct tpacket_tx *tx, int64_t now_ns);
int tpk_tx_look_when_due(struct tpacket_tx *tx);

/* tx_ring.c: can a result be collected? */
bool tpk_tx_has_result(const struct tpacket_tx *tx);
/* Set up the places and the window; entries and ring are there. */
void tpk_tx_ring_begin(struct tpacket_tx *tx);

#endif
