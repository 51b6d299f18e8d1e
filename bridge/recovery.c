/* SPDX-License-Identifier: Apache-2.0 */
#include "recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bus_identity.h"
#include "log.h"
#include "spool.h"
#include "state.h"

/* Streams of earlier runs that are named; flow mode makes many. */
#define MAX_TOLD 16

static int open_spool(struct wb_capture *capture, const char *bus, struct wb_error *ret_error)
{
	const struct wb_capture_config *config = capture->config;
	const struct wb_spool_options options = {
		.directory = config->spool_dir,
		.bus = bus,
		.bytes = config->spool_bytes,
		.segment_bytes = config->spool_segment_bytes,
		.fsync = config->spool_fsync == WB_SPOOL_FSYNC_SEGMENT,
	};
	struct wb_spool_stats stats;
	uint64_t packets = 0;
	int r;

	if (config->on_full != WB_ON_FULL_SPOOL) {
		if (config->spool_dir)
			wb_log(WB_LOG_WARNING,
				"capture %s: spool_dir '%s' is not looked at, and what is in it not published, without "
				"on_full: spool",
				wb_capture_name(config), config->spool_dir);
		return 0;
	}
	r = wb_spool_open(&options, capture->worker_count, &capture->spool, ret_error);
	for (unsigned int i = 0; r == 0 && i < capture->worker_count; i++) {
		struct wb_spool_queue *queue = wb_spool_queue(capture->spool, i);

		packets += wb_spool_recovered_packets(queue);
		r = wb_worker_spool_init(&capture->workers[i], queue, ret_error);
	}
	if (r < 0)
		return r;
	wb_spool_stats(capture->spool, &stats);
	if (stats.recovered)
		wb_log(WB_LOG_WARNING,
			"capture %s: the spool '%s' has %" PRIu64
			" packets of an earlier run; they are published first",
			wb_capture_name(config), config->spool_dir, packets);
	return 0;
}

struct found {
	struct wb_capture *capture;
	unsigned int streams;
};

/* Old streams go to the worker that has their part of the spool. */
static int found(void *context, const struct wb_state_left *left)
{
	struct found *found = context;
	struct wb_capture *capture = found->capture;
	struct wb_worker *worker = &capture->workers[left->worker_id % capture->worker_count];

	if (found->streams++ < MAX_TOLD)
		wb_log(WB_LOG_WARNING,
			"capture %s: an earlier run ended without an end of stream %u: it had accepted packets up to "
			"number %" PRIu64 "; this is published on its behalf",
			wb_capture_name(capture->config), left->stream_id, left->packet_seq - 1);
	return wb_worker_previous_add(worker, left);
}

static int open_state(
	struct wb_capture *capture, const struct wb_config *config, const char *bus, struct wb_error *ret_error)
{
	const char *spool_dir = capture->spool ? capture->config->spool_dir : NULL;
	const char *directory = config->state_dir ? config->state_dir : spool_dir;
	const struct wb_state_options options = {
		.directory = directory,
		.capture = wb_capture_name(capture->config),
		.bus = bus,
		.node = config->node,
		.session_id = capture->workers[0].session_id,
		.first_worker_id = capture->workers[0].worker_id,
		.workers = capture->worker_count,
		.streams = wb_capture_streams(capture->config),
	};
	struct found left = {.capture = capture};
	int r;

	if (!directory)
		return 0;
	r = wb_state_find(directory, options.capture, bus, found, &left, ret_error);
	if (left.streams > MAX_TOLD)
		wb_log(WB_LOG_WARNING, "capture %s: the same for %u other streams", wb_capture_name(capture->config),
			left.streams - MAX_TOLD);
	if (r == 0)
		r = wb_state_create(&options, &capture->state, ret_error);
	if (r == -ENOSPC || r == -EDQUOT) {
		/* It may be the spool that fills the disk, and only a start can empty it. */
		wb_log(WB_LOG_ERROR, "capture %s: %s; should wirebus be killed, the next start will not know of it",
			options.capture, ret_error->message);
		return 0;
	}
	for (unsigned int i = 0; r == 0 && i < capture->worker_count; i++)
		wb_worker_state_init(&capture->workers[i], wb_state_slot(capture->state, i));
	return r;
}

int wb_capture_recover(struct wb_capture *capture, const struct wb_config *config, struct wb_error *ret_error)
{
	char bus[WB_BUS_IDENTITY_BYTES];
	int r;

	wb_bus_identity(&capture->setup.url, bus);
	r = open_spool(capture, bus, ret_error);
	return r < 0 ? r : open_state(capture, config, bus, ret_error);
}

void wb_capture_keep(struct wb_capture *capture)
{
	for (unsigned int i = 0; i < capture->worker_count; i++) {
		wb_worker_spool_finish(&capture->workers[i]);
		wb_worker_state_finish(&capture->workers[i]);
	}
}

void wb_capture_print_spool(struct wb_capture *capture, FILE *stream)
{
	struct wb_spool_stats s;

	if (!capture->spool)
		return;
	wb_spool_stats(capture->spool, &s);
	fprintf(stream,
		",\"spool\":{\"bytes\":%" PRIu64 ",\"batches\":%" PRIu64 ",\"batches_recovered\":%" PRIu64
		",\"batches_damaged\":%" PRIu64 ",\"files_torn\":%" PRIu64 ",\"bytes_torn\":%" PRIu64
		",\"batches_refused\":%" PRIu64 ",\"batches_failed\":%" PRIu64 "}",
		s.bytes, s.entries, s.recovered, s.damaged, s.torn, s.torn_bytes, s.refused, s.failed);
}
