/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcapng (draft-ietf-opsawg-pcapng): sections of either byte order one after the other, interfaces with their facts,
 * enhanced, simple and the old packet blocks. Other blocks are skipped, however long they are, without being kept.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "capture_file_internal.h"
#include "interface_set.h"
#include "log.h"

enum {
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 2, /* obsolete */
	BLOCK_SIMPLE = 3,
	BLOCK_ENHANCED = 6,
	BLOCK_SECTION = 0x0a0d0d0a,
};

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define BLOCK_HEADER_BYTES 8u
#define BLOCK_TRAILER_BYTES 4u
#define SECTION_BYTES 28u /* least lengths of whole blocks */
#define INTERFACE_BYTES 20u
#define ENHANCED_BYTES 32u /* the old packet block's, too */
#define SIMPLE_BYTES 16u
/* Longest block that is looked into. */
#define MAX_BLOCK_BYTES (WB_CAPTURE_MAX_LONG_PACKET_BYTES + 65536u)
/* A longer capture filter is left out: half of it would mean something else. */
#define MAX_FILTER_BYTES 4096u

enum { OPTION_END = 0, IF_NAME = 2, IF_SPEED = 8, IF_TSRESOL = 9, IF_FILTER = 11, IF_FCSLEN = 13, IF_TSOFFSET = 14 };
enum { EPB_FLAGS = 2, EPB_DROPCOUNT = 4 };
enum { FILTER_IS_TEXT = 0 };

#define NS_PER_S 1000000000u
#define RESOLUTION_BINARY 0x80u
#define RESOLUTION_MICROSECONDS 6u
#define RESOLUTION_NANOSECONDS 9u
#define EPB_FLAGS_FCS_SHIFT 5u

/* A whole block in the buffer. */
struct block {
	const uint8_t *at;
	uint32_t type;
	uint32_t length;
};

/* Bounds-checked walk over the options of a block. */
struct walk {
	const struct wb_capture_file *file;
	const uint8_t *begin; /* of the block */
	const uint8_t *next, *end;
};

struct option {
	uint16_t code;
	uint16_t length;
	const uint8_t *value;
};

static struct walk walk_options(const struct wb_capture_file *file, const struct block *block, uint32_t from)
{
	return (struct walk){file, block->at, block->at + from, block->at + block->length - BLOCK_TRAILER_BYTES};
}

/* 1: an option; 0: no more; -EBADMSG. */
static int next_option(struct walk *walk, struct option *ret, struct wb_error *ret_error)
{
	size_t left = (size_t)(walk->end - walk->next), padded;

	if (left < 4)
		return left == 0 ? 0
		                 : wb_capture_damage(walk->file, (uint64_t)(walk->next - walk->begin), ret_error,
					   "%zu bytes follow a block's options; an option has at least four", left);
	*ret = (struct option){
		wb_capture_16(walk->file, walk->next), wb_capture_16(walk->file, walk->next + 2), walk->next + 4};
	if (ret->code == OPTION_END)
		return 0;
	padded = (ret->length + 3u) & ~(size_t)3;
	if (padded > left - 4)
		return wb_capture_damage(walk->file, (uint64_t)(walk->next - walk->begin), ret_error,
			"option %u has %u bytes; the block has only %zu left", ret->code, ret->length, left - 4);
	walk->next += 4 + padded;
	return 1;
}

/* ---- sections and interfaces ---- */

static int read_section(struct wb_capture_file *file, const struct block *block, struct wb_error *ret_error)
{
	uint16_t major = wb_capture_16(file, block->at + 12);

	if (major != 1)
		return wb_capture_damage(file, 12, ret_error, "version %u of the pcapng format; 1 is known", major);
	wb_capture_forget_interfaces(file);
	return 0;
}

/* A copy of a text up to its first zero. The first one counts, another is left alone. Errors: -ENOMEM. */
static int take_text(const uint8_t *bytes, size_t length, char **text, struct wbproto_view *ret_view)
{
	if (*text)
		return 0;
	*text = strndup((const char *)bytes, length);
	if (!*text)
		return -ENOMEM;
	*ret_view = (struct wbproto_view){*text, strlen(*text)};
	return 0;
}

