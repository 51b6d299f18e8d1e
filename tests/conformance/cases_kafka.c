/* SPDX-License-Identifier: Apache-2.0 */
/* What only a real Kafka broker does. */
#include "conformance.h"

#define BATCHES 20
#define TWO_HOURS_MS 7200000

/* Kafka 4 refuses times that are more than an hour ahead of its clock: counted as refused, and no harm to the others.
 */
static void run_clock_ahead(const struct conf_row *row)
{
	const struct conf_setup setup = {.buffers = 2 * BATCHES, .capacity = 1000, .query = "linger=0"};
	struct conf_session session;
	unsigned int refused = 0;
	unsigned int i;

	if (!conf_session_open(&session, row, &setup) || !conf_session_connect(&session))
		goto close;
	for (i = 0; i < BATCHES; i++) {
		struct conf_batch *batch = &session.pools[0].batches[i];

		conf_fill(batch, 0, i, 500);
		batch->batch.max_time_ms += i % 2 ? TWO_HOURS_MS : 0;
		CONF_CHECK(conf_session_publish_wait(&session, 0, batch, 10000) == 0, "batch %u was not taken", i);
		/* One after the other: a broker refuses what comes in one request as a whole. */
		CONF_CHECK(row->ops->flush(session.transport, 20000) == 0, "batch %u is not settled", i);
		CONF_CHECK(atomic_load(&batch->result) == (i % 2 ? WB_RESULT_FAILED : WB_RESULT_DELIVERED),
			"batch %u has result %d", i, atomic_load(&batch->result));
		refused += atomic_load(&batch->cause) == WB_CAUSE_REFUSED;
	}
	CONF_CHECK(refused == BATCHES / 2, "%u batches are refused instead of %d", refused, BATCHES / 2);
close:
	conf_session_close(&session);
}

const struct conf_case conf_cases_kafka[] = {
	{.name = "clock-ahead", .needs = CONF_REAL_KAFKA, .needs_peer = true, .run = run_clock_ahead},
	{.name = NULL},
};
