/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the pcapng sink: the blocks (pcapng_block.c), and what is known of interfaces and workers (pcapng_tables.c).
 */
#ifndef WB_PCAPNG_H
#define WB_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sink.h"
#include "wbproto.h"

/* Wireshark and libpcap refuse a file with a longer packet. */
#define WB_PCAPNG_MAX_PACKET_BYTES 262144u
#define WB_PCAPNG_NAME_BYTES 255u
#define WB_PCAPNG_FILTER_BYTES 8192u
/* Beyond these, packets share an interface for each link type, and drops of further workers are not attributed. */
#define WB_PCAPNG_MAX_INTERFACES 16384u
#define WB_PCAPNG_MAX_WORKERS 16384u

/* One interface of the file. */
struct wb_pcapng_interface {
	uint32_t id; /* position of its block in the section */
	uint16_t link_type;
	uint32_t snap_length; /* as declared in the file; 0: none */
	uint64_t speed_bps;
	uint8_t session_id[WBPROTO_SESSION_ID_BYTES];
	uint32_t index;
	uint64_t packets; /* written */
	uint64_t first_time_ns;
	uint64_t last_time_ns;
	bool has_counters; /* set by wb_pcapng_sum_counters() */
	uint64_t received; /* what passed the kernel's filter, dropped packets included */
	uint64_t dropped;
	struct wb_pcapng_interface *next; /* in its hash bucket */
	size_t node_length;
	size_t name_length;
	char text[]; /* node, then name */
};

struct wb_pcapng_packet {
	uint32_t interface_id;
	uint64_t time_ns;
	const uint8_t *data;
	uint32_t captured_length; /* the tag included */
	uint32_t original_length; /* the tag included */
	bool has_tag;
	uint8_t tag[4]; /* goes in at offset 12 */
	uint32_t flags;
	uint64_t drop_count;
	uint64_t packet_id; /* 0: none */
	bool late;          /* a later one went before it: said in a comment */
};

/* Blocks. 0 or -errno of the stream. */
int wb_pcapng_write_section(FILE *stream);
int wb_pcapng_write_interface(FILE *stream, const struct wb_pcapng_interface *interface, struct wbproto_view filter);
int wb_pcapng_write_packet(FILE *stream, const struct wb_pcapng_packet *packet);
int wb_pcapng_write_statistics(FILE *stream, const struct wb_pcapng_interface *interface);

struct wb_pcapng_tables;

int wb_pcapng_tables_create(struct wb_pcapng_tables **ret_tables);
void wb_pcapng_tables_destroy(struct wb_pcapng_tables *tables); /* NULL is allowed */
/* The interface of a packet; ret_created: it is new, its block is to be written. Errors: -ENOMEM. */
int wb_pcapng_interface_get(struct wb_pcapng_tables *tables, const struct wbproto_record *record,
	struct wb_pcapng_interface **ret_interface, bool *ret_created);
void wb_pcapng_interface_count(struct wb_pcapng_interface *interface, uint64_t time_ns);
/* Take note of a batch's counters, before its packets. Errors: -ENOMEM. */
int wb_pcapng_note_counters(struct wb_pcapng_tables *tables, const struct wb_sink_batch *batch);
/* Packets that the kernel dropped between the previous packet of this one's worker and this one. */
uint64_t wb_pcapng_take_drops(struct wb_pcapng_tables *tables, const struct wbproto_record *record);
/* Add the workers' counters to their interfaces, at the end; a second time nothing. */
void wb_pcapng_sum_counters(struct wb_pcapng_tables *tables);
/* By id, from 0. NULL: there are no more. */
const struct wb_pcapng_interface *wb_pcapng_interface_at(const struct wb_pcapng_tables *tables, size_t id);

#endif
