/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libwbproto: write and read the messages of package wirebus.v1 (see packet_batch.proto, packet_record.proto).
 *
 * Writing appends packets to a batch in the caller's buffer: each captured byte is copied once, and the size of a
 * packet is known before it is added, so the buffer's capacity is a bound that a batch never exceeds.
 *
 *	struct wbproto_encoder *e;
 *	wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &e);
 *	wbproto_encoder_open(e, buffer, sizeof buffer, &batch);
 *	while (wbproto_encoder_append(e, &packet) == 0)
 *		next(&packet);
 *	wbproto_encoder_seal(e, &batch, &size);
 *
 * Reading treats a message as untrusted input and allocates nothing:
 *
 *	struct wbproto_reader r;
 *	if (wbproto_reader_init(&r, message, size) == 0)
 *		while (wbproto_reader_next(&r, &packet) == 1)
 *			use(&r.batch, &packet);
 */
#ifndef WBPROTO_H
#define WBPROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* PacketBatch.flags */
#define WBPROTO_BATCH_HEARTBEAT 1u
#define WBPROTO_BATCH_END_OF_STREAM 2u
#define WBPROTO_BATCH_PREVIOUS_SESSION 4u
#define WBPROTO_BATCH_RECORD_MODE 8u

/* Packet.flags: the flags word of pcapng's Enhanced Packet Block. */
#define WBPROTO_PACKET_INBOUND 1u
#define WBPROTO_PACKET_OUTBOUND 2u
#define WBPROTO_PACKET_DIRECTION_MASK 3u
#define WBPROTO_PACKET_UNICAST (1u << 2)
#define WBPROTO_PACKET_MULTICAST (2u << 2)
#define WBPROTO_PACKET_BROADCAST (3u << 2)
#define WBPROTO_PACKET_PROMISCUOUS (4u << 2)
#define WBPROTO_PACKET_CHECKSUM_NOT_READY (1u << 9)
#define WBPROTO_PACKET_CHECKSUM_VALID (1u << 10)
#define WBPROTO_PACKET_TSO (1u << 11)

/* Packet.status */
#define WBPROTO_PACKET_TRUNCATED 1u
#define WBPROTO_PACKET_LOSING 2u
#define WBPROTO_PACKET_HARDWARE_TIME 4u

/* Interface.timestamp_source */
#define WBPROTO_TIME_SOFTWARE 1u
#define WBPROTO_TIME_HARDWARE 2u

#define WBPROTO_SESSION_ID_BYTES 16
/* The longest vnet_header that the encoder takes and the reader returns. */
#define WBPROTO_VNET_HEADER_BYTES 24

/* A view of bytes that somebody else owns; not terminated. data may be NULL when length is 0. */
struct wbproto_view {
	const void *data;
	size_t length;
};

/* Fields as in packet_batch.proto, message Packet. Views point into the ring (writing) or the message (reading). */
struct wbproto_packet {
	uint64_t time_unix_ns;
	const void *data;
	uint32_t captured_length; /* bytes at data */
	uint32_t original_length;
	uint32_t interface_index;
	uint32_t flags;
	uint32_t rx_hash;
	uint32_t status;
	uint16_t vlan_tci;
	uint16_t vlan_tpid;         /* 0: no tag */
	uint8_t vnet_header_length; /* 0: none */
	const void *vnet_header;
};

/* Fields as in packet_batch.proto, message Interface. */
struct wbproto_interface {
	uint32_t index;
	uint32_t link_type;
	uint32_t snap_length;
	uint32_t timestamp_source;
	uint64_t speed_bps;
	struct wbproto_view name;
	struct wbproto_view filter;
	bool defragmented;
};

/* Fields as in packet_batch.proto, message Counters: packets, but for the last two; cumulative. */
struct wbproto_counters {
	uint64_t kernel_seen;
	uint64_t kernel_dropped;
	uint64_t read;
	uint64_t filtered;
	uint64_t sampled_out;
	uint64_t accepted;
	uint64_t truncated;
	uint64_t recovered;
	uint64_t delivered;
	uint64_t handed_over;
	uint64_t failed;
	uint64_t unknown;
	uint64_t dropped;
	uint64_t open;
	uint64_t in_flight;
	uint64_t spooled;
	uint64_t kernel_freezes;
	uint64_t dropped_too_large;
	uint64_t dropped_no_buffer;
	uint64_t dropped_bus_full;
	uint64_t dropped_shutdown;
	uint64_t dropped_spool_full;
	uint64_t interface_gaps;
	uint64_t interface_gap_ns;
};

