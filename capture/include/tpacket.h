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
 * Who wants one packet after the other calls tpacket_read() instead. Transmitting from a ring: tpacket_tx.h.
 *
 * One thread reads a handle: tpacket_acquire(), tpacket_lease_next(), tpacket_release(), tpacket_read(),
 * tpacket_read_copy(), tpacket_read_into(). Everything else may be called by any thread at any time, also while it
 * reads, as long as the caller holds a reference (tpacket_get()). Different handles have nothing to do with each other.
 *
 * Functions return 0 or more, or a negative errno. After tpacket_close() that is -ESHUTDOWN for who still holds a
 * reference; of the facts only the interface's name is gone, too. The library never logs, never exits, has no globals,
 *needs libc alone.
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

/* What to do with a VLAN tag that the kernel or the card took out of the frame. */
enum tpacket_vlan {
	TPACKET_VLAN_METADATA = 0, /* tell it in vlan_tci and vlan_tpid */
	TPACKET_VLAN_INSERT = 1,   /* put it back where it was, in the ring; V2 and V3, raw sockets on Ethernet */
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
#define TPACKET_FANOUT_UNIQUE_ID 8u /* the kernel chooses the id; read it back with tpacket_fanout_group() */

/* What went wrong, for people: names the option, the value and the rule. */
struct tpacket_error {
	char message[256];
};

/* Fill with tpacket_options_init() first: later versions add members. Pointers need to live during the call only. */
struct tpacket_options {
	const char *interface; /* name; NULL or "": all interfaces of the network namespace */
	const char *netns;     /* path of a network namespace, /proc/PID/ns/net for one; NULL: the calling thread's */
	enum tpacket_version version;
	enum tpacket_socket socket_type;
	uint16_t protocol;    /* ethertype, host byte order; default ETH_P_ALL */
	uint32_t frame_bytes; /* V1, V2: room for one frame; V3: only checked. Default 4096 */
	uint32_t block_bytes; /* default 1 MiB; multiple of the page size and of frame_bytes */
	uint32_t block_count; /* default 64, at least 1 */
	uint32_t retire_ms;   /* V3: a block that is not full is handed over after so long. 1 to 65,535, default 10 */
	uint32_t snap_length; /* bytes kept of each frame, by the kernel's filter; default 262,144 */
	bool promiscuous;
	bool all_multicast;
	bool ignore_outgoing; /* leave out frames that this host sends; in a group all members need the same */
	bool vnet_header;     /* ask for struct virtio_net_hdr with each frame (PACKET_VNET_HDR) */
	/* 10 (default), or 12 with num_buffers (PACKET_VNET_HDR_SZ, Linux 6.5), which only tpacket_send() takes: the
	 * kernel leaves it out of the ring. */
	uint8_t vnet_header_bytes;
	enum tpacket_vlan vlan;
	bool flow_hash; /* V3: fill tpacket_packet.rx_hash, which is 0 in V1 and V2; default on */
	bool shrink;    /* on ENOMEM try again with fewer blocks, see tpacket_geometry(); default on */
	enum tpacket_timestamp timestamp;
	const struct sock_filter *filter; /* classic BPF; NULL: everything, cut to snap_length */
	uint16_t filter_length;           /* instructions; at most 4096 (BPF_MAXINSNS) */
	int filter_fd;                    /* eBPF program of type socket filter, instead of filter; -1: none */
	enum tpacket_fanout fanout;       /* default TPACKET_FANOUT_NONE */
	unsigned int fanout_flags;        /* TPACKET_FANOUT_DEFRAG and others */
	uint16_t fanout_id;               /* of this group; scope is the network namespace */
	/*
	 * TPACKET_FANOUT_CBPF: gives the member, modulo their number. It sees frames that come in from their network
	 * header on, those that this host sends from the link header on.
	 */
	const struct sock_filter *fanout_program;
	uint16_t fanout_program_length; /* instructions */
	int fanout_program_fd;          /* TPACKET_FANOUT_EBPF: the program; -1: none */
	/*
	 * The group is receiving already: join at tpacket_start(), not at the open. What falls between the two system
	 * calls that this takes is counted in join_gap. Without it a member that was opened and not started keeps its
	 * share from the others.
	 */
	bool fanout_join_running;
	/*
	 * When the interface is gone, wait for one of the same name and open it: tpacket_acquire(). With
	 * reserve_sockets that works without privileges: a member of a fanout group uses one up each time, any other
	 * handle is served by a single one for ever. They are opened with the handle.
	 */
	bool reopen;
	uint32_t reserve_sockets; /* at most 64; default 0 */
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
#define TPACKET_STATUS_TIME_SOFTWARE (1u << 8)     /* taken by the kernel on arrival; without a TIME flag: on copying */
#define TPACKET_STATUS_VLAN_INSERTED (1u << 9)     /* the tag is in the frame again; TPACKET_STATUS_VLAN is not set */
#define TPACKET_STATUS_SHORT_BUFFER (1u << 10)     /* tpacket_read_into(): cut by the caller's buffer */

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
	uint32_t original_length; /* on the wire; without the tag that was taken out, with the one that was inserted */
	uint32_t interface_index;
	uint32_t status; /* TPACKET_STATUS_* */
	uint32_t rx_hash;
	uint16_t vlan_tci;
	uint16_t vlan_tpid;
	uint16_t protocol;          /* sll_protocol, host byte order */
	uint16_t hardware_type;     /* sll_hatype: ARPHRD_* */
	uint8_t packet_type;        /* enum tpacket_type */
	uint8_t vnet_header_length; /* 10; 0: none */
	const uint8_t *vnet_header; /* struct virtio_net_hdr in host byte order; no part of data */
};

/*
 * A run of packets that user space owns until it is given back. On the caller's stack; the members are the library's.
 */
struct tpacket_lease {
	struct tpacket *handle; /* NULL: holds nothing */
	const uint8_t *block;   /* V3: the block; V1, V2: the first frame */
	const uint8_t *next;
	uint32_t remaining_packets;
	uint32_t status;  /* TPACKET_STATUS_* that hold for the whole block */
	uint32_t frames;  /* V1, V2: of the run, given back together */
	bool is_settling; /* holds packets from before a change of the filter, or of joining */
};

/*
 * Cumulative since tpacket_open(), over all reopenings, 64 bit. Packets that the filter rejected are in no counter of
 * the kernel but those of rolling over. (The tag tpacket_stats is taken by <linux/if_packet.h>.)
 */
struct tpacket_counters {
	/*
	 * Passed the filter; includes dropped (PACKET_STATISTICS tp_packets). Packets of join_gap are in it until they
	 * were read and told apart.
	 */
	uint64_t seen;
	uint64_t dropped;   /* the ring was full */
	uint64_t delivered; /* seen - dropped: read, or still in the ring */
	uint64_t freezes;   /* V3: how often the ring was found full */
	uint64_t read;      /* packets taken from the ring */
	uint64_t truncated; /* of those read: TPACKET_STATUS_TRUNCATED */
	/*
	 * Of those read: not handed out, since they passed the previous filter only, or since it kept fewer bytes of
	 * them than the new one wants to look at.
	 */
	uint64_t refiltered;
	uint64_t polls;
	uint64_t link_down; /* times the interface was reported down */
	/*
	 * Places where lengths in the ring contradict each other. V3: blocks, of which the rest is skipped; V1, V2:
	 * frames, and only they are. What is skipped is not in read.
	 */
	uint64_t bad_blocks;
	uint64_t join_gap; /* at most so many packets fell between joining a running group and starting; not in seen */
	uint64_t reopens;  /* times the interface came back after it was gone */
	uint64_t gap_ns;  /* time for which nobody can know what passed: from when it was last seen until it was back */
	uint64_t renames; /* times the interface changed its name */
	/*
	 * PACKET_ROLLOVER_STATS, which this member has of its own and counts before any filter. With
	 * TPACKET_FANOUT_ROLL: packets that were to be this member's, whose ring was filling up, and went to another
	 * one. With TPACKET_FANOUT_ROLLOVER the first member counts for the whole group, and the others nothing: all
	 * packets for which a member with room was found, also those that it kept itself.
	 */
	uint64_t rollover;
	uint64_t rollover_huge; /* of those: this ring had room, but one flow was filling it; ROLLOVER: 0 */
	/*
	 * No member to go to had a quarter of its ring free, so the packet stayed with this one, which may have had
	 * room or not (then it is in dropped). With TPACKET_FANOUT_ROLLOVER rollover + rollover_failed = all packets.
	 */
	uint64_t rollover_failed;
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
 * Choose frame_bytes, block_bytes and block_count so that no frame of the interface is cut and the ring takes at most
 * memory_bytes: from the interface's MTU, its offloads (super-frames of up to 64 KiB and more), vlan, vnet_header, snap
 * length and version. Sets no other option. At least 4 blocks, where memory allows 16 or more.
 * Errors: -EINVAL: too little memory; the message says how much is needed. -ENODEV: no such interface. Threads: any.
 * Blocks: no. Ref: rtnetlink(7), Documentation/networking/packet_mmap.rst.
 */
int tpacket_options_size(struct tpacket_options *options, uint64_t memory_bytes, struct tpacket_error *ret_error);

/*
 * Open a socket with its ring, bound to the interface and joined to its fanout group. It passes no packet before
 * tpacket_start(): open all members of a group first, then start them, and none sees a packet twice.
 * ret_error: nullable; set on failure only.
 * An interface that is down opens, too, and delivers once it is up.
 * Errors: -EINVAL (an option breaks a rule), -ENODEV (no such interface), -EPERM (needs CAP_NET_RAW), -ENOMEM, -ENOSPC
 * (the group is full: 256 members, if whoever made it said nothing else) and others as the kernel gives them,
 * -EPROTONOSUPPORT (no known version works).
 * Ownership: the caller holds one reference, which tpacket_close() gives back. Threads: any. Blocks: no.
 */
int tpacket_open(const struct tpacket_options *options, struct tpacket **ret_handle, struct tpacket_error *ret_error);

/*
 * Open count handles, 1 to 256, as the members of one fanout group, one for each reading thread; all or none. fanout
 * must be set. With reopen they come back together: none reads before all have joined again, so each of their readers
 * has to be in tpacket_acquire() or tpacket_read() for that. ret_handles: room for count. Each is closed for itself.
 * Errors, threads: as tpacket_open().
 */
int tpacket_open_group(const struct tpacket_options *options, unsigned int count, struct tpacket **ret_handles,
	struct tpacket_error *ret_error);

/* Take one more reference, for another thread, which gives it back with tpacket_close(). Returns handle. Threads: any.
 */
struct tpacket *tpacket_get(struct tpacket *handle);

/*
 * End the capture and give one reference back, so once for each reference; NULL is allowed. Whoever is reading or
 * sending returns with -ESHUTDOWN, and so does every later call of those who still hold a reference, but for facts
 * (tpacket_interface_name() excepted). The last one unmaps the ring and closes the socket; it waits for a call that is
 * going on in another thread, but a lease or a packet of tpacket_read() is invalid from then on. So: give each thread
 * that reads a reference of its own, or close after it has ended. Threads: any. Blocks: until the reader has left its
 * call.
 */
void tpacket_close(struct tpacket *handle);

/*
 * Let packets pass: replaces the filter that rejects everything by the real one. Called again, it does nothing.
 * Errors: -ESHUTDOWN: closed; others as setsockopt(2), with fanout_join_running also those of joining. Threads: any.
 */
int tpacket_start(struct tpacket *handle);

/*
 * Let no further packet into the ring; what is in it can still be read. Read on until tpacket_acquire() gives nothing
 * for twice the retire time, then tpacket_stats() is final: seen = read + dropped.
 * A member of a fanout group keeps its share, which is lost meanwhile: to leave the group, close the handle.
 * Errors: -EPERM after tpacket_lock_filter(); -ESHUTDOWN: closed. Threads: any.
 */
int tpacket_stop(struct tpacket *handle);

/*
 * Replace the filter while packets flow; filter NULL: everything. The kernel swaps it at once, so nothing is lost
 * between. Packets that passed the old one and are still in the ring are judged anew, in user space: runs and packets
 * that are handed out after this returns passed the new filter. What it rejects then is counted in refiltered; so is a
 * packet of which the old filter kept fewer bytes than the new one wants to look at.
 * While nothing passes, before tpacket_start() or after tpacket_stop(), it takes effect at the next tpacket_start().
 * Errors: -EINVAL for a bad program or more than 4096 instructions; -EPERM after tpacket_lock_filter(); -EOPNOTSUPP for
 * a program that asks for what only the kernel knows (CPU, queue, mark, random number, flow hash, netlink attributes,
 * offsets from SKF_NET_OFF or SKF_LL_OFF; with V1 or datagrams also the VLAN tag), or that may keep fewer bytes of a
 * packet than it looks at: stop, read what is left, set it, start. -ENOMEM: also when the old and the new program
 * together exceed net.core.optmem_max. -ESHUTDOWN: closed. Threads: any. Blocks: some milliseconds, until no CPU runs
 * the old one (membarrier(2)).
 */
int tpacket_set_filter(struct tpacket *handle, const struct sock_filter *filter, uint16_t length);

/*
 * The same with an eBPF program of type BPF_PROG_TYPE_SOCKET_FILTER. The kernel keeps a reference of its own. What is
 * in the ring is not judged anew. Errors: -EINVAL, -EBADF, -EPERM, -ESHUTDOWN. Threads: any.
 */
int tpacket_set_filter_fd(struct tpacket *handle, int program_fd);

/*
 * Lock the filter that is attached now: nobody can change or remove it, not even with privileges (SO_LOCK_FILTER,
 * socket(7)). Errors: -EINVAL: nothing passes, since it was not started, or stopped; -EOPNOTSUPP: with reopen;
 * -ESHUTDOWN: closed. Threads: any.
 */
int tpacket_lock_filter(struct tpacket *handle);

/*
 * Begin or end promiscuous mode, or the reception of all multicast frames, of the handle's interface; other programs
 * keep theirs (PACKET_ADD_MEMBERSHIP, PACKET_DROP_MEMBERSHIP). With reopen it applies to an interface that comes back,
 * too. Errors: -EINVAL: a handle of all interfaces; -ENODEV: it is gone; -ESHUTDOWN: closed. Threads: any. Blocks: no.
 */
int tpacket_set_promiscuous(struct tpacket *handle, bool on);
int tpacket_set_all_multicast(struct tpacket *handle, bool on);

/*
 * Replace the program that chooses the member, for the whole group, also after a reopening; who joins later brings the
 * one of his options. program: TPACKET_FANOUT_CBPF; program_fd: TPACKET_FANOUT_EBPF, else -1. Errors: -EINVAL: no such
 * group, or a bad program; -EPERM: after tpacket_lock_filter(); -ESHUTDOWN: closed. Threads: any.
 */
int tpacket_set_fanout_program(
	struct tpacket *handle, const struct sock_filter *program, uint16_t length, int program_fd);

/*
 * Take the next run of packets that the kernel has handed over, in ring order: a block with exactly the packets that it
 * counts (V3), or the frames that are ready (V1, V2). A block without packets is given back at once and never returned.
 * timeout_ms: wait so long for one; 0: do not wait; -1: without limit. Only one lease at a time: -EBUSY otherwise
 * (poll(2) returns at once while a block is held, so waiting would spin).
 * Returns 1: ret_lease holds a run; 0: time is up, or tpacket_wake() was called.
 * Errors: -ENETDOWN: the interface is down, reported once each time it goes down and once if it was down when it was
 * opened and still is, call again; -ENODEV: the interface was deleted or moved to another network namespace, all that
 * was in the ring has been read. Without reopen the handle will deliver nothing more. With it that is reported once;
 * call again: the same name is looked for, first after 100 ms, then less often, up to every 2 s, and once it is back
 * -ENETRESET is returned once: interface index, hardware type and geometry may have changed. What prevents it, other
 * than that there is none, is reported once, too; but -EPERM, privileges and reserve are spent, by every call, at its
 * end or when it was tried once more.
 * -ESHUTDOWN: tpacket_close() was called. Other: poll(2). Threads: one reader. Blocks: up to timeout_ms.
 */
int tpacket_acquire(struct tpacket *handle, int timeout_ms, struct tpacket_lease *ret_lease);

/* Take the next packet of a lease. false: no more. Never reads outside the run, whatever is written there. */
bool tpacket_lease_next(struct tpacket_lease *lease, struct tpacket_packet *ret_packet);

/* Give the run back to the kernel. Every pointer taken from it is invalid from here on. NULL handle: does nothing. */
void tpacket_release(struct tpacket_lease *lease);

/*
 * Take the next packet in place. Its pointers are valid until the next call of a reading function on the handle, or
 * until it is closed. A debug build overwrites the bytes of a packet that is not valid any more with 0xdb; under
 * AddressSanitizer using them is an error.
 * Returns 1, 0 and errors as tpacket_acquire(), which gives -EBUSY while packets of a run that was begun here are left.
 * Threads: one reader. Blocks: up to timeout_ms.
 */
int tpacket_read(struct tpacket *handle, int timeout_ms, struct tpacket_packet *ret_packet);

/*
 * The same into memory of the packet's own: ret_packet->data and vnet_header point into *ret_memory, which the caller
 * frees with free(3). -ENOMEM: the packet was not taken and comes again.
 */
int tpacket_read_copy(struct tpacket *handle, int timeout_ms, struct tpacket_packet *ret_packet, void **ret_memory);

/*
 * The same into the caller's buffer, which ret_packet->data then is. Of a longer packet as many bytes as fit:
 * captured_length is what was copied, TPACKET_STATUS_SHORT_BUFFER is set. No vnet header.
 */
int tpacket_read_into(
	struct tpacket *handle, int timeout_ms, void *buffer, size_t bytes, struct tpacket_packet *ret_packet);

/* Make the reader's current, or else its next, call return 0. Threads: any. Async-signal-safe. */
void tpacket_wake(struct tpacket *handle);

/*
 * Send one frame from the handle's own socket; with vnet_header it begins with that header. Raw sockets on one
 * interface only. Errors: -EOPNOTSUPP: a DGRAM socket; -ENXIO: bound to all interfaces; -EMSGSIZE: larger than the MTU
 * and its link header; -ENODEV: the interface is gone, with reopen until it is back; -ENETDOWN, -ENOBUFS and others as
 * send(2); -ESHUTDOWN: closed, also while it waits. Threads: any. Blocks: until the queue has room.
 */
int tpacket_send(struct tpacket *handle, const void *frame, size_t bytes);

/*
 * Read the counters. This is the only place where the kernel's are read, which resets them: nobody else may ask the
 * socket for PACKET_STATISTICS. Errors: -ESHUTDOWN: closed. Threads: any.
 */
int tpacket_stats(struct tpacket *handle, struct tpacket_counters *ret_counters);

/*
 * Facts. They change only with the interface: when tpacket_acquire() returned -ENETRESET, or when it was renamed.
 * Threads: any.
 */

enum tpacket_version tpacket_version_in_use(const struct tpacket *handle);
void tpacket_geometry(const struct tpacket *handle, struct tpacket_geometry *ret_geometry);
/* For poll(2) and getsockopt(2); stays the handle's. The number never changes; the file behind it is another one after
 * a reopening, which epoll(7) notices. */
int tpacket_fd(const struct tpacket *handle);
unsigned int tpacket_interface_index(const struct tpacket *handle); /* 0: all */
/* The name that the interface has now; "" for all. ret_name: 16 bytes (IFNAMSIZ). -ENODEV: it is gone;
 * -ESHUTDOWN: closed. */
int tpacket_interface_name(const struct tpacket *handle, char *ret_name);
uint16_t tpacket_hardware_type(const struct tpacket *handle); /* ARPHRD_* of the interface; ARPHRD_VOID for all */
int tpacket_fanout_id(const struct tpacket *handle);          /* -ENOENT without a group */
/* Ask the kernel for the group that the socket is in. -ENOENT: none. Pointers are nullable. */
int tpacket_fanout_group(
	const struct tpacket *handle, uint16_t *ret_id, enum tpacket_fanout *ret_type, unsigned int *ret_flags);

#ifdef __cplusplus
}
#endif
#endif
