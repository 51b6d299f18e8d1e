/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "interface.h"
#include "log.h"
#include "record_batch.h"

#define CONTROL_BUFFERS 4
#define OVERSIZE_BUFFERS 4
/* With no more of them free, a small pool counts as empty. */
#define SMALL_POOL_RESERVE 1
/* Room in a control buffer beyond the batch's facts. */
#define CONTROL_SLACK_BYTES 256

void wb_worker_name(const struct wb_worker *worker, char *name, size_t size)
{
	snprintf(name, size, "%s/%u", worker->config->name ? worker->config->name : worker->config->interface,
		worker->worker_id);
}

unsigned int wb_worker_free_buffers(void *context)
{
	struct wb_worker *worker = context;

	if (wb_pool_free_count(&worker->oversize) <= SMALL_POOL_RESERVE ||
		wb_pool_free_count(&worker->control) <= SMALL_POOL_RESERVE || wb_worker_spool_short(worker))
		return 0;
	return wb_pool_free_count(&worker->pool);
}

/* tpacket_packet.packet_type as the direction and reception bits of the flags word. */
static uint32_t direction_flags(uint8_t packet_type)
{
	static const uint32_t flags[] = {
		[TPACKET_TYPE_HOST] = WBPROTO_PACKET_INBOUND | WBPROTO_PACKET_UNICAST,
		[TPACKET_TYPE_BROADCAST] = WBPROTO_PACKET_INBOUND | WBPROTO_PACKET_BROADCAST,
		[TPACKET_TYPE_MULTICAST] = WBPROTO_PACKET_INBOUND | WBPROTO_PACKET_MULTICAST,
		[TPACKET_TYPE_OTHER_HOST] = WBPROTO_PACKET_INBOUND | WBPROTO_PACKET_PROMISCUOUS,
		[TPACKET_TYPE_OUTGOING] = WBPROTO_PACKET_OUTBOUND,
	};

	return packet_type < sizeof flags / sizeof flags[0] ? flags[packet_type] : 0;
}

/* Status bits that become bits of the flags word or of the packet's status: rare, so kept out of the common path. */
static void convert_status(uint32_t status, struct wbproto_packet *packet)
{
	if (status & TPACKET_STATUS_CHECKSUM_NOT_READY)
		packet->flags |= WBPROTO_PACKET_CHECKSUM_NOT_READY;
	if (status & TPACKET_STATUS_CHECKSUM_VALID)
		packet->flags |= WBPROTO_PACKET_CHECKSUM_VALID;
	if (status & TPACKET_STATUS_GSO_TCP)
		packet->flags |= WBPROTO_PACKET_TSO;
	if (status & TPACKET_STATUS_TRUNCATED)
		packet->status |= WBPROTO_PACKET_TRUNCATED;
	if (status & TPACKET_STATUS_LOSING)
		packet->status |= WBPROTO_PACKET_LOSING;
	if (status & TPACKET_STATUS_TIME_HARDWARE)
		packet->status |= WBPROTO_PACKET_HARDWARE_TIME;
}

/* A header of zeros says that no offload is pending: not worth its bytes. */
static bool is_zero(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i])
			return false;
	return true;
}

/* snap_length: the kernel's filter may keep more than the user wants, see own_filter.h. */
static void convert(const struct tpacket_packet *from, uint32_t snap_length, struct wbproto_packet *packet)
{
	packet->time_unix_ns = from->time_ns;
	packet->data = from->data;
	packet->captured_length = from->captured_length < snap_length ? from->captured_length : snap_length;
	packet->original_length = from->original_length;
	packet->interface_index = from->interface_index;
	packet->flags = direction_flags(from->packet_type);
	packet->rx_hash = from->rx_hash;
	packet->status = 0;
	packet->vlan_tci = from->vlan_tci;
	packet->vlan_tpid = from->vlan_tpid;
	packet->vnet_header_length = 0;
	packet->vnet_header = NULL;
	if (from->status)
		convert_status(from->status, packet);
	if (from->vnet_header_length && !is_zero(from->vnet_header, from->vnet_header_length)) {
		packet->vnet_header = from->vnet_header;
		packet->vnet_header_length = from->vnet_header_length;
	}
}

static void walk(struct wb_worker *worker, struct tpacket_lease *lease)
{
	struct tpacket_packet from;
	struct wbproto_packet packet;

	while (tpacket_lease_next(lease, &from)) {
		convert(&from, worker->interface.snap_length, &packet);
		worker->unbooked_truncated += !!(from.status & TPACKET_STATUS_TRUNCATED);
		wb_worker_append(worker, wb_worker_stream_of(worker, &packet), &packet);
	}
	wb_worker_book(worker);
}

static bool stopping(const struct wb_worker *worker)
{
	return atomic_load_explicit(&worker->stopping, memory_order_acquire);
}

