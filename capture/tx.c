/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open and close of a sending ring. Version, vnet header and PACKET_QDISC_BYPASS come before the ring. bind(2) names no
 * protocol, so that nothing is received, and can come early. PACKET_LOSS is not set: with it the kernel would pass over
 * frames that it cannot send, and nobody would know which.
 */
#include "tx.h"

#include <limits.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEFAULT_FRAME_COUNT 1024u
#define MAX_FRAME_COUNT (1u << 24)

/* A frame is made of page fragments, one for each page that it touches, and no kernel allows more than 45 of them. */
#define MAX_FRAME_BYTES (45u * 4096u)
/* Usually 17 are allowed, just enough for 64 KiB and headers if these begin near the start of a page. */
#define PAGED_FRAME_BYTES (15u * 4096u)

#define MAX_SUPER_FRAME_BYTES (65535u + ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES)
#define ETHERNET_HEADER_BYTES 14u
#define VLAN_TAG_BYTES 4u
#define OTHER_HEADER_BYTES 128u /* of links that are not Ethernet; the kernel has no more than that */

#define MAX_BLOCK_PAGES 256u
#define SHRINK_MIN_BLOCKS 4u

void tpacket_tx_options_init(struct tpacket_tx_options *options)
{
	*options = (struct tpacket_tx_options){
		.frame_count = DEFAULT_FRAME_COUNT,
		.shrink = true,
	};
}

static int check_options(const struct tpacket_tx_options *options, struct tpacket_error *ret_error)
{
	const char *name = options->interface ? options->interface : "";
	uint32_t vnet = options->vnet_header_bytes;

	if (!name[0])
		return tpk_refuse(ret_error, "interface: '': sending needs one interface");
	if (strlen(name) >= IFNAMSIZ)
		return tpk_refuse(
			ret_error, "interface: '%.64s': a name has at most %d characters", name, IFNAMSIZ - 1);
	if (options->version != TPACKET_VERSION_AUTO && options->version != TPACKET_VERSION_2 &&
		options->version != TPACKET_VERSION_3)
		return tpk_refuse(ret_error, "version: %d: a sending ring has version 2, 3, or 0 for the best",
			(int)options->version);
	if (vnet != 0 && vnet != 10 && vnet != 12)
		return tpk_refuse(ret_error, "vnet_header_bytes: %u: must be 0 (none), 10 or 12", vnet);
	if (options->frame_bytes > MAX_FRAME_BYTES)
		return tpk_refuse(
			ret_error, "frame_bytes: %u: must be at most %u", options->frame_bytes, MAX_FRAME_BYTES);
	if (options->frame_bytes && options->frame_bytes <= vnet)
		return tpk_refuse(
			ret_error, "frame_bytes: %u: must exceed vnet_header_bytes (%u)", options->frame_bytes, vnet);
	if (options->frame_count == 0 || options->frame_count > MAX_FRAME_COUNT)
		return tpk_refuse(
			ret_error, "frame_count: %u: must be between 1 and %u", options->frame_count, MAX_FRAME_COUNT);
	return 0;
}

static int open_descriptors(
	struct tpacket_tx *tx, const struct tpacket_tx_options *options, struct tpacket_error *ret_error)
{
	struct epoll_event wake = {.events = EPOLLIN};
	/* Edge-triggered: the socket can nearly always be written to; what is of interest is that a frame left. */
	struct epoll_event space = {.events = EPOLLOUT | EPOLLET};

	tx->fd = tpk_netns_socket(options->netns, SOCK_RAW, ret_error);
	if (tx->fd < 0)
		return tx->fd;
	tx->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (tx->wake_fd < 0)
		return tpk_error(ret_error, -errno, "eventfd");
	wake.data.fd = tx->wake_fd;
	space.data.fd = tx->fd;
	tx->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (tx->epoll_fd < 0)
		return tpk_error(ret_error, -errno, "epoll_create1");
	if (epoll_ctl(tx->epoll_fd, EPOLL_CTL_ADD, tx->wake_fd, &wake) < 0 ||
		epoll_ctl(tx->epoll_fd, EPOLL_CTL_ADD, tx->fd, &space) < 0)
		return tpk_error(ret_error, -errno, "epoll_ctl");
	return 0;
}

