/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka: the host is told of each connection before its first packet. */
#ifndef WB_KAFKA_OWN_H
#define WB_KAFKA_OWN_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>

#include "wirebus/transport.h"

struct wb_kafka_connection;

/* The connections of a transport's clients. */
struct wb_kafka_own {
	void (*report)(void *context, bool open, const struct sockaddr *local, const struct sockaddr *remote);
	void *context;
	pthread_mutex_t lock;
	struct wb_kafka_connection *first;
};

void wb_kafka_own_init(struct wb_kafka_own *own, const struct wb_transport_args *args);
/* After the clients were destroyed. */
void wb_kafka_own_fini(struct wb_kafka_own *own);
/* Let the client that conf makes connect and close through here, if the host wants to know. */
void wb_kafka_own_attach(rd_kafka_conf_t *conf, const struct wb_kafka_own *own);
/* The transport's, from the opaque of one of its clients: transport_kafka.c knows how. */
struct wb_kafka_own *wb_kafka_own_of(void *opaque);

#endif
