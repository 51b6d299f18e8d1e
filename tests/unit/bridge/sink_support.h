/* SPDX-License-Identifier: Apache-2.0 */
/* Records to give to sinks, and what comes out. */
#ifndef TEST_SINK_SUPPORT_H
#define TEST_SINK_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
/* clang-format on */

#include "sink.h"

#define VIEW(text) ((struct wbproto_view){(text), sizeof(text) - 1})

/* Bytes from hexadecimal digits, blanks allowed, in memory of exactly that size, so that sanitizers see an overrun. */
uint8_t *from_hex(const char *hex, uint32_t *ret_length);

/* A record with ordinary facts and no data: interface veth0 (index 3) on node lab1, Ethernet, inbound. */
void ordinary_record(struct wbproto_record *ret_record);

/* Run records through a sink. Ownership: free(). */
char *through_sink(
	const struct wb_sink_ops *ops, const struct wbproto_record *records, size_t count, size_t *ret_length);

/* Write bytes to a new temporary file; ret_path is to be unlinked. */
void to_file(const void *data, size_t length, char ret_path[64]);

/* What a command prints on standard output, which must succeed. Ownership: free(). */
char *output_of(const char *command);

/* Skip this test when the program is not installed; in CI that is a failure. */
void need_program(const char *path);

/* Walk over a pcapng file: asserts that every length is right and every reference exists. Returns its packets. */
struct pcapng_facts {
	size_t interfaces;
	size_t packets;
	size_t statistics;
	uint64_t drop_counts; /* their sum */
};
void check_pcapng(const char *file, size_t length, struct pcapng_facts *ret_facts);

#endif
