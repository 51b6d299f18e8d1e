/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes, lengths, time, direction, protocol, interface, flow hash. */
#include "fields.h"
#include "far.h"

#include <arpa/inet.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SMALLEST 60u
#define LARGEST 1514u

struct lengths {
	const struct row *row;
	struct want want;
	uint32_t bytes;
};

static void check_length(const struct tpacket_packet *packet, void *argument)
{
	struct lengths *lengths = argument;
	static uint8_t frame[LARGEST];

	row_frame(lengths->row, frame, lengths->bytes, lengths->bytes);
	lengths->want.frame = frame;
	lengths->want.bytes = lengths->bytes;
	row_compare(lengths->row, packet, &lengths->want);
	assert_int_equal(packet->vnet_header_length, 0);
	assert_null(packet->vnet_header);
	lengths->want.after_ns = packet->time_ns; /* in the order in which they came */
	lengths->bytes++;
}

static void test_lengths(void **state)
{
	const struct row *row = *state;
	struct lengths lengths = {.row = row, .bytes = SMALLEST, .want = row_want(row, NULL, 0)};
	struct tpacket_options options;
	struct tpacket_counters counters;
	uint8_t frame[LARGEST];
	int sender = net_sender(row_send(row));

	row_options(row, &options);
	options.block_count = 64;
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_interface_index(handle), lengths.want.index);
	assert_int_equal(tpacket_hardware_type(handle), row->is_loopback ? ARPHRD_LOOPBACK : ARPHRD_ETHER);
	lengths.want.after_ns = realtime_ns();
	for (uint32_t bytes = SMALLEST; bytes <= LARGEST; bytes++) {
		row_frame(row, frame, bytes, bytes);
		net_send(sender, frame, bytes);
	}
	lengths.want.before_ns = realtime_ns();
	double end_ms = net_now_ms() + 5000;
	while (lengths.bytes <= LARGEST && net_now_ms() < end_ms)
		net_drain(handle, 2 * NET_RETIRE_MS, check_length, &lengths);
	assert_int_equal(lengths.bytes, LARGEST + 1);
	net_finish(handle, &counters);
	assert_int_equal(counters.seen, LARGEST - SMALLEST + 1);
	assert_int_equal(counters.dropped, 0);
	assert_int_equal(counters.truncated, 0);
	tpacket_close(handle);
	close(sender);
}

/* Once any socket of the machine asks for times, the kernel takes them when a frame arrives. */
static void test_time_on_arrival(void **state)
{
	const struct row *row = *state;
	struct tpacket *handle = row_open(row);
	uint8_t frame[100];
	int sender = net_sender(row_send(row)), asks = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
	uint32_t status = 0;

	row_frame(row, frame, sizeof(frame), 1);
	assert_int_equal(setsockopt(asks, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)), 0);
	/* The kernel switches that on from a work queue, which a machine with much to do runs late. */
	double end_ms = net_now_ms() + 5000;
	while (!(status & TPACKET_STATUS_TIME_SOFTWARE) && net_now_ms() < end_ms) {
		struct want want = row_want(row, frame, sizeof(frame));
		want.after_ns = realtime_ns();
		net_send(sender, frame, sizeof(frame));
		want.before_ns = realtime_ns();
		status = row_expect(row, handle, &want)->packet.status;
		assert_false(status & TPACKET_STATUS_TIME_HARDWARE);
	}
	assert_true(status & TPACKET_STATUS_TIME_SOFTWARE);
	tpacket_close(handle);
	close(sender);
	close(asks);
}

struct direction {
	uint8_t first, last; /* bytes of the address; 0, 0: the row's own */
	uint8_t type;
};

static void test_direction(void **state)
{
	const struct row *row = *state;
	/* The loopback's broadcast address is all zeros, like its own. */
	const uint8_t to_all = row->is_loopback ? TPACKET_TYPE_MULTICAST : TPACKET_TYPE_BROADCAST;
	const struct direction directions[] = {
		{0, 0, TPACKET_TYPE_HOST},
		{0x02, 0x99, TPACKET_TYPE_OTHER_HOST},
		{0x01, 0x05, TPACKET_TYPE_MULTICAST},
		{0xff, 0xff, to_all},
	};
	struct tpacket *handle = row_open(row);
	uint8_t frame[100];
	int sender = net_sender(row_send(row));

	for (uint32_t i = 0; i < sizeof(directions) / sizeof(directions[0]); i++) {
		row_frame(row, frame, sizeof(frame), i);
		if (directions[i].first) {
			memset(frame, directions[i].first, 6);
			frame[5] = directions[i].last;
		}
		struct want want = row_want(row, frame, sizeof(frame));
		want.type = directions[i].type;
		net_send(sender, frame, sizeof(frame));
		row_expect(row, handle, &want);
	}
	row_end(handle);
	close(sender);
}

