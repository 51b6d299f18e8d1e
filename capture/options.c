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

#define FANOUT_FLAGS                                                                                                   \
	(TPACKET_FANOUT_DEFRAG | TPACKET_FANOUT_ROLL | TPACKET_FANOUT_IGNORE_OUTGOING | TPACKET_FANOUT_UNIQUE_ID)

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
		.fanout = TPACKET_FANOUT_NONE,
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
	if (options->timestamp != TPACKET_TIMESTAMP_SOFTWARE && options->timestamp != TPACKET_TIMESTAMP_HARDWARE)
		return tpk_refuse(ret_error, "timestamp: %d: must be %d (software) or %d (hardware)",
			(int)options->timestamp, TPACKET_TIMESTAMP_SOFTWARE, TPACKET_TIMESTAMP_HARDWARE);
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

/* Rules between frames and blocks, once both are plausible. */
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

static int check_numbers(const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	if (options->retire_ms == 0 || options->retire_ms > MAX_RETIRE_MS)
		return tpk_refuse(
			ret_error, "retire_ms: %u: must be between 1 and %u", options->retire_ms, MAX_RETIRE_MS);
	if (options->snap_length == 0)
		return tpk_refuse(ret_error, "snap_length: 0: must be at least 1, as 0 would reject every packet");
	if (options->filter && (options->filter_length == 0 || options->filter_length > BPF_MAXINSNS))
		return tpk_refuse(ret_error, "filter_length: %u: a filter has between 1 and %d instructions",
			options->filter_length, BPF_MAXINSNS);
	return 0;
}

static int check_fanout(const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	if (options->fanout == TPACKET_FANOUT_NONE)
		return 0;
	if ((int)options->fanout < TPACKET_FANOUT_HASH || options->fanout > TPACKET_FANOUT_EBPF)
		return tpk_refuse(ret_error, "fanout: %d: must be between %d and %d, or %d for none",
			(int)options->fanout, TPACKET_FANOUT_HASH, TPACKET_FANOUT_EBPF, TPACKET_FANOUT_NONE);
	if (options->fanout_flags & ~FANOUT_FLAGS)
		return tpk_refuse(ret_error, "fanout_flags: 0x%x: only the bits 0x%x are known", options->fanout_flags,
			FANOUT_FLAGS);
	if (options->fanout == TPACKET_FANOUT_ROLLOVER && (options->fanout_flags & TPACKET_FANOUT_ROLL))
		return tpk_refuse(ret_error, "fanout_flags: 0x%x: roll over says nothing new to fanout rollover",
			options->fanout_flags);
	if ((options->fanout_flags & TPACKET_FANOUT_UNIQUE_ID) && options->fanout_id != 0)
		return tpk_refuse(ret_error, "fanout_id: %u: must be 0 when the kernel is to choose it (unique id)",
			options->fanout_id);
	return 0;
}

int tpk_options_check(
	const struct tpacket_options *options, const struct tpk_ring_ops *ops, struct tpacket_error *ret_error)
{
	int r = check_interface(options, ret_error);
	if (r == 0)
		r = check_socket(options, ret_error);
	if (r == 0)
		r = check_blocks(options, ret_error);
	if (r == 0)
		r = check_frame(options, ops, ret_error);
	if (r == 0)
		r = check_ring(options, ret_error);
	if (r == 0)
		r = check_numbers(options, ret_error);
	if (r == 0)
		r = check_fanout(options, ret_error);
	return r;
}
