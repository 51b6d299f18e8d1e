/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POISON 0xdd

struct fake_item {
	struct fake_item *next;
	int error; /* 0: a lease */
	uint32_t count;
	struct tpacket_packet *packets;
	uint8_t *bytes; /* what the packets point into */
	size_t size;
};

static struct timespec deadline(int timeout_ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += timeout_ms / 1000;
	at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	return at;
}

static void *allocate(size_t size)
{
	void *memory = calloc(1, size ? size : 1);

	if (!memory)
		abort();
	return memory;
}

static void free_item(struct fake_item *item)
{
	memset(item->bytes, POISON, item->size);
	free(item->bytes);
	free(item->packets);
	free(item);
}

void fake_ring_init(struct tpacket *ring)
{
	pthread_condattr_t attributes;

	memset(ring, 0, sizeof *ring);
	pthread_mutex_init(&ring->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&ring->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	ring->last = &ring->first;
}

void fake_ring_fini(struct tpacket *ring)
{
	while (ring->first) {
		struct fake_item *item = ring->first;

		ring->first = item->next;
		free_item(item);
	}
	pthread_cond_destroy(&ring->changed);
	pthread_mutex_destroy(&ring->lock);
}

static void append(struct tpacket *ring, struct fake_item *item)
{
	*ring->last = item;
	ring->last = &item->next;
	ring->pending++;
	pthread_cond_broadcast(&ring->changed);
}

bool fake_ring_push(struct tpacket *ring, const struct tpacket_packet *packets, size_t count)
{
	struct fake_item *item = allocate(sizeof *item);
	uint8_t *at;
	bool taken;

	for (size_t i = 0; i < count; i++)
		item->size += packets[i].captured_length + packets[i].vnet_header_length;
	item->bytes = at = allocate(item->size);
	item->packets = allocate(count * sizeof *packets);
	item->count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		struct tpacket_packet *packet = &item->packets[i];

		*packet = packets[i];
		packet->data = at;
		if (packet->captured_length)
			memcpy(at, packets[i].data, packet->captured_length);
		at += packet->captured_length;
		if (packet->vnet_header_length) {
			packet->vnet_header = at;
			memcpy(at, packets[i].vnet_header, packet->vnet_header_length);
			at += packet->vnet_header_length;
		}
	}
	pthread_mutex_lock(&ring->lock);
	taken = !ring->stopped;
	if (taken) {
		ring->counters.seen += count;
		append(ring, item);
	}
	pthread_mutex_unlock(&ring->lock);
	if (!taken)
		free_item(item);
	return taken;
}

void fake_ring_push_error(struct tpacket *ring, int error)
{
	struct fake_item *item = allocate(sizeof *item);

	item->error = error;
	item->bytes = allocate(0);
	pthread_mutex_lock(&ring->lock);
	append(ring, item);
	if (error == -ENODEV && !ring->reopens)
		ring->pending--; /* it stays */
	pthread_mutex_unlock(&ring->lock);
}

void fake_ring_lose(struct tpacket *ring, uint64_t packets)
{
	pthread_mutex_lock(&ring->lock);
	ring->counters.seen += packets;
	ring->counters.dropped += packets;
	ring->counters.freezes++;
	pthread_mutex_unlock(&ring->lock);
}

uint64_t fake_ring_leases(struct tpacket *ring)
{
	uint64_t leases;

	pthread_mutex_lock(&ring->lock);
	leases = ring->leases;
	pthread_mutex_unlock(&ring->lock);
	return leases;
}

size_t fake_ring_pending(struct tpacket *ring)
{
	size_t pending;

	pthread_mutex_lock(&ring->lock);
	pending = ring->pending;
	pthread_mutex_unlock(&ring->lock);
	return pending;
}

bool fake_ring_wait_empty(struct tpacket *ring, int timeout_ms)
{
	struct timespec at = deadline(timeout_ms);
	bool empty;

	pthread_mutex_lock(&ring->lock);
	while ((ring->pending || ring->leased) && pthread_cond_timedwait(&ring->changed, &ring->lock, &at) == 0)
		;
	empty = !ring->pending && !ring->leased;
	pthread_mutex_unlock(&ring->lock);
	return empty;
}