static int take_interface_option(
	const struct wb_capture_file *file, const struct option *option, struct wb_capture_interface *interface)
{
	switch (option->code) {
	case IF_NAME:
		if (option->length == 0)
			return 0;
		return take_text(option->value,
			option->length < WB_INTERFACE_NAME_BYTES ? option->length : WB_INTERFACE_NAME_BYTES,
			&interface->name, &interface->facts.name);
	case IF_FILTER:
		if (option->length < 2 || option->length > MAX_FILTER_BYTES || option->value[0] != FILTER_IS_TEXT)
			return 0;
		return take_text(option->value + 1, option->length - 1u, &interface->filter, &interface->facts.filter);
	case IF_SPEED:
		if (option->length == 8)
			interface->facts.speed_bps = wb_capture_64(file, option->value);
		return 0;
	case IF_TSRESOL:
		if (option->length == 1)
			interface->resolution = option->value[0];
		return 0;
	case IF_TSOFFSET:
		if (option->length == 8)
			interface->offset_s = (int64_t)wb_capture_64(file, option->value);
		return 0;
	case IF_FCSLEN:
		if (option->length == 1)
			interface->fcs_flags = (option->value[0] & 0xfu) << EPB_FLAGS_FCS_SHIFT;
		return 0;
	default:
		return 0;
	}
}

static int read_interface(struct wb_capture_file *file, const struct block *block, struct wb_error *ret_error)
{
	struct walk walk = walk_options(file, block, 16);
	struct wb_capture_interface *interface;
	struct option option;
	int r = wb_capture_add_interface(file, &interface);

	if (r == -E2BIG)
		return wb_capture_damage(
			file, 0, ret_error, "more than %u interfaces in a section", WB_CAPTURE_MAX_INTERFACES);
	if (r < 0)
		return wb_fail(ret_error, r, "%s: out of memory", wb_capture_file_path(file));
	interface->facts.link_type = wb_capture_16(file, block->at + 8);
	interface->facts.snap_length = wb_capture_32(file, block->at + 12);
	interface->resolution = RESOLUTION_MICROSECONDS;
	while ((r = next_option(&walk, &option, ret_error)) == 1) {
		r = take_interface_option(file, &option, interface);
		if (r < 0)
			return wb_fail(ret_error, r, "%s: out of memory", wb_capture_file_path(file));
	}
	return r;
}

/* ---- packets ---- */

static unsigned __int128 power_of_ten(unsigned int exponent)
{
	unsigned __int128 power = 1;

	while (exponent--)
		power *= 10;
	return power;
}

/* Ticks of 10^-resolution or 2^-resolution s as ns, rounded down. */
static unsigned __int128 ticks_to_ns(uint8_t resolution, uint64_t ticks)
{
	unsigned int exponent = resolution & ~RESOLUTION_BINARY;

	if (resolution & RESOLUTION_BINARY)
		return exponent < 128 ? ((unsigned __int128)ticks * NS_PER_S) >> exponent : 0;
	if (exponent <= RESOLUTION_NANOSECONDS)
		return ticks * power_of_ten(RESOLUTION_NANOSECONDS - exponent);
	/* 64 bits of ticks are less than 10^20. */
	exponent -= RESOLUTION_NANOSECONDS;
	return exponent < 20 ? ticks / power_of_ten(exponent) : 0;
}

static int time_of(const struct wb_capture_file *file, const struct wb_capture_interface *interface, const uint8_t *at,
	uint64_t *ret_ns, struct wb_error *ret_error)
{
	uint64_t ticks = (uint64_t)wb_capture_32(file, at) << 32 | wb_capture_32(file, at + 4);
	__int128 ns;

	if (interface->resolution == RESOLUTION_NANOSECONDS && interface->offset_s == 0) {
		*ret_ns = ticks;
		return 0;
	}
	ns = (__int128)ticks_to_ns(interface->resolution, ticks) + (__int128)interface->offset_s * NS_PER_S;
	if (ns < 0 || ns > UINT64_MAX)
		return wb_capture_damage(file, 0, ret_error,
			"a packet at %" PRIu64 " ticks (if_tsresol %u, if_tsoffset %" PRId64
			"); times must lie between 1970 and 2554",
			ticks, interface->resolution, interface->offset_s);
	*ret_ns = (uint64_t)ns;
	return 0;
}

static int check_captured(const struct wb_capture_file *file, const struct wb_capture_interface *interface,
	uint32_t captured, uint32_t room, struct wb_error *ret_error)
{
	uint32_t limit = wb_capture_limit(interface->facts.link_type);

	if (captured > room)
		return wb_capture_damage(file, 0, ret_error,
			"a packet of %" PRIu32 " bytes in a block with room for %" PRIu32, captured, room);
	if (captured > limit)
		return wb_capture_damage(file, 0, ret_error,
			"a packet of %" PRIu32 " bytes; %" PRIu32 " is the most for link type %" PRIu32, captured,
			limit, interface->facts.link_type);
	return 0;
}

/* NULL: none, with a message. */
static struct wb_capture_interface *find_interface(
	struct wb_capture_file *file, uint32_t id, struct wb_error *ret_error)
{
	if (id < file->interface_count)
		return &file->interfaces[id];
	wb_capture_damage(file, 8, ret_error, "a packet of interface %" PRIu32 "; the section has described %" PRIu32,
		id, file->interface_count);
	return NULL;
}

