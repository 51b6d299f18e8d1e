/* SPDX-License-Identifier: Apache-2.0 */
/* vlan: insert. The frame is as it was sent, byte for byte, and both lengths count the tag. */
#include "fields.h"
#include "ip_frame.h"

#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLAIN_BYTES 300u

static const uint16_t tags[][2] = {
	{0x8100, 0x6064}, {0x88a8, 0xe001}, {0x8100, 0x6000}, {0x8100, 0x0000}, {0x88a8, 0x0000}, {0x8100, 0xffff}};
#define TAGS (sizeof(tags) / sizeof(tags[0]))

static void insert_options(const struct row *row, struct tpacket_options *options)
{
	row_options(row, options);
	options->vlan = TPACKET_VLAN_INSERT;
}

static struct want want_inserted(const struct row *row, const uint8_t *frame, uint32_t bytes)
{
	struct want want = row_want(row, frame, bytes);

	want.status = TPACKET_STATUS_VLAN_INSERTED;
	return want;
}

static void send_and_expect_all(const struct row *row, struct tpacket *handle, int sender, uint32_t captured)
{
	uint8_t plain[PLAIN_BYTES], frame[PLAIN_BYTES + 2 * TAG_BYTES];

	for (uint32_t i = 0; i < TAGS; i++) {
		row_frame(row, plain, sizeof(plain), i);
		uint32_t bytes = put_tag(frame, plain, sizeof(plain), tags[i][0], tags[i][1]);
		struct want want = want_inserted(row, frame, bytes);
		want.captured = captured ? captured + TAG_BYTES : 0;
		net_send(sender, frame, bytes);
		row_expect(row, handle, &want);

		/* An untagged frame in between is left alone. */
		want = row_want(row, plain, sizeof(plain));
		want.captured = captured;
		net_send(sender, plain, sizeof(plain));
		row_expect(row, handle, &want);

		/* 0x88a8 around this one. */
		bytes = put_tag(frame, frame, bytes, 0x88a8, 0x0123);
		want = want_inserted(row, frame, bytes);
		want.protocol = tags[i][0];
		want.captured = captured ? captured + TAG_BYTES : 0;
		net_send(sender, frame, bytes);
		row_expect(row, handle, &want);
	}
}

static void test_insert(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;
	int sender = net_sender(row_send(row));

	insert_options(row, &options);
	struct tpacket *handle = net_open(&options);
	send_and_expect_all(row, handle, sender, 0);
	row_end(handle);
	close(sender);
}

/* The snap length is the filter's, which sees the frame without the tag. */
static void test_insert_with_snap_length(void **state)
{
	const struct row *row = *state;
	const uint32_t lengths[] = {200, 64, 18, 14, 12};
	struct tpacket_options options;
	int sender = net_sender(row_send(row));

	insert_options(row, &options);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		options.snap_length = lengths[i];
		struct tpacket *handle = net_open(&options);
		send_and_expect_all(row, handle, sender, lengths[i]);
		tpacket_close(handle);
	}
	close(sender);
}

/* With less than the addresses there is nothing in front of which it could be put: it is told beside the frame. */
static void test_insert_without_room(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;
	uint8_t plain[PLAIN_BYTES], frame[PLAIN_BYTES + TAG_BYTES];
	int sender = net_sender(row_send(row));

	insert_options(row, &options);
	options.snap_length = 11;
	struct tpacket *handle = net_open(&options);
	row_frame(row, plain, sizeof(plain), 1);
	uint32_t bytes = put_tag(frame, plain, sizeof(plain), 0x8100, 0x6064);
	struct want want = row_want(row, plain, sizeof(plain));
	want.captured = 11;
	want.status = TPACKET_STATUS_VLAN;
	want.tpid = 0x8100;
	want.tci = 0x6064;
	net_send(sender, frame, bytes);
	row_expect(row, handle, &want);
	tpacket_close(handle);
	close(sender);
}

/*
 * The header is no part of the frame, but lies in front of it, where the addresses move to. Where the checksum is to be
 * put is counted from the beginning of the frame, and so moves with the tag.
 */
