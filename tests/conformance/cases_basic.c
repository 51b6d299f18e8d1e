/* SPDX-License-Identifier: Apache-2.0 */
/* What each operation promises, one at a time. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

/* Larger batches are not tried even if the bus has a limit. */
#define LARGEST (UINT64_C(80) << 20)

static void run_check_rejects(const struct conf_row *row)
{
	struct conf_session session = {.row = row};
	const struct conf_bad *bad;
	struct wb_error error;
	int r;

	for (bad = row->bad; bad && bad->url; bad++) {
		memset(&error, 0, sizeof(error));
		r = conf_session_parse(&session, bad->url, &error);
		CONF_CHECK(r == -EINVAL, "%s: %d instead of -EINVAL", bad->url, r);
		CONF_CHECK(error.message[0] && strstr(error.message, bad->quoted),
			"%s: the message does not quote '%s': %s", bad->url, bad->quoted, error.message);
		CONF_CHECK(!strchr(error.message, '\n'), "%s: a message of several lines", bad->url);
	}
	conf_session_parse(&session, "", NULL); /* frees what the last one left */
	free((void *)session.args.address);
}

static void run_close_null(const struct conf_row *row)
{
	row->ops->close(NULL);
}

static void run_descriptor(const struct conf_row *row)
{
	const char *const *scheme = row->ops->schemes;

	CONF_CHECK(row->ops->abi == WB_TRANSPORT_ABI, "ABI %u", row->ops->abi);
	while (*scheme && strcmp(*scheme, row->scheme) != 0)
		scheme++;
	CONF_CHECK(*scheme, "the scheme '%s' is not listed", row->scheme);
}

/* Opening and publishing need nobody at the other end. */
static void run_without_peer(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 64, .capacity = 20000, .url = row->offline};
	struct wb_transport_stats stats = {0};
	struct conf_session session;
	unsigned int i;
	int r = 0;

	if (conf_session_open(&session, row, &setup)) {
		for (i = 0; i < 64 && r == 0; i++) {
			conf_fill(&session.pools[0].batches[i], 0, i, 5000 + i);
			r = conf_session_publish(&session, 0, &session.pools[0].batches[i]);
			CONF_CHECK(r == 0 || r == -EAGAIN, "publish() returned %d", r);
		}
		row->ops->stats(session.transport, &stats);
		CONF_CHECK(!stats.failed, "failed, though nothing is wrong but an absent peer");
		CONF_CHECK(!row->offline || !stats.connected, "connected to nobody");
	}
	conf_session_close(&session);
}

static void run_oversize(const struct conf_row *row)
{
	struct conf_setup setup = {.buffers = 2, .capacity = 100001, .max_batch_bytes = 100000};
	struct conf_session session = {.row = row};
	struct wb_error error;
	size_t limit;
	int r;

	/* The limit is the bus's; without one the transport may insist on what it was told. */
	if (!row->bad || row->bus_open(&session.bus, row) != 0)
		return;
	r = conf_session_parse(&session, session.bus.url, &error);
	CONF_CHECK(r == 0, "%s: %s", session.bus.url, error.message);
	CONF_CHECK(session.max_batch_bytes > 0, "check() says that the bus takes nothing");
	limit = session.max_batch_bytes;
	conf_session_close(&session);
	if (limit > LARGEST && !(row->flags & CONF_ZMQ))
		return;
	if (limit <= LARGEST) {
		setup.capacity = limit + 1;
		setup.max_batch_bytes = limit;
	}
	if (conf_session_open(&session, row, &setup)) {
		struct conf_batch *batch = &session.pools[0].batches[0];

		conf_fill(batch, 0, 0, setup.capacity);
		r = conf_session_publish(&session, 0, batch);
		CONF_CHECK(r == -EMSGSIZE, "oversize: %d instead of -EMSGSIZE", r);
		CONF_CHECK(r == 0 || atomic_load(&batch->state) == CONF_REFUSED, "settled although refused");
		if (row->flags & CONF_REFUSES_ALONE && !conf_session_connect(&session))
			goto close;
		batch = &session.pools[0].batches[1];
		conf_fill(batch, 0, 1, setup.capacity - 1);
		r = conf_session_publish_wait(&session, 0, batch, 10000);
		CONF_CHECK(r == 0, "a batch of the largest size: %d", r);
	}
close:
	conf_session_close(&session);
}

static void check_stats(struct conf_session *session)
{
	struct wb_transport_stats stats = {0};
	uint64_t published = 0, bytes = 0;
	unsigned int i;

	for (i = 0; i < CONF_LANES; i++) {
		published += atomic_load(&session->pools[i].published);
		bytes += atomic_load(&session->pools[i].settled_bytes);
	}
	session->row->ops->stats(session->transport, &stats);
	CONF_CHECK(stats.published == published, "stats: published %" PRIu64 ", really %" PRIu64, stats.published,
		published);
	CONF_CHECK(stats.settled == published, "stats: settled %" PRIu64 ", really %" PRIu64, stats.settled, published);
	CONF_CHECK(stats.bytes == bytes, "stats: %" PRIu64 " bytes, really %" PRIu64, stats.bytes, bytes);
	CONF_CHECK(stats.again == atomic_load(&session->again), "stats: again %" PRIu64 ", really %llu", stats.again,
		atomic_load(&session->again));
	CONF_CHECK(stats.connected && !stats.failed, "stats: not connected, or failed");
}

