/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filter.h"
#include "interface.h"
#include "log.h"
#include "privileges.h"
#include "recovery.h"
#include "spool.h"
#include "state.h"

static void ring_options(
	const struct wb_capture_config *config, const struct wb_own_rings *own, struct tpacket_options *o)
{
	tpacket_options_init(o);
	o->interface = config->interface;
	o->version = (enum tpacket_version)config->ring_version;
	o->block_bytes = (uint32_t)config->block_bytes;
	o->block_count = (uint32_t)config->block_count;
	o->retire_ms = (uint32_t)config->retire_ms;
	o->snap_length = own->keep_bytes;
	o->promiscuous = config->promiscuous;
	o->ignore_outgoing = config->ignore_outgoing;
	o->vnet_header = config->vnet_header;
	o->timestamp = (enum tpacket_timestamp)config->timestamp;
	o->reopen = config->reopen;
	o->reserve_sockets = config->reopen ? (uint32_t)config->reserve_sockets : 0;
	o->filter = own->current.code;
	o->filter_length = own->current.length;
}

/*
 * Slots of TPACKET_V1 and V2 have a fixed size: one that holds the longest packet, in the memory that blocks of V3
 * would take.
 */
static int size_slots(const struct wb_capture_config *config, struct tpacket_options *o, struct wb_error *ret_error)
{
	struct tpacket_error error;
	int r;

	if (config->ring_version != TPACKET_VERSION_1 && config->ring_version != TPACKET_VERSION_2)
		return 0;
	r = tpacket_options_size(o, config->block_bytes * config->block_count, &error);
	return r < 0 ? wb_fail(ret_error, r, "%s", error.message) : 0;
}

/* Open the rings of all workers, as one fanout group with more than one. */
static int open_rings(struct wb_capture *capture, struct tpacket_options *o, struct wb_error *ret_error)
{
	const struct wb_capture_config *config = capture->config;
	struct tpacket *rings[WB_WORKERS_MAX];
	struct tpacket_geometry geometry;
	struct tpacket_error error;
	int r = size_slots(config, o, ret_error);

	if (r < 0)
		return r;
	if (capture->worker_count > 1) {
		o->fanout = (enum tpacket_fanout)config->fanout;
		o->fanout_flags = config->defragment ? TPACKET_FANOUT_DEFRAG : 0;
		o->fanout_id = (uint16_t)config->fanout_id;
		/* An id that no other process has, unless the configuration gives one. */
		if (!config->fanout_id)
			o->fanout_flags |= TPACKET_FANOUT_UNIQUE_ID;
		r = tpacket_open_group(o, capture->worker_count, rings, &error);
	} else {
		r = tpacket_open(o, &rings[0], &error);
	}
	if (r == -EPERM)
		return wb_fail(ret_error, r, "interface '%s': " WB_NEEDS_CAP_NET_RAW, config->interface);
	if (r < 0)
		return wb_fail(ret_error, r, "%s", error.message);
	for (unsigned int i = 0; i < capture->worker_count; i++)
		capture->workers[i].ring = rings[i];
	tpacket_geometry(rings[0], &geometry);
	if ((uint64_t)geometry.block_count * geometry.block_bytes < (uint64_t)o->block_count * o->block_bytes)
		wb_log(WB_LOG_WARNING,
			"capture %s: memory for %u of %u ring blocks only; the ring holds that much less of a burst",
			config->interface, geometry.block_count, o->block_count);
	return 0;
}

/* From here on the rings' filters follow the connections to the buses. */
static void leave_own_out(struct wb_capture *capture, uint32_t link_type)
{
	struct wb_own_rings *own = &capture->own_rings;

	if (capture->config->own_traffic == WB_OWN_TRAFFIC_CAPTURE)
		return;
	own->name = wb_capture_name(capture->config);
	own->form = capture->config->own_traffic == WB_OWN_TRAFFIC_ENDPOINTS ? WB_OWN_ENDPOINTS : WB_OWN_EXACT;
	own->link = wb_interface_own_link(link_type);
	for (own->count = 0; own->count < capture->worker_count; own->count++)
		own->rings[own->count] = capture->workers[own->count].ring;
	wb_own_join(capture->own, own);
}

/* The user's filter for frames of a link type; as compiled at the start for those of then. */
static int user_filter(
	struct wb_capture *capture, uint32_t link_type, struct wb_filter *ret_filter, struct wb_error *ret_error)
{
	const struct wb_capture_config *config = capture->config;

