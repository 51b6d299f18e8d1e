/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NET_FLOWS 64

static const uint8_t listen_mac[6] = {0x02, 0, 0, 0, 0, 1};
static const uint8_t send_mac[6] = {0x02, 0, 0, 0, 0, 2};

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return; /* no IPv6 in this kernel */
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

void net_enter(void)
{
	if (unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "skipped: a network namespace needs root\n");
		exit(77);
	}
	/* No neighbour discovery: the tests count every packet. */
	write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
}

void net_skip(const char *reason)
{
	const char *ci = getenv("CI");

	if (ci && !strcmp(ci, "true"))
		fail_msg("CI=true, and this cannot be tested: %s", reason);
	print_message("skipped: %s\n", reason);
	skip();
}

void net_run(const char *format, ...)
{
	char command[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	int r = system(command);
	if (r)
		print_error("failed: %s\n", command);
	assert_int_equal(r, 0);
}

static bool is_running(const char *interface)
{
	char command[128];

	snprintf(command, sizeof(command), "ip link show dev %s | grep -q LOWER_UP", interface);
	return system(command) == 0;
}

void net_wait_running(const char *interface)
{
	for (int i = 0; i < 500 && !is_running(interface); i++)
		usleep(10000);
}

void net_wait_no_carrier(const char *interface)
{
	for (int i = 0; i < 500 && is_running(interface); i++)
		usleep(10000);
	assert_false(is_running(interface));
}

int net_set_up(void **state)
{
	net_run("ip link add " NET_LISTEN " address 02:00:00:00:00:01 type veth "
		"peer name " NET_SEND " address 02:00:00:00:00:02");
	net_run("ip link set " NET_LISTEN " up && ip link set " NET_SEND " up");
	net_wait_running(NET_LISTEN);
	net_wait_running(NET_SEND);
	return 0;
}

int net_tear_down(void **state)
{
	if (if_nametoindex(NET_SEND))
		net_run("ip link del " NET_SEND);
	return 0;
}

unsigned int net_index(const char *interface)
{
	unsigned int index = if_nametoindex(interface);

	assert_true(index > 0);
	return index;
}

int net_count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

double net_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int net_sender(const char *interface)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)net_index(interface)};

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void net_send(int fd, const void *frame, size_t bytes)
{
	ssize_t sent;

	do
		sent = send(fd, frame, bytes, 0);
	while (sent < 0 && (errno == ENOBUFS || errno == EINTR));
	assert_int_equal(sent, (ssize_t)bytes);
}

static void ethernet(uint8_t *frame, uint16_t type)
{
	memcpy(frame, listen_mac, 6);
	memcpy(frame + 6, send_mac, 6);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
}

static void put_number(uint8_t *at, uint32_t number)
{
	number = htonl(number);
	memcpy(at, &number, sizeof(number));
}

uint32_t net_number(const uint8_t *at)
{
	uint32_t number;

	memcpy(&number, at, sizeof(number));
	return ntohl(number);
}

void net_frame(uint8_t *frame, uint32_t bytes, uint32_t number)
{
	ethernet(frame, NET_ETHERTYPE);
	put_number(frame + NET_NUMBER_AT, number);
	for (uint32_t i = NET_NUMBER_AT + 4; i < bytes; i++)
		frame[i] = (uint8_t)(number * 31 + i * 7 + i / 256);
}

