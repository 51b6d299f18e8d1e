/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TPACKET_V1 and V2: a ring of slots of the same size, one frame in each, handed over one by one. A block is only how
 * the kernel allocates them; as its size is a multiple of the slot's, all slots lie one behind the other. The two
 * versions differ in their header: V1 has no VLAN tag and no nanoseconds, and its status is as wide as a long.
 */
#include "frame.h"
#include "barrier.h"
#include "poison.h"

#include <sys/socket.h>

/*
 * Frames that are handed out together at most. More spare nothing worth measuring, and while they are held the kernel
 * has so many slots less.
 */
#define MAX_RUN 64u

#define CACHE_LINE_BYTES 64u
#define PREFETCH_SLOTS 16u

/* The status word, of which user space has to be able to read the one of a slot that is the kernel's. */
#define STATUS_BYTES 8u

/* What the headers of both versions tell. */
struct slot_facts {
	uint32_t mac;
	uint32_t captured;
	uint32_t original;
	uint32_t status;
};

static uint32_t slot_count(const struct tpacket *handle)
{
	return handle->frames_per_block * handle->geometry.block_count;
}

static uint8_t *slot_at(const struct tpacket *handle, uint32_t index)
{
	return handle->ring + (size_t)index * handle->geometry.frame_bytes;
}

static inline uint32_t v1_status(const uint8_t *slot)
{
	return (uint32_t)tpk_load_acquire_long(&((const struct tpacket_hdr *)slot)->tp_status);
}

static inline uint32_t v2_status(const uint8_t *slot)
{
	return tpk_load_acquire(&((const struct tpacket2_hdr *)slot)->tp_status);
}

static inline void v1_give_back(uint8_t *slot)
{
	tpk_store_release_long(&((struct tpacket_hdr *)slot)->tp_status, TP_STATUS_KERNEL);
}

static inline void v2_give_back(uint8_t *slot)
{
	tpk_store_release(&((struct tpacket2_hdr *)slot)->tp_status, TP_STATUS_KERNEL);
}

/* Where the captured bytes end, as the slot says; used in debug builds only. */
static inline uint64_t v1_end(const uint8_t *slot)
{
	const struct tpacket_hdr *header = (const struct tpacket_hdr *)slot;

	return (uint64_t)tpk_fetch(header->tp_mac) + tpk_fetch(header->tp_snaplen);
}

static inline uint64_t v2_end(const uint8_t *slot)
{
	const struct tpacket2_hdr *header = (const struct tpacket2_hdr *)slot;

	return (uint64_t)tpk_fetch(header->tp_mac) + tpk_fetch(header->tp_snaplen);
}

static int slots_request(struct tpacket *handle, const struct tpacket_options *options, uint32_t block_count)
{
	struct tpacket_req request = {
		.tp_block_size = options->block_bytes,
		.tp_block_nr = block_count,
		.tp_frame_size = options->frame_bytes,
		.tp_frame_nr = options->block_bytes / options->frame_bytes * block_count,
	};
	if (setsockopt(handle->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) < 0)
		return -errno;
	return 0;
}

static uint32_t slots_frame_limit(const struct tpacket_geometry *geometry)
{
	return geometry->frame_bytes;
}

/* Frames from the ring's head on that are user space's, at most so many and not beyond the ring's end. */
static inline uint32_t count_run(const struct tpacket *handle, uint32_t max, uint32_t (*status_of)(const uint8_t *))
{
	uint32_t room = slot_count(handle) - handle->head;
	uint32_t count = 0;

	if (max > room)
		max = room;
	while (count < max && status_of(slot_at(handle, handle->head + count)) & TP_STATUS_USER)
		count++;
	return count;
}

static inline bool slots_acquire(
	struct tpacket *handle, struct tpacket_lease *ret_lease, uint32_t (*status_of)(const uint8_t *))
{
	uint8_t *first = slot_at(handle, handle->head);
	uint32_t frames = count_run(handle, MAX_RUN, status_of);

