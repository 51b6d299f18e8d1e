/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "option.h"
#include "url.h"

static const uint8_t session[16] = {0x01, 0x90, 1, 2, 3, 4, 0x70, 6, 0x80, 8, 9, 10, 11, 12, 13, 14};

void kafka_rig_pause_ms(int ms)
{
	const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&pause, NULL);
}

static void on_settle(struct wb_batch *wb_batch, enum wb_result result, enum wb_cause cause)
{
	struct rig_kafka_batch *batch = (struct rig_kafka_batch *)wb_batch;
	struct kafka_rig *rig = batch->rig;

	batch->result = result;
	batch->cause = cause;
	atomic_fetch_add(&batch->settled, 1);
	atomic_fetch_add(&rig->results[result], 1);
	atomic_fetch_add(&rig->causes[cause], 1);
	atomic_fetch_add(&rig->settled, 1);
}

static bool on_settle_records(
	struct wb_batch *wb_batch, uint32_t first, uint32_t records, enum wb_result result, enum wb_cause cause)
{
	struct rig_kafka_batch *batch = (struct rig_kafka_batch *)wb_batch;
	struct kafka_rig *rig = batch->rig;

	atomic_fetch_add(&batch->outcomes[result], records);
	atomic_fetch_add(&rig->results[result], records);
	atomic_fetch_add(&rig->causes[cause], records);
	if (atomic_fetch_sub(&batch->open, records) != records)
		return false;
	atomic_fetch_add(&batch->settled, 1);
	atomic_fetch_add(&rig->settled, 1);
	return true;
}

