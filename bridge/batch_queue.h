/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded queue of batches from one thread, a lane's worker, to one other. No lock, and neither side ever waits.
 *
 *   wb_batch_queue_init(&queue, 64);
 *   worker:  if (!wb_batch_queue_push(&queue, batch)) return -EAGAIN;
 *   thread:  while ((batch = wb_batch_queue_pop(&queue))) ...
 */
#ifndef WB_BATCH_QUEUE_H
#define WB_BATCH_QUEUE_H

#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "wirebus/transport.h"

struct wb_batch_queue {
	struct wb_batch **slots;
	unsigned int size;                     /* of slots: a power of two */
	unsigned int capacity;                 /* batches */
	alignas(64) _Atomic unsigned int tail; /* the worker's: batches pushed so far */
	alignas(64) _Atomic unsigned int head; /* the other thread's: batches popped so far */
};

/* Errors: -ENOMEM; -EINVAL: capacity is 0 or more than 2^20. */
static inline int wb_batch_queue_init(struct wb_batch_queue *queue, unsigned int capacity)
{
	if (capacity == 0 || capacity > 1u << 20)
		return -EINVAL;
	queue->capacity = capacity;
	queue->size = 1;
	while (queue->size < capacity)
		queue->size *= 2;
	queue->slots = calloc(queue->size, sizeof(struct wb_batch *));
	atomic_init(&queue->tail, 0);
	atomic_init(&queue->head, 0);
	return queue->slots ? 0 : -ENOMEM;
}

static inline void wb_batch_queue_fini(struct wb_batch_queue *queue)
{
	free(queue->slots);
	queue->slots = NULL;
}

/* For the worker: if not, the next push succeeds. */
static inline bool wb_batch_queue_is_full(struct wb_batch_queue *queue)
{
	return atomic_load_explicit(&queue->tail, memory_order_relaxed) -
	               atomic_load_explicit(&queue->head, memory_order_acquire) >=
	       queue->capacity;
}

/* False: full. */
static inline bool wb_batch_queue_push(struct wb_batch_queue *queue, struct wb_batch *batch)
{
	unsigned int tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);

	if (tail - atomic_load_explicit(&queue->head, memory_order_acquire) >= queue->capacity)
		return false;
	queue->slots[tail & (queue->size - 1)] = batch;
	/* Release: who sees the new tail sees the slot. */
	atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
	return true;
}

/* NULL: empty. */
static inline struct wb_batch *wb_batch_queue_pop(struct wb_batch_queue *queue)
{
	unsigned int head = atomic_load_explicit(&queue->head, memory_order_relaxed);
	struct wb_batch *batch;

	if (head == atomic_load_explicit(&queue->tail, memory_order_acquire))
		return NULL;
	batch = queue->slots[head & (queue->size - 1)];
	/* Release: the worker may fill the slot again only after it was read. */
	atomic_store_explicit(&queue->head, head + 1, memory_order_release);
	return batch;
}

#endif
