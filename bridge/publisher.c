/* SPDX-License-Identifier: Apache-2.0 */
#include "publisher.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "interface_set.h"
#include "log.h"

/* Of a batch, for the facts of interfaces. */
#define INTERFACES_SHARE 4
#define INTERFACES_MAX_BYTES 32768u
/* After so many packets look at the clock: whether something is due. */
#define PACKETS_PER_LOOK 32
#define SETTLE_LOOK_MS 20
#define FLUSH_MS 25

struct wb_publisher {
	struct wb_capture capture;
	struct wb_worker *worker; /* the capture's only one */
	struct wb_interface_set interfaces;
	unsigned int until_look; /* packets */
	bool is_used;            /* the worker's interface is set */
	bool drained;
};

/* In batches there must be room for packets, too. */
static size_t interfaces_bytes(const struct wb_capture_config *config)
{
	uint64_t bytes = config->batch_bytes / INTERFACES_SHARE;

	if (bytes < WB_INTERFACE_SET_MIN_BYTES)
		return WB_INTERFACE_SET_MIN_BYTES;
	return bytes < INTERFACES_MAX_BYTES ? (size_t)bytes : INTERFACES_MAX_BYTES;
}

int wb_publisher_open(const struct wb_config *config, const uint8_t *session_id, struct wb_publisher **ret_publisher,
	struct wb_error *ret_error)
{
	struct wb_publisher *publisher = calloc(1, sizeof *publisher);
	size_t bytes = interfaces_bytes(&config->captures[0]);
	int r;

	assert(config->capture_count == 1 && config->captures[0].workers == 1);
	if (!publisher || wb_interface_set_init(&publisher->interfaces, bytes) < 0) {
		wb_publisher_close(publisher);
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	}
	r = wb_capture_open_given(&publisher->capture, config, &config->captures[0], session_id, bytes, ret_error);
	if (r < 0) {
		wb_publisher_close(publisher);
		return r;
	}
	publisher->worker = &publisher->capture.workers[0];
	publisher->worker->interfaces = publisher->interfaces.items;
	wb_worker_start_heartbeats(publisher->worker);
	*ret_publisher = publisher;
	return 0;
}

void wb_publisher_bus(struct wb_publisher *publisher, struct wb_transport_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof *ret_stats);
	publisher->capture.setup.ops->stats(publisher->capture.transport, ret_stats);
}

/* Another interface than that of the packet before. What was open goes out first if it does not name it. */
static void use_interface(struct wb_publisher *publisher, const struct wbproto_interface *interface)
{
	struct wb_worker *worker = publisher->worker;
	const struct wbproto_interface *known = wb_interface_set_find(&publisher->interfaces, interface->index);

	if (!known) {
		wb_worker_seal_all(worker);
		if (wb_interface_set_add(&publisher->interfaces, interface) < 0) {
			wb_interface_set_clear(&publisher->interfaces);
			wb_interface_set_add(&publisher->interfaces, interface);
		}
		worker->interface_count = publisher->interfaces.count;
		known = wb_interface_set_find(&publisher->interfaces, interface->index);
		assert(known); /* an empty set takes each */
	}
	worker->interface = *known;
	publisher->is_used = true;
}

static int state_of(const struct wb_worker *worker)
{
	if (atomic_load_explicit(&worker->stopping, memory_order_acquire))
		return -ECANCELED;
	return worker->transport_failed && !worker->spool ? -ESHUTDOWN : 0;
}

static void publish_due(struct wb_publisher *publisher)
{
	wb_worker_publish_due(publisher->worker, true);
	wb_worker_publish_rest(publisher->worker);
	publisher->until_look = PACKETS_PER_LOOK;
}

int wb_publisher_packet(
	struct wb_publisher *publisher, const struct wbproto_interface *interface, const struct wbproto_packet *packet)
{
	struct wb_worker *worker = publisher->worker;

	assert(packet->interface_index == interface->index);
	if (!publisher->is_used || worker->interface.index != interface->index)
		use_interface(publisher, interface);
	wb_worker_append(worker, wb_worker_stream_of(worker, packet), packet);
	if (publisher->until_look-- == 0)
		publish_due(publisher);
	return state_of(worker);
}

void wb_publisher_lost(struct wb_publisher *publisher, uint64_t packets)
{
	publisher->worker->unbooked_lost += packets;
}

