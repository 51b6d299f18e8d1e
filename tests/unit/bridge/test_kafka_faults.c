/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kafka transport under fire: brokers that refuse, hang, move and go, and clients that end with a fatal error.
 * Every batch is settled once, with the outcome that the topic confirms, and the order of each stream is kept.
 */
#include "kafka_rig.h"

#include <errno.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Errors that pass are not the user's business: everything is sent again until the broker has it. */
static void retriable_errors_cost_nothing(void **state)
{
	static const rd_kafka_resp_err_t errors[] = {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
		RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
		RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
		RD_KAFKA_RESP_ERR__TRANSPORT};
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms&properties.retry.backoff.ms=20");
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 20);
	rd_kafka_mock_push_request_errors_array(rig->mock, API_PRODUCE, COUNT(errors), errors);
	kafka_rig_publish_all(rig, 60);
	kafka_rig_assert_all_delivered(rig, 0);
	assert_string_equal(rig->log, "");
}

/* A batch that the broker refuses for good is counted by cause, said with what can be done, and does no harm to others.
 */
static void permanent_errors_are_counted_by_cause(void **state)
{
	static const struct {
		rd_kafka_resp_err_t error;
		enum wb_cause cause;
		const char *text;
	} rows[] = {
		{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, WB_CAUSE_TOO_LARGE,
			"the topic's max.message.bytes is less than"},
		{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, WB_CAUSE_DENIED,
			"needs the right to write to the topic"},
		{RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, WB_CAUSE_REFUSED, "message.timestamp.after.max.ms"},
		{RD_KAFKA_RESP_ERR_INVALID_MSG, WB_CAUSE_REFUSED, ""},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kafka_rig *rig;

		kafka_rig_set_up((void **)&rig);
		kafka_rig_open(rig, NULL);
		/* What is too large is tried alone first. */
		for (int n = rows[i].cause == WB_CAUSE_TOO_LARGE ? 2 : 1; n > 0; n--)
			rd_kafka_mock_push_request_errors_array(rig->mock, API_PRODUCE, 1, &rows[i].error);
		assert_int_equal(kafka_rig_publish(rig, 0), 0);
		kafka_rig_wait_settled(rig, 1);
		assert_int_equal(rig->batches[0].result, WB_RESULT_FAILED);
		assert_int_equal(rig->batches[0].cause, rows[i].cause);
		assert_true(kafka_rig_logged(rig, rows[i].text));
		assert_true(kafka_rig_logged(rig, "batch 1 of stream 0 with 1 packets"));
		kafka_rig_publish_all(rig, 20);
		kafka_rig_wait_settled(rig, 21);
		assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), 20);
		kafka_rig_read(rig);
		assert_int_equal(kafka_rig_check_records(rig), 0);
		kafka_rig_tear_down((void **)&rig);
	}
	(void)state;
}

/* What is on its way at the end has an outcome that nobody knows; what was not sent has certainly failed. */
static void the_end_knows_what_it_does_not_know(void **state)
{
	struct kafka_rig *rig = *state;
	unsigned int unknown, failed;

	kafka_rig_open(rig, NULL);
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 20);
	kafka_rig_delay_answers(rig, 20, 100000);
	kafka_rig_publish_all(rig, 10);
	kafka_rig_wait_stored(rig, 20); /* some are on their way */
	kafka_rig_publish_all(rig, 10);
	kafka_rig_pause_ms(100);
	assert_int_equal(atomic_load(&rig->settled), 20);
	kafka_rig_close(rig);
	assert_int_equal(atomic_load(&rig->settled), 40);
	unknown = atomic_load(&rig->results[WB_RESULT_UNKNOWN]);
	failed = atomic_load(&rig->results[WB_RESULT_FAILED]);
	assert_true(unknown >= 1);
	assert_int_equal(unknown + failed, 20);
	assert_int_equal(atomic_load(&rig->causes[WB_CAUSE_SHUTDOWN]), failed);
	kafka_rig_read(rig);
	kafka_rig_check_records(rig);
}

