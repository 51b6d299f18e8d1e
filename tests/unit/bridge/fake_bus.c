/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *grow(void *memory, size_t count, size_t size)
{
	memory = reallocarray(memory, count, size);
	if (!memory)
		abort();
	return memory;
}

/* Take the oldest batch held off the list; what it holds must be what it held when it was published. */
static struct wb_batch *unhold(struct wb_lane *bus)
{
	struct wb_batch *batch = bus->held[0];
	const struct fake_message *message = &bus->messages[bus->held_message[0]];

	if (batch->size != message->batch.size || memcmp(batch->data, message->data, batch->size) != 0 ||
		batch->packets != message->batch.packets || batch->batch_seq != message->batch.batch_seq)
		bus->damaged = true;
	bus->held_count--;
	memmove(bus->held, bus->held + 1, bus->held_count * sizeof bus->held[0]);
	memmove(bus->held_message, bus->held_message + 1, bus->held_count * sizeof bus->held_message[0]);
	return batch;
}

/* Without the lock: bus->result, cause and fail_every do not change while something is published. */
static void settle(struct wb_lane *bus, struct wb_batch *batch)
{
	uint32_t count = batch->record_count;

	if (!bus->fail_every || !count) {
		batch->settle(batch, bus->result, bus->cause);
		return;
	}
	for (uint32_t i = 1; i <= count; i++) {
		bool failed = i % bus->fail_every == 0;
		bool last = batch->settle_records(batch, i - 1, 1, failed ? WB_RESULT_FAILED : bus->result,
			failed ? bus->fail_cause : WB_CAUSE_NONE);

		if (last != (i == count))
			abort();
	}
}

static void *settle_main(void *context)
{
	struct wb_lane *bus = context;

	pthread_mutex_lock(&bus->lock);
	while (!bus->stop) {
		struct wb_batch *batch;

		if (bus->settling != FAKE_SETTLE_LATER || !bus->held_count) {
			pthread_cond_wait(&bus->changed, &bus->lock);
			continue;
		}
		batch = unhold(bus);
		pthread_mutex_unlock(&bus->lock);
		settle(bus, batch);
		pthread_mutex_lock(&bus->lock);
	}
	pthread_mutex_unlock(&bus->lock);
	return NULL;
}

void fake_bus_init(struct wb_lane *bus)
{
	pthread_condattr_t attributes;

	memset(bus, 0, sizeof *bus);
	pthread_mutex_init(&bus->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&bus->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	bus->result = WB_RESULT_DELIVERED;
	bus->fail_cause = WB_CAUSE_REFUSED;
	if (pthread_create(&bus->thread, NULL, settle_main, bus) != 0)
		abort();
}

void fake_bus_fini(struct wb_lane *bus)
{
	pthread_mutex_lock(&bus->lock);
	bus->stop = true;
	pthread_cond_broadcast(&bus->changed);
	pthread_mutex_unlock(&bus->lock);
	pthread_join(bus->thread, NULL);
	for (size_t i = 0; i < bus->message_count; i++) {
		free(bus->messages[i].data);
		free(bus->messages[i].records);
	}
	free(bus->messages);
	free(bus->held);
	free(bus->held_message);
	pthread_cond_destroy(&bus->changed);
	pthread_mutex_destroy(&bus->lock);
}

void fake_bus_set_settling(struct wb_lane *bus, enum fake_settling settling)
{
	pthread_mutex_lock(&bus->lock);
	bus->settling = settling;
	pthread_cond_broadcast(&bus->changed);
	pthread_mutex_unlock(&bus->lock);
}

void fake_bus_refuse(struct wb_lane *bus, int error, uint64_t count)
{
	pthread_mutex_lock(&bus->lock);
	bus->error = error;
	bus->error_count = count;
	pthread_mutex_unlock(&bus->lock);
}

size_t fake_bus_release(struct wb_lane *bus, size_t count)
{
	size_t done = 0;

	for (; done < count; done++) {
		struct wb_batch *batch = NULL;

		pthread_mutex_lock(&bus->lock);
		if (bus->held_count)
			batch = unhold(bus);
		pthread_mutex_unlock(&bus->lock);
		if (!batch)
			break;
		settle(bus, batch);
	}
	return done;
}

size_t fake_bus_messages(struct wb_lane *bus)
{
	size_t count;

	pthread_mutex_lock(&bus->lock);
	count = bus->message_count;
	pthread_mutex_unlock(&bus->lock);
	return count;
}

uint64_t fake_bus_refused(struct wb_lane *bus)
{
	uint64_t refused;

	pthread_mutex_lock(&bus->lock);
	refused = bus->refused;
	pthread_mutex_unlock(&bus->lock);
	return refused;
}

static bool wait_counts(struct wb_lane *bus, size_t messages, uint64_t refused, int timeout_ms)
{
	uint64_t until_ns = monotonic_ns() + (uint64_t)timeout_ms * 1000000u;
	struct timespec at = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};
	bool reached;

	pthread_mutex_lock(&bus->lock);
	while ((bus->message_count < messages || bus->refused < refused) &&
		pthread_cond_timedwait(&bus->changed, &bus->lock, &at) == 0)
		;
	reached = bus->message_count >= messages && bus->refused >= refused;
	pthread_mutex_unlock(&bus->lock);
	return reached;
}