/* Everything of a PacketBatch but its packets. */
struct wbproto_batch {
	/* Facts at opening. */
	uint8_t session_id[WBPROTO_SESSION_ID_BYTES]; /* all zero: absent */
	uint32_t worker_id;
	uint32_t stream_id;
	uint64_t batch_seq;
	uint64_t first_packet_seq;
	uint32_t flow_bucket_plus_one;
	struct wbproto_view node;
	/* Writing: the interfaces. Reading: use wbproto_reader_interface(); interfaces is NULL, the count is set. */
	const struct wbproto_interface *interfaces;
	size_t interface_count;
	/* Facts at sealing. Writing: minimum and maximum time are found by the encoder, the values here are ignored. */
	uint64_t min_time_unix_ns;
	uint64_t max_time_unix_ns;
	struct wbproto_counters counters;
	bool has_counters;
	uint32_t flags;
	uint64_t watermark_unix_ns;
};

/* ---- writing ---- */

enum wbproto_encoder_kind {
	WBPROTO_ENCODER_DIRECT = 0,     /* writes wire format straight into the buffer */
	WBPROTO_ENCODER_PROTOBUF_C = 1, /* protobuf-c's generated code: the reference, slower, same bytes */
};

struct wbproto_encoder;

/*
 * Make an encoder.
 * Ownership: the caller's, until wbproto_encoder_destroy(). Threads: one at a time per encoder.
 * Errors: -ENOMEM; -EINVAL for an unknown kind.
 */
int wbproto_encoder_create(enum wbproto_encoder_kind kind, struct wbproto_encoder **ret_encoder);

/* Free an encoder; NULL is allowed. An open batch is forgotten. */
void wbproto_encoder_destroy(struct wbproto_encoder *encoder);

/*
 * Open a batch: write the facts at opening into buffer and reserve room for those at sealing.
 * buffer: capacity bytes, stays the caller's, must live until the batch is sealed or another is opened. The finished
 * batch is never longer than capacity.
 * batch: read during the call only, its strings and interfaces too.
 * Capacity beyond 2 GiB is not used: protobuf has no larger messages.
 * Errors: -EMSGSIZE when capacity is less than wbproto_batch_overhead_bytes(); -EINVAL when node, a name or a filter is
 * not UTF-8 (proto3 strings must be); -ENOMEM (protobuf-c encoder only). Nothing is open afterwards.
 */
int wbproto_encoder_open(
	struct wbproto_encoder *encoder, void *buffer, size_t capacity, const struct wbproto_batch *batch);

/*
 * Append a packet to the open batch, copying captured_length bytes once.
 * packet: read during the call only.
 * Errors: -ENOSPC when it does not fit: nothing was written, seal the batch and open another; -EINVAL when no batch is
 * open or vnet_header_length exceeds WBPROTO_VNET_HEADER_BYTES; -ENOMEM (protobuf-c encoder only).
 * Blocks: never. Formats nothing, allocates nothing (direct encoder).
 */
int wbproto_encoder_append(struct wbproto_encoder *encoder, const struct wbproto_packet *packet);

/*
 * Seal the open batch: write the facts at sealing. ret_size: the message's length in bytes, at most the capacity.
 * Errors: -EINVAL when no batch is open.
 */
int wbproto_encoder_seal(struct wbproto_encoder *encoder, const struct wbproto_batch *batch, size_t *ret_size);

/* Bytes that packet takes in a batch, its tag and length included. */
size_t wbproto_packet_encoded_bytes(const struct wbproto_packet *packet);

/* Upper bound in bytes of a batch with these facts and no packet, whatever is known at sealing. */
size_t wbproto_batch_overhead_bytes(const struct wbproto_batch *batch);

/*
 * Of the open batch, or of the one sealed last until another is opened: packets appended, bytes written so far, least
 * and greatest time (0 without packets).
 */
uint32_t wbproto_encoder_packets(const struct wbproto_encoder *encoder);
size_t wbproto_encoder_bytes(const struct wbproto_encoder *encoder);
uint64_t wbproto_encoder_min_time_ns(const struct wbproto_encoder *encoder);
uint64_t wbproto_encoder_max_time_ns(const struct wbproto_encoder *encoder);

/* ---- reading ---- */

/*
 * Reads one PacketBatch. Public so that it can live on the stack; the fields from `message` on are the reader's own.
 */
