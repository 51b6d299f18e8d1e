/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Source of traffic for the measurements: the same 256 UDP frames (one a flow) over and over, sendmmsg(2) with 64 a
 * call and PACKET_QDISC_BYPASS, which the kernel delivers to the other end of a veth pair in this process's context.
 *
 *	bench_send IFACE BYTES PPS SECONDS      PPS 0: as fast as it goes; prints the frames that were sent
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FLOWS 256
#define BURST 64
#define FRAME_MAX 9014

static uint8_t frames[FLOWS][FRAME_MAX];

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Ethernet, IPv4 and UDP, good enough for the kernel's flow hash. */
static void make_frame(uint8_t *frame, unsigned int flow, size_t bytes)
{
	static const uint8_t head[] = {0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0, 0,
		64, 17, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2};
	uint16_t ip_bytes = htons((uint16_t)(bytes - 14));
	uint16_t udp_bytes = htons((uint16_t)(bytes - 34));
	uint16_t port = htons((uint16_t)(10000 + flow));

	memcpy(frame, head, sizeof head);
	memcpy(frame + 16, &ip_bytes, 2);
	memcpy(frame + 34, &port, 2);
	memcpy(frame + 36, &port, 2);
	memcpy(frame + 38, &udp_bytes, 2);
	for (size_t i = 42; i < bytes; i++)
		frame[i] = (uint8_t)(i * 31 + flow);
}

static uint64_t send_for(int fd, size_t bytes, uint64_t pps, double seconds)
{
	struct iovec vectors[FLOWS];
	struct mmsghdr messages[FLOWS];
	uint64_t start = now_ns();
	uint64_t end = start + (uint64_t)(seconds * 1e9);
	uint64_t sent = 0;

	memset(messages, 0, sizeof messages);
	for (unsigned int i = 0; i < FLOWS; i++) {
		make_frame(frames[i], i, bytes);
		vectors[i] = (struct iovec){frames[i], bytes};
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (now_ns() < end) {
		int n = sendmmsg(fd, &messages[sent % FLOWS / BURST * BURST], BURST, 0);

		if (n < 0 && errno != ENOBUFS && errno != EAGAIN) {
			perror("sendmmsg");
			exit(1);
		}
		sent += n > 0 ? (uint64_t)n : 0;
		while (pps && sent * 1000000000u / pps > now_ns() - start)
			;
	}
	return sent;
}

int main(int argc, char **argv)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET};
	int one = 1;
	int fd;

	if (argc != 5 || strtoul(argv[2], NULL, 10) < 64 || strtoul(argv[2], NULL, 10) > FRAME_MAX) {
		fprintf(stderr, "usage: bench_send IFACE BYTES(64..%d) PPS SECONDS\n", FRAME_MAX);
		return 2;
	}
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	address.sll_ifindex = (int)if_nametoindex(argv[1]);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		perror(argv[1]);
		return 1;
	}
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
	printf("%" PRIu64 "\n", send_for(fd, strtoul(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), atof(argv[4])));
	return 0;
}
