/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for libtpacket's handle: what a worker reads is a script of leases and errors. It defines the tpacket_
 * functions that a worker calls, so a test that links it needs no ring, no interface and no rights.
 *
 * A lease's frames are overwritten and freed when it is given back, so whoever kept a pointer into them shows it.
 */
#ifndef TEST_FAKE_RING_H
#define TEST_FAKE_RING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tpacket.h"

struct fake_item;

struct tpacket {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC */
	struct fake_item *first;
	struct fake_item **last;
	struct tpacket_counters counters;
	uint64_t leases; /* taken so far */
	size_t pending;  /* leases and errors not taken yet */
	bool leased;
	bool woken;
	bool stopped;
	uint64_t lost_at_stop; /* dropped by the kernel just before tpacket_stop(); set it before the start */
	bool late;             /* set it before the start: nothing can be read before tpacket_stop() */
	bool reopens;          /* set it before the start: -ENODEV is reported once */
	unsigned int interface_index;
	uint16_t hardware_type;
	void (*after_stats)(void *context); /* what happens right after tpacket_stats(); NULL: nothing */
	void *after_stats_context;
	bool misused; /* a second lease, a release of nothing, a push after the stop */
};

void fake_ring_init(struct tpacket *ring);
void fake_ring_fini(struct tpacket *ring);

/* Append one lease with copies of the packets. After tpacket_stop() nothing gets in: returns false. */
bool fake_ring_push(struct tpacket *ring, const struct tpacket_packet *packets, size_t count);
/* Append an error; -ENODEV is reported for ever, unless the ring reopens. */
void fake_ring_push_error(struct tpacket *ring, int error);
/* The kernel drops packets because the ring is full. */
void fake_ring_lose(struct tpacket *ring, uint64_t packets);

uint64_t fake_ring_leases(struct tpacket *ring);
size_t fake_ring_pending(struct tpacket *ring);
/* Wait until everything was taken and the last lease given back. */
bool fake_ring_wait_empty(struct tpacket *ring, int timeout_ms);

#endif
