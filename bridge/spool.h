/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool: a bounded directory that takes sealed batches while the bus does not, and gives them back in the order of
 * (stream, batch_seq). It survives the process: what an earlier one left is found at the start.
 *
 *	wb_spool_open(&options, workers, &spool, &error);
 *	queue = wb_spool_queue(spool, i);
 *	wb_spool_append(queue, batch, route);
 *	while ((entry = wb_spool_next(queue))) {
 *		wb_spool_read(queue, entry, &item, ...);
 *		wb_spool_sent(queue, entry);
 *		...publish; later one of wb_spool_settled(), wb_spool_unsent()
 *	}
 *
 * The directory holds container files (container.h), <session id>-<worker id>-<segment>.wbs, each written by one
 * worker, the file "lock", and the file "bus", which says where the batches are to go: nobody else's spool is
 * published by mistake. A container file is deleted when all its batches have been settled. Each worker has a queue of
 * its own and alone calls its functions; the queues share the bound, the lock file, and what was told to the user.
 */
#ifndef WB_SPOOL_H
#define WB_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wirebus/transport.h"

/* No entry counts for less against the bound: its place in memory and in the file system costs something too. */
#define WB_SPOOL_LEAST_CHARGE 4096

struct wb_spool;
struct wb_spool_queue;
struct wb_spool_entry;

struct wb_spool_options {
	const char *directory;
	const char *bus;        /* where the batches go, see bus_identity.h; NULL: not to be looked at */
	uint64_t bytes;         /* bound of all files together */
	uint64_t segment_bytes; /* of a file */
	bool fsync;             /* wait for the disk when a file is complete */
};

/* What happened so far. */
struct wb_spool_stats {
	uint64_t bytes;     /* taken of the bound now */
	uint64_t entries;   /* batches on disk now */
	uint64_t recovered; /* batches found at the start */
	uint64_t damaged;   /* batches that could not be read any more */
	uint64_t torn;      /* files whose end was cut */
	uint64_t torn_bytes;
	uint64_t refused; /* batches for which there was no room */
	uint64_t failed;  /* batches that the disk did not take */
};

/* A batch as it comes back. Its pointers lead into the memory that wb_spool_read() was given and into this object. */
struct wb_spool_item {
	struct wb_batch batch; /* without settle */
	struct wb_route route;
	struct wb_record *records; /* batch.records; NULL: it is one message */
	uint8_t session_id[16];
	uint8_t text[1024]; /* key and topic */
};

/*
 * Open or create the directory, lock it, find what is in it. What was left goes to the queues by worker id.
 * Blocks on the disk: everything that is there is read once.
 * Errors: negative errno with a message that quotes the path; -EWOULDBLOCK: another process has it; -EPROTO: files of a
 * newer version are in it, and nothing of them was changed.
 */
int wb_spool_open(const struct wb_spool_options *options, unsigned int queues, struct wb_spool **ret_spool,
	struct wb_error *ret_error);
/* What is on disk stays. NULL is allowed. */
void wb_spool_close(struct wb_spool *spool);
struct wb_spool_queue *wb_spool_queue(struct wb_spool *spool, unsigned int queue);
/* Threads: any. */
void wb_spool_stats(struct wb_spool *spool, struct wb_spool_stats *ret_stats);
const char *wb_spool_directory(const struct wb_spool_queue *queue);
/* The longest batch that was found at the start, in bytes. */
size_t wb_spool_longest(const struct wb_spool_queue *queue);

/*
 * Write a batch; it is wb_spool_next()'s from then on. Blocks on the disk. The bound is not for batches without
 * packets: they are few, and say where the others are.
 * Errors: -ENOBUFS: the bound is reached; others: -errno. The user was told; nothing of it is in the spool.
 */
int wb_spool_append(struct wb_spool_queue *queue, const struct wb_batch *batch, const struct wb_route *route);
/* The batch to be published next: streams of earlier sessions first, the others in turn. NULL: all are sent. */
struct wb_spool_entry *wb_spool_next(struct wb_spool_queue *queue);
uint64_t wb_spool_entry_seq(const struct wb_spool_entry *entry);
uint32_t wb_spool_entry_packets(const struct wb_spool_entry *entry); /* without an outcome */
size_t wb_spool_entry_size(const struct wb_spool_entry *entry);      /* of the message and its notes, in bytes */
/*
 * Read it into memory, wb_spool_entry_size() bytes, aligned as struct wb_record. Of records those that have an outcome
 * are left out.
 * Errors: -EAGAIN: memory or descriptors are missing, try later; -EBADMSG: it was damaged; others: -errno, the file
 * cannot be read. Then it is lost, which was told: call wb_spool_settled().
 */
int wb_spool_read(
	struct wb_spool_queue *queue, struct wb_spool_entry *entry, void *memory, struct wb_spool_item *ret_item);
/* It is with the transport now. */
void wb_spool_sent(struct wb_spool_queue *queue, struct wb_spool_entry *entry);
/*
 * Some of the records that were read have their outcome (wb_record.host is not 0); the others are to be sent again.
 * Only this process knows: the next one finds all of them.
 */
void wb_spool_records_settled(struct wb_spool_entry *entry, const struct wb_record *records, uint32_t count);
/* It is to be sent again, before what is newer of its stream. */
void wb_spool_unsent(struct wb_spool_queue *queue, struct wb_spool_entry *entry);
/* It has reached its end: forget it. */
void wb_spool_settled(struct wb_spool_queue *queue, struct wb_spool_entry *entry);
/* Whether anything of the stream is still there, sent or not. */
bool wb_spool_holds(const struct wb_spool_queue *queue, const uint8_t session_id[16], uint32_t stream_id);
/* Packets that the queue was given at the start. */
uint64_t wb_spool_recovered_packets(const struct wb_spool_queue *queue);

#endif
