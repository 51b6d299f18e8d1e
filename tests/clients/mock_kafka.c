/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Kafka cluster that fails on command: librdkafka's simulation, in a process of its own, on loopback ports of the
 * namespace that it runs in. For faults that no real broker makes when it is told to; what it does not do: keep data,
 * know the sequence numbers of idempotent producers, look offsets up by time.
 *
 *	mock_kafka [BROKERS]       prints "bootstraps HOST:PORT,..."; then one command a line on standard input, and for
 *	                           each "ok" or "error REASON" on standard output; ends with its input
 *
 *	topic NAME PARTITIONS      make it (a topic that is not there is made with 4 partitions when it is asked for)
 *	down BROKER | up BROKER    brokers are 1, 2, ...; -1: all
 *	rtt BROKER MS              answers take so long
 *	leader NAME PARTITION BROKER
 *	topic_error NAME CODE      what metadata says about it; codes are those of Kafka's protocol, 0: none
 *	errors API CODE...         the next requests of that kind are answered so; API is the protocol's number
 *	clear API                  no more of these errors
 *	delays BROKER API CODE MS  the broker's next request of that kind: answered so, so late. Afterwards `errors` for
 *	                           this API has no effect on this broker
 */
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 64

struct cluster {
	rd_kafka_t *host;
	rd_kafka_mock_cluster_t *mock;
};

struct words {
	char *word[WORDS];
	int count;
};

static rd_kafka_resp_err_t cmd_topic(struct cluster *cluster, struct words *w)
{
	return rd_kafka_mock_topic_create(cluster->mock, w->word[1], atoi(w->word[2]), 1);
}

static rd_kafka_resp_err_t cmd_down(struct cluster *cluster, struct words *w)
{
	return rd_kafka_mock_broker_set_down(cluster->mock, atoi(w->word[1]));
}

static rd_kafka_resp_err_t cmd_up(struct cluster *cluster, struct words *w)
{
	return rd_kafka_mock_broker_set_up(cluster->mock, atoi(w->word[1]));
}

static rd_kafka_resp_err_t cmd_rtt(struct cluster *cluster, struct words *w)
{
	return rd_kafka_mock_broker_set_rtt(cluster->mock, atoi(w->word[1]), atoi(w->word[2]));
}

static rd_kafka_resp_err_t cmd_leader(struct cluster *cluster, struct words *w)
{
	return rd_kafka_mock_partition_set_leader(cluster->mock, w->word[1], atoi(w->word[2]), atoi(w->word[3]));
}

static rd_kafka_resp_err_t cmd_topic_error(struct cluster *cluster, struct words *w)
{
	rd_kafka_mock_topic_set_error(cluster->mock, w->word[1], (rd_kafka_resp_err_t)atoi(w->word[2]));
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t cmd_errors(struct cluster *cluster, struct words *w)
{
	rd_kafka_resp_err_t errors[WORDS];

	for (int i = 2; i < w->count; i++)
		errors[i - 2] = (rd_kafka_resp_err_t)atoi(w->word[i]);
	rd_kafka_mock_push_request_errors_array(cluster->mock, (int16_t)atoi(w->word[1]), (size_t)w->count - 2, errors);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t cmd_clear(struct cluster *cluster, struct words *w)
{
	rd_kafka_mock_clear_request_errors(cluster->mock, (int16_t)atoi(w->word[1]));
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t cmd_delays(struct cluster *cluster, struct words *w)
{
	return rd_kafka_mock_broker_push_request_error_rtts(cluster->mock, atoi(w->word[1]), (int16_t)atoi(w->word[2]),
		1, (rd_kafka_resp_err_t)atoi(w->word[3]), atoi(w->word[4]));
}

static const struct command {
	const char *name;
	int min, max; /* arguments */
	rd_kafka_resp_err_t (*run)(struct cluster *cluster, struct words *words);
} commands[] = {
	{"topic", 2, 2, cmd_topic},
	{"down", 1, 1, cmd_down},
	{"up", 1, 1, cmd_up},
	{"rtt", 2, 2, cmd_rtt},
	{"leader", 3, 3, cmd_leader},
	{"topic_error", 2, 2, cmd_topic_error},
	{"errors", 2, WORDS - 1, cmd_errors},
	{"clear", 1, 1, cmd_clear},
	{"delays", 4, 4, cmd_delays},
};

static void obey(struct cluster *cluster, char *line)
{
	struct words words = {.count = 0};
	char *rest = NULL;

	for (char *word = strtok_r(line, " \n", &rest); word && words.count < WORDS;
		word = strtok_r(NULL, " \n", &rest))
		words.word[words.count++] = word;
	for (size_t i = 0; words.count && i < sizeof commands / sizeof commands[0]; i++) {
		const struct command *command = &commands[i];
		rd_kafka_resp_err_t error;

		if (strcmp(command->name, words.word[0]) != 0 || words.count - 1 < command->min ||
			words.count - 1 > command->max)
			continue;
		error = command->run(cluster, &words);
		printf("%s%s\n", error ? "error " : "ok", error ? rd_kafka_err2name(error) : "");
		return;
	}
	printf("error unknown command, or a wrong number of arguments\n");
}

static int open_cluster(struct cluster *cluster, int brokers)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char reason[256];

	/* It would complain of having no broker. */
	rd_kafka_conf_set(conf, "log_level", "0", reason, sizeof reason);
	cluster->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
	if (!cluster->host) {
		fprintf(stderr, "mock_kafka: %s\n", reason);
		rd_kafka_conf_destroy(conf);
		return -EINVAL;
	}
	cluster->mock = rd_kafka_mock_cluster_new(cluster->host, brokers);
	return cluster->mock ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	struct cluster cluster = {0};
	char line[1024];

	if (open_cluster(&cluster, argc > 1 ? atoi(argv[1]) : 1) < 0)
		return EXIT_FAILURE;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("bootstraps %s\n", rd_kafka_mock_cluster_bootstraps(cluster.mock));
	while (fgets(line, sizeof line, stdin))
		obey(&cluster, line);
	rd_kafka_mock_cluster_destroy(cluster.mock);
	rd_kafka_destroy(cluster.host);
	return EXIT_SUCCESS;
}