/* The interface is back, perhaps with another index. What was captured before goes with the facts of before. */
static int interface_is_back(struct wb_worker *worker, const char *name)
{
	struct wbproto_interface interface;
	struct wb_error error;
	int r = wb_interface_describe(worker->config, worker->ring, &interface, &error);

	if (r == 0 && worker->relink && interface.link_type != worker->interface.link_type)
		r = worker->relink(worker->relink_context, worker->ring, interface.link_type, &error);
	if (r < 0) {
		wb_log(WB_LOG_ERROR, "capture %s: after the interface came back: %s", name, error.message);
		return r;
	}
	wb_worker_seal_all(worker);
	worker->interface = interface;
	wb_worker_read_kernel(worker);
	wb_log(WB_LOG_WARNING, "capture %s: interface '%s' is back with index %u", name, worker->config->interface,
		interface.index);
	return 0;
}

static void log_ring_error(const struct wb_worker *worker, const char *name, int r)
{
	const char *interface = worker->config->interface;

	if (r == -ENODEV)
		wb_log(WB_LOG_ERROR, "capture %s: interface '%s' is gone; what was captured is being published", name,
			interface);
	else if (r == -EPERM)
		wb_log(WB_LOG_ERROR,
			"capture %s: interface '%s' is back, but no socket is left in reserve to capture from it "
			"(reserve_sockets: %llu)",
			name, interface, (unsigned long long)worker->config->reserve_sockets);
	else
		wb_log(WB_LOG_ERROR, "capture %s: reading the ring of '%s' failed: %s", name, interface, strerror(-r));
}

/* What tpacket_acquire() reported. Returns whether the worker can go on. */
static bool ring_error(struct wb_worker *worker, int r)
{
	const char *interface = worker->config->interface;
	char name[64];

	wb_worker_name(worker, name, sizeof name);
	switch (r) {
	case -ENETDOWN:
		wb_log(WB_LOG_WARNING, "capture %s: interface '%s' is down; packets follow when it is up again", name,
			interface);
		return true;
	case -ENODEV:
		if (!worker->config->reopen)
			break;
		wb_log(WB_LOG_WARNING, "capture %s: interface '%s' is gone; waiting for one of that name", name,
			interface);
		return true;
	case -ENETRESET:
		r = interface_is_back(worker, name);
		if (r < 0)
			atomic_store(&worker->exit_code, r);
		return r == 0;
	}
	log_ring_error(worker, name, r);
	atomic_store(&worker->exit_code, r);
	return false;
}

/* Until the stop, the end of the interface, or that of the transport. */
static void capture(struct wb_worker *worker)
{
	struct tpacket_lease lease;

	wb_worker_start_heartbeats(worker);
	wb_worker_publish_rest(worker);
	while (!stopping(worker)) {
		int r = tpacket_acquire(worker->ring, wb_worker_until_due_ms(worker), &lease);

		if (r == 1) {
			walk(worker, &lease);
			tpacket_release(&lease);
		} else if (r < 0 && !ring_error(worker, r)) {
			return;
		}
		wb_worker_publish_due(worker, r == 0);
		wb_worker_publish_rest(worker);
		if (worker->transport_failed) {
			atomic_store(&worker->exit_code, -ESHUTDOWN);
			return;
		}
	}
}

/* Let nothing more into the ring and take what is in it: what the last statistics say is exact then. */
static void drain(struct wb_worker *worker)
{
	uint64_t quiet_ms = 2 * worker->config->retire_ms;
	uint64_t last_ns = wb_monotonic_ns();
	struct tpacket_lease lease;
	/* Should the kernel refuse to stop, a ringful is all that is waited for. */
	uint64_t leases = tpacket_stop(worker->ring) < 0 ? worker->config->block_count : UINT64_MAX;

	while (leases && wb_monotonic_ns() - last_ns < quiet_ms * 1000000u) {
		int r = tpacket_acquire(worker->ring, (int)worker->config->retire_ms, &lease);

		if (r < 0 && r != -ENETDOWN) {
			/* It may have gone while the worker waited for the bus; it is told once. */
			if (!atomic_load(&worker->exit_code))
				ring_error(worker, r);
			break;
		}
		if (r != 1)
			continue;
		walk(worker, &lease);
		tpacket_release(&lease);
		leases--;
		last_ns = wb_monotonic_ns();
	}
	wb_worker_read_kernel(worker);
}

static void *worker_main(void *context)
{
	struct wb_worker *worker = context;

	capture(worker);
	/* A worker that ends by itself flushes like one that was stopped. */
	if (!stopping(worker))
		wb_worker_stop(worker);
	drain(worker);
	wb_worker_end(worker);
	if (worker->transport_failed && !atomic_load(&worker->exit_code))
		atomic_store(&worker->exit_code, -ESHUTDOWN);
	atomic_store_explicit(&worker->ended, true, memory_order_release);
	return NULL;
}

