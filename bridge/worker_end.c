/* SPDX-License-Identifier: Apache-2.0 */
/* How a worker ends: what is open goes out, the bus answers, every stream has its last message. */
#include <errno.h>
#include <string.h>

#include "log.h"
#include "worker.h"

/* Wait until the bus has settled everything, so that the end of stream carries the final figures; half of the time
 * left. */
static void settle(struct wb_worker *worker)
{
	uint64_t now_ns = wb_monotonic_ns();
	uint64_t give_up_ns = atomic_load(&worker->give_up_ns);
	uint64_t until_ns = give_up_ns > now_ns ? now_ns + (give_up_ns - now_ns) / 2 : now_ns;
	struct wb_ledger_totals totals;

	wb_pool_wait_begin(&worker->wake);
	for (;;) {
		wb_worker_publish_rest(worker);
		wb_ledger_snapshot(&worker->ledger, &totals);
		now_ns = wb_monotonic_ns();
		if ((!totals.batches_in_flight && !worker->backlog) || now_ns >= until_ns ||
			now_ns >= atomic_load(&worker->give_up_ns))
			break;
		if (!worker->backlog_ready)
			wb_pool_wait(&worker->wake, -1, 20);
	}
	wb_pool_wait_end(&worker->wake);
}

static int end_stream(struct wb_worker *worker, struct wb_stream *stream)
{
	int r;

	wb_pool_wait_begin(&worker->wake);
	while ((r = wb_worker_publish_empty(worker, stream, WBPROTO_BATCH_END_OF_STREAM)) == -EAGAIN &&
		wb_monotonic_ns() < atomic_load(&worker->give_up_ns))
		wb_pool_wait(&worker->wake, -1, 20);
	wb_pool_wait_end(&worker->wake);
	return r;
}

/* Every stream ends, also one that never had a packet: who reads all of them knows that none is missing. */
static void end_streams(struct wb_worker *worker)
{
	char name[64];
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < worker->stream_count; i++) {
		if (worker->transport_failed && !worker->spool)
			return;
		r = end_stream(worker, &worker->streams[i]);
	}
	if (r == 0)
		return;
	wb_worker_name(worker, name, sizeof name);
	if (r == -EAGAIN)
		wb_log(WB_LOG_WARNING, "capture %s: the bus did not take the end of stream within %llu ms", name,
			(unsigned long long)worker->flush_ms);
	else
		wb_log(WB_LOG_WARNING, "capture %s: no end of stream could be published: %s", name, strerror(-r));
}

void wb_worker_end(struct wb_worker *worker)
{
	wb_worker_seal_all(worker);
	settle(worker);
	end_streams(worker);
}
