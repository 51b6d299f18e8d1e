/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ledger.h"

int wb_pool_wake_init(struct wb_pool_wake *wake)
{
	atomic_init(&wake->waiting, false);
	wake->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return wake->fd < 0 ? -errno : 0;
}

void wb_pool_wake_fini(struct wb_pool_wake *wake)
{
	if (wake->fd >= 0)
		close(wake->fd);
	wake->fd = -1;
}

/* What a record's outcome is as a number; 0: it has none. */
static uint32_t outcome(enum wb_result result, enum wb_cause cause)
{
	unsigned int r = (unsigned int)result < WB_RESULT_COUNT ? result : WB_RESULT_UNKNOWN;
	unsigned int c = (unsigned int)cause < WB_CAUSE_COUNT ? cause : WB_CAUSE_NONE;

	return 1 + r * WB_CAUSE_COUNT + c;
}

bool wb_record_outcome(const struct wb_record *record, enum wb_result *ret_result, enum wb_cause *ret_cause)
{
	if (!record->host)
		return false;
	*ret_result = (enum wb_result)((record->host - 1) / WB_CAUSE_COUNT);
	*ret_cause = (enum wb_cause)((record->host - 1) % WB_CAUSE_COUNT);
	return true;
}

void wb_buffer_outcomes(const struct wb_buffer *buffer, struct wb_outcomes *ret_outcomes)
{
	enum wb_result result;
	enum wb_cause cause;

	*ret_outcomes = (struct wb_outcomes){0};
	for (uint32_t i = 0; i < buffer->batch.record_count; i++) {
		if (!wb_record_outcome(&buffer->records[i], &result, &cause))
			continue;
		if (result == WB_RESULT_FAILED)
			ret_outcomes->failed_by_cause[cause]++;
		else
			ret_outcomes->by_result[result]++;
	}
}

/*
 * wb_batch.settle_records: note the outcomes; with the last one book them, all at once, as a lock for each of them
 * would cost more than the rest, and let the buffer go.
 */
static bool settle_records(
	struct wb_batch *batch, uint32_t first, uint32_t count, enum wb_result result, enum wb_cause cause)
{
	struct wb_buffer *buffer = (struct wb_buffer *)batch;
	struct wb_pool *pool = buffer->pool;
	struct wb_outcomes outcomes;
	unsigned int before;

	assert(first <= batch->record_count && count <= batch->record_count - first);
	for (uint32_t i = first; i < first + count; i++)
		buffer->records[i].host = outcome(result, cause);
	/* Acquire and release: who brings the last outcome sees all others. */
	before = atomic_fetch_sub_explicit(&buffer->unsettled, count, memory_order_acq_rel);
	assert(before >= count);
	if (before != count)
		return false;
	if (pool->records_settled && pool->records_settled(pool->settled_context, buffer))
		return true;
	wb_buffer_outcomes(buffer, &outcomes);
	wb_ledger_settle_each(pool->ledger, &outcomes);
	wb_buffer_put(buffer);
	return true;
}

/* wb_batch.settle: book the outcome, then let the buffer go. */
static void settle(struct wb_batch *batch, enum wb_result result, enum wb_cause cause)
{
	struct wb_buffer *buffer = (struct wb_buffer *)batch;
	struct wb_pool *pool = buffer->pool;

	if (pool->settled && pool->settled(pool->settled_context, buffer, result, cause))
		return;
	wb_ledger_settle(pool->ledger, batch->packets, result, cause);
	wb_buffer_put(buffer);
}

int wb_pool_init(struct wb_pool *pool, unsigned int count, size_t buffer_bytes, struct wb_pool_wake *wake,
	struct wb_ledger *ledger)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t stride = (WB_BATCH_HEADROOM_BYTES + buffer_bytes + page - 1) / page * page;

	memset(pool, 0, sizeof *pool);
	pool->buffers = calloc(count, sizeof *pool->buffers);
	if (!pool->buffers)
		return -ENOMEM;
	pool->mapping_bytes = stride * count;
	pool->mapping = mmap(NULL, pool->mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pool->mapping == MAP_FAILED) {
		free(pool->buffers);
		memset(pool, 0, sizeof *pool);
		return -ENOMEM;
	}
	pool->count = count;
	pool->buffer_bytes = buffer_bytes;
	pool->wake = wake;
	pool->ledger = ledger;
	atomic_init(&pool->returned, NULL);
	atomic_init(&pool->free_count, count);
	for (unsigned int i = count; i-- > 0;) {
		struct wb_buffer *buffer = &pool->buffers[i];

		buffer->pool = pool;
		buffer->memory = (uint8_t *)pool->mapping + i * stride + WB_BATCH_HEADROOM_BYTES;
		buffer->batch.settle = settle;
		buffer->batch.settle_records = settle_records;
		atomic_init(&buffer->references, 0);
		buffer->next = pool->free;
		pool->free = buffer;
	}
	return 0;
}

