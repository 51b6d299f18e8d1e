/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a pcapng file, little-endian on every machine. Section numbers are those of draft-ietf-opsawg-pcapng.
 */
#include "pcapng.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "sink.h"
#include "utf8.h"

enum { BLOCK_INTERFACE = 1, BLOCK_STATISTICS = 5, BLOCK_PACKET = 6 };
#define BLOCK_SECTION 0x0a0d0d0au
#define BYTE_ORDER_MAGIC 0x1a2b3c4du

enum { SHB_HARDWARE = 2, SHB_OS = 3, SHB_USERAPPL = 4 };
enum { IF_NAME = 2, IF_DESCRIPTION = 3, IF_SPEED = 8, IF_TSRESOL = 9, IF_FILTER = 11 };
enum { OPT_COMMENT = 1 };
enum { EPB_FLAGS = 2, EPB_DROPCOUNT = 4, EPB_PACKETID = 5 };
enum { ISB_STARTTIME = 2, ISB_ENDTIME = 3, ISB_IFRECV = 4, ISB_IFDROP = 5, ISB_USRDELIV = 8 };

/* A block that is built in memory; every caller's parts are bounded, and the largest sum fits. */
struct block {
	size_t length;
	uint8_t bytes[WB_PCAPNG_FILTER_BYTES + 4096];
};

static void put_bytes(struct block *block, const void *data, size_t length)
{
	if (length)
		memcpy(block->bytes + block->length, data, length);
	block->length += length;
}

static void put_u16(struct block *block, uint16_t value)
{
	const uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};

	put_bytes(block, bytes, sizeof(bytes));
}

