/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets onto a bus, through a publisher (publisher.h), as new streams of this process with the packets' own facts and
 * times. Packets of different nodes and captures may use the same number for different interfaces; here each gets one
 * of its own.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "publisher.h"
#include "replay_out.h"
#include "uuid.h"

#define NS_PER_S 1000000000u
#define NS_PER_MS UINT64_C(1000000)
#define LOOK_NS (25 * NS_PER_MS)
#define STOP_NS (100 * NS_PER_MS) /* so long a stop may go unnoticed */
/* Until a subscriber's subscription has come, PUB sends it nothing, and nobody tells when it came. */
#define SUBSCRIBE_NS (250 * NS_PER_MS)
/* Interfaces that are kept in mind: when there are more, the eldest are forgotten, and get a new number later. */
#define KNOWN_INTERFACES 64u

struct known_interface {
	uint32_t number; /* 0: none is here */
	struct wbproto_interface facts;
	char *texts; /* name and filter, which facts point to */
};

struct wb_out {
	struct wb_out_base base;
	struct wb_publisher *publisher;
	uint8_t session_id[16];
	struct known_interface known[KNOWN_INTERFACES];
	unsigned int last, eldest;
	uint32_t numbers; /* given */
	uint64_t put;

	/* Hands a stop on to the publisher, which may be waiting for the bus. */
	pthread_t watcher;
	bool is_watched;
	pthread_mutex_t lock;
	pthread_cond_t done_changed;
	bool done;
};

static bool is_stopped(const struct wb_out *out)
{
	return atomic_load_explicit(out->base.stop, memory_order_relaxed);
}

static void *watch(void *argument)
{
	struct wb_out *out = argument;

	pthread_mutex_lock(&out->lock);
	while (!out->done && !is_stopped(out)) {
		uint64_t end_ns = wb_monotonic_ns() + STOP_NS;
		struct timespec end = {.tv_sec = (time_t)(end_ns / NS_PER_S), .tv_nsec = (long)(end_ns % NS_PER_S)};

		pthread_cond_timedwait(&out->done_changed, &out->lock, &end);
	}
	pthread_mutex_unlock(&out->lock);
	if (is_stopped(out))
		wb_publisher_stop(out->publisher);
	return NULL;
}

static int start_watching(struct wb_out *out)
{
	pthread_condattr_t attributes;
	int r;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_mutex_init(&out->lock, NULL);
	pthread_cond_init(&out->done_changed, &attributes);
	pthread_condattr_destroy(&attributes);
	r = -pthread_create(&out->watcher, NULL, watch, out);
	out->is_watched = r == 0;
	return r;
}

static void end_watching(struct wb_out *out)
{
	if (!out->is_watched)
		return;
	pthread_mutex_lock(&out->lock);
	out->done = true;
	pthread_cond_signal(&out->done_changed);
	pthread_mutex_unlock(&out->lock);
	pthread_join(out->watcher, NULL);
	pthread_cond_destroy(&out->done_changed);
	pthread_mutex_destroy(&out->lock);
	out->is_watched = false;
}

/* ---- interfaces ---- */

