/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TPACKET_V1 and V2: runs of slots, every fact where the kernel put it, every slot given back, and slots that lie. Each
 * test runs once for each version.
 */
#include "block.h"
#include "cmocka_all.h"
#include "death.h"
#include "poison.h"

#include <net/if_arp.h>
#include <string.h>

#define FRAME_BYTES 1024u
#define RUN 64u /* frames that are handed out together at most */

static uint8_t pattern[4096];

/* Where the first byte of an Ethernet frame lies: the same in both versions on a 64-bit machine. */
#define MAC 66u

static enum tpacket_version version_of(void **state)
{
	return *(const enum tpacket_version *)*state;
}

static void init(struct test_slots *slots, void **state, uint32_t frame_bytes)
{
	test_slots_init(slots, version_of(state), frame_bytes, 0);
	assert_int_equal(slots->handle.ops->version, version_of(state));
}

static struct test_frame frame_of(uint32_t bytes, uint32_t number)
{
	return (struct test_frame){
		.data = pattern + number % 64,
		.captured = bytes,
		.original = bytes,
		.sec = 4000000000u + number, /* after 2038 */
		.nsec = 999999999u - number,
		.protocol = 0x0800,
		.hardware_type = ARPHRD_ETHER,
		.packet_type = TPACKET_TYPE_HOST,
		.interface_index = 3,
	};
}

static void put(struct test_slots *slots, uint32_t index, uint32_t bytes, uint32_t number)
{
	struct test_frame frame = frame_of(bytes, number);

	test_slots_put(slots, index, &frame);
}

static uint64_t time_of(void **state, uint32_t number)
{
	uint64_t ns = 999999999u - number;

	if (version_of(state) == TPACKET_VERSION_1)
		ns = ns / 1000 * 1000;
	return (4000000000u + (uint64_t)number) * 1000000000u + ns;
}

static uint32_t time_status(void **state)
{
	return version_of(state) == TPACKET_VERSION_1 ? TPACKET_STATUS_TIME_MICROSECONDS : 0;
}

static void test_every_packet_once(void **state)
{
	const uint32_t lengths[] = {60, 0, 1, FRAME_BYTES - MAC, 255, 60};
	const uint32_t count = sizeof(lengths) / sizeof(lengths[0]);
	struct test_slots slots;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	init(&slots, state, FRAME_BYTES);
	for (uint32_t i = 0; i < count; i++)
		put(&slots, i, lengths[i], i);
	assert_int_equal(tpacket_acquire(&slots.handle, 0, &lease), 1);
	assert_int_equal(lease.frames, count);
	for (uint32_t i = 0; i < count; i++) {
		assert_true(tpacket_lease_next(&lease, &packet));
		assert_int_equal(packet.captured_length, lengths[i]);
		assert_int_equal(packet.original_length, lengths[i]);
		assert_memory_equal(packet.data, pattern + i % 64, lengths[i]);
		assert_int_equal(packet.time_ns, time_of(state, i));
		assert_int_equal(packet.status, time_status(state));
		assert_int_equal(test_slot_status(&slots, i), TP_STATUS_USER);
	}
	assert_false(tpacket_lease_next(&lease, &packet));
	tpacket_release(&lease);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(test_slot_status(&slots, i), TP_STATUS_KERNEL);
	assert_int_equal(slots.handle.counters.read, count);
	assert_int_equal(slots.handle.counters.bad_blocks, 0);
	assert_int_equal(slots.handle.counters.truncated, 0);
	assert_int_equal(tpacket_acquire(&slots.handle, 0, &lease), 0);
	assert_null(lease.handle);
	test_slots_fini(&slots);
}

