/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of pcap (capture_file.c) and of pcapng (capture_pcapng.c) share. */
#ifndef WB_CAPTURE_FILE_INTERNAL_H
#define WB_CAPTURE_FILE_INTERNAL_H

#include "capture_file.h"
#include "capture_input.h"

struct wb_capture_interface {
	struct wbproto_interface facts;
	char *name;   /* by the file, what the facts lead to; NULL: none */
	char *filter; /* the same */
	/* pcapng: a packet's time is ticks / resolution + offset_s; the resolution a power of 10 or of 2 a second. */
	uint8_t resolution; /* as in if_tsresol */
	int64_t offset_s;
	uint32_t fcs_flags; /* in the flags word of each packet */
};

struct wb_capture_file {
	char *path;
	struct wb_capture_file_options options;
	struct wb_capture_input input;
	uint64_t skip; /* bytes left of a block that is skipped */
	/* The reader of the format; NULL: nothing was read yet. */
	int (*read)(struct wb_capture_file *file, int timeout_ms, struct wb_captured *ret, struct wb_error *ret_error);
	bool swapped;   /* not this machine's byte order */
	size_t pending; /* bytes of the last packet, which are given back at the next call */
	uint64_t last_time_ns;
	struct wb_capture_interface *interfaces; /* of the section */
	uint32_t interface_count;
	uint32_t interface_capacity;
	/* pcap */
	uint32_t unit_ns;
	uint32_t record_bytes; /* of a packet's header */
	uint8_t lengths;       /* of packets: whether they stand the other way around, in very old files */
};

static inline uint16_t wb_capture_16(const struct wb_capture_file *file, const uint8_t *at)
{
	uint16_t value;

	__builtin_memcpy(&value, at, sizeof(value));
	return file->swapped ? __builtin_bswap16(value) : value;
}

static inline uint32_t wb_capture_32(const struct wb_capture_file *file, const uint8_t *at)
{
	uint32_t value;

	__builtin_memcpy(&value, at, sizeof(value));
	return file->swapped ? __builtin_bswap32(value) : value;
}

static inline uint64_t wb_capture_64(const struct wb_capture_file *file, const uint8_t *at)
{
	uint64_t value;

	__builtin_memcpy(&value, at, sizeof(value));
	return file->swapped ? __builtin_bswap64(value) : value;
}

/* Damage at the input's place, `inside` bytes further on: file, offset and rule. Returns -EBADMSG. */
int wb_capture_damage(const struct wb_capture_file *file, uint64_t inside, struct wb_error *ret_error,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
/* wb_capture_input_need(), with what a file that ends is missing: "a packet's header". part: there is some of it. */
int wb_capture_need(
	struct wb_capture_file *file, size_t bytes, int timeout_ms, const char *what, struct wb_error *ret_error);
/* Longest packet of the link type. */
uint32_t wb_capture_limit(uint32_t link_type);

/* Append an interface of the link type, with its number. Errors: -ENOMEM; -E2BIG. */
int wb_capture_add_interface(struct wb_capture_file *file, struct wb_capture_interface **ret_interface);
void wb_capture_forget_interfaces(struct wb_capture_file *file);
/* A packet that is longer than its interface's snap length says: from here on it has none, and another number. */
void wb_capture_outgrow(struct wb_capture_file *file, struct wb_capture_interface *interface);

/* ---- capture_pcapng.c ---- */

/* Signature of wb_capture_file.read. */
int wb_capture_pcapng_read(
	struct wb_capture_file *file, int timeout_ms, struct wb_captured *ret_captured, struct wb_error *ret_error);

#endif
