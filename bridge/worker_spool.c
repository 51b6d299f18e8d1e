/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker and its spool. What the transport settles comes back on the transport's threads; whatever concerns the spool
 * is put on a list there, and the worker alone, or whoever ends it, works on the spool.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "record_batch.h"
#include "spool.h"
#include "worker.h"

/* Batches that are read back and with the transport at the same time. */
#define SPOOL_BUFFERS 16
/* Buffers of a pool that the transport does not get: each open batch needs one. */
#define RESERVE_BUFFERS 1
/* The transport was full. */
#define FULL_RETRY_MS 5
/* It gave batches back, or the disk did not give one out. */
#define FAILED_RETRY_MS 200
/* Between messages that packets go to disk. */
#define TELL_NS UINT64_C(10000000000)

struct wb_worker_spool {
	struct wb_spool_queue *queue;
	const char *directory;
	struct wb_pool pool; /* that batches are read into */
	uint64_t retry_ns;   /* monotonic: do not publish before */
	uint64_t told_ns;    /* 0: not yet */
	bool told_in_use;
	uint64_t stored;                      /* batches, since some were published last */
	_Atomic(struct wb_buffer *) returned; /* settled, and not seen by the worker yet */
};

/* What another try may bring onto the bus. What is too large, or was refused for what it is, stays refused. */
static bool may_succeed_later(enum wb_result result, enum wb_cause cause)
{
	if (result == WB_RESULT_UNKNOWN)
		return true;
	return result == WB_RESULT_FAILED && (cause == WB_CAUSE_TIMEOUT || cause == WB_CAUSE_DENIED ||
						     cause == WB_CAUSE_IO || cause == WB_CAUSE_SHUTDOWN);
}

static void push(struct wb_worker *worker, struct wb_buffer *buffer)
{
	struct wb_worker_spool *spool = worker->spool;
	struct wb_buffer *head = atomic_load_explicit(&spool->returned, memory_order_relaxed);

	do {
		buffer->next = head;
	} while (!atomic_compare_exchange_weak_explicit(
		&spool->returned, &head, buffer, memory_order_seq_cst, memory_order_relaxed));
}

/* Whether the batch, which the bus or the spool has, is the end of a stream of this session. Threads: any. */
static bool note_end(struct wb_worker *worker, const struct wb_batch *batch)
{
	uint32_t i = batch->stream_id - worker->first_stream_id;

	if (!(batch->flags & WBPROTO_BATCH_END_OF_STREAM))
		return false;
	if (i < worker->stream_count)
		atomic_store(&worker->streams[i].has_end, true);
	return true;
}

/* wb_pool_settled: what the pool does not know how to settle. Threads: any. */
static bool on_settled(void *context, struct wb_buffer *buffer, enum wb_result result, enum wb_cause cause)
{
	struct wb_worker *worker = context;
	struct wb_pool_wake *wake = &worker->wake;
	uint32_t packets = buffer->batch.packets;
	bool reached = result == WB_RESULT_DELIVERED || result == WB_RESULT_HANDED_OVER;
	bool again = worker->spool && may_succeed_later(result, cause);

	if (buffer->previous) {
		wb_worker_previous_settled(buffer, reached);
		return false;
	}
	if (reached && !buffer->entry)
		note_end(worker, &buffer->batch);
	if (!buffer->entry && !again)
		return false;
	if (!again)
		wb_ledger_settle(&worker->ledger, packets, result, cause);
	else if (buffer->entry)
		wb_ledger_respool(&worker->ledger, packets);
	else
		wb_ledger_unpublish(&worker->ledger, packets);
	buffer->again = again;
	push(worker, buffer);
	wb_pool_wake(wake);
	return true;
}

/* Those that another try may help are without an outcome again. Returns how many. */
static uint32_t reopen_records(struct wb_buffer *buffer)
{
	uint32_t reopened = 0;

	for (uint32_t i = 0; i < buffer->batch.record_count; i++) {
		enum wb_result result;
		enum wb_cause cause;

		if (wb_record_outcome(&buffer->records[i], &result, &cause) && may_succeed_later(result, cause)) {
			buffer->records[i].host = 0;
			reopened++;
		}
	}
	return reopened;
}

/* wb_pool_records_settled: some may be over, and others to be sent again. */
static bool on_records_settled(void *context, struct wb_buffer *buffer)
{
	struct wb_worker *worker = context;
	struct wb_pool_wake *wake = &worker->wake;
	uint32_t again = reopen_records(buffer);
	struct wb_outcomes outcomes;

	if (!again && !buffer->entry)
		return false;
	wb_buffer_outcomes(buffer, &outcomes);
	*(buffer->entry ? &outcomes.respooled : &outcomes.unpublished) = again;
	wb_ledger_settle_each(&worker->ledger, &outcomes);
	buffer->again = again > 0;
	push(worker, buffer);
	wb_pool_wake(wake);
	return true;
}

