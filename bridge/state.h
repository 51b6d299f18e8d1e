/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the next start must know should this process be killed: for each worker its ledger, and for each of its streams
 * the next numbers, in a small file that is mapped into memory. What was stored outlives the process, however it ends;
 * not a power loss.
 *
 *	wb_state_create(&options, &state, &error);
 *	slot = wb_state_slot(state, worker);
 *	wb_state_describe(slot, i, &stream);
 *	wb_state_set(slot, i, batch_seq, packet_seq);
 *	wb_state_commit(slot, &counters, now_ns);
 *	wb_state_end(slot);
 *	wb_state_close(state);
 *
 * Each slot has two copies of what changes, written in turns, with a generation and a CRC-32C: the process may be
 * killed at any instruction, and the copy that is not being written is whole. The file is <session id>-<worker
 * id>.state, and locked as long as its process lives; a clean end deletes it.
 */
#ifndef WB_STATE_H
#define WB_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wbproto.h"
#include "wirebus/option.h"

#define WB_STATE_VERSION 2
#define WB_STATE_KEY_BYTES 96
#define WB_STATE_TOPIC_BYTES 256
#define WB_STATE_NODE_BYTES 256
#define WB_STATE_CAPTURE_BYTES 64

struct wb_state;
struct wb_state_slot;

struct wb_state_options {
	const char *directory;
	/* Only a capture of the same name that goes to the same bus takes up what is left; bus: see bus_identity.h. */
	const char *capture;
	const char *bus;
	const char *node;
	const uint8_t *session_id;
	uint32_t first_worker_id;
	unsigned int workers;
	unsigned int streams; /* of each worker */
};

/* Of a stream what does not change: who it is, and where its messages go. */
struct wb_state_stream {
	uint32_t stream_id;
	bool records; /* record mode */
	const void *key;
	size_t key_size;   /* bytes, at most WB_STATE_KEY_BYTES */
	const char *topic; /* NULL: the one of the URL */
};

/*
 * Make the file, with room for all that will be stored.
 * Errors: negative errno with a message that quotes the path.
 */
int wb_state_create(const struct wb_state_options *options, struct wb_state **ret_state, struct wb_error *ret_error);
struct wb_state_slot *wb_state_slot(struct wb_state *state, unsigned int worker);
/* Once for each stream, before the first commit. */
void wb_state_describe(struct wb_state_slot *slot, unsigned int stream, const struct wb_state_stream *description);
/* What the next commit stores of a stream: the numbers of its next batch and packet. Threads: the worker. */
void wb_state_set(struct wb_state_slot *slot, unsigned int stream, uint64_t batch_seq, uint64_t packet_seq);
/* Store. now_unix_ns: when. Threads: the worker, or whoever comes after it. Blocks: never. */
void wb_state_commit(struct wb_state_slot *slot, const struct wbproto_counters *counters, uint64_t now_unix_ns);
/* Nothing of this worker is left to be said. */
void wb_state_end(struct wb_state_slot *slot);
/* Delete the file when all workers have ended, else leave it to the next start. NULL is allowed. */
void wb_state_close(struct wb_state *state);

/* ---- state_read.c: what earlier sessions left ---- */

/* A file of a session that did not end. It is deleted when all its streams are done. */
struct wb_state_file;

/* A stream of such a session. */
struct wb_state_left {
	struct wb_state_file *file;
	uint8_t session_id[16];
	uint32_t worker_id;
	uint32_t stream_id;
	uint64_t batch_seq;  /* of the batch that would have come next */
	uint64_t packet_seq; /* of the packet that would have come next */
	struct wbproto_counters counters;
	uint64_t time_unix_ns; /* when that was stored */
	bool records;          /* record mode */
	size_t key_size;
	uint8_t key[WB_STATE_KEY_BYTES];
	bool has_topic;
	char topic[WB_STATE_TOPIC_BYTES];
	char node[WB_STATE_NODE_BYTES];
};

typedef int (*wb_state_found)(void *context, const struct wb_state_left *left);

/*
 * Look for files of earlier sessions of the capture, and report each stream that used a number up. Files of processes
 * that live are passed over, and with a message those of a capture of that name that went to another bus; files of
 * version 1 do not say to which one. Damaged files are set aside, with a message.
 * Errors: negative errno with a message; -EPROTO: a file of a newer version; what found() returned below 0.
 */
int wb_state_find(const char *directory, const char *capture, const char *bus, wb_state_found found, void *context,
	struct wb_error *ret_error);
/* The stream needs its file no longer. Threads: any. */
void wb_state_done(struct wb_state_file *file);
/* The same without having said what was to be said: the file stays for the next start. */
void wb_state_leave(struct wb_state_file *file);

#endif
