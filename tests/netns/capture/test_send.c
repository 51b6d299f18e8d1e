/* SPDX-License-Identifier: Apache-2.0 */
/* tpacket_send(): what is sent arrives, and what cannot be sent is told. */
#include "net.h"

#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct net_copy copy;
static uint8_t frame[NET_MAX_FRAME];

static struct tpacket *open_sender(struct tpacket_options *options)
{
	options->interface = NET_SEND;
	options->block_count = 1;
	return net_open(options);
}

static void test_arrives(void **state)
{
	const uint32_t sizes[] = {14 + 4, 60, 1000, 1514};
	struct tpacket_options options;

	net_options(&options);
	struct tpacket *receiver = net_open(&options);
	struct tpacket *sender = open_sender(&options);
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		net_frame(frame, sizes[i], i);
		assert_int_equal(tpacket_send(sender, frame, sizes[i]), 0);
		net_take(receiver, &copy);
		assert_int_equal(copy.packet.captured_length, sizes[i]);
		assert_memory_equal(copy.data, frame, sizes[i]);
	}
	tpacket_close(sender);
	tpacket_close(receiver);
}

static void test_refused(void **state)
{
	struct tpacket_options options;

	net_frame(frame, 2000, 0);
	net_options(&options);
	struct tpacket *sender = open_sender(&options);
	assert_int_equal(tpacket_send(sender, frame, 1519), -EMSGSIZE); /* one more than an MTU with a tag */
	assert_int_equal(tpacket_send(sender, frame, 10), -EINVAL);     /* no whole link header */
	net_run("ip link set " NET_SEND " down");
	assert_int_equal(tpacket_send(sender, frame, 100), -ENETDOWN);
	net_run("ip link del " NET_SEND);
	assert_int_equal(tpacket_send(sender, frame, 100), -ENODEV);
	tpacket_close(sender);

	options.interface = "";
	struct tpacket *all = net_open(&options);
	assert_int_equal(tpacket_send(all, frame, 100), -ENXIO);
	tpacket_close(all);
	options.interface = "lo";
	options.socket_type = TPACKET_SOCKET_DGRAM;
	struct tpacket *dgram = net_open(&options);
	assert_int_equal(tpacket_send(dgram, frame, 100), -EOPNOTSUPP);
	tpacket_close(dgram);
}

/* With the header a super-frame may be sent, which the receiver gets with one, too. */
static void test_vnet_header(void **state)
{
	struct tpacket_options options;
	struct virtio_net_hdr header = {.gso_type = VIRTIO_NET_HDR_GSO_NONE};
	uint8_t with_header[sizeof(header) + 100];

	net_options(&options);
	struct tpacket *receiver = net_open(&options);
	options.vnet_header = true;
	struct tpacket *sender = open_sender(&options);
	net_frame(frame, 100, 9);
	memcpy(with_header, &header, sizeof(header));
	memcpy(with_header + sizeof(header), frame, 100);
	assert_int_equal(tpacket_send(sender, with_header, sizeof(with_header)), 0);
	net_take(receiver, &copy);
	assert_int_equal(copy.packet.captured_length, 100);
	assert_memory_equal(copy.data, frame, 100);
	assert_int_equal(tpacket_send(sender, with_header, 5), -EINVAL); /* shorter than the header */
	tpacket_close(sender);
	tpacket_close(receiver);
}

static void *close_later(void *argument)
{
	usleep(200000);
	tpacket_close(argument);
	return NULL;
}

/* A slow queue: waits for room, loses nothing, and closing ends the wait. */
static void test_waits_for_room(void **state)
{
	struct tpacket_options options;
	pthread_t thread;
	int small = 4096, r = 0;

	if (system("tc qdisc add dev " NET_SEND " root tbf rate 800kbit burst 2kb limit 1mb 2>/dev/null"))
		net_skip("a kernel or tc without tbf, a queue with a rate");
	net_options(&options);
	options.retire_ms = 100; /* some in each block, as nobody reads meanwhile */
	struct tpacket *receiver = net_open(&options);
	struct tpacket *sender = open_sender(&options);
	assert_int_equal(setsockopt(tpacket_fd(sender), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	net_frame(frame, 1000, 0);
	double begin = net_now_ms();
	for (int i = 0; i < 30; i++)
		assert_int_equal(tpacket_send(sender, frame, 1000), 0);
	assert_true(net_now_ms() - begin > 100);
	assert_int_equal(net_drain(receiver, 300, NULL, NULL), 30);
	assert_int_equal(pthread_create(&thread, NULL, close_later, tpacket_get(sender)), 0);
	begin = net_now_ms();
	while (r == 0 && net_now_ms() - begin < 3000)
		r = tpacket_send(sender, frame, 1000);
	assert_int_equal(r, -ESHUTDOWN);
	pthread_join(thread, NULL);
	tpacket_close(sender);
	tpacket_close(receiver);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_arrives),
		NET_TEST(test_refused),
		NET_TEST(test_vnet_header),
		NET_TEST(test_waits_for_room),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
