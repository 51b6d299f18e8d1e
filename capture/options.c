/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults, and the rules that the kernel would otherwise answer with a bare EINVAL. */
#include "internal.h"

#include <limits.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_BLOCK_BYTES (1u << 20)
#define DEFAULT_BLOCK_COUNT 64u
#define DEFAULT_FRAME_BYTES 4096u
#define DEFAULT_RETIRE_MS 10u
#define DEFAULT_SNAP_LENGTH 262144u

/* The kernel kept the retire time in 16 bit until Linux 6.18 and cut off the rest in silence. */
#define MAX_RETIRE_MS 65535u

#define MAX_RESERVE_SOCKETS 64u
#define LONG_VNET_HEADER_BYTES 12u

/* IPv4's total length, and an Ethernet header with a tag. */
#define MAX_DATAGRAM_BYTES (65535u + 18u)
/* In front of a frame in a block of V3. */
#define BLOCK_OVERHEAD_BYTES 130u

void tpacket_options_init(struct tpacket_options *options)
{
	*options = (struct tpacket_options){
		.protocol = ETH_P_ALL,
		.frame_bytes = DEFAULT_FRAME_BYTES,
		.block_bytes = DEFAULT_BLOCK_BYTES,
		.block_count = DEFAULT_BLOCK_COUNT,
		.retire_ms = DEFAULT_RETIRE_MS,
		.snap_length = DEFAULT_SNAP_LENGTH,
		.flow_hash = true,
		.shrink = true,
		.vnet_header_bytes = VNET_HEADER_BYTES,
		.filter_fd = -1,
		.fanout = TPACKET_FANOUT_NONE,
		.fanout_program_fd = -1,
	};
}

static bool has_interface(const struct tpacket_options *options)
{
	return options->interface && options->interface[0];
}

static int check_interface(const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	if (has_interface(options) && strlen(options->interface) >= IFNAMSIZ)
		return tpk_refuse(ret_error, "interface: '%.64s': a name has at most %d characters", options->interface,
			IFNAMSIZ - 1);
	if (!has_interface(options) && options->promiscuous)
		return tpk_refuse(ret_error, "promiscuous: true: needs one interface, not all");
	if (!has_interface(options) && options->all_multicast)
		return tpk_refuse(ret_error, "all_multicast: true: needs one interface, not all");
	if (options->netns && !options->netns[0])
		return tpk_refuse(ret_error, "netns: '': must be the path of a network namespace, or NULL");
	return 0;
}

static int check_reopen(const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	if (options->reopen && !has_interface(options))
		return tpk_refuse(ret_error, "reopen: true: needs the name of one interface to look for");
	if (options->reserve_sockets > MAX_RESERVE_SOCKETS)
		return tpk_refuse(ret_error, "reserve_sockets: %u: must be at most %u", options->reserve_sockets,
			MAX_RESERVE_SOCKETS);
	if (options->reserve_sockets && !options->reopen)
		return tpk_refuse(ret_error, "reserve_sockets: %u: needs reopen: true", options->reserve_sockets);
	return 0;
}

static int check_socket(const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	if (options->socket_type != TPACKET_SOCKET_RAW && options->socket_type != TPACKET_SOCKET_DGRAM)
		return tpk_refuse(ret_error, "socket_type: %d: must be %d (raw) or %d (dgram)",
			(int)options->socket_type, TPACKET_SOCKET_RAW, TPACKET_SOCKET_DGRAM);
	if (options->protocol == 0)
		return tpk_refuse(
			ret_error, "protocol: 0: nothing would be received; 0x%04x means every protocol", ETH_P_ALL);
	if (options->vnet_header && options->socket_type == TPACKET_SOCKET_DGRAM)
		return tpk_refuse(ret_error, "vnet_header: true: needs socket_type raw");
	if (options->vnet_header_bytes != VNET_HEADER_BYTES && options->vnet_header_bytes != LONG_VNET_HEADER_BYTES)
		return tpk_refuse(ret_error, "vnet_header_bytes: %u: must be %u, or %u with num_buffers",
			options->vnet_header_bytes, VNET_HEADER_BYTES, LONG_VNET_HEADER_BYTES);
	if (options->timestamp != TPACKET_TIMESTAMP_SOFTWARE && options->timestamp != TPACKET_TIMESTAMP_HARDWARE)
		return tpk_refuse(ret_error, "timestamp: %d: must be %d (software) or %d (hardware)",
			(int)options->timestamp, TPACKET_TIMESTAMP_SOFTWARE, TPACKET_TIMESTAMP_HARDWARE);
	return 0;
}

static int check_vlan(
	const struct tpacket_options *options, const struct tpk_ring_ops *ops, struct tpacket_error *ret_error)
{
	if (options->vlan == TPACKET_VLAN_METADATA)
		return 0;
	if (options->vlan != TPACKET_VLAN_INSERT)
		return tpk_refuse(ret_error, "vlan: %d: must be %d (metadata) or %d (insert)", (int)options->vlan,
			TPACKET_VLAN_METADATA, TPACKET_VLAN_INSERT);
	if (ops->version == TPACKET_VERSION_1)
		return tpk_refuse(ret_error, "vlan: insert: needs version 2 or 3, as TPACKET_V1 does not tell the tag");
	if (options->socket_type != TPACKET_SOCKET_RAW)
		return tpk_refuse(ret_error, "vlan: insert: needs socket_type raw, as dgram leaves out where it was");
	return 0;
}