bool fake_bus_wait_messages(struct wb_lane *bus, size_t count, int timeout_ms)
{
	return wait_counts(bus, count, 0, timeout_ms);
}

bool fake_bus_wait_refused(struct wb_lane *bus, uint64_t count, int timeout_ms)
{
	return wait_counts(bus, 0, count, timeout_ms);
}

static void keep(struct wb_lane *bus, const struct wb_batch *batch, const struct wb_route *route)
{
	struct fake_message *message;

	if (bus->message_count == bus->message_room) {
		bus->message_room = bus->message_room ? 2 * bus->message_room : 64;
		bus->messages = grow(bus->messages, bus->message_room, sizeof *bus->messages);
		bus->held = grow(bus->held, bus->message_room, sizeof(struct wb_batch *));
		bus->held_message = grow(bus->held_message, bus->message_room, sizeof *bus->held_message);
	}
	message = &bus->messages[bus->message_count++];
	memset(message, 0, sizeof *message);
	message->data = grow(NULL, batch->size, 1);
	memcpy(message->data, batch->data, batch->size);
	message->batch = *batch;
	memcpy(message->session_id, batch->session_id, sizeof message->session_id);
	if (batch->record_count) {
		message->records = grow(NULL, batch->record_count, sizeof *message->records);
		memcpy(message->records, batch->records, batch->record_count * sizeof *message->records);
	}
	message->key_size = route->key_size;
	if (route->key_size && route->key_size < sizeof message->key)
		memcpy(message->key, route->key, route->key_size);
	if (route->topic_suffix)
		strncpy(message->topic_suffix, route->topic_suffix, sizeof message->topic_suffix - 1);
	message->default_topic = !route->topic;
	message->partition = route->partition;
	message->published_ns = monotonic_ns();
}

static int fake_publish(struct wb_lane *bus, struct wb_batch *batch, const struct wb_route *route)
{
	bool now;
	int r = 0;

	pthread_mutex_lock(&bus->lock);
	if (bus->error_count) {
		if (bus->error_count != FAKE_FOR_EVER)
			bus->error_count--;
		bus->refused++;
		r = bus->error;
	} else {
		keep(bus, batch, route);
	}
	now = r == 0 && bus->settling == FAKE_SETTLE_NOW;
	if (r == 0 && !now) {
		bus->held[bus->held_count] = batch;
		bus->held_message[bus->held_count++] = bus->message_count - 1;
		if (bus->held_count > bus->most_held)
			bus->most_held = bus->held_count;
	}
	pthread_cond_broadcast(&bus->changed);
	pthread_mutex_unlock(&bus->lock);
	if (now)
		settle(bus, batch);
	return r;
}

/* A worker calls nothing else. */
const struct wb_transport_ops fake_bus_ops = {
	.abi = WB_TRANSPORT_ABI,
	.name = "fake",
	.publish = fake_publish,
};
