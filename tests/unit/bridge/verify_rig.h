/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that came, made by hand, and what the audit says of them. */
#ifndef VERIFY_RIG_H
#define VERIFY_RIG_H

#include "sink_support.h"

#include "audit.h"

#define MS UINT64_C(1000000)

struct scene {
	struct wb_streams streams;
	struct wb_audit audit;
	bool from_start;
};

/* A message, of session 1, worker 1, stream 1 and node "a" unless it says otherwise. */
struct came {
	unsigned int session; /* its start in ms */
	const char *node;
	uint32_t worker, stream;
	uint64_t seq, first;
	uint32_t packets;
	uint32_t flags;
	uint64_t t1_ms;
	unsigned int channel;
	bool record;     /* a packet by itself */
	bool of_records; /* about such packets */
	const struct wbproto_counters *counters;
};

#define END WBPROTO_BATCH_END_OF_STREAM
#define CRASHED (WBPROTO_BATCH_END_OF_STREAM | WBPROTO_BATCH_PREVIOUS_SESSION)

int set_up(void **state);
int tear_down(void **state);

/* Returns whether it was new. */
int come(struct scene *scene, struct came came);

/* Counters of a worker that has read what it accepted; what has no other outcome was delivered. */
struct wbproto_counters *counters(struct wbproto_counters c);
#define COUNTERS(...) counters((struct wbproto_counters){__VA_ARGS__})

const struct wb_audit *judge(struct scene *scene);
/* Also that the word and the exit codes go with it. */
void expect_verdict(const struct wb_audit *audit, unsigned int doubts, unsigned int losses);
/* Every missing packet is in exactly one term. */
void expect_sums(const struct wb_audit *audit);

#endif
