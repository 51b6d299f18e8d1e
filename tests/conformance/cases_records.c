/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of several messages, for transports that take them: each arrives, and each has one outcome. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "conformance.h"

#define BATCHES 40u
#define MOST 400u /* messages of a batch */

static bool takes_records(const struct conf_row *row)
{
	return row->ops->capabilities & WB_TRANSPORT_RECORDS;
}

/* From one message to many, from tiny to middling. */
static uint32_t count_of(unsigned int i)
{
	static const uint32_t counts[] = {1, 2, 7, 129, MOST, 60, 300};

	return counts[i % (sizeof(counts) / sizeof(counts[0]))];
}

static size_t size_of(unsigned int i)
{
	static const size_t sizes[] = {CONF_MIN_SIZE, 150, 91, 1500};

	return sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
}

static const struct conf_setup records_setup = {.buffers = BATCHES, .capacity = (size_t)MOST * 1500, .records = true};

/* Message j of batch i is number i * MOST + j of its lane. */
static bool publish_all(struct conf_session *session, unsigned int lane)
{
	unsigned int i;
	int r;

	for (i = 0; i < BATCHES; i++) {
		struct conf_batch *batch = &session->pools[lane].batches[i];

		conf_fill_records(batch, lane, (uint64_t)i * MOST, count_of(i), size_of(i));
		r = conf_session_publish_wait(session, lane, batch, 10000);
		if (r != 0) {
			conf_fail("publish() of batch %u with %" PRIu32 " records returned %d", i, count_of(i), r);
			return false;
		}
	}
	return true;
}

/* Every record of every batch has one outcome. Returns how many have this one. */
static unsigned int check_outcomes(struct conf_session *session, unsigned int lane, enum wb_result result)
{
	unsigned int i, k, wanted = 0;

	for (i = 0; i < BATCHES; i++) {
		struct conf_batch *batch = &session->pools[lane].batches[i];
		unsigned int sum = 0;

		if (atomic_load(&batch->state) != CONF_SETTLED)
			continue;
		for (k = 0; k < 4; k++)
			sum += atomic_load(&batch->outcomes[k]);
		CONF_CHECK(sum == count_of(i), "batch %u: %u outcomes of %" PRIu32 " records", i, sum, count_of(i));
		wanted += atomic_load(&batch->outcomes[result]);
	}
	return wanted;
}

/* Each message that was published, whole, once, in the order of its lane. */
static void receive_all(struct conf_session *session, unsigned int expected)
{
	bool *seen = calloc((size_t)BATCHES * MOST, sizeof(*seen));
	int64_t end = conf_now_ms() + 10000;
	uint64_t next = 0, seq;
	unsigned int count = 0;
	const void *data;
	uint32_t lane;
	size_t size;

	if (!seen)
		abort();
	while (count < expected && conf_now_ms() < end) {
		if (session->row->peer->receive(session->peer, 50, &data, &size) != 1)
			continue;
		end = conf_now_ms() + 10000;
		count++;
		if (!conf_verify(data, size, &lane, &seq) || seq >= (uint64_t)BATCHES * MOST ||
			seq % MOST >= count_of((unsigned int)(seq / MOST))) {
			conf_fail("a message of %zu bytes is not a record that was published", size);
			continue;
		}
		CONF_CHECK(!seen[seq], "record %" PRIu64 " arrived twice", seq);
		CONF_CHECK(seq >= next, "record %" PRIu64 " is out of order", seq);
		seen[seq] = true;
		next = seq + 1;
	}
	CONF_CHECK(session->row->peer->receive(session->peer, 200, &data, &size) != 1, "more messages than records");
	CONF_CHECK(count == expected, "%u messages arrived of %u", count, expected);
	free(seen);
}

static void run_content(const struct conf_row *row)
{
	struct conf_session session;
	unsigned int i, delivered, all = 0;
	int r;

	if (!takes_records(row))
		return;
	if (!conf_session_open(&session, row, &records_setup) || (row->peer && !conf_session_connect(&session)) ||
		!publish_all(&session, 1))
		goto close;
	r = row->ops->flush(session.transport, 20000);
	CONF_CHECK(r == 0, "flush() returned %d", r);
	CONF_CHECK(conf_session_held(&session) == 0, "flush() returned 0 with %" PRIu64 " batches outstanding",
		conf_session_held(&session));
	for (i = 0; i < BATCHES; i++)
		all += count_of(i);
	delivered = check_outcomes(&session, 1, WB_RESULT_DELIVERED);
	CONF_CHECK(delivered == all, "%u of %u records were delivered", delivered, all);
	if (row->peer)
		receive_all(&session, delivered);
close:
	conf_session_close(&session);
}

/* close() with records in the air: each of them gets its outcome, and none twice. */
static void run_close_settles(const struct conf_row *row)
{
	struct conf_setup setup = records_setup;
	struct conf_session session;

	if (!takes_records(row))
		return;
	setup.url = row->offline;
	setup.query = row->slow;
	if (conf_session_open(&session, row, &setup) && publish_all(&session, 0)) {
		conf_session_close_transport(&session);
		conf_pause_ms(50);
		conf_pool_check_settled(&session.pools[0]);
		check_outcomes(&session, 0, WB_RESULT_FAILED);
	}
	conf_session_close(&session);
}

const struct conf_case conf_cases_records[] = {
	{.name = "records", .run = run_content},
	{.name = "records-close-settles", .run = run_close_settles},
	{.name = NULL},
};