/* Brokers that are away for a while cost nothing but time. */
static void brokers_go_and_come_back(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms&properties.reconnect.backoff.max.ms=100");
	for (unsigned int i = 0; i < 3; i++) {
		kafka_rig_publish_all(rig, 20);
		rd_kafka_mock_broker_set_down(rig->mock, -1);
		kafka_rig_publish_all(rig, 20);
		kafka_rig_pause_ms(100);
		rd_kafka_mock_broker_set_up(rig->mock, -1);
		kafka_rig_wait_settled(rig, 40 * (i + 1));
	}
	/* The simulated broker does not know sequence numbers: what it has while its answer is lost, it gets twice. */
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), rig->published);
	kafka_rig_read(rig);
	assert_int_equal(rig->record_count, rig->published + kafka_rig_check_records(rig));
}

static void leaders_move(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_open(
		rig, "linger=1ms&properties.topic.metadata.refresh.interval.ms=100&properties.retry.backoff.ms=10");
	for (int32_t i = 0; i < 12; i++) {
		kafka_rig_publish_all(rig, 20);
		for (int32_t partition = 0; partition < RIG_PARTITIONS; partition++)
			rd_kafka_mock_partition_set_leader(
				rig->mock, RIG_TOPIC, partition, 1 + (partition + i) % RIG_BROKERS);
	}
	kafka_rig_assert_all_delivered(rig, 0);
}

/*
 * Answers that come too late: the client sends again what the broker has. A real broker knows the numbers of an
 * idempotent producer; the simulated one does not, so each shows as a duplicate with the same identity.
 */
static void late_answers_make_duplicates_that_show(void **state)
{
	struct kafka_rig *rig = *state;
	unsigned int duplicates;

	kafka_rig_open(rig, "linger=1ms&properties.socket.timeout.ms=300&properties.retry.backoff.ms=10");
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 20);
	for (int32_t broker = 1; broker <= RIG_BROKERS; broker++)
		rd_kafka_mock_broker_push_request_error_rtts(rig->mock, broker, API_PRODUCE, 2,
			RD_KAFKA_RESP_ERR_NO_ERROR, 1500, RD_KAFKA_RESP_ERR_NO_ERROR, 1500);
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 40);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), 40);
	kafka_rig_read(rig);
	duplicates = kafka_rig_check_records(rig);
	assert_true(duplicates > 0);
	assert_int_equal(rig->record_count, 40 + duplicates);
}

/* The next client publishes what the last one had, first and in order; nothing is lost, and nothing newer overtakes. */
static void a_fatal_error_is_survived(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, NULL);
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 20);
	rd_kafka_mock_broker_set_rtt(rig->mock, -1, 100);
	kafka_rig_publish_all(rig, 60);
	kafka_rig_make_fatal(rig);
	kafka_rig_publish_all(rig, 60);
	kafka_rig_wait_renewed(rig, 1);
	kafka_rig_wait_settled(rig, 140);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), 140);
	assert_true(kafka_rig_stats(rig).republished > 0);
	assert_false(kafka_rig_stats(rig).failed);
	assert_true(kafka_rig_logged(rig, "of the test"));
	kafka_rig_read(rig);
	assert_true(kafka_rig_check_records(rig) <= kafka_rig_stats(rig).possible_duplicates);
}

/* Answers that do not come leave batches in doubt: sent again, and counted as possible duplicates. */
static void doubtful_batches_are_counted(void **state)
{
	struct kafka_rig *rig = *state;
	unsigned int duplicates;

	kafka_rig_open(rig, NULL);
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 20);
	/* The broker has them, and says so long after the client has given up waiting. */
	kafka_rig_delay_answers(rig, 1, 30000);
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_stored(rig, 20);
	kafka_rig_make_fatal(rig);
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 60);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), 60);
	kafka_rig_read(rig);
	duplicates = kafka_rig_check_records(rig);
	assert_true(duplicates > 0);
	assert_int_equal(kafka_rig_stats(rig).possible_duplicates, duplicates);
}