static int find_link(struct tpacket_tx *tx, const struct tpacket_tx_options *options, struct tpacket_error *ret_error)
{
	int r = tpk_link_find(tx->fd, options->interface, &tx->index);

	return r < 0 ? tpk_error(ret_error, r, "interface: '%s'", options->interface) : 0;
}

static int bind_link(struct tpacket_tx *tx, const struct tpacket_tx_options *options, struct tpacket_error *ret_error)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)tx->index};

	if (bind(tx->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return tpk_error(ret_error, -errno, "interface: '%s': bind", options->interface);
	int r = tpk_tx_look(tx, tpk_now_ns());
	return r < 0 ? tpk_error(ret_error, r, "interface: '%s': MTU and state", options->interface) : 0;
}

static int set_vnet_header(struct tpacket_tx *tx, uint32_t bytes, struct tpacket_error *ret_error)
{
	int r = 0;

	if (bytes == VNET_HEADER_BYTES)
		r = tpk_socket_int(tx->fd, PACKET_VNET_HDR, 1);
	else if (bytes)
		r = tpk_socket_int(tx->fd, PACKET_VNET_HDR_SZ, (int)bytes);
	if (r < 0)
		return tpk_error(ret_error, r, "vnet_header_bytes: %u: %s", bytes,
			bytes == VNET_HEADER_BYTES ? "PACKET_VNET_HDR" : "PACKET_VNET_HDR_SZ (Linux 6.5)");
	tx->vnet_header_bytes = bytes;
	return 0;
}

static int set_layout(struct tpacket_tx *tx, const struct tpacket_tx_options *options, struct tpacket_error *ret_error)
{
	int r = set_vnet_header(tx, options->vnet_header_bytes, ret_error);

	if (r < 0 || !options->qdisc_bypass)
		return r;
	r = tpk_socket_int(tx->fd, PACKET_QDISC_BYPASS, 1);
	return r < 0 ? tpk_error(ret_error, r, "qdisc_bypass: true: PACKET_QDISC_BYPASS") : 0;
}

/* What the interface takes now, in one frame. */
static uint32_t natural_frame_bytes(const struct tpacket_tx *tx)
{
	bool is_ethernet = tx->hardware_type == ARPHRD_ETHER || tx->hardware_type == ARPHRD_LOOPBACK;
	uint32_t header = is_ethernet ? ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES : OTHER_HEADER_BYTES;
	uint32_t mtu = tx->mtu < MAX_FRAME_BYTES - 2 * OTHER_HEADER_BYTES ? tx->mtu : 65535;
	uint32_t bytes = mtu + header;

	if (tx->vnet_header_bytes && bytes < MAX_SUPER_FRAME_BYTES)
		bytes = MAX_SUPER_FRAME_BYTES;
	return bytes + tx->vnet_header_bytes;
}

/* Slots of whole pages for large frames; blocks of whole slots, the smallest that leave at most an eighth unused. */
static void choose_geometry(struct tpacket_tx *tx, uint32_t frame_bytes, uint32_t frame_count)
{
	uint32_t page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
	/* The kernel asks for room for its own struct sockaddr_ll, too, even if nothing lies there. */
	uint32_t least = tx->data_offset + (uint32_t)TPACKET_ALIGN(sizeof(struct sockaddr_ll));
	uint32_t slot = (uint32_t)TPACKET_ALIGN(tx->data_offset + frame_bytes);

	if (slot < least)
		slot = least;
	if (slot > PAGED_FRAME_BYTES)
		slot = (slot + page_bytes - 1) / page_bytes * page_bytes;
	uint32_t block = page_bytes;
	while (block < slot || (block % slot > block / 8 && block < MAX_BLOCK_PAGES * page_bytes))
		block *= 2;
	tx->slot_bytes = slot;
	tx->block_bytes = block;
	tx->frames_per_block = block / slot;
	tx->block_count = (frame_count + tx->frames_per_block - 1) / tx->frames_per_block;
}

static void ring_drop(int fd)
{
	struct tpacket_req3 nothing = {0};

	setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &nothing, sizeof(nothing));
}