static int check_frame(
	const struct tpacket_options *options, const struct tpk_ring_ops *ops, struct tpacket_error *ret_error)
{
	uint32_t bytes = options->frame_bytes;

	if (bytes < ops->min_frame_bytes)
		return tpk_refuse(ret_error, "frame_bytes: %u: must be at least %u (TPACKET_V%d)", bytes,
			ops->min_frame_bytes, (int)ops->version);
	if (bytes % TPACKET_ALIGNMENT)
		return tpk_refuse(ret_error, "frame_bytes: %u: must be a multiple of %d", bytes, TPACKET_ALIGNMENT);
	if (bytes > options->block_bytes)
		return tpk_refuse(
			ret_error, "frame_bytes: %u: must not exceed block_bytes (%u)", bytes, options->block_bytes);
	return 0;
}

static int check_blocks(const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	uint32_t page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
	uint32_t bytes = options->block_bytes;

	if (bytes == 0 || bytes % page_bytes)
		return tpk_refuse(
			ret_error, "block_bytes: %u: must be a multiple of the page size (%u)", bytes, page_bytes);
	if (bytes > INT_MAX)
		return tpk_refuse(ret_error, "block_bytes: %u: must be less than 2 GiB", bytes);
	if (options->block_count == 0)
		return tpk_refuse(ret_error, "block_count: 0: must be at least 1");
	return 0;
}

/*
 * Rules between frames and blocks, once both are plausible. One more of V3, that a block holds its own header and that
 * of one frame, is kept by every block of whole pages.
 */
static int check_ring(const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	uint64_t frames = (uint64_t)(options->block_bytes / options->frame_bytes) * options->block_count;

	if (options->block_bytes % options->frame_bytes)
		return tpk_refuse(ret_error, "block_bytes: %u: must be a multiple of frame_bytes (%u)",
			options->block_bytes, options->frame_bytes);
	if (frames > UINT32_MAX)
		return tpk_refuse(ret_error,
			"block_count: %u: blocks of %u bytes hold %llu frames of %u bytes together, more than %u",
			options->block_count, options->block_bytes, (unsigned long long)frames, options->frame_bytes,
			UINT32_MAX);
	if ((uint64_t)options->block_bytes * options->block_count > SIZE_MAX / 2)
		return tpk_refuse(ret_error, "block_count: %u: blocks of %u bytes exceed the address space",
			options->block_count, options->block_bytes);
	return 0;
}

static int check_numbers(
	const struct tpacket_options *options, const struct tpk_ring_ops *ops, struct tpacket_error *ret_error)
{
	/* Frames are handed over at once. */
	if (ops->has_blocks && (options->retire_ms == 0 || options->retire_ms > MAX_RETIRE_MS))
		return tpk_refuse(
			ret_error, "retire_ms: %u: must be between 1 and %u", options->retire_ms, MAX_RETIRE_MS);
	if (options->snap_length == 0)
		return tpk_refuse(ret_error, "snap_length: 0: must be at least 1, as 0 would reject every packet");
	return 0;
}

static int check_filter(const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	if (options->filter && (options->filter_length == 0 || options->filter_length > BPF_MAXINSNS))
		return tpk_refuse(ret_error, "filter_length: %u: a filter has between 1 and %d instructions",
			options->filter_length, BPF_MAXINSNS);
	if (!options->filter && options->filter_length)
		return tpk_refuse(ret_error, "filter_length: %u: must be 0 without a filter", options->filter_length);
	if (options->filter_fd < -1)
		return tpk_refuse(ret_error, "filter_fd: %d: must be a descriptor, or -1 for none", options->filter_fd);
	if (options->filter && options->filter_fd >= 0)
		return tpk_refuse(ret_error, "filter_fd: %d: must be -1 with a filter, as a socket has one program",
			options->filter_fd);
	return 0;
}

/*
 * A datagram that was put together can have 65,535 bytes. A slot of V1 and V2 is known to cut what is longer; that a
 * block cuts, too, is not expected.
 */
static int check_defrag(
	const struct tpacket_options *options, const struct tpk_ring_ops *ops, struct tpacket_error *ret_error)
{
	uint32_t longest = options->snap_length < MAX_DATAGRAM_BYTES ? options->snap_length : MAX_DATAGRAM_BYTES;

	if (options->fanout == TPACKET_FANOUT_NONE || !(options->fanout_flags & TPACKET_FANOUT_DEFRAG) ||
		!ops->has_blocks || options->block_bytes >= longest + BLOCK_OVERHEAD_BYTES)
		return 0;
	return tpk_refuse(ret_error,
		"block_bytes: %u: must be at least %u with fanout_flags defrag (0x%x): packets of up to %u bytes",
		options->block_bytes, longest + BLOCK_OVERHEAD_BYTES, TPACKET_FANOUT_DEFRAG, longest);
}

int tpk_options_check(
	const struct tpacket_options *options, const struct tpk_ring_ops *ops, struct tpacket_error *ret_error)
{
	int r = check_interface(options, ret_error);
	if (r == 0)
		r = check_socket(options, ret_error);
	if (r == 0)
		r = check_reopen(options, ret_error);
	if (r == 0)
		r = check_vlan(options, ops, ret_error);
	if (r == 0)
		r = check_blocks(options, ret_error);
	if (r == 0)
		r = check_frame(options, ops, ret_error);
	if (r == 0)
		r = check_ring(options, ret_error);
	if (r == 0)
		r = check_numbers(options, ops, ret_error);
	if (r == 0)
		r = check_filter(options, ret_error);
	if (r == 0)
		r = tpk_fanout_check(options, ret_error);
	if (r == 0)
		r = check_defrag(options, ops, ret_error);
	return r;
}