/* The protocol's own way to a fatal error: the broker does not know the producer's numbers any more. */
static void fatal_answers_are_survived(void **state)
{
	static const rd_kafka_resp_err_t errors[] = {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
		RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
		RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID};
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, NULL);
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 20);
	rd_kafka_mock_push_request_errors_array(rig->mock, API_PRODUCE, COUNT(errors), errors);
	kafka_rig_publish_all(rig, 100);
	kafka_rig_assert_all_delivered(rig, 0);
}

/* Errors that librdkafka takes for the end of a batch although they are not its fault. */
static size_t survive_error(rd_kafka_resp_err_t error)
{
	struct kafka_rig *rig;
	size_t overtaken;

	kafka_rig_set_up((void **)&rig);
	kafka_rig_open(rig, NULL);
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 20);
	/* So that newer ones are queued when the error comes. */
	rd_kafka_mock_broker_set_rtt(rig->mock, -1, 50);
	rd_kafka_mock_push_request_errors_array(rig->mock, API_PRODUCE, 1, &error);
	kafka_rig_publish_all(rig, 10);
	kafka_rig_pause_ms(20);
	kafka_rig_publish_all(rig, 30);
	rd_kafka_mock_broker_set_rtt(rig->mock, -1, 0);
	kafka_rig_assert_all_delivered(rig, 0);
	assert_int_equal(kafka_rig_stats(rig).renewed, 1);
	assert_true(kafka_rig_logged(rig, rd_kafka_err2str(error)));
	overtaken = rig->overtaken;
	kafka_rig_tear_down((void **)&rig);
	return overtaken;
}

static void errors_of_others_are_survived(void **state)
{
	static const rd_kafka_resp_err_t errors[] = {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
		RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
		RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
		RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH, RD_KAFKA_RESP_ERR_UNKNOWN};

	for (size_t i = 0; i < COUNT(errors); i++) {
		size_t overtaken = 1;

		/* Without a strict client the order breaks each time. */
		for (unsigned int tries = 0; overtaken > 0 && tries < 3; tries++)
			overtaken = survive_error(errors[i]);
		assert_int_equal(overtaken, 0);
	}
	(void)state;
}

/* When they do not pass, the batches fail, and the capture goes on. */
static void errors_of_others_that_do_not_pass(void **state)
{
	const rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION;
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms&fatal_retries=2");
	for (int i = 0; i < 3; i++)
		rd_kafka_mock_push_request_errors_array(rig->mock, API_PRODUCE, 1, &error);
	assert_int_equal(kafka_rig_publish(rig, 0), 0);
	kafka_rig_wait_settled(rig, 1);
	assert_int_equal(rig->batches[0].result, WB_RESULT_FAILED);
	assert_int_equal(rig->batches[0].cause, WB_CAUSE_REFUSED);
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 21);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), 20);
	assert_false(kafka_rig_stats(rig).failed);
}

/* Several times, in the middle of everything. */
static void fatal_errors_again_and_again(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=1ms&producers=2");
	for (unsigned int i = 0; i < 5; i++) {
		kafka_rig_publish_all(rig, 30);
		kafka_rig_make_fatal(rig);
		kafka_rig_publish_all(rig, 30);
		kafka_rig_wait_renewed(rig, i + 1);
	}
	kafka_rig_wait_settled(rig, 300);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), 300);
	kafka_rig_read(rig);
	assert_true(kafka_rig_check_records(rig) <= kafka_rig_stats(rig).possible_duplicates);
}

static void push_init_errors(struct kafka_rig *rig, size_t count)
{
	const rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;

	for (size_t i = 0; i < count; i++)
		rd_kafka_mock_push_request_errors_array(rig->mock, API_INIT_PRODUCER_ID, 1, &error);
}

/* A client that fails at once has successors, with pauses, and the one that does not fail delivers everything. */
static void clients_that_fail_at_once(void **state)
{
	struct kafka_rig *rig = *state;

	push_init_errors(rig, 3);
	kafka_rig_open(rig, NULL);
	kafka_rig_publish_all(rig, 60);
	kafka_rig_assert_all_delivered(rig, 0);
	assert_int_equal(kafka_rig_stats(rig).renewed, 3);
	assert_int_equal(kafka_rig_stats(rig).possible_duplicates, 0);
}

