/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the library share. Not installed. Internal functions are called tpk_, public ones tpacket_.
 */
#ifndef TPACKET_INTERNAL_H
#define TPACKET_INTERNAL_H

#include "tpacket.h"
#include "kernel.h"

#include <errno.h>
#include <net/if.h>
#include <pthread.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define NS_PER_US 1000LL
#define NS_PER_MS 1000000LL
#define NS_PER_S 1000000000LL

/* What differs between the ring versions. */
struct tpk_ring_ops {
	enum tpacket_version version;
	int kernel_version;       /* PACKET_VERSION */
	uint32_t min_frame_bytes; /* smallest frame_bytes that the kernel takes */
	bool has_blocks;          /* V3: hands over blocks; else frames */
	/* Tell the kernel the geometry. Negative errno. */
	int (*request)(struct tpacket *handle, const struct tpacket_options *options, uint32_t block_count);
	/* Largest distance from a frame's header to the end of its captured bytes; a longer frame was cut by the ring.
	 */
	uint32_t (*frame_limit)(const struct tpacket_geometry *geometry);
	/* Take what lies at the ring's head, if it is user space's. */
	bool (*acquire)(struct tpacket *handle, struct tpacket_lease *lease);
	bool (*next)(struct tpacket_lease *lease, struct tpacket_packet *ret_packet);
	void (*release)(struct tpacket *handle, const struct tpacket_lease *lease);
	/* How many blocks (V3) or frames (V1, V2) from the ring's head on are user space's. */
	uint32_t (*ready)(const struct tpacket *handle);
};

extern const struct tpk_ring_ops tpk_ring_v1;
extern const struct tpk_ring_ops tpk_ring_v2;
extern const struct tpk_ring_ops tpk_ring_v3;

struct tpk_link {
	unsigned int index; /* of the interface; 0: all */
	uint16_t hardware_type;
	bool is_down;
	bool report_down;
	bool is_gone;
	bool sender_saw_down;  /* atomic; raised by a sender, whose send(2) took the error that poll(2) was to report */
	char name[IFNAMSIZ];   /* as it was when last looked at; "": all, or not bound */
	int64_t next_check_ns; /* CLOCK_MONOTONIC */
	int64_t last_seen_ns;  /* when the interface was last known to be there */
	int64_t gone_final_ns; /* from then on nothing can come any more */
};

/*
 * After a change of the filter, or after joining a running group, the ring still holds packets from before it. They lie
 * in the next `left` blocks or frames; until those are read, each packet is looked at once more.
 */
struct tpk_settle {
	bool is_requested; /* atomic; raised by the thread that made the change, taken by the reader */
	uint32_t left;     /* blocks (V3) or frames (V1, V2); reader's */
	bool has_markers;  /* packets of at most TPK_MARKER_BYTES are counted in join_gap and left out; reader's */
	struct sock_filter *filter; /* NULL: pass; reader's copy */
	uint16_t filter_length;
	/* What the reader takes over when it sees is_requested. Under the handle's lock. */
	bool new_is_endless; /* until the next request */
	bool new_has_markers;
	struct sock_filter *new_filter;
	uint16_t new_filter_length;
};
#define TPK_MARKER_BYTES 1u

/* Calls that are going on, and the end of all of them. handle.c */
struct tpk_life {
	uint32_t state;      /* atomic; TPK_BUSY, TPK_CLOSING */
	uint32_t references; /* atomic */
	pthread_cond_t left; /* with the handle's lock: a call ended while TPK_CLOSING was set */
};
#define TPK_BUSY 1u
#define TPK_CLOSING 2u

struct tpk_group; /* group.c: what handles that come back together share */

/*
 * A handle whose interface is gone. Parked: socket and ring are closed, and the reader looks at neither. Written under
 * the group's mutex only; is_parked by the reader alone, which therefore may read it without.
 */
struct tpk_park {
	bool is_parked;
	bool is_back;         /* opened again; the reader was not told yet */
	uint32_t errors_told; /* tpk_group.error_count when the reader was told */
	int64_t gone_since_ns;
	struct tpacket *next_member;
};