static void test_facts_of_a_packet(void **state)
{
	struct test_slots slots;
	struct test_frame frame = frame_of(100, 0);
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	init(&slots, state, FRAME_BYTES);
	frame.original = 1514;
	frame.status = TP_STATUS_CSUMNOTREADY | TP_STATUS_GSO_TCP | TP_STATUS_TS_SOFTWARE | TP_STATUS_LOSING;
	frame.protocol = 0x86dd;
	frame.hardware_type = ARPHRD_LOOPBACK;
	frame.packet_type = TPACKET_TYPE_OUTGOING;
	frame.interface_index = 77;
	test_slots_put(&slots, 0, &frame);
	frame.status = TP_STATUS_CSUM_VALID | TP_STATUS_TS_RAW_HARDWARE | TP_STATUS_COPY;
	test_slots_put(&slots, 1, &frame);
	assert_int_equal(tpacket_acquire(&slots.handle, 0, &lease), 1);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(packet.status, time_status(state) | TPACKET_STATUS_LOSING | TPACKET_STATUS_CHECKSUM_NOT_READY |
						TPACKET_STATUS_GSO_TCP | TPACKET_STATUS_TIME_SOFTWARE);
	assert_int_equal(packet.original_length, 1514);
	assert_int_equal(packet.captured_length, 100);
	assert_int_equal(packet.rx_hash, 0);
	assert_int_equal(packet.protocol, 0x86dd);
	assert_int_equal(packet.hardware_type, ARPHRD_LOOPBACK);
	assert_int_equal(packet.packet_type, TPACKET_TYPE_OUTGOING);
	assert_int_equal(packet.interface_index, 77);
	assert_int_equal(packet.vnet_header_length, 0);
	assert_null(packet.vnet_header);
	/* Losing is told by frame. */
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(
		packet.status, time_status(state) | TPACKET_STATUS_CHECKSUM_VALID | TPACKET_STATUS_TIME_HARDWARE);
	tpacket_release(&lease);
	test_slots_fini(&slots);
}

static void test_vlan(void **state)
{
	const struct {
		uint32_t status;
		uint16_t tci, tpid, want_tci, want_tpid;
		bool want_flag;
	} cases[] = {
		{TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID, 0xefff, 0x88a8, 0xefff, 0x88a8, true},
		{TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID, 0, 0x8100, 0, 0x8100, true},
		{TP_STATUS_VLAN_VALID, 42, 0x9999, 42, 0x8100, true},
		{0, 42, 0x8100, 0, 0, false},
	};
	const uint32_t count = sizeof(cases) / sizeof(cases[0]);
	bool has_tag = version_of(state) != TPACKET_VERSION_1;
	struct test_slots slots;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	init(&slots, state, FRAME_BYTES);
	for (uint32_t i = 0; i < count; i++) {
		struct test_frame frame = frame_of(60, 0);
		frame.status = cases[i].status;
		frame.tci = cases[i].tci;
		frame.tpid = cases[i].tpid;
		test_slots_put(&slots, i, &frame);
	}
	assert_int_equal(tpacket_acquire(&slots.handle, 0, &lease), 1);
	for (uint32_t i = 0; i < count; i++) {
		assert_true(tpacket_lease_next(&lease, &packet));
		assert_int_equal(packet.vlan_tci, has_tag ? cases[i].want_tci : 0);
		assert_int_equal(packet.vlan_tpid, has_tag ? cases[i].want_tpid : 0);
		assert_int_equal(!!(packet.status & TPACKET_STATUS_VLAN), has_tag && cases[i].want_flag);
	}
	tpacket_release(&lease);
	test_slots_fini(&slots);
}

