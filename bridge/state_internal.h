/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout of a state file, in the host's byte order: header, then for each worker a slot: its id, the descriptions
 * of its streams, and two copies of what changes.
 */
#ifndef WB_STATE_INTERNAL_H
#define WB_STATE_INTERNAL_H

#include "bus_identity.h"
#include "state.h"

#define WB_STATE_MAGIC "WBSTATE"
#define WB_STATE_BYTE_ORDER 0x01020304u
#define WB_STATE_COUNTERS (sizeof(struct wbproto_counters) / sizeof(uint64_t))
#define WB_STATE_MAX_WORKERS 256u
#define WB_STATE_MAX_STREAMS 65536u

struct wb_state_header {
	char magic[8];
	uint32_t version;
	uint32_t byte_order;
	uint32_t workers;
	uint32_t streams;  /* of each worker */
	uint32_t counters; /* of a copy */
	uint32_t crc;      /* of the header, with zero here */
	uint8_t session_id[16];
	char node[WB_STATE_NODE_BYTES];
	char capture[WB_STATE_CAPTURE_BYTES];
	char bus[WB_BUS_IDENTITY_BYTES]; /* not in version 1 */
};

/* Bytes of the header in a file of that version. */
static inline size_t wb_state_header_bytes(uint32_t version)
{
	return version == 1 ? offsetof(struct wb_state_header, bus) : sizeof(struct wb_state_header);
}

struct wb_state_description {
	uint32_t crc; /* of the rest */
	uint32_t worker_id;
	uint32_t stream_id;
	uint16_t key_size;
	uint8_t has_topic;
	uint8_t records; /* record mode */
	uint8_t key[WB_STATE_KEY_BYTES];
	char topic[WB_STATE_TOPIC_BYTES];
};

struct wb_state_numbers {
	uint64_t batch_seq;
	uint64_t packet_seq;
};

struct wb_state_copy {
	uint32_t crc; /* of the rest */
	uint32_t ended;
	uint64_t generation; /* the greater one is the newer one; 0: never written */
	uint64_t time_unix_ns;
	struct wbproto_counters counters;
	struct wb_state_numbers streams[];
};

static inline size_t wb_state_copy_bytes(size_t streams)
{
	return sizeof(struct wb_state_copy) + streams * sizeof(struct wb_state_numbers);
}

static inline size_t wb_state_slot_bytes(size_t streams)
{
	return streams * sizeof(struct wb_state_description) + 2 * wb_state_copy_bytes(streams);
}

static inline size_t wb_state_file_bytes(uint32_t version, size_t workers, size_t streams)
{
	return wb_state_header_bytes(version) + workers * wb_state_slot_bytes(streams);
}

/* CRC of a structure that begins with it. Of the header: as long as its version says. */
uint32_t wb_state_crc(const void *object, size_t size);
uint32_t wb_state_header_crc(const struct wb_state_header *header);

#endif
