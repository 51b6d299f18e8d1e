/* SPDX-License-Identifier: Apache-2.0 */
/* Tags put back into the frame, in place: TPACKET_V2 and V3. */
#include "block.h"
#include "cmocka_all.h"

#include <linux/virtio_net.h>
#include <net/if_arp.h>
#include <string.h>

#define BYTES 100u
#define TAGGED (TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID)

/* A ring with one packet and one behind it, of either version. */
struct vlan_ring {
	bool is_v3;
	struct test_ring v3;
	struct test_slots v2;
	struct tpacket *handle;
	struct tpacket_lease lease;
};

static uint8_t pattern[BYTES];

static void open_ring(struct vlan_ring *ring, void **state, uint32_t vnet_bytes)
{
	ring->is_v3 = *(const enum tpacket_version *)*state == TPACKET_VERSION_3;
	if (ring->is_v3)
		test_ring_init(&ring->v3, vnet_bytes);
	else
		test_slots_init(&ring->v2, TPACKET_VERSION_2, 2048, vnet_bytes);
	ring->handle = ring->is_v3 ? &ring->v3.handle : &ring->v2.handle;
	ring->handle->inserts_vlan = true;
}

static void close_ring(struct vlan_ring *ring)
{
	tpacket_release(&ring->lease);
	if (ring->is_v3)
		test_ring_fini(&ring->v3);
	else
		test_slots_fini(&ring->v2);
}

/* The frame, and an untagged one behind it, and take the first. */
static void take(struct vlan_ring *ring, const struct test_frame *frame, struct tpacket_packet *ret_packet)
{
	struct test_frame second = {
		.data = pattern, .captured = BYTES, .original = BYTES, .reserve = 4, .hardware_type = ARPHRD_ETHER};
	static const uint8_t zero[12];

	second.vnet_header = ring->handle->vnet_header_bytes ? zero : NULL;
	if (ring->is_v3) {
		test_ring_add(&ring->v3, 0, frame);
		test_ring_add(&ring->v3, 0, &second);
		test_ring_retire(&ring->v3, 0, 0);
	} else {
		test_slots_put(&ring->v2, 0, frame);
		test_slots_put(&ring->v2, 1, &second);
	}
	assert_int_equal(tpacket_acquire(ring->handle, 0, &ring->lease), 1);
	assert_true(tpacket_lease_next(&ring->lease, ret_packet));
}

static void assert_second_is_untouched(struct vlan_ring *ring)
{
	struct tpacket_packet packet;

	assert_true(tpacket_lease_next(&ring->lease, &packet));
	assert_int_equal(packet.captured_length, BYTES);
	assert_int_equal(packet.original_length, BYTES);
	assert_memory_equal(packet.data, pattern, BYTES);
	assert_int_equal(packet.status, 0);
	assert_false(tpacket_lease_next(&ring->lease, &packet));
	assert_int_equal(ring->handle->counters.bad_blocks, 0);
	assert_int_equal(ring->handle->counters.read, 2);
}

static struct test_frame tagged(uint32_t captured, uint16_t tpid, uint16_t tci)
{
	return (struct test_frame){.data = pattern,
		.captured = captured,
		.original = BYTES,
		.status = TAGGED,
		.tpid = tpid,
		.tci = tci,
		.reserve = 4,
		.hardware_type = ARPHRD_ETHER};
}

static void test_exact(void **state)
{
	static const uint16_t tags[][2] = {
		{0x8100, 0x6064}, {0x88a8, 0xe001}, {0x8100, 0x6000}, {0x8100, 0}, {0x88a8, 0}, {0x9100, 0xffff}};

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		for (uint32_t captured = 12; captured <= BYTES; captured += captured == 16 ? 84 : 1) {
			struct vlan_ring ring = {0};
			struct tpacket_packet packet;
			struct test_frame frame = tagged(captured, tags[i][0], tags[i][1]);
			const uint8_t tag[] = {(uint8_t)(tags[i][0] >> 8), (uint8_t)tags[i][0],
				(uint8_t)(tags[i][1] >> 8), (uint8_t)tags[i][1]};

			open_ring(&ring, state, 0);
			take(&ring, &frame, &packet);
			assert_int_equal(packet.captured_length, captured + 4);
			assert_int_equal(packet.original_length, BYTES + 4);
			assert_memory_equal(packet.data, pattern, 12);
			assert_memory_equal(packet.data + 12, tag, 4);
			assert_memory_equal(packet.data + 16, pattern + 12, captured - 12);
			assert_int_equal(packet.status, TPACKET_STATUS_VLAN_INSERTED);
			assert_int_equal(packet.vlan_tci, 0);
			assert_int_equal(packet.vlan_tpid, 0);
			assert_second_is_untouched(&ring);
			close_ring(&ring);
		}
	}
}