static void test_insert_with_vnet_header(void **state)
{
	const struct row *row = *state;
	const struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34 + TAG_BYTES, .csum_offset = 6};
	struct tpacket_options options;
	struct virtio_net_hdr got;
	uint8_t plain[NET_UDP_BYTES], frame[NET_UDP_BYTES + TAG_BYTES];
	int sender = unfinished_sender(NET_SEND);

	insert_options(row, &options);
	options.vnet_header = true;
	for (uint8_t bytes = 10; bytes <= 12; bytes += 2) {
		options.vnet_header_bytes = bytes;
		struct tpacket *handle = net_open(&options);
		for (uint32_t i = 0; i < TAGS; i++) {
			net_udp_frame(plain, i);
			uint32_t length = put_tag(frame, plain, sizeof(plain), tags[i][0], tags[i][1]);
			send_unfinished(sender, &header, frame, length);
			struct want want = want_inserted(row, frame, length);
			want.protocol = 0x0800;
			want.status |= TPACKET_STATUS_CHECKSUM_NOT_READY;
			/* The kernel puts the sum of the pseudo header there, or leaves it: compare around it. */
			struct net_copy copy;
			net_take(handle, &copy);
			memcpy(frame + 44, copy.data + 44, 2);
			row_compare(row, &copy.packet, &want);
			assert_int_equal(copy.packet.vnet_header_length, sizeof(got));
			memcpy(&got, copy.vnet_header, sizeof(got));
			assert_int_equal(got.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
			assert_int_equal(got.gso_type, VIRTIO_NET_HDR_GSO_NONE);
			assert_int_equal(got.csum_start, header.csum_start);
			assert_int_equal(got.csum_offset, header.csum_offset);
		}
		row_end(handle);
	}
	close(sender);
}

static struct virtio_net_hdr vnet_header_of(const struct tpacket_packet *packet)
{
	struct virtio_net_hdr header;

	assert_int_equal(packet->vnet_header_length, sizeof(header));
	memcpy(&header, packet->vnet_header, sizeof(header));
	return header;
}

/* Of a super-frame the header also says how many bytes the kernel keeps apart, of which the tag is none yet. */
static void test_insert_into_a_super_frame(void **state)
{
	const struct row *row = *state;
	const uint32_t bytes = 4000, headers = ip_headers(&ip_tcp4) + TAG_BYTES;
	const struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = (uint16_t)headers,
		.gso_size = 1000,
		.csum_start = 34 + TAG_BYTES,
		.csum_offset = 16,
	};
	struct tpacket_options options;
	uint8_t plain[4000], frame[4000 + TAG_BYTES];
	int sender = unfinished_sender(NET_SEND);

	row_options(row, &options);
	options.frame_bytes = 8192;
	options.vnet_header = true;
	struct tpacket *tells = net_open(&options);
	options.vlan = TPACKET_VLAN_INSERT;
	struct tpacket *inserts = net_open(&options);
	row_frame(row, plain, bytes, 3);
	ip_frame_fill(plain, bytes, &ip_tcp4);
	ip_frame_sums(plain, bytes, &ip_tcp4);
	put_tag(frame, plain, bytes, 0x88a8, 0x6064);
	send_unfinished(sender, &header, frame, bytes + TAG_BYTES);

	struct want want = row_want(row, plain, bytes);
	want.protocol = ip_tcp4.protocol;
	want.status = TPACKET_STATUS_CHECKSUM_NOT_READY | TPACKET_STATUS_GSO_TCP | TPACKET_STATUS_VLAN;
	want.tpid = 0x88a8;
	want.tci = 0x6064;
	struct virtio_net_hdr told = vnet_header_of(&row_expect(row, tells, &want)->packet);
	want.frame = frame;
	want.bytes += TAG_BYTES;
	want.status ^= TPACKET_STATUS_VLAN | TPACKET_STATUS_VLAN_INSERTED;
	want.tpid = want.tci = 0;
	struct virtio_net_hdr got = vnet_header_of(&row_expect(row, inserts, &want)->packet);
	assert_int_equal(told.csum_start, header.csum_start - TAG_BYTES);
	told.csum_start += TAG_BYTES;
	told.hdr_len += TAG_BYTES;
	assert_memory_equal(&got, &told, sizeof(got));
	assert_int_equal(got.flags, header.flags);
	assert_int_equal(got.gso_type, header.gso_type);
	assert_int_equal(got.gso_size, header.gso_size);
	assert_int_equal(got.csum_offset, header.csum_offset);
	row_end(tells);
	row_end(inserts);
	close(sender);
}

