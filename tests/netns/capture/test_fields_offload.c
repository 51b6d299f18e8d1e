/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums that are still to be done or were checked already, super-frames that are still to be cut up or were put
 * together, and the header that tells all this.
 */
#include "fields.h"
#include "ip_frame.h"

#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUPER_BYTES 40000u
#define SEGMENT_BYTES 1400u
#define SEGMENTS 28u
#define BOTH 2 /* directions of the loopback */

static struct net_copy copies[BOTH];
static uint8_t frame[SUPER_BYTES];

static struct virtio_net_hdr unfinished_header(const struct ip_kind *kind, bool is_super)
{
	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = is_super ? kind->gso_type : VIRTIO_NET_HDR_GSO_NONE,
		.hdr_len = (uint16_t)(is_super ? ip_headers(kind) : 0),
		.gso_size = is_super ? SEGMENT_BYTES : 0,
		.csum_start = (uint16_t)(ETHERNET_BYTES + kind->network_bytes),
		.csum_offset = kind->sum_offset,
	};
}

/* header: NULL: none is there. hdr_len is a hint: how many bytes the kernel keeps apart, the headers at least. */
static void compare_header(
	const struct tpacket_packet *packet, const struct virtio_net_hdr *header, uint32_t headers_bytes)
{
	struct virtio_net_hdr got;

	if (!header) {
		assert_int_equal(packet->vnet_header_length, 0);
		assert_null(packet->vnet_header);
		return;
	}
	assert_int_equal(packet->vnet_header_length, sizeof(got));
	memcpy(&got, packet->vnet_header, sizeof(got));
	assert_int_equal(got.flags, header->flags);
	assert_int_equal(got.gso_type, header->gso_type);
	assert_int_equal(got.gso_size, header->gso_size);
	assert_int_equal(got.csum_start, header->csum_start);
	assert_int_equal(got.csum_offset, header->csum_offset);
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		assert_int_equal(got.hdr_len, 0);
	else
		assert_in_range(got.hdr_len, headers_bytes, packet->original_length);
}

static struct want want_unfinished(const struct row *row, const struct ip_kind *kind, uint32_t bytes, bool is_super)
{
	struct want want = row_want(row, frame, bytes);

	want.protocol = kind->protocol;
	want.status = TPACKET_STATUS_CHECKSUM_NOT_READY | (is_super ? kind->super_status : 0);
	return want;
}

/* A frame that comes in, and one that goes out; on the loopback each does both. */
static void send_and_compare(const struct row *row, struct tpacket *handle, const int *senders,
	const struct ip_kind *kind, bool is_super, bool has_header)
{
	const struct virtio_net_hdr header = unfinished_header(kind, is_super);
	uint32_t bytes = is_super ? SUPER_BYTES : 200;
	int count = row->is_loopback ? BOTH : 1;

	row_frame(row, frame, bytes, 5);
	ip_frame_fill(frame, bytes, kind);
	ip_frame_sums(frame, bytes, kind);
	for (int sends = 0; sends < BOTH; sends++) {
		struct want want = want_unfinished(row, kind, bytes, is_super);
		send_unfinished(senders[sends], &header, frame, bytes);
		row_take(handle, copies, (uint32_t)count);
		for (int i = 0; i < count; i++) {
			bool is_out = row->is_loopback ? i == 0 : sends;
			want.type = is_out ? TPACKET_TYPE_OUTGOING : TPACKET_TYPE_HOST;
			row_compare(row, &copies[i].packet, &want);
			compare_header(&copies[i].packet, has_header ? &header : NULL, ip_headers(kind));
		}
	}
}

static void test_unfinished(void **state)
{
	const struct row *row = *state;
	const struct ip_kind *const kinds[] = {&ip_tcp4, &ip_tcp6, &ip_udp4};
	const int senders[] = {unfinished_sender(row_send(row)), unfinished_sender(row_listen(row))};
	struct tpacket_options options;

	row_big_options(row, &options);
	options.ignore_outgoing = false;
	for (uint8_t bytes = 0; bytes <= 12; bytes = bytes ? bytes + 2 : 10) {
		if (bytes > 0 && row->socket == TPACKET_SOCKET_DGRAM)
			break;
		options.vnet_header = bytes > 0;
		options.vnet_header_bytes = bytes ? bytes : 10;
		struct tpacket *handle = net_open(&options);
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			send_and_compare(row, handle, senders, kinds[i], false, bytes);
			send_and_compare(row, handle, senders, kinds[i], true, bytes);
		}
		row_end(handle);
	}
	close(senders[0]);
	close(senders[1]);
}

