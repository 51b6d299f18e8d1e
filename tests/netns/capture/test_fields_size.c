/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of all sizes: those that the ring cuts, those that the filter cuts, and how they are counted. */
#include "fields.h"
#include "ip_frame.h"

#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define JUMBO_BYTES 9014u
#define SLOT_BYTES 2048u
#define BLOCK_BYTES 4096u

static uint8_t frame[NET_MAX_FRAME + TAG_BYTES];

static void send_and_expect(
	const struct row *row, struct tpacket *handle, int sender, struct want want, uint32_t number)
{
	row_frame(row, frame, want.bytes, number);
	want.frame = frame;
	net_send(sender, frame, want.bytes);
	row_expect(row, handle, &want);
}

static void set_mtu(const struct row *row, uint32_t mtu)
{
	if (!row->is_loopback)
		net_run("ip link set " NET_LISTEN " mtu %u && ip link set " NET_SEND " mtu %u", mtu, mtu);
}

static void test_jumbo(void **state)
{
	const struct row *row = *state;
	const uint32_t sizes[] = {JUMBO_BYTES, 1515, 4096, 8192, 65535, 60};
	struct tpacket_options options;
	struct tpacket_counters counters;
	int sender = net_sender(row_send(row));

	set_mtu(row, 65535);
	row_big_options(row, &options);
	struct tpacket *handle = net_open(&options);
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		send_and_expect(row, handle, sender, row_want(row, NULL, sizes[i]), i);
	net_finish(handle, &counters);
	assert_int_equal(counters.truncated, 0);
	tpacket_close(handle);
	close(sender);
}

/* Nothing but a link header, and what an Ethernet card would fill up. On datagram sockets of the first nothing is left.
 */
static void test_short_frames(void **state)
{
	const struct row *row = *state;
	struct tpacket *handle = row_open(row);
	int sender = net_sender(row_send(row));

	for (uint32_t bytes = ETHERNET_BYTES; bytes <= 61; bytes += bytes < 20 ? 1 : 8) {
		struct want want = row_want(row, frame, bytes);
		row_frame(row, frame, 64, bytes);
		net_send(sender, frame, bytes);
		row_expect(row, handle, &want);
	}
	tpacket_close(handle);
	close(sender);
}

/* Slots of SLOT_BYTES, or blocks that hold a single frame of 4 KiB: how many bytes of a frame, link header included. */
static void cutting_options(const struct row *row, struct tpacket_options *options)
{
	row_options(row, options);
	options->frame_bytes = SLOT_BYTES;
	options->block_bytes = BLOCK_BYTES;
	options->block_count = 4;
}

static uint32_t cutting_room(const struct row *row, uint32_t reserve, uint32_t vnet_bytes)
{
	uint32_t limit =
		row->version == TPACKET_VERSION_3 ? BLOCK_BYTES - sizeof(struct tpacket_block_desc) : SLOT_BYTES;

	return limit - row_front(row, reserve, vnet_bytes) + row_skip(row);
}

static struct want want_cut(const struct row *row, uint32_t bytes, uint32_t room)
{
	struct want want = row_want(row, NULL, bytes);

	if (bytes > room) {
		want.captured = room;
		want.status = TPACKET_STATUS_TRUNCATED;
	}
	return want;
}

/* Cut at the ring's end and not before; shorter ones in between are whole, and no old one comes again. */
static void test_cut_by_the_ring(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;
	struct tpacket_counters counters;
	int sender = net_sender(row_send(row));
	uint32_t cut = 0;

	set_mtu(row, 9000);
	cutting_options(row, &options);
	uint32_t room = cutting_room(row, 0, 0);
	const uint32_t sizes[] = {100, room - 1, room, 100, room + 1, 100, JUMBO_BYTES, JUMBO_BYTES, 60, room + 2};
	struct tpacket *handle = net_open(&options);
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t bytes = sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
		send_and_expect(row, handle, sender, want_cut(row, bytes, room), i);
		cut += bytes > room;
		assert_int_equal(tpacket_stats(handle, &counters), 0);
		assert_int_equal(counters.truncated, cut);
	}
	net_finish(handle, &counters);
	assert_int_equal(counters.read, 40);
	assert_int_equal(counters.dropped, 0);
	assert_int_equal(counters.truncated, cut);
	tpacket_close(handle);
	close(sender);
}

