/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends the frames of a plan (see frames.h) on an interface at a steady rate:
 *
 *	sender IFACE --count N --rate PPS --flows F --sizes mixed|BYTES|gso:BYTES --seed S [--vlan [TPID:]TCI]
 *	       [--first N]
 *
 * Prints one line of JSON: frames, bytes, first_ns, last_ns, retries. Exit 0 only if every frame was taken by the
 * kernel. It stays on one CPU: frames of one flow that are sent from two can overtake each other on a virtual link.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"

#define BURST 32
#define NS_PER_SECOND 1000000000ll

struct sender {
	struct frame_plan plan;
	uint64_t rate; /* frames a second; 0: as fast as possible */
	uint64_t first;
	int fd;
	uint64_t bytes;
	uint64_t retries;
	struct virtio_net_hdr vnet;
	struct mmsghdr messages[BURST];
	struct iovec vectors[BURST][2];
	uint8_t *frames[BURST];
};

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * NS_PER_SECOND + ts.tv_nsec;
}

static void sleep_until(int64_t deadline_ns)
{
	struct timespec ts = {.tv_sec = deadline_ns / NS_PER_SECOND, .tv_nsec = deadline_ns % NS_PER_SECOND};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static int open_socket(struct sender *sender, const char *interface)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface)};
	int fd, one = 1;

	if (!address.sll_ifindex) {
		fprintf(stderr, "sender: no interface %s\n", interface);
		return -ENODEV;
	}
	/* Protocol 0: this socket receives nothing. */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0)
		goto fail;
	if (sender->plan.tcp ? setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one))
			     : setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))
		goto fail;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		goto fail;
	sender->fd = fd;
	return 0;

fail:
	fprintf(stderr, "sender: %s: %s\n", interface, strerror(errno));
	return -errno;
}

/* What the kernel needs to know to cut a super-frame into segments: see struct virtio_net_hdr. */
static void init_vnet(struct sender *sender)
{
	uint16_t link_bytes = sender->plan.vlan_tpid ? 18 : 14;

	sender->vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = link_bytes + 20 + 20,
		.gso_size = FRAME_GSO_SEGMENT,
		.csum_start = link_bytes + 20,
		.csum_offset = 16,
	};
}

static int init_messages(struct sender *sender)
{
	int i, header = sender->plan.tcp ? 1 : 0;

	init_vnet(sender);
	for (i = 0; i < BURST; i++) {
		sender->frames[i] = malloc(FRAME_MAX_BYTES + 4);
		if (!sender->frames[i])
			return -ENOMEM;
		sender->vectors[i][0] = (struct iovec){.iov_base = &sender->vnet, .iov_len = sizeof(sender->vnet)};
		sender->vectors[i][header].iov_base = sender->frames[i];
		sender->messages[i].msg_hdr.msg_iov = sender->vectors[i];
		sender->messages[i].msg_hdr.msg_iovlen = (size_t)header + 1;
	}
	return 0;
}

static int send_burst(struct sender *sender, uint64_t seq, unsigned int n)
{
	unsigned int i, done = 0;
	int rc, header = sender->plan.tcp ? 1 : 0;

	for (i = 0; i < n; i++) {
		sender->vectors[i][header].iov_len = frame_make(&sender->plan, seq + i, sender->frames[i]);
		sender->bytes += sender->vectors[i][header].iov_len;
	}
	while (done < n) {
		rc = sendmmsg(sender->fd, sender->messages + done, n - done, 0);
		if (rc > 0) {
			done += (unsigned int)rc;
		} else if (errno == ENOBUFS || errno == EAGAIN) {
			sender->retries++;
			sleep_until(clock_ns(CLOCK_MONOTONIC) + 50000);
		} else if (errno != EINTR) {
			fprintf(stderr, "sender: frame %" PRIu64 " of %zu bytes: %s\n", seq + done,
				sender->vectors[done][header].iov_len, strerror(errno));
			return -errno;
		}
	}
	return 0;
}

static int send_all(struct sender *sender)
{
	uint64_t seq = sender->first;
	int64_t start = clock_ns(CLOCK_MONOTONIC);
	unsigned int n;
	int rc;

	for (; seq < sender->plan.count; seq += n) {
		n = sender->plan.count - seq < BURST ? (unsigned int)(sender->plan.count - seq) : BURST;
		/* Slow rates go out frame by frame. */
		if (sender->rate && sender->rate < 2000)
			n = 1;
		if (sender->rate)
			sleep_until(start +
				    (int64_t)((double)(seq - sender->first) * NS_PER_SECOND / (double)sender->rate));
		rc = send_burst(sender, seq, n);
		if (rc)
			return rc;
	}
	return 0;
}

static int parse(struct sender *sender, int argc, char **argv)
{
	char *end;
	int i;

	for (i = 2; i + 1 < argc; i += 2) {
		if (strncmp(argv[i], "--", 2))
			return -EINVAL;
		if (strcmp(argv[i], "--rate") == 0 || strcmp(argv[i], "--first") == 0) {
			*(argv[i][2] == 'r' ? &sender->rate : &sender->first) = strtoull(argv[i + 1], &end, 10);
			if (*end)
				return -EINVAL;
		} else if (frame_plan_set(&sender->plan, argv[i] + 2, argv[i + 1])) {
			return -EINVAL;
		}
	}
	return argc < 2 || i != argc ? -EINVAL : 0;
}

static void stay_on_one_cpu(void)
{
	cpu_set_t cpus;
	int cpu = sched_getcpu();

	CPU_ZERO(&cpus);
	CPU_SET(cpu < 0 ? 0 : cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

int main(int argc, char **argv)
{
	struct sender sender = {.fd = -1};
	int64_t first_ns;
	int i, rc;

	frame_plan_init(&sender.plan);
	if (parse(&sender, argc, argv)) {
		fprintf(stderr, "usage: sender IFACE [--count N] [--rate PPS] [--flows F] [--sizes "
				"mixed|BYTES|gso:BYTES] [--seed S] "
				"[--vlan [TPID:]TCI] [--first N] [--reverse 0|1]\n");
		return 2;
	}
	stay_on_one_cpu();
	if (open_socket(&sender, argv[1]) || init_messages(&sender))
		return 1;
	first_ns = clock_ns(CLOCK_REALTIME);
	rc = send_all(&sender);
	printf("{\"frames\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"first_ns\": %" PRId64 ", \"last_ns\": %" PRId64
	       ", \"retries\": %" PRIu64 "}\n",
		sender.plan.count - sender.first, sender.bytes, first_ns, clock_ns(CLOCK_REALTIME), sender.retries);
	for (i = 0; i < BURST; i++)
		free(sender.frames[i]);
	close(sender.fd);
	return rc ? 1 : 0;
}
