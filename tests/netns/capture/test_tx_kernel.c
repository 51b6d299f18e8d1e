/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library takes for granted about the kernel's sending ring, on one that is made by hand: what becomes of a
 * frame that cannot be sent, and of those behind it, without PACKET_LOSS (as the library has it) and with it; and which
 * requests of a ring are refused.
 */
#include "tx_rig.h"

#include <linux/if_packet.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLOT_BYTES 2048u
#define SLOTS 4u

struct hand_ring {
	int fd;
	uint8_t *memory;
};

static bool is_v3(void)
{
	return tx_variant.version == TPACKET_VERSION_3;
}

static void hand_option(int fd, int option, int value)
{
	assert_int_equal(setsockopt(fd, SOL_PACKET, option, &value, sizeof(value)), 0);
}

/* As the library asks for a ring: no retire time, no private bytes, no features. */
static struct tpacket_req3 hand_geometry(void)
{
	return (struct tpacket_req3){.tp_block_size = SLOTS * SLOT_BYTES,
		.tp_block_nr = 1,
		.tp_frame_size = SLOT_BYTES,
		.tp_frame_nr = SLOTS};
}

static struct hand_ring hand_open(bool has_loss)
{
	struct hand_ring ring = {.fd = net_sender(NET_SEND)};
	struct tpacket_req3 request = hand_geometry();
	socklen_t length = is_v3() ? sizeof(struct tpacket_req3) : sizeof(struct tpacket_req);

	hand_option(ring.fd, PACKET_VERSION, is_v3() ? TPACKET_V3 : TPACKET_V2);
	if (has_loss)
		hand_option(ring.fd, PACKET_LOSS, 1);
	assert_int_equal(setsockopt(ring.fd, SOL_PACKET, PACKET_TX_RING, &request, length), 0);
	ring.memory = mmap(NULL, (size_t)SLOTS * SLOT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, 0);
	assert_ptr_not_equal(ring.memory, MAP_FAILED);
	return ring;
}

static void hand_close(struct hand_ring *ring)
{
	assert_int_equal(munmap(ring->memory, (size_t)SLOTS * SLOT_BYTES), 0);
	close(ring->fd);
}

static uint32_t *hand_status(struct hand_ring *ring, uint32_t slot)
{
	uint8_t *at = ring->memory + slot * SLOT_BYTES;

	return is_v3() ? &((struct tpacket3_hdr *)at)->tp_status : &((struct tpacket2_hdr *)at)->tp_status;
}