struct tpacket {
	/* Read for every packet or block. */
	const struct tpk_ring_ops *ops;
	uint8_t *ring;
	struct tpacket_geometry geometry;
	uint32_t frame_limit;
	uint32_t frames_per_block;  /* V1, V2 */
	uint32_t vnet_header_bytes; /* as the ring has it: 0 or 10 */
	uint32_t snap_length;
	uint32_t head;                    /* block (V3) or frame (V1, V2) that is handed over next */
	const uint8_t *held;              /* block or first frame that is leased; NULL: none */
	bool inserts_vlan;                /* and the interface is Ethernet */
	bool woken;                       /* atomic */
	struct tpacket_counters counters; /* kernel's: under the lock; the reader's: tpk_count() */
	struct tpk_settle settle;
	struct tpacket_lease reading;    /* tpacket_read(): the run that is being read; handle NULL: none */
	struct tpacket_packet pending;   /* tpacket_read_copy(): had no memory for it; data NULL: none */
	struct tpacket_packet last_read; /* debug builds: what becomes invalid with the next call; data NULL: nothing */
	struct tpk_life life;

	/* Used at the start, the end and while waiting. */
	pthread_mutex_t lock; /* fd's file, the kernel's counters, filter, is_started, settle.new_* */
	int fd;
	int wake_fd;
	size_t map_bytes; /* 0: the ring is the caller's memory */
	uint32_t retire_ms;
	struct tpk_link link;
	int fanout_id; /* -ENOENT: none */
	bool is_started;
	bool was_started;
	bool has_old_packets; /* the filter was changed while stopped: the ring may hold what the old one passed */
	bool is_locked;       /* the filter is */
	bool is_joined;       /* in the fanout group; false until the start with fanout_join_running */
	struct sock_filter *filter; /* NULL: filter_fd, or else everything, cut to snap_length */
	uint16_t filter_length;
	int filter_fd; /* ours; -1: none */

	/* For opening once more. */
	struct tpacket_options options; /* pointers lead to memory of the handle's own */
	struct tpk_group *group;        /* NULL: not to be opened again */
	struct tpk_park park;
	bool is_open;              /* fd is a packet socket; under the lock */
	int netns_fd;              /* with reopen: where it was opened; -1: options.netns says it, or unknown */
	uint64_t rollover_base[3]; /* of the sockets before this one; under the lock */
	struct tpk_program *fanout_program; /* what the options point into; NULL: none; under the lock */
	bool lacks_program;                 /* joined, and the kernel refused the program; under the lock */
	int *reserve;                       /* sockets without protocol */
	uint32_t reserve_count;
	bool is_from_reserve; /* the one in use is, and keeps its place: reserve[reserve_count] */
};

/* error.c: fill in the message. ret_error may be NULL. tpk_refuse() returns -EINVAL; tpk_error() returns error and adds
 * its text to the message. */
