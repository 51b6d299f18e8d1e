/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of its own for tests of the file transport and source, and what writes, reads and damages files in it. */
#ifndef FILE_RIG_H
#define FILE_RIG_H

#include <sys/types.h>

#include "source_rig.h"

#define SESSION "101112131415161718191a1b1c1d1e1f"

/* The folder, which does not exist when a test begins, and its URL. */
extern char file_rig_directory[64], file_rig_url[128];

size_t file_rig_count_files(void);
const char *file_rig_path(unsigned int worker, unsigned int segment);
off_t file_rig_size(const char *path);
void file_rig_send_all(struct rig_bus *bus, struct rig_batch *batches, size_t count);
void file_rig_write_batches(const char *to, uint64_t first, size_t count, size_t size);
void file_rig_expect_batch(struct rig_source *source, uint64_t sequence);
/* Send one batch and expect the outcome. */
void file_rig_expect_delivered(struct rig_bus *bus, uint64_t sequence, size_t size);
void file_rig_expect_damage(struct rig_source *source, const char *text);
void file_rig_expect_range(struct rig_source *source, uint64_t first, uint64_t last);
void file_rig_flip(const char *path, off_t offset);
int file_rig_clean(void **state);
int file_rig_set_up(void **state);
int file_rig_tear_down(void **state);

#endif