/* The vnet header takes room away, and is whole. */
static void test_cut_with_vnet_header(void **state)
{
	const struct row *row = *state;
	const struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
	struct tpacket_options options;
	int sender = unfinished_sender(row_send(row));

	set_mtu(row, 9000);
	cutting_options(row, &options);
	options.vnet_header = true;
	for (uint8_t bytes = 10; bytes <= 12; bytes += 2) {
		uint32_t room = cutting_room(row, 0, bytes);
		options.vnet_header_bytes = bytes;
		struct tpacket *handle = net_open(&options);
		for (uint32_t length = room - 1; length <= room + 1; length++) {
			row_frame(row, frame, length, length);
			ip_frame_fill(frame, length, &ip_udp4);
			ip_frame_sums(frame, length, &ip_udp4);
			struct want want = want_cut(row, length, room);
			want.frame = frame;
			want.protocol = ip_udp4.protocol;
			want.status |= TPACKET_STATUS_CHECKSUM_NOT_READY;
			send_unfinished(sender, &header, frame, length);
			const struct net_copy *copy = row_expect(row, handle, &want);
			assert_int_equal(copy->packet.vnet_header_length, sizeof(header));
			assert_memory_equal(copy->vnet_header, &header, sizeof(header));
		}
		tpacket_close(handle);
	}
	close(sender);
}

/* The tag that is put back was not cut, and is counted in both lengths. */
static void test_cut_with_a_tag(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;
	uint8_t plain[BLOCK_BYTES + 1];
	int sender = net_sender(NET_SEND);

	set_mtu(row, 9000);
	cutting_options(row, &options);
	for (int inserts = 0; inserts <= 1; inserts++) {
		options.vlan = inserts ? TPACKET_VLAN_INSERT : TPACKET_VLAN_METADATA;
		uint32_t room = cutting_room(row, inserts ? TAG_BYTES : 0, 0);
		struct tpacket *handle = net_open(&options);
		for (uint32_t length = room - 1; length <= room + 1; length++) {
			struct want want = want_cut(row, length, room);
			row_frame(row, plain, length, length);
			uint32_t bytes = put_tag(frame, plain, length, 0x88a8, 0x6064);
			want.frame = inserts ? frame : plain;
			if (inserts) {
				want.captured += want.captured ? TAG_BYTES : 0;
				want.bytes += TAG_BYTES;
				want.status |= TPACKET_STATUS_VLAN_INSERTED;
			} else {
				want.status |= TPACKET_STATUS_VLAN;
				want.tpid = 0x88a8;
				want.tci = 0x6064;
			}
			net_send(sender, frame, bytes);
			row_expect(row, handle, &want);
		}
		tpacket_close(handle);
	}
	close(sender);
}

static void send_to_tiny_slots(const struct row *row, const struct tpacket_options *options)
{
	uint32_t front = row_front(row, 0, options->vnet_header ? options->vnet_header_bytes : 0);
	struct tpacket_counters counters;
	int sender = net_sender(row_send(row));
	struct tpacket *handle = net_open(options);

	for (uint32_t i = 0; i < 5; i++) {
		struct want want = row_want(row, frame, 200);
		row_frame(row, frame, want.bytes, i);
		want.captured = (options->frame_bytes > front ? options->frame_bytes - front : 0) + want.skip;
		want.is_empty = options->frame_bytes <= front;
		want.status = TPACKET_STATUS_TRUNCATED;
		net_send(sender, frame, want.bytes);
		const struct tpacket_packet *packet = &row_expect(row, handle, &want)->packet;
		bool has_header = options->vnet_header && options->frame_bytes >= front;
		assert_int_equal(packet->vnet_header_length, has_header ? sizeof(struct virtio_net_hdr) : 0);
		assert_int_equal(!!packet->vnet_header, has_header);
	}
	assert_int_equal(tpacket_stats(handle, &counters), 0);
	assert_int_equal(counters.truncated, 5);
	tpacket_close(handle);
	close(sender);
}

/* The smallest slots that the kernel takes have no room for a byte; or for a few. Nor then is there a vnet header. */
static void test_tiny_slots(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;

	row_options(row, &options);
	for (options.frame_bytes = 64; options.frame_bytes <= 96; options.frame_bytes += 16) {
		options.block_bytes = 256 * options.frame_bytes;
		options.vnet_header = false;
		send_to_tiny_slots(row, &options);
		options.vnet_header = row->socket == TPACKET_SOCKET_RAW;
		if (options.vnet_header)
			send_to_tiny_slots(row, &options);
	}
}

/* A snap length is no truncation, and counts from where the socket's frames begin. */
static void test_snap_length(void **state)
{
	const struct row *row = *state;
	const uint32_t lengths[] = {1, 14, 60, 299, 300};
	struct tpacket_options options;
	struct tpacket_counters counters;
	int sender = net_sender(row_send(row));

	row_options(row, &options);
	for (uint32_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct want want = row_want(row, NULL, 300);
		options.snap_length = lengths[i];
		if (lengths[i] + want.skip < want.bytes)
			want.captured = lengths[i] + want.skip;
		struct tpacket *handle = net_open(&options);
		send_and_expect(row, handle, sender, want, i);
		assert_int_equal(tpacket_stats(handle, &counters), 0);
		assert_int_equal(counters.truncated, 0);
		tpacket_close(handle);
	}
	close(sender);
}

