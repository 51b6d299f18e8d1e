/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of several messages at once: each has the interface that its message names. */
#include "packets.h"

#include <string.h>

#include "testing.h"

#define ROOM 262144
#define PACKETS 6000

static struct wb_message encode(uint8_t *room, const uint32_t *indexes, size_t count)
{
	struct wbproto_interface interfaces[2] = {{0}};
	struct wbproto_batch batch = {.interfaces = interfaces, .interface_count = count};
	struct wb_message message = {.data = room, .kind = WB_MESSAGE_BATCH};
	struct wbproto_encoder *encoder;

	for (size_t i = 0; i < count; i++)
		interfaces[i] = (struct wbproto_interface){.index = indexes[i], .link_type = 100 + indexes[i]};
	assert_int_equal(wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &encoder), 0);
	assert_int_equal(wbproto_encoder_open(encoder, room, ROOM, &batch), 0);
	for (uint32_t i = 0; i < PACKETS; i++) {
		const struct wbproto_packet packet = {.time_unix_ns = i + 1,
			.interface_index = indexes[i % count],
			.data = "abc",
			.captured_length = 3,
			.original_length = 3};

		assert_int_equal(wbproto_encoder_append(encoder, &packet), 0);
	}
	assert_int_equal(wbproto_encoder_seal(encoder, &batch, &message.size), 0);
	wbproto_encoder_destroy(encoder);
	return message;
}

static void expect_interface(struct wb_packets *packets, struct wb_packets_cache *cache)
{
	const struct wbproto_record *record;

	assert_true(wb_packets_next(packets));
	record = wb_packets_record(packets, cache);
	assert_int_equal(record->interface.index, record->packet.interface_index);
	assert_int_equal(record->interface.link_type, 100 + record->packet.interface_index);
}

/* Read packet by packet in turns, whatever the indexes are: they may push each other out of the cache. */
static void test_in_turns(void **state)
{
	static const uint32_t far_apart[] = {1, 1 + WB_PACKETS_INTERFACES};
	static uint8_t rooms[2][ROOM];
	struct wb_packets_cache *cache = test_calloc(1, sizeof(*cache));
	struct wb_packets packets[2];

	for (uint32_t index = 1; index < 70; index++) {
		const struct wb_message one = encode(rooms[0], &index, 1), two = encode(rooms[1], far_apart, 2);

		assert_int_equal(wb_packets_init(&packets[0], &one), 0);
		assert_int_equal(wb_packets_init(&packets[1], &two), 0);
		for (int i = 0; i < PACKETS; i++) {
			expect_interface(&packets[0], cache);
			expect_interface(&packets[1], cache);
		}
	}
	test_free(cache);
}

/* A message that was copied is read where the copy is. */
static void test_moved(void **state)
{
	static const uint32_t index = 7;
	static uint8_t room[ROOM], copy[ROOM];
	struct wb_packets_cache *cache = test_calloc(1, sizeof(*cache));
	const struct wb_message message = encode(room, &index, 1);
	struct wb_packets packets;

	assert_int_equal(wb_packets_init(&packets, &message), 0);
	memcpy(copy, room, message.size);
	memset(room, 0xff, sizeof(room));
	wb_packets_move(&packets, copy, message.size);
	for (int i = 0; i < PACKETS; i++)
		expect_interface(&packets, cache);
	test_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_turns),
		cmocka_unit_test(test_moved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
