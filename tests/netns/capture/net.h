/* SPDX-License-Identifier: Apache-2.0 */
/* A network namespace with a veth pair: the sender writes into one end, the ring listens on the other. */
#ifndef TEST_NET_H
#define TEST_NET_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "tpacket.h"

#include <errno.h>
#include <stdbool.h>

#define NET_LISTEN "wbl0" /* the ring's end */
#define NET_SEND "wbs0"
#define NET_ETHERTYPE 0x88b5 /* for local experiments */
#define NET_RETIRE_MS 5
#define NET_MAX_FRAME 65536u

/* Move the process to a namespace of its own; ends it with 77 without the right to. */
void net_enter(void);
/* Leave out a test that this machine cannot run, and say why. With CI=true, where everything is there, it fails. */
void net_skip(const char *reason);
/* Run a command, which must succeed. */
void net_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* cmocka's set-up and teardown of a test: the veth pair, up, and gone again. */
int net_set_up(void **state);
int net_tear_down(void **state);

/* Until the interface can transmit; at most five seconds. */
void net_wait_running(const char *interface);
/* Until the kernel says so of an interface whose other end is down, which it does up to a second later. */
void net_wait_no_carrier(const char *interface);
unsigned int net_index(const char *interface);
int net_count_descriptors(void);
double net_now_ms(void);

/* A raw socket bound to an interface. */
int net_sender(const char *interface);
void net_send(int fd, const void *frame, size_t bytes);

/* A frame of so many bytes whose content follows from number; number is at NET_NUMBER_AT. */
#define NET_NUMBER_AT 14
void net_frame(uint8_t *frame, uint32_t bytes, uint32_t number);
uint32_t net_number(const uint8_t *frame);
/* An IPv4 UDP datagram of one of 64 flows; number is at NET_UDP_NUMBER_AT. */
#define NET_UDP_NUMBER_AT 42
#define NET_UDP_BYTES 64u
void net_udp_frame(uint8_t *frame, uint32_t number);
/* Send frames with the numbers from first on. */
void net_send_numbers(int fd, uint32_t bytes, uint32_t first, uint32_t count);

/* Defaults for the tests: NET_LISTEN, small ring, NET_RETIRE_MS. */
void net_options(struct tpacket_options *options);
/* Open and start; both must succeed. */
struct tpacket *net_open(const struct tpacket_options *options);

/* Call seen for each packet until nothing came for idle_ms. Returns the number of packets. */
typedef void net_seen_fn(const struct tpacket_packet *packet, void *argument);
uint32_t net_drain(struct tpacket *handle, int idle_ms, net_seen_fn *seen, void *argument);
/* Take exactly one packet, its bytes copied. */
struct net_copy {
	struct tpacket_packet packet;
	uint8_t data[NET_MAX_FRAME];
	uint8_t vnet_header[16];
};
void net_take(struct tpacket *handle, struct net_copy *ret_copy);
/* Take what comes until nothing came for idle_ms, at most so many, their bytes copied. Returns how many. */
uint32_t net_take_all(struct tpacket *handle, int idle_ms, struct net_copy *ret_copies, uint32_t max);
void net_assert_nothing(struct tpacket *handle);
/* Stop, drain, and read the counters, which must add up. */
void net_finish(struct tpacket *handle, struct tpacket_counters *ret_counters);

#endif