void wb_worker_follow(struct wb_worker *worker)
{
	struct wb_pool *pools[] = {&worker->pool, &worker->oversize, &worker->control};

	for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++) {
		pools[i]->settled = on_settled;
		pools[i]->settled_context = worker;
		pools[i]->records_settled = worker->spool ? on_records_settled : NULL;
	}
}

int wb_worker_spool_init(struct wb_worker *worker, struct wb_spool_queue *queue, struct wb_error *ret_error)
{
	struct wb_worker_spool *spool = calloc(1, sizeof *spool);
	size_t bytes = wb_spool_longest(queue);
	int r;

	if (!spool)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	if (bytes < worker->oversize.buffer_bytes)
		bytes = worker->oversize.buffer_bytes;
	if (bytes < worker->pool.buffer_bytes)
		bytes = worker->pool.buffer_bytes;
	r = wb_pool_init(&spool->pool, SPOOL_BUFFERS, bytes, &worker->wake, &worker->ledger);
	if (r < 0) {
		free(spool);
		return wb_fail(ret_error, r, "spool: %d buffers of %zu bytes: %s", SPOOL_BUFFERS, bytes, strerror(-r));
	}
	spool->queue = queue;
	spool->directory = wb_spool_directory(queue);
	spool->pool.settled = on_settled;
	spool->pool.records_settled = on_records_settled;
	spool->pool.settled_context = worker;
	atomic_init(&spool->returned, NULL);
	worker->spool = spool;
	wb_worker_follow(worker);
	wb_ledger_recover(&worker->ledger, wb_spool_recovered_packets(queue));
	return 0;
}

unsigned int wb_worker_spool_buffers(const struct wb_worker *worker)
{
	return worker->spool ? worker->spool->pool.count : 0;
}

bool wb_worker_spool_short(const struct wb_worker *worker)
{
	return worker->spool && wb_pool_free_count(&worker->spool->pool) <= 1;
}

/* The user is told when packets begin to go to disk, not each time that a bus is full for a moment. */
static void tell_in_use(struct wb_worker *worker)
{
	struct wb_worker_spool *spool = worker->spool;
	uint64_t now_ns = wb_monotonic_ns();
	char name[64];

	if (spool->told_in_use || (spool->told_ns && now_ns - spool->told_ns < TELL_NS))
		return;
	spool->told_in_use = true;
	spool->told_ns = now_ns;
	wb_worker_name(worker, name, sizeof name);
	wb_log(WB_LOG_WARNING, "capture %s: the bus takes less than arrives; batches go to the spool '%s' meanwhile",
		name, spool->directory);
}

static void tell_drained(struct wb_worker *worker)
{
	char name[64];

	if (!worker->spool->told_in_use)
		return;
	worker->spool->told_in_use = false;
	wb_worker_name(worker, name, sizeof name);
	wb_log(WB_LOG_INFO, "capture %s: the spool is empty, the bus has taken everything", name);
}

int wb_worker_spool_store(struct wb_worker *worker, struct wb_buffer *buffer, const struct wb_route *route)
{
	struct wb_worker_spool *spool = worker->spool;
	int r = wb_spool_append(spool->queue, &buffer->batch, route);

	if (r < 0)
		return r;
	if (!note_end(worker, &buffer->batch))
		tell_in_use(worker);
	spool->stored++;
	wb_ledger_spool(&worker->ledger, buffer->batch.packets);
	wb_buffer_put(buffer);
	return 0;
}

/* A batch that the transport gave back, and that is nowhere else; of records those that are to be sent again. */
static void store_returned(struct wb_worker *worker, struct wb_buffer *buffer)
{
	struct wb_batch *batch = &buffer->batch;

	if (batch->record_count) {
		batch->record_count = wb_record_batch_compact(buffer->memory, buffer->records, batch->record_count);
		batch->packets = batch->record_count;
		batch->size = buffer->records[batch->record_count - 1].end;
	}
	if (wb_worker_spool_store(worker, buffer, &buffer->route) == 0)
		return;
	wb_ledger_drop(&worker->ledger, buffer->batch.packets, WB_DROP_SPOOL_FULL);
	wb_buffer_put(buffer);
}

/* A batch that was read back was settled. */
static void return_entry(struct wb_worker_spool *spool, struct wb_buffer *buffer)
{
	if (!buffer->again) {
		wb_spool_settled(spool->queue, buffer->entry);
		return;
	}
	wb_spool_records_settled(buffer->entry, buffer->records, buffer->batch.record_count);
	wb_spool_unsent(spool->queue, buffer->entry);
}

/* Take in what was settled since the last time. */
static void collect(struct wb_worker *worker)
{
	struct wb_worker_spool *spool = worker->spool;
	struct wb_buffer *buffer, *next;

	if (!atomic_load_explicit(&spool->returned, memory_order_relaxed))
		return;
	buffer = atomic_exchange_explicit(&spool->returned, NULL, memory_order_acquire);
	for (; buffer; buffer = next) {
		next = buffer->next;
		if (buffer->again)
			spool->retry_ns = wb_monotonic_ns() + FAILED_RETRY_MS * 1000000u;
		if (!buffer->entry) {
			store_returned(worker, buffer);
			continue;
		}
		return_entry(spool, buffer);
		wb_buffer_put(buffer);
	}
}