/* Sleep until the time, the stop, or fd; at most until something is due. Whether fd ended it. */
static bool sleep_until(struct wb_publisher *publisher, uint64_t until_ns, uint64_t now_ns, int fd)
{
	struct pollfd fds[2] = {{.fd = publisher->worker->stop_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
	uint64_t due_ns = (uint64_t)wb_worker_until_due_ms(publisher->worker) * 1000000u;
	uint64_t wait_ns = until_ns - now_ns < due_ns ? until_ns - now_ns : due_ns;
	struct timespec timeout = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};

	return ppoll(fds, 2, &timeout, NULL) > 0 && fds[1].revents;
}

int wb_publisher_wait(struct wb_publisher *publisher, uint64_t until_ns, int fd)
{
	wb_worker_book(publisher->worker);
	for (;;) {
		uint64_t now_ns;
		int r;

		publish_due(publisher);
		r = state_of(publisher->worker);
		now_ns = wb_monotonic_ns();
		if (r < 0 || now_ns >= until_ns || sleep_until(publisher, until_ns, now_ns, fd))
			return r;
	}
}

void wb_publisher_stop(struct wb_publisher *publisher)
{
	wb_worker_stop(publisher->worker);
}

void wb_publisher_give_up(struct wb_publisher *publisher)
{
	wb_worker_give_up(publisher->worker);
}

/* What shows that the bus is at work. */
static uint64_t settled(const struct wb_ledger_totals *totals)
{
	const struct wbproto_counters *c = &totals->counters;

	return c->delivered + c->handed_over + c->failed + c->unknown + c->dropped;
}

/* Wait until the bus has settled everything, as long as it settles something now and then. Whether it has. */
static bool settle(struct wb_publisher *publisher)
{
	struct wb_worker *worker = publisher->worker;
	struct wb_ledger_totals totals;
	uint64_t progress_ns = wb_monotonic_ns(), before = UINT64_MAX;
	bool done = false;

	wb_pool_wait_begin(&worker->wake);
	while (state_of(worker) == 0) {
		wb_worker_publish_rest(worker);
		wb_ledger_snapshot(&worker->ledger, &totals);
		done = !totals.batches_in_flight && !worker->backlog;
		if (done)
			break;
		if (settled(&totals) != before)
			progress_ns = wb_monotonic_ns();
		else if (wb_monotonic_ns() - progress_ns > worker->flush_ms * 1000000u)
			break;
		before = settled(&totals);
		wb_pool_wait(&worker->wake, worker->stop_fd, SETTLE_LOOK_MS);
	}
	wb_pool_wait_end(&worker->wake);
	return done;
}

void wb_publisher_drain(struct wb_publisher *publisher)
{
	struct wb_worker *worker = publisher->worker;
	uint64_t give_up_ns;

	wb_worker_book(worker);
	wb_worker_seal_all(worker);
	if (settle(publisher) || state_of(worker) < 0)
		wb_worker_stop(worker);
	else
		wb_worker_give_up(worker);
	wb_worker_end(worker);
	/* The ends of the streams may be on their way still. */
	give_up_ns = wb_monotonic_ns() + worker->flush_ms * 1000000u;
	while (wb_capture_flush(&publisher->capture, FLUSH_MS) < 0) {
		uint64_t limit_ns = atomic_load(&worker->give_up_ns);

		if (wb_monotonic_ns() >= (limit_ns < give_up_ns ? limit_ns : give_up_ns))
			break;
	}
	if (worker->transport_failed)
		atomic_store(&worker->exit_code, -ESHUTDOWN);
	publisher->drained = true;
}

void wb_publisher_finish(struct wb_publisher *publisher)
{
	if (!publisher->drained)
		wb_publisher_drain(publisher);
	wb_capture_finish(&publisher->capture);
}

struct wb_capture *wb_publisher_capture(struct wb_publisher *publisher)
{
	return &publisher->capture;
}

void wb_publisher_totals(struct wb_publisher *publisher, struct wb_ledger_totals *ret_totals)
{
	wb_worker_totals(publisher->worker, ret_totals);
}

void wb_publisher_close(struct wb_publisher *publisher)
{
	if (!publisher)
		return;
	if (publisher->capture.transport) {
		wb_publisher_give_up(publisher);
		wb_publisher_finish(publisher);
	}
	wb_capture_close(&publisher->capture);
	wb_interface_set_fini(&publisher->interfaces);
	free(publisher);
}
