/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends a mix of frames, one kind after the other: UDP and TCP, 60 to 1514 bytes, with and without VLAN tags, and jumbo
 * frames. Writes for each a record of what a ring without anything cut off has to show (reader.h; time 0).
 *
 *	mixed_sender INTERFACE COUNT RATE JUMBO_BYTES RECORDS         JUMBO_BYTES 0: none
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"
#include "reader.h"

#define BURST 16 /* frames between two looks at the clock */
#define NS_PER_S 1000000000LL
#define TCP_MIN_BYTES 80 /* headers, and what identifies the frame */
#define TAG_AT 12
#define TAG_BYTES 4

/* Of all frames, each kind in turn. A frame with an inner tag has its outer one in front of it. */
struct kind {
	bool tcp;
	bool is_jumbo;
	uint16_t tpid;
	uint16_t tci;
	uint16_t inner_tci; /* 0: no inner tag */
};

static const struct kind kinds[] = {
	{0},
	{.tcp = true},
	{.tpid = 0x8100, .tci = 0x6064}, /* priority 3 */
	{.tcp = true, .tpid = 0x88a8, .tci = 0x0065},
	{0},
	{.tpid = 0x88a8, .tci = 0x0066, .inner_tci = 0x0067},
	{.tpid = 0x8100, .tci = 0xa000}, /* priority only */
	{.is_jumbo = true},
	{.tcp = true, .tpid = 0x8100, .tci = 0x1fff}, /* drop eligible, all ones */
	{.tpid = 0x8100, .tci = 0},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static uint32_t put_tag(uint8_t *frame, uint32_t length, uint16_t tpid, uint16_t tci)
{
	const uint16_t tag[2] = {htons(tpid), htons(tci)};

	memmove(frame + TAG_AT + TAG_BYTES, frame + TAG_AT, length - TAG_AT);
	memcpy(frame + TAG_AT, tag, sizeof(tag));
	return length + TAG_BYTES;
}

/* The frame as it is sent; ret_head: as it is received, with the outer tag taken out. */
static uint32_t make(
	const struct kind *kind, uint64_t number, uint32_t jumbo_bytes, uint8_t *frame, struct record_head *ret_head)
{
	struct frame_plan plan;
	uint32_t length;

	frame_plan_init(&plan);
	plan.count = number + 1;
	plan.tcp = kind->tcp;
	plan.size = kind->is_jumbo ? jumbo_bytes : 0;
	if (kind->tcp && frame_size(&plan, number) < TCP_MIN_BYTES)
		plan.size = TCP_MIN_BYTES;
	length = frame_make(&plan, number, frame);
	if (kind->inner_tci)
		length = put_tag(frame, length, ETH_P_8021Q, kind->inner_tci);
	*ret_head = (struct record_head){
		.captured_length = length,
		.original_length = length,
		.vlan_tci = kind->tpid ? kind->tci : -1,
		.vlan_tpid = kind->tpid,
	};
	return kind->tpid ? put_tag(frame, length, kind->tpid, kind->tci) : length;
}

static int write_received(FILE *file, const struct record_head *head, const uint8_t *frame)
{
	const uint8_t *rest = frame + TAG_AT + (head->vlan_tpid ? TAG_BYTES : 0);

	return fwrite(head, sizeof(*head), 1, file) == 1 && fwrite(frame, 1, TAG_AT, file) == TAG_AT &&
	                       fwrite(rest, 1, head->captured_length - TAG_AT, file) == head->captured_length - TAG_AT
	               ? 0
	               : -EIO;
}

static int open_socket(const char *interface)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0 || !address.sll_ifindex || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) < 0 ? -errno : fd;
}

static void sleep_until(int64_t at_ns)
{
	struct timespec at = {.tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

static int send_frame(int fd, const uint8_t *frame, uint32_t length)
{
	while (send(fd, frame, length, 0) != (ssize_t)length) {
		if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return 0;
}

static int send_all(int fd, uint64_t count, uint64_t rate, uint32_t jumbo_bytes, FILE *records)
{
	static uint8_t frame[FRAME_MAX_BYTES + 2 * TAG_BYTES];
	struct record_head head;
	struct timespec now;
	int64_t start;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &now);
	start = now.tv_sec * NS_PER_S + now.tv_nsec;
	for (uint64_t i = 0; i < count && r == 0; i++) {
		uint32_t length = make(&kinds[i % KINDS], i, jumbo_bytes, frame, &head);

		if (i % BURST == 0)
			sleep_until(start + (int64_t)(i * (uint64_t)NS_PER_S / rate));
		r = send_frame(fd, frame, length);
		if (r == 0)
			r = write_received(records, &head, frame);
	}
	return r;
}

int main(int argc, char **argv)
{
	FILE *records;
	int fd, r;

	if (argc != 6 || strtoull(argv[3], NULL, 10) == 0) {
		fprintf(stderr, "usage: mixed_sender INTERFACE COUNT RATE JUMBO_BYTES RECORDS\n");
		return 2;
	}
	fd = open_socket(argv[1]);
	records = fopen(argv[5], "wb");
	if (fd < 0 || !records) {
		perror("mixed_sender");
		return 1;
	}
	r = send_all(fd, strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), (uint32_t)strtoul(argv[4], NULL, 10),
		records);
	if (fclose(records))
		r = r < 0 ? r : -EIO;
	close(fd);
	if (r < 0)
		fprintf(stderr, "mixed_sender: %s\n", strerror(-r));
	return r < 0 ? 1 : 0;
}