/* Whichever function takes the packet; and taking it does not insert twice. */
static void test_insert_reading_functions(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;
	struct tpacket_packet packet;
	uint8_t frame[PLAIN_BYTES + TAG_BYTES], buffer[PLAIN_BYTES + TAG_BYTES];
	void *memory;
	int sender = net_sender(row_send(row));

	insert_options(row, &options);
	struct tpacket *handle = net_open(&options);
	row_frame(row, frame, PLAIN_BYTES, 1);
	uint32_t bytes = put_tag(frame, frame, PLAIN_BYTES, 0x88a8, 0x0064);
	struct want want = want_inserted(row, frame, bytes);
	for (int i = 0; i < 4; i++)
		net_send(sender, frame, bytes);
	assert_int_equal(tpacket_read(handle, 1000, &packet), 1);
	row_compare(row, &packet, &want);
	assert_int_equal(tpacket_read_copy(handle, 1000, &packet, &memory), 1);
	row_compare(row, &packet, &want);
	free(memory);
	assert_int_equal(tpacket_read_into(handle, 1000, buffer, sizeof(buffer), &packet), 1);
	row_compare(row, &packet, &want);
	assert_int_equal(tpacket_read_into(handle, 1000, buffer, 15, &packet), 1);
	want.captured = 15;
	want.status |= TPACKET_STATUS_SHORT_BUFFER;
	row_compare(row, &packet, &want);
	row_end(handle);
	close(sender);
}

/* On all interfaces the tag is inserted on Ethernet, and told beside the frame elsewhere. */
static void test_insert_on_all_interfaces(void **state)
{
	const struct row *row = *state;
	const struct row loopback = {row->version, row->socket, true};
	struct tpacket_options options;
	uint8_t plain[PLAIN_BYTES], frame[PLAIN_BYTES + TAG_BYTES];
	int sender = net_sender(NET_SEND), own = net_sender(LOOPBACK);

	insert_options(row, &options);
	options.interface = NULL;
	options.ignore_outgoing = true;
	struct tpacket *handle = net_open(&options);
	row_frame(row, frame, PLAIN_BYTES, 1);
	uint32_t bytes = put_tag(frame, frame, PLAIN_BYTES, 0x88a8, 0x0064);
	struct want want = want_inserted(row, frame, bytes);
	net_send(sender, frame, bytes);
	row_expect(row, handle, &want);

	row_frame(&loopback, plain, PLAIN_BYTES, 1);
	put_tag(frame, plain, PLAIN_BYTES, 0x88a8, 0x0064);
	want = row_want(&loopback, plain, PLAIN_BYTES);
	want.status = TPACKET_STATUS_VLAN;
	want.tpid = 0x88a8;
	want.tci = 0x0064;
	net_send(own, frame, bytes);
	row_expect(&loopback, handle, &want);
	tpacket_close(handle);
	close(sender);
	close(own);
}

static void test_insert_refused(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;
	struct tpacket_error error = {""};
	struct tpacket *handle = NULL;

	insert_options(row, &options);
	assert_int_equal(tpacket_open(&options, &handle, &error), -EINVAL);
	assert_null(handle);
	assert_non_null(strstr(error.message, "vlan: insert"));
}

#define ON_INSERT (ON_V2 | ON_V3 | ON_RAW | ON_VETH)

const struct row_test insert_tests[] = {
	ROW_TEST(test_insert, ON_INSERT),
	ROW_TEST(test_insert_with_snap_length, ON_INSERT),
	ROW_TEST(test_insert_without_room, ON_INSERT),
	ROW_TEST(test_insert_with_vnet_header, ON_INSERT),
	ROW_TEST(test_insert_into_a_super_frame, ON_INSERT),
	ROW_TEST(test_insert_reading_functions, ON_INSERT),
	ROW_TEST(test_insert_on_all_interfaces, ON_INSERT),
	ROW_TEST(test_insert_refused, ON_V1 | ON_RAW | ON_DGRAM | ON_VETH | ON_LOOPBACK),
	ROW_TEST(test_insert_refused, ON_VERSIONS | ON_DGRAM | ON_VETH | ON_LOOPBACK),
	ROW_TEST(test_insert_refused, ON_VERSIONS | ON_RAW | ON_LOOPBACK),
	{0},
};