/* With somebody who reads: everything is settled as success, flush() sees it, the statistics say the same. */
static void run_settles_once(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 200, .capacity = 20000};
	const bool acknowledges = row->ops->capabilities & WB_TRANSPORT_ACKNOWLEDGES && !(row->flags & CONF_HANDS_OVER);
	const enum wb_result wanted = acknowledges ? WB_RESULT_DELIVERED : WB_RESULT_HANDED_OVER;
	struct conf_session session;
	uint64_t begin;
	int r;

	if (!conf_session_open(&session, row, &setup) || (row->peer && !conf_session_connect(&session)))
		goto close;
	conf_session_publish_range(&session, 1, 0, 200);
	begin = (uint64_t)conf_now_ms();
	r = row->ops->flush(session.transport, 20000);
	CONF_CHECK(r == 0, "flush() returned %d after %" PRIu64 " ms", r, (uint64_t)conf_now_ms() - begin);
	CONF_CHECK(conf_session_held(&session) == 0, "flush() returned 0 with %" PRIu64 " batches outstanding",
		conf_session_held(&session));
	CONF_CHECK(atomic_load(&session.pools[1].results[wanted]) == 200, "%llu of 200 batches settled as success",
		atomic_load(&session.pools[1].results[wanted]));
	check_stats(&session);
close:
	conf_session_close(&session);
}

/* A refused batch stays the caller's: it is not settled, not even later, and its memory is not read. */
static void run_again_holds_nothing(const struct conf_row *row)
{
	const struct conf_setup setup = {
		.buffers = 300, .told = 16, .capacity = 9000, .url = row->offline, .query = row->slow};
	struct conf_session session;
	unsigned int i, refused = 0;
	int r;

	if (!conf_session_open(&session, row, &setup))
		goto close;
	for (i = 0; i < 300; i++) {
		struct conf_batch *batch = &session.pools[0].batches[i];

		conf_fill(batch, 0, i, 9000);
		r = conf_session_publish(&session, 0, batch);
		CONF_CHECK(r == 0 || r == -EAGAIN, "publish() returned %d", r);
		if (r == 0)
			continue;
		memset(batch->data, 0, batch->capacity);
		refused++;
	}
	CONF_CHECK(refused > 0 || !(row->flags & CONF_BOUNDED),
		"300 batches taken of 16 announced: nothing bounds the memory");
	conf_session_close_transport(&session);
	for (i = 0; i < 300; i++)
		if (atomic_load(&session.pools[0].batches[i].state) == CONF_REFUSED)
			refused--;
	CONF_CHECK(refused == 0, "%u batches settled although refused", refused);
close:
	conf_session_close(&session);
}

static void run_flush_is_true(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 32, .capacity = 9000, .url = row->offline, .query = row->slow};
	const bool never = row->flags & CONF_WAITS_FOR_PEER || row->offline || row->slow;
	struct conf_session session;
	int64_t begin, took;
	int r;

	if (!conf_session_open(&session, row, &setup))
		goto close;
	if (row->flags & CONF_REFUSES_ALONE && !conf_session_connect(&session))
		goto close;
	r = row->ops->flush(session.transport, 1000);
	CONF_CHECK(r == 0, "flush() of nothing returned %d", r);
	if (!conf_session_publish_range(&session, 0, 0, 16))
		goto close;
	begin = conf_now_ms();
	r = row->ops->flush(session.transport, 150);
	took = conf_now_ms() - begin;
	if (r == 0)
		CONF_CHECK(conf_session_held(&session) == 0, "flush() returned 0 with %" PRIu64 " batches outstanding",
			conf_session_held(&session));
	else
		CONF_CHECK(r == -ETIMEDOUT && took >= 145 && took < 10000,
			"flush(150) returned %d after %" PRId64 " ms", r, took);
	CONF_CHECK(r != 0 || !never, "flush() returned 0, but nobody took the batches");
	if (row->slow) {
		r = row->ops->flush(session.transport, 20000);
		CONF_CHECK(r == 0 && conf_session_held(&session) == 0,
			"flush() returned %d with %" PRIu64 " batches outstanding", r, conf_session_held(&session));
	}
close:
	conf_session_close(&session);
}

/* close() with everything in the air, in both lanes; and nothing more is settled afterwards. */
static void run_close_settles(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 32, .capacity = 70000, .url = row->offline, .query = row->slow};
	struct conf_session session;
	unsigned int i;

	if (conf_session_open(&session, row, &setup) &&
		(!(row->flags & CONF_REFUSES_ALONE) || conf_session_connect(&session))) {
		conf_session_publish_range(&session, 0, 0, 24);
		conf_session_publish_range(&session, 1, 0, 24);
		conf_session_close_transport(&session);
		conf_pause_ms(100);
		for (i = 0; i < CONF_LANES; i++)
			conf_pool_check_settled(&session.pools[i]);
	}
	conf_session_close(&session);
}

static void run_close_unused(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 4, .capacity = 100};
	struct conf_session session;

	conf_session_open(&session, row, &setup);
	conf_session_close(&session);
}

const struct conf_case conf_cases_basic[] = {
	{.name = "descriptor", .run = run_descriptor},
	{.name = "check-rejects", .run = run_check_rejects},
	{.name = "close-null", .run = run_close_null},
	{.name = "close-unused", .run = run_close_unused},
	{.name = "without-peer", .run = run_without_peer},
	{.name = "oversize", .run = run_oversize},
	{.name = "settles-once", .run = run_settles_once},
	{.name = "again-holds-nothing", .run = run_again_holds_nothing},
	{.name = "flush-is-true", .run = run_flush_is_true},
	{.name = "close-settles", .run = run_close_settles},
	{.name = NULL},
};