/* Where the snap length and the ring's end meet, the one that cuts more says what it is. */
static void test_snap_length_and_ring(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;
	int sender = net_sender(row_send(row));

	set_mtu(row, 9000);
	cutting_options(row, &options);
	uint32_t room = cutting_room(row, 0, 0);
	for (uint32_t snap = room - 1; snap <= room + 1; snap++) {
		struct want want = row_want(row, NULL, JUMBO_BYTES);
		want.captured = snap < room ? snap : room;
		want.status = snap > room ? TPACKET_STATUS_TRUNCATED : 0;
		options.snap_length = snap - want.skip;
		struct tpacket *handle = net_open(&options);
		send_and_expect(row, handle, sender, want, snap);
		tpacket_close(handle);
	}
	close(sender);
}

/* The program says how much of each packet is kept: here as its first byte behind the link header does. */
static void test_snap_length_of_a_program(void **state)
{
	const struct row *row = *state;
	const struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETHERNET_BYTES - row_skip(row)),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct tpacket_options options;
	struct tpacket_counters counters;
	int sender = net_sender(row_send(row));
	uint32_t passed = 0;

	row_options(row, &options);
	options.filter = program;
	options.filter_length = sizeof(program) / sizeof(program[0]);
	struct tpacket *handle = net_open(&options);
	for (uint32_t keep = 0; keep < 256; keep += 37, passed++) {
		struct want want = row_want(row, NULL, 200);
		want.captured = keep + want.skip < want.bytes ? keep + want.skip : 0;
		if (keep > 0) {
			send_and_expect(row, handle, sender, want, keep << 24);
			continue;
		}
		row_frame(row, frame, want.bytes, 0);
		net_send(sender, frame, want.bytes);
		net_assert_nothing(handle);
	}
	assert_int_equal(tpacket_stats(handle, &counters), 0);
	assert_int_equal(counters.seen, passed - 1);
	assert_int_equal(counters.truncated, 0);
	tpacket_close(handle);
	close(sender);
}

static void expect_counters(struct tpacket *handle, uint64_t seen, uint64_t read, uint64_t truncated)
{
	struct tpacket_counters counters, again;

	assert_int_equal(tpacket_stats(handle, &counters), 0);
	assert_int_equal(tpacket_stats(handle, &again), 0);
	assert_memory_equal(&counters, &again, sizeof(counters));
	assert_int_equal(counters.seen, seen);
	assert_int_equal(counters.delivered, seen);
	assert_int_equal(counters.read, read);
	assert_int_equal(counters.truncated, truncated);
	assert_int_equal(counters.dropped + counters.freezes + counters.bad_blocks + counters.refiltered, 0);
}

/* The second reading adds nothing and loses nothing; nor does a ring beside this one, which has counters of its own. */
static void test_statistics_twice(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;
	int sender = net_sender(row_send(row));

	set_mtu(row, 9000);
	cutting_options(row, &options);
	options.block_count = 16;
	struct tpacket *handle = net_open(&options), *other = net_open(&options);
	uint32_t room = cutting_room(row, 0, 0);
	expect_counters(handle, 0, 0, 0);
	for (uint32_t i = 1; i <= 5; i++) {
		send_and_expect(row, handle, sender, want_cut(row, 100, room), i);
		expect_counters(handle, 2 * i - 1, 2 * i - 1, i - 1);
		send_and_expect(row, handle, sender, want_cut(row, JUMBO_BYTES, room), i);
		expect_counters(handle, 2 * i, 2 * i, i);
	}
	expect_counters(other, 10, 0, 0);
	assert_int_equal(net_drain(other, 10 * NET_RETIRE_MS, NULL, NULL), 10);
	expect_counters(other, 10, 10, 5);
	assert_int_equal(tpacket_stop(handle), 0);
	row_frame(row, frame, 100, 0);
	net_send(sender, frame, 100);
	expect_counters(handle, 10, 10, 5);
	expect_counters(other, 11, 10, 5);
	tpacket_close(handle);
	tpacket_close(other);
	close(sender);
}

#define ON_SLOTS (ON_ALL & ~ON_V3)
#define ON_EVERY_RAW (ON_ALL & ~ON_DGRAM)

const struct row_test size_tests[] = {
	ROW_TEST(test_jumbo, ON_ALL),
	ROW_TEST(test_short_frames, ON_ALL),
	ROW_TEST(test_cut_by_the_ring, ON_ALL),
	ROW_TEST(test_cut_with_vnet_header, ON_EVERY_RAW),
	ROW_TEST(test_cut_with_a_tag, ON_V2 | ON_V3 | ON_RAW | ON_VETH),
	ROW_TEST(test_tiny_slots, ON_SLOTS),
	ROW_TEST(test_snap_length, ON_ALL),
	ROW_TEST(test_snap_length_and_ring, ON_ALL),
	ROW_TEST(test_snap_length_of_a_program, ON_ALL),
	ROW_TEST(test_statistics_twice, ON_ALL),
	{0},
};
