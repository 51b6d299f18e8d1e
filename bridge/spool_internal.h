/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the spool share. */
#ifndef WB_SPOOL_INTERNAL_H
#define WB_SPOOL_INTERNAL_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "container.h"
#include "segment.h"
#include "source.h"
#include "spool.h"

#define WB_SPOOL_NAME_BYTES 64
/* No message that wirebus writes is longer. */
#define WB_SPOOL_MAX_MESSAGE_BYTES ((size_t)128 << 20)

/* ---- spool_route.c: what is needed to publish a batch again, as bytes ---- */

#define WB_SPOOL_ROUTE_BYTES 72 /* then key and topic */
#define WB_SPOOL_ROUTE_MAX (WB_SPOOL_ROUTE_BYTES + sizeof(((struct wb_spool_item *)0)->text))
/* Record mode has version 2, as who knows version 1 only would publish it wrongly. */
#define WB_SPOOL_ROUTE_VERSION 2
/* The route's first bytes; then the version. */
#define WB_SPOOL_ROUTE_MAGIC "WBR"

/* Returns the length. -EMSGSIZE: key and topic are too long. */
int wb_spool_route_write(uint8_t *to, const struct wb_batch *batch, const struct wb_route *route);
/* The item's data, size and records are the caller's. Errors: -EBADMSG; -EPROTO: a newer version. */
int wb_spool_route_read(const uint8_t *from, size_t length, struct wb_spool_item *ret_item);

/* ---- spool_records.c: a buffer of records is one entry ---- */

/*
 * Kind of such an entry, beside those of enum wb_message_kind, which are of single messages. Its message: the records
 * back to back, then for each of the route's `packets` records 16 bytes, little-endian: i64 time in ms, u32 end, u32
 * zero; see struct wb_record.
 */
#define WB_SPOOL_KIND_RECORDS 3
#define WB_SPOOL_NOTE_BYTES 16

/* Bytes behind the batch's data; 0: it is one message. */
static inline size_t wb_spool_notes_bytes(const struct wb_batch *batch)
{
	return (size_t)batch->record_count * WB_SPOOL_NOTE_BYTES;
}

static inline uint16_t wb_spool_kind(const struct wb_batch *batch)
{
	return batch->record_count ? WB_SPOOL_KIND_RECORDS : WB_MESSAGE_BATCH;
}

/* Returns the notes as bytes. Ownership: free(3). NULL: no memory. */
uint8_t *wb_spool_notes_write(const struct wb_batch *batch);
/* Bytes of the records of a message with so many. 0: it cannot have so many. */
size_t wb_spool_records_bytes(size_t message_length, uint32_t records);
/* Where they are put in memory when they are read. */
static inline size_t wb_spool_notes_offset(size_t message_length, uint32_t records)
{
	size_t alignment = alignof(struct wb_record);

	return (wb_spool_records_bytes(message_length, records) + alignment - 1) / alignment * alignment;
}
/* Whether the notes are those of records of so many bytes. */
bool wb_spool_notes_check(const uint8_t *notes, uint32_t records, size_t bytes);
/* Make them what a transport reads, in place. notes: aligned as struct wb_record. */
struct wb_record *wb_spool_notes_read(void *notes, uint32_t records);
struct wb_spool_entry;
/* Of records that were read take out those that have an outcome; not all have. Errors: -ENOMEM. */
int wb_spool_leave_out(struct wb_spool_entry *entry, uint8_t *data, struct wb_spool_item *item);

/* ---- spool_queue.c: what is on disk, in memory ---- */

/* A file. */
struct wb_spool_segment {
	struct wb_spool_segment *next;
	char name[WB_SPOOL_NAME_BYTES];
	uint64_t charged; /* of the bound */
	uint64_t live;    /* entries that have not been settled */
};