static void on_log(void *context, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void on_log(void *context, int level, const char *format, ...)
{
	struct kafka_rig *rig = context;
	va_list arguments;
	size_t length;

	if (getenv("WIREBUS_TEST_VERBOSE")) {
		va_start(arguments, format);
		vprintf(format, arguments);
		va_end(arguments);
		printf("\n");
	}
	if (level > WB_LOG_WARNING)
		return;
	pthread_mutex_lock(&rig->log_lock);
	length = strlen(rig->log);
	va_start(arguments, format);
	vsnprintf(rig->log + length, sizeof(rig->log) - length, format, arguments);
	va_end(arguments);
	pthread_mutex_unlock(&rig->log_lock);
}

bool kafka_rig_logged(struct kafka_rig *rig, const char *text)
{
	bool found;

	pthread_mutex_lock(&rig->log_lock);
	found = strstr(rig->log, text) != NULL;
	pthread_mutex_unlock(&rig->log_lock);
	return found;
}

int kafka_rig_set_up(void **state)
{
	struct kafka_rig *rig = calloc(1, sizeof(*rig));
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char reason[256];

	assert_non_null(rig);
	pthread_mutex_init(&rig->log_lock, NULL);
	rig->began_ms = (int64_t)time(NULL) * 1000;
	/* It would complain of having no broker. */
	rd_kafka_conf_set(conf, "log_level", "0", reason, sizeof(reason));
	rig->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
	assert_non_null(rig->host);
	rig->mock = rd_kafka_mock_cluster_new(rig->host, RIG_BROKERS);
	assert_non_null(rig->mock);
	assert_int_equal(rd_kafka_mock_topic_create(rig->mock, RIG_TOPIC, RIG_PARTITIONS, 1), 0);
	*state = rig;
	return 0;
}

int kafka_rig_tear_down(void **state)
{
	struct kafka_rig *rig = *state;

	kafka_rig_close(rig);
	rd_kafka_mock_cluster_destroy(rig->mock);
	rd_kafka_destroy(rig->host);
	pthread_mutex_destroy(&rig->log_lock);
	free(rig);
	return 0;
}

static unsigned int none_free(void *context)
{
	(void)context;
	return 0;
}

void kafka_rig_open(struct kafka_rig *rig, const char *query)
{
	struct wb_transport_args args = {.scheme = "kafka",
		.node = "node",
		.interface = "eth0",
		.lanes = RIG_LANES,
		.records = rig->record_mode && !rig->of_batch_mode,
		.buffers = rig->told ? rig->told : RIG_BATCHES,
		.max_batch_bytes = RIG_BATCH_BYTES,
		.log = on_log,
		.log_context = rig};
	struct wb_transport_setup setup;
	struct wb_error error = {""};
	char url[1024];

	snprintf(url, sizeof(url), "kafka://%s/" RIG_TOPIC "?%s", rd_kafka_mock_cluster_bootstraps(rig->mock),
		query ? query : "linger=1ms");
	if (wb_transport_setup_init(url, NULL, 0, &setup, &error) < 0)
		fail_msg("%s", error.message);
	wb_transport_setup_args(&setup, &args);
	args.node = "node";
	if (wb_transport_kafka.open(&args, &rig->transport, &error) < 0)
		fail_msg("%s", error.message);
	wb_transport_setup_fini(&setup);
	for (unsigned int i = 0; i < RIG_LANES; i++)
		assert_int_equal(
			wb_transport_kafka.lane(rig->transport, none_free, NULL, RIG_BATCHES, &rig->lanes[i]), 0);
}

void kafka_rig_close(struct kafka_rig *rig)
{
	wb_transport_kafka.close(rig->transport);
	rig->transport = NULL;
}

/* Each record names its stream and its number, as it has no headers. */
static void make_records(struct rig_kafka_batch *batch)
{
	batch->batch.record_count = RIG_RECORDS;
	batch->batch.records = batch->notes;
	batch->batch.settle_records = on_settle_records;
	batch->batch.packets = RIG_RECORDS;
	atomic_store(&batch->open, RIG_RECORDS);
	for (uint32_t i = 0; i < RIG_RECORDS; i++) {
		uint64_t seq = (batch->batch.batch_seq - 1) * RIG_RECORDS + i + 1;
		uint8_t *record = batch->data + i * RIG_RECORD_BYTES;

		memcpy(record, &batch->batch.stream_id, sizeof(batch->batch.stream_id));
		memcpy(record + sizeof(batch->batch.stream_id), &seq, sizeof(seq));
		batch->notes[i] =
			(struct wb_record){.time_ms = batch->batch.max_time_ms, .end = (i + 1) * RIG_RECORD_BYTES};
	}
}

int kafka_rig_publish(struct kafka_rig *rig, unsigned int lane)
{
	struct rig_kafka_batch *batch = &rig->batches[rig->published];
	char key[16];
	struct wb_route route = {.partition = -1};
	int r;

	if (!rig->keyless) {
		route.key = key;
		route.key_size = (size_t)snprintf(key, sizeof(key), "node/%u", rig->one_key ? 0 : lane);
	}

	assert_true(rig->published < RIG_BATCHES);
	memset(batch->data, (int)rig->published, sizeof(batch->data));
	batch->rig = rig;
	batch->batch = (struct wb_batch){.data = batch->data,
		.size = sizeof(batch->data),
		.packets = 1,
		.session_id = session,
		.worker_id = lane,
		.stream_id = lane,
		.batch_seq = rig->next_seq[lane] + 1,
		.first_packet_seq = rig->next_seq[lane] + 1,
		.max_time_ms = rig->began_ms + 60000 * (int64_t)(rig->next_seq[lane] + 1),
		.settle = on_settle};
	if (rig->record_mode)
		make_records(batch);
	r = wb_transport_kafka.publish(rig->lanes[lane], &batch->batch, &route);
	if (r == 0) {
		rig->published++;
		rig->next_seq[lane]++;
	}
	return r;
}

void kafka_rig_publish_all(struct kafka_rig *rig, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int r = -EAGAIN;

		for (unsigned int tries = 0; r == -EAGAIN && tries < 10000; tries++) {
			if (tries)
				kafka_rig_pause_ms(1);
			r = kafka_rig_publish(rig, i % RIG_LANES);
		}
		assert_int_equal(r, 0);
	}
}

void kafka_rig_wait_settled(struct kafka_rig *rig, unsigned int count)
{
	for (unsigned int tries = 0; atomic_load(&rig->settled) < count && tries < 3000; tries++)
		kafka_rig_pause_ms(10);
	assert_int_equal(atomic_load(&rig->settled), count);
}

