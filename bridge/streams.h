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

struct wb_stream {
	uint8_t session_id[WBPROTO_SESSION_ID_BYTES];
	uint32_t worker_id;
	uint32_t stream_id;
	uint8_t node_length;
	char node[WB_STREAM_NODE_BYTES]; /* cut */
	uint64_t messages;               /* without duplicates */
	uint64_t packets;                /* in those */
	uint64_t duplicates;             /* messages that had come before */
	uint64_t stale;                  /* messages too old to be told from duplicates, so taken as such */
	uint64_t out_of_order;           /* messages that came after a later one */
	struct wb_sequence batches;
	struct wb_sequence numbers; /* of packets */
	uint64_t counters_seq;      /* the message that counters are of */
	struct wbproto_counters counters;
	bool has_counters;
	bool ended;
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
};

void wb_streams_init(struct wb_streams *streams);
/* Book a message. 1: use its packets. 0: it had come before. Errors: -ENOMEM. */
int wb_streams_book(struct wb_streams *streams, const struct wb_arrival *arrival);
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

#endif