/* But not for ever: then every batch is settled as failed, and the worker is told. */
static void clients_that_always_fail(void **state)
{
	struct kafka_rig *rig = *state;
	int r = -EAGAIN;

	push_init_errors(rig, 100);
	kafka_rig_open(rig, "linger=1ms&fatal_retries=3");
	kafka_rig_publish_all(rig, 20);
	kafka_rig_wait_settled(rig, 20);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_FAILED]), 20);
	assert_int_equal(atomic_load(&rig->causes[WB_CAUSE_DENIED]), 20);
	for (unsigned int tries = 0; r == -EAGAIN && tries < 3000; tries++) {
		r = kafka_rig_publish(rig, 0);
		kafka_rig_pause_ms(1);
	}
	assert_int_equal(r, -ESHUTDOWN);
	assert_true(kafka_rig_stats(rig).failed);
	assert_false(kafka_rig_stats(rig).connected);
	assert_true(kafka_rig_logged(rig, "cannot publish any more: 4 clients in a row have failed"));
	assert_int_equal(wb_transport_kafka.flush(rig->transport, 0), 0);
}

/* The end may come at any moment of a replacement; nothing is settled twice or forgotten. */
static void closed_while_a_client_is_replaced(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct kafka_rig *rig;

		kafka_rig_set_up((void **)&rig);
		kafka_rig_open(rig, NULL);
		kafka_rig_publish_all(rig, 20);
		kafka_rig_wait_settled(rig, 20);
		if (i % 2)
			rd_kafka_mock_broker_set_rtt(rig->mock, -1, 5000);
		else
			push_init_errors(rig, 20);
		kafka_rig_publish_all(rig, 20);
		kafka_rig_make_fatal(rig);
		kafka_rig_pause_ms(i * 70);
		kafka_rig_close(rig);
		assert_int_equal(atomic_load(&rig->settled), rig->published);
		assert_int_equal(atomic_load(&rig->causes[WB_CAUSE_SHUTDOWN]) +
					 atomic_load(&rig->results[WB_RESULT_UNKNOWN]) +
					 atomic_load(&rig->results[WB_RESULT_DELIVERED]),
			rig->published);
		rd_kafka_mock_broker_set_rtt(rig->mock, -1, 0);
		kafka_rig_read(rig);
		kafka_rig_check_records(rig);
		kafka_rig_tear_down((void **)&rig);
	}
	(void)state;
}

/* A flush does not wait for the lingering. */
static void flush_does_not_linger(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_open(rig, "linger=600s");
	kafka_rig_publish_all(rig, 20);
	kafka_rig_pause_ms(300);
	assert_int_equal(atomic_load(&rig->settled), 0);
	assert_int_equal(wb_transport_kafka.flush(rig->transport, 20000), 0);
	kafka_rig_assert_all_delivered(rig, 0);
}

#define WITH_CLUSTER(test) cmocka_unit_test_setup_teardown(test, kafka_rig_set_up, kafka_rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CLUSTER(retriable_errors_cost_nothing),
		cmocka_unit_test(permanent_errors_are_counted_by_cause),
		WITH_CLUSTER(the_end_knows_what_it_does_not_know),
		WITH_CLUSTER(brokers_go_and_come_back),
		WITH_CLUSTER(leaders_move),
		WITH_CLUSTER(late_answers_make_duplicates_that_show),
		WITH_CLUSTER(a_fatal_error_is_survived),
		WITH_CLUSTER(doubtful_batches_are_counted),
		WITH_CLUSTER(fatal_answers_are_survived),
		cmocka_unit_test(errors_of_others_are_survived),
		WITH_CLUSTER(errors_of_others_that_do_not_pass),
		WITH_CLUSTER(fatal_errors_again_and_again),
		WITH_CLUSTER(clients_that_fail_at_once),
		WITH_CLUSTER(clients_that_always_fail),
		cmocka_unit_test(closed_while_a_client_is_replaced),
		WITH_CLUSTER(flush_does_not_linger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