int tpk_refuse(struct tpacket_error *ret_error, const char *format, ...) __attribute__((format(printf, 2, 3)));
int tpk_error(struct tpacket_error *ret_error, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* options.c: check every rule that does not need the kernel. */
int tpk_options_check(
	const struct tpacket_options *options, const struct tpk_ring_ops *ops, struct tpacket_error *ret_error);

/*
 * socket.c: the steps of opening, in the kernel's order, up to the fanout group; also of opening once more. The handle
 * has its options, and takes over fd, a packet socket without protocol.
 */
int tpk_socket_set_up(struct tpacket *handle, int fd, struct tpacket_error *ret_error);
/* Unmap the ring and close the socket, but keep the handle, its wake_fd and its fd's number. */
void tpk_socket_tear_down(struct tpacket *handle);
int tpk_socket_type(const struct tpacket_options *options); /* SOCK_RAW or SOCK_DGRAM */
int tpk_socket_int(int fd, int option, int value);          /* setsockopt(SOL_PACKET) of an int */

/* netns.c: a packet socket without protocol in the namespace that the path names; NULL: in this thread's. The thread is
 * in its own namespace again afterwards, whatever happens. */
int tpk_netns_socket(const char *netns, int type, struct tpacket_error *ret_error);
/* The same in the namespace that is open as netns_fd; -1: in this thread's. */
int tpk_netns_socket_at(int netns_fd, int type, struct tpacket_error *ret_error);
int tpk_netns_current(void); /* a descriptor of this thread's namespace, or a negative errno */
int tpk_netns_route_socket(const char *netns, struct tpacket_error *ret_error); /* of rtnetlink, there */

/*
 * handle.c: memory, references, and who is inside. tpk_enter() returns 0 or -ESHUTDOWN; only then no tpk_leave().
 * create: with copies of what the options point to, and with duplicates of the descriptors in them.
 */
int tpk_handle_create(
	const struct tpacket_options *options, struct tpacket **ret_handle, struct tpacket_error *ret_error);
void tpk_handle_choose_id(struct tpacket *handle, int id); /* of the fanout group; -1: the kernel is to choose one */
int tpk_enter(struct tpacket *handle);
void tpk_leave(struct tpacket *handle);
bool tpk_is_closing(const struct tpacket *handle);

/* ring.c */
const struct tpk_ring_ops *tpk_ring_ops_find(enum tpacket_version version); /* AUTO: the best */
int tpk_ring_map(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error);
void tpk_ring_unmap(struct tpacket *handle);
/* A handle without a socket over the caller's memory, which holds the ring's blocks: for tests and fuzzing. */
void tpk_handle_over_memory(struct tpacket *handle, const struct tpk_ring_ops *ops, void *ring,
	const struct tpacket_geometry *geometry, uint32_t vnet_header_bytes);
/* The ring's part of tpacket_acquire(): take a run without waiting, begin and count down settling. */
bool tpk_ring_acquire(struct tpacket *handle, struct tpacket_lease *ret_lease);
/* tpacket_acquire() without the check of who is inside, and without that of the run of tpacket_read(). */
int tpk_acquire(struct tpacket *handle, int timeout_ms, struct tpacket_lease *ret_lease);
bool tpk_lease_take_settling(struct tpacket_lease *lease, struct tpacket_packet *ret_packet);
/* tpacket_lease_next() without putting the tag back. */
static inline bool tpk_lease_take(struct tpacket_lease *lease, struct tpacket_packet *ret_packet)
{
	if (unlikely(lease->remaining_packets == 0))
		return false;
	if (unlikely(lease->is_settling))
		return tpk_lease_take_settling(lease, ret_packet);
	return lease->handle->ops->next(lease, ret_packet);
}

/* read.c: give back the run of tpacket_read(), so that pointers into it are invalid. */
void tpk_read_finish(struct tpacket *handle);

/* vlan.c: put the tag back in front of the packet's bytes, where PACKET_RESERVE made room. */
#define TPK_VLAN_BYTES 4u
void tpk_vlan_insert(struct tpacket_packet *packet);
static inline void tpk_vlan_finish(const struct tpacket *handle, struct tpacket_packet *packet)
{
	if (unlikely(packet->status & TPACKET_STATUS_VLAN) && handle->inserts_vlan)
		tpk_vlan_insert(packet);
}

/* filter.c: attach a program that lets nothing pass; have the kernel judge the caller's; keep a copy of it. */
int tpk_filter_reject_all(int fd);
int tpk_filter_mark_all(int fd); /* TPK_MARKER_BYTES of each packet */
int tpk_filter_check(int fd, const struct tpacket_options *options);
int tpk_filter_keep(struct tpacket *handle, const struct sock_filter *filter, uint16_t length);
int tpk_filter_attach(struct tpacket *handle); /* the real one */
void tpk_filter_free(struct tpacket *handle);

/* filter_run.c: classic BPF in user space. */
bool tpk_filter_can_run(const struct sock_filter *filter, uint16_t length, enum tpacket_version version,
	enum tpacket_socket socket_type);
/* Bytes to keep; 0: rejected. The program was accepted by the kernel. */
uint32_t tpk_filter_run(const struct sock_filter *filter, uint16_t length, const struct tpacket_packet *packet);

/*
 * settle.c. Change the socket's filter, wait with the barrier until no CPU runs the old one, then request. The request
 * takes the program (malloc(3); NULL: pass) over and cannot fail. mark: from here until the next request, of any
 * length. All of them under the lock.
 */
void tpk_settle_wait(void); /* until every CPU has finished with the packet that it was handling */
void tpk_settle_barrier(const struct tpacket *handle);
void tpk_settle_mark(struct tpacket *handle);
void tpk_settle_request(struct tpacket *handle, struct sock_filter *filter, uint16_t length, bool has_markers);
void tpk_settle_begin(struct tpacket *handle); /* reader, before it takes a run: when is_requested was raised */
bool tpk_settle_keeps(struct tpacket *handle, struct tpacket_packet *packet); /* false: leave it out, it is counted */
void tpk_settle_free(struct tpacket *handle);

/* fanout.c. join: once more for a member whose program was refused: only the program is tried again. */
int tpk_fanout_join(struct tpacket *handle, struct tpacket_error *ret_error);
int tpk_fanout_check(const struct tpacket_options *options, struct tpacket_error *ret_error);

/*
 * fanout_program.c: the program that chooses the member, one for all members of a group, so that a reopening sets the
 * one that was set last. create: copies, both of which may be missing. adopt: takes a reference of its own; the
 * handle's options lead into the program from then on. Under the handle's lock.
 */
struct tpk_program;
int tpk_program_create(
	const struct sock_filter *filter, uint16_t length, int program_fd, struct tpk_program **ret_program);
void tpk_program_adopt(struct tpacket *handle, struct tpk_program *program);
void tpk_program_put(struct tpk_program *program);              /* NULL is allowed */
int tpk_program_set(int fd, const struct tpk_program *program); /* PACKET_FANOUT_DATA */

/* link.c: the interface's state. */
int tpk_link_find(int fd, const char *name, unsigned int *ret_index);
bool tpk_link_is_gone(const struct tpacket *handle);             /* the one that it was bound to */
void tpk_link_begin(struct tpacket *handle, unsigned int index); /* nothing is known of it yet */
int tpk_link_name(const struct tpacket *handle, char *ret_name); /* IFNAMSIZ bytes; not for all */
void tpk_link_look(struct tpacket *handle, int64_t now_ns);      /* ask the kernel how it is, when it is time to */
int tpk_link_bind(struct tpacket *handle, const struct tpacket_options *options);
int tpk_link_memberships(struct tpacket *handle, const struct tpacket_options *options);
void tpk_link_end_memberships(const struct tpacket *handle, const struct tpacket_options *options);
int tpk_link_socket_error(int fd);
/*
 * Look after the interface while there is nothing to read. 0, -ENETDOWN, -ENODEV or another error of the socket.
 * has_error: poll(2) said POLLERR; ret_is_sticky: and reading the error away did not explain it.
 */
int tpk_link_check(struct tpacket *handle, bool has_error, int64_t now_ns, bool *ret_is_sticky);

/*
 * group.c: handles that come back together; also a single one has a group, of which it is the only member. The handle
 * is part of its group from tpk_group_join() to tpk_group_leave(); outside of one that does nothing.
 */
int tpk_group_create(struct tpk_group **ret_group);
void tpk_group_join(struct tpk_group *group, struct tpacket *handle);
void tpk_group_leave(struct tpacket *handle);
void tpk_group_put(struct tpacket *handle); /* after leaving, when the handle is freed */
/* No reopening between lock and unlock; adopt: the program for all other members. Without a group they do nothing. */
void tpk_group_lock(struct tpacket *handle);
void tpk_group_unlock(struct tpacket *handle);
void tpk_group_adopt_program(struct tpacket *handle, struct tpk_program *program);
/* A socket, but no packet socket, to stand under the handle's number. A filter can be attached to it, too. */
int tpk_group_placeholder(const struct tpacket *handle);

/*
 * reserve.c: sockets that are opened before privileges are dropped. take: a negative errno when there is none; the
 * descriptor stays the reserve's, which wants it back untouched, or with the socket in use when that is taken down.
 */
int tpk_reserve_open(struct tpacket *handle, struct tpacket_error *ret_error);
void tpk_reserve_close(struct tpacket *handle);
int tpk_reserve_take(struct tpacket *handle);
void tpk_reserve_put_back(struct tpacket *handle);
void tpk_reserve_give_back(struct tpacket *handle); /* keep the socket, if it can be used once more */

/*
 * reopen.c: open all handles of a list, or none. -ENODEV: there is no interface of the name; -EPERM: privileges and
 * reserve are spent. Under the group's mutex.
 */
int tpk_reopen_all(struct tpacket *members, bool has_unique_id);
/* group.c. due: the handle is parked. park: the interface is gone, with reopen. wait: as tpacket_acquire(), never 1. */
bool tpk_reopen_is_due(const struct tpacket *handle);
void tpk_reopen_park(struct tpacket *handle);
int tpk_reopen_wait(struct tpacket *handle, int timeout_ms);

/* wait.c */
int64_t tpk_now_ns(void);
void tpk_wake_drain(struct tpacket *handle);
void tpk_wake_nudge(struct tpacket *handle); /* end a poll that is going on, without making the call return */
/* Poll once, for events of the socket unless is_quiet. Returns those, or a negative errno. */
int tpk_wait_poll(struct tpacket *handle, int64_t step_ns, bool is_quiet);
int tpk_wait_for_block(struct tpacket *handle, int timeout_ms, struct tpacket_lease *lease);

/* stats.c: add what PACKET_STATISTICS gave, which the kernel has reset by giving it. */
void tpk_stats_add(struct tpacket_counters *counters, uint32_t packets, uint32_t drops, uint32_t freezes);
int tpk_stats_read(struct tpacket *handle);  /* under the lock */
void tpk_stats_keep(struct tpacket *handle); /* the same before the socket is closed; under the lock */

/* A counter with one writer, the reader; anyone may read it. */
static inline void tpk_count(uint64_t *counter, uint64_t more)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + more, __ATOMIC_RELAXED);
}

#endif
