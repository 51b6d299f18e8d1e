/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an amount of memory to a geometry: how long a frame of the interface can get, what the ring adds to it, and how
 * to divide the memory. tpacket_rcv() and packet_set_ring() in net/packet/af_packet.c.
 */
#include "internal.h"

#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_BLOCK_BYTES (1u << 20)
#define MIN_BLOCKS 4u
#define GOOD_BLOCKS 16u
#define V3_FRAME_BYTES 4096u /* V3 only checks it */

#define TAG_BYTES 8u             /* two tags that stay in the frame */
#define OTHER_LINK_HEADER 128u   /* not Ethernet: no link header is longer (LL_MAX_HEADER) */
#define SUPER_FRAME_BYTES 65536u /* GRO and GSO where the kernel does not tell a size (GSO_LEGACY_MAX_SIZE) */
#define SUPER_FRAME_EXTRA 64u    /* BIG TCP inserts a header, and which headers count differs */
#define DEFRAG_BYTES 65535u
#define MAX_MTU (1u << 30)

/* IFLA_*: the headers of Debian 12 lack the last ones. */
#define GSO_MAX_SIZE 41
#define GRO_MAX_SIZE 58
#define GSO_IPV4_MAX_SIZE 63
#define GRO_IPV4_MAX_SIZE 64

#define ANSWER_BYTES 32768

struct query {
	int fd;             /* of rtnetlink, in the interface's namespace */
	unsigned int index; /* 0: all */
	bool is_datagram;
	bool has_found;
	uint32_t longest; /* frame */
};

static uint32_t max_of(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static bool has_offload(int fd, const char *name, uint32_t command, uint32_t bits)
{
	struct ethtool_value value = {.cmd = command};
	struct ifreq request = {.ifr_data = (char *)&value};

	memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	return ioctl(fd, SIOCETHTOOL, &request) == 0 && (value.data & bits);
}

/* Can packets be larger than the MTU? */
static bool has_super_frames(int fd, const char *name)
{
	return has_offload(fd, name, ETHTOOL_GGRO, UINT32_MAX) || has_offload(fd, name, ETHTOOL_GGSO, UINT32_MAX) ||
	       has_offload(fd, name, ETHTOOL_GTSO, UINT32_MAX) || has_offload(fd, name, ETHTOOL_GFLAGS, ETH_FLAG_LRO);
}

struct facts {
	const char *name;
	uint32_t mtu;
	uint32_t super_bytes; /* 0: not told */
	bool is_virtual;      /* veth, bridge, tun ...: the other end, or a port, sends what its offloads allow */
};

static uint32_t attribute_u32(const struct rtattr *attribute)
{
	uint32_t value = 0;

	if (RTA_PAYLOAD(attribute) >= sizeof(value))
		memcpy(&value, RTA_DATA(attribute), sizeof(value));
	return value;
}

static void read_attribute(const struct rtattr *attribute, struct facts *facts)
{
	switch (attribute->rta_type & NLA_TYPE_MASK) {
	case IFLA_IFNAME:
		facts->name = RTA_DATA(attribute);
		break;
	case IFLA_MTU:
		facts->mtu = attribute_u32(attribute);
		break;
	case IFLA_LINKINFO:
		facts->is_virtual = true;
		break;
	case GSO_MAX_SIZE:
	case GRO_MAX_SIZE:
	case GSO_IPV4_MAX_SIZE:
	case GRO_IPV4_MAX_SIZE:
		facts->super_bytes = max_of(facts->super_bytes, attribute_u32(attribute));
		break;
	}
}

static uint32_t link_header_bytes(const struct query *query, uint16_t hardware_type)
{
	if (query->is_datagram)
		return 0;
	return hardware_type == ARPHRD_ETHER || hardware_type == ARPHRD_LOOPBACK ? ETH_HLEN : OTHER_LINK_HEADER;
}

static void read_link(struct query *query, const struct nlmsghdr *message)
{
	const struct ifinfomsg *link = NLMSG_DATA(message);
	struct facts facts = {.name = ""};
	int left = (int)IFLA_PAYLOAD(message);

	if (query->index && (unsigned int)link->ifi_index != query->index)
		return;
	for (const struct rtattr *attribute = IFLA_RTA(link); RTA_OK(attribute, left);
		attribute = RTA_NEXT(attribute, left))
		read_attribute(attribute, &facts);
	uint32_t bytes = facts.mtu < MAX_MTU ? facts.mtu : MAX_MTU;
	if (facts.is_virtual || has_super_frames(query->fd, facts.name)) {
		uint32_t super_bytes = facts.super_bytes ? facts.super_bytes : SUPER_FRAME_BYTES;
		bytes = max_of(bytes, (super_bytes < MAX_MTU ? super_bytes : MAX_MTU) + SUPER_FRAME_EXTRA);
	}
	query->has_found = true;
	query->longest = max_of(query->longest, bytes + link_header_bytes(query, link->ifi_type) + TAG_BYTES);
}

/* 1: more is to come; 0: that was all; else a negative errno. */
static int read_answer(struct query *query)
{
	union {
		struct nlmsghdr header;
		char bytes[ANSWER_BYTES];
	} answer;
	ssize_t length = recv(query->fd, &answer, sizeof(answer), 0);

	if (length < 0)
		return errno == EINTR ? 1 : -errno;
	for (struct nlmsghdr *message = &answer.header; NLMSG_OK(message, length);
		message = NLMSG_NEXT(message, length)) {
		if (message->nlmsg_type == NLMSG_DONE)
			return 0;
		if (message->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)NLMSG_DATA(message))->error;
		if (message->nlmsg_type == RTM_NEWLINK)
			read_link(query, message);
	}
	return 1;
}

