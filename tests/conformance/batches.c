/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches that notice what a transport does wrong. Settling poisons the content and the batch itself, so that a
 * transport that reads on afterwards delivers a message that is not whole, or counts wrong bytes (and ThreadSanitizer
 * sees the race).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conformance.h"
#include "container.h"

#define MAGIC UINT32_C(0x57424346)
#define POISON 0xdb
#define LATE_MS 1000

struct content {
	uint32_t magic;
	uint32_t crc; /* of everything, with this 0 */
	uint64_t seq;
	uint64_t size;
	uint32_t lane;
	uint32_t zero;
};
_Static_assert(sizeof(struct content) == CONF_MIN_SIZE, "the smallest message is its head alone");

static atomic_uint sessions;
static const uint8_t poisoned[16] = {POISON, POISON, POISON, POISON};
static uint8_t session_id[16] = {1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, 10, 11, 12, 13, 14, 15, 16};

/* As a bus may recognize a batch by its session and number, and leave out what it has seen. */
void conf_new_session(void)
{
	const uint32_t serial = atomic_fetch_add(&sessions, 1), pid = (uint32_t)getpid();

	memcpy(session_id + 8, &pid, sizeof(pid));
	memcpy(session_id + 12, &serial, sizeof(serial));
}

static bool is_untouched(const struct conf_batch *batch)
{
	uint32_t lane;
	uint64_t seq;

	return conf_verify(batch->data, batch->size, &lane, &seq) && lane == batch->lane && seq == batch->seq;
}

/* Take the reference back. False: it was not given, which is reported. */
static bool take_back(struct conf_batch *batch)
{
	int state = CONF_HELD;

	if (atomic_load(&batch->pool->closed))
		conf_fail("lane %" PRIu32 " batch %" PRIu64 ": settled after close()", batch->lane, batch->seq);
	if (!atomic_compare_exchange_strong(&batch->state, &state, CONF_SETTLING)) {
		conf_fail("lane %" PRIu32 " batch %" PRIu64 ": %s", batch->lane, batch->seq,
			state == CONF_REFUSED ? "settled although refused" : "settled twice");
		return false;
	}
	CONF_CHECK(batch->batch.record_count || is_untouched(batch),
		"lane %" PRIu32 " batch %" PRIu64 ": its content was written to", batch->lane, batch->seq);
	return true;
}

/* Nothing of the batch is what it was. */
static void poison(struct conf_batch *batch)
{
	struct conf_pool *pool = batch->pool;

	memset(batch->data, POISON, batch->size);
	batch->batch.data = poisoned;
	batch->batch.size = sizeof(poisoned);
	batch->batch.batch_seq = UINT64_MAX;
	atomic_store(&batch->state, CONF_SETTLED);
	atomic_fetch_sub(&pool->held, 1);
	atomic_fetch_add(&pool->settled, 1);
}

/* The records exist, and have no outcome yet. */
static void check_records(struct conf_batch *batch, uint32_t first, uint32_t count)
{
	if (first > batch->batch.record_count || count > batch->batch.record_count - first) {
		conf_fail("lane %" PRIu32 " batch %" PRIu64 ": records %u to %u settled of %u", batch->lane, batch->seq,
			first, first + count, batch->batch.record_count);
		return;
	}
	for (uint32_t i = first; i < first + count; i++)
		if (batch->records[i].host++)
			conf_fail("lane %" PRIu32 " batch %" PRIu64 ": record %u settled twice", batch->lane,
				batch->seq, i);
}

static bool settle_records(
	struct wb_batch *wb_batch, uint32_t first, uint32_t records, enum wb_result result, enum wb_cause cause)
{
	struct conf_batch *batch = (struct conf_batch *)wb_batch;
	unsigned int before;

	(void)cause;
	if (atomic_load(&batch->state) != CONF_HELD) {
		take_back(batch);
		return true;
	}
	check_records(batch, first, records);
	atomic_fetch_add(&batch->outcomes[result], records);
	before = atomic_fetch_sub(&batch->unsettled, records);
	if (before < records || records == 0)
		conf_fail("lane %" PRIu32 " batch %" PRIu64 ": %u records settled of %u that are left", batch->lane,
			batch->seq, records, before);
	if (before != records || !take_back(batch))
		return false;
	poison(batch);
	return true;
}

static void settle(struct wb_batch *wb_batch, enum wb_result result, enum wb_cause cause)
{
	struct conf_batch *batch = (struct conf_batch *)wb_batch;
	struct conf_pool *pool = batch->pool;

	if (!take_back(batch))
		return;
	if (batch->batch.record_count) {
		if (atomic_load(&batch->unsettled) != batch->batch.record_count)
			conf_fail("lane %" PRIu32 " batch %" PRIu64 ": settled as a whole after some of its records",
				batch->lane, batch->seq);
		atomic_fetch_add(&batch->outcomes[result], batch->batch.record_count);
	}
	if (result == WB_RESULT_DELIVERED || result == WB_RESULT_HANDED_OVER)
		atomic_fetch_add(&pool->settled_bytes, batch->size);
	atomic_fetch_add(&pool->results[result], 1);
	atomic_store(&batch->result, result);
	atomic_store(&batch->cause, cause);
	poison(batch);
}