static void hand_request(struct hand_ring *ring, uint32_t slot, uint32_t bytes, uint32_t number)
{
	uint8_t *at = ring->memory + slot * SLOT_BYTES;

	net_frame(at + (is_v3() ? TPACKET3_HDRLEN : TPACKET2_HDRLEN) - sizeof(struct sockaddr_ll), bytes, number);
	if (is_v3())
		((struct tpacket3_hdr *)at)->tp_len = bytes;
	else
		((struct tpacket2_hdr *)at)->tp_len = bytes;
	__atomic_store_n(hand_status(ring, slot), TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
}

static void hand_assert_status(struct hand_ring *ring, uint32_t slot, uint32_t want)
{
	assert_int_equal(__atomic_load_n(hand_status(ring, slot), __ATOMIC_ACQUIRE), want);
}

/* The kernel stays at the bad frame's slot, whatever is behind it, until something good lies there. */
static void test_without_loss(void **state)
{
	struct hand_ring ring = hand_open(false);
	int receiver = tx_receiver(0);

	hand_request(&ring, 0, 100, 0);
	hand_request(&ring, 1, TX_LONGEST + 1, 1);
	hand_request(&ring, 2, 100, 2);
	assert_int_equal(send(ring.fd, NULL, 0, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EMSGSIZE);
	hand_assert_status(&ring, 0, TP_STATUS_AVAILABLE);
	hand_assert_status(&ring, 1, TP_STATUS_WRONG_FORMAT);
	hand_assert_status(&ring, 2, TP_STATUS_SEND_REQUEST);
	tx_assert_arrives(receiver, 100, 0, 0);
	assert_int_equal(send(ring.fd, NULL, 0, MSG_DONTWAIT), 0);
	tx_assert_nothing(receiver);
	hand_assert_status(&ring, 2, TP_STATUS_SEND_REQUEST);
	hand_request(&ring, 1, 200, 3);
	assert_int_equal(send(ring.fd, NULL, 0, MSG_DONTWAIT), 300);
	tx_assert_arrives(receiver, 200, 3, 0);
	tx_assert_arrives(receiver, 100, 2, 0);
	hand_close(&ring);
	close(receiver);
}

/* The kernel passes over it, and nothing tells it from one that was sent. */
static void test_with_loss(void **state)
{
	struct hand_ring ring = hand_open(true);
	int receiver = tx_receiver(0);

	hand_request(&ring, 0, 100, 0);
	hand_request(&ring, 1, TX_LONGEST + 1, 1);
	hand_request(&ring, 2, 100, 2);
	assert_int_equal(send(ring.fd, NULL, 0, MSG_DONTWAIT), 200);
	for (uint32_t slot = 0; slot < 3; slot++)
		hand_assert_status(&ring, slot, TP_STATUS_AVAILABLE);
	tx_assert_arrives(receiver, 100, 0, 0);
	tx_assert_arrives(receiver, 100, 2, 0);
	tx_assert_nothing(receiver);
	hand_close(&ring);
	close(receiver);
}

/* So the library's ring has it off, and nobody can switch it on afterwards. */
static void test_library_has_no_loss(void **state)
{
	struct tpacket_tx_options options;
	int on = 1, is_on = 1;
	socklen_t length = sizeof(is_on);

	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	assert_int_equal(getsockopt(tpacket_tx_fd(tx), SOL_PACKET, PACKET_LOSS, &is_on, &length), 0);
	assert_int_equal(is_on, 0);
	assert_int_equal(setsockopt(tpacket_tx_fd(tx), SOL_PACKET, PACKET_LOSS, &on, sizeof(on)), -1);
	assert_int_equal(errno, EBUSY);
	tpacket_tx_close(tx);
}

/* A ring of either direction. Negative errno. */
static int hand_ask(int direction, const struct tpacket_req3 *request)
{
	int fd = net_sender(NET_SEND);

	hand_option(fd, PACKET_VERSION, TPACKET_V3);
	int r = setsockopt(fd, SOL_PACKET, direction, request, sizeof(*request)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/*
 * TPACKET_V3 has blocks with a time, with room for their owner and with features for reception only. In a sending ring
 * the kernel refuses each of them, however small, and takes the same request without it.
 */
static void test_v3_has_no_blocks_to_send(void **state)
{
	struct tpacket_req3 request = hand_geometry();
	uint32_t *const members[] = {&request.tp_retire_blk_tov, &request.tp_sizeof_priv, &request.tp_feature_req_word};

	assert_int_equal(hand_ask(PACKET_TX_RING, &request), 0);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		*members[i] = 1; /* 1 ms; 1 byte; TP_FT_REQ_FILL_RXHASH */
		assert_int_equal(hand_ask(PACKET_TX_RING, &request), -EINVAL);
		assert_int_equal(hand_ask(PACKET_RX_RING, &request), 0);
		*members[i] = 0;
	}
	assert_int_equal(hand_ask(PACKET_TX_RING, &request), 0);
}

/* Each option is what the kernel has. */
static void test_socket_options(void **state)
{
	struct tpacket_tx_options options;
	int version = -1, is_bypassed = -1, vnet = -1;
	socklen_t length = sizeof(int);

	tx_options(&options);
	struct tpacket_tx *tx = tx_open(&options);
	int fd = tpacket_tx_fd(tx);
	assert_int_equal(getsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, &length), 0);
	assert_int_equal(version, is_v3() ? TPACKET_V3 : TPACKET_V2);
	assert_int_equal(getsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &is_bypassed, &length), 0);
	assert_int_equal(is_bypassed, tx_variant.qdisc_bypass);
	assert_int_equal(getsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &vnet, &length), 0);
	assert_int_equal(vnet, tx_variant.vnet_header_bytes != 0);
	tpacket_tx_close(tx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TX_PLAIN(test_without_loss),
		TX_PLAIN(test_with_loss),
		TX_PLAIN(test_library_has_no_loss),
		TX_BARE(test_v3_has_no_blocks_to_send),
		TX_EACH(test_socket_options),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
