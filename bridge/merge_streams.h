/* SPDX-License-Identifier: Apache-2.0 */
/* Of the merge: the streams that it knows, and up to when each has told. */
#ifndef WB_MERGE_STREAMS_H
#define WB_MERGE_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packets.h"

#define WB_MERGE_STREAM_BUCKETS 1024u

struct held;

struct wb_merge_stream {
	uint8_t session_id[WBPROTO_SESSION_ID_BYTES];
	uint32_t stream_id;
	bool ended;
	uint64_t packets_ns; /* greatest time of a packet */
	uint64_t told_ns;    /* nothing earlier is to be expected: by packets or by a watermark */
	struct held *tail;   /* the merge's: of its messages that are held, the one that ends last */
	size_t held;         /* the merge's: how many are held; a stream with any is never forgotten */
	struct wb_merge_stream *next;
};

struct wb_merge_streams {
	uint64_t window_ns;
	uint64_t newest_ns;              /* greatest time of a packet, of all streams */
	size_t count;                    /* that have not ended */
	size_t known;                    /* those included that have */
	size_t limit;                    /* of known, before the next look for what can be forgotten */
	uint64_t untracked;              /* messages for which there was no room */
	struct wb_merge_stream *slowest; /* of those that are waited for; NULL: to be found */
	struct wb_merge_stream *buckets[WB_MERGE_STREAM_BUCKETS];
};

void wb_merge_streams_init(struct wb_merge_streams *streams, uint64_t window_ns);
void wb_merge_streams_fini(struct wb_merge_streams *streams);
/* NULL: it is not known. */
struct wb_merge_stream *wb_merge_streams_find(struct wb_merge_streams *streams, const struct wb_packets *packets);
/* Take note of a message. NULL: there is no room for its stream, or no memory. */
struct wb_merge_stream *wb_merge_streams_note(struct wb_merge_streams *streams, const struct wb_packets *packets);
/* All streams have told up to this time, those left out that have said nothing for the window. */
uint64_t wb_merge_streams_bound(struct wb_merge_streams *streams);

#endif
