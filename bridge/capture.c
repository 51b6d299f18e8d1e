/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "filter.h"
#include "log.h"
#include "privileges.h"

#define LINKTYPE_ETHERNET 1
#define LINKTYPE_RAW 101
#define LINKTYPE_IEEE802_11_RADIOTAP 127

/* The LINKTYPE_ of frames from a raw socket on such an interface; -1: none that we know. */
static int link_type(uint16_t hardware_type)
{
	switch (hardware_type) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		return LINKTYPE_ETHERNET;
	case ARPHRD_NONE: /* tun, WireGuard */
	case ARPHRD_RAWIP:
		return LINKTYPE_RAW;
	case ARPHRD_IEEE80211_RADIOTAP:
		return LINKTYPE_IEEE802_11_RADIOTAP;
	default:
		return -1;
	}
}

/* Speed of the interface in bits per second; 0 when the driver does not say. */
static uint64_t speed_bps(int fd, const char *interface)
{
	struct ethtool_cmd command = {.cmd = ETHTOOL_GSET};
	struct ifreq request;
	uint32_t mbps;

	memset(&request, 0, sizeof request);
	strncpy(request.ifr_name, interface, sizeof request.ifr_name - 1);
	request.ifr_data = (void *)&command;
	if (ioctl(fd, SIOCETHTOOL, &request) < 0)
		return 0;
	mbps = ethtool_cmd_speed(&command);
	return mbps == 0 || mbps == (uint32_t)SPEED_UNKNOWN ? 0 : (uint64_t)mbps * 1000000u;
}

static void ring_options(
	const struct wb_capture_config *config, const struct wb_filter *filter, struct tpacket_options *o)
{
	tpacket_options_init(o);
	o->interface = config->interface;
	o->block_bytes = (uint32_t)config->block_bytes;
	o->block_count = (uint32_t)config->block_count;
	o->retire_ms = (uint32_t)config->retire_ms;
	o->snap_length = (uint32_t)config->snap_length;
	o->promiscuous = config->promiscuous;
	o->ignore_outgoing = config->ignore_outgoing;
	o->vnet_header = config->vnet_header;
	o->timestamp = (enum tpacket_timestamp)config->timestamp;
	o->filter = filter->code;
	o->filter_length = filter->length;
}

/*
 * Open worker i's ring. The first of a group lets the kernel choose an id that no other process has, unless the
 * configuration gives one; the others join it.
 */
static int open_ring(struct wb_capture *capture, unsigned int i, struct tpacket_options *o, struct wb_error *ret_error)
{
	const struct wb_capture_config *config = capture->config;
	struct wb_worker *worker = &capture->workers[i];
	struct tpacket_geometry geometry;
	struct tpacket_error error;
	int r;

	if (config->workers > 1) {
		o->fanout = (enum tpacket_fanout)config->fanout;
		o->fanout_flags = config->defragment ? TPACKET_FANOUT_DEFRAG : 0;
		if (config->fanout_id)
			o->fanout_id = (uint16_t)config->fanout_id;
		else if (i == 0)
			o->fanout_flags |= TPACKET_FANOUT_UNIQUE_ID;
		else
			o->fanout_id = (uint16_t)tpacket_fanout_id(capture->workers[0].ring);
	}
	r = tpacket_open(o, &worker->ring, &error);
	if (r == -EPERM)
		return wb_fail(ret_error, r, "interface '%s': " WB_NEEDS_CAP_NET_RAW, config->interface);
	if (r < 0)
		return wb_fail(ret_error, r, "%s", error.message);
	tpacket_geometry(worker->ring, &geometry);
	if (geometry.block_count < config->block_count)
		wb_log(WB_LOG_WARNING,
			"capture %s: memory for %u of %llu ring blocks only; the ring holds that much less of a burst",
			config->interface, geometry.block_count, (unsigned long long)config->block_count);
	return 0;
}

static int describe_interface(
	struct wb_capture *capture, struct wbproto_interface *ret_interface, struct wb_error *ret_error)
{
	const struct wb_capture_config *config = capture->config;
	const struct tpacket *ring = capture->workers[0].ring;
	int type = link_type(tpacket_hardware_type(ring));

	if (type < 0)
		return wb_fail(ret_error, -EOPNOTSUPP,
			"interface '%s' has hardware type %u; supported are Ethernet, loopback, IP tunnels (none, "
			"rawip) and "
			"802.11 with radiotap",
			config->interface, tpacket_hardware_type(ring));
	memset(ret_interface, 0, sizeof *ret_interface);
	ret_interface->index = tpacket_interface_index(ring);
	ret_interface->link_type = (uint32_t)type;
	ret_interface->snap_length = (uint32_t)config->snap_length;
	ret_interface->timestamp_source =
		config->timestamp == TPACKET_TIMESTAMP_HARDWARE ? WBPROTO_TIME_HARDWARE : WBPROTO_TIME_SOFTWARE;
	ret_interface->speed_bps = speed_bps(tpacket_fd(ring), config->interface);
	ret_interface->name.data = config->interface;
	ret_interface->name.length = strlen(config->interface);
	ret_interface->filter.data = config->filter;
	ret_interface->filter.length = config->filter ? strlen(config->filter) : 0;
	ret_interface->defragmented = config->workers > 1 && config->defragment;
	return 0;
}

static int open_group(struct wb_capture *capture, const struct wb_filter *filter, struct wb_error *ret_error)
{
	struct wbproto_interface interface;
	struct tpacket_options o;
	int r;

	for (unsigned int i = 0; i < capture->worker_count; i++) {
		ring_options(capture->config, filter, &o);
		r = open_ring(capture, i, &o, ret_error);
		if (r < 0)
			return r;
	}
	r = describe_interface(capture, &interface, ret_error);
	for (unsigned int i = 0; r == 0 && i < capture->worker_count; i++)
		capture->workers[i].interface = interface;
	return r;
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

int wb_capture_open_rings(struct wb_capture *capture, const struct wb_config *config,
	const struct wb_capture_config *capture_config, const uint8_t *session_id, uint32_t first_worker_id,
	struct wb_error *ret_error)
{
	struct wb_filter filter = {0};
	unsigned int cpus[256];
	int cpu_count = 0;
	int r;

	memset(capture, 0, sizeof *capture);
	capture->config = capture_config;
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
		worker->cpu = (int)i < cpu_count ? (int)cpus[i] : -1;
		worker->flush_ms = config->flush_ms;
		worker->stop_fd = -1;
		worker->wake.fd = -1;
	}
	if (capture_config->filter) {
		r = wb_filter_compile(capture_config->interface, capture_config->filter,
			(uint32_t)capture_config->snap_length, &filter, ret_error);
		if (r < 0)
			return r;
	}
	r = open_group(capture, &filter, ret_error);
	wb_filter_fini(&filter);
	return r;
}

static unsigned int outstanding(const struct wb_worker *worker)
{
	return worker->pool.count + worker->oversize.count + worker->control.count;
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
		buffers += outstanding(&capture->workers[i]);
	}
	wb_transport_setup_args(&capture->setup, &args);
	args.node = config->node;
	args.lanes = capture->worker_count;
	args.buffers = buffers;
	args.max_batch_bytes = max_bytes;
	args.log = wb_log_transport;
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
	for (unsigned int i = 0; i < capture->worker_count; i++) {
		struct wb_worker *worker = &capture->workers[i];

		if (worker->ops)
			wb_worker_fini(worker);
		tpacket_close(worker->ring);
	}
	free(capture->workers);
	wb_transport_setup_fini(&capture->setup);
	memset(capture, 0, sizeof *capture);
}