static void fill(struct wb_capture_file *file, struct wb_capture_interface *interface, const uint8_t *data,
	uint32_t captured, uint32_t original, struct wb_captured *ret)
{
	if (interface->facts.snap_length && captured > interface->facts.snap_length)
		wb_capture_outgrow(file, interface);
	*ret = (struct wb_captured){
		.packet = {.data = data,
			.captured_length = captured,
			.original_length = original,
			.interface_index = interface->facts.index,
			.flags = interface->fcs_flags},
		.interface = &interface->facts,
	};
}

static int take_packet_options(const struct wb_capture_file *file, const struct block *block, uint32_t from,
	struct wb_captured *captured, struct wb_error *ret_error)
{
	struct walk walk = walk_options(file, block, from);
	struct option option = {0};
	int r;

	while ((r = next_option(&walk, &option, ret_error)) == 1) {
		if (option.code == EPB_FLAGS && option.length == 4)
			captured->packet.flags = wb_capture_32(file, option.value);
		else if (option.code == EPB_DROPCOUNT && option.length == 8 && block->type == BLOCK_ENHANCED)
			captured->lost = wb_capture_64(file, option.value);
	}
	return r;
}

/* An enhanced packet block, or an old one: that has a drop count beside the interface, of 16 bits each. */
static int read_packet(struct wb_capture_file *file, const struct block *block, struct wb_captured *ret_captured,
	struct wb_error *ret_error)
{
	bool old = block->type == BLOCK_PACKET;
	uint32_t id = old ? wb_capture_16(file, block->at + 8) : wb_capture_32(file, block->at + 8);
	uint32_t captured = wb_capture_32(file, block->at + 20), original = wb_capture_32(file, block->at + 24);
	struct wb_capture_interface *interface = find_interface(file, id, ret_error);
	uint64_t time_ns = 0;
	int r;

	if (!interface)
		return -EBADMSG;
	r = check_captured(file, interface, captured, block->length - ENHANCED_BYTES, ret_error);
	if (r == 0)
		r = time_of(file, interface, block->at + 12, &time_ns, ret_error);
	if (r < 0)
		return r;
	fill(file, interface, block->at + 28, captured, original, ret_captured);
	ret_captured->packet.time_unix_ns = time_ns;
	if (old && wb_capture_16(file, block->at + 10) != UINT16_MAX) /* the greatest: not known */
		ret_captured->lost = wb_capture_16(file, block->at + 10);
	r = take_packet_options(file, block, 28 + ((captured + 3) & ~3u), ret_captured, ret_error);
	return r < 0 ? r : 1;
}

/* A simple packet block: of the first interface, as much as its snap length says. It has no time: the last one's. */
static int read_simple(struct wb_capture_file *file, const struct block *block, struct wb_captured *ret_captured,
	struct wb_error *ret_error)
{
	uint32_t original = wb_capture_32(file, block->at + 8), captured = original;
	struct wb_capture_interface *interface = find_interface(file, 0, ret_error);
	int r;

	if (!interface)
		return -EBADMSG;
	if (interface->facts.snap_length && captured > interface->facts.snap_length)
		captured = interface->facts.snap_length;
	r = check_captured(file, interface, captured, block->length - SIMPLE_BYTES, ret_error);
	if (r < 0)
		return r;
	fill(file, interface, block->at + 12, captured, original, ret_captured);
	ret_captured->packet.time_unix_ns = file->last_time_ns;
	return 1;
}

/* ---- blocks ---- */

/* 0: nothing least is known of it, it is skipped. */
static uint32_t least_length(uint32_t type)
{
	switch (type) {
	case BLOCK_SECTION:
		return SECTION_BYTES;
	case BLOCK_INTERFACE:
		return INTERFACE_BYTES;
	case BLOCK_PACKET:
	case BLOCK_ENHANCED:
		return ENHANCED_BYTES;
	case BLOCK_SIMPLE:
		return SIMPLE_BYTES;
	default:
		return 0;
	}
}

/* A section says in which byte order everything is written that follows, its own length included. */
static int find_order(struct wb_capture_file *file, int timeout_ms, struct wb_error *ret_error)
{
	const uint8_t *at;
	uint32_t magic;
	int r = wb_capture_need(file, 12, timeout_ms, "a section's header", ret_error);

	if (r != 1)
		return r;
	at = wb_capture_input_at(&file->input) + 8;
	memcpy(&magic, at, sizeof magic);
	file->swapped = magic != BYTE_ORDER_MAGIC;
	if (wb_capture_32(file, at) != BYTE_ORDER_MAGIC)
		return wb_capture_damage(file, 8, ret_error,
			"a section whose byte order is said by %02x %02x %02x %02x; it must be 1a 2b 3c 4d, or "
			"reversed",
			at[0], at[1], at[2], at[3]);
	return 1;
}

