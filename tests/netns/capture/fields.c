/* SPDX-License-Identifier: Apache-2.0 */
#include "fields.h"

#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct net_copy copy;

const char *row_listen(const struct row *row)
{
	return row->is_loopback ? LOOPBACK : NET_LISTEN;
}

const char *row_send(const struct row *row)
{
	return row->is_loopback ? LOOPBACK : NET_SEND;
}

void row_options(const struct row *row, struct tpacket_options *options)
{
	net_options(options);
	options->interface = row_listen(row);
	options->version = row->version;
	options->socket_type = row->socket;
	options->frame_bytes = 2048;
	options->ignore_outgoing = row->is_loopback;
}

void row_big_options(const struct row *row, struct tpacket_options *options)
{
	row_options(row, options);
	options->frame_bytes = options->block_bytes = 1u << 17;
	options->block_count = 4;
}

struct tpacket *row_open(const struct row *row)
{
	struct tpacket_options options;

	row_options(row, &options);
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_version_in_use(handle), row->version);
	return handle;
}

uint32_t row_skip(const struct row *row)
{
	return row->socket == TPACKET_SOCKET_DGRAM ? ETHERNET_BYTES : 0;
}

void row_address(const struct row *row, uint8_t *address)
{
	const uint8_t veth[6] = {0x02, 0, 0, 0, 0, 1};

	if (row->is_loopback)
		memset(address, 0, sizeof(veth));
	else
		memcpy(address, veth, sizeof(veth));
}

void row_frame(const struct row *row, uint8_t *frame, uint32_t bytes, uint32_t number)
{
	net_frame(frame, bytes, number);
	row_address(row, frame);
}

struct want row_want(const struct row *row, const uint8_t *frame, uint32_t bytes)
{
	return (struct want){
		.frame = frame,
		.bytes = bytes,
		.skip = row_skip(row),
		.index = net_index(row_listen(row)),
		.protocol = NET_ETHERTYPE,
		.type = TPACKET_TYPE_HOST,
	};
}

static void compare_time(const struct row *row, const struct tpacket_packet *packet, const struct want *want)
{
	uint64_t unit_ns = row->version == TPACKET_VERSION_1 ? 1000 : 1;

	assert_int_equal(packet->time_ns % unit_ns, 0);
	if (want->after_ns)
		assert_true(packet->time_ns >= want->after_ns / unit_ns * unit_ns);
	if (want->before_ns)
		assert_true(packet->time_ns <= want->before_ns);
}

void row_compare(const struct row *row, const struct tpacket_packet *packet, const struct want *want)
{
	uint32_t captured = want->is_empty ? 0 : (want->captured ? want->captured : want->bytes) - want->skip;
	uint32_t status = want->status;

	if (row->version == TPACKET_VERSION_1)
		status |= TPACKET_STATUS_TIME_MICROSECONDS;
	assert_int_equal(packet->original_length, want->bytes - want->skip);
	assert_int_equal(packet->captured_length, captured);
	assert_memory_equal(packet->data, want->frame + want->skip, captured);
	/* Whether the kernel takes the time on arrival depends on what else runs on the machine. */
	assert_int_equal(packet->status & ~TPACKET_STATUS_TIME_SOFTWARE, status);
	assert_int_equal(packet->interface_index, want->index);
	assert_int_equal(packet->protocol, want->protocol);
	assert_int_equal(packet->hardware_type, row->is_loopback ? ARPHRD_LOOPBACK : ARPHRD_ETHER);
	assert_int_equal(packet->packet_type, want->type);
	assert_int_equal(packet->vlan_tpid, want->tpid);
	assert_int_equal(packet->vlan_tci, want->tci);
	compare_time(row, packet, want);
}

const struct net_copy *row_expect(const struct row *row, struct tpacket *handle, const struct want *want)
{
	net_take(handle, &copy);
	row_compare(row, &copy.packet, want);
	return &copy;
}

static void take_one(struct tpacket *handle, struct net_copy *ret_copy)
{
	struct tpacket_packet *packet = &ret_copy->packet;
	void *memory;

	assert_int_equal(tpacket_read_copy(handle, 5000, packet, &memory), 1);
	assert_true(packet->captured_length <= sizeof(ret_copy->data));
	memcpy(ret_copy->data, packet->data, packet->captured_length);
	packet->data = ret_copy->data;
	if (packet->vnet_header)
		packet->vnet_header = memcpy(ret_copy->vnet_header, packet->vnet_header, packet->vnet_header_length);
	free(memory);
}

void row_take(struct tpacket *handle, struct net_copy *ret_copies, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		take_one(handle, &ret_copies[i]);
}

void row_end(struct tpacket *handle)
{
	assert_int_equal(net_drain(handle, 2 * NET_RETIRE_MS, NULL, NULL), 0);
	tpacket_close(handle);
}

uint32_t put_tag(uint8_t *to, const uint8_t *from, uint32_t bytes, uint16_t tpid, uint16_t tci)
{
	const uint8_t tag[TAG_BYTES] = {(uint8_t)(tpid >> 8), (uint8_t)tpid, (uint8_t)(tci >> 8), (uint8_t)tci};

	memmove(to + 12 + TAG_BYTES, from + 12, bytes - 12);
	memmove(to, from, 12);
	memcpy(to + 12, tag, sizeof(tag));
	return bytes + TAG_BYTES;
}

uint32_t row_front(const struct row *row, uint32_t reserve, uint32_t vnet_bytes)
{
	uint32_t header = row->version == TPACKET_VERSION_1   ? TPACKET_HDRLEN
	                  : row->version == TPACKET_VERSION_2 ? TPACKET2_HDRLEN
	                                                      : TPACKET3_HDRLEN;

	if (row->socket == TPACKET_SOCKET_DGRAM)
		return (uint32_t)TPACKET_ALIGN(header) + 16 + reserve;
	return (uint32_t)TPACKET_ALIGN(header + 16) + reserve + vnet_bytes - ETHERNET_BYTES;
}

int unfinished_sender(const char *interface)
{
	int fd = net_sender(interface), on = 1;

	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	return fd;
}

void send_unfinished(int fd, const struct virtio_net_hdr *header, const uint8_t *frame, uint32_t bytes)
{
	static uint8_t buffer[sizeof(*header) + NET_MAX_FRAME];

	assert_true(bytes <= NET_MAX_FRAME);
	memcpy(buffer, header, sizeof(*header));
	memcpy(buffer + sizeof(*header), frame, bytes);
	net_send(fd, buffer, sizeof(*header) + bytes);
}

bool redirect(const char *interface)
{
	char command[256];

	snprintf(command, sizeof(command),
		"{ tc qdisc add dev " NET_LISTEN " clsact && tc filter add dev " NET_LISTEN
		" ingress protocol all u32 match u32 0 0 action mirred egress redirect dev %s; } >/dev/null 2>&1",
		interface);
	return system(command) == 0;
}

uint64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