static void test_vnet_header_lies_before_the_frame(void **state)
{
	const uint8_t header[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

	for (uint32_t bytes = 10; bytes <= 12; bytes += 2) {
		struct test_slots slots;
		struct test_frame frame = frame_of(200, 5);
		struct tpacket_lease lease;
		struct tpacket_packet packet;

		test_slots_init(&slots, version_of(state), FRAME_BYTES, bytes);
		frame.vnet_header = header;
		test_slots_put(&slots, 0, &frame);
		assert_int_equal(tpacket_acquire(&slots.handle, 0, &lease), 1);
		assert_true(tpacket_lease_next(&lease, &packet));
		assert_int_equal(packet.vnet_header_length, bytes);
		assert_memory_equal(packet.vnet_header, header, bytes);
		assert_ptr_equal(packet.vnet_header + bytes, packet.data);
		assert_memory_equal(packet.data, pattern + 5, 200);
		tpacket_release(&lease);
		test_slots_fini(&slots);
	}
}

static void test_truncated_is_cut_by_the_slot_only(void **state)
{
	struct test_slots slots;
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	struct test_frame by_filter = frame_of(96, 0), by_slot = frame_of(FRAME_BYTES - MAC, 0);

	init(&slots, state, FRAME_BYTES);
	by_filter.original = 1514;
	by_slot.original = FRAME_BYTES - MAC + 1;
	test_slots_put(&slots, 0, &by_filter);
	test_slots_put(&slots, 1, &by_slot);
	put(&slots, 2, FRAME_BYTES - MAC, 0); /* fits exactly */
	test_slots_put(&slots, 3, &by_slot);
	assert_int_equal(tpacket_acquire(&slots.handle, 0, &lease), 1);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(packet.status, time_status(state));
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(packet.status, time_status(state) | TPACKET_STATUS_TRUNCATED);
	assert_int_equal(packet.captured_length, FRAME_BYTES - MAC);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(packet.status, time_status(state));
	assert_int_equal(slots.handle.counters.truncated, 1);
	slots.handle.snap_length = FRAME_BYTES - MAC; /* then the filter has kept so many */
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_int_equal(packet.status, time_status(state));
	tpacket_release(&lease);
	assert_int_equal(slots.handle.counters.truncated, 1);
	test_slots_fini(&slots);
}

/* The smallest slot that the kernel takes ends before a frame's first byte: mac then lies beyond it, and nothing is
 * kept. */
static void test_slot_without_room_for_a_byte(void **state)
{
	const uint8_t header[10] = {0};

	for (uint32_t vnet_bytes = 0; vnet_bytes <= 10; vnet_bytes += 10) {
		struct test_slots slots;
		struct tpacket_lease lease;
		struct tpacket_packet packet;
		struct test_frame frame = frame_of(0, 0);

		test_slots_init(&slots, version_of(state), 64, vnet_bytes);
		assert_int_equal(slots.handle.ops->min_frame_bytes, 64);
		frame.original = 60;
		frame.vnet_header = header;
		for (uint32_t i = 0; i < RUN; i++)
			test_slots_put(&slots, i, &frame);
		assert_int_equal(tpacket_acquire(&slots.handle, 0, &lease), 1);
		for (uint32_t i = 0; i < RUN; i++) {
			assert_true(tpacket_lease_next(&lease, &packet));
			assert_int_equal(packet.captured_length, 0);
			assert_int_equal(packet.original_length, 60);
			assert_ptr_equal(packet.data, test_slot(&slots, i) + 64);
			assert_null(packet.vnet_header);
			assert_int_equal(packet.vnet_header_length, 0);
			assert_int_equal(packet.status, time_status(state) | TPACKET_STATUS_TRUNCATED);
		}
		tpacket_release(&lease);
		assert_int_equal(slots.handle.counters.bad_blocks, 0);
		test_slots_fini(&slots);
	}
}

static uint32_t take_run(struct test_slots *slots, uint32_t number)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	uint32_t count = 0;

	if (tpacket_acquire(&slots->handle, 0, &lease) != 1)
		return 0;
	while (tpacket_lease_next(&lease, &packet)) {
		assert_memory_equal(packet.data, pattern + (number + count) % 64, 60);
		count++;
	}
	assert_int_equal(count, lease.frames);
	tpacket_release(&lease);
	return count;
}

