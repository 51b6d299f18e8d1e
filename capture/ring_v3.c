/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TPACKET_V3: the kernel fills a block with frames of any length and hands over the whole block when it is full or its
 * retire time is over. Documentation/networking/packet_mmap.rst; net/packet/af_packet.c.
 */
#include "internal.h"
#include "barrier.h"
#include "poison.h"

#include <sys/socket.h>

/* In front of the captured bytes: header, then sockaddr_ll, which the kernel puts at the next multiple of 16. */
#define ADDRESS_OFFSET TPACKET_ALIGN(sizeof(struct tpacket3_hdr))
#define FRAME_HEADER_BYTES ((uint32_t)TPACKET3_HDRLEN)
#define BLOCK_HEADER_BYTES ((uint32_t)sizeof(struct tpacket_block_desc))
#define FRAME_ALIGNMENT 8u /* V3_ALIGNMENT in the kernel */

#define CACHE_LINE_BYTES 64u
#define PREFETCH_BYTES 4096u

static uint8_t *block_at(const struct tpacket *handle, uint32_t index)
{
	return handle->ring + (size_t)index * handle->geometry.block_bytes;
}

static int v3_request(struct tpacket *handle, const struct tpacket_options *options, uint32_t block_count)
{
	struct tpacket_req3 request = {
		.tp_block_size = options->block_bytes,
		.tp_block_nr = block_count,
		.tp_frame_size = options->frame_bytes,
		.tp_frame_nr = options->block_bytes / options->frame_bytes * block_count,
		.tp_retire_blk_tov = options->retire_ms,
		.tp_feature_req_word = options->flow_hash ? TP_FT_REQ_FILL_RXHASH : 0,
	};
	if (setsockopt(handle->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) < 0)
		return -errno;
	return 0;
}

static uint32_t v3_frame_limit(const struct tpacket_geometry *geometry)
{
	return geometry->block_bytes - BLOCK_HEADER_BYTES;
}

static void give_back(struct tpacket *handle, uint8_t *block)
{
	struct tpacket_block_desc *header = (struct tpacket_block_desc *)block;

	tpk_poison(block + BLOCK_HEADER_BYTES, handle->geometry.block_bytes - BLOCK_HEADER_BYTES);
	tpk_store_release(&header->hdr.bh1.block_status, TP_STATUS_KERNEL);
}

/* Fill in the lease. False: there is no packet in this block, or it cannot be told where. */
static bool lease_block(struct tpacket *handle, uint8_t *block, uint32_t block_status, struct tpacket_lease *ret_lease)
{
	const struct tpacket_hdr_v1 *header = &((const struct tpacket_block_desc *)block)->hdr.bh1;
	uint32_t packets = header->num_pkts;
	uint32_t first = header->offset_to_first_pkt;

	if (packets == 0)
		return false;
	if (first < BLOCK_HEADER_BYTES || first % FRAME_ALIGNMENT ||
		first > handle->geometry.block_bytes - FRAME_HEADER_BYTES) {
		handle->counters.bad_blocks++;
		return false;
	}
	handle->counters.read += packets;
	*ret_lease = (struct tpacket_lease){
		.handle = handle,
		.block = block,
		.next = block + first,
		.remaining_packets = packets,
		.status = block_status & TP_STATUS_LOSING ? TPACKET_STATUS_LOSING : 0,
	};
	return true;
}

static bool v3_acquire(struct tpacket *handle, struct tpacket_lease *ret_lease)
{
	/* Each turn gives a block back or leaves, so a ring of nothing but empty blocks ends the loop after one round.
	 */
	for (uint32_t i = 0; i < handle->geometry.block_count; i++) {
		uint8_t *block = block_at(handle, handle->head);
		const struct tpacket_block_desc *header = (const struct tpacket_block_desc *)block;
		uint32_t status = tpk_load_acquire(&header->hdr.bh1.block_status);

		if (!(status & TP_STATUS_USER))
			return false;
		handle->head = handle->head + 1 < handle->geometry.block_count ? handle->head + 1 : 0;
		tpk_unpoison(block, handle->geometry.block_bytes);
		if (lease_block(handle, block, status, ret_lease)) {
			handle->held = block;
			return true;
		}
		give_back(handle, block);
	}
	return false;
}

static void v3_release(struct tpacket *handle, const struct tpacket_lease *lease)
{
	give_back(handle, (uint8_t *)handle->held);
}

static __attribute__((noinline, cold)) bool skip_rest(struct tpacket_lease *lease)
{
	lease->handle->counters.bad_blocks++;
	lease->handle->counters.read -= lease->remaining_packets;
	lease->remaining_packets = 0;
	return false;
}

static inline uint32_t packet_status(uint32_t status)
{
	uint32_t r = status & TP_STATUS_CSUMNOTREADY ? TPACKET_STATUS_CHECKSUM_NOT_READY : 0;

	r |= status & TP_STATUS_CSUM_VALID ? TPACKET_STATUS_CHECKSUM_VALID : 0;
	r |= status & TP_STATUS_GSO_TCP ? TPACKET_STATUS_GSO_TCP : 0;
	r |= status & TP_STATUS_VLAN_VALID ? TPACKET_STATUS_VLAN : 0;
	r |= status & TP_STATUS_TS_RAW_HARDWARE ? TPACKET_STATUS_TIME_HARDWARE : 0;
	return r;
}

