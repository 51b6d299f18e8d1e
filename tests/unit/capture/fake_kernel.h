/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for the kernel and for the memory allocator by the linker's --wrap: records each call that opening a handle
 * makes, and lets one of them fail.
 */
#ifndef TEST_FAKE_KERNEL_H
#define TEST_FAKE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_STEPS 160

struct fake_kernel {
	int fail_at; /* number of the call that fails; -1: none */
	int error;
	int calls;
	const char *only;                 /* count only calls of this name; NULL: all */
	const char *names[MAX_STEPS];     /* in order */
	uint32_t block_counts[MAX_STEPS]; /* of each ring that was asked for */
	int rings;
	uint32_t max_blocks;  /* a larger ring is ENOMEM; 0: any */
	bool max_in_mmap;     /* mmap(2) says so, not setsockopt(2) */
	int mappings;         /* alive */
	uint32_t last_filter; /* k of the program's first instruction */
	int link_error;
	unsigned int memberships; /* 1 << mr_type of each that was added */
	int timestamp_source;     /* PACKET_TIMESTAMP; 0: never said */
	size_t fanout_bytes;
	uint32_t fanout_argument;
	int unknown_from; /* this ring version and later ones are EINVAL; 0: all are known */
	int hardware_type;
	bool vanishes;      /* once a step has failed, the interface is gone */
	bool has_no_rights; /* packet sockets are EPERM */
	bool is_active;
};

extern struct fake_kernel fake;

#endif
