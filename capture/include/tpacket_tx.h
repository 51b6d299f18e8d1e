/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libtpacket: sending from an AF_PACKET mmap ring (PACKET_TX_RING, packet(7)), with a result for each frame.
 *
 * Frames are written in place, handed over together, and each one is completed exactly once, in the order in which they
 * were committed: with 0, or with the error that kept it from being sent. An error of one frame does not stop the rest.
 *
 *	struct tpacket_tx_options o;
 *	struct tpacket_tx *tx;
 *	struct tpacket_error e;
 *	struct tpacket_tx_result results[64];
 *	tpacket_tx_options_init(&o);
 *	o.interface = "eth0";
 *	if (tpacket_tx_open(&o, &tx, &e) < 0)
 *		errx(1, "%s", e.message);
 *	while (next_frame(&frame, &bytes)) {
 *		while (tpacket_tx_put(tx, frame, bytes, number) == -EAGAIN) {
 *			tpacket_tx_send(tx);
 *			tpacket_tx_wait(tx, 100);
 *			int n = tpacket_tx_complete(tx, results, 64);
 *			for (int i = 0; i < n; i++)
 *				if (results[i].error)
 *					warnx("frame %ju: %s", results[i].cookie, strerror(-results[i].error));
 *		}
 *	}
 *
 * One thread uses a ring; tpacket_tx_wake() and tpacket_tx_counters() may be called by any. The socket has no protocol:
 * it receives nothing. Functions return 0 or more, or a negative errno.
 */
#ifndef TPACKET_TX_H
#define TPACKET_TX_H

#include "tpacket.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tpacket_tx;

/* Fill with tpacket_tx_options_init() first: later versions add members. Pointers need to live during the call only. */
struct tpacket_tx_options {
	const char *interface;        /* name; one is needed */
	const char *netns;            /* path of a network namespace; NULL: the calling thread's */
	enum tpacket_version version; /* TPACKET_VERSION_AUTO (default): 3, then 2 */
	/*
	 * Room for one frame, its link header and vnet header included; at most 184,320. 0 (default): what the
	 * interface takes, from its MTU; with vnet_header_bytes a super-frame of 64 KiB.
	 */
	uint32_t frame_bytes;
	uint32_t frame_count; /* 1 to 16,777,216, default 1024; rounded up to whole blocks of memory */
	/*
	 * Leave out the queueing discipline (PACKET_QDISC_BYPASS): faster, but a super-frame can then be sent only if
	 * the interface takes it whole; if not, tpacket_tx_send() says -ENOBUFS each time.
	 */
	bool qdisc_bypass;
	uint8_t vnet_header_bytes; /* each frame begins with a struct virtio_net_hdr of 10 or 12 bytes; 0 (default):
	                              none */
	bool shrink;               /* on ENOMEM try again with fewer frames; default on */
};

/* What became of one frame. */
struct tpacket_tx_result {
	uint64_t cookie;
	uint32_t bytes; /* as committed */
	/*
	 * 0: sent, that is taken by the kernel, and its memory is free again; a queue, a driver or the other end may
	 * still drop it and say nothing. -EMSGSIZE: larger than the MTU and its link header, and than the frame's room.
	 * -EINVAL: no complete link header, or a vnet header that the kernel does not accept. After
	 * tpacket_tx_cancel(): -ENETDOWN, -ENODEV, -ENOBUFS, or -ECANCELED.
	 */
	int error;
};

/*
 * Cumulative, 64 bit. Frames are counted as sent or failed when their result is collected: committed = sent + failed +
 * what tpacket_tx_complete() has not given yet.
 */
struct tpacket_tx_counters {
	uint64_t committed;
	uint64_t sent;
	uint64_t sent_bytes;       /* vnet headers included */
	uint64_t failed_too_large; /* -EMSGSIZE */
	uint64_t failed_malformed; /* -EINVAL */
	uint64_t failed_down;      /* -ENETDOWN, -ENODEV */
	uint64_t failed_no_buffer; /* -ENOBUFS */
	uint64_t failed_other;     /* -ECANCELED, and whatever else the kernel says */
	uint64_t kicks;            /* send(2) */
	uint64_t refused;          /* of those: ended because there was no room in the queue or the socket's buffer */
	uint64_t moved;            /* frames copied to another place in the ring, after failed ones */
};

/* The ring that is in use. */
struct tpacket_tx_geometry {
	uint32_t frame_bytes; /* room for one frame, as tpacket_tx_reserve() gives it */
	uint32_t frame_count;
	uint32_t block_bytes;
	uint32_t block_count;
};

/* Set every member to its default. */
void tpacket_tx_options_init(struct tpacket_tx_options *options);

/*
 * Open a socket with its ring on an interface, which may be down. On failure *ret_tx is NULL and nothing is left
 * behind; ret_error (nullable) says which option has which value and breaks which rule. Errors: -EINVAL: an option;
 * -EPERM: needs CAP_NET_RAW; -ENODEV: no such interface; -ENOMEM: too little memory for the ring (with shrink: even for
 * a small one); -EPROTONOSUPPORT: the kernel has no TX ring of that version; others as socket(2), bind(2),
 * setsockopt(2), mmap(2). Ref: Documentation/networking/packet_mmap.rst.
 */
