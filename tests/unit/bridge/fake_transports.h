/* SPDX-License-Identifier: Apache-2.0 */
/* Transports and sources that do nothing, in place of the built-in ones. Only check() works. */
#ifndef WB_FAKE_TRANSPORTS_H
#define WB_FAKE_TRANSPORTS_H

#include <stdbool.h>
#include <stdint.h>

/* Options of the fake kafka; the others have none, but zmq "bind". */
struct fake_kafka_options {
	uint64_t linger_ms;
	unsigned int compression;
	char *sasl_password;
	bool idempotence;
};

/* What the fake kafka's check() saw last, and what it is to answer. */
struct fake_kafka {
	unsigned int checks;
	struct fake_kafka_options options; /* strings are not kept */
	char url[200];
	char address[200];
	char properties[400];  /* "key=value;" of each */
	bool quote_properties; /* fail, and quote in the message what should not be shown */
};
extern struct fake_kafka fake_kafka;

#define FAKE_KAFKA_LIMIT_BYTES 1000000

#endif