static int init_pools(struct wb_worker *worker)
{
	const struct wb_capture_config *config = worker->config;
	struct wbproto_batch facts = {
		.node = {worker->node, strlen(worker->node)}, .interfaces = &worker->interface, .interface_count = 1};
	size_t overhead_bytes;
	size_t oversize_bytes;
	int r;

	memcpy(facts.session_id, worker->session_id, sizeof facts.session_id);
	overhead_bytes = wbproto_batch_overhead_bytes(&facts) + worker->interfaces_bytes + CONTROL_SLACK_BYTES;
	/* No frame is larger than a block of the ring. */
	oversize_bytes = config->block_bytes + overhead_bytes;
	if (oversize_bytes > worker->max_batch_bytes)
		oversize_bytes = worker->max_batch_bytes;
	if (worker->records)
		oversize_bytes += WB_RECORD_BATCH_OVERHEAD_BYTES;
	r = wb_pool_init(
		&worker->pool, (unsigned int)config->buffers, config->batch_bytes, &worker->wake, &worker->ledger);
	if (r == 0)
		r = wb_pool_init(&worker->oversize, OVERSIZE_BUFFERS, oversize_bytes, &worker->wake, &worker->ledger);
	/* The heartbeats of all streams are due at once. */
	if (r == 0)
		r = wb_pool_init(&worker->control, CONTROL_BUFFERS + worker->stream_count - 1, overhead_bytes,
			&worker->wake, &worker->ledger);
	return r;
}

int wb_worker_init(struct wb_worker *worker, struct wb_error *ret_error)
{
	int r;

	worker->wake.fd = -1;
	atomic_init(&worker->give_up_ns, UINT64_MAX);
	worker->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (worker->stop_fd < 0)
		return wb_fail(ret_error, -errno, "eventfd: %s", strerror(errno));
	r = wb_ledger_init(&worker->ledger);
	if (r == 0)
		r = wb_pool_wake_init(&worker->wake);
	if (r == 0)
		r = wb_worker_init_streams(worker);
	if (r == 0)
		r = init_pools(worker);
	if (r < 0) {
		wb_worker_fini(worker);
		return wb_fail(ret_error, r, "%s: %s; buffers: %llu of %llu bytes", worker->config->interface,
			strerror(-r), (unsigned long long)worker->config->buffers,
			(unsigned long long)worker->config->batch_bytes);
	}
	return 0;
}

static int pin(struct wb_worker *worker, pthread_attr_t *attributes, struct wb_error *ret_error)
{
	cpu_set_t cpus;
	int r;

	if (worker->cpu < 0)
		return 0;
	CPU_ZERO(&cpus);
	CPU_SET(worker->cpu, &cpus);
	r = pthread_attr_setaffinity_np(attributes, sizeof cpus, &cpus);
	return r ? wb_fail(ret_error, -r, "cpus: CPU %d: %s", worker->cpu, strerror(r)) : 0;
}

int wb_worker_start(struct wb_worker *worker, struct wb_error *ret_error)
{
	pthread_attr_t attributes;
	char name[16];
	int r;

	pthread_attr_init(&attributes);
	r = pin(worker, &attributes, ret_error);
	if (r == 0) {
		r = -pthread_create(&worker->thread, &attributes, worker_main, worker);
		if (r < 0 && worker->cpu >= 0)
			wb_fail(ret_error, r, "cpus: worker %u cannot run on CPU %d: %s", worker->worker_id,
				worker->cpu, strerror(-r));
		else if (r < 0)
			wb_fail(ret_error, r, "worker %u: cannot start its thread: %s", worker->worker_id,
				strerror(-r));
	}
	pthread_attr_destroy(&attributes);
	if (r < 0)
		return r;
	worker->started = true;
	snprintf(name, sizeof name, "worker-%u", worker->worker_id);
	pthread_setname_np(worker->thread, name);
	return 0;
}

void wb_worker_stop(struct wb_worker *worker)
{
	unsigned long long unset = UINT64_MAX;
	uint64_t one = 1;
	ssize_t n;

	/* The first to stop sets the time limit; wb_worker_give_up() may have set it to 0 before. */
	atomic_compare_exchange_strong(&worker->give_up_ns, &unset, wb_monotonic_ns() + worker->flush_ms * 1000000u);
	if (atomic_exchange(&worker->stopping, true))
		return;
	n = write(worker->stop_fd, &one, sizeof one);
	(void)n; /* the counter cannot overflow */
	if (worker->ring)
		tpacket_wake(worker->ring);
}

void wb_worker_give_up(struct wb_worker *worker)
{
	atomic_store(&worker->give_up_ns, 0);
	wb_worker_stop(worker);
}

void wb_worker_join(struct wb_worker *worker)
{
	if (worker->started)
		pthread_join(worker->thread, NULL);
	worker->started = false;
}

void wb_worker_fini(struct wb_worker *worker)
{
	wb_worker_previous_fini(worker);
	wb_worker_spool_fini(worker);
	wb_worker_fini_streams(worker);
	wb_pool_fini(&worker->control);
	wb_pool_fini(&worker->oversize);
	wb_pool_fini(&worker->pool);
	wb_pool_wake_fini(&worker->wake);
	wb_ledger_fini(&worker->ledger);
	if (worker->stop_fd >= 0)
		close(worker->stop_fd);
	worker->stop_fd = -1;
}