/* The members of struct tpacket_req3 that struct tpacket_req lacks stay 0: the kernel wants that in a sending ring. */
static int ring_try(struct tpacket_tx *tx, bool *ret_is_unknown)
{
	struct tpacket_req3 request = {
		.tp_block_size = tx->block_bytes,
		.tp_block_nr = tx->block_count,
		.tp_frame_size = tx->slot_bytes,
		.tp_frame_nr = tx->frames_per_block * tx->block_count,
	};
	size_t bytes = (size_t)tx->block_bytes * tx->block_count;
	socklen_t length = tx->is_v3 ? sizeof(struct tpacket_req3) : sizeof(struct tpacket_req);

	if (setsockopt(tx->fd, SOL_PACKET, PACKET_TX_RING, &request, length) < 0) {
		*ret_is_unknown = errno == EINVAL;
		return -errno;
	}
	void *ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, tx->fd, 0);
	if (ring == MAP_FAILED) {
		int r = -errno;
		ring_drop(tx->fd);
		return r;
	}
	tx->ring = ring;
	tx->map_bytes = bytes;
	tx->frame_count = request.tp_frame_nr;
	return 0;
}

static int ring_shrink(struct tpacket_tx *tx, bool may_shrink, bool *ret_is_unknown)
{
	int r = ring_try(tx, ret_is_unknown);

	while (r == -ENOMEM && may_shrink && tx->block_count > SHRINK_MIN_BLOCKS) {
		tx->block_count -= tx->block_count / 4;
		if (tx->block_count < SHRINK_MIN_BLOCKS)
			tx->block_count = SHRINK_MIN_BLOCKS;
		r = ring_try(tx, ret_is_unknown);
	}
	return r;
}

/* A ring of one version. *ret_is_unknown: the kernel does not know it. */
static int open_ring(struct tpacket_tx *tx, const struct tpacket_tx_options *options, enum tpacket_version version,
	bool *ret_is_unknown, struct tpacket_error *ret_error)
{
	uint32_t frame_bytes = options->frame_bytes ? options->frame_bytes : natural_frame_bytes(tx);

	*ret_is_unknown = false;
	tx->is_v3 = version == TPACKET_VERSION_3;
	tx->data_offset = (uint32_t)(tx->is_v3 ? TPACKET3_HDRLEN : TPACKET2_HDRLEN) - sizeof(struct sockaddr_ll);
	int r = tpk_socket_int(tx->fd, PACKET_VERSION, tx->is_v3 ? TPACKET_V3 : TPACKET_V2);
	if (r < 0) {
		*ret_is_unknown = r == -EINVAL;
		return tpk_error(ret_error, r == -EINVAL ? -EPROTONOSUPPORT : r,
			"version: TPACKET_V%d: the kernel does not know it", (int)version);
	}
	choose_geometry(tx, frame_bytes, options->frame_count);
	if ((uint64_t)tx->block_bytes * tx->block_count > SIZE_MAX / 2)
		return tpk_refuse(ret_error, "frame_count: %u: frames of %u bytes exceed the address space",
			options->frame_count, frame_bytes);
	r = ring_shrink(tx, options->shrink, ret_is_unknown);
	if (r < 0)
		return tpk_error(ret_error, *ret_is_unknown ? -EPROTONOSUPPORT : r,
			"ring: TPACKET_V%d, %u blocks of %u bytes with %u frames each", (int)version, tx->block_count,
			tx->block_bytes, tx->frames_per_block);
	return 0;
}

