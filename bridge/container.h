/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container of messages on disk, used by the file transport: a header, then entries of length, CRC and message.
 *
 * All integers are little-endian.
 *   header  16 bytes: "WIREBUS1" (8), u32 version (1), u32 header length (16)
 *   entry   16 bytes: u32 length of what follows the entry header, u32 CRC-32C of the rest of the entry, u16 kind
 *                     (enum wb_message_kind; of a spool also 3), u16 length of the route, u32 zero; then the route,
 * then the message The route is opaque bytes that the writer needs to publish the message again; empty in files of the
 * file transport. Name of a file: anything that ends in ".wbs".
 */
#ifndef WB_CONTAINER_H
#define WB_CONTAINER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wirebus/option.h"

#define WB_CONTAINER_HEADER_BYTES 16
#define WB_CONTAINER_ENTRY_BYTES 16
#define WB_CONTAINER_VERSION 1

/* CRC-32C (Castagnoli, RFC 3720 section 12.1), of several pieces: pass the last result, 0 at first. */
uint32_t wb_crc32c(uint32_t crc, const void *data, size_t length);
/* The same without the processor's help. */
uint32_t wb_crc32c_portable(uint32_t crc, const void *data, size_t length);

void wb_container_header(uint8_t ret_header[WB_CONTAINER_HEADER_BYTES]);
/* Make the header of an entry; route may be NULL with length 0. */
void wb_container_entry(uint8_t ret_entry[WB_CONTAINER_ENTRY_BYTES], uint16_t kind, const void *route,
	uint16_t route_length, const void *message, size_t message_length);

/* The same for a message of two pieces; tail may be NULL with length 0. */
void wb_container_entry_tail(uint8_t ret_entry[WB_CONTAINER_ENTRY_BYTES], uint16_t kind, const void *route,
	uint16_t route_length, const void *message, size_t message_length, const void *tail, size_t tail_length);

/* Reads one container file sequentially through a buffer that grows to the longest entry allowed. */
struct wb_container_reader;
struct wb_container_item {
	uint16_t kind;
	const uint8_t *route;
	size_t route_length;
	const uint8_t *message;
	size_t message_length;
	uint64_t offset; /* of the entry in the file */
};
/*
 * max_message_bytes: a longer message is taken for damage.
 * Errors: -errno; -EAGAIN: the file is shorter than its header (it is being created, or was cut); -EPROTO: not a
 * container or another version. Each with a message.
 */
int wb_container_open(const char *path, size_t max_message_bytes, struct wb_container_reader **ret_reader,
	struct wb_error *ret_error);
/*
 * 1: an item, valid until the next call. 0: end of the file at the end of an entry. -EAGAIN: the file ends inside an
 * entry (it is being written, or was cut): call again later. -EBADMSG: this entry's CRC is wrong, it was skipped, call
 * again. -EPROTO: the length makes no sense, the rest of the file cannot be read. Messages quote the offset.
 */
int wb_container_next(
	struct wb_container_reader *reader, struct wb_container_item *ret_item, struct wb_error *ret_error);
/* Where the next entry begins in the file, and a way to go on there after opening the file again. */
uint64_t wb_container_offset(const struct wb_container_reader *reader);
void wb_container_seek(struct wb_container_reader *reader, uint64_t offset);
void wb_container_close(struct wb_container_reader *reader); /* NULL is allowed */

#endif
