/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets onto an interface, through rings for sending (tpacket_tx.h). A frame lies in the ring before it is due; at
 * its time the kernel is told, with one call.
 *
 * Super-frames, and frames whose checksum is left to the interface, need a virtio_net_hdr in front, which all frames of
 * a ring have or none; and room for 64 KiB. So they have a ring of their own, made when the first of them comes, and
 * frames that fit onto the wire only since its MTU was raised go there as well. Before a ring is used, the kernel has
 * taken all of the other one, so the order stays.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "interface.h"
#include "log.h"
#include "replay_out.h"
#include "tpacket_tx.h"

#define LINKTYPE_ETHERNET 1
#define TAG_AT 12u
#define TAG_BYTES 4u
#define ETHERNET_BYTES 14u
#define VNET_BYTES ((uint32_t)sizeof(struct virtio_net_hdr))

#define BATCH 256u /* so many frames are handed over at once, if they are late */
#define RESULTS 64
#define WAIT_MS 100     /* so long a stop may go unnoticed */
#define FINISH_MS 5000u /* for frames that the kernel has taken and says nothing of */
#define SUPER_FRAMES 128u

/* Of a frame whose result was not collected yet. */
struct slot {
	uint64_t due_ns;
	uint64_t sent_ns; /* when the kernel was told; 0: not yet */
};

struct port {
	struct tpacket_tx *tx; /* NULL: not opened */
	uint32_t vnet_bytes;
	uint32_t room; /* for the bytes of a frame behind its vnet header */
	struct slot *slots;
	uint32_t slot_count;
	uint64_t committed, told, completed;
};

struct wb_out {
	struct wb_out_base base;
	char *name;
	struct wb_interface_options options;
	struct port plain, super;
	struct port *last; /* used last */
	int link_type;
};

const struct wb_option_row wb_interface_option_rows[] = {
	{.key = "qdisc_bypass",
		.type = WB_OPTION_BOOL,
		.offset = offsetof(struct wb_interface_options, qdisc_bypass),
		.default_value = "false",
		.help = "Leave out the queueing discipline; super-frames then need an interface that takes them whole"},
	{.key = "ring_frames",
		.type = WB_OPTION_UINT,
		.offset = offsetof(struct wb_interface_options, ring_frames),
		.default_value = "1024",
		.min = 1,
		.max = 1u << 20,
		.unit = "frames",
		.help = "Size of the ring for sending"},
	{0},
};

static int port_open(
	struct wb_out *out, struct port *port, const char *interface, uint32_t vnet_bytes, struct wb_error *ret_error)
{
	struct tpacket_tx_geometry geometry;
	struct tpacket_tx_options options;
	struct tpacket_error error;
	int r;

	tpacket_tx_options_init(&options);
	options.interface = interface;
	options.qdisc_bypass = out->options.qdisc_bypass;
	options.frame_count = vnet_bytes ? SUPER_FRAMES : (uint32_t)out->options.ring_frames;
	options.vnet_header_bytes = (uint8_t)vnet_bytes;
	r = tpacket_tx_open(&options, &port->tx, &error);
	if (r == -EPERM)
		return wb_fail(ret_error, r, "iface://%s: sending raw frames needs root, or CAP_NET_RAW (%s)",
			out->name, error.message);
	if (r < 0)
		return wb_fail(ret_error, r, "iface://%s: %s", out->name, error.message);
	tpacket_tx_geometry(port->tx, &geometry);
	port->vnet_bytes = vnet_bytes;
	port->room = geometry.frame_bytes - vnet_bytes;
	port->slot_count = geometry.frame_count;
	port->slots = calloc(port->slot_count, sizeof(*port->slots));
	return port->slots ? 0 : wb_fail(ret_error, -ENOMEM, "iface://%s: out of memory", out->name);
}

static void port_close(struct port *port)
{
	tpacket_tx_close(port->tx);
	free(port->slots);
}

static enum wb_unsent cause_of(int error)
{
	switch (error) {
	case -EMSGSIZE:
		return WB_UNSENT_TOO_LARGE;
	case -EINVAL:
		return WB_UNSENT_MALFORMED;
	case -ENETDOWN:
		return WB_UNSENT_INTERFACE_DOWN;
	case -ENODEV:
		return WB_UNSENT_INTERFACE_GONE;
	case -ECANCELED:
		return WB_UNSENT_LEFT;
	default:
		return WB_UNSENT_OTHER;
	}
}