static int open_best_ring(
	struct tpacket_tx *tx, const struct tpacket_tx_options *options, struct tpacket_error *ret_error)
{
	bool is_unknown = false;
	enum tpacket_version version = options->version ? options->version : TPACKET_VERSION_3;
	int r = open_ring(tx, options, version, &is_unknown, ret_error);

	/* Linux has TPACKET_V3 for sending since 4.11. */
	if (r < 0 && is_unknown && options->version == TPACKET_VERSION_AUTO)
		r = open_ring(tx, options, TPACKET_VERSION_2, &is_unknown, ret_error);
	return r;
}

static int make_entries(struct tpacket_tx *tx, struct tpacket_error *ret_error)
{
	tx->entries = calloc(tx->frame_count, sizeof(*tx->entries));
	if (!tx->entries)
		return tpk_error(ret_error, -ENOMEM, "frame_count: %u: their entries", tx->frame_count);
	tpk_tx_ring_begin(tx);
	return 0;
}

/* The steps in the kernel's order. What is there when one fails is taken down by tpacket_tx_close(). */
static int set_up(struct tpacket_tx *tx, const struct tpacket_tx_options *options, struct tpacket_error *ret_error)
{
	int r = open_descriptors(tx, options, ret_error);

	if (r == 0)
		r = find_link(tx, options, ret_error);
	if (r == 0)
		r = set_layout(tx, options, ret_error);
	/* Without a protocol the bound socket receives nothing, and the size of a frame follows from the interface. */
	if (r == 0)
		r = bind_link(tx, options, ret_error);
	if (r == 0)
		r = open_best_ring(tx, options, ret_error);
	if (r == 0)
		r = make_entries(tx, ret_error);
	return r;
}

int tpacket_tx_open(
	const struct tpacket_tx_options *options, struct tpacket_tx **ret_tx, struct tpacket_error *ret_error)
{
	*ret_tx = NULL;
	int r = check_options(options, ret_error);
	if (r < 0)
		return r;
	struct tpacket_tx *tx = calloc(1, sizeof(*tx));
	if (!tx)
		return tpk_error(ret_error, -ENOMEM, "memory for the ring's description");
	tx->fd = -1;
	tx->wake_fd = -1;
	tx->epoll_fd = -1;
	r = set_up(tx, options, ret_error);
	if (r < 0) {
		tpacket_tx_close(tx);
		return r;
	}
	*ret_tx = tx;
	return 0;
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

void tpacket_tx_close(struct tpacket_tx *tx)
{
	if (!tx)
		return;
	/* A mapping would keep the socket alive. */
	if (tx->map_bytes)
		munmap(tx->ring, tx->map_bytes);
	close_if_open(tx->epoll_fd);
	close_if_open(tx->wake_fd);
	close_if_open(tx->fd);
	free(tx->entries);
	free(tx);
}

enum tpacket_version tpacket_tx_version_in_use(const struct tpacket_tx *tx)
{
	return tx->is_v3 ? TPACKET_VERSION_3 : TPACKET_VERSION_2;
}

void tpacket_tx_geometry(const struct tpacket_tx *tx, struct tpacket_tx_geometry *ret_geometry)
{
	*ret_geometry = (struct tpacket_tx_geometry){
		.frame_bytes = tx->slot_bytes - tx->data_offset,
		.frame_count = tx->frame_count,
		.block_bytes = tx->block_bytes,
		.block_count = tx->block_count,
	};
}

unsigned int tpacket_tx_interface_index(const struct tpacket_tx *tx)
{
	return tx->index;
}

uint16_t tpacket_tx_hardware_type(const struct tpacket_tx *tx)
{
	return tx->hardware_type;
}

uint32_t tpacket_tx_waiting(const struct tpacket_tx *tx)
{
	return tx->queued;
}

int tpacket_tx_fd(const struct tpacket_tx *tx)
{
	return tx->fd;
}
