/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packet by packet. The run that they come from is the handle's own lease: it is begun when there is no other, and
 * given back by the next call after its last packet was handed out. So the ring is never polled while a run is held.
 */
#include "internal.h"
#include "barrier.h"
#include "poison.h"

#include <stdlib.h>
#include <string.h>

#ifdef NDEBUG
static inline void invalidate_last(struct tpacket *handle)
{
}

static inline void remember_last(struct tpacket *handle, const struct tpacket_packet *packet)
{
}
#else
/* The next frame's header begins behind these bytes and is left alone. */
static void invalidate_last(struct tpacket *handle)
{
	const struct tpacket_packet *last = &handle->last_read;

	if (!last->data)
		return;
	uint8_t *bytes = (uint8_t *)last->data - last->vnet_header_length;
	size_t length = (size_t)last->vnet_header_length + last->captured_length;
	tpk_overwrite(bytes, length);
	tpk_poison(bytes, length);
	handle->last_read.data = NULL;
}

static void remember_last(struct tpacket *handle, const struct tpacket_packet *packet)
{
	handle->last_read = *packet;
}
#endif

void tpk_read_finish(struct tpacket *handle)
{
	if (!handle->reading.handle)
		return;
	invalidate_last(handle);
	handle->pending.data = NULL;
	tpacket_release(&handle->reading);
}

/* Something has to be seen to before the run goes on: being closed, a wake-up, a change of the filter. */
static inline bool is_disturbed(const struct tpacket *handle)
{
	return (tpk_load_acquire(&handle->life.state) & TPK_CLOSING) || tpk_flag_is_up(&handle->woken) ||
	       tpk_flag_is_up(&handle->settle.is_requested) || handle->pending.data;
}

/* The next packet of the run that is being read. */
static bool go_on(struct tpacket *handle, struct tpacket_packet *ret_packet)
{
	if (!handle->reading.handle)
		return false;
	/* The run was taken before the change, so that all of it is looked at. */
	if (tpk_flag_is_up(&handle->settle.is_requested)) {
		tpk_settle_begin(handle);
		handle->reading.is_settling = true;
	}
	if (handle->pending.data) {
		*ret_packet = handle->pending;
		handle->pending.data = NULL;
		if (!handle->reading.is_settling || tpk_settle_keeps(handle, ret_packet))
			return true;
	}
	return tpk_lease_take(&handle->reading, ret_packet);
}

static int take_entered(struct tpacket *handle, int timeout_ms, struct tpacket_packet *ret_packet)
{
	int64_t deadline_ns = timeout_ms > 0 ? tpk_now_ns() + timeout_ms * NS_PER_MS : 0;

	if (tpk_flag_take(&handle->woken)) {
		tpk_wake_drain(handle);
		return 0;
	}
	while (!go_on(handle, ret_packet)) {
		tpk_read_finish(handle);
		int r = tpk_acquire(handle, timeout_ms, &handle->reading);
		if (r != 1)
			return r;
		/* In case nothing of the run is handed out. */
		if (timeout_ms > 0) {
			int64_t left_ns = deadline_ns - tpk_now_ns();
			timeout_ms = left_ns > 0 ? (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS) : 0;
		}
	}
	return 1;
}

static __attribute__((noinline)) int take_slowly(
	struct tpacket *handle, int timeout_ms, struct tpacket_packet *ret_packet)
{
	int r = tpk_enter(handle);
	if (r < 0)
		return r;
	r = take_entered(handle, timeout_ms, ret_packet);
	tpk_leave(handle);
	return r;
}

/*
 * The next packet, whose tag was not put back yet. Inside a run nothing is written that other threads look at: whoever
 * closes the handle meanwhile either has left this thread a reference, or has to wait for the thread anyway.
 */
static inline int take(struct tpacket *handle, int timeout_ms, struct tpacket_packet *ret_packet)
{
	invalidate_last(handle);
	if (likely(handle->reading.remaining_packets > 0 && !is_disturbed(handle)) &&
		likely(tpk_lease_take(&handle->reading, ret_packet)))
		return 1;
	return take_slowly(handle, timeout_ms, ret_packet);
}

int tpacket_read(struct tpacket *handle, int timeout_ms, struct tpacket_packet *ret_packet)
{
	int r = take(handle, timeout_ms, ret_packet);
	if (unlikely(r != 1))
		return r;
	tpk_vlan_finish(handle, ret_packet);
	remember_last(handle, ret_packet);
	return 1;
}

/* The packet was copied. If it was the run's last one the kernel can have it back. */
static void give_back_if_done(struct tpacket *handle)
{
	if (handle->reading.remaining_packets == 0)
		tpk_read_finish(handle);
}

int tpacket_read_copy(struct tpacket *handle, int timeout_ms, struct tpacket_packet *ret_packet, void **ret_memory)
{
	struct tpacket_packet packet;

	*ret_memory = NULL;
	int r = take(handle, timeout_ms, &packet);
	if (unlikely(r != 1))
		return r;

	/* The frame first, as malloc(3) aligns; then the vnet header, which has members of two bytes. */
	size_t vnet_at = ((size_t)packet.captured_length + TPK_VLAN_BYTES + 1) & ~(size_t)1;
	uint8_t *memory = malloc(vnet_at + packet.vnet_header_length);
	if (!memory) {
		handle->pending = packet;
		return -ENOMEM;
	}
	tpk_vlan_finish(handle, &packet);
	memcpy(memory, packet.data, packet.captured_length);
	packet.data = memory;
	if (packet.vnet_header)
		packet.vnet_header = memcpy(memory + vnet_at, packet.vnet_header, packet.vnet_header_length);
	give_back_if_done(handle);
	*ret_packet = packet;
	*ret_memory = memory;
	return 1;
}

int tpacket_read_into(
	struct tpacket *handle, int timeout_ms, void *buffer, size_t bytes, struct tpacket_packet *ret_packet)
{
	int r = take(handle, timeout_ms, ret_packet);
	if (unlikely(r != 1))
		return r;

	tpk_vlan_finish(handle, ret_packet);
	if (bytes < ret_packet->captured_length) {
		ret_packet->captured_length = (uint32_t)bytes;
		ret_packet->status |= TPACKET_STATUS_SHORT_BUFFER;
	}
	if (ret_packet->captured_length)
		memcpy(buffer, ret_packet->data, ret_packet->captured_length);
	ret_packet->data = buffer;
	ret_packet->vnet_header = NULL;
	ret_packet->vnet_header_length = 0;
	give_back_if_done(handle);
	return 1;
}