static int check_length(const struct wb_capture_file *file, const struct block *block, struct wb_error *ret_error)
{
	uint32_t least = least_length(block->type);

	if (block->length < BLOCK_HEADER_BYTES + BLOCK_TRAILER_BYTES || block->length < least || block->length % 4)
		return wb_capture_damage(file, 4, ret_error,
			"a block of type %" PRIu32 " with length %" PRIu32
			"; it must be a multiple of 4 and at least %" PRIu32,
			block->type, block->length, least ? least : BLOCK_HEADER_BYTES + BLOCK_TRAILER_BYTES);
	if (least && block->length > MAX_BLOCK_BYTES)
		return wb_capture_damage(file, 4, ret_error,
			"a block of type %" PRIu32 " with length %" PRIu32 "; %u is the most that is read", block->type,
			block->length, MAX_BLOCK_BYTES);
	return 0;
}

/* The length stands at a block's end once more. at: there. inside: of it, for the message. */
static int check_trailer(const struct wb_capture_file *file, const uint8_t *at, uint64_t inside, uint32_t length,
	struct wb_error *ret_error)
{
	uint32_t again = wb_capture_32(file, at);

	if (again == length)
		return 0;
	return wb_capture_damage(file, inside, ret_error,
		"a block has length %" PRIu32 " in front and %" PRIu32 " at its end", length, again);
}

/* Go on skipping. 1: done; otherwise as wb_capture_need(). */
static int skip(struct wb_capture_file *file, int timeout_ms, struct wb_error *ret_error)
{
	while (file->skip > 0) {
		int r = wb_capture_input_need(&file->input, 1, timeout_ms);
		size_t left = wb_capture_input_left(&file->input);

		if (r == -ENODATA)
			return wb_capture_damage(file, 0, ret_error,
				"the file ends inside a block, %" PRIu64 " bytes before its end", file->skip);
		if (r < 0)
			return wb_fail(ret_error, r, "%s: %s", wb_capture_file_path(file), strerror(-r));
		if (r == 0)
			return 0;
		if (left > file->skip)
			left = (size_t)file->skip;
		wb_capture_input_take(&file->input, left);
		file->skip -= left;
	}
	return 1;
}

/* The next block, whole, of a type that is looked into. 1; or as wb_capture_need(). */
static int next_block(struct wb_capture_file *file, int timeout_ms, struct block *ret, struct wb_error *ret_error)
{
	for (;;) {
		const uint8_t *at;
		int r = skip(file, timeout_ms, ret_error);

		if (r == 1)
			r = wb_capture_need(file, BLOCK_HEADER_BYTES, timeout_ms, "a block's header", ret_error);
		if (r != 1)
			return r;
		memcpy(&ret->type, wb_capture_input_at(&file->input), sizeof ret->type);
		if (ret->type == BLOCK_SECTION)
			r = find_order(file, timeout_ms, ret_error);
		if (r != 1)
			return r;
		at = wb_capture_input_at(&file->input);
		ret->type = wb_capture_32(file, at);
		ret->length = wb_capture_32(file, at + 4);
		r = check_length(file, ret, ret_error);
		if (r < 0)
			return r;
		if (least_length(ret->type))
			break;
		file->skip = ret->length;
	}
	return 1;
}

/* 1: a packet; 0: something else. */
static int read_block(struct wb_capture_file *file, const struct block *block, struct wb_captured *ret_captured,
	struct wb_error *ret_error)
{
	switch (block->type) {
	case BLOCK_SECTION:
		return read_section(file, block, ret_error);
	case BLOCK_INTERFACE:
		return read_interface(file, block, ret_error);
	case BLOCK_SIMPLE:
		return read_simple(file, block, ret_captured, ret_error);
	default:
		return read_packet(file, block, ret_captured, ret_error);
	}
}

int wb_capture_pcapng_read(
	struct wb_capture_file *file, int timeout_ms, struct wb_captured *ret_captured, struct wb_error *ret_error)
{
	for (;;) {
		struct block block;
		int r = next_block(file, timeout_ms, &block, ret_error);

		if (r == 1)
			r = wb_capture_need(file, block.length, timeout_ms, "a block", ret_error);
		if (r != 1)
			return r;
		block.at = wb_capture_input_at(&file->input);
		r = check_trailer(file, block.at + block.length - BLOCK_TRAILER_BYTES,
			block.length - BLOCK_TRAILER_BYTES, block.length, ret_error);
		if (r == 0)
			r = read_block(file, &block, ret_captured, ret_error);
		if (r < 0)
			return r;
		if (r == 1) {
			file->pending = block.length;
			return 1;
		}
		wb_capture_input_take(&file->input, block.length);
	}
}
