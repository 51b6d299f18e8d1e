/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcapng (draft-ietf-opsawg-pcapng): one section, an interface for each (session, node, interface index), an enhanced
 * packet block a packet with nanoseconds, direction, drop count and sequence number, statistics at the end.
 *
 * Messages are untrusted, and the file must stay readable whatever they say: lengths are cut to what readers take, the
 * captured length never exceeds the interface's snap length, and the number of interfaces is bounded.
 */
#include "pcapng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sink.h"

enum { LINK_ETHERNET = 1, TAG_OFFSET = 12, TAG_BYTES = 4 };

struct wb_sink {
	FILE *stream;
	struct wb_pcapng_tables *tables;
	bool has_section;       /* its head was written */
	size_t interface_count; /* whose blocks were written */
	bool kept_section;      /* the same, as far as it is in the file whatever comes */
	size_t kept_interface_count;
};

static int write_section(struct wb_sink *sink)
{
	int r = wb_pcapng_write_section(sink->stream);

	sink->has_section = r == 0;
	return r;
}

static int pcapng_open(FILE *stream, struct wb_sink **ret_sink, struct wb_error *ret_error)
{
	struct wb_sink *sink = calloc(1, sizeof(*sink));
	int r;

	if (!sink)
		return -ENOMEM;
	sink->stream = stream;
	r = wb_pcapng_tables_create(&sink->tables);
	if (r == 0)
		r = write_section(sink);
	if (r < 0) {
		wb_pcapng_tables_destroy(sink->tables);
		free(sink);
		return r;
	}
	*ret_sink = sink;
	return 0;
}

static int find_interface(struct wb_sink *sink, const struct wbproto_record *record, struct wb_pcapng_interface **ret)
{
	bool created = false;
	int r = wb_pcapng_interface_get(sink->tables, record, ret, &created);

	if (r == 0 && created) {
		r = wb_pcapng_write_interface(sink->stream, *ret, record->interface.filter);
		sink->interface_count += r == 0;
	}
	return r;
}

/* The length of the block's data, from captured bytes with or without a tag to be put back. */
static uint32_t allowed(const struct wb_pcapng_interface *interface, uint64_t length)
{
	uint64_t limit = interface->snap_length ? interface->snap_length : WB_PCAPNG_MAX_PACKET_BYTES;

	return (uint32_t)(length < limit ? length : limit);
}

static int pcapng_packet(struct wb_sink *sink, const struct wbproto_record *record, unsigned int marks)
{
	const struct wbproto_packet *packet = &record->packet;
	struct wb_pcapng_interface *interface;
	struct wb_pcapng_packet block = {0};
	uint64_t tag = 0, original;
	int r;

	r = find_interface(sink, record, &interface);
	if (r < 0)
		return r;
	if (packet->vlan_tpid && interface->link_type == LINK_ETHERNET && packet->captured_length >= TAG_OFFSET)
		tag = TAG_BYTES;
	block.interface_id = interface->id;
	block.time_ns = packet->time_unix_ns;
	block.data = packet->data;
	block.captured_length = allowed(interface, packet->captured_length + tag);
	original = packet->original_length + tag;
	if (original < packet->captured_length + tag)
		original = packet->captured_length + tag;
	block.original_length = original < UINT32_MAX ? (uint32_t)original : UINT32_MAX;
	/* A snap length too small for the tag: the packet is cut before it. */
	if (tag && block.captured_length >= TAG_OFFSET + TAG_BYTES) {
		block.has_tag = true;
		block.tag[0] = (uint8_t)(packet->vlan_tpid >> 8);
		block.tag[1] = (uint8_t)packet->vlan_tpid;
		block.tag[2] = (uint8_t)(packet->vlan_tci >> 8);
		block.tag[3] = (uint8_t)packet->vlan_tci;
	} else if (tag && block.captured_length > TAG_OFFSET) {
		block.captured_length = TAG_OFFSET;
	}
	block.flags = packet->flags;
	block.late = marks & WB_SINK_LATE;
	block.packet_id = record->packet_seq;
	block.drop_count = wb_pcapng_take_drops(sink->tables, record);
	r = wb_pcapng_write_packet(sink->stream, &block);
	if (r == 0)
		wb_pcapng_interface_count(interface, packet->time_unix_ns);
	return r;
}

static int pcapng_batch(struct wb_sink *sink, const struct wb_sink_batch *batch)
{
	return wb_pcapng_note_counters(sink->tables, batch);
}

static void pcapng_keep(struct wb_sink *sink)
{
	sink->kept_section = sink->has_section;
	sink->kept_interface_count = sink->interface_count;
}

static void pcapng_cut(struct wb_sink *sink)
{
	sink->has_section = sink->kept_section;
	sink->interface_count = sink->kept_interface_count;
}

/* Of interfaces without a block in the file there are no statistics: readers would refuse it. */
static int pcapng_finish(struct wb_sink *sink)
{
	int r = sink->has_section ? 0 : write_section(sink);

	wb_pcapng_sum_counters(sink->tables);
	for (size_t i = 0; r == 0 && i < sink->interface_count; i++)
		r = wb_pcapng_write_statistics(sink->stream, wb_pcapng_interface_at(sink->tables, i));
	return r < 0 ? r : wb_sink_flush(sink->stream);
}

static void pcapng_close(struct wb_sink *sink)
{
	if (!sink)
		return;
	wb_pcapng_tables_destroy(sink->tables);
	free(sink);
}

const struct wb_sink_ops wb_sink_pcapng = {
	.name = "pcapng",
	.open = pcapng_open,
	.packet = pcapng_packet,
	.batch = pcapng_batch,
	.keep = pcapng_keep,
	.cut = pcapng_cut,
	.finish = pcapng_finish,
	.close = pcapng_close,
};
