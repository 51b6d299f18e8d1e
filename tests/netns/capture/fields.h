/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One test programme over TPACKET_V1, V2 and V3, raw and datagram sockets, on a veth pair and on the loopback: what the
 * test_fields_*.c files share. A row is one such combination; each test runs once for each row that it is made for.
 */
#ifndef TEST_FIELDS_H
#define TEST_FIELDS_H

#include "net.h"

#define LOOPBACK "lo"
#define ETHERNET_BYTES 14u
#define TAG_BYTES 4u

struct row {
	enum tpacket_version version;
	enum tpacket_socket socket;
	bool is_loopback;
};

/* The rows that a test runs on; one bit of each group has to match. */
#define ON_V1 (1u << 0)
#define ON_V2 (1u << 1)
#define ON_V3 (1u << 2)
#define ON_RAW (1u << 3)
#define ON_DGRAM (1u << 4)
#define ON_VETH (1u << 5)
#define ON_LOOPBACK (1u << 6)
#define ON_VERSIONS (ON_V1 | ON_V2 | ON_V3)
#define ON_ALL (ON_VERSIONS | ON_RAW | ON_DGRAM | ON_VETH | ON_LOOPBACK)

struct row_test {
	const char *name;
	CMUnitTestFunction function; /* its state: the row */
	unsigned int rows;
};
#define ROW_TEST(function, rows)                                                                                       \
	{                                                                                                              \
#function, function, rows                                                                              \
	}

extern const struct row_test basic_tests[], vlan_tests[], insert_tests[], offload_tests[], socket_tests[], size_tests[],
	full_tests[];

/* The interface that the ring listens on, and the one to send from. */
const char *row_listen(const struct row *row);
const char *row_send(const struct row *row);
/* Options for the row. On the loopback, where each frame comes twice, the outgoing ones are left out. */
void row_options(const struct row *row, struct tpacket_options *options);
/* With room for frames of 64 KiB. */
void row_big_options(const struct row *row, struct tpacket_options *options);
struct tpacket *row_open(const struct row *row);
/* How many bytes of link header the socket leaves out. */
uint32_t row_skip(const struct row *row);
/* The address that makes a frame come in as TPACKET_TYPE_HOST. */
void row_address(const struct row *row, uint8_t *address);
/* A frame as net_frame() makes it, with that address. */
void row_frame(const struct row *row, uint8_t *frame, uint32_t bytes, uint32_t number);
/* What a packet has to be like; of the frame as it was sent. */
struct want {
	const uint8_t *frame;
	uint32_t bytes;
	uint32_t captured; /* bytes kept, link header included; 0: all */
	bool is_empty;     /* nothing was kept */
	uint32_t skip;     /* bytes left out in front of it; row_skip() */
	uint32_t status;   /* without the time's, which follow from the row */
	unsigned int index;
	uint16_t protocol;
	uint16_t tci, tpid;
	uint8_t type;
	uint64_t after_ns, before_ns; /* 0: not checked */
};
/* The frame, whole, to this host, coming in at the row's interface, NET_ETHERTYPE. */
struct want row_want(const struct row *row, const uint8_t *frame, uint32_t bytes);
/* Compare every member but rx_hash, vnet_header and vnet_header_length. */
void row_compare(const struct row *row, const struct tpacket_packet *packet, const struct want *want);
/* Take one packet and compare. The copy lives until the next call. */
const struct net_copy *row_expect(const struct row *row, struct tpacket *handle, const struct want *want);

/* Take so many, however late they come. */
void row_take(struct tpacket *handle, struct net_copy *ret_copies, uint32_t count);
/* Close it; nothing more may have come. */
void row_end(struct tpacket *handle);

/* A tag in front of the ethertype of a frame of so many bytes; returns bytes + TAG_BYTES. to and from may be the same.
 */
uint32_t put_tag(uint8_t *to, const uint8_t *from, uint32_t bytes, uint16_t tpid, uint16_t tci);

/*
 * Where in a slot, or behind the header of a V3 frame, the bytes kept begin; tpacket_rcv() in the kernel. reserve:
 * PACKET_RESERVE.
 */
uint32_t row_front(const struct row *row, uint32_t reserve, uint32_t vnet_bytes);

/* For frames whose checksum, and perhaps segmentation, is left to whoever needs them. */
struct virtio_net_hdr;
int unfinished_sender(const char *interface);
void send_unfinished(int fd, const struct virtio_net_hdr *header, const uint8_t *frame, uint32_t bytes);

/* Have what comes in at NET_LISTEN sent from another interface, or from this one. False: tc(8) cannot do it here. */
bool redirect(const char *interface);

uint64_t realtime_ns(void);

#endif