/* Runs end at the first slot of the kernel, at so many frames, and at the ring's end. */
static void test_runs(void **state)
{
	struct test_slots slots;

	init(&slots, state, 128);
	assert_int_equal(slots.count, 256);
	for (uint32_t i = 0; i < 5; i++)
		put(&slots, i, 60, i);
	put(&slots, 6, 60, 6); /* the one before is still being filled */
	assert_int_equal(slots.handle.ops->ready(&slots.handle), 5);
	assert_int_equal(take_run(&slots, 0), 5);
	assert_int_equal(slots.handle.ops->ready(&slots.handle), 0);
	assert_int_equal(take_run(&slots, 0), 0);
	put(&slots, 5, 60, 5);
	assert_int_equal(slots.handle.ops->ready(&slots.handle), 2);
	assert_int_equal(take_run(&slots, 5), 2);

	for (uint32_t i = 0; i < slots.count; i++)
		put(&slots, (7 + i) % slots.count, 60, 7 + i);
	assert_int_equal(slots.handle.ops->ready(&slots.handle), slots.count);
	for (uint32_t taken = 0; taken < slots.count;) {
		uint32_t to_end = taken < slots.count - 7 ? slots.count - 7 - taken : slots.count - taken;
		uint32_t run = take_run(&slots, 7 + taken);
		assert_int_equal(run, to_end < RUN ? to_end : RUN);
		taken += run;
	}
	assert_int_equal(take_run(&slots, 0), 0);
	for (uint32_t i = 0; i < slots.count; i++)
		assert_int_equal(test_slot_status(&slots, i), TP_STATUS_KERNEL);
	assert_int_equal(slots.handle.counters.read, slots.count + 7);
	test_slots_fini(&slots);
}

/* What comes in while a run is held belongs to the next one. */
static void test_run_does_not_grow(void **state)
{
	struct test_slots slots;
	struct tpacket_lease lease, second;
	struct tpacket_packet packet;

	init(&slots, state, FRAME_BYTES);
	put(&slots, 0, 60, 0);
	assert_int_equal(tpacket_acquire(&slots.handle, 0, &lease), 1);
	put(&slots, 1, 60, 1);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_false(tpacket_lease_next(&lease, &packet));
	assert_int_equal(tpacket_acquire(&slots.handle, 0, &second), -EBUSY);
	tpacket_release(&lease);
	tpacket_release(&lease);
	assert_int_equal(test_slot_status(&slots, 1), TP_STATUS_USER);
	assert_int_equal(take_run(&slots, 1), 1);
	test_slots_fini(&slots);
}

/* A run that is not read to its end is given back as a whole. */
static void test_release_early(void **state)
{
	struct test_slots slots;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	init(&slots, state, FRAME_BYTES);
	for (uint32_t i = 0; i < 8; i++)
		put(&slots, i, 60, i);
	assert_int_equal(tpacket_acquire(&slots.handle, 0, &lease), 1);
	assert_true(tpacket_lease_next(&lease, &packet));
	tpacket_release(&lease);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(test_slot_status(&slots, i), TP_STATUS_KERNEL);
	test_slots_fini(&slots);
}

static void set_lengths(struct test_slots *slots, uint32_t index, uint32_t mac, uint32_t captured, uint32_t original)
{
	uint8_t *slot = test_slot(slots, index);

	if (slots->handle.ops == &tpk_ring_v1) {
		struct tpacket_hdr *header = (struct tpacket_hdr *)slot;
		header->tp_mac = (uint16_t)mac;
		header->tp_snaplen = captured;
		header->tp_len = original;
	} else {
		struct tpacket2_hdr *header = (struct tpacket2_hdr *)slot;
		header->tp_mac = (uint16_t)mac;
		header->tp_snaplen = captured;
		header->tp_len = original;
	}
}