/* An ordinary frame has a header, too, and nothing is in it, whatever was at that place in the ring before. */
static void test_header_of_an_ordinary_frame(void **state)
{
	const struct row *row = *state;
	const struct virtio_net_hdr nothing = {0}, header = unfinished_header(&ip_udp4, false);
	struct tpacket_options options;
	uint8_t plain[200];
	int sender = net_sender(row_send(row)), unfinished = unfinished_sender(row_send(row));

	row_options(row, &options);
	options.vnet_header = true;
	options.frame_bytes = 2048;
	options.block_bytes = 4096;
	options.block_count = 2;
	struct tpacket *handle = net_open(&options);
	for (uint32_t i = 0; i < 10; i++) {
		struct want want = want_unfinished(row, &ip_udp4, 200, false);
		row_frame(row, frame, 200, i);
		ip_frame_fill(frame, 200, &ip_udp4);
		ip_frame_sums(frame, 200, &ip_udp4);
		send_unfinished(unfinished, &header, frame, 200);
		compare_header(&row_expect(row, handle, &want)->packet, &header, 0);
		row_frame(row, plain, sizeof(plain), i);
		want = row_want(row, plain, sizeof(plain));
		net_send(sender, plain, sizeof(plain));
		compare_header(&row_expect(row, handle, &want)->packet, &nothing, 0);
	}
	row_end(handle);
	close(sender);
	close(unfinished);
}

static void test_header_refused(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;
	struct tpacket_error error = {""};
	struct tpacket *handle = NULL;

	row_options(row, &options);
	options.vnet_header = true;
	assert_int_equal(tpacket_open(&options, &handle, &error), -EINVAL);
	assert_null(handle);
	assert_string_equal(error.message, "vnet_header: true: needs socket_type raw");
}

/* A veth pair puts only together what its sender would have cut up. */
static void switch_on_gro(void)
{
	net_run("ethtool -K " NET_SEND " tx off >/dev/null && ethtool -K " NET_LISTEN " gro on");
}

/* GRO looks at checksums; without it nobody did when the frame is seen here. */
static void expect_checked(
	const struct row *row, struct tpacket *handle, const struct ip_kind *kind, uint32_t status, uint32_t wrong_bits)
{
	const struct virtio_net_hdr header = {.flags = status ? VIRTIO_NET_HDR_F_DATA_VALID : 0};
	int sender = net_sender(NET_SEND);

	row_frame(row, frame, 300, 9);
	ip_frame_fill(frame, 300, kind);
	ip_frame_sums(frame, 300, kind);
	ip_frame_finish(frame, 300, kind);
	frame[299] ^= (uint8_t)wrong_bits;
	struct want want = row_want(row, frame, 300);
	want.protocol = kind->protocol;
	want.status = status;
	net_send(sender, frame, 300);
	const struct net_copy *copy = row_expect(row, handle, &want);
	compare_header(&copy->packet, row->socket == TPACKET_SOCKET_RAW ? &header : NULL, 0);
	close(sender);
}

static void test_checked_checksum(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;

	row_options(row, &options);
	options.vnet_header = row->socket == TPACKET_SOCKET_RAW;
	struct tpacket *handle = net_open(&options);
	expect_checked(row, handle, &ip_tcp4, 0, 0);
	switch_on_gro();
	expect_checked(row, handle, &ip_tcp4, TPACKET_STATUS_CHECKSUM_VALID, 0);
	expect_checked(row, handle, &ip_tcp4, 0, 0x10);
	expect_checked(row, handle, &ip_tcp6, TPACKET_STATUS_CHECKSUM_VALID, 0);
	expect_checked(row, handle, &ip_tcp6, 0, 0x10);
	tpacket_close(handle);
}

/* A frame with a checked checksum that is forwarded to the loopback: told of the one that comes in only. */
static void test_checked_checksum_forwarded(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;

	net_set_up(state);
	switch_on_gro();
	int sender = net_sender(NET_SEND);
	if (!redirect(LOOPBACK))
		net_skip("a kernel or tc without the mirred action, which forwards packets");
	row_options(row, &options);
	options.ignore_outgoing = false;
	struct tpacket *handle = net_open(&options);
	row_frame(row, frame, 300, 9);
	ip_frame_fill(frame, 300, &ip_tcp4);
	ip_frame_sums(frame, 300, &ip_tcp4);
	ip_frame_finish(frame, 300, &ip_tcp4);
	struct want want = row_want(row, frame, 300);
	want.protocol = ip_tcp4.protocol;
	net_send(sender, frame, 300);
	row_take(handle, copies, BOTH);
	want.type = TPACKET_TYPE_OUTGOING;
	row_compare(row, &copies[0].packet, &want);
	want.type = TPACKET_TYPE_OTHER_HOST; /* as the address said where it came in */
	want.status = TPACKET_STATUS_CHECKSUM_VALID;
	row_compare(row, &copies[1].packet, &want);
	row_end(handle);
	close(sender);
}