static int ask(struct query *query)
{
	const struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_GETLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.link = {.ifi_family = AF_UNSPEC},
	};
	int r;

	if (send(query->fd, &request, sizeof(request), 0) < 0)
		return -errno;
	do
		r = read_answer(query);
	while (r > 0);
	return r;
}

/* What the filter keeps of a packet at most. snap_length is for packets without a program. */
static uint32_t kept_bytes(const struct tpacket_options *options)
{
	uint32_t bytes = 0;

	if (options->filter_fd >= 0)
		return UINT32_MAX;
	if (!options->filter)
		return options->snap_length;
	for (uint16_t i = 0; i < options->filter_length; i++) {
		if (BPF_CLASS(options->filter[i].code) != BPF_RET)
			continue;
		bytes = max_of(bytes, BPF_RVAL(options->filter[i].code) == BPF_A ? UINT32_MAX : options->filter[i].k);
	}
	return bytes;
}

/* The longest frame of the interface, as far as it is kept. */
static int longest_frame(const struct tpacket_options *options, uint32_t *ret_bytes, struct tpacket_error *ret_error)
{
	struct query query = {.is_datagram = options->socket_type == TPACKET_SOCKET_DGRAM};
	const char *name = options->interface ? options->interface : "";

	query.fd = tpk_netns_route_socket(options->netns, ret_error);
	if (query.fd < 0)
		return query.fd;
	int r = tpk_link_find(query.fd, options->interface, &query.index);
	if (r == 0)
		r = ask(&query);
	close(query.fd);
	if (r == 0 && !query.has_found)
		r = -ENODEV;
	if (r < 0)
		return tpk_error(ret_error, r, "interface: '%.64s': its longest frame", name);
	if (options->fanout != TPACKET_FANOUT_NONE && (options->fanout_flags & TPACKET_FANOUT_DEFRAG))
		query.longest = max_of(query.longest, DEFRAG_BYTES + ETH_HLEN + TAG_BYTES);
	uint32_t kept = kept_bytes(options);
	*ret_bytes = kept < query.longest ? kept : query.longest;
	return 0;
}

/*
 * In front of the captured bytes, at most: header and address, 16 bytes or the link header, rounded up. The kernel puts
 * the network header on that boundary, so a frame begins before it.
 */
static uint32_t header_room(const struct tpacket_options *options, enum tpacket_version version)
{
	uint32_t header = TPACKET_HDRLEN;

	if (version == TPACKET_VERSION_2)
		header = TPACKET2_HDRLEN;
	if (version == TPACKET_VERSION_3)
		header = sizeof(struct tpacket_block_desc) + TPACKET3_HDRLEN;
	header = TPACKET_ALIGN(header + 16) + TPACKET_ALIGNMENT;
	if (options->vnet_header)
		header += max_of(options->vnet_header_bytes, VNET_HEADER_BYTES);
	if (options->vlan == TPACKET_VLAN_INSERT)
		header += TPK_VLAN_BYTES;
	return TPACKET_ALIGN(header);
}

static uint64_t page_power(uint64_t bytes)
{
	uint64_t power = (uint64_t)sysconf(_SC_PAGESIZE);

	while (power < bytes)
		power *= 2;
	return power;
}

static uint32_t choose_count(uint64_t memory_bytes, uint64_t block, const struct tpacket_geometry *geometry)
{
	uint32_t frames = geometry->block_bytes / geometry->frame_bytes;
	uint64_t count = memory_bytes / block;
	uint64_t most = frames ? UINT32_MAX / frames : 0;

	return (uint32_t)(count < most ? count : most);
}