	if (frames == 0)
		return false;
	tpk_unpoison(first, (size_t)frames * handle->geometry.frame_bytes);
	tpk_count(&handle->counters.read, frames);
	*ret_lease = (struct tpacket_lease){
		.handle = handle,
		.block = first,
		.next = first,
		.remaining_packets = frames,
		.frames = frames,
	};
	handle->held = first;
	handle->head = handle->head + frames < slot_count(handle) ? handle->head + frames : 0;
	return true;
}

static inline void slots_release(struct tpacket *handle, const struct tpacket_lease *lease,
	uint64_t (*end_of)(const uint8_t *), void (*give_back)(uint8_t *))
{
	uint8_t *slot = (uint8_t *)handle->held;
	uint32_t bytes = handle->geometry.frame_bytes;

	for (uint32_t i = 0; i < lease->frames; i++, slot += bytes) {
		uint64_t end = end_of(slot);
		if (end > bytes)
			end = bytes;
		if (end > STATUS_BYTES)
			tpk_overwrite(slot + STATUS_BYTES, end - STATUS_BYTES);
		tpk_poison(slot + STATUS_BYTES, bytes - STATUS_BYTES);
		give_back(slot);
	}
}

/* Also those beyond the ring's end, up to the first one that is the kernel's. */
static inline uint32_t slots_ready(const struct tpacket *handle, uint32_t (*status_of)(const uint8_t *))
{
	uint32_t slots = slot_count(handle), index = handle->head, count = 0;

	while (count < slots && status_of(slot_at(handle, index)) & TP_STATUS_USER) {
		count++;
		index = index + 1 < slots ? index + 1 : 0;
	}
	return count;
}

static __attribute__((noinline, cold)) void count_bad(struct tpacket *handle)
{
	tpk_count(&handle->counters.bad_blocks, 1);
	tpk_count(&handle->counters.read, (uint64_t)-1);
}

/*
 * Where the bytes are, and the facts that both versions tell. False: the lengths contradict each other. In a slot that
 * is too small for what comes before a frame's first byte, the kernel says where that byte would have been, and keeps
 * none; nor does it write a vnet header then.
 */
static inline bool fill_packet(struct tpacket *handle, const uint8_t *slot, uint32_t header_bytes,
	const struct slot_facts *facts, struct tpacket_packet *ret_packet)
{
	uint32_t bytes = handle->geometry.frame_bytes;
	uint32_t vnet_bytes = handle->vnet_header_bytes;
	uint32_t mac = facts->mac;

	if (unlikely(mac < header_bytes + tpk_frame_front_bytes(handle) || facts->captured > facts->original))
		return false;
	if (unlikely(mac > bytes)) {
		mac = bytes;
		vnet_bytes = 0;
	}
	if (unlikely(facts->captured > bytes - mac))
		return false;

	ret_packet->data = slot + mac;
	ret_packet->captured_length = facts->captured;
	ret_packet->original_length = facts->original;
	ret_packet->status = tpk_frame_status(facts->status);
	ret_packet->status |= facts->status & TP_STATUS_LOSING ? TPACKET_STATUS_LOSING : 0;
	ret_packet->rx_hash = 0;
	ret_packet->vnet_header_length = (uint8_t)vnet_bytes;
	ret_packet->vnet_header = vnet_bytes ? slot + mac - vnet_bytes : NULL;
	tpk_frame_note_cut(handle, mac, ret_packet);
	return true;
}

/*
 * Ask for the header of a later slot, and for the line behind it, where the frame begins. Beyond the ring that is
 * harmless.
 */
static inline __attribute__((always_inline)) const uint8_t *take_slot(struct tpacket_lease *lease)
{
	const uint8_t *slot = lease->next;
	size_t bytes = lease->handle->geometry.frame_bytes;

	__builtin_prefetch(slot + PREFETCH_SLOTS * bytes);
	__builtin_prefetch(slot + PREFETCH_SLOTS * bytes + CACHE_LINE_BYTES);
	lease->next += bytes;
	lease->remaining_packets--;
	return slot;
}