	*ret_filter = (struct wb_filter){0};
	if (!config->filter)
		return 0;
	if (link_type == capture->first_link_type)
		return wb_filter_copy(&capture->first_user, ret_filter) < 0
		               ? wb_fail(ret_error, -ENOMEM, "filter '%s': out of memory", config->filter)
		               : 0;
	return wb_filter_compile_for(link_type, config->filter, (uint32_t)config->snap_length, ret_filter, ret_error);
}

/* Where own traffic is captured there are the user's filters only, each ring's for itself. */
static int set_user_filter(struct wb_capture *capture, struct tpacket *ring, const struct wb_filter *user)
{
	struct wb_filter filter = {0};
	int r = wb_own_compose(NULL, 0, WB_OWN_EXACT, WB_OWN_LINK_NONE, user, capture->own_rings.keep_bytes, &filter);

	if (r == 0)
		r = tpacket_set_filter(ring, filter.code, filter.length);
	wb_filter_fini(&filter);
	return r;
}

/* The worker's relink: programs look for things at fixed places in the frames. */
static int relink_ring(void *context, struct tpacket *ring, uint32_t link_type, struct wb_error *ret_error)
{
	struct wb_capture *capture = context;
	struct wb_filter user;
	int r = user_filter(capture, link_type, &user, ret_error);

	if (r < 0)
		return r;
	if (capture->config->own_traffic == WB_OWN_TRAFFIC_CAPTURE)
		r = set_user_filter(capture, ring, &user);
	else
		r = wb_own_relink(capture->own, &capture->own_rings, wb_interface_own_link(link_type), &user);
	wb_filter_fini(&user);
	return r < 0 ? wb_fail(ret_error, r, "link type %u: cannot set the filter: %s", link_type, strerror(-r)) : 0;
}

static int open_group(struct wb_capture *capture, struct wb_error *ret_error)
{
	struct wbproto_interface interface;
	struct tpacket_options o;
	int r;

	ring_options(capture->config, &capture->own_rings, &o);
	r = open_rings(capture, &o, ret_error);
	if (r < 0)
		return r;
	r = wb_interface_describe(capture->config, capture->workers[0].ring, &interface, ret_error);
	if (r < 0)
		return r;
	capture->first_link_type = interface.link_type;
	for (unsigned int i = 0; i < capture->worker_count; i++) {
		capture->workers[i].interface = interface;
		capture->workers[i].relink = relink_ring;
		capture->workers[i].relink_context = capture;
	}
	leave_own_out(capture, interface.link_type);
	return 0;
}

/*
 * The user's filter, and the rings' first one. Where filters follow connections, packets are kept long enough to be
 * judged anew; the workers cut them to the snap length.
 */
static int make_filters(struct wb_capture *capture, struct wb_error *ret_error)
{
	const struct wb_capture_config *config = capture->config;
	struct wb_own_rings *own = &capture->own_rings;
	uint32_t reach;
	int r = 0;

	own->keep_bytes = (uint32_t)config->snap_length;
	if (config->filter)
		r = wb_filter_compile(config->interface, config->filter, own->keep_bytes, &own->user, ret_error);
	if (r == 0 && wb_filter_copy(&own->user, &capture->first_user) < 0)
		r = wb_fail(ret_error, -ENOMEM, "filter '%s': out of memory", config->filter);
	if (r < 0)
		return r;
	reach = wb_own_reach(&own->user);
	if (config->own_traffic != WB_OWN_TRAFFIC_CAPTURE && own->keep_bytes < reach)
		own->keep_bytes = reach;
	r = wb_own_compose(NULL, 0, WB_OWN_EXACT, WB_OWN_LINK_NONE, &own->user, own->keep_bytes, &own->current);
	return r < 0 ? wb_fail(ret_error, r, "filter '%s': %s", config->filter ? config->filter : "", strerror(-r)) : 0;
}

/*
 * The kernel takes the memory of a ring at once, page by page, and ends processes when there is none left: more than
 * the half of what the host has is a mistake.
 */
static int check_memory(const struct wb_capture_config *config, struct wb_error *ret_error)
{
	uint64_t host_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t worker_bytes = config->block_bytes * config->block_count + config->buffers * config->batch_bytes;

	if (worker_bytes <= host_bytes / 2 / config->workers)
		return 0;
	return wb_fail(ret_error, -ENOMEM,
		"capture %s: %llu worker(s) of block_count %llu x block_bytes %llu and buffers %llu x batch_bytes %llu "
		"need more "
		"than half of this host's %llu MiB; lower them",
		wb_capture_name(config), (unsigned long long)config->workers, (unsigned long long)config->block_count,
		(unsigned long long)config->block_bytes, (unsigned long long)config->buffers,
		(unsigned long long)config->batch_bytes, (unsigned long long)(host_bytes >> 20));
}