static void refuse(struct wb_out *out, enum wb_unsent cause)
{
	wb_tally_add(&out->base.tally->unsent[cause], 1);
}

static void book(struct wb_out *out, const struct port *port, const struct tpacket_tx_result *result)
{
	const struct slot *slot = &port->slots[result->cookie % port->slot_count];
	struct wb_tally *tally = out->base.tally;

	if (result->error) {
		refuse(out, cause_of(result->error));
		return;
	}
	wb_tally_add(&tally->sent, 1);
	wb_tally_add(&tally->sent_bytes, result->bytes - port->vnet_bytes);
	if (slot->due_ns)
		wb_lateness_note(&tally->lateness, slot->due_ns, slot->sent_ns);
}

static void collect(struct wb_out *out, struct port *port)
{
	struct tpacket_tx_result results[RESULTS];
	int count;

	do {
		count = tpacket_tx_complete(port->tx, results, RESULTS);
		for (int i = 0; i < count; i++)
			book(out, port, &results[i]);
		port->completed += (uint64_t)count;
	} while (count == RESULTS);
}

/* The kernel was told at now_ns, and has left so many. */
static void note_told(struct port *port, uint64_t now_ns)
{
	uint64_t end = port->committed - tpacket_tx_waiting(port->tx);

	for (; port->told < end; port->told++)
		port->slots[port->told % port->slot_count].sent_ns = now_ns;
}

/* Give up what the kernel has not taken. */
static void give_up(struct wb_out *out, struct port *port)
{
	tpacket_tx_cancel(port->tx, UINT32_MAX);
	port->told = port->committed;
	collect(out, port);
}

/* The kernel takes no more at the moment. */
static int wait_for_port(struct wb_out *out, struct port *port, int error)
{
	switch (error) {
	case -EAGAIN:
	case -ENOBUFS:
		wb_tally_add(&out->base.tally->full_waits, 1);
		tpacket_tx_wait(port->tx, WAIT_MS);
		return 0;
	case -ENETDOWN: /* it may come up again: what is due until then is lost, as on a wire that was pulled */
		give_up(out, port);
		return 0;
	case -ENODEV:
		give_up(out, port);
		return wb_fail(&out->base.error, error, "iface://%s: the interface is gone", out->name);
	default:
		give_up(out, port);
		return wb_fail(&out->base.error, error, "iface://%s: cannot send: %s", out->name, strerror(-error));
	}
}

/* Hand over everything that was committed. */
static int port_send(struct wb_out *out, struct port *port)
{
	while (tpacket_tx_waiting(port->tx)) {
		uint64_t now_ns = wb_monotonic_ns();
		int r = tpacket_tx_send(port->tx);

		note_told(port, now_ns);
		collect(out, port);
		if (r < 0)
			r = wait_for_port(out, port, r);
		if (r < 0)
			return r;
		if (tpacket_tx_waiting(port->tx) && atomic_load_explicit(out->base.stop, memory_order_relaxed)) {
			give_up(out, port);
			return -EINTR;
		}
	}
	note_told(port, 0);
	return 0;
}

static int interface_send(struct wb_out *out)
{
	return out->last ? port_send(out, out->last) : 0;
}

/* A free frame of the ring. */
static int reserve(struct wb_out *out, struct port *port, uint8_t **ret_data)
{
	int r;

	while ((r = tpacket_tx_reserve(port->tx, (void **)ret_data, NULL)) == -EAGAIN) {
		r = port_send(out, port);
		if (r < 0)
			return r;
		collect(out, port);
		if (port->committed - port->completed < port->slot_count)
			continue;
		/* All of them are on their way. */
		wb_tally_add(&out->base.tally->full_waits, 1);
		tpacket_tx_wait(port->tx, WAIT_MS);
		if (atomic_load_explicit(out->base.stop, memory_order_relaxed))
			return -EINTR;
	}
	return r;
}

static bool has_tag(const struct wbproto_record *record)
{
	return record->packet.vlan_tpid && record->interface.link_type == LINKTYPE_ETHERNET &&
	       record->packet.captured_length >= TAG_AT;
}