bool wb_worker_spool_first(struct wb_worker *worker, const struct wb_buffer *buffer)
{
	collect(worker);
	return wb_spool_next(worker->spool->queue) || wb_pool_free_count(buffer->pool) < RESERVE_BUFFERS;
}

/* What cannot be read any more is lost; what could not be read now stays. Whether to go on with the next. */
static bool unreadable(struct wb_worker *worker, struct wb_spool_entry *entry, int code)
{
	struct wb_worker_spool *spool = worker->spool;

	if (code == -EAGAIN) {
		spool->retry_ns = wb_monotonic_ns() + FAILED_RETRY_MS * 1000000u;
		return false;
	}
	wb_ledger_spool_failed(&worker->ledger, wb_spool_entry_packets(entry), WB_CAUSE_IO);
	wb_spool_settled(spool->queue, entry);
	return true;
}

/* The transport did not take a batch of the spool. Whether to go on with the next. */
static bool not_taken(struct wb_worker *worker, struct wb_buffer *buffer, int code)
{
	struct wb_worker_spool *spool = worker->spool;
	struct wb_spool_entry *entry = buffer->entry;
	uint32_t packets = buffer->batch.packets;

	wb_buffer_put(buffer);
	wb_spool_unsent(spool->queue, entry);
	wb_ledger_respool(&worker->ledger, packets);
	switch (code) {
	case -EMSGSIZE:
		wb_ledger_spool_failed(&worker->ledger, packets, WB_CAUSE_TOO_LARGE);
		wb_spool_settled(spool->queue, entry);
		return true;
	case -EAGAIN:
		spool->retry_ns = wb_monotonic_ns() + FULL_RETRY_MS * 1000000u;
		return false;
	}
	worker->transport_failed = true;
	return false;
}

/* Publish one batch of the spool. Whether to go on with the next. */
static bool publish_next(struct wb_worker *worker, struct wb_spool_entry *entry, struct wb_buffer *buffer)
{
	struct wb_worker_spool *spool = worker->spool;
	const struct wb_batch own = buffer->batch;
	struct wb_spool_item item;
	int r = wb_spool_read(spool->queue, entry, buffer->memory, &item);

	if (r < 0) {
		wb_buffer_put(buffer);
		return unreadable(worker, entry, r);
	}
	buffer->batch = item.batch;
	buffer->batch.settle = own.settle;
	buffer->batch.settle_records = own.settle_records;
	memcpy(buffer->session_id, item.session_id, sizeof buffer->session_id);
	buffer->batch.session_id = buffer->session_id;
	wb_buffer_expect_records(buffer, item.records, item.batch.record_count);
	buffer->entry = entry;
	wb_ledger_unspool(&worker->ledger, buffer->batch.packets);
	wb_spool_sent(spool->queue, entry);
	r = worker->ops->publish(worker->lane, &buffer->batch, &item.route);
	return r == 0 || not_taken(worker, buffer, r);
}

bool wb_worker_spool_work(struct wb_worker *worker)
{
	struct wb_worker_spool *spool = worker->spool;
	/* More than came meanwhile, so that it gets empty. */
	uint64_t turn = SPOOL_BUFFERS + 2 * spool->stored;
	struct wb_spool_entry *entry;
	struct wb_buffer *buffer;

	spool->stored = 0;
	worker->backlog_ready = false;
	collect(worker);
	while ((entry = wb_spool_next(spool->queue))) {
		if (worker->transport_failed || wb_monotonic_ns() < spool->retry_ns)
			break;
		/* A bus that settles as fast as the disk reads would have all of the spool, and the ring nobody. */
		worker->backlog_ready = turn-- == 0;
		if (worker->backlog_ready)
			break;
		buffer = wb_pool_take(&spool->pool);
		if (!buffer || !publish_next(worker, entry, buffer))
			break;
		collect(worker);
	}
	if (!entry && wb_pool_free_count(&spool->pool) == spool->pool.count)
		tell_drained(worker);
	return entry != NULL;
}

void wb_worker_publish_rest(struct wb_worker *worker)
{
	worker->backlog = worker->spool && wb_worker_spool_work(worker) && !worker->transport_failed;
	if (worker->previous)
		wb_worker_previous_work(worker);
}

bool wb_worker_spool_holds(const struct wb_worker *worker, const uint8_t session_id[16], uint32_t stream_id)
{
	return worker->spool && wb_spool_holds(worker->spool->queue, session_id, stream_id);
}

void wb_worker_spool_finish(struct wb_worker *worker)
{
	if (worker->spool)
		collect(worker);
}

void wb_worker_spool_fini(struct wb_worker *worker)
{
	if (!worker->spool)
		return;
	collect(worker);
	wb_pool_fini(&worker->spool->pool);
	free(worker->spool);
	worker->spool = NULL;
}
