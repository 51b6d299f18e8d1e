/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON lines: each packet as protobuf's JSON mapping of wirebus.v1.PacketRecord with the schema's own field names.
 * Integers of 64 bits are strings, bytes are base64, and a field at its default is absent, as the mapping has it.
 * A packet that comes late has one key more, which is not of the mapping: "late":true.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sink.h"
#include "utf8.h"

#define CHUNK_BYTES 8192

struct wb_sink {
	FILE *stream;
	int error;   /* the first one of this packet */
	size_t used; /* bytes in chunk */
	bool comma;  /* a field was written before */
	char chunk[CHUNK_BYTES];
};

static void flush_chunk(struct wb_sink *sink)
{
	if (!sink->error)
		sink->error = wb_sink_write(sink->stream, sink->chunk, sink->used);
	sink->used = 0;
}

static void put(struct wb_sink *sink, const char *text, size_t length)
{
	if (length > CHUNK_BYTES - sink->used)
		flush_chunk(sink);
	memcpy(sink->chunk + sink->used, text, length); /* every caller's pieces are far smaller than a chunk */
	sink->used += length;
}

static void put_name(struct wb_sink *sink, const char *name)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%s\"%s\":", sink->comma ? "," : "", name);

	put(sink, text, (size_t)n);
	sink->comma = true;
}

static void put_u32(struct wb_sink *sink, const char *name, uint32_t value)
{
	char text[16];

	if (!value)
		return;
	put_name(sink, name);
	put(sink, text, (size_t)snprintf(text, sizeof(text), "%" PRIu32, value));
}

static void put_u64(struct wb_sink *sink, const char *name, uint64_t value)
{
	char text[32];

	if (!value)
		return;
	put_name(sink, name);
	put(sink, text, (size_t)snprintf(text, sizeof(text), "\"%" PRIu64 "\"", value));
}

static void put_character(struct wb_sink *sink, uint32_t character, const uint8_t *bytes, size_t length)
{
	char text[16];

	if (character == '"' || character == '\\') {
		text[0] = '\\';
		text[1] = (char)character;
		put(sink, text, 2);
	} else if (wb_utf8_harmless(character)) {
		put(sink, (const char *)bytes, length);
	} else {
		/* All of these are below U+10000: one escape is enough. */
		put(sink, text, (size_t)snprintf(text, sizeof(text), "\\u%04x", (unsigned int)(character & 0xffff)));
	}
}

static void put_string(struct wb_sink *sink, const char *name, struct wbproto_view value)
{
	const uint8_t *at = value.data;
	size_t left = value.length;

	if (!left)
		return;
	put_name(sink, name);
	put(sink, "\"", 1);
	while (left > 0) {
		uint32_t character = 0;
		size_t n = wb_utf8_decode(at, left, &character);

		if (n)
			put_character(sink, character, at, n);
		else
			put(sink, "\xef\xbf\xbd", 3); /* U+FFFD */
		at += n ? n : 1;
		left -= n ? n : 1;
	}
	put(sink, "\"", 1);
}

/* Standard alphabet with padding, RFC 4648 section 4. */
static void put_bytes(struct wb_sink *sink, const char *name, const void *data, size_t length)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *at = data;

	if (!length)
		return;
	put_name(sink, name);
	put(sink, "\"", 1);
	for (; length >= 3; at += 3, length -= 3) {
		uint32_t word = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
		char *out;

		if (CHUNK_BYTES - sink->used < 4)
			flush_chunk(sink);
		out = sink->chunk + sink->used;
		out[0] = alphabet[word >> 18];
		out[1] = alphabet[word >> 12 & 63];
		out[2] = alphabet[word >> 6 & 63];
		out[3] = alphabet[word & 63];
		sink->used += 4;
	}
	if (length > 0) {
		uint32_t word = (uint32_t)at[0] << 16 | (length > 1 ? (uint32_t)at[1] << 8 : 0);
		char tail[4] = {alphabet[word >> 18], alphabet[word >> 12 & 63],
			length > 1 ? alphabet[word >> 6 & 63] : '=', '='};

		put(sink, tail, sizeof(tail));
	}
	put(sink, "\"", 1);
}

static void put_record(struct wb_sink *sink, const struct wbproto_record *record)
{
	static const uint8_t no_session[WBPROTO_SESSION_ID_BYTES];
	const struct wbproto_packet *packet = &record->packet;
	const struct wbproto_interface *interface = &record->interface;

	if (memcmp(record->session_id, no_session, sizeof(no_session)) != 0)
		put_bytes(sink, "session_id", record->session_id, sizeof(record->session_id));
	put_u32(sink, "worker_id", record->worker_id);
	put_u32(sink, "stream_id", record->stream_id);
	put_u64(sink, "batch_seq", record->batch_seq);
	put_u64(sink, "packet_seq", record->packet_seq);
	put_string(sink, "node", record->node);
	put_u64(sink, "time_unix_nano", packet->time_unix_ns);
	put_u32(sink, "interface_index", packet->interface_index);
	put_string(sink, "interface_name", interface->name);
	put_u32(sink, "link_type", interface->link_type);
	put_u32(sink, "original_length", packet->original_length);
	put_bytes(sink, "data", packet->data, packet->captured_length);
	put_u32(sink, "flags", packet->flags);
	put_u32(sink, "vlan_tci", packet->vlan_tci);
	put_u32(sink, "vlan_tpid", packet->vlan_tpid);
	put_u32(sink, "rx_hash", packet->rx_hash);
	put_bytes(sink, "vnet_header", packet->vnet_header, packet->vnet_header_length);
	put_u32(sink, "status", packet->status);
	put_u32(sink, "snap_length", interface->snap_length);
	put_string(sink, "filter", interface->filter);
	put_u64(sink, "speed_bps", interface->speed_bps);
	put_u32(sink, "timestamp_source", interface->timestamp_source);
	if (interface->defragmented) {
		put_name(sink, "defragmented");
		put(sink, "true", 4);
	}
	put_u32(sink, "flow_bucket_plus_one", record->flow_bucket_plus_one);
}

static int json_open(FILE *stream, struct wb_sink **ret_sink, struct wb_error *ret_error)
{
	struct wb_sink *sink = calloc(1, sizeof(*sink));

	if (!sink)
		return -ENOMEM;
	sink->stream = stream;
	*ret_sink = sink;
	return 0;
}

static int json_packet(struct wb_sink *sink, const struct wbproto_record *record, unsigned int marks)
{
	sink->error = 0;
	sink->comma = false;
	put(sink, "{", 1);
	put_record(sink, record);
	if (marks & WB_SINK_LATE) {
		put_name(sink, "late");
		put(sink, "true", 4);
	}
	put(sink, "}\n", 2);
	flush_chunk(sink);
	return sink->error;
}

static int json_finish(struct wb_sink *sink)
{
	return wb_sink_flush(sink->stream);
}

static void json_close(struct wb_sink *sink)
{
	free(sink);
}

const struct wb_sink_ops wb_sink_json = {
	.name = "json",
	.open = json_open,
	.packet = json_packet,
	.finish = json_finish,
	.close = json_close,
};
