/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of transports and sources need: batches whose content says who they are, and URLs opened in one call. */
#ifndef TEST_SOURCE_RIG_H
#define TEST_SOURCE_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "registry.h"
#include "source_setup.h"

#define RIG_MAX_MESSAGE ((size_t)4 << 20)

/* A batch that counts how often it was settled. Its content depends on worker, sequence and size. */
struct rig_batch {
	struct wb_batch batch;
	uint8_t session[16];
	_Atomic unsigned int settled;
	_Atomic unsigned int result, cause;
};
void rig_batch_init(struct rig_batch *batch, uint32_t worker, uint64_t sequence, size_t size);
void rig_batch_fini(struct rig_batch *batch);
/* Fails the test unless the content is that of a batch made by rig_batch_init(). Returns its sequence. */
uint64_t rig_check(const uint8_t *data, size_t size, uint32_t *ret_worker);

/* A transport. What it logs is kept. */
struct rig_bus {
	struct wb_transport_setup setup;
	struct wb_transport *transport;
	struct wb_lane *lanes[4];
	pthread_mutex_t lock;
	char log[16][256];
	unsigned int log_count;
};
void rig_bus_open(struct rig_bus *bus, const char *url, unsigned int lanes, unsigned int buffers);
void rig_bus_close(struct rig_bus *bus);
/* Publish and wait for the outcome. */
enum wb_result rig_bus_send(struct rig_bus *bus, struct rig_batch *batch);
unsigned int rig_bus_logged(struct rig_bus *bus, const char *text);

/* A source. */
struct rig_source {
	struct wb_source_setup setup;
	struct wb_source *source;
	struct wb_message message;
	struct wb_error error;
};
/* Returns what open() does. Close in any case. */
int rig_source_open(struct rig_source *source, const char *url, bool follow, unsigned int wait_ms);
/* The same; what the URL says need not be in args. */
int rig_source_open_with(struct rig_source *source, const char *url, const struct wb_source_args *args);
/* Call next() until it says something else than 0, or so many milliseconds are over. */
int rig_source_next(struct rig_source *source, int timeout_ms);
void rig_source_close(struct rig_source *source);

/* From here on, count what wb_log() writes: standard error goes to a file. */
void rig_log_begin(void);
unsigned int rig_log_count(const char *text);
void rig_log_end(void);

int64_t rig_now_ms(void);
void rig_sleep_ms(int ms);

#endif
