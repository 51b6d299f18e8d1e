/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the library share. Not installed. Internal functions are called tpk_, public ones tpacket_.
 */
#ifndef TPACKET_INTERNAL_H
#define TPACKET_INTERNAL_H

#include "tpacket.h"
#include "kernel.h"

#include <errno.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define NS_PER_MS 1000000LL
#define NS_PER_S 1000000000LL

/* What differs between the ring versions. */
struct tpk_ring_ops {
	enum tpacket_version version;
	int kernel_version;       /* PACKET_VERSION */
	uint32_t min_frame_bytes; /* smallest frame_bytes that the kernel takes */
	/* Tell the kernel the geometry. Negative errno. */
	int (*request)(struct tpacket *handle, const struct tpacket_options *options, uint32_t block_count);
	/* Largest distance from a frame's header to the end of its captured bytes; a longer frame was cut by the ring.
	 */
	uint32_t (*frame_limit)(const struct tpacket_geometry *geometry);
	/* Take what lies at the ring's head, if it is user space's. */
	bool (*acquire)(struct tpacket *handle, struct tpacket_lease *lease);
	bool (*next)(struct tpacket_lease *lease, struct tpacket_packet *ret_packet);
	void (*release)(struct tpacket *handle, const struct tpacket_lease *lease);
};

extern const struct tpk_ring_ops tpk_ring_v3;

struct tpk_link {
	unsigned int index; /* of the interface; 0: all */
	uint16_t hardware_type;
	bool is_down;
	bool report_down;
	bool is_gone;
	int64_t next_check_ns; /* CLOCK_MONOTONIC */
	int64_t gone_final_ns; /* from then on nothing can come any more */
};

struct tpacket {
	/* Read for every packet or block. */
	const struct tpk_ring_ops *ops;
	uint8_t *ring;
	struct tpacket_geometry geometry;
	uint32_t frame_limit;
	uint32_t vnet_header_bytes; /* 0 or VNET_HEADER_BYTES */
	uint32_t snap_length;
	uint32_t head;       /* block that is handed over next */
	const uint8_t *held; /* block that is leased; NULL: none */
	bool woken;
	struct tpacket_counters counters;

	/* Used at the start, the end and while waiting. */
	int fd;
	int wake_fd;
	size_t map_bytes; /* 0: the ring is the caller's memory */
	uint32_t retire_ms;
	struct tpk_link link;
	int fanout_id; /* -ENOENT: none */
	bool is_started;
	struct sock_filter *filter; /* NULL: everything, cut to snap_length */
	uint16_t filter_length;
};

/* error.c: fill in the message. ret_error may be NULL. tpk_refuse() returns -EINVAL; tpk_error() returns error and adds
 * its text to the message. */
int tpk_refuse(struct tpacket_error *ret_error, const char *format, ...) __attribute__((format(printf, 2, 3)));
int tpk_error(struct tpacket_error *ret_error, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* options.c: check every rule that does not need the kernel. */
int tpk_options_check(
	const struct tpacket_options *options, const struct tpk_ring_ops *ops, struct tpacket_error *ret_error);

/* ring.c */
const struct tpk_ring_ops *tpk_ring_ops_find(enum tpacket_version version);
int tpk_ring_map(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error);
void tpk_ring_unmap(struct tpacket *handle);
/* A handle without a socket over the caller's memory, which holds the ring's blocks: for tests and fuzzing. */
void tpk_handle_over_memory(struct tpacket *handle, const struct tpk_ring_ops *ops, void *ring,
	const struct tpacket_geometry *geometry, uint32_t vnet_header_bytes);

/* filter.c: attach a program that lets nothing pass; have the kernel judge the caller's; keep a copy of it. */
int tpk_filter_reject_all(int fd);
int tpk_filter_check(int fd, const struct sock_filter *filter, uint16_t length);
int tpk_filter_keep(struct tpacket *handle, const struct sock_filter *filter, uint16_t length);

/* link.c: the interface's state. */
int tpk_link_find(int fd, const char *name, unsigned int *ret_index);
int tpk_link_bind(struct tpacket *handle, const struct tpacket_options *options);
int tpk_link_memberships(struct tpacket *handle, const struct tpacket_options *options);
int tpk_link_socket_error(int fd);
/*
 * Look after the interface while there is nothing to read. 0, -ENETDOWN, -ENODEV or another error of the socket.
 * has_error: poll(2) said POLLERR; ret_is_sticky: and reading the error away did not explain it.
 */
int tpk_link_check(struct tpacket *handle, bool has_error, int64_t now_ns, bool *ret_is_sticky);

/* wait.c */
int64_t tpk_now_ns(void);
void tpk_wake_drain(struct tpacket *handle);
int tpk_wait_for_block(struct tpacket *handle, int timeout_ms, struct tpacket_lease *lease);

/* stats.c: add what PACKET_STATISTICS gave, which the kernel has reset by giving it. */
void tpk_stats_add(struct tpacket_counters *counters, uint32_t packets, uint32_t drops, uint32_t freezes);

#endif
