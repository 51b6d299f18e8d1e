/* SPDX-License-Identifier: Apache-2.0 */
#include "tx_rig.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24
#endif

#define TAG_TCI 0xb123 /* priority 5, drop eligible, VLAN 0x123 */

struct tx_variant tx_variant;

const struct tx_variant tx_auto = {.version = TPACKET_VERSION_AUTO};
const struct tx_variant tx_v2 = {.version = TPACKET_VERSION_2};
const struct tx_variant tx_v3 = {.version = TPACKET_VERSION_3};
const struct tx_variant tx_v3_bypass = {.version = TPACKET_VERSION_3, .qdisc_bypass = true};
const struct tx_variant tx_v2_vnet = {.version = TPACKET_VERSION_2, .vnet_header_bytes = 10};
const struct tx_variant tx_v3_vnet = {.version = TPACKET_VERSION_3, .vnet_header_bytes = 12};

/*
 * A veth hands a frame over on the CPU that sends it, which is that of a timer if there is a queueing discipline.
 * Frames that come by way of two CPUs may overtake one another at the other end.
 */
static void stay_on_one_cpu(void)
{
	cpu_set_t cpus;
	int cpu = sched_getcpu();

	assert_true(cpu >= 0);
	CPU_ZERO(&cpus);
	CPU_SET((size_t)cpu, &cpus);
	assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

int tx_set_up(void **state)
{
	stay_on_one_cpu();
	tx_variant = *(const struct tx_variant *)*state;
	return net_set_up(state);
}

void tx_options(struct tpacket_tx_options *options)
{
	tpacket_tx_options_init(options);
	options->interface = NET_SEND;
	options->version = tx_variant.version;
	options->qdisc_bypass = tx_variant.qdisc_bypass;
	options->vnet_header_bytes = tx_variant.vnet_header_bytes;
	options->shrink = false;
}

struct tpacket_tx *tx_open(const struct tpacket_tx_options *options)
{
	struct tpacket_error error = {""};
	struct tpacket_tx *tx = NULL;

	int r = tpacket_tx_open(options, &tx, &error);
	if (r < 0)
		print_error("tpacket_tx_open: %s\n", error.message);
	assert_int_equal(r, 0);
	assert_non_null(tx);
	return tx;
}

int tx_receiver(int vnet_header_bytes)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)net_index(NET_LISTEN),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int buffer = 1 << 29, on = 1;
	socklen_t length = sizeof(on);

	assert_true(fd >= 0);
	/* No frame is lost at this end. */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
	if (vnet_header_bytes)
		assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR_SZ, &vnet_header_bytes, sizeof(int)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	/* If the interface is down, that is an error to be read, and frames come once it is up. */
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &on, &length), 0);
	return fd;
}

static void put_tag_back(struct tx_arrival *arrival, uint16_t type, uint16_t tci)
{
	const uint8_t tag[4] = {(uint8_t)(type >> 8), (uint8_t)type, (uint8_t)(tci >> 8), (uint8_t)tci};

	memmove(arrival->data + 16, arrival->data + 12, arrival->bytes - 12);
	memcpy(arrival->data + 12, tag, sizeof(tag));
	arrival->bytes += (uint32_t)sizeof(tag);
}

bool tx_receive(int fd, int timeout_ms, struct tx_arrival *ret_arrival)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	int vnet_header_bytes = 0;
	socklen_t length = sizeof(int);

	assert_int_equal(getsockopt(fd, SOL_PACKET, PACKET_VNET_HDR_SZ, &vnet_header_bytes, &length), 0);
	struct iovec vectors[] = {
		{ret_arrival->vnet_header, (size_t)vnet_header_bytes},
		{ret_arrival->data, sizeof(ret_arrival->data)},
	};
	struct msghdr message = {
		.msg_iov = vectors, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control)};
	if (poll(&poll_fd, 1, timeout_ms) == 0)
		return false;
	ssize_t bytes = recvmsg(fd, &message, MSG_TRUNC | MSG_DONTWAIT);
	assert_true(bytes >= vnet_header_bytes);
	assert_false(message.msg_flags & MSG_TRUNC);
	ret_arrival->bytes = (uint32_t)bytes - (uint32_t)vnet_header_bytes;
	ret_arrival->vnet_header_bytes = (uint32_t)vnet_header_bytes;
	struct tpacket_auxdata info;
	memcpy(&info, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(info));
	if (info.tp_status & TP_STATUS_VLAN_VALID)
		put_tag_back(ret_arrival, info.tp_vlan_tpid, info.tp_vlan_tci);
	return true;
}

