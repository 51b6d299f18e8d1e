/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text: one line a packet. Time (UTC, nanoseconds), interface, direction, what is in it, and marks for what is missing.
 * The node is shown (interface@node) once packets of a second one have come.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dissect.h"
#include "line.h"
#include "sink.h"

#define NAME_BYTES 64

struct wb_sink {
	FILE *stream;
	bool any;
	bool several; /* packets of more than one node were seen */
	size_t node_length;
	char node[NAME_BYTES]; /* the first one seen, cut */
	uint64_t second;       /* the one that date is of */
	char date[32];
	struct wb_line line;
};

static void add_time(struct wb_sink *sink, uint64_t time_ns)
{
	uint64_t second = time_ns / 1000000000;

	if (second != sink->second || !sink->date[0]) {
		time_t seconds = (time_t)second; /* below 2^35: cannot overflow */
		struct tm tm;

		if (!gmtime_r(&seconds, &tm) || !strftime(sink->date, sizeof(sink->date), "%Y-%m-%d %H:%M:%S", &tm))
			snprintf(sink->date, sizeof(sink->date), "?");
		sink->second = second;
	}
	wb_line_add(&sink->line, "%s.%09u ", sink->date, (unsigned int)(time_ns % 1000000000));
}

static void note_node(struct wb_sink *sink, struct wbproto_view node)
{
	size_t length = node.length < NAME_BYTES ? node.length : NAME_BYTES;

	if (!sink->any) {
		if (length)
			memcpy(sink->node, node.data, length);
		sink->node_length = length;
		sink->any = true;
	} else if (length != sink->node_length || (length && memcmp(sink->node, node.data, length) != 0)) {
		sink->several = true;
	}
}

static const char *direction(uint32_t flags)
{
	if ((flags & WBPROTO_PACKET_DIRECTION_MASK) == WBPROTO_PACKET_OUTBOUND)
		return "Out";
	switch (flags & (7u << 2)) {
	case WBPROTO_PACKET_BROADCAST:
		return "B";
	case WBPROTO_PACKET_MULTICAST:
		return "M";
	case WBPROTO_PACKET_PROMISCUOUS:
		return "P";
	default:
		return flags & WBPROTO_PACKET_INBOUND ? "In" : "?";
	}
}

/* What is pending in struct virtio_net_hdr (virtio specification 1.2, section 5.1.6). */
static void add_gso(struct wb_line *line, const struct wbproto_packet *packet)
{
	const uint8_t *header = packet->vnet_header;
	unsigned int type = 0;

	if (packet->vnet_header_length >= 10)
		type = header[1] & 0x7f; /* without the bit that announces ECN */
	if (type)
		wb_line_add(line, " [GSO %s of %u]",
			type == 1   ? "TCP4"
			: type == 3 ? "UDP"
			: type == 4 ? "TCP6"
			: type == 5 ? "UDP L4"
				    : "type ?",
			header[4] | (unsigned int)header[5] << 8);
	else if (packet->flags & WBPROTO_PACKET_TSO)
		wb_line_add(line, " [GSO]");
}

static void add_marks(struct wb_line *line, const struct wbproto_packet *packet)
{
	if (packet->captured_length < packet->original_length)
		wb_line_add(line, " [%u of %u bytes]", packet->captured_length, packet->original_length);
	if (packet->status & WBPROTO_PACKET_TRUNCATED)
		wb_line_add(line, " [cut by the ring]");
	add_gso(line, packet);
	if (packet->status & WBPROTO_PACKET_LOSING)
		wb_line_add(line, " [losing]");
}

static int text_open(FILE *stream, struct wb_sink **ret_sink, struct wb_error *ret_error)
{
	struct wb_sink *sink = calloc(1, sizeof(*sink));

	if (!sink)
		return -ENOMEM;
	sink->stream = stream;
	*ret_sink = sink;
	return 0;
}

static int text_packet(struct wb_sink *sink, const struct wbproto_record *record, unsigned int marks)
{
	struct wb_line *line = &sink->line;

	wb_line_clear(line);
	note_node(sink, record->node);
	add_time(sink, record->packet.time_unix_ns);
	if (record->interface.name.length)
		wb_line_add_untrusted(line, record->interface.name, NAME_BYTES);
	else
		wb_line_add(line, "if%u", record->packet.interface_index);
	if (sink->several) {
		wb_line_add(line, "@");
		wb_line_add_untrusted(line, record->node, NAME_BYTES);
	}
	wb_line_add(line, " %-3s ", direction(record->packet.flags));
	wb_dissect(line, record);
	add_marks(line, &record->packet);
	if (marks & WB_SINK_LATE)
		wb_line_add(line, " [late]");
	wb_line_add(line, "\n");
	return wb_sink_write(sink->stream, line->text, line->length);
}

static int text_finish(struct wb_sink *sink)
{
	return wb_sink_flush(sink->stream);
}

static void text_close(struct wb_sink *sink)
{
	free(sink);
}

const struct wb_sink_ops wb_sink_text = {
	.name = "text",
	.open = text_open,
	.packet = text_packet,
	.finish = text_finish,
	.close = text_close,
};