static void set_u32(uint8_t *at, uint32_t value)
{
	for (size_t i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static void put_u32(struct block *block, uint32_t value)
{
	set_u32(block->bytes + block->length, value);
	block->length += 4;
}

static void put_u64(struct block *block, uint64_t value)
{
	put_u32(block, (uint32_t)value);
	put_u32(block, (uint32_t)(value >> 32));
}

/* Timestamps are stored with their upper half first (section 4.3). */
static void put_time(struct block *block, uint64_t time_ns)
{
	put_u32(block, (uint32_t)(time_ns >> 32));
	put_u32(block, (uint32_t)time_ns);
}

static void pad(struct block *block)
{
	while (block->length & 3)
		block->bytes[block->length++] = 0;
}

static void put_option(struct block *block, uint16_t code, const void *value, size_t length)
{
	put_u16(block, code);
	put_u16(block, (uint16_t)length);
	put_bytes(block, value, length);
	pad(block);
}

static void put_option_u64(struct block *block, uint16_t code, uint64_t value)
{
	put_u16(block, code);
	put_u16(block, 8);
	put_u64(block, value);
}

static void put_option_time(struct block *block, uint16_t code, uint64_t time_ns)
{
	put_u16(block, code);
	put_u16(block, 8);
	put_time(block, time_ns);
}

/* UTF-8, as the options must be; what is not is replaced by '?'. Bounded by max bytes. */
static void put_option_text(
	struct block *block, uint16_t code, uint8_t *prefix, const void *text, size_t length, size_t max)
{
	size_t start = block->length, begin, left = length ? wb_utf8_cut(text, length, max) : 0;
	const uint8_t *at = text;

	put_u16(block, code);
	put_u16(block, 0);
	begin = block->length;
	if (prefix)
		put_bytes(block, prefix, 1);
	while (left > 0) {
		uint32_t character = 0;
		size_t n = wb_utf8_decode(at, left, &character);

		if (n && character)
			put_bytes(block, at, n);
		else
			put_bytes(block, "?", 1);
		at += n ? n : 1;
		left -= n ? n : 1;
	}
	block->bytes[start + 2] = (uint8_t)(block->length - begin);
	block->bytes[start + 3] = (uint8_t)((block->length - begin) >> 8);
	pad(block);
}

static void begin_block(struct block *block, uint32_t type)
{
	block->length = 0;
	put_u32(block, type);
	put_u32(block, 0);
}

static int write_block(FILE *stream, struct block *block)
{
	put_u32(block, 0); /* opt_endofopt */
	set_u32(block->bytes + 4, (uint32_t)block->length + 4);
	put_u32(block, (uint32_t)block->length + 4);
	return wb_sink_write(stream, block->bytes, block->length);
}

int wb_pcapng_write_section(FILE *stream)
{
	static const char application[] = "wirebus " WIREBUS_VERSION;
	struct utsname host;
	struct block block;
	char system[sizeof(host.sysname) + sizeof(host.release) + 1];

	begin_block(&block, BLOCK_SECTION);
	put_u32(&block, BYTE_ORDER_MAGIC);
	put_u16(&block, 1); /* version 1.0 */
	put_u16(&block, 0);
	put_u64(&block, UINT64_MAX); /* length of the section: not known */
	if (uname(&host) == 0) {
		int n = snprintf(system, sizeof(system), "%s %s", host.sysname, host.release);

		put_option(&block, SHB_HARDWARE, host.machine, strlen(host.machine));
		put_option(&block, SHB_OS, system, (size_t)n);
	}
	put_option(&block, SHB_USERAPPL, application, sizeof(application) - 1);
	return write_block(stream, &block);
}

int wb_pcapng_write_interface(FILE *stream, const struct wb_pcapng_interface *interface, struct wbproto_view filter)
{
	uint8_t resolution = 9;     /* 10^-9 s */
	uint8_t filter_is_text = 0; /* a libpcap expression follows (section 4.2) */
	struct block block;

	begin_block(&block, BLOCK_INTERFACE);
	put_u16(&block, interface->link_type);
	put_u16(&block, 0);
	put_u32(&block, interface->snap_length);
	if (interface->name_length)
		put_option_text(&block, IF_NAME, NULL, interface->text + interface->node_length, interface->name_length,
			WB_PCAPNG_NAME_BYTES);
	if (interface->node_length)
		put_option_text(
			&block, IF_DESCRIPTION, NULL, interface->text, interface->node_length, WB_PCAPNG_NAME_BYTES);
	if (interface->speed_bps)
		put_option_u64(&block, IF_SPEED, interface->speed_bps);
	put_option(&block, IF_TSRESOL, &resolution, 1);
	if (filter.length)
		put_option_text(&block, IF_FILTER, &filter_is_text, filter.data, filter.length, WB_PCAPNG_FILTER_BYTES);
	return write_block(stream, &block);
}

static int write_frame(FILE *stream, const struct wb_pcapng_packet *packet)
{
	static const uint8_t zeros[4];
	uint32_t padding = -packet->captured_length & 3;
	int r;

	if (packet->has_tag) {
		r = wb_sink_write(stream, packet->data, 12);
		if (r == 0)
			r = wb_sink_write(stream, packet->tag, sizeof(packet->tag));
		if (r == 0)
			r = wb_sink_write(stream, packet->data + 12, packet->captured_length - 16);
	} else {
		r = wb_sink_write(stream, packet->data, packet->captured_length);
	}
	return r < 0 ? r : wb_sink_write(stream, zeros, padding);
}

int wb_pcapng_write_packet(FILE *stream, const struct wb_pcapng_packet *packet)
{
	uint32_t padded = (packet->captured_length + 3) & ~3u, total;
	static const char late[] = "late: a later packet comes before this one";
	uint8_t head[28];
	struct block options;
	int r;

	options.length = 0;
	if (packet->flags) {
		put_u16(&options, EPB_FLAGS);
		put_u16(&options, 4);
		put_u32(&options, packet->flags);
	}
	if (packet->drop_count)
		put_option_u64(&options, EPB_DROPCOUNT, packet->drop_count);
	if (packet->packet_id)
		put_option_u64(&options, EPB_PACKETID, packet->packet_id);
	if (packet->late)
		put_option(&options, OPT_COMMENT, late, sizeof(late) - 1);
	if (options.length)
		put_u32(&options, 0); /* opt_endofopt */
	total = (uint32_t)(sizeof(head) + padded + options.length + 4);
	put_u32(&options, total);

	set_u32(head, BLOCK_PACKET);
	set_u32(head + 4, total);
	set_u32(head + 8, packet->interface_id);
	set_u32(head + 12, (uint32_t)(packet->time_ns >> 32));
	set_u32(head + 16, (uint32_t)packet->time_ns);
	set_u32(head + 20, packet->captured_length);
	set_u32(head + 24, packet->original_length);
	r = wb_sink_write(stream, head, sizeof(head));
	if (r == 0)
		r = write_frame(stream, packet);
	if (r == 0)
		r = wb_sink_write(stream, options.bytes, options.length);
	return r;
}

/* The start of the session, which the counters began with: the time in its UUIDv7 (RFC 9562 section 5.7). */
static uint64_t start_time_ns(const struct wb_pcapng_interface *interface)
{
	uint64_t ms = 0;

	if (interface->session_id[6] >> 4 != 7)
		return interface->first_time_ns;
	for (size_t i = 0; i < 6; i++)
		ms = ms << 8 | interface->session_id[i];
	if (ms > interface->first_time_ns / 1000000)
		return interface->first_time_ns;
	return ms * 1000000;
}

int wb_pcapng_write_statistics(FILE *stream, const struct wb_pcapng_interface *interface)
{
	struct block block;

	begin_block(&block, BLOCK_STATISTICS);
	put_u32(&block, interface->id);
	put_time(&block, interface->last_time_ns);
	put_option_time(&block, ISB_STARTTIME, start_time_ns(interface));
	put_option_time(&block, ISB_ENDTIME, interface->last_time_ns);
	if (interface->has_counters) {
		put_option_u64(&block, ISB_IFRECV, interface->received);
		put_option_u64(&block, ISB_IFDROP, interface->dropped);
	}
	put_option_u64(&block, ISB_USRDELIV, interface->packets);
	return write_block(stream, &block);
}
