/* SPDX-License-Identifier: Apache-2.0 */
/* `wirebus cat` without a bus: a source that plays a script, and a sink that notes what it is given. */
#ifndef TEST_CAT_RIG_H
#define TEST_CAT_RIG_H

#include "sink_support.h"

#include "cat.h"

#define MAX_STEPS 64
#define MAX_SEEN 4096

/* What the source answers, call by call; nothing afterwards. */
struct step {
	int answer; /* of next() */
	enum wb_message_kind kind;
	uint8_t *data;
	size_t size;
};

struct wb_source {
	struct step steps[MAX_STEPS];
	size_t count;
	size_t next;
	int last;  /* answered after the steps: 0 or -ENODATA */
	FILE *out; /* must be flushed whenever the source is asked to wait */
	size_t waits;
	size_t waits_at_end;
	atomic_bool *stop; /* set after the steps, when not NULL */
};

struct wb_sink {
	uint64_t seen[MAX_SEEN]; /* stream * 1000 + packet_seq */
	size_t count;
	size_t batches;
	size_t outside; /* of those: heads of batches before the range */
	size_t late;    /* packets that are marked so */
	char names[64]; /* of the interfaces, in order */
	int answer;     /* of packet() after answer_after packets */
	size_t answer_after;
	int finished;
	int finish_answer;
	FILE *out;
};

/* Everything of one run. */
struct scene {
	struct wb_source source;
	struct wb_sink sink;
	struct wb_output out;
	struct wb_cat cat;
	struct wb_cat_args args;
	atomic_bool stop;
};

int set_up(void **state);
int tear_down(void **state);

/* Append to the script: an answer without a message, a batch, a record. */
struct step *add_step(struct scene *scene, int answer);
struct batch {
	uint32_t stream;
	uint64_t seq;
	uint64_t first;
	uint32_t packets;
	uint32_t flags;
	uint64_t dropped;
	uint64_t time_ns;         /* of the first packet, the next ones are 1 ns later each; 0: all have the time 1 */
	uint32_t interface_index; /* of the packets, plus their position; 0: interface 3, which has a name */
};
void add_batch(struct scene *scene, struct batch facts);
void add_record(struct scene *scene, uint64_t seq, uint64_t packet_seq);

/* Exactly these packets came to the sink, in this order: stream * 1000 + packet_seq. */
void expect_seen(const struct scene *scene, const uint64_t *expected, size_t count);
#define EXPECT_SEEN(scene, ...)                                                                                        \
	do {                                                                                                           \
		const uint64_t expected[] = {__VA_ARGS__};                                                             \
		expect_seen(scene, expected, sizeof(expected) / sizeof(expected[0]));                                  \
	} while (0)

/* In the order of session, worker, stream. */
const struct wb_stream *stream_at(const struct scene *scene, size_t position);

#endif