/* Ids of streams are unique in the process: those of the captures before come first. */
static uint32_t first_stream_id(const struct wb_config *config, const struct wb_capture_config *capture_config)
{
	uint32_t id = 1;

	for (const struct wb_capture_config *c = config->captures; c != capture_config; c++)
		id += (uint32_t)c->workers * wb_capture_streams(c);
	return id;
}

/* Workers as they are before they have a ring. */
static int make_workers(struct wb_capture *capture, const struct wb_config *config, const uint8_t *session_id,
	uint32_t first_worker_id, struct wb_error *ret_error)
{
	const struct wb_capture_config *capture_config = capture->config;

	capture->workers = calloc(capture_config->workers, sizeof *capture->workers);
	if (!capture->workers)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	capture->worker_count = (unsigned int)capture_config->workers;
	for (unsigned int i = 0; i < capture->worker_count; i++) {
		struct wb_worker *worker = &capture->workers[i];

		worker->config = capture_config;
		worker->session_id = session_id;
		worker->node = config->node;
		worker->worker_id = first_worker_id + i;
		worker->first_stream_id =
			first_stream_id(config, capture_config) + i * wb_capture_streams(capture_config);
		worker->cpu = -1;
		worker->flush_ms = config->flush_ms;
		worker->stop_fd = -1;
		worker->wake.fd = -1;
	}
	return 0;
}

int wb_capture_open_given(struct wb_capture *capture, const struct wb_config *config,
	const struct wb_capture_config *capture_config, const uint8_t *session_id, size_t interfaces_bytes,
	struct wb_error *ret_error)
{
	int r;

	memset(capture, 0, sizeof *capture);
	capture->config = capture_config;
	r = make_workers(capture, config, session_id, 1, ret_error);
	for (unsigned int i = 0; r == 0 && i < capture->worker_count; i++)
		capture->workers[i].interfaces_bytes = interfaces_bytes;
	return r < 0 ? r : wb_capture_open_bus(capture, config, ret_error);
}

int wb_capture_open_rings(struct wb_capture *capture, const struct wb_config *config,
	const struct wb_capture_config *capture_config, const uint8_t *session_id, uint32_t first_worker_id,
	struct wb_own *own, struct wb_error *ret_error)
{
	unsigned int cpus[256];
	int cpu_count = 0;
	int r;

	memset(capture, 0, sizeof *capture);
	capture->config = capture_config;
	capture->own = own;
	r = check_memory(capture_config, ret_error);
	if (r < 0)
		return r;
	if (!if_nametoindex(capture_config->interface))
		return wb_fail(ret_error, -ENODEV, "interface '%s' does not exist; 'ip link' lists those that do",
			capture_config->interface);
	if (capture_config->cpus) {
		cpu_count = wb_cpu_list(capture_config->cpus, cpus, sizeof cpus / sizeof cpus[0], ret_error);
		if (cpu_count < 0)
			return cpu_count;
	}
	r = make_workers(capture, config, session_id, first_worker_id, ret_error);
	if (r < 0)
		return r;
	for (unsigned int i = 0; (int)i < cpu_count && i < capture->worker_count; i++)
		capture->workers[i].cpu = (int)cpus[i];
	r = make_filters(capture, ret_error);
	return r < 0 ? r : open_group(capture, ret_error);
}

static unsigned int outstanding(const struct wb_worker *worker)
{
	return worker->pool.count + worker->oversize.count + worker->control.count + wb_worker_spool_buffers(worker);
}

