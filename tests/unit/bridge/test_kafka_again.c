/* SPDX-License-Identifier: Apache-2.0 */
/* What a spool needs of the Kafka transport: batches that another try may deliver come back as such, and in order. */
#include "kafka_rig.h"

#include <errno.h>
#include <string.h>

/* By these causes the worker decides whether a batch stays in the spool. */
static void causes_say_whether_another_try_may_help(void **state)
{
	static const struct {
		rd_kafka_resp_err_t error;
		enum wb_cause cause;
	} rows[] = {
		{RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, WB_CAUSE_TIMEOUT},
		/* The topic may be created yet. */
		{RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, WB_CAUSE_TIMEOUT},
		{RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, WB_CAUSE_TIMEOUT},
		{RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, WB_CAUSE_TIMEOUT},
		{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, WB_CAUSE_DENIED},
		{RD_KAFKA_RESP_ERR__PURGE_QUEUE, WB_CAUSE_SHUTDOWN},
		{RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, WB_CAUSE_SHUTDOWN},
		{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, WB_CAUSE_TOO_LARGE},
		{RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, WB_CAUSE_REFUSED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_int_equal(wb_kafka_cause(rows[i].error), rows[i].cause);
}

/* When the last client is given up, its batches were not refused: the next start may deliver them. */
static void batches_of_a_client_that_is_given_up(void **state)
{
	struct kafka_rig *rig = *state;
	unsigned int tries;

	kafka_rig_open(rig, "fatal_retries=0");
	kafka_rig_publish_all(rig, 10);
	kafka_rig_wait_settled(rig, 10);
	for (int32_t broker = 1; broker <= RIG_BROKERS; broker++)
		rd_kafka_mock_broker_set_down(rig->mock, broker);
	kafka_rig_publish_all(rig, 20);
	/* The reports' thread must not replace the client meanwhile. */
	pthread_mutex_lock(&rig->lanes[0]->lock);
	rd_kafka_test_fatal_error(
		rig->transport->producers[0].client, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "of the test");
	pthread_mutex_unlock(&rig->lanes[0]->lock);
	kafka_rig_wait_settled(rig, 30);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), 10);
	assert_int_equal(atomic_load(&rig->causes[WB_CAUSE_REFUSED]), 0);
	assert_int_equal(
		atomic_load(&rig->causes[WB_CAUSE_SHUTDOWN]) + atomic_load(&rig->results[WB_RESULT_UNKNOWN]), 20);
	for (tries = 0; tries < 3000 && kafka_rig_publish(rig, 0) != -ESHUTDOWN; tries++)
		kafka_rig_pause_ms(10);
	assert_true(tries < 3000);
}

/* As soon as a client has to be replaced, lanes give it nothing newer: not only once the reports' thread has seen it.
 */
static void lanes_stop_at_once(void **state)
{
	static const rd_kafka_resp_err_t errors[] = {
		RD_KAFKA_RESP_ERR_UNKNOWN, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR__FATAL};

	(void)state;
	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		const rd_kafka_message_t message = {.err = errors[i], .len = 1};
		struct wb_kafka_producer producer;
		rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), NULL, 0);

		assert_non_null(client);
		memset(&producer, 0, sizeof producer);
		atomic_init(&producer.state, WB_KAFKA_RUNNING);
		if (errors[i] == RD_KAFKA_RESP_ERR__FATAL)
			rd_kafka_test_fatal_error(
				client, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "of the test");
		assert_true(wb_kafka_is_kept(&producer, client, &message));
		assert_int_equal(producer.replace, errors[i]);
		assert_int_equal(atomic_load(&producer.state), WB_KAFKA_RENEWING);
		rd_kafka_destroy(client);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(causes_say_whether_another_try_may_help),
		cmocka_unit_test(lanes_stop_at_once),
		cmocka_unit_test_setup_teardown(
			batches_of_a_client_that_is_given_up, kafka_rig_set_up, kafka_rig_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