struct wb_spool_entry {
	struct wb_spool_entry *previous, *next; /* of the stream, by batch_seq */
	struct wb_spool_stream *stream;
	struct wb_spool_segment *segment;
	uint64_t batch_seq;
	uint64_t offset; /* in the file */
	uint32_t length; /* beyond the entry's header */
	uint16_t route_length;
	bool sent;
	uint32_t packets; /* without an outcome */
	uint32_t records; /* in record mode, those with an outcome included */
	uint8_t *done;    /* a byte for each of them: 1: it has its outcome. NULL: none has been sent yet */
};

struct wb_spool_stream {
	struct wb_spool_stream *next;
	uint8_t session_id[16];
	uint32_t stream_id;
	bool recovered;                      /* of an earlier session */
	struct wb_spool_entry *first, *last; /* by batch_seq */
	struct wb_spool_entry *unsent;       /* the first that has not been sent */
};

struct wb_spool_queue {
	struct wb_spool *spool;
	struct wb_spool_stream *streams; /* recovered ones first, in the order of their sessions */
	struct wb_spool_stream *turn;    /* whose turn it is among the others; NULL: the first's */
	struct wb_spool_segment *segments;
	struct wb_spool_segment *active; /* the one that is written to */
	struct wb_segments writer;
	uint64_t told_sync_ms; /* 0: not yet */
	uint64_t recovered_packets;
	/* The file that was read from last. */
	int read_fd;
	char read_name[WB_SPOOL_NAME_BYTES];
};

struct wb_spool {
	char *path;
	int directory;
	int lock;
	uint64_t bytes;
	bool fsync;
	size_t longest;
	unsigned int queue_count;
	struct wb_spool_queue *queues;

	atomic_ullong used; /* of the bound */
	atomic_ullong entries;
	atomic_ullong recovered, damaged, torn, torn_bytes, refused, failed;

	pthread_mutex_t told; /* of the next ones: what the user knows */
	bool told_full;
	bool told_failing;
	size_t failed_size;    /* of the last batch that failed */
	uint64_t failed_ms;    /* when */
	uint64_t lost_batches; /* since it was told */
};

/* What an entry takes of the bound: with a file's header for each, so that the files together never exceed it. */
static inline uint64_t wb_spool_charge(uint64_t length)
{
	uint64_t bytes = WB_CONTAINER_HEADER_BYTES + WB_CONTAINER_ENTRY_BYTES + length;

	return bytes > WB_SPOOL_LEAST_CHARGE ? bytes : WB_SPOOL_LEAST_CHARGE;
}

/* Returns the stream, made if there is none. NULL: no memory. */
struct wb_spool_stream *wb_spool_stream_get(
	struct wb_spool_queue *queue, const uint8_t session_id[16], uint32_t stream_id, bool recovered);
/* Whether the stream has an entry of that number. */
bool wb_spool_has(const struct wb_spool_stream *stream, uint64_t batch_seq);
/* Put an entry, whose batch_seq is set, in its place. -EEXIST: there is one with this number. */
int wb_spool_insert(struct wb_spool_stream *stream, struct wb_spool_entry *entry);
struct wb_spool_segment *wb_spool_segment_add(struct wb_spool_queue *queue, const char *name);
/* Delete the file when nothing in it is needed any more. */
void wb_spool_segment_check(struct wb_spool_queue *queue, struct wb_spool_segment *segment);
void wb_spool_queue_fini(struct wb_spool_queue *queue);

/* ---- spool.c ---- */

/* Tell the user, now and then, that the disk has not taken what was to be safe from a power loss, if so. */
void wb_spool_tell_sync(struct wb_spool_queue *queue);

/* ---- spool_recover.c: what an earlier process left ---- */

int wb_spool_recover(struct wb_spool *spool, struct wb_error *ret_error);
/* Whether an earlier process left files of batches, or may have: they cannot be listed. */
bool wb_spool_has_files(const struct wb_spool *spool);

/* ---- spool_bus.c ---- */

/*
 * Note what bus the spool is for. Errors with a message: -EEXIST: it holds batches for another one; others: -errno, it
 * says that it is for another one, and that cannot be changed.
 */
int wb_spool_check_bus(struct wb_spool *spool, const char *bus, struct wb_error *ret_error);

#endif
