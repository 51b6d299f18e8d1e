/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packet by packet, in each ring version: zero copy, copy, copy into a buffer. Runs are given back when the next one is
 * needed, or once the last packet was copied.
 */
#include "cmocka_all.h"
#include "read_ring.h"

#include <stdlib.h>
#include <string.h>

void *__wrap_malloc(size_t bytes);
void *__real_malloc(size_t bytes);

static bool malloc_fails;

void *__wrap_malloc(size_t bytes)
{
	return malloc_fails ? NULL : __real_malloc(bytes);
}

static void test_zero_copy(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet;

	open_ring(&ring, state, 0);
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 0);
	for (uint32_t turn = 0; turn < 20; turn++) {
		uint32_t at = ring.next;
		put(&ring, 3 * turn, 3);
		for (uint32_t i = 0; i < 3; i++) {
			assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
			assert_packet(&packet, 3 * turn + i);
			/* In the ring itself. */
			uint8_t *memory = ring_memory(&ring);
			assert_true(packet.data >= memory && packet.data < memory + 4 * TEST_BLOCK_BYTES);
			assert_false(is_given_back(&ring, ring.is_v3 ? at : (at + i) % ring.slots.count));
		}
		assert_int_equal(tpacket_read(ring.handle, 0, &packet), 0);
		assert_true(is_given_back(&ring, at));
	}
	assert_int_equal(ring.handle->counters.read, 60);
	assert_int_equal(ring.handle->counters.bad_blocks, 0);
	close_ring(&ring);
}

/* Runs that lie behind each other are read without a pause, and the first is given back before the second is taken. */
static void test_from_run_to_run(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet;

	open_ring(&ring, state, 0);
	put(&ring, 0, 2);
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
	put(&ring, 2, 2);
	for (uint32_t i = 1; i < 4; i++) {
		assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
		assert_packet(&packet, i);
		assert_int_equal(is_given_back(&ring, 0), i >= 2);
	}
	close_ring(&ring);
}

static void test_copy(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packets[4];
	void *memory[4];

	open_ring(&ring, state, 12);
	put(&ring, 0, 2);
	put(&ring, 2, 2);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(tpacket_read_copy(ring.handle, 0, &packets[i], &memory[i]), 1);
	/* All of them are valid, though the ring is the kernel's again. */
	assert_true(is_given_back(&ring, 0) && is_given_back(&ring, 1));
	assert_null(ring.handle->held);
	for (uint32_t i = 0; i < 4; i++) {
		assert_packet(&packets[i], i);
		assert_ptr_equal(packets[i].data, memory[i]);
		assert_int_equal(packets[i].vnet_header_length, 12);
		assert_memory_equal(packets[i].vnet_header, "\x09\x00\x07\x06\x05\x04\x03\x02\x01\x00\x00\x00", 12);
		assert_int_equal((uintptr_t)packets[i].vnet_header % 2, 0);
		free(memory[i]);
	}
	assert_int_equal(tpacket_read_copy(ring.handle, 0, &packets[0], &memory[0]), 0);
	assert_null(memory[0]);
	close_ring(&ring);
}

static void test_copy_gives_back_with_the_last(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet;
	uint8_t buffer[BYTES];
	void *memory;

	open_ring(&ring, state, 0);
	for (int into = 0; into <= 1; into++) {
		uint32_t at = ring.next;
		put(&ring, 0, 2);
		for (uint32_t i = 0; i < 2; i++) {
			int r = into ? tpacket_read_into(ring.handle, 0, buffer, sizeof(buffer), &packet)
			             : tpacket_read_copy(ring.handle, 0, &packet, &memory);
			assert_int_equal(r, 1);
			assert_packet(&packet, i);
			assert_int_equal(is_given_back(&ring, at), i == 1);
			if (!into)
				free(memory);
		}
	}
	close_ring(&ring);
}