int conf_pool_init(struct conf_pool *pool, unsigned int count, size_t capacity)
{
	unsigned int i;

	memset(pool, 0, sizeof(*pool));
	pool->batches = calloc(count, sizeof(*pool->batches));
	if (!pool->batches)
		return -1;
	pool->count = count;
	for (i = 0; i < count; i++) {
		pool->batches[i].pool = pool;
		pool->batches[i].capacity = capacity;
		pool->batches[i].data = malloc(capacity);
		if (!pool->batches[i].data)
			abort();
	}
	return 0;
}

void conf_pool_fini(struct conf_pool *pool)
{
	unsigned int i;

	for (i = 0; i < pool->count; i++) {
		free(pool->batches[i].data);
		free(pool->batches[i].records);
	}
	free(pool->batches);
	memset(pool, 0, sizeof(*pool));
}

unsigned int conf_pool_free_buffers(void *context)
{
	const struct conf_pool *pool = context;

	return pool->count - atomic_load(&pool->held);
}

struct conf_batch *conf_pool_take(struct conf_pool *pool)
{
	struct conf_batch *batch;
	unsigned int i;
	int state;

	for (i = 0; i < pool->count; i++) {
		batch = &pool->batches[pool->next++ % pool->count];
		state = atomic_load(&batch->state);
		if (state != CONF_HELD && state != CONF_SETTLING)
			return batch;
	}
	return NULL;
}

static void write_content(uint8_t *data, uint32_t lane, uint64_t seq, size_t size)
{
	struct content head = {.magic = MAGIC, .seq = seq, .size = size, .lane = lane};
	uint64_t random = (seq + 1) * UINT64_C(0x9e3779b97f4a7c15) + lane;
	size_t i;

	for (i = sizeof(head); i < size; i++) {
		if (i % 8 == 0) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
		}
		data[i] = (uint8_t)(random >> i % 8 * 8);
	}
	memcpy(data, &head, sizeof(head));
	head.crc = wb_crc32c(0, data, size);
	memcpy(data, &head, sizeof(head));
}

void conf_fill(struct conf_batch *batch, uint32_t lane, uint64_t seq, size_t size)
{
	if (size < CONF_MIN_SIZE || size > batch->capacity)
		abort();
	write_content(batch->data, lane, seq, size);
	batch->lane = lane;
	batch->seq = seq;
	batch->size = size;
	atomic_store(&batch->arrived, false);
	batch->batch = (struct wb_batch){
		.data = batch->data,
		.size = size,
		.packets = 1,
		.session_id = session_id,
		.worker_id = lane,
		.stream_id = lane == CONF_SYNC_LANE ? 0 : lane,
		.batch_seq = seq + 1,
		.first_packet_seq = seq,
		.max_time_ms = (int64_t)time(NULL) * 1000,
		.settle = settle,
	};
}

void conf_fill_records(struct conf_batch *batch, uint32_t lane, uint64_t seq, uint32_t count, size_t size)
{
	unsigned int i;

	conf_fill(batch, lane, seq, count * size);
	batch->records = reallocarray(batch->records, count, sizeof(*batch->records));
	if (!batch->records)
		abort();
	for (i = 0; i < count; i++) {
		write_content(batch->data + i * size, lane, seq + i, size);
		batch->records[i] =
			(struct wb_record){.time_ms = batch->batch.max_time_ms, .end = (uint32_t)((i + 1) * size)};
	}
	batch->batch.packets = count;
	batch->batch.record_count = count;
	batch->batch.records = batch->records;
	batch->batch.settle_records = settle_records;
	atomic_store(&batch->unsettled, count);
	for (i = 0; i < 4; i++)
		atomic_store(&batch->outcomes[i], 0);
}

bool conf_verify(const void *data, size_t size, uint32_t *ret_lane, uint64_t *ret_seq)
{
	struct content head;
	uint32_t crc;

	if (size < sizeof(head))
		return false;
	memcpy(&head, data, sizeof(head));
	crc = head.crc;
	head.crc = 0;
	if (head.magic != MAGIC || head.size != size ||
		wb_crc32c(wb_crc32c(0, &head, sizeof(head)), (const uint8_t *)data + sizeof(head),
			size - sizeof(head)) != crc)
		return false;
	*ret_lane = head.lane;
	*ret_seq = head.seq;
	return true;
}

static unsigned int count_held(const struct conf_pool *pool)
{
	unsigned int i, held = 0;

	for (i = 0; i < pool->count; i++)
		held += atomic_load(&pool->batches[i].state) == CONF_HELD;
	return held;
}

void conf_pool_check_settled(struct conf_pool *pool)
{
	const int64_t end = conf_now_ms() + LATE_MS;
	unsigned int held;

	atomic_store(&pool->closed, true);
	held = count_held(pool);
	/* They may still come, which is another fault, and they must not find the memory gone. */
	while (count_held(pool) > 0 && conf_now_ms() < end)
		conf_pause_ms(5);
	CONF_CHECK(held == 0, "%u batches were never settled", held);
	CONF_CHECK(atomic_load(&pool->published) == atomic_load(&pool->settled), "%llu published, %llu settled",
		atomic_load(&pool->published), atomic_load(&pool->settled));
}