/* Take the first item off the script. */
static int take(struct tpacket *ring, struct tpacket_lease *ret_lease)
{
	struct fake_item *item = ring->first;
	int error = item->error;

	if (error == -ENODEV && !ring->reopens)
		return error;
	ring->first = item->next;
	if (!ring->first)
		ring->last = &ring->first;
	ring->pending--;
	pthread_cond_broadcast(&ring->changed);
	if (error) {
		free_item(item);
		return error;
	}
	ring->leased = true;
	ring->leases++;
	memset(ret_lease, 0, sizeof *ret_lease);
	ret_lease->handle = ring;
	ret_lease->block = (const uint8_t *)item;
	ret_lease->remaining_packets = item->count;
	return 1;
}

static bool readable(const struct tpacket *ring)
{
	return ring->first && (!ring->late || ring->stopped);
}

int tpacket_acquire(struct tpacket *ring, int timeout_ms, struct tpacket_lease *ret_lease)
{
	struct timespec at = deadline(timeout_ms < 0 ? 3600000 : timeout_ms);
	int r = 0;

	pthread_mutex_lock(&ring->lock);
	if (ring->leased) {
		ring->misused = true;
		r = -EBUSY;
		goto unlock;
	}
	while (!readable(ring) && !ring->woken && pthread_cond_timedwait(&ring->changed, &ring->lock, &at) == 0)
		;
	if (ring->woken)
		ring->woken = false;
	else if (readable(ring))
		r = take(ring, ret_lease);
unlock:
	pthread_mutex_unlock(&ring->lock);
	return r;
}

/* The interface: loopback, so that its speed is asked for in vain. */
unsigned int tpacket_interface_index(const struct tpacket *ring)
{
	return ring->interface_index;
}

uint16_t tpacket_hardware_type(const struct tpacket *ring)
{
	return ring->hardware_type;
}

int tpacket_fd(const struct tpacket *ring)
{
	return -1;
}

bool tpacket_lease_next(struct tpacket_lease *lease, struct tpacket_packet *ret_packet)
{
	const struct fake_item *item = (const struct fake_item *)lease->block;

	if (!lease->remaining_packets)
		return false;
	*ret_packet = item->packets[item->count - lease->remaining_packets];
	lease->remaining_packets--;
	pthread_mutex_lock(&lease->handle->lock);
	lease->handle->counters.read++;
	lease->handle->counters.truncated += !!(ret_packet->status & TPACKET_STATUS_TRUNCATED);
	pthread_mutex_unlock(&lease->handle->lock);
	return true;
}

void tpacket_release(struct tpacket_lease *lease)
{
	struct tpacket *ring = lease->handle;

	pthread_mutex_lock(&ring->lock);
	if (!ring->leased)
		ring->misused = true;
	ring->leased = false;
	pthread_cond_broadcast(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
	free_item((struct fake_item *)(uintptr_t)lease->block);
	memset(lease, 0, sizeof *lease);
}

void tpacket_wake(struct tpacket *ring)
{
	pthread_mutex_lock(&ring->lock);
	ring->woken = true;
	pthread_cond_broadcast(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

int tpacket_stop(struct tpacket *ring)
{
	pthread_mutex_lock(&ring->lock);
	ring->stopped = true;
	ring->counters.seen += ring->lost_at_stop;
	ring->counters.dropped += ring->lost_at_stop;
	ring->lost_at_stop = 0;
	pthread_cond_broadcast(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
	return 0;
}

int tpacket_stats(struct tpacket *ring, struct tpacket_counters *ret_counters)
{
	pthread_mutex_lock(&ring->lock);
	*ret_counters = ring->counters;
	pthread_mutex_unlock(&ring->lock);
	ret_counters->delivered = ret_counters->seen - ret_counters->dropped;
	if (ring->after_stats)
		ring->after_stats(ring->after_stats_context);
	return 0;
}
