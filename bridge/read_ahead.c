/* SPDX-License-Identifier: Apache-2.0 */
#include "read_ahead.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"

#define NS_PER_S 1000000000u
#define STOP_NS 100000000u /* so long a stop may go unnoticed */
#define CACHE_LINE 64
#define PREFETCH_BYTES 4096u
#define RELEASE_PARTS 256u

/* A packet in the ring. Its texts and bytes follow, and its views point there. */
struct entry {
	size_t bytes; /* to the next one; 0: at the beginning of the ring */
	bool is_mark;
	struct wbproto_record record;
};

/*
 * Positions only ever grow; modulo capacity they are places. What lies from head to tail is to be taken. Each side says
 * for what it waits; the other one looks there after each step and wakes it. wants before, position after, both
 * sequentially consistent: one of the two sides sees the other's.
 */
struct wb_read_ahead {
	uint8_t *ring;
	size_t capacity;
	bool keep;
	const atomic_bool *stop;
	pthread_mutex_t lock;
	pthread_cond_t changed;

	alignas(CACHE_LINE) _Atomic(uint64_t) tail; /* the reading thread's */
	_Atomic(size_t) room_wanted;                /* bytes; 0: it does not wait */
	_Atomic(uint64_t) packets;                  /* put since the beginning */
	atomic_bool ended;
	bool overwrites; /* keep was given up; read by the other thread only after ended */
	uint64_t known_head;

	alignas(CACHE_LINE) _Atomic(uint64_t) head; /* the sending thread's: behind what it is done with */
	_Atomic(size_t) fill_wanted;
	atomic_bool cancelled;
	uint64_t next;     /* to be taken */
	uint64_t released; /* what head is */
	uint64_t known_tail;
};

