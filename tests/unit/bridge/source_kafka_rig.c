/* SPDX-License-Identifier: Apache-2.0 */
#include "source_kafka_rig.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "container.h"

static rd_kafka_t *make_producer(const char *brokers)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char reason[256];
	rd_kafka_t *producer;

	if (brokers)
		rd_kafka_conf_set(conf, "bootstrap.servers", brokers, reason, sizeof(reason));
	rd_kafka_conf_set(conf, "message.max.bytes", "10000000", reason, sizeof(reason));
	producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
	assert_non_null(producer);
	return producer;
}

int cluster_set_up(void **state)
{
	static struct cluster cluster;

	cluster.host = make_producer(NULL);
	cluster.mock = rd_kafka_mock_cluster_new(cluster.host, BROKERS);
	if (!cluster.mock)
		return -1;
	rd_kafka_mock_topic_create(cluster.mock, "packets", PARTITIONS, 1);
	for (int32_t p = 0; p < PARTITIONS; p++)
		rd_kafka_mock_partition_set_leader(cluster.mock, "packets", p, LEADER(p));
	cluster.producer = make_producer(rd_kafka_mock_cluster_bootstraps(cluster.mock));
	snprintf(
		cluster.url, sizeof(cluster.url), "kafka://%s/packets", rd_kafka_mock_cluster_bootstraps(cluster.mock));
	*state = &cluster;
	return 0;
}

int cluster_tear_down(void **state)
{
	struct cluster *cluster = *state;

	rd_kafka_destroy(cluster->producer);
	rd_kafka_mock_cluster_destroy(cluster->mock);
	rd_kafka_destroy(cluster->host);
	return 0;
}

void produce_given(struct cluster *cluster, const struct rig_given *given)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
	struct rig_batch batch;

	if (given->content_type)
		rd_kafka_header_add(headers, "content-type", -1, given->content_type, -1);
	if (given->packets)
		rd_kafka_header_add(headers, "wb-packets", -1, given->packets, -1);
	rig_batch_init(&batch, (uint32_t)given->partition, given->sequence, given->size ? given->size : 16);
	assert_int_equal(rd_kafka_producev(cluster->producer, RD_KAFKA_V_TOPIC("packets"),
				 RD_KAFKA_V_PARTITION(given->partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
				 RD_KAFKA_V_VALUE(given->size ? (void *)batch.batch.data : NULL, given->size),
				 RD_KAFKA_V_TIMESTAMP(given->time_ms), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END),
		0);
	rig_batch_fini(&batch);
}

void produce(struct cluster *cluster, int32_t partition, uint64_t sequence, size_t size, const char *content_type)
{
	const struct rig_given given = {
		.partition = partition, .sequence = sequence, .size = size, .content_type = content_type};

	produce_given(cluster, &given);
}

void flush(struct cluster *cluster)
{
	assert_int_equal(rd_kafka_flush(cluster->producer, 20000), 0);
}

/* Kafka's protocol: big endian. */
struct writer {
	uint8_t bytes[256];
	size_t size;
};

static void put(struct writer *writer, size_t size, uint64_t value)
{
	assert_true(writer->size + size <= sizeof(writer->bytes));
	while (size-- > 0)
		writer->bytes[writer->size++] = (uint8_t)(value >> 8 * size);
}

static void put_bytes(struct writer *writer, const void *bytes, size_t size)
{
	assert_true(writer->size + size <= sizeof(writer->bytes));
	memcpy(writer->bytes + writer->size, bytes, size);
	writer->size += size;
}

/* A batch of records as the format of version 2 has it, with one record: that a transaction was committed. */
static void put_marker(struct writer *writer)
{
	static const uint8_t record[] = {16 << 1, 0, 0, 0, 4 << 1, 0, 0, 0, 1, 6 << 1, 0, 0, 0, 0, 0, 0, 0};
	struct writer body = {.size = 0};

	put(&body, 2, 0x30); /* transactional, control */
	put(&body, 4, 0);    /* the last record's offset here */
	put(&body, 8, 1700000000000);
	put(&body, 8, 1700000000000);
	put(&body, 8, 1); /* the producer and its epoch */
	put(&body, 2, 0);
	put(&body, 4, UINT32_MAX); /* no sequence number */
	put(&body, 4, 1);
	put_bytes(&body, record, sizeof(record));
	put(writer, 8, 0);
	put(writer, 4, 4 + 1 + 4 + body.size);
	put(writer, 4, 0);
	put(writer, 1, 2); /* the format */
	put(writer, 4, wb_crc32c(0, body.bytes, body.size));
	put_bytes(writer, body.bytes, body.size);
}

/* ProduceRequest, version 3. */
static void put_request(struct writer *writer, int32_t partition)
{
	struct writer marker = {.size = 0};

	put_marker(&marker);
	put(writer, 2, 0);
	put(writer, 2, 3);
	put(writer, 4, 1);
	put(writer, 2, UINT16_MAX); /* no client's, no transaction's name */
	put(writer, 2, UINT16_MAX);
	put(writer, 2, 1);
	put(writer, 4, 10000);
	put(writer, 4, 1);
	put(writer, 2, strlen("packets"));
	put_bytes(writer, "packets", strlen("packets"));
	put(writer, 4, 1);
	put(writer, 4, (uint32_t)partition);
	put(writer, 4, marker.size);
	put_bytes(writer, marker.bytes, marker.size);
}

/* Brokers are listed in the order of their numbers. */
static int connect_leader(struct cluster *cluster, int32_t partition)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	const char *at = rd_kafka_mock_cluster_bootstraps(cluster->mock);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	for (int32_t i = 1; i < LEADER(partition); i++)
		at = strchr(at, ',') + 1;
	address.sin_port = htons((uint16_t)strtoul(strchr(at, ':') + 1, NULL, 10));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void produce_marker(struct cluster *cluster, int32_t partition)
{
	struct writer request = {.size = 0}, length = {.size = 0};
	/* The answer: 4 bytes of length, 4 of the request's number, one topic with its name, one partition, its code */
	const size_t code_at = 4 + 4 + 4 + 2 + strlen("packets") + 4 + 4;
	uint8_t answer[128];
	int fd = connect_leader(cluster, partition);

	put_request(&request, partition);
	put(&length, 4, request.size);
	assert_int_equal(send(fd, length.bytes, length.size, MSG_NOSIGNAL | MSG_MORE), length.size);
	assert_int_equal(send(fd, request.bytes, request.size, MSG_NOSIGNAL), request.size);
	assert_int_equal(recv(fd, answer, code_at + 2, MSG_WAITALL), code_at + 2);
	assert_int_equal(answer[code_at] << 8 | answer[code_at + 1], 0);
	close(fd);
}

void source_open(struct rig_source *source, const char *url, bool follow, unsigned int wait_ms)
{
	if (rig_source_open(source, url, follow, wait_ms) < 0)
		fail_msg("%s", source->error.message);
}

void expect_batch(struct rig_source *source, uint64_t *next)
{
	int r = rig_source_next(source, 20000);
	uint32_t partition;
	uint64_t sequence;
	char origin[64];

	if (r != 1)
		fail_msg("%d %s", r, source->error.message);
	sequence = rig_check(source->message.data, source->message.size, &partition);
	assert_in_range(partition, 0, PARTITIONS - 1);
	assert_int_equal(sequence, next[partition]);
	snprintf(origin, sizeof(origin), "packets[%u]@%u", partition, (unsigned int)next[partition]);
	assert_string_equal(source->message.origin, origin);
	next[partition]++;
}
