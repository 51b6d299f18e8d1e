/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record mode under fire: a batch is many messages, which fail, are in doubt and are published again one by one. Each
 * of them has one outcome, which the topic confirms, and the order of each stream is kept.
 */
#include "kafka_rig.h"

#include <string.h>

static int set_up(void **state)
{
	struct kafka_rig *rig;

	kafka_rig_set_up(state);
	rig = *state;
	rig->record_mode = true;
	return 0;
}

static void push_error(struct kafka_rig *rig, rd_kafka_resp_err_t error)
{
	rd_kafka_mock_push_request_errors_array(rig->mock, API_PRODUCE, 1, &error);
}

static void records_are_delivered(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms");
	kafka_rig_publish_all(rig, 60);
	kafka_rig_assert_all_delivered(rig, 0);
}

/* A capture in batches publishes what one of records left in the spool: however many records, the client takes them. */
static void a_transport_of_batches_takes_records_as_well(void **state)
{
	struct kafka_rig *rig = *state;

	rig->of_batch_mode = true;
	rig->told = 60;
	kafka_rig_open(rig, "linger=1ms");
	/* Nothing leaves the client while they are published. */
	for (int32_t broker = 1; broker <= RIG_BROKERS; broker++)
		rd_kafka_mock_broker_set_down(rig->mock, broker);
	kafka_rig_publish_all(rig, 60);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_FAILED]), 0);
	for (int32_t broker = 1; broker <= RIG_BROKERS; broker++)
		rd_kafka_mock_broker_set_up(rig->mock, broker);
	kafka_rig_assert_all_delivered(rig, 0);
	assert_false(kafka_rig_logged(rig, "Queue full"));
	assert_int_equal(kafka_rig_stats(rig).again, 0);
}

static void a_fatal_error_is_survived(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms");
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 20);
	rd_kafka_mock_broker_set_rtt(rig->mock, -1, 100);
	kafka_rig_publish_all(rig, 40);
	kafka_rig_make_fatal(rig);
	rd_kafka_mock_broker_set_rtt(rig->mock, -1, 0);
	kafka_rig_publish_all(rig, 40);
	kafka_rig_wait_renewed(rig, 1);
	kafka_rig_wait_settled(rig, 100);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), 100 * RIG_RECORDS);
	assert_true(kafka_rig_stats(rig).republished > 0);
	kafka_rig_read(rig);
	assert_true(kafka_rig_check_records(rig) <= kafka_rig_stats(rig).possible_duplicates * RIG_RECORDS);
}

/* While lanes are in the middle of their batches, with two clients. */
static void fatal_errors_again_and_again(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms&producers=2");
	for (unsigned int i = 0; i < 4; i++) {
		kafka_rig_publish_all(rig, 20);
		kafka_rig_make_fatal(rig);
		kafka_rig_publish_all(rig, 20);
		kafka_rig_wait_renewed(rig, i + 1);
	}
	kafka_rig_wait_settled(rig, 160);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), 160 * RIG_RECORDS);
	kafka_rig_read(rig);
	assert_true(kafka_rig_check_records(rig) <= kafka_rig_stats(rig).possible_duplicates * RIG_RECORDS);
}

/* The broker has the records, and says so long after the client has given up waiting. */
static void doubtful_records_are_sent_again(void **state)
{
	struct kafka_rig *rig = *state;
	unsigned int duplicates;

	kafka_rig_open(rig, "linger=1ms");
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 20);
	kafka_rig_delay_answers(rig, 1, 30000);
	kafka_rig_publish_all(rig, 10);
	kafka_rig_wait_stored(rig, 20ul * RIG_RECORDS);
	kafka_rig_make_fatal(rig);
	kafka_rig_publish_all(rig, 10);
	kafka_rig_wait_settled(rig, 40);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), 40 * RIG_RECORDS);
	kafka_rig_read(rig);
	duplicates = kafka_rig_check_records(rig);
	assert_in_range(duplicates, 1, kafka_rig_stats(rig).possible_duplicates * RIG_RECORDS);
}

/* What is queued behind a request that the client gave up does not overtake it. */
static void errors_of_others_keep_the_order(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms");
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 20);
	rd_kafka_mock_broker_set_rtt(rig->mock, -1, 50);
	push_error(rig, RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION);
	kafka_rig_publish_all(rig, 10);
	kafka_rig_pause_ms(20);
	kafka_rig_publish_all(rig, 30);
	rd_kafka_mock_broker_set_rtt(rig->mock, -1, 0);
	kafka_rig_assert_all_delivered(rig, 0);
	assert_int_equal(kafka_rig_stats(rig).renewed, 1);
}

/* Records that are refused have failed, and no others. */
static void refused_records_are_counted(void **state)
{
	struct kafka_rig *rig = *state;
	unsigned int failed;

	kafka_rig_open(rig, "linger=1ms");
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 20);
	push_error(rig, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP);
	kafka_rig_publish_all(rig, 40);
	kafka_rig_wait_settled(rig, 60);
	failed = atomic_load(&rig->results[WB_RESULT_FAILED]);
	assert_in_range(failed, 1, 40 * RIG_RECORDS);
	assert_int_equal(atomic_load(&rig->causes[WB_CAUSE_REFUSED]), failed);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), 60 * RIG_RECORDS - failed);
	assert_true(kafka_rig_logged(rig, "a record of stream"));
	kafka_rig_read(rig);
	assert_int_equal(kafka_rig_check_records(rig), 0);
}