static uint64_t header_number(const rd_kafka_headers_t *headers, const char *name)
{
	const void *value;
	char text[32] = "";
	size_t size;

	assert_int_equal(rd_kafka_header_get_last(headers, name, &value, &size), 0);
	assert_true(size < sizeof(text));
	memcpy(text, value, size);
	return strtoull(text, NULL, 10);
}

static void take(struct kafka_rig *rig, const rd_kafka_message_t *message)
{
	struct rig_record *record = &rig->records[rig->record_count++];
	rd_kafka_headers_t *headers;

	assert_true(rig->record_count < sizeof(rig->records) / sizeof(rig->records[0]));
	record->partition = message->partition;
	if (rig->record_mode) {
		assert_int_equal(message->len, RIG_RECORD_BYTES);
		memcpy(&record->stream, message->payload, sizeof(record->stream));
		memcpy(&record->seq, (const uint8_t *)message->payload + sizeof(record->stream), sizeof(record->seq));
		return;
	}
	assert_int_equal(rd_kafka_message_headers(message, &headers), 0);
	record->stream = (uint32_t)header_number(headers, "wb-stream");
	record->seq = header_number(headers, "wb-batch-seq");
}

static rd_kafka_t *new_consumer(struct kafka_rig *rig)
{
	static const char *const settings[][2] = {{"fetch.wait.max.ms", "50"}, {"enable.partition.eof", "true"},
		{"group.id", "rig"}, {"enable.auto.commit", "false"}, {"auto.offset.reset", "earliest"}};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *consumer;
	char reason[256];

	rd_kafka_conf_set(
		conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(rig->mock), reason, sizeof(reason));
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		assert_int_equal(rd_kafka_conf_set(conf, settings[i][0], settings[i][1], reason, sizeof(reason)), 0);
	consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
	assert_non_null(consumer);
	rd_kafka_poll_set_consumer(consumer);
	return consumer;
}

void kafka_rig_read(struct kafka_rig *rig)
{
	rd_kafka_t *consumer = new_consumer(rig);
	bool ended[RIG_PARTITIONS] = {false};
	unsigned int open = RIG_PARTITIONS;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(RIG_PARTITIONS);

	rig->record_count = 0;
	for (int32_t i = 0; i < RIG_PARTITIONS; i++)
		rd_kafka_topic_partition_list_add(list, RIG_TOPIC, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
	rd_kafka_assign(consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
	for (unsigned int tries = 0; open && tries < 3000; tries++) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 10);

		if (!message)
			continue;
		if (!message->err) {
			take(rig, message);
		} else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && !ended[message->partition]) {
			ended[message->partition] = true;
			open--;
		}
		rd_kafka_message_destroy(message);
	}
	assert_int_equal(open, 0);
	rd_kafka_consumer_close(consumer);
	rd_kafka_destroy(consumer);
}

void kafka_rig_delay_answers(struct kafka_rig *rig, unsigned int requests, int ms)
{
	for (int32_t broker = 1; broker <= RIG_BROKERS; broker++)
		for (unsigned int i = 0; i < requests; i++)
			rd_kafka_mock_broker_push_request_error_rtts(
				rig->mock, broker, API_PRODUCE, 1, RD_KAFKA_RESP_ERR_NO_ERROR, ms);
}

void kafka_rig_wait_stored(struct kafka_rig *rig, size_t messages)
{
	size_t before = 0;

	for (unsigned int tries = 0; (before <= messages || rig->record_count != before) && tries < 100; tries++) {
		before = tries ? rig->record_count : 0;
		kafka_rig_pause_ms(100);
		kafka_rig_read(rig);
	}
	assert_true(before > messages && rig->record_count == before);
}

static unsigned int copies(const struct kafka_rig *rig, uint32_t stream, uint64_t seq)
{
	unsigned int n = 0;

	for (size_t i = 0; i < rig->record_count; i++)
		n += rig->records[i].stream == stream && rig->records[i].seq == seq;
	return n;
}

/* How often its message is there too many times. */
static unsigned int check_batch(const struct kafka_rig *rig, const struct rig_kafka_batch *batch)
{
	unsigned int n = copies(rig, batch->batch.stream_id, batch->batch.batch_seq);

	if (batch->result == WB_RESULT_DELIVERED)
		assert_true(n >= 1);
	if (batch->result == WB_RESULT_FAILED)
		assert_int_equal(n, 0);
	return n > 1 ? n - 1 : 0;
}