static bool is_same_view(struct wbproto_view a, struct wbproto_view b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static bool is_same(const struct known_interface *known, const struct wbproto_interface *interface)
{
	const struct wbproto_interface *facts = &known->facts;

	return known->number && facts->link_type == interface->link_type &&
	       facts->snap_length == interface->snap_length && facts->speed_bps == interface->speed_bps &&
	       facts->timestamp_source == interface->timestamp_source &&
	       facts->defragmented == interface->defragmented && is_same_view(facts->name, interface->name) &&
	       is_same_view(facts->filter, interface->filter);
}

static int remember(struct wb_out *out, struct known_interface *known, const struct wbproto_interface *interface)
{
	char *texts = malloc(interface->name.length + interface->filter.length + 1);

	if (!texts)
		return wb_fail(&out->base.error, -ENOMEM, "out of memory");
	free(known->texts);
	known->texts = texts;
	known->facts = *interface;
	if (interface->name.length)
		memcpy(texts, interface->name.data, interface->name.length);
	known->facts.name.data = texts;
	texts += interface->name.length;
	if (interface->filter.length)
		memcpy(texts, interface->filter.data, interface->filter.length);
	known->facts.filter.data = texts;
	known->number = ++out->numbers;
	known->facts.index = known->number;
	return 0;
}

static int find_interface(
	struct wb_out *out, const struct wbproto_interface *interface, const struct known_interface **ret_known)
{
	int r = 0;

	*ret_known = &out->known[out->last];
	if (is_same(*ret_known, interface))
		return 0;
	for (out->last = 0; out->last < KNOWN_INTERFACES; out->last++)
		if (is_same(&out->known[out->last], interface))
			break;
	if (out->last == KNOWN_INTERFACES) {
		out->last = out->eldest;
		out->eldest = (out->eldest + 1) % KNOWN_INTERFACES;
		r = remember(out, &out->known[out->last], interface);
	}
	*ret_known = &out->known[out->last];
	return r;
}

/* ---- packets ---- */

/* What the publisher answered: 0, or why nothing more can be given. */
static int check(struct wb_out *out, int r)
{
	if (r == -ECANCELED || (r < 0 && is_stopped(out)))
		return -EINTR;
	return r < 0 ? wb_fail(&out->base.error, r, "the bus takes no more packets") : 0;
}

static int bus_put(struct wb_out *out, const struct wbproto_record *record, uint64_t due_ns)
{
	struct wbproto_packet packet = record->packet;
	struct wb_tally *tally = out->base.tally;
	const struct known_interface *known;
	int r;

	if (is_stopped(out)) {
		wb_tally_add(&tally->unsent[WB_UNSENT_LEFT], 1);
		return -EINTR;
	}
	r = find_interface(out, &record->interface, &known);
	if (r < 0) {
		wb_tally_add(&tally->unsent[WB_UNSENT_OTHER], 1);
		return r;
	}
	packet.interface_index = known->number;
	r = wb_publisher_packet(out->publisher, &known->facts, &packet);
	/* For the time being; bus_finish() knows it. */
	out->put++;
	wb_tally_add(&tally->sent, 1);
	wb_tally_add(&tally->sent_bytes, packet.captured_length);
	if (due_ns)
		wb_lateness_note(&tally->lateness, due_ns, wb_monotonic_ns());
	return check(out, r);
}

static int bus_wait(struct wb_out *out, uint64_t due_ns)
{
	int r = 0;

	do {
		uint64_t end_ns = wb_monotonic_ns() + STOP_NS;

		if (is_stopped(out))
			return -EINTR;
		r = check(out, wb_publisher_wait(out->publisher, due_ns < end_ns ? due_ns : end_ns, -1));
	} while (r == 0 && due_ns > wb_monotonic_ns());
	return r;
}

/* The ledger says what became of all. */
static int bus_finish(struct wb_out *out)
{
	struct wb_tally *tally = out->base.tally;
	struct wb_ledger_totals totals;
	uint64_t sent, left;

	if (is_stopped(out))
		wb_publisher_stop(out->publisher);
	wb_publisher_finish(out->publisher);
	wb_publisher_totals(out->publisher, &totals);
	sent = totals.counters.delivered + totals.counters.handed_over;
	left = totals.counters.dropped_shutdown;
	atomic_store(&tally->sent, sent);
	wb_tally_add(&tally->unsent[WB_UNSENT_LEFT], left);
	wb_tally_add(&tally->unsent[WB_UNSENT_BUS], out->put - sent - left);
	if (out->put != sent + left)
		wb_ledger_print_text(stderr, "replay", &totals);
	return 0;
}

static void bus_close(struct wb_out *out)
{
	if (!out)
		return;
	end_watching(out);
	wb_publisher_close(out->publisher);
	for (unsigned int i = 0; i < KNOWN_INTERFACES; i++)
		free(out->known[i].texts);
	free(out);
}

static const struct wb_out_ops bus_ops = {
	.name = "bus",
	.put = bus_put,
	.wait = bus_wait,
	.finish = bus_finish,
	.close = bus_close,
};

/* ---- the bus answers ---- */

static bool has_bus(struct wb_out *out, bool is_pub)
{
	struct wb_transport_stats stats;

	wb_publisher_bus(out->publisher, &stats);
	return stats.connected && (!is_pub || stats.peers > 0);
}

/* PUB is of use without subscribers, but not for packets that are sent once. */
static int await_bus(struct wb_out *out, const char *url, uint64_t wait_ms, struct wb_error *ret_error)
{
	uint64_t begin_ns = wb_monotonic_ns();
	bool is_pub = strncmp(url, "zmq+pub:", 8) == 0;
	int r = 0;

	while (r == 0 && !has_bus(out, is_pub)) {
		if (wait_ms && wb_monotonic_ns() - begin_ns >= wait_ms * NS_PER_MS)
			return wb_fail(ret_error, -ETIMEDOUT, "%s: %s within %llu ms (--wait); nothing was sent", url,
				strncmp(url, "zmq+", 4) == 0 ? "no consumer" : "no answer",
				(unsigned long long)wait_ms);
		r = bus_wait(out, wb_monotonic_ns() + LOOK_NS);
	}
	if (r == 0 && is_pub)
		r = bus_wait(out, wb_monotonic_ns() + SUBSCRIBE_NS);
	return r < 0 ? wb_fail(ret_error, r, "stopped while waiting for the bus; nothing was sent") : 0;
}

static int start(struct wb_out *out, const struct wb_config *config, uint64_t wait_ms, struct wb_error *ret_error)
{
	int r = wb_uuid7(out->session_id);

	if (r < 0)
		return wb_fail(ret_error, r, "cannot make a session's name: %s", strerror(-r));
	r = wb_publisher_open(config, out->session_id, &out->publisher, ret_error);
	if (r < 0)
		return r;
	r = start_watching(out);
	if (r < 0)
		return wb_fail(ret_error, r, "cannot start a thread: %s", strerror(-r));
	return await_bus(out, config->captures[0].to, wait_ms, ret_error);
}

int wb_out_bus_open(const struct wb_config *config, uint64_t wait_ms, struct wb_tally *tally, const atomic_bool *stop,
	struct wb_out **ret_out, struct wb_error *ret_error)
{
	struct wb_out *out = calloc(1, sizeof(*out));
	int r;

	if (!out)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	out->base = (struct wb_out_base){.ops = &bus_ops, .tally = tally, .stop = stop};
	r = start(out, config, wait_ms, ret_error);
	if (r < 0) {
		bus_close(out);
		return r;
	}
	*ret_out = out;
	return 0;
}