/* A frame that this host sends is seen as outgoing; on the loopback it comes in after that, too. */
static void test_outgoing(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;
	uint8_t frame[100];
	int own = net_sender(row_listen(row));

	row_frame(row, frame, sizeof(frame), 1);
	row_options(row, &options);
	options.ignore_outgoing = false;
	struct tpacket *handle = net_open(&options);
	struct want want = row_want(row, frame, sizeof(frame));
	for (int i = 0; i < 3; i++) {
		static struct net_copy packets[2];
		net_send(own, frame, sizeof(frame));
		row_take(handle, packets, row->is_loopback ? 2 : 1);
		want.type = TPACKET_TYPE_OUTGOING;
		row_compare(row, &packets[0].packet, &want);
		want.type = TPACKET_TYPE_HOST;
		if (row->is_loopback)
			row_compare(row, &packets[1].packet, &want);
	}
	row_end(handle);

	options.ignore_outgoing = true;
	handle = net_open(&options);
	net_send(own, frame, sizeof(frame));
	if (row->is_loopback)
		row_expect(row, handle, &want);
	net_assert_nothing(handle);
	row_end(handle);
	close(own);
}

/* The kernel's names for frames without an ethertype are in the same field. */
static void test_protocol(void **state)
{
	const struct row *row = *state;
	const uint16_t types[][2] = {
		{0x88b5, 0x88b5}, {0x0800, 0x0800}, {0x86dd, 0x86dd}, {0x0600, 0x0600}, {86, 0x0004}};
	struct tpacket *handle = row_open(row);
	uint8_t frame[100];
	int sender = net_sender(row_send(row));

	for (uint32_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		row_frame(row, frame, sizeof(frame), i);
		frame[12] = (uint8_t)(types[i][0] >> 8);
		frame[13] = (uint8_t)types[i][0];
		struct want want = row_want(row, frame, sizeof(frame));
		want.protocol = types[i][1];
		net_send(sender, frame, sizeof(frame));
		row_expect(row, handle, &want);
	}
	row_end(handle);
	close(sender);
}

/* Bound to one protocol nothing else is seen; neither is what the host sends, which the kernel shows to ETH_P_ALL only.
 */
static void test_one_protocol(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;
	uint8_t frame[100];
	int sender = net_sender(row_send(row)), own = net_sender(row_listen(row));

	row_options(row, &options);
	options.protocol = NET_ETHERTYPE;
	options.ignore_outgoing = false;
	struct tpacket *handle = net_open(&options);
	row_frame(row, frame, sizeof(frame), 1);
	frame[13]++;
	net_send(sender, frame, sizeof(frame));
	net_assert_nothing(handle);
	frame[13]--;
	net_send(row->is_loopback ? own : sender, frame, sizeof(frame));
	struct want want = row_want(row, frame, sizeof(frame));
	row_expect(row, handle, &want);
	if (!row->is_loopback)
		net_send(own, frame, sizeof(frame));
	net_assert_nothing(handle);
	tpacket_close(handle);
	close(sender);
	close(own);
}

/* With all interfaces each packet says where it was seen: two pairs, each seen at both its ends. */
static void test_all_interfaces(void **state)
{
	const struct row *row = *state;
	const char *const pairs[][2] = {{NET_SEND, NET_LISTEN}, {"wbs1", "wbl1"}};
	struct tpacket_options options;
	static struct net_copy packets[2];
	uint8_t frame[100];

	net_run("ip link add wbl1 address 02:00:00:00:00:01 type veth peer name wbs1 address 02:00:00:00:00:02");
	net_run("ip link set wbl1 up && ip link set wbs1 up");
	row_options(row, &options);
	options.interface = row->socket == TPACKET_SOCKET_RAW ? NULL : "";
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_interface_index(handle), 0);
	assert_int_equal(tpacket_hardware_type(handle), ARPHRD_VOID);
	row_frame(row, frame, sizeof(frame), 1);
	for (uint32_t i = 0; i < 2; i++) {
		int sender = net_sender(pairs[i][0]);
		net_send(sender, frame, sizeof(frame));
		row_take(handle, packets, 2);
		struct want want = row_want(row, frame, sizeof(frame));
		for (uint32_t end = 0; end < 2; end++) {
			want.index = net_index(pairs[i][end]);
			want.type = end ? TPACKET_TYPE_HOST : TPACKET_TYPE_OUTGOING;
			row_compare(row, &packets[end].packet, &want);
		}
		close(sender);
	}
	row_end(handle);
	net_run("ip link del wbs1");
}

static uint32_t hash_of(const struct row *row, struct tpacket *handle, int sender, uint32_t number)
{
	uint8_t frame[NET_UDP_BYTES];
	static struct net_copy copy;

	net_udp_frame(frame, number);
	row_address(row, frame);
	net_send(sender, frame, sizeof(frame));
	net_take(handle, &copy);
	return copy.packet.rx_hash;
}