void tx_tag(uint8_t *frame, uint16_t type)
{
	const uint8_t tag[] = {(uint8_t)(type >> 8), (uint8_t)type, TAG_TCI >> 8, TAG_TCI & 0xff, 0x88, 0xb5};

	memcpy(frame + 12, tag, sizeof(tag));
}

void tx_assert_arrives(int fd, uint32_t bytes, uint32_t number, uint16_t tag_type)
{
	static struct tx_arrival arrival;
	static uint8_t want[NET_MAX_FRAME];

	assert_true(tx_receive(fd, 3000, &arrival));
	net_frame(want, bytes < 18 ? 18 : bytes, number);
	if (tag_type)
		tx_tag(want, tag_type);
	assert_int_equal(arrival.bytes, bytes);
	assert_memory_equal(arrival.data, want, bytes);
}

void tx_assert_nothing(int fd)
{
	static struct tx_arrival arrival;

	assert_false(tx_receive(fd, 50, &arrival));
}

void tx_commit(struct tpacket_tx *tx, uint32_t bytes, uint32_t number)
{
	uint32_t header = tx_variant.vnet_header_bytes, room;
	void *data;

	assert_int_equal(tpacket_tx_reserve(tx, &data, &room), 0);
	assert_true(room >= header + bytes);
	memset(data, 0, header);
	/* net_frame() writes at least the number. */
	assert_true(room >= header + 18);
	net_frame((uint8_t *)data + header, bytes < 18 ? 18 : bytes, number);
	assert_int_equal(tpacket_tx_commit(tx, header + bytes, number), 0);
}

void tx_send_all(struct tpacket_tx *tx)
{
	double begin = net_now_ms();

	while (tpacket_tx_waiting(tx)) {
		int r = tpacket_tx_send(tx);
		assert_true(r >= 0 || r == -EAGAIN || r == -ENOBUFS);
		assert_true(net_now_ms() - begin < 10000);
		if (tpacket_tx_waiting(tx))
			assert_true(tpacket_tx_wait(tx, 1000) >= 0);
	}
}

void tx_assert_result(struct tpacket_tx *tx, uint32_t number, int error)
{
	struct tpacket_tx_result result = {.cookie = UINT64_MAX, .error = 1};

	if (tpacket_tx_complete(tx, &result, 1) == 0) {
		assert_int_equal(tpacket_tx_wait(tx, 3000), 1);
		assert_int_equal(tpacket_tx_complete(tx, &result, 1), 1);
	}
	assert_int_equal(result.cookie, number);
	assert_int_equal(result.error, error);
}

void tx_assert_no_result(struct tpacket_tx *tx)
{
	struct tpacket_tx_result result;

	assert_int_equal(tpacket_tx_complete(tx, &result, 1), 0);
}

void tx_finish(struct tpacket_tx *tx, uint64_t sent, uint64_t failed)
{
	struct tpacket_tx_counters counters;

	tx_assert_no_result(tx);
	assert_int_equal(tpacket_tx_waiting(tx), 0);
	tpacket_tx_counters(tx, &counters);
	assert_int_equal(counters.sent, sent);
	assert_int_equal(counters.failed_too_large + counters.failed_malformed + counters.failed_down +
				 counters.failed_no_buffer + counters.failed_other,
		failed);
	assert_int_equal(counters.committed, sent + failed);
	tpacket_tx_close(tx);
}
