/* SPDX-License-Identifier: Apache-2.0 */
/* The ring's memory, and the calls that hand it out piece by piece, whatever its version. */
#include "internal.h"
#include "barrier.h"
#include "poison.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Fewer blocks than this absorb nothing: one is filled, one is read. */
#define SHRINK_MIN_BLOCKS 4u

/* In debug builds a lease that was given back points here, so that using it is noticed. */
#ifndef NDEBUG
static const uint8_t released_block[1];
#endif

const struct tpk_ring_ops *tpk_ring_ops_find(enum tpacket_version version)
{
	switch (version) {
	case TPACKET_VERSION_AUTO:
	case TPACKET_VERSION_3:
		return &tpk_ring_v3;
	case TPACKET_VERSION_2:
		return &tpk_ring_v2;
	case TPACKET_VERSION_1:
		return &tpk_ring_v1;
	default:
		return NULL;
	}
}

static void ring_drop(int fd)
{
	struct tpacket_req3 nothing = {0};

	setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &nothing, sizeof(nothing));
}

/* Ask the kernel for a ring of so many blocks and map it. Leaves no ring behind when it fails. */
static int ring_try(struct tpacket *handle, const struct tpacket_options *options, uint32_t block_count)
{
	int r = handle->ops->request(handle, options, block_count);
	if (r < 0)
		return r;

	size_t bytes = (size_t)options->block_bytes * block_count;
	void *ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, handle->fd, 0);
	if (ring == MAP_FAILED) {
		r = -errno;
		ring_drop(handle->fd);
		return r;
	}
	handle->ring = ring;
	handle->map_bytes = bytes;
	return 0;
}

static void set_geometry(struct tpacket *handle, const struct tpacket_geometry *geometry)
{
	handle->geometry = *geometry;
	handle->frame_limit = handle->ops->frame_limit(geometry);
	handle->frames_per_block = geometry->block_bytes / geometry->frame_bytes;
}

int tpk_ring_map(struct tpacket *handle, const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	uint32_t blocks = options->block_count;
	int r = ring_try(handle, options, blocks);

	while (r == -ENOMEM && options->shrink && blocks > SHRINK_MIN_BLOCKS) {
		blocks -= blocks / 4;
		if (blocks < SHRINK_MIN_BLOCKS)
			blocks = SHRINK_MIN_BLOCKS;
		r = ring_try(handle, options, blocks);
	}
	if (r < 0)
		return tpk_error(ret_error, r, "ring: %u blocks of %u bytes", blocks, options->block_bytes);
	set_geometry(handle, &(struct tpacket_geometry){
				     .block_bytes = options->block_bytes,
				     .block_count = blocks,
				     .frame_bytes = options->frame_bytes,
			     });
	return 0;
}

void tpk_ring_unmap(struct tpacket *handle)
{
	if (!handle->map_bytes)
		return;
	tpk_unpoison(handle->ring, handle->map_bytes);
	munmap(handle->ring, handle->map_bytes);
	handle->ring = NULL;
	handle->map_bytes = 0;
}

void tpk_handle_over_memory(struct tpacket *handle, const struct tpk_ring_ops *ops, void *ring,
	const struct tpacket_geometry *geometry, uint32_t vnet_header_bytes)
{
	*handle = (struct tpacket){
		.ops = ops,
		.ring = ring,
		.vnet_header_bytes = vnet_header_bytes,
		.snap_length = UINT32_MAX,
		.life.references = 1,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.fd = -1,
		.wake_fd = -1,
		.netns_fd = -1,
		.filter_fd = -1,
		.fanout_id = -ENOENT,
	};
	set_geometry(handle, geometry);
}

/*
 * The request is looked for after the run was taken: what was taken before it was made may be from before the change,
 * and is not among what ready() then counts. What is taken later is.
 */
static __attribute__((noinline, cold)) void settle_run(struct tpacket *handle, struct tpacket_lease *lease)
{
	struct tpk_settle *settle = &handle->settle;
	uint32_t taken = handle->ops->has_blocks ? 1 : lease->frames;

	lease->is_settling = true;
	if (tpk_flag_is_up(&settle->is_requested))
		tpk_settle_begin(handle);
	else if (settle->left != UINT32_MAX) /* without end */
		settle->left -= taken < settle->left ? taken : settle->left;
}

bool tpk_ring_acquire(struct tpacket *handle, struct tpacket_lease *ret_lease)
{
	if (!handle->ops->acquire(handle, ret_lease))
		return false;
	if (unlikely(handle->settle.left > 0 || tpk_flag_is_up(&handle->settle.is_requested)))
		settle_run(handle, ret_lease);
	return true;
}

int tpk_acquire(struct tpacket *handle, int timeout_ms, struct tpacket_lease *ret_lease)
{
	if (unlikely(handle->held))
		return -EBUSY;
	if (unlikely(tpk_flag_take(&handle->woken))) {
		tpk_wake_drain(handle);
		return 0;
	}
	/* There may be no ring to look at. */
	if (unlikely(tpk_reopen_is_due(handle)))
		return tpk_reopen_wait(handle, timeout_ms);
	if (likely(tpk_ring_acquire(handle, ret_lease)))
		return 1;
	return tpk_wait_for_block(handle, timeout_ms, ret_lease);
}

int tpacket_acquire(struct tpacket *handle, int timeout_ms, struct tpacket_lease *ret_lease)
{
	memset(ret_lease, 0, sizeof(*ret_lease));
	int r = tpk_enter(handle);
	if (r < 0)
		return r;
	if (unlikely(handle->reading.handle) && handle->reading.remaining_packets == 0 && !handle->pending.data)
		tpk_read_finish(handle);
	r = tpk_acquire(handle, timeout_ms, ret_lease);
	tpk_leave(handle);
	return r;
}

bool tpk_lease_take_settling(struct tpacket_lease *lease, struct tpacket_packet *ret_packet)
{
	do {
		if (lease->remaining_packets == 0 || !lease->handle->ops->next(lease, ret_packet))
			return false;
	} while (!tpk_settle_keeps(lease->handle, ret_packet));
	return true;
}

/* What not every handle needs. */
static __attribute__((noinline)) bool next_in_full(struct tpacket_lease *lease, struct tpacket_packet *ret_packet)
{
	if (!tpk_lease_take(lease, ret_packet))
		return false;
	tpk_vlan_finish(lease->handle, ret_packet);
	return true;
}

/* As little as possible stands in front of the version's next(), so that this becomes a jump into it. */
bool tpacket_lease_next(struct tpacket_lease *lease, struct tpacket_packet *ret_packet)
{
	/* A lease, or a copy of one, that was given back. An empty one is allowed: it holds no packet. */
	assert(lease->block != released_block);
	assert(!lease->handle || lease->handle->held == lease->block);
	if (unlikely(lease->remaining_packets == 0))
		return false;
	if (unlikely(lease->is_settling || lease->handle->inserts_vlan))
		return next_in_full(lease, ret_packet);
	return lease->handle->ops->next(lease, ret_packet);
}

void tpacket_release(struct tpacket_lease *lease)
{
	struct tpacket *handle = lease->handle;

	if (!handle)
		return;
	assert(handle->held == lease->block);
	handle->ops->release(handle, lease);
	handle->held = NULL;
	memset(lease, 0, sizeof(*lease));
#ifndef NDEBUG
	lease->block = released_block;
#endif
}
