/* SPDX-License-Identifier: Apache-2.0 */
/* Random batches for tests: the same seed gives the same batch. Boundary values are frequent. */
#ifndef TEST_RANDOM_BATCH_H
#define TEST_RANDOM_BATCH_H

#include "wbproto.h"

#define RANDOM_MAX_INTERFACES 40

struct random_source {
	uint64_t state;
};

/* A batch with the storage its interfaces need. */
struct random_batch {
	struct wbproto_batch batch;
	struct wbproto_interface interfaces[RANDOM_MAX_INTERFACES];
};

void random_seed(struct random_source *source, uint64_t seed);
uint64_t random_u64(struct random_source *source);
/* From 0 to bound - 1. */
uint32_t random_below(struct random_source *source, uint32_t bound);

void random_fill_batch(struct random_source *source, struct random_batch *ret_batch);
/* Its data and vnet_header point into memory that lives as long as the program. */
void random_fill_packet(struct random_source *source, struct wbproto_packet *ret_packet);
void random_fill_interface(struct random_source *source, struct wbproto_interface *ret_interface);
struct wbproto_view random_text(struct random_source *source);

#endif