/* Too large only together: in half as large requests, and again, down to where a record is alone and fails. */
static void requests_become_smaller(void **state)
{
	struct kafka_rig *rig = *state;
	size_t batch_bytes;

	kafka_rig_open(rig, "linger=50ms");
	push_error(rig, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	kafka_rig_publish_all(rig, 20);
	kafka_rig_assert_all_delivered(rig, 0);
	batch_bytes = rig->transport->producers[0].batch_bytes;
	assert_true(batch_bytes >= RIG_RECORD_BYTES);
	push_error(rig, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	kafka_rig_publish_all(rig, 20);
	kafka_rig_assert_all_delivered(rig, 0);
	assert_true(rig->transport->producers[0].batch_bytes < batch_bytes);
	for (unsigned int i = 0; i < 12; i++)
		push_error(rig, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 60);
	assert_in_range(atomic_load(&rig->causes[WB_CAUSE_TOO_LARGE]), 1, 12);
	assert_int_equal(
		atomic_load(&rig->results[WB_RESULT_DELIVERED]) + atomic_load(&rig->causes[WB_CAUSE_TOO_LARGE]),
		60 * RIG_RECORDS);
	kafka_rig_read(rig);
	assert_int_equal(kafka_rig_check_records(rig), 0);
}

#define MIXED 3
#define MIXED_BYTES 5000

/* A batch of records of different sizes. */
struct mixed {
	struct wb_batch batch; /* first member */
	struct wb_record notes[MIXED];
	enum wb_result results[MIXED];
	enum wb_cause causes[MIXED];
	atomic_uint open;
	uint8_t data[MIXED * MIXED_BYTES];
};

static bool settle_mixed(
	struct wb_batch *batch, uint32_t first, uint32_t count, enum wb_result result, enum wb_cause cause)
{
	struct mixed *mixed = (struct mixed *)batch;

	for (uint32_t i = first; i < first + count; i++) {
		mixed->results[i] = result;
		mixed->causes[i] = cause;
	}
	return atomic_fetch_sub(&mixed->open, count) == count;
}

static void make_mixed(struct mixed *mixed, const uint32_t sizes[MIXED])
{
	static const uint8_t session_id[16] = {1};
	uint32_t end = 0;

	memset(mixed, 0, sizeof *mixed);
	for (size_t i = 0; i < MIXED; i++) {
		end += sizes[i];
		mixed->notes[i] = (struct wb_record){.time_ms = 1700000000000, .end = end};
	}
	mixed->batch = (struct wb_batch){.data = mixed->data,
		.size = end,
		.packets = MIXED,
		.session_id = session_id,
		.batch_seq = 1,
		.first_packet_seq = 1,
		.record_count = MIXED,
		.records = mixed->notes,
		.settle_records = settle_mixed};
	atomic_store(&mixed->open, MIXED);
}

/* A spool may have records of a session with a larger limit: those that are too large have failed, and no others. */
static void a_record_that_is_too_large_fails_alone(void **state)
{
	static const uint32_t sizes[][MIXED] = {
		{100, MIXED_BYTES, 100}, {MIXED_BYTES, 100, MIXED_BYTES}, {MIXED_BYTES, MIXED_BYTES, MIXED_BYTES}};
	const struct wb_route route = {.partition = 0};
	static struct mixed mixed;
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms&max_message_bytes=2048");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		make_mixed(&mixed, sizes[i]);
		assert_int_equal(wb_transport_kafka.publish(rig->lanes[0], &mixed.batch, &route), 0);
		assert_int_equal(wb_transport_kafka.flush(rig->transport, 30000), 0);
		assert_int_equal(atomic_load(&mixed.open), 0);
		for (size_t j = 0; j < MIXED; j++) {
			bool fits = sizes[i][j] < 2048;

			assert_int_equal(mixed.results[j], fits ? WB_RESULT_DELIVERED : WB_RESULT_FAILED);
			assert_int_equal(mixed.causes[j], fits ? WB_CAUSE_NONE : WB_CAUSE_TOO_LARGE);
		}
	}
	assert_int_equal(kafka_rig_stats(rig).settled, sizeof(sizes) / sizeof(sizes[0]));
	assert_true(kafka_rig_logged(rig, "max_message_bytes is less now than when it was captured"));
}

/* The end in the middle of a replacement: every record has its outcome. */
static void closed_while_a_client_is_replaced(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct kafka_rig *rig;

		set_up((void **)&rig);
		kafka_rig_open(rig, "linger=1ms");
		kafka_rig_publish_all(rig, 20);
		kafka_rig_wait_settled(rig, 20);
		rd_kafka_mock_broker_set_rtt(rig->mock, -1, i % 2 ? 5000 : 20);
		kafka_rig_publish_all(rig, 20);
		kafka_rig_make_fatal(rig);
		kafka_rig_pause_ms(i * 40);
		kafka_rig_close(rig);
		assert_int_equal(atomic_load(&rig->settled), rig->published);
		rd_kafka_mock_broker_set_rtt(rig->mock, -1, 0);
		kafka_rig_read(rig);
		kafka_rig_check_records(rig);
		kafka_rig_tear_down((void **)&rig);
	}
	(void)state;
}

#define WITH_CLUSTER(test) cmocka_unit_test_setup_teardown(test, set_up, kafka_rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CLUSTER(records_are_delivered),
		WITH_CLUSTER(a_transport_of_batches_takes_records_as_well),
		WITH_CLUSTER(a_fatal_error_is_survived),
		WITH_CLUSTER(fatal_errors_again_and_again),
		WITH_CLUSTER(doubtful_records_are_sent_again),
		WITH_CLUSTER(errors_of_others_keep_the_order),
		WITH_CLUSTER(refused_records_are_counted),
		WITH_CLUSTER(requests_become_smaller),
		WITH_CLUSTER(a_record_that_is_too_large_fails_alone),
		cmocka_unit_test(closed_while_a_client_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
