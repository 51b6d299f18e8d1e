/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nats.h"

#define FIRST_RETRY_MS 100
#define LAST_RETRY_MS 2000
#define LOOK_MS 1000 /* how often an idle connection is looked after */

uint64_t nats_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void nats_wake(struct wb_transport *transport)
{
	const uint64_t one = 1;

	if (atomic_exchange(&transport->awake, true))
		return;
	/* Cannot fail: the counter is far from its limit. */
	(void)!write(transport->wake_fd, &one, sizeof(one));
}

void nats_settle(struct wb_transport *transport, struct item *item, enum wb_result result, enum wb_cause cause)
{
	struct wb_batch *batch = item->batch;
	const size_t size = batch->size;

	item->batch = NULL;
	batch->settle(batch, result, cause);
	if (result == WB_RESULT_DELIVERED || result == WB_RESULT_HANDED_OVER)
		atomic_fetch_add(&transport->bytes, size);
	atomic_fetch_add(&transport->settled, 1);
	pthread_mutex_lock(&transport->lock);
	pthread_cond_broadcast(&transport->settled_some);
	pthread_mutex_unlock(&transport->lock);
}

/* The oldest of the lane; valid until popped is raised. NULL: none. */
struct item *nats_front(struct wb_lane *lane)
{
	const uint64_t popped = atomic_load_explicit(&lane->popped, memory_order_relaxed);

	if (popped == atomic_load_explicit(&lane->pushed, memory_order_acquire))
		return NULL;
	return &lane->items[popped % lane->capacity];
}

/* Take batches, one of each lane in turn. */
static void fill_window(struct wb_transport *transport)
{
	size_t bytes = 0;
	bool any = true;

	while (any) {
		any = false;
		for (struct wb_lane *lane = atomic_load(&transport->lanes); lane; lane = lane->next) {
			struct item *front = nats_front(lane);

			if (!front || transport->window_count == WINDOW_BATCHES || bytes >= WINDOW_BYTES)
				continue;
			bytes += front->batch->size;
			transport->window[transport->window_count++] = *front;
			/* Release: the worker may write the slot again only after it was read. */
			atomic_fetch_add_explicit(&lane->popped, 1, memory_order_release);
			any = true;
		}
	}
}

/* Until a batch comes, the transport stops, or timeout_ms have passed. */
static void pause_sender(struct wb_transport *transport, uint64_t timeout_ms)
{
	struct pollfd fd = {.fd = transport->wake_fd, .events = POLLIN};
	uint64_t count;

	if (poll(&fd, 1, (int)timeout_ms) > 0)
		(void)!read(transport->wake_fd, &count, sizeof(count));
	/* First this, then the queues: a batch queued after we looked finds it off and wakes us again. */
	atomic_store(&transport->awake, false);
}

/* Say once what is wrong, and again only when it is something else. */
static void report_trouble(struct wb_transport *transport)
{
	if (strcmp(transport->reason, transport->reported) == 0)
		return;
	memcpy(transport->reported, transport->reason, sizeof(transport->reported));
	transport->log(transport->log_context, WB_LOG_WARNING, "%s: %s; batches wait, and are sent when it is over",
		transport->url, transport->reason);
}

static void give_up(struct wb_transport *transport)
{
	nats_disconnect(transport);
	atomic_store(&transport->connected, false);
	report_trouble(transport);
	transport->retry_ms = transport->retry_ms == 0 ? FIRST_RETRY_MS : transport->retry_ms * 2;
	if (transport->retry_ms > LAST_RETRY_MS)
		transport->retry_ms = LAST_RETRY_MS;
	transport->next_attempt_ms = nats_now_ms() + transport->retry_ms;
}

/* Connect when it is time to. False: not now. */
static bool connected(struct wb_transport *transport)
{
	const uint64_t now_ms = nats_now_ms();

	if (transport->connection && nats_alive(transport))
		return true;
	if (!transport->connection && now_ms < transport->next_attempt_ms) {
		pause_sender(transport, transport->next_attempt_ms - now_ms);
		return false;
	}
	if (!transport->connection && nats_connect(transport)) {
		atomic_fetch_add(&transport->connects, 1);
		atomic_store(&transport->connected, true);
		return true;
	}
	give_up(transport);
	return false;
}

/* A window went through: whatever was wrong is over. */
static void all_well(struct wb_transport *transport)
{
	if (transport->reported[0])
		transport->log(
			transport->log_context, WB_LOG_INFO, "%s: the server takes batches again", transport->url);
	transport->reported[0] = '\0';
	transport->retry_ms = 0;
	transport->window_count = 0;
}

/* What is left at the end. */
static void settle_window(struct wb_transport *transport)
{
	for (unsigned int i = 0; i < transport->window_count; i++) {
		struct item *item = &transport->window[i];

		if (item->batch)
			nats_settle(transport, item, item->sent ? WB_RESULT_UNKNOWN : WB_RESULT_FAILED,
				item->sent ? WB_CAUSE_NONE : WB_CAUSE_SHUTDOWN);
	}
	transport->window_count = 0;
}

void *nats_send(void *argument)
{
	struct wb_transport *transport = argument;

	while (!atomic_load(&transport->stop)) {
		if (!connected(transport))
			continue;
		/* While something of the last window is outstanding, nothing newer may overtake it. */
		if (transport->window_count == 0)
			fill_window(transport);
		if (transport->window_count == 0)
			pause_sender(transport, LOOK_MS);
		else if (!nats_send_window(transport) || !nats_confirm_window(transport))
			give_up(transport);
		else if (!atomic_load(&transport->stop))
			all_well(transport);
	}
	nats_disconnect(transport);
	settle_window(transport);
	nats_ReleaseThreadMemory();
	return NULL;
}
