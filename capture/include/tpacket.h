/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libtpacket: packets from Linux's AF_PACKET mmap ring (packet(7), Documentation/networking/packet_mmap.rst).
 *
 * A handle is one socket with its ring. Several handles may form a fanout group, one for each thread. Frames are read
 * in place: a lease gives the caller a block of the ring, and giving the lease back gives the block to the kernel.
 *
 *	struct tpacket_options o;
 *	struct tpacket *t;
 *	struct tpacket_error e;
 *	tpacket_options_init(&o);
 *	o.interface = "eth0";
 *	if (tpacket_open(&o, &t, &e) < 0 || tpacket_start(t) < 0)
 *		errx(1, "%s", e.message);
 *	struct tpacket_lease lease;
 *	struct tpacket_packet p;
 *	while (tpacket_acquire(t, 1000, &lease) >= 0) {
 *		while (tpacket_lease_next(&lease, &p))
 *			use(p.data, p.captured_length);
 *		tpacket_release(&lease);
 *	}
 *
 * Functions return 0 or more, or a negative errno. The library never logs, never exits, needs libc alone.
 */
#ifndef TPACKET_H
#define TPACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sock_filter; /* <linux/filter.h> */
struct tpacket;

enum tpacket_version {
	TPACKET_VERSION_AUTO = 0, /* 3, then 2, then 1 */
	TPACKET_VERSION_1 = 1,
	TPACKET_VERSION_2 = 2,
	TPACKET_VERSION_3 = 3,
};

enum tpacket_socket {
	TPACKET_SOCKET_RAW = 0,   /* frames begin at the link-layer header */
	TPACKET_SOCKET_DGRAM = 1, /* frames begin at the network header */
};

enum tpacket_timestamp {
	TPACKET_TIMESTAMP_SOFTWARE = 0,
	TPACKET_TIMESTAMP_HARDWARE = 1, /* the card's clock, raw; software where the card gives none */
};

/* PACKET_FANOUT_*, packet(7). */
enum tpacket_fanout {
	TPACKET_FANOUT_NONE = -1,
	TPACKET_FANOUT_HASH = 0,
	TPACKET_FANOUT_LOAD_BALANCE = 1,
	TPACKET_FANOUT_CPU = 2,
	TPACKET_FANOUT_ROLLOVER = 3,
	TPACKET_FANOUT_RANDOM = 4,
	TPACKET_FANOUT_QUEUE_MAPPING = 5,
	TPACKET_FANOUT_CBPF = 6,
	TPACKET_FANOUT_EBPF = 7,
};
#define TPACKET_FANOUT_DEFRAG 1u /* reassemble IPv4 fragments first; changes the traffic that is seen */
#define TPACKET_FANOUT_ROLL 2u   /* to another member when one is full; breaks flow affinity */
#define TPACKET_FANOUT_IGNORE_OUTGOING 4u
#define TPACKET_FANOUT_UNIQUE_ID 8u /* the kernel chooses the id; read it back with tpacket_fanout_id() */

/* What went wrong, for people: names the option, the value and the rule. */
struct tpacket_error {
	char message[256];
};

/* Fill with tpacket_options_init() first: later versions add members. Pointers need to live during the call only. */
struct tpacket_options {
	const char *interface; /* name; NULL or "": all interfaces */
	enum tpacket_version version;
	enum tpacket_socket socket_type;
	uint16_t protocol;    /* ethertype, host byte order; default ETH_P_ALL */
	uint32_t frame_bytes; /* V1, V2: room for one frame; V3: only checked. Default 4096 */
	uint32_t block_bytes; /* default 1 MiB; multiple of the page size and of frame_bytes */
	uint32_t block_count; /* default 64, at least 1 */
	uint32_t retire_ms;   /* V3: a block that is not full is handed over after so long. 1 or more, default 10 */
	uint32_t snap_length; /* bytes kept of each frame, by the kernel's filter; default 262,144 */
	bool promiscuous;
	bool all_multicast;
	bool ignore_outgoing; /* leave out frames that this host sends (PACKET_IGNORE_OUTGOING) */
	bool vnet_header;     /* ask for struct virtio_net_hdr with each frame (PACKET_VNET_HDR) */
	bool flow_hash;       /* V3: fill tpacket_packet.rx_hash; default on */
	bool shrink;          /* on ENOMEM try again with fewer blocks, see tpacket_geometry(); default on */
	enum tpacket_timestamp timestamp;
	const struct sock_filter *filter; /* classic BPF; NULL: everything, cut to snap_length */
	uint16_t filter_length;           /* instructions; at most 4096 (BPF_MAXINSNS) */
	enum tpacket_fanout fanout;       /* default TPACKET_FANOUT_NONE */
	unsigned int fanout_flags;        /* TPACKET_FANOUT_DEFRAG and others */
	uint16_t fanout_id;               /* of this group; scope is the network namespace */
};