/* A slot that contradicts itself is left out; the others of the run are not. */
static void test_bad_slot_is_skipped(void **state)
{
	const struct {
		uint32_t mac, captured, original;
	} cases[] = {
		{0, 60, 60},
		{51, 60, 60}, /* in sockaddr_ll */
		{MAC, 60, 59},
		{MAC, FRAME_BYTES - MAC + 1, FRAME_BYTES},
		{MAC, UINT32_MAX, UINT32_MAX},
		{MAC, 0x80000000u, UINT32_MAX},
		{FRAME_BYTES, 1, 60},
		{FRAME_BYTES + 1, 1, 60},
		{UINT16_MAX, 60, 60},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (uint32_t bad = 0; bad < 3; bad++) {
			struct test_slots slots;
			struct tpacket_lease lease;
			struct tpacket_packet packet;

			init(&slots, state, FRAME_BYTES);
			for (uint32_t k = 0; k < 3; k++)
				put(&slots, k, 60, k);
			set_lengths(&slots, bad, cases[i].mac, cases[i].captured, cases[i].original);
			assert_int_equal(tpacket_acquire(&slots.handle, 0, &lease), 1);
			for (uint32_t k = 0; k < 3; k++) {
				if (k == bad)
					continue;
				assert_true(tpacket_lease_next(&lease, &packet));
				assert_ptr_equal(packet.data, test_slot(&slots, k) + MAC);
			}
			assert_false(tpacket_lease_next(&lease, &packet));
			tpacket_release(&lease);
			assert_int_equal(test_slot_status(&slots, bad), TP_STATUS_KERNEL);
			assert_int_equal(slots.handle.counters.bad_blocks, 1);
			assert_int_equal(slots.handle.counters.read, 2);
			test_slots_fini(&slots);
		}
	}
}

static void test_vnet_header_needs_room(void **state)
{
	const uint8_t header[10] = {0};

	for (uint32_t mac = 52; mac <= 63; mac++) {
		struct test_slots slots;
		struct test_frame frame = frame_of(60, 0);
		struct tpacket_lease lease;
		struct tpacket_packet packet;

		test_slots_init(&slots, version_of(state), FRAME_BYTES, 10);
		frame.vnet_header = header;
		test_slots_put(&slots, 0, &frame);
		set_lengths(&slots, 0, mac, 60, 60);
		assert_int_equal(tpacket_acquire(&slots.handle, 0, &lease), 1);
		assert_int_equal(tpacket_lease_next(&lease, &packet), mac >= 62);
		tpacket_release(&lease);
		test_slots_fini(&slots);
	}
}

#ifdef TPK_HAS_ASAN
static uint8_t sink;

static void read_released_packet(void *argument)
{
	struct test_slots *slots = argument;
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	tpacket_acquire(&slots->handle, 0, &lease);
	tpacket_lease_next(&lease, &packet);
	tpacket_release(&lease);
	__atomic_store_n(&sink, packet.data[0], __ATOMIC_RELAXED);
}

static void test_released_bytes_are_poisoned(void **state)
{
	struct test_slots slots;

	init(&slots, state, FRAME_BYTES);
	put(&slots, 0, 60, 0);
	assert_dies(read_released_packet, &slots);
	test_slots_fini(&slots);
}
#endif

#define FOR_EACH_VERSION(f)                                                                                            \
	{#f " V1", f, NULL, NULL, &versions[0]},                                                                       \
	{                                                                                                              \
#f " V2", f, NULL, NULL, &versions[1]                                                                  \
	}

int main(void)
{
	static enum tpacket_version versions[] = {TPACKET_VERSION_1, TPACKET_VERSION_2};
	const struct CMUnitTest tests[] = {
		FOR_EACH_VERSION(test_every_packet_once),
		FOR_EACH_VERSION(test_facts_of_a_packet),
		FOR_EACH_VERSION(test_vlan),
		FOR_EACH_VERSION(test_vnet_header_lies_before_the_frame),
		FOR_EACH_VERSION(test_truncated_is_cut_by_the_slot_only),
		FOR_EACH_VERSION(test_slot_without_room_for_a_byte),
		FOR_EACH_VERSION(test_runs),
		FOR_EACH_VERSION(test_run_does_not_grow),
		FOR_EACH_VERSION(test_release_early),
		FOR_EACH_VERSION(test_bad_slot_is_skipped),
		FOR_EACH_VERSION(test_vnet_header_needs_room),
#ifdef TPK_HAS_ASAN
		FOR_EACH_VERSION(test_released_bytes_are_poisoned),
#endif
	};

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + i / 256);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