static uint16_t ip_checksum(const uint8_t *header)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)header[i] << 8 | header[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void net_udp_frame(uint8_t *frame, uint32_t number)
{
	const uint16_t ip_bytes = NET_UDP_BYTES - 14;
	const uint16_t port = (uint16_t)(10000 + number % NET_FLOWS);
	const uint8_t ip[20] = {
		0x45, 0, ip_bytes >> 8, ip_bytes & 0xff, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1};
	const uint8_t udp[8] = {(uint8_t)(port >> 8), (uint8_t)port, 0, 53, 0, ip_bytes - 20, 0, 0};

	memset(frame, 0, NET_UDP_BYTES);
	ethernet(frame, ETH_P_IP);
	memcpy(frame + 14, ip, sizeof(ip));
	uint16_t sum = ip_checksum(frame + 14);
	frame[24] = (uint8_t)(sum >> 8);
	frame[25] = (uint8_t)sum;
	memcpy(frame + 34, udp, sizeof(udp));
	put_number(frame + NET_UDP_NUMBER_AT, number);
}

void net_send_numbers(int fd, uint32_t bytes, uint32_t first, uint32_t count)
{
	uint8_t frame[9216];

	assert_true(bytes <= sizeof(frame));
	for (uint32_t i = 0; i < count; i++) {
		net_frame(frame, bytes, first + i);
		net_send(fd, frame, bytes);
	}
}

void net_options(struct tpacket_options *options)
{
	tpacket_options_init(options);
	options->interface = NET_LISTEN;
	options->block_bytes = 1u << 17;
	options->block_count = 16;
	options->retire_ms = NET_RETIRE_MS;
}

struct tpacket *net_open(const struct tpacket_options *options)
{
	struct tpacket_error error = {""};
	struct tpacket *handle = NULL;

	int r = tpacket_open(options, &handle, &error);
	if (r < 0)
		print_error("tpacket_open: %s\n", error.message);
	assert_int_equal(r, 0);
	assert_int_equal(tpacket_start(handle), 0);
	return handle;
}

uint32_t net_drain(struct tpacket *handle, int idle_ms, net_seen_fn *seen, void *argument)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	uint32_t count = 0;
	int r;

	while ((r = tpacket_acquire(handle, idle_ms, &lease)) == 1) {
		while (tpacket_lease_next(&lease, &packet)) {
			count++;
			if (seen)
				seen(&packet, argument);
		}
		tpacket_release(&lease);
	}
	assert_int_equal(r, 0);
	return count;
}

static void copy_packet(const struct tpacket_packet *packet, void *argument)
{
	struct net_copy *copy = argument;

	assert_true(packet->captured_length <= sizeof(copy->data));
	copy->packet = *packet;
	memcpy(copy->data, packet->data, packet->captured_length);
	if (packet->vnet_header)
		memcpy(copy->vnet_header, packet->vnet_header, packet->vnet_header_length);
	copy->packet.data = copy->data;
	copy->packet.vnet_header = packet->vnet_header ? copy->vnet_header : NULL;
}

void net_take(struct tpacket *handle, struct net_copy *ret_copy)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	memset(ret_copy, 0, sizeof(*ret_copy));
	assert_int_equal(tpacket_acquire(handle, 5000, &lease), 1);
	assert_true(tpacket_lease_next(&lease, &packet));
	copy_packet(&packet, ret_copy);
	assert_false(tpacket_lease_next(&lease, &packet));
	tpacket_release(&lease);
}

struct copies {
	struct net_copy *next;
	uint32_t left;
};

static void copy_next(const struct tpacket_packet *packet, void *argument)
{
	struct copies *copies = argument;

	assert_true(copies->left > 0);
	copies->left--;
	copy_packet(packet, copies->next++);
}

uint32_t net_take_all(struct tpacket *handle, int idle_ms, struct net_copy *ret_copies, uint32_t max)
{
	struct copies copies = {.next = ret_copies, .left = max};

	return net_drain(handle, idle_ms, copy_next, &copies);
}

void net_assert_nothing(struct tpacket *handle)
{
	assert_int_equal(net_drain(handle, 10 * NET_RETIRE_MS, NULL, NULL), 0);
}

void net_finish(struct tpacket *handle, struct tpacket_counters *ret_counters)
{
	assert_int_equal(tpacket_stop(handle), 0);
	net_drain(handle, 10 * NET_RETIRE_MS, NULL, NULL);
	assert_int_equal(tpacket_stats(handle, ret_counters), 0);
	assert_int_equal(ret_counters->seen, ret_counters->read + ret_counters->dropped);
	assert_int_equal(ret_counters->delivered, ret_counters->read);
	assert_int_equal(ret_counters->bad_blocks, 0);
}