/* Status of one packet, as far as the ring version tells. */
#define TPACKET_STATUS_TRUNCATED (1u << 0) /* cut by the ring: shorter than the frame and than the snap length */
#define TPACKET_STATUS_LOSING (1u << 1)    /* the kernel dropped packets shortly before (V3: known by block) */
#define TPACKET_STATUS_CHECKSUM_NOT_READY (1u << 2)
#define TPACKET_STATUS_CHECKSUM_VALID (1u << 3)
#define TPACKET_STATUS_GSO_TCP (1u << 4)
#define TPACKET_STATUS_VLAN (1u << 5)          /* vlan_tci and vlan_tpid hold a tag that was taken out of the frame */
#define TPACKET_STATUS_TIME_HARDWARE (1u << 6) /* time_ns is the card's */
#define TPACKET_STATUS_TIME_MICROSECONDS (1u << 7) /* V1: time_ns is a multiple of 1000 */

/* sll_pkttype, packet(7). */
enum tpacket_type {
	TPACKET_TYPE_HOST = 0,
	TPACKET_TYPE_BROADCAST = 1,
	TPACKET_TYPE_MULTICAST = 2,
	TPACKET_TYPE_OTHER_HOST = 3,
	TPACKET_TYPE_OUTGOING = 4,
};

/* One packet. The pointers lead into the ring: valid until the lease is given back. */
struct tpacket_packet {
	uint64_t time_ns; /* since the Unix epoch */
	const uint8_t *data;
	uint32_t captured_length;
	uint32_t original_length; /* on the wire, without the tag that the kernel took out */
	uint32_t interface_index;
	uint32_t status; /* TPACKET_STATUS_* */
	uint32_t rx_hash;
	uint16_t vlan_tci;
	uint16_t vlan_tpid;
	uint16_t protocol;          /* sll_protocol, host byte order */
	uint16_t hardware_type;     /* sll_hatype: ARPHRD_* */
	uint8_t packet_type;        /* enum tpacket_type */
	uint8_t vnet_header_length; /* 0: none */
	const uint8_t *vnet_header; /* struct virtio_net_hdr, little-endian as the host's */
};

/*
 * A run of packets that user space owns until it is given back. On the caller's stack; the members are the library's.
 */
struct tpacket_lease {
	struct tpacket *handle; /* NULL: holds nothing */
	const uint8_t *block;
	const uint8_t *next;
	uint32_t remaining_packets;
	uint32_t status; /* TPACKET_STATUS_* that hold for the whole block */
};

/* Cumulative since tpacket_open(), 64 bit. (The tag tpacket_stats is taken by <linux/if_packet.h>.) */
struct tpacket_counters {
	uint64_t seen;      /* passed the filter; includes dropped (PACKET_STATISTICS tp_packets) */
	uint64_t dropped;   /* the ring was full */
	uint64_t delivered; /* seen - dropped: read, or still in the ring */
	uint64_t freezes;   /* V3: how often the ring was found full */
	uint64_t read;      /* packets taken from the ring */
	uint64_t truncated; /* of those read: TPACKET_STATUS_TRUNCATED */
	uint64_t polls;
	uint64_t link_down;  /* times the interface was reported down */
	uint64_t bad_blocks; /* V3: blocks whose lengths contradict each other; the rest of such a block is skipped */
};

/* The ring that is in use; differs from what was asked for only in block_count, and that only with shrink. */
struct tpacket_geometry {
	uint32_t block_bytes;
	uint32_t block_count;
	uint32_t frame_bytes;
};

