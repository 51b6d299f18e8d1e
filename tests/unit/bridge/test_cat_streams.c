/* SPDX-License-Identifier: Apache-2.0 */
/* The table of streams is bounded, and sums are of workers where counters are. */
#include "sink_support.h"

#include <stdlib.h>

#include "streams.h"

static void book_one(struct wb_streams *streams, uint32_t worker, uint32_t stream, uint64_t dropped)
{
	static const uint8_t session[16] = {9};
	const struct wbproto_counters counters = {.kernel_dropped = dropped};
	const struct wb_arrival arrival = {.session_id = session,
		.worker_id = worker,
		.stream_id = stream,
		.batch_seq = 1,
		.first_packet_seq = 1,
		.packets = 1,
		.counters = &counters};

	assert_int_equal(wb_streams_book(streams, &arrival), 1);
}

/* Streams without end are used, but not tracked beyond the limit. */
static void test_too_many_streams(void **state)
{
	struct wb_streams streams;

	wb_streams_init(&streams);
	for (uint32_t i = 0; i < WB_STREAMS_MAX + 100; i++)
		book_one(&streams, 1, i, 0);
	assert_int_equal(streams.count, WB_STREAMS_MAX);
	assert_int_equal(streams.untracked_messages, 100);
	assert_int_equal(streams.untracked_packets, 100);
	assert_false(wb_streams_all_ended(&streams));
	wb_streams_fini(&streams);
}

/* The streams of a worker have its counters in common: their drops are not added up. */
static void test_drops_by_worker(void **state)
{
	struct wb_streams_total total;
	struct wb_stream **sorted;
	struct wb_streams streams;

	wb_streams_init(&streams);
	book_one(&streams, 1, 1, 5);
	book_one(&streams, 2, 2, 10);
	book_one(&streams, 1, 3, 6);
	sorted = wb_streams_sorted(&streams);
	wb_streams_sum(sorted, streams.count, &total);
	assert_int_equal(total.kernel_dropped, 16);
	assert_int_equal(total.packets, 3);
	free(sorted);
	wb_streams_fini(&streams);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_too_many_streams),
		cmocka_unit_test(test_drops_by_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