/* The same for the records of a batch; which of them have failed is not known. */
static unsigned int check_batch_records(const struct kafka_rig *rig, const struct rig_kafka_batch *batch)
{
	unsigned int there = 0, duplicates = 0;

	for (uint64_t i = 1; i <= RIG_RECORDS; i++) {
		unsigned int n = copies(rig, batch->batch.stream_id, (batch->batch.batch_seq - 1) * RIG_RECORDS + i);

		there += n > 0;
		duplicates += n > 1 ? n - 1 : 0;
	}
	assert_in_range(there, batch->outcomes[WB_RESULT_DELIVERED], RIG_RECORDS - batch->outcomes[WB_RESULT_FAILED]);
	return duplicates;
}

/* A client that has been replaced may have sent one more request, see kafka_rig.h. */
static bool order_may_break(struct kafka_rig *rig)
{
	return rig->order_may_break || (rig->transport && kafka_rig_stats(rig).renewed > 0);
}

static void check_order(struct kafka_rig *rig)
{
	uint64_t newest[RIG_LANES] = {0};

	rig->overtaken = 0;
	for (size_t i = 0; i < rig->record_count; i++) {
		const struct rig_record *record = &rig->records[i];
		bool seen = false;

		for (size_t j = 0; j < i && !seen; j++)
			seen = rig->records[j].stream == record->stream && rig->records[j].seq == record->seq;
		rig->overtaken += !seen && record->seq <= newest[record->stream];
		if (record->seq > newest[record->stream])
			newest[record->stream] = record->seq;
	}
	if (!order_may_break(rig))
		assert_int_equal(rig->overtaken, 0);
}

unsigned int kafka_rig_check_records(struct kafka_rig *rig)
{
	unsigned int duplicates = 0;

	for (size_t i = 0; i < rig->published; i++) {
		const struct rig_kafka_batch *batch = &rig->batches[i];

		assert_int_equal(atomic_load(&batch->settled), 1);
		duplicates += rig->record_mode ? check_batch_records(rig, batch) : check_batch(rig, batch);
	}
	check_order(rig);
	return duplicates;
}

void kafka_rig_assert_all_delivered(struct kafka_rig *rig, unsigned int duplicates)
{
	size_t messages = rig->published * (rig->record_mode ? RIG_RECORDS : 1);

	kafka_rig_wait_settled(rig, (unsigned int)rig->published);
	assert_int_equal(atomic_load(&rig->results[WB_RESULT_DELIVERED]), messages);
	kafka_rig_read(rig);
	assert_int_equal(kafka_rig_check_records(rig), duplicates);
	assert_int_equal(rig->record_count, messages + duplicates);
}

struct wb_transport_stats kafka_rig_stats(struct kafka_rig *rig)
{
	struct wb_transport_stats stats;

	wb_transport_kafka.stats(rig->transport, &stats);
	return stats;
}

/* Under a lane's lock, as publish() is: the reports' thread must not replace the client meanwhile. */
void kafka_rig_make_fatal(struct kafka_rig *rig)
{
	struct wb_kafka_producer *producer = &rig->transport->producers[0];
	rd_kafka_resp_err_t error;

	assert_ptr_equal(rig->lanes[0]->producer, producer);
	pthread_mutex_lock(&rig->lanes[0]->lock);
	assert_int_equal(atomic_load(&producer->state), WB_KAFKA_RUNNING);
	error = rd_kafka_test_fatal_error(
		producer->client, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "of the test");
	pthread_mutex_unlock(&rig->lanes[0]->lock);
	assert_int_equal(error, 0);
}

void kafka_rig_wait_renewed(struct kafka_rig *rig, uint64_t count)
{
	for (unsigned int tries = 0; kafka_rig_stats(rig).renewed < count && tries < 3000; tries++)
		kafka_rig_pause_ms(10);
	assert_int_equal(kafka_rig_stats(rig).renewed, count);
	while (atomic_load(&rig->transport->producers[0].state) == WB_KAFKA_RENEWING)
		kafka_rig_pause_ms(1);
}