static inline void fill_address(const struct sockaddr_ll *address, struct tpacket_packet *ret_packet)
{
	ret_packet->interface_index = (uint32_t)address->sll_ifindex;
	ret_packet->protocol = __builtin_bswap16(address->sll_protocol);
	ret_packet->hardware_type = address->sll_hatype;
	ret_packet->packet_type = address->sll_pkttype;
}

static inline void fill_vlan(const struct tpacket3_hdr *header, struct tpacket_packet *ret_packet)
{
	ret_packet->vlan_tci = 0;
	ret_packet->vlan_tpid = 0;
	if (unlikely(header->tp_status & TP_STATUS_VLAN_VALID)) {
		ret_packet->vlan_tci = (uint16_t)header->hv1.tp_vlan_tci;
		/* Kernels before 3.14 did not tell the tag's type; then they knew only this one. */
		ret_packet->vlan_tpid =
			header->tp_status & TP_STATUS_VLAN_TPID_VALID ? header->hv1.tp_vlan_tpid : 0x8100;
	}
}

/* Cut by the ring, not by the filter: the bytes kept reach exactly to the end of what a frame may occupy. */
static inline bool is_cut_by_ring(const struct tpacket *handle, uint32_t mac, uint32_t captured, uint32_t original)
{
	return captured < original && captured < handle->snap_length && mac + captured >= handle->frame_limit;
}

/*
 * Ask for memory that later calls will read. The CPU's own prefetcher stops at each page, and where the next header
 * lies is known only from this one; without this the walk waits for memory most of the time (DESIGN.md has the
 * figures). A prefetch beyond the block or the ring is harmless: it neither faults nor hands anything over.
 */
static inline void prefetch_ahead(const uint8_t *frame)
{
	__builtin_prefetch(frame + PREFETCH_BYTES);
	__builtin_prefetch(frame + PREFETCH_BYTES + CACHE_LINE_BYTES);
}

/*
 * lease->next always points at a whole frame header inside the block. Everything that leads on from there is checked
 * before it is used: a frame ends before the next one begins, the last one before the block ends, and each step forward
 * is at least a header, so that any number of packets claimed comes to an end.
 */
static bool v3_next(struct tpacket_lease *lease, struct tpacket_packet *ret_packet)
{
	struct tpacket *handle = lease->handle;
	const uint8_t *frame = lease->next;
	const struct tpacket3_hdr *header = (const struct tpacket3_hdr *)frame;
	uint32_t room = handle->geometry.block_bytes - (uint32_t)(frame - lease->block);
	uint32_t step = 0;
	uint32_t mac = header->tp_mac;
	uint32_t captured = header->tp_snaplen;
	uint32_t original = header->tp_len;
	uint32_t vnet_bytes = handle->vnet_header_bytes;

	if (likely(lease->remaining_packets > 1)) {
		step = header->tp_next_offset;
		if (unlikely(step < FRAME_HEADER_BYTES || step % FRAME_ALIGNMENT || step > room - FRAME_HEADER_BYTES))
			return skip_rest(lease);
		room = step;
	}
	if (unlikely(mac < FRAME_HEADER_BYTES + vnet_bytes || mac > room || captured > room - mac ||
		     captured > original))
		return skip_rest(lease);

	prefetch_ahead(frame);
	ret_packet->time_ns = (uint64_t)header->tp_sec * NS_PER_S + header->tp_nsec;
	ret_packet->data = frame + mac;
	ret_packet->captured_length = captured;
	ret_packet->original_length = original;
	ret_packet->status = lease->status | packet_status(header->tp_status);
	ret_packet->rx_hash = header->hv1.tp_rxhash;
	ret_packet->vnet_header_length = (uint8_t)vnet_bytes;
	ret_packet->vnet_header = vnet_bytes ? frame + mac - vnet_bytes : NULL;
	fill_vlan(header, ret_packet);
	fill_address((const struct sockaddr_ll *)(frame + ADDRESS_OFFSET), ret_packet);
	if (unlikely(is_cut_by_ring(handle, mac, captured, original))) {
		ret_packet->status |= TPACKET_STATUS_TRUNCATED;
		handle->counters.truncated++;
	}
	lease->next = frame + step;
	lease->remaining_packets--;
	return true;
}

const struct tpk_ring_ops tpk_ring_v3 = {
	.version = TPACKET_VERSION_3,
	.kernel_version = TPACKET_V3,
	/* The kernel wants the frame header and sockaddr_ll to fit (68 bytes), rounded up to TPACKET_ALIGNMENT. */
	.min_frame_bytes = TPACKET_ALIGN(TPACKET3_HDRLEN),
	.request = v3_request,
	.frame_limit = v3_frame_limit,
	.acquire = v3_acquire,
	.next = v3_next,
	.release = v3_release,
};