static uint16_t ethernet_type(const struct wbproto_packet *packet)
{
	const uint8_t *data = packet->data;

	return packet->captured_length < ETHERNET_BYTES ? 0 : (uint16_t)(data[TAG_AT] << 8 | data[TAG_AT + 1]);
}

/*
 * Without a vnet header the kernel lets no frame be longer by a tag of 802.1ad. With one it does not look, and the
 * library does.
 */
static bool needs_length(struct wb_out *out, const struct wbproto_record *record, uint32_t bytes)
{
	uint16_t type = has_tag(record) ? record->packet.vlan_tpid : ethernet_type(&record->packet);

	return type == ETH_P_8021AD && out->link_type == LINKTYPE_ETHERNET &&
	       (int)bytes > tpacket_tx_mtu(out->plain.tx) + (int)ETHERNET_BYTES;
}

/* The MTU was raised since the ring was made. */
static bool needs_room(struct wb_out *out, uint32_t bytes)
{
	return bytes > out->plain.room && out->link_type == LINKTYPE_ETHERNET &&
	       (int)bytes <= tpacket_tx_mtu(out->plain.tx) + (int)(ETHERNET_BYTES + TAG_BYTES);
}

static bool has_offload(const struct wbproto_packet *packet)
{
	struct virtio_net_hdr header;

	if (packet->vnet_header_length < VNET_BYTES)
		return false;
	memcpy(&header, packet->vnet_header, VNET_BYTES);
	return header.gso_type != VIRTIO_NET_HDR_GSO_NONE || (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

/* The header of the packet, or one that says nothing. It counts from the beginning of the frame: a tag moves that. */
static void write_vnet_header(uint8_t *to, const struct wbproto_packet *packet, bool tagged)
{
	struct virtio_net_hdr header = {0};

	if (has_offload(packet))
		memcpy(&header, packet->vnet_header, VNET_BYTES);
	if (tagged && (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		header.csum_start = (uint16_t)(header.csum_start + TAG_BYTES);
	if (tagged && header.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		header.hdr_len = (uint16_t)(header.hdr_len + TAG_BYTES);
	memcpy(to, &header, VNET_BYTES);
}

static void write_frame(uint8_t *to, const struct wbproto_packet *packet, bool tagged)
{
	const uint8_t *data = packet->data;
	size_t front = tagged ? TAG_AT : 0;

	if (tagged) {
		memcpy(to, data, TAG_AT);
		to[TAG_AT] = (uint8_t)(packet->vlan_tpid >> 8);
		to[TAG_AT + 1] = (uint8_t)packet->vlan_tpid;
		to[TAG_AT + 2] = (uint8_t)(packet->vlan_tci >> 8);
		to[TAG_AT + 3] = (uint8_t)packet->vlan_tci;
		to += TAG_AT + TAG_BYTES;
	}
	if (packet->captured_length > front)
		memcpy(to, data + front, packet->captured_length - front);
}

/* Whether it can be sent at all; if not, it is counted. */
static bool is_sendable(struct wb_out *out, const struct wbproto_record *record)
{
	if (record->interface.link_type != (uint32_t)out->link_type)
		refuse(out, WB_UNSENT_LINK_TYPE);
	else if (record->packet.captured_length < record->packet.original_length ||
		 (record->packet.status & WBPROTO_PACKET_TRUNCATED))
		refuse(out, WB_UNSENT_TRUNCATED);
	else
		return true;
	return false;
}

/* The ring that is made late: on the same interface, which may have another name by now. */
static int super_open(struct wb_out *out)
{
	unsigned int index = tpacket_tx_interface_index(out->plain.tx);
	char name[IF_NAMESIZE];

	for (;;) {
		int r;

		if (tpacket_tx_mtu(out->plain.tx) < 0 || !if_indextoname(index, name))
			return wb_fail(&out->base.error, -ENODEV, "iface://%s: the interface is gone", out->name);
		r = port_open(out, &out->super, name, VNET_BYTES, &out->base.error);
		if (r < 0 || tpacket_tx_interface_index(out->super.tx) == index)
			return r;
		/* The name has gone to another one meanwhile. */
		port_close(&out->super);
		out->super = (struct port){0};
	}
}

/* The ring for a frame; all that is in the other one has been taken by the kernel. */
static int choose_port(struct wb_out *out, const struct wbproto_record *record, uint32_t bytes, struct port **ret_port)
{
	bool is_super = has_offload(&record->packet) || needs_length(out, record, bytes) || needs_room(out, bytes);
	struct port *port = is_super ? &out->super : &out->plain;
	int r = 0;

	if (!port->tx)
		r = super_open(out);
	if (r == 0 && out->last && out->last != port)
		r = port_send(out, out->last);
	out->last = port;
	*ret_port = port;
	return r;
}

static int interface_put(struct wb_out *out, const struct wbproto_record *record, uint64_t due_ns)
{
	bool tagged = has_tag(record);
	uint32_t bytes = record->packet.captured_length + (tagged ? TAG_BYTES : 0);
	struct port *port;
	uint8_t *frame;
	int r;

	if (!is_sendable(out, record))
		return 0;
	r = choose_port(out, record, bytes, &port);
	if (r == 0 && bytes > port->room) {
		refuse(out, WB_UNSENT_TOO_LARGE);
		return 0;
	}
	if (r == 0)
		r = reserve(out, port, &frame);
	if (r != 0) {
		refuse(out, r == -ENODEV ? WB_UNSENT_INTERFACE_GONE : r == -EINTR ? WB_UNSENT_LEFT : WB_UNSENT_OTHER);
		return r;
	}
	if (port->vnet_bytes)
		write_vnet_header(frame, &record->packet, tagged);
	write_frame(frame + port->vnet_bytes, &record->packet, tagged);
	port->slots[port->committed % port->slot_count] = (struct slot){.due_ns = due_ns};
	tpacket_tx_commit(port->tx, port->vnet_bytes + bytes, port->committed);
	port->committed++;
	return tpacket_tx_waiting(port->tx) >= BATCH ? port_send(out, port) : 0;
}

static int port_finish(struct wb_out *out, struct port *port)
{
	uint64_t deadline_ns = wb_monotonic_ns() + FINISH_MS * UINT64_C(1000000);
	int r;

	if (!port->tx)
		return 0;
	/* After a stop, what was put may not have been due. */
	if (atomic_load_explicit(out->base.stop, memory_order_relaxed))
		give_up(out, port);
	r = port_send(out, port);
	collect(out, port);
	while (port->completed < port->committed && wb_monotonic_ns() < deadline_ns) {
		tpacket_tx_wait(port->tx, WAIT_MS);
		collect(out, port);
	}
	wb_tally_add(&out->base.tally->unsent[WB_UNSENT_OTHER], port->committed - port->completed);
	port->completed = port->committed;
	return r;
}

static int interface_finish(struct wb_out *out)
{
	int r = port_finish(out, &out->plain), s = port_finish(out, &out->super);

	return r < 0 ? r : s;
}

static void interface_close(struct wb_out *out)
{
	if (!out)
		return;
	port_close(&out->plain);
	port_close(&out->super);
	free(out->name);
	free(out);
}

static const struct wb_out_ops interface_ops = {
	.name = "interface",
	.put = interface_put,
	.send = interface_send,
	.finish = interface_finish,
	.close = interface_close,
};

int wb_out_interface_open(const char *name, const struct wb_interface_options *options, struct wb_tally *tally,
	const atomic_bool *stop, struct wb_out **ret_out, struct wb_error *ret_error)
{
	struct wb_out *out = calloc(1, sizeof(*out));
	int r;

	if (!out)
		return wb_fail(ret_error, -ENOMEM, "iface://%s: out of memory", name);
	out->base = (struct wb_out_base){.ops = &interface_ops, .tally = tally, .stop = stop};
	out->options = *options;
	out->name = strdup(name);
	r = out->name ? port_open(out, &out->plain, name, 0, ret_error) : wb_fail(ret_error, -ENOMEM, "out of memory");
	if (r == 0) {
		out->link_type = wb_interface_link_type(tpacket_tx_hardware_type(out->plain.tx));
		if (out->link_type < 0)
			r = wb_fail(ret_error, -EOPNOTSUPP,
				"iface://%s: an interface of hardware type %u cannot be sent to", name,
				tpacket_tx_hardware_type(out->plain.tx));
	}
	if (r < 0) {
		interface_close(out);
		return r;
	}
	*ret_out = out;
	return 0;
}