/* V3: as large as leaves a good number of blocks. */
static void choose_blocks(uint64_t memory_bytes, uint64_t smallest, struct tpacket_geometry *ret_geometry)
{
	uint64_t block = smallest;

	while (block * 2 <= MAX_BLOCK_BYTES && memory_bytes / (block * 2) >= GOOD_BLOCKS)
		block *= 2;
	ret_geometry->frame_bytes = V3_FRAME_BYTES;
	ret_geometry->block_bytes = (uint32_t)block;
	ret_geometry->block_count = choose_count(memory_bytes, block, ret_geometry);
}

/*
 * Frames of one size fill a block without a rest, and a block is whole pages. So look for the size, a little above what
 * is needed, of which most go into what the kernel allocates.
 */
static void choose_frame(uint64_t allocation, uint32_t needed, struct tpacket_geometry *ret_geometry)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t most = 1;

	ret_geometry->frame_bytes = (uint32_t)allocation;
	ret_geometry->block_bytes = (uint32_t)allocation;
	for (uint64_t frame = max_of(needed, TPACKET_ALIGNMENT); frame <= allocation / 2; frame += TPACKET_ALIGNMENT) {
		uint64_t unit = frame;
		while (unit % page) /* which is a power of 2 */
			unit *= 2;
		uint64_t block = allocation / unit * unit;
		if (block / frame <= most)
			continue;
		most = block / frame;
		ret_geometry->frame_bytes = (uint32_t)frame;
		ret_geometry->block_bytes = (uint32_t)block;
	}
}

/* V1, V2: blocks do not matter, frames do. As many as possible. */
static void choose_slots(
	uint64_t memory_bytes, uint64_t smallest, uint32_t needed, struct tpacket_geometry *ret_geometry)
{
	uint64_t most = 0;

	for (uint64_t block = smallest; block == smallest || block <= MAX_BLOCK_BYTES; block *= 2) {
		struct tpacket_geometry geometry;
		if (memory_bytes / block < MIN_BLOCKS)
			break;
		choose_frame(block, needed, &geometry);
		geometry.block_count = choose_count(memory_bytes, block, &geometry);
		uint64_t frames = (uint64_t)(geometry.block_bytes / geometry.frame_bytes) * geometry.block_count;
		if (frames <= most)
			continue;
		most = frames;
		*ret_geometry = geometry;
	}
}

/* The kernel allocates each block as 2^k pages, so that is what is counted. */
static int divide(uint64_t memory_bytes, uint32_t longest, uint32_t needed, bool has_blocks,
	struct tpacket_geometry *ret_geometry, struct tpacket_error *ret_error)
{
	uint64_t smallest = page_power(needed);
	uint64_t least_bytes = smallest * MIN_BLOCKS;

	if (smallest > INT32_MAX)
		return tpk_refuse(
			ret_error, "interface: frames of up to %u bytes: longer than a block can be", longest);
	if (memory_bytes < least_bytes)
		return tpk_refuse(ret_error,
			"memory_bytes: %llu: must be at least %llu, %u blocks of %llu for frames of up to %u bytes",
			(unsigned long long)memory_bytes, (unsigned long long)least_bytes, MIN_BLOCKS,
			(unsigned long long)smallest, longest);
	if (has_blocks)
		choose_blocks(memory_bytes, smallest, ret_geometry);
	else
		choose_slots(memory_bytes, smallest, needed, ret_geometry);
	return 0;
}

int tpacket_options_size(struct tpacket_options *options, uint64_t memory_bytes, struct tpacket_error *ret_error)
{
	const struct tpk_ring_ops *ops = tpk_ring_ops_find(options->version);
	struct tpacket_geometry geometry = {0};
	uint32_t longest = 0;

	if (!ops)
		return tpk_refuse(ret_error, "version: %d: must be between %d and %d, or %d for the best",
			(int)options->version, TPACKET_VERSION_1, TPACKET_VERSION_3, TPACKET_VERSION_AUTO);
	if (options->interface && strlen(options->interface) >= IFNAMSIZ)
		return tpk_refuse(ret_error, "interface: '%.64s': a name has at most %d characters", options->interface,
			IFNAMSIZ - 1);
	int r = longest_frame(options, &longest, ret_error);
	if (r < 0)
		return r;
	if (longest > INT32_MAX - MAX_BLOCK_BYTES)
		return tpk_refuse(
			ret_error, "interface: frames of up to %u bytes: longer than a block can be", longest);
	uint32_t needed = TPACKET_ALIGN(longest + header_room(options, ops->version));
	r = divide(memory_bytes, longest, needed, ops->has_blocks, &geometry, ret_error);
	if (r < 0)
		return r;
	options->frame_bytes = geometry.frame_bytes;
	options->block_bytes = geometry.block_bytes;
	options->block_count = geometry.block_count;
	return 0;
}
