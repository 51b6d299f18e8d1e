/* SPDX-License-Identifier: Apache-2.0 */
/* CPU nanoseconds of the flow hash and its bucket, by kind of frame; least of 20 runs. Frames are in the cache. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "flow_hash.h"

#define FRAMES 64u
#define CALLS 2000000u
#define RUNS 20

static uint8_t frames[FRAMES][128];

static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* The head of a frame, then ports and addresses that differ. */
static void make(const uint8_t *head, size_t length, size_t varies)
{
	for (unsigned int i = 0; i < FRAMES; i++) {
		memset(frames[i], 0, sizeof frames[i]);
		memcpy(frames[i], head, length);
		frames[i][varies] = (uint8_t)(i * 37);
		frames[i][length] = (uint8_t)(i * 11);
	}
}

static void measure(const char *name, volatile unsigned int *buckets)
{
	double least = 1e9;
	unsigned int sum = 0;

	for (int run = 0; run < RUNS; run++) {
		double began = cpu_ns();

		for (unsigned int i = 0; i < CALLS; i++)
			sum += wb_flow_hash(1, frames[i % FRAMES], 100) % *buckets;
		if ((cpu_ns() - began) / CALLS < least)
			least = (cpu_ns() - began) / CALLS;
	}
	printf("%-28s %6.2f ns (%u)\n", name, least, sum);
}

int main(void)
{
	static const uint8_t tcp4[34] = {[12] = 8, [14] = 0x45, [23] = 6, [26] = 10, [30] = 10};
	static const uint8_t vlan4[42] = {
		[12] = 0x88, [13] = 0xa8, [16] = 0x81, [20] = 8, [22] = 0x45, [31] = 17, [34] = 10, [38] = 10};
	static const uint8_t tcp6[54] = {[12] = 0x86, [13] = 0xdd, [14] = 0x60, [20] = 6, [22] = 0x20, [38] = 0x20};
	static const uint8_t hop6[62] = {[12] = 0x86, [13] = 0xdd, [14] = 0x60, [20] = 0, [54] = 6};
	static const uint8_t arp[14] = {[0] = 2, [6] = 2, [12] = 8, [13] = 6};
	volatile unsigned int buckets = 16;

	make(tcp4, sizeof tcp4, 29);
	measure("IPv4, TCP", &buckets);
	make(vlan4, sizeof vlan4, 37);
	measure("IPv4, UDP, two VLAN tags", &buckets);
	make(tcp6, sizeof tcp6, 37);
	measure("IPv6, TCP", &buckets);
	make(hop6, sizeof hop6, 37);
	measure("IPv6, TCP, one extension", &buckets);
	make(arp, sizeof arp, 5);
	measure("ARP", &buckets);
	return 0;
}