static int init_waiting(struct wb_read_ahead *buffer)
{
	pthread_condattr_t attributes;
	int r = -pthread_mutex_init(&buffer->lock, NULL);

	if (r < 0)
		return r;
	r = -pthread_condattr_init(&attributes);
	if (r < 0)
		goto destroy_lock;
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	r = -pthread_cond_init(&buffer->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (r == 0)
		return 0;
destroy_lock:
	pthread_mutex_destroy(&buffer->lock);
	return r;
}

int wb_read_ahead_create(size_t bytes, bool keep, const atomic_bool *stop, struct wb_read_ahead **ret_buffer)
{
	struct wb_read_ahead *buffer = aligned_alloc(CACHE_LINE, sizeof(*buffer));
	int r = -ENOMEM;

	if (!buffer)
		return r;
	memset(buffer, 0, sizeof(*buffer));
	buffer->capacity = bytes / alignof(struct entry) * alignof(struct entry);
	if (buffer->capacity == 0)
		buffer->capacity = alignof(struct entry);
	buffer->keep = keep;
	buffer->stop = stop;
	buffer->ring = malloc(buffer->capacity);
	if (buffer->ring)
		r = init_waiting(buffer);
	if (r < 0) {
		free(buffer->ring);
		free(buffer);
		return r;
	}
	*ret_buffer = buffer;
	return 0;
}

void wb_read_ahead_destroy(struct wb_read_ahead *buffer)
{
	if (!buffer)
		return;
	pthread_cond_destroy(&buffer->changed);
	pthread_mutex_destroy(&buffer->lock);
	free(buffer->ring);
	free(buffer);
}

static void wake(struct wb_read_ahead *buffer)
{
	pthread_mutex_lock(&buffer->lock);
	pthread_cond_broadcast(&buffer->changed);
	pthread_mutex_unlock(&buffer->lock);
}

static bool is_stopped(const struct wb_read_ahead *buffer)
{
	return atomic_load_explicit(buffer->stop, memory_order_relaxed);
}

/* With the lock held: sleep until the other side wakes, until_ns has come, or a stop may have. */
static void sleep_locked(struct wb_read_ahead *buffer, uint64_t until_ns)
{
	uint64_t now = wb_monotonic_ns(), end = now + STOP_NS;
	struct timespec time;

	if (until_ns && until_ns < end)
		end = until_ns;
	time = (struct timespec){.tv_sec = (time_t)(end / NS_PER_S), .tv_nsec = (long)(end % NS_PER_S)};
	pthread_cond_timedwait(&buffer->changed, &buffer->lock, &time);
}

/* ---- the reading thread ---- */

/* Bytes that may be written. While everything is kept, what was taken out is still needed. */
static size_t room(struct wb_read_ahead *buffer, uint64_t tail)
{
	return buffer->capacity - (size_t)(tail - (wb_read_ahead_keeps_all(buffer) ? 0 : buffer->known_head));
}

/* Wait for room; more than is needed, so that the two threads do not wake each other for each packet. */
static int wait_for_room(struct wb_read_ahead *buffer, uint64_t tail, size_t bytes)
{
	size_t wanted = bytes > buffer->capacity / 4 ? bytes : buffer->capacity / 4;
	int r = 0;

	pthread_mutex_lock(&buffer->lock);
	for (;;) {
		atomic_store(&buffer->room_wanted, wanted);
		buffer->known_head = atomic_load(&buffer->head);
		if (room(buffer, tail) >= wanted)
			break;
		if (is_stopped(buffer) || atomic_load(&buffer->cancelled)) {
			r = -ECANCELED;
			break;
		}
		/* The buffer is as full as it gets: who waits for it to fill need not wait longer. */
		pthread_cond_broadcast(&buffer->changed);
		sleep_locked(buffer, 0);
	}
	atomic_store(&buffer->room_wanted, 0);
	pthread_mutex_unlock(&buffer->lock);
	return r;
}

static int make_room(struct wb_read_ahead *buffer, uint64_t tail, size_t bytes)
{
	if (room(buffer, tail) >= bytes)
		return 0;
	buffer->overwrites = true;
	buffer->known_head = atomic_load_explicit(&buffer->head, memory_order_acquire);
	return room(buffer, tail) >= bytes ? 0 : wait_for_room(buffer, tail, bytes);
}

static void show(struct wb_read_ahead *buffer, uint64_t tail)
{
	size_t wanted;

	atomic_store(&buffer->tail, tail);
	wanted = atomic_load(&buffer->fill_wanted);
	if (wanted && tail - atomic_load_explicit(&buffer->head, memory_order_relaxed) >= wanted)
		wake(buffer);
}

static size_t padded(size_t bytes)
{
	return (bytes + alignof(struct entry) - 1) / alignof(struct entry) * alignof(struct entry);
}

static uint8_t *copy(uint8_t *to, const void *from, size_t length, const void **ret_view)
{
	if (length)
		memcpy(to, from, length);
	*ret_view = to;
	return to + length;
}

static void fill_entry(struct entry *entry, const struct wbproto_record *record)
{
	struct wbproto_record *own = &entry->record;
	uint8_t *at = (uint8_t *)(entry + 1);

	*own = *record;
	at = copy(at, record->node.data, record->node.length, &own->node.data);
	at = copy(at, record->interface.name.data, record->interface.name.length, &own->interface.name.data);
	at = copy(at, record->interface.filter.data, record->interface.filter.length, &own->interface.filter.data);
	at = copy(at, record->packet.vnet_header, record->packet.vnet_header_length, &own->packet.vnet_header);
	copy(at, record->packet.data, record->packet.captured_length, &own->packet.data);
}

/* Room for an entry, which is in one piece; *ret_tail is behind it. */
static int reserve(struct wb_read_ahead *buffer, size_t bytes, struct entry **ret_entry, uint64_t *ret_tail)
{
	uint64_t tail = atomic_load_explicit(&buffer->tail, memory_order_relaxed);
	size_t place = (size_t)(tail % buffer->capacity), skip = 0;
	int r;

	if (bytes > buffer->capacity / 2)
		return -EMSGSIZE;
	if (buffer->capacity - place < bytes)
		skip = buffer->capacity - place;
	r = make_room(buffer, tail, skip + bytes);
	if (r < 0)
		return r;
	if (skip) {
		/* At least the first member has room there: all lengths are multiples of it. */
		*(size_t *)(void *)(buffer->ring + place) = 0;
		place = 0;
	}
	*ret_entry = (struct entry *)(void *)(buffer->ring + place);
	(*ret_entry)->bytes = bytes;
	*ret_tail = tail + skip + bytes;
	return 0;
}

static int put(struct wb_read_ahead *buffer, const struct wbproto_record *record, size_t bytes)
{
	struct entry *entry;
	uint64_t tail;
	int r;

	if (atomic_load_explicit(&buffer->cancelled, memory_order_relaxed))
		return -ECANCELED;
	r = reserve(buffer, padded(bytes), &entry, &tail);
	if (r < 0)
		return r;
	entry->is_mark = !record;
	if (record) {
		fill_entry(entry, record);
		atomic_store_explicit(&buffer->packets,
			atomic_load_explicit(&buffer->packets, memory_order_relaxed) + 1, memory_order_relaxed);
	}
	show(buffer, tail);
	return 0;
}

int wb_read_ahead_put(struct wb_read_ahead *buffer, const struct wbproto_record *record)
{
	return put(buffer, record,
		sizeof(struct entry) + record->node.length + record->interface.name.length +
			record->interface.filter.length + record->packet.vnet_header_length +
			record->packet.captured_length);
}

int wb_read_ahead_mark(struct wb_read_ahead *buffer)
{
	return put(buffer, NULL, sizeof(struct entry));
}

bool wb_read_ahead_keeps_all(const struct wb_read_ahead *buffer)
{
	return buffer->keep && !buffer->overwrites;
}

const atomic_bool *wb_read_ahead_cancelled(const struct wb_read_ahead *buffer)
{
	return &buffer->cancelled;
}

void wb_read_ahead_end(struct wb_read_ahead *buffer)
{
	atomic_store(&buffer->ended, true);
	wake(buffer);
}

/* ---- the sending thread ---- */

bool wb_read_ahead_wait(struct wb_read_ahead *buffer, size_t bytes, uint64_t until_ns)
{
	bool in_time = true;

	pthread_mutex_lock(&buffer->lock);
	for (;;) {
		atomic_store(&buffer->fill_wanted, bytes ? bytes : 1);
		uint64_t filled = atomic_load(&buffer->tail) - buffer->next;
		if (filled >= (bytes ? bytes : 1) || atomic_load(&buffer->ended) || is_stopped(buffer))
			break;
		/* Full. An empty buffer is not: the other thread was woken, and has not run yet. */
		if (filled && atomic_load(&buffer->room_wanted))
			break;
		if (until_ns && wb_monotonic_ns() >= until_ns) {
			in_time = false;
			break;
		}
		sleep_locked(buffer, until_ns);
	}
	atomic_store(&buffer->fill_wanted, 0);
	pthread_mutex_unlock(&buffer->lock);
	return in_time;
}

uint64_t wb_read_ahead_packets(const struct wb_read_ahead *buffer)
{
	return atomic_load_explicit(&buffer->packets, memory_order_relaxed);
}

/* What was taken may be overwritten. */
static void release(struct wb_read_ahead *buffer)
{
	size_t wanted;

	buffer->released = buffer->next;
	atomic_store(&buffer->head, buffer->next);
	wanted = atomic_load(&buffer->room_wanted);
	if (wanted && buffer->capacity - (atomic_load(&buffer->tail) - buffer->next) >= wanted)
		wake(buffer);
}

static bool is_empty(struct wb_read_ahead *buffer)
{
	if (buffer->known_tail == buffer->next)
		buffer->known_tail = atomic_load_explicit(&buffer->tail, memory_order_acquire);
	return buffer->known_tail == buffer->next;
}

/*
 * What will be taken soon, into the cache: entries lie one behind the other, and are as a rule long out of it. Behind
 * the ring's end this is of no use, and does no harm.
 */
static void prefetch(const struct entry *entry)
{
	const char *ahead = (const char *)entry + PREFETCH_BYTES;

	for (size_t i = 0; i < entry->bytes && i < PREFETCH_BYTES; i += CACHE_LINE)
		__builtin_prefetch(ahead + i);
}

int wb_read_ahead_next(struct wb_read_ahead *buffer, const struct wbproto_record **ret_record)
{
	const struct entry *entry;
	size_t place;
	bool ended;

	/* Not for each packet: it would cost more than the packet. */
	if (buffer->next - buffer->released >= buffer->capacity / RELEASE_PARTS)
		release(buffer);
	if (is_empty(buffer)) {
		release(buffer);
		/* In this order: what came before the end is seen. */
		ended = atomic_load(&buffer->ended);
		if (is_empty(buffer))
			return ended ? -ENODATA : 0;
	}
	place = (size_t)(buffer->next % buffer->capacity);
	entry = (const struct entry *)(const void *)(buffer->ring + place);
	if (entry->bytes == 0) {
		buffer->next += buffer->capacity - place;
		entry = (const struct entry *)(const void *)buffer->ring;
	}
	prefetch(entry);
	buffer->next += entry->bytes;
	*ret_record = &entry->record;
	return entry->is_mark ? 2 : 1;
}

bool wb_read_ahead_rewind(struct wb_read_ahead *buffer)
{
	if (!wb_read_ahead_keeps_all(buffer))
		return false;
	buffer->next = 0;
	release(buffer);
	return true;
}

void wb_read_ahead_cancel(struct wb_read_ahead *buffer)
{
	atomic_store(&buffer->cancelled, true);
	wake(buffer);
}
