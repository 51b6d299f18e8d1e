/* SPDX-License-Identifier: Apache-2.0 */
/* What a reader gets: everything that was settled as success, whole, once, in the order of its lane. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "conformance.h"

#define BATCHES 150
#define PROMPT 30
#define PROMPT_MS 50 /* on average */

/* What was settled as success has arrived; what certainly failed has not. */
static void check_arrivals(struct conf_session *session)
{
	unsigned int lane, i;

	for (lane = 0; lane < CONF_LANES; lane++) {
		for (i = 0; i < session->pools[lane].count; i++) {
			struct conf_batch *batch = &session->pools[lane].batches[i];
			const int result = atomic_load(&batch->result);
			const bool arrived = atomic_load(&batch->arrived);

			if (atomic_load(&batch->state) != CONF_SETTLED || batch->lane == CONF_SYNC_LANE)
				continue;
			if (result == WB_RESULT_FAILED)
				CONF_CHECK(!arrived, "lane %u batch %u failed, but arrived", lane, i);
			else if (result != WB_RESULT_UNKNOWN)
				CONF_CHECK(arrived, "lane %u batch %u settled as success, but did not arrive", lane, i);
		}
	}
}

/* Flush, then read all that was settled as success. sync: batches that only found the peer. */
static void read_everything(struct conf_session *session, unsigned int sync)
{
	unsigned int expected;
	int r;

	r = session->row->ops->flush(session->transport, 20000);
	CONF_CHECK(r == 0, "flush() returned %d", r);
	CONF_CHECK(conf_session_held(session) == 0, "flush() returned 0 with %" PRIu64 " batches outstanding",
		conf_session_held(session));
	expected = conf_session_settled(session, WB_RESULT_DELIVERED) +
	           conf_session_settled(session, WB_RESULT_HANDED_OVER);
	conf_session_receive(session, expected - sync, 8000);
	check_arrivals(session);
}

/* How many of the batches so far were for finding the peer: they are settled before anything else is published. */
static unsigned int settle_sync(struct conf_session *session)
{
	session->row->ops->flush(session->transport, 5000);
	return conf_session_settled(session, WB_RESULT_DELIVERED) +
	       conf_session_settled(session, WB_RESULT_HANDED_OVER);
}

struct worker {
	struct conf_session *session;
	unsigned int lane;
};

static void *work(void *argument)
{
	const struct worker *worker = argument;

	conf_session_publish_range(worker->session, worker->lane, 0, BATCHES);
	return NULL;
}

static void run_content(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = BATCHES, .capacity = 70000, .query = row->roomy};
	struct conf_session session;
	unsigned int sync;

	if (conf_session_open(&session, row, &setup) && conf_session_connect(&session)) {
		sync = settle_sync(&session);
		if (conf_session_publish_range(&session, 0, 0, BATCHES))
			read_everything(&session, sync);
	}
	conf_session_close(&session);
}

static void run_two_lanes(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = BATCHES, .capacity = 20000, .query = row->roomy};
	struct worker workers[CONF_LANES];
	pthread_t threads[CONF_LANES];
	struct conf_session session;
	unsigned int sync, i;

	if (!conf_session_open(&session, row, &setup) || (row->peer && !conf_session_connect(&session)))
		goto close;
	sync = settle_sync(&session);
	for (i = 0; i < CONF_LANES; i++) {
		workers[i] = (struct worker){.session = &session, .lane = i};
		pthread_create(&threads[i], NULL, work, &workers[i]);
	}
	for (i = 0; i < CONF_LANES; i++)
		pthread_join(threads[i], NULL);
	if (row->peer)
		read_everything(&session, sync);
close:
	conf_session_close(&session);
}

/* What waits for a peer reaches the one that comes late, in order. */
static void run_late_peer(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 64, .capacity = 20000};
	struct conf_session session;

	if (conf_session_open(&session, row, &setup) && conf_session_publish_range(&session, 0, 0, 40) &&
		conf_session_publish_range(&session, 1, 0, 40)) {
		CONF_CHECK(conf_session_held(&session) == 80, "%" PRIu64 " batches wait for a peer instead of 80",
			conf_session_held(&session));
		if (conf_session_connect(&session))
			read_everything(&session, 0);
	}
	conf_session_close(&session);
}

/* Buffers are used again and again, by a worker that waits for one when there is none. */
static void run_buffers_return(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 8, .capacity = 9000};
	struct conf_session session;
	struct conf_batch *batch;
	unsigned int i = 0;
	int64_t end;
	int r;

	if (!conf_session_open(&session, row, &setup) || (row->peer && !conf_session_connect(&session)))
		goto close;
	end = conf_now_ms() + 30000;
	while (i < 400 && conf_now_ms() < end) {
		batch = conf_pool_take(&session.pools[0]);
		if (!batch) {
			conf_pause_ms(1);
			continue;
		}
		conf_fill(batch, CONF_SYNC_LANE, i, 4000 + i % 5000);
		r = conf_session_publish_wait(&session, 0, batch, 10000);
		CONF_CHECK(r == 0, "publish() returned %d", r);
		i++;
	}
	CONF_CHECK(i == 400, "only %u of 400 batches found a buffer", i);
close:
	conf_session_close(&session);
}

/* How long it takes until a batch that is alone is settled. */
static int64_t time_of_one(struct conf_session *session, unsigned int i)
{
	struct conf_batch *batch = &session->pools[1].batches[i];
	int64_t begin;

	conf_pause_ms(10);
	conf_fill(batch, CONF_SYNC_LANE, i, 500);
	begin = conf_now_ms();
	conf_session_publish_wait(session, 1, batch, 1000);
	while (conf_session_held(session) > 0 && conf_now_ms() - begin < 10000)
		conf_pause_ms(1);
	return conf_now_ms() - begin;
}

/*
 * One batch at a time, after pauses in which the transport goes to sleep: it wakes up for each. A machine that is busy
 * wakes everybody up late, though not all the time: there are several tries.
 */
static void run_prompt(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = PROMPT, .capacity = 1000};
	const int64_t end = conf_now_ms() + 20000;
	struct conf_session session;
	unsigned int i;
	int64_t waited;

	if (!conf_session_open(&session, row, &setup) || (row->peer && !conf_session_connect(&session)))
		goto close;
	settle_sync(&session);
	/* The first may have to wait for a connection. */
	time_of_one(&session, 0);
	do {
		for (i = 0, waited = 0; i < PROMPT; i++)
			waited += time_of_one(&session, i);
	} while (waited >= PROMPT * PROMPT_MS && conf_now_ms() < end);
	CONF_CHECK(waited < PROMPT * PROMPT_MS, "a lone batch is settled after %" PRId64 " ms on average",
		waited / PROMPT);
close:
	conf_session_close(&session);
}

const struct conf_case conf_cases_flow[] = {
	{.name = "content", .needs_peer = true, .run = run_content},
	{.name = "two-lanes", .run = run_two_lanes},
	{.name = "late-peer", .needs = CONF_WAITS_FOR_PEER, .needs_peer = true, .run = run_late_peer},
	{.name = "buffers-return", .run = run_buffers_return},
	{.name = "prompt", .run = run_prompt},
	{.name = NULL},
};