/* Set every member to its default. */
void tpacket_options_init(struct tpacket_options *options);

/*
 * Open a socket with its ring, bound to the interface and joined to its fanout group. It passes no packet before
 * tpacket_start(): open all members of a group first, then start them, and none sees a packet twice.
 * ret_error: nullable; set on failure only.
 * Errors: -EINVAL (an option breaks a rule), -ENODEV (no such interface), -EPERM (needs CAP_NET_RAW), -ENETDOWN never:
 * a downed interface opens and delivers once it is up, -ENOMEM, -EALREADY and others as the kernel gives them,
 * -EPROTONOSUPPORT (no known version works).
 * Threads: any. Blocks: no.
 */
int tpacket_open(const struct tpacket_options *options, struct tpacket **ret_handle, struct tpacket_error *ret_error);

/* Unmap and close; NULL is allowed. No other thread may be in a call on the handle: tpacket_wake() it out first. */
void tpacket_close(struct tpacket *handle);

/* Let packets pass: replaces the filter that rejects everything by the real one. Errors: as setsockopt(2). */
int tpacket_start(struct tpacket *handle);

/*
 * Let no further packet into the ring; what is in it can still be read. Read on until tpacket_acquire() gives nothing
 * for twice the retire time, then tpacket_stats() is final: seen = read + dropped.
 */
int tpacket_stop(struct tpacket *handle);

/*
 * Replace the filter while packets flow; filter NULL: everything. The kernel swaps it at once, but packets that passed
 * the old one may still be in the ring. Takes effect at tpacket_start() if that was not called yet.
 * Errors: -EINVAL for a bad program or more than 4096 instructions.
 */
int tpacket_set_filter(struct tpacket *handle, const struct sock_filter *filter, uint16_t length);

/*
 * Take the next block that the kernel has handed over, in ring order, with exactly the packets that it counts. A block
 * without packets is given back at once and never returned.
 * timeout_ms: wait so long for one; 0: do not wait; -1: without limit. Only one lease at a time: -EBUSY otherwise
 * (poll(2) returns at once while a block is held, so waiting would spin).
 * Returns 1: ret_lease holds a block; 0: time is up, or tpacket_wake() was called.
 * Errors: -ENETDOWN: the interface is down, reported once each time it goes down and once if it was down when it was
 * opened and still is, call again; -ENODEV: the interface was deleted or moved to another network namespace, all that
 * was in the ring has been read, the handle will deliver nothing more; other: poll(2).
 * Threads: one reader. Blocks: up to timeout_ms.
 */
int tpacket_acquire(struct tpacket *handle, int timeout_ms, struct tpacket_lease *ret_lease);

/* Take the next packet of a lease. false: no more. Never reads outside the block, whatever is written there. */
bool tpacket_lease_next(struct tpacket_lease *lease, struct tpacket_packet *ret_packet);

/* Give the block back to the kernel. Every pointer taken from it is invalid from here on. NULL handle: does nothing. */
void tpacket_release(struct tpacket_lease *lease);

/* Make the reader's current, or else its next, tpacket_acquire() return 0. Threads: any. Async-signal-safe. */
void tpacket_wake(struct tpacket *handle);

/* Read the counters. Threads: the reader's only, as it accumulates what the kernel resets on reading. */
int tpacket_stats(struct tpacket *handle, struct tpacket_counters *ret_counters);

/* Facts that do not change after tpacket_open(). */
enum tpacket_version tpacket_version_in_use(const struct tpacket *handle);
void tpacket_geometry(const struct tpacket *handle, struct tpacket_geometry *ret_geometry);
int tpacket_fd(const struct tpacket *handle); /* for poll(2) and getsockopt(2); stays the handle's */
unsigned int tpacket_interface_index(const struct tpacket *handle); /* 0: all */
uint16_t tpacket_hardware_type(const struct tpacket *handle);       /* ARPHRD_* of the interface; ARPHRD_VOID for all */
int tpacket_fanout_id(const struct tpacket *handle);                /* -ENOENT without a group */

#ifdef __cplusplus
}
#endif
#endif
