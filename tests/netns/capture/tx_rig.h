/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the sending ring share: a ring on NET_SEND, a plain socket on NET_LISTEN, and their results. */
#ifndef TEST_TX_RIG_H
#define TEST_TX_RIG_H

#include "net.h"
#include "tpacket_tx.h"

#define TX_MTU 1500u
#define TX_LONGEST (TX_MTU + 14)

/* What the same test is run with. */
struct tx_variant {
	enum tpacket_version version;
	bool qdisc_bypass;
	uint8_t vnet_header_bytes;
};

extern struct tx_variant tx_variant; /* the one now */
extern const struct tx_variant tx_auto, tx_v2, tx_v3, tx_v3_bypass, tx_v2_vnet, tx_v3_vnet;

/* cmocka's set-up of a test: its state is the variant. */
int tx_set_up(void **state);
#define TX_TEST(f, variant)                                                                                            \
	{                                                                                                              \
#f " " #variant, f, tx_set_up, net_tear_down, (void *)&variant                                         \
	}
#define TX_BARE(f) TX_TEST(f, tx_auto)
#define TX_PLAIN(f) TX_TEST(f, tx_v2), TX_TEST(f, tx_v3)
#define TX_VNET(f) TX_TEST(f, tx_v2_vnet), TX_TEST(f, tx_v3_vnet)
#define TX_EACH(f) TX_PLAIN(f), TX_TEST(f, tx_v3_bypass), TX_VNET(f)

/* Defaults for the tests: NET_SEND, in the variant. */
void tx_options(struct tpacket_tx_options *options);
struct tpacket_tx *tx_open(const struct tpacket_tx_options *options);

/* A frame that arrived, its tag put back. */
struct tx_arrival {
	uint32_t bytes;
	uint32_t vnet_header_bytes;
	uint8_t vnet_header[12];
	uint8_t data[80000];
};
/* vnet_header_bytes: 0, or the size of what comes with each frame. */
int tx_receiver(int vnet_header_bytes);
/* Wait up to so long. false: nothing came. */
bool tx_receive(int fd, int timeout_ms, struct tx_arrival *ret_arrival);
/* Exactly the frame that net_frame() makes arrives next, with a tag of this type if it is not 0. */
void tx_assert_arrives(int fd, uint32_t bytes, uint32_t number, uint16_t tag_type);
void tx_assert_nothing(int fd);

/* Make a frame in place, with a vnet header of zeros if the ring has one; the cookie is its number. */
void tx_commit(struct tpacket_tx *tx, uint32_t bytes, uint32_t number);
void tx_tag(uint8_t *frame, uint16_t type);
/* Hand over and wait until nothing is queued or on its way; the results must be collected still. */
void tx_send_all(struct tpacket_tx *tx);
/* The next result. */
void tx_assert_result(struct tpacket_tx *tx, uint32_t number, int error);
void tx_assert_no_result(struct tpacket_tx *tx);
/* Close, after everything committed was sent or failed, as the counters must say. */
void tx_finish(struct tpacket_tx *tx, uint64_t sent, uint64_t failed);

#endif
