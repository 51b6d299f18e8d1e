/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcap with nanoseconds (draft-ietf-opsawg-pcap): for tools that read nothing newer. One link type a file, that of the
 * first packet; one of another type is an error that names pcapng, not something to leave out without a word.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "sink.h"

#define MAGIC_NS 0xa1b23c4du
#define SNAP_BYTES 262144u /* beyond, libpcap takes a packet for damage */

enum { LINK_ETHERNET = 1, LINK_USER0 = 147, TAG_OFFSET = 12, TAG_BYTES = 4 };

struct wb_sink {
	FILE *stream;
	bool any;  /* its head was written */
	bool kept; /* and is in the file whatever comes */
	uint32_t link_type;
};

static void set_u32(uint8_t *at, uint32_t value)
{
	for (size_t i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static int pcap_open(FILE *stream, struct wb_sink **ret_sink, struct wb_error *ret_error)
{
	struct wb_sink *sink = calloc(1, sizeof(*sink));

	if (!sink)
		return -ENOMEM;
	sink->stream = stream;
	sink->link_type = LINK_ETHERNET;
	*ret_sink = sink;
	return 0;
}

static int write_head(struct wb_sink *sink)
{
	uint8_t head[24] = {0};

	set_u32(head, MAGIC_NS);
	head[4] = 2; /* version 2.4 */
	head[6] = 4;
	set_u32(head + 16, SNAP_BYTES);
	set_u32(head + 20, sink->link_type);
	sink->any = true;
	return wb_sink_write(sink->stream, head, sizeof(head));
}

/* As in pcapng: what is not known, or has no number that fits, is of a type for private use. */
static uint32_t link_type_of(const struct wbproto_interface *interface)
{
	bool known = interface->index || interface->link_type || interface->name.length;

	return known && interface->link_type <= UINT16_MAX ? interface->link_type : LINK_USER0;
}

static int check_link_type(struct wb_sink *sink, uint32_t link_type)
{
	if (!sink->any) {
		sink->link_type = link_type;
		return write_head(sink);
	}
	if (link_type == sink->link_type)
		return 0;
	wb_log(WB_LOG_ERROR,
		"a pcap file has packets of one link type, and after type %u comes one of type %u: write pcapng, or "
		"leave "
		"others out with a filter",
		sink->link_type, link_type);
	return -EPROTOTYPE;
}

static int write_frame(struct wb_sink *sink, const struct wbproto_packet *packet, uint32_t captured, bool tagged)
{
	const uint8_t tag[TAG_BYTES] = {(uint8_t)(packet->vlan_tpid >> 8), (uint8_t)packet->vlan_tpid,
		(uint8_t)(packet->vlan_tci >> 8), (uint8_t)packet->vlan_tci};
	const uint8_t *data = packet->data;
	int r;

	if (!tagged)
		return wb_sink_write(sink->stream, data, captured);
	r = wb_sink_write(sink->stream, data, TAG_OFFSET);
	if (r == 0)
		r = wb_sink_write(sink->stream, tag, sizeof(tag));
	return r < 0 ? r : wb_sink_write(sink->stream, data + TAG_OFFSET, captured - TAG_OFFSET - TAG_BYTES);
}

static int pcap_packet(struct wb_sink *sink, const struct wbproto_record *record, unsigned int marks)
{
	const struct wbproto_packet *packet = &record->packet;
	int r = check_link_type(sink, link_type_of(&record->interface));
	bool tagged = packet->vlan_tpid && sink->link_type == LINK_ETHERNET && packet->captured_length >= TAG_OFFSET;
	uint64_t captured = (uint64_t)packet->captured_length + (tagged ? TAG_BYTES : 0);
	uint64_t original = (uint64_t)packet->original_length + (tagged ? TAG_BYTES : 0);
	uint64_t seconds = packet->time_unix_ns / 1000000000;
	uint8_t head[16];

	(void)marks;
	if (r < 0)
		return r;
	if (original < captured)
		original = captured;
	if (captured > SNAP_BYTES)
		captured = SNAP_BYTES;
	set_u32(head, seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX); /* until 2106 */
	set_u32(head + 4, (uint32_t)(packet->time_unix_ns % 1000000000));
	set_u32(head + 8, (uint32_t)captured);
	set_u32(head + 12, original < UINT32_MAX ? (uint32_t)original : UINT32_MAX);
	r = wb_sink_write(sink->stream, head, sizeof(head));
	return r < 0 ? r : write_frame(sink, packet, (uint32_t)captured, tagged);
}

static void pcap_keep(struct wb_sink *sink)
{
	sink->kept = sink->any;
}

static void pcap_cut(struct wb_sink *sink)
{
	sink->any = sink->kept;
}

static int pcap_finish(struct wb_sink *sink)
{
	int r = sink->any ? 0 : write_head(sink);

	return r < 0 ? r : wb_sink_flush(sink->stream);
}

static void pcap_close_sink(struct wb_sink *sink)
{
	free(sink);
}

const struct wb_sink_ops wb_sink_pcap = {
	.name = "pcap",
	.open = pcap_open,
	.packet = pcap_packet,
	.keep = pcap_keep,
	.cut = pcap_cut,
	.finish = pcap_finish,
	.close = pcap_close_sink,
};