static void assert_left_alone(void **state, const struct test_frame *frame, bool inserts)
{
	struct vlan_ring ring = {0};
	struct tpacket_packet packet;

	open_ring(&ring, state, 0);
	ring.handle->inserts_vlan = inserts;
	take(&ring, frame, &packet);
	assert_int_equal(packet.captured_length, frame->captured);
	assert_int_equal(packet.original_length, BYTES);
	assert_memory_equal(packet.data, pattern, frame->captured);
	assert_int_equal(packet.status, TPACKET_STATUS_VLAN);
	assert_int_equal(packet.vlan_tci, frame->tci);
	assert_int_equal(packet.vlan_tpid, frame->tpid);
	assert_second_is_untouched(&ring);
	close_ring(&ring);
}

static void test_left_alone(void **state)
{
	struct test_frame frame = tagged(11, 0x8100, 5);

	assert_left_alone(state, &frame, true); /* not all of the addresses */
	frame.captured = 0;
	assert_left_alone(state, &frame, true);
	frame.captured = BYTES;
	assert_left_alone(state, &frame, false); /* not asked for */
	frame.hardware_type = ARPHRD_LOOPBACK;
	assert_left_alone(state, &frame, true); /* not Ethernet */
}

/* The vnet header stays in front of the frame, and its offsets count from where the frame begins now. */
static void test_vnet_header(void **state)
{
	const struct {
		uint8_t flags, gso_type;
		uint16_t want_hdr_len, want_csum_start;
	} cases[] = {
		{0, VIRTIO_NET_HDR_GSO_NONE, 54, 34},
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_NONE, 54, 38},
		{VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 58, 38},
		{VIRTIO_NET_HDR_F_DATA_VALID, VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN, 58, 34},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (uint32_t bytes = 10; bytes <= 12; bytes += 2) {
			struct vlan_ring ring = {0};
			struct tpacket_packet packet;
			struct test_frame frame = tagged(BYTES, 0x88a8, 0x123);
			struct virtio_net_hdr_v1 header = {.flags = cases[i].flags,
				.gso_type = cases[i].gso_type,
				.hdr_len = 54,
				.gso_size = 1000,
				.csum_start = 34,
				.csum_offset = 16,
				.num_buffers = 0x1234};

			open_ring(&ring, state, bytes);
			frame.vnet_header = &header;
			take(&ring, &frame, &packet);
			assert_int_equal(packet.vnet_header_length, bytes);
			assert_ptr_equal(packet.vnet_header + bytes, packet.data);
			header.hdr_len = cases[i].want_hdr_len;
			header.csum_start = cases[i].want_csum_start;
			assert_memory_equal(packet.vnet_header, &header, bytes);
			assert_memory_equal(packet.data, pattern, 12);
			assert_memory_equal(packet.data + 12, "\x88\xa8\x01\x23", 4);
			assert_memory_equal(packet.data + 16, pattern + 12, BYTES - 12);
			assert_second_is_untouched(&ring);
			close_ring(&ring);
		}
	}
}

/* A frame without room for the tag, which PACKET_RESERVE rules out, is bad: the tag would go into sockaddr_ll. */
static void test_room_is_checked(void **state)
{
	for (uint32_t missing = 0; missing <= 1; missing++) {
		for (uint32_t vnet_bytes = 0; vnet_bytes <= 10; vnet_bytes += 10) {
			static const uint8_t zero[10];
			struct vlan_ring ring = {0};
			struct tpacket_packet packet;
			struct test_frame frame = tagged(BYTES, 0x8100, 1);

			open_ring(&ring, state, vnet_bytes);
			frame.vnet_header = vnet_bytes ? zero : NULL;
			if (ring.is_v3) {
				struct tpacket3_hdr *header = test_ring_add(&ring.v3, 0, &frame);
				header->tp_mac = (uint16_t)(TPACKET3_HDRLEN + vnet_bytes + 4 - missing);
				test_ring_retire(&ring.v3, 0, 0);
			} else {
				test_slots_put(&ring.v2, 0, &frame);
				struct tpacket2_hdr *header = (struct tpacket2_hdr *)test_slot(&ring.v2, 0);
				header->tp_mac = (uint16_t)(TPACKET2_HDRLEN + vnet_bytes + 4 - missing);
			}
			assert_int_equal(tpacket_acquire(ring.handle, 0, &ring.lease), 1);
			assert_int_equal(tpacket_lease_next(&ring.lease, &packet), !missing);
			assert_int_equal(ring.handle->counters.bad_blocks, missing);
			close_ring(&ring);
		}
	}
}

#define FOR_EACH_VERSION(f)                                                                                            \
	{#f " V2", f, NULL, NULL, &versions[0]},                                                                       \
	{                                                                                                              \
#f " V3", f, NULL, NULL, &versions[1]                                                                  \
	}

int main(void)
{
	static enum tpacket_version versions[] = {TPACKET_VERSION_2, TPACKET_VERSION_3};
	const struct CMUnitTest tests[] = {
		FOR_EACH_VERSION(test_exact),
		FOR_EACH_VERSION(test_left_alone),
		FOR_EACH_VERSION(test_vnet_header),
		FOR_EACH_VERSION(test_room_is_checked),
	};

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + 3);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
