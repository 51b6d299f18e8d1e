/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buffer that is just being given back counts as free a moment before it can be taken. With a spool nothing may be
 * dropped for that. The linker puts the moment in: wb_pool_take() finds nothing so often although something is free.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "spool_rig.h"
#include "worker_rig.h"

static struct wb_spool *spool;
static const struct wb_pool *withheld; /* the pool; set while no worker runs */
static unsigned int moments;           /* the worker's */
static unsigned int taken_late;

struct wb_buffer *__real_wb_pool_take(struct wb_pool *pool);
struct wb_buffer *__wrap_wb_pool_take(struct wb_pool *pool);

struct wb_buffer *__wrap_wb_pool_take(struct wb_pool *pool)
{
	/* Each time that a batch is begun, the first five looks find nothing. */
	if (pool == withheld && moments++ % 6 != 5)
		return NULL;
	taken_late += pool == withheld;
	return __real_wb_pool_take(pool);
}

static uint32_t length_100(uint64_t n)
{
	return 100;
}

static void prepare(struct rig *rig)
{
	struct wb_error error = {""};

	spool = spool_rig_open(UINT64_C(16) << 20, 65536, 1);
	assert_int_equal(wb_worker_spool_init(&rig->worker, wb_spool_queue(spool, 0), &error), 0);
	withheld = &rig->worker.pool;
}

static void a_buffer_on_its_way_is_waited_for(void **state)
{
	struct rig_seen seen;
	struct rig rig;

	rig_init(&rig);
	rig.config.buffers = 4;
	rig.config.batch_packets = 10;
	rig.config.batch_age_ms = 60000;
	rig.config.on_full = WB_ON_FULL_SPOOL;
	rig.length = length_100;
	rig.prepare = prepare;
	rig_start(&rig);
	for (int i = 0; i < 50; i++)
		rig_push(&rig, 10);
	/* After the stop a worker waits for buffers in any case. */
	assert_true(fake_ring_wait_empty(&rig.ring, RIG_PATIENCE_MS));
	rig_end_complete(&rig, &seen);
	assert_int_equal(seen.packets, 500);
	assert_true(taken_late >= 50);
	rig_fini(&rig);
	wb_spool_close(spool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_buffer_on_its_way_is_waited_for, spool_rig_setup, spool_rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