/* V3: the same for the packets of a flow, others for other flows. V1 and V2 have none. */
static void test_flow_hash(void **state)
{
	const struct row *row = *state;
	bool has_hash = row->version == TPACKET_VERSION_3;
	struct tpacket_options options;
	int sender = net_sender(row_send(row));
	uint32_t first, different = 0;

	row_options(row, &options);
	assert_true(options.flow_hash);
	struct tpacket *handle = net_open(&options);
	first = hash_of(row, handle, sender, 0);
	assert_int_equal(first != 0, has_hash);
	for (uint32_t flow = 1; flow < 8; flow++) {
		uint32_t hash = hash_of(row, handle, sender, flow);
		assert_int_equal(hash_of(row, handle, sender, flow + 64), hash);
		different += hash != first;
	}
	assert_int_equal(different, has_hash ? 7 : 0);
	assert_int_equal(hash_of(row, handle, sender, 128), first);
	tpacket_close(handle);

	options.flow_hash = false;
	handle = net_open(&options);
	assert_int_equal(hash_of(row, handle, sender, 0), 0);
	assert_int_equal(hash_of(row, handle, sender, 1), 0);
	tpacket_close(handle);
	close(sender);
}

/* Whichever function takes a packet, it is the same one. */
static void test_reading_functions_agree(void **state)
{
	const struct row *row = *state;
	struct tpacket *handle = row_open(row);
	struct tpacket_packet packet;
	uint8_t frame[500], buffer[500];
	void *memory;
	int sender = net_sender(row_send(row));

	row_frame(row, frame, sizeof(frame), 1);
	struct want want = row_want(row, frame, sizeof(frame));
	want.after_ns = realtime_ns();
	for (int i = 0; i < 4; i++)
		net_send(sender, frame, sizeof(frame));
	want.before_ns = realtime_ns();
	assert_int_equal(tpacket_read(handle, 1000, &packet), 1);
	row_compare(row, &packet, &want);
	assert_int_equal(tpacket_read_copy(handle, 1000, &packet, &memory), 1);
	row_compare(row, &packet, &want);
	free(memory);
	assert_int_equal(tpacket_read_into(handle, 1000, buffer, sizeof(buffer), &packet), 1);
	assert_ptr_equal(packet.data, buffer);
	row_compare(row, &packet, &want);
	assert_int_equal(tpacket_read_into(handle, 1000, buffer, 90, &packet), 1);
	want.captured = 90 + want.skip;
	want.status = TPACKET_STATUS_SHORT_BUFFER;
	row_compare(row, &packet, &want);
	assert_int_equal(tpacket_read(handle, 2 * NET_RETIRE_MS, &packet), 0);
	tpacket_close(handle);
	close(sender);
}

/* An interface in another network namespace, by the path of that. */
static void test_other_namespace(void **state)
{
	const struct row *row = *state;
	struct tpacket_options options;
	struct far far;
	char path[64];
	uint8_t frame[100];

	far_begin(&far);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", far.pid);
	row_options(row, &options);
	options.netns = path;
	options.interface = NET_SEND;
	struct tpacket *handle = net_open(&options);
	row_frame(row, frame, sizeof(frame), 7);
	memcpy(frame, (const uint8_t[]){0x02, 0, 0, 0, 0, 2}, 6);
	struct want want = row_want(row, frame, sizeof(frame));
	want.index = far_index(&far);
	assert_int_equal(tpacket_interface_index(handle), want.index);
	/* From this namespace into that one, and the other way. */
	int sender = net_sender(NET_LISTEN);
	net_send(sender, frame, sizeof(frame));
	row_expect(row, handle, &want);
	far_send(&far, frame, sizeof(frame));
	want.type = TPACKET_TYPE_OUTGOING;
	row_expect(row, handle, &want);
	tpacket_close(handle);
	close(sender);
	far_end(&far);
}

#define ON_EVERY_VETH (ON_ALL & ~ON_LOOPBACK)

const struct row_test basic_tests[] = {
	ROW_TEST(test_lengths, ON_ALL),
	ROW_TEST(test_time_on_arrival, ON_ALL),
	ROW_TEST(test_direction, ON_ALL),
	ROW_TEST(test_outgoing, ON_ALL),
	ROW_TEST(test_protocol, ON_ALL),
	ROW_TEST(test_one_protocol, ON_ALL),
	ROW_TEST(test_all_interfaces, ON_EVERY_VETH),
	ROW_TEST(test_flow_hash, ON_ALL),
	ROW_TEST(test_reading_functions_agree, ON_ALL),
	ROW_TEST(test_other_namespace, ON_EVERY_VETH),
	{0},
};