static bool v1_next(struct tpacket_lease *lease, struct tpacket_packet *ret_packet)
{
	while (lease->remaining_packets) {
		const uint8_t *slot = take_slot(lease);
		const struct tpacket_hdr *header = (const struct tpacket_hdr *)slot;
		const struct slot_facts facts = {
			.mac = tpk_fetch(header->tp_mac),
			.captured = tpk_fetch(header->tp_snaplen),
			.original = tpk_fetch(header->tp_len),
			.status = (uint32_t)tpk_fetch(header->tp_status),
		};
		if (unlikely(!fill_packet(lease->handle, slot, TPACKET_HDRLEN, &facts, ret_packet))) {
			count_bad(lease->handle);
			continue;
		}
		ret_packet->time_ns = (uint64_t)header->tp_sec * NS_PER_S + (uint64_t)header->tp_usec * NS_PER_US;
		ret_packet->status |= TPACKET_STATUS_TIME_MICROSECONDS;
		ret_packet->vlan_tci = 0;
		ret_packet->vlan_tpid = 0;
		tpk_frame_fill_address((const struct sockaddr_ll *)(slot + TPACKET_ALIGN(sizeof(*header))), ret_packet);
		return true;
	}
	return false;
}

static bool v2_next(struct tpacket_lease *lease, struct tpacket_packet *ret_packet)
{
	while (lease->remaining_packets) {
		const uint8_t *slot = take_slot(lease);
		const struct tpacket2_hdr *header = (const struct tpacket2_hdr *)slot;
		const struct slot_facts facts = {
			.mac = tpk_fetch(header->tp_mac),
			.captured = tpk_fetch(header->tp_snaplen),
			.original = tpk_fetch(header->tp_len),
			.status = tpk_fetch(header->tp_status),
		};
		if (unlikely(!fill_packet(lease->handle, slot, TPACKET2_HDRLEN, &facts, ret_packet))) {
			count_bad(lease->handle);
			continue;
		}
		ret_packet->time_ns = (uint64_t)header->tp_sec * NS_PER_S + header->tp_nsec;
		tpk_frame_fill_vlan(facts.status, header->tp_vlan_tci, header->tp_vlan_tpid, ret_packet);
		tpk_frame_fill_address((const struct sockaddr_ll *)(slot + TPACKET_ALIGN(sizeof(*header))), ret_packet);
		return true;
	}
	return false;
}

static bool v1_acquire(struct tpacket *handle, struct tpacket_lease *ret_lease)
{
	return slots_acquire(handle, ret_lease, v1_status);
}

static bool v2_acquire(struct tpacket *handle, struct tpacket_lease *ret_lease)
{
	return slots_acquire(handle, ret_lease, v2_status);
}

static void v1_release(struct tpacket *handle, const struct tpacket_lease *lease)
{
	slots_release(handle, lease, v1_end, v1_give_back);
}

static void v2_release(struct tpacket *handle, const struct tpacket_lease *lease)
{
	slots_release(handle, lease, v2_end, v2_give_back);
}

static uint32_t v1_ready(const struct tpacket *handle)
{
	return slots_ready(handle, v1_status);
}

static uint32_t v2_ready(const struct tpacket *handle)
{
	return slots_ready(handle, v2_status);
}

/* The kernel wants the frame header and sockaddr_ll to fit, rounded up to TPACKET_ALIGNMENT. */
const struct tpk_ring_ops tpk_ring_v1 = {
	.version = TPACKET_VERSION_1,
	.kernel_version = TPACKET_V1,
	.min_frame_bytes = TPACKET_ALIGN(TPACKET_HDRLEN),
	.request = slots_request,
	.frame_limit = slots_frame_limit,
	.acquire = v1_acquire,
	.next = v1_next,
	.release = v1_release,
	.ready = v1_ready,
};

const struct tpk_ring_ops tpk_ring_v2 = {
	.version = TPACKET_VERSION_2,
	.kernel_version = TPACKET_V2,
	.min_frame_bytes = TPACKET_ALIGN(TPACKET2_HDRLEN),
	.request = slots_request,
	.frame_limit = slots_frame_limit,
	.acquire = v2_acquire,
	.next = v2_next,
	.release = v2_release,
	.ready = v2_ready,
};
