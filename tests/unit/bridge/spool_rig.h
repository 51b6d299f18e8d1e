/* SPDX-License-Identifier: Apache-2.0 */
/* A spool in a folder of the test's own, with batches whose content follows from who they are. */
#ifndef TEST_SPOOL_RIG_H
#define TEST_SPOOL_RIG_H

#include "testing.h"

#include "spool.h"

#define SPOOL_RIG_PACKETS 7

extern char spool_rig_directory[64];

int spool_rig_setup(void **state);
int spool_rig_teardown(void **state);

/* Open with room for `bytes`; it must work. */
struct wb_spool *spool_rig_open(uint64_t bytes, uint64_t segment_bytes, unsigned int queues);
/* Write batch `batch_seq` of a stream of the session that the byte stands for. */
int spool_rig_append(struct wb_spool_queue *queue, uint8_t session, uint32_t stream, uint64_t batch_seq, size_t size);
/* Read the entry, which must be that batch to the last byte; mark it as sent. */
struct wb_spool_entry *spool_rig_expect(
	struct wb_spool_queue *queue, uint8_t session, uint32_t stream, uint64_t batch_seq);
/* The same, and settle it. */
void spool_rig_drain(struct wb_spool_queue *queue, uint8_t session, uint32_t stream, uint64_t batch_seq);
/* Files of the folder that end so; the name of the first. */
unsigned int spool_rig_files(const char *suffix, char *ret_first);
uint64_t spool_rig_file_bytes(const char *name);
/* Change bytes of a file by exclusive or. */
void spool_rig_flip(const char *name, uint64_t offset, uint8_t mask);
void spool_rig_cut(const char *name, uint64_t size);

#endif
