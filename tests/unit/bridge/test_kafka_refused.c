/* SPDX-License-Identifier: Apache-2.0 */
/* What a broker refuses: what is too large, together or alone, and topics that refuse batch after batch. */
#include "kafka_rig.h"

static void push_too_large(struct kafka_rig *rig, size_t count)
{
	const rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;

	for (size_t i = 0; i < count; i++)
		rd_kafka_mock_push_request_errors_array(rig->mock, API_PRODUCE, 1, &error);
}

/* Batches that are too large for the topic only together are sent again in smaller requests, and in order. */
static void neighbours_are_not_too_large(void **state)
{
	struct kafka_rig *rig = *state;
	size_t batch_bytes;

	kafka_rig_open(rig, "linger=200ms");
	push_too_large(rig, 1);
	kafka_rig_publish_all(rig, 60);
	kafka_rig_assert_all_delivered(rig, 0);
	assert_int_equal(kafka_rig_stats(rig).renewed, 1);
	/* Half of what a partition had in one request: more than one batch, and at most all. */
	batch_bytes = rig->transport->producers[0].batch_bytes;
	assert_in_range(batch_bytes, RIG_BATCH_BYTES, 60 * (RIG_BATCH_BYTES + 16) / 2);
	assert_true(kafka_rig_logged(rig, "from now on a request has at most"));
	push_too_large(rig, 1);
	kafka_rig_publish_all(rig, 60);
	kafka_rig_assert_all_delivered(rig, 0);
	assert_int_equal(kafka_rig_stats(rig).renewed, 2);
	assert_true(rig->transport->producers[0].batch_bytes < batch_bytes);
}

/* One that is too large for the topic by itself fails alone, however many it is sent with. */
static void what_is_too_large_alone_fails_alone(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms");
	push_too_large(rig, 2);
	assert_int_equal(kafka_rig_publish(rig, 0), 0);
	kafka_rig_wait_settled(rig, 1);
	assert_int_equal(rig->batches[0].result, WB_RESULT_FAILED);
	assert_int_equal(rig->batches[0].cause, WB_CAUSE_TOO_LARGE);
	kafka_rig_publish_all(rig, 60);
	kafka_rig_wait_settled(rig, 61);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), 60);
	kafka_rig_read(rig);
	assert_int_equal(kafka_rig_check_records(rig), 0);
}

/* One after the other. */
static void publish_refused(struct kafka_rig *rig, unsigned int count)
{
	const rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP;
	unsigned int failed = atomic_load(&rig->results[WB_RESULT_FAILED]);

	for (unsigned int i = 0; i < count; i++) {
		rd_kafka_mock_push_request_errors_array(rig->mock, API_PRODUCE, 1, &error);
		kafka_rig_publish_all(rig, 1);
		kafka_rig_wait_settled(rig, (unsigned int)rig->published);
	}
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_FAILED]), failed + count);
}

static void publish_delivered(struct kafka_rig *rig, unsigned int count)
{
	unsigned int delivered = atomic_load(&rig->results[WB_RESULT_DELIVERED]);

	kafka_rig_publish_all(rig, count);
	kafka_rig_wait_settled(rig, (unsigned int)rig->published);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), delivered + count);
}

/* A topic that refuses batch after batch does not get a new client for each: the order is kept as long as it does not
 * cost more than the batches. */
static void many_refused_batches_do_not_cost_clients(void **state)
{
	const rd_kafka_resp_err_t passing = RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION;
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms");
	publish_refused(rig, 20);
	assert_int_equal(kafka_rig_stats(rig).renewed, 8);
	assert_false(kafka_rig_stats(rig).failed);
	assert_false(rig->transport->producers[0].strict);
	publish_delivered(rig, 60);
	/* An error that is not the batches' own loses nothing even now, and the next client is a strict one again. */
	rig->order_may_break = true;
	rd_kafka_mock_push_request_errors_array(rig->mock, API_PRODUCE, 1, &passing);
	publish_delivered(rig, 60);
	assert_int_equal(kafka_rig_stats(rig).renewed, 9);
	assert_true(rig->transport->producers[0].strict);
	kafka_rig_read(rig);
	assert_int_equal(kafka_rig_check_records(rig), 0);
}

/* Once no batch was refused for a while, what is delivered next brings back a client that keeps the order. */
static void order_is_kept_again_after_a_quiet_time(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms");
	publish_refused(rig, 10);
	publish_delivered(rig, 60);
	assert_int_equal(kafka_rig_stats(rig).renewed, 8);
	assert_false(rig->transport->producers[0].strict);
	rig->transport->gap_quiet_ms = 0;
	/* Not what is refused. */
	publish_refused(rig, 1);
	assert_int_equal(kafka_rig_stats(rig).renewed, 8);
	publish_delivered(rig, 100);
	kafka_rig_wait_renewed(rig, 9);
	assert_true(rig->transport->producers[0].strict);
	assert_int_equal(rig->transport->producers[0].failed_in_row, 0);
	assert_int_equal(kafka_rig_stats(rig).possible_duplicates, 0);
	publish_delivered(rig, 60);
	assert_int_equal(kafka_rig_stats(rig).renewed, 9);
	/* A new row. */
	rig->transport->gap_quiet_ms = WB_KAFKA_GAP_QUIET_MS;
	publish_refused(rig, 10);
	assert_int_equal(kafka_rig_stats(rig).renewed, 9 + 8);
	publish_delivered(rig, 60);
	kafka_rig_read(rig);
	assert_int_equal(kafka_rig_check_records(rig), 0);
}

/* Now and then one that is refused does not add up to a row. */
static void refused_batches_far_apart_do_not_cost_the_order(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms");
	rig->transport->gap_quiet_ms = 0;
	publish_refused(rig, 20);
	publish_delivered(rig, 60);
	assert_int_equal(kafka_rig_stats(rig).renewed, 20);
	assert_true(rig->transport->producers[0].strict);
	kafka_rig_read(rig);
	assert_int_equal(kafka_rig_check_records(rig), 0);
}

#define WITH_CLUSTER(test) cmocka_unit_test_setup_teardown(test, kafka_rig_set_up, kafka_rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CLUSTER(neighbours_are_not_too_large),
		WITH_CLUSTER(what_is_too_large_alone_fails_alone),
		WITH_CLUSTER(many_refused_batches_do_not_cost_clients),
		WITH_CLUSTER(order_is_kept_again_after_a_quiet_time),
		WITH_CLUSTER(refused_batches_far_apart_do_not_cost_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