int tpacket_tx_open(
	const struct tpacket_tx_options *options, struct tpacket_tx **ret_tx, struct tpacket_error *ret_error);

/*
 * Unmap the ring and close the socket; NULL is allowed. Frames that the kernel has taken still leave. Those that it has
 * not taken are dropped without a result: call tpacket_tx_send() or tpacket_tx_cancel() first, then
 * tpacket_tx_complete(). Threads: nobody may be in a call. Blocks: a few milliseconds.
 */
void tpacket_tx_close(struct tpacket_tx *tx);

/*
 * Give the next free frame in place: *ret_data, aligned to 16 bytes, with room for *ret_room bytes (nullable). Called
 * again before tpacket_tx_commit(), it gives the same one; not committing it costs nothing.
 * Lifetime: until the frame is committed. Blocks: never.
 * Errors: -EAGAIN: all frames are used: tpacket_tx_send(), tpacket_tx_wait(), tpacket_tx_complete(). A frame is free
 * again when its result, and those of all before it, were collected.
 */
int tpacket_tx_reserve(struct tpacket_tx *tx, void **ret_data, uint32_t *ret_room);

/*
 * Queue the frame that was reserved, with so many bytes; the next tpacket_tx_send() hands it over. Nothing is sent yet.
 * A frame that cannot be sent is queued, too, and has its error as its result.
 * cookie: any number; it comes back in the result. Blocks: never.
 * Errors, nothing is queued: -EINVAL: nothing was reserved, or bytes exceed the room.
 */
int tpacket_tx_commit(struct tpacket_tx *tx, uint32_t bytes, uint64_t cookie);

/*
 * The same with a copy of the caller's frame. One that is larger than the room has -EMSGSIZE as its result.
 * Errors: -EAGAIN as tpacket_tx_reserve(). Blocks: never.
 */
int tpacket_tx_put(struct tpacket_tx *tx, const void *frame, size_t bytes, uint64_t cookie);

/*
 * Hand over what was committed. Returns how many frames the kernel took; 0 if none was waiting. Frames with an error of
 * their own are taken out, and do not end it.
 * Errors, of all frames, which stay queued in order, and only if none was taken: -EAGAIN: the socket's send buffer
 * (SO_SNDBUF) is full of frames on their way; -ENOBUFS: the interface's queue is full; -ENETDOWN: the interface is down
 * or has no carrier; -ENODEV: it was deleted or moved to another network namespace, for ever; others as send(2).
 * Then tpacket_tx_wait() and again, or tpacket_tx_cancel().
 * Threads: one. Blocks: never (but the kernel sends in the meantime).
 */
int tpacket_tx_send(struct tpacket_tx *tx);

/*
 * Wait until there is something to do: a result can be collected, or it is worth trying tpacket_tx_send() with what is
 * queued. timeout_ms: 0: only look; -1: without limit. With nothing queued and nothing on its way it waits for
 * tpacket_tx_wake() or the time.
 * Returns 1: there is; 0: time is up, or tpacket_tx_wake() was called.
 * Errors: -ENODEV: frames are queued and the interface is gone for ever. Blocks: up to timeout_ms.
 */
int tpacket_tx_wait(struct tpacket_tx *tx, int timeout_ms);

/*
 * Collect up to max results, oldest first; in order, so one frame that is long on its way holds back those behind it.
 * results NULL: the same, and they are only counted. Returns how many. Blocks: never.
 */
int tpacket_tx_complete(struct tpacket_tx *tx, struct tpacket_tx_result *results, int max);

/*
 * Give up the oldest max frames that the kernel has not taken. Their result is the error for which the last
 * tpacket_tx_send() stopped, or -ECANCELED if it had none (or -EAGAIN). Returns how many. A frame that is reserved
 * stays so. The frames behind them move up in the ring: to drop the oldest of many, better give up several at once.
 * Blocks: never.
 */
int tpacket_tx_cancel(struct tpacket_tx *tx, uint32_t max);

/* Make the current, or else the next, tpacket_tx_wait() return 0. Threads: any. Async-signal-safe. */
void tpacket_tx_wake(struct tpacket_tx *tx);

/* Threads: any. */
void tpacket_tx_counters(const struct tpacket_tx *tx, struct tpacket_tx_counters *ret_counters);

/* Facts. */
enum tpacket_version tpacket_tx_version_in_use(const struct tpacket_tx *tx);
void tpacket_tx_geometry(const struct tpacket_tx *tx, struct tpacket_tx_geometry *ret_geometry);
unsigned int tpacket_tx_interface_index(const struct tpacket_tx *tx);
uint16_t tpacket_tx_hardware_type(const struct tpacket_tx *tx); /* ARPHRD_* of the interface */
/* The MTU as it is now; -ENODEV: the interface is gone. */
int tpacket_tx_mtu(struct tpacket_tx *tx);
/* Frames that are queued: committed, and not taken by the kernel. */
uint32_t tpacket_tx_waiting(const struct tpacket_tx *tx);
/* For setsockopt(2) (SO_PRIORITY, SO_MARK, SO_SNDBUF) and getsockopt(2); stays the ring's. */
int tpacket_tx_fd(const struct tpacket_tx *tx);

#ifdef __cplusplus
}
#endif
#endif
