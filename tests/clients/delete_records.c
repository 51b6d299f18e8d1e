/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deletes what lies before an offset, as retention does: delete_records SERVERS TOPIC PARTITION OFFSET...
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MS 20000

static int delete_before(rd_kafka_t *client, rd_kafka_queue_t *queue, const rd_kafka_topic_partition_list_t *offsets)
{
	rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(offsets);
	const rd_kafka_topic_partition_list_t *answers;
	rd_kafka_event_t *event;
	int bad = 0;

	rd_kafka_DeleteRecords(client, &request, 1, NULL, queue);
	rd_kafka_DeleteRecords_destroy(request);
	event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
	if (!event || rd_kafka_event_error(event)) {
		fprintf(stderr, "delete_records: %s\n", event ? rd_kafka_event_error_string(event) : "no answer");
		return 1;
	}
	answers = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
	for (int i = 0; i < answers->cnt; i++) {
		if (answers->elems[i].err)
			fprintf(stderr, "delete_records: %s\n", rd_kafka_err2str(answers->elems[i].err));
		bad |= answers->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR;
	}
	rd_kafka_event_destroy(event);
	return bad;
}

int main(int argc, char **argv)
{
	rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_queue_t *queue;
	rd_kafka_t *client;
	char reason[256];
	int code;

	if (argc < 5 || argc % 2 == 0) {
		fprintf(stderr, "delete_records SERVERS TOPIC PARTITION OFFSET...\n");
		return 2;
	}
	for (int i = 3; i + 1 < argc; i += 2)
		rd_kafka_topic_partition_list_add(offsets, argv[2], atoi(argv[i]))->offset = atoll(argv[i + 1]);
	rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], reason, sizeof(reason));
	client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
	if (!client) {
		fprintf(stderr, "delete_records: %s\n", reason);
		return 1;
	}
	queue = rd_kafka_queue_new(client);
	code = delete_before(client, queue, offsets);
	rd_kafka_queue_destroy(queue);
	rd_kafka_topic_partition_list_destroy(offsets);
	rd_kafka_destroy(client);
	return code;
}