/* What comes of a super-frame, in order. */
struct pieces {
	const struct row *row;
	const struct ip_kind *kind;
	uint32_t segments;
	uint32_t super_frames;
};

/* The frame that so many segments from the next one on make, with all that is counted up in it. */
static void make_piece(const struct pieces *pieces, uint32_t segments, bool is_super)
{
	const struct ip_kind *kind = pieces->kind;
	uint32_t headers = ip_headers(kind), bytes = headers + segments * SEGMENT_BYTES;
	uint32_t number = 1 + pieces->segments * SEGMENT_BYTES;
	static uint8_t whole[SUPER_BYTES];

	row_frame(pieces->row, whole, SUPER_BYTES, 5);
	memcpy(frame, whole, headers);
	memcpy(frame + headers, whole + headers + pieces->segments * SEGMENT_BYTES, segments * SEGMENT_BYTES);
	ip_frame_fill(frame, bytes, kind);
	if (kind == &ip_tcp4)
		frame[19] = (uint8_t)(1 + pieces->segments);
	for (uint32_t i = 0; i < 4; i++)
		frame[headers - 16 + i] = (uint8_t)(number >> (24 - 8 * i));
	ip_frame_sums(frame, bytes, kind);
	if (!is_super)
		ip_frame_finish(frame, bytes, kind);
}

static void check_piece(const struct tpacket_packet *packet, void *argument)
{
	struct pieces *pieces = argument;
	const struct row *row = pieces->row;
	struct virtio_net_hdr header = unfinished_header(pieces->kind, true);
	uint32_t bytes = packet->original_length + row_skip(row);
	uint32_t segments = (bytes - ip_headers(pieces->kind)) / SEGMENT_BYTES;
	bool is_super = segments > 1;

	assert_in_range(segments, 1, SEGMENTS - pieces->segments);
	assert_int_equal(bytes, ip_headers(pieces->kind) + segments * SEGMENT_BYTES);
	make_piece(pieces, segments, is_super);
	struct want want = want_unfinished(row, pieces->kind, bytes, true);
	if (!is_super) {
		want.status = TPACKET_STATUS_CHECKSUM_VALID;
		header = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_DATA_VALID};
	}
	row_compare(row, packet, &want);
	compare_header(packet, row->socket == TPACKET_SOCKET_RAW ? &header : NULL, ip_headers(pieces->kind));
	pieces->segments += segments;
	pieces->super_frames += is_super;
}

/*
 * The sender's kernel cuts a super-frame up, with all checksums, and the receiver's puts it together again: all of it,
 * or what it found when it looked; and the last segment stays apart where a socket still owns it.
 */
static void expect_put_together(const struct row *row, struct tpacket *handle, const struct ip_kind *kind)
{
	const struct virtio_net_hdr header = unfinished_header(kind, true);
	int sender = unfinished_sender(NET_SEND);
	struct pieces pieces = {.row = row, .kind = kind};

	for (int i = 0; i < 50 && pieces.super_frames == 0; i++) {
		double end_ms = net_now_ms() + 5000;
		pieces.segments = 0;
		make_piece(&pieces, SEGMENTS, true);
		send_unfinished(sender, &header, frame, ip_headers(kind) + SEGMENTS * SEGMENT_BYTES);
		while (pieces.segments < SEGMENTS && net_now_ms() < end_ms)
			net_drain(handle, 2 * NET_RETIRE_MS, check_piece, &pieces);
		assert_int_equal(pieces.segments, SEGMENTS);
	}
	assert_true(pieces.super_frames > 0);
	close(sender);
}

static void test_gro(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;

	switch_on_gro();
	row_big_options(row, &options);
	options.vnet_header = row->socket == TPACKET_SOCKET_RAW;
	options.block_count = SEGMENTS;
	struct tpacket *handle = net_open(&options);
	expect_put_together(row, handle, &ip_tcp4);
	expect_put_together(row, handle, &ip_tcp6);
	tpacket_close(handle);
}

#define ON_EVERY_VETH (ON_ALL & ~ON_LOOPBACK)
#define ON_EVERY_LOOPBACK (ON_ALL & ~ON_VETH)
#define ON_EVERY_RAW (ON_ALL & ~ON_DGRAM)
#define ON_EVERY_DGRAM (ON_ALL & ~ON_RAW)

const struct row_test offload_tests[] = {
	ROW_TEST(test_unfinished, ON_ALL),
	ROW_TEST(test_header_of_an_ordinary_frame, ON_EVERY_RAW),
	ROW_TEST(test_header_refused, ON_EVERY_DGRAM),
	ROW_TEST(test_checked_checksum, ON_EVERY_VETH),
	ROW_TEST(test_checked_checksum_forwarded, ON_EVERY_LOOPBACK),
	ROW_TEST(test_gro, ON_EVERY_VETH),
	{0},
};