static void test_into_a_buffer(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet;
	uint8_t buffer[BYTES + 1], bytes[BYTES];
	const size_t room[] = {BYTES + 1, BYTES, BYTES - 1, 1, 0};

	open_ring(&ring, state, 10);
	for (uint32_t i = 0; i < sizeof(room) / sizeof(room[0]); i++) {
		bool is_short = room[i] < BYTES;
		put(&ring, i, 1);
		make_bytes(bytes, i);
		memset(buffer, 0xee, sizeof(buffer));
		assert_int_equal(tpacket_read_into(ring.handle, 0, room[i] ? buffer : NULL, room[i], &packet), 1);
		assert_ptr_equal(packet.data, room[i] ? buffer : NULL);
		assert_int_equal(packet.captured_length, is_short ? room[i] : BYTES);
		assert_int_equal(packet.original_length, BYTES);
		assert_memory_equal(buffer, bytes, packet.captured_length);
		assert_int_equal(buffer[packet.captured_length], 0xee);
		assert_int_equal(!!(packet.status & TPACKET_STATUS_SHORT_BUFFER), is_short);
		assert_null(packet.vnet_header);
		assert_int_equal(packet.vnet_header_length, 0);
	}
	assert_int_equal(ring.handle->counters.truncated, 0);
	close_ring(&ring);
}

static void make_tagged(struct test_frame *frame, uint32_t number)
{
	frame->status = TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID;
	frame->tpid = 0x88a8;
	frame->tci = 0x0102;
}

/* Without memory the packet is not lost, nor is its tag put back twice. */
static void test_copy_without_memory(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet;
	struct tpacket_lease lease;
	uint8_t bytes[BYTES];
	void *memory;

	open_ring(&ring, state, 0);
	bool has_tag = ring.handle->ops->version != TPACKET_VERSION_1;
	ring.handle->inserts_vlan = has_tag;
	put_changed(&ring, 7, 1, make_tagged);
	malloc_fails = true;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tpacket_read_copy(ring.handle, 0, &packet, &memory), -ENOMEM);
		assert_null(memory);
	}
	malloc_fails = false;
	assert_int_equal(tpacket_acquire(ring.handle, 0, &lease), -EBUSY);
	assert_int_equal(tpacket_read_copy(ring.handle, 0, &packet, &memory), 1);
	make_bytes(bytes, 7);
	if (has_tag) {
		assert_int_equal(packet.captured_length, BYTES + 4);
		assert_memory_equal(packet.data, bytes, 12);
		assert_memory_equal(packet.data + 12, "\x88\xa8\x01\x02", 4);
		assert_memory_equal(packet.data + 16, bytes + 12, BYTES - 12);
	} else {
		assert_packet(&packet, 7);
	}
	free(memory);
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 0);
	assert_int_equal(ring.handle->counters.read, 1);
	close_ring(&ring);
}

static void test_one_reader_at_a_time(void **state)
{
	struct read_ring ring;
	struct tpacket_packet packet;
	struct tpacket_lease lease;

	open_ring(&ring, state, 0);
	put(&ring, 0, 2);
	put(&ring, 2, 2);
	/* A lease of the caller's own. */
	assert_int_equal(tpacket_acquire(ring.handle, 0, &lease), 1);
	assert_int_equal(tpacket_read(ring.handle, -1, &packet), -EBUSY);
	tpacket_release(&lease);
	if (!ring.is_v3)
		put(&ring, 2, 2); /* they were all in one run */
	/* A run that was begun here, with a packet left; then without. */
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
	assert_packet(&packet, 2);
	assert_int_equal(tpacket_acquire(ring.handle, -1, &lease), -EBUSY);
	assert_int_equal(tpacket_read(ring.handle, 0, &packet), 1);
	assert_packet(&packet, 3);
	put(&ring, 4, 1);
	assert_int_equal(tpacket_acquire(ring.handle, 0, &lease), 1);
	assert_true(tpacket_lease_next(&lease, &packet));
	assert_packet(&packet, 4);
	tpacket_release(&lease);
	close_ring(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FOR_EACH_VERSION(test_zero_copy),
		FOR_EACH_VERSION(test_from_run_to_run),
		FOR_EACH_VERSION(test_copy),
		FOR_EACH_VERSION(test_copy_gives_back_with_the_last),
		FOR_EACH_VERSION(test_into_a_buffer),
		FOR_EACH_VERSION(test_copy_without_memory),
		FOR_EACH_VERSION(test_one_reader_at_a_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
