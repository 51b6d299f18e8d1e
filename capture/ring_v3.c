/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TPACKET_V3: the kernel fills a block with frames of any length and hands over the whole block when it is full or its
 * retire time is over. Documentation/networking/packet_mmap.rst; net/packet/af_packet.c.
 */
#include "frame.h"
#include "barrier.h"
#include "poison.h"

#include <sys/socket.h>

/* In front of the captured bytes: header, then sockaddr_ll, which the kernel puts at the next multiple of 16. */
#define ADDRESS_OFFSET TPACKET_ALIGN(sizeof(struct tpacket3_hdr))
#define FRAME_HEADER_BYTES ((uint32_t)TPACKET3_HDRLEN)
#define BLOCK_HEADER_BYTES ((uint32_t)sizeof(struct tpacket_block_desc))
#define FRAME_ALIGNMENT 8u /* V3_ALIGNMENT in the kernel */

#define CACHE_LINE_BYTES 64u
#define PREFETCH_BYTES 4096u /* at least */
#define PREFETCH_FRAMES 16u

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
	uint32_t used = tpk_fetch(header->hdr.bh1.blk_len);

	if (used > handle->geometry.block_bytes)
		used = handle->geometry.block_bytes;
	if (used > BLOCK_HEADER_BYTES)
		tpk_overwrite(block + BLOCK_HEADER_BYTES, used - BLOCK_HEADER_BYTES);
	tpk_poison(block + BLOCK_HEADER_BYTES, handle->geometry.block_bytes - BLOCK_HEADER_BYTES);
	tpk_store_release(&header->hdr.bh1.block_status, TP_STATUS_KERNEL);
}

/* Fill in the lease. False: there is no packet in this block, or it cannot be told where. */
static bool lease_block(struct tpacket *handle, uint8_t *block, uint32_t block_status, struct tpacket_lease *ret_lease)
{
	const struct tpacket_hdr_v1 *header = &((const struct tpacket_block_desc *)block)->hdr.bh1;
	uint32_t packets = tpk_fetch(header->num_pkts);
	uint32_t first = tpk_fetch(header->offset_to_first_pkt);

	if (packets == 0)
		return false;
	if (first < BLOCK_HEADER_BYTES || first % FRAME_ALIGNMENT ||
		first > handle->geometry.block_bytes - FRAME_HEADER_BYTES) {
		tpk_count(&handle->counters.bad_blocks, 1);
		return false;
	}
	tpk_count(&handle->counters.read, packets);
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

static uint32_t v3_ready(const struct tpacket *handle)
{
	uint32_t blocks = handle->geometry.block_count, index = handle->head, count = 0;

	while (count < blocks) {
		const struct tpacket_block_desc *header = (const struct tpacket_block_desc *)block_at(handle, index);
		if (!(tpk_load_acquire(&header->hdr.bh1.block_status) & TP_STATUS_USER))
			break;
		count++;
		index = index + 1 < blocks ? index + 1 : 0;
	}
	return count;
}

static __attribute__((noinline, cold)) bool skip_rest(struct tpacket_lease *lease)
{
	tpk_count(&lease->handle->counters.bad_blocks, 1);
	tpk_count(&lease->handle->counters.read, -(uint64_t)lease->remaining_packets);
	lease->remaining_packets = 0;
	return false;
}

/*
 * Ask for memory that later calls will read. The CPU's own prefetcher stops at each page, and where the next header
 * lies is known only from this one; without this the walk waits for memory most of the time (DESIGN.md has the
 * figures). Large frames mostly come in rows of the same length, so the header of a later one is where this step leads
 * when it is repeated; small ones lie so close that everything ahead is needed. A prefetch beyond the block or the ring
 * is harmless: it neither faults nor hands anything over. Always inline: gcc leaves out calls of a function that does
 * nothing else.
 */
static inline __attribute__((always_inline)) void prefetch_ahead(const uint8_t *frame, uint32_t step)
{
	uint32_t row = step * PREFETCH_FRAMES;

	frame += row > PREFETCH_BYTES ? row : PREFETCH_BYTES;
	__builtin_prefetch(frame);
	__builtin_prefetch(frame + CACHE_LINE_BYTES);
}

/*
 * lease->next always points at a whole frame header inside the block. Everything that leads on from there is checked
 * before it is used: a frame ends before the next one begins, the last one before the block ends. So each step forward
 * is at least mac, and that a header, and any number of packets claimed comes to an end.
 */
static bool v3_next(struct tpacket_lease *lease, struct tpacket_packet *ret_packet)
{
	struct tpacket *handle = lease->handle;
	const uint8_t *frame = lease->next;
	const struct tpacket3_hdr *header = (const struct tpacket3_hdr *)frame;
	uint32_t room = handle->geometry.block_bytes - (uint32_t)(frame - lease->block);
	uint32_t step = 0;
	uint32_t mac = tpk_fetch(header->tp_mac);
	uint32_t captured = tpk_fetch(header->tp_snaplen);
	uint32_t original = tpk_fetch(header->tp_len);
	uint32_t status = tpk_fetch(header->tp_status);
	uint32_t vnet_bytes = handle->vnet_header_bytes;

	if (likely(lease->remaining_packets > 1)) {
		step = tpk_fetch(header->tp_next_offset);
		if (unlikely(step % FRAME_ALIGNMENT || step > room - FRAME_HEADER_BYTES))
			return skip_rest(lease);
		room = step;
	}
	if (unlikely(mac < FRAME_HEADER_BYTES + tpk_frame_front_bytes(handle) || mac > room || captured > room - mac ||
		     captured > original))
		return skip_rest(lease);

	prefetch_ahead(frame, step);
	ret_packet->time_ns = (uint64_t)header->tp_sec * NS_PER_S + header->tp_nsec;
	ret_packet->data = frame + mac;
	ret_packet->captured_length = captured;
	ret_packet->original_length = original;
	ret_packet->status = lease->status | tpk_frame_status(status);
	ret_packet->rx_hash = header->hv1.tp_rxhash;
	ret_packet->vnet_header_length = (uint8_t)vnet_bytes;
	ret_packet->vnet_header = vnet_bytes ? frame + mac - vnet_bytes : NULL;
	tpk_frame_fill_vlan(status, header->hv1.tp_vlan_tci, header->hv1.tp_vlan_tpid, ret_packet);
	tpk_frame_fill_address((const struct sockaddr_ll *)(frame + ADDRESS_OFFSET), ret_packet);
	tpk_frame_note_cut(handle, mac, ret_packet);
	lease->next = frame + step;
	lease->remaining_packets--;
	return true;
}

const struct tpk_ring_ops tpk_ring_v3 = {
	.version = TPACKET_VERSION_3,
	.kernel_version = TPACKET_V3,
	/* The kernel wants the frame header and sockaddr_ll to fit (68 bytes), rounded up to TPACKET_ALIGNMENT. */
	.min_frame_bytes = TPACKET_ALIGN(TPACKET3_HDRLEN),
	.has_blocks = true,
	.request = v3_request,
	.frame_limit = v3_frame_limit,
	.acquire = v3_acquire,
	.next = v3_next,
	.release = v3_release,
	.ready = v3_ready,
};