struct wbproto_reader {
	struct wbproto_batch batch; /* valid after wbproto_reader_init(); its views point into the message */
	uint64_t packet_count;      /* packets in the message */
	/* Of the packets themselves, whatever the batch says: least and greatest time (0 without packets), and whether
	 * none is earlier than the one before it. */
	uint64_t least_time_unix_ns;
	uint64_t greatest_time_unix_ns;
	bool in_time_order;
	const uint8_t *message;
	const uint8_t *end;
	const uint8_t *next;
	const uint8_t *first_interface;
	const uint8_t *interfaces_end; /* where the last one ends */
	bool scattered; /* there are other fields between its interfaces, so that a lookup walks over them */
};

/*
 * Check the structure of a whole message and read everything but the packets.
 * message: length bytes; must outlive the reader and every view taken from it.
 * Field order is free, unknown fields are skipped, the last of several values wins, and counters that occur several
 * times merge (protobuf's rules). Varints need not be the shortest.
 * Errors: -EBADMSG when it is not a PacketBatch: a length that passes the end of its message, a varint of more than 10
 * bytes (tags and lengths: 5) or 64 bits, field number 0, a group, a wire type that is not the field's, a session_id
 * that is neither empty nor WBPROTO_SESSION_ID_BYTES, a vnet_header that is too long, a value beyond 32 bits in a
 * uint32 field (other parsers cut such values off; this one takes them for damage) or beyond 16 bits in vlan_tci and
 * vlan_tpid, a message of 2 GiB or more. What is inside the packets is checked here too, so wbproto_reader_next()
 * cannot fail later.
 * Not checked: that node, names and filters are UTF-8. They are the sender's bytes, may hold zeros and control
 * characters, and have to be escaped before they go to a terminal or a parser.
 * Threads: any; a reader belongs to one thread at a time. Blocks: never. Allocates nothing.
 */
int wbproto_reader_init(struct wbproto_reader *reader, const void *message, size_t length);

/*
 * The message was copied to another place: go on there, where the reader is now. copy: as many bytes, the same ones.
 * What was taken from the reader before still points into the old place.
 */
void wbproto_reader_move(struct wbproto_reader *reader, const void *copy);

/* Take the next packet. 1: ret_packet is set, its data points into the message. 0: no more. */
int wbproto_reader_next(struct wbproto_reader *reader, struct wbproto_packet *ret_packet);

/*
 * Look up an interface by its index. 0, or -ENOENT when the batch does not name it. Views point into the message.
 * Walks over the interfaces and what lies between them: look each index up once, not once a packet. Of several
 * interfaces with the same index, the first.
 */
int wbproto_reader_interface(
	const struct wbproto_reader *reader, uint32_t index, struct wbproto_interface *ret_interface);

/* Iterate over the interfaces: position from 0 to batch.interface_count - 1. 0, or -ENOENT past the end. */
int wbproto_reader_interface_at(
	const struct wbproto_reader *reader, size_t position, struct wbproto_interface *ret_interface);

/* ---- single packets ---- */

/* Fields as in packet_record.proto: a packet, its interface, and its place in the stream. */
struct wbproto_record {
	uint8_t session_id[WBPROTO_SESSION_ID_BYTES];
	uint32_t worker_id;
	uint32_t stream_id;
	uint64_t batch_seq;
	uint64_t packet_seq;
	uint32_t flow_bucket_plus_one;
	struct wbproto_view node;
	struct wbproto_packet packet;
	struct wbproto_interface interface;
};

/* Bytes that wbproto_record_write() will write. */
size_t wbproto_record_encoded_bytes(const struct wbproto_record *record);

/*
 * Write a PacketRecord.
 * record: the packet's interface_index is what is written, interface.index is ignored.
 * Errors: -ENOSPC when capacity is less than wbproto_record_encoded_bytes(); -EINVAL when node, name or filter is not
 * UTF-8 or the vnet_header is too long. Blocks: never. Allocates nothing.
 */
int wbproto_record_write(const struct wbproto_record *record, void *buffer, size_t capacity, size_t *ret_size);

/*
 * Read a PacketRecord; ret_record's views point into the message, interface.index is set to packet.interface_index.
 * Errors: -EBADMSG as for wbproto_reader_init(); strings are not checked here either.
 */
int wbproto_record_read(const void *message, size_t length, struct wbproto_record *ret_record);

/* Text of a .proto file as built in: "packet_batch.proto" or "packet_record.proto"; NULL for any other name. */
const char *wbproto_schema_text(const char *file_name);

/* The serialized google.protobuf.FileDescriptorSet of both files; ret_size in bytes. */
const void *wbproto_schema_descriptor_set(size_t *ret_size);

#ifdef __cplusplus
}
#endif
#endif
