/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor under everything: walk the ring, look at each packet's length and first byte, give the blocks back. With
 * "encode", also write each packet into a batch that is thrown away. Ends on SIGTERM; prints packets and drops.
 *
 *	bench_ring IFACE walk|encode
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tpacket.h"
#include "wbproto.h"

#define BATCH_BYTES (256 * 1024)
#define BATCHES 4

static struct tpacket *ring;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
	tpacket_wake(ring);
}

/* A few buffers in turn, as many as are under way in the program when the bus keeps up. */
static void encode(struct wbproto_encoder *encoder, uint8_t *memory, unsigned int *turn, const struct tpacket_packet *p)
{
	static const struct wbproto_batch facts = {
		.worker_id = 1, .stream_id = 1, .batch_seq = 1, .first_packet_seq = 1};
	struct wbproto_packet packet = {.time_unix_ns = p->time_ns,
		.data = p->data,
		.captured_length = p->captured_length,
		.original_length = p->original_length,
		.interface_index = p->interface_index,
		.flags = 1,
		.rx_hash = p->rx_hash};
	size_t size;

	if (wbproto_encoder_append(encoder, &packet) == 0)
		return;
	wbproto_encoder_seal(encoder, &facts, &size);
	*turn = (*turn + 1) % BATCHES;
	wbproto_encoder_open(encoder, memory + (size_t)*turn * BATCH_BYTES, BATCH_BYTES, &facts);
	wbproto_encoder_append(encoder, &packet);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct tpacket_counters counters;
	struct wbproto_encoder *encoder;
	struct tpacket_options options;
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	struct tpacket_error error;
	uint64_t packets = 0, bytes = 0;
	unsigned int turn = 0;
	uint8_t *memory = malloc((size_t)BATCHES * BATCH_BYTES);
	int encoding;

	if (argc != 3 || !memory || wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &encoder) < 0)
		return 2;
	encoding = strcmp(argv[2], "encode") == 0;
	tpacket_options_init(&options);
	options.interface = argv[1];
	if (tpacket_open(&options, &ring, &error) < 0) {
		fprintf(stderr, "%s\n", error.message);
		return 1;
	}
	sigaction(SIGTERM, &action, NULL);
	if (tpacket_start(ring) < 0)
		return 1;
	while (!stop) {
		if (tpacket_acquire(ring, 1000, &lease) != 1)
			continue;
		while (tpacket_lease_next(&lease, &packet)) {
			packets++;
			bytes += packet.captured_length + packet.data[0];
			if (encoding)
				encode(encoder, memory, &turn, &packet);
		}
		tpacket_release(&lease);
	}
	if (tpacket_stats(ring, &counters) < 0)
		return 1;
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", packets, counters.dropped, bytes);
	return 0;
}
