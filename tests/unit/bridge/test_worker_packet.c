/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker makes of the ring's facts about single packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker_rig.h"

#define INBOUND WBPROTO_PACKET_INBOUND
#define HOST (INBOUND | WBPROTO_PACKET_UNICAST)

static const uint8_t frame[64] = {0x02, 1, 2, 3, 4, 5, 0x02, 9, 8, 7, 6, 5, 0x08, 0x00, 0x45};
static const uint8_t vnet_gso[10] = {1, 1, 54, 0, 0xa8, 5, 34, 0, 16, 0};
static const uint8_t vnet_last[12] = {[11] = 1};
static const uint8_t vnet_zero[12] = {0};

/* A packet as the ring gives it, and what must be published of it. */
static const struct row {
	struct tpacket_packet from;
	uint32_t flags;
	uint32_t status;
	uint16_t vlan_tci;
	uint16_t vlan_tpid;
	uint8_t vnet_header_length;
} rows[] = {
	{{.packet_type = TPACKET_TYPE_HOST}, .flags = HOST},
	{{.packet_type = TPACKET_TYPE_BROADCAST}, .flags = INBOUND | WBPROTO_PACKET_BROADCAST},
	{{.packet_type = TPACKET_TYPE_MULTICAST}, .flags = INBOUND | WBPROTO_PACKET_MULTICAST},
	{{.packet_type = TPACKET_TYPE_OTHER_HOST}, .flags = INBOUND | WBPROTO_PACKET_PROMISCUOUS},
	{{.packet_type = TPACKET_TYPE_OUTGOING}, .flags = WBPROTO_PACKET_OUTBOUND},
	/* PACKET_LOOPBACK and others that packet(7) does not promise to keep away */
	{{.packet_type = 5}, .flags = 0},
	{{.packet_type = 255}, .flags = 0},
	{{.status = TPACKET_STATUS_CHECKSUM_NOT_READY}, .flags = HOST | WBPROTO_PACKET_CHECKSUM_NOT_READY},
	{{.status = TPACKET_STATUS_CHECKSUM_VALID}, .flags = HOST | WBPROTO_PACKET_CHECKSUM_VALID},
	{{.status = TPACKET_STATUS_GSO_TCP | TPACKET_STATUS_CHECKSUM_NOT_READY, .packet_type = TPACKET_TYPE_OUTGOING},
		.flags = WBPROTO_PACKET_OUTBOUND | WBPROTO_PACKET_TSO | WBPROTO_PACKET_CHECKSUM_NOT_READY},
	{{.status = TPACKET_STATUS_TRUNCATED}, .flags = HOST, .status = WBPROTO_PACKET_TRUNCATED},
	{{.status = TPACKET_STATUS_LOSING}, .flags = HOST, .status = WBPROTO_PACKET_LOSING},
	{{.status = TPACKET_STATUS_TIME_HARDWARE}, .flags = HOST, .status = WBPROTO_PACKET_HARDWARE_TIME},
	{{.status = TPACKET_STATUS_TIME_MICROSECONDS}, .flags = HOST},
	{{.status = TPACKET_STATUS_TRUNCATED | TPACKET_STATUS_LOSING | TPACKET_STATUS_TIME_HARDWARE}, .flags = HOST,
		.status = WBPROTO_PACKET_TRUNCATED | WBPROTO_PACKET_LOSING | WBPROTO_PACKET_HARDWARE_TIME},
	{{.status = TPACKET_STATUS_VLAN, .vlan_tci = 0xe123, .vlan_tpid = 0x8100}, .flags = HOST, .vlan_tci = 0xe123,
		.vlan_tpid = 0x8100},
	/* priority tag: VLAN 0 is a tag as well */
	{{.status = TPACKET_STATUS_VLAN, .vlan_tci = 0, .vlan_tpid = 0x88a8}, .flags = HOST, .vlan_tpid = 0x88a8},
	{{.vnet_header = vnet_gso, .vnet_header_length = sizeof vnet_gso}, .flags = HOST,
		.vnet_header_length = sizeof vnet_gso},
	{{.vnet_header = vnet_last, .vnet_header_length = sizeof vnet_last}, .flags = HOST,
		.vnet_header_length = sizeof vnet_last},
	{{.vnet_header = vnet_zero, .vnet_header_length = sizeof vnet_zero}, .flags = HOST, .vnet_header_length = 0},
};
#define ROWS (sizeof rows / sizeof rows[0])

static void judge(const struct wbproto_packet *packet, size_t i)
{
	const struct row *row = &rows[i];

	assert_int_equal(packet->flags, row->flags);
	assert_int_equal(packet->status, row->status);
	assert_int_equal(packet->vlan_tci, row->vlan_tci);
	assert_int_equal(packet->vlan_tpid, row->vlan_tpid);
	assert_int_equal(packet->vnet_header_length, row->vnet_header_length);
	if (row->vnet_header_length)
		assert_memory_equal(packet->vnet_header, row->from.vnet_header, row->vnet_header_length);
	assert_int_equal(packet->time_unix_ns, 1700000000000000000u + i);
	assert_int_equal(packet->captured_length, 20 + i);
	assert_int_equal(packet->original_length, 9000 + i);
	assert_int_equal(packet->interface_index, 7);
	assert_int_equal(packet->rx_hash, i ? 0xfff00000u + (uint32_t)i : 0);
	assert_memory_equal(packet->data, frame, packet->captured_length);
}

static void facts_are_converted(void **state)
{
	for (unsigned int kind = 0; kind < 2; kind++) {
		struct tpacket_packet packets[ROWS];
		struct wb_ledger_totals totals;
		struct wbproto_packet packet;
		struct wbproto_reader reader;
		struct rig rig;

		rig_init(&rig);
		rig.config.encoder = kind;
		for (size_t i = 0; i < ROWS; i++) {
			packets[i] = rows[i].from;
			packets[i].time_ns = 1700000000000000000u + i;
			packets[i].data = frame;
			packets[i].captured_length = 20 + (uint32_t)i;
			packets[i].original_length = 9000 + (uint32_t)i;
			packets[i].interface_index = 7;
			packets[i].rx_hash = i ? 0xfff00000u + (uint32_t)i : 0;
		}
		assert_true(fake_ring_push(&rig.ring, packets, ROWS));
		rig_start(&rig);
		rig_stop(&rig);
		assert_int_equal(fake_bus_messages(&rig.bus), 2);
		assert_int_equal(
			wbproto_reader_init(&reader, rig.bus.messages[0].data, rig.bus.messages[0].batch.size), 0);
		for (size_t i = 0; i < ROWS; i++) {
			assert_int_equal(wbproto_reader_next(&reader, &packet), 1);
			judge(&packet, i);
		}
		assert_int_equal(wbproto_reader_next(&reader, &packet), 0);
		assert_int_equal(reader.batch.counters.truncated, 2);
		assert_int_equal(reader.batch.counters.read, ROWS);
		wb_ledger_snapshot(&rig.worker.ledger, &totals);
		assert_true(wb_ledger_balanced(&totals, true));
		assert_int_equal(totals.counters.truncated, 2);
		assert_int_equal(totals.counters.delivered, ROWS);
		rig_fini(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(facts_are_converted)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