int wb_capture_open_bus(struct wb_capture *capture, const struct wb_config *config, struct wb_error *ret_error)
{
	const struct wb_capture_config *cc = capture->config;
	struct wb_transport_args args = {0};
	unsigned int buffers = 0;
	size_t max_bytes;
	int r;

	r = wb_transport_setup_init(cc->to, cc->to_options, cc->to_option_count, &capture->setup, ret_error);
	if (r < 0)
		return r;
	max_bytes = capture->setup.max_batch_bytes;
	if (cc->batch_max_bytes && cc->batch_max_bytes < max_bytes)
		max_bytes = cc->batch_max_bytes;
	for (unsigned int i = 0; i < capture->worker_count; i++) {
		capture->workers[i].max_batch_bytes = max_bytes;
		r = wb_worker_init(&capture->workers[i], ret_error);
		if (r < 0)
			return r;
		/* From here on wb_capture_close() has something to undo. */
		capture->workers[i].ops = capture->setup.ops;
	}
	r = wb_capture_recover(capture, config, ret_error);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < capture->worker_count; i++)
		buffers += outstanding(&capture->workers[i]);
	wb_transport_setup_args(&capture->setup, &args);
	args.node = config->node;
	args.interface = cc->interface;
	args.lanes = capture->worker_count;
	args.buffers = buffers;
	args.max_batch_bytes = max_bytes;
	args.records = cc->mode == WB_MODE_RECORD;
	args.log = wb_log_transport;
	args.own_connection = capture->own ? wb_own_report : NULL;
	args.own_context = capture->own;
	r = capture->setup.ops->open(&args, &capture->transport, ret_error);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < capture->worker_count; i++) {
		struct wb_worker *worker = &capture->workers[i];

		r = capture->setup.ops->lane(
			capture->transport, wb_worker_free_buffers, worker, outstanding(worker), &worker->lane);
		if (r < 0)
			return wb_fail(ret_error, r, "%s: %s", capture->setup.url.text, strerror(-r));
	}
	return 0;
}

int wb_capture_start(struct wb_capture *capture, struct wb_error *ret_error)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < capture->worker_count; i++)
		r = wb_worker_start(&capture->workers[i], ret_error);
	for (unsigned int i = 0; r == 0 && i < capture->worker_count; i++) {
		r = tpacket_start(capture->workers[i].ring);
		if (r < 0)
			wb_fail(ret_error, r, "interface '%s': cannot attach the filter: %s",
				capture->config->interface, strerror(-r));
	}
	return r;
}

void wb_capture_stop(struct wb_capture *capture)
{
	for (unsigned int i = 0; i < capture->worker_count; i++)
		if (capture->workers[i].started)
			wb_worker_stop(&capture->workers[i]);
}

void wb_capture_give_up(struct wb_capture *capture)
{
	for (unsigned int i = 0; i < capture->worker_count; i++)
		if (capture->workers[i].started)
			wb_worker_give_up(&capture->workers[i]);
}

bool wb_capture_ended(const struct wb_capture *capture)
{
	for (unsigned int i = 0; i < capture->worker_count; i++)
		if (capture->workers[i].started && !atomic_load(&capture->workers[i].ended))
			return false;
	return true;
}

bool wb_capture_failed(const struct wb_capture *capture)
{
	for (unsigned int i = 0; i < capture->worker_count; i++)
		if (atomic_load(&capture->workers[i].exit_code) < 0)
			return true;
	return false;
}

int wb_capture_flush(struct wb_capture *capture, int timeout_ms)
{
	return capture->setup.ops->flush(capture->transport, timeout_ms);
}

void wb_capture_finish(struct wb_capture *capture)
{
	for (unsigned int i = 0; i < capture->worker_count; i++)
		wb_worker_join(&capture->workers[i]);
	if (!capture->transport)
		return;
	capture->setup.ops->close(capture->transport);
	capture->transport = NULL;
	wb_capture_keep(capture);
}

void wb_capture_totals(struct wb_capture *capture, struct wb_ledger_totals *ret_totals)
{
	struct wb_ledger_totals one;

	memset(ret_totals, 0, sizeof *ret_totals);
	for (unsigned int i = 0; i < capture->worker_count; i++) {
		wb_ledger_snapshot(&capture->workers[i].ledger, &one);
		wb_ledger_add(ret_totals, &one);
	}
}

void wb_capture_close(struct wb_capture *capture)
{
	wb_capture_give_up(capture);
	wb_capture_finish(capture);
	wb_own_leave(capture->own, &capture->own_rings);
	wb_filter_fini(&capture->first_user);
	for (unsigned int i = 0; i < capture->worker_count; i++) {
		struct wb_worker *worker = &capture->workers[i];

		if (worker->ops) {
			wb_worker_state_finish(worker);
			wb_worker_fini(worker);
		}
		tpacket_close(worker->ring);
	}
	wb_state_close(capture->state);
	wb_spool_close(capture->spool);
	free(capture->workers);
	wb_transport_setup_fini(&capture->setup);
	memset(capture, 0, sizeof *capture);
}