void wb_pool_fini(struct wb_pool *pool)
{
	if (!pool->buffers)
		return;
	assert(atomic_load(&pool->free_count) == pool->count);
	munmap(pool->mapping, pool->mapping_bytes);
	free(pool->buffers);
	memset(pool, 0, sizeof *pool);
}

/* Put what has come back in front of the free list: it was used last, so it is still in the caches. */
static void collect(struct wb_pool *pool)
{
	struct wb_buffer *first, *last;

	if (!atomic_load_explicit(&pool->returned, memory_order_relaxed))
		return;
	/* Acquire: what the last holders did with the buffers happened before we write into them again. */
	first = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
	for (last = first; last->next; last = last->next)
		;
	last->next = pool->free;
	pool->free = first;
}

struct wb_buffer *wb_pool_take(struct wb_pool *pool)
{
	struct wb_buffer *buffer;

	collect(pool);
	buffer = pool->free;
	if (!buffer)
		return NULL;
	pool->free = buffer->next;
	atomic_fetch_sub_explicit(&pool->free_count, 1, memory_order_relaxed);
	atomic_store_explicit(&buffer->references, 1, memory_order_relaxed);
	buffer->entry = NULL;
	buffer->previous = NULL;
	return buffer;
}

void wb_buffer_get(struct wb_buffer *buffer)
{
	unsigned int before = atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);

	assert(before > 0);
	(void)before;
}

/*
 * Sequentially consistent with wb_pool_wait_begin(): either we see that the worker waits, or it sees what was pushed
 * before when it looks once more.
 */
void wb_pool_wake(struct wb_pool_wake *wake)
{
	if (atomic_load_explicit(&wake->waiting, memory_order_seq_cst)) {
		uint64_t one = 1;
		ssize_t n = write(wake->fd, &one, sizeof one);

		(void)n; /* EAGAIN: it is readable already */
	}
}

void wb_buffer_put(struct wb_buffer *buffer)
{
	struct wb_pool *pool = buffer->pool;
	struct wb_pool_wake *wake = pool->wake;
	struct wb_buffer *head;
	/* Acquire and release: the holders' accesses come before the buffer's next use. */
	unsigned int before = atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel);

	assert(before > 0);
	if (before != 1)
		return;
	/* Counted first: the count may be one too high for a moment, never below 0. */
	atomic_fetch_add_explicit(&pool->free_count, 1, memory_order_relaxed);
	head = atomic_load_explicit(&pool->returned, memory_order_relaxed);
	do {
		buffer->next = head;
	} while (!atomic_compare_exchange_weak_explicit(
		&pool->returned, &head, buffer, memory_order_seq_cst, memory_order_relaxed));
	wb_pool_wake(wake);
}

void wb_buffer_expect_records(struct wb_buffer *buffer, struct wb_record *records, uint32_t count)
{
	buffer->batch.record_count = count;
	buffer->batch.records = records;
	buffer->records = records;
	for (uint32_t i = 0; i < count; i++)
		records[i].host = 0;
	atomic_store_explicit(&buffer->unsettled, count, memory_order_relaxed);
}

unsigned int wb_pool_free_count(void *context)
{
	struct wb_pool *pool = context;

	return atomic_load_explicit(&pool->free_count, memory_order_relaxed);
}

void wb_pool_wait_begin(struct wb_pool_wake *wake)
{
	atomic_store_explicit(&wake->waiting, true, memory_order_seq_cst);
	atomic_thread_fence(memory_order_seq_cst);
}

void wb_pool_wait(struct wb_pool_wake *wake, int stop_fd, int timeout_ms)
{
	struct pollfd fds[2] = {{.fd = wake->fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
	uint64_t drained;

	(void)poll(fds, 2, timeout_ms);
	if (fds[0].revents && read(wake->fd, &drained, sizeof drained) < 0)
		return; /* another wait has drained it */
}

void wb_pool_wait_end(struct wb_pool_wake *wake)
{
	atomic_store_explicit(&wake->waiting, false, memory_order_relaxed);
}
