/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a consumer knows of the streams it reads: what came, what is missing, what came twice. A stream is known by
 * (session, stream id); memory is bounded by WB_STREAMS_MAX streams.
 */
#ifndef WB_STREAMS_H
#define WB_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sequence.h"
#include "wbproto.h"

#define WB_STREAMS_MAX 65536u
#define WB_STREAM_NODE_BYTES 64u
/* A stream's messages may come through two channels without an order between them: a topic and its ledger. */
#define WB_STREAM_CHANNELS 2u

struct wb_stream {
	uint8_t session_id[WBPROTO_SESSION_ID_BYTES];
	uint32_t worker_id;
	uint32_t stream_id;
	uint8_t node_length;
	char node[WB_STREAM_NODE_BYTES];      /* cut */
	uint64_t messages;                    /* without duplicates */
	uint64_t packets;                     /* in those */
	uint64_t duplicates;                  /* messages that had come before */
	uint64_t duplicate_packets;           /* in those */
	uint64_t stale;                       /* messages too old to be told from duplicates, so taken as such */
	uint64_t out_of_order;                /* messages that came after a later one of the same channel */
	uint64_t repeated;                    /* packets of new messages with numbers that had come: it cannot be */
	uint64_t highest[WB_STREAM_CHANNELS]; /* message numbers */
	uint64_t lowest;                      /* message number, of all */
	uint64_t next;                        /* message number after the highest of all */
	uint64_t on_behalf;         /* messages that were written after a restart, which have no number of their own */
	struct wb_sequence batches; /* message numbers; of records' streams, as wb_arrival.is_of_records says */
	struct wb_sequence numbers; /* of packets */
	uint64_t counters_seq;      /* the message that counters are of: the newest snapshot */
	struct wbproto_counters counters;
	uint64_t first_counters_seq; /* the message that first_counters are of: the oldest snapshot */
	struct wbproto_counters first_counters;
	bool has_counters;
	bool of_records; /* its packets are messages by themselves */
	uint64_t
		announced; /* by messages about its records, but for its end: the number of the packet that came next */
	uint64_t under_way; /* of those announced: packets that had not been settled, and are not judged */
	bool ended;
	bool crashed;            /* its end was written after a restart, on its behalf */
	uint64_t end_seq;        /* number of the message that ended it; of a crashed one, the one it would have used */
	uint64_t end_packet_seq; /* and the number that its next packet would have had */
	uint64_t crash_before_ns; /* crashed: when its last state was written, Unix time */
};

struct wb_streams {
	struct wb_stream **slots; /* open addressing */
	size_t slot_count;
	size_t count;
	size_t ended;
	struct wb_stream *last;      /* the one found last */
	uint64_t seed;               /* messages cannot choose their slots */
	uint64_t untracked_messages; /* of streams beyond the limit, or with numbers that cannot be */
	uint64_t untracked_packets;
	struct wb_sequence_limits *hole_limits; /* NULL: WB_SEQUENCE_MAX_HOLES each; set before the first message */
};

/* A message without its packets' contents. */
struct wb_arrival {
	const uint8_t *session_id;
	uint32_t worker_id;
	uint32_t stream_id;
	uint64_t batch_seq;
	uint64_t first_packet_seq;
	uint64_t packets;
	struct wbproto_view node;
	const struct wbproto_counters *counters; /* NULL: none */
	bool end_of_stream;
	bool previous_session; /* written after a restart, on behalf of session_id */
	uint64_t watermark_unix_ns;
	unsigned int channel; /* below WB_STREAM_CHANNELS */
	/*
	 * Record mode: the message is a packet by itself; or it tells of the records of its stream, and is numbered
	 * among its like: batch_seq counts both kinds, and each may be read without the other.
	 */
	bool is_record;
	bool is_of_records;
};

void wb_streams_init(struct wb_streams *streams);
/* Whether the numbers are such as a producer writes. */
bool wb_arrival_possible(const struct wb_arrival *arrival);
/*
 * Which of two snapshots of one worker is older, by the counters that never fall: less than, equal to, or greater than
 * 0, as for qsort().
 */
int wb_counters_compare(const struct wbproto_counters *left, const struct wbproto_counters *right);
/* Book a message. 1: use its packets. 0: it had come before. Errors: -ENOMEM. */
int wb_streams_book(struct wb_streams *streams, const struct wb_arrival *arrival);
/*
 * Of a stream of records that has not ended the counters may be read while packets are under way that they tell of:
 * so messages about records alone make nothing missing. Say now, when all was read, that every packet that was
 * announced should be here, but for the last of them: as many as under_way. Returns how many these were.
 * Errors: -ENOMEM.
 */
int wb_stream_expect_announced(struct wb_stream *stream, uint64_t under_way, uint64_t *ret_under_way);
/* Whether there are streams and all have ended. */
bool wb_streams_all_ended(const struct wb_streams *streams);
void wb_streams_fini(struct wb_streams *streams);

/* Sums over all streams. */
struct wb_streams_total {
	uint64_t messages;
	uint64_t packets;
	uint64_t duplicates;
	uint64_t stale;
	uint64_t out_of_order;
	uint64_t missing_packets;
	uint64_t missing_messages;
	uint64_t missed_before_first;
	uint64_t kernel_dropped; /* by worker, not by stream */
};

/*
 * All streams, ordered by session, worker and stream; streams->count pointers. NULL when there are none, or no memory.
 * Ownership: free() the array.
 */
struct wb_stream **wb_streams_sorted(const struct wb_streams *streams);
void wb_streams_sum(struct wb_stream *const *sorted, size_t count, struct wb_streams_total *ret_total);

/* Numbers that were given away before the first one seen. */
uint64_t wb_sequence_before(const struct wb_sequence *sequence);
/*
 * Messages that are missing of a stream that was read with its ledger. In record mode a packet that is missing is one
 * of them, so they are counted over both kinds; which they are, the holes of each say.
 */
uint64_t wb_stream_missing_messages(const struct wb_stream *stream);

#endif
